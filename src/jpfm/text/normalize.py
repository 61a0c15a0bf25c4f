"""One written form for one character, without changing what a text says.

NFC and an explicit table. Not NFKC: that turns ㎡ into m2, ① into 1, ㈱ into (株), … into ... and merges name variants.
Columnar: every rule is one pass of a Rust or C++ function over the whole column. Idempotent.
"""

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

_FULL_ALNUM = {chr(c): chr(c - 0xFEE0) for r in ("０９", "ＡＺ", "ａｚ") for c in range(ord(r[0]), ord(r[1]) + 1)}
_HALF = "ｦｧｨｩｪｫｬｭｮｯｰｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔﾕﾖﾗﾘﾙﾚﾛﾜﾝ｡｢｣､･"
_FULL = (
    "ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテト"
    "ナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン。「」、・"
)
_HALF_KANA = dict(zip(_HALF, _FULL, strict=True))
_VOICED = {
    half + "ﾞ": full
    for half, full in zip("ｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾊﾋﾌﾍﾎｳ", "ガギグゲゴザジズゼゾダヂヅデドバビブベボヴ", strict=True)
} | {half + "ﾟ": full for half, full in zip("ﾊﾋﾌﾍﾎ", "パピプペポ", strict=True)}
_TABLE: dict[str, str] = {
    **_VOICED,
    **_HALF_KANA,
    "ﾞ": "゛",
    "ﾟ": "゜",
    **_FULL_ALNUM,
    "～": "〜",
    "－": "−",
    "\r\n": "\n",
    "\r": "\n",
    "\u2028": "\n",
    "\u2029": "\n",
    "\u0085": "\n",
    "\u00a0": " ",
    "\u2581": "_",  # SentencePiece's own space mark; kept apart from a real space
}
# zero-width and bidi controls, BOM inside text, soft hyphen; variation selectors and ZWJ (emoji) stay
_INVISIBLE = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f"
    r"\u00ad\u200b\u200c\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)


def normalize(column: pa.Array) -> pa.Array:
    """Normalise a column of text.

    >>> normalize(pa.array(["ｶﾞｿﾘﾝ１００㎡　㈱Ａ社～か\\u3099"]))[0].as_py()
    'ガソリン100㎡　㈱A社〜が'

    Args:
        column: string array.
    Returns:
        A string array of the same length. Normalising it again changes nothing.
    """
    series = pl.Series(pl.from_arrow(column))
    series = series.str.replace_all(_INVISIBLE, "")
    series = series.to_frame("text").select(
        pl.col("text").str.replace_many(list(_TABLE), list(_TABLE.values()), leftmost=True)
    )["text"]
    series = series.str.replace_all(r"[ \t\u3000]+\n", "\n").str.replace_all(r"\n{3,}", "\n\n")
    series = series.str.strip_chars_end(" \t\n\u3000").str.strip_chars_start("\n")
    return pc.utf8_normalize(series.to_arrow().cast(pa.string()), form="NFC")
