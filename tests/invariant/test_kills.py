"""kill -9, also inside a save: the run ends as if nothing had been. Three trials; the benchmark has thirty."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.reliability.train_kills import FSDP, SETTINGS, Trials
from tests.dist.processes import Processes, write_config

from jpfm.core.artifact import Artifact

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    made = Processes(tmp_path_factory.mktemp("processes"))
    yield made
    made.close()


@pytest.mark.parametrize(("size", "mesh", "in_save"), [(1, (), (True, False)), (2, FSDP, (True,))], ids=["one", "two"])
def test_a_killed_run_ends_bit_exactly(
    tokens: Artifact, processes: Processes, tmp_path: Path, size: int, mesh: tuple[str, ...], in_save: tuple[bool, ...]
) -> None:
    file = write_config(tokens, tmp_path / "train.yaml", **SETTINGS | {"steps": 24})
    trials = Trials.prepare(processes, file, tmp_path, size, mesh)
    assert [step for step, _, _ in trials.curve] == list(range(1, 25))
    draw = random.Random(f"{size}")
    out = tmp_path / "killed"
    for inside in in_save:
        found = trials.kill_once(out, draw, in_save=inside)
        assert found is not None
        if inside:
            assert found == "writing a checkpoint"
    assert trials.ends_well(out)
