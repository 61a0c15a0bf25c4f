"""Dates of birth behind their label: Western and Japanese eras, digits of either width, kanji numerals."""

import re
from collections.abc import Iterator

from jpfm.text.pii.window import Span, Window

_N = r"(?:\d{1,2}|[〇一二三四五六七八九十元]{1,4})"
_ERA = r"(?:明治|大正|昭和|平成|令和|[MTSHR]\.?)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}\.?"
DATE = re.compile(
    rf"(?:(?:西暦 ?)?(?:1[89]|20)\d\d ?年(?:[(][^)\n]{{2,8}}[)])? ?\d{{1,2}} ?月(?: ?\d{{1,2}} ?日)?"
    rf"|{_ERA} ?{_N} ?年(?:[(][^)\n]{{2,8}}[)])? ?{_N} ?月(?: ?{_N} ?日)?"
    rf"|(?:1[89]|20)\d\d ?[-/.] ?\d{{1,2}} ?[-/.] ?\d{{1,2}}|{_ERA} ?\d{{1,2}} ?[-/.] ?\d{{1,2}} ?[-/.] ?\d{{1,2}}"
    rf"|[〇一二三四五六七八九]{{4}}年{_N}月(?:{_N}日)?|千九百[一二三四五六七八九十]{{1,4}}年{_N}月(?:{_N}日)?"
    rf"|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    rf"|\d{{1,2}} {_MONTH},? (?:19|20)\d\d|{_MONTH} \d{{1,2}},? (?:19|20)\d\d|\d{{1,2}}/\d{{1,2}}/(?:19"
    rf"|20)\d\d)(?!\d)"
)
_LABEL = re.compile(
    r"(?:生 ?年 ?月 ?日|誕生日|出生年月日|出生日|生年|[Dd]ate of [Bb]irth|DATE OF BIRTH|DOB|[Bb]irth ?[Dd](?:ay|ate))"
    r"(?: ?\([^)\n\d年月]{0,14}\))?[^\w。]{0,6}(?:[はがの][^\w。]{0,4})?"
)
_BORN = re.compile(r" ?生(?:まれ)? ?[(、 ] ?(?:満|当時|現在)?[ ]?\d{1,3} ?[歳才]")


def births(window: Window) -> Iterator[Span]:
    """Dates of birth; a date alone, or one in a biography (1867年2月9日生まれ), is none.

    >>> from jpfm.text.pii.window import window
    >>> w = window("生年月日：昭和55年5月3日、誕生日は1980/5/3、会期は2025年4月1日、大正三年二月一日生（満80歳）")
    >>> [w.raw[s.start : s.end] for s in births(w)]
    ['昭和55年5月3日', '1980/5/3', '大正三年二月一日']
    """
    seen = set()
    for label in _LABEL.finditer(window.flat):
        match = DATE.match(window.flat, label.end())
        if match and window.whole(*match.span()):
            seen.add(match.start())
            yield Span("birth_date", match.start(), len(match.group()))
    for match in DATE.finditer(window.flat):
        if match.start() not in seen and _BORN.match(window.flat, match.end()) and window.whole(*match.span()):
            yield Span("birth_date", match.start(), len(match.group()))
