"""What a job does after each of its ends: again, or a clear word. The record is written by the functions jobs call."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jpfm.core import ending
from jpfm.core.artifact import canonical_json
from jpfm.launch.attempt import NOTHING_TO_DO, RUN, Ledger
from jpfm.launch.node import STOP


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    jobs = tmp_path / "model.jobs"
    jobs.mkdir()
    (jobs / RUN).write_text(canonical_json({"out": str(tmp_path / "model"), "stage": "train", "submitted": 0.0}))
    return Ledger(jobs)


def begin(ledger: Ledger, job: str = "7") -> int:
    number = ledger.begin(job, "n1 n2")
    assert number is not None
    return number


def say(ledger: Ledger, start: int, rank: int, code: int, message: str = "", hint: str = "") -> None:
    """What a process of that start notes at its end."""
    ending.record(code, message, hint, {"JPFM_ENDS": str(ledger.jobs / "ends" / str(start)), "RANK": str(rank)})


def steps(ledger: Ledger, *, reached: int, checkpoint: int | None = None) -> None:
    """What a run leaves while it trains."""
    partial = ledger.out.with_name("model.partial")
    (partial / "logs").mkdir(parents=True, exist_ok=True)
    with (partial / "logs" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": reached}) + "\n")
    if checkpoint is not None:
        (partial / f"steps/step-{checkpoint:08d}").mkdir(parents=True)
        (partial / f"steps/step-{checkpoint:08d}" / "manifest.json").write_text("{}")


def fail(ledger: Ledger, code: int = 6, message: str = "step 12: loss nan") -> int:
    start = begin(ledger)
    say(ledger, start, 0, code, message, "lower the rate")
    return ledger.end(start, 1)


def test_a_run_that_ends_well(ledger: Ledger) -> None:
    start = begin(ledger)
    for rank in (0, 1):
        say(ledger, start, rank, 0)
    assert ledger.end(start, 0) == 0
    (attempt,) = ledger.attempts()
    assert (attempt.number, attempt.job, attempt.nodes, attempt.outcome, attempt.failure) == (
        1, "7", "n1 n2", "finished", None,
    )  # fmt: skip


def test_stopped_for_good_does_not_begin_again(ledger: Ledger) -> None:
    start = begin(ledger)
    say(ledger, start, 0, 75)
    (ledger.jobs / STOP).touch()
    assert ledger.end(start, 0) == 0
    assert [attempt.outcome for attempt in ledger.attempts()] == ["stopped"]


def test_a_launcher_that_was_signalled_after_all_had_ended_well(ledger: Ledger) -> None:
    start = begin(ledger)
    say(ledger, start, 0, 0)
    ledger.out.mkdir()
    (ledger.out / "manifest.json").write_text("{}")
    assert ledger.end(start, 138) == 0


def test_one_process_ended_well_and_another_was_killed_before_the_end_was_written(ledger: Ledger) -> None:
    start = begin(ledger)
    say(ledger, start, 1, 0)
    say(ledger, start, 0, 1, "process 0 on n1 was killed by SIGKILL")
    assert ledger.end(start, 1) == 75
    assert [attempt.outcome for attempt in ledger.attempts()] == ["failed"]


def test_stopped_again_and_again_before_the_first_step(ledger: Ledger) -> None:
    """A model that loads for longer than the time limit leaves."""
    assert [ledger.end(begin(ledger), 138) for _ in range(3)] == [75, 75, 6]
    assert "crash loop: 3 starts in a row and no new checkpoint between" in str(ledger.crash_loop())


def test_stopped_again_and_again_with_progress(ledger: Ledger) -> None:
    for number in range(1, 7):
        start = begin(ledger)
        say(ledger, start, 0, 75)
        steps(ledger, reached=number, checkpoint=number)
        assert ledger.end(start, 0) == 75


def test_words_of_an_earlier_start_in_the_same_log(ledger: Ledger, tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("RuntimeError: of the first start\n")
    number = ledger.begin("7", "n1", log=log)
    assert number is not None
    with log.open("a") as file:
        file.write("ValueError: of this one\n")
    ledger.end(number, 1, log=log)
    again = ledger.begin("7", "n1", log=log)
    assert again is not None
    ledger.end(again, 1, log=log)
    messages = [attempt.failure.message for attempt in ledger.attempts() if attempt.failure]
    assert messages == ["ValueError: of this one", "it ended with code 1 and no word"]


def test_failing_tasks_are_no_crash_loop(ledger: Ledger) -> None:
    for task in ("0", "1", "2", "3"):
        number = ledger.begin("7", "n1", task)
        assert number is not None
        assert ledger.end(number, 3, task=task) == 3
    assert ledger.crash_loop() is None


def test_saved_begins_again(ledger: Ledger) -> None:
    """torchrun says 1 for 75."""
    start = begin(ledger)
    for rank in (0, 1):
        say(ledger, start, rank, 75, "at step 7 of 90; the state is saved")
    steps(ledger, reached=7, checkpoint=7)
    assert ledger.end(start, 0) == 75
    (attempt,) = ledger.attempts()
    assert (attempt.outcome, attempt.step, attempt.checkpoint) == ("stopped", 7, 7)


@pytest.mark.parametrize("code", [138, 143, -10, -15, 75])
def test_signalled_before_the_first_word(ledger: Ledger, code: int) -> None:
    assert ledger.end(begin(ledger), code) == 75


@pytest.mark.parametrize("code", [2, 3, 4])
def test_mistakes_are_not_tried_again(ledger: Ledger, code: int) -> None:
    assert fail(ledger, code, "tokens: no such folder") == code
    (attempt,) = ledger.attempts()
    assert attempt.outcome == "failed"
    assert attempt.failure == (code, "tokens: no such folder", "lower the rate")


@pytest.mark.parametrize("code", [1, 5, 6])
def test_three_failures_at_one_step(ledger: Ledger, code: int) -> None:
    steps(ledger, reached=12)
    assert [fail(ledger, code) for _ in range(3)] == [75, 75, code]
    loop = ledger.crash_loop()
    assert loop is not None
    assert loop.startswith("crash loop: 3 failures in a row at step 12; the last: step 12: loss nan")


def test_three_failures_between_two_checkpoints(ledger: Ledger) -> None:
    """At other steps each time, as when memory runs out: no new checkpoint is no progress."""
    for step, expected in ((12, 75), (17, 75), (14, 6)):
        steps(ledger, reached=step)
        assert fail(ledger) == expected
    assert "no new checkpoint between" in str(ledger.crash_loop())


def test_progress_is_no_loop(ledger: Ledger) -> None:
    for number in range(1, 8):
        steps(ledger, reached=10 * number, checkpoint=10 * number)
        assert fail(ledger) == 75
    assert ledger.crash_loop() is None


def test_a_save_between_failures_is_no_loop(ledger: Ledger) -> None:
    for _ in range(2):
        assert fail(ledger) == 75
    start = begin(ledger)
    say(ledger, start, 0, 75)
    steps(ledger, reached=9, checkpoint=9)
    assert ledger.end(start, 0) == 75
    for _ in range(2):
        assert fail(ledger) == 75


def test_lost_nodes_count(ledger: Ledger) -> None:
    """Nothing notes the end of a job whose node died; the next one finds it unended."""
    for _ in range(3):
        assert ledger.crash_loop() is None
        begin(ledger)
    assert [attempt.outcome for attempt in ledger.attempts()] == ["lost", "lost", None]
    assert "it ended without a word" in str(ledger.crash_loop())


def test_submitted_again_counts_anew(ledger: Ledger) -> None:
    for _ in range(3):
        fail(ledger)
    (ledger.jobs / RUN).write_text(canonical_json({"out": str(ledger.out), "stage": "train", "submitted": 9e9}))
    assert ledger.crash_loop() is None


def test_the_first_error_counts_not_its_consequences(ledger: Ledger) -> None:
    start = begin(ledger)
    say(ledger, start, 3, 6, "step 9: copies of the weights differ")
    say(ledger, start, 0, 5, "the connection to another process is lost")
    ledger.end(start, 1)
    (attempt,) = ledger.attempts()
    assert attempt.failure is not None
    assert attempt.failure.message == "step 9: copies of the weights differ"


def test_who_was_killed_is_the_cause(ledger: Ledger) -> None:
    """Those who survive tell of a lost connection, and tell it first."""
    start = begin(ledger)
    say(ledger, start, 0, 5, "the connection to another process is lost (reset by peer)")
    say(
        ledger,
        start,
        1,
        1,
        "process 1 on n2 was killed by SIGKILL; SIGKILL often means that the node ran out of memory",
    )
    assert ledger.end(start, 1) == 75
    (attempt,) = ledger.attempts()
    assert attempt.failure is not None
    assert attempt.failure.message.startswith("process 1 on n2 was killed by SIGKILL")


def test_a_traceback_is_found_in_the_log(ledger: Ledger, tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text(
        "Traceback (most recent call last):\n  ...\ntorch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB\n"
    )
    ledger.end(begin(ledger), 1, log=log)
    (attempt,) = ledger.attempts()
    assert attempt.failure is not None
    assert attempt.failure.message == "torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB"


def test_no_word_at_all(ledger: Ledger) -> None:
    ledger.end(begin(ledger), 3)
    (attempt,) = ledger.attempts()
    assert attempt.failure is not None
    assert "ended with code 3 and no word" in attempt.failure.message


def test_tasks_of_an_array_are_told_apart(ledger: Ledger) -> None:
    """A failing task is not tried again by itself; another one's start does not make it lost."""
    first, second = ledger.begin("7", "n1", "0"), ledger.begin("7", "n2", "1")
    assert first is not None
    assert second is not None
    assert [attempt.outcome for attempt in ledger.attempts()] == [None, None]
    say(ledger, first, 0, 5, "disk full")
    assert ledger.end(first, 5, task="0") == 5
    assert ledger.end(second, 0, task="1") == 0
    assert [(a.task, a.outcome) for a in ledger.attempts()] == [("0", "failed"), ("1", "finished")]
    assert len(ledger.attempts("1")) == 1


def test_a_line_cut_short_by_a_kill_is_passed_over(ledger: Ledger) -> None:
    fail(ledger)
    with (ledger.jobs / "attempts.jsonl").open("a") as file:
        file.write('{"event": "begin", "sta')
    assert len(ledger.attempts()) == 1
    fail(ledger)
    assert len(ledger.attempts()) == 2


def command(ledger: Ledger, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "jpfm.launch.attempt", *words], capture_output=True, text=True, check=False
    )


def test_the_commands_of_a_job_script(ledger: Ledger) -> None:
    begun = command(ledger, "begin", str(ledger.jobs), "--job", "7", "--nodes", "n1 n2")
    assert (begun.returncode, begun.stdout) == (0, "1\n")
    ended = command(ledger, "end", str(ledger.jobs), "--start", "1", "--code", "75")
    assert ended.returncode == 75
    (ledger.jobs / STOP).touch()
    stopped = command(ledger, "begin", str(ledger.jobs), "--job", "8")
    assert (stopped.returncode, stopped.stdout) == (NOTHING_TO_DO, "")
    assert "stopped by `jpfm submit stop`" in stopped.stderr
    (ledger.jobs / STOP).unlink()
    ledger.out.mkdir()
    (ledger.out / "manifest.json").write_text("{}")
    finished = command(ledger, "begin", str(ledger.jobs), "--job", "8")
    assert finished.returncode == NOTHING_TO_DO
    assert "nothing to do" in finished.stderr


def test_the_next_job_of_a_chain_does_not_begin_a_crash_loop_again(ledger: Ledger) -> None:
    for _ in range(3):
        fail(ledger)
    begun = command(ledger, "begin", str(ledger.jobs), "--job", "8")
    assert begun.returncode == 6
    assert "crash loop" in begun.stderr


def test_no_torch() -> None:
    """It runs before and after each start, on the batch host."""
    code = "import sys, jpfm.launch.attempt; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
