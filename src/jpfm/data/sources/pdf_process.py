"""A process beside this one that reads PDFs, so that what crashes, hangs or eats all memory there costs one file.

It is started with the first PDF, reads one after the other, and ends with this process (its input ends). It is started
again after it was killed. What goes over the pipes: a line of JSON and the file; back comes a line of JSON.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from typing import Any

from jpfm.core.errors import DataError
from jpfm.data.sources.archive import TooLarge
from jpfm.data.sources.pdf_text import PdfText, pdf_text

MEMORY_BYTES = 1 << 30
"""What reading one file may take besides the program itself."""
_SERVE = "from jpfm.data.sources.pdf_process import serve; serve()"


class _Worker:
    """The process, and who started it: a fork of this one must start its own."""

    def __init__(self) -> None:
        path = os.pathsep.join(place for place in sys.path if place)
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )

    def kill(self) -> int:
        """End the process; how it ended."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return self.process.wait()


_worker: _Worker | None = None


def read_apart(data: bytes, max_pages: int, max_seconds: float) -> PdfText:
    """The text of a PDF, read in the other process.

    Raises:
        DataError: it cannot be read, or pdfium crashed on it.
        TooLarge: it takes more pages, memory or time than allowed.
    """
    global _worker  # noqa: PLW0603  # one process for all files of this one
    if _worker is None or _worker.owner != os.getpid() or _worker.process.poll() is not None:
        _worker = _Worker()
    answer = _ask(_worker, data, max_pages, max_seconds)
    if answer is None:
        _worker.kill()
        _worker = None
        raise TooLarge(f"not read in max_seconds={max_seconds:g}", hint="raise max_seconds, or print it to a new PDF")
    if not answer:
        _worker.process.wait()  # its output has ended; a kill now would hide how
        ended = -_worker.kill()
        _worker = None
        name = signal.Signals(ended).name if ended in set(signal.Signals) else f"status {-ended}"
        raise DataError(f"pdfium was stopped by {name}", hint="a bomb, or a bug in pdfium: repair it with qpdf IN OUT")
    result = json.loads(answer)
    if "bug" in result:
        raise RuntimeError(f"in the process that reads PDFs:\n{result['bug']}")
    if "error" in result:
        raise (TooLarge if result["error"] == "too_large" else DataError)(result["message"], hint=result["hint"])
    return PdfText(**result)


def _ask(worker: _Worker, data: bytes, max_pages: int, max_seconds: float) -> bytes | None:
    """The answer; empty when the process ended, None when the time did."""
    process = worker.process
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps({"bytes": len(data), "max_pages": max_pages}).encode() + b"\n" + data)
        process.stdin.flush()
    except BrokenPipeError:
        return b""
    until = time.monotonic() + max_seconds
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(max(until - time.monotonic(), 0)):
            part = os.read(process.stdout.fileno(), 1 << 20)
            if not part:
                return b""
            parts.append(part)
            if part.endswith(b"\n"):
                return b"".join(parts)
    return None


def serve() -> None:
    """Answer until the input ends. Runs in the other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that asks
    _limit_memory()
    while request := sys.stdin.buffer.readline():
        asked = json.loads(request)
        data = sys.stdin.buffer.read(asked["bytes"])
        if len(data) < asked["bytes"]:
            return
        answer = json.dumps(_answer(data, asked["max_pages"])).encode()
        sys.stdout.buffer.write(answer + b"\n")
        sys.stdout.buffer.flush()


def _answer(data: bytes, max_pages: int) -> dict[str, Any]:
    import traceback

    try:
        return pdf_text(data, max_pages)._asdict()
    except TooLarge as error:
        return {"error": "too_large", "message": error.message, "hint": error.hint}
    except DataError as error:
        return {"error": "format", "message": error.message, "hint": error.hint}
    except MemoryError:
        return {"error": "too_large", "message": "takes more than 1 GiB of memory", "hint": "print it to a new PDF"}
    except Exception:  # noqa: BLE001  # our own bug: told to the one that asked, who raises it
        return {"bug": traceback.format_exc()}


def _limit_memory() -> None:
    """Bound the address space (Linux): an allocation beyond it fails, and pdfium stops itself."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    import pypdfium2.raw  # noqa: F401  # what is loaded before counts as the program

    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))
