"""Ctrl-C and a scheduler's SIGTERM, SIGUSR1 or SIGUSR2 become KeyboardInterrupt, and stay one until somebody has it.

    with interrupts():
        run()

Python raises KeyboardInterrupt wherever it is. Inside a callback from C the exception is printed and lost, and the
program would go on as if nobody had asked it to stop. So inside those of Numba's compiler, which every stage may be in,
nothing is raised, and the signal is sent again at once; after any other it is sent again every few seconds until the
block ends. Handlers that others set meanwhile (the trainer's) get it like any other.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from jpfm.core import ending

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_AGAIN_SECONDS = 3.0
_SOON_SECONDS = 0.05
_CALLBACKS = "llvmlite."


def _interrupt(number: int, frame: FrameType | None) -> None:
    while frame is not None and not str(frame.f_globals.get("__name__")).startswith(_CALLBACKS):
        frame = frame.f_back
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS if frame is None else _SOON_SECONDS, _AGAIN_SECONDS)
    if frame is None:
        raise KeyboardInterrupt


def _again(number: int, frame: FrameType | None) -> None:
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def interrupts() -> Iterator[None]:
    """Take the signals of this process; its main thread only."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    signal.signal(signal.SIGALRM, _again)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if ending.FOLDER in os.environ:  # a launcher tells again and again, and what is left to do is to say the end
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
