"""What the presets share: a note of where they differ from their authors' code, and strict comparisons."""

import math
from typing import NamedTuple


class Difference(NamedTuple):
    """A place where our verdict is another on purpose."""

    what: str
    """The rule, and why."""
    example: str
    """A text that shows it."""
    theirs: str
    ours: str


def below(threshold: float) -> float:
    """The largest number below a threshold: as the maximum of a limit it drops the threshold itself (>=).

    >>> 0.8 > below(0.8), 0.7999 > below(0.8)
    (True, False)
    """
    return math.nextafter(threshold, -math.inf)


def above(threshold: float) -> float:
    """The smallest number above a threshold: as the minimum of a limit it drops the threshold itself (<=)."""
    return math.nextafter(threshold, math.inf)
