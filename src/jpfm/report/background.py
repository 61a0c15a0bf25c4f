"""What lies behind scores: the checkpoint that was scored, the corpora it was trained on, their sources and terms.

    behind = background(scores_artifact, notices)
    behind.checkpoint, behind.corpora

A model from outside has no checkpoint here, and a moved folder may hide a parent: both are said, neither is an error.
So this walks `lineage.parents`, which names what it cannot find; `lineage.ancestors` stops at the first gap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jpfm.core import lineage
from jpfm.core.artifact import LOGS, Artifact
from jpfm.core.errors import ArtifactError
from jpfm.report.plots import in_step_order
from jpfm.report.scores import Words, notice


@dataclass(frozen=True)
class Background:
    """The known ancestors of one scores artifact."""

    checkpoint: Artifact | None
    corpora: tuple[Artifact, ...]
    tree: str | None
    """The lineage as text; None where it could not be read."""

    @property
    def metrics(self) -> Path | None:
        """The training log of the checkpoint, if it was kept."""
        if self.checkpoint is None:
            return None
        file = self.checkpoint.path / LOGS / "metrics.jsonl"
        return file if file.is_file() else None


@dataclass(frozen=True)
class SourceRow:
    """One source of a corpus: its terms and its counts."""

    name: str
    licence: str | None
    attribution: str
    url: str
    counts: Mapping[str, Any]


@dataclass(frozen=True)
class CountRow:
    """One reason, error or edit: documents or places in total and by source."""

    key: str
    total: int
    by_source: tuple[int, ...]


@dataclass(frozen=True)
class CorpusView:
    """A corpus as the page shows it."""

    id: str
    name: str
    models: tuple[int, ...]
    """Numbers of the models trained on it."""
    sources: tuple[SourceRow, ...]
    total: Mapping[str, Any]
    steps: tuple[str, ...]
    dropped: tuple[CountRow, ...]
    quarantined: tuple[CountRow, ...]
    edits: tuple[CountRow, ...]
    stats: Mapping[str, Any]


def background(scores: Artifact, notices: list[Words]) -> Background:
    """Find what is behind these scores; what cannot be found is said."""
    try:
        found, lost = _walk(scores)
        tree = lineage.why(scores.path)
        checkpoint = next((one for one in found if one.manifest.kind == "checkpoint"), None)
        # Scores name a corpus for its held-out documents, a tokenizer for its own training: neither trained the model.
        trained_on = _walk(checkpoint, through=("checkpoint", "tokens"))[0] if checkpoint is not None else []
    except ArtifactError as error:
        notice(
            notices,
            f"{scores.id}：系譜をたどれません。隣のフォルダーの成果物が壊れています（詳細はログ）。",
            f"{scores.id}: its lineage cannot be read, an artifact beside it is broken; the log says which.",
            error,
        )
        return Background(None, (), None)
    if lost:
        notice(
            notices,
            f"{scores.id}：系譜上の成果物が見つかりません（{'、'.join(lost)}）。",
            f"{scores.id}: ancestors are not beside it nor where they were ({', '.join(lost)}).",
        )
    return Background(checkpoint, tuple(one for one in trained_on if one.manifest.kind == "corpus"), tree)


def _walk(start: Artifact, through: Sequence[str] | None = None) -> tuple[list[Artifact], list[str]]:
    """The ancestors that are here, nearest first, and the ids of those that are not.

    Args:
        through: go on from artifacts of these kinds only; from all when None.
    """
    found: dict[str, Artifact] = {}
    lost: dict[str, None] = {}
    queue = [start]
    while queue:
        current = queue.pop(0)
        if current.id in found:
            continue
        found[current.id] = current
        if through is not None and current.manifest.kind not in through:
            continue
        for parent in lineage.parents(current):
            if isinstance(parent, str):
                lost[parent] = None
            else:
                queue.append(parent)
    return list(found.values()), list(lost)


def corpus_view(corpus: Artifact, models: Sequence[int], notices: list[Words]) -> CorpusView | None:
    """Arrange a corpus's counts; None, and a notice, where its manifest has none."""
    stats = corpus.manifest.stats
    if not isinstance(stats.get("total"), dict) or not isinstance(stats.get("sources"), dict):
        notice(
            notices,
            f"{corpus.id}：文書数の記録がないため、データの節を表示できません。",
            f"{corpus.id}: its manifest holds no document counts; its data is not shown.",
        )
        return None
    config = corpus.manifest.config
    steps = tuple(str(step["step"]) for step in config.get("steps") or [] if isinstance(step, dict) and "step" in step)
    rights = {
        str(source.manifest.config.get("name", source.path.name)): source.manifest.rights
        for source in _walk(corpus, ("corpus",))[0]  # a corpus made from a corpus: its sources are further back
        if source.manifest.kind == "source"
    }
    sources = []
    for name, counts in stats["sources"].items():
        terms = rights.get(name)
        if terms is None:
            sources.append(SourceRow(name, None, "", "", counts))
        else:
            sources.append(SourceRow(name, terms.licence, terms.attribution, terms.url, counts))
    rows = {
        group: tuple(
            CountRow(key, stats["total"][group][key], tuple(row.counts.get(group, {}).get(key, 0) for row in sources))
            for key in in_step_order(stats["total"].get(group, {}), steps)
        )
        for group in ("dropped", "quarantined", "edits")
    }
    return CorpusView(
        id=corpus.id,
        name=str(config.get("name", corpus.id)),
        models=tuple(models),
        sources=tuple(sources),
        total=stats["total"],
        steps=steps,
        dropped=rows["dropped"],
        quarantined=rows["quarantined"],
        edits=rows["edits"],
        stats=stats,
    )
