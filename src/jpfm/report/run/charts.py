"""Where the lines of a run's charts go: geometry that the template stretches to any width.

    chart = draw("loss", title, "", [Series(words, steps, loss)], span, log=True, band=True)

Lines are SVG in a box of 1000 by 300 that the browser stretches (strokes keep their width); ticks and figures are HTML
placed in per cent, so that text has its size on a telephone too. Refused: PNG by matplotlib (no Japanese, and each
picture twice for light and dark: 80 KB each against 12), and a chart library (500 KB of script in every page).
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jpfm.report.run.series import Buckets, Floats, brief, buckets, log_ticks, smoothed, ticks
from jpfm.report.scores import Words

WIDTH, HEIGHT = 1000, 300
BUCKETS = 400
CELLS = 100
"""Places that tell their figures when one points at them."""


class Series(NamedTuple):
    """One line: its name, and a value (NaN for none) at each place."""

    name: Words
    x: Floats
    y: Floats
    left_out: npt.NDArray[np.bool_] | None = None
    """Where values count for the band but not for the line: updates that were skipped."""
    interval: tuple[Floats, Floats] | None = None
    """Lowest and highest that each value may be (NaN: not told); each value is then a dot with a bar."""


class Span(NamedTuple):
    """The horizontal axis. `tokens` (x, tokens) writes tokens below steps."""

    start: float
    end: float
    unit: Words
    tokens: tuple[Floats, Floats] | None = None


class Tick(NamedTuple):
    """A place on an axis in per cent, what is written there, and what is written below that."""

    at: float
    label: str
    below: str = ""


class Path(NamedTuple):
    """A line or an area: number of its series, kind (line, thin, band, area), and SVG path."""

    series: int
    kind: str
    d: str


class Cell(NamedTuple):
    """What a place of the chart says: where it is, and the value of each series that has one."""

    at: str
    values: tuple[tuple[int, str], ...]


class Chart(NamedTuple):
    """All that the template draws."""

    key: str
    title: Words
    unit: Words
    names: tuple[Words, ...]
    paths: tuple[Path, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    cells: tuple[Cell | None, ...]
    x_unit: Words
    stacked: bool
    clipped: str
    """Values above this lie outside the frame; empty when none does."""


class Mark(NamedTuple):
    """Places of one kind of event as one path, and labels (per cent, text) that do not touch."""

    kind: str
    d: str
    number: int
    labels: tuple[tuple[float, str], ...]


def draw(
    key: str, title: Words, unit: Words, series: Sequence[Series], span: Span, *, log: bool = False, band: bool = False,
    stacked: bool = False, from_zero: bool = True, clip: bool = False,
) -> Chart | None:  # fmt: skip
    """Lay out a chart; None where no series holds a value that can be drawn.

    Args:
        log: a logarithmic vertical axis; values that are not above 0 are left out.
        band: the lowest and highest of each bucket behind a running mean.
        stacked: each series on top of those before.
        from_zero: the vertical axis begins at 0.
        clip: the highest hundredth of the values may lie outside.
    """
    if log:
        series = [one._replace(y=np.where(one.y > 0, one.y, np.nan)) for one in series]
    if stacked:
        series = _stacked(series)
    found = [buckets(one.x, one.y, span.start, span.end, BUCKETS) for one in series]
    shown = [number for number, one in enumerate(found) if len(one.x)]
    if not shown:
        return None
    reach = [bounds for one in series if one.interval is not None for bounds in one.interval]
    low, high, clipped = _limits(
        [found[number] for number in shown], reach, log=log, band=band, zero=from_zero, clip=clip
    )

    def x(values: Floats) -> Floats:
        return (values - span.start) / max(span.end - span.start, 1e-12) * WIDTH

    def y(values: Floats) -> Floats:
        scale = np.log10 if log else np.asarray
        return HEIGHT * (1 - (scale(values) - scale(low)) / (scale(high) - scale(low)))

    paths: list[Path] = []
    floor = np.array([])
    for number in shown:
        one = found[number]
        if stacked:
            top = y(one.mean)
            bottom = floor if len(floor) == len(top) else np.full(len(top), float(HEIGHT))
            paths.append(Path(number, "area", _area(x(one.x), top, bottom)))
            floor = top
            continue
        drawn = _without(series[number], span) or one
        mean = smoothed(drawn) if band else drawn.mean
        if band and one.num_values.max() > 1:
            paths.append(Path(number, "band", _area(x(one.x), y(one.high), y(one.low))))
        elif band and len(one.x) >= 20:
            paths.append(Path(number, "thin", _line(x(one.x), y(one.mean))))
        if (bounds := series[number].interval) is not None:
            paths.append(Path(number, "thin", _line(x(drawn.x), y(mean))))
            paths += _dots(number, x(series[number].x), y(series[number].y), y(bounds[0]), y(bounds[1]))
        else:
            paths.append(Path(number, "line", _line(x(drawn.x), y(mean))))
    levels = log_ticks(low, high) if log else ticks(low, high, 5)
    return Chart(
        key=key,
        title=title,
        unit=unit,
        names=tuple(one.name for one in series),
        paths=tuple(paths),
        x_ticks=_x_ticks(span),
        y_ticks=tuple(Tick(_per_cent(float(y(np.array(level))) / HEIGHT), brief(level)) for level in levels),
        cells=_cells(series, span, log=log, stacked=stacked),
        x_unit=span.unit,
        stacked=stacked,
        clipped=clipped,
    )


def _dots(number: int, x: Floats, y: Floats, low: Floats, high: Floats) -> list[Path]:
    """A dot each, and a bar from its lowest to its highest where they are told."""
    there, told = np.isfinite(y), np.isfinite(y) & np.isfinite(low) & np.isfinite(high)
    dots = "".join(f"M{a:.0f} {b:.1f}h0" for a, b in zip(x[there], y[there], strict=True))
    bars = "".join(f"M{a:.0f} {b:.1f}V{c:.1f}" for a, b, c in zip(x[told], low[told], high[told], strict=True))
    return [Path(number, "bars", bars), Path(number, "dots", dots)] if bars else [Path(number, "dots", dots)]


def _without(one: Series, span: Span) -> Buckets | None:
    """The buckets of what the line is drawn of; None where that is everything, or nothing."""
    if one.left_out is None or not one.left_out.any():
        return None
    found = buckets(one.x, np.where(one.left_out, np.nan, one.y), span.start, span.end, BUCKETS)
    return found if len(found.x) else None


def _stacked(series: Sequence[Series]) -> list[Series]:
    """Running sums; a place counts where any series has a value."""
    missing = np.all([np.isnan(one.y) for one in series], axis=0)
    total = np.zeros(len(missing))
    sums = []
    for one in series:
        total = total + np.nan_to_num(one.y)
        sums.append(one._replace(y=np.where(missing, np.nan, total)))
    return sums


def _limits(
    found: Sequence[Buckets], reach: Sequence[Floats], *, log: bool, band: bool, zero: bool, clip: bool
) -> tuple[float, float, str]:  # fmt: skip
    more = [bounds[np.isfinite(bounds)] for bounds in reach]
    lows = np.concatenate([*(one.low if band else one.mean for one in found), *more])
    highs = np.concatenate([*(one.high if band else one.mean for one in found), *more])
    low, top = float(lows.min()), float(highs.max())
    high, clipped = top, ""
    if clip and len(highs) >= 50:
        high = float(np.quantile(highs, 0.98)) * 1.02
        clipped = brief(high) if high < top else ""
        high = min(high, top)
    if log:
        return low / 1.04, max(high * 1.04, low * 1.5), clipped
    if zero:
        return min(0.0, low), (high or 1.0) * 1.06, clipped
    room = max((high - low) * 0.06, abs(high) * 1e-3, 1e-12)
    return low - room, high + room, clipped


def _line(x: Floats, y: Floats) -> str:
    if len(x) == 1:  # a line of no length with round ends is a dot
        return f"M{x[0]:.0f} {y[0]:.1f}h0"
    return "M" + "L".join(f"{a:.0f} {b:.1f}" for a, b in zip(x, y, strict=True))


def _area(x: Floats, top: Floats, bottom: Floats) -> str:
    if len(x) == 1:
        x, top, bottom = np.array([0, WIDTH]), np.repeat(top, 2), np.repeat(bottom, 2)
    return _line(np.concatenate([x, x[::-1]]), np.concatenate([top, bottom[::-1]])) + "Z"


def _x_ticks(span: Span) -> tuple[Tick, ...]:
    places = ticks(span.start, span.end, 6)
    width = max(span.end - span.start, 1e-12)
    below = [""] * len(places)
    if span.tokens is not None and len(span.tokens[0]):
        below = [
            brief(value, 3) if place else "" for place, value in zip(places, _tokens_at(span, places), strict=True)
        ]
    return tuple(
        Tick(_per_cent((place - span.start) / width), brief(place), text)
        for place, text in zip(places, below, strict=True)
    )


def _tokens_at(span: Span, places: Sequence[float]) -> list[float]:
    assert span.tokens is not None  # the caller has looked
    x, tokens = span.tokens
    return [float(value) for value in np.interp(places, np.append(0.0, x), np.append(0.0, tokens))]


def _cells(series: Sequence[Series], span: Span, *, log: bool, stacked: bool) -> tuple[Cell | None, ...]:
    most = max(int(np.isfinite(one.y).sum()) for one in series)
    number = max(1, min(CELLS, most))
    values: list[list[tuple[int, str]]] = [[] for _ in range(number)]
    at: list[float | None] = [None] * number
    below: dict[int, float] = {}
    for position, one in enumerate(series):
        found = buckets(one.x, one.y, span.start, span.end, number)
        lows, highs = found.low, found.high
        if one.interval is not None:
            low_of, high_of = (np.where(np.isfinite(bounds), bounds, one.y) for bounds in one.interval)
            lows = buckets(one.x, low_of, span.start, span.end, number).low
            highs = buckets(one.x, high_of, span.start, span.end, number).high
        for place, middle, mean, low, high in zip(found.place, found.x, found.mean, lows, highs, strict=True):
            shown = mean - below.get(int(place), 0.0) if stacked else mean
            below[int(place)] = mean
            reach = (
                f" ({brief(low)}–{brief(high)})"
                if not stacked and (len(series) == 1 or one.interval) and brief(low) != brief(high)
                else ""
            )
            values[place].append((position, brief(shown) + reach))
            at[place] = middle
    return tuple(
        None if middle is None else Cell(f"{middle:,.0f}" if span.tokens is not None else brief(middle), tuple(told))
        for middle, told in zip(at, values, strict=True)
    )


def mark(kind: str, places: Mapping[float, str], span: Span, *, apart: float = 5.0) -> Mark | None:
    """Vertical lines at these places; of labels that would touch, the first is written. None where there is none.

    Args:
        places: x -> what is written above, or an empty text.
    """
    width = max(span.end - span.start, 1e-12)
    inside = {x: text for x, text in sorted(places.items()) if span.start <= x <= span.end}
    if not inside:
        return None
    marks = sorted({round((x - span.start) / width * WIDTH) for x in inside})
    labels: list[tuple[float, str]] = []
    for x, text in inside.items():
        at = _per_cent((x - span.start) / width)
        if text and (not labels or at - labels[-1][0] >= apart):
            labels.append((at, text))
    return Mark(kind, "".join(f"M{at} 0V{HEIGHT}" for at in marks), len(inside), tuple(labels))


def _per_cent(share: float) -> float:
    return 0.0 if math.isclose(share, 0.0, abs_tol=1e-9) else round(share * 100, 2)
