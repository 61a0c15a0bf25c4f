"""Where the marks of the audit's charts go: plain geometry that the template draws as SVG in the page's own colours.

    intervals(figures, names)          # a dot and a whisker for each tokenizer on each domain
    lines(series, log=True)            # rank and frequency; share of pieces by length

SVG with the page's fonts shows Japanese names of domains and follows light and dark. Refused: PNG by matplotlib; its
font has no Japanese, and the page would carry each picture twice.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

WIDTH = 760
_LEFT, _RIGHT = 190, 60
_ROW, _GAP, _TOP, _BOTTOM = 18, 14, 8, 34
_PLOT_LEFT, _PLOT_HEIGHT = 64, 300
Row = dict[str, Any]


class Tick(NamedTuple):
    """A place on an axis and what is written there."""

    at: float
    label: str


class Mark(NamedTuple):
    """A value with its whisker."""

    series: int
    y: float
    x: float
    low: float | None
    high: float | None
    label: str
    title: str


class Group(NamedTuple):
    """The marks of one domain."""

    name: str
    y: float
    marks: tuple[Mark, ...]


class Intervals(NamedTuple):
    """A chart of dots and whiskers."""

    width: int
    height: float
    left: float
    groups: tuple[Group, ...]
    ticks: tuple[Tick, ...]


class Line(NamedTuple):
    """One series as the points of a polyline."""

    series: int
    name: str
    points: str
    dots: tuple[tuple[float, float], ...]


class Lines(NamedTuple):
    """A chart of lines."""

    width: int
    height: float
    left: float
    bottom: float
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def intervals(rows: Sequence[Row], names: Sequence[str]) -> Intervals:
    """Characters per token by domain, a row for each tokenizer. Dots have no length: the axis need not begin at 0."""
    values = [value for row in rows for value in (row["chars_per_token"], row["low"], row["high"]) if value is not None]
    ticks = _ticks(min(values), max(values))
    low, high = ticks[0], ticks[-1]

    def x(value: float) -> float:
        return round(_LEFT + (value - low) / (high - low) * (WIDTH - _LEFT - _RIGHT), 1)

    groups = []
    y = float(_TOP)
    for domain in dict.fromkeys(row["domain"] for row in rows):
        marks = []
        start = y
        for row in (row for row in rows if row["domain"] == domain):
            span = f" [{row['low']:.3f}, {row['high']:.3f}]" if row["low"] is not None else ""
            marks.append(
                Mark(
                    names.index(row["tokenizer"]), y + _ROW / 2, x(row["chars_per_token"]),
                    x(row["low"]) if row["low"] is not None else None,
                    x(row["high"]) if row["high"] is not None else None,
                    f"{row['chars_per_token']:.2f}", f"{row['tokenizer']}: {row['chars_per_token']:.3f}{span}",
                )
            )  # fmt: skip
            y += _ROW
        groups.append(Group(domain, start + (y - start) / 2, tuple(marks)))
        y += _GAP
    return Intervals(WIDTH, y + _BOTTOM, _LEFT, tuple(groups), tuple(Tick(x(tick), f"{tick:g}") for tick in ticks))


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from below `low` to above `high`, about six.

    >>> _ticks(1.37, 2.96)
    [1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0]
    """
    span = max(high - low, 0.05)
    unit = 10 ** math.floor(math.log10(span / 5))
    step = next(size * unit for size in (1, 2, 2.5, 5, 10) if span / (size * unit) <= 7)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 6) for number in range(first, max(last, first + 1) + 1)]


def ranks(series: Sequence[Sequence[tuple[int, float]]], names: Sequence[str]) -> Lines:
    """Rank and share of tokens, both logarithmic: a straight line is Zipf's law."""
    points = [point for one in series for point in one]
    if not points:
        return Lines(WIDTH, _PLOT_HEIGHT, _PLOT_LEFT, _PLOT_HEIGHT - _BOTTOM, (), (), ())
    right = math.ceil(math.log10(max(rank for rank, _ in points) or 1)) or 1
    floor = math.floor(math.log10(min(share for _, share in points)))

    def x(rank: float) -> float:
        return _across(math.log10(rank) / right)

    def y(share: float) -> float:
        return _up((math.log10(share) - floor) / -floor)

    return _lines(
        [[(x(rank), y(share)) for rank, share in one] for one in series], names,
        [Tick(x(10**power), f"{10**power:,}") for power in range(right + 1)],
        [Tick(y(10**power), f"{10.0 ** (power + 2):.{max(0, -power - 2)}f}%") for power in range(floor, 1)], dots=False,
    )  # fmt: skip


def lengths(series: Sequence[Sequence[float]], names: Sequence[str]) -> Lines:
    """Share of the pieces by length in characters."""
    longest = max((len(one) for one in series), default=1)
    ticks = _ticks(0.0, max((value for one in series for value in one), default=1.0) or 1.0)
    top = ticks[-1]

    def x(length: int) -> float:
        return _across((length - 1) / max(longest - 1, 1))

    return _lines(
        [[(x(place), _up(value / top)) for place, value in enumerate(one, start=1)] for one in series], names,
        [Tick(x(n), f"{n}" if n < longest else f"{n}+") for n in range(1, longest + 1)],
        [Tick(_up(tick / top), f"{tick:.0%}") for tick in ticks], dots=True,
    )  # fmt: skip


def _across(share: float) -> float:
    return round(_PLOT_LEFT + share * (WIDTH - _PLOT_LEFT - 24), 1)


def _up(share: float) -> float:
    return round(_TOP + (1 - share) * (_PLOT_HEIGHT - _TOP - _BOTTOM), 1)


def _lines(
    series: Sequence[Sequence[tuple[float, float]]], names: Sequence[str], x_ticks: list[Tick], y_ticks: list[Tick], *,
    dots: bool,
) -> Lines:  # fmt: skip
    drawn = [
        Line(place, name, " ".join(f"{x},{y}" for x, y in points), tuple(points) if dots else ())
        for place, (name, points) in enumerate(zip(names, series, strict=True))
    ]
    return Lines(WIDTH, _PLOT_HEIGHT, _PLOT_LEFT, _PLOT_HEIGHT - _BOTTOM, tuple(drawn), tuple(x_ticks), tuple(y_ticks))
