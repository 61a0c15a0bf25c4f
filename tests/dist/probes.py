"""What the processes of a test run instead of a command: parts of the trainer, looked at from inside."""

import gc
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import yaml
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from jpfm.train import replicas
from jpfm.train.build import Built, build, first_weights
from jpfm.train.config import TrainConfig
from jpfm.train.inputs import open_inputs
from jpfm.train.mesh import Mesh, close_mesh, open_mesh


def settings(file: str) -> TrainConfig:
    """A config file, as it stands."""
    return TrainConfig.model_validate_json(json.dumps(yaml.safe_load(Path(file).read_text(encoding="utf-8"))))


def flip(parameter: torch.Tensor, position: int) -> None:
    """Change the lowest bit of one weight: 1e-7 of its value."""
    own = parameter.to_local() if isinstance(parameter, DTensor) else parameter
    own.detach().view(-1).numpy().view(np.int32)[position] ^= 1  # autograd does not notice, as with a real one


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
    import sys

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


def gathered(value: Any) -> list[Any]:
    """The values of all processes."""
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, value)
    return every
