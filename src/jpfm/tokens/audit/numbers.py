"""How tokenizers cut numbers, dates and Japanese eras: written examples to look at, and rules counted on them.

    table = examples(tokenizers)                        # pieces of 令和7年4月1日, 1,234,567円, 第百二十三条 ...
    rules = number_rules(tokenizer)                     # are digits cut one by one? is an era one piece? ...

A model adds and compares numbers more easily when equal lengths have equal cuts; "one by one" is the plain way to that.
The examples are fixed, so that audits of different years can be compared.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jpfm.tokens.audit.boundaries import start_marks
from jpfm.tokens.audit.tokenizer import BYTE, I64, KINDS, UNKNOWN, AuditedTokenizer, Bools

EXAMPLES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("amount", ("1,234,567円", "￥98,000", "100万円", "3億2,500万円", "十二万三千四百円", "壱百萬円", "1234567890")),
    ("decimal", ("3.14", "３．１４", "0.05%", "前年比12.3％増", "1.5×10^8", "−40.25℃", "1/3")),
    ("wareki", (
        "令和7年4月1日", "令和元年5月1日", "平成31年4月30日", "昭和六十四年一月七日", "大正十二年九月一日",
        "明治四十五年", "R7.4.1", "㍻30年度", "令和７年度", "慶応四年",
    )),
    ("western", (
        "2026-11-29", "2026年11月29日", "２０２６年１１月２９日", "2026/11/29(日)", "11月29日", "二〇二六年",
        "1990年代",
    )),
    ("time", ("午前9時30分", "14:05:59", "2026-11-29T08:00:00+09:00", "3時間45分", "２４時")),
    ("statute", (
        "第百二十三条", "第3条第2項第1号", "昭和二十二年法律第六十七号", "別表第一の二", "第12回", "二十一世紀",
    )),
    ("identifier", (
        "03-1234-5678", "090(0000)0000", "〒100-0001", "ISBN 978-4-00-000000-0", "v2.31.4", "192.0.2.17", "A4判",
    )),
    ("unit", ("5kg", "100㎡", "12.5km", "20ﾟC", "①②③", "㈱", "Ⅳ章", "3人", "1個", "二人三脚", "5ヶ月", "3ヵ年")),
)  # fmt: skip
"""Written for this audit; by kind."""
_ERAS = ("明治", "大正", "昭和", "平成", "令和")
_UNITS = "年月日"
_LENGTHS = range(1, 9)
_NUMBERS = 200
_FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")


class CutPiece(NamedTuple):
    """One piece of an example as a page shows it."""

    text: str
    kind: str


class Example(NamedTuple):
    """A written example and its pieces by every tokenizer, in their order."""

    group: str
    text: str
    cuts: tuple[tuple[CutPiece, ...], ...]


class NumberRules(NamedTuple):
    """Rules of a tokenizer about numbers, as shares between 0 and 1."""

    digits_alone: float
    """Of the digits 0-9 beside another digit, how many are a token of their own; one in several bytes is not."""
    wide_digits_alone: float
    """The same of ０-９."""
    eras_whole: float
    """Of the five eras since 1868, written before a year, how many are one token."""
    units_apart: float
    """Of 年, 月 and 日 after a digit, how many begin a token."""
    equal_lengths: float
    """Of numbers with 1 to 8 digits, how many have as many tokens as most numbers of that length."""
    tokens_by_length: tuple[tuple[int, int, int], ...]
    """By number of digits: digits, fewest tokens, most tokens."""


def examples(tokenizers: Sequence[AuditedTokenizer]) -> list[Example]:
    """The examples with their pieces."""
    return [
        Example(group, text, tuple(_shown(tokenizer, text) for tokenizer in tokenizers))
        for group, texts in EXAMPLES
        for text in texts
    ]


def _shown(tokenizer: AuditedTokenizer, text: str) -> tuple[CutPiece, ...]:
    return tuple(CutPiece(piece.text, KINDS[piece.kind]) for piece in tokenizer.cut(text))


def number_rules(tokenizer: AuditedTokenizer, *, seed: int = 0) -> NumberRules:
    """Count the rules: digits and units on the examples, eras and lengths on dates and numbers made for it.

    A token is told by where it begins and the next begins, so a space put before a text makes no difference. What is
    spelled in several byte tokens, or is unknown, is no token of its own.
    """
    texts = [text for _, group in EXAMPLES for text in group]
    dates = [
        f"発行は{era}{year}年{month}月{day}日です" for era in _ERAS for year, month, day in ((2, 4, 1), (14, 12, 31))
    ]
    spans = _Spans([*texts, *dates], tokenizer)
    return NumberRules(
        spans.alone("0123456789"), spans.alone("０１２３４５６７８９"), spans.eras_whole(),
        spans.apart(_UNITS, "0123456789０１２３４５６７８９"), *_lengths(tokenizer, seed),
    )  # fmt: skip


class _Spans:
    """Characters of texts, a line end after each, with the cuts before them and the tokens that begin in them."""

    def __init__(self, texts: Sequence[str], tokenizer: AuditedTokenizer) -> None:
        self.chars = "".join(text + "\n" for text in texts)
        begins, _ = start_marks(texts, tokenizer)
        ends = np.cumsum([len(text) for text in texts])
        self.begins: Bools = np.append(np.insert(begins, ends, True), True)
        self.tokens: I64 = np.insert(_begun(texts, tokenizer), ends, 0)

    def whole(self, start: int, end: int) -> bool:
        """These characters are one token, and nothing else is in it."""
        return bool(self.begins[start] and self.begins[end] and self.tokens[start:end].sum() == 1)

    def alone(self, digits: str) -> float:
        beside = [
            place
            for place, char in enumerate(self.chars)
            if char in digits and (self.chars[place - 1] in digits or self.chars[place + 1] in digits)
        ]
        return sum(self.whole(place, place + 1) for place in beside) / len(beside)

    def eras_whole(self) -> float:
        whole = []
        for era in _ERAS:
            places = [found.end() for found in re.finditer(f"発行は(?={era})", self.chars)]
            whole.append(all(self.whole(place, place + len(era)) for place in places))
        return sum(whole) / len(whole)

    def apart(self, units: str, digits: str) -> float:
        after = [p for p, char in enumerate(self.chars) if char in units and p and self.chars[p - 1] in digits]
        return sum(bool(self.begins[place]) for place in after) / len(after)


def _begun(texts: Sequence[str], tokenizer: AuditedTokenizer) -> I64:
    """By character of all texts: how many tokens begin in it. Each byte of a character counts; unknown counts two.

    What stands for no known text is no token of its own, so it may never count as exactly one.
    """
    found = tokenizer.locate(texts)
    sizes = np.array([len(text) for text in texts], dtype=np.int64)
    kinds = tokenizer.kinds[found.ids]
    counted = ((kinds == BYTE) | (found.ends > found.starts)) & (found.starts < np.repeat(sizes, found.lengths))
    places = np.repeat(np.cumsum(sizes) - sizes, found.lengths) + found.starts
    weights = np.where(kinds == UNKNOWN, 2, 1)[counted]
    return np.bincount(places[counted], weights=weights, minlength=int(sizes.sum())).astype(np.int64)


def _lengths(tokenizer: AuditedTokenizer, seed: int) -> tuple[float, tuple[tuple[int, int, int], ...]]:
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, 1))))
    like_most, rows = [], []
    for length in _LENGTHS:
        first = 10 ** (length - 1) if length > 1 else 0
        numbers = generator.integers(first, 10**length, _NUMBERS)
        tokens = tokenizer.encode([str(number) for number in numbers.tolist()]).lengths
        like_most.append(float(np.bincount(tokens).max() / len(tokens)))
        rows.append((length, int(tokens.min()), int(tokens.max())))
    return float(np.mean(like_most)), tuple(rows)
