"""Passages that several documents have, as files that workers map: the decision of `repeated_substrings`.

    with Writer(folder, frequent) as writer:
        for found in shards: writer.add(found)
    decision = Decision.open(folder)          # reads nothing; decision.places.keys is searched

`passages.arrow` has a batch a shard, `points` the keys of all passages one after the other, `grams.arrow` the sampled
n-grams in the order of their hashes, with the place of each in `points`.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jpfm.data.duplicates.counting import Frequent

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
PASSAGES = pa.schema(
    [("source", pa.string()), ("id", pa.string()),  # of the first document
     ("documents", pa.int64()),  # that have the most frequent n-gram of the passage
     ("text", pa.string())]
)  # fmt: skip
_STORED = PASSAGES.append(pa.field("points", pa.int64()))
_GRAMS = pa.schema(
    [("key", pa.uint64()), ("passage", pa.int64()), ("at", pa.int64()), ("before", pa.uint32()),
     ("after", pa.uint32()), ("hash", pa.uint64())]
)  # fmt: skip


class Places(NamedTuple):
    """Sampled n-grams and what each is compared with. Shapes (k,)."""

    keys: U64
    passage: I64
    """The passage that the n-gram stands in."""
    at: I64
    """Its first point, in the points of all passages."""
    before: U32
    """Points of the passage before it that may be compared."""
    after: U32
    hashes: U64
    """Of all that may be compared, and of the document."""

    def take(self, chosen: npt.NDArray[np.bool_] | I64) -> "Places":
        """Some of them, by mask or by number."""
        return Places(*[values[chosen] for values in self])  # type: ignore[arg-type]

    def moved(self, passages: int, points: int) -> "Places":
        """The same places with so many passages and points before them."""
        return self._replace(passage=self.passage + passages, at=self.at + points)


class Found(NamedTuple):
    """Passages of a shard that it has first, and the sampled n-grams they were found by."""

    passages: pa.Table
    """Columns source, id, text."""
    lengths: I64
    """Points of each passage."""
    points: U32
    places: Places

    @classmethod
    def nothing(cls) -> "Found":
        """No passages."""
        table = PASSAGES.remove(PASSAGES.get_field_index("documents")).empty_table()
        places = Places(*(np.zeros(0, dtype=field.type.to_pandas_dtype()) for field in _GRAMS))
        return cls(table, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint32), places)

    @classmethod
    def joined(cls, parts: Sequence["Found"]) -> "Found":
        """Several, one after the other."""
        passages = np.cumsum([0, *(len(part.lengths) for part in parts)])
        points = np.cumsum([0, *(len(part.points) for part in parts)])
        places = [parts[k].places.moved(int(passages[k]), int(points[k])) for k in range(len(parts))]
        return cls(
            pa.concat_tables([part.passages for part in parts]),
            np.concatenate([part.lengths for part in parts]),
            np.concatenate([part.points for part in parts]),
            Places(*(np.concatenate(column) for column in zip(*places, strict=True))),
        )


class Writer:
    """Writes a decision, shard by shard. Holds the sampled n-grams alone: 40 bytes each."""

    def __init__(self, folder: Path, frequent: Frequent) -> None:
        self._folder, self._frequent = folder, frequent
        self._places: list[Places] = [Found.nothing().places]
        self._num_passages = self._num_points = 0

    def __enter__(self) -> "Writer":
        self._points = (self._folder / "points").open("wb")
        self._passages = pa.ipc.new_file(self._folder / "passages.arrow", _STORED)
        return self

    def add(self, found: Found) -> None:
        """Write the passages of the next shard."""
        documents = np.zeros(len(found.lengths), dtype=np.int64)
        counts = self._frequent.documents[np.searchsorted(self._frequent.keys, found.places.keys)]
        np.maximum.at(documents, found.places.passage, counts)
        source, ids, text = (found.passages.column(name).combine_chunks() for name in ("source", "id", "text"))
        self._passages.write_batch(
            pa.record_batch([source, ids, pa.array(documents), text, pa.array(found.lengths)], schema=_STORED)
        )
        self._points.write(found.points.tobytes())
        self._places.append(found.places.moved(self._num_passages, self._num_points))
        self._num_passages += len(found.lengths)
        self._num_points += len(found.points)

    def __exit__(self, kind: type[BaseException] | None, error: object, where: TracebackType | None) -> None:
        self._passages.close()
        self._points.close()
        if kind is not None:
            return
        places = Places(*(np.concatenate(column) for column in zip(*self._places, strict=True)))
        with pa.ipc.new_file(self._folder / "grams.arrow", _GRAMS) as writer:
            writer.write_table(pa.table(list(places.take(np.argsort(places.keys))), schema=_GRAMS))


class Decision(NamedTuple):
    """A decision in mapped files: workers of one machine share its memory."""

    passages: pa.Table
    """Schema PASSAGES, and the number of points; a chunk a shard."""
    points: U32
    """The keys of all passages."""
    places: Places
    """By ascending key."""

    @classmethod
    def open(cls, folder: Path) -> "Decision":
        """Map the files of a decision."""
        passages, grams = (_read(folder / f"{name}.arrow") for name in ("passages", "grams"))
        file = folder / "points"
        points = np.memmap(file, dtype=np.uint32, mode="r") if file.stat().st_size else np.zeros(1, dtype=np.uint32)
        return cls(passages, points, Places(*(grams.column(name).to_numpy() for name in _GRAMS.names)))

    def find(self, keys: U64) -> I64:
        """For each key its number among `places`; -1 where it is not repeated."""
        if len(self.places.keys) == 0:
            return np.full(len(keys), -1, dtype=np.int64)
        number = np.minimum(np.searchsorted(self.places.keys, keys), len(self.places.keys) - 1)
        return np.where(self.places.keys[number] == keys, number, -1)

    def compared(self, keys: U64) -> U64:
        """A hash of what each n-gram is compared with; 0 where it is not repeated."""
        number = self.find(keys)
        return np.where(number >= 0, np.append(self.places.hashes, np.uint64(0))[number], np.uint64(0))

    def by_shard(self) -> list[Found]:
        """What each shard gave to the decision."""
        chunks = self.passages.to_batches()
        passages = np.append(0, np.cumsum([chunk.num_rows for chunk in chunks])).astype(np.int64)
        starts = np.append(0, np.cumsum(self.passages.column("points").to_numpy()))
        order = np.argsort(self.places.passage, kind="stable")
        edges = np.searchsorted(self.places.passage[order], passages)
        out = []
        for number, chunk in enumerate(chunks):
            first, last = starts[passages[number]], starts[passages[number + 1]]
            own = self.places.take(order[edges[number] : edges[number + 1]])
            table = pa.Table.from_batches([chunk]).select(Found.nothing().passages.column_names)
            places = own.moved(-int(passages[number]), -int(first))
            out.append(Found(table, chunk.column("points").to_numpy(), np.array(self.points[first:last]), places))
        return out


def _read(file: Path) -> pa.Table:
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_file(source).read_all()
