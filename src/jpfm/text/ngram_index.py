"""Where known texts stand in documents, by their character n-grams: the search behind decontamination.

    index = build(keys(items, rules), groups, size=13, common=30)
    found = search(index, keys(documents, rules), minimum_shares)

The index maps each distinct n-gram to the texts that hold it. A document is read once: a rolling hash a character and
one look into a bitmap that says no for nearly all of them; only what passes is looked up. Hits of one text that lie
close together are an occurrence, and its share is how many of the text's distinct n-grams it holds.
Closeness is what makes a share mean something: without it a novel of 500,000 characters holds half of the n-grams of a
plain sentence somewhere. Refused: a Bloom filter alone (which item it was stays unknown, and no share is exact).
"""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from jpfm.text.dedup_key import Keys
from jpfm.text.sketch import roll

_jit: Any = numba.njit(cache=True, nogil=True)
_BITS_PER_NGRAM = 16
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


class NgramIndex(NamedTuple):
    """The n-grams of m texts. N-gram g stands in texts[starts[g]:starts[g + 1]]."""

    size: int
    grams: U64
    """Hashes of the distinct n-grams, ascending. Shape (g,)."""
    starts: I64
    texts: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int32]
    """How many n-grams each text is known by; 0: it cannot be found. Shape (m,)."""
    bitmap: U64
    """Two bits an n-gram, both in one word; a power of two of words."""
    slots: npt.NDArray[np.int32]
    """Open addressing: row of `grams`, or -1. A power of two of slots, at most half of them taken."""


class Occurrences(NamedTuple):
    """Places where most of a text stands in a document, ordered by document, text and place. Shape (k,) each."""

    rows: I64
    """Which document."""
    texts: I64
    """Which text of the index."""
    shares: npt.NDArray[np.float64]
    """Distinct n-grams of the text that stand here, among those it is known by."""
    starts: I64
    """Unit points of the document's key, from its beginning."""
    ends: I64


@_jit
def _pairs(offsets, points, size, grams, texts):  # type: ignore[no-untyped-def]
    at = 0
    for row in range(offsets.shape[0] - 1):
        if offsets[row + 1] - offsets[row] < size:
            continue
        count = roll(points, offsets[row], offsets[row + 1], size, grams[at:])
        texts[at : at + count] = row
        at += count
    return at


def build(found: Keys, groups: npt.NDArray[np.int32], *, size: int, common: int) -> NgramIndex:
    """Index the n-grams of texts.

    Args:
        found: the texts' keys. Equal texts of one group should stand here once: an n-gram is common by texts.
        groups: the group of each text, e.g. its benchmark. Shape (m,).
        size: characters in an n-gram. A text with a shorter key has none.
        common: an n-gram in more texts of one group than this is a turn of phrase of the group, such as an instruction,
            and does not count for it.
    """
    grams = np.empty(len(found.points) + 1, dtype=np.uint64)
    texts = np.empty(len(found.points) + 1, dtype=np.int32)
    total = _pairs(found.offsets, found.points, size, grams, texts)
    grams, texts = grams[:total], texts[:total]
    order = np.lexsort((texts, groups[texts], grams))
    grams, texts = grams[order], texts[order]
    fresh = np.ones(total, dtype=np.bool_)  # an n-gram that a text repeats counts once
    fresh[1:] = (grams[1:] != grams[:-1]) | (texts[1:] != texts[:-1])
    grams, texts = grams[fresh], texts[fresh]
    of_group = np.ones(len(grams), dtype=np.bool_)
    of_group[1:] = (grams[1:] != grams[:-1]) | (groups[texts[1:]] != groups[texts[:-1]])
    run = np.cumsum(of_group) - 1
    rare = np.bincount(run, minlength=1)[run] <= common
    grams, texts = grams[rare], texts[rare]
    distinct, starts = np.unique(grams, return_index=True)
    bitmap = np.zeros(_power(len(distinct) * _BITS_PER_NGRAM // 64), dtype=np.uint64)
    slots = np.full(_power(2 * len(distinct)), -1, dtype=np.int32)
    _fill(distinct, bitmap, slots)
    return NgramIndex(
        size, distinct, np.append(starts, len(grams)).astype(np.int64), texts,
        np.bincount(texts, minlength=len(groups)).astype(np.int32), bitmap, slots,
    )  # fmt: skip


def _power(least: int) -> int:
    return 1 << max(4, int(least - 1).bit_length())


@_jit
def _bits(gram):  # type: ignore[no-untyped-def]
    return (np.uint64(1) << (gram & np.uint64(63))) | (np.uint64(1) << ((gram >> np.uint64(6)) & np.uint64(63)))


@_jit
def _fill(grams, bitmap, slots):  # type: ignore[no-untyped-def]
    words, mask = np.uint64(bitmap.shape[0] - 1), np.uint64(slots.shape[0] - 1)
    for row in range(grams.shape[0]):
        gram = grams[row]
        bitmap[(gram >> np.uint64(12)) & words] |= _bits(gram)
        slot = (gram >> np.uint64(20)) & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = row


@_jit
def _grown(array):  # type: ignore[no-untyped-def]
    larger = np.empty(2 * array.shape[0], dtype=array.dtype)
    larger[: array.shape[0]] = array
    return larger


@_jit
def _hits(offsets, points, size, grams, bitmap, slots):  # type: ignore[no-untyped-def]
    """Every n-gram of the documents that is in the index: (document, point, row of `grams`), in reading order."""
    longest = 1
    for row in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    hashes = np.empty(longest, dtype=np.uint64)
    found = np.empty((1024, 3), dtype=np.int64)
    words, mask = np.uint64(bitmap.shape[0] - 1), np.uint64(slots.shape[0] - 1)
    at = 0
    for row in range(offsets.shape[0] - 1):
        if offsets[row + 1] - offsets[row] < size:
            continue
        count = roll(points, offsets[row], offsets[row + 1], size, hashes)
        for index in range(count):
            gram = hashes[index]
            bits = _bits(gram)
            if bitmap[(gram >> np.uint64(12)) & words] & bits != bits:
                continue
            slot = (gram >> np.uint64(20)) & mask
            while slots[slot] >= 0 and grams[slots[slot]] != gram:
                slot = (slot + np.uint64(1)) & mask
            if slots[slot] >= 0:
                if at == found.shape[0]:
                    found = _grown_rows(found)
                found[at, 0], found[at, 1], found[at, 2] = row, index, slots[slot]
                at += 1
    return found[:at]


@_jit
def _grown_rows(array):  # type: ignore[no-untyped-def]
    larger = np.empty((2 * array.shape[0], array.shape[1]), dtype=array.dtype)
    larger[: array.shape[0]] = array
    return larger


@_jit
def _expand(hits, starts, texts, out):  # type: ignore[no-untyped-def]
    """One row for each hit and text that holds the n-gram: (text, point, n-gram)."""
    at = 0
    for hit in range(hits.shape[0]):
        gram = hits[hit, 2]
        for place in range(starts[gram], starts[gram + 1]):
            out[at, 0], out[at, 1], out[at, 2] = texts[place], hits[hit, 1], gram
            at += 1


@_jit
def _occurrences(hits, order, size, counts, minimum, seen, stamp, out, shares):  # type: ignore[no-untyped-def]
    """Runs of one text's hits without a wide gap; those that hold enough of it go to `out` (text, start, end)."""
    at, position = 0, 0
    while position < order.shape[0]:
        first = hits[order[position]]
        text, last, distinct = first[0], first[1], 0
        gap = size + counts[text] // 2
        stamp += 1
        while position < order.shape[0]:
            hit = hits[order[position]]
            if hit[0] != text or hit[1] - last > gap:
                break
            last = hit[1]
            distinct += seen[hit[2]] != stamp
            seen[hit[2]] = stamp
            position += 1
        share = distinct / counts[text]
        if share >= minimum[text]:
            out[at, 0], out[at, 1], out[at, 2] = text, first[1], last + size
            shares[at] = share
            at += 1
    return at, stamp


def search(index: NgramIndex, found: Keys, minimum: npt.NDArray[np.float64]) -> Occurrences:
    """Find the index's texts in documents.

    Hits of a text lie apart by at most n-gram size + half of its n-grams within one occurrence: what was inserted or
    changed may be that long.

    Args:
        found: the documents' keys, made with the rules of the texts' keys.
        minimum: the least share that counts, of each text. Shape (m,), above 0.
    """
    hits = _hits(found.offsets, found.points, index.size, index.grams, index.bitmap, index.slots)
    rows, cuts = np.unique(hits[:, 0], return_index=True)
    seen = np.zeros(len(index.grams) if len(hits) else 0, dtype=np.int64)
    stamp, parts = 0, []
    for row, own in zip(rows, np.split(hits, cuts[1:]), strict=False):  # no rows: one empty part
        wide = np.empty((int((index.starts[own[:, 2] + 1] - index.starts[own[:, 2]]).sum()), 3), dtype=np.int64)
        _expand(own, index.starts, index.texts, wide)
        order = np.lexsort((wide[:, 1], wide[:, 0]))
        places = np.empty_like(wide)
        shares = np.empty(len(wide), dtype=np.float64)
        count, stamp = _occurrences(wide, order, index.size, index.counts, minimum, seen, stamp, places, shares)
        parts.append((np.full(count, row), *places[:count].T, shares[:count]))
    if not parts:
        nothing = np.zeros(0, dtype=np.int64)
        return Occurrences(nothing, nothing, np.zeros(0), nothing, nothing)
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Occurrences(columns[0], columns[1], columns[4], columns[2], columns[3])
