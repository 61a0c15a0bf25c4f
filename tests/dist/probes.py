"""What the processes of a test run instead of a command: parts of the trainer, looked at from inside."""

import gc
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from accelerate import Accelerator, FullyShardedDataParallelPlugin
from accelerate.state import PartialState
from accelerate.utils import DistributedType, ParallelismConfig
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from jpfm.model.spec import build as whole_model
from jpfm.tokens.order import TokenOrder, positions
from jpfm.train import replicas
from jpfm.train.build import Built, build, first_weights
from jpfm.train.config import TrainConfig
from jpfm.train.inputs import open_inputs
from jpfm.train.mesh import Mesh, close_mesh, open_mesh
from jpfm.train.schedule import lr_at


def settings(file: str) -> TrainConfig:
    """A config file, as it stands."""
    return TrainConfig.model_validate_json(json.dumps(yaml.safe_load(Path(file).read_text(encoding="utf-8"))))


def flip(parameter: torch.Tensor, position: int) -> None:
    """Change the lowest bit of one weight: 1e-7 of its value."""
    own = parameter.to_local() if isinstance(parameter, DTensor) else parameter
    own.data.view(-1).view(torch.int32)[position] ^= 1  # autograd does not notice, as with a real one


def compare_copies(config: str, answers: str) -> None:
    """What `replicas.check` says of equal copies, of one flipped bit, and of weights that two copies exchange."""
    chosen = settings(config)
    inputs = open_inputs(chosen)
    accelerator, mesh = open_mesh(chosen, Path(answers) / "logs")
    built = build(chosen, inputs, mesh, accelerator)
    first_weights(chosen, inputs, built, mesh)
    said = {"equal": _check(built, mesh, accelerator.device)}
    last = mesh.world - 1
    norm = dict(built.model.named_parameters())["model.norm.weight"]
    product = dict(built.model.named_parameters())["model.layers.1.mlp.up_proj.weight"]
    if mesh.rank == last:
        flip(product, 17)
    said["bit"] = _check(built, mesh, accelerator.device)
    if mesh.rank == last:
        flip(product, 17)
        own = product.to_local() if isinstance(product, DTensor) else product
        with torch.no_grad():
            own[[0, 1]] = own[[1, 0]].clone()  # the same numbers in other places
        if norm.numel():
            with torch.no_grad():
                (norm.to_local() if isinstance(norm, DTensor) else norm).fill_(float("nan"))
    said["swapped"] = _check(built, mesh, accelerator.device)
    (Path(answers) / f"{mesh.rank}.json").write_text(json.dumps(said))
    close_mesh(accelerator)


def _check(built: Built, mesh: Mesh, device: torch.device) -> list[str]:
    return replicas.check(built.model, mesh, device)


def train_with_a_broken_cell(config: str, out: str) -> None:
    """`jpfm train` on a machine of which one process's memory loses a bit when step 5 is written down."""
    from jpfm.cli.cli import main

    def strike() -> None:
        file = Path(out + ".partial") / "logs" / "metrics.jsonl"
        while not file.exists() or len(file.read_bytes().splitlines()) < 5:
            time.sleep(0.002)
        (model,) = (one for one in gc.get_objects() if isinstance(one, PreTrainedModel) and hasattr(one, "lm_head"))
        flip(dict(model.named_parameters())["model.layers.0.self_attn.q_proj.weight"], 5)

    if os.environ["RANK"] == "1":
        threading.Thread(target=strike, daemon=True).start()
    sys.argv = ["jpfm", "train", config, "--out", out]
    main()


def accelerate_prepare(config: str, answers: str, kind: str) -> None:
    """The reference arm: plain transformers, torch's AdamW and `accelerator.prepare`, nothing of the trainer."""
    chosen = settings(config)
    assert chosen.model is not None
    store = open_inputs(chosen).store
    order = TokenOrder(store, chosen.seq_len, chosen.rows_per_step, chosen.seed, chosen.mixture)
    world = int(os.environ["WORLD_SIZE"])
    if kind == "fsdp":  # accelerate 1.15 stays DDP on a CPU unless it takes the processes for GPUs
        PartialState(cpu=True)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
        accelerator = Accelerator(
            cpu=True, parallelism_config=ParallelismConfig(dp_shard_size=world),
            fsdp_plugin=FullyShardedDataParallelPlugin(
                fsdp_version=2, auto_wrap_policy="transformer_based_wrap",
                transformer_cls_names_to_wrap=["LlamaDecoderLayer"],
            ),
        )  # fmt: skip
    else:
        accelerator = Accelerator(cpu=True)
    model = whole_model(chosen.model, store.vocab_size, chosen.seq_len, seed=chosen.seed)
    model.config._attn_implementation = "sdpa"
    matrices, vectors = ([p for p in model.parameters() if (p.ndim > 1) == yes] for yes in (True, False))
    optimizer: Any = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}], lr=1.0, betas=(0.9, 0.95)
    )
    model, optimizer = accelerator.prepare(model.train(), optimizer)
    wrapped = isinstance(next(iter(model.parameters())), DTensor) if kind == "fsdp" else hasattr(model, "module")
    found: dict[str, Any] = {"wrapped": wrapped, "loss": [], "grad_norm": []}
    for step in range(chosen.num_steps):
        for group in optimizer.param_groups:
            group["lr"] = lr_at(step, chosen.learning_rate, chosen.num_steps, chosen.schedule, chosen.batch_tokens)
        ids = order.batch(step, accelerator.process_index, world)
        place = torch.from_numpy(positions(ids[:, :-1], store.eos))
        rows = torch.from_numpy(ids.astype(np.int64))
        logits = model(rows[:, :-1], position_ids=place, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        accelerator.backward(loss)
        norm: Any = accelerator.clip_grad_norm_(model.parameters(), chosen.clip_norm)
        optimizer.step()
        found["loss"].append(float(accelerator.reduce(loss.detach(), "mean")))
        found["grad_norm"].append(float(norm.full_tensor() if isinstance(norm, DTensor) else norm))
    if accelerator.is_main_process:
        (Path(answers) / f"{kind}.json").write_text(json.dumps(found))
    accelerator.wait_for_everyone()
    sys.stderr.flush()
    os._exit(0)  # DDP over gloo now and then hangs in its destructor (torch 2.13): no matter here
