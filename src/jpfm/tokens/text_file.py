"""Row groups of a corpus into one file of tokens: encode a column, end documents, cut the long ones, write.

    jobs = text_jobs(corpus, settings, "out/tokenizer", root)
    jobs[0].run()                                            # in any process, in any order

What goes into which file depends on the corpus and `file_bytes` alone: row groups of one source in corpus order, joined
until they hold that much text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from jpfm.core.artifact import Artifact
from jpfm.core.errors import DataError
from jpfm.tokens.encoder import CONTINUES, ENDS_LINE, ENDS_SENTENCE, Encoder
from jpfm.tokens.token_file import FileJob, Writer

_jit: Any = numba.njit(cache=True, nogil=True)
_NEEDED = ("id", "source", "licence", "text")
_BATCH_DOCUMENTS = 2048
_BLOCK_TOKENS = 1 << 23


class Group(NamedTuple):
    """A row group of a corpus file."""

    path: str
    number: int


class Manner(NamedTuple):
    """How documents become sequences."""

    append_eos: bool
    max_document_tokens: int | None
    shuffle: int | None
    """Seed of the order within each file; None keeps the corpus's order."""


class Sequences(NamedTuple):
    """Sequences ready to be written, as `Writer.add` takes them."""

    ids: npt.NDArray[np.uint32]
    lengths: npt.NDArray[np.int64]
    documents: pa.Table


@dataclass(frozen=True)
class TextJob(FileJob):
    """A file made from text."""

    tokenizer: str
    groups: tuple[Group, ...]
    manner: Manner

    def run(self) -> int:
        """Write the file; returns its tokens."""
        with self.writing(cut=self.manner.max_document_tokens is not None) as file:
            if self.manner.shuffle is None:
                for sequences in self._sequences():
                    file.add(*sequences)
            else:
                _add_shuffled(
                    file, self._sequences(), xxhash.xxh3_64_intdigest(f"{self.manner.shuffle}:{self.name}".encode())
                )
        return file.tokens

    def _sequences(self) -> Iterator[Sequences]:
        encoder = encoder_of(self.tokenizer)
        end = encoder.check_eos(self.tokenizer) if self.manner.append_eos else None
        limit = self.manner.max_document_tokens
        endings = encoder.endings() if limit is not None else None
        for batch in _documents(self):
            ids, offsets = encoder.encode(batch.column("text"))
            if len(ids) and int(ids.max()) >= encoder.vocab_size:
                raise DataError(
                    f"{self.tokenizer}: token id {int(ids.max()):,} in a vocabulary of {encoder.vocab_size:,}",
                    hint="the files of this tokenizer do not belong together; export it again",
                )
            table = pa.table({name: batch.column(name) for name in _NEEDED[:3]})
            if endings is not None and limit is not None:
                whose, offsets = _cut(ids, offsets, limit - (end is not None), endings)
                part = np.arange(len(whose)) - np.searchsorted(whose, whose)
                table = table.take(pa.array(whose)).append_column("part", pa.array(part, pa.int32()))
            lengths = np.diff(offsets)
            if end is not None:
                ids, lengths = _ended(ids, offsets, np.uint32(end)), lengths + 1
            yield Sequences(ids, lengths, table)


@lru_cache(maxsize=1)
def encoder_of(place: str) -> Encoder:
    """The tokenizer, opened once a process."""
    return Encoder.open(Path(place))


def text_jobs(
    corpus: Artifact, tokenizer: str, dtype: str, root: Path, file_bytes: int, manner: Manner
) -> list[TextJob]:
    """The files that a corpus becomes, source by source.

    Raises:
        DataError: no document is left to pack, or a column is missing.
    """
    found: dict[str, list[tuple[Group, int]]] = {}
    for path in sorted((corpus.path / "documents").glob("*.parquet")):
        file = pq.ParquetFile(path)
        if lacking := [name for name in _NEEDED if name not in file.schema_arrow.names]:
            raise DataError(
                f"{path}: column '{lacking[0]}' is missing; columns found: {', '.join(file.schema_arrow.names)}",
                hint="build the corpus again with `jpfm data build`",
            )
        for number in range(file.num_row_groups):
            for source in _sources(file, number):
                size = int(_column(file, number, "text").total_uncompressed_size)
                found.setdefault(source, []).append((Group(str(path), number), size))
    jobs: list[TextJob] = []
    for source, groups in found.items():
        waiting: list[Group] = []
        size = count = 0
        for group, text_bytes in [*groups, (None, file_bytes + 1)]:
            if waiting and size + text_bytes > file_bytes:
                name = f"{source}-{count:05d}"
                jobs.append(TextJob(str(root), name, source, size, dtype, tokenizer, tuple(waiting), manner))
                waiting, size, count = [], 0, count + 1
            if group is not None:
                waiting.append(group)
                size += text_bytes
    if not jobs:
        raise DataError(
            f"{corpus.path}: no document in its train split", hint="lower held_out_share in the recipe and build again"
        )
    return jobs


def _column(file: pq.ParquetFile, group: int, name: str) -> Any:
    metadata = file.metadata.row_group(group)
    columns = (metadata.column(number) for number in range(metadata.num_columns))
    return next((column for column in columns if column.path_in_schema == name), None)


def _only(column: Any) -> str | None:
    """The value of a column that has one value, as the file's statistics tell; None where they do not."""
    known = column.statistics
    return str(known.min) if known is not None and known.has_min_max and known.min == known.max else None


def _sources(file: pq.ParquetFile, group: int) -> list[str]:
    """The sources of a row group's train documents, in order; from the statistics where they tell."""
    if not file.metadata.row_group(group).num_rows:
        return []
    split, source = _column(file, group, "split"), _column(file, group, "source")
    if split is not None and _only(split) not in (None, "train"):
        return []
    if (split is None or _only(split) == "train") and (one := _only(source)) is not None:
        return [one]
    table = file.read_row_group(group, columns=["source"] if split is None else ["source", "split"])
    if split is not None:
        table = table.filter(pc.equal(table["split"], "train"))
    return [str(value) for value in pc.unique(table["source"]).to_pylist()]


def _documents(job: TextJob) -> Iterator[pa.RecordBatch]:
    """The job's documents: of its source, and of the train split."""
    for group in job.groups:
        file = pq.ParquetFile(group.path)
        has_split = "split" in file.schema_arrow.names
        columns = [*_NEEDED, *(["split"] if has_split else [])]
        for batch in file.iter_batches(batch_size=_BATCH_DOCUMENTS, row_groups=[group.number], columns=columns):
            keep = pc.equal(batch.column("source"), job.source)
            batch = batch.filter(pc.and_(keep, pc.equal(batch.column("split"), "train")) if has_split else keep)
            if batch.num_rows:
                yield batch


@_jit
def _ended(ids, offsets, end):  # type: ignore[no-untyped-def]
    """Each sequence followed by `end`."""
    out = np.empty(ids.shape[0] + offsets.shape[0] - 1, dtype=np.uint32)
    filled = 0
    for number in range(offsets.shape[0] - 1):
        for place in range(offsets[number], offsets[number + 1]):
            out[filled] = ids[place]
            filled += 1
        out[filled] = end
        filled += 1
    return out


@_jit
def _cut(ids, offsets, room, endings):  # type: ignore[no-untyped-def]
    """Cut documents longer than `room`: in the second half of the room at the last line end, or else the last sentence
    end, or else where the room ends, though not inside a character.

    Returns:
        Which document each part is of, and where each part begins and the last ends.
    """
    most = offsets.shape[0] - 1 + 2 * ids.shape[0] // room + 1
    whose, bounds = np.empty(most, np.int64), np.zeros(most + 1, np.int64)
    count = 0
    for document in range(offsets.shape[0] - 1):
        begin, end = offsets[document], offsets[document + 1]
        while end - begin > room:
            limit = begin + room
            low = begin + (room + 1) // 2
            at = limit
            while at >= low and endings[ids[at - 1]] != ENDS_LINE:
                at -= 1
            if at < low:
                at = limit
                while at >= low and endings[ids[at - 1]] != ENDS_SENTENCE:
                    at -= 1
            if at < low:
                at = limit
                while at > low and endings[ids[at]] == CONTINUES:
                    at -= 1
            whose[count], bounds[count + 1] = document, at
            count += 1
            begin = at
        whose[count], bounds[count + 1] = document, end
        count += 1
    return whose[:count], bounds[: count + 1]


@_jit
def _keys(count, key):  # type: ignore[no-untyped-def]
    """A number for each place that looks random: splitmix64 of key and place."""
    out = np.empty(count, np.uint64)
    for place in range(count):
        value = np.uint64(key) + (np.uint64(place) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        out[place] = value ^ (value >> np.uint64(31))
    return out


@_jit
def _gathered(tokens, starts, lengths, out):  # type: ignore[no-untyped-def]
    filled = 0
    for number in range(starts.shape[0]):
        for place in range(starts[number], starts[number] + lengths[number]):
            out[filled] = tokens[place]
            filled += 1


def _add_shuffled(file: Writer, sequences: Iterator[Sequences], key: int) -> None:
    """Write sequences in the order of a keyed hash of their places; ids wait on disk, not in memory."""
    waiting = file.binary.with_name(f"{file.binary.name}.order.tmp")
    lengths, tables = [], []
    with waiting.open("wb") as out:
        for ids, here, table in sequences:
            ids.tofile(out)
            lengths.append(here)
            tables.append(table)
    sizes, table = np.concatenate(lengths), pa.concat_tables(tables)
    starts = np.cumsum(sizes) - sizes
    order = np.argsort(_keys(len(sizes), np.uint64(key)), kind="stable")
    blocks = np.cumsum(sizes[order]) // _BLOCK_TOKENS
    tokens = np.memmap(waiting, dtype=np.uint32, mode="r") if sizes.sum() else np.empty(0, np.uint32)
    for chosen in np.split(order, np.flatnonzero(np.diff(blocks)) + 1):
        gathered = np.empty(int(sizes[chosen].sum()), dtype=np.uint32)
        _gathered(tokens, starts[chosen], sizes[chosen], gathered)
        file.add(gathered, sizes[chosen], table.take(pa.array(chosen)))
    waiting.unlink()
