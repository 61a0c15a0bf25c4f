"""`jpfm forget`: a corpus without some documents, made by building again only the shards that change.

    made = rebuild(corpus, out, asked, engine)          # equals a build of the recipe that says `forget: asked`

A shard changes when it holds such a document, or when a decision over all shards now says something else of it: a copy
comes back because what it copied is gone, a line is no longer frequent. The sketches in `state/` tell; raw files are
read for changed shards, and for texts that have to be compared anew. All other shards are the same files (hard links).
"""

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished, open_artifact
from jpfm.core.errors import ArtifactError, DataError
from jpfm.core.log import log
from jpfm.core.shards import LOCAL, Engine
from jpfm.data import passes
from jpfm.data.build import VERSION, check_settings, finish_corpus, jobs_of, plan, write_recipe
from jpfm.data.forget import Forget
from jpfm.data.forgotten import Found, check_raw, find, limit_of, recipe_of, shard_names
from jpfm.data.recipe import Recipe
from jpfm.data.shard import Job, Shard, digest
from jpfm.data.sources.corpus import CorpusSource
from jpfm.data.steps.base import Before, CorpusStep, Sketched

_SETTINGS = "put the files that this step reads back as they were, or name their place: steps.N...=FILE"
_PARTS = ("documents", "dropped", "dropped/originals", "edits", "quarantined", "contamination")


def merged(first: Forget, second: Forget) -> Forget:
    """Both lists, each entry once, sorted: the order of requests does not matter."""
    return Forget(
        **{name: tuple(sorted({*getattr(first, name), *getattr(second, name)})) for name in Forget.model_fields}
    )


@dataclass
class _Rebuild:
    """What a rebuild knows while it goes from pass to pass."""

    corpus: Artifact
    root: Path
    recipe: Recipe
    every: list[list[Job]]
    engine: Engine
    changed: set[str]
    """Shards that differ from the corpus's, so far."""
    reached: dict[str, int] = field(default_factory=dict)
    """The last pass whose documents are there, by shard."""

    def old(self, path: str | Path) -> Path:
        """Where a file of the unfinished corpus lies in the old one."""
        return self.corpus.path / Path(path).relative_to(self.root)

    def run(self, names: Iterable[str], number: int) -> None:
        """Build shards up to a pass."""
        wanted = set(names)
        for step in range(number + 1):
            todo = [job for job in self.every[step] if job.shard.name in wanted and self._at(job) < step]
            if step == 0:
                check_raw(self.corpus, self.recipe, [job.shard for job in todo])
            for job in todo:
                job.counts_file.unlink(missing_ok=True)  # those of the corpus do not count here
            passes.run_pass(todo, self.engine, f"pass {step + 1}/{len(self.every)}")
            self.reached |= {job.shard.name: step for job in todo}

    def _at(self, job: Job) -> int:
        return self.reached.get(job.shard.name, -1)

    def decide(self, step: CorpusStep, number: int) -> None:
        """Decide again over the sketches of the pass before, and note which shards that changes."""
        before = self.every[number - 1]
        folder = self.every[number][0].decision_folder
        old = self.old(folder)
        if all(job.sketch.samefile(self.old(job.sketch)) for job in before):
            shutil.copytree(old, folder, copy_function=_link)
            return
        sketches = tuple(self.old(job.sketch) for job in before)
        passes.decide_into(
            step, folder,
            lambda scratch: Sketched(
                passes.shards_of(before), scratch, self.engine,
                lambda names: self.run(names, number - 1), Before(old, sketches),
            ),
        )  # fmt: skip
        shards = passes.shards_of(before)
        self.changed |= {shard.name for shard in shards if step.differs(old, folder, shard)}


def rebuild(
    corpus: Artifact, out: Path, asked: Forget, engine: Engine = LOCAL, *,
    recipe: Recipe | None = None, found: Sequence[Found] | None = None,
) -> Artifact:  # fmt: skip
    """Make the corpus without the documents.

    Args:
        recipe: the corpus's, where its places have changed.
        found: all that `find` gives for the request, also what was forgotten before (another list may name it now);
            None looks again, which for a regular expression is a reading of all raw files.
    Raises:
        DataError: no document meets the request, or raw files or files of a step are not those that the corpus was
            made with.
    """
    placed = recipe if recipe is not None else recipe_of(corpus)
    check_settings(placed, corpus.manifest.config, _SETTINGS)
    found = find(corpus, asked, engine, recipe=placed) if found is None else found
    if not found:
        raise DataError(f"{corpus.path}: no document meets the request", hint="look ids and addresses up in documents/")
    new = placed.model_copy(update={"forget": merged(placed.forget, asked)})
    shards = plan(new)
    if sorted(shard.name for shard in shards) != shard_names(corpus):
        raise DataError(
            f"{new.root}: holds other files than {corpus.id} was made of",
            hint="put the raw files back as they were, or name their folder: root=FOLDER",
        )
    identity = new.identity() | {"limit_docs": limit_of(corpus)}
    found_parents = [
        source.artifact(new.root_path) if isinstance(source, CorpusSource)
        else replace(open_artifact(corpus.path / "sources" / source.name), path=out / "sources" / source.name)
        for source in new.sources
    ]  # fmt: skip
    found_parents += [artifact for step in new.steps for artifact in step.inputs()]
    by_id = {artifact.id: artifact for artifact in found_parents}
    ordered = [by_id[identity] for identity in corpus.manifest.parents]

    def work(draft: Draft) -> Finished:
        made = _work(draft, corpus, new, shards, {one.shard for one in found}, engine)
        check_settings(new, corpus.manifest.config, _SETTINGS)
        return made

    return artifacts.produce(out, kind="corpus", version=VERSION, config=identity, parents=ordered, work=work)


def _work(
    draft: Draft, corpus: Artifact, recipe: Recipe, shards: Sequence[Shard], changed: set[str], engine: Engine
) -> Finished:
    for leftover in [
        path for path in sorted(draft.path.iterdir()) if path.name not in (artifacts.LOGS, artifacts.PLAN)
    ]:
        artifacts.discard(leftover)  # of a run that was stopped
    write_recipe(recipe, draft.path)
    every = jobs_of(recipe, shards, draft.path, limit_of(corpus))
    state = _Rebuild(corpus, draft.path, recipe, every, engine, set(changed))
    _check_state(corpus, every, state)
    steps = recipe.passes()
    for number, jobs in enumerate(every):
        step, _ = steps[number]
        _link_state(jobs, state)
        if step is not None:
            state.decide(step, number)
        draft.status(f"pass {number + 1}/{len(every)}: {len(state.changed)} of {len(jobs)} shards are built again")
        state.run(state.changed, number)
    log.info("%d of %d shards were built again", len(state.changed), len(shards))
    mine = [[job for job in jobs if job.shard.name in state.changed] for jobs in every]
    passes.collect(draft.path, mine)
    for shard in shards:
        if shard.name not in state.changed:
            _link_shard(corpus, draft.path, shard.name)
    sources = [open_artifact(folder) for folder in sorted((corpus.path / "sources").glob("*"))]
    named = [replace(source, path=Path("sources") / source.path.name) for source in sources]
    return finish_corpus(draft, recipe, named, every)


def _check_state(corpus: Artifact, every: Sequence[Sequence[Job]], state: _Rebuild) -> None:
    """The sketches are as they were written: a wrong one would give a wrong decision."""
    for job in (job for jobs in every[:-1] for job in jobs):
        sketch, counts = state.old(job.sketch), state.old(job.counts_file)
        recorded = json.loads(counts.read_text(encoding="utf-8"))["files"]["sketch"]
        if not sketch.exists() or digest(sketch) != recorded:
            raise ArtifactError(
                f"{sketch} is not as it was written",
                hint="restore it, or build again from the raw files with the lines `forget:` in the recipe",
            )


def _link_state(jobs: Sequence[Job], state: _Rebuild) -> None:
    """Take over sketches and counts of a pass for the shards that were not built here."""
    for job in jobs:
        for path in (job.sketch, job.counts_file):
            if state.old(path).exists() and not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                _link(str(state.old(path)), str(path))


def _link_shard(corpus: Artifact, root: Path, name: str) -> None:
    """The files of an unchanged shard."""
    for folder in _PARTS:
        for ending in (".parquet", ".held_out.parquet"):
            old = corpus.path / folder / f"{name}{ending}"
            if old.exists() and (folder == "documents" or ending == ".parquet"):
                (root / folder).mkdir(parents=True, exist_ok=True)
                _link(str(old), str(root / folder / old.name))


def _link(old: str, new: str) -> None:
    """The same file under another name; a copy where the file system cannot (another disk)."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copy2(old, new)
