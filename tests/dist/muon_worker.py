"""Steps of an optimizer on processes of gloo, in layouts of the weights.

    python muon_worker.py FOLDER muon-fsdp-3-float32 adamw-plain-1-float32 ...

A scenario is optimizer, layout, number of processes and type of Muon's products; its result is FOLDER/SCENARIO.pt.

Gradients are the same in every layout, so the weights must be too. torch is imported once; the processes are forks.
"""

import multiprocessing
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from jpfm.train.optim import muon_routes
from jpfm.train.optim import optim
from jpfm.train.settings import AdamW, Muon

STEPS = 5
SHAPES = {
    "embed_tokens.weight": (11, 4),
    "layers.0.q_proj.weight": (12, 8),
    "layers.0.k_proj.weight": (1, 8),
    "layers.0.v_proj.weight": (5, 7),
    "layers.0.o_proj.weight": (7, 5),
    "layers.0.up_proj.weight": (16, 8),
    "layers.0.down_proj.weight": (8, 16),
    "layers.0.mlp.experts.gate_up_proj": (3, 6, 4),
    "layers.0.norm.weight": (7,),
    "layers.0.q_norm.weight": (1,),
    "layers.1.q_proj.weight": (8, 12),
    "layers.1.even.weight": (8, 8),
    "lm_head.weight": (11, 4),
}
TENSOR_PARALLEL = {"q_proj": 0, "up_proj": 0, "even": 0, "down_proj": 1, "v_proj": 0, "o_proj": 1}
"""Dimension that tensor parallel splits, by the matrix."""


def draw(name: str, step: int, dtype: torch.dtype) -> Tensor:
    """A gradient (or the weights, at step -1), larger in some directions than in others."""
    generator = torch.Generator().manual_seed(1000 * (step + 1) + list(SHAPES).index(name))
    shape = SHAPES[name]
    return (torch.randn(shape, generator=generator) * torch.linspace(0.1, 2, shape[-1])).to(dtype)


def make_model(dtype: torch.dtype) -> nn.Module:
    """Parameters by their dotted names."""
    model = nn.Module()
    for name in SHAPES:
        *folders, last = name.split(".")
        at = model
        for folder in folders:
            if not hasattr(at, folder):
                at.add_module(folder, nn.Module())
            at = at.get_submodule(folder)
        at.register_parameter(last, nn.Parameter(draw(name, -1, dtype)))
    return model


def shard(model: nn.Module, layout: str, world: int) -> None:
    """Lay the weights out; `plain` is DDP, one process, or all the same."""
    if layout == "fsdp":
        fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
    elif layout == "fsdp_columns":

        def last_or_first(parameter: nn.Parameter) -> Shard:
            return Shard(parameter.ndim - 1 if parameter.shape[-1] % world == 0 else 0)

        fully_shard(model, mesh=init_device_mesh("cpu", (world,)), shard_placement_fn=last_or_first)
    elif layout == "hsdp":
        fully_shard(model, mesh=init_device_mesh("cpu", (2, world // 2), mesh_dim_names=("replicate", "shard")))
    elif layout in ("tensor", "fsdp_tensor", "hsdp_tensor"):
        sizes = {"tensor": (1, 1, world), "fsdp_tensor": (1, world // 2, 2), "hsdp_tensor": (2, world // 4, 2)}[layout]
        mesh = init_device_mesh("cpu", sizes, mesh_dim_names=("replicate", "shard", "tensor"))
        for name, parameter in list(model.named_parameters()):
            folder, _, last = name.rpartition(".")
            dimension = TENSOR_PARALLEL.get(folder.rpartition(".")[2])
            placement = Replicate() if dimension is None else Shard(dimension)
            split = distribute_tensor(parameter.detach(), mesh["tensor"], [placement], src_data_rank=None)
            model.get_submodule(folder).register_parameter(last, nn.Parameter(split))
        if layout != "tensor":
            fully_shard(model, mesh=mesh["shard"] if layout == "fsdp_tensor" else mesh["replicate", "shard"])
    elif layout != "plain":
        raise ValueError(layout)


def run(rank: int, scenario: str, out: Path) -> None:
    """What one process does."""
    kind, layout, count, products = scenario.split("-")
    world, products = int(count), getattr(torch, products)
    dtype = torch.promote_types(products, torch.float32)
    muon_routes.ROUTE_ELEMENTS = 100  # several routes at a time
    torch.set_num_threads(1)
    store = dist.FileStore(str(out.with_suffix(".store")), world)
    dist.init_process_group("gloo", rank=rank, world_size=world, store=store)
    model = make_model(dtype)
    shard(model, layout, world)
    for name, parameter in model.named_parameters():
        if isinstance(parameter, DTensor) and parameter.ndim == 2:
            rows, columns = muon_routes.block(parameter, rank)
            assert torch.equal(draw(name, -1, dtype)[rows, columns], parameter.to_local()), name
    adamw = AdamW(decay_embeddings=False)
    settings = Muon(kind="muon", adamw=adamw) if kind == "muon" else adamw
    optimizer = optim.build(settings, model.named_parameters(), 0.02, products=products)
    for step in range(STEPS):
        for name, parameter in model.named_parameters():
            gradient = draw(name, step, dtype)
            if isinstance(parameter, DTensor):
                gradient = _like(gradient, parameter)
            parameter.grad = gradient
        optimizer.step()
        if step == 2:  # a checkpoint in between changes nothing
            state = optimizer.state_dict()
            optimizer = optim.build(settings, model.named_parameters(), 0.02, products=products)
            optim.initialise(optimizer)
            optimizer.load_state_dict(state)
    rms = optim.update_rms(optimizer)
    tensors = {name: _whole(parameter) for name, parameter in model.named_parameters()}
    for name, parameter in model.named_parameters():
        tensors |= {f"{name}/{key}": _whole(value) for key, value in optimizer.state[parameter].items()}
    everyone: list[object] = [None] * world
    dist.all_gather_object(everyone, {"tensors": tensors, "rms": rms})
    if rank == 0:
        torch.save(everyone, out)
    dist.barrier()
    dist.destroy_process_group()


def _like(tensor: Tensor, parameter: DTensor) -> DTensor:
    """A tensor that every process has, laid out as a parameter."""
    mesh = parameter.device_mesh
    everywhere = DTensor.from_local(tensor, mesh, [Replicate()] * mesh.ndim, run_check=False)
    return everywhere.redistribute(mesh, parameter.placements)


def _whole(tensor: Tensor) -> Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().clone()


if __name__ == "__main__":
    failed = 0
    for scenario in sys.argv[2:]:
        print(scenario, file=sys.stderr, flush=True)
        arguments = (scenario, Path(sys.argv[1]) / f"{scenario}.pt")
        fork = multiprocessing.get_context("fork")
        children = [fork.Process(target=run, args=(rank, *arguments)) for rank in range(int(scenario.split("-")[2]))]
        for child in children:
            child.start()
        for child in children:
            child.join()
        failed |= any(child.exitcode for child in children)
    sys.exit(failed)
