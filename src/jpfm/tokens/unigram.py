"""SentencePiece's Unigram segmentation over Arrow's UTF-8 buffers: no Python object for a line, a piece or an id.

    model = Unigram.compile(proto)                           # None where the model needs SentencePiece itself
    ids, offsets = model.encode(data, starts)                # bytes and document bounds in, token ids out

The pieces are a double-array trie over characters (Japanese has three bytes a character: a third of the steps of
SentencePiece's trie over bytes). The best path is found going forward, with the rules of SentencePiece's own search: of
equal paths the one found first stays, a character without a piece of its own may become unknown at the lowest score
less 10, a user-defined piece costs 0.1. Where no piece reaches over a place, every path goes through it: what lies
before is settled and written, so memory and sums are those of a few hundred characters, however long a line is.

Scores that are multiples of 1/256 (those of `jpfm tokenizer train`) are summed as integers, exact at any length.
SentencePiece's 32-bit sums are exact up to 65,536, some 10,000 characters without a settled place. Other scores are
summed as SentencePiece does it (sums in 64 bits, kept in 32), and settled at line ends alone, so that rounding falls
alike.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from jpfm.tokens.double_array import BASE, CHECK, ID, ROOT, SCORE, DoubleArray, decode

_jit: Any = numba.njit(cache=True, nogil=True)
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_UNIT = 2560  # of integer scores: multiples of 1/256, and of the 0.1 of user-defined pieces
_UNKNOWN_PENALTY = 10.0
_USER_DEFINED_COST = 0.1
_PATH = 1 << 12  # characters; eight times as many where so many cannot be settled
_SETTLE = 96  # characters: writing out shorter stretches costs more than it saves
_SPACE = 0x20


@_jit
def _search(  # type: ignore[no-untyped-def]
    resume, data, starts, low, pages, high, units, scores, column, zero, worst, unknown_score, unknown, byte_ids,
    escaped, newline, settle, longest, codes, places, best, piece, origin, path, out, offsets,
):  # fmt: skip
    """Segment documents from `resume` on; writes `out` and `offsets`. Returns where it stopped: the number of
    documents, or the one for which `best` and its like are too small.
    """
    filled = offsets[resume]
    for document in range(resume, starts.shape[0] - 1):
        begin = starts[document]
        count = decode(data, begin, starts[document + 1], low, pages, high, codes, places)
        begun = reach = 0  # first character that is not settled; how far pieces reach
        was_unknown = False
        place = 0
        while place <= count:
            here = place - begun
            if place == reach and (
                place == count
                or here >= settle
                or (here > 0 and (codes[place] == newline or codes[place - 1] == newline))
            ):
                top, at = 0, here
                while at > 0:
                    path[top] = at
                    top += 1
                    at = origin[at]
                for at in range(1, here + 1):
                    best[at] = worst
                while top > 0:
                    top -= 1
                    at = path[top]
                    token = piece[at]
                    if token != unknown:
                        out[filled] = token
                        filled += 1
                        was_unknown = False
                    elif byte_ids.shape[0]:
                        first, last = begin + places[begun + at - 1], begin + places[begun + at]
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
                if place == count:
                    break
                begun, here = place, 0
            if here + longest >= best.shape[0]:  # the caller has to bring more room
                return document
            total = best[here] + zero
            unit = np.int64(codes[place])
            end = place + 1
            alone = False
            if unit > 0 and units[unit, CHECK] == ROOT:
                token = units[unit, ID]
                if token >= 0:
                    alone = True
                    candidate = total + scores[unit, column]
                    if candidate > best[here + 1]:
                        best[here + 1] = candidate
                        piece[here + 1] = token
                        origin[here + 1] = here
                    reach = max(reach, end)
                while end < count:
                    base = np.int64(units[unit, BASE])
                    if base == 0:
                        break
                    following = base + np.int64(codes[end])
                    if units[following, CHECK] != unit:
                        break
                    unit = following
                    end += 1
                    token = units[unit, ID]
                    if token >= 0:
                        candidate = total + scores[unit, column]
                        target = end - begun
                        if candidate > best[target]:
                            best[target] = candidate
                            piece[target] = token
                            origin[target] = here
                        reach = max(reach, end)
            if not alone:
                candidate = unknown_score + best[here]
                if candidate > best[here + 1]:
                    best[here + 1] = candidate
                    piece[here + 1] = unknown
                    origin[here + 1] = here
                reach = max(reach, place + 1)
            place += 1
        offsets[document + 1] = filled
    return starts.shape[0] - 1


@dataclass(frozen=True)
class Unigram:
    """A compiled model."""

    vocab_size: int
    _low: npt.NDArray[np.int32]
    """Code of each character of the BMP; 0 where no piece has it."""
    _pages: npt.NDArray[np.int32]
    _high: npt.NDArray[np.int32]
    """Codes of the other characters: page of 256, and place in it."""
    _units: npt.NDArray[np.int32]
    _scores: npt.NDArray[Any]
    _column: int
    _unknown_score: Any
    _unknown: int
    _byte_ids: npt.NDArray[np.uint32]
    _longest: int
    """Characters of the longest piece."""
    _exact: bool
    """Scores are integers."""
    _room: int
    """Tokens that a byte of text can make at most."""

    @classmethod
    def compile(cls, proto: Any) -> "Unigram | None":
        """Compile a SentencePiece model (`ModelProto`); None for one whose text must be normalised first."""
        normalizer = proto.normalizer_spec
        if (
            proto.trainer_spec.model_type != proto.trainer_spec.UNIGRAM
            or normalizer.precompiled_charsmap
            or normalizer.add_dummy_prefix
            or normalizer.remove_extra_whitespaces
            or not normalizer.escape_whitespaces
        ):
            return None
        kinds = np.array([piece.type for piece in proto.pieces], dtype=np.int32)
        scores = np.array([piece.score for piece in proto.pieces], dtype=np.float32).astype(np.float64)
        normal = scores[kinds == _NORMAL]
        unknown_score = np.float32(np.float32(normal.min()) - np.float32(_UNKNOWN_PENALTY))
        scores[kinds == _USER_DEFINED] = -_USER_DEFINED_COST
        found = np.flatnonzero((kinds == _NORMAL) | (kinds == _USER_DEFINED))
        exact = bool((normal * 256 == np.round(normal * 256)).all()) and float(np.abs(normal).max()) < 100_000
        pieces = [proto.pieces[number].piece for number in found.tolist()]
        table = DoubleArray.build(pieces)
        ids = np.full(len(table.units), -1, dtype=np.int64)
        ids[table.slots] = found
        table.units[:, ID] = ids
        by_unit = np.where(ids >= 0, scores[ids], 0.0)
        if exact:
            table.units[:, SCORE] = np.round(by_unit * _UNIT).astype(np.int32)
        first_byte = next((number for number, kind in enumerate(kinds.tolist()) if kind == _BYTE), None)
        byte_ids = np.empty(0, dtype=np.uint32)
        if first_byte is not None and proto.trainer_spec.byte_fallback:
            places = {piece.piece: number for number, piece in enumerate(proto.pieces) if piece.type == _BYTE}
            byte_ids = np.array([places[f"<0x{byte:02X}>"] for byte in range(256)], dtype=np.uint32)
        return cls(
            len(kinds), table.low, table.pages, table.high, table.units,
            table.units if exact else by_unit[:, None].astype(np.float32), SCORE if exact else 0,
            np.int64(round(float(unknown_score) * _UNIT)) if exact else unknown_score,
            int(np.flatnonzero(kinds == _UNKNOWN)[0]), byte_ids, max(map(len, pieces)), exact,
            1 if len(byte_ids) and "▁" in pieces else 3,  # a space without a piece is the three bytes of ▁
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
        number, stored = (np.int64, np.int64) if self._exact else (np.float32, np.float32)
        worst = np.int64(-(1 << 62)) if self._exact else np.float32(-np.inf)
        out = np.empty(self._room * size, dtype=np.uint32)
        offsets = np.zeros(len(starts), dtype=np.int64)
        line = int(self._low[ord("\n")]) or -1
        escaped = self._byte_ids[list("▁".encode())] if len(self._byte_ids) else self._byte_ids
        codes, places = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.int32)
        document, room = 0, max(_PATH, 2 * self._longest + 2)
        while document < len(starts) - 1:
            best = np.full(room, worst, stored)
            best[0] = 0
            document = _search(
                document, data, starts, self._low, self._pages, self._high, self._units, self._scores, self._column,
                number(0), worst, self._unknown_score, self._unknown, self._byte_ids, escaped, line,
                _SETTLE if self._exact else 1 << 62, self._longest, codes, places, best, *np.empty((3, room), np.int32),
                out, offsets,
            )  # fmt: skip
            room *= 8
        return out[: offsets[-1]], offsets
