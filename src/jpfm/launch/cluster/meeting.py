"""Where the processes of a preflight talk: a key-value store, never a collective, since one bad node would hang that.

    meeting = Meeting.join(environment, seconds=300)
    answers = meeting.collect("disk", text, seconds=60)     # the main process: {rank: text}, of those that answered
    plan = meeting.announce("plan", text)                   # the main process's text, in every process

A process that does not answer in its time is out: the main process says so with the next announcement, the others go on
without it. The store lies with the first process or with torchrun's agent; should that hang, a thread that never speaks
to the store ends this process with a sentence. Refused: gathering over gloo, whose first act joins every process with
every other, so that one cable between two of 64 nodes stops all and says nothing; 100 processes would need 4950
connections before the first figure.
"""

import datetime
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch.distributed as dist

from jpfm.core import ending
from jpfm.core.errors import EnvironmentProblem
from jpfm.core.log import log

_SHORTEST, _LONGEST = 0.002, 0.05
_SLACK_SECONDS = 5.0


class Meeting:
    """This process among the others. `living` are the ranks that have answered so far."""

    def __init__(self, store: Any, rank: int, world: int) -> None:
        self.store, self.rank, self.world = store, rank, world
        self.living: tuple[int, ...] = tuple(range(world))
        self.lost: dict[int, str] = {}
        """Rank -> the stage in which it fell silent; the main process knows."""
        self._number = 0
        self._until = float("inf")
        self._stage = "joining"
        threading.Thread(target=self._guard, name="guard of the preflight", daemon=True).start()

    @classmethod
    def join(cls, environment: Mapping[str, str], seconds: float) -> "Meeting":
        """Find the store by the variables that torchrun and srun leave; a process alone meets nobody.

        Raises:
            EnvironmentProblem: the meeting point cannot be reached.
        """
        rank, world = int(environment.get("RANK", "0")), int(environment.get("WORLD_SIZE", "1"))
        host, port = environment.get("MASTER_ADDR", "127.0.0.1"), int(environment.get("MASTER_PORT", "0"))
        keeps = rank == 0 and environment.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
        timeout = datetime.timedelta(seconds=seconds)
        try:
            store = dist.TCPStore(host, port, None, keeps, timeout, wait_for_workers=False)
        except (RuntimeError, OSError) as error:
            raise EnvironmentProblem(
                f"process {rank} does not reach the meeting point {host}:{port}: {_first_line(error)}",
                hint="MASTER_ADDR must name the first node as the others resolve it, and MASTER_PORT be open there",
            ) from None
        return cls(dist.PrefixStore("jpfm/preflight", store), rank, world)

    @property
    def is_main(self) -> bool:
        """Whether this process leads."""
        return self.rank == 0

    def set(self, key: str, value: str) -> None:
        """Leave a text for the others."""
        self.store.set(key, value)

    def get(self, key: str, seconds: float) -> str | None:
        """A text that another process leaves; None: it did not come in time."""
        return self.store.get(key).decode() if self.wait_for([key], seconds) else None

    def wait_for(self, keys: Iterable[str], seconds: float, *, busy: bool = False) -> bool:
        """Until all keys are there.

        Args:
            busy: ask without a pause, where microseconds matter.
        """
        keys, end, pause = list(keys), time.monotonic() + seconds, _SHORTEST
        while not self.store.check(keys):
            if time.monotonic() > end:
                return False
            if not busy:
                time.sleep(pause)
                pause = min(pause * 1.5, _LONGEST)
        return True

    def collect(self, stage: str, text: str, seconds: float) -> dict[int, str]:
        """Hand in what this process found in a stage.

        Returns:
            The main process: what each living process handed in; who did not is out. Others: nothing.
        """
        self._number += 1
        key = f"{self._number}/{stage}"
        self._expect(stage, seconds)
        self.set(f"{key}/{self.rank}", text)
        answers: dict[int, str] = {}
        if self.is_main:
            self.wait_for((f"{key}/{rank}" for rank in self.living), seconds)
            for rank in self.living:
                if self.store.check([f"{key}/{rank}"]):
                    answers[rank] = self.store.get(f"{key}/{rank}").decode()
                else:
                    self.lost[rank] = stage
                    log.warning("process %d did not answer within %g s: %s", rank, seconds, stage)
            self.living = tuple(answers)
        return answers

    def announce(self, stage: str, text: Callable[[], str] | str, seconds: float) -> str:
        """What the main process says, and who is still here.

        Args:
            text: in the main process; others' is ignored.
            seconds: how long the others wait for it.
        Raises:
            EnvironmentProblem: the main process says nothing, or has gone on without this one.
        """
        self._number += 1
        key = f"{self._number}/{stage}"
        self._expect(stage, seconds)
        if self.is_main:
            log.info("preflight: %s", stage)
            said = text() if callable(text) else text
            self.set(key, json.dumps({"living": self.living, "text": said}))
        answer = self.get(key, seconds + _SLACK_SECONDS / 2)
        if answer is None:
            raise EnvironmentProblem(
                f"process {self.rank}: process 0 said nothing for {seconds:g} s ({stage})",
                hint="look at the first node of the job, which leads the preflight",
            )
        heard = json.loads(answer)
        self.living = tuple(heard["living"])
        if self.rank not in self.living:
            raise EnvironmentProblem(
                f"process {self.rank} was silent for too long; the others have gone on without it ({stage})",
                hint="look at this node: something stopped the process, its disk or its network",
            )
        return str(heard["text"])

    def leave(self) -> None:
        """The process may take as long as it likes from here."""
        self._until = float("inf")

    def _expect(self, stage: str, seconds: float) -> None:
        self._stage, self._until = stage, time.monotonic() + seconds + _SLACK_SECONDS

    def _guard(self) -> None:
        while True:
            time.sleep(0.5)
            if time.monotonic() > self._until:
                text = f"process {self.rank}: nothing moved in '{self._stage}'"
                hint = (
                    f"something on this node hangs, or the store on {os.environ.get('MASTER_ADDR', 'this machine')}, "
                    "where the first process runs, does not answer; look at both"
                )
                log.error("%s. Hint: %s", text, hint)
                ending.record(EnvironmentProblem.exit_code, text, hint)
                sys.stderr.flush()
                os._exit(EnvironmentProblem.exit_code)


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", maxsplit=1)[0][:200]
