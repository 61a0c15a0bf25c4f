"""Training text of a vocabulary extension as columns: which runs of base tokens a new piece may join, and how often.

    units = collect_units(lines, base, "short")
    units.symbols[units.offsets[3] : units.offsets[4]], units.counts[3]

A *unit* is a run of base tokens inside one word of one pre-token, as the base tokenizer cuts it in its context. Most
text repeats words: units are counted once each, so what the learner sees is 5 to 20 times smaller than the text.
Refused: encoding each word by itself; base tokens that span a word boundary (です。) would be cut apart in training and
never in use, and pieces learned there would not be met again.

A character that the base spells in byte tokens (SentencePiece with byte fallback) is one symbol, CHARACTER + its code
point: merges cannot make a piece of byte tokens, but the character itself can become a piece.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numba
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from jpfm.tokens.morphemes import CUT, cut_words
from jpfm.tokens.tokenizer_config import Morphemes

CHARACTER = 1 << 24
"""Symbols from here on are characters without a piece."""
_BATCH_CHARS = 2_000_000
_jit: Any = numba.njit(cache=True, nogil=True)


class Encodes(Protocol):
    """What units need of a base tokenizer."""

    @property
    def text(self) -> Any:
        """tokenizers.Tokenizer that takes names of special tokens for text."""

    @property
    def ordinary(self) -> npt.NDArray[np.bool_]:
        """Whether an id is a model piece that spells text; shape (ids,)."""

    @property
    def byte_tokens(self) -> npt.NDArray[np.bool_]:
        """Whether an id is a byte token such as <0xE3>; shape (ids,)."""


class Units(NamedTuple):
    """Distinct units in the order of their symbols' bytes."""

    symbols: npt.NDArray[np.int64]
    """Base ids and characters, one unit after the other."""
    offsets: npt.NDArray[np.int64]
    """First symbol of each unit, and the end; shape (units + 1,)."""
    counts: npt.NDArray[np.int64]
    """How often each unit stands in the text; shape (units,)."""
    tokens: int
    """Base tokens of all text, in units or not."""
    token_counts: npt.NDArray[np.int64]
    """How often each base id stands in all text; shape (ids,)."""


class Tokens(NamedTuple):
    """Encoded lines with their places in the text."""

    ids: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    """First character, counted over all lines with one between two of them."""
    ends: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    """Number of the pre-token, over all lines; -1 for an added token."""


@_jit
def _symbols(ids, starts, ends, words, ordinary, byte_tokens, points, boundary, out, linked):  # type: ignore[no-untyped-def]
    """Tokens to symbols; `linked[i]`: symbol i and the one before may be joined. Returns how many symbols."""
    count, token = 0, 0
    last_end, last_word, last_ok = -1, -1, False
    while token < len(ids):
        symbol, start, end, word = ids[token], starts[token], ends[token], words[token]
        usable = ordinary[symbol]
        if byte_tokens[symbol]:
            stop = token + 1
            while stop < len(ids) and byte_tokens[ids[stop]] and starts[stop] == start and words[stop] == word:
                stop += 1
            usable = end == start + 1
            if usable:
                symbol = CHARACTER + points[start]
            token = stop
        else:
            token += 1
        for place in range(start + 1, end):
            usable = usable and not boundary[place]
        usable = usable and word >= 0
        out[count] = symbol
        cut = start >= last_end and boundary[start]
        linked[count] = usable and last_ok and word == last_word and not cut
        last_end, last_word, last_ok = end, word, usable
        count += 1
    return count


def collect_units(lines: Iterable[pl.Series], base: Encodes, morphemes: Morphemes) -> Units:
    """Encode lines, cut them into units and count those.

    Args:
        lines: chunks of text lines; as many as one wants, they are streamed.
        morphemes: where words end (`jpfm.tokens.morphemes`); `none` cuts at pre-tokens only.
    """
    tables: list[pa.Table] = []
    token_counts = np.zeros(len(base.ordinary), dtype=np.int64)
    for chunk in _chunks(lines):
        units, counted = _units_of(chunk, base, morphemes)
        token_counts += counted
        tables.append(pa.table({"unit": units, "count": np.ones(len(units), dtype=np.int64)}))
        if len(tables) == 16:
            tables = [_summed(tables)]
    summed = _summed(tables).sort_by("unit") if tables else pa.table({"unit": pa.array([], pa.large_binary()),
                                                                      "count": pa.array([], pa.int64())})  # fmt: skip
    column = summed["unit"].combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    _, offsets, data = column.buffers()
    places = np.frombuffer(offsets, dtype=np.int64)[column.offset : column.offset + len(column) + 1] if offsets else [0]
    symbols = np.frombuffer(data, dtype=np.int32) if data is not None and data.size else np.zeros(0, dtype=np.int32)
    ends = np.asarray(places, dtype=np.int64) // 4
    return Units(
        symbols[ends[0] : ends[-1]].astype(np.int64), ends - ends[0], summed["count"].to_numpy().astype(np.int64),
        int(token_counts.sum()), token_counts,
    )  # fmt: skip


def _summed(tables: Sequence[pa.Table]) -> pa.Table:
    table = pa.concat_tables(tables).group_by("unit").aggregate([("count", "sum")])
    return table.select(["unit", "count_sum"]).rename_columns(["unit", "count"])


def _chunks(lines: Iterable[pl.Series]) -> Iterator[pl.Series]:
    waiting: list[pl.Series] = []
    size = 0
    for part in lines:
        waiting.append(part)
        size += int(part.str.len_chars().sum())
        if size >= _BATCH_CHARS:
            yield pl.concat(waiting)
            waiting, size = [], 0
    if waiting:
        yield pl.concat(waiting)


def _units_of(lines: pl.Series, base: Encodes, morphemes: Morphemes) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """The units of one chunk as a binary column (int32 symbols), and how often each base id stands in it."""
    lines = lines.rename("line").filter(lines.str.contains(r"[^\s]") & ~lines.str.contains(r"[\x00\x1f]"))
    marked = cut_words(lines, morphemes)
    same = marked.str.replace_all(CUT, "", literal=True) == lines  # the analyser may stumble over a control character
    lines, marked = lines.filter(same), marked.filter(same)
    points = _code_points(lines)
    boundary = np.zeros(len(points) + 1, dtype=np.bool_)
    cut = _code_points(marked) == ord(CUT)
    boundary[np.flatnonzero(cut) - np.arange(np.count_nonzero(cut))] = True
    found = encode_with_places(base.text, lines)
    symbols = np.empty(len(found.ids), dtype=np.int64)
    linked = np.empty(len(found.ids), dtype=np.bool_)
    count = _symbols(*found, base.ordinary, base.byte_tokens, points, boundary, symbols, linked)
    symbols, linked = symbols[:count], linked[:count]
    member = linked.copy()
    member[:-1] |= linked[1:]  # the first of a run; a character without a piece is a unit by itself
    member |= symbols >= CHARACTER
    first = np.flatnonzero(member & ~linked)
    places = np.concatenate([np.cumsum(member) - member, [np.count_nonzero(member)]])
    offsets = np.concatenate([places[first], places[-1:]]).astype(np.int64) * 4
    data = symbols[member].astype(np.int32)
    column = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(first), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )
    return column, np.bincount(found.ids, minlength=len(base.ordinary))


def _code_points(lines: pl.Series) -> npt.NDArray[np.uint32]:
    """Characters of all lines, one line end between two."""
    return np.frombuffer("\n".join(lines.to_list()).encode("utf-32-le"), dtype=np.uint32)


def encode_with_places(tokenizer: Any, lines: pl.Series) -> Tokens:
    """Encode lines with the places of their tokens. The one loop over lines: the library answers line by line."""
    if not len(lines):
        nothing = np.zeros(0, dtype=np.int64)
        return Tokens(nothing, nothing, nothing, nothing)
    encodings = tokenizer.encode_batch(lines.to_list(), add_special_tokens=False)
    counts = np.array([len(encoding) for encoding in encodings], dtype=np.int64)
    total = int(counts.sum())
    ids = np.fromiter(itertools.chain.from_iterable(e.ids for e in encodings), dtype=np.int64, count=total)
    flat = itertools.chain.from_iterable(itertools.chain.from_iterable(e.offsets for e in encodings))
    places = np.fromiter(flat, dtype=np.int64, count=2 * total).reshape(-1, 2)
    words = np.fromiter(
        (-1 if word is None else word for e in encodings for word in e.word_ids), dtype=np.int64, count=total
    )
    sizes = lines.str.len_chars().to_numpy().astype(np.int64) + 1
    shift = np.repeat(np.cumsum(sizes) - sizes, counts)
    lines_of = np.repeat(np.arange(len(lines), dtype=np.int64) << 32, counts)
    return Tokens(ids, places[:, 0] + shift, places[:, 1] + shift, np.where(words < 0, -1, words + lines_of))
