"""Run a recipe: raw files in, a corpus artifact out, every document accounted for.

    corpus = build(recipe, Path("out/corpus"), engine=Engine(workers=2))

The steps fall into passes, cut at corpus steps (`data.passes`). A pass maps every shard on its own (`data.shard`). A
shard is written under a temporary name and renamed, so a kill loses at most the shards being written, and any number of
workers, array tasks or Ray nodes gives the same bytes.

Layout of the artifact: documents/*.parquet, dropped/*.parquet, quarantined/*.parquet, edits/*.parquet,
sources/NAME/manifest.json, README.md (for `datasets.load_dataset`); state/ (sketches, counts and decisions: what `jpfm
forget` needs; not part of the id). `read = kept + dropped + quarantined` holds for each source and is checked.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jpfm.core import artifact as artifacts
from jpfm.core import run
from jpfm.core.artifact import Artifact, Draft, Finished, Manifest
from jpfm.core.errors import ArtifactError, DataError, UsageError
from jpfm.core.lock import lock
from jpfm.core.log import Events, log, progress
from jpfm.core.shards import LOCAL, Engine, Slice
from jpfm.data import counts as counting
from jpfm.data import passes
from jpfm.data.card import card
from jpfm.data.input_hashes import InputHashes
from jpfm.data.recipe import Recipe, absolute_places, check_root
from jpfm.data.shard import Job, Shard
from jpfm.data.sources.base import Piece
from jpfm.data.sources.corpus import CorpusSource

VERSION = 3
RECIPE = "recipe.json"
"""In `state/`: the recipe with the places of its inputs on this machine."""


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


def source_artifacts(recipe: Recipe, shards: Sequence[Shard], hashes: InputHashes) -> list[Artifact]:
    """What the corpus is made from: for each source its files by hash and its rights, or the corpus it rereads.

    Args:
        hashes: of files that were hashed before and have not changed; new ones are added.
    """
    root = check_root(recipe)
    made = []
    with progress("hashing input", total=sum(shard.bytes for shard in shards) / 1e6, unit="MB") as bar:
        for position, source in enumerate(recipe.sources):
            if isinstance(source, CorpusSource):
                made.append(source.artifact(root))
                continue
            pieces = [piece for shard in shards if shard.source == position for piece in shard.pieces]
            entries = []
            for entry in hashes.entries(source, pieces):
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
    recipe: Recipe, out: Path, *, engine: Engine = LOCAL, part: Slice | None = None, decide: bool = False,
    finish: bool = False, limit_docs: int | None = None,
) -> Artifact | None:  # fmt: skip
    """Run a recipe.

    Args:
        part: build this slice of every pass whose decision is there, and return None.
        decide: once all slices of a pass are done, make the decision that the next pass waits for, and return None.
        finish: do what is left of a corpus whose slices are done; refused while some are not.
        limit_docs: read at most this many documents of each shard (a trial run; it is part of the artifact's id).
    Raises:
        DataError: no document is left, a count does not add up, or input changes while it is read.
        ArtifactError: slices are missing, or another process makes the corpus.
    """
    shards = plan(recipe)
    hashes = InputHashes.read(out)
    sources = source_artifacts(recipe, shards, hashes)
    identity = recipe.identity() | {"limit_docs": limit_docs}
    parents = [Artifact(out / source.path, source.manifest) for source in sources]
    parents += [artifact for step in recipe.steps for artifact in step.inputs()]
    build_plan = artifacts.plan_of("corpus", VERSION, identity, parents)
    if part is not None or decide or finish:
        if artifacts.finished(out, build_plan) is not None:
            return None if not finish else artifacts.open_artifact(out)
        tasks = Tasks(recipe, out, build_plan, shards, limit_docs, engine)
        if part is not None:
            tasks.slice(part, hashes)
            return None
        if decide:
            tasks.decide()
            return None
        tasks.require_slices()

    def work(draft: Draft) -> Finished:
        hashes.write(draft.path)
        write_recipe(recipe, draft.path)
        with passes.held(engine):
            made = _work(draft, recipe, shards, sources, engine, limit_docs)
        check_settings(recipe, draft.config, "wait until nothing writes to it, then build into another --out")
        return made

    return artifacts.produce(out, kind="corpus", version=VERSION, config=identity, parents=parents, work=work)


def check_settings(recipe: Recipe, config: Mapping[str, Any], hint: str) -> None:
    """The files that steps hash into a corpus's identity (benchmarks of `decontaminate`) are those of the corpus.

    Args:
        config: the settings of the corpus, as its plan or manifest has them.
        hint: what to do about it.
    Raises:
        DataError: one has another content now: some shards would be of one version, and some of the other.
    """
    now = json.loads(artifacts.canonical_json(recipe.identity()))
    for position, (step, told) in enumerate(zip(now["steps"], config["steps"], strict=True)):
        if (place := _difference(step, told)) is not None:
            named = f"steps.{position}{place}"
            raise DataError(
                f"recipe '{recipe.name}': {named} ({step['step']}) is not what the corpus was begun with", hint=hint
            )


def _difference(one: Any, other: Any) -> str | None:
    """Where two JSON values differ first, as the end of a dotted path; None where they do not."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        pairs = [(f".{key}", one[key], other[key]) for key in one]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [(f".{place}", first, second) for place, (first, second) in enumerate(zip(one, other, strict=True))]
    else:
        return None if one == other else ""
    return next((name + rest for name, a, b in pairs if (rest := _difference(a, b)) is not None), None)


def write_recipe(recipe: Recipe, root: Path) -> None:
    """Keep the recipe with its places: what `forget` reads raw files by. Not part of the corpus's identity.

    Paths are absolute: `forget` may be run from another folder.
    """
    (root / artifacts.STATE).mkdir(exist_ok=True)
    placed = recipe.model_copy(
        update={
            "root": recipe.root if recipe.is_packaged else str(recipe.root_path.absolute()),
            "steps": tuple(absolute_places(step) for step in recipe.steps),
        }
    )
    artifacts.write_text(root / artifacts.STATE / RECIPE, placed.model_dump_json(indent=1) + "\n")


def jobs_of(recipe: Recipe, shards: Sequence[Shard], root: Path, limit_docs: int | None) -> list[list[Job]]:
    """The jobs of each pass, one a shard."""
    return [
        [Job(recipe, number, shard, str(root), limit_docs) for shard in shards]
        for number in range(len(recipe.passes()))
    ]


def _work(
    draft: Draft, recipe: Recipe, shards: Sequence[Shard], sources: Sequence[Artifact], engine: Engine,
    limit_docs: int | None,
) -> Finished:  # fmt: skip
    events = Events(draft.logs / "events.jsonl")
    steps = recipe.passes()
    every = jobs_of(recipe, shards, draft.path, limit_docs)
    passes.sweep(draft.path)
    if passes.is_collected(draft.path):
        return finish_corpus(draft, recipe, sources, every)
    if not passes.is_collecting(draft.path, every):
        for number, ((decision, following), jobs) in enumerate(zip(steps, every, strict=True)):
            label = f"pass {number + 1}/{len(steps)}"
            names = ", ".join(step.name for step in following) or "apply " + str(decision and decision.name)
            draft.status(f"{label}: {names}")
            if decision is not None:
                passes.decide(decision, every, number, engine)
            passes.run_pass(jobs, engine, label)
            events.write("pass finished", number=number + 1, of=len(steps))
        artifacts.write_text(draft.path / "work" / passes.COLLECTING, "")
    passes.collect(draft.path, every)
    return finish_corpus(draft, recipe, sources, every)


def finish_corpus(draft: Draft, recipe: Recipe, sources: Sequence[Artifact], every: list[list[Job]]) -> Finished:
    """What a corpus holds besides its shards, once these are in their places."""
    steps = recipe.passes()
    counts = counting.add_up([[job.counts_file for job in jobs] for jobs in every])
    for (decision, _), jobs in zip(steps, every, strict=True):
        if decision is not None:
            decision.keep(jobs[0].decision_folder, draft.path, {item.path.name: item for item in sources})
    for step in recipe.steps:
        step.leave(draft.path)
    if told := passes.figures(steps, every):
        counts["decisions"] = told
    for source in sources:
        if source.manifest.kind == "source":
            folder = draft.path / source.path
            folder.mkdir(parents=True, exist_ok=True)
            artifacts.write_text(folder / artifacts.MANIFEST, source.manifest.model_dump_json(indent=1) + "\n")
    counting.check(counts, draft.path / "quarantined")
    artifacts.write_text(draft.path / "README.md", card(recipe, counts, draft.path))
    artifacts.discard(draft.path / "work")
    return Finished(counts)


@dataclass(frozen=True)
class Tasks:
    """A build in parts: array tasks that make slices, and tasks that decide and finish."""

    recipe: Recipe
    out: Path
    plan: dict[str, Any]
    shards: Sequence[Shard]
    limit_docs: int | None
    engine: Engine

    def _jobs(self, root: Path) -> list[list[Job]]:
        return jobs_of(self.recipe, self.shards, root, self.limit_docs)

    def slice(self, part: Slice, hashes: InputHashes) -> None:
        """Build a slice of each pass that can run: the first, and those whose decision is made."""
        with lock(self.out, shared=True), passes.held(self.engine):
            draft = artifacts.open_draft(self.out, self.plan)
            hashes.write(draft.path)
            for number, jobs in enumerate(self._jobs(draft.path)):
                if number and not jobs[0].decision_folder.exists():
                    log.info("slice %d/%d: pass %d waits for its decision; run the line with --decide or --finish when "
                             "all slices are done", part.index, part.count, number + 1)  # fmt: skip
                    break
                passes.run_pass(part.take(jobs), self.engine, f"slice {part.index}/{part.count}, pass {number + 1}")
                check_settings(
                    self.recipe, draft.config, "wait until nothing writes to it, then build into another --out"
                )
                left = len(passes.missing(jobs))
                log.info("slice %d/%d, pass %d: done; %d of %d shards are ready", part.index, part.count, number + 1,
                         len(jobs) - left, len(jobs))  # fmt: skip
                if left and number + 1 < len(self.recipe.passes()):
                    break

    def decide(self) -> None:
        """Make the next decision.

        Raises:
            ArtifactError: slices of the pass before it are missing.
        """
        with lock(self.out), passes.held(self.engine):
            draft = artifacts.open_draft(self.out, self.plan)
            every = self._jobs(draft.path)
            for number, (step, _) in enumerate(self.recipe.passes()):
                if step is not None and not every[number][0].decision_folder.exists():
                    self._require([job for job in every[number - 1] if not passes.is_done(job)], len(self.shards))
                    passes.decide(step, every, number, self.engine)
                    log.info("%s: decided; slices of pass %d can run", step.name, number + 1)
                    return
            log.info("every decision is made; run the line with --finish when all slices are done")

    def require_slices(self) -> None:
        """Check that the first pass is whole.

        Raises:
            ArtifactError: slices are missing.
        """
        first, *_ = self._jobs(self.out.with_name(self.out.name + ".partial"))
        self._require(passes.missing(first), len(first))

    def _require(self, lacking: Sequence[Job], count: int) -> None:
        if lacking:
            names = ", ".join(job.shard.name for job in lacking[:5]) + (" ..." if len(lacking) > 5 else "")
            raise ArtifactError(
                f"{len(lacking)} of {count} shards are not built yet: {names}",
                hint="run the slices that are missing (--slice I/N) until they end without an error; or build the rest "
                "here with the same line without --finish",
            )


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
