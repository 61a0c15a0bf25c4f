"""A process that shall not outlive the one that started it.

    end_with_parent(signal.SIGTERM)        # from here on this process gets SIGTERM when its parent ends

A launcher that is killed cannot tell its processes to end, and they would go on computing on a node that the scheduler
believes to be free.
"""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent ends; on Linux only, elsewhere nothing is done."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
