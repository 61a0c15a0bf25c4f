"""Take personal data out of a text: a tag, a fake value or nothing stands in its place, and the text stays readable."""

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from jpfm.text.pii.fake import fake
from jpfm.text.pii.window import Span

Action = Literal["mask", "fake", "remove", "drop"]
TAGS = {
    "email": "<メールアドレス>", "url_token": "<トークン>", "credit_card": "<カード番号>",
    "corporate_number": "<法人番号>",
    "driver_licence": "<免許証番号>", "residence_card": "<在留カード番号>", "passport": "<旅券番号>",
    "bank_account": "<口座番号>", "my_number": "<個人番号>", "ip_address": "<IPアドレス>", "postal_address": "<住所>",
    "phone": "<電話番号>", "birth_date": "<生年月日>", "person_name": "<氏名>",
}  # fmt: skip
_NOUNS = {
    "email": "こちらのアドレス", "ip_address": "こちらのアドレス", "postal_address": "こちらの住所",
    "person_name": "本人",
    "birth_date": "所定の日", "url_token": "",
}  # fmt: skip
_GOES_ON = re.compile(
    r"(?:です|でし|では|でも|まで|から|より|とい|など|への|へ|に|を|で|と|が|は|の|も|や|だ|宛|あて|様|さん|氏|殿|生)"
)
_LABEL = re.compile(r"(?:^|(?<=[\s、。，,／/・|（(]))[・\-*◆■●]?[ 　]?[^\s、。，,:：|\"'(（<＜]{1,12}[:：][ 　]*$")
_PAIRS = {"（": "）", "(": ")", "「": "」", "『": "』", "<": ">", "＜": "＞", "[": "]", "【": "】"}


class Edit(NamedTuple):
    """One place that changed: where it was, where it is, and what stands there now. Positions in characters."""

    kind: str
    start: int
    length: int
    new_start: int
    after: str


class _Cut(NamedTuple):
    start: int
    end: int
    text: str


def replace(
    text: str, spans: Sequence[Span], action: Callable[[str], Action], *, tag: str = "japanese", seed: int = 0
) -> tuple[str, list[Edit]]:
    """The text without its personal data.

    >>> spans = [Span("phone", 3, 12)]
    >>> [replace("電話は03-1234-5678です", spans, lambda kind: how)[0] for how in ("mask", "remove")]
    ['電話は<電話番号>です', '電話はこちらの番号です']
    >>> replace("見本商店（TEL：03-1234-5678）にて", [Span("phone", 9, 12)], lambda kind: "remove")[0]
    '見本商店にて'

    Args:
        spans: ascending, apart from each other.
        action: what happens to a class; `drop` concerns whole documents and is the caller's affair.
        tag: 'japanese' for <電話番号>, 'ascii' for <PHONE>.
        seed: of fake values.
    """
    out: list[str] = []
    edits: list[Edit] = []
    done = length = 0
    for index, span in enumerate(spans):
        stop = spans[index + 1].start if index + 1 < len(spans) else len(text)
        how = action(span.kind)
        if how == "remove":
            cut = _removal(text, span, done, stop)
        elif how == "fake":
            cut = _Cut(span.start, span.end, fake(span.kind, text[span.start : span.end], seed=seed))
        else:
            cut = _Cut(span.start, span.end, TAGS[span.kind] if tag == "japanese" else f"<{span.kind.upper()}>")
        out += [text[done : cut.start], cut.text]
        length += cut.start - done
        edits.append(Edit(span.kind, span.start, span.length, length, cut.text))
        length += len(cut.text)
        done = cut.end
    out.append(text[done:])
    return "".join(out), edits


def _removal(text: str, span: Span, low: int, high: int) -> _Cut:
    """What goes with a removed value: its label, its brackets, a comma; a noun stands where the sentence goes on."""
    start, end = span.start, span.end
    if span.kind == "url_token":
        return _Cut(start, end, "")
    goes_on = _GOES_ON.match(text, end) is not None and end < high
    line = text[max(low, text.rfind("\n", 0, start) + 1) : start]
    label = _LABEL.search(line)
    if label and not goes_on and (end == len(text) or text[end] in "\n 　、。，,）)／/|｜"):
        start -= len(line) - label.start()
    elif goes_on:
        return _Cut(start, end, _NOUNS.get(span.kind, "こちらの番号"))
    start, end = _brackets(text, start, end, low, high)
    before, after = text[start - 1 : start] if start > low else "", text[end : end + 1] if end < high else ""
    if before in ("、", "，", ",", "／", "/", " ", "　") and before and (not after or after in "、。，,\n）)"):
        start -= 1
    elif before in ("\n", "") and after in (" ", "　", "、", "，") and after:
        end += 1
    if (
        (start == 0 or text[start - 1] == "\n")
        and end < high
        and text[end] == "\n"
        and (label or span.end - span.start)
    ):
        end += 1  # the line is empty now
    return _Cut(start, end, "")


def _brackets(text: str, start: int, end: int, low: int, high: int) -> tuple[int, int]:
    """Widen over brackets that would be left empty."""
    while start > low and end < high and _PAIRS.get(text[start - 1]) == text[end]:
        start, end = start - 1, end + 1
    return start, end
