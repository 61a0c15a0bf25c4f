"""One grammar of a filled field for every class: a label, what joins it to its value, the value; or a column's heading.

    再発行の口座番号（普通）は、次のとおりです。
    1234567                                     label, note, particle, mark, phrase, line end, value

Patterns are for a window's flat text, where marks and spaces have one width. A detector brings its labels and the shape
and check of its value; which marks, particles, brackets, leaders and line ends may stand between is said only here.
Refused: a list of whole frames a class, which found what was in the list and a third less of what was not.
"""

import re
from collections.abc import Iterator

from jpfm.text.pii.window import Window

NOTE = r"(?: ?[(\[][^()\[\]\n]{0,20}[)\]])"
"""A remark on the label: 生年月日(西暦)."""
GAP = r"(?>(?:[^\w\s。]|[_ー \t\u00a0]){0,40}(?:\n(?:[^\w\n。]|[_ー]){0,24}){0,2})"
"""Marks, spaces, leaders, opening brackets, and up to two line ends."""
SAY = (
    r"(?:(?:次|以下|下記|左記|右記|上記)(?:の?(?:とおり|通り|番号|もの))?"
    r"(?:です|である|となります|になります|でございます|だ|とする|にて)?。?)"
)
"""A phrase that announces the value: 次のとおりです。"""
CONNECT = rf"{NOTE}??{GAP}(?:(?:とは|として|には|では|[はがをにのでも]){GAP})?(?:{SAY}{GAP})?"
"""What may stand between a label and its value."""
BEHIND = r"(?: ?[(\[「【<](?:[^\n()]{0,6}の)?|[」』\"]?(?:[はがを]|という|なる)、?(?:[^\n。、\d]{0,8}の)?)"
"""What joins a value to a label that follows it: 1234567（口座番号）, 1234567が私の口座番号."""

_CELL_END = re.compile(rf"[\"'* ]*{NOTE}?[\"'* ]*(?P<delimiter>[|\t,]|$|(?=\n))")
_RULE = re.compile(r"[-|:+= \t]+")
_LIST = "・/、,"
_REACH = 400  # characters of a heading's line on either side of a label
_PAIR = re.compile(r"[-・●○■◆*]?(?P<labels>[^\s:。()・][^\s:。()]{1,39}) ?: ?(?P<values>[^\n。]{3,80})")


def spaced(*words: str) -> str:
    """A pattern for any of some labels, whose letters a form may set apart.

    >>> bool(re.fullmatch(spaced("生年月日", "誕生日"), "生 年 月 日"))
    True
    """
    return "(?:" + "|".join(" {0,4}".join(re.escape(char) for char in word) for word in words) + ")"


def column(window: Window, start: int, end: int) -> Iterator[tuple[int, int]]:
    r"""The cells below a heading: rows that follow with as many delimiters (| , or tab).

    >>> from jpfm.text.pii.window import window
    >>> w = window("番号,氏名,所属\n1,山田,総務\n2,森,営業\n以上")
    >>> [w.raw[a:b] for a, b in column(w, 3, 5)]
    ['山田', '森']

    Args:
        start: where the heading's label begins.
        end: where it ends.
    """
    flat = window.flat
    line = flat.rfind("\n", 0, start) + 1
    stop = flat.find("\n", end, end + _REACH)
    if stop < 0 or start - line > _REACH or (line == 0 and window.cut_left):
        return
    before = flat[line:start].rstrip(" \"'*")[-1:]
    behind = _CELL_END.match(flat, end)
    if not behind:
        return
    delimiter = behind["delimiter"] or before
    if delimiter not in ("|", "\t", ",") or before not in ("", delimiter):
        return
    index, total = flat.count(delimiter, line, start), flat.count(delimiter, line, stop)
    above = flat.rfind("\n", 0, max(0, line - 1)) + 1
    if line and (flat.count(delimiter, above, line) == total or (above == 0 and window.cut_left)):
        return  # a row further down, not the heading, or none can tell
    while stop < len(flat):
        line, stop = stop + 1, flat.find("\n", stop + 1)
        stop = stop if stop >= 0 else len(flat)
        if flat.count(delimiter, line, stop) != total:
            return
        if _RULE.fullmatch(flat, line, stop):
            continue
        for _ in range(index):
            line = flat.index(delimiter, line) + 1
        cell_end = flat.find(delimiter, line, stop)
        yield _strip(flat, line, cell_end if cell_end >= 0 else stop)


def paired(window: Window, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The value that stands in a list at the place where a label stands in another.

    >>> from jpfm.text.pii.window import window
    >>> w = window("氏名・生年月日：省略・昭和五十年一月二日")
    >>> [w.raw[a:b] for a, b in paired(w, 3, 7)]
    ['昭和五十年一月二日']
    """
    flat = window.flat
    if flat[start - 1 : start] not in tuple(_LIST) and flat[end : end + 1] not in tuple(_LIST):
        return
    line = max(flat.rfind("\n", 0, start) + 1, start - 40)
    for match in _PAIR.finditer(flat, line, end + 120):
        if match.start("labels") > start:
            return
        if match.end("labels") < end:
            continue
        delimiter = flat[start - 1] if start > match.start("labels") else flat[end : end + 1]
        labels, values = match["labels"].split(delimiter or ":"), match["values"].split(delimiter or ":")
        if delimiter in tuple(_LIST) and len(labels) == len(values):
            index = flat.count(delimiter, match.start("labels"), start)
            place = match.start("values") + sum(len(value) + 1 for value in values[:index])
            yield _strip(flat, place, place + len(values[index]))
        return


def _strip(flat: str, start: int, end: int) -> tuple[int, int]:
    while start < end and flat[start] in " \t\"'*":
        start += 1
    while end > start and flat[end - 1] in " \t\"'*":
        end -= 1
    return start, end
