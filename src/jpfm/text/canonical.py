"""Numba functions on characters in UTF-8 buffers, and canonical composition (NFC) at one place of a text.

Numba keeps compiled code per file: after a change here, touch `text/rewrite.py`, or it goes on with the old one.
"""
# ruff: noqa: PLR1714  (Numba makes jumps of comparisons and loops of sets and tuples)

from typing import Any

import numba
import numpy as np

from jpfm.text.width import CANONICAL, HEAD_BITS, JOINER, KIND_BITS, LINE_END, REMOVE, TARGET_BITS

_jit: Any = numba.njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
_TARGET_MASK, _KIND_MASK = (1 << TARGET_BITS) - 1, (1 << KIND_BITS) - 1


@_jit
def point_at(data, position):  # type: ignore[no-untyped-def]
    """Decode one code point of valid UTF-8: (code point, next position)."""
    lead = np.int64(data[position])
    if lead < 0x80:
        return lead, position + 1
    second = np.int64(data[position + 1]) & 0x3F
    if lead < 0xE0:
        return (lead & 0x1F) << 6 | second, position + 2
    third = np.int64(data[position + 2]) & 0x3F
    if lead < 0xF0:
        return (lead & 0x0F) << 12 | second << 6 | third, position + 3
    return (lead & 0x07) << 18 | second << 12 | third << 6 | np.int64(data[position + 3]) & 0x3F, position + 4


@_jit
def point_before(out, at, first):  # type: ignore[no-untyped-def]
    """The code point before `at` and where it begins; (-1, at) at the start of the row, `first`."""
    if at <= first:
        return np.int64(-1), at
    start = at - 1
    while out[start] & 0xC0 == 0x80:
        start -= 1
    return point_at(out, start)[0], start


@_jit
def put(out, at, point):  # type: ignore[no-untyped-def]
    """Encode a code point at `at`; returns the end."""
    if point < 0x80:
        out[at] = point
        return at + 1
    if point < 0x800:
        out[at] = 0xC0 | point >> 6
        out[at + 1] = 0x80 | point & 0x3F
        return at + 2
    if point < 0x10000:
        out[at] = 0xE0 | point >> 12
        out[at + 1] = 0x80 | point >> 6 & 0x3F
        out[at + 2] = 0x80 | point & 0x3F
        return at + 3
    out[at] = 0xF0 | point >> 18
    out[at + 1] = 0x80 | point >> 12 & 0x3F
    out[at + 2] = 0x80 | point >> 6 & 0x3F
    out[at + 3] = 0x80 | point & 0x3F
    return at + 4


@_jit
def find(keys, values, key):  # type: ignore[no-untyped-def]
    """The value of `key`, or -1."""
    low, high = 0, keys.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return values[low] if low < keys.shape[0] and keys[low] == key else np.int64(-1)


@_jit
def pair(keys, values, first, second):  # type: ignore[no-untyped-def]
    """What two characters compose to, or -1."""
    return find(keys, values, first << 21 | second) if first > 0 else np.int64(-1)


@_jit
def combining(keys, values, point):  # type: ignore[no-untyped-def]
    """The canonical combining class; 0 for a base."""
    return max(find(keys, values, point), 0) if point > 0x2FF else np.int64(0)


@_jit
def entry_of(lookup, code, point):  # type: ignore[no-untyped-def]
    """The table's entry: rule << 25 | kind << 21 | replacement, or 0."""
    return np.int64(lookup[np.int64(lookup[code << HEAD_BITS | point >> 8]) + (point & 0xFF)])


@_jit
def next_kept(data, position, end, lookup):  # type: ignore[no-untyped-def]
    """The next character of the line as text rules leave it, and the position after it; -1 at the line's end."""
    while position < end:
        point, position = point_at(data, position)
        entry = entry_of(lookup, 0, point)
        kind = entry >> TARGET_BITS & _KIND_MASK
        if kind == LINE_END:
            break
        if kind != REMOVE and kind != JOINER:
            return (entry & _TARGET_MASK if entry else point), position
    return np.int64(-1), position


@_jit
def _split(keys, values, parts, point, buffer, size):  # type: ignore[no-untyped-def]
    """Append a character's canonical decomposition to the buffer; returns (buffer, size)."""
    if size + 4 > buffer.shape[0]:
        larger = np.empty(2 * buffer.shape[0], dtype=np.int64)
        for index in range(size):
            larger[index] = buffer[index]
        buffer = larger
    place = find(keys, values, -point)
    if place < 0:
        buffer[size] = point
        return buffer, size + 1
    for index in range(place & 7):
        buffer[size + index] = parts[(place >> 3) + index]
    return buffer, size + (place & 7)


@_jit
def _compose(keys, values, buffer, size):  # type: ignore[no-untyped-def]
    """Order the marks of a decomposed sequence and compose it, in place; returns its new size.

    Source: Unicode Standard, section 3.11, D108-D117. The sort is by counting: a long pile of marks stays linear.
    """
    classes = np.empty(size, dtype=np.int64)
    for index in range(size):
        classes[index] = combining(keys, values, buffer[index])
    start = 0
    while start < size:
        stop = start
        while stop < size and classes[stop] > 0:
            stop += 1
        if stop - start > 1:
            points, ends = np.empty(stop - start, dtype=np.int64), np.zeros(257, dtype=np.int64)
            for index in range(start, stop):
                points[index - start] = buffer[index]
                ends[classes[index] + 1] += 1
            for index in range(1, 257):
                ends[index] += ends[index - 1]
            for index in range(stop - start):
                mark = combining(keys, values, points[index])
                buffer[start + ends[mark]] = points[index]
                ends[mark] += 1
            for index in range(start, stop):
                classes[index] = combining(keys, values, buffer[index])
        start = stop + 1
    base, last, kept = -1, np.int64(-1), 0
    for index in range(size):
        point, mark = buffer[index], classes[index]
        composed = pair(keys, values, buffer[base], point) if base >= 0 and last < mark else np.int64(-1)
        if composed >= 0:
            buffer[base] = composed
            continue
        if mark == 0:
            base, last = kept, np.int64(-1)
        else:
            last = mark
        buffer[kept] = point
        kept += 1
    return kept


@_jit
def recompose(data, position, end, lookup, keys, values, parts, out, at, first):  # type: ignore[no-untyped-def]
    """Compose at a character that NFC may change, with the marks that follow it in the input.

    The last base of the output is taken back with its marks and put again.

    Returns:
        (where the output changed, its new end, next input position); the end is -1 where `out` has not enough room.
    """
    buffer = np.empty(32, dtype=np.int64)
    size, changed = np.int64(0), at
    while changed > first:
        point, changed = point_before(out, changed, first)
        if combining(keys, values, point) == 0:
            break
    reading = changed
    while reading < at:
        point, reading = point_at(out, reading)
        buffer, size = _split(keys, values, parts, point, buffer, size)
    point, position = point_at(data, position)
    buffer, size = _split(keys, values, parts, point, buffer, size)
    ahead = position
    while ahead < end:
        point, ahead = point_at(data, ahead)
        kind = entry_of(lookup, 0, point) >> TARGET_BITS & _KIND_MASK
        if kind == CANONICAL and combining(keys, values, point) > 0:
            buffer, size = _split(keys, values, parts, point, buffer, size)
            position = ahead
        elif kind != REMOVE and kind != JOINER:
            break
    size = _compose(keys, values, buffer, size)
    if changed + 4 * size > out.shape[0]:
        return changed, np.int64(-1), position
    at = changed
    for index in range(size):
        at = put(out, at, buffer[index])
    return changed, at, position
