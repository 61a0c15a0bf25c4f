"""Which lines of a text are code: between Markdown fences, or indented by four spaces or a tab.

Lines are read as text rules leave them (removed characters skipped, replacements made), so a line is judged alike
before and after normalisation. A fence is 3 or more backticks or tildes after spaces, tabs and quote marks `>` (lists
and quotes hold code); no backtick may follow backticks on its line. It opens code only where a later line closes it
(same mark, at least as long, nothing behind): a rule of ~~~~~~ in an old mail exempts nothing. Refused: CommonMark's
"unclosed runs to the end" and its limit of three spaces.
"""
# ruff: noqa: PLR1714, SIM109  (Numba makes jumps of comparisons and loops of sets and tuples)

from typing import Any

import numba
import numpy as np

from jpfm.text.canonical import next_kept

_jit: Any = numba.njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)

MAX_FENCE = 64  # longer fences count as this long
STATE = 4  # numbers that line_is_code remembers between lines
OPEN, _AFTER_BLANK, _UNCLOSED = 0, 1, 2  # _UNCLOSED: shortest fence without a closer, for each mark
BLANK, INDENTED = 1, 2
_SPACE, _TAB, _QUOTE, _BACKTICK, _TILDE, _IDEOGRAPHIC_SPACE, _RETURN = 0x20, 0x09, 0x3E, 0x60, 0x7E, 0x3000, 0x0D


@_jit
def may_be_fence(data, position, end):  # type: ignore[no-untyped-def]
    """A quick look by bytes that says no to most lines; `fence_at` knows."""
    while position < end and (data[position] == _SPACE or data[position] == _TAB or data[position] == _QUOTE):
        position += 1
    return (
        position < end
        and data[position] != 0x0A
        and (data[position] == _BACKTICK or not 0x20 < data[position] < _TILDE)
    )


@_jit
def fence_at(data, position, end, lookup):  # type: ignore[no-untyped-def]
    """0 where the line is no fence, or its length | (it is of tildes) << 7 | (nothing follows: it can close) << 8."""
    point, position = next_kept(data, position, end, lookup)
    while point == _SPACE or point == _TAB or point == _QUOTE:
        point, position = next_kept(data, position, end, lookup)
    if point != _BACKTICK and point != _TILDE:
        return 0
    mark, length, closes = point, 0, True
    while point == mark:
        length += 1
        point, position = next_kept(data, position, end, lookup)
    if length < 3:
        return 0
    while point >= 0:
        if mark == _BACKTICK and point == _BACKTICK:
            return 0
        closes &= point == _SPACE or point == _TAB or point == _IDEOGRAPHIC_SPACE or point == _RETURN
        point, position = next_kept(data, position, end, lookup)
    return min(length, MAX_FENCE) | np.int64(mark == _TILDE) << 7 | np.int64(closes) << 8


@_jit
def indent_at(data, position, end, lookup):  # type: ignore[no-untyped-def]
    """BLANK, INDENTED (four spaces or a tab before the text) or 0."""
    width, counts = 0, True
    point, position = next_kept(data, position, end, lookup)
    while point == _SPACE or point == _TAB or point == _IDEOGRAPHIC_SPACE or point == _RETURN:
        counts = counts and (point == _SPACE or point == _TAB)
        width += counts * (4 if point == _TAB else 1)
        point, position = next_kept(data, position, end, lookup)
    if point < 0:
        return BLANK
    return INDENTED if width >= 4 else 0


@_jit
def line_is_code(data, position, end, lookup, fenced, indented, state):  # type: ignore[no-untyped-def]
    """1 where the line that begins here is copied as code, else 0. The lines of the fences themselves are text.

    Every fence is taken to be closed later. A document that ends with `state[OPEN]` set goes back to the line that
    opened it after `reopen`; that happens at most once for each length of a fence, so a text is read a bounded number
    of times.

    Args:
        fenced: whether lines between fences are code.
        indented: whether paragraphs indented by four spaces are code.
        state: int64, shape (STATE,): `new_document` at the start of each.
    """
    fence = fence_at(data, position, end, lookup) if fenced else np.int64(0)
    if state[OPEN]:
        if not fence >> 8 or fence >> 7 & 1 != state[OPEN] >> 7 & 1 or fence & 0x7F < state[OPEN] & 0x7F:
            return 1
        state[OPEN] = 0
    elif fence and fence & 0x7F < state[_UNCLOSED + (fence >> 7 & 1)]:
        state[OPEN] = fence
    if not indented:
        return 0
    indent = 0 if fence else indent_at(data, position, end, lookup)
    code = indent == INDENTED and state[_AFTER_BLANK] == 1
    state[_AFTER_BLANK] = code or indent == BLANK
    return 1 if code else 0


@_jit
def new_document(state):  # type: ignore[no-untyped-def]
    """Forget what `line_is_code` knew of the last document."""
    state[OPEN] = 0
    state[_AFTER_BLANK] = 1
    state[_UNCLOSED] = state[_UNCLOSED + 1] = MAX_FENCE + 1


@_jit
def reopen(state):  # type: ignore[no-untyped-def]
    """The open fence has no closer, so no later one of the same mark that is as long has one."""
    state[_UNCLOSED + (state[OPEN] >> 7 & 1)] = state[OPEN] & 0x7F
    state[OPEN] = 0
