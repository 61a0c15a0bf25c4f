"""A cluster as jpfm sees it: one file says how jobs are asked for there and what its nodes need.

    site = find("abci3")                       # or Path("mine.yaml"), which may say `extends: generic-pbs`
    queue = site.queue_named(None)

A site file holds no secrets and nothing of one user: the account comes with `--account`. Files that ship with jpfm lie
in `slurm/sites/`; each says where its numbers are from. Refused: a class for each scheduler with the sites as
subclasses; what differs between sites is a word in a directive, and an admin should be able to read it.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from jpfm.core import config
from jpfm.core.config import Settings
from jpfm.core.errors import UsageError

SITES = Path(__file__).with_name("sites")
Scheduler = Literal["slurm", "pbs", "age"]
Positive = Annotated[int, pydantic.Field(ge=1)]


class Variable(Settings):
    """An environment variable that jobs set."""

    value: str
    why: str
    """One sentence, written beside it in the script."""


class Container(Settings):
    """Where jobs find Python and jpfm, if not on the nodes themselves."""

    kind: Literal["none", "apptainer", "pyxis"] = "none"
    image: str | None = None
    """A file (.sif, .sqsh) or, for pyxis, a registry's name such as docker://ORGANISATION/IMAGE:TAG."""
    mounts: tuple[str, ...] = ()
    """Folders that the container sees at the same place."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Container":
        if (self.kind == "none") != (self.image is None):
            raise ValueError("container: kind and image go together: both, or kind none and no image")
        return self


class Queue(Settings):
    """A Slurm partition, a PBS queue, or a resource type of AGE."""

    gpus_per_node: Annotated[int, pydantic.Field(ge=0)]
    cpus_per_node: Positive
    """Cores that a job may have of one node."""
    memory_gib: Annotated[float, pydantic.Field(gt=0)] | None = None
    """Main memory of one node that a job may have."""
    gpu: str | None = None
    """The device as `jpfm train --dry-run --on` knows it, such as H200."""
    max_nodes: Positive | None = None
    max_hours: Annotated[float, pydantic.Field(gt=0)] | None = None
    request: tuple[str, ...] | None = None
    """Directives that ask for nodes, with {nodes}, {gpus}, {cpus} and {time} (h:mm:ss); null: the scheduler's usual
    ones."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Queue":
        for line in self.request or ():
            check_places(line, ("nodes", "gpus", "cpus", "time"))
        return self


def check_places(line: str, known: Sequence[str]) -> None:
    """Refuse what stands in braces and is none of the names that are put in.

    Raises:
        ValueError: there is something.
    """
    try:
        line.format(**dict.fromkeys(known, ""))
    except (KeyError, IndexError, ValueError) as error:
        names = ", ".join(f"{{{name}}}" for name in known)
        raise ValueError(f"'{line}': what stands in braces is one of {names}") from error


class Site(Settings):
    """A cluster."""

    title: str
    source: str | None = None
    """Where the numbers are from, and when they were read."""
    scheduler: Scheduler
    queues: Annotated[Mapping[str, Queue], pydantic.Field(min_length=1)]
    queue: str
    """The one that jobs take unless they name another."""
    other_queues: bool = False
    """Whether there are queues that this file does not name; they are taken to be like the usual one."""
    account: Literal["required", "optional"] = "optional"
    account_option: str | None = None
    """How the account is given, with {account}; null: the scheduler's usual option."""
    account_on_command_line: bool = False
    """Whether the account must be an option of the submitting command instead of a line of the script."""
    directives: tuple[str, ...] = ()
    """More of them, for every job."""
    remote: Literal["srun", "pbsdsh", "qrsh", "ssh"]
    """How a job starts a program on its other nodes."""
    requeue: bool = True
    """Whether a job that stopped and saved may start itself again; where not, use --chain."""
    modules: tuple[str, ...] = ()
    """For `module load`."""
    setup: tuple[str, ...] = ()
    """Lines of shell that each node runs first."""
    environment: Mapping[str, Variable] = {}
    container: Container = Container()
    scratch: str = "/tmp"  # noqa: S108 - a site says otherwise
    """Folder on a node's own disk, for caches; may name a variable of the job such as $PBS_LOCALDIR."""
    node_local: tuple[str, ...] = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - what is refused
    """Folders that other nodes do not see: nothing that must last is written there."""
    write_gb_per_second: Annotated[float, pydantic.Field(gt=0)] = 0.5
    """What a job can write to the shared disk in all; decides how early a job is told to save."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Site":
        if self.queue not in self.queues:
            raise ValueError(f"queue: '{self.queue}' is none of the queues: {', '.join(self.queues)}")
        if self.account_option is not None:
            check_places(self.account_option, ("account",))
        usual = {"srun": "slurm", "pbsdsh": "pbs", "qrsh": "age", "ssh": self.scheduler}
        if usual[self.remote] != self.scheduler:
            raise ValueError(f"remote: {self.remote} is no program of {self.scheduler}")
        for name in self.environment:
            if not name.isidentifier() or not name.isascii():
                raise ValueError(f"environment: '{name}' is no name of a variable")
        return self

    def queue_named(self, name: str | None) -> tuple[str, Queue]:
        """A queue by name, or the usual one.

        Raises:
            UsageError: there is none of that name.
        """
        wanted = name or self.queue
        if self.other_queues:
            return wanted, self.queues.get(wanted, self.queues[self.queue])
        if wanted not in self.queues:
            raise UsageError(
                f"{self.title}: no queue '{wanted}'{_did_you_mean(wanted, self.queues)}",
                hint=f"queues of this site: {', '.join(self.queues)}",
            )
        return wanted, self.queues[wanted]


def names() -> list[str]:
    """Sites that ship with jpfm."""
    return sorted(path.stem for path in SITES.glob("*.yaml"))


def find(site: str, changes: Sequence[str] = ()) -> Site:
    """A site by name, or from a file.

    Args:
        changes: `field=value` pairs to set.

    Raises:
        UsageError: there is none of that name, or the file has problems.
    """
    path = SITES / f"{site}.yaml"
    if site not in names():
        path = Path(site)
        if not path.exists():
            raise UsageError(
                f"--site {site}: neither a file nor a site that jpfm knows{_did_you_mean(site, names())}",
                hint=f"known: {', '.join(names())}; for another cluster copy the nearest of slurm/sites/ and change it",
            )
    return config.load(path, Site, changes).config


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
