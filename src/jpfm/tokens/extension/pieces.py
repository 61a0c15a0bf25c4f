"""Which strings may become new pieces of a tokenizer that is extended, and how its pieces spell bytes.

    rules = PieceRules(one_script=True)
    rules.allows("東京".encode())          # True
    rules.allows("東".encode()[:2])        # True: the beginning of one Japanese character, for byte-level BPE
    rules.allows("食べ".encode())          # False: two scripts

A piece is judged by its UTF-8 bytes, because a byte-level tokenizer has pieces that are a part of a character. New ones
are whole characters or the beginning of a single one: a piece that ends inside the next character (base tokenizers have
them) would tie the spelling of one word to its neighbour.

With `japanese_only`, every character that a new piece can match lies in a Japanese block. A line without such a
character therefore keeps its ids exactly; that is checked, and holds because of this rule, not because of the sample.
"""

import functools
from collections.abc import Sequence
from typing import Annotated

import pydantic

from jpfm.core.config import Settings
from jpfm.tokens.tokenizer_config import Morphemes

_BLOCKS = (
    (0x3000, 0x30FF), (0x31F0, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF00, 0xFFEF), (0x20000, 0x3FFFF),
)  # fmt: skip
JAPANESE_PATTERN = "[" + "".join(f"\\x{{{first:X}}}-\\x{{{last:X}}}" for first, last in _BLOCKS) + "]"
"""The blocks as a class of Rust's regex syntax, for polars."""


class PieceRules(Settings):
    """What a new piece may look like."""

    morphemes: Morphemes = "short"
    """Where training text is cut, so that no new piece spans a cut; as in `jpfm tokenizer train`. `short`: at UniDic
    words. `bunsetsu`: not before the particles, auxiliaries and suffixes behind a content word. `none`: nowhere but
    where the base cuts."""
    japanese_only: bool = True
    """Every character of a new piece is of a Japanese block; lines without one keep their ids. A byte-level BPE gets
    parts of characters too: it joins two pieces at a time, so between the three bytes of 東 and 東 lies a piece of two
    bytes. `stats.training` counts them as parts_of_characters, the others as whole_characters."""
    one_script: bool = False
    """No piece joins kanji, hiragana, katakana, Latin letters or punctuation; a word such as 食べる then has two."""
    digits: bool = False
    """Whether new pieces may hold digits; without, numbers stay as the base tokenizer cuts them."""
    max_piece_chars: Annotated[int, pydantic.Field(ge=1, le=64)] = 12

    def allows(self, spelled: bytes) -> bool:
        """Whether a string may be a piece. A space may stand at its beginning only."""
        try:
            text = spelled.decode()
        except UnicodeDecodeError:
            return self._begins_character(spelled)
        bare = text.removeprefix(" ")
        if not bare or len(bare) > self.max_piece_chars:
            return False
        if any(char.isspace() or (char.isdigit() and not self.digits) for char in bare):
            return False
        if self.japanese_only and not all(is_japanese(ord(char)) for char in bare):
            return False
        return not self.one_script or len({script(char) for char in bare} - {"mark"}) <= 1

    def _begins_character(self, spelled: bytes) -> bool:
        """Whether these bytes are the beginning of one character (of Japanese ones only, where asked)."""
        lead = spelled[0]
        size = 2 if 0xC2 <= lead < 0xE0 else 3 if 0xE0 <= lead < 0xF0 else 4 if 0xF0 <= lead < 0xF5 else 0
        missing = size - len(spelled)
        if size < 3 or missing < 1:
            return False
        try:
            first, last = ((spelled + tail * missing).decode() for tail in (b"\x80", b"\xbf"))
        except UnicodeDecodeError:
            return False
        return not self.japanese_only or (_block(ord(first)) >= 0 and _block(ord(first)) == _block(ord(last)))


def _block(point: int) -> int:
    return next((number for number, (first, last) in enumerate(_BLOCKS) if first <= point <= last), -1)


def is_japanese(point: int) -> bool:
    """Whether a code point lies in a block of kana, kanji, Japanese punctuation or full-width forms.

    >>> [is_japanese(ord(char)) for char in "あ漢、Ａ｡aé…"]
    [True, True, True, True, True, False, False, False]
    """
    return _block(point) >= 0


def script(char: str) -> str:
    """The script of a character, for `one_script`; ー goes with either kana.

    >>> [script(char) for char in "あアー々字a１、"]
    ['hiragana', 'katakana', 'mark', 'kanji', 'kanji', 'latin', 'digit', 'other']
    """
    point = ord(char)
    if point in (0x30FC, 0x3099, 0x309A):
        return "mark"
    if 0x3041 <= point <= 0x309F:
        return "hiragana"
    if 0x30A1 <= point <= 0x30FF or 0x31F0 <= point <= 0x31FF or 0xFF66 <= point <= 0xFF9F:
        return "katakana"
    if 0x3400 <= point <= 0x9FFF or 0xF900 <= point <= 0xFAFF or point >= 0x20000 or char in "々〆〇":
        return "kanji"
    if char.isdigit():
        return "digit"
    return "latin" if char.isalpha() else "other"


@functools.cache
def byte_characters() -> tuple[str, ...]:
    """The character that stands for each byte in a byte-level vocabulary (Radford et al. 2019, GPT-2).

    >>> byte_characters()[0x20], byte_characters()[0x41]
    ('Ġ', 'A')
    """
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(shown)]
    table = {byte: chr(byte) for byte in shown} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}
    return tuple(table[byte] for byte in range(256))


@functools.cache
def _character_bytes() -> dict[str, int]:
    return {char: byte for byte, char in enumerate(byte_characters())}


def to_bytes(piece: str, *, byte_level: bool) -> bytes | None:
    """What a model piece spells in UTF-8; None for a piece that spells nothing (a name such as <|eos|> or <0xE3>)."""
    if not byte_level:
        return piece.replace("▁", " ").encode()
    table = _character_bytes()
    numbers: Sequence[int | None] = [table.get(char) for char in piece]
    return None if None in numbers else bytes(number for number in numbers if number is not None)


def to_piece(spelled: bytes, *, byte_level: bool) -> str:
    """The name of a piece in the vocabulary; the inverse of `to_bytes`.

    >>> to_piece("東 京".encode(), byte_level=False), to_piece("京".encode(), byte_level=True)
    ('東▁京', 'äº¬')
    """
    if byte_level:
        return "".join(byte_characters()[byte] for byte in spelled)
    return spelled.decode().replace(" ", "▁")
