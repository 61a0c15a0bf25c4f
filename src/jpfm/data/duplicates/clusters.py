"""Clusters of confirmed pairs: which documents go, and for which one each of them.

    verdicts = kept_clusters(edges, priorities)          # nothing goes that is not similar to one that stays
    verdicts = connected_clusters(edges, priorities)     # one document of each connected component stays

Joining everything that a chain of pairs connects removed 99.9 % of whole sources elsewhere (long documents are similar
to something that is similar to something); so `kept` is the default: a document goes only for a document that stays.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from jpfm.data.duplicates.prefer import best_first
from jpfm.data.duplicates.verdicts import Numbers, Verdicts

_jit: Any = numba.njit(cache=True, nogil=True)


class Edges(NamedTuple):
    """Confirmed pairs of rows, and their similarity. Shapes (num_pairs,)."""

    left: Numbers
    right: Numbers
    values: npt.NDArray[np.float64]


class _Graph(NamedTuple):
    rows: Numbers
    """Rows with a pair, ascending; the graph numbers them 0, 1, ..."""
    order: Numbers
    """The graph's numbers, best first."""
    starts: Numbers
    others: Numbers
    values: npt.NDArray[np.float64]


def _graph(edges: Edges, priorities: npt.NDArray[np.uint64]) -> _Graph:
    rows, compact = np.unique(np.concatenate([edges.left, edges.right]), return_inverse=True)
    half = len(edges.left)
    other = np.concatenate([compact[half:], compact[:half]])
    by_row = np.lexsort((other, compact))
    starts = np.concatenate([[0], np.cumsum(np.bincount(compact, minlength=len(rows)))]).astype(np.int64)
    values = np.concatenate([edges.values, edges.values])[by_row]
    return _Graph(rows, best_first(priorities[rows]), starts, other[by_row].astype(np.int64), values)


@_jit
def _kept(order, starts, others, values, stays, best):  # type: ignore[no-untyped-def]
    for row in order:
        if stays[row] >= 0:
            continue
        stays[row] = row
        for place in range(starts[row], starts[row + 1]):
            other = others[place]
            if stays[other] < 0:
                stays[other] = row
                best[other] = values[place]


@_jit
def _connected(order, starts, others, values, stays, best):  # type: ignore[no-untyped-def]
    stack = np.empty(stays.shape[0], dtype=np.int64)
    for first in order:
        if stays[first] >= 0:
            continue
        stays[first], stack[0], height = first, first, 1
        while height:
            height -= 1
            row = stack[height]
            for place in range(starts[row], starts[row + 1]):
                other = others[place]
                best[other] = max(best[other], values[place])
                if stays[other] < 0:
                    stays[other] = first
                    stack[height] = other
                    height += 1


def _verdicts(walk: Any, edges: Edges, priorities: npt.NDArray[np.uint64]) -> Verdicts:
    graph = _graph(edges, priorities)
    stays = np.full(len(graph.rows), -1, dtype=np.int64)
    best = np.zeros(len(graph.rows), dtype=np.float64)
    walk(graph.order, graph.starts, graph.others, graph.values, stays, best)
    gone = np.flatnonzero(stays != np.arange(len(stays)))
    return Verdicts(graph.rows[gone], graph.rows[stays[gone]], best[gone])


def kept_clusters(edges: Edges, priorities: npt.NDArray[np.uint64]) -> Verdicts:
    """Best first, a document stays unless one that stays is similar to it (a greedy maximal independent set)."""
    return _verdicts(_kept, edges, priorities)


def connected_clusters(edges: Edges, priorities: npt.NDArray[np.uint64]) -> Verdicts:
    """The best of each connected component stays; values are the highest similarity of each to any other."""
    return _verdicts(_connected, edges, priorities)


def with_copies(found: Verdicts, copies: Verdicts) -> Verdicts:
    """Add documents that are equal to others: a copy of one that goes, goes for the same document."""
    place = np.searchsorted(found.rows, copies.stays)
    place = np.minimum(place, max(0, len(found.rows) - 1))
    moved = found.rows[place] == copies.stays if len(found.rows) else np.zeros(len(copies.rows), dtype=np.bool_)
    stays, values = copies.stays.copy(), copies.values.copy()
    stays[moved], values[moved] = found.stays[place[moved]], found.values[place[moved]]
    rows = np.concatenate([found.rows, copies.rows])
    order = np.argsort(rows, kind="stable")
    return Verdicts(
        rows[order], np.concatenate([found.stays, stays])[order], np.concatenate([found.values, values])[order]
    )


def cluster_sizes(found: Verdicts, weights: npt.NDArray[np.uint64] | None) -> tuple[Numbers, Numbers]:
    """Documents that stay for others, and how many documents each stands for, itself counted.

    Args:
        weights: how many documents each row stood for before; None is one each.
    """
    rows, places = np.unique(found.stays, return_inverse=True)
    one = np.ones(1, dtype=np.uint64)
    added = np.bincount(places, weights=weights[found.rows] if weights is not None else None, minlength=len(rows))
    own = weights[rows] if weights is not None else one
    return rows, (added + own).astype(np.int64)
