"""A call that may hang in the kernel or a driver, and is left behind when it does.

    answer = within(60, lambda: os.fsync(file))     # Late after a minute

A dead NFS server holds a thread where no signal reaches it; so the call runs in a thread of its own, which ends with
the process. Refused: a child process for each measurement, which cannot be ended there either and costs an import of
torch (1 s) and a CUDA context each.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Late(Exception):
    """The call did not end in its time."""


def within(seconds: float, call: Callable[[], T], give_up: Callable[[], object] | None = None) -> T:
    """The call's answer.

    Args:
        give_up: called when the time is over, to free what the call waits for.
    Raises:
        Late: it takes longer.
        Exception: whatever the call raises.
    """
    answer: list[T] = []
    problem: list[BaseException] = []

    def run() -> None:
        try:
            answer.append(call())
        except BaseException as error:  # noqa: BLE001  (raised again where the answer is awaited)
            problem.append(error)

    thread = threading.Thread(target=run, name="a call with a deadline", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        if give_up is not None:
            threading.Thread(target=give_up, name="giving up", daemon=True).start()
        raise Late(f"did not end within {seconds:g} s")
    if problem:
        raise problem[0]
    return answer[0]
