"""torchrun, whose failures are sentences: `python -m jpfm.launch.elastic` takes what torchrun takes.

A process that was killed cannot say so itself. torchrun knows, and prints sixty lines of its own traceback, on each
node. Here each such process gets its record (`core/ending`) with its number, its node and the signal, and one line in
the log; what said its own end needs no second word.
"""

import os
import signal
import socket
import sys

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from jpfm.core import ending
from jpfm.core.log import log, setup

_MEMORY = "; SIGKILL often means that the node ran out of memory"


def main() -> int:
    """Run torchrun. Returns 1 where a process failed, as torchrun does."""
    setup()
    try:
        run.main()
    except ChildFailedError as error:
        node = os.environ.get("JPFM_NODE", socket.gethostname())
        for rank, failure in sorted(error.failures.items()):
            text = f"process {rank} on {node} {_how(failure.exitcode)}"
            if ending.record(1, text, "see the log above", {**os.environ, "RANK": str(rank)}):
                log.error("%s", text)
        return 1
    return 0


def _how(code: int) -> str:
    """How a process ended, in words.

    >>> _how(-9), _how(1)
    ('was killed by SIGKILL; SIGKILL often means that the node ran out of memory', 'ended with code 1')
    """
    if code >= 0:
        return f"ended with code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}{_MEMORY if -code == signal.SIGKILL else ''}"


if __name__ == "__main__":
    sys.exit(main())
