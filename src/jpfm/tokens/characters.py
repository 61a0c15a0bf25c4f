"""Characters that get a piece of their own whether or not the training text holds them.

    required("basic")             # ASCII, kana, letters and digits of both widths, symbols of JIS rows 1, 2 and 13
    required("jis-level-1")       # and the 2,965 kanji of JIS level 1

Cleaned text holds few full-width digits, half-width kana, ㈱ or ℃, so that coverage alone spells them in three bytes
each; what users type and business files hold is full of them. A piece costs one row of the embedding.
"""

from typing import Literal

Required = Literal["none", "basic", "jis-level-1"]
_ROWS = {"basic": (1, 2, 13), "jis-level-1": (1, 2, 13, *range(16, 48))}
_RANGES = ((0x21, 0x7E), (0x3041, 0x3096), (0x30A1, 0x30FE), (0xFF01, 0xFF5E), (0xFF61, 0xFF9F), (0x32FF, 0x32FF))
_MORE = "￥￡￢￣"  # full-width signs that rows 1 and 2 name by their narrow twins


def _row(number: int) -> str:
    """A row of JIS X 0208 as CP932 has it (row 13: NEC's ①㈱㎡㍻)."""
    lead = (number - 1) // 2 + (0x81 if number < 63 else 0xC1)
    trails = (*range(0x40, 0x7F), *range(0x80, 0x9F)) if number % 2 else range(0x9F, 0xFD)
    found = (bytes((lead, trail)).decode("cp932", errors="replace") for trail in trails)
    return "".join(character for character in found if len(character) == 1 and character != "\ufffd")


def required(which: Required) -> str:
    """The characters, sorted, each once.

    >>> len(required("basic")), "７" in required("basic"), "㈱" in required("basic"), "亜" in required("basic")
    (618, True, True, False)
    >>> len(required("jis-level-1")) - len(required("basic"))
    2965
    """
    if which == "none":
        return ""
    ranges = "".join(chr(point) for first, last in _RANGES for point in range(first, last + 1))
    rows = "".join(map(_row, _ROWS[which]))
    return "".join(sorted({character for character in ranges + rows + _MORE if not character.isspace()}))
