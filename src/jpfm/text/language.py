"""Which language a text's script shows: kana and hangul first, then which kanji it is written with.

    counts = count_letters(batch.column("text"))      # one pass over the bytes
    verdict = judge(counts)                           # ja, zh, ko, or "" where script alone does not decide

Kanji without kana (headings, addresses, tables) are the hard case. The codecs put every kanji into a class: in GB 2312
(simplified), in Big5 (traditional), in CP932 (Japanese), and there in level 1 of JIS X 0208 or not. 说 is in the first
alone, 說 in the second, 円 働 峠 in the third; 東 is no simplified and 区 no traditional character, so 東京都港区 is
neither Chinese; 國 and 會 are in level 2, which modern Japanese hardly uses. A naive Bayes over the classes and eight
Chinese function words (的 是 了 ...) sums such evidence up. Classical Chinese and 漢詩 without kana are Chinese.

Refused: fastText's lid.176 alone, which is right on 167 of the 197 hard items of tests/data/language_items.py; with
this before it, on 191. Refused: lists of simplified characters by hand; the codecs say the same, for every character.
"""

import functools
import unicodedata
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jpfm.text.kernels import _next_point, buffers

KANA, HANGUL, LATIN, OTHER, KANJI = range(5)
"""Columns of `count_letters`; from KANJI on, a column a class of kanji: GB 2312 + 2 Big5 + 4 CP932 + 4 level 2;
function words last."""
_FUNCTION_WORDS = "的是了我她很把這"
_CLASSES = 13
NUM_KINDS = KANJI + _CLASSES

# Shares of kanji by class, smoothed. Japanese: 539,000 kanji of Aozora, statutes, Wikipedia, business and manuals.
# Chinese: 10,487 and 8,908 kanji of the simplified and traditional help texts of vim, GnuPG and systemd.
_SHARES = np.array(
    [
        # none  GB      B5      GB+B5   CP      CP+GB   CP+B5   all     the last four again, in level 2         words
        [0.001, 0.0004, 0.0004, 0.0002, 0.0790, 0.0600, 0.1890, 0.6477, 0.0010, 0.0003, 0.0100, 0.0060, 0.0050],
        [0.001, 0.2200, 0.0006, 0.0300, 0.0003, 0.0400, 0.0006, 0.6024, 0.0002, 0.0168, 0.0006, 0.0293, 0.0588],
        [0.001, 0.0006, 0.0210, 0.0170, 0.0003, 0.0006, 0.1815, 0.5899, 0.0002, 0.0003, 0.0870, 0.0244, 0.0762],
    ]
)  # fmt: skip
_FOR_JAPANESE = np.log(_SHARES[:1] / _SHARES[1:])
_KANA_NATS = 4.0  # a kana in favour of Japanese; none counts for nothing
_WEIGHT = 3  # a kanji, kana or hangul says about as much as three letters of the alphabet

_jit: Any = numba.njit(cache=True, nogil=True)


class Verdict(NamedTuple):
    """A language for each document, from its script alone. All of shape (n,)."""

    language: npt.NDArray[np.str_]
    """ja, zh, ko; "und" without a letter; "" where a model of words must decide."""
    score: npt.NDArray[np.float64]
    """Probability times the share of the document's letters in that script; 0 to 1."""
    evidence: npt.NDArray[np.float64]
    """For its kana and kanji being Japanese, not Chinese: log of the odds."""
    east_share: npt.NDArray[np.float64]
    """Share of kana and kanji among its letters."""


@functools.cache
def _kinds() -> npt.NDArray[np.uint8]:
    """What each code point of the first plane is: a column of `count_letters` + 1, or 0 for no letter."""
    table = np.zeros(0x10000, dtype=np.uint8)
    for point in range(0x41, 0xD800):
        char = chr(point)
        if unicodedata.category(char)[0] == "L":
            table[point] = 1 + (LATIN if point < 0x250 or 0x1E00 <= point < 0x1F00 else OTHER)
    table[0x3041:0x3100] = 1 + KANA
    table[0x31F0:0x3200] = 1 + KANA
    table[0xFF66:0xFFA0] = 1 + KANA
    table[[0x3099, 0x309A, 0x309B, 0x309C, 0x30A0, 0x30FB]] = 0
    table[0x1100:0x1200] = table[0x3130:0x3190] = table[0xAC00:0xD7A4] = 1 + HANGUL
    table[0xFF21:0xFF3B] = table[0xFF41:0xFF5B] = 1 + LATIN
    table[0x3400:0x4DC0] = table[0xF900:0xFB00] = table[0x3005] = 1 + KANJI
    for point in range(0x4E00, 0xA000):
        char = chr(point)
        bits = sum((_code(codec, char) != b"") << bit for bit, codec in enumerate(("gb2312", "big5", "cp932")))
        level_2 = bits >= 4 and not b"\xb0" <= _code("euc_jp", char) < b"\xd0"
        table[point] = 1 + KANJI + (_CLASSES - 1 if char in _FUNCTION_WORDS else bits + 4 * level_2)
    return table


def _code(codec: str, char: str) -> bytes:
    try:
        return char.encode(codec)
    except UnicodeEncodeError:
        return b""


@_jit
def _count(offsets, data, kinds, out):  # type: ignore[no-untyped-def]
    for row in range(out.shape[0]):
        position, end = offsets[row], offsets[row + 1]
        while position < end:
            point, position = _next_point(data, position)
            if point < 0x10000:
                kind = kinds[point]
                if kind:
                    out[row, kind - 1] += 1
            elif 0x20000 <= point < 0x40000:
                out[row, KANJI] += 1


def count_letters(column: pa.Array) -> npt.NDArray[np.int64]:
    """Letters by script, kanji by class.

    Args:
        column: string array of n documents.
    Returns:
        Shape (n, NUM_KINDS): KANA, HANGUL, LATIN, OTHER, and from KANJI on the classes of kanji.
    """
    view = buffers(column)
    out = np.zeros((len(column), NUM_KINDS), dtype=np.int64)
    _count(view.offsets, view.data, _kinds(), out)
    return out


def judge(counts: npt.NDArray[np.int64]) -> Verdict:
    """The language that the script shows.

    >>> texts = ["東京都港区赤坂一丁目", "产品说明书", "產品說明書", "이용 안내", "Guide", "2024"]
    >>> judge(count_letters(pa.array(texts))).language.tolist()
    ['ja', 'zh', 'zh', 'ko', '', 'und']

    Args:
        counts: of `count_letters`, shape (n, NUM_KINDS).
    """
    kana, hangul = counts[:, KANA], counts[:, HANGUL]
    kanji = counts[:, KANJI:]
    east = kana + kanji.sum(axis=1)
    weight = _WEIGHT * (east + hangul) + counts[:, LATIN] + counts[:, OTHER]
    whole = np.maximum(weight, 1)
    evidence = (kanji @ _FOR_JAPANESE.T).min(axis=1) + _KANA_NATS * kana
    japanese = probability(evidence)
    east_share, hangul_share = _WEIGHT * east / whole, _WEIGHT * hangul / whole
    sure = (east_share >= 0.5) & ((japanese <= 0.2) | (japanese >= 0.8))
    korean = (hangul_share >= 0.5) | ((hangul > 2 * kana) & (hangul_share >= 0.2) & (east_share + hangul_share >= 0.8))
    cases = [weight == 0, korean, sure & (japanese >= 0.8), sure]
    language = np.select(cases, ["und", "ko", "ja", "zh"], "")
    score = np.select(
        cases,
        [np.zeros(len(counts)), hangul_share + east_share, japanese * east_share, (1 - japanese) * east_share],
        0.0,
    )
    return Verdict(language, np.minimum(score, 1.0), evidence, east_share)


def probability(evidence: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of what the log of its odds is given."""
    return 1.0 / (1.0 + np.exp(-np.clip(evidence, -50.0, 50.0)))
