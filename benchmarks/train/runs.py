"""Arms as processes: start one, read its line, many of them in random order.

measured = measure(["jpfm", "plain"], setting, Machine(threads=2), repeats=3)
measured["jpfm"].tokens_per_second, measured["jpfm"].spread
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.train import gpu
from benchmarks.train.setting import Setting

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Machine:
    """How arms are started."""

    threads: int
    timeout_seconds: float = 3600


@dataclass(frozen=True)
class Measured:
    """Repeats of one arm."""

    name: str
    setting: Setting
    lines: tuple[dict[str, Any], ...]

    def median(self, what: str) -> float:
        """Of the repeats."""
        return float(statistics.median(line[what] for line in self.lines))

    @property
    def step_seconds(self) -> float:
        """Median of the repeats' figures."""
        return self.median("step_seconds")

    @property
    def spread(self) -> tuple[float, float]:
        """The fastest and the slowest repeat, seconds a step."""
        found = [line["step_seconds"] for line in self.lines]
        return min(found), max(found)

    @property
    def tokens_per_second(self) -> float:
        """Of the median."""
        return self.setting.step_tokens / self.step_seconds


class ArmFailed(Exception):
    """An arm ended with an error; the last lines it wrote."""


def start(name: str, setting: Setting, machine: Machine) -> dict[str, Any]:
    """Run an arm to its end, with a compiler cache of its own, so that every start is a cold one.

    Raises:
        ArmFailed: it ended with an error.
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {
            "OMP_NUM_THREADS": str(machine.threads), "TORCHINDUCTOR_CACHE_DIR": cache, "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": os.pathsep.join([str(_ROOT), *_python_path()]),
        }  # fmt: skip
        load = os.getloadavg()[0]
        with gpu.Watch(setting.device) as watch:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.train.arm", name, setting.json(), repr(time.time())],
                env=environment, capture_output=True, text=True, timeout=machine.timeout_seconds, check=False,
            )  # fmt: skip
    if done.returncode:
        raise ArmFailed(f"{name}: {' | '.join(done.stderr.strip().splitlines()[-6:])}")
    line: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return line | {"load_average": round(load, 2), **watch.facts()}


def measure(
    names: Sequence[str], setting: Setting, machine: Machine, repeats: int, failed: dict[str, str] | None = None
) -> dict[str, Measured]:
    """Every arm `repeats` times; each round in an order of its own.

    Args:
        failed: gets the last words of the arms that ended with an error; without it that error is raised.
    Raises:
        ArmFailed: as said.
    """
    lines: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for turn in range(repeats):
        order = [name for name in names if failed is None or name not in failed]
        random.Random(1000 * setting.seed + turn).shuffle(order)
        for place, name in enumerate(order):
            try:
                line = start(name, setting, machine)
            except ArmFailed as error:
                if failed is None:
                    raise
                say(str(error))
                failed[name] = str(error)
                continue
            lines[name].append(line | {"turn": turn, "place": place})
            say(
                f"turn {turn + 1} {name}: {line['step_seconds']:.3f} s a step, "
                f"{setting.step_tokens / line['step_seconds']:,.0f} tokens/s, first step after "
                f"{line['start_seconds']:.1f} s, load {line['load_average']}"
            )
    return {
        name: Measured(name, setting, tuple(found))
        for name, found in lines.items()
        if found and (failed is None or name not in failed)
    }


def peak(setting: Setting, machine: Machine) -> tuple[float, str]:
    """FLOP/s of the device in the run's precision, and where the figure is from; asked of a process of its own."""
    code = (
        "import torch, json; from jpfm.train.peak import device_peak; "
        f"torch.set_num_threads({machine.threads}); "
        f"p = device_peak(torch.device('{setting.device}'), '{setting.precision}'); print(json.dumps(list(p)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": str(machine.threads)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    flops, source = json.loads(done.stdout.strip().splitlines()[-1])
    return flops, source


def say(words: str) -> None:
    """A line for the person who waits."""
    sys.stderr.write(words + "\n")
    sys.stderr.flush()


def _python_path() -> list[str]:
    found = os.environ.get("PYTHONPATH")
    return [found] if found else []
