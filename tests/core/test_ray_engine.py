"""Jobs on Ray: order, errors, death, stopping, clusters that are not there. Real clusters on this machine."""

import errno
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.core.ray_jobs import Job, where, work, write_for_long

from jpfm.core.errors import EnvironmentProblem, UsageError
from jpfm.core.shards import Engine, map_shards

pytest.importorskip("ray", reason="ray is not installed")
from jpfm.core.ray_cluster import connected

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TWO = Engine("ray", workers=2)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One local cluster for the module; what runs in a subprocess has its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with connected(TWO):
            yield


def jobs(folder: Path, count: int, **of: dict[int, object]) -> list[Job]:
    return [
        Job(number, str(folder), **{key: values[number] for key, values in of.items() if number in values})  # type: ignore[arg-type]
        for number in range(count)
    ]


def runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(happens: object, seconds: float = 60) -> None:
    """Wait for something; its absence fails."""
    end = time.monotonic() + seconds
    while not happens():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.mark.parametrize("workers", [0, 1, 2, 7])
def test_results_come_in_the_order_of_the_jobs(tmp_path: Path, workers: int) -> None:
    asked = jobs(tmp_path, 25, seconds={0: 0.3, 3: 0.2, 24: 0.1})
    found = list(map_shards(work, asked, Engine("ray", workers)))
    assert found == [(job, job.number**2) for job in asked]
    assert list(map_shards(work, [], TWO)) == []


def test_a_job_runs_in_the_folder_of_the_command_with_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("原文.txt").write_text("吾輩は猫である")
    [(_, found)] = map_shards(where, ["原文.txt"], TWO)
    assert found == (str(tmp_path), "吾輩は猫である", "1")


def test_an_error_comes_out_with_its_own_type_in_its_turn(tmp_path: Path) -> None:
    asked = jobs(tmp_path, 30, fails={4: "usage", 5: "bug"}, seconds={4: 0.5})  # the second one is faster
    results = map_shards(work, asked, TWO)
    assert [next(results)[0].number for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(UsageError) as caught:
        next(results)
    assert (caught.value.message, caught.value.hint) == ("job 4 is wrong", "mend it")
    with pytest.raises(KeyError, match="5") as bug:
        list(map_shards(work, jobs(tmp_path, 6, fails={5: "bug"}), TWO))
    assert "ray_jobs.py" in str(bug.value.__cause__)  # where it was raised
    with pytest.raises(OSError) as full:
        list(map_shards(work, jobs(tmp_path, 2, fails={1: "disk"}), TWO))
    assert (full.value.errno, full.value.filename) == (errno.ENOSPC, "1.parquet")


def test_a_warning_of_a_job_is_heard_here(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    list(map_shards(work, jobs(tmp_path, 10), TWO))
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == ["job 9 is odd"]


def test_a_job_whose_process_is_killed_is_sent_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    asked = jobs(tmp_path, 8, deaths={2: 1, 5: 3})
    assert [result for _, result in map_shards(work, asked, TWO)] == [n * n for n in range(8)]
    told = [record.message for record in caplog.records]
    assert sum("shard web-00002 (3 of 8): its process or node ended" in line for line in told) == 1
    assert sum("shard web-00005 (6 of 8)" in line for line in told) == 3


def test_a_job_that_always_kills_its_process_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"shard web-00001 \(2 of 3\): its process ended unexpectedly 4 times"):
        list(map_shards(work, jobs(tmp_path, 3, deaths={1: 9}), TWO))


def test_nothing_is_written_after_the_consumer_stops(tmp_path: Path) -> None:
    asked = jobs(tmp_path, 6, seconds=dict.fromkeys(range(1, 6), 60))
    for job, _ in map_shards(write_for_long, asked, TWO):
        assert job.number == 0
        until((tmp_path / "1.beat").exists)
        break
    sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    time.sleep(0.5)
    assert sizes == {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert "5.beat" not in sizes  # never sent
    assert [result for _, result in map_shards(work, jobs(tmp_path, 4), TWO)] == [0, 1, 4, 9]  # the cluster is well


def test_a_second_cluster_is_not_silently_left_out() -> None:
    with pytest.raises(UsageError, match="cannot also join 127"):
        list(map_shards(float, [1], Engine("ray", 0, "127.0.0.1:9")))


# ---- other clusters, each command a process of its own, as a user runs it


def call(engine: str, jobs: str = "float, ['1', '2']", before: str = "", **env: str) -> subprocess.Popen[str]:
    code = (
        f"{before}\nimport time\nfrom jpfm.core.shards import Engine, map_shards\nfrom tests.core.ray_jobs import *\n"
    )
    code += f"print(list(map_shards({jobs}, {engine})), flush=True)"
    return subprocess.Popen(
        [sys.executable, "-c", code], env=without_ray() | {"PYTHONPATH": str(ROOT)} | env, text=True, cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def without_ray() -> dict[str, str]:
    """The environment without what the module's own cluster has set."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


def failure(process: subprocess.Popen[str]) -> str:
    """The last line of the traceback: what the command line would show."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, out
    return err.strip().splitlines()[-1]


def join(head: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in head.items() if name != "address"}


@pytest.fixture(scope="module")
def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Iterator[dict[str, str]]:
    """A cluster that was there before, with a token; the settings to join it."""
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={free_port}"]
    command += ["--num-cpus=2", "--include-dashboard=false", "--object-store-memory=100000000"]
    folder = Path(f"/tmp/r{os.getpid()}")  # its sockets need a short path
    environ = without_ray() | settings
    process = subprocess.Popen(
        [*command, f"--temp-dir={folder}"], env=environ | {"PYTHONPATH": str(ROOT)}, cwd="/",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: not socket.socket().connect_ex(("127.0.0.1", free_port)))
        yield settings | {"address": f"127.0.0.1:{free_port}"}
        assert process.poll() is None, "the cluster ended before its owner ended it"
    finally:
        process.terminate()
        process.wait(60)
        subprocess.run(["rm", "-rf", folder], check=True)


def test_a_cluster_that_runs_is_used_and_left_running(head: dict[str, str]) -> None:
    settings = join(head)
    for address in (head["address"], "auto"):
        extra = {"RAY_ADDRESS": head["address"]} if address == "auto" else {}
        out, err = call(f"Engine('ray', 0, {address!r})", **settings, **extra).communicate(timeout=120)
        assert out == "[('1', 1.0), ('2', 2.0)]\n", err


def test_stdout_is_for_results_even_when_a_process_dies(head: dict[str, str], tmp_path: Path) -> None:
    settings = join(head)
    asked = f"work, [Job(3, {str(tmp_path)!r}, 0.0, 1)]"
    out, err = call(f"Engine('ray', 0, {head['address']!r})", asked, **settings).communicate(timeout=120)
    assert out.count("\n") == 1
    assert out.endswith(", 9)]\n")
    assert err.strip() == "shard web-00003 (1 of 1): its process or node ended (WorkerCrashed); sent again, try 2 of 4"


def test_a_cluster_that_needs_a_token_says_so(head: dict[str, str]) -> None:
    told = failure(call(f"Engine('ray', 0, {head['address']!r})"))
    assert "EnvironmentProblem" in told
    assert "does not let this process in" in told


def test_another_version_is_explained(head: dict[str, str]) -> None:
    settings = join(head)
    told = failure(
        call(f"Engine('ray', 0, {head['address']!r})", before="import ray; ray.__version__ = '2.1.0'", **settings)
    )
    assert "EnvironmentProblem" in told
    assert "has other versions" in told
    assert "Ray: 2.1.0" in told


def test_jobs_end_with_a_killed_command(head: dict[str, str], tmp_path: Path) -> None:
    settings = join(head)
    asked = f"write_for_long, [Job(n, {str(tmp_path)!r}, 60.0) for n in range(2)]"
    process = call(f"Engine('ray', 0, {head['address']!r})", asked, **settings)
    until(lambda: len(list(tmp_path.glob("*.beat"))) == 2)
    workers = [int(file.read_text()) for file in tmp_path.glob("*.pid")]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    until(lambda: not any(map(runs, workers)))


def test_a_local_cluster_ends_with_its_killed_owner(tmp_path: Path) -> None:
    asked = f"write_for_long, [Job(0, {str(tmp_path)!r}, 60.0)]"
    process = call("Engine('ray', 1)", asked)
    until((tmp_path / "0.pid").exists)
    family = descendants(process.pid)
    commands = " ".join(Path(f"/proc/{member}/cmdline").read_text() for member in family)
    folder = re.findall(r"/tmp/jpfm-ray-\w+", commands)[0]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    until(lambda: not runs(int((tmp_path / "0.pid").read_text())), 30)
    until(lambda: not any(map(runs, family)), 240)  # two agents of Ray look about once a minute
    shutil.rmtree(folder)


def test_a_stop_from_outside_stays_the_commands_own(tmp_path: Path) -> None:
    """Ray takes SIGTERM for itself; a scheduler's stop must reach the command as Ctrl-C does."""
    asked = f"write_for_long, [Job(0, {str(tmp_path)!r}, 60.0)]"
    before = "import signal; signal.signal(signal.SIGTERM, signal.default_int_handler)"
    process = call("Engine('ray', 1)", asked, before)
    until((tmp_path / "0.pid").exists)
    family = descendants(process.pid)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert err.strip().splitlines()[-1] == "KeyboardInterrupt"
    until(lambda: not any(map(runs, family)))


def descendants(process: int) -> list[int]:
    """All processes below one."""
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def test_a_file_that_a_node_does_not_see_is_explained(head: dict[str, str], tmp_path: Path) -> None:
    """The command runs where another disk is mounted, as on a node without the shared one."""
    (tmp_path / "shared").mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(tmp_path / "shared")]
    if subprocess.run(["unshare", "--mount", *mount], check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a disk")
    name = tmp_path / "shared" / "a.txt"
    code = "from jpfm.core.shards import *; from tests.core.ray_jobs import *\n"
    code += f"open({str(name)!r}, 'w').write('a')\n"
    code += f"list(map_shards(where, [{str(name)!r}], Engine('ray', 0, {head['address']!r})))"
    environ = without_ray() | head | {"PYTHONPATH": str(ROOT)}
    script = f'{" ".join(mount)} && exec {sys.executable} -c "$0"'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, code], env=environ, text=True, capture_output=True,
                          check=False, cwd=ROOT)  # fmt: skip
    told = done.stderr.strip().splitlines()[-1]
    assert f"{name} is not there on the Ray node" in told
    assert "but it is here" in told


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("127.0.0.1:9", "no Ray cluster answers at 127.0.0.1:9 (Connection refused)"),
        ("no-such-host.invalid:6379", "no Ray cluster answers at no-such-host.invalid:6379"),
        ("auto", "no Ray cluster runs on this machine"),
        ("ray://127.0.0.1:10001", "expected HOST:PORT or auto"),
        ("127.0.0.1", "expected HOST:PORT or auto"),
        ("127.0.0.1:99999", "expected HOST:PORT or auto"),
    ],
)
def test_an_address_of_nothing_is_explained_at_once(address: str, told: str, tmp_path: Path) -> None:
    start = time.monotonic()
    assert told in failure(call(f"Engine('ray', 0, {address!r})"))
    assert time.monotonic() - start < 60


def test_a_machine_without_ray_is_told_what_to_install() -> None:
    process = call("Engine('ray')", before="import sys; sys.modules['ray'] = None")
    _, err = process.communicate(timeout=60)
    assert "--engine ray needs Ray, which is not installed here" in err
    hint = call(
        "Engine('ray')", before="import sys; sys.modules['ray'] = None\nsys.excepthook = lambda *a: print(a[1].hint)"
    )
    assert hint.communicate(timeout=60)[0] == 'pip install "jpfm[ray]"\n'
