"""Sizes of the mesh for a number of processes, and Slurm's variables as torch reads them."""

from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies

from jpfm.core.errors import EnvironmentProblem, UsageError
from jpfm.train.mesh import Mesh, adopt_slurm, sizes
from jpfm.train.settings import Parallel

SOME = strategies.none() | strategies.integers(1, 6)


@hypothesis.given(SOME, SOME, strategies.integers(1, 4), strategies.integers(1, 48))
def test_sizes_multiply_to_the_processes_or_are_refused(
    replicate: int | None, shard: int | None, tensor: int, world: int
) -> None:
    if replicate is None and shard is None:
        with pytest.raises(ValueError, match="only one of them can be what is left"):
            Parallel(replicate=replicate, shard=shard, tensor=tensor)
        return
    asked = Parallel(replicate=replicate, shard=shard, tensor=tensor)
    known = (replicate or 1) * (shard or 1) * tensor
    fits = world % known == 0 if None in (replicate, shard) else world == known
    copies = world // known if replicate is None else replicate
    if not fits or (tensor > 1 and copies > 1 and shard == 1):
        with pytest.raises(UsageError, match=r"plain copies \(DDP\)" if fits else f"does not fit {world} processes"):
            sizes(asked, world)
        return
    found = sizes(asked, world)
    assert found[0] * found[1] * found[2] == world
    assert found[2] == tensor
    assert replicate in (None, found[0])
    assert shard in (None, found[1])
    ranks = [Mesh(*found, rank) for rank in range(world)]
    assert sorted({mesh.data_rank for mesh in ranks}) == list(range(ranks[0].data_world))
    assert {mesh.world for mesh in ranks} == {world}
    assert sum(mesh.is_main for mesh in ranks) == 1


@pytest.mark.parametrize(
    ("mesh", "words"),
    [
        ((1, 1, 1), "one process"),
        ((4, 1, 1), "DDP over 4 processes"),
        ((1, 4, 1), "FSDP2 over 4 processes"),
        ((2, 4, 1), "HSDP 2 x 4 over 8 processes"),
        ((1, 2, 2), "FSDP2 and tensor parallel 2 over 4 processes"),
        ((1, 1, 2), "tensor parallel 2 over 2 processes"),
    ],
)
def test_words(mesh: tuple[int, int, int], words: str) -> None:
    assert Mesh(*mesh, 0).words == words


def test_slurm_is_translated_once() -> None:
    step = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "812",
            "SLURM_STEP_ID": "2", "SLURM_STEP_TASKS_PER_NODE": "2(x2)", "MASTER_ADDR": "10.0.0.7"}  # fmt: skip
    environment = dict(step)
    assert adopt_slurm(environment)
    assert {name: environment[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")} == {
        "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
    }  # fmt: skip
    assert environment["MASTER_ADDR"] == "10.0.0.7"
    assert 1024 <= int(environment["MASTER_PORT"]) < 65536
    other = step | {"SLURM_JOB_ID": "813"}
    adopt_slurm(other)
    assert other["MASTER_PORT"] != environment["MASTER_PORT"]
    assert not adopt_slurm(environment)  # RANK is there now
    for left_alone in ({"SLURM_STEP_NUM_TASKS": "1"}, {}, step | {"RANK": "0"}):
        before = dict(left_alone)
        assert not adopt_slurm(left_alone)
        assert left_alone == before


def test_slurm_without_a_name_for_the_first_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # as in a container
    with pytest.raises(EnvironmentProblem, match=r"srun gave the nodes 'n\[1-2\]'"):
        adopt_slurm({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0", "SLURM_STEP_NODELIST": "n[1-2]"})
