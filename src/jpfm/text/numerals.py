"""Numbers in keys: kanji numerals as digits, and a fingerprint of all numbers of a document.

    digits_of(keys)           # 二〇二三年 and 二千二十三年 become 2023年
    number_marks(keys)        # one 64-bit hash a document, equal where all numbers and era names are

A kanji numeral that belongs to a word (一般, 千葉) becomes a digit too in `digits_of`: both sides of a comparison do.
`number_marks` counts a lone kanji numeral only where it reads as a number: after 第 or an era name, before a counter.
"""

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import numpy.typing as npt

from jpfm.text.kernels import mix

if TYPE_CHECKING:
    from jpfm.text.dedup_key import Keys

_jit: Any = numba.njit(cache=True, nogil=True)
_COUNTERS = "年月日時分秒週条項号章節款編回度円銭人名件個枚冊台社割％%歳級位階巻頁期倍点通本種"
_ERAS = ("明治", "大正", "昭和", "平成", "令和")


def _codes(characters: str) -> npt.NDArray[np.uint32]:
    return np.array(sorted(map(ord, set(characters))), dtype=np.uint32)


_COUNTER_CODES = _codes(_COUNTERS)
_ERA_CODES = np.array([[ord(era[0]), ord(era[1])] for era in _ERAS], dtype=np.uint32)


@_jit
def _digit(point):  # type: ignore[no-untyped-def]
    """0-9 for a digit, Arabic or kanji; 10, 100, 1000 for 十百千; 10^4, 10^8, 10^12 for 万億兆; -1 for all else."""
    if 0x30 <= point <= 0x39:
        return np.int64(point) - 0x30
    if point < 0x3007 or point > 0x96F6:
        return np.int64(-1)
    if point == 0x3007 or point == 0x96F6:  # noqa: PLR1714  (numba makes jumps of comparisons)  〇 零
        return np.int64(0)
    if point == 0x4E00:
        return np.int64(1)
    if point == 0x4E8C:
        return np.int64(2)
    if point == 0x4E09:
        return np.int64(3)
    if point == 0x56DB:
        return np.int64(4)
    if point == 0x4E94:
        return np.int64(5)
    if point == 0x516D:
        return np.int64(6)
    if point == 0x4E03:
        return np.int64(7)
    if point == 0x516B:
        return np.int64(8)
    if point == 0x4E5D:
        return np.int64(9)
    if point == 0x5341:
        return np.int64(10)
    if point == 0x767E:
        return np.int64(100)
    if point == 0x5343:
        return np.int64(1000)
    if point == 0x4E07:
        return np.int64(10_000)
    if point == 0x5104:
        return np.int64(100_000_000)
    if point == 0x5146:
        return np.int64(1_000_000_000_000)
    return np.int64(-1)


_MAY = np.zeros(0x10000, dtype=np.bool_)
_MAY[[*range(0x30, 0x3A), *map(ord, "〇零一二三四五六七八九十百千万億兆")]] = True


@_jit
def _is_comma(points, place, stop):  # type: ignore[no-untyped-def]
    """Whether a comma at `place` groups digits by three: 1,234 but not 1,2 or 2020,2021."""
    if points[place] != 0x2C or place + 3 >= stop or (place + 4 < stop and 0x30 <= points[place + 4] <= 0x39):
        return False
    return min(points[place + 1 : place + 4]) >= 0x30 and max(points[place + 1 : place + 4]) <= 0x39


@_jit
def _run(points, start, stop, commas):  # type: ignore[no-untyped-def]
    """The number at `start`: (end, value, whether it has 十百千万億兆). end == start where there is none.

    Args:
        commas: 1,234 is one number.
    """
    end, value, section, figure, units = start, np.int64(0), np.int64(0), np.int64(-1), False
    while end < stop:
        digit = _digit(points[end])
        if digit < 0 and commas and figure > 0 and _is_comma(points, end, stop):
            end += 1
            continue
        if digit < 0:
            break
        if digit < 10:
            figure = digit if figure < 0 else figure * 10 + digit  # wraps beyond 19 digits; then it is only a hash
        else:
            units = True
            one = np.int64(1) if figure < 0 else figure
            if digit < 10_000:
                section += one * digit
            else:
                value += (section + (figure if figure > 0 else 0) if section or figure >= 0 else np.int64(1)) * digit
                section = np.int64(0)
            figure = np.int64(-1)
        end += 1
    return end, value + section + (figure if figure > 0 else np.int64(0)), units


@_jit
def _rewrite(offsets, points, places, with_places, may, starts, out, where):  # type: ignore[no-untyped-def]
    at = 0
    for row in range(offsets.shape[0] - 1):
        position, stop = offsets[row], offsets[row + 1]
        while position < stop:
            if not may[min(points[position], np.uint32(0xFFFF))]:
                out[at] = points[position]
                if with_places:
                    where[at] = places[position]
                at += 1
                position += 1
                continue
            end, value, units = _run(points, position, stop, False)
            if end == position:
                end = position + 1
                out[at] = points[position]
                if with_places:
                    where[at] = places[position]
                at += 1
            elif not units:
                for index in range(position, end):
                    out[at] = np.uint32(0x30 + _digit(points[index]))
                    if with_places:
                        where[at] = places[index]
                    at += 1
            else:
                scale = np.int64(1)
                while value // scale >= 10:
                    scale *= 10
                while scale:
                    out[at] = np.uint32(0x30 + value // scale % 10)
                    scale //= 10
                    if with_places:  # more digits than characters share the last place; the last digit has it always
                        where[at] = places[min(position, end - 1) if scale else end - 1]
                    position += 1
                    at += 1
            position = end
        starts[row + 1] = at


def digits_of(found: "Keys") -> "Keys":
    """Keys in which kanji numerals are digits."""
    places = found.places
    capacity = (
        4 * len(found.points) + 13 * int(np.isin(found.points, _codes("万億兆")).sum()) + 1
    )  # 千: 4 digits, 兆: 13
    starts = np.zeros_like(found.offsets)
    out = np.empty(capacity, dtype=np.uint32)
    where = np.empty(capacity if places is not None else 0, dtype=np.uint32)
    source = places if places is not None else where
    _rewrite(found.offsets, found.points, source, places is not None, _MAY, starts, out, where)
    return found._replace(
        offsets=starts, points=out[: starts[-1]], places=where[: starts[-1]] if places is not None else None
    )


@_jit
def _counts(code, codes):  # type: ignore[no-untyped-def]
    place = np.searchsorted(codes, code)
    return place < codes.shape[0] and codes[place] == code


@_jit
def _era(points, first, position, eras):  # type: ignore[no-untyped-def]
    """Which era name stands before `position`, from 1; 0 for none. Official documents write 令和　５年."""
    while position > first and points[position - 1] == 0x20:
        position -= 1
    if position - first >= 2:
        for index in range(eras.shape[0]):
            if points[position - 2] == eras[index, 0] and points[position - 1] == eras[index, 1]:
                return np.uint64(index + 1)
    return np.uint64(0)


@_jit
def _marks(offsets, points, counters, eras, out):  # type: ignore[no-untyped-def]
    for row in range(out.shape[0]):
        position, first, stop = offsets[row], offsets[row], offsets[row + 1]
        state = np.uint64(0x9E3779B97F4A7C15)
        while position < stop:
            if points[position] == 0x5143 and position + 1 < stop and points[position + 1] == 0x5E74:  # 元年
                end, value, is_number = position + 1, np.int64(1), True
            else:
                end, value, _ = _run(points, position, stop, True)
                if end == position:
                    position += 1
                    continue
                is_number = end - position > 1 or points[position] < 0x80
            era = _era(points, first, position, eras)
            if position - first >= 2 and points[position - 1] == 0x2E and 0x30 <= points[position - 2] <= 0x39:
                value ^= np.int64(end - position) << 48  # 3.05 is not 3.5
            is_number = is_number or era != 0 or (position > first and points[position - 1] == 0x7B2C)  # 第
            if is_number or (end < stop and _counts(points[end], counters)):
                state = mix(state ^ np.uint64(value) ^ (era << np.uint64(60)))
            position = end
        out[row] = state


def number_marks(found: "Keys") -> npt.NDArray[np.uint64]:
    """A hash of all numbers of each document in their order, with the eras they are counted in. Shape (n,).

    令和五年 and 令和5年 are one number, 令和5年 and 平成5年 are two; 1,000 is 1000, 3.05 is not 3.5; 一般 has none. The
    keys should keep white space and punctuation, or 3.5 is 35.
    """
    out = np.zeros(len(found.offsets) - 1, dtype=np.uint64)
    _marks(found.offsets, found.points, _COUNTER_CODES, _ERA_CODES, out)
    return out
