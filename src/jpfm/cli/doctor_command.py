"""`jpfm doctor`: this machine, or with --cluster all nodes of a job."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from jpfm.cli.shared import Out, emit, require_out
from jpfm.cli.submit_commands import (
    Account,
    Exclude,
    Gpus,
    Nodes,
    Print,
    QueueOption,
    SchedulerOption,
    SiteOption,
    SiteSettings,
    Time,
    submit_preflight,
)
from jpfm.core.errors import EnvironmentProblem, UsageError


def doctor(
    cluster: Annotated[bool, typer.Option("--cluster", help="Look at all nodes of a job, one process a GPU.")] = False,
    out: Out = None,
    site: SiteOption = None,
    scheduler: SchedulerOption = None,
    settings: SiteSettings = None,
    queue: QueueOption = None,
    account: Account = None,
    nodes: Nodes = 1,
    gpus: Gpus = None,
    time: Time = None,
    exclude: Exclude = None,
    print_: Print = False,
    scratch: Annotated[
        Path | None, typer.Option(help="With --cluster: a node's own disk to measure; default: the temporary folder.")
    ] = None,
) -> None:
    """What this machine can do; each problem with its mend.

    With --cluster and --site or --scheduler: submit the preflight of so many nodes as a job; what it finds goes to
    --out, with the names of bad nodes in a file for --exclude. With --cluster alone: be that job (torchrun, srun).
    """
    submits = site is not None or scheduler is not None
    if not cluster:
        if submits or out is not None or nodes > 1 or print_:
            raise UsageError("these options belong to --cluster", hint="add --cluster, or leave them out")
        _this_machine()
    elif submits:
        submit_preflight(out, site, scheduler, settings, queue, account, nodes, gpus, time, exclude, print_)
    elif nodes > 1 or print_:
        raise UsageError("--nodes and --print submit a job", hint="name the cluster too: --site NAME")
    else:
        _cluster(require_out(out, "doctor --cluster"), scratch or Path(tempfile.gettempdir()))


def _this_machine() -> None:
    from jpfm.launch.doctor import examine

    problems = 0
    for finding in examine(Path.cwd()):
        mark = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}[finding.level]
        emit(f"{mark}  {finding.what:<16} {finding.found}")
        if finding.mend:
            emit(f"         {'':<16} -> {finding.mend}")
        problems += finding.level == "problem"
    if problems:
        raise EnvironmentProblem(f"{problems} problem(s) found", hint="mend them as said above")


def _cluster(out: Path, scratch: Path) -> None:
    from rich.console import Console

    from jpfm.core import ending
    from jpfm.launch.attempt import Ledger
    from jpfm.launch.cluster import show
    from jpfm.launch.cluster.examine import examine_cluster

    names: tuple[str, ...] = ()
    if ending.FOLDER in os.environ:  # in a job of ours, which knows the nodes that it was given
        names = tuple(Ledger(Path(os.environ[ending.FOLDER]).parents[1]).attempts()[-1].nodes.split())
    out.parent.mkdir(parents=True, exist_ok=True)
    found = examine_cluster(out, disk=out.parent, scratch=scratch, nodes=names)
    if found.is_main:
        console = Console()
        (console if console.is_terminal else Console(width=200)).print(*show.tables(found), sep="\n")
    if found.problems:
        raise EnvironmentProblem(
            show.verdict(found), hint=f"leave bad nodes out with --exclude {out / 'bad_nodes'}; each mend is told above"
        )
