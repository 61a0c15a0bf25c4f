"""Japanese telephone numbers in all written forms, and not the prices, dates and codes that look like them.

A number is judged by its groups (area code, ten or eleven digits), by what stands before it (電話, 注文番号), and
by what it touches. Forms without a mark of their own, such as ten bare digits, count only behind a telephone word.
"""

import re
from collections.abc import Iterator

from jpfm.text.pii.window import Span, Window, digits_of

_SEP = r"(?: ?[-.・] ?| )"
_S = rf"{_SEP}?"
_PHONE = re.compile(
    rf"(?P<abroad>(?:\(\+81\)|\+ ?81|(?<!\d)0081){_S}(?:\(0\))?{_S}\(?\d{{1,4}}\)?{_S}\(?\d{{1,4}}\)?{_S}\d{{3,4}})"
    rf"|(?P<free>\(?(?:0120|0570|0180|0990)\)?{_S}\d{{2,3}}{_S}\d{{3,4}}|\(?0800\)?{_SEP}\d{{3}}{_S}\d{{4}})"
    rf"|(?P<mobile>\(?0(?:[5-9]0|20)\)?{_S}\(?\d{{4}}\)?{_S}\d{{4}})"
    rf"|(?P<land>\(?0[1-9]\d{{0,3}}(?:\) ?-? ?|{_SEP}|-? ?\()\d{{1,4}}(?:\) ?-? ?|{_SEP})\d{{4}})"
    rf"|(?P<bare>0[1-9]\d{{8}}|\(?0[1-9]\d{{0,3}}(?:\)|-)\d{{5,8}})"
)
_EXTENSION = r"内線(?:番号)?|内|ext\.?|Ext\.?|EXT\.?"
_TAIL = re.compile(rf" {{0,2}}[(,、]? ?(?:{_EXTENSION}) ?[:.]? ?\d{{1,6}}(?P<close>\))?")
_ALONE = re.compile(r"内線(?:番号)? ?[:.はが]? ?(?P<number>\d{2,6})(?![\d年月])")
_WORD = re.compile(
    r"(?:電話|でんわ|TEL|Tel|tel|ＴＥＬ|FAX|Fax|fax|ファックス|ファクス|ファクシミリ|携帯|けいたい|ケータイ|スマホ"
    r"|スマートフォン"
    r"|フリーダイヤル|ナビダイヤル|ダイヤル|ダイアル|連絡先|連絡は|直通|代表|自宅|勤務先|Phone|phone|PHONE|Mobile"
    r"|mobile|Cell"
    r"|[☎☏📞📱📠])[^。\n]{0,12}$"
)
_THING = (
    r"品目|商品|注文|伝票|追跡|管理|会員|社員|職員|顧客|整理|製造|登録|受注|発注|文書|部品|物件|案件|事件|申請"
    r"|請求書|見積|契約|資料"
)
_CODE = re.compile(  # a number of something else; the words of _THING alone only before bare digits
    rf"(?:品番|型番|型式|図番|ロット|LOT|Lot|シリアル|特許|特願|特開|実願|意匠|商標|ISBN|ISSN|JAN|コード|code|Code"
    rf"|CODE|SKU"
    rf"|ASIN|S/N|[Ii][Dd]|No|№|#|口座|カード|免許|マイナンバー|個人番号|(?:{_THING})(?:番号|コード|No"
    rf"|ID))[^。、\n\d]{{0,8}}$"
)
_BARE_CODE = re.compile(rf"(?:{_THING})[^。、\n\d]{{0,8}}$")
_TOUCH = "０１２３４５６７８９．－0123456789.-/¥$#=&%_\\'@:"


def phones(window: Window) -> Iterator[Span]:
    """Telephone numbers, with their extension where one follows.

    >>> from jpfm.text.pii.window import window
    >>> [s.start for s in phones(window("電話は03-1234-5678、会期は2025-04-01、TEL0463123456"))]
    [3, 33]
    """
    flat = window.flat
    position = 0
    while match := _PHONE.search(flat, position):
        start, end = match.span()
        position = start + 1
        if not _is_phone(window, match):
            continue
        if flat[start] == "(" and flat[start:end].count("(") > flat[start:end].count(")"):
            start += 1
        tail = _TAIL.match(flat, end)
        if tail:
            opened = "(" in tail.group()
            end = tail.end() if opened or tail["close"] is None else tail.end() - 1
        if window.whole(start, end):
            yield Span("phone", start, end - start)
        position = end
    for match in _ALONE.finditer(flat):
        yield Span("phone", match.start("number"), len(match["number"]))
    yield from _spelled(window)


def _is_phone(window: Window, match: re.Match[str]) -> bool:
    (start, end), form = match.span(), match.lastgroup
    digits = digits_of(match.group())
    labelled = bool(_WORD.search(window.before(start, 24)))
    if not _may_stand(window, start, end, labelled):
        return False
    other = _BARE_CODE if match.group().isdigit() else _CODE
    if not labelled and (other.search(window.before(start, 24)) or _CODE.search(window.before(start, 24))):
        return False
    if form == "abroad":
        national = re.sub(r"^(?:0081|81)0?", "", digits)
        return len(national) == (10 if re.match(r"[5-9]0|20|800", national) else 9)
    groups = re.findall(r"\d+", match.group())
    spaced = not re.search(r"[-()]", match.group()) and len(groups) > 1
    if form == "free":
        return len(digits) in (10, 11) and (len(groups) == 3 or labelled)
    if form == "mobile":
        return labelled or len(groups) in (1, 3) or "-" in match.group()
    if len(digits) != 10 or not _is_area(groups[0], digits):
        return False
    if form == "bare":
        return labelled
    return labelled or not spaced or groups[1][0] in "23456789"


def _is_area(code: str, digits: str) -> bool:
    """03, 06, 04-2 and 04-7; else three to five digits. Ten digits in one group may hold any area."""
    if len(code) == 2:
        return code in ("03", "06") or (code == "04" and digits[2] in "27")
    return code[2:3] != "0" or len(code) >= 4


def _may_stand(window: Window, start: int, end: int, labelled: bool) -> bool:
    flat = window.flat
    before = window.raw[start - 1] if start else " "  # full-width ＝ and ／ are punctuation, ASCII ones join code
    after = flat[end : end + 2] + "  "
    if after[0].isascii() and after[0].isalnum():
        return False
    if after[0] in "-." and after[1].isdigit():
        return False
    if after[0] == " " and after[1].isdigit() and flat[start] != "0":
        return False
    if re.match(r"[A-Za-zＡ-Ｚａ-ｚ]", before):
        return labelled
    if before == ":":
        return labelled or not re.search(r"[\d)]:$", flat[:start])
    if before == "/":  # a list of numbers, not a path
        return (
            labelled
            or not re.search(r"[A-Za-z0-9_.-]/$", flat[max(0, start - 2) : start])
            or _ends_phone(flat, start - 1)
        )
    if before == "-":
        return labelled and not re.search(r"\d-$", flat[:start])
    return before not in _TOUCH or (before == "." and labelled)


def _ends_phone(flat: str, end: int) -> bool:
    return re.search(r"0\d{1,4}[-)]\d{1,4}-\d{4}$", flat[max(0, end - 14) : end]) is not None


_SPELLED = re.compile(r"(?<![〇一二三四五六七八九])〇[〇一二三四五六七八九]{1,4}[-・(][〇一二三四五六七八九]{1,4}[-・)]"
                      r"[〇一二三四五六七八九]{4}(?![〇一二三四五六七八九十百])")  # fmt: skip


def _spelled(window: Window) -> Iterator[Span]:
    """Numbers in kanji digits, as vertical print has them: 〇三(一二三四)五六七八."""
    for match in _SPELLED.finditer(window.flat):
        if sum(char not in "-・()" for char in match.group()) in (10, 11):
            yield Span("phone", match.start(), len(match.group()))
