"""Where known texts stand in documents, by their character n-grams: the search behind decontamination.

    index = build(keys(items, rules), groups, size=13, common_share=0.005)
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
_RARE = 10  # an n-gram in so few texts is never common
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
def _says_something(points, start, size):  # type: ignore[no-untyped-def]
    """Whether an n-gram has half as many different characters as characters: 三億円's 300000000円 has not."""
    different = 0
    for place in range(start, start + size):
        fresh = True
        for before in range(start, place):
            if points[before] == points[place]:
                fresh = False
                break
        different += fresh
    return different >= size // 2


@_jit
def _pairs(offsets, points, size, grams, texts):  # type: ignore[no-untyped-def]
    """The n-grams of texts, and of which text each is; returns how many."""
    hashes = np.empty(points.shape[0] + 1, dtype=np.uint64)
    at = 0
    for row in range(offsets.shape[0] - 1):
        if offsets[row + 1] - offsets[row] < size:
            continue
        for index in range(roll(points, offsets[row], offsets[row + 1], size, hashes)):
            if _says_something(points, offsets[row] + index, size):
                grams[at], texts[at] = hashes[index], row
                at += 1
    return at


def build(found: Keys, groups: npt.NDArray[np.int32], *, size: int, common_share: float) -> NgramIndex:
    """Index the n-grams of texts. Those of a few characters over and over (0000000, wwwww) are left out.

    Args:
        found: the texts' keys. Equal texts of one group should stand here once: what is common is counted by texts.
        groups: the group of each text, e.g. its benchmark. Shape (m,).
        size: characters in an n-gram. A text with a shorter key has none.
        common_share: an n-gram in more than this share of a group's texts (and in more than 10) is a phrase of the
            group, such as its instruction, and does not count for it.
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
    first_of_group = np.ones(len(grams), dtype=np.bool_)
    first_of_group[1:] = (grams[1:] != grams[:-1]) | (groups[texts[1:]] != groups[texts[:-1]])
    run = np.cumsum(first_of_group) - 1
    limits = np.maximum(_RARE, common_share * np.bincount(groups, minlength=1))
    counts = np.bincount(run, minlength=1)[run]
    rare = counts <= limits[groups[texts]]
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
            if slots[slot] < 0:
                continue
            if at == found.shape[0]:
                larger = np.empty((2 * at, 3), dtype=np.int64)
                larger[:at] = found
                found = larger
            found[at, 0], found[at, 1], found[at, 2] = row, index, slots[slot]
            at += 1
    return found[:at]


@_jit
def _expand(hits, starts, texts, owners, points, grams):  # type: ignore[no-untyped-def]
    """One entry for each hit and each text that holds its n-gram. An owner is a document and a text in one number."""
    at = 0
    for hit in range(hits.shape[0]):
        gram = hits[hit, 2]
        for place in range(starts[gram], starts[gram + 1]):
            owners[at] = hits[hit, 0] << 32 | texts[place]
            points[at], grams[at] = hits[hit, 1], gram
            at += 1


@_jit
def _occurrences(owners, points, grams, order, size, counts, minimum, seen, out, shares):  # type: ignore[no-untyped-def]
    """Runs of one owner's hits without a wide gap; those that hold enough of the text go to `out` and `shares`."""
    at, position, run = 0, 0, 0
    while position < order.shape[0]:
        owner, first = owners[order[position]], points[order[position]]
        text = owner & 0xFFFFFFFF
        gap = size + counts[text] // 2
        last, distinct = first, 0
        run += 1
        while position < order.shape[0]:
            hit = order[position]
            if owners[hit] != owner or points[hit] - last > gap:
                break
            last = points[hit]
            distinct += seen[grams[hit]] != run
            seen[grams[hit]] = run
            position += 1
        share = distinct / counts[text]
        if share >= minimum[text]:
            out[at, 0], out[at, 1], out[at, 2], out[at, 3] = owner >> 32, text, first, last + size
            shares[at] = share
            at += 1
    return at


def search(index: NgramIndex, found: Keys, minimum: npt.NDArray[np.float64]) -> Occurrences:
    """Find the index's texts in documents.

    Hits of a text lie apart by at most n-gram size + half of its n-grams within one occurrence: what was inserted or
    changed may be that long.

    >>> from jpfm.text.dedup_key import KeyRules, keys
    >>> import pyarrow as pa
    >>> known = keys(pa.array(["日本で二番目に高い山は何ですか。"]), KeyRules())
    >>> index = build(known, np.zeros(1, dtype=np.int32), size=13, common_share=1.0)
    >>> documents = keys(pa.array(["山の話", "問：日本で二番目に、高い山は何ですか？"]), KeyRules())
    >>> found = search(index, documents, np.ones(1))
    >>> found.rows.tolist(), found.shares.tolist(), found.starts.tolist(), found.ends.tolist()
    ([1], [1.0], [1], [16])

    Args:
        found: the documents' keys, made with the rules of the texts' keys.
        minimum: the least share that counts, of each text. Shape (m,), above 0.
    """
    hits = _hits(found.offsets, found.points, index.size, index.grams, index.bitmap, index.slots)
    total = int((index.starts[hits[:, 2] + 1] - index.starts[hits[:, 2]]).sum())
    owners, points, grams = (np.empty(total, dtype=np.int64) for _ in range(3))
    _expand(hits, index.starts, index.texts, owners, points, grams)
    order = np.argsort(owners, kind="stable")  # hits of one owner stay in reading order
    out, shares = np.empty((total, 4), dtype=np.int64), np.empty(total)
    seen = np.zeros(len(index.grams) if total else 0, dtype=np.int64)
    count = _occurrences(
        owners, points, grams, order, index.size, index.counts, minimum, seen, out, shares
    )  # fmt: skip
    rows, texts, starts, ends = out[:count].T
    return Occurrences(rows, texts, shares[:count], starts, ends)
