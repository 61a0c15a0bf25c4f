"""A question as another page would write it: other width, marks, readings, line ends, kana, numerals, old kanji."""

import re
import unicodedata
from collections.abc import Callable

from jpfm.text.old_kanji import NEW_OF_OLD

_HALF = {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0xFF66, 0xFF9E)}
_MARKS = {"\u3099": "\uff9e", "\u309a": "\uff9f"}
_OLD = {chr(new): chr(old) for old, new in NEW_OF_OLD.items()}
_KANJI_DIGITS = str.maketrans("0123456789", "〇一二三四五六七八九")


def width(text: str) -> str:
    """Letters and digits full width, katakana half width."""
    made = []
    for character in text:
        base, *marks = list(unicodedata.normalize("NFD", character))
        if base in _HALF and "ァ" <= character <= "ー":
            made.append(_HALF[base] + "".join(_MARKS[mark] for mark in marks))
        elif character.isascii() and character.isalnum():
            made.append(chr(ord(character) + 0xFEE0))
        else:
            made.append(character)
    return "".join(made)


def punctuation(text: str) -> str:
    """Other marks, marks in other places, none at the end."""
    other = text.translate(str.maketrans("、。「」", "，．『』", "？?"))
    return "・".join([other[:5], other[5:9], other[9:]])


def readings(text: str) -> str:
    """A reading behind each run of kanji, in the three ways of Japanese text by turns."""
    ways = ("{}《よみかた》", "｜{}《よみかた》", "{}（よみかた）")
    count = 0

    def read(match: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return ways[count % 3].format(match.group())

    return re.sub("[一-鿿々]+", read, text)


def line_ends(text: str) -> str:
    """Lines of seven characters, indented."""
    return "\n　".join(text[at : at + 7] for at in range(0, len(text), 7))


def kana(text: str) -> str:
    """Hiragana for katakana, and the other way round."""
    swap = {code: code + 0x60 for code in range(0x3041, 0x3097)} | {code: code - 0x60 for code in range(0x30A1, 0x30F7)}
    return text.translate(swap)


def numerals(text: str) -> str:
    """Kanji for digits."""
    return text.translate(_KANJI_DIGITS)


def old_kanji(text: str) -> str:
    """國 for 国."""
    return "".join(_OLD.get(character, character) for character in text)


DISGUISES: dict[str, Callable[[str], str]] = {
    "none": str, "width": width, "punctuation": punctuation, "readings": readings, "line ends": line_ends,
    "kana": kana, "numerals": numerals, "old kanji": old_kanji,
    "all": lambda text: width(readings(kana(line_ends(punctuation(numerals(text)))))),
}  # fmt: skip
