"""What the writer of a mail wrote: quoted replies and signatures cut, soft line ends joined, HTML as text.

own_text("了解しました。\\n\\n2026年7月1日(水) 10:00 山田 <a@example.jp>:\\n> 会議は10時です。")    # '了解しました。'
"""

import re

from jpfm.data.sources.prose import is_spaced

_QUOTE = re.compile(r"\s{0,3}(?:[>＞]|\|\s)")
_INTRODUCTION = re.compile(
    r"(?:.{0,200}(?:wrote|writes|さんは書きました|は書きました|さんからのメール)"
    r"|.{0,40}\d{4}[年/.-]\s?\d{1,2}[月/.-]\s?\d{1,2}.{0,250}|.{0,200}<[^<>\s]{3,100}@[^<>\s]{3,100}>.{0,40})\s*[:：]"
)
_LONG_INTRODUCTION = re.compile(r"On\b.{5,500}\b(?:wrote|writes)\s*:", re.DOTALL)
_ORIGINAL = re.compile(
    r"[-_=＝ー─\s]{2,40}(?:Original (?:Message|Appointment)|元の(?:メッセージ|メール)|返信元メール)[-_=＝ー─\s]{2,40}",
    re.IGNORECASE,
)
_LINE_OF_OUTLOOK = re.compile(r"_{20,}")
_SENDER = re.compile(r"[*\s]*(?:From|差出人|送信者|発信者)\s*[:：]")
_SENDER_REST = re.compile(r"[*\s]*(?:Sent|Date|To|Subject|Cc|送信日時|送信|日時|宛先|件名|題名)\s*[:：]", re.IGNORECASE)
_RULE = re.compile(r"([-=━─＝_*＊‐—ー~〜+◆◇■□])\1{7,}.{0,20}|[-=━─＝_*＊・~〜+◆◇■□☆★. ]{8,}")
_CONTACT = re.compile(r"(?:TEL|FAX|Phone|電話|携帯|Mobile|E-?mail|〒\d{3})|\S@\S+\.\S", re.IGNORECASE)
_SIGNATURE_LINES = 16


def own_text(text: str, *, quotes: bool = False, signatures: bool = False) -> str:
    """The text without what others wrote and without the block of names and addresses at its end.

    >>> own_text("お世話になります。\\n\\n-----Original Message-----\\nFrom: a\\n本文")
    'お世話になります。'
    >>> own_text("明日伺います。\\n\\n-- \\n営業部　佐藤\\nTEL 03-0000-0000")
    '明日伺います。'

    Args:
        quotes: keep the text of others.
        signatures: keep the signature.
    """
    lines = [line.rstrip("\r") for line in text.split("\n")]
    if not quotes:
        lines = _without_quotes(lines)
    if not signatures:
        lines = _without_signature(lines)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in lines)).strip("\n")


def _without_quotes(lines: list[str]) -> list[str]:
    kept: list[str] = []
    quoted = False
    for number, line in enumerate(lines):
        if _ORIGINAL.fullmatch(line.strip()):
            break
        if (_SENDER.match(line) or _LINE_OF_OUTLOOK.fullmatch(line.strip())) and _names_sender(lines, number):
            break
        if _QUOTE.match(line):
            if not quoted:
                _drop_introduction(kept)
            quoted = True
            continue
        if line.strip():
            quoted = False
        kept.append(line)
    return kept


def _names_sender(lines: list[str], number: int) -> bool:
    """Whether a block of From:, Sent:, To: begins in this line or in one of the next two."""
    for at in range(number, min(number + 3, len(lines))):
        if _SENDER.match(lines[at]):
            return sum(bool(_SENDER_REST.match(line)) for line in lines[at + 1 : at + 7]) >= 2
    return False


def _drop_introduction(kept: list[str]) -> None:
    """Drop "On ... wrote:" before a quote: at most three lines up to a colon."""
    end = len(kept)
    while end and not kept[end - 1].strip():
        end -= 1
    for count in (3, 2, 1):
        found = "\n".join(kept[max(end - count, 0) : end]).strip()
        form = _LONG_INTRODUCTION if count > 1 else _INTRODUCTION
        if len(found) < 600 and form.fullmatch(found):
            del kept[max(end - count, 0) :]
            return


def _without_signature(lines: list[str]) -> list[str]:
    for number, line in enumerate(lines):
        if line in ("-- ", "--"):  # "-- " is the mark; some programs strip its space
            return lines[:number]
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    first = max(end - _SIGNATURE_LINES, 1)
    rules = [number for number in range(first, end) if _RULE.fullmatch(lines[number].strip())]
    for number in rules:
        block = lines[number:end]
        if max(map(len, block)) < 80 and "。" not in "".join(block) and _CONTACT.search("\n".join(block)):
            return lines[:number]
    return lines


def flowed(text: str, *, delete_space: bool) -> str:
    """Join the lines of format=flowed text (RFC 3676): a line that ends with a space goes on.

    >>> flowed("これは長い \\n行です。\\n次", delete_space=True)
    'これは長い行です。\\n次'

    Args:
        delete_space: the space at the end is no part of the text (delsp=yes).
    """
    out: list[str] = []
    goes_on, depth = False, ""
    for line in text.split("\n"):
        marks = re.match(r">*", line).group()  # type: ignore[union-attr]  # matches always
        body = line[len(marks) :].removeprefix(" ")
        if goes_on and marks == depth and line != "-- ":
            before = out[-1][:-1] if delete_space or not (is_spaced(out[-1][-2:-1] or "a")) else out[-1]
            out[-1] = before + body
        else:
            out.append(f"{marks} {body}" if marks else body)
        goes_on, depth = line.endswith(" ") and line != "-- ", marks
    return "\n".join(out)


_READINGS = re.compile(r"<(rt|rp)\b[^<>]*>[^<]*</\1\s*>", re.IGNORECASE)
_QUOTED_ELEMENTS = ["blockquote", "div.gmail_quote", "div.yahoo_quoted", "#divRplyFwdMsg", "#divRplyFwdMsg ~ *"]


def html_text(page: str, *, quotes: bool = False) -> str:
    """A mail's HTML as text: all of it, for a mail has no navigation; quoted blocks only with `quotes`."""
    from resiliparse.extract.html2text import extract_plain_text

    text: str = extract_plain_text(
        _READINGS.sub("", page),
        main_content=False,
        alt_texts=False,
        links=False,
        list_bullets=False,
        preserve_formatting=True,
        skip_elements=None if quotes else _QUOTED_ELEMENTS,
    )
    return "\n".join(re.sub(r"\t+", "\t", line.strip()) for line in text.split("\n"))
