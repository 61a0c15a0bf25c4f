"""What the all-reduces mean: nodes whose network fails, adds wrongly, or is slow."""

import statistics
from collections.abc import Iterator, Mapping, Sequence

from jpfm.launch.cluster.blame import Pair, bad_ends, slow_ends
from jpfm.launch.cluster.facts import Facts, Link
from jpfm.launch.cluster.telling import about, each, one_of
from jpfm.launch.doctor import Finding

_SLOW = {"nccl": 0.8, "gloo": 0.5}
"""Share of the usual bandwidth. A CPU's network stack is never as even as a NIC that moves GPU memory itself."""
_SURE_SECONDS = 0.005
_WRONG = "sums are wrong: a GPU, its memory or a link changes data without a word"
_WRONG_MEND = "leave this node out and have its GPUs tested (dcgmi diag -r 3): training would go wrong silently"

_ALL_WRONG_MEND = "no node alone was wrong: repeat it, and halve the nodes until the bad one is found"


def link_rules(facts: Facts) -> Iterator[Finding]:
    """All-reduces within nodes, of pairs, and over all."""
    yield from _inside(facts)
    for network in ("gloo", "nccl"):
        links = [link for link in facts.pairs if link.network == network and not set(link.nodes) & set(facts.silent)]
        if links:
            yield from _pairs(network, links)
    if facts.untried and not facts.silent:
        yield Finding(
            "note", "pairs", f"{len(facts.untried)} were not tried, for what was found about their nodes before"
        )
    for link in facts.overall:
        if link.error is not None:
            yield Finding("problem", "all-reduce over all nodes", link.error, "the pairs above may say why")
        elif link.wrong:
            yield Finding("problem", "all-reduce over all nodes", f"{link.wrong} sums are wrong", _ALL_WRONG_MEND)
        else:
            words = f"{link.gb_per_second:.2f} GB/s bus bandwidth over {link.processes} processes"
            yield Finding("ok", "all-reduce over all nodes", f"{link.network}: {words}")


def _inside(facts: Facts) -> Iterator[Finding]:
    rates = {link.nodes[0]: link.gb_per_second for link in facts.inside if link.gb_per_second is not None}
    usual = statistics.median(rates.values()) if rates else 0.0
    for link in facts.inside:
        (node,) = link.nodes
        if node in facts.silent:
            continue
        if link.error is not None:
            mend = "look at NVLink and PCIe there (nvidia-smi topo -m, dmesg); NCCL_DEBUG=INFO says where it stops"
            yield about(node, "problem", "all-reduce within", link.error, mend)
        elif link.wrong:
            yield about(node, "problem", "all-reduce within", _WRONG, _WRONG_MEND)
        elif _sure(link, usual) and rates[node] < _SLOW[link.network] * usual:
            yield about(
                node, "problem", "all-reduce within", f"{rates[node]:.2f} GB/s, most nodes {usual:.2f}",
                "look at NVLink and PCIe there (nvidia-smi nvlink -s, nvidia-smi topo -m)",
            )  # fmt: skip
    if rates:
        yield Finding("ok", "all-reduce within nodes", f"{usual:.2f} GB/s bus bandwidth, median")


def _sure(link: Link, usual: float) -> bool:
    """Whether it took long enough to compare; NCCL's times are even, a CPU's scheduler takes milliseconds."""
    return link.network == "nccl" or link.num_bytes / 1e9 / usual >= _SURE_SECONDS


def _pairs(network: str, links: Sequence[Link]) -> Iterator[Finding]:
    what = f"{network} between nodes"
    tried = [(link.nodes[0], link.nodes[1]) for link in links]
    failed = {pair: link.error for pair, link in zip(tried, links, strict=True) if link.error is not None}
    yield from _failures(what, failed, tried)
    wrong = [pair for pair, link in zip(tried, links, strict=True) if link.wrong]
    yield from each(wrong, [pair for pair in tried if pair not in failed], what, _WRONG, _WRONG_MEND)
    rates = {
        pair: link.gb_per_second for pair, link in zip(tried, links, strict=True) if link.gb_per_second is not None
    }
    if not rates:
        return
    yield Finding(
        "ok", what, f"{statistics.median(rates.values()):.2f} GB/s bus bandwidth, median of {len(rates)} "
        f"{'pair' if len(rates) == 1 else 'pairs'}; least {min(rates.values()):.2f}",
    )  # fmt: skip
    if not _sure(links[0], statistics.median(rates.values())):
        return
    slow = slow_ends(rates, _SLOW[network])
    for node, share in slow.items():
        yield about(
            node, "problem", what, f"its links have {share:.0%} of the others' bandwidth",
            "look at its network cards (ibstat, ethtool) and cable; or it lies behind a slower switch than the others: "
            "ask for nodes of one switch",
        )  # fmt: skip
    yield from _slow_pairs(what, {pair: rate for pair, rate in rates.items() if not set(pair) & set(slow)}, network)


def _failures(what: str, failed: Mapping[Pair, str], tried: Sequence[Pair]) -> Iterator[Finding]:
    blame = bad_ends(failed, tried)
    mend = "see that the ports between nodes are open and GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME name their network"
    for node in blame.nodes:
        partners = [pair[1 - pair.index(node)] for pair in failed if node in pair]
        reason = next(error for pair, error in failed.items() if node in pair)
        yield about(node, "problem", what, f"fails with {', '.join(partners)}: {reason}", mend)
    for nodes in blame.unsure:
        reason = next(error for pair, error in failed.items() if set(pair) <= set(nodes))
        yield one_of(nodes, "problem", what, reason, mend)


def _slow_pairs(what: str, rates: Mapping[Pair, float], network: str) -> Iterator[Finding]:
    """Slow against what both nodes have with others: the way between them."""
    own: dict[str, list[float]] = {}
    for pair, rate in rates.items():
        for node in pair:
            own.setdefault(node, []).append(rate)
    usual = {node: statistics.median(values) for node, values in own.items() if len(values) > 2}
    slow = sorted(
        (rate, pair) for pair, rate in rates.items()
        if all(node in usual and rate < _SLOW[network] * usual[node] for node in pair)
    )  # fmt: skip
    if slow:
        worst = ", ".join(f"{a} and {b} {rate:.2f} GB/s" for rate, (a, b) in slow[:3])
        yield Finding(
            "note", what, f"{len(slow)} {'pair is' if len(slow) == 1 else 'pairs are'} slow though both nodes are fast "
            f"with others: {worst}", "the way between them is slow: ask for nodes of one switch",
        )  # fmt: skip
