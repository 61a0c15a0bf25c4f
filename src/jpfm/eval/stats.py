"""Error bars: Wilson for proportions, bootstrap over documents for ratios."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_Z95 = 1.959963984540054


class Interval(NamedTuple):
    """A point estimate with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(successes: int, count: int) -> Interval:
    """Proportion with Wilson's score interval; sensible at 0 and at 1.

    >>> [round(x, 4) for x in wilson(0, 100)]
    [0.0, 0.0, 0.037]

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    if count == 0:
        raise ValueError("no items: a proportion of nothing has no value")
    share = successes / count
    z2 = _Z95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z95 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == count else min(1.0, centre + half)
    return Interval(share, low, high)


def bootstrap_ratio(
    numerators: npt.NDArray[np.float64], denominators: npt.NDArray[np.float64], *, seed: int = 0, draws: int = 2000
) -> Interval:
    """Sum of numerators over sum of denominators, with the percentile interval of a bootstrap over the units.

    Args:
        numerators, denominators: one value a unit (a document). Shape (n,).
    """
    if len(numerators) == 0:
        raise ValueError("no units to resample")
    generator = np.random.Generator(np.random.Philox(seed))
    picks = generator.integers(0, len(numerators), (draws, len(numerators)))
    ratios = numerators[picks].sum(axis=1) / denominators[picks].sum(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Interval(float(numerators.sum() / denominators.sum()), float(low), float(high))
