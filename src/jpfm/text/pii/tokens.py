"""Number tokens for `scan`, as Numba functions over bytes: groups of digits and what they may be.

A number token is up to MAX_GROUPS groups of digits with one to three separators between them. Row g of `token` holds
(length, first digit, second digit, separator before the group).
"""

from typing import Any

import numba
import numpy as np

MAX_GROUPS = 16
HYPHEN, DOT, SPACE, PAREN = 1, 2, 4, 8
_PHONE, _EXTENSION, _POSTAL, _BLOCK, _LONG, _BANK, _PASSPORT, _RESIDENCE, _IP = 0, 1, 3, 4, 5, 6, 7, 8, 9  # as in scan

_jit: Any = numba.njit(cache=True, nogil=True)
# ruff: noqa: PLR1714  (numba makes jumps of comparisons, a loop of a set)


@_jit
def point_at(data, position):  # type: ignore[no-untyped-def]
    """The code point at a position of valid UTF-8, and the position after it."""
    lead = data[position]
    if lead < 0x80:
        return np.int64(lead), position + 1
    if lead < 0xE0:
        return np.int64(((lead & 0x1F) << 6) | (data[position + 1] & 0x3F)), position + 2
    if lead < 0xF0:
        low = ((data[position + 1] & 0x3F) << 6) | (data[position + 2] & 0x3F)
        return np.int64((np.int64(lead & 0x0F) << 12) | low), position + 3
    low = (np.int64(data[position + 1] & 0x3F) << 12) | ((data[position + 2] & 0x3F) << 6) | (data[position + 3] & 0x3F)
    return np.int64((np.int64(lead & 0x07) << 18) | low), position + 4


@_jit
def point_before(data, position, begin):  # type: ignore[no-untyped-def]
    """The code point that ends before a position, and where it begins; (0, begin) at the beginning."""
    if position <= begin:
        return np.int64(0), begin
    back = position - 1
    while back > begin and (data[back] & 0xC0) == 0x80:
        back -= 1
    point, _ = point_at(data, back)
    return point, back


@_jit
def plain_point(point):  # type: ignore[no-untyped-def]
    """A full-width letter, digit or mark as its ASCII code point."""
    return point - 0xFEE0 if 0xFF01 <= point <= 0xFF5E else point


@_jit
def is_alnum(point):  # type: ignore[no-untyped-def]
    """An ASCII letter or digit of either width."""
    plain = plain_point(point)
    return 0x30 <= plain <= 0x39 or 0x41 <= plain <= 0x5A or 0x61 <= plain <= 0x7A


@_jit
def is_upper(point):  # type: ignore[no-untyped-def]
    """A capital letter of either width."""
    return 0x41 <= plain_point(point) <= 0x5A


@_jit
def kanji_digit(point):  # type: ignore[no-untyped-def]
    """The value of a kanji digit 〇一二三四五六七八九, or -1."""
    if point < 0x3007 or point > 0x56DB:
        return -1
    if point == 0x3007:
        return 0
    if point == 0x4E00:
        return 1
    if point == 0x4E8C:
        return 2
    if point == 0x4E09:
        return 3
    if point == 0x56DB:
        return 4
    if point == 0x4E94:
        return 5
    if point == 0x4E03:
        return 7
    if point == 0x516B:
        return 8
    if point == 0x516D:
        return 6
    return 9 if point == 0x4E5D else -1


@_jit
def digit(point, kanji):  # type: ignore[no-untyped-def]
    """The value of a digit of either width (of a kanji digit if `kanji`), or -1."""
    if kanji:
        return kanji_digit(point)
    plain = plain_point(point)
    return plain - 0x30 if 0x30 <= plain <= 0x39 else -1


@_jit
def _separator(point):  # type: ignore[no-untyped-def]
    plain = plain_point(point)
    if (
        plain == 0x2D
        or 0x2010 <= point <= 0x2015
        or point == 0x2212
        or point == 0x30FC
        or point == 0xFF70
        or point == 0x2500
    ):
        return HYPHEN
    if plain == 0x2E or point == 0x30FB:
        return DOT
    if plain == 0x20 or point == 0x3000 or point == 0xA0:
        return SPACE
    if plain == 0x28 or plain == 0x29:
        return PAREN
    return 0


@_jit
def is_spelled_phone(data, position, end):  # type: ignore[no-untyped-def]
    """〇 begins a number spelled in kanji digits: 〇三."""
    _, following = point_at(data, position)
    return following < end and kanji_digit(point_at(data, following)[0]) > 0


@_jit
def read_token(data, position, end, token, kanji):  # type: ignore[no-untyped-def]
    """Read a number token that begins at a digit: how many groups, and where its last digit ends."""
    count, before = 0, 0
    stop = position
    while count < MAX_GROUPS:
        length = 0
        while position < end:
            point, following = point_at(data, position)
            value = digit(point, kanji)
            if value < 0:
                break
            if length < 2:
                token[count, 1 + length] = value
            length += 1
            position = following
        token[count, 0], token[count, 3] = length, before
        stop = position
        count += 1
        before, taken = 0, 0
        while taken < 3 and position < end:
            point, following = point_at(data, position)
            kind = _separator(point)
            if kind == 0:
                break
            before |= kind
            taken += 1
            position = following
        if taken == 0 or position >= end or digit(point_at(data, position)[0], kanji) < 0:
            break
    return count, stop


@_jit
def judge_token(data, position, stop, begin, end, token, count, bank, city, extension, found):  # type: ignore[no-untyped-def]
    """The kinds of hit that a number token may be, written to `found`; returns how many."""
    many = 0
    before, back = point_before(data, position, begin)
    after = point_at(data, stop)[0] if stop < end else 0
    for g in range(count):
        total = 0
        for k in range(g, min(g + 5, count)):
            total += token[k, 0]
            national = token[g, 1] == 0 and (total == 10 or total == 11)
            abroad = token[g, 1] == 0 and token[g, 0] == 4 and (total == 13 or total == 14)  # 0081 90 ...
            plus = g == 0 and plain_point(before) == 0x2B and token[g, 1] == 8 and 11 <= total <= 13
            if national or abroad or plus:
                found[many] = _PHONE
                many += 1
                break
        if many:
            break
    dotted = 0
    for g in range(count):
        length = token[g, 0]
        four = g + 2 < count and length == 4 and token[g + 1, 0] == 4 and token[g + 2, 0] == 4
        amex = g + 2 < count and length == 4 and token[g + 1, 0] == 6 and 4 <= token[g + 2, 0] <= 5
        if 12 <= length <= 19 or four or amex:
            found[many] = _LONG
            many += 1
            break
    for g in range(count):
        if g > 0 and token[g, 3] == DOT and token[g, 0] <= 3:
            dotted += 1
        else:
            dotted = 0 if token[g, 0] <= 3 else -100
        if dotted == 3:
            found[many] = _IP
            many += 1
            break
    if count == 2 and token[0, 0] == 3 and token[1, 0] == 4 and (token[1, 3] & HYPHEN):
        found[many] = _POSTAL
        many += 1
    if bank:
        for g in range(count):
            if 6 <= token[g, 0] <= 8:
                found[many] = _BANK
                many += 1
                break
    if city and token[0, 0] <= 5 and (
        (count >= 2 and token[1, 3] == HYPHEN and token[1, 0] <= 5)
        or after == 0x4E01 or after == 0x756A or after == 0x306E  # 丁 番 の
    ):  # fmt: skip
        found[many] = _BLOCK
        many += 1
    if extension and 2 <= token[0, 0] <= 6:
        found[many] = _EXTENSION
        many += 1
    if count <= 2 and (token[0, 0] == 7 or token[0, 0] == 8):
        if before == 0x20 or before == 0x3000:
            before, back = point_before(data, back, begin)
        if is_upper(before) and is_upper(point_before(data, back, begin)[0]):
            found[many] = _PASSPORT if token[0, 0] == 7 else _RESIDENCE
            many += 1
    return many
