"""Which tokens step n sees: a pure function of (seed, tokens, n). No state, no start-up, any number of GPUs.

    order = TokenOrder(store, seq_len=512, rows_per_step=8, seed=0)
    batch = order.batch(step=100, rank=0, world=2)          # (4, 513) uint32
    table = order.documents(step=100)                       # id, source, licence, token range
    table = order.sightings(first, last, steps=5000)        # the way back: which steps saw these token ranges

The stream of documents is cut into rows of seq_len + 1 tokens that share one token with the next (inputs are
row[:-1], targets row[1:]). Epoch e visits the rows in the order of a keyed permutation (a Feistel network with cycle
walking): O(1) memory and start-up where a shuffled index of 10^10 rows would take 80 GB.
Rank r of w takes slots r, r + w, ... of the step, so the global batch is the same for any w.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from jpfm.core.errors import DataError, UsageError
from jpfm.tokens.shards import TokenStore

_jit: Any = numba.njit(cache=True, nogil=True)
_ROUNDS = 6


@_jit
def _scramble(value, key):  # type: ignore[no-untyped-def]
    value = (value ^ key) * np.uint64(0x9E3779B97F4A7C15)
    value ^= value >> np.uint64(31)
    value *= np.uint64(0xD6E8FEB86659FD93)
    value ^= value >> np.uint64(32)
    return value


@_jit
def _permute(index, count, key, inverse, out):  # type: ignore[no-untyped-def]
    half = np.uint64(1)
    while (np.uint64(1) << (np.uint64(2) * half)) < np.uint64(count):
        half += np.uint64(1)
    mask = (np.uint64(1) << half) - np.uint64(1)
    for position in range(index.shape[0]):
        value = np.uint64(index[position])
        while True:
            left, right = value >> half, value & mask
            if inverse:
                left, right = right, left  # the rounds backwards, over swapped halves
            for turn in range(_ROUNDS):
                number = np.uint64(_ROUNDS - 1 - turn if inverse else turn)
                mixed = _scramble(right, np.uint64(key) + number * np.uint64(0xA24BAED4963EE407))
                left, right = right, left ^ (mixed & mask)
            if inverse:
                left, right = right, left
            value = (left << half) | right
            if value < np.uint64(count):
                break
        out[position] = np.int64(value)


def permute(index: npt.NDArray[np.int64], count: int, key: int) -> npt.NDArray[np.int64]:
    """Where positions go under a keyed permutation of range(count); a bijection for every key.

    >>> sorted(permute(np.arange(10), 10, key=7).tolist()) == list(range(10))
    True
    """
    out = np.empty(index.shape[0], dtype=np.int64)
    _permute(index.astype(np.int64), count, key, False, out)
    return out


def unpermute(value: npt.NDArray[np.int64], count: int, key: int) -> npt.NDArray[np.int64]:
    """Which positions go there: the inverse of `permute`.

    >>> unpermute(permute(np.arange(10), 10, key=7), 10, key=7).tolist() == list(range(10))
    True
    """
    out = np.empty(value.shape[0], dtype=np.int64)
    _permute(value.astype(np.int64), count, key, True, out)
    return out


def _epoch_key(seed: int, epoch: int) -> int:
    sequence = np.random.SeedSequence([seed, epoch, 0x6A70666D])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


@dataclass(frozen=True)
class TokenOrder:
    """The order of training rows."""

    store: TokenStore
    seq_len: int
    rows_per_step: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_rows < 1:
            raise DataError(
                f"{len(self.store.tokens):,} tokens do not fill one row of {self.seq_len} + 1",
                hint="set a smaller seq_len, or pack more text",
            )

    @property
    def num_rows(self) -> int:
        """Rows of one epoch. The tail shorter than a row is left out."""
        return (len(self.store.tokens) - 1) // self.seq_len

    def rows(self, step: int) -> npt.NDArray[np.int64]:
        """Row numbers of the global batch of a step, slot by slot. Shape (rows_per_step,)."""
        slots = np.arange(step * self.rows_per_step, (step + 1) * self.rows_per_step, dtype=np.int64)
        epochs, places = np.divmod(slots, self.num_rows)
        out = np.empty_like(slots)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            out[here] = permute(places[here], self.num_rows, _epoch_key(self.seed, int(epoch)))
        return out

    def batch(self, step: int, rank: int = 0, world: int = 1) -> npt.NDArray[np.uint32]:
        """Token ids of one rank's part of a step.

        Returns:
            Shape (rows_per_step / world, seq_len + 1), uint32.
        Raises:
            UsageError: world does not divide rows_per_step.
        """
        if self.rows_per_step % world:
            raise UsageError(
                f"{self.rows_per_step} rows a step cannot be split over {world} processes",
                hint="choose batch_tokens / seq_len as a multiple of the number of processes",
            )
        numbers = self.rows(step)[rank::world]
        offsets = numbers[:, None] * self.seq_len + np.arange(self.seq_len + 1)[None, :]
        return self.store.tokens[offsets].astype(np.uint32)

    def documents(self, step: int) -> pa.Table:
        """Which documents a step saw.

        Returns:
            One row for each (row of the batch, document): slot, id, source, licence, first and last token (exclusive)
            in the token stream.
        """
        table = pq.read_table(self.store.artifact.path / "docs.parquet", columns=["id", "source", "licence"])
        ends = np.append(self.store.starts[1:], len(self.store.tokens))
        slots, documents, first, last = [], [], [], []
        for slot, row in enumerate(self.rows(step)):
            start, stop = row * self.seq_len, (row + 1) * self.seq_len + 1
            low = int(np.searchsorted(self.store.starts, start, side="right")) - 1
            high = int(np.searchsorted(self.store.starts, stop, side="left"))
            for document in range(low, high):
                slots.append(slot)
                documents.append(document)
                first.append(max(start, int(self.store.starts[document])))
                last.append(min(stop, int(ends[document])))
        seen = table.take(pa.array(documents))
        seen = seen.add_column(0, "slot", pa.array(slots, pa.int64()))
        return seen.append_column("first", pa.array(first, pa.int64())).append_column(
            "last", pa.array(last, pa.int64())
        )

    def sightings(self, first: npt.NDArray[np.int64], last: npt.NDArray[np.int64], steps: int) -> pa.Table:
        """Where the first `steps` steps saw ranges of the token stream: `documents` the other way round.

        The permutation is inverted, so that the cost grows with the ranges and the epochs, not with the steps.

        Args:
            first: first token of each range; shape (n,).
            last: its last token (exclusive); shape (n,).
            steps: steps 0 ... steps - 1 are asked.
        Returns:
            One row for each (row of a batch, range), in that order: step, slot, range (its place in the arguments),
            first and last token (exclusive) that the row shows of it. The token that two rows share is in both.
        """
        low = np.maximum(-(-first // self.seq_len) - 1, 0)
        high = np.minimum((last - 1) // self.seq_len, self.num_rows - 1)
        counts = np.where(last > first, np.maximum(high - low + 1, 0), 0)
        which = np.repeat(np.arange(len(first)), counts)
        rows = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
        slots = steps * self.rows_per_step
        parts = [np.empty((2, 0), dtype=np.int64)]
        for epoch in range(-(-slots // self.num_rows)):
            seen = unpermute(rows, self.num_rows, _epoch_key(self.seed, epoch)) + epoch * self.num_rows
            parts.append(np.stack([seen, np.arange(len(which))])[:, seen < slots])
        seen, taken = np.concatenate(parts, axis=1)
        order = np.lexsort((which[taken], seen))
        seen, taken = seen[order], taken[order]
        step, slot = np.divmod(seen, self.rows_per_step)
        begin, which = rows[taken] * self.seq_len, which[taken]
        return pa.table(
            {
                "step": step, "slot": slot, "range": which,
                "first": np.maximum(begin, first[which]), "last": np.minimum(begin + self.seq_len + 1, last[which]),
            }
        )  # fmt: skip


def positions(inputs: npt.NDArray[np.uint32], eos: int) -> npt.NDArray[np.int64]:
    """Position of each token within its document's part of the row: 0 at the row start and at each EOS.

    The EOS that ends a document is read as the first token of the next one, so that a document always begins with EOS
    at position 0: prompts at evaluation begin the same way, and no further token is spent.

    >>> positions(np.array([[7, 7, 2, 8, 8, 2, 9]], dtype=np.uint32), eos=2).tolist()
    [[0, 1, 0, 1, 2, 0, 1]]

    Args:
        inputs: token ids, shape (rows, seq_len).
    Returns:
        Same shape, int64. transformers keeps documents apart where positions fall back to 0.
    """
    count = np.arange(inputs.shape[1])
    starts = np.where(inputs == eos, count, 0)
    return count - np.maximum.accumulate(starts, axis=1)
