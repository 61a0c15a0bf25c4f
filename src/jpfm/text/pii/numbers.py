"""Numbers of persons and companies: My Number, corporate number, cards, accounts, licence, passport, residence card.

What has a check digit must pass it. What has none counts only behind its label: a bare seven-digit number is nothing.
"""

import re
from collections.abc import Iterator

from jpfm.text.pii import checks, fields
from jpfm.text.pii.window import Span, Window, digits_of

_EDGE = r"(?<![\dA-Za-z_./=#¥$%&@:+])(?<!\w-)(?<!\d )"
_END = r"(?![\dA-Za-z_@%])(?!-\w|[. ]\d)(?!:\d)"
_LONG = re.compile(
    rf"{_EDGE}(?P<corporate>T?\d{{13}}|T?-?\d-\d{{4}}-\d{{4}}-\d{{4}}){_END}"
    rf"|{_EDGE}(?P<card>\d{{4}}(?P<s>[- ])\d{{4}}(?P=s)\d{{4}}(?P=s)\d{{4}}(?:(?P=s)\d{{3}})?"
    rf"|\d{{4}}(?P<t>[- ])\d{{6}}(?P=t)\d{{4,5}}|\d{{14,19}}){_END}"
    rf"|{_EDGE}(?P<twelve>\d{{12}}|\d{{4}}(?P<u>[- ])\d{{4}}(?P=u)\d{{4}}){_END}"
)
_LABELLED_LONG = re.compile(  # a colon right before a label's number is no part of a path
    r"(?:(?<=[^\d][:=])|(?<=[Nn][Oo]\.))(?P<card>\d{4}([- ])\d{4}\2\d{4}\2\d{4}|\d{4}([- ])\d{6}\3\d{4,5}"
    r"|\d{14,19})(?![\dA-Za-z])(?![-. ]\d)"
    r"|(?:(?<=[^\d][:=])|(?<=[Nn][Oo]\.)|(?<=[号ス]/))(?P<corporate>T?\d{13})(?![\dA-Za-z])(?![-. ]\d)"
    r"|(?:(?<=[^\d][:=])|(?<=[Nn][Oo]\.))(?P<twelve>\d{12}|\d{4}([- ])\d{4}\6\d{4})(?![\dA-Za-z])(?![-. ]\d)"
)
_MINE = re.compile(r"(?:マイナンバー|個人番号|[Mm]y[ _-]?[Nn]umber)[^。\n]{0,20}$")
_LICENCE = re.compile(r"(?:免許|licen[cs]e)[^。\n]{0,20}$", re.IGNORECASE)
_LICENCE_AFTER = re.compile(r" ?号? ?[(\[]?(?:運転)?免許")
_CARD = re.compile(r"(?:カード|クレジット|VISA|Visa|Master|JCB|AMEX|Amex|card|Card)[^。\n]{0,20}$")
_OTHER = re.compile(
    r"(?:注文|伝票|追跡|問い?合わ?せ|問合せ?|管理|会員|社員|顧客|受付|整理|予約|製造|登録|受注|発注|文書|部品|案件"
    r"|申請|請求書?|見積"
    r"|ロット|LOT|Lot|シリアル|特許|ISBN|ISSN|JAN|EAN|GTIN|バーコード|SKU|ASIN|[Ss]erial|アカウント|account|Account"
    r"|商品|荷物|送り状"
    r"|トランザクション|取引|タイムスタンプ|timestamp|IMEI|型番|品番|証券|保険証?|年金|契約)"
    r"(?:番号|コード|No|ID|[Ii]d)?[^。、\n\d]{0,10}$|[A-Za-z_](?:[Ii]d|ID)s?[\"' :=\[]{1,6}$"
)
_CORPORATE_LABEL = (
    rf"(?:{fields.spaced('法人番号', '登録番号', 'インボイス', '事業者番号')}"
    r"|(?i:corporate|invoice|registration)[ _-]?(?i:number|no\b\.?|id\b))"
)
_CORPORATE = re.compile(rf"{_CORPORATE_LABEL}(?P<between>{fields.NOTE}?[^\d]{{0,30}})$")
_CORPORATE_AFTER = re.compile(rf"(?:{fields.BEHIND}| ?:? ?){_CORPORATE_LABEL}(?!{fields.CONNECT}T?\d)")
_CORPORATE_HEADING = re.compile(_CORPORATE_LABEL)
_RIVAL = re.compile(r"注文|伝票|追跡|商品|荷物|問い?合わ?せ|管理|会員|顧客|受付|電話|JAN|EAN|ISBN|コード|ID")
_KANA_OR_KANJI = re.compile(r"[ぁ-んァ-ヶ一-龯]")
_TIME = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d")


def long_numbers(window: Window) -> Iterator[Span]:
    """Cards, corporate numbers, My Numbers and driver's licences: runs of 12 to 19 digits.

    >>> from jpfm.text.pii.window import window
    >>> [s.kind for s in long_numbers(window("4111 1111 1111 1111、123456789018、法人番号7000012050002"))]
    ['credit_card', 'my_number', 'corporate_number']
    """
    columned = _columned(window)
    for pattern in (_LONG, _LABELLED_LONG):
        for match in pattern.finditer(window.flat):
            form = next(name for name in ("corporate", "card", "twelve") if match[name] is not None)
            kind = _kind_of(window, match, form, digits_of(match.group()), columned)
            if kind and window.whole(*match.span()):
                yield Span(kind, match.start(), len(match.group()))


def _kind_of(
    window: Window, match: re.Match[str], form: str, digits: str, columned: set[tuple[int, int]]
) -> str | None:
    text, before = match.group(), window.before(match.start(), 30)
    other = bool(_OTHER.search(before))
    if form == "corporate":
        label = _CORPORATE.search(window.before(match.start(), 60))
        labelled = (
            text.startswith("T")
            or _CORPORATE_AFTER.match(window.flat, match.end())
            or (label and not _RIVAL.search(label["between"]))
            or match.span() in columned
        )
        return "corporate_number" if labelled and checks.corporate_number_is_valid(digits) else None
    if form == "card":
        if not checks.card_number_is_valid(digits) or (other and not _CARD.search(before)):
            return None
        is_time = _TIME.match(digits) and " " not in text and "-" not in text
        return None if is_time and not _CARD.search(before) else "credit_card"
    if _LICENCE.search(before) or _LICENCE_AFTER.match(window.flat, match.end()):
        return "driver_licence" if checks.licence_number_is_plausible(digits) else None
    if not checks.my_number_is_valid(digits) or digits[:4] == digits[4:8] == digits[8:]:
        return None
    if _MINE.search(before):
        return "my_number"
    end = window.flat.find("\n", match.end())
    line = window.line_before(match.start()) + window.flat[match.end() : end if end >= 0 else None]
    in_words = _KANA_OR_KANJI.search(line) is not None  # not a column of figures, not the output of a program
    return None if other or not in_words or _TIME.fullmatch(digits) else "my_number"


def _columned(window: Window) -> set[tuple[int, int]]:
    """The cells of columns whose heading says that they hold numbers of corporations."""
    headings = _CORPORATE_HEADING.finditer(window.flat)
    return {cell for label in headings for cell in fields.column(window, *label.span())}


_KIND = r"(?:普通|当座|貯蓄|総合|(?<![一-龯])[普当])"
_SAVINGS = rf"(?:{_KIND}(?:(?:預金|貯金)?口座|預金|貯金)?)"
_NUMBER = r"(?:の?(?:番号|(?<![A-Za-z])(?:[Nn][Oo](?:\.|(?![a-z]))|NO\.?)|№|#))"
_GAP = r"(?>(?:[^\w\s。]|[ \t]){0,6}\n?(?:[^\w\s。]|[ \t]){0,6})"
_DIGITS = r"(?P<number>\d{6,8})(?![\dA-Za-z円個人件名台回社年歩%,.-]|[口千万億兆]|(?:[ ]?(?:kW|株|票|部))|/\d)"
_ACCOUNT_LABEL = (
    rf"(?:{fields.spaced('口座番号')}|口座{_NUMBER}?|{_KIND}(?:預金|貯金)(?:口座)?{_NUMBER}?"
    r"|(?i:bank[ _-]?account|account|acct\.?|a/c)[ _-]?(?i:number|num\b|no\b\.?|#))"
)
_ACCOUNT = re.compile(  # a bare 普通 or 当座 is also a common word, so nothing but marks may follow it
    rf"(?:{_ACCOUNT_LABEL}{fields.CONNECT}(?:{_SAVINGS}{_GAP}(?:口座)?{_NUMBER}?{_GAP})?"
    rf"|{_KIND}(?:預金|貯金)?(?:口座)?{_GAP}(?:口座)?{_NUMBER}?{_GAP}){_DIGITS}"
)
_ACCOUNT_HEADING = re.compile(rf"{fields.spaced('口座番号')}|口座{_NUMBER}")
_ACCOUNT_CELL = re.compile(r"\d{6,8}")
_ACCOUNT_AFTER = re.compile(
    rf"(?<![\w.,-])(?P<number>\d{{6,8}}){fields.BEHIND}{_ACCOUNT_LABEL}(?!{fields.CONNECT}\d)"
    rf"|番号 ?(?P<named>\d{{6,8}})(?:の|という){_SAVINGS}?口座"
)
_POST = re.compile(
    r"(?:ゆうちょ|郵便局|郵便貯金|記号)[^\n。]{0,24}?(?:記号|番号)? ?[:は]? ?(?P<mark>[01]\d{4}(?:-\d)?) ?"
    r"(?:[-・,/| ]|番号| ){0,4}(?:番号)? ?[:は]? ?(?P<number>\d{6,8})(?![\d円])"
)
_WORD_BEFORE = re.compile(r"(?:人口|件数|部数|総数|利用者数?)[^。\n]{0,6}$")


def accounts(window: Window) -> Iterator[Span]:
    """Account numbers behind 普通, 当座 or 口座番号, and the two numbers of a post office account (記号, 番号).

    >>> from jpfm.text.pii.window import window
    >>> [s.start for s in accounts(window("見本銀行 本店 普通 1234567、記号10140 番号12345671、普通は1234567円"))]
    [21, 11]
    """
    flat = window.flat
    for match in _POST.finditer(flat):
        if window.whole(*match.span()):
            start, end = match.start("mark"), match.end("number")
            yield Span("bank_account", start, end - start)
    for match in _ACCOUNT.finditer(flat):
        if window.whole(*match.span()) and not _WORD_BEFORE.search(window.before(match.start(), 12)):
            yield Span("bank_account", match.start("number"), len(match["number"]))
    for match in _ACCOUNT_AFTER.finditer(flat):
        start, end = match.span("number" if match["number"] else "named")
        if window.whole(start, end):
            yield Span("bank_account", start, end - start)
    for label in _ACCOUNT_HEADING.finditer(flat):
        for start, end in fields.column(window, *label.span()):
            if _ACCOUNT_CELL.fullmatch(flat, start, end) and window.whole(start, end):
                yield Span("bank_account", start, end - start)


_PASSPORT = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2} ?\d{7}(?![A-Za-z0-9])")
_RESIDENCE = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2} ?\d{8} ?[A-Z]{2}(?![A-Za-z0-9])")


def travel_documents(window: Window) -> Iterator[Span]:
    """Passport numbers (TR1234567) and residence card numbers (AB12345678CD), each behind its label.

    >>> from jpfm.text.pii.window import window
    >>> [s.kind for s in travel_documents(window("旅券番号TR1234567、在留カード AB12345678CD、型番TR1234567"))]
    ['passport', 'residence_card']
    """
    for kind, pattern, label in (
        ("passport", _PASSPORT, r"(?:パスポート|旅券|passport)[^。]{0,30}$"),
        ("residence_card", _RESIDENCE, r"(?:在留|特別永住|residence card)[^。]{0,40}$"),
    ):
        for match in pattern.finditer(window.flat):
            before = window.before(match.start(), 50)
            nearer = re.search(r"(?:型番|品番|品名|部品|注文|管理番号|伝票)[^。、\n]{0,8}$", before)
            if re.search(label, before, re.IGNORECASE) and not nearer:
                yield Span(kind, match.start(), len(match.group()))
