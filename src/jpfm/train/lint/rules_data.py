"""Lint rules on what is trained on: the mixture, repetition, documents, and that something is saved on the way."""

from collections.abc import Iterator, Mapping

import numpy as np

from jpfm.core.errors import UsageError
from jpfm.tokens.mixture import units
from jpfm.train.lint.finding import Finding, Run

EPOCHS = 4.0
SMALLEST_REPEATED, SMALLEST_CHINCHILLA = 10e6, 70e6
"""Parameters from which the studies of repetition and of tokens a parameter have measured."""
HOURS_AT_RISK_FLOPS = 1e18
"""About 40 minutes of one H100 at 40 % of its dense peak of 989 TFLOP/s."""


def mixture_sums(run: Run) -> Iterator[Finding]:
    """Weights of every stage sum to one and name sources that exist."""
    mixture, sizes = run.config.mixture, run.sources_tokens
    for number, stage in enumerate(mixture.all_stages(), start=1):
        if stage.weights is None:
            continue
        names = sorted(stage.weights if sizes is None else sizes)
        field = f"mixture.stages.{number - 1}.weights" if mixture.stages else "mixture.weights"
        unknown = sorted(set(stage.weights) - set(names))
        problem = f"no source is called {', '.join(unknown)}" if unknown else ""
        mend = f"sources: {', '.join(names)}"
        if not unknown:
            try:
                units(names, [1] * len(names), stage.weights)
            except UsageError as error:
                problem, mend = error.message.removeprefix("mixture: "), error.hint
        if problem:
            yield Finding(
                field,
                problem,
                "weights of another sum are not the shares that were meant: one list of hundreds is a product of "
                "tokens and repeats, added up by hand",
                "llm-jp/scripts, pretrain/scripts/v4-8b-phase1: weights of 22.07 trillion tokens; the order refuses it",
                mend,
            )


def repetition(run: Run) -> Iterator[Finding]:
    """No source is seen more than 4 times. Models below the size that was measured are left alone."""
    if not run.sources_tokens or run.cost.parameters < SMALLEST_REPEATED:
        return
    epochs = _epochs(run, run.sources_tokens)
    often = sorted((name for name, times in epochs.items() if times > EPOCHS), key=lambda name: -epochs[name])
    if often:
        told = ", ".join(f"{name} {epochs[name]:.1f} times" for name in often[:3])
        yield Finding(
            "mixture",
            told + (f" and {len(often) - 3} more sources above {EPOCHS:g}" if len(often) > 3 else ""),
            "up to 4 epochs are about as good as new text; beyond, each gives less, and in the end nothing",
            "Muennighoff et al. 2023, arXiv:2305.16264",
            "fewer tokens, lower weights for these, or mixture: {max_epochs: 4}",
        )


def _epochs(run: Run, sizes: Mapping[str, int]) -> dict[str, float]:
    """How often each source is seen over the run; without caps that stop it."""
    seen = dict.fromkeys(sorted(sizes), 0.0)
    left, total = float(run.tokens), sum(sizes.values())
    for stage in run.config.mixture.all_stages():
        tokens = min(left, float(stage.tokens or np.inf))
        for name in seen:
            share = sizes[name] / total if stage.weights is None else stage.weights.get(name, 0.0)
            seen[name] += tokens * share
        left -= tokens
    cap = run.config.mixture.cap
    return {name: min(tokens / max(sizes[name], 1), cap(name)) for name, tokens in seen.items()}


def tokens_a_parameter(run: Run) -> Iterator[Finding]:
    """New weights see at least a token each."""
    parameters = run.cost.active_parameters
    if run.config.model is None or parameters < SMALLEST_CHINCHILLA:
        return
    if run.tokens < parameters:
        yield Finding(
            "total_tokens" if run.config.total_tokens is not None else "steps",
            f"{run.tokens:,} tokens for {parameters:,} parameters, {run.tokens / parameters:.2f} each",
            "a smaller model has a lower loss for the same compute: the best one sees about 20 tokens a parameter",
            "Hoffmann et al. 2022 (Chinchilla), arXiv:2203.15556",
            f"{20 * parameters:,} tokens, or a smaller size",
        )


def cross_document_attention(run: Run) -> Iterator[Finding]:
    """Documents packed into one row do not see each other."""
    if not run.config.document_mask:
        yield Finding(
            "document_mask",
            "false",
            "a document that follows another by chance distracts: in-context learning, knowledge and use of context "
            "are all better when each sees itself alone",
            "Zhao et al. 2024, arXiv:2402.13991; Llama 3, arXiv:2407.21783, section 3.2",
            "document_mask: true (it costs no speed with attention: varlen)",
        )


def saved_on_the_way(run: Run) -> Iterator[Finding]:
    """A run of hours writes a checkpoint before its end."""
    save = run.config.save
    by_step = save.every_steps is not None and save.every_steps < run.config.num_steps
    if not by_step and save.every_minutes is None and run.flops > HOURS_AT_RISK_FLOPS:
        yield Finding(
            "save.every_steps",
            f"{save.every_steps or 'null'} in a run of {run.config.num_steps:,} steps, and no every_minutes",
            "any failure loses all of it; Llama 3 405B was interrupted 466 times in 54 days",
            "Grattafiori et al. 2024 (Llama 3), arXiv:2407.21783, section 3.3.4",
            "save: {every_minutes: 30}",
        )


RULES = (mixture_sums, repetition, tokens_a_parameter, cross_document_attention, saved_on_the_way)
