"""One pass over the bytes: characters by set, lines, sentences, repeated lines and sentences, runs, markup residue.

    found = measure(batch.column("text"))
    found["sentences"], found["longest_sentence"], found["hiragana"]      # int64, one value a document

Definitions (`\\n` alone ends a line; the end of the text ends the last one):

- sentence: what Swallow v1 takes as one. Within a line, characters up to and with one of 。．！？!?; a mark that
  follows such a mark at once belongs to no sentence. A line's sentences joined are its paragraph.
  `ellipsis_sentences` end in ・ or … (white space after it aside). Repeated ones stood before in the document.
- short line: at most 10 characters. Filled line: not only white space. List line: begins, white space aside, with one
  of ・•■□▪◆◇○◎●※-*+ or a number of up to 3 ASCII digits and `.` or `)`. Ellipsis line: ends in … or ... and a line end.
- markup: `https?://[!-;=?-~]*`, `<[A-Za-z/!][^<>\\n]*>`, `[[`, `]]`, `{{`, `}}`.

Decision: a table of one byte a code point and a histogram (see `character_sets`), not comparisons: a new set costs no
time. Lines and sentences are equal when their 64-bit hashes are. Refused: decoding to code points first, then walking
them: easier to read and 4.5 instead of 3.5 ns a character.
"""

import functools
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jpfm.text.character_sets import SETS, partition
from jpfm.text.kernels import buffers, next_point

FIELDS = (
    "chars", "lines", "filled_lines", "short_lines", "list_lines", "ellipsis_lines", "longest_run",
    "chars_before_kana", "markup_chars", "sentences", "sentence_chars", "longest_sentence", "ellipsis_sentences",
    "repeated_sentences", "repeated_sentence_chars", "repeated_paragraphs", "repeated_paragraph_chars",
)  # fmt: skip
(
    CHARS, LINES, FILLED_LINES, SHORT_LINES, LIST_LINES, ELLIPSIS_LINES, LONGEST_RUN, CHARS_BEFORE_KANA, MARKUP_CHARS,
    SENTENCES, SENTENCE_CHARS, LONGEST_SENTENCE, ELLIPSIS_SENTENCES, REPEATED_SENTENCES, REPEATED_SENTENCE_CHARS,
    REPEATED_PARAGRAPHS, REPEATED_PARAGRAPH_CHARS,
) = range(len(FIELDS))  # fmt: skip
SHORT_LINE_CHARS = 10
MOST_LINES = 1 << 22
"""Of a document with more lines or sentences, repeated ones are looked for among so many: memory stays bounded."""
PLAIN, MARKUP_START, SENTENCE_END, LINE_END = range(4)

_jit: Any = numba.njit(cache=True, nogil=True)
_u8, _u32, _u64 = np.uint8, np.uint32, np.uint64  # unsigned indices spare Numba the check for negative ones
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_START = np.uint64(0xC2B2AE3D27D4EB4F)


@_jit
def _finish(state, length):  # type: ignore[no-untyped-def]
    """Mix a running hash and a length; never 0, which marks an empty slot."""
    state ^= np.uint64(length) + (state >> np.uint64(32))
    state *= np.uint64(0xFF51AFD7ED558CCD)
    return (state ^ (state >> np.uint64(29))) | np.uint64(1)


@_jit
def _most_ends(offsets, data):  # type: ignore[no-untyped-def]
    """A bound on lines and sentences of any row: bytes that end one (of 。 the last two, of ！．？ the first two)."""
    most = 0
    for row in range(len(offsets) - 1):
        ends = 2  # the text's end, and its first byte
        for position in range(_u64(offsets[row]) + _u64(1), _u64(offsets[row + 1])):
            byte, before = data[position], data[position - _u64(1)]
            ends += (
                (byte == 0x0A) | (byte == 0x21) | (byte == 0x3F) | ((byte == 0x82) & (before == 0x80))
                | ((byte == 0xBC) & (before == 0xEF))
            )  # fmt: skip
        most = max(most, ends)
    return most


@_jit
def _repeated(hashes, lengths, num, table):  # type: ignore[no-untyped-def]
    """How many of the first num hashes stood before, and the sum of their lengths."""
    bits = 4
    while (1 << bits) < 2 * num:
        bits += 1
    mask = np.uint64((1 << bits) - 1)
    table[: 1 << bits] = 0
    items = chars = 0
    for k in range(num):
        slot = (hashes[k] >> np.uint64(20)) & mask
        while table[slot] != 0 and table[slot] != hashes[k]:
            slot = (slot + np.uint64(1)) & mask
        if table[slot] == 0:
            table[slot] = hashes[k]
        else:
            items += 1
            chars += lengths[k]
    return items, chars


@_jit
def _line_start(data, position, end):  # type: ignore[no-untyped-def]
    """(is the line more than spaces, does it begin with a list mark)."""
    while position < end:
        byte = data[position]
        if byte == 0x20 or byte == 0x09 or byte == 0x0D:  # noqa: PLR1714
            position += 1
        elif byte == 0xE3 and data[position + 1] == 0x80 and data[position + 2] == 0x80:
            position += 3  # ideographic space
        else:
            break
    if position >= end or data[position] == 0x0A:
        return False, False
    byte = data[position]
    if byte == 0x2D or byte == 0x2A or byte == 0x2B:  # - * +  # noqa: PLR1714
        return True, True
    if byte == 0xE3:  # ・
        return True, data[position + 1] == 0x83 and data[position + 2] == 0xBB
    if byte == 0xE2:  # • ■ □ ▪ ◆ ◇ ○ ◎ ● ※
        point = ((data[position + 1] & 0x3F) << 6) | (data[position + 2] & 0x3F) | 0x2000
        return True, (
            point == 0x2022 or point == 0x25A0 or point == 0x25A1 or point == 0x25AA or point == 0x25C6  # noqa: PLR1714
            or point == 0x25C7 or point == 0x25CB or point == 0x25CE or point == 0x25CF or point == 0x203B
        )  # fmt: skip
    digits = 0
    while position < end and 0x30 <= data[position] <= 0x39 and digits < 4:
        position += 1
        digits += 1
    return True, 0 < digits < 4 and position < end and (data[position] == 0x2E or data[position] == 0x29)


@_jit
def _ends_in_ellipsis(data, start, position):  # type: ignore[no-untyped-def]
    """Does data[start:position] end in …, or in three dots?"""
    if position - start < 3:
        return False
    a, b, c = data[position - 3], data[position - 2], data[position - 1]
    return (a == 0xE2 and b == 0x80 and c == 0xA6) or (a == 0x2E and b == 0x2E and c == 0x2E)


@_jit
def _trails_off(data, start, position, class_of, space_classes):  # type: ignore[no-untyped-def]
    """Is the last character of data[start:position] that is no white space one of ・ and …?"""
    while position > start:
        last = position - 1
        while data[last] & 0xC0 == 0x80:
            last -= 1
        point = np.uint32(data[last])
        if point >= 0xF0:
            return False  # no white space has four bytes
        if point >= 0xE0:
            point = ((point & 0x0F) << 12) | (np.uint32(data[last + 1] & 0x3F) << 6) | np.uint32(data[last + 2] & 0x3F)
        elif point >= 0x80:
            point = ((point & 0x1F) << 6) | np.uint32(data[last + 1] & 0x3F)
        if not space_classes[class_of[point]]:
            return point == 0x30FB or point == 0x2026  # noqa: PLR1714
        position = last
    return False


@_jit
def _markup(data, position, end):  # type: ignore[no-untyped-def]
    """The end of the link, tag or bracket pair that begins at this byte, or the byte itself: none begins."""
    byte = data[position]
    if byte == 0x68:  # http:// https://
        scan = position + 4
        if scan + 3 > end or data[position + 1] != 0x74 or data[position + 2] != 0x74 or data[position + 3] != 0x70:
            return position
        if data[scan] == 0x73:
            scan += 1
        if scan + 3 > end or data[scan] != 0x3A or data[scan + 1] != 0x2F or data[scan + 2] != 0x2F:
            return position
        while scan < end and 0x21 <= data[scan] <= 0x7E and data[scan] != 0x3C and data[scan] != 0x3E:
            scan += 1
        return scan
    if byte == 0x3C:  # <tag ...> </tag> <!-- -->
        scan = position + 1
        if scan >= end or not (
            0x61 <= data[scan] <= 0x7A or 0x41 <= data[scan] <= 0x5A or data[scan] == 0x2F or data[scan] == 0x21
        ):
            return position
        while scan < end and data[scan] != 0x3E and data[scan] != 0x3C and data[scan] != 0x0A:
            scan += 1
        return scan + 1 if scan < end and data[scan] == 0x3E else position
    # [[ ]] {{ }}
    return position + 2 if position + 1 < end and data[position + 1] == byte else position


@_jit
def _measure(offsets, data, most, class_of, actions, spaces, kana, histogram, out):  # type: ignore[no-untyped-def]
    most = min(most, _most_ends(offsets, data))
    bits = 4
    while (1 << bits) < 2 * most:
        bits += 1
    table = np.zeros(1 << bits, dtype=np.uint64)
    sentence_hashes, paragraph_hashes = np.zeros(most, dtype=np.uint64), np.zeros(most, dtype=np.uint64)
    sentence_lengths, paragraph_lengths = np.zeros(most, dtype=np.int64), np.zeros(most, dtype=np.int64)
    counts = np.zeros(histogram.shape[1], dtype=np.uint32)
    for row in range(out.shape[0]):
        start, end = np.int64(offsets[row]), np.int64(offsets[row + 1])
        found = out[row]
        counts[:] = 0
        position, stop, index = _u64(start), _u64(end), _u64(0)
        line_start, markup_end = start, start
        sentence_start = line_index = _u64(0)
        sentences, paragraphs, paragraph_chars = 0, 0, np.int64(0)
        sentence_chars, longest_sentence = np.int64(0), np.int64(0)
        run_start, longest_run, before = _u64(0), _u64(end > start), _u32(0x0A)
        kana_at = np.int64(-1)
        state, paragraph = _START, _START
        while True:
            kind = _u64(0)
            point = _u32(0x0A)  # the end of the text ends a line
            action = _u8(LINE_END)
            following = position + _u64(1)
            if position < stop:
                point, following = next_point(data, position)
                kind = _u64(class_of[point])
                counts[kind] += _u32(1)
                action = actions[kind]
                if kana_at < 0 and kana[kind]:
                    kana_at = np.int64(index)
                if point != before:
                    longest_run = max(longest_run, index - run_start)
                    run_start = index
                    before = point
            if action == PLAIN:
                state = (state ^ _u64(point)) * _MULTIPLIER
            elif action == MARKUP_START:
                state = (state ^ _u64(point)) * _MULTIPLIER
                here = np.int64(position)
                if here >= markup_end:
                    markup_end = _markup(data, here, end)
                    for byte in range(here, markup_end):
                        found[MARKUP_CHARS] += data[byte] & 0xC0 != 0x80
            else:
                last = index + _u64(action == SENTENCE_END)
                length = np.int64(last - sentence_start)
                if index > sentence_start:
                    if action == SENTENCE_END:
                        state = (state ^ _u64(point)) * _MULTIPLIER
                    else:
                        found[ELLIPSIS_SENTENCES] += _trails_off(data, line_start, np.int64(position), class_of, spaces)
                    state = _finish(state, length)
                    if sentences < most:
                        sentence_hashes[sentences], sentence_lengths[sentences] = state, length
                    paragraph = (paragraph ^ state) * _MULTIPLIER
                    paragraph_chars += length
                    sentences += 1
                    sentence_chars += length
                    longest_sentence = max(longest_sentence, length)
                state = _START
                sentence_start = index + _u64(1)
                if action == LINE_END:
                    if paragraphs < most:
                        paragraph_hashes[paragraphs] = _finish(paragraph, paragraph_chars)
                        paragraph_lengths[paragraphs] = paragraph_chars
                    paragraphs += 1
                    here = np.int64(position)
                    filled, listed = _line_start(data, line_start, here)
                    found[FILLED_LINES] += filled
                    found[LIST_LINES] += listed
                    found[SHORT_LINES] += index - line_index <= SHORT_LINE_CHARS
                    found[ELLIPSIS_LINES] += here < end and _ends_in_ellipsis(data, line_start, here)
                    paragraph, paragraph_chars = _START, np.int64(0)
                    line_index = index + _u64(1)
                    line_start = here + 1
            if position >= stop:
                break
            position = following
            index += _u64(1)
        longest_run = max(longest_run, index - run_start)
        found[CHARS] = index
        found[LINES] = paragraphs
        found[LONGEST_RUN] = longest_run
        found[CHARS_BEFORE_KANA] = kana_at if kana_at >= 0 else np.int64(index)
        found[SENTENCES], found[SENTENCE_CHARS], found[LONGEST_SENTENCE] = sentences, sentence_chars, longest_sentence
        for k in range(histogram.shape[1]):
            histogram[row, k] = counts[k]
        found[REPEATED_SENTENCES], found[REPEATED_SENTENCE_CHARS] = _repeated(
            sentence_hashes, sentence_lengths, min(sentences, most), table
        )
        found[REPEATED_PARAGRAPHS], found[REPEATED_PARAGRAPH_CHARS] = _repeated(
            paragraph_hashes, paragraph_lengths, min(paragraphs, most), table
        )


class _Roles(NamedTuple):
    """What the kernel does at a character, by class. Shape (classes,) each."""

    actions: npt.NDArray[np.uint8]
    spaces: npt.NDArray[np.bool_]
    kana: npt.NDArray[np.bool_]


@functools.cache
def _roles() -> _Roles:
    members = partition().members
    held = {name: np.ascontiguousarray(members[:, SETS.index(name)] == 1) for name in SETS}
    actions = np.zeros(len(members), dtype=np.uint8)
    for name, action in (("markup_starts", MARKUP_START), ("sentence_ends", SENTENCE_END), ("line_end", LINE_END)):
        actions[held[name]] = action
    return _Roles(actions, held["whitespace"], held["kana"])


def measure(column: pa.Array) -> dict[str, npt.NDArray[np.int64]]:
    """Count what filters ask for.

    Args:
        column: string array of n documents.
    Returns:
        For each name in FIELDS and in `character_sets.SETS` an array of shape (n,). `chars_before_kana` is the length
        of a text without kana. An empty text is one empty line and no sentence.

    >>> found = measure(pa.array(["吾輩は猫である。名前はまだ無い。", "どこで生れたか…"]))
    >>> found["sentences"].tolist(), found["ellipsis_sentences"].tolist(), found["hiragana"].tolist()
    ([2, 1], [0, 1], [8, 6])
    """
    view = buffers(column)
    parts = partition()
    histogram = np.zeros((len(column), len(parts.members)), dtype=np.int64)
    out = np.zeros((len(column), len(FIELDS)), dtype=np.int64)
    _measure(view.offsets, view.data, MOST_LINES, parts.class_of, *_roles(), histogram, out)
    sums = histogram @ parts.members
    return dict(zip(FIELDS, out.T, strict=True)) | dict(zip(SETS, sums.T, strict=True))
