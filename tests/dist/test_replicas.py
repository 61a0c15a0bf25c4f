"""Copies of the weights that differ are named, down to one bit."""

import json
from pathlib import Path

import pytest
from tests.dist.processes import Processes, write_config

from jpfm.core.artifact import Artifact

pytestmark = pytest.mark.slow
MESHES: dict[str, tuple[int, dict[str, int | None]]] = {
    "ddp": (3, {"replicate": None}),
    "hsdp": (4, {"replicate": None, "shard": 2}),
    "fsdp": (2, {"replicate": 1, "shard": None}),
}


@pytest.mark.parametrize("name", MESHES)
def test_a_flipped_bit_and_exchanged_rows_are_named(
    tokens: Artifact, processes: Processes, tmp_path: Path, name: str
) -> None:
    size, mesh = MESHES[name]
    config = write_config(tokens, tmp_path / "train.yaml", parallel=mesh, batch_tokens=12 * 128)
    run = processes.start([config, tmp_path], size, call="tests.dist.probes:compare_copies")
    assert run.wait() == [0] * size, run.errors()
    said = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(size)]
    assert said == said[:1] * size
    assert said[0]["equal"] == []
    if name == "fsdp":  # one copy: nothing to compare it with
        assert said[0]["bit"] == said[0]["swapped"] == []
    elif name == "ddp":
        assert said[0]["bit"] == ["model.layers.1.mlp.up_proj.weight differs on process 2"]
        assert said[0]["swapped"] == [
            "model.layers.1.mlp.up_proj.weight differs on process 2",
            "model.norm.weight differs on process 2",
        ]
    else:
        assert len(said[0]["bit"]) == 1
        assert said[0]["bit"][0].startswith("model.layers.1.mlp.up_proj.weight differs between processes")
        assert len(said[0]["swapped"]) == 2


@pytest.mark.parametrize("name", MESHES)
def test_a_run_ends_when_its_copies_differ(tokens: Artifact, processes: Processes, tmp_path: Path, name: str) -> None:
    size, mesh = MESHES[name]
    config = write_config(
        tokens, tmp_path / "train.yaml", batch_tokens=12 * 128, steps=24, parallel=mesh,
        guard={"check_replicas_every_steps": 2},
    )  # fmt: skip
    run = processes.start([config, tmp_path / "model"], size, call="tests.dist.probes:train_with_a_broken_cell")
    if size == 2:  # FSDP2 has no copies: the check cannot see it, and says nothing wrong
        assert run.wait() == [0] * size, run.errors()
        return
    assert run.wait() == [6] * size, run.errors()
    where = "on process 1" if size == 3 else "between processes 1, 3"  # of two nobody can say which is right
    assert f"copies of the weights differ: model.layers.0.self_attn.q_proj.weight differs {where}" in run.text(0)
