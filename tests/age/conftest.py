"""A real Grid Engine of three hosts on this machine, for as long as the tests of this folder run.

    job = grid.run("qsub", "-terse", script, cwd=folder)
    assert grid.wait(job) == [End(task=None, failed=0, exit_status=0)]

Debian's Grid Engine 8.1.9 has the directives, variables and signals of Altair Grid Engine (TSUBAME4) that jpfm uses.
Each host is a network namespace with a name and an address of its own, so that jobs meet hosts as on a cluster;
`-l node_f=2` asks for two of them. The third is for restarts: when a job over several hosts exits with 99, this
version keeps all but its first host from it for good ("until clean up of a previous run has finished"). Where a site
decides, this one has: jobs whose first host is lost start again after about 10 s, and jobs inherit nothing from the
daemon. Refused: one host with six slots, which starts in the same 2 s but never runs a program on another host.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

PROGRAMS = ("sge_qmaster", "sge_execd", "qsub", "qconf", "qacct", "unshare", "nsenter", "ip")
PACKAGE = Path("/usr/share/gridengine")
INSTALLED = Path("/var/lib/gridengine")
ADDRESSES = {"n1": "10.77.0.1", "n2": "10.77.0.2", "n3": "10.77.0.3"}
JOB_GROUPS = range(65400, 65501)
"""Each job's processes have one of these as supplementary group, so that Grid Engine finds them."""
NOTIFY_SECONDS = 5
"""From SIGUSR2 to SIGKILL, for jobs submitted with -notify."""
BOOTSTRAP = """
admin_user        none
default_domain    none
ignore_fqdn       true
spooling_method   classic
spooling_lib      libspoolc
spooling_params   {common};{spool}
binary_path       /usr/sbin
qmaster_spool_dir {spool}
security_mode     none
listener_threads  2
worker_threads    2
scheduler_threads 1
"""
# `-l node_f=N` asks for N whole nodes, as on TSUBAME4: the resource becomes slots of a parallel environment
VERIFIER = r"""#!/bin/bash
while read -r word name value; do
  case $word in
    START) hard=; echo STARTED ;;
    PARAM) if [ "$name" = l_hard ]; then hard=$value; fi ;;
    BEGIN)
      if [[ ",$hard," =~ ,node_f=([0-9]+), ]]; then
        slots=$((2 * BASH_REMATCH[1]))
        rest=,$hard,; rest=${rest/,node_f=${BASH_REMATCH[1]},/,}; rest=${rest#,}
        echo "PARAM l_hard ${rest%,}"
        printf 'PARAM pe_%s\n' "name node_f" "min $slots" "max $slots"
        echo RESULT STATE CORRECT
      else
        echo RESULT STATE ACCEPT
      fi ;;
    QUIT) exit ;;
  esac
done
"""
WHOLE_NODES = """
pe_name            node_f
slots              999
user_lists         NONE
xuser_lists        NONE
start_proc_args    NONE
stop_proc_args     NONE
allocation_rule    2
control_slaves     TRUE
job_is_first_task  FALSE
urgency_slots      min
accounting_summary TRUE
qsort_args         NONE
"""
NO_LIMITS = "".join(
    f"{kind}_{what} INFINITY\n"
    for what in ("rt", "cpu", "fsize", "data", "stack", "core", "rss", "vmem")
    for kind in "sh"
)
QUEUE = f"""
qname             all.q
hostlist          @allhosts
seq_no            0
load_thresholds   NONE
suspend_thresholds NONE
nsuspend          1
suspend_interval  00:05:00
priority          0
min_cpu_interval  00:05:00
processors        UNDEFINED
qtype             BATCH INTERACTIVE
ckpt_list         NONE
pe_list           node_f
rerun             FALSE
slots             2
tmpdir            /tmp
shell             /bin/bash
prolog            NONE
epilog            NONE
shell_start_mode  unix_behavior
starter_method    NONE
suspend_method    NONE
resume_method     NONE
terminate_method  NONE
notify            00:00:{NOTIFY_SECONDS:02}
owner_list        NONE
user_lists        NONE
xuser_lists       NONE
subordinate_list  NONE
complex_values    NONE
projects          NONE
xprojects         NONE
calendar          NONE
initial_state     default
{NO_LIMITS}"""
GLOBAL = {
    "gid_range": f"{JOB_GROUPS[0]}-{JOB_GROUPS[-1]}",
    "min_uid": "0",
    "min_gid": "0",
    "load_report_time": "00:00:01",
    "max_unheard": "00:00:05",
    "reschedule_unknown": "00:00:01",
    "execd_params": "INHERIT_ENV=false",
    "reporting_params": "accounting=true reporting=false flush_time=00:00:01 accounting_flush_time=00:00:00 "
    "joblog=false sharelog=00:00:00",
}
SCHEDULER = {
    "schedule_interval": "0:0:1",
    "flush_submit_sec": "1",
    "flush_finish_sec": "1",
    "load_formula": "slots",
    "job_load_adjustments": "NONE",
}


class End(NamedTuple):
    """How a job, or a task of an array, ended."""

    task: int | None
    failed: int
    """0: the job ran to its own end; 100: killed by a signal; 37: stopped at its time limit; 25: it asked to start
    again after it was deleted."""
    exit_status: int
    """128 + the signal, for what was killed."""


@dataclass(frozen=True)
class Grid:
    """The cell: commands that reach it."""

    folder: Path
    hosts: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    """By name: the process that holds the host's namespaces."""
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, *command: str | Path, cwd: Path | None = None, host: str = "n1", **settings: str) -> str:
        """What a command on a host prints; it must succeed."""
        done = self._call(*command, cwd=cwd, host=host, **settings)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout.strip()

    def environ(self) -> dict[str, str]:
        """The submitting user's. Jobs see none of it but what `qsub -v` or `-V` hands on."""
        own = {
            "SGE_ROOT": str(self.folder / "root"), "SGE_CELL": "default", "SGE_QMASTER_PORT": "6444",
            "SGE_EXECD_PORT": "6445", "JPFM": str(Path(sys.executable).with_name("jpfm")),
        }  # fmt: skip
        return {name: value for name, value in os.environ.items() if not name.startswith(("SGE_", "RAY_"))} | own

    def start(self, host: str, program: str) -> None:
        """Start a daemon on a host; the end of the session stops it."""
        inside = self.inside(host, Path("/"))
        with (self.folder / f"{program}.{host}.log").open("ab") as log:
            daemon = subprocess.Popen(
                [*inside, program], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.environ() | {"SGE_ND": "1"},
            )  # fmt: skip
        self.daemons.append(daemon)

    def fail(self, host: str) -> None:
        """Kill a host's daemon and jobs, as when it loses power; `start` brings it back. The qmaster lives on."""
        self._end(host, _of_execd)

    def processes(self, host: str, which: Callable[[Path], bool]) -> list[int]:
        """What runs on a host; `which` is given its folder in /proc."""
        keeper = self.hosts[host].pid
        space = Path(f"/proc/{keeper}/ns/net").readlink()
        found = []
        for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
            with suppress(OSError):  # it has ended, or is a kernel thread
                process = Path(f"/proc/{pid}")
                if pid != keeper and (process / "ns" / "net").readlink() == space and which(process):
                    found.append(pid)
        return found

    def jobs_processes(self) -> list[int]:
        """What the jobs have started, on all hosts."""
        return [pid for host in self.hosts for pid in self.processes(host, _of_job)]

    def state(self, job: str) -> str | None:
        """As qstat words it: hqw, qw, r, Rr, Eqw; None when the job has left the queue."""
        rows = [line.split() for line in self.run("qstat", "-u", "*").splitlines()[2:]]
        return next((row[4] for row in rows if row[0] == job), None)

    def wait(self, job: str, seconds: float = 240) -> list[End]:
        """How a job and its tasks end, by the accounting file."""
        end = time.monotonic() + seconds
        job = job.split(".", maxsplit=1)[0]  # `qsub -terse -t` prints 7.1-3:1
        while state := self.state(job):
            assert "E" not in state, self.run("qstat", "-j", job)
            assert time.monotonic() < end, f"job {job} is {state} after {seconds} s"
            time.sleep(0.2)
        _until(lambda: self._call("qacct", "-j", job).returncode == 0, lambda: f"job {job} is not accounted for")
        ends: dict[int | None, End] = {}  # of each task its last start
        for record in self.run("qacct", "-j", job).split("=" * 62)[1:]:
            value = {words[0]: words[1] for line in record.splitlines() if len(words := line.split()) > 1}
            task = int(value["taskid"]) if value["taskid"].isdecimal() else None
            ends[task] = End(task, int(value["failed"]), int(value["exit_status"]))
        return sorted(ends.values(), key=lambda each: each.task or 0)

    def clear(self) -> None:
        """Delete all jobs, whatever state they are in."""
        if self.run("qstat", "-u", "*"):
            self._call("qdel", "-f", "-u", "*")
            _until(lambda: not self.run("qstat", "-u", "*"), lambda: self.run("qstat", "-u", "*"))
        for host in self.hosts:  # Grid Engine spares processes of root that left their process group, and no others
            self._end(host, _of_job)

    def inside(self, host: str, cwd: Path) -> list[str]:
        """The beginning of a command line that runs on a host."""
        return ["nsenter", f"--target={self.hosts[host].pid}", "--net", "--uts", "--mount", f"--wd={cwd}"]

    def _end(self, host: str, which: Callable[[Path], bool]) -> None:
        def quiet() -> bool:
            for process in (processes := self.processes(host, which)):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            return not processes

        _until(quiet, lambda: f"{host} does not stop: {self.processes(host, which)}")

    def _call(
        self, *command: str | Path, cwd: Path | None = None, host: str = "n1", **settings: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.inside(host, cwd or Path.cwd()), *(str(part) for part in command)],
            env=self.environ() | settings, check=False, text=True, capture_output=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture(scope="session")
def grid() -> Iterator[Grid]:
    """Three hosts with two slots each. Everything that is started is stopped."""
    missing = [program for program in PROGRAMS if shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin") is None]
    if missing:
        pytest.skip(f"Grid Engine is not installed ({', '.join(missing)}); `make gridengine` installs it")
    if os.geteuid():
        pytest.skip("a virtual Grid Engine needs root")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jpfm-age-", ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        cell = Grid(folder)
        stack.callback(_stop, cell)
        _hosts(cell)
        _start(cell)
        yield cell


def _hosts(cell: Grid) -> None:
    """Network namespaces, each with a cable to a switch in the first; they share their disks and one /etc/hosts."""
    names = cell.folder / "hosts"
    names.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in ADDRESSES.items()))
    first, *others = ADDRESSES
    _host(cell, first, ["unshare", "--net", "--uts", "--mount", "sh", "-c"], f"mount --bind {names} /etc/hosts")
    cell.run("ip", "link", "add", "network", "type", "bridge")
    for name in others:
        enter = ["nsenter", f"--target={cell.hosts[first].pid}", "--mount", "unshare", "--net", "--uts", "sh", "-c"]
        _host(cell, name, enter, "true")
        cable = ["ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "network", "netns"]
        cell.run(*cable, str(cell.hosts[name].pid))
        cell.run("ip", "link", "set", f"to-{name}", "master", "network", "up")
    for name, address in ADDRESSES.items():
        cell.run("ip", "address", "add", f"{address}/24", "dev", "network", host=name)
        cell.run("ip", "link", "set", "network", "up", host=name)


def _host(cell: Grid, name: str, enter: list[str], prepare: str) -> None:
    script = f"hostname {name} && {prepare} && ip link set lo up && echo up && exec sleep infinity"
    keeper = subprocess.Popen([*enter, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert keeper.stdout
    assert keeper.stderr
    if keeper.stdout.readline() != "up\n":
        pytest.skip(f"no right to make network namespaces: {keeper.stderr.read().strip()}")
    cell.hosts[name] = keeper


def _start(cell: Grid) -> None:
    root = cell.folder / "root"
    common, spool = root / "default" / "common", root / "default" / "spool" / "qmaster"
    common.mkdir(parents=True)
    (spool / "job_scripts").mkdir(parents=True)
    (cell.folder / "spool").mkdir()
    for name in ("bin", "lib", "util", "utilbin"):
        (root / name).symlink_to(INSTALLED / name)
    (common / "bootstrap").write_text(BOOTSTRAP.format(common=common, spool=spool))
    (common / "act_qmaster").write_text("n1\n")
    (cell.folder / "verifier").write_text(VERIFIER)
    (cell.folder / "verifier").chmod(0o755)
    own = {"execd_spool_dir": str(cell.folder / "spool"), "jsv_url": f"script:{cell.folder}/verifier"}
    configuration = _changed((PACKAGE / "default-configuration").read_text(), GLOBAL | own)
    programs = Path("/usr/lib/gridengine")
    cell.run(programs / "spoolinit", "classic", "libspoolc", f"{common};{spool}", "init")
    first: dict[str, str | Path] = {
        "configuration": _file(cell, "configuration", configuration),
        "complexes": PACKAGE / "util" / "resources" / "centry",
        "usersets": PACKAGE / "util" / "resources" / "usersets",
        "managers": "root",
    }
    for what, value in first.items():
        cell.run(programs / "spooldefaults", what, value)
    cell.start("n1", "sge_qmaster")
    _until(lambda: not cell._call("qconf", "-sh").returncode, lambda: f"no qmaster: {_logs(cell)}")
    cell.run("qconf", "-ah", "n2")
    for name in ADDRESSES:
        cell.run("qconf", "-as", name)
    complexes = cell.run("qconf", "-sc") + "\nnode_f node_f INT <= YES NO 0 0\n"
    scheduler = _changed(cell.run("qconf", "-ssconf"), SCHEDULER)
    for option, text in {
        "-Mc": complexes,
        "-Ap": WHOLE_NODES,
        "-Msconf": scheduler,
        "-Ahgrp": f"group_name @allhosts\nhostlist {' '.join(ADDRESSES)}\n",
        "-Aq": QUEUE,
    }.items():
        cell.run("qconf", option, _file(cell, option.lstrip("-"), text))
    for name in ADDRESSES:
        cell.start(name, "sge_execd")
    _until(lambda: _up(cell), lambda: f"no execd: {_logs(cell)}")


def _up(cell: Grid) -> bool:
    """Whether all queue instances are without a state, such as u for a host not heard of."""
    rows = [line.split() for line in cell.run("qstat", "-f").splitlines() if line.startswith("all.q@")]
    return len(rows) == len(ADDRESSES) and all(len(row) == 5 and row[3] != "-NA-" for row in rows)


def _stop(cell: Grid) -> None:
    for name, keeper in cell.hosts.items():
        cell._end(name, lambda process: True)
        keeper.kill()
        keeper.communicate()
    for daemon in cell.daemons:
        daemon.wait()


def _changed(text: str, settings: Mapping[str, str]) -> str:
    lines = [line for line in text.splitlines() if line.split(" ")[0] not in settings]
    return "\n".join([*lines, *(f"{name} {value}" for name, value in settings.items()), ""])


def _file(cell: Grid, name: str, text: str) -> Path:
    path = cell.folder / name
    path.write_text(text.lstrip("\n"))
    return path


def _logs(cell: Grid) -> str:
    return "\n".join(path.read_text() for path in sorted(cell.folder.glob("*.log")))


def _of_job(process: Path) -> bool:
    groups = (process / "status").read_text().split("\nGroups:")[1].split("\n")[0].split()
    return any(int(group) in JOB_GROUPS for group in groups)


def _of_execd(process: Path) -> bool:
    return (process / "comm").read_text().strip() in ("sge_execd", "sge_shepherd") or _of_job(process)


def _until(happens: Callable[[], object], otherwise: Callable[[], str], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, otherwise()
        time.sleep(0.1)
