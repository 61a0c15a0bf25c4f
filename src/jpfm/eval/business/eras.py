"""Japanese era dates at day level: the calendar, the solver, and a reader of dates as people write them.

Sources: 元号法 (昭和54年法律第43号) and the orders that named each era; dates before 1873-01-01 are left out because
Japan used the lunisolar calendar until then. 1912-07-30 and 1926-12-25 belong to two eras each: the order took effect
on the day itself. 昭和 ended on 1989-01-07 and 平成 on 2019-04-30, whole days.
"""

import datetime
import re
from typing import NamedTuple

Date = datetime.date
FIRST_DAY = Date(1873, 1, 1)


class Era(NamedTuple):
    """An era: the first year's Western number, and its first and last day."""

    name: str
    letter: str
    first: Date
    last: Date


ERAS = (
    Era("明治", "M", Date(1868, 1, 25), Date(1912, 7, 30)),
    Era("大正", "T", Date(1912, 7, 30), Date(1926, 12, 25)),
    Era("昭和", "S", Date(1926, 12, 25), Date(1989, 1, 7)),
    Era("平成", "H", Date(1989, 1, 8), Date(2019, 4, 30)),
    Era("令和", "R", Date(2019, 5, 1), Date(2099, 12, 31)),
)


class EraDate(NamedTuple):
    """A date as written in an era."""

    era: str
    year: int
    month: int
    day: int

    def text(self) -> str:
        """The usual written form; the first year is 元年."""
        return f"{self.era}{'元' if self.year == 1 else self.year}年{self.month}月{self.day}日"


def to_era(date: Date) -> tuple[EraDate, ...]:
    """Every era form of a date, the newer era first.

    >>> [d.text() for d in to_era(datetime.date(1989, 1, 7))], [d.text() for d in to_era(datetime.date(1926, 12, 25))]
    (['昭和64年1月7日'], ['昭和元年12月25日', '大正15年12月25日'])
    """
    if date < FIRST_DAY:
        raise ValueError(f"{date} is before {FIRST_DAY}, when Japan took up the Gregorian calendar")
    found = [
        EraDate(era.name, date.year - era.first.year + 1, date.month, date.day)
        for era in ERAS
        if era.first <= date <= era.last
    ]
    return tuple(reversed(found))


def from_era(value: EraDate) -> Date | None:
    """The Western date; None when no such day exists in that era (昭和64年1月8日, 令和元年4月30日).

    >>> from_era(EraDate("平成", 31, 4, 30)), from_era(EraDate("平成", 31, 5, 1))
    (datetime.date(2019, 4, 30), None)
    """
    era = next((era for era in ERAS if era.name == value.era), None)
    if era is None:
        return None
    try:
        date = Date(era.first.year + value.year - 1, value.month, value.day)
    except ValueError:
        return None
    return date if era.first <= date <= era.last else None


_KANJI = {char: value for value, char in enumerate("〇一二三四五六七八九")} | {"零": 0}
_NUMBER = r"[0-9〇零一二三四五六七八九十百]+"
_ERA_TEXT = re.compile(
    rf"(明治|大正|昭和|平成|令和|[MTSHR])\s*(元|{_NUMBER})\s*[年./-]\s*({_NUMBER})\s*[月./-]\s*({_NUMBER})\s*日?"
)
_WEST_TEXT = re.compile(
    rf"(?:西暦)?\s*([0-9〇零一二三四五六七八九]{{4}})\s*[年./-]\s*({_NUMBER})\s*[月./-]\s*({_NUMBER})\s*日?"
)
_WIDTH = str.maketrans("０１２３４５６７８９／．－ＭＴＳＨＲ", "0123456789/.-MTSHR")


def _number(text: str) -> int:
    """A whole number in Arabic or kanji digits (positional or with 十 and 百).

    >>> [_number(t) for t in ("12", "十二", "三十一", "一九八九", "百二")]
    [12, 12, 31, 1989, 102]
    """
    if text.isascii():
        return int(text)
    if not set(text) & {"十", "百"}:
        return int("".join(str(_KANJI.get(char, char)) for char in text))
    total = current = 0
    for char in text:
        if char == "百":
            total, current = total + (current or 1) * 100, 0
        elif char == "十":
            total, current = total + (current or 1) * 10, 0
        else:
            current = _KANJI[char] if char in _KANJI else current * 10 + int(char)
    return total + current


def read_era_date(text: str) -> EraDate | None:
    """The first era date in a text, in any usual form; None when there is none."""
    match = _ERA_TEXT.search(text.translate(_WIDTH))
    if match is None:
        return None
    era = next(era.name for era in ERAS if match.group(1) in (era.name, era.letter))
    year = 1 if match.group(2) == "元" else _number(match.group(2))
    return EraDate(era, year, _number(match.group(3)), _number(match.group(4)))


def read_western_date(text: str) -> Date | None:
    """The first Western date in a text; None when there is none or the day does not exist."""
    match = _WEST_TEXT.search(text.translate(_WIDTH))
    if match is None:
        return None
    try:
        return Date(*(_number(part) for part in match.groups()))
    except ValueError:
        return None
