"""A job to submit: what runs, on which nodes, for how long; and the scripts that say so.

    job = Job(stage="train", name="8B", out=out, site=find("abci3"), scheduler="pbs", ..., nodes=4, seconds=86_400)
    for part in job.parts(): print(render(job, part))

A job is one script or several that wait for each other (the slices of a build and the job that finishes). Scripts are
rendered from slurm/*.jinja, written beside the run and handed in as they are: what ran can be read, compared and handed
in by hand. Refused: submitit (Slurm alone, and what runs is a pickle), and a scheduler's Python API.
"""

import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jinja2

from jpfm.launch.attempt import LOGS, NOTHING_TO_DO
from jpfm.launch.schedulers import SCHEDULERS, Kind
from jpfm.launch.site import Queue, Scheduler, Site

TEMPLATES = Path(__file__).with_name("templates")
CONFIG = "config.yaml"
Stage = Literal["train", "data", "tokens", "eval", "doctor"]
Launcher = Literal["node", "ray_node"]
_COMMANDS: dict[Stage, str] = {
    "train": "train", "data": "data build", "tokens": "tokens pack", "eval": "eval", "doctor": "doctor --cluster",
}  # fmt: skip
_LAST_SECONDS = 300
"""How early a run is told to save, where saving takes no longer."""
_LAST_SECONDS_OF_OTHERS = 60
"""The same of jobs that save as they go: a slice or a task is lost at most."""


@dataclass(frozen=True)
class Part:
    """One script of a job."""

    file: str
    what: str
    """For a person."""
    job_name: str
    template: Literal["distributed", "one_node"]
    arguments: str
    """Of jpfm, quoted for the shell; may name the variables that a script has."""
    nodes: int = 1
    processes: int = 1
    """Of each node."""
    array: int | None = None
    """Tasks of an array."""
    after: Kind = "afterok"
    """How it waits for the part before it."""
    launcher: Launcher = "node"
    chained: bool = False
    """Whether another job stands ready to go on."""


@dataclass(frozen=True)
class Job:
    """What is submitted."""

    stage: Stage
    name: str
    out: Path
    site: Site
    scheduler: Scheduler
    queue_name: str
    queue: Queue
    nodes: int
    gpus: int
    """Of each node."""
    cpus: int
    """Of each node."""
    seconds: int
    """The time limit of one job."""
    stop_before: int
    """Seconds before the limit at which the processes are told to save."""
    chain: int = 1
    tasks: int = 1
    spread_decisions: int = 0
    """Decisions of a build that the array applies instead of the job that finishes."""
    ray: bool = False
    follow: Path | None = None
    wait_minutes: float | None = None
    """Without news of the run it follows an evaluation ends."""
    account: str | None = None
    exclude: tuple[str, ...] = ()
    line: str = ""
    """The command line that made it."""

    @property
    def jobs(self) -> Path:
        """The folder beside the run with all that concerns its jobs."""
        return jobs_folder(self.out)

    @property
    def processes(self) -> int:
        """Processes of a node: one a GPU, or one."""
        return self.gpus or 1

    @property
    def threads(self) -> int:
        """Cores of a process."""
        return 1 if self.stage in ("data", "tokens") else max(1, self.cpus // self.processes)

    def parts(self) -> list[Part]:
        """The scripts, in the order in which they wait for each other."""
        name = f"jpfm-{re.sub(r'[^0-9A-Za-z_.-]', '_', self.name)}"[:60]
        command, config = _COMMANDS[self.stage], self.jobs / CONFIG
        words = [*command.split(), *([] if self.stage == "doctor" else [str(config)]), "--out", str(self.out)]
        if self.stage in ("train", "doctor"):
            what = "train" if self.stage == "train" else "preflight of the nodes"
            scratch = f" --scratch {self.site.scratch}" if self.stage == "doctor" else ""
            part = Part("job.sh", what, name, "distributed", shlex.join(words) + scratch, self.nodes, self.processes,
                        after="afterany", chained=self.chain > 1)  # fmt: skip
            return [part] * self.chain
        if self.stage == "eval":
            words += ["--follow", str(self.follow)] if self.follow is not None else []
            words += ["--wait", f"{self.wait_minutes:g}"] if self.wait_minutes is not None else []
            array = self.tasks if self.tasks > 1 else None
            return [Part("eval.sh", "evaluate", name, "one_node", shlex.join(words), array=array)]
        words += ["--workers", str(self.cpus)] if not self.ray else []
        if self.ray:
            return [Part("job.sh", "build with Ray", name, "distributed", shlex.join(words), self.nodes, self.cpus,
                         launcher="ray_node")]  # fmt: skip
        if self.tasks == 1:
            return [Part("job.sh", "build", name, "one_node", shlex.join(words))]
        sliced = Part(
            "slices.sh", f"{self.tasks} slices", name, "one_node",
            f'{shlex.join(words)} --slice "$task/{self.tasks}"', array=self.tasks,
        )  # fmt: skip
        decide = Part("decide.sh", "decide", f"{name}-decide", "one_node", shlex.join([*words, "--decide"]))
        finish = Part("finish.sh", "finish", f"{name}-finish", "one_node", shlex.join([*words, "--finish"]))
        return [sliced, *([decide, sliced] * self.spread_decisions), finish]


def jobs_folder(out: Path) -> Path:
    """Where the scripts, logs and records of a run's jobs lie."""
    return out.with_name(out.name + ".jobs")


def render(job: Job, part: Part) -> str:
    """The script of a part."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,  # noqa: S701 - shell, quoted by `q`
    )  # fmt: skip
    environment.filters |= {"q": _quoted, "dq": _in_double_quotes, "one_line": _on_one_line}
    template = environment.get_template(f"{part.template}.jinja")
    return template.render(context(job, part)).lstrip("\n")


def _quoted(value: object) -> str:
    return shlex.quote(str(value))


def _in_double_quotes(value: str) -> str:
    """For the shell, which still puts in variables.

    >>> _in_double_quotes('$HOME/a "b"')
    '"$HOME/a \\\\"b\\\\""'
    """
    return '"' + re.sub(r'(["`\\])', r"\\\1", value) + '"'


def _on_one_line(value: object) -> str:
    """For a comment or a directive: what follows a line's end would be a command."""
    return " ".join(str(value).split())


def context(job: Job, part: Part) -> dict[str, Any]:
    """What templates may name."""
    site, clock = job.site, clock_words(job.seconds)
    mounts = _outermost((*site.container.mounts, str(Path.cwd()), str(job.out.parent)))
    places = {"nodes": part.nodes, "gpus": job.gpus, "cpus": job.cpus, "time": clock}
    return {
        "job": job, "part": part, "site": site, "scheduler": job.scheduler, "time": clock,
        "title": f"{job.name}: {part.what}, {_size(job, part)}, {site.title}",
        "handed_in": _handed_in(job, part), "line": job.line,
        "cwd": str(Path.cwd()), "jobs": str(job.jobs), "logs": str(job.jobs / LOGS),
        "request": [line.format(**places) for line in job.queue.request or ()],
        "account": [] if site.account_on_command_line else account_options(job),
        "submit_options": "".join(f" {option}" for option in submit_options(job)),
        "python": sys.executable, "pythonpath": os.environ.get("PYTHONPATH"),
        "mounts": mounts, "container_options": _pyxis(site, mounts), "nothing_to_do": NOTHING_TO_DO,
    }  # fmt: skip


def _outermost(folders: Sequence[str]) -> list[str]:
    """Without those that lie in another."""
    paths = {Path(folder) for folder in folders}
    return [str(path) for path in sorted(paths) if not paths & set(path.parents)]


def _handed_in(job: Job, part: Part) -> str:
    """The command that hands a script in; the id of the job that it waits for is known only then."""
    before = () if part.file == job.parts()[0].file else ("ID",)
    return shlex.join(
        SCHEDULERS[job.scheduler].submit_command(
            job.jobs / part.file, before, part.after, shlex.split(" ".join(submit_options(job)))
        )
    )


def account_options(job: Job) -> list[str]:
    """Who pays, as a directive or an option of the command."""
    if job.account is None:
        return []
    usual = {"slurm": "--account={account}", "pbs": "-P {account}", "age": "-P {account}"}
    return [(job.site.account_option or usual[job.scheduler]).format(account=shlex.quote(job.account))]


def submit_options(job: Job) -> list[str]:
    """Options that the submitting command itself must have, quoted for the shell."""
    return account_options(job) if job.site.account_on_command_line else []


def _pyxis(site: Site, mounts: Sequence[str]) -> str:
    if site.container.kind != "pyxis":
        return ""
    pairs = ",".join(f"{folder}:{folder}" for folder in mounts)
    return shlex.join([f"--container-image={site.container.image}", f"--container-mounts={pairs}"])


def _size(job: Job, part: Part) -> str:
    nodes = "one node" if part.nodes == 1 else f"{part.nodes} nodes"
    each = f"{job.gpus} GPU{'s' * (job.gpus > 1)} and " if job.gpus else ""
    return f"{nodes} with {each}{job.cpus} core{'s' * (job.cpus > 1)}{' each' * (part.nodes > 1)}"


def clock_words(seconds: int) -> str:
    """`24:00:00`, as all three schedulers read it."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def last_seconds(stage: Stage, checkpoint_bytes: float, site: Site) -> int:
    """How long before its limit a job must be told to save, so that a checkpoint of that size is on disk in time."""
    if stage != "train":
        return _LAST_SECONDS_OF_OTHERS
    return max(_LAST_SECONDS, round(2 * checkpoint_bytes / (site.write_gb_per_second * 1e9)) + 60)
