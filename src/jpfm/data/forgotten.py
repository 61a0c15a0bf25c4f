"""Where the documents are that a corpus is to forget.

    found = find(corpus, Forget(hosts=("example.jp",)), engine)

Kept documents and those that a step had dropped count alike: both lie in the corpus. What could not be read does not:
`quarantined/` names files and places, and holds no text.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jpfm.core.artifact import STATE, Artifact, open_artifact
from jpfm.core.errors import ArtifactError, DataError
from jpfm.core.shards import LOCAL, Engine, map_shards
from jpfm.data.build import RECIPE, VERSION, jobs_of, plan
from jpfm.data.forget import Forget
from jpfm.data.recipe import Recipe
from jpfm.data.shard import Job, Shard
from jpfm.data.sources.corpus import CorpusSource


class Found(NamedTuple):
    """A document that is to be forgotten."""

    id: str
    shard: str
    reason: str
    """Which list it is on: id, url, host or regex."""
    was: str
    """`kept`, `quarantined`, or the step that had dropped it."""


_KEPT = "kept"


def recipe_of(corpus: Artifact, places: dict[str, Any] | None = None) -> Recipe:
    """The recipe of a corpus with the places of its inputs.

    Args:
        places: settings to change, e.g. the root when the raw files have moved.
    Raises:
        ArtifactError: the corpus was made by an older version, or its `state/` was removed.
    """
    file = corpus.path / STATE / RECIPE
    if corpus.manifest.stage_version != VERSION or not file.exists():
        raise ArtifactError(
            f"{corpus.path}: has no state/{RECIPE} of version {VERSION}",
            hint="build it again from the raw files with the lines `forget:` in its recipe",
        )
    recipe = Recipe.model_validate_json(file.read_text(encoding="utf-8"))
    return recipe.model_copy(update=places or {})


def find(corpus: Artifact, asked: Forget, engine: Engine = LOCAL, *, recipe: Recipe | None = None) -> list[Found]:
    """The documents that meet a request, in corpus order: kept ones and those that a step had dropped.

    Ids and addresses are looked up in the corpus. Regular expressions are searched in the raw text, all of it: what a
    corpus holds may be masked.
    """
    found = [one for shard in shard_names(corpus) for one in _listed(corpus, shard, asked)]
    if not asked.regexes:
        return found
    placed = recipe if recipe is not None else recipe_of(corpus)
    shards = plan(placed)
    check_raw(corpus, placed, shards)
    (first, *_) = jobs_of(placed.model_copy(update={"forget": asked}), shards, corpus.path, limit_of(corpus))
    known = {one.id for one in found}
    for job, every in map_shards(_search, first, engine):
        hits = {identity: reason for identity, reason in every if identity not in known}
        was = _fates(corpus, job.shard.name, hits)
        found += [Found(identity, job.shard.name, reason, was[identity]) for identity, reason in hits.items()]
    order = {name: place for place, name in enumerate(shard_names(corpus))}
    return sorted(found, key=lambda one: order[one.shard])


def check_raw(corpus: Artifact, recipe: Recipe, shards: Sequence[Shard]) -> None:
    """Raw files that are read again are those of the corpus.

    Raises:
        DataError: one has another content.
    """
    for source in recipe.sources:
        if isinstance(source, CorpusSource):
            continue
        manifest = open_artifact(corpus.path / "sources" / source.name).manifest
        known = {entry.path: entry.sha256 for entry in manifest.files}
        pieces = [p for shard in shards if recipe.sources[shard.source] is source for p in shard.pieces]
        for entry in source.entries(pieces):
            if known.get(entry.path) != entry.sha256:
                raise DataError(
                    f"source '{source.name}': {entry.path} is not the file that {corpus.id} was made of",
                    hint="put that file back, or name the folder that has it: root=FOLDER",
                )


def limit_of(corpus: Artifact) -> int | None:
    """How many documents of each shard were read; None is all."""
    limit = corpus.manifest.config.get("limit_docs")
    return int(limit) if limit is not None else None


def _search(job: Job) -> list[tuple[str, str]]:
    """Ids and reasons of the documents of a shard's raw files."""
    source = job.recipe.sources[job.shard.source]
    hits, left = [], job.limit_docs
    for batch in source.batches(job.shard.pieces, job.recipe.columns, []):
        if left is not None:  # the corpus never held what lies behind
            batch = batch.slice(0, left)
            left -= batch.num_rows
        reasons = job.recipe.forget.reasons(batch)
        mask = pc.is_valid(reasons)
        hits += list(zip(batch.column("id").filter(mask).to_pylist(), reasons.filter(mask).to_pylist(), strict=True))
    return hits


def shard_names(corpus: Artifact) -> list[str]:
    """The shards of a corpus, in its order."""
    return sorted(file.stem for file in (corpus.path / STATE / "pass0" / "counts").glob("*.json"))


def _files(corpus: Artifact, shard: str) -> Iterable[tuple[str, Path]]:
    for name in (f"{shard}.parquet", f"{shard}.held_out.parquet"):
        yield "documents", corpus.path / "documents" / name
    yield "dropped", corpus.path / "dropped" / f"{shard}.parquet"


def _listed(corpus: Artifact, shard: str, asked: Forget) -> list[Found]:
    """The documents of a shard that ids, addresses and hosts name."""
    lists = asked.model_copy(update={"regexes": ()})
    found = []
    for folder, file in _files(corpus, shard):
        if lists.is_empty or not file.exists():
            continue
        columns = ["id", "url"] + (["step"] if folder == "dropped" else [])
        for batch in pq.ParquetFile(file).iter_batches(columns=columns):
            reasons = lists.reasons(batch)
            for row in pc.indices_nonzero(pc.is_valid(reasons)).to_pylist():
                was = batch.column("step")[row].as_py() if folder == "dropped" else _KEPT
                found.append(Found(batch.column("id")[row].as_py(), shard, reasons[row].as_py(), was))
    return found


def _fates(corpus: Artifact, shard: str, hits: Mapping[str, str]) -> dict[str, str]:
    """What became of documents of a shard that were found in its raw files.

    Raises:
        ArtifactError: the corpus does not tell of one of them.
    """
    if not hits:
        return {}
    wanted = pa.array(list(hits), pa.string())
    fates: dict[str, str] = {}
    for folder, file in (("quarantined", corpus.path / "quarantined" / f"{shard}.parquet"), *_files(corpus, shard)):
        if not file.exists():
            continue
        rows = pq.read_table(file, columns=["id", "step"] if folder == "dropped" else ["id"])
        for row in rows.filter(pc.is_in(rows.column("id"), value_set=wanted)).to_pylist():
            if fates.get(row["id"]) != _KEPT:  # of two documents with one id, the one whose text is there
                fates[row["id"]] = row.get("step", _KEPT if folder == "documents" else folder)
    if lost := sorted(hits.keys() - fates.keys()):
        raise ArtifactError(
            f"{corpus.path}: {lost[0]} is in the raw files, but no file of shard {shard} tells what became of it",
            hint="files of the corpus are missing or changed (`jpfm verify`): restore them, or build it again",
        )
    return fates
