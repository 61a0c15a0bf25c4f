"""The numbers that Word writes before headings and list items: they stand nowhere in the text of a document.

    numbering = Numbering(package)
    numbering.mark(style="a3", list_id="2", level=0)     # '第１条', the next time '第２条'

Contracts and regulations count their articles this way: a reader that drops the numbers drops what the text refers to.
"""

import re
from typing import Any, NamedTuple

from jpfm.data.sources.ooxml import Package, attribute, child, local

_DIGITS = "〇一二三四五六七八九"
_LEGAL = "零壱弐参四伍六七八九"
_KANA = "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲン"
_IROHA = "イロハニホヘトチリヌルヲワカヨタレソツネナラムウヰノオクヤマケフコエテアサキユメミシヱヒモセス"
_WIDE = str.maketrans("0123456789", "０１２３４５６７８９")
_PLACE = re.compile(r"%([1-9])")
_MAX_LEVELS = 9
_DEPTH = 12  # styles based on styles


class _Level(NamedTuple):
    form: str
    pattern: str
    start: int
    plain: bool
    """Whether the numbers of all levels are written 1, 2, 3 here (w:isLgl)."""


class _List(NamedTuple):
    key: str
    """Lists of one key go on counting where the other stopped."""
    levels: dict[int, _Level]


class Numbering:
    """The lists of one document, counted as its paragraphs are read in order."""

    def __init__(self, package: Package, part: str | None, styles: dict[str, Any]) -> None:
        self._styles = styles
        self._lists: dict[str, _List] = {}
        self._counts: dict[str, list[int]] = {}
        if part is not None and part in package.names:
            self._read(package.xml(part))

    def _read(self, root: Any) -> None:
        abstract = {
            attribute(item, "abstractNumId"): {
                number(attribute(level, "ilvl")): _level(level) for level in item if local(level) == "lvl"
            }
            for item in root
            if local(item) == "abstractNum"
        }
        for item in root:
            if local(item) != "num":
                continue
            key = value(child(item, "abstractNumId"))
            levels = dict(abstract.get(key, {}))
            for override in item:
                if local(override) == "lvlOverride":
                    at = number(attribute(override, "ilvl"))
                    if (own := child(override, "lvl")) is not None:
                        levels[at] = _level(own)
                    if (start := child(override, "startOverride")) is not None and at in levels:
                        levels[at] = levels[at]._replace(start=number(value(start)))
                        key = f"{key}/{attribute(item, 'numId')}"
            self._lists[attribute(item, "numId")] = _List(key, levels)

    def mark(self, properties: Any) -> str | None:
        """The mark before the next paragraph with these properties (w:pPr); None when it is in no list."""
        list_id, level = self._place(properties)
        found = self._lists.get(list_id)
        if found is None or level not in found.levels:
            return None
        counts = self._counts.setdefault(found.key, [0] * _MAX_LEVELS)
        here = found.levels[level]
        counts[level] = counts[level] + 1 if counts[level] else max(here.start, 0) or 1
        for deeper in range(level + 1, _MAX_LEVELS):
            counts[deeper] = 0
        if here.form == "bullet":
            return "・"
        if here.form == "none":
            return ""

        def place(match: re.Match[str]) -> str:
            at = int(match.group(1)) - 1
            other = found.levels.get(at, here)
            return spell(counts[at] or other.start, "decimal" if here.plain else other.form)

        return _PLACE.sub(place, here.pattern)

    def _place(self, properties: Any) -> tuple[str, int]:
        """List and level: the paragraph's own, else those of its style."""
        list_id, level = _numbered(properties)
        style = value(child(properties, "pStyle"))
        for _ in range(_DEPTH):
            if (list_id and level is not None) or style not in self._styles:
                break
            more_id, more_level = _numbered(child(self._styles[style], "pPr"))
            list_id, level = list_id or more_id, level if level is not None else more_level
            style = value(child(self._styles[style], "basedOn"))
        return list_id, min(max(level or 0, 0), _MAX_LEVELS - 1)


def _numbered(properties: Any) -> tuple[str, int | None]:
    found = child(properties, "numPr")
    if found is None:
        return "", None
    level = child(found, "ilvl")
    return value(child(found, "numId")), number(value(level)) if level is not None else None


def _level(level: Any) -> _Level:
    start = value(child(level, "start"))
    form, pattern = value(child(level, "numFmt")) or "decimal", value(child(level, "lvlText"))
    return _Level(form, pattern, number(start) if start else 1, child(level, "isLgl") is not None)


def value(element: Any) -> str:
    """The `val` attribute; empty when there is no such element."""
    return attribute(element, "val") if element is not None else ""


def number(text: str) -> int:
    """A small number; 0 when it is none."""
    return int(text) if re.fullmatch(r"-?[0-9]{1,6}", text) else 0


def spell(count: int, form: str) -> str:
    """A number as a list counts with it (w:numFmt).

    >>> [spell(12, form) for form in ("decimalFullWidth", "japaneseCounting", "aiueoFullWidth")]
    ['１２', '十二', 'シ']
    >>> spell(4, "upperRoman"), spell(27, "lowerLetter"), spell(3, "irohaFullWidth"), spell(10, "ideographDigital")
    ('IV', 'aa', 'ハ', '一〇')

    Source: ECMA-376 part 1, 17.18.59 ST_NumberFormat.
    """
    digits = str(count)
    if form in ("decimalFullWidth", "decimalFullWidth2"):
        return digits.translate(_WIDE)
    if form == "decimalZero":
        return digits.zfill(2)
    if form.startswith("decimalEnclosedCircle") and 1 <= count <= 20:
        return chr(0x245F + count)
    if form in ("japaneseCounting", "chineseCounting", "chineseCountingThousand", "taiwaneseCountingThousand"):
        return _kanji(count, _DIGITS, "千百十")
    if form == "japaneseLegal":
        return _kanji(count, _LEGAL, "阡百拾")
    if form in ("ideographDigital", "japaneseDigitalTenThousand"):
        return "".join(_DIGITS[int(digit)] for digit in digits if digit.isdigit())
    if form in ("aiueo", "aiueoFullWidth") and count > 0:
        return _KANA[(count - 1) % len(_KANA)]
    if form in ("iroha", "irohaFullWidth") and count > 0:
        return _IROHA[(count - 1) % len(_IROHA)]
    if form in ("upperLetter", "lowerLetter") and count > 0:
        letter = chr(ord("A") + (count - 1) % 26) * min((count - 1) // 26 + 1, 9)
        return letter if form == "upperLetter" else letter.lower()
    if form in ("upperRoman", "lowerRoman") and 0 < count < 4000:
        return _roman(count) if form == "upperRoman" else _roman(count).lower()
    return digits


def _kanji(count: int, digits: str, units: str) -> str:
    """Kanji numerals; the legal ones write the one before a unit (壱拾), the plain ones do not (十)."""
    if not 0 < count < 10_000:
        return str(count)
    text = ""
    for worth, unit in zip((1000, 100, 10, 1), (*units, ""), strict=True):
        times, count = divmod(count, worth)
        if times:
            text += (digits[times] if times > 1 or worth == 1 or digits == _LEGAL else "") + unit
    return text


def _roman(count: int) -> str:
    text = ""
    signs = ("M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I")
    for worth, sign in zip((1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1), signs, strict=True):
        times, count = divmod(count, worth)
        text += sign * times
    return text
