"""What would go wrong hours later in a queue, refused before anything is handed in.

    check(job)        # UsageError or EnvironmentProblem with the mend

A job waits for a night and ends after a second because its image is not there, its output lies on one node's own disk,
or its time is over before it has saved once. All of that is known when it is submitted.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jpfm.core import artifact as artifacts
from jpfm.core.errors import ArtifactError, EnvironmentProblem, UsageError
from jpfm.core.log import log
from jpfm.data.recipe import check_root
from jpfm.launch.job import Job, clock_words
from jpfm.tokens.pack import open_inputs

_START_SECONDS = 60
"""Between the start of a job and its first step: modules, imports, the model."""


def check(job: Job, checkpoint_bytes: float = 0.0) -> None:
    """Look at what can be known before a job is handed in.

    Args:
        checkpoint_bytes: of one checkpoint, weights and optimizer; 0 where none is written.
    Raises:
        UsageError: what is asked for cannot be had.
        EnvironmentProblem: something that the job needs is not there.
    """
    _check_size(job)
    _check_time(job, checkpoint_bytes)
    _check_account(job)
    _check_places(job)
    _check_container(job)
    _check_exclusion(job)


def check_inputs(job: Job, config: Any) -> None:
    """What a job reads is there, and where all nodes see it.

    Raises:
        UsageError: an evaluation has no model, or two; an input lies on a node's own disk.
        ArtifactError: an input is not there.
    """
    names = {"train": ("init_from",), "tokens": ("corpus", "tokenizer"), "eval": ("model", "corpus"), "data": ("root",)}
    places = [(name, getattr(config, name)) for name in names[job.stage]]
    if job.stage == "train":
        places += [("tokens", folder) for folder in config.tokens_folders]
    for what, place in places:
        if place is not None and Path(place).exists():
            _refuse_local(job, what, Path(place))
    if job.stage == "data":
        check_root(config)
    if job.stage == "tokens":
        open_inputs(config)
    if job.stage == "train":
        if not config.tokens_folders:
            raise UsageError("tokens: this field is required", hint="set tokens=FOLDER of a tokens artifact")
        for folder in config.tokens_folders:
            artifacts.open_artifact(Path(folder), "tokens")
    if job.stage == "eval":
        for task in config.tasks:
            task.check()
        if (config.model is None) == (job.follow is None):
            raise UsageError(
                "an evaluation scores a model or follows a run", hint="give one of the two: model=DIR or --follow RUN"
            )
        if config.model is not None:
            artifacts.open_artifact(Path(config.model), "checkpoint")
        if job.follow is not None and not any(
            job.follow.with_name(job.follow.name + end).exists() for end in ("", ".partial", ".jobs")
        ):
            log.warning("--follow %s: there is no such run yet; the job will wait for it", job.follow)
    if job.site.container.kind == "none":
        _refuse_local(job, "the Python that runs this,", Path(sys.prefix))


def check_settings(job: Job, identity: Mapping[str, Any]) -> None:
    """A run that has begun goes on with the settings that it began with.

    Args:
        identity: the settings that decide the result.
    Raises:
        ArtifactError: it began with others.
    """
    plan = job.out.with_name(job.out.name + ".partial") / artifacts.PLAN
    if job.stage != "train" or not plan.exists():
        return
    began = json.loads(plan.read_text(encoding="utf-8"))["config"]
    asked = json.loads(artifacts.canonical_json(identity))
    if differing := sorted(name for name in {*began, *asked} if began.get(name) != asked.get(name)):
        raise ArtifactError(
            f"{job.out} began with other settings: {', '.join(differing)}",
            hint=f"take another --out, or go on from a checkpoint: jpfm train branch {job.out} --at STEP ...",
        )


def _check_size(job: Job) -> None:
    queue = job.queue
    if job.gpus > queue.gpus_per_node:
        raise UsageError(
            f"{job.gpus} GPUs a node: {job.queue_name} of {job.site.title} has {queue.gpus_per_node}",
            hint=f"--gpus {queue.gpus_per_node} with more --nodes, or another --queue: {_queues(job)}",
        )
    if job.cpus > queue.cpus_per_node:
        raise UsageError(
            f"{job.cpus} cores a node: {job.queue_name} of {job.site.title} has {queue.cpus_per_node}",
            hint=f"--cpus {queue.cpus_per_node} at most",
        )
    if queue.max_nodes is not None and job.nodes > queue.max_nodes:
        gpus = f" ({job.nodes * job.gpus} GPUs)" if job.gpus else ""
        raise UsageError(
            f"{job.nodes} nodes{gpus}: {job.queue_name} of {job.site.title} gives a job {queue.max_nodes} at most",
            hint=f"--nodes {queue.max_nodes}, or another --queue: {_queues(job)}",
        )


def _queues(job: Job) -> str:
    return "; ".join(
        f"{name} ({queue.max_nodes or 'any number of'} nodes with {queue.gpus_per_node} GPUs)"
        for name, queue in job.site.queues.items()
    )


def _check_time(job: Job, checkpoint_bytes: float) -> None:
    most = job.queue.max_hours
    if most is not None and job.seconds > most * 3600:
        raise UsageError(
            f"--time {clock_words(job.seconds)}: {job.queue_name} of {job.site.title} allows {most:g} hours",
            hint=f"--time {clock_words(int(most * 3600))} --chain {-(-job.seconds // int(most * 3600))}",
        )
    needed = round(checkpoint_bytes / (job.site.write_gb_per_second * 1e9))
    size = f"{checkpoint_bytes / 1e9:,.1f} GB at {job.site.write_gb_per_second:g} GB/s take {needed} s"
    if job.stop_before < needed:
        raise UsageError(
            f"--stop-before {job.stop_before}: a checkpoint is not on disk by then: {size}",
            hint=f"--stop-before {2 * needed + 60}, or write_gb_per_second in the site file if its disk is faster",
        )
    if job.seconds < job.stop_before + _START_SECONDS:
        saving = f" ({size})" if needed else ""
        raise UsageError(
            f"--time {clock_words(job.seconds)}: a job is told to save {job.stop_before} s before its limit{saving} "
            f"and needs about {_START_SECONDS} s to start: nothing is left to work in",
            hint=f"--time {clock_words(4 * (job.stop_before + _START_SECONDS))} or more, or a smaller --stop-before",
        )


def _check_account(job: Job) -> None:
    if job.account is None and job.site.account == "required":
        raise UsageError(f"{job.site.title} wants to know who pays", hint="--account GROUP")


def _check_places(job: Job) -> None:
    """What a job reads and writes must be seen by all nodes, and be there after it."""
    if odd := re.search(r"[\s'\"%$\\\\`]", str(job.out)):
        raise UsageError(
            f"--out {job.out}: {odd[0]!r} means something else to a scheduler in the name of a log",
            hint="choose a folder whose path has no spaces, quotes, %, $ or backslashes",
        )
    if (job.out / artifacts.MANIFEST).exists():
        raise ArtifactError(f"{job.out} is finished: nothing to do", hint="choose another --out for another run")
    _refuse_local(job, "--out", job.out)
    _refuse_local(job, "the current folder", Path.cwd())
    parent = job.out.parent
    while not parent.exists():
        parent = parent.parent
    if not os.access(parent, os.W_OK):
        raise EnvironmentProblem(f"{parent} is not yours to write to", hint="choose another --out")


def _refuse_local(job: Job, what: str, path: Path) -> None:
    resolved = path.resolve()
    for local in (*job.site.node_local, job.site.scratch):
        folder = os.path.expandvars(local)
        if "$" not in folder and resolved.is_relative_to(Path(folder).resolve()):
            raise UsageError(
                f"{what} {path} lies in {folder}, a node's own disk: other nodes do not see it, and it may be "
                "emptied when the job ends",
                hint="use a folder on the shared disk; if it is one, change node_local in the site file",
            )


def _check_container(job: Job) -> None:
    image = job.site.container.image
    if image is None:
        return
    registry = job.site.container.kind == "pyxis" and ("://" in image or "#" in image)
    if not registry and not Path(image).exists():
        raise EnvironmentProblem(
            f"the container image {image} is not there",
            hint="build or copy it to the shared disk, or name another with --set container.image=FILE",
        )
    programs = ("apptainer", "singularity")
    if job.site.container.kind == "apptainer" and not any(map(shutil.which, programs)) and not job.site.modules:
        raise EnvironmentProblem(
            "neither apptainer nor singularity is a command here, and the site loads no module that could bring it",
            hint="--set modules=[NAME] with the module that does, or --set container.kind=none",
        )


def _check_exclusion(job: Job) -> None:
    if job.exclude and job.scheduler == "pbs":
        raise UsageError(
            "--exclude: PBS cannot leave nodes out of a job",
            hint="report them to the operators, or ask for single nodes with a directive of the site file",
        )
