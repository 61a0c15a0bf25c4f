"""Bytes to text for the encodings Japanese files really have.

    decode(data).text, .encoding, .confidence
    decode(data, declared="shift_jis")        # a label from HTTP or <meta>

Order: byte order mark, escape sequences (ISO-2022-JP), strict UTF-8, then the declared label as browsers read it, then
the candidate whose text looks most like Japanese. `shift_jis` is always CP932 (the WHATWG rule): Python's own
`shift_jis` cannot read ㈱ ① 髙, and loses just the business pages. Half-width kana count against a candidate, because
EUC-JP bytes read as Shift_JIS become half-width kana.
"""

import codecs
import re
from typing import NamedTuple

import numpy as np

from jpfm.core.errors import DataError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LABELS = {
    "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932", "x-sjis": "cp932", "windows-31j": "cp932",
    "ms_kanji": "cp932", "cp932": "cp932", "ms932": "cp932",
    "euc-jp": "euc_jp", "x-euc-jp": "euc_jp", "eucjp": "euc_jp", "euc_jp": "euc_jp",
    "iso-2022-jp": "iso2022_jp_2004", "utf-8": "utf-8", "utf8": "utf-8", "utf-16": "utf-16",
    "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
}  # fmt: skip
_CANDIDATES = ("cp932", "euc_jp", "euc_jis_2004")
# the same byte pair reads as another character in CP932 than in JIS; one form from here on
_CP932_FORMS = str.maketrans("～∥－￠￡￢", "〜‖−¢£¬")
_ESCAPE = re.compile(rb"(\x1b\$[@B]|\x1b\([BJI])")
_MIN_PLAUSIBLE = 0.6


class UnreadableText(DataError):
    """Bytes that are no text in any encoding a Japanese file may have."""


class Decoded(NamedTuple):
    """Text, the codec that gave it, and how Japanese it looks (0 to 1; 1 for a certain mark or strict UTF-8)."""

    text: str
    encoding: str
    confidence: float


def decode(data: bytes, declared: str | None = None) -> Decoded:
    """Decode a whole document.

    >>> decode("㈱髙橋　①～".encode("cp932")).text
    '㈱髙橋　①〜'
    >>> decode("経済産業省のニュース".encode("euc_jp")).encoding
    'euc_jp'

    Args:
        declared: a charset label found with the document; used when it decodes and looks plausible.
    Raises:
        UnreadableText: no candidate gives plausible text.
    """
    for mark, codec in _BOMS:
        if data.startswith(mark):
            return _strict(data, codec)
    if b"\x1b$" in data or b"\x1b(" in data:
        for codec, read in (("iso2022_jp_2004", _iso2022_standard), ("cp50221", _iso2022_windows)):
            try:
                return Decoded(read(data), codec, 1.0)
            except UnicodeDecodeError:
                pass  # an escape byte alone proves nothing
    try:
        return Decoded(data.decode("utf-8"), "utf-8", 1.0)
    except UnicodeDecodeError:
        pass  # the usual case for older Japanese files
    label = _LABELS.get((declared or "").strip().lower())
    best: Decoded | None = None
    for codec in dict.fromkeys((label, *_CANDIDATES) if label else _CANDIDATES):
        try:
            text = data.decode(codec)
        except UnicodeDecodeError:
            continue
        score = plausibility(text) + (0.1 if codec == label else 0.0)
        if best is None or score > best.confidence:
            best = Decoded(text.translate(_CP932_FORMS) if codec == "cp932" else text, codec, min(score, 1.0))
    if best is None or best.confidence < _MIN_PLAUSIBLE:
        raise UnreadableText(
            "no Japanese encoding reads these bytes as text",
            hint="tried UTF-8, ISO-2022-JP, CP932, EUC-JP; is it a binary file?",
        )
    return best


def _iso2022_standard(data: bytes) -> str:
    return data.decode("iso2022_jp_2004")


def _iso2022_windows(data: bytes) -> str:
    """ISO-2022-JP as Windows mailers write it, with ① ㈱ Ⅲ (CP50221). Python has no such codec, but CP932 the cells."""
    parts = _ESCAPE.split(data)
    text = [parts[0].decode("ascii")]
    for escape, chunk in zip(parts[1::2], parts[2::2], strict=True):
        if escape in (b"\x1b$B", b"\x1b$@"):
            text.append(b"".join(map(_cp932_cell, chunk[::2], chunk[1::2])).decode("cp932").translate(_CP932_FORMS))
        elif escape == b"\x1b(I":
            text.append(bytes(byte | 0x80 for byte in chunk).decode("cp932"))
        else:
            text.append(chunk.decode("ascii"))
    return "".join(text)


def _cp932_cell(row: int, cell: int) -> bytes:
    lead = (row - 0x21 >> 1) + 0x81
    lead += 0x40 if lead > 0x9F else 0
    trail = cell + 0x7E if row % 2 == 0 else cell + (0x1F if cell < 0x60 else 0x20)
    return bytes((lead, trail)) if lead < 0x100 and trail < 0x100 else b"\xff"


def _strict(data: bytes, codec: str) -> Decoded:
    try:
        return Decoded(data.decode(codec), codec.removesuffix("-sig"), 1.0)
    except UnicodeDecodeError as error:
        raise UnreadableText(
            f"begins as {codec} but byte {error.start} is not", hint="the file is cut off or was joined from two"
        ) from error


def plausibility(text: str) -> float:
    """How much of the text beyond ASCII is what Japanese writers use: 1 all of it, 0 or less none.

    Kana and common kanji count for it; half-width kana, private use, controls and rare symbols against it.
    """
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    control = int(((points < 0x20) & (points != 9) & (points != 10) & (points != 13)).sum())
    wide = points[points >= 0x80]
    if wide.size == 0:
        return 1.0 if control == 0 else 0.0
    kana = ((wide >= 0x3041) & (wide <= 0x30FE)).sum()
    kanji = ((wide >= 0x4E00) & (wide <= 0x9FFF)).sum()
    marks = (((wide >= 0x3000) & (wide <= 0x3020)) | ((wide >= 0xFF01) & (wide <= 0xFF5E))).sum()
    half_kana = ((wide >= 0xFF61) & (wide <= 0xFF9F)).sum()
    private = ((wide >= 0xE000) & (wide <= 0xF8FF)).sum() + ((wide >= 0x80) & (wide < 0xA0)).sum()
    good = kana + 0.8 * kanji + 0.9 * marks
    other = wide.size - kana - kanji - marks - half_kana - private
    return float((good + 0.5 * other - half_kana - 2.0 * private) / wide.size - 2.0 * control / points.size)
