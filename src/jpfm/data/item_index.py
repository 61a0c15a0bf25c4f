"""Evaluation items as an index, and the documents of a batch searched for them.

    index = item_index(benchmarks, shortest=11, common_share=0.005)     # once a process
    for hit in index.search(batch.column("text")): hit.row, index.groups[hit.group].name, hit.items, hit.share, ...

Both sides pass one key, under which width, punctuation, line ends, readings, kana, numerals and old kanji make no
difference. A text shorter than the n-gram is looked for whole where it has `shortest` characters: among 15.8 million
characters of literature, C++ pages, statutes and guidelines, 3 of 811 questions with 8 characters of key stood by
chance, 2 of 1,340 with 10, none of 3,877 with 11 or 12.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jpfm.core.errors import DataError
from jpfm.data.benchmarks import Action, Benchmark
from jpfm.text import ngram_index
from jpfm.text.dedup_key import KeyRules, keys
from jpfm.text.ngram_index import NgramIndex

RULES = KeyRules(old_kanji=True, kana=True, numbers=True, ruby=True)
FACTS = pa.schema(
    [("benchmark", pa.string()), ("action", pa.string()), ("ngram", pa.int64()), ("minimum_share", pa.float64()),
     ("items", pa.int64()), ("searchable_items", pa.int64()),
     ("texts", pa.int64()),  # distinct, by their keys
     ("too_short", pa.int64()),  # of these: shorter than what is looked for
     ("only_common", pa.int64())]  # of these: nothing but phrases that many texts of the benchmark share
)  # fmt: skip
"""What was looked for, one row a benchmark."""
BENCHMARKS = "benchmarks.parquet"
"""In a corpus: that table."""


class Group(NamedTuple):
    """A benchmark as it is reported."""

    name: str
    ngram: int
    minimum_share: float
    action: Action


class Hit(NamedTuple):
    """A text of one or more items in a document."""

    row: int
    group: int
    items: tuple[str, ...]
    share: float
    start: int
    """Unit characters of the document."""
    end: int


class _Part(NamedTuple):
    """Texts that are looked for by n-grams of one size."""

    ngrams: NgramIndex
    texts: npt.NDArray[np.int64]
    """Of each text of the index, its row in `ItemIndex.items`."""
    minimum: npt.NDArray[np.float64]


class ItemIndex(NamedTuple):
    """All items of some benchmarks."""

    groups: tuple[Group, ...]
    group_of: npt.NDArray[np.int32]
    """The benchmark of each distinct text. Shape (m,)."""
    items: tuple[tuple[str, ...], ...]
    """The items that each distinct text belongs to."""
    parts: tuple[_Part, ...]
    facts: pa.Table

    def search(self, column: pa.Array) -> Iterator[Hit]:
        """Where the items stand in documents, by n-gram size, then in the order of the documents."""
        if not len(column):
            return
        found = keys(column, RULES)
        for part in self.parts:
            places = ngram_index.search(part.ngrams, found, part.minimum)
            if not len(places.rows):
                continue
            rows, back = np.unique(places.rows, return_inverse=True)  # few documents need the places of their keys
            placed = keys(column.take(pa.array(rows)), RULES, places=True)
            assert placed.places is not None
            offsets = placed.offsets[back]
            starts, ends = placed.places[offsets + places.starts], placed.places[offsets + places.ends - 1] + 1
            for row, text, share, start, end in zip(
                places.rows.tolist(), part.texts[places.texts].tolist(), places.shares.tolist(), starts.tolist(),
                ends.tolist(), strict=True,
            ):  # fmt: skip
                yield Hit(row, int(self.group_of[text]), self.items[text], share, start, end)


def item_index(benchmarks: tuple[Benchmark, ...], *, shortest: int | None, common_share: float) -> ItemIndex:
    """Read the benchmarks and index their texts, once a process while the files stay as they are.

    Args:
        benchmarks: with n-gram, share and action set.
    Raises:
        DataError: a file cannot be read, or no text of any benchmark can be looked for.
        UsageError: a benchmark has no file.
    """
    stats = [(str(file), file.stat()) for benchmark in benchmarks for file in benchmark.files()]
    versions = tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats)
    return _read(benchmarks, versions, shortest, common_share)


@functools.lru_cache(maxsize=2)
def _read(
    benchmarks: tuple[Benchmark, ...], versions: tuple[tuple[str, int, int], ...], shortest: int | None,
    common_share: float,
) -> ItemIndex:  # fmt: skip
    """The index of files in one version.

    Args:
        versions: path, time of change and size of each file; another one is read again.
    Raises:
        DataError: a file cannot be read, or no text of any benchmark can be looked for.
    """
    groups: dict[Group, int] = {}
    sizes: list[int] = []
    texts: list[str] = []
    items: list[str] = []
    for benchmark in benchmarks:
        ngram, minimum_share, action = benchmark.ngram, benchmark.minimum_share, benchmark.action
        if ngram is None or minimum_share is None or action is None:
            raise TypeError(f"benchmark '{benchmark.name}': n-gram, share and action must be set")
        for one in benchmark.texts():
            group = Group(one.benchmark, ngram, minimum_share, action)
            sizes.append(groups.setdefault(group, len(groups)))
            texts.append(one.text)
            items.append(one.item)
    return _index(tuple(groups), np.array(sizes, dtype=np.int32), texts, items, shortest, common_share)


def _index(
    groups: tuple[Group, ...], group_of: npt.NDArray[np.int32], texts: Sequence[str], items: Sequence[str],
    shortest: int | None, common_share: float,
) -> ItemIndex:  # fmt: skip
    found = keys(pa.array(texts, pa.string()), RULES)
    same: dict[tuple[int, bytes], int] = {}
    first: list[int] = []
    items_of: list[dict[str, None]] = []
    for row, group in enumerate(group_of.tolist()):
        key = found.points[found.offsets[row] : found.offsets[row + 1]].tobytes()
        text = same.setdefault((group, key), len(first))
        if text == len(first):
            first.append(row)
            items_of.append({})
        items_of[text][items[row]] = None
    lengths = np.diff(found.offsets)[first]
    group_of = group_of[first]
    wanted = np.array([group.ngram for group in groups])[group_of]
    small = np.minimum(wanted, shortest) if shortest else wanted
    size_of = np.where(lengths >= wanted, wanted, np.where(lengths >= small, small, 0))
    shares = np.where(lengths >= wanted, np.array([group.minimum_share for group in groups])[group_of], 1.0)
    parts, counts = [], np.zeros(len(first), dtype=np.int64)
    for size in sorted(set(size_of.tolist()) - {0}):
        chosen = np.flatnonzero(size_of == size)
        own = keys(pa.array([texts[first[text]] for text in chosen], pa.string()), RULES)
        index = ngram_index.build(own, group_of[chosen], size=size, common_share=common_share)
        counts[chosen] = index.counts
        parts.append(_Part(index, chosen, shares[chosen]))
    items_in = tuple(tuple(found) for found in items_of)
    facts = _facts(groups, group_of, items_in, size_of, counts)
    if not counts.any():
        raise DataError(
            "decontaminate: no text of any benchmark is long enough to be looked for",
            hint="do `fields` name the questions? Or lower ngram",
        )
    return ItemIndex(groups, group_of, items_in, tuple(parts), facts)


def _facts(
    groups: Sequence[Group], group_of: npt.NDArray[np.int32], items: Sequence[tuple[str, ...]],
    size_of: npt.NDArray[np.int64], counts: npt.NDArray[np.int64],
) -> pa.Table:  # fmt: skip
    rows = []
    for number, group in enumerate(groups):
        own = np.flatnonzero(group_of == number)
        rows.append({
            "benchmark": group.name, "action": group.action, "ngram": group.ngram,
            "minimum_share": group.minimum_share, "items": len({item for text in own.tolist() for item in items[text]}),
            "searchable_items": len({item for text in own[counts[own] > 0].tolist() for item in items[text]}),
            "texts": len(own), "too_short": int((size_of[own] == 0).sum()),
            "only_common": int(((size_of[own] > 0) & (counts[own] == 0)).sum()),
        })  # fmt: skip
    return pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["benchmark"])), schema=FACTS)
