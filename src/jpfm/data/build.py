"""Run a recipe: raw files in, a corpus artifact out, every document accounted for.

    corpus = build(recipe, Path("out/corpus"), workers=2)

The steps fall into passes, cut at corpus steps. A pass maps every shard on its own: read (raw files in the first pass,
the pass before in later ones), apply the decision, run the shard steps, write the shard, and sketch it for the next
corpus step. A shard is written under a temporary name and renamed, so a kill loses at most the shards being written,
and any number of workers or array tasks gives the same bytes.

Layout of the artifact: documents/*.parquet, dropped/*.parquet, quarantined/*.parquet, edits/*.parquet,
sources/NAME/manifest.json. `read = kept + dropped + quarantined` holds for each source and is checked.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jpfm.core import artifact as artifacts
from jpfm.core import run
from jpfm.core.artifact import Artifact, Draft, FileEntry, Finished, Manifest
from jpfm.core.errors import UsageError
from jpfm.core.log import Events, log, progress
from jpfm.core.shards import Slice, map_shards
from jpfm.data import counts as counting
from jpfm.data.document import DROPPED, EDITS, Document, Quarantined, quarantine_table, to_batch
from jpfm.data.recipe import Recipe, check_root
from jpfm.data.sources import AnySource
from jpfm.data.steps.base import CorpusStep

VERSION = 1
_BATCH_CHARS = 4_000_000
_BATCH_DOCUMENTS = 4096
_WORTH_A_PROCESS = 4_000_000  # bytes of input; starting workers takes longer than less than this


@dataclass(frozen=True)
class Shard:
    """A group of input files of one source that becomes one output file."""

    name: str
    source: int
    files: tuple[tuple[str, str], ...]
    """(path on this machine, name in document ids)"""
    bytes: int


@dataclass(frozen=True)
class Job:
    """One shard in one pass; everything a worker process needs."""

    recipe: Recipe
    number: int
    shard: Shard
    work: str
    final: bool
    limit_docs: int | None


def plan(recipe: Recipe) -> list[Shard]:
    """Cut the recipe's input into shards. Depends on the files alone."""
    root = check_root(recipe)
    shards = []
    for position, source in enumerate(recipe.sources):
        group: list[tuple[str, str]] = []
        size = number = 0
        files = [(path, path.relative_to(root).as_posix(), path.stat().st_size) for path in source.files(root)]
        for path, name, bytes_ in files:
            if group and size + bytes_ > recipe.slice_bytes:
                shards.append(Shard(f"{source.name}-{number:05d}", position, tuple(group), size))
                group, size, number = [], 0, number + 1
            group.append((str(path), name))
            size += bytes_
        shards.append(Shard(f"{source.name}-{number:05d}", position, tuple(group), size))
    return shards


def source_artifacts(recipe: Recipe, shards: list[Shard]) -> list[Manifest]:
    """One source manifest for each source: its files by hash, and the rights stated in the recipe."""
    manifests = []
    with progress("hashing input", total=sum(shard.bytes for shard in shards) / 1e6, unit="MB") as bar:
        for position, source in enumerate(recipe.sources):
            entries = []
            for shard in shards:
                if shard.source != position:
                    continue
                for path, name in shard.files:
                    entries.append(
                        FileEntry(path=name, bytes=Path(path).stat().st_size, sha256=artifacts.sha256(Path(path)))
                    )
                    bar.advance(entries[-1].bytes / 1e6)
            config = {"name": source.name, "rights": source.rights.model_dump()}
            files = tuple(sorted(entries, key=lambda entry: entry.path))
            manifests.append(
                Manifest(
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
            )
    return manifests


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
    places = [Artifact(out / "sources" / recipe.sources[i].name, m) for i, m in enumerate(sources)]
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
    jobs = _jobs(recipe, shards, 0, draft.path / "work", final=len(recipe.passes()) == 1, limit_docs=limit_docs)
    _run_pass(part.take(jobs), workers, f"slice {part.index}/{part.count}")
    done = sum(_counts_file(job).exists() for job in jobs)
    log.info("slice %d/%d done; %d of %d shards are ready. Finish with the same command without --slice",
             part.index, part.count, done, len(jobs))  # fmt: skip


def _jobs(
    recipe: Recipe, shards: list[Shard], number: int, work: Path, *, final: bool, limit_docs: int | None
) -> list[Job]:
    return [Job(recipe, number, shard, str(work), final, limit_docs) for shard in shards]


def _run_pass(jobs: list[Job], workers: int, label: str) -> None:
    todo = [job for job in jobs if not _counts_file(job).exists()]
    size = sum(job.shard.bytes for job in todo)
    if size < _WORTH_A_PROCESS:
        workers = 1
    with progress(label, total=size / 1e6, unit="MB") as bar:
        for job, kept in map_shards(run_shard, todo, workers=workers):
            bar.advance(job.shard.bytes / 1e6, shard=job.shard.name, kept=kept)


def _work(
    draft: Draft, recipe: Recipe, shards: list[Shard], sources: list[Manifest], *, workers: int, limit_docs: int | None
) -> Finished:
    work = draft.path / "work"
    events = Events(draft.logs / "events.jsonl")
    passes = recipe.passes()
    every: list[list[Job]] = []
    for number, (decision, steps) in enumerate(passes):
        final = number == len(passes) - 1
        jobs = _jobs(recipe, shards, number, work, final=final, limit_docs=limit_docs)
        if decision is not None:
            _decide(decision, jobs, number)
        label = f"pass {number + 1}/{len(passes)}"
        draft.status(f"{label}: {', '.join(step.name for step in steps) or 'apply ' + str(decision and decision.name)}")
        _run_pass(jobs, workers, label)
        events.write("pass finished", number=number + 1, of=len(passes))
        every.append(jobs)
    counts = counting.add_up([[_counts_file(job) for job in jobs] for jobs in every])
    _collect(draft.path, passes, shards, recipe, work)
    for source, manifest in zip(recipe.sources, sources, strict=True):
        folder = draft.path / "sources" / source.name
        folder.mkdir(parents=True, exist_ok=True)
        artifacts.write_text(folder / artifacts.MANIFEST, manifest.model_dump_json(indent=1) + "\n")
    counting.check(counts)
    artifacts.discard(work)
    return Finished(counts)


def run_shard(job: Job) -> int:
    """Build one shard of one pass (in a worker process); returns the documents kept."""
    work = Path(job.work) / f"pass{job.number}"
    for folder in ("documents", "dropped", "quarantined", "edits", "sketch", "counts"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    passes = job.recipe.passes()
    decision_step, steps = passes[job.number]
    following = passes[job.number + 1][0] if job.number + 1 < len(passes) else None
    decision = None
    if decision_step is not None:
        decision = pq.read_table(_decision_file(Path(job.work), job.number))
    quarantined: list[Quarantined] = []
    tables: dict[str, list[pa.Table]] = {"documents": [], "dropped": [], "edits": [], "sketch": []}
    read = 0
    for batch in _batches(job, quarantined):
        read += batch.num_rows
        if decision_step is not None and decision is not None:
            batch = _record(decision_step.apply(batch, decision), tables)
        for step in steps:
            batch = _record(step.run(batch), tables)
        tables["documents"].append(pa.Table.from_batches([batch]))
        if following is not None:
            tables["sketch"].append(pa.Table.from_batches([following.sketch(batch)]))
    source = job.recipe.sources[job.shard.source].name
    documents = pa.concat_tables(tables["documents"])
    _write(documents, work / "documents" / f"{job.shard.name}.parquet")
    for name, schema in (("dropped", DROPPED), ("edits", EDITS)):
        rows = pa.concat_tables([schema.empty_table(), *tables[name]])
        _write(rows, work / name / f"{job.shard.name}.parquet")
    _write(quarantine_table(quarantined, source), work / "quarantined" / f"{job.shard.name}.parquet")
    if following is not None:
        _write(pa.concat_tables(tables["sketch"]), work / "sketch" / f"{job.shard.name}.parquet")
    counts = counting.count_shard(source, read, documents, tables, quarantined)
    artifacts.write_text(_counts_file(job), json.dumps(counts, sort_keys=True, ensure_ascii=False))
    return documents.num_rows


def _record(changed: Any, tables: dict[str, list[pa.Table]]) -> pa.RecordBatch:
    tables["dropped"].append(changed.dropped)
    tables["edits"].append(changed.edits)
    return changed.batch


def _batches(job: Job, quarantined: list[Quarantined]) -> Iterator[pa.RecordBatch]:
    """The shard's documents, from raw files in the first pass and from the pass before in later ones."""
    if job.number > 0:
        previous = Path(job.work) / f"pass{job.number - 1}" / "documents" / f"{job.shard.name}.parquet"
        file = pq.ParquetFile(previous)
        found = False
        for batch in file.iter_batches(batch_size=_BATCH_DOCUMENTS):
            found = True
            yield batch
        if not found:
            yield _empty(file.schema_arrow)
        return
    source = job.recipe.sources[job.shard.source]
    waiting: list[Document] = []
    chars = count = 0
    for item in _documents(source, job.shard):
        if job.limit_docs is not None and count >= job.limit_docs:
            break
        if isinstance(item, Quarantined):
            quarantined.append(item)
            continue
        count += 1
        waiting.append(item)
        chars += len(item.text)
        if chars >= _BATCH_CHARS or len(waiting) >= _BATCH_DOCUMENTS:
            yield to_batch(waiting, source.name, source.rights.licence)
            waiting, chars = [], 0
    yield to_batch(waiting, source.name, source.rights.licence)  # the last one, empty or not: a shard has a schema


def _documents(source: AnySource, shard: Shard) -> Iterator[Document | Quarantined]:
    for path, name in shard.files:
        yield from source.documents(Path(path), name)


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch([pa.array([], field.type) for field in schema], schema=schema)


def _write(table: pa.Table, path: Path) -> None:
    temporary = path.with_name(path.name + ".tmp")
    pq.write_table(table.combine_chunks(), temporary, compression="zstd", row_group_size=65536)
    temporary.rename(path)


def _counts_file(job: Job) -> Path:
    return Path(job.work) / f"pass{job.number}" / "counts" / f"{job.shard.name}.json"


def _decision_file(work: Path, number: int) -> Path:
    return work / f"decision{number}.parquet"


def _decide(step: CorpusStep, jobs: list[Job], number: int) -> None:
    work = Path(jobs[0].work)
    file = _decision_file(work, number)
    if file.exists():
        return
    before = work / f"pass{number - 1}"
    names = [f"{job.shard.name}.parquet" for job in jobs]
    log.info("%s: deciding over %d shards", step.name, len(names))
    _write(step.decide([before / "sketch" / n for n in names], [before / "documents" / n for n in names]), file)


def _collect(path: Path, passes: list[Any], shards: list[Shard], recipe: Recipe, work: Path) -> None:
    """Move the last pass's documents into place and join each shard's drops over the passes."""
    for folder in ("documents", "dropped", "quarantined", "edits"):
        (path / folder).mkdir(exist_ok=True)
    last = len(passes) - 1
    for shard in shards:
        name = f"{shard.name}.parquet"
        for folder in ("dropped", "edits", "quarantined"):
            tables = [pq.read_table(work / f"pass{n}" / folder / name) for n in range(len(passes))]
            joined = pa.concat_tables(tables)
            if joined.num_rows:
                _write(joined, path / folder / name)
        _write(pq.read_table(work / f"pass{last}" / "documents" / name), path / "documents" / name)


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
                batch = batch.filter(pa.compute.equal(batch.column("split"), split)).select(columns)
            if batch.num_rows:
                yield batch
