"""Cut byte spans out of texts, and say which characters they were.

    done = cut(column, rows, starts, ends)       # done.column; done.starts and done.lengths in characters

Where a span was all of a line, the line goes with it. What stood on two lines or in two paragraphs still does. Blank
lines around a cut become one, and a text does not begin or end with the blank lines that a cut left; all else stays as
it is, blank lines elsewhere too.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jpfm.text.kernels import buffers

I64 = npt.NDArray[np.int64]
_jit: Any = numba.njit(cache=True, nogil=True)


class Cut(NamedTuple):
    """Texts after cuts, and the cuts as places in the texts before them."""

    column: pa.StringArray
    starts: I64
    """Characters before each span in its text. Shape (k,)."""
    lengths: I64
    """Characters of each span."""


@_jit
def _characters(data, start, end):  # type: ignore[no-untyped-def]
    count = 0
    for at in range(np.uint64(start), np.uint64(end)):
        count += data[at] & 0xC0 != 0x80
    return count


@_jit
def _measure(offsets, data, rows, starts, ends, out_starts, out_lengths):  # type: ignore[no-untyped-def]
    before, position, characters = -1, np.int64(0), 0
    for span in range(rows.shape[0]):
        if rows[span] != before:
            before, position, characters = rows[span], np.int64(offsets[rows[span]]), 0
        characters += _characters(data, position, starts[span])
        out_starts[span] = characters
        out_lengths[span] = _characters(data, starts[span], ends[span])
        characters += out_lengths[span]
        position = ends[span]


@_jit
def _copy(data, start, end, out, at):  # type: ignore[no-untyped-def]
    out[at : at + end - start] = data[start:end]
    return at + end - start


@_jit
def _ends_blank(out, first, at):  # type: ignore[no-untyped-def]
    """Whether a line that is put here would be the first, or stand behind a blank line."""
    return at == first or (out[at - 1] == 0x0A and (at - 1 == first or out[at - 2] == 0x0A))


@_jit
def _line_ends(data, start, end):  # type: ignore[no-untyped-def]
    """The most line ends that stand together, 2 at most."""
    most = together = 0
    for at in range(start, end):
        together = together + 1 if data[at] == 0x0A else 0
        most = max(most, min(together, 2))
    return most


@_jit
def _cut(offsets, data, rows, starts, ends, out_offsets, out):  # type: ignore[no-untyped-def]
    at, span = np.int64(0), 0
    for row in range(offsets.shape[0] - 1):
        first, position, end = at, np.int64(offsets[row]), np.int64(offsets[row + 1])
        while span < rows.shape[0] and rows[span] == row:
            at = _copy(data, position, starts[span], out, at)
            position = ends[span]
            span += 1
            if span < rows.shape[0] and rows[span] == row and starts[span] == position:
                continue
            if at > first and out[at - 1] != 0x0A and position < end and data[position] != 0x0A:
                for _ in range(_line_ends(data, starts[span - 1], position)):  # two lines do not become one
                    out[at] = 0x0A
                    at += 1
            elif at == first or out[at - 1] == 0x0A:  # the span began a line
                if position < end and data[position] == 0x0A:
                    position += 1
                while position < end and data[position] == 0x0A and _ends_blank(out, first, at):
                    position += 1
            if position == end:
                while at > first and out[at - 1] == 0x0A:
                    at -= 1
        at = _copy(data, position, end, out, at)
        out_offsets[row + 1] = at


def cut(column: pa.Array, rows: I64, starts: I64, ends: I64) -> Cut:
    """Take spans out of texts.

    >>> done = cut(pa.array(["本文\\n\\n広告\\n\\n続き", "広告"]), *(np.array(a) for a in ([0, 1], [8, 22], [14, 28])))
    >>> done.column.to_pylist(), done.starts.tolist(), done.lengths.tolist()
    (['本文\\n\\n続き', ''], [4, 0], [2, 2])

    Args:
        column: string array of n documents.
        rows: the document of each span, ascending. Shape (k,).
        starts: first byte in the column's data buffer, ascending; spans do not overlap.
        ends: behind the last byte.
    """
    view = buffers(column)
    out = np.empty(int(view.offsets[-1]) - int(view.offsets[0]), dtype=np.uint8)
    offsets = np.zeros(len(column) + 1, dtype=np.int32)
    out_starts, out_lengths = np.empty(len(rows), dtype=np.int64), np.empty(len(rows), dtype=np.int64)
    _measure(view.offsets, view.data, rows, starts, ends, out_starts, out_lengths)
    _cut(view.offsets, view.data, rows, starts, ends, offsets, out)
    text = pa.StringArray.from_buffers(len(column), pa.py_buffer(offsets), pa.py_buffer(out[: offsets[-1]]))
    return Cut(text, out_starts, out_lengths)
