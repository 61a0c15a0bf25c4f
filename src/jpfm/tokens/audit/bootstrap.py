"""Resampling of documents or sentences for the intervals of an audit; the same draws for every tokenizer.

drawn = resample(table, draws=1000, key=(seed, 0))        # sums of the columns in each draw
low, high = quantiles(drawn[:, 0] / drawn[:, 1])
"""

import numpy as np
import numpy.typing as npt

MIN_UNITS = 5
"""Fewer documents or sentences give no interval."""
_CELLS = 4_000_000


def resample(table: npt.NDArray[np.float64], draws: int, key: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Sums of the columns over rows drawn with replacement. Shape (draws, columns).

    Args:
        table: a row a unit. Shape (units, columns).
        key: of the random draws: the same key, number of units and number of draws give the same units.
    """
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
    size = len(table)
    chunk = max(1, _CELLS // max(size, 1))
    parts = []
    for start in range(0, draws, chunk):
        picks = generator.integers(0, size, (min(chunk, draws - start), size))
        parts.append(np.stack([table[:, column][picks].sum(axis=1) for column in range(table.shape[1])], axis=1))
    return np.concatenate(parts)


def quantiles(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % percentile interval."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
