"""Lines, paragraphs and stretches of prose of whole columns: where each lies, and a hash that finds it elsewhere.

    found = units(batch.column("text"), "line", minimum_chars=12)       # where each line lies
    keys = hashes(batch.column("text"), found)                          # shape (num_lines,)
    prose = segments(batch.column("text"))                              # what lies between blocks of fenced code

One pass over the bytes. Lines end at U+000A. Fenced code, its fences included, is in no unit unless `code` asks for it;
what opens a fence is judged by `text.fences`. The hash (64 bits, of the UTF-8 bytes, eight at a time) is the same on
every machine and in every version. Refused: splitting into an Arrow list of lines, which copies the text and hashes it
a second time (9 MB/s a core for what takes 700 here).
"""

from typing import Any, Literal, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jpfm.text.fences import OPEN, STATE, line_is_code, may_be_fence, new_document, reopen
from jpfm.text.kernels import buffers, mix
from jpfm.text.width import HEAD_BITS

Unit = Literal["line", "paragraph", "prose"]
_LINE, _PARAGRAPH, _PROSE = range(3)
_KINDS: dict[Unit, int] = {"line": _LINE, "paragraph": _PARAGRAPH, "prose": _PROSE}
_NO_RULES = np.append(np.full(2 << HEAD_BITS, 2 << HEAD_BITS), np.zeros(256)).astype(np.uint32)
"""For `text.fences`: the text is read as it is."""

I64 = npt.NDArray[np.int64]
_jit: Any = numba.njit(cache=True, nogil=True)


class Units(NamedTuple):
    """Units of a column in reading order. Shapes (k,)."""

    rows: I64
    starts: I64
    """First byte, in the column's data buffer."""
    ends: I64
    """Behind the last byte; the line end that follows is no part of the unit."""

    def take(self, places: I64) -> "Units":
        """Some of them."""
        return Units(*(values[places] for values in self))


class Segments(NamedTuple):
    """Stretches of text as rows of a column of their own, over the same memory."""

    column: pa.StringArray
    """Row 2 i is stretch i; the rows between hold what was left out."""
    units: Units
    """The document of each stretch, and where it lies: the same bytes in both columns."""


@_jit
def _word(data, at):  # type: ignore[no-untyped-def]
    """Eight bytes as one number; compiles to one load."""
    return (
        np.uint64(data[at]) | np.uint64(data[at + np.uint64(1)]) << np.uint64(8)
        | np.uint64(data[at + np.uint64(2)]) << np.uint64(16) | np.uint64(data[at + np.uint64(3)]) << np.uint64(24)
        | np.uint64(data[at + np.uint64(4)]) << np.uint64(32) | np.uint64(data[at + np.uint64(5)]) << np.uint64(40)
        | np.uint64(data[at + np.uint64(6)]) << np.uint64(48) | np.uint64(data[at + np.uint64(7)]) << np.uint64(56)
    )  # fmt: skip


@_jit
def _hash_bytes(data, start, end, seed):  # type: ignore[no-untyped-def]
    at, stop = np.uint64(start), np.uint64(end)
    state = seed + (stop - at) * np.uint64(0x9E3779B97F4A7C15)
    while at + np.uint64(8) <= stop:
        state = (state ^ _word(data, at)) * np.uint64(0x9FB21C651E98DF25)
        state ^= state >> np.uint64(29)
        at += np.uint64(8)
    tail = np.uint64(0)
    while at < stop:
        tail = tail << np.uint64(8) | np.uint64(data[at])
        at += np.uint64(1)
    return max(mix((state ^ tail) * np.uint64(0x9FB21C651E98DF25)), np.uint64(1))


@_jit
def _is_long(data, start, end, minimum):  # type: ignore[no-untyped-def]
    """Whether there are at least so many characters."""
    if end - start < minimum or end - start >= 4 * minimum:
        return end - start >= minimum
    count = 0
    for at in range(np.uint64(start), np.uint64(end)):
        count += data[at] & 0xC0 != 0x80
    return count >= minimum


@_jit
def _is_blank(data, at, end):  # type: ignore[no-untyped-def]
    while at < end:
        if data[at] == 0xE3 and at + 2 < end and data[at + 1] == 0x80 and data[at + 2] == 0x80:  # U+3000
            at += 3
        elif data[at] == 0x20 or 0x09 <= data[at] <= 0x0D:
            at += 1
        else:
            return False
    return True


@_jit
def _line_end(data, at, end):  # type: ignore[no-untyped-def]
    place, stop = np.uint64(at), np.uint64(end)
    while place < stop and data[place] != 0x0A:
        place += np.uint64(1)
    return np.int64(place)


@_jit
def _units(offsets, data, kind, code, minimum, lookup, rows, starts, ends):  # type: ignore[no-untyped-def]
    state = np.zeros(STATE, dtype=np.int64)
    at = 0
    for row in range(offsets.shape[0] - 1):
        position, end = np.int64(offsets[row]), np.int64(offsets[row + 1])
        new_document(state)
        start, stop = position, position  # the unit that is being read; none where they are equal
        opened = (position, at, start, stop)
        while position < end:
            line_end = _line_end(data, position, end)
            is_code = False
            if not code:
                was_open = state[OPEN]
                if may_be_fence(data, position, line_end):
                    is_code = line_is_code(data, position, line_end, lookup, True, False, state) == 1
                    if state[OPEN] and not was_open:
                        opened = (position, at, start, stop)
                is_code |= state[OPEN] != 0 or was_open != 0
            ends_unit = is_code or (kind == _PARAGRAPH and _is_blank(data, position, line_end))
            if not ends_unit:
                start, stop = position if start == stop else start, line_end
            if start < stop and (ends_unit or kind == _LINE or line_end == end):
                if _is_long(data, start, stop, minimum):
                    rows[at], starts[at], ends[at] = row, start, stop
                    at += 1
                start = stop
            position = line_end + 1
            if position >= end and state[OPEN]:  # nothing closes the fence: again, and what follows it is text
                reopen(state)
                position, at, start, stop = opened
        if start < stop and _is_long(data, start, stop, minimum):  # the text ends with a line end
            rows[at], starts[at], ends[at] = row, start, stop
            at += 1
    return at


@_jit
def hash_spans(data, seeds, rows, starts, ends, out):  # type: ignore[no-untyped-def]
    """A 64-bit hash of each data[starts[i]:ends[i]] and seeds[rows[i]], never 0. Not cryptographic."""
    for index in range(out.shape[0]):
        out[index] = _hash_bytes(data, starts[index], ends[index], seeds[rows[index]])


@_jit
def _copy_all(data, starts, ends, offsets, out):  # type: ignore[no-untyped-def]
    for index in range(starts.shape[0]):
        out[offsets[index] : offsets[index + 1]] = data[starts[index] : ends[index]]


def units(column: pa.Array, unit: Unit, *, minimum_chars: int = 1, code: bool = False) -> Units:
    """The lines, paragraphs (lines between blank ones) or stretches of prose (lines between fenced code) of documents.

    >>> texts = pa.array(["一行目\\n\\n二行目\\n三行目\\n```\\nx = 1\\n```\\n四行目"])
    >>> data = texts[0].as_py().encode()
    >>> [[data[a:b].decode() for a, b in zip(found.starts, found.ends)]
    ...  for found in (units(texts, "line"), units(texts, "paragraph"))]
    [['一行目', '二行目', '三行目', '四行目'], ['一行目', '二行目\\n三行目', '四行目']]

    Args:
        column: string array of n documents.
        minimum_chars: shorter ones are left out.
        code: fenced code is text like any other.
    """
    view = buffers(column)
    text = view.data[int(view.offsets[0]) : int(view.offsets[-1])]
    capacity = int(np.count_nonzero(text == 0x0A)) + len(column) + 1
    rows, starts, ends = (np.empty(capacity, dtype=np.int64) for _ in range(3))
    count = _units(view.offsets, view.data, _KINDS[unit], code, minimum_chars, _NO_RULES, rows, starts, ends)
    return Units(rows[:count], starts[:count], ends[:count])


def hashes(column: pa.Array, found: Units, seeds: npt.NDArray[np.uint64] | None = None) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each unit's text, never 0. Not cryptographic.

    Args:
        seeds: a number for each document, e.g. a hash of its source; equal texts with other seeds have other hashes.
    """
    out = np.empty(len(found.rows), dtype=np.uint64)
    seeds = np.zeros(len(column), dtype=np.uint64) if seeds is None else seeds
    hash_spans(buffers(column).data, seeds, found.rows, found.starts, found.ends, out)
    return out


def texts(column: pa.Array, found: Units) -> pa.StringArray:
    """The text of each unit."""
    offsets = np.append(0, np.cumsum(found.ends - found.starts)).astype(np.int32)
    out = np.empty(int(offsets[-1]), dtype=np.uint8)
    _copy_all(buffers(column).data, found.starts, found.ends, offsets, out)
    return pa.StringArray.from_buffers(len(found.rows), pa.py_buffer(offsets), pa.py_buffer(out))


def segments(column: pa.Array, *, code: bool = False) -> Segments:
    """The stretches of prose between blocks of fenced code as rows of a column; nothing is copied.

    >>> found = segments(pa.array(["前\\n```\\nx\\n```\\n後", "次"]))
    >>> found.column.to_pylist()[::2], found.units.rows.tolist()
    (['前', '後', '次'], [0, 0, 1])
    """
    found = units(column, "prose", code=code)
    borders = np.stack([found.starts, found.ends], axis=1).ravel().astype(np.int32)
    borders = borders if len(borders) else np.zeros(1, dtype=np.int32)
    data = pa.py_buffer(buffers(column).data)
    return Segments(pa.StringArray.from_buffers(len(borders) - 1, pa.py_buffer(borders), data), found)
