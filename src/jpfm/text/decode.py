"""Bytes to text for the encodings Japanese files really have.

    decode(data).text, .encoding, .confidence
    decode(data, declared="shift_jis")        # a label from HTTP or <meta>

What is certain comes first: byte order mark, the escape sequences of ISO-2022-JP, UTF-8 that reads strictly. What is
left is a question of which reading was written: each encoding that reads the *whole* body strictly is a candidate, the
declared label counts in its favour, and the one whose text costs least under `plausible` wins. `shift_jis` is always
CP932 (the WHATWG rule): Python's own `shift_jis` cannot read ㈱ ① 髙, and loses just the business pages.

Refused rather than guessed, each with the byte where it goes wrong: a file that is cut off inside a character, one with
invalid bytes in the middle (U+FFFD would teach a model damage, and a hole of unknown size is no document), binary data,
UTF-7. U+FEFF is dropped wherever it stands: files joined from several keep it in the middle. Wrong kanji are worse
than none, so a reading that costs more than unknown bytes do is not given.
"""

import codecs
import math
import re
from typing import NamedTuple

from jpfm.core.errors import DataError
from jpfm.text.charsets import codec_of, read
from jpfm.text.plausible import BYTE, Cost, cost

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ISO_2022 = ("iso2022_jp", "iso2022_jp_2004", "iso2022_jp_ext", "cp50221")
_PRIOR = {
    "cp932": 0.0, "euc_jp": 1.0, "cp51932": 3.0, "euc_jis_2004": 3.0, "cp1252": 8.0, "utf-16-le": 6.0, "utf-16-be": 7.0,
}  # fmt: skip
"""Nats against a reading before any byte is seen: log of how much rarer such files are than CP932."""
_UTF8_PRIOR = -6.0
_DECLARED, _DECLARED_LATIN = -5.0, -2.0
"""Nats in favour of the declared label; servers write iso-8859-1 without looking, so it counts for less."""
_FOREIGN = -1.5
"""The model knows no Chinese, Korean or Russian: nats a byte in favour of such a label, if the text has no kana."""
_KANA = re.compile("[ぁ-ヾ]")
_LENIENCE = 12.0
"""Nats that a text may cost beyond unknown bytes: one rare kanji is still text."""
_ASCII_NATS, _SPARSE_NATS = 2.5, 4.0
"""Nats by which one letter of plain ASCII is better text than noise, and the most a byte beyond ASCII may gain so."""
_PROBE_BYTES = 4096
_UTF16_HIGH = bytes({0x00, 0x30, 0xFF, *range(0x4E, 0xA0)})
_CONTROLS = bytes({*range(0x20), 0x7F} - {*b"\t\n\v\f\r\x1a\x1b"})


class UnreadableText(DataError):
    """Bytes that are no text in any encoding a Japanese file may have."""


class Decoded(NamedTuple):
    """Text, the codec that gave it, and the probability that it is the right one (1 for a mark or plain UTF-8)."""

    text: str
    encoding: str
    confidence: float


class _Reading(NamedTuple):
    text: str
    codec: str
    cost: Cost
    nats: float
    """The cost with the prior."""


def decode(data: bytes, declared: str | None = None) -> Decoded:
    """Decode a whole document.

    >>> decode("㈱髙橋　①～".encode("cp932")).text
    '㈱髙橋　①〜'
    >>> decode("経済産業省".encode("euc_jp"))[:2]
    ('経済産業省', 'euc_jp')
    >>> decode("ﾌﾘｺﾐ ｶ)ﾔﾏﾀﾞ".encode("cp932"))[:2]
    ('ﾌﾘｺﾐ ｶ)ﾔﾏﾀﾞ', 'cp932')

    Args:
        declared: a charset label found with the document; it counts for its encoding, and the bytes may overrule it.
    Raises:
        UnreadableText: no encoding gives plausible text. The message names the nearest encoding and the bad byte.
    """
    for mark, codec in _BOMS:
        if data.startswith(mark):
            return _marked(data, codec)
    # Python's codec takes high bytes for Latin-1
    if b"\x1b" in data and (b"\x1b$" in data or b"\x1b(" in data) and data.isascii():
        for codec in _ISO_2022:
            try:
                return Decoded(read(data, codec), codec, 1.0)
            except UnicodeDecodeError:
                pass  # an escape byte alone proves nothing
    label = codec_of(declared)
    candidates = _candidates(data, label)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        broken_at = error.start
    else:
        if _is_surely_utf8(data, text) and label not in ("utf-16-le", "utf-16-be"):
            return Decoded(_without_marks(text), "utf-8", 1.0)
        candidates["utf-8"] = _UTF8_PRIOR
        broken_at = 0
    readings = _readings(data, candidates)
    best = min(readings, key=lambda reading: reading.nats, default=None)
    if best is None or _is_implausible(best, label) or _is_broken_utf8(data[:broken_at], best.codec):
        raise _unreadable(data)
    return Decoded(_without_marks(best.text), best.codec, _confidence(best, readings))


def _candidates(data: bytes, declared: str | None) -> dict[str, float]:
    """The codecs to try, and the nats against each."""
    found = {codec: _PRIOR[codec] for codec in ("cp932", "euc_jp", "cp51932", "euc_jis_2004", "cp1252")}
    if _may_be_utf16(data) or (declared or "").startswith("utf-16"):
        found |= {codec: _PRIOR[codec] for codec in ("utf-16-le", "utf-16-be")}
    if declared == "cp1252":
        found[declared] += _DECLARED_LATIN
    elif declared == "euc_jp":
        for codec in ("euc_jp", "cp51932", "euc_jis_2004"):
            found[codec] += _DECLARED
    elif declared in found:
        found[declared] += _DECLARED
    elif declared is not None and declared not in ("utf-8", "iso2022_jp"):
        found[declared] = _DECLARED
    return found


def _may_be_utf16(data: bytes) -> bool:
    """Whether most of every other byte are high bytes of ASCII, kana, kanji or wide forms, and it is no plain text."""
    head = data[:_PROBE_BYTES]
    if len(data) % 2 or len(data) < 8 or (head.isascii() and not _num_controls(head)):
        return False
    return any(8 * len(lane.translate(None, _UTF16_HIGH)) < 3 * len(lane) for lane in (head[0::2], head[1::2]))


def _num_controls(data: bytes) -> int:
    return len(data) - len(data.translate(None, _CONTROLS))


def _is_surely_utf8(data: bytes, text: str) -> bool:
    """Whether valid UTF-8 can be nothing else: not binary, and not a few two-byte characters that may be EUC-JP."""
    probe, middle = data, len(data) // 2
    if len(data) > 3 * _PROBE_BYTES:
        probe = data[:_PROBE_BYTES] + data[middle : middle + _PROBE_BYTES] + data[-_PROBE_BYTES:]
    if 20 * _num_controls(probe) > len(probe):  # binary, or UTF-16
        return False
    return len(data) > 200 or data.isascii() or max(text) >= "\u0800"


def _readings(data: bytes, candidates: dict[str, float]) -> list[_Reading]:
    readings: list[_Reading] = []
    for codec, prior in candidates.items():
        if codec in ("cp51932", "euc_jis_2004") and any(reading.codec == "euc_jp" for reading in readings):
            continue  # wider sets, for what the plain one cannot read
        try:
            text = read(data, codec)
        except UnicodeDecodeError:
            continue
        price = cost(text)
        if codec not in _PRIOR and codec != "utf-8" and len(_KANA.findall(text)) * 20 < price.telling_bytes:
            prior += _FOREIGN * price.telling_bytes
        readings.append(_Reading(text, codec, price, price.nats + prior))
    return readings


def _is_implausible(reading: _Reading, label: str | None) -> bool:
    """Whether the text is binary, or unknown bytes are the better explanation of it."""
    if _looks_binary(reading.text[: 4 * _PROBE_BYTES].encode("utf-8")):
        return True
    judged = reading.codec in _PRIOR and not reading.codec == label == "cp1252"  # the model knows no French
    return judged and _noise_margin(reading.cost) < reading.nats - reading.cost.nats


def _looks_binary(data: bytes) -> bool:
    """Whether more than one byte in twenty is a control, and that is not for shortness."""
    return _num_controls(data) > max(3, len(data) / 20)


def _noise_margin(price: Cost) -> float:
    """How many nats more unknown bytes would cost. A letter of plain ASCII around it speaks for a rare character."""
    around = min(_ASCII_NATS * (price.chars - price.telling_bytes / 2), _SPARSE_NATS * price.telling_bytes)
    return BYTE * price.telling_bytes + _LENIENCE + max(around, 0.0) - price.telling_nats


def _is_broken_utf8(valid: bytes, codec: str) -> bool:
    """Whether the bytes before the first that is no UTF-8 are more plausible as UTF-8 than as the best reading."""
    valid = valid[:_PROBE_BYTES]
    if valid.isascii() or codec.startswith("utf-16"):
        return False
    other = valid.decode("euc_jis_2004" if codec == "cp51932" else codec, "ignore")
    return cost(valid.decode("utf-8", "ignore")).nats - _UTF8_PRIOR < cost(other).nats


def _confidence(best: _Reading, readings: list[_Reading]) -> float:
    """The probability of the best reading against the next best and against unknown bytes."""
    rivals = [reading.nats - best.nats for reading in readings if reading.text != best.text]
    if best.codec in _PRIOR:
        rivals.append(_noise_margin(best.cost) + best.cost.nats - best.nats)
    margin = min(rivals, default=math.inf)
    return 1.0 / (1.0 + math.exp(-margin / 2)) if margin < 60 else 1.0


def _without_marks(text: str) -> str:
    return text.replace("\ufeff", "")


def _marked(data: bytes, codec: str) -> Decoded:
    try:
        return Decoded(_without_marks(data.decode(codec)), codec, 1.0)
    except UnicodeDecodeError as error:
        if error.end == len(data):
            what = f"{codec} by its mark, cut off inside a character at byte {error.start}"
        else:
            what = f"{codec} by its mark, but byte {error.start} is not"
        raise UnreadableText(what, hint="the file is cut off or was joined from two; get it again") from error


def _unreadable(data: bytes) -> UnreadableText:
    """What went wrong, as the encoding says that reads the data longest, or in which its head looks best."""
    head = data[: 4 * _PROBE_BYTES]
    starts = {codec: _first_error(data, codec) for codec in ("utf-8", "cp932", "euc_jp")}
    worded = [codec for codec, start in starts.items() if start and _is_words(data[:start], codec)]
    nearest = max(worded, key=lambda codec: starts[codec], default="utf-8")
    if not worded or data[: starts[nearest]].isascii():
        nearest = min(starts, key=lambda codec: cost(head.decode(codec, "replace")).nats)
    start = starts[nearest]
    if _looks_binary(head) or not _is_words(data[:start] if start else head, nearest):
        return UnreadableText(
            "no Japanese encoding reads these bytes as text",
            hint="tried UTF-8, ISO-2022-JP, CP932, EUC-JP, UTF-16; is it a binary file?",
        )
    if start == len(data):
        return UnreadableText(f"reads as {nearest}, but not as text anyone wrote", hint="is it a binary file?")
    if start >= len(data) - 3:
        return UnreadableText(
            f"{nearest}, cut off inside its last character at byte {start} of {len(data)}",
            hint="the file is not complete; get it again, or cut it after the last whole line",
        )
    return UnreadableText(
        f"{nearest}, but byte {start} (0x{data[start]:02X}) of {len(data)} is not",
        hint=f"the file is damaged or joined from two; see: tail -c +{start + 1} FILE | head -c 40 | xxd",
    )


def _first_error(data: bytes, codec: str) -> int:
    """Where the first byte is that the codec cannot read; the length of data if there is none."""
    try:
        read(data, codec)
    except UnicodeDecodeError as error:
        return error.start
    return len(data)


def _is_words(data: bytes, codec: str) -> bool:
    """Whether the bytes, damage aside, are plausible text of that encoding."""
    return _noise_margin(cost(data[: 4 * _PROBE_BYTES].decode(codec, "replace"))) >= 0
