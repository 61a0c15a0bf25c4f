"""How many nats a text costs under a small model of what Japanese files hold: which of several readings was written?

    cost("日本語の文章です").nats, cost("譌･譛ｬ隱槭・譁").nats        # the right reading costs far less

A character costs log 1/P(its class after the class before it) plus log of the size of its class. Classes are scripts,
with kanji in six bands: three by frequency, the rest of JIS level 1, level 2, and beyond. The cost is that of the bytes
if the reading is right, so readings of the same bytes in other encodings, with other numbers of characters, compare
directly. Two tables hold the statistics, both counted by `benchmarks/data/plausible_tables.py`; nothing else is
learnt. Refused: a score of "share of kana and kanji", which cannot tell 縺ゅ＞ from old kanji or a short EUC-JP title
from half-width kana.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from jpfm.text.plausible_tables import COMMON_KANJI, TRANSITIONS

CLASSES = (
    "line", "space", "lower", "upper", "digit", "ascii_mark", "hiragana", "katakana", "long_mark", "kanji_1",
    "kanji_2", "kanji_3", "level_1", "level_2", "kanji_ibm", "kanji_rare", "punctuation", "wide_mark", "wide_alnum",
    "half_kana", "half_small", "half_voiceable", "half_voicing", "half_mark", "business", "greek_cyrillic", "frame",
    "latin", "latin_mark", "typographic", "foreign", "emoji", "private", "control", "damage",
)  # fmt: skip
(
    LINE, SPACE, LOWER, UPPER, DIGIT, ASCII_MARK, HIRAGANA, KATAKANA, LONG_MARK, KANJI_1, KANJI_2, KANJI_3, LEVEL_1,
    LEVEL_2, KANJI_IBM, KANJI_RARE, PUNCTUATION, WIDE_MARK, WIDE_ALNUM, HALF_KANA, HALF_SMALL, HALF_VOICEABLE,
    HALF_VOICING, HALF_MARK, BUSINESS, GREEK_CYRILLIC, FRAME, LATIN, LATIN_MARK, TYPOGRAPHIC, FOREIGN, EMOJI,
    PRIVATE, CONTROL, DAMAGE,
) = range(len(CLASSES))  # fmt: skip
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
"""One character of TRANSITIONS is a cost in quarter nats: its place in this string."""
BYTE = float(np.log(256))
"""What one byte costs if nothing is known of it: unit nats."""

SAMPLE_CHARS = 24_000
"""Longer texts are judged by their head, middle and tail, this many characters in all."""

Points = npt.NDArray[np.uint32]
_jit: Any = numba.njit(cache=True, nogil=True)


class Cost(NamedTuple):
    """What a text costs: all of it, and the part that bears on the encoding (not ASCII, or controls)."""

    nats: float
    chars: float
    telling_nats: float
    telling_bytes: float
    """Bytes of that part in an encoding of two bytes a kanji. Unknown bytes would cost `BYTE` nats each."""


def _row(row: int) -> str:
    """The characters of one JIS X 0208 row."""
    return bytes(b for cell in range(0xA1, 0xFF) for b in (row + 0xA0, cell)).decode("euc_jp", "ignore")


def _class_table() -> npt.NDArray[np.uint8]:
    """The class of each code point of the BMP, and at 0x10000 that of all beyond. Shape (0x10001,)."""
    table = np.full(0x10001, FOREIGN, dtype=np.uint8)

    def put(value: int, *what: str | int | tuple[int, int]) -> None:
        for item in what:
            if isinstance(item, tuple):
                table[item[0] : item[1] + 1] = value
            elif isinstance(item, int):
                table[item] = value
            else:
                table[[ord(char) for char in item]] = value

    put(CONTROL, (0x00, 0x1F), (0x7F, 0x9F))
    put(LINE, 0x09, 0x0A, 0x0D)
    put(ASCII_MARK, (0x21, 0x7E))
    put(SPACE, 0x20)
    put(LOWER, (0x61, 0x7A))
    put(UPPER, (0x41, 0x5A))
    put(DIGIT, (0x30, 0x39))
    put(LATIN_MARK, (0xA0, 0xBF), 0xD7, 0xF7)
    put(LATIN, (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x24F), 0xAA, 0xBA)
    put(GREEK_CYRILLIC, (0x370, 0x52F))
    put(TYPOGRAPHIC, (0x2010, 0x2027), (0x2030, 0x203E), 0x20AC, 0x2122, 0x2002, 0x2003)
    put(WIDE_MARK, "".join(_row(row) for row in (1, 2)), (0x3000, 0x303F))
    put(FRAME, (0x2500, 0x257F))
    put(BUSINESS, (0x2460, 0x24FF), (0x2160, 0x217F), (0x3220, 0x33FF), "№℡≒∑∮∟⊿")
    put(HIRAGANA, (0x3041, 0x3096))
    put(KATAKANA, (0x30A1, 0x30FA), (0x31F0, 0x31FF))
    put(LONG_MARK, "ー")
    put(PUNCTUATION, "、。「」・（）　")
    put(WIDE_ALNUM, (0xFF10, 0xFF19), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A))
    put(WIDE_MARK, "〜～−－‖∥¢￠£￡¬￢々ゝゞヽヾ゛゜")
    put(HALF_KANA, (0xFF66, 0xFF9D))
    put(HALF_SMALL, (ord("ｧ"), ord("ｰ")))
    put(HALF_VOICEABLE, "ｳ", (ord("ｶ"), ord("ﾄ")), (ord("ﾊ"), ord("ﾎ")))
    put(HALF_VOICING, "ﾞﾟ")
    put(HALF_MARK, "｡｢｣､･")
    put(KANJI_RARE, (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), 0x10000)
    ibm = bytes(byte for lead in (0xFA, 0xFB) for trail in range(0x5C, 0xFD) for byte in (lead, trail))
    put(KANJI_IBM, ibm.decode("cp932", "ignore"))
    put(LEVEL_2, "".join(_row(row) for row in range(48, 85)))
    put(LEVEL_1, "".join(_row(row) for row in range(16, 48)))
    for band, kanji in zip((KANJI_1, KANJI_2, KANJI_3), COMMON_KANJI, strict=True):
        put(band, kanji)
    put(EMOJI, (0x2600, 0x27BF), 0xFE0F, 0x200D)
    put(WIDE_MARK, "★☆♀♂♪♭♯")
    put(PRIVATE, (0xE000, 0xF8FF))
    put(DAMAGE, (0xFFF0, 0xFFFF), (0xF8F0, 0xF8F3), (0xFDD0, 0xFDEF))
    return table


CLASS_OF = _class_table()
_SIZES = np.bincount(CLASS_OF, minlength=len(CLASSES))
_COSTS = (
    np.array([[ALPHABET.index(char) for char in row] for row in TRANSITIONS.split()], dtype=np.float64) / 4
    + np.log(_SIZES)
).astype(np.float32)  # [class before, class]: class given the one before, then which of its members


@_jit
def _walk(points, class_of, costs):  # type: ignore[no-untyped-def]
    total, telling, num_bytes, before = 0.0, 0.0, 0, LINE
    for point in points:
        here = class_of[min(point, np.uint32(0x10000))]
        cost = costs[before, here]
        total += cost
        if point >= 0x80 or here == CONTROL:
            telling += cost
            num_bytes += 1 if point < 0x100 or 0xFF61 <= point <= 0xFF9F else 2
        before = here
    return total, len(points), telling, num_bytes


def cost(text: str) -> Cost:
    """The cost of a text, in nats.

    >>> right, wrong = cost("日本語の文章です"), cost("譌･譛ｬ隱槭・譁")
    >>> right.nats < 60 < 100 < wrong.nats
    True

    Args:
        text: any length; past `SAMPLE_CHARS` the figures are those of three samples, scaled up.
    """
    scale = 1.0
    if len(text) > SAMPLE_CHARS:
        part, middle = SAMPLE_CHARS // 3, len(text) // 2
        scale = len(text) / (3 * part)
        text = text[:part] + text[middle : middle + part] + text[-part:]
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return Cost(*(scale * figure for figure in _walk(points, CLASS_OF, _COSTS)))
