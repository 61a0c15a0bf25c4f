"""The grammar of JSON as Numba functions: one pass over lines, which notes where the values of named fields stand.

    scan_lines(data, names, name_ends, bounds, lines, kinds, starts, stops)      # see json_lines.scan

A line is RECORD only where it is one JSON object by RFC 8259 and means to `json.loads` just what stands there. All else
is OTHER, for `json.loads` to judge: broken lines, NaN, lone surrogates, a field's name written with an escape, whole
numbers of more than 600 digits, -0, values nested deeper than 60.
"""

from typing import Any

import numba
import numpy as np

BLANK, RECORD, OTHER = 0, 1, 2
ABSENT, PLAIN, ESCAPED, INTEGER, VALUE = 0, 1, 2, 3, 4
"""What a field holds: nothing, a string without or with escapes, a whole number, or any other value."""
_MOST_DIGITS = 600  # Python refuses whole numbers of more than 4,300, or of what it is told, which is 640 at least
_DEEPEST = 60
_END = np.uint64(0)

_jit: Any = numba.njit(cache=True, nogil=True)


def _hex_digits() -> Any:
    """The value of each byte as a hexadecimal digit; of others a number with the bits of -1."""
    values = np.full(256, -1, dtype=np.int64)
    for digits in (b"0123456789abcdef", b"0123456789ABCDEF"):
        values[list(digits)] = np.arange(16)
    return values


_HEX = _hex_digits()


@_jit
def hex_unit(data, at, stop):  # type: ignore[no-untyped-def]
    """The number of four hexadecimal digits, below 0 where they are none."""
    if at + np.uint64(4) > stop:
        return np.int64(-1)
    first, second = _HEX[data[at]], _HEX[data[at + np.uint64(1)]]
    third, fourth = _HEX[data[at + np.uint64(2)]], _HEX[data[at + np.uint64(3)]]
    return first << 12 | second << 8 | third << 4 | fourth


@_jit
def _after_escape(data, at, stop):  # type: ignore[no-untyped-def]
    """The position after the escape at `at`, a pair of surrogates taken together; 0 where it is none or lone."""
    if at + np.uint64(1) >= stop:
        return _END
    letter = data[at + np.uint64(1)]
    if letter != 117:
        return at + np.uint64(2) if letter in (34, 92, 47, 98, 102, 110, 114, 116) else _END  # " \\ / b f n r t
    unit = hex_unit(data, at + np.uint64(2), stop)
    at += np.uint64(6)
    if unit < 0xD800:
        return _END if unit < 0 else at
    if unit >= 0xE000:
        return at
    if unit >= 0xDC00 or at + np.uint64(1) >= stop or data[at] != 92 or data[at + np.uint64(1)] != 117:
        return _END
    low = hex_unit(data, at + np.uint64(2), stop)
    return at + np.uint64(6) if 0xDC00 <= low < 0xE000 else _END


@_jit
def _after_string(data, at, stop):  # type: ignore[no-untyped-def]
    """For a position after a quote: (position after the closing one or 0, whether there are escapes)."""
    escaped = False
    while at < stop:
        letter = data[at]
        if letter == 34:
            return at + np.uint64(1), escaped
        if letter == 92:
            escaped = True
            at = _after_escape(data, at, stop)
            if at == _END:
                return _END, escaped
        elif letter < 32:
            return _END, escaped
        else:
            at += np.uint64(1)
    return _END, escaped


@_jit
def _digits(data, at, stop):  # type: ignore[no-untyped-def]
    while at < stop and 48 <= data[at] <= 57:
        at += np.uint64(1)
    return at


@_jit
def _after_number(data, at, stop):  # type: ignore[no-untyped-def]
    """(position after a number or 0, whether it is a whole one that reads as it is written)."""
    begin = at
    negative = data[at] == 45
    if negative:
        at += np.uint64(1)
    first = at
    at = _digits(data, at, stop)
    if at == first or at - first > _MOST_DIGITS or (data[first] == 48 and at - first > 1):
        return _END, False
    if negative and data[first] == 48 and at - begin == 2 and not (at < stop and data[at] in (46, 69, 101)):
        return _END, False  # -0 is 0
    whole = True
    if at < stop and data[at] == 46:
        whole = False
        at += np.uint64(1)
        first = at
        at = _digits(data, at, stop)
        if at == first:
            return _END, False
    if at < stop and (data[at] in (69, 101)):
        whole = False
        at += np.uint64(1)
        if at < stop and (data[at] in (43, 45)):
            at += np.uint64(1)
        first = at
        at = _digits(data, at, stop)
        if at == first:
            return _END, False
    return at, whole


@_jit
def _is_word(data, at, stop, word):  # type: ignore[no-untyped-def]
    same = at + np.uint64(len(word)) <= stop
    for place in range(len(word) if same else 0):
        same &= data[at + np.uint64(place)] == word[place]
    return same


_TRUE, _FALSE, _NULL = b"true", b"false", b"null"


@_jit
def _after_scalar(data, at, stop):  # type: ignore[no-untyped-def]
    """(position after a string, number, true, false or null, or 0; its kind)."""
    letter = data[at]
    if letter == 34:
        after, escaped = _after_string(data, at + np.uint64(1), stop)
        return after, ESCAPED if escaped else PLAIN
    if letter == 45 or 48 <= letter <= 57:
        after, whole = _after_number(data, at, stop)
        return after, INTEGER if whole else VALUE
    if _is_word(data, at, stop, _TRUE) or _is_word(data, at, stop, _NULL):
        return at + np.uint64(4), VALUE
    if _is_word(data, at, stop, _FALSE):
        return at + np.uint64(5), VALUE
    return _END, VALUE


@_jit
def _after_spaces(data, at, stop):  # type: ignore[no-untyped-def]
    while at < stop and (data[at] == 32 or data[at] == 9 or data[at] == 13):
        at += np.uint64(1)
    return at


@_jit
def _after_name(data, at, stop):  # type: ignore[no-untyped-def]
    """For a position where a field's name should be: (that of its value or 0, where the name ends)."""
    if at >= stop or data[at] != 34:
        return _END, _END
    after, escaped = _after_string(data, at + np.uint64(1), stop)
    if after == _END or escaped:
        return _END, _END
    at = _after_spaces(data, after, stop)
    if at >= stop or data[at] != 58:
        return _END, _END
    return _after_spaces(data, at + np.uint64(1), stop), after - np.uint64(1)


@_jit
def _after_nested(data, at, stop):  # type: ignore[no-untyped-def]
    """The position after an object or list, or 0. Each bit of `objects` is a depth: object or list."""
    objects, depth = np.uint64(0), 0
    while True:
        # here a value begins
        if at >= stop:
            return _END
        letter = data[at]
        if letter in (123, 91):
            depth += 1
            if depth > _DEEPEST:
                return _END
            objects = (objects << np.uint64(1)) | np.uint64(letter == 123)
            at = _after_spaces(data, at + np.uint64(1), stop)
            if at >= stop:
                return _END
            if data[at] != (125 if letter == 123 else 93):
                if letter == 123:
                    at, _ = _after_name(data, at, stop)
                    if at == _END:
                        return _END
                continue
        else:
            at, _ = _after_scalar(data, at, stop)
            if at == _END:
                return _END
            at = _after_spaces(data, at, stop)
        # here a value has ended: a comma or closing brackets follow
        while True:
            if at >= stop:
                return _END
            inside = objects & np.uint64(1)
            if data[at] == (125 if inside else 93):
                depth -= 1
                objects >>= np.uint64(1)
                at += np.uint64(1)
                if depth == 0:
                    return at
                at = _after_spaces(data, at, stop)
                continue
            if data[at] != 44:
                return _END
            at = _after_spaces(data, at + np.uint64(1), stop)
            if inside:
                at, _ = _after_name(data, at, stop)
                if at == _END:
                    return _END
            break


@_jit
def _which(data, start, stop, names, name_ends):  # type: ignore[no-untyped-def]
    """The number of the field that has this name, or -1."""
    begin = 0
    for number in range(name_ends.shape[0]):
        end = name_ends[number]
        if np.uint64(end - begin) == stop - start:
            same = True
            for place in range(end - begin):
                if data[start + np.uint64(place)] != names[begin + place]:
                    same = False
                    break
            if same:
                return number
        begin = end
    return -1


@_jit
def _record(data, at, stop, names, name_ends, kinds, starts, stops):  # type: ignore[no-untyped-def]
    """Read one object and note the fields; False where `json.loads` must judge. The last of equal names holds."""
    at = _after_spaces(data, at, stop)
    if at >= stop or data[at] != 123:
        return False
    at = _after_spaces(data, at + np.uint64(1), stop)
    if at < stop and data[at] == 125:
        return _after_spaces(data, at + np.uint64(1), stop) == stop
    while True:
        begin = at + np.uint64(1)
        at, end = _after_name(data, at, stop)
        if at == _END or at >= stop:
            return False
        field = _which(data, begin, end, names, name_ends)
        if data[at] in (123, 91):
            after, kind = _after_nested(data, at, stop), VALUE
        else:
            after, kind = _after_scalar(data, at, stop)
        if after == _END:
            return False
        if field >= 0:
            quote = np.uint64(1) if kind in (PLAIN, ESCAPED) else np.uint64(0)
            kinds[field], starts[field], stops[field] = kind, at + quote, after - quote
        at = _after_spaces(data, after, stop)
        if at >= stop:
            return False
        if data[at] == 125:
            return _after_spaces(data, at + np.uint64(1), stop) == stop
        if data[at] != 44:
            return False
        at = _after_spaces(data, at + np.uint64(1), stop)


@_jit
def scan_lines(data, names, name_ends, bounds, lines, kinds, starts, stops):  # type: ignore[no-untyped-def]
    """Fill `lines` (num_lines,) and, of each RECORD, `kinds`, `starts`, `stops` (num_lines, num_fields).

    Args:
        names: the fields' names one after the other; field i ends at name_ends[i].
        bounds: line i is data[bounds[i] : bounds[i + 1] - 1].
    """
    for line in range(lines.shape[0]):
        begin, end = np.uint64(bounds[line]), np.uint64(bounds[line + 1] - 1)
        if _after_spaces(data, begin, end) == end:
            lines[line] = BLANK
        elif _record(data, begin, end, names, name_ends, kinds[line], starts[line], stops[line]):
            lines[line] = RECORD
        else:
            lines[line] = OTHER
