"""Lint rules on the model: initialisation, shapes that kernels and meshes like, positions, precision.

What transformers or the mesh refuse by themselves is said here too where they say it late or in a way nobody reads:
an id beyond the embedding ends as `device-side assert triggered`, minutes after the start and on all processes at once.
"""

import math
from collections.abc import Iterator
from typing import Any

from jpfm.train.lint.finding import Finding, Run

_CODESIGN = "Anthony et al. 2024, arXiv:2401.14489"
_MEGATRON = "Shoeybi et al. 2019 (Megatron-LM), arXiv:1909.08053, section 3"


def initial_std(run: Run) -> Iterator[Finding]:
    """New weights are within a factor of 4 of sqrt(2 / (5 hidden_size))."""
    if run.config.model is None:
        return
    std, hidden = run.model.initializer_range, run.model.hidden_size
    usual = math.sqrt(2 / (5 * hidden))
    if not usual / 4 <= std <= usual * 4:
        large = std > usual
        yield Finding(
            "model.init_std",
            f"{std:g}; sqrt(2 / (5 hidden_size)) is {usual:.2g} for hidden_size {hidden:,}",
            "blocks that write much beside the residual stream make gradients grow, and the loss spikes"
            if large
            else "blocks that write next to nothing learn slowly at first",
            "Takase et al. 2023, arXiv:2312.16903; Nguyen and Salazar 2019, arXiv:1910.05895, section 2.2; LLM-jp v4 "
            "takes 0.02 for hidden_size 4,096, 2.0 times this value",
            f"model: {{init_std: {usual:.1g}}}",
        )


def vocabulary_ids(run: Run) -> Iterator[Finding]:
    """Every id of the tokenizer has a row in the embedding."""
    if run.vocab_size > run.model.vocab_size:
        yield Finding(
            "tokenizer",
            f"{run.vocab_size:,} ids, the model's embedding has {run.model.vocab_size:,} rows",
            "the first such id ends the run on a GPU as 'device-side assert triggered', which names nothing",
            "PyTorch, torch.nn.Embedding: ids lie below num_embeddings",
            "extend the model: jpfm tokenizer extend, or pack the corpus with the model's own tokenizer",
        )


def vocabulary_rows(run: Run) -> Iterator[Finding]:
    """Rows of the embedding fill the tiles of a matrix product, and split over the mesh."""
    rows, multiple = run.model.vocab_size, math.lcm(64, 8 * run.config.parallel.tensor)
    if rows % multiple:
        new = run.config.model is not None
        mend = f"model: {{vocab_multiple: {multiple}}}" if new else f"jpfm tokenizer extend with multiple: {multiple}"
        yield Finding(
            "model.vocab_multiple" if new else "init_from",
            f"{rows:,} rows are no multiple of {multiple}",
            "the output matrix, the largest of a small model, runs on tiles that are half empty",
            f"{_CODESIGN}: a vocabulary divisible by 64; Megatron-LM: by 128 times the tensor processes",
            mend,
        )


def split_by_tensor(run: Run) -> Iterator[Finding]:
    """Heads, key-value heads and the inner width divide by the processes of a tensor group."""
    tensor = run.config.parallel.tensor
    if tensor == 1:
        return
    inner = getattr(run.model, "moe_intermediate_size", None) or run.model.intermediate_size
    uneven = [
        f"{number:,} {name}"
        for name, number, by in (
            ("heads", run.model.num_attention_heads, tensor),
            ("key-value heads", run.model.num_key_value_heads, tensor),
            ("columns of the inner layer, in steps of 8,", inner, 8 * tensor),
        )
        if number % by
    ]
    if uneven:
        yield Finding(
            "parallel.tensor",
            f"{tensor}, which does not divide {' and '.join(uneven)}",
            "a head that lies on two processes cannot attend, and uneven parts leave processes waiting",
            f"{_MEGATRON}; multiples of 8: {_CODESIGN}",
            f"parallel: {{tensor: {_largest_that_fits(run.model, inner)}}}",
        )


def _largest_that_fits(model: Any, inner: int) -> int:
    common = math.gcd(model.num_attention_heads, model.num_key_value_heads)
    return max(size for size in (1, 2, 4, 8) if common % size == 0 and inner % (8 * size) == 0)


def head_size(run: Run) -> Iterator[Finding]:
    """A head's width is one that attention kernels take."""
    heads = run.model.num_attention_heads
    width = getattr(run.model, "head_dim", None) or run.model.hidden_size // heads
    if width % 8 or width > 256:
        yield Finding(
            "model.head_dim" if run.config.model is not None else "init_from",
            f"{width}; kernels take multiples of 8 up to 256",
            "flash attention refuses it or pads every head, and the slow path builds a matrix of seq_len x seq_len",
            f"Dao 2023 (FlashAttention-2), README of flash-attn: head dimensions up to 256; {_CODESIGN}",
            "64 or 128",
        )


def rotary_base(run: Run) -> Iterator[Finding]:
    """Rows beyond 4,096 tokens come with a rotary base made for them."""
    rotary = getattr(run.model, "rope_parameters", None) or {}
    base, kind = rotary.get("rope_theta"), rotary.get("rope_type", "default")
    if base is not None and kind == "default" and run.config.seq_len > 4096 and base < 50_000:
        yield Finding(
            "model.rope_theta" if run.config.model is not None else "init_from",
            f"{base:,.0f} at {run.config.seq_len:,} tokens a row",
            "attention to tokens far away fades, so long rows cost and teach nothing new",
            "Xiong et al. 2023, arXiv:2309.16039; Men et al. 2024, arXiv:2405.14591; Llama 3: 500,000",
            "model: {rope_theta: 500000}" if run.config.model is not None else "seq_len: 4096",
        )


def positions(run: Run) -> Iterator[Finding]:
    """Rows are no longer than the model has positions."""
    limit = getattr(run.model, "max_position_embeddings", None)
    if limit is not None and run.config.seq_len > limit:
        yield Finding(
            "seq_len",
            f"{run.config.seq_len:,}, the model was made for {limit:,} positions",
            "perplexity explodes right behind the trained length",
            "Press et al. 2021 (ALiBi), arXiv:2108.12409, figure 1; Chen et al. 2023, arXiv:2306.15595",
            f"seq_len: {limit}",
        )


def bfloat16_processor(run: Run) -> Iterator[Finding]:
    """bfloat16 on a processor that has instructions for it."""
    if run.config.precision == "bf16" and not run.machine.cuda and not run.machine.bf16_products:
        yield Finding(
            "precision",
            "bf16, and this processor has neither AMX nor AVX512-BF16",
            "products are emulated in fp32 with conversions around them: slower than fp32 and less exact",
            "Intel, oneDNN developer guide, data types: bf16 is native from AVX512-BF16 on",
            "precision: fp32",
        )


def float8_recompute(run: Run) -> Iterator[Finding]:
    """fp8 without computing every block twice."""
    if run.config.precision == "fp8" and run.config.activation_checkpointing == "full":
        yield Finding(
            "activation_checkpointing",
            "full, with precision fp8",
            "what fp8 wins in products is lost to the second forward pass: 10 to 15 % came back only without it",
            "axolotl issue 2926",
            "activation_checkpointing: selective",
        )


RULES = (
    initial_std,
    vocabulary_ids,
    vocabulary_rows,
    split_by_tensor,
    head_size,
    rotary_base,
    positions,
    bfloat16_processor,
    float8_recompute,
)
