"""Numba kernels over Arrow UTF-8 buffers: one pass over the bytes, no per-document Python.

    counts = count_characters(batch.column("text"))           # (rows, NUM_CLASSES) int64
    sketch = minhash(batch.column("text"), num_hashes=112)    # (rows, 112) uint32

Every kernel reads the column's own buffers (no copy) and decodes UTF-8 itself. All are compiled once and cached.
"""

import functools
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

CLASSES = ("chars", "hiragana", "katakana", "kanji", "latin", "digits", "punctuation", "spaces", "lines", "mojibake")
NUM_CLASSES = len(CLASSES)
(CHARS, HIRAGANA, KATAKANA, KANJI, LATIN, DIGITS, PUNCTUATION, SPACES, LINES, MOJIBAKE) = range(NUM_CLASSES)

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int32]
U64 = npt.NDArray[np.uint64]

_jit: Any = numba.njit(cache=True, nogil=True)
_EMPTY = np.zeros(1, dtype=np.uint8)


class TextBuffers(NamedTuple):
    """A string column's own memory: row i is data[offsets[i]:offsets[i + 1]]."""

    offsets: Offsets
    data: Bytes


def buffers(column: pa.Array) -> TextBuffers:
    """View a string column without copying.

    Raises:
        TypeError: the column is not pa.string() or holds nulls.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if column.type != pa.string() or column.null_count:
        raise TypeError(f"expected a string column without nulls, got {column.type} with {column.null_count} nulls")
    _, offsets, data = column.buffers()
    view = np.frombuffer(offsets, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    return TextBuffers(view, np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else _EMPTY)


@_jit
def next_point(data, position):  # type: ignore[no-untyped-def]
    """Decode one code point of valid UTF-8: (code point, next position), both unsigned.

    The position is unsigned 64-bit: Numba then leaves out the check for negative indices, which doubles the speed.
    """
    lead = np.uint32(data[position])
    if lead < 0x80:
        return lead, position + np.uint64(1)
    second = np.uint32(data[position + np.uint64(1)] & 0x3F)
    if lead < 0xE0:
        return ((lead & np.uint32(0x1F)) << np.uint32(6)) | second, position + np.uint64(2)
    third = np.uint32(data[position + np.uint64(2)] & 0x3F)
    if lead < 0xF0:
        point = ((lead & np.uint32(0x0F)) << np.uint32(12)) | (second << np.uint32(6)) | third
        return point, position + np.uint64(3)
    fourth = np.uint32(data[position + np.uint64(3)] & 0x3F)
    point = ((lead & np.uint32(0x07)) << np.uint32(18)) | (second << np.uint32(12)) | (third << np.uint32(6)) | fourth
    return point, position + np.uint64(4)


@_jit
def _next_point(data, position):  # type: ignore[no-untyped-def]
    """As `next_point`, for signed positions: half as fast."""
    lead = data[position]
    if lead < 0x80:
        return np.uint32(lead), position + 1
    if lead < 0xE0:
        return np.uint32(((lead & 0x1F) << 6) | (data[position + 1] & 0x3F)), position + 2
    if lead < 0xF0:
        return (
            np.uint32(((lead & 0x0F) << 12) | ((data[position + 1] & 0x3F) << 6) | (data[position + 2] & 0x3F)),
            position + 3,
        )
    return (
        np.uint32(
            ((lead & 0x07) << 18)
            | ((data[position + 1] & 0x3F) << 12)
            | ((data[position + 2] & 0x3F) << 6)
            | (data[position + 3] & 0x3F)
        ),
        position + 4,
    )


@_jit
def _class_of(point):  # type: ignore[no-untyped-def]
    if point < 0x80:
        if 0x61 <= point <= 0x7A or 0x41 <= point <= 0x5A:
            return LATIN
        if 0x30 <= point <= 0x39:
            return DIGITS
        if point == 0x20 or 0x09 <= point <= 0x0D:
            return SPACES
        return PUNCTUATION
    if 0x3041 <= point <= 0x309F:
        return HIRAGANA
    if (0x30A1 <= point <= 0x30FF and point != 0x30FB) or 0xFF66 <= point <= 0xFF9F:
        return KATAKANA
    if (
        0x4E00 <= point <= 0x9FFF  # noqa: PLR1714  (numba makes jumps of comparisons, a loop of a set)
        or 0x3400 <= point <= 0x4DBF
        or 0x20000 <= point <= 0x3FFFF
        or 0xF900 <= point <= 0xFAFF
        or point == 0x3005
        or point == 0x3006
        or point == 0x3007
        or point == 0x303B
    ):
        return KANJI
    if 0xFF10 <= point <= 0xFF19:
        return DIGITS
    if 0xFF21 <= point <= 0xFF5A or 0x00C0 <= point <= 0x024F:
        return LATIN
    if point == 0x3000 or point == 0xA0:  # noqa: PLR1714
        return SPACES
    return PUNCTUATION


@_jit
def _kinds():  # type: ignore[no-untyped-def]
    """The class of each code point; 128 is added where the character stands for mojibake. Shape (0x110000,)."""
    kinds = np.zeros(0x110000, dtype=np.uint8)
    for point in range(len(kinds)):
        kinds[point] = _class_of(point)
        # UTF-8 read as CP932 (縺 繧 繝 譁 蜷, half-width kana), as Latin-1 (ã â æ, C1), and U+FFFD
        if (
            point == 0xFFFD or point == 0x7E3A or point == 0x7E67 or point == 0x7E5D or point == 0x8B41  # noqa: PLR1714
            or point == 0x8737 or 0xFF61 <= point <= 0xFF9F
            or point == 0xE3 or point == 0xE2 or point == 0xE6 or 0x80 <= point < 0xA0
        ):  # fmt: skip
            kinds[point] += 128
    return kinds


@functools.cache
def _kind_table() -> Bytes:
    return np.asarray(_kinds(), dtype=np.uint8)


@_jit
def _count(offsets, data, kinds, out):  # type: ignore[no-untyped-def]
    counts = np.zeros(256, dtype=np.uint32)
    for row in range(out.shape[0]):
        position, end = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        out[row, LINES] = end > position
        counts[:] = 0
        while position < end:
            point, position = next_point(data, position)
            counts[kinds[point]] += np.uint32(1)
            out[row, LINES] += point == 0x0A
        for kind in range(256):
            if counts[kind]:
                out[row, CHARS] += counts[kind]
                out[row, kind & 127] += counts[kind]
                out[row, MOJIBAKE] += counts[kind] if kind >= 128 else 0


def count_characters(column: pa.Array) -> npt.NDArray[np.int64]:
    """Count characters by class.

    Args:
        column: string array of n documents.
    Returns:
        Shape (n, NUM_CLASSES), columns as in CLASSES. `lines` counts line ends + 1; `mojibake` counts characters that
        stand where UTF-8 was read as another encoding (they are also counted in their own class).
    """
    view = buffers(column)
    out = np.zeros((len(column), NUM_CLASSES), dtype=np.int64)
    _count(view.offsets, view.data, _kind_table(), out)
    return out


@_jit
def mix(value):  # type: ignore[no-untyped-def]
    """Scramble 64 bits so that each depends on all (the finalizer of MurmurHash3)."""
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xFF51AFD7ED558CCD)
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xC4CEB9FE1A85EC53)
    value ^= value >> np.uint64(33)
    return value


@_jit
def _hash_rows(offsets, data, seed, out):  # type: ignore[no-untyped-def]
    for row in range(out.shape[0]):
        state = np.uint64(seed) ^ np.uint64(offsets[row + 1] - offsets[row])
        for position in range(offsets[row], offsets[row + 1]):
            state = (state ^ np.uint64(data[position])) * np.uint64(0x100000001B3)
            state ^= state >> np.uint64(29)
        out[row] = mix(state)


def hash_rows(column: pa.Array, *, seed: int = 0) -> U64:
    """A 64-bit hash of each row's bytes. Shape (n,); stable across machines and versions. Not cryptographic."""
    view = buffers(column)
    out = np.zeros(len(column), dtype=np.uint64)
    _hash_rows(view.offsets, view.data, np.uint64(seed), out)
    return out


@_jit
def _ngram_hashes(data, start, end, size, out):  # type: ignore[no-untyped-def]
    """Hash every character n-gram of data[start:end] without white space into out; returns how many."""
    window = np.zeros(size, dtype=np.uint64)
    filled, count, position = 0, 0, np.uint64(start)
    while position < np.uint64(end):
        point, position = next_point(data, position)
        if point == 0x20 or point == 0x3000 or 0x09 <= point <= 0x0D:  # noqa: PLR1714
            continue
        window[filled % size] = np.uint64(point)
        filled += 1
        if filled >= size:
            state = np.uint64(0x9E3779B97F4A7C15)
            for back in range(size):
                state = (state ^ window[(filled + back) % size]) * np.uint64(0x9FB21C651E98DF25)
                state ^= state >> np.uint64(28)
            out[count] = state
            count += 1
    if count == 0 and filled > 0:  # shorter than one n-gram: the whole text is its only one
        state = np.uint64(0x9E3779B97F4A7C15)
        for index in range(filled):
            state = (state ^ window[index]) * np.uint64(0x9FB21C651E98DF25)
            state ^= state >> np.uint64(28)
        out[0] = state
        count = 1
    return count


@_jit
def _repeated(offsets, data, size, out):  # type: ignore[no-untyped-def]
    longest = 1
    for row in range(out.shape[0]):
        longest = max(longest, offsets[row + 1] - offsets[row])
    grams = np.empty(longest, dtype=np.uint64)
    for row in range(out.shape[0]):
        count = _ngram_hashes(data, offsets[row], offsets[row + 1], size, grams)
        if count < 2:
            continue
        ordered = np.sort(grams[:count])
        repeats = 0
        for index in range(1, count):
            if ordered[index] == ordered[index - 1]:
                repeats += 1
        out[row] = repeats / count


def repeated_ngram_share(column: pa.Array, *, size: int = 10) -> npt.NDArray[np.float64]:
    """The share of character n-grams that stood before in the same document. Shape (n,), 0 to 1.

    Natural Japanese prose stays below about 0.15 at size 10; keyword spam goes above 0.5.
    """
    view = buffers(column)
    out = np.zeros(len(column), dtype=np.float64)
    _repeated(view.offsets, view.data, size, out)
    return out


@_jit
def _minhash(offsets, data, size, multipliers, increments, out):  # type: ignore[no-untyped-def]
    longest = 1
    for row in range(out.shape[0]):
        longest = max(longest, offsets[row + 1] - offsets[row])
    grams = np.empty(longest, dtype=np.uint64)
    for row in range(out.shape[0]):
        count = _ngram_hashes(data, offsets[row], offsets[row + 1], size, grams)
        signature = out[row]
        for index in range(count):
            value = np.uint32(grams[index] >> np.uint64(32))
            for k in range(signature.shape[0]):
                candidate = np.uint32(multipliers[k] * value + increments[k])
                signature[k] = min(signature[k], candidate)


def minhash(column: pa.Array, *, num_hashes: int = 112, size: int = 5, seed: int = 1) -> npt.NDArray[np.uint32]:
    """MinHash signatures over character n-grams; white space does not count, dakuten and digits do.

    Args:
        size: characters in an n-gram; a shorter document is its own single n-gram.
    Returns:
        Shape (n, num_hashes), uint32. The share of equal columns estimates the Jaccard similarity of two documents.
    Source: Broder 1997, "On the resemblance and containment of documents".
    """
    view = buffers(column)
    draw = np.random.Generator(np.random.Philox(seed))
    multipliers = draw.integers(0, 2**32, num_hashes, dtype=np.uint32) | np.uint32(1)
    increments = draw.integers(0, 2**32, num_hashes, dtype=np.uint32)
    out = np.full((len(column), num_hashes), 0xFFFFFFFF, dtype=np.uint32)
    _minhash(view.offsets, view.data, size, multipliers, increments, out)
    return out


@_jit
def _unique_ngrams(offsets, data, row, size):  # type: ignore[no-untyped-def]
    grams = np.empty(max(1, offsets[row + 1] - offsets[row]), dtype=np.uint64)
    count = _ngram_hashes(data, offsets[row], offsets[row + 1], size, grams)
    return np.unique(grams[:count])


@_jit
def _jaccard(offsets, data, left, right, size, out):  # type: ignore[no-untyped-def]
    for pair in range(out.shape[0]):
        first = _unique_ngrams(offsets, data, left[pair], size)
        second = _unique_ngrams(offsets, data, right[pair], size)
        i, j, common = 0, 0, 0
        while i < first.shape[0] and j < second.shape[0]:
            if first[i] == second[j]:
                common += 1
                i += 1
                j += 1
            elif first[i] < second[j]:
                i += 1
            else:
                j += 1
        total = first.shape[0] + second.shape[0] - common
        out[pair] = common / total if total else 1.0


def jaccard(
    column: pa.Array, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], *, size: int = 5
) -> npt.NDArray[np.float64]:
    """Exact Jaccard similarity of character n-gram sets for pairs of rows. Shape (num_pairs,)."""
    view = buffers(column)
    out = np.zeros(len(left), dtype=np.float64)
    _jaccard(view.offsets, view.data, left, right, size, out)
    return out
