"""Split Japanese into words where a rule counts words, and count the characters of repeated word n-grams.

    words = segment("吾輩は猫である", "sudachi")       # ['吾輩', 'は', '猫', 'で', 'ある']
    found = word_repeats(words)
    found.top[0], found.repeated[0]                    # characters in the top 2-gram, in repeated 5-grams

The analysers take one document at a time, 1 to 4 MB/s: a step that splits words is the exception and says so.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from jpfm.core.errors import EnvironmentProblem

Segmenter = Literal["fugashi", "sudachi"]
_SUDACHI_BYTES = 40_000
_jit: Any = numba.njit(cache=True, nogil=True)


@functools.cache
def fugashi_tagger() -> Any:
    """MeCab with UniDic Lite; one a process."""
    import fugashi

    return fugashi.Tagger("-Owakati")


@functools.cache
def _sudachi() -> Any:
    try:
        from sudachipy import dictionary, tokenizer
    except ImportError as error:
        raise EnvironmentProblem(
            "the segmenter 'sudachi' needs SudachiPy, which is not installed",
            hint="pip install sudachipy sudachidict_core, or set segmenter: fugashi",
        ) from error
    return dictionary.Dictionary().tokenizer(mode=tokenizer.Tokenizer.SplitMode.A)


def segment(text: str, segmenter: Segmenter) -> list[str]:
    """The words of a text without white space around them; white space alone is no word.

    sudachi: short units (mode A), SudachiDict core, cut as datatrove cuts long text. fugashi: UniDic Lite.

    >>> segment("すもももももももものうち", "fugashi")
    ['すもも', 'も', 'もも', 'も', 'もも', 'の', 'うち']
    """
    if segmenter == "fugashi":
        return str(fugashi_tagger().parse(text)).split()
    words = [word.surface().strip() for part in _byte_parts(text) for word in _sudachi().tokenize(part)]
    return [word for word in words if word]


def _byte_parts(text: str) -> Iterator[str]:
    """Parts of nearly 40,000 bytes with the cuts that datatrove makes: words at a cut decide verdicts on long text."""
    ends = np.cumsum([0, *(len(char.encode()) for char in text)])
    if ends[-1] == 0:
        return
    guess = max(int(_SUDACHI_BYTES * (len(text) / ends[-1]) - 10), 1)
    start = 0
    while start < len(text):
        cut = min(start + guess, len(text))
        if ends[cut] - ends[start] > _SUDACHI_BYTES:
            guess = max(guess - 10, 1)
            continue
        taken = guess
        while ends[cut] - ends[start] < _SUDACHI_BYTES and cut < len(text):
            taken = min(len(text) - start, taken + 10)
            cut = start + taken
        if ends[cut] - ends[start] > _SUDACHI_BYTES:
            taken -= 10
        yield text[start : start + taken]
        start += taken


class WordRepeats(NamedTuple):
    """Characters in repeated word n-grams of one text."""

    top: npt.NDArray[np.int64]
    """Shape (3,), n = 2, 3, 4: occurrences times length of the most frequent n-gram (of equals the first), its words
    joined by spaces."""
    repeated: npt.NDArray[np.int64]
    """Shape (6,), n = 5 to 10: characters of n-grams that stood before, walking on behind each such n-gram."""


@_jit
def _same(points, one, two, size):  # type: ignore[no-untyped-def]
    k = 0
    while k < size and points[one + k] == points[two + k]:
        k += 1
    return k == size


@_jit
def _count(points, ends, hashes, top, repeated):  # type: ignore[no-untyped-def]
    num = len(ends) - 1
    bits = 4
    while (1 << bits) < 2 * num + 2:
        bits += 1
    mask = np.uint64((1 << bits) - 1)
    counts = np.zeros(num + 1, dtype=np.int64)
    for size in range(2, 11):
        table = np.full(1 << bits, -1, dtype=np.int64)
        counts[:] = 0
        first = 0
        while first + size <= num:
            start, length = ends[first], ends[first + size] - ends[first]
            state = np.uint64(size)
            for k in range(first, first + size):
                state = (state ^ hashes[k]) * np.uint64(0x9E3779B97F4A7C15)
            if size > 4:  # equal as strings, wherever their words are cut
                state = np.uint64(size)
                for k in range(start, start + length):
                    state = (state ^ np.uint64(points[k])) * np.uint64(0x9E3779B97F4A7C15)
            slot = (state ^ (state >> np.uint64(32))) & mask
            while table[slot] >= 0:
                other = table[slot]
                if (
                    ends[other + size] - ends[other] == length and _same(points, start, ends[other], length)
                    and (size > 4 or _same_cuts(ends, first, other, size))
                ):  # fmt: skip
                    break
                slot = (slot + np.uint64(1)) & mask
            if table[slot] < 0:
                table[slot] = first
                counts[first] = 1
                first += 1
            elif size > 4:
                repeated[size - 5] += length
                first += size
            else:
                counts[table[slot]] += 1
                first += 1
        if size <= 4 and num >= size:
            best = 0
            for k in range(num - size + 1):
                if counts[k] > counts[best]:
                    best = k
            top[size - 2] = (ends[best + size] - ends[best] + size - 1) * counts[best]


@_jit
def _same_cuts(ends, one, two, size):  # type: ignore[no-untyped-def]
    k = 1
    while k < size and ends[one + k] - ends[one] == ends[two + k] - ends[two]:
        k += 1
    return k == size


def word_repeats(words: Sequence[str]) -> WordRepeats:
    """Count repeated word n-grams as Gopher's filters do.

    >>> found = word_repeats(["とても", "良い"] * 3)
    >>> found.top.tolist(), found.repeated.tolist()
    ([18, 20, 26], [0, 0, 0, 0, 0, 0])

    Source: Rae et al. 2021, arXiv:2112.11446, table A1, as datatrove counts them.
    """
    points = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    ends = np.zeros(len(words) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, words), dtype=np.int64, count=len(words)), out=ends[1:])
    ids: dict[str, int] = {}
    hashes = np.fromiter((ids.setdefault(word, len(ids)) for word in words), dtype=np.uint64, count=len(words))
    found = WordRepeats(np.zeros(3, dtype=np.int64), np.zeros(6, dtype=np.int64))
    _count(points, ends, hashes, *found)
    return found
