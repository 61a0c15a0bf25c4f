"""What `test_init.py` runs in 2 and 4 processes: models sharded in many ways hold the weights of the whole model."""

import math
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.distributed.tensor.placement_types import _StridedShard

from jpfm.model import init
from jpfm.model.init import initialise, materialise, skeleton
from jpfm.model.spec import ModelSpec, build

VOCABULARY, SEQ_LEN, SEED = 1000, 64, 11
LLAMA = ModelSpec(size="1M", hidden_size=120, num_heads=4, intermediate_size=350)
MIXTURE = ModelSpec(
    family="qwen3_moe", hidden_size=72, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=30, num_experts=5,
    experts_per_token=2, expert_intermediate_size=22, balance_coefficient=0.01,
)  # fmt: skip


def shard(model: Any, mesh: DeviceMesh) -> None:
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def split(model: Any, mesh: DeviceMesh) -> None:
    plan = {
        f"model.layers.*.{name}": ColwiseParallel()
        for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")
    }
    plan |= {f"model.layers.*.{name}": RowwiseParallel() for name in ("self_attn.o_proj", "mlp.down_proj")}
    parallelize_module(model, mesh, plan)


def compare(spec: ModelSpec, prepare: Callable[[Any], None], kinds: set[str]) -> None:
    """A sharded model against the whole one, bit for bit."""
    expected = dict(build(spec, VOCABULARY, SEQ_LEN, seed=SEED).named_parameters())
    config = spec.to_transformers(VOCABULARY, SEQ_LEN)
    config._attn_implementation = "sdpa"
    model = skeleton(config)
    prepare(model)
    materialise(model, "cpu")
    initialise(model, seed=SEED, std=spec.init_std, num_layers=spec.shape.num_layers)
    met = set()
    found = dict(model.named_parameters())
    assert found.keys() == expected.keys()
    for name, parameter in found.items():
        whole = parameter
        if kinds == {"Shard0"} and parameter.ndim > 1:  # a part of the rows: no more than a block too many at each end
            numbers = sum(math.prod(task[4]) for task in init._tasks(name, parameter, SEED, 0.0))
            assert numbers <= parameter.to_local().numel() + 2 * max(init._BLOCK, parameter.shape[-1]), name
        if isinstance(parameter, DTensor):
            met |= {type(placement).__name__ + str(getattr(placement, "dim", "")) for placement in parameter.placements}
            whole = parameter.full_tensor()
        assert torch.equal(whole, expected[name]), f"{name}: not the same"
    assert kinds <= met, f"{kinds} were to be tested, {met} were"
    assert model.model.rotary_emb.inv_freq.max() == 1.0


def placed(mesh: DeviceMesh, shape: tuple[int, ...], placements: tuple[Any, ...]) -> None:
    """One tensor, placed in a way no framework of ours makes, against the same tensor distributed by torch."""
    name = "model.layers.0.mlp.up_proj.weight"
    whole = torch.empty(shape)
    initialise([(name, whole)], seed=3, std=1.0, num_layers=1)
    expected = distribute_tensor(whole, mesh, placements, src_data_rank=None)
    found = distribute_tensor(torch.zeros(shape), mesh, placements, src_data_rank=None)
    initialise([(name, found)], seed=3, std=1.0, num_layers=1)
    assert torch.equal(found.to_local(), expected.to_local()), (shape, placements)


def main() -> None:
    """Every case this many processes can run; the first difference ends it."""
    dist.init_process_group("gloo")
    world = dist.get_world_size()
    init._BLOCK = int(sys.argv[1])
    line = init_device_mesh("cpu", (world,))
    for spec in (LLAMA, MIXTURE):
        compare(spec, lambda model: shard(model, line), {"Shard0"})
    compare(LLAMA, lambda model: split(model, line), {"Shard0", "Shard1"})
    if world == 4:
        square = init_device_mesh("cpu", (2, 2), mesh_dim_names=("one", "two"))
        compare(LLAMA, lambda model: shard(model, square), {"Replicate", "Shard0"})
        compare(MIXTURE, lambda model: shard(model, square), {"Replicate", "Shard0"})

        def both(model: Any) -> None:
            split(model, square["two"])
            shard(model, square["one"])

        compare(LLAMA, both, {"_StridedShard0", "Shard0", "Shard1"})
        for shape in ((7, 5), (1, 3), (64, 48), (5, 6, 7), (3, 2, 130)):
            for first in (Shard(0), Shard(1), Replicate()):
                for second in (Shard(0), Shard(1), Shard(len(shape) - 1), Replicate()):
                    placed(square, shape, (first, second))
        placed(square, (5, 12, 7), (Replicate(), _StridedShard(1, split_factor=2)))  # gate and up of fused experts
        placed(square, (10, 12), (_StridedShard(0, split_factor=2), Shard(0)))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
