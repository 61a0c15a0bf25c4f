"""What `--dry-run` says a stage would do. Nothing is written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact

_REACHED_SHARE = 0.4  # of the matrix-product rate; small models on a CPU measured 0.35 to 0.5


def data(recipe: Any) -> Iterator[str]:
    """Files, bytes, shards and passes of a recipe."""
    from jpfm.data.build import plan

    shards = plan(recipe)
    for position, source in enumerate(recipe.sources):
        own = [shard for shard in shards if shard.source == position]
        files, size = len({p.path for shard in own for p in shard.pieces}), sum(shard.bytes for shard in own)
        terms = source.rights.licence if hasattr(source, "rights") else "as in that corpus"
        yield f"source {source.name}: files {files:,}, {size / 1e6:,.1f} MB, shards {len(own)}, {terms}"
    for number, (decision, steps) in enumerate(recipe.passes(), start=1):
        names = ", ".join([*([f"apply {decision.name}"] if decision else []), *(step.name for step in steps)])
        yield f"pass {number}: {names}"


def stages(out: Path) -> Iterator[str]:
    """Which stages of a pipeline are finished in a folder."""
    for name in ("corpus", "tokenizer", "tokens", "model", "scores", "leaderboard"):
        if (out / name / artifacts.MANIFEST).exists():
            yield f"stage {name}: finished, {artifacts.open_artifact(out / name).id}"
        else:
            begun = (out / f"{name}.partial").exists()
            yield f"stage {name}: {'begun, resumes' if begun else 'to do'}"


def tokens(config: Any, corpus: Artifact | None, tokenizer: Artifact | None) -> Iterator[str]:
    """Files, bytes and tokens of a pack."""
    from jpfm.tokens.pack import jobs_of

    jobs = jobs_of(config, corpus, tokenizer, Path("tokens"))
    for source in dict.fromkeys(job.source for job in jobs):
        own = [job for job in jobs if job.source == source]
        yield f"source {source}: files {len(own):,}, {sum(job.bytes for job in own) / 1e6:,.1f} MB"
    rate = tokenizer.manifest.stats.get("chars_per_token") if tokenizer is not None else None
    if corpus is not None and rate:
        chars = corpus.manifest.stats["total"]["chars"]
        yield f"about {int(chars / rate):,} tokens from {chars:,} characters"


def train(config: Any, vocab_size: int | None = None) -> Iterator[str]:
    """Parameters, tokens, memory and hours of a training run.

    Args:
        vocab_size: of the tokenizer to come, where no tokens are named yet.
    """
    import torch

    from jpfm.model.estimate import estimate, hours
    from jpfm.train.peak import matmul_rate

    vocab = _vocab(config) or vocab_size
    if config.model is not None:
        model = config.model.to_transformers(vocab or 32_000, config.seq_len)
    else:
        from transformers import AutoConfig

        model = AutoConfig.from_pretrained(config.init_from or config.branch_from, trust_remote_code=False)
    cost = estimate(model, config.seq_len)
    tokens = config.num_steps * config.batch_tokens
    if vocab is None and config.model is not None:
        yield "vocabulary taken as 32,000: no tokens artifact is named yet"
    active = f" ({cost.active_parameters:,} work on a token)" if cost.active_parameters != cost.parameters else ""
    yield f"model: {cost.parameters:,} parameters{active}, {cost.embedding_parameters:,} of them the input embedding"
    yield from _memory(config, model)
    yield f"training: {config.num_steps:,} steps of {config.batch_tokens:,} tokens, {tokens:,} in all"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rate = matmul_rate(device, torch.bfloat16 if device == "cuda" else torch.float32)
    needed = hours(cost.flops_per_token * tokens, 1, rate, _REACHED_SHARE)
    yield f"about {needed:,.2f} hours on one {device} at {_REACHED_SHARE:.0%} of its matrix-product rate just measured"


def _memory(config: Any, model: Any) -> Iterator[str]:
    """Bytes of one process; where the number of shards is what is left, for a few numbers."""
    import torch

    from jpfm.model.estimate import memory

    cuda = torch.cuda.is_available()
    for shards in (config.parallel.shard,) if config.parallel.shard is not None else (1, 8, 64):
        one = memory(
            model, rows=min(config.micro_batch_rows, config.rows_per_step), seq_len=config.seq_len, shards=shards,
            tensor=config.parallel.tensor, checkpointing=config.activation_checkpointing,
            bf16=config.precision != "fp32", muon=config.optimizer.kind == "muon",
            compiled=cuda if config.compile is None else config.compile,
        )  # fmt: skip
        split = f", {shards} processes to one copy" if shards > 1 else ""
        yield (
            f"memory of a process{split}: {one.total / 1e9:.2f} GB "
            f"(weights, gradients, optimizer {one.states / 1e9:.2f}, activations {one.activations / 1e9:.2f}, "
            f"logits {one.logits / 1e9:.2f})"
        )


def _vocab(config: Any) -> int | None:
    if not config.tokens_folders:
        return None
    return int(artifacts.open_artifact(Path(config.tokens_folders[0]), "tokens").manifest.stats["vocab_size"])
