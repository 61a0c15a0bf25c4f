r"""Untrusted text made safe to look at: hidden characters become visible marks, long text is cut and says so.

    visible("a\x00b\u202ec")            # 'a␀b⟦U+202E⟧c'
    cut("あ" * 1000, 400).text          # 400 characters

Escaping for HTML is the template's work (autoescape). Here go the characters that no escaping stops: C0 and C1
controls, bidi controls that reorder what a reviewer sees, zero-width characters that make two answers look equal, lone
surrogates that cannot be written as UTF-8. Kept: line feed, tab, and the zero-width joiner that holds emoji together.
"""

import re
from typing import NamedTuple

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    "\u00ad\u061c\u180e\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)


class Cut(NamedTuple):
    """A text to show and how long it was; `shortened` says that the page must tell."""

    text: str
    num_chars: int
    shortened: bool


def visible(text: str) -> str:
    r"""The text with every hidden character replaced by a mark that a person can see.

    >>> visible("正解は\u202e3\u202cです\r")
    '正解は⟦U+202E⟧3⟦U+202C⟧です␍'
    """
    return _HIDDEN.sub(_mark, text)


def _mark(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟦U+{code:04X}⟧"


def cut(text: str, limit: int) -> Cut:
    """The first `limit` characters.

    >>> cut("回答です", 2)
    Cut(text='回答', num_chars=4, shortened=True)
    """
    return Cut(text[:limit], len(text), len(text) > limit)


def cut_middle(text: str, limit: int) -> Cut:
    """A third of `limit` from the start and the rest from the end: in a few-shot prompt the question comes last.

    >>> cut_middle("例題一、例題二、問い", 6).text
    '例題\\n［…］\\n二、問い'
    """
    if len(text) <= limit:
        return Cut(text, len(text), False)
    head = limit // 3
    return Cut(f"{text[:head]}\n［…］\n{text[len(text) - (limit - head) :]}", len(text), True)
