"""Processes of a preflight of which one has something really wrong: few files, no network, no answer."""

import logging
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from jpfm.core import log
from jpfm.core.errors import JpfmError
from jpfm.launch.cluster.examine import examine_cluster
from jpfm.launch.cluster.trial import Trial


def examine(out: str, disk: str, fault: str = "", who: str = "", patience: str = "20") -> None:
    """`jpfm doctor --cluster` as its command will do it; `fault` happens in the process of rank `who`."""
    os.environ["JPFM_NODE"] = f"n{int(os.environ['RANK']) // int(os.environ.get('PER_NODE', '1')) + 1}"
    log.setup()
    if fault and os.environ["RANK"] == who:
        globals()[fault]()
    folder = Path(disk.replace("RANK", os.environ["RANK"]))
    trial = Trial(
        join_seconds=float(os.environ.get("JOIN", "60")), patience_seconds=float(patience), message_mib=1, repeats=3,
        disk_mib=2, disk_seconds=2, seen_seconds=1,
    )  # fmt: skip
    try:
        cluster = examine_cluster(
            Path(out), disk=folder, scratch=folder, nodes=tuple(os.environ.get("NODES", "").split()), trial=trial
        )
    except JpfmError as error:
        sys.stderr.write(f"error: {error.message}\n  hint: {error.hint}\n")
        sys.stderr.flush()
        os._exit(error.exit_code)
    sys.stdout.write(f"bad: {' '.join(cluster.bad_nodes)}\n")
    sys.stdout.flush()
    os._exit(5 if cluster.problems else 0)


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))


def no_network() -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "nowhere0"


def dead_disk() -> None:
    """As an NFS server that is gone: the call never comes back."""
    os.fsync = lambda fd: time.sleep(3600)


def stop_at(stage: str) -> None:
    """As a process in a hung system call: it neither answers nor ends."""

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if stage in record.getMessage():
                os.kill(os.getpid(), signal.SIGSTOP)

    log.log.addHandler(Told())


def stop_leading() -> None:
    stop_at("round 2")


def stop_soon() -> None:
    """While the others measure pairs with it."""
    real = dist.ProcessGroupGloo

    def group(*arguments: Any) -> Any:
        made = real(*arguments)
        threading.Timer(0.001, os.kill, (os.getpid(), signal.SIGSTOP)).start()
        return made

    dist.ProcessGroupGloo = group


def broken_adder() -> None:
    """A device that loses a bit now and then, in what it sends."""
    real = dist.ProcessGroupGloo

    class Broken:
        def __init__(self, *arguments: Any) -> None:
            self.group = real(*arguments)

        def allreduce(self, tensors: list[torch.Tensor]) -> Any:
            if tensors[0].numel() > 1:
                tensors[0].view(torch.int32)[4711] ^= 1 << 20
            return self.group.allreduce(tensors)

    dist.ProcessGroupGloo = Broken
