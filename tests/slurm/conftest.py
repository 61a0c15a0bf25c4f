"""A real Slurm cluster of two nodes on this machine, for as long as the tests of this folder run."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
CONFIG = """
ClusterName=jpfm
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CryptoType=crypto/munge
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=30
MinJobAge=600
FirstJobId={ports[0]}
PropagateResourceLimits=NONE
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=4000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=4000
PartitionName=cpu Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""

SITE = """
title: two nodes
scheduler: slurm
queue: cpu
queues:
  cpu: {gpus_per_node: 0, cpus_per_node: 2, max_nodes: 2, max_hours: 1}
remote: srun
node_local: [/dev/shm]
scratch: /dev/shm
"""


@dataclass(frozen=True)
class Slurm:
    """The cluster: commands that reach it."""

    folder: Path
    nodes: Mapping[str, subprocess.Popen[bytes]]

    def run(self, *command: str | Path, cwd: Path | None = None, **settings: str) -> str:
        """What a command prints; it must succeed."""
        done = subprocess.run(
            [str(part) for part in command], env=self.environ() | settings, cwd=cwd, check=False, text=True,
            capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def environ(self) -> dict[str, str]:
        own = {"SLURM_CONF": str(self.folder / "slurm.conf"), "JPFM": str(Path(sys.executable).with_name("jpfm"))}
        return {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "RAY_"))} | own

    def field(self, job: str, name: str) -> list[str]:
        """A field of a job, or of each task of an array, as Slurm knows it."""
        shown = self.run("scontrol", "show", "job", job, "--oneliner")
        return [word.split("=", 1)[1] for word in shown.split() if word.startswith(f"{name}=")]

    def wait(self, job: str, seconds: float = 240) -> list[str]:
        """The states in which a job and its tasks end."""
        end = time.monotonic() + seconds
        while unfinished := {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED"} & set(
            states := self.field(job, "JobState")
        ):
            assert time.monotonic() < end, f"job {job} is {unfinished} after {seconds} s"
            time.sleep(0.3)
        return states


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """Two nodes with two CPUs each. Everything that is started is stopped."""
    path = os.environ["PATH"] + ":/usr/sbin"
    missing = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if missing:
        pytest.skip(f"Slurm is not installed ({', '.join(missing)}); `make slurm` installs it")
    if os.geteuid():
        pytest.skip("a virtual Slurm cluster needs root")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jpfm-slurm-")))
        folder.chmod(0o755)
        cluster = _start(folder, path, stack)
        yield cluster
        cluster.run("scancel", "--user=root")
        _until(lambda: not cluster.run("squeue", "--noheader"), "the jobs do not end")


def _start(folder: Path, path: str, stack: ExitStack) -> Slurm:
    def start(program: str, *options: str) -> subprocess.Popen[bytes]:
        log = stack.enter_context((folder / f"{Path(program).name}.{len(list(folder.iterdir()))}.log").open("wb"))
        found = shutil.which(program, path=path)
        assert found
        process = subprocess.Popen([found, *options], stdout=log, stderr=log, env=environ, cwd="/")
        stack.callback(_stop, process)
        return process

    for name in ("state", "spool.n1", "spool.n2"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    config = CONFIG.format(host=socket.gethostname().split(".")[0], folder=folder, ports=_free_ports(3))
    (folder / "slurm.conf").write_text(config)
    environ = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}
    files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    start("munged", "--foreground", "--force", *(f"--{option}={folder}/munge.{end}" for option, end in files.items()))
    _until((folder / "munge.socket").exists, "munged does not start")
    start("slurmctld", "-D", "-c")
    cluster = Slurm(folder, {name: start("slurmd", "-D", "-N", name) for name in ("n1", "n2")})

    def ready() -> bool:
        told = subprocess.run(["sinfo", "-h", "-N", "-t", "idle"], env=environ, capture_output=True, check=False)
        return told.stdout.count(b"\n") == 2

    _until(ready, "the nodes do not come up")
    return cluster


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for taken in sockets:
            taken.bind(("", 0))
        return [taken.getsockname()[1] for taken in sockets]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _until(happens: Callable[[], object], otherwise: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, otherwise
        time.sleep(0.1)


def submit(slurm: Slurm, config: Path, out: Path, *options: str | Path) -> list[str]:
    """Ids of the jobs that `jpfm submit` hands in."""
    folder = out.parent
    printed = slurm.run(
        slurm.environ()["JPFM"], "submit", config, "--out", out, "--site", folder / "site.yaml", *options, cwd=folder
    )
    return printed.splitlines()


def log_of(out: Path) -> str:
    return "\n".join(
        file.read_text(encoding="utf-8") for file in sorted((out.parent / f"{out.name}.jobs").glob("logs/*"))
    )


def go_on_at_once(slurm: Slurm, job: str, restarts: int = 1) -> None:
    """A requeued job waits until its old credential is no longer valid, which are some minutes elsewhere."""
    _until(lambda: slurm.field(job, "Restarts") == [str(restarts)], "no requeue", 90)
    time.sleep(6)  # cred_expire
    if slurm.field(job, "JobState") == ["PENDING"]:
        with suppress(AssertionError):  # it has just begun by itself
            slurm.run("scontrol", "update", f"jobid={job}", "StartTime=now")
