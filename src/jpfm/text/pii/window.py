"""What detectors read: a piece of text around a hit, beside the same piece in one width, and the spans they return."""

import re
from typing import NamedTuple

_WIDE = {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_HYPHENS = dict.fromkeys("‐‑‒–—―−ｰ─", "-")
_TABLE = str.maketrans({**_WIDE, **_HYPHENS, "　": " ", "\u00a0": " ", "℡": "☎", "〔": "(", "〕": ")"})
_LONG_VOWEL = re.compile(r"(?<=[\d)])ー(?=[\d(])")


class Span(NamedTuple):
    """A place that holds personal data: class, first character and number of characters."""

    kind: str
    start: int
    length: int

    @property
    def end(self) -> int:
        """The position after the last character."""
        return self.start + self.length


class Window(NamedTuple):
    """A piece of a text; `flat` has a character for each of `raw`."""

    raw: str
    flat: str
    cut_left: bool
    """The text goes on before the piece within the same line."""
    cut_right: bool

    def before(self, start: int, chars: int = 20) -> str:
        """The flat text of up to `chars` characters before a position, on its line and the end of the line before."""
        return self.flat[max(0, start - chars) : start]

    def line_before(self, start: int) -> str:
        """The flat text of the line that a position stands on, up to the position."""
        return self.flat[self.flat.rfind("\n", 0, start) + 1 : start]

    def whole(self, start: int, end: int) -> bool:
        """A match from start to end does not touch an edge where the piece was cut."""
        return not (self.cut_left and start == 0) and not (self.cut_right and end == len(self.raw))


def flatten(text: str) -> str:
    """Full-width letters, digits and marks as ASCII, every hyphen as `-`; one character for one.

    >>> flatten("（０３）１２３４ー５６７８　ｔａｒｏ＠例.jp サーバー")
    '(03)1234-5678 taro@例.jp サーバー'
    """
    return _LONG_VOWEL.sub("-", text.translate(_TABLE))


def window(raw: str, *, cut_left: bool = False, cut_right: bool = False) -> Window:
    """A window over a piece of text."""
    return Window(raw, flatten(raw), cut_left, cut_right)


def digits_of(text: str) -> str:
    """The digits of a piece of text, as ASCII.

    >>> digits_of("０９０-1234")
    '0901234'
    """
    return "".join(char for char in flatten(text) if "0" <= char <= "9")
