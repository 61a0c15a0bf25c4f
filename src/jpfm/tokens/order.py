"""Which tokens step n sees: a pure function of (settings, tokens, n). No state, no start-up, any number of GPUs.

    order = TokenOrder(store, seq_len=512, rows_per_step=8, mixture=Mixture(weights={"aozora": 0.3, "law": 0.7}))
    batch = order.batch(step=100, rank=0, world=2)          # (4, 513) uint32
    table = order.documents(step=100)                       # id, source, licence, token range (last exclusive)
    table = order.sightings(first, last, steps=5000)        # the way back: which steps saw these token ranges
    order.epochs(5000)                                      # how often each source is seen

Training is a sequence of slots, `rows_per_step` to a step. The mixture's schedule says which source a slot takes its
row from and how many rows of that source came before; a keyed permutation of the source's rows, another for each epoch,
says which row that is; the layout (`packing`) says which tokens the row holds. Each of the three has a way back.
Steps count from 0 here; logs, checkpoints and `jpfm tokens trace` count from 1.
Rank r of w takes slots r, r + w, ... of the step, so the global batch is the same for any w.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jpfm.core.errors import DataError, UsageError
from jpfm.tokens.mixture import UNIT, Mixture, Schedule, units
from jpfm.tokens.packing import BestFitRows, Concat, Layout
from jpfm.tokens.permutation import epoch_key, permute, unpermute
from jpfm.tokens.store import TokenStore

Integers = npt.NDArray[np.int64]
Packing = Literal["concat", "best_fit"]
_BY_SIZE = Mixture()
_TOLERANCE = 1.0  # rows: a cap of 4 epochs is kept when the schedule has given one row more


class Rows(NamedTuple):
    """Rows of a step, slot by slot; both of shape (rows,)."""

    source: Integers
    """Its place in `TokenOrder.sources`."""
    row: Integers
    """Number of the row within its source."""


class Part(NamedTuple):
    """A stage of the mixture, laid out."""

    first: int
    """Its first slot."""
    before: Integers
    """Rows that each source had in earlier stages."""
    schedule: Schedule


@dataclass(frozen=True)
class TokenOrder:
    """The order of training rows.

    Raises:
        DataError: a source does not fill one row; UsageError: the mixture does not fit the sources.
    """

    store: TokenStore
    seq_len: int
    rows_per_step: int
    seed: int = 0
    mixture: Mixture = _BY_SIZE
    packing: Packing = "concat"
    sources: tuple[str, ...] = field(init=False, repr=False)
    layouts: tuple[Layout, ...] = field(init=False, repr=False)
    """Of each source."""
    parts: tuple[Part, ...] = field(init=False, repr=False)
    _key: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        sources = tuple(self.store.spans)
        self.mixture.check_names(sources)
        layouts: list[Layout] = [
            Concat(span, self.seq_len)
            if self.packing == "concat"
            else BestFitRows.make(self.store, source, self.seq_len)
            for source, span in self.store.spans.items()
        ]
        for name, value in (("sources", sources), ("layouts", tuple(layouts)), ("_key", lru_cache(4096)(epoch_key))):
            object.__setattr__(self, name, value)
        if not self.num_rows:
            raise DataError(
                f"{self.store.num_tokens:,} tokens do not fill one row of {self.seq_len} + 1",
                hint="set a smaller seq_len, or pack more text",
            )
        object.__setattr__(self, "parts", tuple(self._lay_out()))

    def _lay_out(self) -> Sequence[Part]:
        rows = [layout.num_rows for layout in self.layouts]
        parts: list[Part] = []
        first, before = 0, np.zeros(len(rows), dtype=np.int64)
        for stage in self.mixture.all_stages():
            weights = units(self.sources, rows, stage.weights)
            for source, weight, count in zip(self.sources, weights.tolist(), rows, strict=True):
                if weight and not count:
                    raise DataError(
                        f"source '{source}' has {self.store.spans[source].tokens:,} tokens: no row of {self.seq_len} "
                        f"+ 1, and a weight of {weight / UNIT}",
                        hint="take it out of the weights, set a smaller seq_len, or pack more of it",
                    )
            schedule = Schedule.make(weights)
            parts.append(Part(first, before, schedule))
            if stage.tokens is not None:
                length = stage.tokens // self.seq_len
                first, before = first + length, before + schedule.counts(length)
        return parts

    @property
    def num_rows(self) -> int:
        """Rows of one epoch of all sources."""
        return sum(layout.num_rows for layout in self.layouts)

    def _slots(self, step: int) -> Integers:
        return np.arange(step * self.rows_per_step, (step + 1) * self.rows_per_step, dtype=np.int64)

    def _ranked(self, slots: Integers) -> tuple[Integers, Integers]:
        """(source, how many rows of it came before) of slots."""
        begins = np.array([part.first for part in self.parts])
        which = np.searchsorted(begins, slots, side="right") - 1
        source, rank = np.empty_like(slots), np.empty_like(slots)
        for number in np.unique(which):
            part, here = self.parts[number], which == number
            found, ranks = part.schedule.of(slots[here] - part.first)
            source[here], rank[here] = found, ranks + part.before[found]
        return source, rank

    def rows_at(self, slots: Integers) -> Rows:
        """The rows of any slots of training."""
        source, rank = self._ranked(slots)
        counts = np.array([layout.num_rows for layout in self.layouts], dtype=np.int64)[source]
        epoch, place = np.divmod(rank, counts)
        pairs, where = np.unique(np.stack([source, epoch]), axis=1, return_inverse=True)
        keys = np.array([self._key(self.seed, self.sources[s], e) for s, e in pairs.T.tolist()], dtype=np.uint64)
        return Rows(source, permute(place, counts, keys[where.reshape(-1)]))

    def rows(self, step: int) -> Rows:
        """The rows of the global batch of a step, slot by slot."""
        return self.rows_at(self._slots(step))

    def _part_of(self, step: int, rank: int, world: int) -> Rows:
        if self.rows_per_step % world:
            raise UsageError(
                f"{self.rows_per_step} rows a step cannot be split over {world} processes",
                hint="choose batch_tokens / seq_len as a multiple of the number of processes",
            )
        return self.rows_at(self._slots(step)[rank::world])

    def batch(self, step: int, rank: int = 0, world: int = 1) -> npt.NDArray[np.uint32]:
        """Token ids of one rank's part of a step.

        Returns:
            Shape (rows_per_step / world, seq_len + 1), uint32: inputs are row[:-1], targets row[1:]. `targets` says how
            many targets of a row count (all, unless packing is best_fit).
        Raises:
            UsageError: world does not divide rows_per_step.
        """
        out = np.empty((self.rows_per_step // world, self.seq_len + 1), dtype=np.uint32)
        self.fill(out, step, rank, world)
        return out

    def fill(self, out: npt.NDArray[np.uint32], step: int, rank: int = 0, world: int = 1) -> None:
        """`batch` into an array of that shape (pinned memory, a buffer that is used again).

        Raises:
            ArtifactError: an id is not one of the vocabulary.
        """
        rows = self._part_of(step, rank, world)
        self._fill(out, rows)
        if int(out.max()) >= self.store.vocab_size:  # a GPU would stop with an assertion far from here
            self.store.refuse_ids(*(self.layouts[s].pieces(np.array([r])) for s, r in zip(*rows, strict=True)))

    def _fill(self, out: npt.NDArray[np.uint32], rows: Rows) -> None:
        concat = self.packing == "concat"
        for source in np.unique(rows.source).tolist():
            slots = np.flatnonzero(rows.source == source)
            which, first, last = self.layouts[source].pieces(rows.row[slots])
            if concat:
                for slot, begin in zip(slots.tolist(), first.tolist(), strict=True):
                    self.store.fill(begin, out[slot])
                continue
            out[slots] = self.store.eos
            done = np.zeros(len(slots), dtype=np.int64)
            for place, begin, end in zip(which.tolist(), first.tolist(), last.tolist(), strict=True):
                row = out[slots[place]]
                if not done[place]:
                    if begin > self.store.spans[self.sources[source]].first:
                        self.store.fill(begin - 1, row[:1])
                    done[place] = 1
                self.store.fill(begin, row[done[place] : done[place] + end - begin])
                done[place] += end - begin

    def targets(self, step: int, rank: int = 0, world: int = 1) -> Integers:
        """How many targets of each row of `batch` count, from its left; the rest is padding. Shape (rows,)."""
        rows = self._part_of(step, rank, world)
        out = np.full(len(rows.row), self.seq_len, dtype=np.int64)
        if self.packing == "best_fit":
            for source in np.unique(rows.source).tolist():
                slots = np.flatnonzero(rows.source == source)
                which, first, last = self.layouts[source].pieces(rows.row[slots])
                out[slots] = np.bincount(which, weights=last - first, minlength=len(slots)).astype(np.int64)
        return out

    def documents(self, step: int, rank: int = 0, world: int = 1) -> pa.Table:
        """Which documents a step saw, or one rank's part of it.

        Returns:
            One row for each (row of the batch, document): slot of the global batch, id, source, licence, first and last
            token (exclusive), counted over the store.
        """
        rows = self._part_of(step, rank, world)
        slots, ranges = [np.empty(0, dtype=np.int64)], []
        for source in np.unique(rows.source).tolist():
            here = np.flatnonzero(rows.source == source)
            which, first, last = self.layouts[source].pieces(rows.row[here])
            slots.append(here[which] * world + rank)
            ranges += list(zip(first.tolist(), last.tolist(), strict=True))
        found = self.store.documents(ranges)
        slot = np.concatenate(slots)[found["range"].to_numpy()]
        table = found.drop("range").to_arrow().cast(_SEEN).add_column(0, "slot", pa.array(slot, pa.int64()))
        return table.sort_by([("slot", "ascending"), ("first", "ascending")])

    def sightings(self, first: Integers, last: Integers, steps: int) -> pa.Table:
        """Where the first `steps` steps saw ranges of the token stream: `documents` the other way round.

        Permutation and schedule are inverted: the cost grows with the ranges and the epochs, not with the steps.

        Args:
            first: first token of each range; shape (n,).
            last: its last token (exclusive); shape (n,).
            steps: steps 0 ... steps - 1 are asked.
        Returns:
            One row for each (row of a batch, range), in that order: step, slot, range (its place in the arguments),
            first and last token (exclusive) that the row shows of it. The token that two rows share is in both.
        """
        total = steps * self.rows_per_step
        counts = self.counts(steps)
        parts = [np.empty((4, 0), dtype=np.int64)]
        for source, layout in enumerate(self.layouts):
            if not counts[source]:
                continue
            shown, rows = layout.showing(first, last)
            for epoch in range(-(-int(counts[source]) // layout.num_rows)):
                key = self._key(self.seed, self.sources[source], epoch)
                slots = self._slots_of(source, unpermute(rows, layout.num_rows, key) + epoch * layout.num_rows)
                parts.append(np.stack([slots, *shown])[:, slots < total])
        seen, which, begin, end = np.concatenate(parts, axis=1)
        order = np.lexsort((which, begin, seen))
        step, slot = np.divmod(seen[order], self.rows_per_step)
        return pa.table({"step": step, "slot": slot, "range": which[order], "first": begin[order], "last": end[order]})

    def _slots_of(self, source: int, ranks: Integers) -> Integers:
        """The slot of each rank-th row of a source; beyond all training where its last stage has none of it."""
        out = np.full(len(ranks), np.iinfo(np.int64).max)
        ends = [*(int(part.before[source]) for part in self.parts[1:]), np.iinfo(np.int64).max]
        for part, end in zip(self.parts, ends, strict=True):
            here = (ranks >= part.before[source]) & (ranks < end)
            if here.any() and part.schedule.weights[source]:
                out[here] = part.first + part.schedule.slots(source, ranks[here] - part.before[source])
        return out

    def counts(self, steps: int) -> Integers:
        """Rows of each source that the first `steps` steps see; shape (sources,)."""
        slots = steps * self.rows_per_step
        part = next(part for part in reversed(self.parts) if part.first <= slots)
        return part.before + part.schedule.counts(slots - part.first)

    def epochs(self, steps: int) -> dict[str, float]:
        """How often the first `steps` steps see each source."""
        rows = (layout.num_rows for layout in self.layouts)
        return {s: n / max(1, r) for s, n, r in zip(self.sources, self.counts(steps).tolist(), rows, strict=True)}

    def check(self, steps: int) -> None:
        """No source is seen more often than its cap in `steps` steps.

        Raises:
            UsageError: one is.
        """
        for source, layout, count in zip(self.sources, self.layouts, self.counts(steps).tolist(), strict=True):
            allowed = self.mixture.cap(source) * layout.num_rows + _TOLERANCE
            if count > allowed:
                share = self.mixture.cap(source) * layout.num_rows / (steps * self.rows_per_step)
                raise UsageError(
                    f"source '{source}' would be seen {count / layout.num_rows:.2f} times in {steps:,} steps "
                    f"({layout.num_rows:,} rows of {self.seq_len} tokens), its cap is {self.mixture.cap(source):g}",
                    hint=f"give it {share:.6f} or less of all rows, raise mixture.max_epochs, or train fewer steps",
                )

    def __reduce__(self) -> tuple[Any, ...]:
        return TokenOrder, (self.store, self.seq_len, self.rows_per_step, self.seed, self.mixture, self.packing)


_SEEN = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("first", pa.int64()),
        ("last", pa.int64()),
    ]
)


def order_of(config: Mapping[str, Any], store: TokenStore) -> TokenOrder:
    """The order of a training run, from the settings that its checkpoint's manifest holds.

    Raises:
        UsageError: the settings are not those of a run over tokens.
    """
    missing = [name for name in ("seq_len", "batch_tokens", "seed") if name not in config]
    if missing:
        raise UsageError(
            f"this checkpoint's settings have no {', '.join(missing)}: what its steps saw cannot be worked out",
            hint="name a checkpoint that `jpfm train` made",
        )
    seq_len = int(config["seq_len"])
    return TokenOrder(
        store, seq_len, int(config["batch_tokens"]) // seq_len, int(config["seed"]),
        Mixture.model_validate(config.get("mixture") or {}), config.get("packing", "concat"),
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
