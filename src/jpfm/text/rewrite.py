"""The kernel of `text.normalize`: one pass over the UTF-8 bytes that copies runs and stops at characters with a rule.

It is a stack machine: what happens at a character depends on that character and on the *end of the output so far*, and
a character is put on the output only where the same step would put it there again. So a second pass changes nothing;
tests/text/test_normalize.py draws switches at random to show it. The exceptions look at input and are built to see the
same in the output: half-width kana with its voicing mark, a return before a line feed, and code (`text.fences`).

With `spans` each output byte keeps the input byte it began at, so an edit that takes back output (trailing spaces,
ruby, a base that composes with its mark) knows its place and swallows the edits it overlaps.
"""
# ruff: noqa: PLR1714, SIM109, SIM110  (Numba makes jumps of comparisons and loops of sets and tuples)

from typing import Any

import numba
import numpy as np

from jpfm.text.canonical import entry_of, pair, point_at, point_before, put, recompose
from jpfm.text.fences import OPEN, line_is_code, may_be_fence, new_document, reopen
from jpfm.text.width import (
    CANONICAL,
    CLOSER,
    HALF_KANA,
    HEAD_BITS,
    JOINER,
    KIND_BITS,
    LINE_END,
    REMOVE,
    REPEATABLE,
    RULES,
    TARGET_BITS,
    VOICING,
)  # fmt: skip

_jit: Any = numba.njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)

EDIT_FIELDS = ("row", "rule", "in_start", "in_end", "out_start", "out_end", "start", "length")
(ROW, RULE, IN_START, IN_END, OUT_START, OUT_END, START, LENGTH) = range(len(EDIT_FIELDS))
DONE, MORE_OUT, MORE_EDITS = range(3)
_NFC, _RUBY, _READING, _REPEATED, _LINE_ENDS, _TRAILING, _BLANK_LINES, _STRAY, _ZERO_WIDTH = (
    np.int64(RULES.index(name))  # a plain int is a type of its own to Numba, and each one would be compiled for
    for name in ("nfc", "ruby", "reading_parentheses", "repeated_marks", "line_ends", "trailing_spaces", "blank_lines",
                 "stray_voicing_marks", "zero_width")
)  # fmt: skip
_TARGET_MASK, _KIND_MASK, _RULE_SHIFT = (1 << TARGET_BITS) - 1, (1 << KIND_BITS) - 1, TARGET_BITS + KIND_BITS
_MAX_READING = 40  # characters between 《 and 》, and between ｜ and 《
_VOICED, _SEMI_VOICED, _SPACING_VOICED, _HALF_VOICED, _HALF_SEMI_VOICED = 0x3099, 0x309A, 0x309B, 0xFF9E, 0xFF9F
_RUBY_START, _RUBY_END = 0x300A, 0x300B


@_jit
def _is_letter(point):  # type: ignore[no-untyped-def]
    """Kanji, kana that no mark or rule acts on, Latin letters and digits of both widths."""
    narrow = point - 0xFEE0 if 0xFF10 <= point <= 0xFF5A else point
    return (
        0x30 <= narrow <= 0x39 or 0x41 <= narrow <= 0x5A or 0x61 <= narrow <= 0x7A
        or _is_kanji(point) or 0x3041 <= point <= 0x3096 or 0x30A1 <= point <= 0x30FA
    )  # fmt: skip


@_jit
def _is_kanji(point):  # type: ignore[no-untyped-def]
    return (
        0x4E00 <= point <= 0x9FFF or 0x3400 <= point <= 0x4DBF or 0x20000 <= point <= 0x3FFFF
        or 0xF900 <= point <= 0xFAFF or 0x3005 <= point <= 0x3007 or point == 0x303B
    )  # fmt: skip


@_jit
def _is_emoji(point):  # type: ignore[no-untyped-def]
    """Characters after which a zero-width joiner joins a picture; also their variation selector."""
    return (
        0x1F000 <= point <= 0x1FAFF or 0x2600 <= point <= 0x27BF or point == 0xFE0F or 0x2B05 <= point <= 0x2B55
        or 0x2190 <= point <= 0x21FF or 0x231A <= point <= 0x23FF or 0x25AA <= point <= 0x25FE
        or 0xE0020 <= point <= 0xE007F
    )  # fmt: skip


@_jit
def _record(edits, count, first, row, rule, in_start, in_end, out_start, out_end):  # type: ignore[no-untyped-def]
    """Note that input [in_start, in_end) became output [out_start, out_end), taking in the edits it overlaps."""
    while count > first and (edits[count - 1, IN_END] > in_start or edits[count - 1, OUT_END] > out_start):
        count -= 1
        in_start = min(in_start, edits[count, IN_START])
        out_start = min(out_start, edits[count, OUT_START])
    edits[count, ROW], edits[count, RULE] = row, rule
    edits[count, IN_START], edits[count, IN_END] = in_start, in_end
    edits[count, OUT_START], edits[count, OUT_END] = out_start, out_end
    return count + 1, in_start


@_jit
def _same(data, start, end, out, at, stop):  # type: ignore[no-untyped-def]
    if end - start != stop - at:
        return False
    for index in range(end - start):
        if data[start + index] != out[at + index]:
            return False
    return True


@_jit
def _finish(edits, first, count, data, base, out):  # type: ignore[no-untyped-def]
    """Join neighbours of one rule, leave out edits without effect, and count places in characters of the row."""
    kept, position, characters = first, base, 0
    for index in range(first, count):
        in_start, in_end = edits[index, IN_START], edits[index, IN_END]
        if _same(data, in_start, in_end, out, edits[index, OUT_START], edits[index, OUT_END]):
            continue
        while position < in_start:
            characters += data[position] & 0xC0 != 0x80
            position += 1
        start = characters
        while position < in_end:
            characters += data[position] & 0xC0 != 0x80
            position += 1
        if (
            kept > first and edits[kept - 1, RULE] == edits[index, RULE]
            and edits[kept - 1, IN_END] == in_start and edits[kept - 1, OUT_END] == edits[index, OUT_START]
        ):  # fmt: skip
            edits[kept - 1, IN_END], edits[kept - 1, OUT_END] = in_end, edits[index, OUT_END]
            edits[kept - 1, LENGTH] += characters - start
        else:
            for field in range(8):
                edits[kept, field] = edits[index, field]
            edits[kept, START], edits[kept, LENGTH] = start, characters - start
            kept += 1
    return kept


@_jit
def _take_reading(out, at, first, closer, ruby_start):  # type: ignore[no-untyped-def]
    """Take back a reading 《かな》, （かな） or (かな) that stands at the end of the output, without its closer.

    The base is the kanji before it, or for 《》 also anything of letters from ｜ on; it moves onto its ｜.

    Returns:
        (where the output changed, its new end); (at, at) where there is no reading.
    """
    opener = _RUBY_START if closer == _RUBY_END else 0xFF08 if closer == 0xFF09 else 0x28
    back, size = at, 0
    point, start = point_before(out, back, first)
    while point != opener:
        kana = 0x3041 <= point <= 0x3096 or point == 0x309D or point == 0x309E or 0x30A1 <= point <= 0x30FE
        if not kana or size == _MAX_READING:
            return at, at
        back, size = start, size + 1
        point, start = point_before(out, back, first)
    open_at = start
    if size == 0:
        return at, at
    if closer == _RUBY_END:
        back, begins_with_letter = open_at, False
        for _ in range(_MAX_READING):
            point, start = point_before(out, back, first)
            if point == ruby_start and begins_with_letter:
                for index in range(open_at - back):
                    out[start + index] = out[back + index]
                return start, start + open_at - back
            begins_with_letter = _is_letter(point)
            if not (begins_with_letter or point == 0x20 or point == 0x3000 or point == 0x30FB or point == 0x30FC):
                break
            back = start
    point, start = point_before(out, open_at, first)
    if 0xFE00 <= point <= 0xFE0F or 0xE0100 <= point <= 0xE01EF:  # the kanji's variation selector
        point, start = point_before(out, start, first)
    return (open_at, open_at) if _is_kanji(point) else (at, at)


@_jit
def _ends_blank(out, at, first):  # type: ignore[no-untyped-def]
    """Whether another line end would begin the document, or make a second blank line."""
    return at == first or (at - 2 >= first and out[at - 1] == 0x0A and out[at - 2] == 0x0A)


@_jit
def _act(entry, data, following, end, out, at, first, keys, values, repeat_limit, ruby_start):  # type: ignore[no-untyped-def]
    """Do what the table says at a character that needs no canonical composition and ends no line.

    Returns:
        (where the output changed, its new end, next input position, rule).
    """
    kind, target, rule = entry >> TARGET_BITS & _KIND_MASK, entry & _TARGET_MASK, entry >> _RULE_SHIFT
    if kind == REMOVE:
        return at, at, following, rule
    if kind == JOINER and not _is_emoji(point_before(out, at, first)[0]):
        return at, at, following, _ZERO_WIDTH
    if kind == HALF_KANA and following < end and data[following] == 0xEF:
        mark, behind = point_at(data, following)
        if mark == _HALF_VOICED or mark == _HALF_SEMI_VOICED:
            composed = pair(keys, values, target, _VOICED if mark == _HALF_VOICED else _SEMI_VOICED)
            if composed >= 0:
                return at, put(out, at, composed), behind, rule
    if kind == VOICING:
        kana, back = point_before(out, at, first)
        voiced = target == _SPACING_VOICED or target == _HALF_VOICED
        composed = pair(keys, values, kana, _VOICED if voiced else _SEMI_VOICED) if 0x3041 <= kana <= 0x30FF else -1
        if composed >= 0:
            return back, put(out, back, composed), following, _STRAY
    if kind == REPEATABLE:
        previous, back = point_before(out, at, first)
        times = 1
        while previous == target and times < repeat_limit:
            previous, back = point_before(out, back, first)
            times += 1
        if previous == target:
            return at, at, following, _REPEATED
    if kind == CLOSER:
        changed, stop = _take_reading(out, at, first, target, ruby_start)
        if changed < at:
            return changed, stop, following, _RUBY if target == _RUBY_END else _READING
    return at, put(out, at, target), following, rule


@_jit
def _without_blanks(out, at, first):  # type: ignore[no-untyped-def]
    """The end of the output without spaces, tabs and ideographic spaces."""
    while at > first:
        point, back = point_before(out, at, first)
        if point != 0x20 and point != 0x09 and point != 0x3000:
            break
        at = back
    return at


@_jit
def _scan(data, position, end, lookup, code):  # type: ignore[no-untyped-def]
    """The first character with an entry: (its position, the next position, the entry); the entry is 0 at the end."""
    ascii_block = np.int64(lookup[code << HEAD_BITS])
    while position < end:
        lead = data[position]
        if lead < 0x80:
            entry, following = np.int64(lookup[ascii_block + lead]), position + 1
        else:
            point, following = point_at(data, position)
            entry = entry_of(lookup, code, point)
        if entry:
            return position, following, entry
        position = following
    return position, position, np.int64(0)


@_jit
def _copy(data, start, end, out, at):  # type: ignore[no-untyped-def]
    for index in range(end - start):
        out[at + index] = data[start + index]


@numba.njit(cache=True, nogil=True)
def rewrite(offsets, data, tables, spans, out, origin, edits, out_offsets, state, first_row, count):  # type: ignore[no-untyped-def]
    """Normalise rows from `first_row` on, as far as there is room.

    Args:
        offsets, data: a string column's buffers, n rows.
        tables: what to do (`text.width.tables`).
        spans: whether to keep edits.
        out: room for the output; 32 bytes more than the input are enough but where NFC makes text longer.
        origin: int32, as large as `out` where `spans`, else of any size: the input byte an output byte began at.
        edits: int64, room for edits, shape (m, 8) as in EDIT_FIELDS.
        out_offsets: int64, shape (n + 1,), filled up to `first_row`; filled further.
        state: int64, shape (STATE,), room for `text.fences`.
        count: edits of the rows before.
    Returns:
        (row, count, DONE or MORE_OUT or MORE_EDITS): the next `first_row` and `count`. For want of room it stops
        before a row; larger arrays that begin alike go on there.
    """
    lookup, keys, values = tables.lookup, tables.keys, tables.values
    for row in range(first_row, offsets.shape[0] - 1):
        position, end = np.int64(offsets[row]), np.int64(offsets[row + 1])
        at = np.int64(out_offsets[row])
        first, first_edit, more = at, count, True
        new_document(state)
        opened, at_opened, count_opened = position, at, count
        while more:  # a line
            more, code = False, 0
            if tables.indented or (tables.fenced and may_be_fence(data, position, end)):
                was_open = state[OPEN]
                code = line_is_code(data, position, end, lookup, tables.fenced, tables.indented, state)
                if state[OPEN] and not was_open:
                    opened, at_opened, count_opened = position, at, count
            elif tables.fenced and state[OPEN]:
                code = 1
            while position < end and not more:
                run = position
                position, following, entry = _scan(data, position, end, lookup, code)
                if at + (position - run) + 32 > out.shape[0]:
                    return row, first_edit, MORE_OUT
                if count + 4 > edits.shape[0]:
                    return row, first_edit, MORE_EDITS
                _copy(data, run, position, out, at)
                for index in range(position - run if spans else 0):
                    origin[at + index] = run + index
                at += position - run
                if entry == 0:
                    break
                kind, old, changed = entry >> TARGET_BITS & _KIND_MASK, at, at
                if kind == LINE_END:
                    more = True
                    if tables.trailing and not code:
                        at = _without_blanks(out, at, first)
                        if spans and at < old:
                            count, _ = _record(
                                edits, count, first_edit, row, _TRAILING, np.int64(origin[at]), position, at, at
                            )
                    if data[position] == 0x0D and following < end and data[following] == 0x0A:
                        following += 1
                    changed = old = at
                    if code or not tables.blank_lines or not _ends_blank(out, at, first):
                        at, rule = put(out, at, np.int64(0x0A)), _LINE_ENDS
                    else:
                        rule = _BLANK_LINES
                elif kind == CANONICAL:
                    changed, at, following = recompose(
                        data, position, end, lookup, keys, values, tables.parts, out, at, first
                    )
                    if at < 0:
                        return row, first_edit, MORE_OUT
                    rule = _NFC
                else:
                    changed, at, following, rule = _act(
                        entry,
                        data,
                        following,
                        end,
                        out,
                        at,
                        first,
                        keys,
                        values,
                        tables.repeat_limit,
                        tables.ruby_start,
                    )
                if spans and not (kind == LINE_END and at > old and data[position] == 0x0A):
                    start = np.int64(origin[changed]) if changed < old else position
                    count, start = _record(edits, count, first_edit, row, rule, start, following, changed, at)
                    for index in range(changed, at):
                        origin[index] = start
                elif spans:
                    origin[old] = position
                position = following
            if not more and state[OPEN]:  # nothing closes the fence: again, and what follows it is text
                reopen(state)
                position, at, count, more = opened, at_opened, count_opened, True
        old = at
        if tables.trailing and not code:
            at = _without_blanks(out, at, first)
        if spans and at < old:
            count, _ = _record(edits, count, first_edit, row, _TRAILING, np.int64(origin[at]), end, at, at)
        old = at
        while tables.blank_lines and at > first and out[at - 1] == 0x0A:
            at -= 1
        if spans and at < old:
            count, _ = _record(edits, count, first_edit, row, _BLANK_LINES, np.int64(origin[at]), end, at, at)
        out_offsets[row + 1] = at
        if spans:
            count = _finish(edits, first_edit, count, data, np.int64(offsets[row]), out)
    return offsets.shape[0] - 1, count, DONE
