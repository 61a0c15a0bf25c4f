"""What jpfm's job scripts take for granted of Grid Engine: directives, variables, signals, restarts."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.age.conftest import NOTIFY_SECONDS, End, Grid

pytestmark = pytest.mark.slow
DIRECTIVES = "#!/bin/bash\n#$ -S /bin/bash\n#$ -cwd\n#$ -j y\n#$ -o job.log\n"
ENDED_WELL = [End(None, 0, 0)]
OTHER = "other=$(tail -n 1 $PE_HOSTFILE | cut -d' ' -f1)\n"
# says which signals reach it, and ends after the first when told so
LISTENER = """
import os, signal, sys, time
def say(number, frame):
    print(sys.argv[1], signal.Signals(number).name, round(time.time() - start, 1), flush=True)
    if sys.argv[2] == "ends":
        sys.exit(0)
for name in ("SIGHUP", "SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGXCPU"):
    signal.signal(getattr(signal, name), say)
start = time.time()
print(sys.argv[1], "start", os.environ["RESTARTED"], flush=True)
while time.time() < start + 60:
    time.sleep(0.05)
"""


@pytest.fixture(autouse=True)
def _nothing_left(grid: Grid) -> Iterator[None]:
    yield
    grid.clear()


@pytest.fixture
def listener(tmp_path: Path) -> str:
    (tmp_path / "listener.py").write_text(LISTENER)
    return "python3 listener.py"


def submit(grid: Grid, folder: Path, text: str, *options: str) -> str:
    script = folder / "job.sh"
    script.write_text(DIRECTIVES + text)
    return grid.run("qsub", "-terse", *options, script, cwd=folder)


def log(folder: Path, name: str = "job.log") -> str:
    path = folder / name
    return path.read_text() if path.exists() else ""


def until_logged(folder: Path, text: str, count: int = 1, seconds: float = 30) -> str:
    end = time.monotonic() + seconds
    while log(folder).count(text) < count:
        assert time.monotonic() < end, f"no '{text}' in: {log(folder)}"
        time.sleep(0.1)
    return log(folder)


def test_the_variables_of_a_job(grid: Grid, tmp_path: Path) -> None:
    names = "JOB_ID JOB_NAME NSLOTS NHOSTS RESTARTED SGE_O_WORKDIR SGE_TASK_ID SGE_O_HOST PWD GIVEN PE_HOSTFILE"
    text = f'for name in {names}; do echo "$name=${{!name}}"; done\nls -d "$TMP"\n'
    job = submit(grid, tmp_path, text, "-N", "named", "-v", "GIVEN=a b")
    assert grid.wait(job) == ENDED_WELL
    seen = dict(line.partition("=")[::2] for line in log(tmp_path).splitlines())
    assert seen == {
        "JOB_ID": job, "JOB_NAME": "named", "NSLOTS": "1", "NHOSTS": "1", "RESTARTED": "0", "SGE_TASK_ID": "undefined",
        "SGE_O_WORKDIR": str(tmp_path), "SGE_O_HOST": "n1", "PWD": str(tmp_path), "GIVEN": "a b", "PE_HOSTFILE": "",
        f"/tmp/{job}.1.all.q": "",
    }  # fmt: skip


def test_a_job_without_v_sees_nothing_of_the_shell_that_submits_it(grid: Grid, tmp_path: Path) -> None:
    (tmp_path / "job.sh").write_text(DIRECTIVES + 'echo "[$MINE]"\n')
    for options, seen in (((), "[]"), (("-V",), "[kept]"), (("-v", "MINE"), "[kept]")):
        job = grid.run("qsub", "-terse", *options, "job.sh", cwd=tmp_path, MINE="kept")
        assert grid.wait(job) == ENDED_WELL
        assert log(tmp_path).splitlines()[-1] == seen


def test_what_a_script_exits_with_is_kept(grid: Grid, tmp_path: Path) -> None:
    assert grid.wait(submit(grid, tmp_path, "exit 6\n")) == [End(None, 0, 6)]


def test_two_whole_nodes_and_a_program_on_the_other(grid: Grid, tmp_path: Path) -> None:
    text = (
        OTHER
        + """
    echo "$(hostname) $NHOSTS $NSLOTS"; cat $PE_HOSTFILE
    qrsh -inherit -noshell $other /bin/sh -c 'echo "there: $(hostname) $PWD $JOB_ID $NHOSTS [$MARK]"; exit 7'
    echo "status $?"
    MARK=1 qrsh -inherit -noshell -v MARK $other /bin/sh -c 'echo "mark: [$MARK]"'
    qrsh -inherit $other sh -c 'exit 7'; echo "joined by spaces: $?"
    """
    )
    job = submit(grid, tmp_path, text, "-l", "node_f=2,h_rt=0:2:0")
    assert grid.wait(job) == ENDED_WELL, log(tmp_path)
    first, *hosts, there, status, mark, joined = log(tmp_path).splitlines()
    here, other = (line.split()[0] for line in hosts)
    assert first == f"{here} 2 4"
    assert [line.split()[:2] for line in hosts] == [[here, "2"], [other, "2"]]
    assert there == f"there: {other} {tmp_path} {job} 1 []"  # NHOSTS there is not the job's
    assert (status, mark) == ("status 7", "mark: [1]")
    assert joined == "joined by spaces: 0"  # the remote shell gets `sh -c exit 7`: -noshell keeps words as they are


@pytest.mark.parametrize("excluded", ["n1|n3", "n2|n3|n9"])
def test_excluded_hosts(grid: Grid, tmp_path: Path, excluded: str) -> None:
    job = submit(grid, tmp_path, f"#$ -l h=!({excluded})\nhostname\n")
    assert grid.wait(job) == ENDED_WELL
    assert log(tmp_path) == ("n2\n" if "n1" in excluded else "n1\n")


def test_a_job_that_waits_for_another(grid: Grid, tmp_path: Path) -> None:
    first = submit(grid, tmp_path, "sleep 2; echo first >> order\n", "-N", "earlier")
    second = submit(grid, tmp_path, "echo second >> order\n", "-hold_jid", first)
    assert grid.state(second) == "hqw"
    assert grid.wait(second) == ENDED_WELL
    assert log(tmp_path, "order") == "first\nsecond\n"


def test_a_job_runs_also_when_the_one_it_waited_for_failed(grid: Grid, tmp_path: Path) -> None:
    """-hold_jid knows no afterok: the next job of a chain has to look for itself."""
    first = submit(grid, tmp_path, "exit 3\n")
    assert grid.wait(submit(grid, tmp_path, "true\n", "-hold_jid", first)) == ENDED_WELL
    assert grid.wait(first) == [End(None, 0, 3)]


def test_an_array(grid: Grid, tmp_path: Path) -> None:
    text = 'echo "$JOB_ID $SGE_TASK_ID of $SGE_TASK_FIRST-$SGE_TASK_LAST by $SGE_TASK_STEPSIZE"; exit $SGE_TASK_ID\n'
    shown = submit(grid, tmp_path, text, "-t", "1-3", "-tc", "2", "-o", "task.$TASK_ID.log")
    job = shown.split(".")[0]
    assert shown == f"{job}.1-3:1"
    assert grid.wait(shown) == [End(task, 0, task) for task in (1, 2, 3)]
    for task in (1, 2, 3):
        assert log(tmp_path, f"task.{task}.log") == f"{job} {task} of 1-3 by 1\n"


@pytest.mark.parametrize("rerun", ["y", "n"])
def test_exit_code_99_starts_the_job_again(grid: Grid, tmp_path: Path, rerun: str) -> None:
    """Also with `-r n`, which is about lost nodes and qmod alone."""
    text = 'echo "$JOB_ID $RESTARTED"; [ $RESTARTED = 1 ] || exit 99\n'
    job = submit(grid, tmp_path, text, "-r", rerun)
    assert grid.wait(job) == ENDED_WELL
    assert log(tmp_path) == f"{job} 0\n{job} 1\n"


def test_exit_code_99_of_a_job_over_two_hosts(grid: Grid, tmp_path: Path) -> None:
    """It starts again, but never on the host that was its second: that one waits for a clean-up that never comes."""
    text = f"""{OTHER}echo $(hostname) $other
    qrsh -inherit -noshell $other /bin/sh -c 'exit 75' </dev/null & wait $!
    [ $RESTARTED = 1 ] || exit 99
    """
    job = submit(grid, tmp_path, text, "-l", "node_f=2")
    assert grid.wait(job) == ENDED_WELL
    (_, second), again = (line.split() for line in log(tmp_path).splitlines())
    assert second not in again


def test_exit_code_99_while_a_task_still_runs_elsewhere_is_the_end(grid: Grid, tmp_path: Path) -> None:
    """Grid Engine kills the task, takes that for a failure and deletes the job that was to start again."""
    text = f"{OTHER}echo start\nqrsh -inherit -noshell $other /bin/sleep 20 </dev/null &\nsleep 2\nexit 99\n"
    assert grid.wait(submit(grid, tmp_path, text, "-l", "node_f=2")) == [End(None, 25, 99)]
    assert log(tmp_path) == "start\n"


def test_restarted_is_no_count(grid: Grid, tmp_path: Path) -> None:
    text = "echo $RESTARTED; [ $(grep -c . job.log) = 3 ] || exit 99\n"
    assert grid.wait(submit(grid, tmp_path, text)) == ENDED_WELL
    assert log(tmp_path).split() == ["0", "1", "1"]


def test_exit_code_100_leaves_the_job_in_an_error_state(grid: Grid, tmp_path: Path) -> None:
    job = submit(grid, tmp_path, "exit 100\n")
    with pytest.raises(AssertionError, match="error reason"):
        grid.wait(job)
    grid.run("qdel", job)


def test_qdel_kills_without_a_word(grid: Grid, tmp_path: Path, listener: str) -> None:
    job = submit(grid, tmp_path, f"exec {listener} job stays\n")
    until_logged(tmp_path, "start")
    grid.run("qdel", job)
    assert grid.wait(job) == [End(None, 100, 137)]
    assert log(tmp_path) == "job start 0\n"


def test_qdel_of_a_job_with_notify(grid: Grid, tmp_path: Path, listener: str) -> None:
    """SIGUSR2 goes to all of the script's process group and to the tasks on other hosts, SIGKILL some seconds later."""
    text = f"""trap 'echo script SIGUSR2' USR2
    {OTHER}
    {listener} group ends &
    setsid {listener} own-session ends &
    qrsh -inherit -noshell $other /bin/sh -c 'exec {listener} there ends' < /dev/null &
    for i in $(seq 200); do sleep 0.1; done
    """
    job = submit(grid, tmp_path, text, "-notify", "-l", "node_f=2")
    until_logged(tmp_path, "start", 3)
    deleted = time.monotonic()
    grid.run("qdel", job)
    assert grid.wait(job) == [End(None, 100, 137)]
    assert NOTIFY_SECONDS - 1 < time.monotonic() - deleted < NOTIFY_SECONDS + 6
    told = {line.split()[0] for line in log(tmp_path).splitlines() if "SIGUSR2" in line}
    assert told == {"script", "group", "there"}  # not what has a session of its own, such as the ranks of torchrun
    assert "SIGTERM" not in log(tmp_path)


def test_a_job_that_ends_when_notified(grid: Grid, tmp_path: Path, listener: str) -> None:
    job = submit(grid, tmp_path, f"exec {listener} job ends\n", "-notify")
    until_logged(tmp_path, "start")
    grid.run("qdel", job)
    assert grid.wait(job) == ENDED_WELL


def test_exit_code_99_of_a_deleted_job_does_not_start_it_again(grid: Grid, tmp_path: Path, listener: str) -> None:
    job = submit(grid, tmp_path, f"{listener} job ends &\ntrap : USR2\nwait; wait\nexit 99\n", "-notify")
    until_logged(tmp_path, "start")
    grid.run("qdel", job)
    assert grid.wait(job) == [End(None, 25, 99)]
    assert log(tmp_path).count("start") == 1


def test_the_time_limit(grid: Grid, tmp_path: Path, listener: str) -> None:
    """h_rt kills without a word; with -notify the signal comes *at* the limit, and SIGKILL after it."""
    job = submit(grid, tmp_path, f"exec {listener} job stays\n", "-l", "h_rt=0:0:2")
    assert grid.wait(job) == [End(None, 37, 137)]
    assert log(tmp_path) == "job start 0\n"
    job = submit(grid, tmp_path, f"exec {listener} notified ends\n", "-l", "h_rt=0:0:2", "-notify")
    assert grid.wait(job) == [End(None, 37, 0)]
    name, seconds = until_logged(tmp_path, "notified SIG").split()[-2:]
    assert name == "SIGUSR2"
    assert 1 < float(seconds) < 5


def test_the_soft_time_limit(grid: Grid, tmp_path: Path, listener: str) -> None:
    job = submit(grid, tmp_path, f"exec {listener} job ends\n", "-l", "s_rt=0:0:2,h_rt=0:1:0")
    assert grid.wait(job) == ENDED_WELL
    assert "job SIGUSR1" in log(tmp_path)


def test_a_job_is_moved_only_with_r_y(grid: Grid, tmp_path: Path, listener: str) -> None:
    job = submit(grid, tmp_path, f"[ $RESTARTED = 1 ] && exit\nexec {listener} job stays\n", "-r", "y")
    until_logged(tmp_path, "start")
    assert "Pushed rescheduling" in grid.run("qmod", "-rj", job)
    assert grid.wait(job) == ENDED_WELL
    job = submit(grid, tmp_path, f"exec {listener} unmoved stays\n")
    until_logged(tmp_path, "unmoved start")
    assert "Pushed" not in grid.run("qmod", "-rj", job)
    time.sleep(2)
    assert log(tmp_path).count("unmoved start") == 1
    assert grid.state(job) == "r"


def test_a_moved_job_with_notify_runs_twice_for_some_seconds(grid: Grid, tmp_path: Path, listener: str) -> None:
    """The new start does not wait for the end of the old one: an output folder needs a lock."""
    job = submit(grid, tmp_path, f"exec {listener} $RESTARTED stays\n", "-r", "y", "-notify")
    until_logged(tmp_path, "0 start")
    grid.run("qmod", "-rj", job)
    lines = until_logged(tmp_path, "0 SIGUSR2").splitlines()
    assert "1 start 1" in until_logged(tmp_path, "1 start")
    assert len(grid.jobs_processes()) == 2, lines


@pytest.mark.parametrize("how", ["its own signal", "a signal to qrsh", "s_rt"])
def test_a_remote_task_that_a_signal_ends_takes_the_whole_job_with_it(
    grid: Grid, tmp_path: Path, listener: str, how: str
) -> None:
    """A task that exits with 143 does not: launchers catch signals, nobody signals qrsh, and s_rt is not asked for."""
    mine = "kill -TERM $$" if how == "its own signal" else f"exec {listener} there stays"
    text = f"""{OTHER}trap 'echo script got SIGUSR1' USR1
    qrsh -inherit -noshell $other /bin/sh -c '{mine}' < /dev/null &
    {"sleep 2; kill -TERM $!" if how == "a signal to qrsh" else ""}
    for i in $(seq 200); do sleep 0.1; done
    """
    job = submit(grid, tmp_path, text, "-l", f"node_f=2{',s_rt=0:0:3' if how == 's_rt' else ''}")
    assert grid.wait(job, 15) == [End(None, 37 if how == "s_rt" else 100, 137)]
    assert "SIG" not in log(tmp_path)


def test_a_job_whose_first_host_is_lost_starts_again_elsewhere(grid: Grid, tmp_path: Path, listener: str) -> None:
    text = f"{OTHER}echo $(hostname) $other\n[ $RESTARTED = 1 ] && exit\nexec {listener} job stays\n"
    job = submit(grid, tmp_path, text, "-r", "y", "-l", "node_f=2")
    host, _ = until_logged(tmp_path, "start").split()[:2]
    grid.fail(host)
    try:
        assert grid.wait(job, 60) == ENDED_WELL
    finally:
        grid.start(host, "sge_execd")
    again = log(tmp_path).splitlines()[-1].split()
    assert len(again) == 2
    assert host not in again
    assert not grid.jobs_processes()


def test_a_job_whose_second_host_is_lost_goes_on(grid: Grid, tmp_path: Path, listener: str) -> None:
    """Grid Engine says nothing: the job has to notice itself (here 15 s; a lost first host is noticed after 10)."""
    text = f"{OTHER}echo $(hostname) $other\nexec {listener} job stays\n"
    job = submit(grid, tmp_path, text, "-r", "y", "-l", "node_f=2")
    _, host = until_logged(tmp_path, "start").split()[:2]
    end = time.monotonic() + 10
    while grid.state(job) != "r":
        assert time.monotonic() < end
        time.sleep(0.2)
    time.sleep(2)
    grid.fail(host)
    try:
        time.sleep(15)
        assert grid.state(job) == "r"
    finally:
        grid.start(host, "sge_execd")
