"""Which lines of a corpus a tokenizer is trained on: by source weights, by shares of kinds, spread evenly.

    text = sample(corpus, weights={"aozora": 1, "law": 3}, shares=None, max_chars=20_000_000, short="less", seed=0)
    text.lines, text.chars[source, kind]

Two passes over columns. The first counts characters of each (source, kind), of which `budgets` says how many are taken
so that weights and shares hold. The second takes line i of a cell where frac((i + seed) x golden ratio) is below the
cell's rate: any stretch of lines gives its share to within a line or two, and pages made from one template are not
always cut at the same place. Refused: every k-th line (takes the same line of each page where k divides its length).

Memory holds the sample, not the corpus. Lines longer than 4,000 characters are cut: SentencePiece would leave out
long ones without a word.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from jpfm.core.artifact import Artifact
from jpfm.data.build import read_documents
from jpfm.text.kernels import buffers, next_point
from jpfm.text.lines import Units, texts, units
from jpfm.tokens.budgets import KINDS, budgets
from jpfm.tokens.tokenizer_config import Kind, Shares

JAPANESE, ENGLISH, CODE = range(3)
MAX_LINE_CHARS = 4_000
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SYMBOLS = np.isin(np.arange(128), [ord(mark) for mark in "{}()[]<>=;:_/\\|&*#$@\"'`"])
_SYMBOL_SHARE = 8
_jit: Any = numba.njit(cache=True, nogil=True)

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class TrainingText(NamedTuple):
    """The sample."""

    lines: pl.Series
    """Non-empty lines without line ends, in the order of the corpus."""
    source: pl.Series
    """Source of each line, as UInt32 index into `sources`."""
    kind: pl.Series
    """Kind of each line, as UInt8 index into `KINDS`."""
    sources: tuple[str, ...]

    def chars(self) -> dict[str, dict[str, int]]:
        """Characters taken, by source and kind."""
        counted = (
            pl.DataFrame({"source": self.source, "kind": self.kind, "chars": self.lines.str.len_chars()})
            .group_by("source", "kind").agg(pl.col("chars").sum()).sort("source", "kind")
        )  # fmt: skip
        found: dict[str, dict[str, int]] = {}
        for source, kind, chars in counted.iter_rows():
            found.setdefault(self.sources[source], {})[KINDS[kind]] = chars
        return found

    def only(self, kinds: Sequence[Kind], sources: Sequence[str]) -> "TrainingText":
        """Lines of some kinds and sources; empty takes all."""
        wanted = pl.Series(np.ones(len(self.lines), dtype=bool))
        if kinds:
            wanted &= self.kind.is_in([KINDS.index(kind) for kind in kinds])
        if sources:
            wanted &= self.source.is_in([self.sources.index(source) for source in sources])
        return TrainingText(
            self.lines.filter(wanted), self.source.filter(wanted), self.kind.filter(wanted), self.sources
        )


@_jit
def _kinds(data, starts, ends, fenced, symbols, kinds, chars):  # type: ignore[no-untyped-def]
    for index in range(starts.shape[0]):
        position, end = np.uint64(starts[index]), np.uint64(ends[index])
        count = black = marks = japanese = 0
        while position < end:
            point, position = next_point(data, position)
            count += 1
            black += point > 0x20 and point != 0x3000
            if point < 0x80:
                marks += symbols[point]
            else:
                japanese += (
                    0x3041 <= point <= 0x30FF or 0x4E00 <= point <= 0x9FFF or 0x3400 <= point <= 0x4DBF
                    or 0x20000 <= point <= 0x3FFFF or 0xF900 <= point <= 0xFAFF or 0xFF66 <= point <= 0xFF9F
                    or point == 0x3005
                )  # fmt: skip
        chars[index] = count
        if fenced[index]:
            kinds[index] = 2
        elif japanese:
            kinds[index] = 0
        else:
            kinds[index] = 2 if marks * _SYMBOL_SHARE >= black and marks else 1


class Lines(NamedTuple):
    """The non-empty lines of a batch of documents."""

    found: Units
    kinds: npt.NDArray[np.uint8]
    chars: I64


def lines_of(column: pa.Array) -> Lines:
    """Where the lines of documents lie, of which kind each is, and its characters.

    >>> text = pa.array(["吾輩は猫\\nIt is a cat.\\nx = f(y);\\n```\\nこれはコード\\n```\\n"])
    >>> [KINDS[kind] for kind in lines_of(text).kinds]
    ['japanese', 'english', 'code', 'code', 'code', 'code']
    """
    found = units(column, "line", code=True)
    prose = units(column, "line")
    fenced = ~np.isin(found.starts, prose.starts, assume_unique=True)
    kinds, chars = np.empty(len(fenced), dtype=np.uint8), np.empty(len(fenced), dtype=np.int64)
    _kinds(buffers(column).data, found.starts, found.ends, fenced, _SYMBOLS, kinds, chars)
    return Lines(found, kinds, chars)


def _cells(batch: pa.RecordBatch, lines: Lines, sources: Sequence[str]) -> I64:
    """The cell, source x 3 + kind, of each line of a batch."""
    rows = pc.index_in(batch.column("source"), pa.array(sources, pa.string())).to_numpy(zero_copy_only=False)
    return np.asarray(rows[lines.found.rows] * len(KINDS) + lines.kinds, dtype=np.int64)


def count(corpus: Artifact) -> tuple[tuple[str, ...], F64]:
    """Characters of the train split. Returns the sources in the corpus' order, and shape (sources, 3)."""
    sources: list[str] = []
    totals = np.zeros((0, len(KINDS)))
    for batch in read_documents(corpus, ["source", "text"], split="train"):
        new = [name for name in pc.unique(batch.column("source")).to_pylist() if name not in sources]
        if new:
            sources += new
            totals = np.vstack([totals, np.zeros((len(new), len(KINDS)))])
        lines = lines_of(batch.column("text"))
        cells = _cells(batch, lines, sources)
        totals += np.bincount(cells, weights=lines.chars, minlength=totals.size).reshape(totals.shape)
    return tuple(sources), totals


def sample(
    corpus: Artifact,
    *,
    weights: Mapping[str, float] | None,
    shares: Shares | None,
    max_chars: int,
    short: Literal["error", "less", "repeat"],
    seed: int,
) -> TrainingText:
    """Take lines of the train split so that sources and kinds have their shares.

    Raises:
        UsageError, DataError: as `budgets`.
    """
    sources, totals = count(corpus)
    wanted = budgets(sources, totals, weights=weights, shares=shares, max_chars=max_chars, short=short)
    rates = np.divide(wanted, totals, out=np.zeros_like(totals), where=totals > 0).ravel()
    seen = np.full(rates.size, seed, dtype=np.int64)
    taken: list[tuple[pa.Array, I64]] = []
    for batch in read_documents(corpus, ["source", "text"], split="train"):
        lines = lines_of(batch.column("text"))
        cells = _cells(batch, lines, sources)
        copies = _copies(cells, rates, seen)
        chosen = np.repeat(np.flatnonzero(copies), copies[copies > 0])
        taken.append((texts(batch.column("text"), lines.found.take(chosen)), cells[chosen]))
    cells = np.concatenate([cells for _, cells in taken])
    frame = pl.DataFrame({
        "line": pl.Series(pl.from_arrow(pa.chunked_array([column for column, _ in taken], pa.string()))),
        "source": (cells // len(KINDS)).astype(np.uint32),
        "kind": (cells % len(KINDS)).astype(np.uint8),
    })  # fmt: skip
    frame = _cut_long(frame)
    return TrainingText(frame["line"], frame["source"], frame["kind"], sources)


def _copies(cells: I64, rates: F64, seen: I64) -> I64:
    """How often each line is taken; counts the lines of each cell in `seen`."""
    order = np.argsort(cells, kind="stable")
    sizes = np.bincount(cells, minlength=rates.size)
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    index = np.empty(len(cells), dtype=np.int64)
    index[order] = np.arange(len(cells)) - first
    index += seen[cells]
    seen += sizes
    places = (index.astype(np.uint64) * _GOLDEN) / np.float64(2**64)
    whole = np.floor(rates[cells])
    return np.asarray(whole + (places < rates[cells] - whole), dtype=np.int64)


def _cut_long(frame: pl.DataFrame) -> pl.DataFrame:
    cut = pl.col("line").str.extract_all(rf"(?s).{{1,{MAX_LINE_CHARS}}}")
    return frame.with_columns(cut).explode("line")
