"""A linear classifier over hashed character n-grams, trained and applied on the UTF-8 buffer.

    weights = train(texts, labels)                       # (BUCKETS + 1,) float32
    probability = score(texts, weights)                  # (n,) float64
    figures = accuracy_and_auc(labels, probability)

A text's n-grams of 1 to 3 characters (white space left out) fall into 2^18 buckets; its score is the logistic function
of the sum of their weights over the square root of their number, so that short texts stay near one half. Trained by
AdaGrad, one text after the other in an order drawn from the seed: the same texts give the same weights. fastText's
classifier is the same model without the hidden layer; refused as a library because its training is not deterministic
with threads, splits words at spaces, and its model is not a plain table of numbers.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jpfm.text.kernels import _next_point, buffers

BUCKETS = 1 << 18
MAX_SIZE = 5

_jit: Any = numba.njit(cache=True, nogil=True)


class Figures(NamedTuple):
    """How well probabilities tell two classes apart."""

    accuracy: float
    """Mean over the classes of the share on the right side of one half."""
    auc: float
    """Probability that a text of the class scores above one that is not; ties count half."""


@_jit
def _grams(data, position, end, low, high, limit, out):  # type: ignore[no-untyped-def]
    """Buckets of the n-grams of the first `limit` characters into out; returns how many."""
    window = np.zeros(MAX_SIZE, dtype=np.uint64)
    filled, count = 0, 0
    while position < end and filled < limit:
        point, position = _next_point(data, position)
        if point == 0x20 or point == 0x3000 or 0x09 <= point <= 0x0D:  # noqa: PLR1714
            continue
        window[filled % MAX_SIZE] = np.uint64(point)
        filled += 1
        state = np.uint64(0x9E3779B97F4A7C15)
        for back in range(min(high, filled)):  # from the last character backwards: one hash gives all sizes
            state = (state ^ window[(filled - 1 - back) % MAX_SIZE]) * np.uint64(0x9FB21C651E98DF25)
            state ^= state >> np.uint64(28)
            if back + 1 >= low:
                out[count] = np.int64(state >> np.uint64(46))  # the upper 18 bits
                count += 1
    return count


@_jit
def _logit(grams, count, weights):  # type: ignore[no-untyped-def]
    total = 0.0
    for index in range(count):
        total += weights[grams[index]]
    return weights[BUCKETS] + (total / np.sqrt(count) if count else 0.0)


@_jit
def _score(offsets, data, weights, low, high, limit, out):  # type: ignore[no-untyped-def]
    grams = np.empty(limit * (high - low + 1), dtype=np.int64)
    for row in range(out.shape[0]):
        count = _grams(data, offsets[row], offsets[row + 1], low, high, limit, grams)
        out[row] = 1.0 / (1.0 + np.exp(-_logit(grams, count, weights)))


@_jit
def _train(offsets, data, labels, importance, order, low, high, limit, rate, decay, weights, squares):  # type: ignore[no-untyped-def]
    grams = np.empty(limit * (high - low + 1), dtype=np.int64)
    for row in order:
        count = _grams(data, offsets[row], offsets[row + 1], low, high, limit, grams)
        error = (1.0 / (1.0 + np.exp(-_logit(grams, count, weights))) - labels[row]) * importance[row]
        step = error / np.sqrt(count) if count else 0.0
        for index in range(count):
            bucket = grams[index]
            slope = step + decay * weights[bucket]
            squares[bucket] += slope * slope
            weights[bucket] -= rate * slope / np.sqrt(squares[bucket] + 1e-12)
        squares[BUCKETS] += error * error
        weights[BUCKETS] -= rate * error / np.sqrt(squares[BUCKETS] + 1e-12)


def train(
    texts: pa.Array, labels: npt.NDArray[np.bool_], *, sizes: tuple[int, int] = (1, 3), limit: int = 2000,
    epochs: int = 5, rate: float = 0.2, decay: float = 1e-6, seed: int = 0,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Train the classifier; both classes count the same, however many texts they have.

    Args:
        texts: string array of n documents.
        labels: true for the class looked for. Shape (n,).
        sizes: smallest and largest n-gram, unit characters.
        limit: characters read of each text.
    Returns:
        Weights of the buckets, then the bias. Shape (BUCKETS + 1,).
    Source: Duchi et al. 2011, "Adaptive subgradient methods" (AdaGrad).
    """
    view = buffers(texts)
    known = labels.astype(np.float64)
    shares = np.array([max(1, int((~labels).sum())), max(1, int(labels.sum()))])
    importance = (len(labels) / (2.0 * shares))[labels.astype(np.int64)]
    weights, squares = np.zeros(BUCKETS + 1), np.zeros(BUCKETS + 1)
    for epoch in range(epochs):
        order = np.random.Generator(np.random.Philox([seed, epoch])).permutation(len(labels))
        _train(
            view.offsets, view.data, known, importance, order, *sizes, limit, rate, decay, weights, squares
        )  # fmt: skip
    return weights.astype(np.float32)


def score(
    texts: pa.Array, weights: npt.NDArray[np.float32], *, sizes: tuple[int, int] = (1, 3), limit: int = 2000
) -> npt.NDArray[np.float64]:
    """The probability that each text is of the class. Shape (n,)."""
    view = buffers(texts)
    out = np.zeros(len(texts))
    _score(view.offsets, view.data, weights, *sizes, limit, out)
    return out


def accuracy_and_auc(labels: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64]) -> Figures:
    """Both figures of a held-out set.

    >>> accuracy_and_auc(np.array([True, True, False, False]), np.array([0.9, 0.4, 0.4, 0.1]))
    Figures(accuracy=0.75, auc=0.875)

    Raises:
        ValueError: a class is empty.
    """
    count = int(labels.sum())
    if count in (0, len(labels)):
        raise ValueError("one of the two classes is empty")
    right = (probabilities >= 0.5) == labels
    accuracy = (right[labels].mean() + right[~labels].mean()) / 2
    _, inverse, sizes = np.unique(probabilities, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[inverse]
    auc = (ranks[labels].sum() - count * (count + 1) / 2) / (count * (len(labels) - count))
    return Figures(float(accuracy), float(auc))
