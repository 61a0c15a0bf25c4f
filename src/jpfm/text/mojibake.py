"""Undo the reading of text in a wrong encoding, where that is provably what happened.

    repaired = repair(column)              # repaired.text, repaired.repairs: row, kind, start, length

A line counts as misread when all of it goes back to bytes in the wrong encoding, those bytes read strictly in the right
one, the way there gives the same line again, and the result costs far less under `plausible`. Otherwise nothing is
touched: a line with U+FFFD or a question mark in place of lost bytes cannot be repaired, and stays for the filter
`mojibake`. Run it before `normalize`, which would change half-width kana and the symbols that stand for bytes.

One compiled pass finds the lines that may be misread; Python looks at those only.
"""

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from jpfm.text import kernels
from jpfm.text.charsets import cp932_bytes, one_form, read
from jpfm.text.plausible import BYTE, cost

_LATIN_BYTES = {ord(bytes((b,)).decode("cp1252", "replace")): b for b in range(0x80, 0xA0)}
_LATIN_BYTES.pop(0xFFFD, None)
_LATIN_BYTES |= {byte: byte for byte in range(0x100)}
"""Code point to byte, as browsers read windows-1252: its symbols, and C1 controls for the bytes it leaves free."""
_LATIN = "".join(chr(point) for point in sorted(_LATIN_BYTES) if point >= 0x80)
_LATIN_RUN = re.compile(f"[{re.escape(_LATIN)}]{{2,}}")
_JIS_RUN = re.compile(r"\$[B@]((?:[!-~]{2}){2,}?)\([BJ]")
_WIDE_WORD = re.compile("[^\x00-\xff]{2,}")
_KANA = re.compile("[ぁ-んァ-ヶー]")
_KANA_WORD = re.compile("[ぁ-んァ-ヶー]{2,}")
_MAX_LEVELS = 3
_MIN_GAIN = 12.0
"""Nats by which a repair must be better: chance of 1 in 160,000 that a line is better so by accident of the model."""
_MIN_GAIN_KNOWN = 4.0
"""The same for a line of a document where that misreading was found already."""
_KANJI, _HALF, _LETTER = 1, 2, 4


class Repair(NamedTuple):
    """One misread stretch: where it stood in the text before the repair, in characters."""

    row: int
    kind: str
    start: int
    length: int
    before: str
    after: str


class Repaired(NamedTuple):
    """The column with every provable misreading undone, and what was undone."""

    text: pa.Array
    repairs: list[Repair]


def repair(column: pa.Array) -> Repaired:
    """Undo misreadings in a column.

    >>> text, repairs = repair(pa.array(["見出し\\n縺ゅ＞縺輔▽縺ｨ", "失われた縺\ufffdです。"]))
    >>> text.to_pylist() == ["見出し\\nあいさつと", "失われた縺\ufffdです。"]
    True
    >>> repairs[0].row, repairs[0].kind, repairs[0].start, repairs[0].length
    (0, 'utf8_as_cp932', 4, 8)

    Args:
        column: string array without nulls.
    """
    repairs: list[Repair] = []
    changed: dict[int, str] = {}
    for row, spans in _suspect_lines(column):
        text = column[row].as_py()
        lines = [text[start : start + length] for start, length in spans]
        fixed = [undo(line) for line in lines]
        known = {kind for _, kind in fixed if kind}
        if not known:
            continue
        if not all(kind for _, kind in fixed):  # what surely happened to one line explains its short neighbours
            fixed = [undo(line, known) for line in lines]
        pieces, done = [], 0
        for (start, length), before, (after, kind) in zip(spans, lines, fixed, strict=True):
            if kind:
                pieces += [text[done:start], after]
                done = start + length
                repairs.append(Repair(row, kind, start, length, before, after))
        changed[row] = "".join([*pieces, text[done:]])
    if not changed:
        return Repaired(column, [])
    mask = np.zeros(len(column), dtype=bool)
    mask[list(changed)] = True
    values = pa.array([changed[row] for row in sorted(changed)], pa.string())
    return Repaired(pc.replace_with_mask(column, pa.array(mask), values), repairs)


def undo(line: str, known: Collection[str] = ()) -> tuple[str, str]:
    """The line as it was written and the name of what had happened to it; the same line and "" where nothing did.

    >>> undo("ã\\x81\\x82ã\\x81„ã\\x81†")
    ('あいう', 'utf8_as_latin1')
    >>> undo("会議$B$N$*CN$i$;(Bです")
    ('会議のお知らせです', 'jis_without_escape')
    >>> undo("ﾌﾘｺﾐ ﾔﾏﾀﾞ")
    ('ﾌﾘｺﾐ ﾔﾏﾀﾞ', '')

    Args:
        known: kinds of misreading seen in the same document; a smaller gain is enough for them.
    """
    before, best, best_kind, best_gain = cost(line).nats, line, "", 0.0
    for step_name, step in _STEPS.items():
        text = line
        for level in range(1, _MAX_LEVELS + 1):
            undone = step(text)
            if undone is None or undone == text:
                break
            text, price = undone, cost(undone)
            kind = step_name if level == 1 else f"{step_name}_{level}_times"
            gain = before - price.nats
            least = _MIN_GAIN_KNOWN if kind in known else _MIN_GAIN
            if step is _euc_as_cp932 and kind not in known and not _has_kana_words(text):
                continue  # half-width words read as EUC-JP are rows of kanji; a real line has kana
            if gain >= max(least, best_gain) and price.telling_nats <= BYTE * max(price.telling_bytes, 4):
                best, best_kind, best_gain = text, kind, gain
    return best, best_kind


def _has_kana_words(text: str) -> bool:
    return bool(_KANA_WORD.search(text)) and 3 * len(_KANA.findall(text)) >= len(text)


def _utf8_as_cp932(line: str) -> str | None:
    return _reread(line, "utf-8")


def _euc_as_cp932(line: str) -> str | None:
    return None if "･･･" in line else _reread(line, "euc_jp")  # dots are dots, not ゥ


def _reread(line: str, codec: str) -> str | None:
    """The line's bytes in CP932, read in another encoding, if that goes both ways."""
    try:
        data = cp932_bytes(line)
        text = data.decode(codec)
    except UnicodeError:
        return None
    return text if text.encode(codec) == data and one_form(data.decode("cp932")) == one_form(line) else None


def _utf8_as_latin1(line: str) -> str | None:
    """Each run of Latin letters and symbols that is UTF-8; two-byte sequences only if Â or Ã begin them, or many."""

    def one(match: re.Match[str]) -> str:
        try:
            text = bytes(_LATIN_BYTES[ord(char)] for char in match.group()).decode("utf-8")
        except UnicodeDecodeError:
            return match.group()
        return text if max(text) >= "\u0800" or max(text) <= "\u00ff" or len(text) >= 4 else match.group()

    return _LATIN_RUN.sub(one, line)


def _cp932_as_latin1(line: str) -> str | None:
    return _latin_as(line, "cp932")


def _euc_as_latin1(line: str) -> str | None:
    return _latin_as(line, "euc_jp")


def _latin_as(line: str, codec: str) -> str | None:
    """All of the line, if it is words of wide characters whose lead bytes are those of common ones.

    French or quoted English can be read as CP932 too: a few rare kanji between Latin letters.
    """
    try:
        data = bytes(_LATIN_BYTES[ord(char)] for char in line)
        text = read(data, codec)
        again = cp932_bytes(text) if codec == "cp932" else text.encode(codec)
    except (KeyError, UnicodeError):
        return None
    num_wide, num_in_words = sum(char > "\u00ff" for char in text), sum(map(len, _WIDE_WORD.findall(text)))
    num_leads = sum(0x81 <= byte <= 0x9F for byte in data) if codec == "cp932" else num_wide
    return text if again == data and num_wide >= 3 and min(num_in_words, num_leads) >= 0.7 * num_wide else None


def _jis_without_escape(line: str) -> str | None:
    """ISO-2022-JP whose escape bytes a mail gateway or an editor took away: $B ... (B."""

    def one(match: re.Match[str]) -> str:
        try:
            return bytes(ord(char) | 0x80 for char in match.group(1)).decode("euc_jp")
        except UnicodeDecodeError:
            return match.group()

    return _JIS_RUN.sub(one, line)


_STEPS: dict[str, Callable[[str], str | None]] = {
    "utf8_as_cp932": _utf8_as_cp932,
    "utf8_as_latin1": _utf8_as_latin1,
    "euc_as_cp932": _euc_as_cp932,
    "cp932_as_latin1": _cp932_as_latin1,
    "euc_as_latin1": _euc_as_latin1,
    "jis_without_escape": _jis_without_escape,
}


def _mark_table() -> npt.NDArray[np.uint8]:
    """What may stand for bytes: kanji that CP932 makes of UTF-8, half-width kana, Latin letters. Shape (0x10001,)."""
    table = np.zeros(0x10001, dtype=np.uint8)
    leads = bytes(byte for lead in range(0xE2, 0xF0) for trail in range(0x80, 0xC0) for byte in (lead, trail))
    table[[ord(char) for char in leads.decode("cp932", "ignore")]] = _KANJI
    table[0xFF61:0xFFA0] = _HALF
    table[[ord(char) for char in _LATIN]] |= _LETTER
    return table


_MARK_OF = _mark_table()
_jit: Any = numba.njit(cache=True, nogil=True)
_next_point = kernels._next_point


@_jit
def _scan(offsets, data, mark_of, out):  # type: ignore[no-untyped-def]
    """Find lines that may be misread: their row, and first character and length in it. Returns how many."""
    found = 0
    for row in range(offsets.shape[0] - 1):
        position, end = offsets[row], offsets[row + 1]
        index, begin, wide, kanji, half, run, longest, jis = 0, 0, 0, 0, 0, 0, 0, False
        while position <= end:
            if position == end:
                point = np.uint32(0x0A)
                after = position + 1
            else:
                point, after = _next_point(data, position)
            if point == 0x0A:
                if (kanji and 4 * kanji >= wide) or (half > 3 and 2 * half >= wide) or longest >= 2 or jis:
                    if found < out.shape[0]:
                        out[found, 0], out[found, 1], out[found, 2] = row, begin, index - begin
                    found += 1
                begin, wide, kanji, half, run, longest, jis = index + 1, 0, 0, 0, 0, 0, False
            elif point >= 0x80:
                wide += 1
                mark = mark_of[min(point, np.uint32(0x10000))]
                kanji += mark == _KANJI
                half += mark == _HALF
                run = run + 1 if mark == _LETTER else 0
                longest = max(longest, run)
            else:
                run = 0
                if point == 0x24 and after < end and (data[after] == 0x42 or data[after] == 0x40):
                    jis = True  # "$B" or "$@"
            index += 1
            position = after
    return found


def _suspect_lines(column: pa.Array) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Rows with lines to look at, and (start, length) of those lines in characters."""
    view = kernels.buffers(column)
    out = np.empty((1024, 3), dtype=np.int64)
    found = _scan(view.offsets, view.data, _MARK_OF, out)
    if found > len(out):
        out = np.empty((found, 3), dtype=np.int64)
        _scan(view.offsets, view.data, _MARK_OF, out)
    rows: dict[int, list[tuple[int, int]]] = {}
    for row, start, length in out[:found].tolist():
        rows.setdefault(row, []).append((start, length))
    yield from rows.items()
