"""What a run was made from: its tokens, tokenizer and base by id, and the sources and licences of the tokens.

    origin = origin_of(run)
    origin.parents, origin.shares, origin.tree

A finished run's manifest says where its parents lay. An unfinished one's plan has their ids alone: the folders beside
it are looked through. What is not found is shown by its id.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jpfm.core import lineage
from jpfm.core.artifact import MANIFEST, Artifact, open_artifact
from jpfm.core.errors import ArtifactError
from jpfm.core.log import log
from jpfm.report.run.read import Run, is_number


class Share(NamedTuple):
    """A part of the tokens."""

    name: str
    tokens: int
    share: float
    epochs: float | None


class Parent(NamedTuple):
    """An artifact the run was made from; `name` is empty where it has none, or does not lie here."""

    id: str
    kind: str
    name: str


class Origin(NamedTuple):
    """Where a run comes from."""

    parents: tuple[Parent, ...]
    sources: tuple[Share, ...]
    licences: tuple[Share, ...]
    tree: str


def origin_of(run: Run) -> Origin:
    """Walk to the parents; a broken neighbour is said on the log and leaves the ids."""
    try:
        found = _found(run)
        trees = (
            [lineage.why(run.path)] if run.artifact is not None else [lineage.why(one.path) for one in found.values()]
        )
    except ArtifactError as error:
        log.warning("report run: the lineage of %s cannot be read (%s)", run.path, error.message)
        found, trees = {}, []
    parents = tuple(
        Parent(identity, identity.rpartition("-")[0], _name(found.get(identity))) for identity in run.parents
    )
    tokens = [one for one in found.values() if one.manifest.kind == "tokens"]
    epochs = run.artifact.manifest.stats.get("epochs_by_source") if run.artifact is not None else None
    return Origin(
        parents,
        _shares(tokens, "tokens_by_source", epochs if isinstance(epochs, dict) else {}),
        _shares(tokens, "tokens_by_licence", {}),
        "\n".join(trees),
    )


def _name(one: Artifact | None) -> str:
    return str(one.manifest.config.get("name", "")) if one is not None else ""


def _found(run: Run) -> dict[str, Artifact]:
    if run.artifact is not None:
        return {one.id: one for one in lineage.parents(run.artifact) if isinstance(one, Artifact)}
    wanted = set(run.parents)
    found: dict[str, Artifact] = {}
    for manifest in sorted(run.path.absolute().parent.glob(f"*/{MANIFEST}")):
        if found.keys() >= wanted:
            break
        if any(f'"{identity}"' in manifest.read_text(encoding="utf-8") for identity in wanted):
            one = open_artifact(manifest.parent)
            if one.id in wanted:
                found[one.id] = one
    return {identity: found[identity] for identity in run.parents if identity in found}


def _shares(tokens: list[Artifact], key: str, epochs: Mapping[str, Any]) -> tuple[Share, ...]:
    sums: dict[str, int] = {}
    for one in tokens:
        for name, count in (one.manifest.stats.get(key) or {}).items():
            sums[name] = sums.get(name, 0) + int(count)
    total = sum(sums.values())
    ordered = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        Share(name, count, count / total if total else 0.0, epochs[name] if is_number(epochs.get(name)) else None)
        for name, count in ordered
    )
