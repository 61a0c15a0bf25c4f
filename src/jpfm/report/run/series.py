"""Long series made short enough to draw: buckets, a running mean, and where the ticks of an axis go.

    found = buckets(steps, loss, 0, steps[-1], 500)       # mean, lowest and highest of each five-hundredth
    smoothed(found)

A picture 1,000 points wide cannot show a million values, but the lowest and highest of each bucket keep every spike.
Refused: every n-th value (a spike of one step is lost with probability 1 - 1/n).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Buckets:
    """What lies in each bucket that holds a value: arrays of one length, in order of x."""

    x: Floats
    """Mean place of the values."""
    mean: Floats
    low: Floats
    high: Floats
    num_values: Floats
    place: npt.NDArray[np.intp]
    """Number of the bucket."""


def buckets(x: Floats, y: Floats, start: float, end: float, number: int) -> Buckets:
    """Cut start..end into equal buckets; what is no finite number is left out.

    Args:
        x: ascending, within start..end.
        y: a value each, NaN for none.
    """
    there = np.isfinite(y)
    x, y = x[there], y[there]
    if not len(x):
        none = np.zeros(0)
        return Buckets(none, none, none, none, none, np.zeros(0, np.intp))
    # a bucket holds its right end: step n of n is in the last one, and as many buckets as steps hold one each
    place = np.clip(np.ceil((x - start) / max(end - start, 1e-12) * number - 1e-9) - 1, 0, number - 1).astype(np.intp)
    first = np.flatnonzero(np.diff(place, prepend=-1))
    count = np.diff(np.append(first, len(x))).astype(np.float64)
    return Buckets(
        np.add.reduceat(x, first) / count,
        np.add.reduceat(y, first) / count,
        np.minimum.reduceat(y, first),
        np.maximum.reduceat(y, first),
        count,
        place[first],
    )


def smoothed(found: Buckets) -> Floats:
    """Centred running mean over a fortieth of the buckets, five at least; the values themselves where they are few.

    Taken twice over half the length: weights fall off like a triangle, so that one high value is no plateau.
    """
    half = max(1, len(found.mean) // 160) if len(found.mean) >= 20 else 0
    sums, weights = found.mean * found.num_values, found.num_values
    for _ in range(2):
        sums, weights = _running_mean(sums, half), _running_mean(weights, half)
    return np.asarray(sums / weights, dtype=np.float64)


def _running_mean(values: Floats, half: int) -> Floats:
    """Mean of each value and up to `half` on both sides, fewer at the ends: symmetric, so without a lag."""
    places = np.arange(len(values))
    reach = np.minimum(half, np.minimum(places, places[::-1]))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray((sums[places + reach + 1] - sums[places - reach]) / (2 * reach + 1), dtype=np.float64)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers within low..high, at most `most`.

    >>> ticks(0, 10_500)
    [0.0, 2000.0, 4000.0, 6000.0, 8000.0, 10000.0]
    """
    span = high - low
    if not span > 0:
        return [low]
    unit = 10.0 ** math.floor(math.log10(span / most))
    step = next(size * unit for size in (1, 2, 2.5, 5, 10, 20) if span / (size * unit) <= most - 0.5)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers within low..high for a logarithmic axis: powers of ten where there are enough, else between them.

    >>> log_ticks(1.9, 11.2), log_ticks(1e-3, 250)
    ([2.0, 3.0, 4.0, 5.0, 7.0, 10.0], [0.001, 0.01, 0.1, 1.0, 10.0, 100.0])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 1.5, 2, 3, 4, 5, 6, 7, 8), (1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5), (1, 3), (1,)):
        found = [float(f"{digit * 10.0**power:.6g}") for power in powers for digit in digits]
        found = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(found) <= most:
            break
    if len(found) > most:
        found = found[:: -(-len(found) // most)]
    return found if len(found) >= 3 else ticks(low, high, most)


def brief(value: float, digits: int = 4) -> str:
    """A number in few signs.

    >>> [brief(value) for value in (0, 1500, 838_860_800, 2.1e12, 0.002, 0.00031, 51234.5)]
    ['0', '1,500', '838.9M', '2.1T', '0.002', '3.1e-4', '51.23k']
    """
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size * (10 if unit == "k" else 1):
            return f"{value / size:.{digits}g}{unit}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if 0 < abs(value) < 1e-3:
        number, _, power = f"{value:.{digits - 1}e}".partition("e")
        return f"{number.rstrip('0').rstrip('.')}e{int(power)}"
    return f"{value:.{digits}g}"
