"""Signals that ask a run to end: noted at once, obeyed at the end of the step, forced after a grace period.

with StopRequest(grace_seconds=600) as stop:
    ...
    if stop.name: ...            # 'SIGTERM'

A handler that saves at once would save on one process while the others are inside a step. So it only sets a flag; the
processes add their flags up with the loss, and all of them stop at the same step.
"""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from jpfm.core import ending
from jpfm.core.errors import Preempted
from jpfm.core.log import log

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)


class StopRequest:
    """Turns SIGTERM, SIGUSR1, SIGUSR2 (Grid Engine) and Ctrl-C into a flag that the loop reads at the end of a step."""

    def __init__(self, grace_seconds: float) -> None:
        self.name: str | None = None
        self.grace_seconds = grace_seconds
        self._before: dict[int, Any] = {}
        self._timer: threading.Timer | None = None

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.name is not None:  # it may be sent again
            return
        self.name = signal.Signals(number).name
        log.warning("%s received: saving at the end of this step", self.name)
        self._timer = threading.Timer(self.grace_seconds, self._force)
        self._timer.daemon = True
        self._timer.start()

    def _force(self) -> None:
        text = f"{self.name} came {self.grace_seconds:g} s ago and the state is not saved yet"
        hint = "the last finished checkpoint is intact; run the same command again to go on from it"
        log.error("%s: ending now. Hint: %s", text, hint)
        ending.record(Preempted.exit_code, text, hint)
        sys.stderr.flush()
        os._exit(Preempted.exit_code)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.name is not None and ending.FOLDER in os.environ:
            return  # a launcher tells again and again: it has been heard
        for number, handler in self._before.items():
            signal.signal(number, handler)
