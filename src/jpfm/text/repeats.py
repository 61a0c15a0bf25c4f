"""Exact repetition of character n-grams, n = 2 to 10, within each document.

    found = repeats(batch.column("text"))
    found["top_2gram_share"], found["duplicate_5gram_share"], found["frequent_5gram_share"]      # float64, 0 to 1

Duplicates (5 to 10) come from one walk over a trie of the n-grams seen, compressed and cut at depth 10: a node is the
place where a branch first stood, its letters are the text itself. A place follows the branch of its first five
characters, compares its text with the node's as far as both agree, and turns into another branch (one lookup) or
becomes a new one. A unique place costs one lookup; a copied passage one lookup and a few comparisons, whatever n.

The most frequent n-gram (4, 3, 2) is found by counting hashes in 4096 buckets and telling apart only those in a bucket
above the count of the best (n + 1)-gram: an n-gram stands at least as often as a longer one that begins with it.

Nothing rests on hashes: n-grams are equal when their characters are. Measured on prose / templated pages, one core:
14 / 13 ns a character. Refused: a Counter for each n (as Swallow's script, 1,300 ns); one hash table for each n over
the places whose (n - 1)-gram stands twice (23 / 28 ns); a trie from depth 3 that counts 3- and 4-grams too (18 / 13).
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jpfm.text.kernels import buffers, next_point

SHARES = (
    "top_2gram_share", "top_3gram_share", "top_4gram_share", "duplicate_5gram_share", "duplicate_6gram_share",
    "duplicate_7gram_share", "duplicate_8gram_share", "duplicate_9gram_share", "duplicate_10gram_share",
    "frequent_5gram_share",
)  # fmt: skip
DEEPEST = 10
"""Longest n-gram compared."""
MOST_CHARS = 1 << 24
"""Of a longer document only so many characters are looked at: memory stays below 1 GB (56 bytes a character)."""
_BUCKET_BITS = 12
_PARENT, _DEPTH, _REACH, _COUNT = range(4)

_jit: Any = numba.njit(cache=True, nogil=True)
_u32, _u64 = np.uint32, np.uint64  # unsigned indices spare Numba the check for negative ones
_K1, _K2, _K3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_K4, _K5 = np.uint64(0x27D4EB2F165667C5), np.uint64(0x85EBCA77C2B2AE63)
_ONE, _TWO, _THREE = np.uint64(1), np.uint64(2), np.uint64(3)
_BRANCH = np.uint32(1 << 31)  # marks a branch in the table of first five characters; 0 is an empty slot


@_jit
def _decode(data, start, end, points, most):  # type: ignore[no-untyped-def]
    """Write the code points of valid UTF-8 data[start:end] into points, at most so many; returns how many."""
    position, end, count = _u64(start), _u64(end), _u64(0)
    while position < end and count < most:
        points[count], position = next_point(data, position)
        count += _ONE
    return count


@_jit
def _hash(points, here, size):  # type: ignore[no-untyped-def]
    """Of points[here : here + size], size 2 to 5. Written out: loops of a size known late stay loops."""
    state = _u64(points[here]) * _K1 + _u64(points[here + _ONE]) * _K2
    if size > 2:
        state += _u64(points[here + _TWO]) * _K3
    if size > 3:
        state += _u64(points[here + _THREE]) * _K4
    if size > 4:
        state += _u64(points[here + _u64(4)]) * _K5
    return state


@_jit
def _equal(points, one, two, size):  # type: ignore[no-untyped-def]
    if points[one] != points[two] or points[one + _ONE] != points[two + _ONE]:
        return False
    if size > 2 and points[one + _TWO] != points[two + _TWO]:
        return False
    if size > 3 and points[one + _THREE] != points[two + _THREE]:
        return False
    return size < 5 or points[one + _u64(4)] == points[two + _u64(4)]


@_jit
def _top(points, count, size, bound, buckets, table, counts):  # type: ignore[no-untyped-def]
    """How often the most frequent n-gram of this size stands, given that one stands `bound` times.

    A bucket counts all n-grams of one hash: those of a bucket not above the bound cannot win and are not told apart.
    """
    buckets[:] = 0
    down = _u64(64 - _BUCKET_BITS)
    last = count - _u64(size)
    here = _u64(0)
    while here <= last:
        buckets[_hash(points, here, size) >> down] += _u32(1)
        here += _ONE
    num = np.int64(0)
    for k in range(1 << _BUCKET_BITS):
        if buckets[k] > bound:
            num += np.int64(buckets[k])
    bits = 4
    while (1 << bits) < 2 * num:
        bits += 1
    table[: 1 << bits] = 0
    shift, mask = _u64(64 - _BUCKET_BITS - bits), _u64((1 << bits) - 1)
    here = _u64(0)
    while here <= last:
        mixed = _hash(points, here, size)
        if buckets[mixed >> down] > bound:
            slot = (mixed >> shift) & mask
            entry = table[slot]
            while entry != 0 and not _equal(points, here, _u64(entry) - _ONE, size):
                slot = (slot + _ONE) & mask
                entry = table[slot]
            if entry == 0:
                table[slot] = _u32(here + _ONE)
                counts[here] = 1
            else:
                node = _u64(entry) - _ONE
                counts[node] += _u32(1)
                bound = max(bound, counts[node])
        here += _ONE
    return bound


@_jit
def _walk(offsets, data, most, out):  # type: ignore[no-untyped-def]
    longest = 0
    for row in range(out.shape[0]):
        chars = 0
        for position in range(offsets[row], offsets[row + 1]):
            chars += data[position] & 0xC0 != 0x80
        longest = max(longest, min(chars, most))
    longest += DEEPEST + 2
    bits = 4
    while (1 << bits) < 4 * longest:
        bits += 1
    points, nodes = np.zeros(longest, dtype=np.uint32), np.zeros((longest, 4), dtype=np.uint32)
    table, buckets = np.zeros(1 << bits, dtype=np.uint32), np.zeros(1 << _BUCKET_BITS, dtype=np.uint32)
    counts, frequencies = np.zeros(longest, dtype=np.uint32), np.zeros(longest, dtype=np.int32)
    seen, repeated = np.zeros(DEEPEST + 2, dtype=np.int64), np.zeros(DEEPEST + 2, dtype=np.int64)
    for row in range(out.shape[0]):
        count = _decode(data, offsets[row], offsets[row + 1], points, _u64(most))
        num = np.int64(count)
        if num < 2:
            continue
        for k in range(DEEPEST + 2):
            points[num + k] = _u32(0xFFFFFFFF)  # past the end: equal to no character
            seen[k] = repeated[k] = 0
        bits = 4
        while (1 << bits) < 4 * num:
            bits += 1
        table[: 1 << bits] = 0
        down, mask = _u64(64 - bits), _u64((1 << bits) - 1)
        top = _u32(1)
        here = _u64(0)
        while here + _u64(4) < count:
            slot = _hash(points, here, 5) >> down
            entry = table[slot]
            while entry != 0 and (entry >= _BRANCH or not _equal(points, here, _u64(entry) - _ONE, 5)):
                slot = (slot + _ONE) & mask
                entry = table[slot]
            if entry == 0:  # a new 5-gram
                table[slot] = _u32(here + _ONE)
                nodes[here, _DEPTH], nodes[here, _REACH], nodes[here, _COUNT] = _u32(4), _u32(4), _u32(1)
                here += _ONE
                continue
            node = _u64(entry) - _ONE
            times = nodes[node, _COUNT]
            nodes[node, _COUNT] = times + _u32(1)
            frequencies[times] -= 1
            frequencies[times + _u32(1)] += 1
            top = max(top, times + _u32(1))
            depth = _u64(5)
            while True:
                while depth < DEEPEST and points[here + depth] == points[node + depth]:
                    depth += _ONE
                reach = nodes[node, _REACH]
                if reach < depth:  # these n-grams of the node stand here a second time
                    nodes[node, _REACH] = _u32(depth)
                    repeated[reach + _u32(1)] += 1
                    repeated[depth + _ONE] -= 1
                if depth == DEEPEST:
                    break
                parent, letter = _u32(node), points[here + depth]
                slot = (((_u64(parent) << _u64(4)) | depth) * _K1 + _u64(letter) * _K2) >> down
                entry = table[slot]
                node = _u64(entry ^ _BRANCH) - _ONE
                while entry != 0 and (
                    entry < _BRANCH or nodes[node, _PARENT] != parent or nodes[node, _DEPTH] != depth
                    or points[node + depth] != letter
                ):  # fmt: skip
                    slot = (slot + _ONE) & mask
                    entry = table[slot]
                    node = _u64(entry ^ _BRANCH) - _ONE
                if entry == 0:
                    table[slot] = _u32(here + _ONE) | _BRANCH
                    nodes[here, _PARENT], nodes[here, _DEPTH], nodes[here, _REACH] = parent, _u32(depth), _u32(depth)
                    break
                depth += _ONE
            seen[depth] += 1
            here += _ONE
        again = 0
        for size in range(1, DEEPEST + 1):
            repeated[size] += repeated[size - 1]
        for size in range(DEEPEST, 4, -1):
            again += seen[size]  # positions whose n-gram stood before
            if num >= size:
                out[row, size - 2] = repeated[size] / (num - size + 1 - again)
        if num >= 5:
            left = min(np.int64(np.sqrt(num - 4 - again)), repeated[5])
            total = np.int64(0)
            times = np.int64(top)
            while left > 0:
                taken = min(left, np.int64(frequencies[times]))
                total += taken * times
                left -= taken
                times -= 1
            out[row, 9] = total / (num - 4)
        for times in range(1, np.int64(top) + 1):
            frequencies[times] = 0
        if num >= 4:
            top = _top(points, count, 4, top, buckets, table, counts)
            out[row, 2] = top / (num - 3)
        if num >= 3:
            top = _top(points, count, 3, top, buckets, table, counts)
            out[row, 1] = top / (num - 2)
        top = _top(points, count, 2, top, buckets, table, counts)
        out[row, 0] = top / (num - 1)


def repeats(column: pa.Array) -> dict[str, npt.NDArray[np.float64]]:
    """Shares of repeated character n-grams; every character counts, white space and line ends too.

    Args:
        column: string array of n documents.
    Returns:
        For each name in SHARES an array of shape (n,), 0 to 1; 0 where the text is shorter than one n-gram.
        top_Ngram_share: occurrences of the most frequent n-gram among all occurrences.
        duplicate_Ngram_share: n-grams that stand twice or more among different n-grams (types, not occurrences).
        frequent_5gram_share: occurrences of the most frequent 5-grams (at most the root of the number of different
        ones, and only such as stand twice) among all occurrences.
    Source: the first two as computed by Swallow v1 (Okazaki et al. 2024, arXiv:2404.17733, quality.py), the last by
        HojiChar's CharRepetitionRatioFilter after BigScience.

    >>> found = repeats(pa.array(["とてもとてもとても"]))
    >>> found["top_2gram_share"].tolist(), found["duplicate_5gram_share"].tolist()
    ([0.375], [0.6666666666666666])
    """
    view = buffers(column)
    out = np.zeros((len(column), len(SHARES)), dtype=np.float64)
    _walk(view.offsets, view.data, MOST_CHARS, out)
    return dict(zip(SHARES, out.T, strict=True))
