"""Spans that are to be cut, with what would be left hanging: readings, end marks, brackets, a question's label.

    widen("問1：「富士山《ふじさん》はどこ？」", [(4, 14)])      # all of the line

What stays behind where only the words are cut is worse than what is cut: a lone ？, the reading of a kanji that is
gone, "問1：" with nothing after it.
"""

import re
from collections.abc import Iterable, Iterator

import numpy as np

_AFTER = re.compile(
    r"[\u3099\u309a\uff9e\uff9f\u309b\u309c]*"  # marks of the last kana
    r"(?:《[^《》\n]{1,40}》|[（(][ぁ-ゖァ-ヺー・ 　]{1,40}[）)])?"  # the reading of the last kanji
    r"[。．.？?！!、，…]*"
)
_PAIRS = {"「": "」", "『": "』", "（": "）", "(": ")", "“": "”", "【": "】", "［": "］", "[": "]", '"': '"'}
_LABEL = re.compile(r"[\W_]*(?:問題?|質問|設問|Q)?[\W_]*[0-9０-９]{0,4}[\W_]*", re.IGNORECASE)


def widen(text: str, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans to take out, in order and apart.

    A span takes the reading and the end marks behind it, and the brackets around it. Where nothing but marks or a
    question's label is left of a line, that goes too; its line end stays for `text.cut`.

    >>> text = "今日の話。\\n問1：「富士山（ふじさん）はどこですか？」\\n答えは山梨と静岡。"
    >>> text[10:25], [text[start:end] for start, end in widen(text, [(10, 25)])]
    ('富士山（ふじさん）はどこですか', ['問1：「富士山（ふじさん）はどこですか？」'])
    >>> text = "「富士山《ふじさん》」の話"
    >>> text[1:4], [text[start:end] for start, end in widen(text, [(1, 4)])]
    ('富士山', ['「富士山《ふじさん》」'])

    Args:
        spans: (start, end) in characters; they may overlap.
    """
    gone = np.zeros(len(text), dtype=np.bool_)
    touched: set[tuple[int, int]] = set()
    for start, end in spans:
        after = _AFTER.match(text, end)
        end = after.end() if after else end
        if start and text[start - 1] == "｜":
            start -= 1
        while start and end < len(text) and _PAIRS.get(text[start - 1]) == text[end]:
            start, end = start - 1, end + 1
        gone[start:end] = True
        touched.update(_lines(text, start, end))
    for start, end in touched:
        if _LABEL.fullmatch(without(text[start:end], _runs(gone[start:end]))):
            gone[start:end] = True
    return list(_runs(gone))


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The lines that a span begins and ends in, without their line ends."""
    for place in (start, end):
        line_end = text.find("\n", place)
        yield text.rfind("\n", 0, place) + 1, len(text) if line_end < 0 else line_end


def _runs(mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False)).tolist()
    return zip(edges[::2], edges[1::2], strict=True)


def without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text without spans that are in order and apart.

    >>> without("甲乙丙丁", [(0, 1), (2, 3)])
    '乙丁'
    """
    parts, position = [], 0
    for start, end in spans:
        parts.append(text[position:start])
        position = end
    return "".join([*parts, text[position:]])
