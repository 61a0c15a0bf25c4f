"""What may stay on request: contact data of companies, and names of public figures.

Contact data is a company's when its own line says so (代表電話, 所在地, a company's name) and nothing personal stands
there (携帯, 自宅, 氏名). Mobile numbers never count as a company's, freephone numbers always do.
"""

import re

from jpfm.text.pii.names import OFFICES
from jpfm.text.pii.window import Span, Window, digits_of

_COMPANY = re.compile(
    r"株式会社|有限会社|合同会社|合資会社|[㈱㈲]|\((?:株|有|同)\)|社団法人|財団法人|学校法人|医療法人|社会福祉法人"
    r"|独立行政法人|NPO法人|協同組合|商工会"
    r"|大学|病院|市役所|区役所|町役場|村役場|県庁|都庁|府庁|警察署|消防署|税務署|保健所|図書館|美術館|博物館|法務局"
    r"|労働局|郵便局"
)
_DESK = re.compile(
    r"代表(?:電話|番号|TEL)?|大代表|フリーダイヤル|ナビダイヤル|お客[様さ]ま?(?:窓口|相談|センター)|コールセンター"
    r"|サポートセンター|問い?合わ?せ(?:窓口|先)|受付窓口"
    r"|本社|本店|支社|支店|営業所|事業所|工場|所在地|店舗|事務局|予約センター|編集部"
)
_PERSONAL = re.compile(r"携帯|自宅|個人|本人|実家|緊急連絡先|現住所|住民票|氏名|お名前|内線|直通")
_ROLES_TEXT = (
    "info information contact support sales admin webmaster office inquiry privacy press recruit saiyo soumu"
    " toiawase postmaster noreply no-reply help helpdesk pr ir customer service hello mail desk jinji eigyo koho"
    " web shop order"
)
_ROLES = frozenset(_ROLES_TEXT.split())
_OFFICE_FIELD = re.compile(rf"(?:種別|肩書|役職|職名):[^\n]{{0,20}}{OFFICES}")
_OFFICE = re.compile(rf"{OFFICES}[^。\n]{{0,20}}$")


def is_corporate(window: Window, span: Span) -> bool:
    """A phone number, an e-mail or postal address of a company or an office.

    >>> from jpfm.text.pii.window import window
    >>> w = window("見本株式会社 代表電話 03-1234-5678")
    >>> is_corporate(w, Span("phone", 12, 12))
    True
    """
    value = window.flat[span.start : span.end]
    if span.kind == "email":
        return re.split(r"[@\[({<【★☆●◎■◆ ]", value)[0].lower() in _ROLES
    if span.kind not in ("phone", "postal_address"):
        return False
    digits = digits_of(value)
    if span.kind == "phone" and digits.startswith(("0120", "0800", "0570")):
        return True
    if span.kind == "phone" and re.match(r"(?:0|81)?0?[5-9]0", digits) and len(digits) >= 11:
        return False
    start = window.flat.rfind("\n", 0, span.start) + 1
    context = window.flat[max(start, span.start - 60) : span.start]
    if start > 1:  # a company's name often stands alone on the line before its address
        before = window.flat[window.flat.rfind("\n", 0, start - 1) + 1 : start - 1]
        context = before + "\n" + context if len(before) <= 30 and _COMPANY.search(before) else context
    return not _PERSONAL.search(context) and bool(_COMPANY.search(context) or _DESK.search(context))


def is_public_figure(window: Window, span: Span) -> bool:
    """A person's name behind a public office on its line, or before a line that gives one as 役職.

    >>> from jpfm.text.pii.window import window
    >>> is_public_figure(window("見本県知事　氏名：山田太郎"), Span("person_name", 9, 4))
    True
    """
    if span.kind != "person_name":
        return False
    return bool(
        _OFFICE.search(window.line_before(span.start)) or _OFFICE_FIELD.search(window.flat, span.end, span.end + 200)
    )
