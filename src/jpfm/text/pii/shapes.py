"""Shapes that `scan` looks for besides numbers, as Numba functions over bytes: mail, URLs, IPv6, labels."""

from typing import Any

import numba

from jpfm.text.pii.tokens import digit, is_alnum, kanji_digit, plain_point, point_at, point_before

_jit: Any = numba.njit(cache=True, nogil=True)
# ruff: noqa: PLR1714  (numba makes jumps of comparisons, a loop of a set)


@_jit
def match(data, position, end, letters, start, stop):  # type: ignore[no-untyped-def]
    """The position after a keyword that stands here, or -1."""
    if position + stop - start > end:
        return -1
    for index in range(stop - start):
        if data[position + index] != letters[start + index]:
            return -1
    return position + stop - start


@_jit
def joins_mail(data, position, following, begin, end):  # type: ignore[no-untyped-def]
    """An at sign stands between a local part and a domain."""
    if following >= end:
        return False
    before, _ = point_before(data, position, begin)
    after, _ = point_at(data, following)
    plain = plain_point(before)
    left = is_alnum(before) or plain == 0x2E or plain == 0x5F or plain == 0x2D or plain == 0x2B
    return left and (is_alnum(after) or 0x3041 <= after <= 0x30FF or 0x4E00 <= after <= 0x9FFF)


@_jit
def spells_at(data, position, end):  # type: ignore[no-untyped-def]
    """After an opening bracket: at, AT, アット or @ follows."""
    if position >= end:
        return False
    one, following = point_at(data, position)
    if one == 0x40 or one == 0xFF20 or one == 0x30A2:
        return one != 0x30A2 or (following < end and point_at(data, following)[0] == 0x30C3)
    plain = plain_point(one)
    if (plain != 0x61 and plain != 0x41) or following >= end:
        return False
    two, following = point_at(data, following)
    plain = plain_point(two)
    return (plain == 0x74 or plain == 0x54) and following < end and not is_alnum(point_at(data, following)[0])


@_jit
def is_secret_url(data, position, end):  # type: ignore[no-untyped-def]
    """A colon begins `://` and the URL holds `=` or `@`."""
    if position + 3 >= end or data[position] != 0x3A or data[position + 1] != 0x2F or data[position + 2] != 0x2F:
        return False
    for index in range(position + 3, min(end, position + 2000)):
        byte = data[index]
        if byte <= 0x20 or byte >= 0x7F or byte == 0x22 or byte == 0x3C or byte == 0x3E:
            return False
        if byte == 0x3D or byte == 0x40:
            return True
    return False


@_jit
def _is_hex(byte):  # type: ignore[no-untyped-def]
    return 0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x46 or 0x61 <= byte <= 0x66


@_jit
def is_ipv6(data, position, begin, end):  # type: ignore[no-untyped-def]
    """A colon is the first of a run of hexadecimal groups with `::` or seven colons, and no letter on either side."""
    left = position
    while left > begin and position - left < 5 and _is_hex(data[left - 1]):
        left -= 1
    if left > begin and (is_alnum(data[left - 1]) or data[left - 1] == 0x3A or data[left - 1] == 0x5F):
        return False
    colons, pairs, digits = 0, 0, 0
    right = left
    while right < end and right - left < 46 and (_is_hex(data[right]) or data[right] == 0x3A):
        if data[right] == 0x3A:
            colons += 1
            if right > left and data[right - 1] == 0x3A:
                pairs += 1
        elif data[right] <= 0x39:
            digits += 1
        right += 1
    if right < end and (is_alnum(data[right]) or data[right] == 0x5F):
        return False
    return digits >= 1 and right - left >= 6 and (colons == 7 or (pairs == 1 and colons >= 2))


@_jit
def follows_number(data, position, begin):  # type: ignore[no-untyped-def]
    """A digit or a kanji numeral stands right before."""
    point, _ = point_before(data, position, begin)
    return digit(point, False) >= 0 or kanji_digit(point) >= 0 or point == 0x5341 or point == 0x767E or point == 0x5343


@_jit
def follows_date(data, position, begin):  # type: ignore[no-untyped-def]
    """A digit, or 日 or 月 behind a numeral, stands before, maybe with a space between."""
    point, back = point_before(data, position, begin)
    if point == 0x20 or point == 0x3000:
        point, back = point_before(data, back, begin)
    return digit(point, False) >= 0 or ((point == 0x65E5 or point == 0x6708) and follows_number(data, back, begin))


@_jit
def is_near_number(data, position, begin):  # type: ignore[no-untyped-def]
    """A digit stands before on the same line, at most some ten characters away."""
    for _ in range(12):
        point, position = point_before(data, position, begin)
        if point == 0 or point == 0x0A or point == 0x3002:
            return False
        if digit(point, False) >= 0:
            return True
    return False


@_jit
def ends_cell(data, position, end):  # type: ignore[no-untyped-def]
    """A table's delimiter or the end of the line follows, maybe behind spaces and quotation marks."""
    while position < end and (data[position] == 0x20 or data[position] == 0x22 or data[position] == 0x2A):
        position += 1
    return position < end and (
        data[position] == 0x7C or data[position] == 0x09 or data[position] == 0x2C or data[position] == 0x0A
    )


@_jit
def ends_address_line(data, position, end):  # type: ignore[no-untyped-def]
    """After 様: the line ends, or a space or a comma follows."""
    if position >= end:
        return True
    point, _ = point_at(data, position)
    return point == 0x0A or point == 0x20 or point == 0x3000 or point == 0x3001 or point == 0xFF0C or point == 0x2C


@_jit
def is_label(data, position, end, wide, spaced):  # type: ignore[no-untyped-def]
    """After a label word: a delimiter or a leader, maybe behind a bracket; `spaced` takes spaces, `wide` a particle.

    A label in brackets (担当) counts when it is wide or spaced: its value stands before it.
    """
    spaces, bracket, skipped, tab = 0, False, 0, False
    while position < end and skipped < 14:
        point, position = point_at(data, position)
        plain = plain_point(point)
        if bracket:
            skipped += 1
            bracket = plain != 0x29
            continue
        if plain == 0x20 or point == 0x3000 or plain == 0x09 or plain == 0x2A or plain == 0x22:
            spaces += 1
            skipped += 1
            tab = tab or plain == 0x09
            continue
        if plain == 0x28:
            if wide:
                return True
            bracket = True
            continue
        if point == 0x0A:
            return wide or (spaced and position < end and point_at(data, position)[0] == 0x30FB)  # a list with ・
        if spaced and plain == 0x2F:
            return True
        if plain == 0x3A or plain == 0x7C or plain == 0x3D or point == 0x3011 or plain == 0x5D or plain == 0x5F:
            return True
        if point == 0x2192 or point == 0x2026 or point == 0x2025:  # → … ‥
            return True
        if plain == 0x2E or plain == 0x2D or point == 0x30FB:  # a leader of two or more; one ・ after a wide label
            twice = position < end and point_at(data, position)[0] == point
            return twice or (wide and (spaces > 0 or point == 0x30FB))
        if plain == 0x29:
            return wide or (spaced and spaces == 0)
        if not wide:
            return tab or (spaced and spaces > 0 and (plain > 0x3040 or 0x41 <= plain <= 0x5A))
        if point == 0x8005 or point == 0x540D or point == 0x4EBA or point == 0x69D8 or point == 0x5148:  # 者名人様先
            spaces = 0
            skipped += 1
            continue
        return (
            spaces > 0
            or point == 0x306F  # は
            or point == 0x304C  # が
            or point == 0x3067  # で
            or point == 0x306E  # の
            or point == 0x3092  # を
            or point == 0x3068  # と
            or point == 0x300C  # 「
            or point == 0x300E  # 『
            or point == 0x201C  # “
            or plain == 0x2F
            or plain == 0x2C
            or plain == 0x3E
        )
    return False
