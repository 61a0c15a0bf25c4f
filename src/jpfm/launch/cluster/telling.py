"""Findings about nodes, in the same words everywhere."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from jpfm.launch.cluster.blame import Pair, bad_ends, odd_ones
from jpfm.launch.doctor import Finding, Level


def about(node: str, level: Level, what: str, found: str, mend: str) -> Finding:
    """A finding about one node."""
    return Finding(level, what, f"{node}: {found}", mend, (node,))


def one_of(nodes: Sequence[str], level: Level, what: str, found: str, mend: str) -> Finding:
    """A finding about one of several nodes: which one cannot be told."""
    return Finding(level, what, f"{words(nodes)}: {found}", f"{mend}; which of them it is cannot be told", tuple(nodes))


def words(nodes: Sequence[str]) -> str:
    """As a person says it.

    >>> words(["n1", "n2", "n3"])
    'n1, n2 or n3'
    """
    return " or ".join(part for part in (", ".join(nodes[:-1]), nodes[-1]) if part)


def odd(what: str, values: Mapping[str, str], level: Level, mend: str) -> Iterator[Finding]:
    """The nodes whose value is not that of most."""
    found = odd_ones(values)
    if found.usual is None and found.nodes:
        groups: dict[str, list[str]] = {}
        for node, value in values.items():
            groups.setdefault(value, []).append(node)
        text = "; ".join(f"{value} on {', '.join(nodes)}" for value, nodes in groups.items())
        yield one_of(found.nodes, level, what, text, mend)
        return
    for node in found.nodes:
        yield about(node, level, what, f"{values[node]}, most nodes have {found.usual}", mend)


def each(bad: Iterable[Pair], tried: Iterable[Pair], what: str, found: str, mend: str) -> Iterator[Finding]:
    """Problems of pairs, as problems of nodes where it can be told whose they are."""
    blame = bad_ends(bad, tried)
    for node in blame.nodes:
        yield about(node, "problem", what, found, mend)
    for nodes in blame.unsure:
        yield one_of(nodes, "problem", what, found, mend)
