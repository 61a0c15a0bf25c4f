"""SentencePiece's BPE merges over Arrow's UTF-8 buffers: no Python object for a line, a symbol or an id.

    model = Bpe.compile(proto)                               # None where the model needs SentencePiece itself
    ids, offsets = model.encode(data, starts)                # bytes and document bounds in, token ids out

SentencePiece begins with characters (and user-defined symbols, the longest first, which never merge) and merges the
adjacent pair whose joined text is the piece of the best score, the leftmost of equal ones, until no pair joins to a
piece. A merge can only reach over a place where some piece of the vocabulary stands in the text over that place. So one
walk of a trie from each character does two things: it finds the places no piece reaches over, at which the text falls
into stretches that merge each on their own, and it notes what every stretch of text from there is (`entries`, in rows
of `rows`), so that the joined text of a pair is one look in a small table instead of a hash of its bytes. Stretches of
Japanese are short (a few characters); up to `_SCANNED` the best pair is the least of their keys, above it a binary heap
finds it, so that a line in which pieces overlap everywhere costs n log n.

Refused: one heap over each document as SentencePiece has it, with a hash table of pairs (three to five times slower),
and a cache of stretches (looking one up costs as much as merging it).
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from jpfm.tokens.double_array import BASE, CHECK, ID, ROOT, SCORE, DoubleArray
from jpfm.tokens.unigram import _decode

_jit: Any = numba.njit(cache=True, nogil=True)
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_FROZEN = -1  # rank of user-defined symbols
_NONE = np.int64((1 << 63) - 1)
_LOW = np.int64(0xFFFFFFFF)
_HIGH = np.int64(-1) << np.int64(32)
_ROOM = 1 << 12  # characters of a stretch; eight times as many where so many are not enough
_SCANNED = 48  # characters: longer stretches are merged with a heap
_SPACE = 0x20


@_jit
def _key(rows, entries, size, begin, end):  # type: ignore[no-untyped-def]
    """Rank and place of the pair that joins to characters begin..end of a stretch; `_NONE` if that is no piece."""
    place = rows[begin] + end - begin - 1
    if end > size or place >= rows[begin + 1]:
        return _NONE
    entry = entries[place]
    return entry if entry == _NONE else (entry & _HIGH) | begin


@_jit
def _scan(rows, entries, size, keys, sizes, before):  # type: ignore[no-untyped-def]
    """Merge a stretch of `size` characters: the best pair is the least key of all."""
    for place in range(size):
        sizes[place] = 1
        before[place] = place - 1
        keys[place] = _key(rows, entries, size, place, place + 2)
    while True:
        best = _NONE
        for place in range(size):
            best = min(best, keys[place])
        if best == _NONE:
            return
        left = best & _LOW
        right = left + sizes[left]
        end = right + sizes[right]
        sizes[left] = end - left
        keys[right] = _NONE
        if end < size:
            before[end] = left
            keys[left] = _key(rows, entries, size, left, end + sizes[end])
        else:
            keys[left] = _NONE
        previous = before[left]
        if previous >= 0:
            keys[previous] = _key(rows, entries, size, previous, end)


@_jit
def _push(heap, count, key):  # type: ignore[no-untyped-def]
    place = count
    while place > 0:
        above = (place - 1) >> 1
        if heap[above] <= key:
            break
        heap[place] = heap[above]
        place = above
    heap[place] = key


@_jit
def _pop(heap, count):  # type: ignore[no-untyped-def]
    """Take the least of `count` keys away; it is at 0."""
    last = heap[count - 1]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= count - 1:
            break
        if below + 1 < count - 1 and heap[below + 1] < heap[below]:
            below += 1
        if heap[below] >= last:
            break
        heap[place] = heap[below]
        place = below
    heap[place] = last


@_jit
def _heap(rows, entries, size, keys, sizes, before, heap):  # type: ignore[no-untyped-def]
    """Merge a stretch of `size` characters with a heap. A key in it is out of date unless it is that of its place."""
    count = 0
    for place in range(size):
        sizes[place] = 1
        before[place] = place - 1
        key = _key(rows, entries, size, place, place + 2)
        keys[place] = key
        if key != _NONE:
            _push(heap, count, key)
            count += 1
    while count > 0:
        best = heap[0]
        _pop(heap, count)
        count -= 1
        left = best & _LOW
        if keys[left] != best:
            continue
        right = left + sizes[left]
        end = right + sizes[right]
        sizes[left] = end - left
        keys[right] = keys[left] = _NONE
        if end < size:
            before[end] = left
            keys[left] = _key(rows, entries, size, left, end + sizes[end])
            if keys[left] != _NONE:
                _push(heap, count, keys[left])
                count += 1
        previous = before[left]
        if previous >= 0:
            keys[previous] = _key(rows, entries, size, previous, end)
            if keys[previous] != _NONE:
                _push(heap, count, keys[previous])
                count += 1


@_jit
def _encode(  # type: ignore[no-untyped-def]
    resume, data, starts, low, pages, high, units, unknown, byte_ids, escaped, longest, scanned, codes, places,
    rows, entries, keys, sizes, before, heap, out, offsets,
):  # fmt: skip
    """Encode documents from `resume` on; writes `out` and `offsets`. Returns where it stopped: the number of
    documents, or the one for which `rows`, `entries` and their like are too small.
    """
    filled = offsets[resume]
    for document in range(resume, starts.shape[0] - 1):
        begin = starts[document]
        count = _decode(data, begin, starts[document + 1], low, pages, high, codes, places)
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
                if here == 1:
                    sizes[0] = 1
                elif here <= scanned:
                    _scan(rows, entries, here, keys, sizes, before)
                else:
                    _heap(rows, entries, here, keys, sizes, before, heap)
                at = 0
                while at < here:
                    entry = entries[rows[at] + sizes[at] - 1]
                    if entry != _NONE:
                        out[filled] = entry & _LOW
                        filled += 1
                        was_unknown = False
                    elif byte_ids.shape[0]:
                        first, last = begin + places[begun + at], begin + places[begun + at + 1]
                        if data[first] == _SPACE:
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
                    at += sizes[at]
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

    @classmethod
    def compile(cls, proto: Any) -> "Bpe | None":
        """Compile a SentencePiece model (`ModelProto`).

        None for one that SentencePiece has to run: not BPE; text is normalised first; a piece is UNUSED (which pair
        such a piece falls back into depends on the whole document); a special token is a single character.
        """
        normalizer = proto.normalizer_spec
        kinds = np.array([piece.type for piece in proto.pieces], dtype=np.int32)
        special = {_UNKNOWN, _CONTROL, _BYTE}
        if (
            proto.trainer_spec.model_type != proto.trainer_spec.BPE
            or normalizer.precompiled_charsmap
            or normalizer.add_dummy_prefix
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
            byte_ids, max(map(len, pieces)),
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
        longest = int(np.diff(starts).max()) if len(starts) > 1 else 0
        size = int(starts[-1] - starts[0])
        out = np.empty(size if len(self._byte_ids) and self._low[_SPACE] else 3 * size, dtype=np.uint32)
        offsets = np.zeros(len(starts), dtype=np.int64)
        escaped = self._byte_ids[list("▁".encode())] if len(self._byte_ids) else self._byte_ids
        codes, places = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.int32)
        document, room = 0, max(_ROOM, 2 * self._longest + 2)
        while document < len(starts) - 1:
            document = _encode(
                document, data, starts, self._low, self._pages, self._high, self._units, self._unknown,
                self._byte_ids, escaped, self._longest, _SCANNED, codes, places, np.empty(room, np.int64),
                np.empty(8 * room, np.int64), np.empty(room, np.int64), *np.empty((2, room), np.int64),
                np.empty(3 * room, np.int64), out, offsets,
            )  # fmt: skip
            room *= 8
        return out[: offsets[-1]], offsets
