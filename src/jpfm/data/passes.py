"""Running the passes of a recipe: shards, decisions, shards again, and everything into its place at the end.

    run_pass(jobs, engine, "pass 1/2");  decide(step, every, 1, engine);  collect(root, every)

What is finished is found by its files and not done again, whoever made it: this process, another array task, a Ray
worker, or a run that was killed. A finished file that is not as it was written is made again, with a warning.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from jpfm.core import artifact as artifacts
from jpfm.core.log import log, progress
from jpfm.core.shards import Engine, map_shards
from jpfm.data.shard import TABLES, Job, RowGroups, digest, join, run_shard
from jpfm.data.steps.base import CorpusStep, ShardFiles, Sketched

_WORTH_A_PROCESS = 4_000_000  # bytes of input; starting workers takes longer than less than this
COLLECTING = "collecting"
"""A file in `work/`: all passes are done, and their files are on the way to their places."""
_COLLECTED = "collected.json"  # in `state/`: the digests of all files that came to their places
_DIGESTS = "digests.json"  # in the folder of a decision: those of its other files


def held(engine: Engine) -> AbstractContextManager[Any]:
    """One Ray cluster for all passes and decisions inside; else each would start its own (some seconds)."""
    if engine.kind == "local":
        return nullcontext()
    from jpfm.core.ray_cluster import connected

    return connected(engine)


def run_pass(jobs: Sequence[Job], engine: Engine, label: str) -> None:
    """Build the shards that are not finished."""
    todo = [job for job in jobs if not is_done(job)]
    size = sum(job.shard.bytes for job in todo)
    with progress(label, total=size / 1e6, unit="MB") as bar:
        for job, kept in map_shards(run_shard, todo, engine if size >= _WORTH_A_PROCESS else engine.few()):
            bar.advance(job.shard.bytes / 1e6, shard=job.shard.name, kept=kept)


def is_done(job: Job) -> bool:
    """Whether a shard is finished, with its files as they were written."""
    if not job.counts_file.exists():
        return False
    damage = job.damage()
    if damage is not None:
        log.warning("%s; the shard is built again", damage)
        job.counts_file.unlink()
    return damage is None


def missing(jobs: Sequence[Job]) -> list[Job]:
    """The shards that are not finished."""
    return [job for job in jobs if not job.counts_file.exists()]


def decide(step: CorpusStep, every: Sequence[Sequence[Job]], number: int, engine: Engine) -> None:
    """Make the decision before pass `number`, unless it is there as it was written. What a damaged one led to goes."""
    before, folder = every[number - 1], every[number][0].decision_folder
    if folder.exists() and (damage := _differs(folder, folder / _DIGESTS)) is not None:
        log.warning("%s; %s decides again, and the shards after it are built again", damage, step.name)
        for job in (job for jobs in every[number:] for job in jobs):
            job.counts_file.unlink(missing_ok=True)
        artifacts.discard(folder)
    if not folder.exists():
        log.info("%s: deciding over %d shards", step.name, len(before))
        decide_into(step, folder, lambda scratch: Sketched(shards_of(before), scratch, engine))


def shards_of(jobs: Sequence[Job]) -> tuple[ShardFiles, ...]:
    """What a pass left of each shard."""
    return tuple(ShardFiles(job.shard.name, job.sketch, job.documents) for job in jobs)


def decide_into(step: CorpusStep, folder: Path, sketched: Callable[[Path], Sketched]) -> None:
    """Let a step decide into a folder, which appears under its name when it is whole.

    Args:
        sketched: given an empty folder for files on the way.
    """
    unfinished, scratch = (folder.with_name(folder.name + ending) for ending in (".unfinished", ".scratch"))
    for leftover in (unfinished, scratch):
        if leftover.exists():
            artifacts.discard(leftover)
        leftover.mkdir(parents=True)
    step.decide(sketched(scratch), unfinished)
    artifacts.discard(scratch)
    _record(unfinished, [unfinished], unfinished / _DIGESTS)
    os.rename(unfinished, folder)


def _record(root: Path, folders: Sequence[Path], record: Path) -> None:
    """Write down the digests of all files in some folders, by their paths below `root`."""
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    found = {str(path.relative_to(root)): digest(path) for path in files}
    artifacts.write_text(record, json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def _differs(root: Path, record: Path) -> str | None:
    """What is not as `record` says; None where all files are."""
    try:
        recorded = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{record} cannot be read"
    for name, value in recorded.items():
        if not (root / name).exists():
            return f"{root / name} is gone"
        if digest(root / name) != value:
            return f"{root / name} is not as it was written"
    return None


def is_collecting(root: Path, every: Sequence[Sequence[Job]]) -> bool:
    """Whether a run was stopped between the last pass and its end, and what it had not moved is as it was written."""
    marker = root / "work" / COLLECTING
    if marker.exists():
        damage = (job.damage(moved=True) for jobs in every for job in jobs)
        if found := next((one for one in damage if one is not None), None):
            log.warning("%s; the passes are run again", found)
            marker.unlink()
    return marker.exists()


def is_collected(root: Path) -> bool:
    """Whether all files are in their places, as they were put there: a kill while they are hashed costs no pass."""
    record = root / artifacts.STATE / _COLLECTED
    if record.exists() and (damage := _differs(root, record)) is not None:
        log.warning("%s; the passes are run again", damage)
        (root / "work" / COLLECTING).unlink(missing_ok=True)
        record.unlink()
    return record.exists()


def collect(root: Path, every: Sequence[Sequence[Job]]) -> None:
    """Move the last pass's documents into place and join each shard's tables over the passes."""
    for folder in ("documents", "dropped/originals", *TABLES):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for jobs in zip(*every, strict=True):
        name = jobs[0].file
        for folder, schema in TABLES.items():
            originals = root / "dropped" / "originals" / name if folder == "edits" else None
            join([job.outputs()[folder] for job in jobs], root / folder / name, schema, originals)
        place_documents(jobs[-1].documents, root / "documents" / name)
    for folder in ("dropped/originals", "contamination"):
        if not any((root / folder).iterdir()):
            (root / folder).rmdir()
    there = [root / folder for folder in ("documents", *TABLES) if (root / folder).exists()]
    _record(root, there, root / artifacts.STATE / _COLLECTED)


def place_documents(made: Path, target: Path) -> None:
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


def figures(passes: Sequence[tuple[CorpusStep | None, Any]], every: Sequence[Sequence[Job]]) -> dict[str, Any]:
    """What the corpus steps say of their decisions, by step."""
    found = {}
    for number, (step, _) in enumerate(passes):
        if step is not None and (told := step.figures(every[number][0].decision_folder)):
            found[f"{number}:{step.name}"] = told
    return found


def sweep(root: Path) -> None:
    """Remove what killed tasks left of files they were writing. Only the holder of the lock may."""
    for path in sorted(root.rglob("*.tmp")):  # also in documents/ and its like: what lies there becomes part of the id
        path.unlink()
    for ending in ("unfinished", "scratch", "discarded"):
        for path in sorted((root / artifacts.STATE).glob(f"*.{ending}")):
            shutil.rmtree(path)
