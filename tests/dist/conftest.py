"""Real processes over gloo: forks of one that has imported torch, and torchrun where the launcher is the matter."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.dist.processes import Processes

Launch = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Starts runs of several processes in a tenth of a second."""
    made = Processes(tmp_path_factory.mktemp("processes"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def launch() -> Launch:
    """`launch(config, out, 2, "steps=8")`: jpfm train under torchrun."""

    def by_torchrun(config: Path, out: Path, size: int, *overrides: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={size}"]
        return subprocess.run(
            [*command, "-m", "jpfm", "train", str(config), *overrides, "--out", str(out)],
            capture_output=True, text=True, timeout=300, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    return by_torchrun
