"""Whose fault it is: the odd one among equals, the bad end of a link. Where it cannot be told, nobody is picked.

odd_ones({"n1": "2.13", "n2": "2.13", "n3": "2.11"})     # Odd(usual="2.13", nodes=("n3",))
bad_ends(bad=[("n1", "n3"), ("n2", "n3")], all_pairs)    # Blame(nodes=("n3",), unsure=())
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

Pair = tuple[str, str]


class Odd(NamedTuple):
    """Which nodes differ from most."""

    usual: str | None
    """None: no value is that of more than half."""
    nodes: tuple[str, ...]


def odd_ones(values: Mapping[str, str]) -> Odd:
    """The nodes whose value is not that of more than half; all nodes where no value is.

    >>> odd_ones({"n1": "a", "n2": "b"})
    Odd(usual=None, nodes=('n1', 'n2'))
    """
    if len(set(values.values())) < 2:
        return Odd(next(iter(values.values()), None), ())
    usual, times = Counter(values.values()).most_common(1)[0]
    if 2 * times <= len(values):
        return Odd(None, tuple(values))
    return Odd(usual, tuple(node for node, value in values.items() if value != usual))


class Blame(NamedTuple):
    """Nodes that are bad for certain, and groups of which at least one is."""

    nodes: tuple[str, ...]
    unsure: tuple[tuple[str, ...], ...]


def bad_ends(bad: Iterable[Pair], tried: Iterable[Pair]) -> Blame:
    """From pairs that fail to nodes that do: a node is bad when it fails with more than half of the good ones.

    The worst go first, since a good node fails with them too. A bad pair of two nodes that both work with others is
    left as it is, and so is everything when no good pair remains to show who is right.

    >>> bad_ends([("a", "c"), ("b", "c")], [("a", "b"), ("a", "c"), ("b", "c")])
    Blame(nodes=('c',), unsure=())
    >>> bad_ends([("a", "b")], [("a", "b")])
    Blame(nodes=(), unsure=(('a', 'b'),))
    """
    left, failing = list(tried), set(bad)
    order = list(dict.fromkeys(node for pair in left for node in pair))
    blamed: set[str] = set()
    while failing & set(left):
        share = {node: _share(node, left, failing) for node in order if any(node in pair for pair in left)}
        worst = max(share.values())
        if worst <= 0.5:
            break
        taken = {node for node, value in share.items() if value == worst}
        rest = [pair for pair in left if not taken & set(pair)]
        if not set(rest) - failing:  # nobody would be left who works with anybody
            together = tuple(node for node in order if node in share and node not in _shown_good(left, failing))
            return Blame(_in(order, blamed), _unsure(together, left, failing))
        blamed |= taken
        left = rest
    return Blame(_in(order, blamed), tuple(pair for pair in left if pair in failing))


def _share(node: str, pairs: Sequence[Pair], failing: set[Pair]) -> float:
    own = [pair for pair in pairs if node in pair]
    return sum(pair in failing for pair in own) / len(own)


def _shown_good(pairs: Sequence[Pair], failing: set[Pair]) -> set[str]:
    return {node for pair in pairs if pair not in failing for node in pair}


def _unsure(together: tuple[str, ...], left: Sequence[Pair], failing: set[Pair]) -> tuple[tuple[str, ...], ...]:
    return (together,) if len(together) > 1 else tuple(pair for pair in left if pair in failing)


def _in(order: Sequence[str], nodes: Iterable[str]) -> tuple[str, ...]:
    there = set(nodes)
    return tuple(node for node in order if node in there)


def slow_ends(rates: Mapping[Pair, float], share: float) -> dict[str, float]:
    """Nodes whose links are slow -> their rate as a share of the usual one.

    A node's slow link slows all of its pairs, so its best pair is compared with the others' best: among 3 nodes two of
    three pairs are slow, and a median over pairs would call the slow rate the usual one. Its median is compared with
    the others' medians too, for a node that is slow with most. Two nodes share their only pair: there is nothing to
    compare.

    >>> slow_ends({("a", "b"): 10.0, ("a", "c"): 2.0, ("b", "c"): 2.1}, 0.8)
    {'c': 0.21}
    """
    own: dict[str, list[float]] = {}
    for pair, rate in rates.items():
        for node in pair:
            own.setdefault(node, []).append(rate)
    if len(own) < 3:
        return {}
    found: dict[str, float] = {}
    for of in (max, statistics.median):
        values = {node: of(rates_of_node) for node, rates_of_node in own.items()}
        usual = statistics.median(values.values())
        for node, value in values.items():
            if value < share * usual:
                found[node] = min(found.get(node, 1.0), round(value / usual, 3))
    return found
