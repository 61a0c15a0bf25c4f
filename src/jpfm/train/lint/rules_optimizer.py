"""Lint rules on the optimizer: rates, moments, schedule, batch. One function a rule; `RULES` is all of them.

Two rules compare with a law: the learning rate with DeepSeek's fit over compute, the batch with the critical batch
size over tokens. Both were fitted on small models and are wide guides here: a finding needs a rate 5 times above or
8 times below, or a batch 4 times above. Refused: a factor of 2, which GPT-3, SmolLM and most published runs fail.
"""

from collections.abc import Iterator

from jpfm.train.lint.finding import Finding, Run
from jpfm.train.settings import AdamW

USUAL_EPSILON = 1e-8
LARGE_BATCH_TOKENS = 2**18
RATE_ABOVE, RATE_BELOW, BATCH_ABOVE = 5.0, 8.0, 4.0


def usual_learning_rate(flops: float) -> float:
    """The best peak rate of AdamW at a training cost, 0.3118 C^-0.125.

    Source: Bi et al. 2024 (DeepSeek LLM), arXiv:2401.02954, section 3.1. Fitted from 10^17 to 2 x 10^19 FLOPs.
    """
    return 0.3118 * max(flops, 1.0) ** -0.125


def critical_batch_tokens(tokens: float) -> float:
    """The batch beyond which a step needs more than a fifth too many tokens: 512 x 22.91 D^0.47, D in millions.

    Source: Zhang et al. 2024, arXiv:2410.21676: rows of 512 tokens; it grows with tokens, not with the model. Fitted
    on 85 M to 1.2 B parameters.
    """
    return 512 * 22.91 * (tokens / 1e6) ** 0.47


def epsilon(run: Run) -> Iterator[Finding]:
    """AdamW's epsilon is no larger than 1e-8."""
    where, adamw = run.adamw
    if adamw.epsilon > USUAL_EPSILON:
        yield Finding(
            f"{where}.epsilon",
            f"{adamw.epsilon:g}, usual is 1e-8",
            "gradients of large models are small, and a larger epsilon takes the place of their second moment: "
            "LLM-jp-3 172B alpha1 and alpha2 fell far behind after 0.7 and 1.4 trillion tokens",
            "NII LLMC, release note of LLM-jp-3 172B alpha1 and alpha2; OLMo 2, arXiv:2501.00656, section 3.4: from "
            "1e-5 to 1e-8; Wortsman et al. 2023, arXiv:2309.14322",
            f"{where}: {{epsilon: 1e-8}}, and watch update RMS in the metrics",
        )


def second_moment(run: Run) -> Iterator[Finding]:
    """beta2 is not 0.999 at a batch of a quarter of a million tokens or more."""
    where, adamw = run.adamw
    if adamw.beta2 > 0.99 and run.config.batch_tokens >= LARGE_BATCH_TOKENS:
        yield Finding(
            f"{where}.beta2",
            f"{adamw.beta2:g} at {run.config.batch_tokens:,} tokens a step, usual is 0.95",
            "a second moment that lags 1,000 steps behind makes updates too large when gradients grow: loss spikes, "
            "more of them with larger batches and models",
            "Wortsman et al. 2023, arXiv:2304.13013, section 3; GPT-3, Llama, LLM-jp v4 take 0.95",
            f"{where}: {{beta2: 0.95}}",
        )


def weight_decay(run: Run) -> Iterator[Finding]:
    """Weights decay where products are in 16 bits or fewer."""
    optimizer = run.config.optimizer
    if optimizer.weight_decay > 0 or run.config.precision == "fp32":
        return
    muon = not isinstance(optimizer, AdamW)
    yield Finding(
        "optimizer.weight_decay",
        "0, usual is 0.1",
        "weights and outputs under Muon grow until bfloat16 no longer resolves them"
        if muon
        else "the loss diverges suddenly in bfloat16 without weight decay",
        "Liu et al. 2025 (Moonlight), arXiv:2502.16982, section 2.2"
        if muon
        else "D'Angelo et al. 2023, arXiv:2310.04415",
        f"optimizer: {{kind: {optimizer.kind}, weight_decay: 0.1}}",
    )


def clipping(run: Run) -> Iterator[Finding]:
    """Gradients are clipped at a norm they reach."""
    if run.config.clip_norm > 5:
        yield Finding(
            "clip_norm",
            f"{run.config.clip_norm:g}, usual is 1",
            "one bad batch moves the weights by all of its gradient; OPT-175B had to go down to 0.3 after it diverged",
            "Zhang et al. 2022 (OPT), arXiv:2205.01068, section 2.5; GPT-3, Llama, LLM-jp v4 take 1.0",
            "clip_norm: 1.0",
        )


def _warmup_field(run: Run) -> str:
    """Where the settings say how long the warm-up is."""
    return "schedule.warmup_tokens" if run.config.schedule.warmup_tokens is not None else "schedule.warmup_steps"


def _warmup(run: Run, steps: int) -> str:
    """The setting for a warm-up of so many steps, in the unit that the run uses."""
    if run.config.schedule.warmup_tokens is not None:
        return f"schedule: {{warmup_tokens: {steps * run.config.batch_tokens}}}"
    return f"schedule: {{warmup_steps: {steps}}}"


def warmup_short(run: Run) -> Iterator[Finding]:
    """The rate is warmed up until the second moment has seen enough steps."""
    _, adamw = run.adamw
    warmup, window = run.config.schedule.warmup(run.config.batch_tokens), 1 / (1 - adamw.beta2)
    if warmup < round(window) and run.config.branch_from is None:
        yield Finding(
            _warmup_field(run),
            f"{warmup:g} steps; beta2 {adamw.beta2:g} averages over {window:.0f}",
            "the first updates are divided by a second moment of a few steps, and training may never recover",
            "Ma and Yarats 2021, arXiv:1910.04209: 2 / (1 - beta2) steps serve as well as any tuned warm-up",
            f"{_warmup(run, 2 * round(window))} or more",
        )


def warmup_long(run: Run) -> Iterator[Finding]:
    """The warm-up is a small part of the run."""
    _, adamw = run.adamw
    warmup, steps = run.config.schedule.warmup(run.config.batch_tokens), run.config.num_steps
    if warmup > max(steps / 10, 2 / (1 - adamw.beta2)) and run.config.branch_from is None:
        yield Finding(
            _warmup_field(run),
            f"{warmup:g} of {steps:,} steps, {warmup / steps:.0%}",
            "steps below the peak rate are paid for and learn little",
            "GPT-3 warmed up over 0.1 % of its tokens (Brown et al. 2020, arXiv:2005.14165, appendix B), Llama 3 405B "
            "over 0.7 % of its steps (arXiv:2407.21783, section 3.4.1), LLM-jp v4 over 2,000 steps",
            _warmup(run, max(round(steps / 20), round(2 / (1 - adamw.beta2)))),
        )


def decay_share(run: Run) -> Iterator[Finding]:
    """A run of warm-up, stable and decay ends with a decay that is long enough."""
    schedule, steps = run.config.schedule, run.config.num_steps
    if schedule.kind != "wsd":
        return
    decay = schedule.decay_length(run.config.batch_tokens)
    source = "Haegele et al. 2024, arXiv:2405.18392; Hu et al. 2024 (MiniCPM), arXiv:2404.06395, section 4"
    mend = f"schedule: {{decay_steps: {max(1, round(steps / 10))}}} (a tenth) to {max(1, round(steps / 5))}"
    if decay == 0 and run.config.branch_from is None:
        yield Finding(
            "schedule.decay_steps",
            "none",
            "the last checkpoint of a constant rate has a much higher loss than one that was decayed",
            source,
            f"{mend}; or `jpfm train branch` with configs/train/anneal.yaml afterwards",
        )
    elif 0 < decay < steps / 20:
        yield Finding(
            "schedule.decay_steps",
            f"{decay:g} of {steps:,} steps, {decay / steps:.1%}",
            "a decay this short gives away loss: it reaches that of a cosine at 10 to 20 %",
            source,
            mend,
        )


def learning_rate(run: Run) -> Iterator[Finding]:
    """The peak is within a wide factor of what is usual for the compute; below it where weights are not new."""
    peak, usual = run.config.learning_rate, usual_learning_rate(run.flops)
    law = "0.3118 C^-0.125, Bi et al. 2024 (DeepSeek LLM), arXiv:2401.02954, section 3.1"
    says = f"{peak:g}; the law for new weights gives {usual:.1e} at {run.flops:.1e} FLOPs"
    if run.config.init_from is not None:
        if peak > usual:
            yield Finding(
                "learning_rate",
                says,
                "a trained model that is warmed up beyond the rate of a new one forgets what it knew",
                f"Ibrahim et al. 2024, arXiv:2403.08763; Swallow continues Llama 3.1 at 2.5e-5; law: {law}",
                f"learning_rate: {usual / 10:.1e}, or mix in text of the first training",
            )
    elif peak > usual * RATE_ABOVE:
        yield Finding(
            "learning_rate",
            says,
            "attention logits and output logits grow until the loss diverges",
            f"Wortsman et al. 2023, arXiv:2309.14322, section 3.1; law: {law}",
            f"learning_rate: {usual:.1e}",
        )
    elif peak < usual / RATE_BELOW:
        yield Finding(
            "learning_rate",
            says,
            "the compute is spent with the loss of a much shorter run",
            f"law: {law}; GPT-3 175B, the lowest of the published runs, is 6 times below it",
            f"learning_rate: {usual:.1e}",
        )


def batch(run: Run) -> Iterator[Finding]:
    """The batch is not far beyond the critical one. Weights that are not new bear larger ones."""
    critical = critical_batch_tokens(run.tokens)
    if run.config.batch_tokens > BATCH_ABOVE * critical and run.config.init_from is None:
        yield Finding(
            "batch_tokens",
            f"{run.config.batch_tokens:,}; the critical batch of {run.tokens:,} tokens is about {critical:,.0f}",
            "beyond it a larger batch saves no steps: tokens and GPU hours are spent for the same loss",
            "McCandlish et al. 2018, arXiv:1812.06162; Zhang et al. 2024, arXiv:2410.21676",
            f"batch_tokens: {_rows(critical, run.config.seq_len)} or less, or more tokens",
        )


def _rows(tokens: float, seq_len: int) -> int:
    return max(1, int(tokens) // seq_len) * seq_len


def z_loss(run: Run) -> Iterator[Finding]:
    """The z-loss is a nudge beside the cross-entropy."""
    if run.config.z_loss > 1e-3:
        yield Finding(
            "z_loss",
            f"{run.config.z_loss:g}, usual is 1e-4",
            "log(Z)^2 is about 100 when training starts, so the model learns small logits instead of likely text",
            "Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5: 1e-4; OLMo 2, arXiv:2501.00656: 1e-5",
            "z_loss: 1e-4",
        )


def newton_schulz(run: Run) -> Iterator[Finding]:
    """Muon's iteration comes near an orthogonal matrix."""
    optimizer = run.config.optimizer
    if not isinstance(optimizer, AdamW) and optimizer.newton_schulz_steps < 5:
        yield Finding(
            "optimizer.newton_schulz_steps",
            f"{optimizer.newton_schulz_steps}, usual is 5",
            "small singular values of the gradient stay small, and the update is no longer near orthogonal",
            "Jordan et al. 2024, kellerjordan.github.io/posts/muon",
            "optimizer: {kind: muon, newton_schulz_steps: 5}",
        )


RULES = (
    epsilon,
    second_moment,
    weight_decay,
    clipping,
    warmup_short,
    warmup_long,
    decay_share,
    learning_rate,
    batch,
    z_loss,
    newton_schulz,
)
