"""What became of each start of a job, and whether it shall start again. Called by the job scripts, without torch.

    start=$(python -m jpfm.launch.attempt begin out/8B.jobs --job 1234)     # its number; exit code 100: nothing to do
    python -m jpfm.launch.attempt end out/8B.jobs --job 1234 --start "$start" --code 1      # exit code 75: start again

`attempts.jsonl` holds a line for each beginning and each end. A job that a node took with it has no end; what its
processes said is in `ends/START/`. A failure that another start may not meet (a lost node, a hang, a bug) is tried
again; mistakes in settings, data or artifacts are not. Three failures in a row without a new checkpoint are a crash
loop: they would come again at the same step, and a cluster would burn for nothing.
"""

import argparse
import fcntl
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jpfm.core import artifact as artifacts
from jpfm.core import ending
from jpfm.core.errors import EnvironmentProblem, ModelError, Preempted, UsageError
from jpfm.launch.node import STOP
from jpfm.model.checkpoints import finished_steps

RUN = "run.json"
ATTEMPTS = "attempts.jsonl"
ENDS = "ends"
LOGS = "logs"
MAX_FAILURES = 3
NOTHING_TO_DO = 100
_AGAIN = Preempted.exit_code
_SIGNALLED = (128 + 10, 128 + 15, -10, -15)
"""Codes of a process that SIGUSR1 or SIGTERM ended before it could take them."""
_WORTH_A_TRY = (1, EnvironmentProblem.exit_code, ModelError.exit_code)
_ERROR = re.compile(
    r"^(?:\[rank\d+\]: )?((?:\w+\.)*(?!ChildFailedError|SignalException)\w*(?:Error|Exception)): (.+)$", re.MULTILINE
)
_TAIL_BYTES = 1 << 17

Outcome = Literal["finished", "stopped", "failed", "lost"]


class Failure(NamedTuple):
    """Why a start ended."""

    code: int
    message: str
    hint: str


class Attempt(NamedTuple):
    """One start of a job and what became of it."""

    number: int
    job: str
    nodes: str
    began: float
    begun_at: int
    """Steps of the newest checkpoint when it began."""
    checkpoint: int
    """The same when it was over, or now."""
    outcome: Outcome | None
    """None while it runs; also of one that was lost with its node, until the next one begins."""
    step: int | None
    """Last step it reached."""
    failure: Failure | None
    task: str
    """Of an array; empty outside."""


@dataclass(frozen=True)
class Ledger:
    """The folder of a job."""

    jobs: Path

    def run(self) -> dict[str, Any]:
        """What was submitted."""
        return dict(json.loads((self.jobs / RUN).read_text(encoding="utf-8")))

    @property
    def out(self) -> Path:
        """The folder the job makes."""
        return Path(self.run()["out"])

    def attempts(self, task: str | None = None) -> list[Attempt]:
        """All starts, in order.

        Args:
            task: only those of this task of an array.
        """
        begun: dict[int, dict[str, Any]] = {}
        ended: dict[int, dict[str, Any]] = {}
        for row in self._rows():
            (begun if row["event"] == "begin" else ended)[int(row["start"])] = row
        if task is not None:
            begun = {number: row for number, row in begun.items() if row["task"] == task}
        following: dict[str, dict[str, Any]] = {}
        found = []
        for number, row in sorted(begun.items(), reverse=True):
            end, after = ended.get(number), following.get(row["task"])
            lost = end is None and after is not None
            failure = Failure(end["code"], end["message"], end["hint"]) if end and end["code"] else None
            if lost:
                failure = Failure(1, "it ended without a word: its node was lost, or it was killed", "see its log")
            found.append(Attempt(
                number, row["job"], row["nodes"], row["time"],
                row["checkpoint"], (end or after or {"checkpoint": checkpoint(self.out)})["checkpoint"],
                "lost" if lost else end["outcome"] if end else None, end["step"] if end else None, failure, row["task"],
            ))  # fmt: skip
            following[row["task"]] = row
        return found[::-1]

    def _rows(self) -> Iterator[dict[str, Any]]:
        file = self.jobs / ATTEMPTS
        if file.exists():
            for line in file.read_text(encoding="utf-8").splitlines():
                with suppress(json.JSONDecodeError):  # a kill cut it short
                    yield json.loads(line)

    def _append(self, row: Mapping[str, Any]) -> None:
        line = json.dumps({"time": round(time.time(), 3), **row}, ensure_ascii=False, sort_keys=True).encode()
        with (self.jobs / ATTEMPTS).open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # tasks on other nodes: NFS does not append in order by itself
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            cut = file.read(1) not in (b"", b"\n")  # by a kill: what it left stays a line of its own
            file.write(b"\n" * cut + line + b"\n")

    def begin(self, job: str, nodes: str, task: str = "", log: Path | None = None) -> int | None:
        """Note a start. Returns its number, or None where there is nothing to do; says why on stderr."""
        if (self.jobs / STOP).exists():
            _say(f"{self.out.name} was stopped by `jpfm submit stop`; submit it again to go on")
            return None
        if not task and (self.out / artifacts.MANIFEST).exists():
            _say(f"{self.out} is finished; nothing to do")
            return None
        number = self._take_number()
        self._append({
            "event": "begin", "start": number, "job": job, "nodes": nodes, "task": task,
            "checkpoint": checkpoint(self.out), "log_bytes": log.stat().st_size if log and log.exists() else 0,
        })  # fmt: skip
        return number

    def _log_bytes(self, start: int) -> int:
        """Where a start's words begin in the log that all starts of a job share."""
        begun = (row for row in self._rows() if row["event"] == "begin" and row["start"] == start)
        return int(next(begun, {}).get("log_bytes", 0))

    def _take_number(self) -> int:
        number = max((int(path.name) for path in (self.jobs / ENDS).glob("[0-9]*")), default=0) + 1
        while True:  # tasks of an array begin at once
            try:
                (self.jobs / ENDS / str(number)).mkdir(parents=True)
                return number
            except FileExistsError:
                number += 1

    def end(self, start: int, code: int, *, task: str = "", log: Path | None = None) -> int:
        """Note how a start ended. Returns 0 (finished), 75 (shall start again) or the code of the failure."""
        failure = self._why(start, code, log)
        stopped = failure is not None and failure.code == _AGAIN
        outcome: Outcome = "finished" if failure is None else "stopped" if stopped else "failed"
        step = last_step(self.out)
        self._append({
            "event": "end", "start": start, "outcome": outcome, "step": step, "checkpoint": checkpoint(self.out),
            "code": failure.code if failure else 0, "message": failure.message if failure else "",
            "hint": failure.hint if failure else "",
        })  # fmt: skip
        if failure is None:
            return 0
        _say(f"start {start} ended with {failure.code}: {failure.message or 'no message'}")
        if stopped and (self.jobs / STOP).exists():
            return 0
        if not stopped and (task or failure.code not in _WORTH_A_TRY or self.run()["stage"] == "doctor"):
            return failure.code
        if not task and (loop := self.crash_loop()) is not None:
            _say(f"error: {loop}")
            return ModelError.exit_code if stopped else failure.code
        return _AGAIN

    def _why(self, start: int, code: int, log: Path | None) -> Failure | None:
        """The first thing that went wrong, as far as it is known; None where nothing did."""
        ends = ending.read(self.jobs / ENDS / str(start))
        told = [end for end in ends if end.code not in (0, _AGAIN)]
        saved = [end for end in ends if end.code == _AGAIN]
        if not told and not saved and (code == 0 or (ends and (self.out / artifacts.MANIFEST).exists())):
            return None
        if told:
            # those who survive tell of a lost connection, and before torchrun tells who was killed
            cause = next((end for end in told if "connection" not in end.message), told[0])
            return Failure(cause.code, cause.message, cause.hint)
        if saved:
            return Failure(_AGAIN, saved[0].message, saved[0].hint)
        in_log = _tail(log, self._log_bytes(start))
        if not ends and code in (*_SIGNALLED, _AGAIN):
            said = f"; in its log: {in_log.message}" if in_log is not None else ""
            return Failure(_AGAIN, f"stopped, and its processes said nothing{said}", "it starts again")
        if in_log is not None:
            return in_log
        known = code if UsageError.exit_code <= code <= ModelError.exit_code else 1
        return Failure(known, f"it ended with code {code} and no word", f"see {log or self.jobs / LOGS}")

    def crash_loop(self) -> str | None:
        """The sentence about a job that fails again and again, or None. Only asked while no start of it runs.

        A new submission counts from the beginning.
        """
        since, trains = float(self.run()["submitted"]), self.run()["stage"] == "train"
        failed: list[Attempt] = []
        for attempt in reversed([a for a in self.attempts("") if a.began >= since]):
            saved = attempt.outcome == "stopped" and not (trains and attempt.checkpoint == attempt.begun_at)
            if attempt.outcome == "finished" or saved or (failed and attempt.checkpoint != failed[0].checkpoint):
                break
            failed.append(attempt)
        if len(failed) < MAX_FAILURES:
            return None
        steps = {attempt.step for attempt in failed}
        at = f"at step {failed[0].step}" if len(steps) == 1 and None not in steps else "and no new checkpoint between"
        words = failed[0].failure.message if failed[0].failure else "it ended without a word"
        what = "starts" if any(attempt.outcome == "stopped" for attempt in failed) else "failures"
        return f"crash loop: {len(failed)} {what} in a row {at}; the last: {words}"


def checkpoint(out: Path) -> int:
    """Steps of the newest checkpoint of a run, finished or not; 0 where there is none."""
    for folder in (out, out.with_name(out.name + ".partial")):
        if found := finished_steps(folder / "steps"):
            return int(found[-1].name.removeprefix("step-"))
    return 0


def last_rows(out: Path, number: int) -> list[dict[str, Any]]:
    """The last lines of a run's metrics, oldest first."""
    for folder in (out, out.with_name(out.name + ".partial")):
        file = folder / artifacts.LOGS / "metrics.jsonl"
        if file.exists():
            lines = _end_of(file).splitlines(keepends=True)
            return [json.loads(line) for line in lines if line.endswith("\n")][-number:]
    return []


def last_step(out: Path) -> int | None:
    """The last step that a run has reached."""
    rows = last_rows(out, 1)
    return int(rows[-1]["step"]) if rows else None


def _end_of(file: Path, since: int = 0) -> str:
    with file.open("rb") as stream:
        begin = max(since, stream.seek(0, os.SEEK_END) - _TAIL_BYTES)
        stream.seek(begin)
        text = stream.read().decode(errors="replace")
    return text if begin == since else text.partition("\n")[2]


def _tail(log: Path | None, since: int) -> Failure | None:
    """What the end of a log says about processes that could not speak for themselves.

    Args:
        since: bytes of the log that earlier starts have written.
    """
    if log is None or not log.exists():
        return None
    text = _end_of(log, since)
    if errors := _ERROR.findall(text):
        kind, words = errors[-1]
        return Failure(1, f"{kind}: {words}", f"see {log}")
    return None


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main(words: Sequence[str] | None = None) -> int:
    """Entry point of the job scripts."""
    parser = argparse.ArgumentParser(prog="python -m jpfm.launch.attempt")
    parser.add_argument("event", choices=("begin", "end"))
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--job", default="", help="its id")
    parser.add_argument("--task", default="", help="of an array")
    parser.add_argument("--nodes", default="", help="their names")
    parser.add_argument("--start", type=int, help="the number that `begin` gave")
    parser.add_argument("--code", type=int, help="how it ended")
    parser.add_argument("--log", type=Path)
    given = parser.parse_args(words)
    ledger = Ledger(given.jobs)
    if given.event == "end":
        return ledger.end(given.start, given.code, task=given.task, log=given.log)
    if not given.task and (loop := ledger.crash_loop()) is not None:
        _say(f"error: {loop}")
        return ModelError.exit_code
    number = ledger.begin(given.job, given.nodes, given.task, given.log)
    if number is None:
        return NOTHING_TO_DO
    sys.stdout.write(f"{number}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
