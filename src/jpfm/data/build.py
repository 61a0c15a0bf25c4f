"""Run a recipe: raw files in, a corpus artifact out, every document accounted for.

    corpus = build(recipe, Path("out/corpus"), workers=2)

The steps fall into passes, cut at corpus steps. A pass maps every shard on its own (`data.shard`). A shard is written
under a temporary name and renamed, so a kill loses at most the shards being written, and any number of workers or array
tasks gives the same bytes.

Layout of the artifact: documents/*.parquet, dropped/*.parquet, quarantined/*.parquet, edits/*.parquet,
sources/NAME/manifest.json, README.md (for `datasets.load_dataset`). `read = kept + dropped + quarantined` holds for
each source and is checked.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jpfm.core import artifact as artifacts
from jpfm.core import run
from jpfm.core.artifact import Artifact, Draft, Finished, Manifest
from jpfm.core.errors import UsageError
from jpfm.core.log import Events, log, progress
from jpfm.core.shards import Slice, map_shards
from jpfm.data import counts as counting
from jpfm.data.card import card
from jpfm.data.document import DROPPED, EDITS, QUARANTINED
from jpfm.data.recipe import Recipe, check_root
from jpfm.data.shard import Job, RowGroups, Shard, join, run_shard
from jpfm.data.sources.base import Piece
from jpfm.data.sources.corpus import CorpusSource
from jpfm.data.steps.base import CorpusStep

VERSION = 2
_WORTH_A_PROCESS = 4_000_000  # bytes of input; starting workers takes longer than less than this


def plan(recipe: Recipe) -> list[Shard]:
    """Cut the recipe's input into shards. Depends on the files alone."""
    root = check_root(recipe)
    for step in recipe.steps:
        step.check()
    shards = []
    for position, source in enumerate(recipe.sources):
        group: list[Piece] = []
        size = number = 0
        label = source.name
        for piece in source.pieces(root, recipe.slice_bytes):
            if group and (size + piece.bytes > recipe.slice_bytes or source.label(piece) != label):
                shards.append(Shard(f"{source.name}-{number:05d}", position, label, tuple(group)))
                group, size, number = [], 0, number + 1
            label = source.label(piece)
            group.append(piece)
            size += piece.bytes
        shards.append(Shard(f"{source.name}-{number:05d}", position, label, tuple(group)))
    try:
        recipe.check_columns([name for source in recipe.sources for name in source.known_columns(root)])
    except ValueError as error:  # of a recipe over a corpus: only here are its columns known
        raise UsageError(f"recipe '{recipe.name}': {error}", hint="or add it to the recipe of that corpus") from error
    return shards


def source_artifacts(recipe: Recipe, shards: list[Shard]) -> list[Artifact]:
    """What the corpus is made from: for each source its files by hash and its rights, or the corpus it rereads."""
    root = check_root(recipe)
    made = []
    with progress("hashing input", total=sum(shard.bytes for shard in shards) / 1e6, unit="MB") as bar:
        for position, source in enumerate(recipe.sources):
            if isinstance(source, CorpusSource):
                made.append(source.artifact(root))
                continue
            pieces = [piece for shard in shards if shard.source == position for piece in shard.pieces]
            entries = []
            for entry in source.entries(pieces):
                entries.append(entry)
                bar.advance(entry.bytes / 1e6)
            config = {"name": source.name, "rights": source.rights.model_dump()} | source.origin()
            files = tuple(sorted(entries, key=lambda entry: entry.path))
            manifest = Manifest(
                kind="source",
                id=artifacts.artifact_id("source", VERSION, config, (), files),
                stage_version=VERSION,
                parents=(),
                config=config,
                files=files,
                stats={"files": len(files), "bytes": sum(entry.bytes for entry in files)},
                rights=source.rights,
                run=run.finish(run.start(inputs={})),
            )
            made.append(Artifact(Path("sources") / source.name, manifest))
    return made


def build(
    recipe: Recipe, out: Path, *, workers: int = 1, part: Slice | None = None, limit_docs: int | None = None
) -> Artifact | None:
    """Run a recipe.

    Args:
        part: build only this slice of the first pass and return None; a later call without it finishes the corpus.
        limit_docs: read at most this many documents of each shard (a trial run; it is part of the artifact's id).
    Raises:
        DataError: no document is left, or a count does not add up.
    """
    shards = plan(recipe)
    sources = source_artifacts(recipe, shards)
    identity = recipe.identity() | {"limit_docs": limit_docs}
    places = [Artifact(out / source.path, source.manifest) for source in sources]
    places += [artifact for step in recipe.steps for artifact in step.inputs()]
    if part is not None and not part.is_whole:
        asked = artifacts.plan_of("corpus", VERSION, identity, places)
        _build_slice(recipe, out, asked, shards, part=part, workers=workers, limit_docs=limit_docs)
        return None

    def work(draft: Draft) -> Finished:
        return _work(draft, recipe, shards, sources, workers=workers, limit_docs=limit_docs)

    return artifacts.produce(out, kind="corpus", version=VERSION, config=identity, parents=places, work=work)


def _build_slice(
    recipe: Recipe, out: Path, plan: dict[str, Any], shards: list[Shard],
    *, part: Slice, workers: int, limit_docs: int | None,
) -> None:  # fmt: skip
    if artifacts.finished(out, plan) is not None:
        return
    draft = artifacts.open_draft(out, plan)
    jobs = [Job(recipe, 0, shard, str(draft.path / "work"), limit_docs) for shard in shards]
    _run_pass(part.take(jobs), workers, f"slice {part.index}/{part.count}")
    done = sum(job.counts_file.exists() for job in jobs)
    log.info("slice %d/%d done; %d of %d shards are ready. Finish with the same command without --slice",
             part.index, part.count, done, len(jobs))  # fmt: skip


def _run_pass(jobs: list[Job], workers: int, label: str) -> None:
    todo = [job for job in jobs if not job.counts_file.exists()]
    size = sum(job.shard.bytes for job in todo)
    if size < _WORTH_A_PROCESS:
        workers = 1
    with progress(label, total=size / 1e6, unit="MB") as bar:
        for job, kept in map_shards(run_shard, todo, workers=workers):
            bar.advance(job.shard.bytes / 1e6, shard=job.shard.name, kept=kept)


def _work(
    draft: Draft, recipe: Recipe, shards: list[Shard], sources: list[Artifact], *, workers: int, limit_docs: int | None
) -> Finished:
    work = draft.path / "work"
    events = Events(draft.logs / "events.jsonl")
    passes = recipe.passes()
    every: list[list[Job]] = []
    for number, (decision, steps) in enumerate(passes):
        jobs = [Job(recipe, number, shard, str(work), limit_docs) for shard in shards]
        if decision is not None:
            _decide(decision, every[-1], jobs[0].decision_file)
        label = f"pass {number + 1}/{len(passes)}"
        draft.status(f"{label}: {', '.join(step.name for step in steps) or 'apply ' + str(decision and decision.name)}")
        _run_pass(jobs, workers, label)
        events.write("pass finished", number=number + 1, of=len(passes))
        every.append(jobs)
    counts = counting.add_up([[job.counts_file for job in jobs] for jobs in every])
    _collect(draft.path, every)
    for (decision, _), jobs in zip(passes, every, strict=True):
        if decision is not None:
            decision.keep(pq.read_table(jobs[0].decision_file), draft.path, {item.path.name: item for item in sources})
    for source in sources:
        if source.manifest.kind == "source":
            folder = draft.path / source.path
            folder.mkdir(parents=True, exist_ok=True)
            artifacts.write_text(folder / artifacts.MANIFEST, source.manifest.model_dump_json(indent=1) + "\n")
    counting.check(counts, draft.path / "quarantined")
    artifacts.write_text(draft.path / "README.md", card(recipe, counts, draft.path))
    artifacts.discard(work)
    return Finished(counts)


def _decide(step: CorpusStep, before: list[Job], file: Path) -> None:
    if file.exists():
        return
    log.info("%s: deciding over %d shards", step.name, len(before))
    sketches, documents = (
        [job.folder / folder / f"{job.shard.name}.parquet" for job in before] for folder in ("sketch", "documents")
    )
    decision = step.decide(sketches, documents)
    temporary = file.with_name(file.name + ".tmp")
    pq.write_table(decision.combine_chunks(), temporary, compression="zstd")
    temporary.rename(file)


def _collect(path: Path, every: list[list[Job]]) -> None:
    """Move the last pass's documents into place and join each shard's drops over the passes."""
    for folder in ("documents", "dropped/originals", "quarantined", "edits"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    for jobs in zip(*every, strict=True):
        name = f"{jobs[0].shard.name}.parquet"
        for folder, schema in (("dropped", DROPPED), ("edits", EDITS), ("quarantined", QUARANTINED)):
            originals = path / "dropped" / "originals" / name if folder == "edits" else None
            join([job.folder / folder / name for job in jobs], path / folder / name, schema, originals)
        _place(jobs[-1].folder / "documents" / name, path / "documents" / name)
    originals_folder = path / "dropped" / "originals"
    if not any(originals_folder.iterdir()):
        originals_folder.rmdir()


def _place(made: Path, target: Path) -> None:
    """Move a shard's documents to their place; those held out into a file of their own, which no `train` glob takes."""
    if not made.exists() and target.exists():
        return  # it was moved before a kill
    if "split" not in pq.read_schema(made).names:
        os.replace(made, target)
        return
    train, held_out = RowGroups(target), RowGroups(target.with_suffix(".held_out.parquet"))
    num_held_out = 0
    for batch in pq.ParquetFile(made).iter_batches(batch_size=4096):
        chosen = pc.equal(batch.column("split"), "held_out")
        train.add(batch.filter(pc.invert(chosen)))
        held_out.add(batch.filter(chosen))
        num_held_out += pc.sum(chosen).as_py() or 0
    if not pq.read_metadata(made).num_rows:
        train.add(pq.read_table(made))
    train.close()
    if num_held_out:
        held_out.close()
    artifacts.discard(made)


def read_documents(corpus: Artifact, columns: list[str], *, split: str | None = None) -> Iterator[pa.RecordBatch]:
    """Stream a corpus in its order, optionally one split.

    Raises:
        UsageError: the recipe set no documents apart but a split is asked for.
    """
    for file in sorted((corpus.path / "documents").glob("*.parquet")):
        reader = pq.ParquetFile(file)
        has_split = "split" in reader.schema_arrow.names
        if split == "held_out" and not has_split:
            raise UsageError(
                f"{corpus.path}: this corpus keeps no documents apart", hint="add `- step: split` to its recipe"
            )
        wanted = [*columns, "split"] if has_split and split is not None else columns
        for batch in reader.iter_batches(batch_size=1024, columns=wanted):
            if has_split and split is not None:
                batch = batch.filter(pc.equal(batch.column("split"), split)).select(columns)
            if batch.num_rows:
                yield batch
