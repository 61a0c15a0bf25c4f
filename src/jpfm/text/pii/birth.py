"""Dates of birth by their label: Western and Japanese eras, digits of either width, kanji numerals.

A date counts in a field (生年月日：…, `fields.py`), below a heading, before its label, or with 生 or 生まれ behind it
when its bearer may live. The span is what a reader would delete: 西暦 in front goes with it, 生 behind it stays.
"""

import re
from collections.abc import Iterator

from jpfm.text.pii import fields
from jpfm.text.pii.window import Span, Window

_S = r"[ ]{0,2}"
_K = r"〇一二三四五六七八九"
_N = rf"(?:\d{{1,2}}|[{_K}十元]{{1,4}})"
_ERA = r"(?:明治|大正|昭和|平成|令和|[MTSHR]\.?|(?<![一-龯])[明大昭平令])"
_NOTE = r"(?:[(][^)\n]{2,8}[)])?"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}\.?"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_YEAR = r"(?:1[89]|20)\d\d"
_PART = rf"{_S}[-/.・]{_S}\d{{1,2}}"
DATE = (
    rf"(?:(?:西暦{_S})?(?:{_YEAR}{_S}年{_NOTE}{_S}\d{{1,2}}{_S}月(?:{_S}\d{{1,2}}{_S}日)?"
    rf"|{_YEAR}{_PART}{_PART}"
    rf"|(?:[一二][{_K}]{{3}}|[千一]?千九百[{_K}十]{{1,4}}|二千[{_K}十]{{1,4}}){_S}年{_S}{_N}{_S}月(?:{_S}{_N}{_S}日)?"
    r"|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))"
    rf"|{_ERA}{_S}{_N}{_S}年{_NOTE}{_S}{_N}{_S}月(?:{_S}{_N}{_S}日)?"
    rf"|{_ERA}{_S}(?:\d{{1,2}}|元){_PART}{_PART}"
    rf"|{_DAY}[- ]{_MONTH},?[- ](?:19|20)\d\d|{_MONTH} {_DAY},? (?:19|20)\d\d"
    r"|\d{1,2}/\d{1,2}/(?:19|20)\d\d)(?!\d)"
)
_LABEL = (
    rf"(?:{fields.spaced('生年月日', '誕生日', '出生年月日', '出生日', '生年', '年月日生')}"
    r"|[Dd]ate[ _-]?[Oo]f[ _-]?[Bb]irth|DATE OF BIRTH|D\.?O\.?B\b|(?:BIRTH|[Bb]irth)[ _-]?(?:DAY|DATE|[Dd](?:ay|ate)))"
)
_FIELD = re.compile(rf"{_LABEL}{fields.CONNECT}(?P<date>{DATE})")
_HEADING = re.compile(_LABEL)
_DATE = re.compile(DATE)
_BEHIND = re.compile(rf"{fields.BEHIND}{_LABEL}(?!{fields.CONNECT}{DATE})")
_AGED = re.compile(r" ?生(?:まれ)? ?[(、 ] ?(?:満|当時|現在)?[ ]?\d{1,3} ?[歳才]")
_BORN = re.compile(
    r" ?(?:生まれ|生れ|うまれ|出生)(?![るたてつなずんく変])(?!ま[すし])"
    r"| ?生(?:の(?=[一-龯])(?!演奏|放送|舞台|音|声)|(?![\w]))"
)
_LONG_AGO = re.compile(r"(?:西暦 ?)?(?:1[0-8]|190|191|一[八〇]|一九[〇一])|[明M]|千[八九]百[十一二三四五六七八九]?年")


def births(window: Window) -> Iterator[Span]:
    """Dates of birth; a date alone, or one in a biography (1867年2月9日生まれ, 1970年5月3日に生まれた), is none.

    >>> from jpfm.text.pii.window import window
    >>> w = window("生年月日：昭和55年5月3日、誕生日は1980/5/3、会期は2025年4月1日、大正三年二月一日生（満80歳）")
    >>> [w.raw[s.start : s.end] for s in births(w)]
    ['昭和55年5月3日', '1980/5/3', '大正三年二月一日']
    >>> w = window("生年月日は次のとおり。\\n西暦1980年5月3日\\n平成2年1月9日生まれの次男、平成2年1月9日生放送")
    >>> [w.raw[s.start : s.end] for s in births(w)]
    ['西暦1980年5月3日', '平成2年1月9日']
    """
    for start, end in sorted(set(_places(window))):
        if window.whole(start, end):
            yield Span("birth_date", start, end - start)


def _places(window: Window) -> Iterator[tuple[int, int]]:
    flat = window.flat
    for field in _FIELD.finditer(flat):
        yield field.span("date")
    for label in _HEADING.finditer(flat):
        for cells in (fields.column, fields.paired):
            for start, end in cells(window, *label.span()):
                date = _DATE.match(flat, start, end)
                if date:
                    yield date.span()
    for date in _DATE.finditer(flat):
        aged = _AGED.match(flat, date.end())
        born = _BORN.match(flat, date.end()) and not _LONG_AGO.match(flat, date.start())
        if aged or born or _BEHIND.match(flat, date.end()):
            yield date.span()
