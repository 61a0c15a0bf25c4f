"""What `--dry-run` says a stage would do. Nothing is written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact


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


def train(config: Any, vocab_size: int | None = None, on: str | None = None) -> Iterator[str]:
    """Parameters, processes, memory and hours of a training run; see `train_plan`."""
    from jpfm.cli import train_plan

    return train_plan.train(config, vocab_size, on)
