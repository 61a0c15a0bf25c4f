"""Lays scores out as a table: which model is a row, which results may share a column, how wide a bar is drawn.

    table = lay_out([read_scores(a) for a in artifacts])
    for band in table.bands: ...                  # at most BAND_COLUMNS columns each, for screen and paper

Two results share a column only when items, prompts, scorer and metric agree; else the task gets a second column that
names what differs. Refused: a footnote under a shared column; readers compare what stands side by side.
A result beats a baseline only when its whole 95 % interval does, and the strongest baseline counts.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from jpfm.report.scores import ModelFacts, Scores, TaskScore, Words

GROUPS = ("language", "knowledge", "reasoning", "business", "safety", "modelling")
BAND_COLUMNS = 7
"""Seven columns and the names fit in 1280 px and on A4 landscape."""
Verdict = Literal["better", "same", "worse", "unknown"]
BAR_WIDTH = 120.0
BAR_MARGIN = 5.0


@dataclass
class Row:
    """One line of the table: a model, or a further run of it where the same column was scored twice."""

    number: int
    model: ModelFacts
    repeat: int
    scores: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Mark:
    """A baseline on a bar: its name and place in drawing units."""

    name: str
    value: float
    x: float


@dataclass(frozen=True)
class Bar:
    """Where a bar, its whisker and its marks go, in units of the drawing (0 to BAR_WIDTH plus margins)."""

    start: float
    end: float
    low: float | None
    high: float | None
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Cell:
    """One result in its place."""

    row: Row
    score: TaskScore
    scores_id: str
    verdict: Verdict
    bar: Bar | None


@dataclass
class Column:
    """Results that may be compared with one another."""

    number: int
    task: TaskScore
    """The first result of the column; what it defines holds for all of them."""
    variant: int
    differs: tuple[Words, ...]
    """Why it stands apart from the task's first column; empty for the first."""
    scale: tuple[float, float] = (0.0, 1.0)
    cells: dict[int, Cell] = field(default_factory=dict)
    """By row number."""


@dataclass(frozen=True)
class Span:
    """Neighbouring columns of one group inside a band."""

    group: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Table:
    """All rows and columns, and the columns cut into bands."""

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    bands: tuple[tuple[Span, ...], ...]

    def count(self, verdict: Verdict) -> int:
        """How many results came out so."""
        return sum(cell.verdict == verdict for column in self.columns for cell in column.cells.values())


def lay_out(scores: Sequence[Scores]) -> Table:
    """Rows in the order given, columns by group and then in the order met."""
    rows: list[Row] = []
    columns: dict[tuple[str, ...], Column] = {}
    results: dict[tuple[int, tuple[str, ...]], tuple[TaskScore, str]] = {}
    for read in scores:
        if read.model is None:
            continue
        keys = [_key(task) for task in read.tasks]
        row = _row_for(read.model, keys, rows, results)
        row.scores.append(read.artifact.id)
        for key, task in zip(keys, read.tasks, strict=True):
            if key not in columns:
                siblings = [column for column in columns.values() if column.task.task == task.task]
                columns[key] = Column(
                    0, task, len(siblings) + 1, _differences(siblings[0].task, task) if siblings else ()
                )
            results[row.number, key] = (task, read.artifact.id)
    ordered = sorted(columns.items(), key=lambda pair: _group_rank(pair[1].task.group))
    for number, (key, column) in enumerate(ordered, start=1):
        column.number = number
        found = {row.number: results[row.number, key] for row in rows if (row.number, key) in results}
        column.scale = scale(task for task, _ in found.values())
        by_number = {row.number: row for row in rows}
        for place, (task, scores_id) in found.items():
            column.cells[place] = Cell(by_number[place], task, scores_id, verdict(task), _bar(task, column.scale))
    final = tuple(column for _, column in ordered)
    return Table(tuple(rows), final, tuple(_bands(final)))


def _key(task: TaskScore) -> tuple[str, ...]:
    return (task.task, task.items_sha256, task.prompt_sha256, task.scorer, task.metric)


def _row_for(
    model: ModelFacts,
    keys: Sequence[tuple[str, ...]],
    rows: list[Row],
    results: dict[tuple[int, tuple[str, ...]], tuple[TaskScore, str]],
) -> Row:
    """The first row of this model that is still free in all these columns; a new one if there is none."""
    same = [row for row in rows if row.model.id == model.id]
    for row in same:
        if not any((row.number, key) in results for key in keys):
            return row
    rows.append(Row(len(rows) + 1, model, len(same) + 1))
    return rows[-1]


def _group_rank(group: str) -> tuple[int, str]:
    return (GROUPS.index(group), "") if group in GROUPS else (len(GROUPS), group)


def _differences(first: TaskScore, other: TaskScore) -> tuple[Words, ...]:
    found = []
    for ja, en, one, two in (
        ("設問", "items", first.items_sha256[:8], other.items_sha256[:8]),
        ("プロンプト", "prompts", first.prompt_sha256[:8], other.prompt_sha256[:8]),
        ("採点方法", "scorer", first.scorer, other.scorer),
        ("指標", "metric", first.metric, other.metric),
    ):
        if one != two:
            found.append(Words(ja=f"{ja}が異なる（{one} → {two}）", en=f"other {en} ({one} → {two})"))
    return tuple(found) or (Words(ja="設問またはプロンプトが異なる", en="other items or prompts"),)


def verdict(task: TaskScore) -> Verdict:
    """Whether the interval lies wholly on the better or the worse side of the strongest baseline, or covers it."""
    if task.low is None or task.high is None or not task.baselines:
        return "unknown"
    strongest = max(task.baselines.values()) if task.higher_is_better else min(task.baselines.values())
    if task.low <= strongest <= task.high:
        return "same"
    return "better" if (task.low > strongest) == task.higher_is_better else "worse"


def scale(tasks: Iterable[TaskScore]) -> tuple[float, float]:
    """The axis of a column: 0 to 1 for shares, else from 0 (or the lowest value) to a round number above all values."""
    values = [0.0]
    for task in tasks:
        values += [number for number in (task.value, task.low, task.high) if number is not None]
        values += task.baselines.values()
    top, bottom = max(values), min(values)
    return (_round_out(-bottom) * -1.0 if bottom < 0 else 0.0, 1.0 if top <= 1 else _round_out(top))


def _round_out(value: float) -> float:
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * unit >= value * (1 - 1e-9))


def _bar(task: TaskScore, axis: tuple[float, float]) -> Bar | None:
    if task.value is None:
        return None
    low, high = axis

    def x(value: float) -> float:
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return round(BAR_MARGIN + share * BAR_WIDTH, 2)

    ends = sorted((x(0.0), x(task.value)))
    marks = tuple(Mark(name, value, x(value)) for name, value in sorted(task.baselines.items()))
    if task.low is None or task.high is None:
        return Bar(ends[0], ends[1], None, None, marks)
    return Bar(ends[0], ends[1], x(task.low), x(task.high), marks)


def _bands(columns: Sequence[Column]) -> list[tuple[Span, ...]]:
    """Columns in their order, cut so that a group stays whole where it fits."""
    groups: list[list[Column]] = []
    for column in columns:
        if not groups or groups[-1][0].task.group != column.task.group:
            groups.append([])
        groups[-1].append(column)
    bands: list[list[Span]] = []
    room = 0
    for group in groups:
        for start in range(0, len(group), BAND_COLUMNS):
            part = tuple(group[start : start + BAND_COLUMNS])
            if len(part) > room:
                bands.append([])
                room = BAND_COLUMNS
            bands[-1].append(Span(part[0].task.group, part))
            room -= len(part)
    return [tuple(band) for band in bands]
