"""SentencePiece's BPE merges over Arrow's UTF-8 buffers: no Python object for a line, a symbol or an id.

    model = Bpe.compile(proto)                               # None where the model needs SentencePiece itself
    ids, offsets = model.encode(data, starts)                # bytes and document bounds in, token ids out

SentencePiece begins with characters (and user-defined symbols, the longest first, which never merge) and merges the
adjacent pair whose joined text is the piece of the best score, the leftmost of equal ones, until no pair joins to a
piece. Two symbols can only merge over a place where a piece of the vocabulary stands in the text over that place. So
one walk of a trie from each character does two things: it finds the places that no piece reaches over, where the text
falls into stretches that merge each on their own, and it notes which pieces begin there (`entries`, in rows), so that
the joined text of a pair is one look in a small table instead of a hash of its bytes.

Half of the characters of Japanese text are in stretches of one or two, one in a hundred in one of more than 20: up to
`_SCANNED` the best pair is found by looking at all. Longer ones (a run that pieces overlap in everywhere may be a whole
document) have a tree of minima over their pairs, 16 ways: some 45 ns a character at 500 and 60 to 200 at three
million, where SentencePiece takes two to four times as long. Refused: a binary heap that keeps out-of-date pairs, as
SentencePiece has it (twice the time of the tree at 12 as at 500 characters), and a linked list of symbols that is
looked through whole (half the speed on real text).

Memory is that of the longest document (8 bytes a character) and the longest stretch (some 50 bytes a character).
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from jpfm.tokens.double_array import BASE, CHECK, ID, ROOT, SCORE, DoubleArray, decode

_jit: Any = numba.njit(cache=True, nogil=True)
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_FROZEN = -1  # rank of user-defined symbols
_NONE = np.int64((1 << 63) - 1)
_NO_RANK = np.int32((1 << 31) - 1)
_WAYS = 16  # of the tree of minima: ranks of a cache line
_LOW = np.int64(0xFFFFFFFF)
_ROOM = 1 << 12  # characters of a stretch; four times as many where so many are not enough
_SCANNED = 32  # characters: longer stretches are merged with a tree
_SPACE = 0x20


@_jit
def _rank(rows, entries, begin, end):  # type: ignore[no-untyped-def]
    """Rank of characters begin..end of a stretch; that of no piece is above all."""
    place = rows[begin] + end - begin - 1
    return np.int32(entries[place] >> 32) if place < rows[begin + 1] else _NO_RANK


@_jit
def _scan(rows, entries, size, ranks, bounds):  # type: ignore[no-untyped-def]
    """Merge a stretch of `size` characters: look at all pairs for the best one. Returns how many symbols stay."""
    best, left = _NO_RANK, 0
    for place in range(size - 1):
        bounds[place] = place
        rank = _rank(rows, entries, place, place + 2)
        ranks[place] = rank
        if rank < best:
            best, left = rank, place
    bounds[size - 1] = size - 1
    bounds[size] = size
    count = size
    while best < _NO_RANK:
        count -= 1  # symbol left + 1 goes
        begin = bounds[left]
        for place in range(left + 1, count + 1):
            bounds[place] = bounds[place + 1]
        for place in range(left, count - 1):
            ranks[place] = ranks[place + 1]
        if left > 0:
            ranks[left - 1] = _rank(rows, entries, bounds[left - 1], bounds[left + 1])
        if left + 1 < count:
            ranks[left] = _rank(rows, entries, begin, bounds[left + 2])
        best = _NO_RANK
        for place in range(count - 1):
            if ranks[place] < best:
                best, left = ranks[place], place
    return count


@_jit
def _least(tree, first):  # type: ignore[no-untyped-def]
    least = tree[first]
    for place in range(first + 1, first + _WAYS):
        least = min(least, tree[place])
    return least


@_jit
def _grow(tree, levels, size):  # type: ignore[no-untyped-def]
    """Build the least ranks of 16, of 16 times 16, ... over `size` ranks. Returns how many levels stand over them."""
    start, depth = 0, 0
    levels[0] = 0
    while True:
        padded = (size + _WAYS - 1) // _WAYS * _WAYS
        tree[start + size : start + padded] = _NO_RANK
        if padded == _WAYS:
            return depth
        above = start + padded
        for group in range(padded // _WAYS):
            tree[above + group] = _least(tree, start + group * _WAYS)
        depth += 1
        start = levels[depth] = above
        size = padded // _WAYS


@_jit
def _changed(tree, levels, depth, place):  # type: ignore[no-untyped-def]
    """Bring what stands over a rank up to date."""
    for level in range(depth):
        place //= _WAYS
        least = _least(tree, levels[level] + place * _WAYS)
        if tree[levels[level + 1] + place] == least:
            return
        tree[levels[level + 1] + place] = least


@_jit
def _climb(rows, entries, size, tree, levels, sizes, before, bounds):  # type: ignore[no-untyped-def]
    """Merge a stretch of `size` characters: a tree of minima over all pairs tells the best one, the leftmost of equal
    ones. Returns how many symbols stay.
    """
    for place in range(size):
        sizes[place] = 1
        before[place] = place - 1
        tree[place] = _rank(rows, entries, place, place + 2) if place + 2 <= size else _NO_RANK
    depth = _grow(tree, levels, size)
    while True:
        best = _least(tree, levels[depth])
        if best == _NO_RANK:
            break
        left = 0
        for level in range(depth, -1, -1):
            left *= _WAYS
            while tree[levels[level] + left] != best:
                left += 1
        right = left + sizes[left]
        end = right + sizes[right]
        sizes[left] = end - left
        tree[left] = tree[right] = _NO_RANK
        if end < size:
            before[end] = left
            tree[left] = _rank(rows, entries, left, end + sizes[end])
        previous = before[left]
        if previous >= 0:
            tree[previous] = _rank(rows, entries, previous, end)
            if previous // _WAYS != left // _WAYS:
                _changed(tree, levels, depth, previous)
        _changed(tree, levels, depth, left)
        if right // _WAYS != left // _WAYS:
            _changed(tree, levels, depth, right)
    bounds[0] = count = place = 0
    while place < size:
        place += sizes[place]
        count += 1
        bounds[count] = place
    return count


@_jit
def _encode(  # type: ignore[no-untyped-def]
    resume, data, starts, low, pages, high, units, unknown, byte_ids, escaped, prefixed, longest, scanned, codes,
    places, rows, entries, tree, levels, sizes, before, bounds, out, offsets,
):  # fmt: skip
    """Encode documents from `resume` on; writes `out` and `offsets`. Returns where it stopped: the number of
    documents, or the one for which `rows`, `entries` and their like are too small.
    """
    filled = offsets[resume]
    for document in range(resume, starts.shape[0] - 1):
        begin = starts[document]
        count = decode(data, begin, starts[document + 1], low, pages, high, codes[prefixed:], places[prefixed:])
        if prefixed and count:
            codes[0], places[0] = low[_SPACE], 0
            count += 1
        begun = reach = 0  # first character of the stretch; how far pieces reach
        was_unknown = False
        rows[0] = 0
        place = 0
        while place <= count:
            here = place - begun
            frozen, frozen_end = -1, place
            row = rows[here]
            found = place + 1  # behind the longest piece from here
            if place < count:
                if here + 2 >= rows.shape[0] or row + longest >= entries.shape[0]:
                    return document  # the caller has to bring more room
                unit = np.int64(codes[place])
                entries[row] = _NONE
                if unit > 0 and units[unit, CHECK] == ROOT:
                    end = place + 1
                    while True:
                        token = units[unit, ID]
                        entry = _NONE
                        if token >= 0:
                            rank = np.int64(units[unit, SCORE])
                            if rank == _FROZEN:
                                frozen, frozen_end = token, end
                            else:
                                entry = (rank << 32) | token
                                found = end
                        entries[row + end - place - 1] = entry
                        base = np.int64(units[unit, BASE])
                        if base == 0 or end >= count:
                            break
                        following = base + np.int64(codes[end])
                        if units[following, CHECK] != unit:
                            break
                        unit = following
                        end += 1
            if here > 0 and (place >= reach or frozen >= 0):
                if here == 1 or (here == 2 and _rank(rows, entries, 0, 2) != _NO_RANK):
                    bounds[0], bounds[1] = 0, here
                    symbols = 1
                elif here <= scanned:
                    symbols = _scan(rows, entries, here, tree, bounds)
                else:
                    symbols = _climb(rows, entries, here, tree, levels, sizes, before, bounds)
                for symbol in range(symbols):
                    at, to = bounds[symbol], bounds[symbol + 1]
                    entry = entries[rows[at] + to - at - 1]
                    if entry != _NONE:
                        out[filled] = entry & _LOW
                        filled += 1
                        was_unknown = False
                    elif byte_ids.shape[0]:
                        first, last = begin + places[begun + at], begin + places[begun + at + 1]
                        if first == last or data[first] == _SPACE:
                            for byte in range(3):
                                out[filled] = escaped[byte]
                                filled += 1
                        else:
                            for byte in range(first, last):
                                out[filled] = byte_ids[data[byte]]
                                filled += 1
                    elif not was_unknown:
                        out[filled] = unknown
                        filled += 1
                        was_unknown = True
                for at in range(found - place):
                    entries[at] = entries[row + at]
                begun, here, row = place, 0, 0
            if place == count:
                break
            if frozen >= 0:
                out[filled] = frozen
                filled += 1
                was_unknown = False
                begun = reach = place = frozen_end
                continue
            rows[here + 1] = row + found - place
            reach = max(reach, found)
            place += 1
        offsets[document + 1] = filled
    return starts.shape[0] - 1


@dataclass(frozen=True)
class Bpe:
    """A compiled model."""

    vocab_size: int
    _low: npt.NDArray[np.int32]
    """Code of each character of the BMP; 0 where no piece has it."""
    _pages: npt.NDArray[np.int32]
    _high: npt.NDArray[np.int32]
    """Codes of the other characters: page of 256, and place in it."""
    _units: npt.NDArray[np.int32]
    _unknown: int
    _byte_ids: npt.NDArray[np.uint32]
    _longest: int
    """Characters of the longest piece."""
    _prefixed: int
    """1 where a space is put before each document, else 0."""
    _most: int
    """Tokens of a byte of text: three where a space has no piece and is spelled in the bytes of ▁."""

    @classmethod
    def compile(cls, proto: Any) -> "Bpe | None":
        """Compile a SentencePiece model (`ModelProto`).

        None for one that SentencePiece has to run: not BPE; text is normalised first, other than by a space before it;
        a piece is UNUSED (what it falls apart into depends on the whole document); a special token is a single
        character.
        """
        normalizer = proto.normalizer_spec
        kinds = np.array([piece.type for piece in proto.pieces], dtype=np.int32)
        special = {_UNKNOWN, _CONTROL, _BYTE}
        if (
            proto.trainer_spec.model_type != proto.trainer_spec.BPE
            or normalizer.precompiled_charsmap
            or (normalizer.add_dummy_prefix and proto.trainer_spec.treat_whitespace_as_suffix)
            or normalizer.remove_extra_whitespaces
            or not normalizer.escape_whitespaces
            or (kinds == _UNUSED).any()
            or any(piece.type in special and len(piece.piece) == 1 for piece in proto.pieces)
        ):
            return None
        found = np.flatnonzero((kinds == _NORMAL) | (kinds == _USER_DEFINED))
        scores = np.array([proto.pieces[number].score for number in found.tolist()], dtype=np.float32)
        if np.isnan(scores).any():
            return None
        ranks = np.unique(-scores, return_inverse=True)[1]
        ranks[kinds[found] == _USER_DEFINED] = _FROZEN
        pieces = [proto.pieces[number].piece for number in found.tolist()]
        table = DoubleArray.build(pieces)
        table.units[:, ID] = -1
        table.units[table.slots, ID] = found
        table.units[table.slots, SCORE] = ranks
        byte_ids = np.empty(0, dtype=np.uint32)
        if proto.trainer_spec.byte_fallback:
            numbers = {piece.piece: number for number, piece in enumerate(proto.pieces) if piece.type == _BYTE}
            byte_ids = np.array([numbers[f"<0x{byte:02X}>"] for byte in range(256)], dtype=np.uint32)
        return cls(
            len(kinds), table.low, table.pages, table.high, table.units, int(np.flatnonzero(kinds == _UNKNOWN)[0]),
            byte_ids, max(map(len, pieces)), int(normalizer.add_dummy_prefix),
            3 if len(byte_ids) and "▁" not in pieces else 1,
        )  # fmt: skip

    def encode(
        self, data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """Token ids of documents.

        Args:
            data: UTF-8 bytes of all documents.
            starts: where each begins and the last ends; shape (documents + 1,).
        Returns:
            Ids, shape (tokens,), and the first id of each document and the end, shape (documents + 1,).
        """
        longest = int(np.diff(starts).max()) + 3 if len(starts) > 1 else 0
        size = int(starts[-1] - starts[0]) + self._prefixed * (len(starts) - 1)
        out = np.empty(self._most * size, dtype=np.uint32)
        offsets = np.zeros(len(starts), dtype=np.int64)
        escaped = self._byte_ids[list("▁".encode())] if len(self._byte_ids) else self._byte_ids
        codes, places = np.empty((2, longest), np.int32)
        document, room = 0, max(_ROOM, 2 * self._longest)
        while document < len(starts) - 1:
            entries = np.empty(8 * room, np.int64)
            most = min(room, max(_ROOM, longest))
            document = _encode(
                document, data, starts, self._low, self._pages, self._high, self._units, self._unknown,
                self._byte_ids, escaped, self._prefixed, self._longest, _SCANNED, codes, places,
                np.empty(most, np.int64), entries, np.empty(2 * most, np.int32), np.empty(_WAYS, np.int64),
                *np.empty((3, most), np.int32), out, offsets,
            )  # fmt: skip
            room *= 4
        return out[: offsets[-1]], offsets
