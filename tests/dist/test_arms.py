"""One trajectory: how many processes there are and what they split changes no loss, norm or weight."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.dist.processes import Processes, losses, norms, write_config

from jpfm.core.artifact import Artifact

TWELVE_ROWS = {"batch_tokens": 12 * 128, "steps": 6, "schedule": {"warmup_steps": 1, "decay_steps": 2}}
EXPERTS = {
    "family": "qwen3_moe", "hidden_size": 64, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2, "head_dim": 16,
    "num_experts": 6, "experts_per_token": 2, "expert_intermediate_size": 48, "balance_coefficient": 0.01,
    "tie_embeddings": False,
}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "untied": {"model": {"size": "1M", "hidden_size": 64, "num_layers": 2, "intermediate_size": 160,
                         "tie_embeddings": False}},
    "qwen3": {"model": {"size": "1M", "family": "qwen3", "hidden_size": 64, "num_layers": 2, "head_dim": 24,
                        "intermediate_size": 160, "tie_embeddings": False}},
    "experts": {"model": EXPERTS},
    "muon": {"optimizer": {"kind": "muon"}},
    "padded": {"packing": "best_fit", "seq_len": 333, "batch_tokens": 12 * 333,
               "mixture": {"stages": [{"tokens": 9000, "weights": {"office": 0.75, "law": 0.25}}, {}]}},
}  # fmt: skip
DDP, FSDP, HSDP = (
    ("parallel.replicate=null", "parallel.shard=1"),
    ("parallel.replicate=1", "parallel.shard=null"),
    ("parallel.replicate=null", "parallel.shard=2"),
)
TENSOR = ("parallel.tensor=2", *FSDP)
ARMS = [
    ("llama", 1, ("micro_batch_rows=1",)),
    ("llama", 2, (*DDP, "micro_batch_rows=3")),
    ("llama", 3, DDP),
    ("llama", 4, (*DDP, "micro_batch_rows=1")),
    ("llama", 2, (*FSDP, "micro_batch_rows=2")),
    ("llama", 3, (*FSDP, "parallel.reshard_after_forward=false")),
    ("llama", 4, FSDP),
    ("llama", 4, (*HSDP, "micro_batch_rows=1")),
    ("llama", 2, TENSOR),
    ("llama", 4, (*TENSOR, "micro_batch_rows=2")),
    ("untied", 2, (*FSDP, "micro_batch_rows=2")),
    ("untied", 2, TENSOR),
    ("untied", 2, (*FSDP, "activation_checkpointing=selective")),
    ("untied", 4, (*TENSOR, "activation_checkpointing=full")),
    ("qwen3", 2, TENSOR),
    ("qwen3", 4, TENSOR),
    ("qwen3", 3, FSDP),
    ("experts", 2, DDP),
    ("experts", 3, FSDP),
    ("experts", 4, (*HSDP, "micro_batch_rows=2")),
    ("muon", 2, DDP),
    ("muon", 3, FSDP),
    ("muon", 4, HSDP),
    ("muon", 4, TENSOR),
    ("padded", 3, (*FSDP, "micro_batch_rows=1")),
    ("padded", 4, (*DDP, "micro_batch_rows=1")),
    ("padded", 4, TENSOR),
]


def names(arm: Any) -> str:
    if not isinstance(arm, tuple):
        return str(arm)
    return ",".join(word.removeprefix("parallel.") for word in arm) or "one"


@pytest.fixture(scope="module")
def alone(tokens: Artifact, processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What one process makes of each model."""
    folder = tmp_path_factory.mktemp("alone")
    return {
        name: processes.trained(write_config(tokens, folder / f"{name}.yaml", **TWELVE_ROWS | model), folder / name, 1)
        for name, model in MODELS.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(("model", "size", "overrides"), ARMS, ids=names)
def test_processes_and_meshes_give_one_trajectory(
    alone: dict[str, Path], processes: Processes, model: str, size: int, overrides: tuple[str, ...], tmp_path: Path
) -> None:
    straight = alone[model]
    out = processes.trained(straight.with_name(f"{model}.yaml"), tmp_path / "model", size, *overrides)
    assert losses(out) == pytest.approx(losses(straight), rel=1e-5)
    assert norms(out) == pytest.approx(norms(straight), rel=1e-4)
    expected = load_file(straight / "model.safetensors")
    found = load_file(out / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, value in expected.items():  # Adam divides small gradients by their own size: single weights may move
        assert float(torch.linalg.vector_norm(found[name] - value) / torch.linalg.vector_norm(value)) < 1e-4, name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_plain_accelerate_gives_the_same(
    alone: dict[str, Path], processes: Processes, tmp_path: Path, kind: str
) -> None:
    """`accelerator.prepare` around plain transformers: DDP and FSDP2 on two processes."""
    straight = alone["llama"]
    run = processes.start(
        [straight.with_name("llama.yaml"), tmp_path, kind], 2, call="tests.dist.probes:accelerate_prepare"
    )
    assert run.wait() == [0, 0], run.errors()
    found = json.loads((tmp_path / f"{kind}.json").read_text())
    assert found["wrapped"]
    assert found["loss"] == pytest.approx(losses(straight), rel=1e-5)
    assert found["grad_norm"] == pytest.approx(norms(straight), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "mesh"), [(1, ()), (2, DDP), (2, FSDP), (4, HSDP), (4, TENSOR)], ids=names)
def test_bfloat16_is_near_fp32(
    alone: dict[str, Path], processes: Processes, tmp_path: Path, size: int, mesh: tuple[str, ...]
) -> None:
    straight = alone["untied"]
    out = processes.trained(straight.with_name("untied.yaml"), tmp_path / "model", size, *mesh, "precision=bf16")
    assert losses(out) == pytest.approx(losses(straight), rel=2e-3)
    assert losses(out) != losses(straight)
    assert norms(out) == pytest.approx(norms(straight), rel=3e-2)
    assert all(value.dtype == torch.float32 for value in load_file(out / "model.safetensors").values())
