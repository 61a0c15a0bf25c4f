"""JSON Lines as columns: the values of named fields of a whole block, without an object for a line.

    found = scan(block, ("text", "title"))       # found.lines[i]: BLANK, RECORD or OTHER
    rows = np.flatnonzero(found.lines == RECORD)
    found.strings(0, rows)                       # a pa.StringArray of the first field

A RECORD has the values that `json.loads` gives; an OTHER line is for `json.loads` itself to read or to refuse
(`json_kernel` says when). So nothing is read otherwise than Python reads it, at 1,100 MB/s where the values are found
and 2,000 where they are copied.

Refused: pyarrow.json and polars.read_ndjson. Both guess a type for every field of a block, merge or refuse lines that
differ, take lone surrogates and equal names otherwise than Python, and give no line numbers.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jpfm.data.sources.json_kernel import ABSENT, ESCAPED, INTEGER, PLAIN, VALUE, hex_unit, scan_lines
from jpfm.text.kernels import buffers

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
_jit: Any = numba.njit(cache=True, nogil=True)


@_jit
def _put(out, size, point):  # type: ignore[no-untyped-def]
    """Write a code point as UTF-8; returns the size after it."""
    if point < 0x80:
        out[size] = point
        return size + np.uint64(1)
    if point < 0x800:
        out[size] = 0xC0 | (point >> 6)
    elif point < 0x10000:
        out[size] = 0xE0 | (point >> 12)
        size += np.uint64(1)
        out[size] = 0x80 | ((point >> 6) & 0x3F)
    else:
        out[size] = 0xF0 | (point >> 18)
        size += np.uint64(1)
        out[size] = 0x80 | ((point >> 12) & 0x3F)
        size += np.uint64(1)
        out[size] = 0x80 | ((point >> 6) & 0x3F)
    out[size + np.uint64(1)] = 0x80 | (point & 0x3F)
    return size + np.uint64(2)


@_jit
def _put_escape(data, at, stop, out, size):  # type: ignore[no-untyped-def]
    """Write what a valid escape stands for: (position after it, size after it)."""
    letter = data[at + np.uint64(1)]
    if letter != 117:
        if letter == 98:
            letter = 8
        elif letter == 102:
            letter = 12
        elif letter == 110:
            letter = 10
        elif letter == 114:
            letter = 13
        elif letter == 116:
            letter = 9
        out[size] = letter
        return at + np.uint64(2), size + np.uint64(1)
    point = hex_unit(data, at + np.uint64(2), stop)
    at += np.uint64(6)
    if 0xD800 <= point < 0xDC00:
        point = 0x10000 + ((point - 0xD800) << 10) + hex_unit(data, at + np.uint64(2), stop) - 0xDC00
        at += np.uint64(6)
    return at, _put(out, size, point)


@_jit
def _strings(data, kinds, starts, stops, offsets, out):  # type: ignore[no-untyped-def]
    """Write the rows' values one after the other; what is neither a string nor a wanted whole number is empty."""
    size = np.uint64(0)
    for row in range(kinds.shape[0]):
        if kinds[row] != ABSENT:
            at, stop = np.uint64(starts[row]), np.uint64(stops[row])
            if kinds[row] != ESCAPED:
                length = stop - at
                out[size : size + length] = data[at:stop]
                size += length
            else:
                while at < stop:
                    if data[at] == 92:
                        at, size = _put_escape(data, at, stop, out, size)
                    else:
                        out[size] = data[at]
                        at += np.uint64(1)
                        size += np.uint64(1)
        offsets[row + 1] = size


@_jit
def _space(data, at):  # type: ignore[no-untyped-def]
    """The bytes of the space at a position of valid UTF-8, as `str.isspace` has it; 0 for another letter."""
    lead = data[at]
    if lead < 0x80:
        return np.uint64(9 <= lead <= 13 or 28 <= lead <= 32)
    if lead == 0xC2:
        second = data[at + np.uint64(1)]
        return np.uint64(2 * (second in (0x85, 0xA0)))
    if lead < 0xE1 or lead > 0xE3:
        return np.uint64(0)
    second, third = data[at + np.uint64(1)], data[at + np.uint64(2)]
    if lead == 0xE1:
        found = second == 0x9A and third == 0x80
    elif lead == 0xE3:
        found = second == 0x80 and third == 0x80
    elif second == 0x80:
        found = third <= 0x8A or third in (0xA8, 0xA9, 0xAF)
    else:
        found = second == 0x81 and third == 0x9F
    return np.uint64(3 * found)


@_jit
def _sizes(data, offsets, chars, blank):  # type: ignore[no-untyped-def]
    for row in range(chars.shape[0]):
        count = 0
        for place in range(np.uint64(offsets[row]), np.uint64(offsets[row + 1])):
            count += (data[place] & 0xC0) != 0x80
        chars[row] = count
        at, stop = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        while at < stop:
            step = _space(data, at)
            if step == 0:
                break
            at += step
        blank[row] = at >= stop


def sizes(texts: pa.StringArray) -> tuple[Positions, npt.NDArray[np.bool_]]:
    """The characters of each text, and whether it has none that `str.strip` leaves. Shapes (n,)."""
    chars, blank = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=np.bool_)
    found = buffers(texts)
    _sizes(found.data, found.offsets, chars, blank)
    return chars, blank


class Scanned(NamedTuple):
    """The lines of a block, and where the fields' values stand in it. Shapes (num_lines,), (num_lines, num_fields)."""

    data: Bytes
    bounds: Positions
    """Line i is data[bounds[i] : bounds[i + 1] - 1]. Shape (num_lines + 1,)."""
    lines: npt.NDArray[np.uint8]
    kinds: npt.NDArray[np.uint8]
    starts: Positions
    stops: Positions

    def text(self, line: int) -> str:
        """A line without its end."""
        return self.data[self.bounds[line] : self.bounds[line + 1] - 1].tobytes().decode()

    def span(self, line: int, field: int) -> str:
        """The value of a field as JSON, quotes and all."""
        quote = self.kinds[line, field] in (PLAIN, ESCAPED)
        return self.data[self.starts[line, field] - quote : self.stops[line, field] + quote].tobytes().decode()

    def strings(self, field: int, rows: npt.NDArray[np.intp], *, integers: bool = False) -> pa.StringArray:
        """A field of some lines; empty where it is no string.

        Args:
            integers: whole numbers are taken as they are written.
        """
        kinds = self.kinds[rows, field]
        kinds[(kinds == VALUE) | ((kinds == INTEGER) & (not integers))] = ABSENT
        starts, stops = self.starts[rows, field], self.stops[rows, field]
        offsets = np.zeros(len(rows) + 1, dtype=np.int32)
        out = np.empty(int((stops - starts)[kinds != ABSENT].sum()) + 1, dtype=np.uint8)
        _strings(self.data, kinds, starts, stops, offsets, out)
        return pa.StringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(out[: offsets[-1]]))


def scan(block: bytes, names: Sequence[str]) -> Scanned:
    """Find the fields of every line of a block.

    Args:
        block: valid UTF-8 of less than 2 GiB, lines with a newline between; a newline at the end begins no line.
        names: fields to find, each once.
    """
    data = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero(data == 10) + 1
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block) + 1)
    bounds = np.concatenate([[0], ends]).astype(np.int64)
    written = [name.encode("utf-8", "surrogatepass") for name in names]
    shape = (len(bounds) - 1, len(names))
    found = Scanned(
        data, bounds, np.zeros(shape[0], dtype=np.uint8), np.zeros(shape, dtype=np.uint8),
        np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64),
    )  # fmt: skip
    joined = np.frombuffer(b"".join(written) or b"\0", dtype=np.uint8)
    scan_lines(data, joined, np.cumsum([len(name) for name in written]), *found[1:])
    return found
