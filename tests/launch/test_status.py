"""What `jpfm submit status` says of each state of a run. The scheduler is a program that prints what Slurm prints."""

import json
import os
from pathlib import Path

import pytest

from jpfm.core import ending
from jpfm.core.artifact import canonical_json
from jpfm.core.errors import UsageError
from jpfm.launch import status as view
from jpfm.launch.attempt import Ledger
from jpfm.launch.node import STOP
from jpfm.launch.status import errors, status, table
from jpfm.launch.submit import stop, submitted


class Run:
    """A run beside whose folder a job has left its record, and a scheduler that knows about its jobs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.out, self.bin = folder / "model", folder / "bin"
        self.jobs = folder / "model.jobs"
        self.jobs.mkdir()
        self.bin.mkdir()
        monkeypatch.setenv("PATH", f"{self.bin}:{os.environ['PATH']}")
        self.described(tasks=1)
        self.ledger = Ledger(self.jobs)

    def described(self, **more: object) -> None:
        facts = {"out": str(self.out), "stage": "train", "submitted": 0.0, "tasks": 1, "scheduler": "slurm"} | more
        (self.jobs / "run.json").write_text(canonical_json(facts))

    def handed(self, *ids: str, scheduler: str = "slurm") -> None:
        for job in ids:
            with (self.jobs / "submitted.jsonl").open("a") as file:
                file.write(json.dumps({"id": job, "what": "train", "time": 1.0, "scheduler": scheduler}) + "\n")

    def slurm(self, states: dict[str, str]) -> None:
        """What scontrol says of jobs; of others that it knows none."""
        cases = "\n".join(f"  {job}) echo '{text}' ;;" for job, text in states.items())
        unknown = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
        text = f'#!/bin/bash\ncase "$3" in\n{cases}\n  *) {unknown} ;;\nesac\n'
        (self.bin / "scontrol").write_text(text)
        (self.bin / "scontrol").chmod(0o755)

    def begin(self, job: str = "7") -> int:
        number = self.ledger.begin(job, "n1 n2")
        assert number is not None
        return number

    def end(self, start: int, code: int, message: str = "") -> None:
        ending.record(code, message, "the mend", {"JPFM_ENDS": str(self.jobs / "ends" / str(start))})
        self.ledger.end(start, code)

    def trained(self, steps: int, of: int = 200) -> None:
        logs = self.out.with_name("model.partial") / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        (logs / "settings.json").write_text(json.dumps({"steps": None, "total_tokens": of * 10, "batch_tokens": 10}))
        with (logs / "metrics.jsonl").open("w") as file:
            for step in range(1, steps + 1):
                row = {"step": step, "tokens_per_second": 1000.0, "hours": step * 0.01, "gpu_hours": step * 0.16}
                file.write(json.dumps(row) + "\n")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, monkeypatch)


def state(run: Run) -> str:
    return status(run.out).state


def test_queued(run: Run) -> None:
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=PENDING Reason=Resources Dependency=(null)"})
    assert state(run) == "queued (Resources)"


def test_waits_for_another(run: Run) -> None:
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=PENDING Reason=Dependency"})
    assert state(run) == "waits for another job (Dependency)"


def test_starting_and_running(run: Run) -> None:
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=RUNNING Reason=None NodeList=n[1-2]"})
    assert state(run) == "starting"
    run.begin()
    assert state(run) == "starting"
    run.trained(50)
    found = status(run.out)
    assert (found.state, found.step, found.steps, found.job) == ("running", 50, 200, "7")
    assert found.tokens_per_second == 1000
    assert found.hours == pytest.approx(0.5)
    assert found.gpu_hours == pytest.approx(8)
    assert found.hours_left == pytest.approx(1.5)
    assert table([found])[1][2:7] == ("50 of 200", "1,000", "0.50", "8.0", "1 h 30 min")


def test_saved_and_queued_again(run: Run) -> None:
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=PENDING Reason=BeginTime Restarts=1"})
    run.end(run.begin(), 75, "at step 9")
    assert state(run) == "saved, queued again (BeginTime)"
    assert status(run.out).error == ""


def test_failed_and_queued_again(run: Run) -> None:
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=PENDING Reason=BeginTime Restarts=1"})
    run.end(run.begin(), 5, "the connection is lost")
    assert state(run) == "failed, queued again (BeginTime)"
    assert status(run.out).error == "the connection is lost"


def test_a_node_that_was_lost(run: Run) -> None:
    """Slurm has put the job back, and nobody has noted its end."""
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=PENDING Reason=BeginTime Restarts=1"})
    run.begin()
    assert state(run) == "lost, queued again (BeginTime)"


def test_the_next_of_a_chain(run: Run) -> None:
    run.handed("7", "8")
    run.slurm({"7": "JobId=7 JobState=FAILED Reason=x", "8": "JobId=8 JobState=PENDING Reason=Priority"})
    run.end(run.begin("7"), 75)
    assert state(run) == "saved, queued (Priority)"


def test_a_second_start_that_has_no_step_yet(run: Run) -> None:
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=RUNNING Reason=None"})
    run.trained(5)
    metrics = run.out.with_name("model.partial") / "logs" / "metrics.jsonl"
    os.utime(metrics, (1.0, 1.0))
    run.end(run.begin(), 75)
    run.begin()
    assert state(run) == "starting"


def test_a_build_that_runs(run: Run) -> None:
    """It has no steps."""
    run.described(stage="data")
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=RUNNING Reason=None"})
    run.begin()
    assert state(run) == "running"


def test_slices_are_done_and_the_last_job_waits(run: Run) -> None:
    run.described(stage="data", tasks=2)
    run.handed("7", "8")
    run.slurm({"7": "JobId=7 JobState=COMPLETED Reason=None", "8": "JobId=8 JobState=PENDING Reason=Priority"})
    for task in ("0", "1"):
        number = run.ledger.begin("7", "n1", task)
        assert number is not None
        run.ledger.end(number, 0, task=task)
    assert state(run) == "queued (Priority)"


def test_a_task_that_failed_is_told_though_others_went_on(run: Run) -> None:
    run.described(stage="data", tasks=2)
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=RUNNING Reason=None"})
    first = run.ledger.begin("7", "n1", "0")
    assert first is not None
    ending.record(3, "file 3 is broken", "mend it", {"JPFM_ENDS": str(run.jobs / "ends" / str(first))})
    run.ledger.end(first, 3, task="0")
    run.ledger.begin("7", "n1", "1")
    found = status(run.out)
    assert (found.state, found.error, found.progress) == ("running", "file 3 is broken", "0 of 2 tasks")


def test_finished(run: Run) -> None:
    run.handed("7")
    run.slurm({})
    run.end(run.begin(), 6, "an old error")
    run.trained(200)
    run.out.with_name("model.partial").rename(run.out)
    (run.out / "manifest.json").write_text("{}")
    found = status(run.out)
    assert (found.state, found.step, found.error, found.hours_left) == ("finished", 200, "", None)


def test_failed(run: Run) -> None:
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=FAILED Reason=NonZeroExitCode"})
    run.end(run.begin(), 3, "tokens differ")
    found = status(run.out)
    assert (found.state, found.error, found.hint) == ("failed", "tokens differ", "the mend")
    assert errors([found]) == [f"{found.name}: tokens differ -> the mend"]


def test_a_crash_loop(run: Run) -> None:
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=FAILED Reason=NonZeroExitCode"})
    run.trained(12)
    for _ in range(3):
        run.end(run.begin(), 6, "step 12: spike")
    assert state(run) == "crash loop: 3 failures in a row at step 12"


def test_cancelled(run: Run) -> None:
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=CANCELLED Reason=None"})
    run.end(run.begin(), 75)
    assert state(run) == "cancelled"


def test_lost(run: Run) -> None:
    """The scheduler has forgotten the job, and nobody noted its end."""
    run.handed("7")
    run.slurm({})
    run.begin()
    assert state(run) == "lost"


def test_saved_and_nothing_queued(run: Run) -> None:
    """A chain that was too short."""
    run.handed("7", "8")
    run.slurm({"7": "JobId=7 JobState=FAILED Reason=x", "8": "JobId=8 JobState=FAILED Reason=x"})
    run.end(run.begin("7"), 75)
    run.end(run.begin("8"), 75)
    assert state(run) == "saved, not queued"


def test_stopped(run: Run) -> None:
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=COMPLETED Reason=None"})
    start = run.begin()
    (run.jobs / STOP).touch()
    run.end(start, 75)
    assert state(run) == "stopped"


def test_never_began(run: Run) -> None:
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=FAILED Reason=NonZeroExitCode"})
    assert state(run).startswith("never began")


def test_a_scheduler_that_does_not_answer(run: Run) -> None:
    run.handed("7")
    (run.bin / "scontrol").write_text(
        "#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1\n"
    )
    (run.bin / "scontrol").chmod(0o755)
    run.trained(3)
    found = status(run.out)
    assert found.state == "unknown"
    assert "Unable to contact" in found.error
    assert found.step == 3


def test_a_run_that_was_started_by_hand(tmp_path: Path) -> None:
    (tmp_path / "model.partial" / "logs").mkdir(parents=True)
    assert status(tmp_path / "model").state == "not submitted"
    with pytest.raises(UsageError, match="no run, and no jobs of one"):
        status(tmp_path / "other")


def test_the_folder_of_jobs_names_the_run(run: Run) -> None:
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=PENDING Reason=Priority"})
    assert status(run.jobs) == status(run.out)


def test_slices(run: Run) -> None:
    run.described(tasks=4, stage="data")
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=RUNNING Reason=None\nJobId=8 JobState=PENDING Reason=Resources"})
    for task in ("0", "1"):
        number = run.ledger.begin("7", "n1", task)
        assert number is not None
        run.ledger.end(number, 0, task=task)
    run.ledger.begin("7", "n1", "2")
    assert status(run.out).progress == "2 of 4 tasks"


def test_stop_tells_and_marks(run: Run, tmp_path: Path) -> None:
    run.handed("7", "8", "9")
    run.slurm({"7": "JobId=7 JobState=RUNNING Reason=None", "8": "JobId=8 JobState=PENDING Reason=Dependency"})
    (run.bin / "scancel").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/scancel\n')
    (run.bin / "scancel").chmod(0o755)
    assert stop(run.jobs) == ["7 is told to save and end", "8 is taken out of the queue"]
    assert (tmp_path / "scancel").read_text() == "--signal=USR1 --batch 7\n--state=PENDING 8\n"
    assert (run.jobs / STOP).exists()


def test_a_job_that_went_on_by_itself_is_known(run: Run) -> None:
    run.handed("7.pbs", scheduler="pbs")
    (run.jobs / "again").write_text("8.pbs\n")
    assert [entry.id for entry in submitted(run.jobs)] == ["7.pbs", "8.pbs"]


def test_a_long_run(run: Run) -> None:
    """Only the end of its log is read."""
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=RUNNING Reason=None"})
    run.begin()
    run.trained(200_000, of=1_000_000)
    assert status(run.out).step == 200_000


def test_one_unknown_name_does_not_hide_the_others(run: Run, tmp_path: Path) -> None:
    """`jpfm submit status runs/*` names the run, its jobs, its lock and anything else that lies there."""
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=PENDING Reason=Priority"})
    (tmp_path / "notes.txt").touch()
    names = ["model.jobs", "model.partial", "model.lock", "nothing"]
    found = view.lines([tmp_path / name for name in names])
    assert [(Path(line.name).name, line.state) for line in found] == [
        ("model", "queued (Priority)"), ("nothing", "no run"),
    ]  # fmt: skip


def test_a_folder_of_runs(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=PENDING Reason=Priority"})
    monkeypatch.chdir(tmp_path)
    for here in (Path(), tmp_path, Path("model"), Path("model.jobs")):
        assert [line.name for line in view.lines([here])] == ["model"]


def test_stopping(run: Run) -> None:
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=RUNNING Reason=None"})
    run.begin()
    (run.jobs / STOP).touch()
    assert state(run) == "stopping"


def test_columns_that_nothing_is_in_are_left_out(run: Run) -> None:
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=PENDING Reason=Priority"})
    assert table([status(run.out)])[0] == ("run", "state", "job")


def test_nothing_to_stop(run: Run) -> None:
    """A run that failed stays one that failed."""
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=FAILED Reason=x"})
    run.end(run.begin(), 3, "tokens differ")
    assert stop(run.jobs) == []
    assert state(run) == "failed"


def test_tasks_that_failed_when_all_is_over(run: Run) -> None:
    run.described(stage="data", tasks=3)
    run.handed("7")
    run.slurm({"7": "JobId=7 JobState=COMPLETED Reason=None\nJobId=8 JobState=FAILED Reason=x"})
    for task, code in (("0", 3), ("1", 3), ("2", 0)):
        number = run.ledger.begin("7", "n1", task)
        assert number is not None
        ending.record(code, "file 3 is broken", "", {"JPFM_ENDS": str(run.jobs / "ends" / str(number))})
        run.ledger.end(number, code, task=task)
    found = status(run.out)
    assert (found.state, found.error) == ("failed: 2 of 3 tasks", "file 3 is broken (and 1 more tasks)")
