"""Scores of a run's checkpoints, as `jpfm eval --follow` made them: points over steps, with their intervals.

    scored = scores_of(runs, names, [Path("out/model-scores")])
    scored.points[0][0].tasks["era_dates"].value

A folder holds `step-NNNNNNNN/`, a scores artifact each. It belongs to the run that has most of its checkpoints, by
their ids, on disk; of one run alone, retired ones count as its own. Only `scores.json` is read: 100 checkpoints take
8 ms. Refused: `read_scores` with its check of hashes and its sample of items, 210 ms at one task of 40 items.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydantic_core

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError
from jpfm.core.log import log
from jpfm.model.checkpoints import step_of
from jpfm.report.render import METRIC_TITLES, TERMS
from jpfm.report.run import charts as run_charts
from jpfm.report.run import facts as run_facts
from jpfm.report.run.charts import Chart, Series, Span
from jpfm.report.run.read import Row, Run
from jpfm.report.scores import SCORES, ModelFacts, TaskScore, Words


class Point(NamedTuple):
    """One checkpoint's scores."""

    step: int
    tokens: int | None
    checkpoint: str
    """Its id."""
    tasks: dict[str, TaskScore]
    artifact: Artifact


class Scored(NamedTuple):
    """The points of each run, by its place, in order of steps; and what a reader has to know."""

    points: tuple[tuple[Point, ...], ...]
    notices: tuple[Words, ...] = ()
    pending: bool = False
    """Whether scores are still to come: a folder has none, or a finished run's last checkpoint is not scored."""

    @property
    def artifacts(self) -> list[Artifact]:
        """All that was read."""
        return [point.artifact for points in self.points for point in points]


def scores_of(runs: Sequence[Run], names: Sequence[str], folders: Sequence[Path]) -> Scored:
    """Read folders of scores and find the run of each.

    Raises:
        ArtifactError: a folder holds scores of another checkpoint than the run has at that step, or two folders hold
            the same step of one run.
    """
    found: list[dict[int, Point]] = [{} for _ in runs]
    known = [{one.step: one.id for one in run_facts.checkpoints(run)} for run in runs]
    notices: list[Words] = []
    pending = False
    for folder in dict.fromkeys(path.absolute() for path in folders):
        points = _read(folder, notices)
        if not points:
            _notice(notices, f"{folder.name}：採点結果はまだありません。", f"{folder.name}: no scores yet.")
            pending = True
            continue
        alike = [sum(ids.get(point.step) == point.checkpoint for point in points) for ids in known]
        place = alike.index(max(alike)) if any(alike) or len(runs) == 1 else None
        if place is None:
            _notice(
                notices,
                f"{folder.name}：どの学習の採点結果か分からないため、表示していません。",
                f"{folder.name}: scores of checkpoints that none of these runs holds; they are not shown.",
            )
            continue
        for point in points:
            if known[place].get(point.step, point.checkpoint) != point.checkpoint:
                raise ArtifactError(
                    f"{folder} holds scores of {point.checkpoint} for step {point.step:,}; that of {names[place]} is "
                    f"{known[place][point.step]}",
                    hint="name the folder that was made by `jpfm eval --follow` for this run",
                )
            if point.step in found[place]:
                raise ArtifactError(
                    f"step {point.step:,} of {names[place]} is scored in {folder} and in "
                    f"{found[place][point.step].artifact.path.parent}",
                    hint="name one of them; give each set of tasks a page of its own",
                )
            found[place][point.step] = point
    for run, name, own in zip(runs, names, found, strict=True):
        if own and run.artifact is not None and run.artifact.id not in {point.checkpoint for point in own.values()}:
            _notice(
                notices,
                f"{name}：最後のチェックポイントはまだ採点されていません。",
                f"{name}: its last checkpoint is not scored yet.",
            )
            pending = True
    return Scored(tuple(tuple(by[step] for step in sorted(by)) for by in found), tuple(notices), pending)


def _notice(notices: list[Words], ja: str, en: str) -> None:
    notices.append(Words(ja=ja, en=en))
    log.warning("%s", en)


def _read(folder: Path, notices: list[Words]) -> list[Point]:
    points = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        step = step_of(path)
        if step is None or not (path / artifacts.MANIFEST).is_file():
            continue
        artifact = artifacts.open_artifact(path, "scores")
        try:
            body = pydantic_core.from_json((path / SCORES).read_bytes())
            model = ModelFacts.model_validate(body["model"])
            tasks = [TaskScore.model_validate(entry) for entry in body["tasks"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s: %s", path / SCORES, error)
            _notice(
                notices,
                f"{folder.name}/{path.name}：{SCORES} の形式がこの版と異なるため、表示していません。",
                f"{folder.name}/{path.name}: {SCORES} has another schema than this version reads; it is not shown.",
            )
            continue
        points.append(Point(step, model.tokens_seen, model.id, {one.task: one for one in tasks}, artifact))
    return points


def tasks_of(points: Sequence[Point]) -> dict[str, TaskScore]:
    """Every task that has a value, by name, in the order in which the tasks were asked; an entry of its last step."""
    return {name: task for point in points for name, task in point.tasks.items() if task.value is not None}


def charts_of(
    points: Sequence[Sequence[Point]], names: Sequence[Words], span: Span, axis: str
) -> list[tuple[str, list[Chart | None]]]:
    """A chart for each task.

    Args:
        points: of each run.
        names: of the runs; of one run alone it is not shown.
        axis: the field of a point that is the horizontal place: step or tokens.
    """
    made = []
    for number, (name, task) in enumerate(tasks_of([one for own in points for one in own]).items()):
        series = [_line(own, word, name, axis) for own, word in zip(points, names, strict=True)]
        key = f"score_{number}"
        title = Words(ja=f"採点：{task.title.ja}", en=f"Score: {task.title.en}")
        made.append((key, [run_charts.draw(key, title, _unit(task), series, span, from_zero=False)]))
    return made


def _line(points: Sequence[Point], word: Words, name: str, axis: str) -> Series:
    told = [
        (float(place), task)
        for point in points
        if (place := getattr(point, axis)) is not None and (task := point.tasks.get(name)) is not None
    ]
    columns = [
        np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        for values in (
            [task.value for _, task in told], [task.low for _, task in told], [task.high for _, task in told],
        )
    ]  # fmt: skip
    return Series(word, np.array([place for place, _ in told]), columns[0], interval=(columns[1], columns[2]))


def _unit(task: TaskScore) -> Words:
    metric = METRIC_TITLES.get(task.metric, Words(ja=task.metric, en=task.metric))
    interval = TERMS.get(task.interval, Words(ja=task.interval, en=task.interval))
    better = (
        Words(ja="大きいほど良い", en="higher is better")
        if task.higher_is_better
        else Words(ja="小さいほど良い", en="lower is better")
    )
    return Words(ja=f"{metric.ja}、{better.ja}、{interval.ja}", en=f"{metric.en}, {better.en}, {interval.en}")


def table_of(points: Sequence[Point]) -> Row | None:
    """Step x task: the value, and below it the interval; None where nothing is scored."""
    tasks = tasks_of(points)
    if not tasks:
        return None
    rows = [
        {"step": point.step, "id": point.artifact.id, "cells": [_cell(point.tasks.get(name)) for name in tasks]}
        for point in points
    ]
    return {"titles": [task.title for task in tasks.values()], "rows": rows}


def _cell(task: TaskScore | None) -> tuple[str, str]:
    if task is None or task.value is None:
        return "–", ""
    reach = f"{task.low:.4f}–{task.high:.4f}" if task.low is not None and task.high is not None else ""
    return f"{task.value:.4f}", reach


def data_of(points: Sequence[Point]) -> list[Mapping[str, object]]:
    """The same for programs."""
    return [
        {
            "step": point.step, "checkpoint": point.checkpoint, "id": point.artifact.id,
            "tasks": {
                name: {"value": task.value, "low": task.low, "high": task.high, "metric": task.metric}
                for name, task in sorted(point.tasks.items())
            },
        }
        for point in points
    ]  # fmt: skip
