"""Where text stands on a page, and the order to read it in: runs of characters to lines, lines to columns.

A page is a set of runs, each a few characters with a box. Vertical writing is horizontal writing turned by a quarter:
`turned` turns it, and the rest of this file reads lines from left to right and from top to bottom only. y grows
upwards, as in PDF. Lengths are in em: the height of a line of body text.

Text that the page sets in columns is read column by column; a table is not (its cells are short, so its columns are not
full), and its rows become lines with a tab between cells. Refused: the order in the file, which is the order in which a
program happened to draw.
"""

import bisect
import itertools
import re
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from jpfm.data.sources.prose import is_spaced

_KANA = re.compile(r"[ぁ-ゖァ-ヺー・\s]+")
_BINS = 1000  # places on a line where a gutter between columns is looked for
_MAX_COLUMNS_DEPTH = 4
_MAX_DOWN_EM = 2.6
"""A horizontal run this wide inside vertical text is a number set upright (縦中横); a wider one is a header."""


class Run(NamedTuple):
    """Characters that follow each other closely; the box is in points."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    """Usual extent of its characters across the direction of writing, in points."""
    down: bool | None = None
    """Whether the characters go down the page; None for a single one."""

    @property
    def middle(self) -> float:
        return (self.y0 + self.y1) / 2

    @property
    def height(self) -> float:
        return self.y1 - self.y0


class Line(NamedTuple):
    """A line of a column. `cells` is above 1 for the row of a table."""

    text: str
    x0: float
    x1: float
    y: float
    height: float
    cells: int
    left: float
    """Edges of the column."""
    right: float
    pitch: float
    """Usual distance to the next line of the column; 0 when it has only one."""
    block: int
    """Number of the column on its page."""


def body_size(runs: Sequence[Run]) -> float:
    """The height of most characters, in points."""
    sizes = sorted((run.size, len(run.text)) for run in runs)
    total, seen = sum(count for _, count in sizes), 0
    for size, count in sizes:
        seen += count
        if 2 * seen >= total:
            return size
    return 0.0


def is_vertical(runs: Sequence[Run]) -> bool:
    """Whether more characters go down the page than across it."""
    down = sum(len(run.text) for run in runs if run.down)
    across = sum(len(run.text) for run in runs if run.down is False)
    return down > across and down >= 8


def turned(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """A vertical page as a horizontal one, and its runs that were horizontal (headers, page numbers) as they are."""
    em = body_size(runs)
    text, rest = [], []
    for run in runs:
        if run.down is False and run.x1 - run.x0 > _MAX_DOWN_EM * em:
            rest.append(run)
        else:
            text.append(Run(run.text, -run.y1, run.x0, -run.y0, run.x1, run.size))
    return text, rest


def page_lines(runs: Sequence[Run], first_block: int = 0) -> list[Line]:
    """The lines of one page in reading order."""
    runs = [run for run in runs if run.text.strip()]
    em = body_size(runs)
    if not em:
        return []
    blocks = _columns(_segments(_without_readings(runs, em), em), em, _MAX_COLUMNS_DEPTH)
    return [line for number, block in enumerate(blocks, first_block) for line in _lines(block, em, number)]


def _without_readings(runs: list[Run], em: float) -> list[Run]:
    """Drop furigana: small kana just above a line."""
    small = [run for run in runs if run.size < 0.65 * em and _KANA.fullmatch(run.text)]
    if not small:
        return runs
    bases = sorted((run for run in runs if run.size > 0.8 * em), key=lambda run: run.middle)
    heights = [run.middle for run in bases]
    readings = set()
    for run in small:
        near = bases[bisect.bisect_left(heights, run.middle - 1.3 * em) : bisect.bisect_left(heights, run.middle)]
        if any(base.x0 - em < (run.x0 + run.x1) / 2 < base.x1 + em for base in near):
            readings.add(id(run))
    return [run for run in runs if id(run) not in readings]


def _rows(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs on the same height, from top to bottom; each row from left to right."""
    rows: list[list[Run]] = []
    top = bottom = 0.0
    for run in sorted(runs, key=lambda run: -run.middle):
        if rows and _overlap(run, top, bottom) > 0.5:
            rows[-1].append(run)
        else:
            rows.append([run])
            top, bottom = run.y1, run.y0
    return [sorted(row, key=lambda run: run.x0) for row in rows]


def _overlap(run: Run, top: float, bottom: float) -> float:
    """The part of the lower of the two heights that both share."""
    shared = min(run.y1, top) - max(run.y0, bottom)
    return shared / max(min(run.height, top - bottom), 1e-6)


def _segments(runs: Sequence[Run], em: float) -> list[Run]:
    """Runs that stand side by side without a gap, joined."""
    found: list[Run] = []
    for row in _rows(runs):
        current: Run | None = None
        for run in row:
            if current is not None and run.x0 - current.x1 < em:
                space = (
                    " "
                    if run.x0 - current.x1 > 0.2 * em and is_spaced(current.text[-1]) and is_spaced(run.text[0])
                    else ""
                )
                current = Run(
                    current.text + space + run.text, current.x0, min(current.y0, run.y0),
                    max(current.x1, run.x1), max(current.y1, run.y1),
                    current.size if len(current.text) >= len(run.text) else run.size,
                )  # fmt: skip
            else:
                if current is not None:
                    found.append(current)
                current = run
        if current is not None:
            found.append(current)
    return found


def _columns(segments: list[Run], em: float, depth: int) -> list[list[Run]]:
    """The blocks of a page in reading order: what spans all columns, then each column, band by band."""
    gutter = _gutter(segments, em) if depth else None
    if gutter is None:
        return [segments] if segments else []
    blocks: list[list[Run]] = []
    band: list[Run] = []
    spanning: list[Run] = []

    def end_band() -> None:
        for side in ([run for run in band if run.x1 <= gutter], [run for run in band if run.x0 >= gutter]):
            blocks.extend(_columns(side, em, depth - 1))
        band.clear()

    for run in sorted(segments, key=lambda run: -run.middle):
        if run.x0 < gutter < run.x1:
            end_band()
            spanning.append(run)
        else:
            if spanning:
                blocks.append(spanning)
                spanning = []
            band.append(run)
    end_band()
    if spanning:
        blocks.append(spanning)
    return blocks


def _gutter(segments: list[Run], em: float) -> float | None:
    """The x of an empty strip with columns of running text on both sides; None when the text is one column."""
    if len(segments) < 8:
        return None
    left, right = min(run.x0 for run in segments), max(run.x1 for run in segments)
    step = max((right - left) / _BINS, em / 4)
    covered = [0] * (int((right - left) / step) + 2)
    for run in segments:  # counts at the ends, summed up below
        covered[int((run.x0 - left) / step)] += 1
        covered[min(int((run.x1 - left) / step) + 1, len(covered) - 1)] -= 1
    best: tuple[float, float] | None = None
    count, start = 0, None
    for place, change in enumerate(covered):
        count += change
        if 8 * count <= len(segments) and place:
            start = place if start is None else start
        elif start is not None:
            width = (place - start) * step
            middle = left + (start + place) / 2 * step
            if width >= 0.8 * em and _is_gutter(segments, middle, em) and (best is None or width > best[0]):
                best = (width, middle)
            start = None
    return best[1] if best else None


def _is_gutter(segments: list[Run], x: float, em: float) -> bool:
    sides = ([run for run in segments if run.x1 <= x], [run for run in segments if run.x0 >= x])
    if min(map(len, sides)) < 4 or 4 * len(segments) > 5 * sum(map(len, sides)):
        return False
    for side in sides:
        width = max(run.x1 for run in side) - min(run.x0 for run in side)
        if width < 6 * em or median(run.x1 - run.x0 for run in side) < 0.55 * width:
            return False
    first, second = ((min(run.y0 for run in side), max(run.y1 for run in side)) for side in sides)
    return min(first[1], second[1]) > max(first[0], second[0])


def _lines(block: list[Run], em: float, number: int) -> list[Line]:
    rows = _rows(block)
    left = min(run.x0 for run in block)
    body = [row for row in rows if len(row) == 1 and row[0].size < 1.18 * em] or rows  # tables may be wider than text
    ends = sorted(row[-1].x1 for row in body)
    right = ends[max(0, int(len(ends) * 0.95 - 0.5))] if len(ends) > 4 else ends[-1]
    heights = [median(run.middle for run in row) for row in rows]
    steps = [above - below for above, below in itertools.pairwise(heights)]
    pitch = median(steps) if steps else 0.0
    return [
        Line(
            "\t".join(run.text.strip() for run in row), row[0].x0, row[-1].x1, y, body_size(row),
            len(row), left, right, pitch, number,
        )
        for row, y in zip(rows, heights, strict=True)
    ]  # fmt: skip
