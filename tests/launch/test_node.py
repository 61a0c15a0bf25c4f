"""The launcher of a node with real torchrun processes: codes, signals, the clock; and whole PBS jobs without PBS."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from tests.conftest import tiny_training

from jpfm.core import ending
from jpfm.core.artifact import Artifact
from jpfm.launch.attempt import Ledger
from jpfm.launch.job import Job
from jpfm.launch.node import OVER, STOP, children
from jpfm.launch.site import Queue, Site
from jpfm.launch.submit import scripts

pytestmark = pytest.mark.slow


def free_port() -> int:
    import socket

    with socket.socket() as taken:
        taken.bind(("", 0))
        return int(taken.getsockname()[1])


@contextmanager
def node(
    jobs: Path, *arguments: str | Path, processes: int = 2, until: float | None = None, more: Sequence[str] = ()
) -> "Iterator[subprocess.Popen[str]]":
    ends = jobs / "ends" / "1"
    ends.mkdir(parents=True)
    options = ["--until", str(until)] if until is not None else []
    command = [
        sys.executable, "-m", "jpfm.launch.node", "--rank", "0", "--nodes", "1", "--processes", str(processes),
        "--head", "127.0.0.1", "--port", str(free_port()), "--jobs", str(jobs), *options, *more,
        "--", *map(str, arguments),
    ]  # fmt: skip
    environ = os.environ | {ending.FOLDER: str(ends)}
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def finished(process: "subprocess.Popen[str]") -> tuple[int, str]:
    told = process.communicate(timeout=120)[1]
    return process.returncode, told


def wait_for(happens: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.1)


@pytest.fixture
def config(tokens: Artifact, tmp_path: Path) -> Path:
    """A run that takes longer than any test waits."""
    settings = tiny_training(
        tokens, steps=100_000, save={"every_steps": None}, parallel={"replicate": 1, "shard": None}
    )
    file = tmp_path / "train.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    return file


def steps(out: Path) -> int:
    file = out.with_name(out.name + ".partial") / "logs" / "metrics.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_the_code_of_a_process_comes_through_torchrun(tmp_path: Path) -> None:
    with node(tmp_path / "jobs", "verify", tmp_path / "nothing") as process:
        code, told = finished(process)
    assert code == 4, told
    first = ending.read(tmp_path / "jobs" / "ends" / "1")[0]
    assert (first.code, first.message) == (4, f"{tmp_path}/nothing does not exist")


def test_a_good_end(tmp_path: Path) -> None:
    with node(tmp_path / "jobs", "config", "schema", "train") as process:
        assert finished(process)[0] == 0
    assert [(end.rank, end.code) for end in ending.read(tmp_path / "jobs" / "ends" / "1")] in (
        [(0, 0), (1, 0)], [(1, 0), (0, 0)],
    )  # fmt: skip


@pytest.mark.parametrize("how", ["USR1", "the file stop", "the clock"])
def test_told_to_stop(how: str, config: Path, tmp_path: Path) -> None:
    jobs, out = tmp_path / "jobs", tmp_path / "model"
    until = time.time() + 45 if how == "the clock" else None
    with node(jobs, "train", config, "--out", out, until=until) as process:
        wait_for(lambda: steps(out) > 3)
        if how == "the file stop":
            (jobs / STOP).touch()
        elif until is None:
            process.send_signal(signal.Signals[f"SIG{how}"])
        code, told = finished(process)
    assert code == 75, told
    assert "2 processes are told to save and stop" in told
    done = steps(out)
    assert (out.with_name("model.partial") / f"steps/step-{done:08d}/manifest.json").exists()


def test_a_process_that_is_killed_is_named(config: Path, tmp_path: Path) -> None:
    """By torchrun, which alone can know; in one line instead of its traceback."""
    jobs, out = tmp_path / "jobs", tmp_path / "model"
    with node(jobs, "train", config, "--out", out) as process:
        wait_for(lambda: steps(out) > 3)
        (torchrun,) = children(process.pid)
        os.kill(children(torchrun)[1], signal.SIGKILL)
        code, told = finished(process)
    assert code in (1, 5), told
    (killed,) = [end for end in ending.read(jobs / "ends" / "1") if "SIGKILL" in end.message]
    assert f"process {killed.rank} on " in told
    assert "Traceback" not in told


def test_torchrun_itself_hears_nothing(config: Path, tmp_path: Path) -> None:
    """Schedulers signal every process of a job; torchrun would kill the ranks after 30 s, saved or not."""
    with node(tmp_path / "jobs", "train", config, "--out", tmp_path / "model") as process:
        wait_for(lambda: steps(tmp_path / "model") > 3)
        (torchrun,) = children(process.pid)
        status = Path(f"/proc/{torchrun}/status").read_text()
        ignored = int(next(line for line in status.splitlines() if line.startswith("SigIgn")).split()[1], 16)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            assert ignored >> (number - 1) & 1, number.name
            os.kill(torchrun, number)
        process.send_signal(signal.SIGTERM)
        assert finished(process)[0] == 75


def test_one_process_without_torchrun(config: Path, tmp_path: Path) -> None:
    """Slices of a build and evaluations: the same clock, the same file `stop`."""
    jobs, out = tmp_path / "jobs", tmp_path / "model"
    with node(jobs, "train", config, "--out", out, more=["--alone"]) as process:
        wait_for(lambda: steps(out) > 3)
        (training,) = children(process.pid)
        assert not children(training), "torchrun"
        (jobs / STOP).touch()
        assert finished(process)[0] == 75
    with node(tmp_path / "other", "verify", tmp_path / "nothing", more=["--alone"]) as process:
        assert finished(process)[0] == 4


def test_told_before_the_processes_can_hear(config: Path, tmp_path: Path) -> None:
    """While torch is imported; nothing is lost and nobody waits for the end of the time."""
    with node(tmp_path / "jobs", "train", config, "--out", tmp_path / "model") as process:
        time.sleep(1.0)
        process.send_signal(signal.SIGUSR1)
        assert finished(process)[0] == 75
    assert 75 in [end.code for end in ending.read(tmp_path / "jobs" / "ends" / "1")], "they were not killed by it"


def test_the_first_node_has_ended_long_ago(config: Path, tmp_path: Path) -> None:
    """A scheduler does not end what ssh has started."""
    jobs, out = tmp_path / "jobs", tmp_path / "model"
    with node(jobs, "train", config, "--out", out) as process:
        wait_for(lambda: steps(out) > 3)
        (jobs / "ends" / "1" / OVER).touch()
        assert finished(process)[0] != 0
    assert not children(process.pid)


def test_a_launcher_that_is_killed_leaves_no_process(config: Path, tmp_path: Path) -> None:
    """Its processes save and end instead of computing on where nobody knows of them."""
    out = tmp_path / "model"
    with node(tmp_path / "jobs", "train", config, "--out", out) as process:
        wait_for(lambda: steps(out) > 3)
        (torchrun,) = children(process.pid)
        ranks = children(torchrun)
        assert len(ranks) == 2
        process.kill()
        wait_for(lambda: not any(Path(f"/proc/{rank}").exists() for rank in ranks))
    assert (out.with_name("model.partial") / f"steps/step-{steps(out):08d}/manifest.json").exists()


PBS = Site(
    title="no scheduler", scheduler="pbs", queue="cpu", queues={"cpu": Queue(gpus_per_node=0, cpus_per_node=1)},
    remote="ssh", scratch="/dev/shm", requeue=False,
)  # fmt: skip
SHIMS = {  # what starts a program on another host, here on this one; as bare an environment as the real ones give
    "ssh": 'while [ "${1#-}" != "$1" ]; do shift 2; done; shift; exec env -i PATH=/usr/bin:/bin bash -c "$*"\n',
    "pbsdsh": 'shift 3; exec env -i PATH=/usr/bin:/bin PBS_JOBID="$PBS_JOBID" "$@"\n',
}


@pytest.mark.parametrize("remote", ["ssh", "pbsdsh"])
def test_a_chain_of_pbs_jobs(remote: str, tokens: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts as PBS would run them: two hosts, the clock stops the first job, the second one goes on."""
    monkeypatch.chdir(tmp_path)
    for name, text in SHIMS.items():
        (tmp_path / name).write_text("#!/bin/bash\n" + text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "hosts").write_text("127.0.0.1\n127.0.0.1\nlocalhost\n")
    out = tmp_path / "model"
    job = Job(
        stage="train", name="tiny", out=out, site=PBS.model_copy(update={"remote": remote}), scheduler="pbs",
        queue_name="cpu", queue=PBS.queues["cpu"], nodes=2, gpus=0, cpus=1, seconds=100, stop_before=60, chain=2,
    )  # fmt: skip
    (job.jobs / "logs").mkdir(parents=True)
    (job.jobs / "ends").mkdir()
    settings = tiny_training(
        tokens, steps=100_000, save={"every_steps": None}, parallel={"replicate": 1, "shard": None}
    )
    (job.jobs / "config.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    described = {"out": str(out), "stage": "train", "submitted": 0.0}
    (job.jobs / "run.json").write_text(json.dumps(described))
    (text,) = scripts(job).values()
    (job.jobs / "job.sh").write_text(text)
    codes = []
    for number in range(2):
        port = free_port()
        (job.jobs / "job.sh").write_text(text.replace("port=$((20000 + ${job%%[^0-9]*} % 10000))", f"port={port}"))
        environ = os.environ | {
            "PATH": f"{tmp_path}:{os.environ['PATH']}", "PBS_JOBID": f"{number}.server",
            "PBS_NODEFILE": str(tmp_path / "hosts"),
        }  # fmt: skip
        done = subprocess.run(["bash", str(job.jobs / "job.sh")], env=environ, check=False, cwd="/")
        codes.append(done.returncode)
    log = "\n".join(file.read_text() for file in sorted((job.jobs / "logs").iterdir()))
    assert codes == [75, 75], log
    assert "the end of the time limit: 1 processes are told to save and stop" in log
    assert "FSDP2 over 2 processes" in log
    first, second = Ledger(job.jobs).attempts()
    assert (first.outcome, second.outcome) == ("stopped", "stopped")
    assert f"resuming after step {first.checkpoint}" in log
    assert second.checkpoint > first.checkpoint > 0
