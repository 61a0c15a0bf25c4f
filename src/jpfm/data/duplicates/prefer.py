"""Which of several copies stays: a rule that a recipe names, as one number a document.

    prefer: {rule: newest, sources: [laws, minutes]}

The number is computed where the document is read, so that a decision over all shards only compares numbers. The
smallest stays; of equal ones the first in the recipe's order of sources, then files, then rows.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from jpfm.core.config import Settings

_SOURCE_SHIFT = np.uint64(48)
_LAST = (1 << 48) - 1


class Prefer(Settings):
    """Which of several copies stays."""

    rule: Literal["first", "newest", "longest"] = "first"
    """first: the order of the recipe; newest: the latest day in `date` (a year alone is older than its days, an
    unknown date oldest); longest: most characters."""
    sources: tuple[str, ...] = ()
    """Sources whose documents stay before those of all others, in this order. The rule decides within a source."""

    def priorities(self, batch: pa.RecordBatch) -> npt.NDArray[np.uint64]:
        """The number of each document; the smallest stays. Shape (n,)."""
        place = np.zeros(batch.num_rows, dtype=np.uint64)
        if self.sources:
            found = pc.index_in(batch.column("source"), value_set=pa.array(self.sources, pa.string()))
            place = pc.fill_null(found, len(self.sources)).to_numpy(zero_copy_only=False).astype(np.uint64)
        return place << _SOURCE_SHIFT | np.uint64(_LAST) - self._merit(batch)

    def _merit(self, batch: pa.RecordBatch) -> npt.NDArray[np.uint64]:
        """Larger is better; below 2^48."""
        if self.rule == "longest":
            return pc.utf8_length(batch.column("text")).to_numpy(zero_copy_only=False).astype(np.uint64)
        if self.rule == "newest":
            dates = pl.Series(pl.from_arrow(batch.column("date")))
            digits = dates.str.extract(r"^([0-9]{4}(?:[-/]?[0-9]{2}(?:[-/]?[0-9]{2})?)?)").str.replace_all("[-/]", "")
            padded = (digits + "0000").str.slice(0, 8).cast(pl.UInt64)
            return padded.fill_null(0).to_numpy()
        return np.zeros(batch.num_rows, dtype=np.uint64)


def best_first(priorities: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Rows by priority, then in their own order. Shape (n,)."""
    return np.argsort(priorities, kind="stable")
