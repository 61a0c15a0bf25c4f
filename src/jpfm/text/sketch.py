"""Similarity of documents by the sets of their character n-grams: sketches that predict it, sets that measure it.

    found = keys(batch.column("text"), KeyRules())
    bands = band_keys(found, size=5, bands=16, rows_per_band=7)      # (n, 16) uint64; equal in a band: candidates
    sets = ngram_sets(found, size=5)
    jaccard(sets, sets, left, right)                                 # exact, (num_pairs,)

The sketch is Fast Similarity Sketching (Dahlgaard, Knudsen & Thorup, FOCS 2017, arXiv:1704.04370): each n-gram is
hashed once and falls into one of k bins; bins left empty are filled by further rounds, which only short texts need. As
in MinHash, a coordinate of two sketches is equal with probability exactly J, and the estimate is as concentrated, but
the work is O(n + k log k) instead of n k: several times the 100 MB/s a core of k = 112 independent minima.
A document whose key is shorter than one n-gram is its own single n-gram; an empty key has no sketch.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from jpfm.text.dedup_key import Keys
from jpfm.text.kernels import mix

_jit: Any = numba.njit(cache=True, nogil=True)
_BASE = np.uint64(0x9E3779B97F4A7C15 | 1)
_ROUND = np.uint64(0xD1B54A32D192ED03)
EMPTY_ROW = np.uint64(0)
"""Band key of a document without a key; `band_keys` gives it to no other."""
U64 = npt.NDArray[np.uint64]


@_jit
def _letter(point):  # type: ignore[no-untyped-def]
    value = np.uint64(point + np.uint32(1)) * np.uint64(0xD6E8FEB86659FD93)
    return value ^ (value >> np.uint64(32))


@_jit
def roll(points, start, stop, size, out):  # type: ignore[no-untyped-def]
    """Hash every window of `size` points of points[start:stop] into out; returns how many windows there are.

    A polynomial modulo 2^64 over hashed points, finished by `mix`: windows of equal points have equal hashes.
    """
    length = stop - start
    if length <= 0:
        return 0
    state = np.uint64(0)
    if length < size:
        for position in range(start, stop):
            state = state * _BASE + _letter(points[position])
        out[0] = mix(state)
        return 1
    leaving = np.uint64(1)
    for _ in range(size):
        leaving *= _BASE
    for position in range(start, start + size):
        state = state * _BASE + _letter(points[position])
    out[0] = mix(state)
    for index in range(1, length - size + 1):
        position = start + index
        state = state * _BASE + _letter(points[position + size - 1]) - leaving * _letter(points[position - 1])
        out[index] = mix(state)
    return length - size + 1


@_jit
def _sketch(grams, count, values):  # type: ignore[no-untyped-def]
    """Fill `values` (k,) with the sketch of grams[:count]. A value is its round, 16 bits, and a hash in 48 bits."""
    k = np.uint64(values.shape[0])
    values[:] = np.uint64(0xFFFFFFFFFFFFFFFF)
    for index in range(count):
        gram = grams[index]
        scaled = (gram >> np.uint64(32)) * k
        place = scaled >> np.uint64(32)
        value = ((scaled & np.uint64(0xFFFFFFFF)) << np.uint64(16)) | (gram & np.uint64(0xFFFF))
        values[place] = min(values[place], value)
    empty = 0
    for place in range(values.shape[0]):
        empty += values[place] == np.uint64(0xFFFFFFFFFFFFFFFF)
    turn = 1
    while empty and turn < values.shape[0]:  # further rounds over all bins, with another hash each
        base = np.uint64(turn) << np.uint64(48)
        for index in range(count):
            gram = mix(grams[index] + np.uint64(turn) * _ROUND)
            scaled = (gram >> np.uint64(32)) * k
            place = scaled >> np.uint64(32)
            value = base | ((scaled & np.uint64(0xFFFFFFFF)) << np.uint64(16)) | (gram & np.uint64(0xFFFF))
            empty -= values[place] == np.uint64(0xFFFFFFFFFFFFFFFF)
            values[place] = min(values[place], value)
        turn += 1
    if empty:  # bins that no round has met: each takes the least of all n-grams
        for place in range(values.shape[0]):
            if values[place] == np.uint64(0xFFFFFFFFFFFFFFFF):
                for index in range(count):
                    gram = mix(grams[index] + np.uint64(values.shape[0] + place) * _ROUND)
                    values[place] = min(values[place], (np.uint64(turn) << np.uint64(48)) | (gram >> np.uint64(16)))


@_jit
def _band_keys(offsets, points, size, rows_per_band, out):  # type: ignore[no-untyped-def]
    longest = 1
    for row in range(out.shape[0]):
        longest = max(longest, offsets[row + 1] - offsets[row])
    grams = np.empty(longest, dtype=np.uint64)
    values = np.empty(out.shape[1] * rows_per_band, dtype=np.uint64)
    for row in range(out.shape[0]):
        count = roll(points, offsets[row], offsets[row + 1], size, grams)
        if count == 0:
            continue
        _sketch(grams, count, values)
        for band in range(out.shape[1]):
            state = np.uint64(band + 1)
            for place in range(band * rows_per_band, (band + 1) * rows_per_band):
                state = mix(state ^ values[place]) + _ROUND
            out[row, band] = max(state, np.uint64(1))


def band_keys(found: Keys, *, size: int, bands: int, rows_per_band: int) -> U64:
    """One key a band: documents with an equal key in a band are candidates.

    Two documents of similarity J have an equal key in a band with probability J^rows_per_band, and in one of the bands
    with about 1 - (1 - J^rows_per_band)^bands.

    Args:
        size: characters in an n-gram.
    Returns:
        Shape (n, bands). EMPTY_ROW in each band of a document with an empty key.
    """
    out = np.zeros((len(found.offsets) - 1, bands), dtype=np.uint64)
    _band_keys(found.offsets, found.points, size, rows_per_band, out)
    return out


class NgramSets(NamedTuple):
    """The distinct n-grams of n documents as sorted 32-bit hashes: document i has values[offsets[i]:offsets[i + 1]]."""

    offsets: npt.NDArray[np.int64]
    values: npt.NDArray[np.uint32]


@_jit
def _ngrams(offsets, points, size, out, ends):  # type: ignore[no-untyped-def]
    longest = 1
    for row in range(ends.shape[0]):
        longest = max(longest, offsets[row + 1] - offsets[row])
    grams = np.empty(longest, dtype=np.uint64)
    at = 0
    for row in range(ends.shape[0]):
        count = roll(points, offsets[row], offsets[row + 1], size, grams)
        for index in range(count):
            out[at + index] = np.uint64(row) << np.uint64(32) | grams[index] >> np.uint64(32)
        at += count
        ends[row] = at


def ngram_sets(found: Keys, *, size: int) -> NgramSets:
    """The n-gram sets of documents, for `jaccard`.

    32 bits a hash: two n-grams of one document of 40,000 share one with probability below 1e-5 each, which moves a
    Jaccard similarity by as little.
    """
    count = len(found.offsets) - 1
    out = np.empty(len(found.points) + 1, dtype=np.uint64)
    ends = np.zeros(count, dtype=np.int64)
    _ngrams(found.offsets, found.points, size, out, ends)
    ordered = np.sort(out[: ends[-1] if count else 0])  # by document, then by hash: one vectorised sort for all
    fresh = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    ordered = ordered[fresh]
    sizes = np.bincount((ordered >> np.uint64(32)).astype(np.int64), minlength=count)
    return NgramSets(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), ordered.astype(np.uint32))


@_jit
def _common(first, i, first_end, second, j, second_end):  # type: ignore[no-untyped-def]
    common = 0
    while i < first_end and j < second_end:
        left, right = first[i], second[j]
        common += left == right
        i += left <= right
        j += right <= left
    return common


@_jit
def _jaccard(a_offsets, a_values, b_offsets, b_values, left, right, out):  # type: ignore[no-untyped-def]
    for pair in range(out.shape[0]):
        i, first_end = a_offsets[left[pair]], a_offsets[left[pair] + 1]
        j, second_end = b_offsets[right[pair]], b_offsets[right[pair] + 1]
        common = _common(a_values, i, first_end, b_values, j, second_end)
        total = (first_end - i) + (second_end - j) - common
        out[pair] = common / total if total else 0.0


def jaccard(
    first: NgramSets, second: NgramSets, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Exact Jaccard similarity of pairs: document left[p] of `first` and right[p] of `second`. Shape (num_pairs,).

    Two empty documents have nothing in common: 0.
    """
    out = np.zeros(len(left), dtype=np.float64)
    _jaccard(first.offsets, first.values, second.offsets, second.values, left, right, out)
    return out
