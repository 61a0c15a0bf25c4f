"""Strings that tokenizers read differently: made from hostile fragments and the vocabulary's own pieces.

    texts = strings(50_000, key="tokenizer", pieces=["東京", "京都", "ーー"])

Keyed and columnar: string i is the same whatever the machine, and 50,000 take a fraction of a second. One string in
eight is a run of one fragment, one in four only pieces of the vocabulary (which overlap: 東京+京都), the rest a
mixture.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jpfm.tokens.special_tokens import CHAT, FILL_IN_THE_MIDDLE, SPECIALS, TOOLS

_KANA = "あいうえおかがきぎつっゃゅょゎゐゑんアイウエオヴヵヶッャュョヮヰヱン・ーゝゞヽヾ"
_HALF_WIDTH = "ｱｲｳｴｵｶﾞｷﾞﾊﾟﾋﾟｰ｡｢｣､･ｬｭｮｯ"
_KANJI = "東京都日本国語猫駅前髙﨑𠮷𩸽𠮟𡈽𪚥𰻞塚﨑神福﨓侮亜黑々〆〇"
_COMPATIBILITY = "㈱㍻㋿㍿①⑳Ⅲⅳ㎡㌔ﬀ㏄№℡㍘"
_WIDE = "０１２９ＡＺａｚ！＃，．　～−―–—…‥、。「」『』【】"
_LATIN = "abcXYZéñßİı.,;:!?'\"0123456789"
_MARKS = ["か\u3099", "は\u309a", "e\u0301", "\u0300\u0301", "\u3099", "葛\U000e0100", "辻\ufe00", "☎\ufe0e", "☎\ufe0f"]
_EMOJI = ["👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇯🇵", "🇯", "1️⃣", "🧑🏿‍🚒", "🍣", "‍", "\ufe0f"]
_CONTROL = ["\x00", "\x01", "\x08", "\t", "\r", "\x0b", "\x0c", "\x1b", "\x1f", "\x7f", "\x85", "\u200b", "\u200e",
            "\u2028", "\u2029", "\u202e", "\u2060", "\ufeff", "\ufffd", "\ufdd0", "\uffff", "\U0010ffff", "\ue000",
            "\u00a0", "\u2002", "\u180e"]  # fmt: skip
_SPACES = [" ", "  ", "    ", "        ", "▁", "▁▁", " ▁", "　", "▅", "⁇", " ⁇ "]
_LINES = ["\n", "\n\n", "\n\n\n", "\r\n", "\n ", " \n"]
_SPELLED = ["<0x0A>", "<0x41>", "<0xFF>", "<0x", "<0xe3>", "<s>", "</s>", "<unk>", "<|", "|>", "<|us", "er|>", "<|eos",
            "<|reserved_0|>", "<|reserved_7|>"]  # fmt: skip
_CODE = [
    "def f(x):",
    "    return",
    "{}",
    "();",
    "===",
    "----",
    "/*",
    "*/",
    "->",
    "::",
    "std::vector<int>",
    "\\n",
    "#include",
]
FRAGMENTS = (
    *_KANA, *_HALF_WIDTH, *_KANJI, *_COMPATIBILITY, *_WIDE, *_LATIN, *_MARKS, *_EMOJI, *_CONTROL, *_SPACES, *_LINES,
    *_SPELLED, *SPECIALS, *CHAT, *TOOLS, *FILL_IN_THE_MIDDLE, *_CODE,
)  # fmt: skip
_MAX_FRAGMENTS = 14
_MAX_RUN = 50


def strings(count: int, *, key: str, pieces: Sequence[str]) -> pa.StringArray:
    """Fuzzed strings.

    Args:
        key: names the draw; another key gives other strings.
        pieces: the vocabulary's own pieces, with ▁ for spaces.

    >>> strings(3, key="a", pieces=["東京"]) == strings(3, key="a", pieces=["東京"])
    True
    """
    seed = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest(), "little")
    draw = np.random.Generator(np.random.Philox(seed))
    table = pa.array([*FRAGMENTS, *(piece.replace("▁", " ") for piece in pieces)], pa.string())
    style = draw.integers(0, 8, count)
    lengths = np.where(style == 0, draw.integers(1, _MAX_RUN, count), draw.integers(1, _MAX_FRAGMENTS, count))
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int32)
    total = int(offsets[-1])
    row = np.repeat(np.arange(count), lengths)
    hostile = draw.integers(0, len(FRAGMENTS), total)
    own = draw.integers(len(FRAGMENTS), len(table), total) if pieces else hostile
    mixed = np.where(draw.integers(0, 2, total).astype(bool), hostile, own)
    chosen = np.where((style[row] == 1) | (style[row] == 2), own, mixed)
    chosen = np.where(style[row] == 0, chosen[offsets[row]], chosen)
    lists = pa.ListArray.from_arrays(pa.array(offsets), table.take(pa.array(chosen)))
    return pc.binary_join(lists, "")
