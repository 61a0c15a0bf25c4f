"""Gathers what a leaderboard shows: the table, the models, the corpora behind them, and what is missing.

    page = gather([read_scores(a) for a in artifacts])

Everything a page needs is in one `Page`, so the template decides nothing and `data.json` is the same figures again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jpfm.core.artifact import Artifact
from jpfm.report.background import Background, CorpusView, background, corpus_view
from jpfm.report.columns import Column, Table, lay_out
from jpfm.report.scores import Item, ModelFacts, Scores, Words, notice


@dataclass(frozen=True)
class ModelView:
    """One model as the page shows it. What nobody tells is None."""

    number: int
    facts: ModelFacts
    scores: tuple[str, ...]
    checkpoint: Artifact | None
    metrics: Path | None
    parameters: int | None
    tokens: int | None
    steps: int | None
    final_loss: float | None

    @property
    def label(self) -> str:
        """What the loss picture calls it: its font has no Japanese."""
        return f"({self.number}) {self.facts.name}" if self.facts.name.isascii() else f"({self.number})"


@dataclass(frozen=True)
class Page:
    """All that the template shows."""

    table: Table
    models: tuple[ModelView, ...]
    tasks: tuple[tuple[Column, ...], ...]
    """The columns of each task."""
    samples: Mapping[tuple[str, str], tuple[Item, ...]]
    """(scores id, task) -> sampled items."""
    corpora: tuple[CorpusView, ...]
    trees: tuple[tuple[str, str], ...]
    """(scores id, lineage as text)"""
    notices: tuple[Words, ...]


def gather(read: Sequence[Scores]) -> Page:
    """Arrange all that was read; what is missing becomes a notice."""
    notices = [words for scores in read for words in scores.notices]
    behind = {scores.artifact.id: background(scores.artifact, notices) for scores in read}
    models = _models(read, behind, notices)
    table = lay_out(read)
    tasks: dict[str, list[Column]] = {}
    for column in table.columns:
        tasks.setdefault(column.task.task, []).append(column)
    return Page(
        table=table,
        models=models,
        tasks=tuple(tuple(columns) for columns in tasks.values()),
        samples={(scores.artifact.id, task): items for scores in read for task, items in scores.samples.items()},
        corpora=_corpora(models, behind, notices),
        trees=tuple((identity, found.tree) for identity, found in behind.items() if found.tree is not None),
        notices=tuple(notices),
    )


def _models(read: Sequence[Scores], behind: Mapping[str, Background], notices: list[Words]) -> tuple[ModelView, ...]:
    by_model: dict[str, list[Scores]] = {}
    for scores in read:
        if scores.model is not None:
            by_model.setdefault(scores.model.id, []).append(scores)
    views = []
    for number, group in enumerate(by_model.values(), start=1):
        facts = group[0].model
        assert facts is not None
        found = [behind[scores.artifact.id] for scores in group]
        checkpoint = next((one.checkpoint for one in found if one.checkpoint is not None), None)
        stats = checkpoint.manifest.stats if checkpoint is not None else {}
        for ours, theirs, ja, en in (
            (facts.parameters, stats.get("parameters"), "パラメーター数", "parameters"),
            (facts.tokens_seen, stats.get("tokens"), "学習トークン数", "tokens seen"),
            (facts.step, stats.get("steps"), "ステップ数", "steps"),
        ):
            if ours is not None and theirs is not None and ours != theirs:
                notice(
                    notices,
                    f"{facts.name}：{ja}が評価結果（{ours:,}）とチェックポイント（{theirs:,}）で一致しません。",
                    f"{facts.name}: {en} differ between the scores ({ours:,}) and the checkpoint ({theirs:,}).",
                )
        views.append(
            ModelView(
                number=number,
                facts=facts,
                scores=tuple(scores.artifact.id for scores in group),
                checkpoint=checkpoint,
                metrics=next((one.metrics for one in found if one.metrics is not None), None),
                parameters=_first(facts.parameters, stats.get("parameters")),
                tokens=_first(facts.tokens_seen, stats.get("tokens")),
                steps=_first(facts.step, stats.get("steps")),
                final_loss=facts.final_loss if facts.final_loss is not None else _number(stats.get("final_loss")),
            )
        )
    return tuple(views)


def _first(told: int | None, otherwise: Any) -> int | None:
    if told is not None:
        return told
    return otherwise if isinstance(otherwise, int) else None


def _number(told: Any) -> float | None:
    return float(told) if isinstance(told, int | float) and math.isfinite(told) else None


def _corpora(
    models: Sequence[ModelView], behind: Mapping[str, Background], notices: list[Words]
) -> tuple[CorpusView, ...]:
    corpora = {corpus.id: corpus for found in behind.values() for corpus in found.corpora}
    views = []
    for identity, corpus in corpora.items():
        users = [
            model.number
            for model in models
            if any(identity in [c.id for c in behind[scores].corpora] for scores in model.scores)
        ]
        views.append(corpus_view(corpus, users, notices))
    return tuple(view for view in views if view is not None)


def data(page: Page) -> dict[str, Any]:
    """Every figure of the page, for programs."""
    return {
        "models": [
            {
                "number": model.number,
                **model.facts.model_dump(),
                "scores": model.scores,
                "checkpoint": model.checkpoint.id if model.checkpoint is not None else None,
                "parameters": model.parameters,
                "tokens_seen": model.tokens,
                "step": model.steps,
                "final_loss": model.final_loss,
            }
            for model in page.models
        ],
        "results": [
            {
                "column": column.number,
                "variant": column.variant,
                "differs": [words.en for words in column.differs],
                "model": cell.row.model.id,
                "scores": cell.scores_id,
                "against_baseline": cell.verdict,
                **cell.score.model_dump(),
            }
            for column in page.table.columns
            for cell in column.cells.values()
        ],
        "samples": [
            {"scores": scores, "task": task, "items": [[item.item_id.text, item.outcome] for item in items]}
            for (scores, task), items in page.samples.items()
        ],
        "corpora": [
            {
                "id": corpus.id,
                "name": corpus.name,
                "models": corpus.models,
                "total": corpus.total,
                "sources": [
                    {"name": s.name, "licence": s.licence, "attribution": s.attribution, "url": s.url, **s.counts}
                    for s in corpus.sources
                ],
            }
            for corpus in page.corpora
        ],
        "notices": [words.model_dump() for words in page.notices],
    }
