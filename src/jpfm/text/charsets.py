"""Strict readers for the encodings Japanese files have, and the codec that a charset label means to a browser.

    read(data, "cp932"), read(data, "cp51932"), codec_of("Shift-JIS")       # 'cp932'

Python's codecs do the work where they exist. It has none for what Windows writes as EUC-JP (CP51932) and ISO-2022-JP
(CP50221), with ① ㈱ 髙: those are CP932's characters in other bytes, so the bytes are rewritten and read as CP932.
"""

import re

import numpy as np
import numpy.typing as npt

_LABELS = {
    "utf-8": "utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8",
    "cp932": "shift_jis shift-jis sjis x-sjis csshiftjis ms932 ms_kanji windows-31j cp932 cswindows31j",
    "euc_jp": "euc-jp euc_jp eucjp x-euc-jp x-euc cseucpkdfmtjapanese ujis eucjp-ms eucjp-win cp51932",
    "iso2022_jp": "iso-2022-jp iso2022jp iso2022-jp csiso2022jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-3 "
    "iso-2022-jp-2004 iso-2022-jp-ms cp50220 cp50221 jis",
    "utf-16-le": "utf-16 utf-16le utf16 utf16le unicode unicodefeff csunicode ucs-2 iso-10646-ucs-2",
    "utf-16-be": "utf-16be utf16be unicodefffe",
    "cp1252": "iso-8859-1 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 iso-ir-100 latin1 latin-1 l1 csisolatin1 "
    "windows-1252 cp1252 x-cp1252 cp819 ibm819 us-ascii ascii ansi_x3.4-1968",
    "gb18030": "gb18030 gbk x-gbk gb2312 gb_2312 gb_2312-80 chinese csgb2312 csiso58gb231280 iso-ir-58",
    "big5hkscs": "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
    "cp949": "euc-kr cseuckr ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 csksc56011987 iso-ir-149 korean "
    "windows-949",
    "cp1251": "windows-1251 cp1251 x-cp1251",
    "koi8_r": "koi8-r koi8_r koi8 koi cskoi8r",
}  # fmt: skip
_CODEC_OF = {label: codec for codec, labels in _LABELS.items() for label in labels.split()}
_FORMS = dict(zip("～∥－￠￡￢", "〜‖−¢£¬", strict=True))
"""The same byte pair reads as another character in CP932 than in JIS; one form for all encodings."""
_NO_CHARACTER = "\x80\uf8f0\uf8f1\uf8f2\uf8f3"
"""What Python's CP932 gives for the bytes 0x80, 0xA0 and 0xFD to 0xFF, which no one assigned."""
_ESCAPE = re.compile(rb"(\x1b\$[@B]|\x1b\([BJI])")


def codec_of(label: str | None) -> str | None:
    """The codec that a label in HTTP or HTML means to a browser; None for one that means none of ours.

    >>> codec_of(" Shift_JIS "), codec_of("ISO-8859-1"), codec_of("utf-7"), codec_of(None)
    ('cp932', 'cp1252', None, None)

    Source: WHATWG Encoding Standard, section 4.2, and names seen in Japanese mail and Java.
    """
    return _CODEC_OF.get((label or "").strip().strip("\"'").lower())


def read(data: bytes, codec: str) -> str:
    """Read all of data strictly.

    >>> read(b"\\xad\\xb5\\xfc\\xe2\\xa1\\xc1", "cp51932"), read(b"\\x81\\x60", "cp932")
    ('Ⅰ髙〜', '〜')

    Raises:
        UnicodeDecodeError: some byte is not in that encoding. Its `start` counts from the start of data.
    """
    if codec == "cp932":
        return one_form(_cp932(data))
    if codec == "cp51932":
        return one_form(_euc_as_cp932(data).decode("cp932"))
    if codec == "cp50221":
        return one_form(_jis_as_cp932(data).decode("cp932"))
    return data.decode(codec)


def cp932_bytes(text: str) -> bytes:
    """The bytes that CP932 reads as this text, in either form of 〜 and −.

    Raises:
        UnicodeEncodeError: a character has no place in CP932.
    """
    for cp932_form, one_form in _FORMS.items():
        text = text.replace(one_form, cp932_form)
    return text.encode("cp932")


def _cp932(data: bytes) -> str:
    text = data.decode("cp932")
    wrong = [text.index(char) for char in _NO_CHARACTER if char in text]  # five fast searches
    if wrong:
        start = len(text[: min(wrong)].encode("cp932"))
        raise UnicodeDecodeError("cp932", data, start, start + 1, "no such byte in CP932")
    return text


def one_form(text: str) -> str:
    """The text with JIS's characters where CP932 reads others: 〜 for ～, − for －.

    >>> one_form("１０～２０")
    '１０〜２０'
    """
    for cp932_form, one_form in _FORMS.items():  # six searches run at memory speed; str.translate at 25 MB/s
        text = text.replace(cp932_form, one_form)
    return text


def _pairs_as_cp932(pairs: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """JIS rows and cells (0x21 to 0x7E each) as CP932 bytes. Shape (n, 2) in and out."""
    row, cell = pairs[:, 0].astype(np.int16), pairs[:, 1].astype(np.int16)
    lead = ((row - 0x21) >> 1) + 0x81
    lead += np.where(lead > 0x9F, 0x40, 0)
    trail = np.where(row % 2 == 0, cell + 0x7E, cell + np.where(cell < 0x60, 0x1F, 0x20))
    return np.stack([lead, trail], axis=1).astype(np.uint8)


def _euc_as_cp932(data: bytes) -> bytes:
    """EUC-JP bytes, rewritten. A lead byte is told from a trail byte by its place in the run of high bytes."""
    codes = np.frombuffer(data, dtype=np.uint8)
    bad = np.flatnonzero((codes >= 0x80) & (codes < 0xA1) & (codes != 0x8E) | (codes == 0xFF))
    if bad.size:
        raise UnicodeDecodeError("cp51932", data, int(bad[0]), int(bad[0]) + 1, "no such byte in CP51932")
    high = codes >= 0x80
    starts = np.flatnonzero(high & ~np.concatenate(([False], high[:-1])))
    position = np.arange(codes.size)
    run = np.zeros(codes.size, dtype=np.int64)
    run[starts] = starts
    lead = high & ((position - np.maximum.accumulate(run)) % 2 == 0)
    odd = np.flatnonzero(lead & ~np.concatenate((high[1:], [False])))
    if odd.size:
        raise UnicodeDecodeError("cp51932", data, int(odd[0]), int(odd[0]) + 1, "half a character")
    first = np.flatnonzero(lead)
    out = codes.copy()
    out[first[:, None] + (0, 1)] = _pairs_as_cp932(codes[first[:, None] + (0, 1)] & 0x7F)
    half = first[codes[first] == 0x8E]  # half-width kana: one byte of CP932
    wrong = half[(codes[half + 1] < 0xA1) | (codes[half + 1] > 0xDF)]
    if wrong.size:
        raise UnicodeDecodeError("cp51932", data, int(wrong[0]), int(wrong[0]) + 2, "no such half-width kana")
    out[half + 1] = codes[half + 1]
    keep = np.ones(codes.size, dtype=bool)
    keep[half] = False
    return out[keep].tobytes()


def _jis_as_cp932(data: bytes) -> bytes:
    """ISO-2022-JP bytes, rewritten: JIS rows, and half-width kana after ESC ( I."""
    parts = _ESCAPE.split(data)
    out, start = [parts[0]], len(parts[0])
    for escape, chunk in zip(parts[1::2], parts[2::2], strict=True):
        start += len(escape)
        codes = np.frombuffer(chunk, dtype=np.uint8)
        double, kana = escape.startswith(b"\x1b$"), escape == b"\x1b(I"
        bad = np.flatnonzero((codes < 0x21) | (codes > 0x7E) if double else codes >= (0x60 if kana else 0x80))
        if bad.size or (double and codes.size % 2):
            wrong = start + int(bad[0] if bad.size else codes.size - 1)
            raise UnicodeDecodeError("cp50221", data, wrong, wrong + 1, "no such byte after its escape sequence")
        if double:
            out.append(_pairs_as_cp932(codes.reshape(-1, 2)).tobytes())
        elif kana:
            out.append(np.where(codes > 0x20, codes | 0x80, codes).astype(np.uint8).tobytes())
        else:
            out.append(chunk)
        start += len(chunk)
    return b"".join(out)
