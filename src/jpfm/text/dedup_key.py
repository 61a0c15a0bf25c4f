"""The key by which documents are compared: code points without what makes no difference between two copies.

    found = keys(batch.column("text"), KeyRules())
    found.points[found.offsets[0]:found.offsets[1]]       # the key of the first document

Width, case, white space and punctuation go; dakuten, small kana and numbers stay: パリ is not ハリ and 令和5年 is not
令和6年, as they are for peers that strip marks and digits. The rules that a benchmark's disguises need (kana, numbers,
readings) are off unless asked for. One pass over the UTF-8 buffer, one table look-up a character; the key is an array
of code points, so that n-grams are windows of it. Refused: NFKC (slow, and makes of ㎡ an m2, of ㍻ two characters).
"""

import functools
import unicodedata
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jpfm.core.config import Settings
from jpfm.text import kernels
from jpfm.text.kernels import next_point
from jpfm.text.numerals import digits_of
from jpfm.text.old_kanji import NEW_OF_OLD

_jit: Any = numba.njit(cache=True, nogil=True)
_POINTS = 0x110000
_MASK = (1 << 21) - 1
_VOICING, _OPENS, _IS_KANJI, _IS_KANA = (1 << bit for bit in (24, 25, 26, 27))
_RARE = _VOICING | _OPENS
_LONGEST_READING = 40  # characters between 《 and 》


class KeyRules(Settings):
    """What makes no difference between two copies of a text."""

    width: bool = True
    """Ａ is A, ｶﾞ is ガ, か with a combining mark is が, ㈱ is 株; selectors of variants (葛󠄀, ❤️) do not count."""
    case: bool = True
    """A is a."""
    spaces: bool = True
    """White space and line ends do not count."""
    punctuation: bool = True
    """Punctuation does not count: 、。「」（）・- and the like. Signs of mathematics and money do."""
    old_kanji: bool = False
    """國 is 国: 旧字体 as 新字体."""
    kana: bool = False
    """カ is か."""
    numbers: bool = False
    """二〇二三, 二千二十三 and ２０２３ are 2023."""
    ruby: bool = False
    """Readings do not count: 漢字《かんじ》, ｜漢字《かんじ》 and 漢字（かんじ）."""


class Keys(NamedTuple):
    """Keys of n documents: document i is points[offsets[i]:offsets[i + 1]]."""

    offsets: npt.NDArray[np.int64]
    points: npt.NDArray[np.uint32]
    places: npt.NDArray[np.uint32] | None
    """For each point the character of the document's text that it comes from; None when it was not asked for."""


@functools.cache
def _table(rules: KeyRules) -> npt.NDArray[np.uint32]:
    """For each code point what stands in the key (0: nothing), with flags for those that need a second look."""
    table = np.zeros(_POINTS, dtype=np.uint32)
    for point in range(_POINTS):
        if 0xD800 <= point < 0xE000 or point >= 0x40000:
            continue  # surrogates are no text; planes above 3 hold no letters
        is_compatible = 0x2F800 <= point < 0x2FA20
        if 0x4E00 <= point < 0xA000 or (point >= 0x20000 and not is_compatible) or 0xAC00 <= point < 0xD7A4:
            table[point] = point | _IS_KANJI  # kanji and Hangul: nothing to look up
        else:
            table[point] = _entry(point, rules)
    table[0x40000:] = np.arange(0x40000, _POINTS, dtype=np.uint32)
    if rules.width:
        table[0xFE00:0xFE10] = table[0xE0100:0xE01F0] = 0
    if rules.spaces:
        table[0xE0000:0xE0080] = 0  # tags: invisible
    if rules.old_kanji:
        new_of = np.arange(_MASK + 1, dtype=np.uint32)
        new_of[list(NEW_OF_OLD)] = list(NEW_OF_OLD.values())
        table = new_of[table & np.uint32(_MASK)] | (table & ~np.uint32(_MASK))
    if rules.ruby:
        for opens in "《（(":
            table[ord(opens)] |= np.uint32(_OPENS)
        table[ord("｜")] = 0
    return table


@functools.cache
def _voiced() -> npt.NDArray[np.uint32]:
    """What a kana becomes with a voicing mark: [mark - U+3099, kana - U+3040], 0 where that is no character."""
    voiced = np.zeros((2, 0xC0), dtype=np.uint32)
    for point in range(0x3041, 0x3100):
        parts = unicodedata.normalize("NFD", chr(point))
        if len(parts) == 2:
            voiced[ord(parts[1]) - 0x3099, ord(parts[0]) - 0x3040] = point
    return voiced


def _entry(point: int, rules: KeyRules) -> int:
    character = chr(point)
    if character in "\u3099\u309a\uff9e\uff9f\u309b\u309c" and rules.width:
        return (0x309A if character in "\u309a\uff9f\u309c" else 0x3099) | _VOICING
    if character == "\uff5e":
        character = "〜"  # both are the wave dash of Japanese text
    if rules.width:
        character = _plain(character)
    category = unicodedata.category(character)
    is_space = category in ("Zs", "Zl", "Zp", "Cc", "Cf")
    if (is_space and rules.spaces) or (category.startswith("P") and rules.punctuation):
        return 0
    if rules.case:
        lower = character.lower()
        character = lower if len(lower) == 1 else character
    code = ord(character)
    flags = 0
    if chr(code) in "々〆〇ヶケ" or 0x3400 <= code < 0xA000 or 0xF900 <= code < 0xFB00 or code >= 0x20000:
        flags |= _IS_KANJI  # 々 〆 〇 ヶ ケ may end a word that has a reading
    if 0x3041 <= code <= 0x309F or 0x30A1 <= code <= 0x30FF:
        flags |= _IS_KANA
    if rules.kana and (0x30A1 <= code <= 0x30F6 or 0x30FD <= code <= 0x30FE):
        code -= 0x60
    return code | flags


def _plain(character: str) -> str:
    """The one ordinary character that a compatibility character stands for, or itself where that is none or several."""
    form = unicodedata.normalize("NFKC", character)
    if len(form) > 1:
        form = "".join(part for part in form if not unicodedata.category(part).startswith(("P", "Z", "M")))
    return form if len(form) == 1 else character


@_jit
def _skip_reading(data, position, end, table, opening):  # type: ignore[no-untyped-def]
    """Where a reading ends that was opened before `position`, and its characters; `position` and 0 where it is none."""
    closing = np.uint32(0x300B) if opening == 0x300A else np.uint32(0xFF09)
    at, count = position, 0
    while at < end and count < _LONGEST_READING:
        point, at = next_point(data, at)
        count += 1
        if point == closing or (closing == 0xFF09 and point == 0x29):
            return (at, count) if count > 1 else (position, 0)
        is_kana = table[point] & np.uint32(_IS_KANA | _VOICING) != 0
        if not (is_kana or point == 0x30FB or point == 0x20 or point == 0x3000):  # noqa: PLR1714  (jumps, not a loop)
            break
    return position, 0


@_jit
def _voice(voiced, base, mark):  # type: ignore[no-untyped-def]
    """The kana with its voicing mark; the base where the mark means nothing."""
    if 0x3040 <= base < 0x3100:
        made = voiced[mark - 0x3099, base - 0x3040]
        return made if made else base
    return base


@_jit
def _fill(offsets, data, table, voiced, with_places, starts, points, places):  # type: ignore[no-untyped-def]
    at = np.uint64(0)
    for row in range(starts.shape[0] - 1):
        first = at
        position, end = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        index = np.uint32(0)
        before = np.uint32(0)
        while position < end:
            point, position = next_point(data, position)
            entry = table[point]
            if entry & np.uint32(_RARE):
                if entry & np.uint32(_VOICING):
                    if at > first:
                        made = _voice(voiced, points[at - np.uint64(1)], entry & np.uint32(_MASK))
                        points[at - np.uint64(1)] = made
                    index += np.uint32(1)
                    continue
                if before & np.uint32(_IS_KANJI):
                    after, skipped = _skip_reading(data, position, end, table, point)
                    if skipped:
                        position = after
                        index += np.uint32(1 + skipped)
                        continue
            before = entry
            value = entry & np.uint32(_MASK)
            points[at] = value
            if with_places:
                places[at] = index
            at += np.uint64(value != 0)
            index += np.uint32(1)
        starts[row + 1] = at


def keys(column: pa.Array, rules: KeyRules, *, places: bool = False) -> Keys:
    """The keys of a column of texts.

    >>> def key(text, **rules):
    ...     return "".join(map(chr, keys(pa.array([text]), KeyRules(**rules)).points))
    >>> key("Ｔｅｌ：０３－１２３４、 ﾊﾟﾘの㈱ミツバ。"), key("令和５年") == key("令和6年"), key("パリ") == key("ハリ")
    ('tel031234パリの株ミツバ', False, False)
    >>> key("國語《こくご》の授業は二十三回", old_kanji=True, ruby=True, numbers=True), key("カタカナ", kana=True)
    ('国語の授業は23回', 'かたかな')

    Args:
        column: string array of n documents.
        places: find the places too.
    """
    view = kernels.buffers(column)
    capacity = int(view.offsets[-1] - view.offsets[0]) + 1
    starts = np.zeros(len(column) + 1, dtype=np.int64)
    points = np.empty(capacity, dtype=np.uint32)
    where = np.empty(capacity if places else 0, dtype=np.uint32)
    _fill(view.offsets, view.data, _table(rules), _voiced(), places, starts, points, where)
    found = Keys(starts, points[: starts[-1]], where[: starts[-1]] if places else None)
    return digits_of(found) if rules.numbers else found
