"""How a source's stream is laid into rows of seq_len + 1 tokens: cut as it comes, or best fit.

    layout = Concat(span, seq_len)               # row r is positions r * seq_len ... (r + 1) * seq_len
    layout = BestFitRows.make(store, source, seq_len)
    layout.pieces(rows)                          # which positions the rows show
    layout.showing(first, last)                  # which rows show a range: the way back

A row's first token is only an input: the last one of the row before (concat), or the token before its first document
(best fit), which is the EOS that a document begins with. Concat loses less than a row at a source's end, and shows each
token as a target once an epoch. Best fit fills up with EOS; `real` says how many tokens of a row count.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from jpfm.tokens.best_fit import BestFit
from jpfm.tokens.store import Span, TokenStore

Integers = npt.NDArray[np.int64]


class Pieces(NamedTuple):
    """Ranges of positions, each inside a row (or a range that was asked); flat arrays of one length."""

    which: Integers
    """Its place in the argument."""
    first: Integers
    last: Integers
    """Exclusive."""


class Layout(Protocol):
    """The rows of one source."""

    @property
    def num_rows(self) -> int:
        """Rows of one epoch."""

    @property
    def tokens_left_out(self) -> int:
        """Tokens that no row shows as a target."""

    @property
    def padding(self) -> int:
        """Places of an epoch's rows that hold no text."""

    def pieces(self, rows: Integers) -> Pieces:
        """The positions that rows show, in the order of the row."""

    def showing(self, first: Integers, last: Integers) -> tuple[Pieces, Integers]:
        """(pieces of the ranges, the row that shows each)."""


def _ragged(counts: Integers) -> tuple[Integers, Integers]:
    """Which of the counted things each item belongs to, and its number within it."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)


@dataclass(frozen=True)
class Concat:
    """Concatenate and cut."""

    span: Span
    seq_len: int

    @property
    def num_rows(self) -> int:
        return max(0, (self.span.tokens - 1) // self.seq_len)

    @property
    def tokens_left_out(self) -> int:
        return max(0, self.span.tokens - 1 - self.num_rows * self.seq_len)

    @property
    def padding(self) -> int:
        return 0

    def pieces(self, rows: Integers) -> Pieces:
        first = self.span.first + rows * self.seq_len
        return Pieces(np.arange(len(rows)), first, first + self.seq_len + 1)

    def showing(self, first: Integers, last: Integers) -> tuple[Pieces, Integers]:
        begin, end = np.maximum(first, self.span.first), np.minimum(last, self.span.last)
        low = np.maximum(-(-(begin - self.span.first) // self.seq_len) - 1, 0)
        high = np.minimum((end - 1 - self.span.first) // self.seq_len, self.num_rows - 1)
        which, number = _ragged(np.where(end > begin, np.maximum(high - low + 1, 0), 0))
        rows = low[which] + number
        row_first = self.span.first + rows * self.seq_len
        shown = Pieces(
            which, np.maximum(row_first, first[which]), np.minimum(row_first + self.seq_len + 1, last[which])
        )
        return shown, rows


@dataclass(frozen=True)
class BestFitRows:
    """Documents whole where they fit."""

    span: Span
    seq_len: int
    plan: BestFit

    @classmethod
    def make(cls, store: TokenStore, source: str, seq_len: int) -> "BestFitRows":
        """Work the rows out from the document lengths of a source."""
        lengths = np.concatenate([store.lengths(number) for number in store.numbers(source)])
        return cls(store.spans[source], seq_len, BestFit.plan(lengths, seq_len))

    @property
    def num_rows(self) -> int:
        return self.plan.num_rows

    @property
    def tokens_left_out(self) -> int:
        return 0

    @property
    def padding(self) -> int:
        return self.num_rows * self.seq_len - self.span.tokens

    def pieces(self, rows: Integers) -> Pieces:
        begins = self.plan.row_begins[rows]
        which, number = _ragged(self.plan.row_begins[rows + 1] - begins)
        piece = begins[which] + number
        first = self.span.first + self.plan.starts[piece]
        return Pieces(which, first, first + self.plan.lengths[piece])

    def showing(self, first: Integers, last: Integers) -> tuple[Pieces, Integers]:
        order = np.argsort(self.plan.starts)
        starts = self.span.first + self.plan.starts[order]
        ends = starts + self.plan.lengths[order]
        begin, end = np.maximum(first, self.span.first), np.minimum(last, self.span.last)
        low = np.searchsorted(ends, begin, side="right")
        high = np.searchsorted(starts, end, side="left")
        which, number = _ragged(np.where(end > begin, np.maximum(high - low, 0), 0))
        place = low[which] + number
        rows = np.searchsorted(self.plan.row_begins, order[place], side="right") - 1
        return Pieces(which, np.maximum(starts[place], first[which]), np.minimum(ends[place], last[which])), rows
