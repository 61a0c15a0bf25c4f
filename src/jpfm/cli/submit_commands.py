"""`jpfm submit CONFIG`, `jpfm submit status RUN...` and `jpfm submit stop RUN`."""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from jpfm.cli.config_commands import model_of
from jpfm.cli.shared import DefaultCommand, EngineOption, Out, Overrides, emit, load_config, print_table, require_out
from jpfm.core.config import Loaded, read_file
from jpfm.core.errors import EnvironmentProblem, UsageError
from jpfm.core.log import log

_HOURS = 24
_STAGES = ("train", "data", "tokens", "eval")
SchedulerName = Literal["slurm", "pbs", "age"]

SchedulerOption = Annotated[
    SchedulerName | None,
    typer.Option("--scheduler", show_default=False, help="Default: the one of the site."),
]  # fmt: skip
SiteOption = Annotated[
    str | None,
    typer.Option(
        "--site", metavar="NAME|FILE", show_default=False,
        help="The cluster: a name (slurm/sites/ lists them) or a file of your own. Default: generic.",
    ),
]  # fmt: skip
SiteSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the site, e.g. --set container.image=a.sif."),
]  # fmt: skip
QueueOption = Annotated[
    str | None, typer.Option("--queue", help="Partition, queue or resource type.", show_default=False)
]
Account = Annotated[str | None, typer.Option("--account", help="Who pays: account, group or project.")]
Nodes = Annotated[int, typer.Option("--nodes", min=1, help="Nodes of the job.")]
Gpus = Annotated[int | None, typer.Option("--gpus", min=0, help="GPUs of each node; default: all.", show_default=False)]
Cpus = Annotated[int | None, typer.Option("--cpus", min=1, help="Cores of each node; default: all.")]
Time = Annotated[
    str | None,
    typer.Option("--time", metavar="H:MM", help="Limit of one job. Default: the queue's, at most 24:00."),
]  # fmt: skip
StopBefore = Annotated[
    int | None,
    typer.Option(
        "--stop-before", metavar="SECONDS", min=10, show_default=False,
        help="How early the run is told to save. Default: 300, more where a checkpoint takes longer.",
    ),
]  # fmt: skip
Exclude = Annotated[
    str | None,
    typer.Option("--exclude", metavar="N1,N2|FILE", help="Nodes to leave out; `jpfm doctor --cluster` writes a file."),
]  # fmt: skip
Print = Annotated[bool, typer.Option("--print", help="Show the scripts; nothing is written or submitted.")]

app = typer.Typer(
    cls=DefaultCommand, no_args_is_help=True,
    help="Jobs for Slurm, PBS and AGE: `jpfm submit CONFIG [KEY=VALUE]... --out DIR --site NAME`; its options: "
    "`jpfm submit run --help`.",
)  # fmt: skip


@app.command()
def run(
    config: Path,
    overrides: Overrides = None,
    out: Out = None,
    scheduler: SchedulerOption = None,
    site: SiteOption = None,
    settings: SiteSettings = None,
    queue: QueueOption = None,
    account: Account = None,
    nodes: Nodes = 1,
    gpus: Gpus = None,
    cpus: Cpus = None,
    time: Time = None,
    stop_before: StopBefore = None,
    chain: Annotated[int, typer.Option(min=1, help="Training: so many jobs, one after the other.")] = 1,
    tasks: Annotated[int, typer.Option(min=1, help="Data and eval: tasks of an array.")] = 1,
    spread_decisions: Annotated[
        bool, typer.Option("--spread-decisions", help="Data: the array applies what deduplication decides.")
    ] = False,
    engine: EngineOption = "local",
    follow: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Eval: score each checkpoint of a run, also while it trains.")
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option(metavar="MINUTES", help="Eval: end when the run gives no news for so long.", show_default=False),
    ] = None,
    exclude: Exclude = None,
    print_: Print = False,
) -> None:
    """Submit what a config describes (`run` may be left out): training, a data build, packing, evaluation.

    Settings are frozen and scripts written in OUT.jobs/, beside the run; run the same line again to go on.
    """
    from jpfm.launch import job as jobs
    from jpfm.launch import refuse

    loaded, stage = _loaded(config, overrides)
    target = require_out(out, "submit")
    _refuse_foreign(stage, nodes, chain, tasks, spread_decisions, engine, follow, wait)
    place = _site(site, scheduler, settings)
    queue_name, there = _queue(place, queue, print_)
    wanted = gpus if gpus is not None else _usual_gpus(stage, there.gpus_per_node)
    size = _plan(loaded.config, there, nodes * (wanted or 1)) if stage == "train" else 0.0
    share = wanted / there.gpus_per_node if there.gpus_per_node and stage == "eval" else 1.0
    job = jobs.Job(
        stage=stage, name=getattr(loaded.config, "name", target.name), out=target.absolute(), site=place,
        scheduler=place.scheduler, queue_name=queue_name, queue=there, nodes=nodes, gpus=wanted,
        cpus=cpus or max(1, int(there.cpus_per_node * share)), seconds=_seconds(time, there.max_hours),
        stop_before=stop_before or jobs.last_seconds(stage, size, place), chain=chain, tasks=tasks,
        spread_decisions=_decisions(loaded.config) if spread_decisions else 0, ray=engine == "ray",
        follow=follow.absolute() if follow is not None else None, wait_minutes=wait, account=account,
        exclude=_excluded(exclude), line=_line(),
    )  # fmt: skip
    refuse.check(job, size)
    refuse.check_inputs(job, loaded.config)
    refuse.check_settings(job, loaded.config.identity())
    _hand_in(job, loaded.show(), print_)


def submit_preflight(
    out: Path | None, site: str | None, scheduler: SchedulerName | None, settings: list[str] | None, queue: str | None,
    account: str | None, nodes: int, gpus: int | None, time: str | None, exclude: str | None, print_: bool,
) -> None:  # fmt: skip
    """Submit `jpfm doctor --cluster` as a job."""
    from jpfm.launch import job as jobs
    from jpfm.launch import refuse

    target = require_out(out, "doctor --cluster")
    place = _site(site, scheduler, settings)
    queue_name, there = _queue(place, queue, print_)
    job = jobs.Job(
        stage="doctor", name="preflight", out=target.absolute(), site=place, scheduler=place.scheduler,
        queue_name=queue_name, queue=there, nodes=nodes, gpus=there.gpus_per_node if gpus is None else gpus,
        cpus=there.cpus_per_node, seconds=_seconds(time or "0:30", there.max_hours),
        stop_before=jobs.last_seconds("doctor", 0.0, place), account=account, exclude=_excluded(exclude), line=_line(),
    )  # fmt: skip
    refuse.check(job)
    _hand_in(job, None, print_)


@app.command()
def status(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="What was given as --out, or OUT.jobs.")],
) -> None:
    """How runs are doing: state, step, speed, hours, time left and the last error, a line each."""
    from jpfm.launch import status as view

    found = view.lines(runs)
    print_table(view.table(found))
    for sentence in view.errors(found):
        emit(sentence)


@app.command()
def stop(run_folder: Annotated[Path, typer.Argument(metavar="RUN")]) -> None:
    """Save and end, and do not begin again until it is submitted again."""
    from jpfm.launch import submit
    from jpfm.launch.attempt import RUN
    from jpfm.launch.job import jobs_folder
    from jpfm.launch.status import out_of

    jobs = jobs_folder(out_of(run_folder))
    if not (jobs / RUN).exists():
        raise UsageError(f"{run_folder}: it was not submitted", hint="name what was given to `jpfm submit` as --out")
    for words in submit.stop(jobs) or ["no job of this run is queued or runs"]:
        emit(words)


def _hand_in(job: Any, settings: str | None, print_: bool) -> None:
    from jpfm.launch import submit

    if print_:
        for name, text in submit.scripts(job).items():
            log.info("%s:", job.jobs / name)
            emit(text)
        return
    for entry in submit.submit(job, settings):
        emit(entry.id)


def _loaded(config: Path, overrides: Sequence[str] | None) -> tuple[Loaded[Any], Any]:
    """The settings, by what the file says it is."""
    root = read_file(config)
    named = root.value.get("stage") if isinstance(root.value, dict) else None
    stage = named.value if named is not None else None
    if stage not in _STAGES:
        raise UsageError(
            f"{config}: stage '{stage}' is none that can be submitted", hint=f"those can: {', '.join(_STAGES)}"
        )
    return load_config(config, model_of(str(stage)), overrides), stage


def _site(name: str | None, scheduler: SchedulerName | None, settings: Sequence[str] | None) -> Any:
    from jpfm.launch import site

    generic = {"slurm": "generic", "pbs": "generic-pbs", "age": "generic-age", None: "generic"}
    found = site.find(name or generic[scheduler], settings or ())
    if scheduler is not None and found.scheduler != scheduler:
        raise UsageError(
            f"--scheduler {scheduler}: {found.title} has {found.scheduler}",
            hint="leave --scheduler out, or change --site",
        )
    return found


def _queue(place: Any, name: str | None, print_: bool) -> tuple[str, Any]:
    """The queue as the site file has it; of a partition it does not name, as Slurm says where it is here.

    Raises:
        UsageError: the site has no such queue, or the cluster none of that name.
    """
    from jpfm.launch import partitions

    queue_name, there = place.queue_named(name)
    if place.scheduler == "slurm" and partitions.is_here() and (place.other_queues or not print_):
        try:
            told = partitions.ask_slurm(queue_name)
        except EnvironmentProblem as problem:
            if not print_:
                raise
            log.warning("%s; nodes are as the site file says", problem.message)
            return queue_name, there
        if place.other_queues:
            return queue_name, told
        limits = ("gpus_per_node", "cpus_per_node", "max_nodes", "max_hours")
        both = {name: [getattr(queue, name) for queue in (told, there)] for name in limits}
        there = there.model_copy(
            update={name: min((v for v in values if v is not None), default=None) for name, values in both.items()}
        )
    return queue_name, there


def _refuse_foreign(
    stage: str,
    nodes: int,
    chain: int,
    tasks: int,
    spread: bool,
    engine: str,
    follow: Path | None,
    wait: float | None,
) -> None:
    """Options that belong to another stage are no mistake to be passed over."""
    array = stage in ("data", "tokens", "eval")
    for option, given, fits, mend in (
        ("--chain", chain > 1, stage == "train", "leave it out; run the same line again to go on"),
        ("--tasks", tasks > 1, array, "use --nodes"),
        ("--spread-decisions", spread, stage == "data" and tasks > 1, "it goes with data and --tasks"),
        (
            "--engine ray",
            engine == "ray",
            stage in ("data", "tokens") and tasks == 1,
            "it goes with data or tokens, with --nodes and without --tasks",
        ),
        ("--follow", follow is not None, stage == "eval", "leave it out"),
        ("--wait", wait is not None, follow is not None, "it goes with --follow RUN"),
        ("--nodes", nodes > 1, stage == "train" or engine == "ray", "use --tasks, or --engine ray"),
        ("--tasks", tasks > 1, stage != "eval" or follow is not None, "it goes with --follow RUN"),
    ):
        if given and not fits:
            raise UsageError(f"{option}: not for this {stage} job", hint=mend)


def _usual_gpus(stage: str, there: int) -> int:
    return there if stage == "train" else min(1, there) if stage == "eval" else 0


def _plan(config: Any, queue: Any, processes: int) -> float:
    """Look whether the run fits, say how long it takes; returns the bytes of a checkpoint."""
    from jpfm.cli import train_plan
    from jpfm.train.mesh import sizes

    if queue.gpu is not None and queue.gpus_per_node:
        for line in train_plan.train(config, on=f"{processes} {queue.gpu}", refuse=True):
            log.info("%s", line)
    else:
        sizes(config.parallel, processes)
    return train_plan.checkpoint_bytes(config)


def _decisions(recipe: Any) -> int:
    return len(recipe.passes()) - 1


def _seconds(time: str | None, max_hours: float | None) -> int:
    """Seconds of `H:MM` or `H:MM:SS`; without one the queue's limit, at most a day."""
    if time is None:
        return int(min(max_hours or _HOURS, _HOURS) * 3600)
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d)(?::([0-5]\d))?", time)
    if found is None:
        raise UsageError(
            f"--time {time}: this is no time",
            hint="write hours and minutes, such as 24:00 or 0:30, or 3-12:00 with days",
        )
    return int(found[1] or 0) * 86_400 + int(found[2]) * 3600 + int(found[3]) * 60 + int(found[4] or 0)


def _excluded(given: str | None) -> tuple[str, ...]:
    """Names of nodes, from the command line or a file with one a line."""
    if given is None:
        return ()
    if "/" in given or Path(given).is_file():
        if not Path(given).is_file():
            raise UsageError(f"--exclude {given}: no such file", hint="name nodes (n1,n2), or a file with one a line")
        return tuple(Path(given).read_text(encoding="utf-8").split())
    if odd := re.search(r"[^\w.,\[\]-]", given):
        raise UsageError(f"--exclude {given}: {odd[0]!r} is in no name of a node", hint="write n1,n2 or n[1-4]")
    return tuple(re.findall(r"(?:[^,\[]|\[[^\]]*\])+", given))  # commas inside brackets belong to a name


def _line() -> str:
    return shlex.join(["jpfm", *sys.argv[1:]])
