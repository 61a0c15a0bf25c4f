"""Passages that other texts have too: from sampled n-grams to the spans of whole sentences that are copies.

    found = matches(keys, grams, references, size=100)                      # verified and extended, in points
    cuts = spans(segments, keys, found, whole_sentences=True)               # narrowed to sentences and lines, in bytes

A reference is a place in another document's key. A match is where the n-gram at hand equals it point by point, made
longer on both sides as far as both agree, up to a margin. As sampled n-grams of one copy lie closer than that, the
union of their matches is the whole copy, and a match costs a bounded number of comparisons however long the copy is.
"""

import functools
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from jpfm.text.dedup_key import Keys
from jpfm.text.kernels import buffers, next_point
from jpfm.text.lines import Segments, Units
from jpfm.text.winnow import Grams

I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
_jit: Any = numba.njit(cache=True, nogil=True)
_INSIDE, _ENDS, _CLOSES, _LINE_END = range(4)
_BEGINS, _MAY_END, _NEW_LINE, _LINE_ENDS = 1, 2, 4, 8


class References(NamedTuple):
    """What sampled n-grams are compared with: places in the keys of other documents. Shapes (k,)."""

    points: U32
    """The keys of all passages, one after the other."""
    at: I64
    """Where the n-gram stands in them."""
    before: U32
    """Points of the passage before it that may be compared."""
    after: U32
    """And behind it."""


class Stretches(NamedTuple):
    """Stretches of the keys of a column, ascending, that do not touch. Shapes (k,)."""

    rows: I64
    starts: I64
    """First point, in the points of all rows."""
    ends: I64


@_jit
def _matches(offsets, points, rows, places, known, at, before, after, size, starts, ends):  # type: ignore[no-untyped-def]
    for gram in range(rows.shape[0]):
        here, there = places[gram], at[gram]
        starts[gram] = ends[gram] = here
        length = 0
        while length < size and points[here + length] == known[there + length]:
            length += 1
        if length < size:
            continue
        most = size + min(np.int64(after[gram]), offsets[rows[gram] + 1] - here - size)
        while length < most and points[here + length] == known[there + length]:
            length += 1
        back, most = 0, min(np.int64(before[gram]), here - offsets[rows[gram]])
        while back < most and points[here - back - 1] == known[there - back - 1]:
            back += 1
        starts[gram], ends[gram] = here - back, here + length


def matches(found: Keys, grams: Grams, known: References, *, size: int) -> Stretches:
    """Where n-grams of documents equal their references, with what is equal around them.

    Args:
        grams: of `found`. Shape (k,).
        known: the reference of each.
        size: points of an n-gram.
    """
    starts, ends = np.empty(len(grams.rows), dtype=np.int64), np.empty(len(grams.rows), dtype=np.int64)
    _matches(
        found.offsets, found.points, grams.rows, grams.places, known.points, known.at, known.before, known.after, size,
        starts, ends,
    )  # fmt: skip
    equal = ends > starts
    return joined(grams.rows[equal], starts[equal], ends[equal])


def joined(rows: I64, starts: I64, ends: I64) -> Stretches:
    """Stretches without overlaps; those that touch become one.

    Args:
        rows: ascending.
        starts: in the points of all rows, so that stretches of different rows never overlap.
    """
    order = np.argsort(starts, kind="stable")
    rows, starts, ends = rows[order], starts[order], np.maximum.accumulate(ends[order]) if len(ends) else ends
    fresh = np.ones(len(rows), dtype=np.bool_)
    fresh[1:] = (rows[1:] != rows[:-1]) | (starts[1:] > ends[:-1])
    begins = np.flatnonzero(fresh)
    return Stretches(rows[begins], starts[begins], ends[np.append(begins[1:], len(rows))[: len(begins)] - 1])


@functools.cache
def _kinds() -> npt.NDArray[np.uint8]:
    kinds = np.full(0x110000, _INSIDE, dtype=np.uint8)
    for kind, characters in ((_ENDS, "。．！？!?"), (_CLOSES, "」』）)】〕》”"), (_LINE_END, "\n")):
        kinds[[ord(character) for character in characters]] = kind
    return kinds


@_jit
def _mark(data, start, end, kinds, bytes_at, marks):  # type: ignore[no-untyped-def]
    """The byte of each character, and whether a sentence may begin or end before it; returns how many there are."""
    position, count = np.uint64(start), 0
    ended = new_line = True
    while position < np.uint64(end):
        bytes_at[count] = position
        point, position = next_point(data, position)
        kind = kinds[point]
        between = ended and kind == _INSIDE
        marks[count] = _BEGINS * (new_line or between) | _MAY_END * between | _NEW_LINE * new_line
        marks[count] |= (_MAY_END | _LINE_ENDS) * (kind == _LINE_END)
        new_line = kind == _LINE_END
        ended = kind == _ENDS or (ended and kind == _CLOSES)
        count += 1
    bytes_at[count] = end
    marks[count] = _BEGINS | _MAY_END | _NEW_LINE | _LINE_ENDS
    return count


@_jit
def _begin(marks, after, first, last):  # type: ignore[no-untyped-def]
    """Where the first sentence of the copy begins, or -1; characters from `after` to `first` are in no key."""
    best, of_line = -1, False
    for place in range(after, first + 1):
        if marks[place] & _NEW_LINE or (marks[place] & _BEGINS and not of_line):
            best, of_line = place, marks[place] & _NEW_LINE != 0
    place = first
    while best < 0 and place < last:
        place += 1
        best = place if marks[place] & (_BEGINS | _LINE_ENDS) == _BEGINS else -1  # no blank line
    return best


@_jit
def _end(marks, first, last, before):  # type: ignore[no-untyped-def]
    """Where its last sentence ends; characters from `last` + 1 to `before` are in no key."""
    best = -1
    for place in range(last + 1, before + 1):
        if marks[place] & _MAY_END and (best < 0 or marks[place] & _LINE_ENDS):
            best = place
        if marks[place] & _LINE_ENDS:
            break
    place = last + 1
    while best < 0 and place > first:
        place -= 1
        best = place if marks[place] & (_MAY_END | _NEW_LINE) == _MAY_END else -1
    return max(best, first)


@_jit
def _spans(data, seg_starts, seg_ends, offsets, places, kinds, whole, least, rows, starts, ends, out_starts, out_ends):  # type: ignore[no-untyped-def]
    longest = 1
    for item in range(rows.shape[0]):
        longest = max(longest, seg_ends[rows[item] // 2] - seg_starts[rows[item] // 2])
    bytes_at, marks = np.empty(longest + 1, dtype=np.int64), np.empty(longest + 1, dtype=np.uint8)
    count, row = 0, np.int64(-1)
    for item in range(rows.shape[0]):
        if rows[item] != row:
            row = rows[item]
            count = _mark(data, seg_starts[row // 2], seg_ends[row // 2], kinds, bytes_at, marks)
        first, last = np.int64(places[starts[item]]), np.int64(places[ends[item] - 1])
        begin, end = first, last + 1
        if whole:
            after = np.int64(places[starts[item] - 1]) + 1 if starts[item] > offsets[row] else np.int64(0)
            before = np.int64(places[ends[item]]) if ends[item] < offsets[row + 1] else np.int64(count)
            begin = _begin(marks, after, first, last)
            end = _end(marks, begin, last, before) if begin >= 0 else begin
            end = end if end - begin >= least else begin
        out_starts[item], out_ends[item] = bytes_at[begin], bytes_at[end]


def spans(of: Segments, found: Keys, stretches: Stretches, *, whole_sentences: bool, least: int = 1) -> Units:
    """Where stretches of keys lie in the texts.

    Args:
        of: the segments whose column the keys are of.
        found: keys with places.
        whole_sentences: leave out what is only a part of a sentence or line at either end. A line that is copied whole
            goes with its list mark and its punctuation.
        least: characters that whole sentences must have to count.
    Returns:
        Spans that are not empty.
    """
    starts, ends = np.empty(len(stretches.rows), dtype=np.int64), np.empty(len(stretches.rows), dtype=np.int64)
    _spans(
        buffers(of.column).data, of.units.starts, of.units.ends, found.offsets, found.places, _kinds(), whole_sentences,
        least, *stretches, starts, ends,
    )  # fmt: skip
    full = ends > starts
    return Units(of.units.rows[stretches.rows[full] // 2], starts[full], ends[full])
