"""A process that has imported torch once and forks the processes of a run: each is there in a tenth of a second.

    python zygote.py    # reads a request a line: {"folder": ..., "processes": 2, "argv": [...], "environ": {...}}

A child is what a launcher would have started: the launcher's variables in its environment, `jpfm` with its arguments,
its own output files `RANK.out` and `RANK.err`. `RANK.pid` and, when it has ended, `RANK.code` lie beside them (128 + n
after signal n, as a shell says it). `call: "module:function"` runs a function with the arguments instead.
"""

import faulthandler
import importlib
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any


def main() -> None:
    """Serve requests until the input ends."""
    import accelerate  # noqa: F401
    import torch
    import transformers.models.llama.modeling_llama
    import transformers.models.qwen3.modeling_qwen3
    import transformers.models.qwen3_moe.modeling_qwen3_moe  # noqa: F401

    import jpfm.cli.cli
    import jpfm.train.loop  # noqa: F401

    torch.set_num_threads(1)
    print("ready", flush=True)
    running: dict[int, Path] = {}
    while True:
        if select.select([sys.stdin.fileno()], [], [], 0.02)[0]:
            line = _line()
            if not line:
                return
            request = json.loads(line)
            for rank in range(request["processes"]):
                running[_fork(rank, request)] = Path(request["folder"]) / f"{rank}.code"
        while running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            code = os.waitstatus_to_exitcode(status)
            _put(running.pop(pid), code if code >= 0 else 128 - code)


def _line() -> bytes:
    """One line, and no more: what follows stays in the pipe, where `select` sees it."""
    line = b""
    while not line.endswith(b"\n") and (part := os.read(sys.stdin.fileno(), 1)):
        line += part
    return line


def _put(path: Path, number: int) -> None:
    new = path.with_suffix(".new")
    new.write_text(str(number))
    new.replace(path)


def _fork(rank: int, request: dict[str, Any]) -> int:
    folder = Path(request["folder"])
    if pid := os.fork():
        _put(folder / f"{rank}.pid", pid)
        return pid
    code = 1
    try:
        os.setsid()
        for number, name in ((1, "out"), (2, "err")):
            file = os.open(folder / f"{rank}.{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(file, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        faulthandler.register(signal.SIGQUIT, all_threads=True)  # where a process hangs, for the test that waits for it
        os.environ.update({name: value.replace("RANK", str(rank)) for name, value in request["environ"].items()})
        code = _run(request)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(request: dict[str, Any]) -> int:
    try:
        if request["call"] is None:
            from jpfm.cli.cli import main

            sys.argv = ["jpfm", *request["argv"]]
            main()
        else:
            module, _, name = request["call"].partition(":")
            getattr(importlib.import_module(module), name)(*request["argv"])
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
