"""Model and optimizer of a run, on this process's devices, and the weights that training begins with.

    built = build(config, inputs, mesh, accelerator)
    first_weights(config, inputs, built, mesh)                # or state.restore, of a checkpoint
    objective, nats = built.forward(inputs_tensor, targets_tensor, built.attention.arguments(rows))

The model is made without weights, split and compiled, and only then given memory: no process ever holds what it does
not train, and a model larger than one machine's memory starts.
"""

import re
import warnings
from dataclasses import dataclass
from typing import Any

import torch
import torch._dynamo
from accelerate import Accelerator
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from transformers import GenerationConfig

from jpfm.core.errors import UsageError
from jpfm.core.log import log
from jpfm.model.init import initialise, materialise, skeleton
from jpfm.train import float8, state
from jpfm.train.attention import attention
from jpfm.train.config import TrainConfig
from jpfm.train.inputs import Inputs
from jpfm.train.loss.loss import LossModel
from jpfm.train.mesh import Mesh
from jpfm.train.optim import optim
from jpfm.train.parallel import compiles, parallelize


@dataclass
class Built:
    """What the loop computes with."""

    model: Any
    """The transformers model; its parameters are what is saved, by their names there."""
    forward: nn.Module
    """LossModel, in DDP where the mesh says so."""
    optimizer: torch.optim.Optimizer
    attention: attention.Attention
    compiled: bool

    def set_last(self, last: bool, mesh: Mesh) -> None:
        """Whether the next backward pass is a step's last: only then do copies of the model exchange gradients."""
        if mesh.is_sharded:
            sharded: Any = self.forward
            sharded.set_is_last_backward(last)
            if mesh.replicate > 1:
                sharded.set_requires_all_reduce(last)


def build(config: TrainConfig, inputs: Inputs, mesh: Mesh, accelerator: Accelerator) -> Built:
    """Make the model as the settings say; its weights are undefined.

    Raises:
        UsageError: a setting does not fit the model or the device.
    """
    device = accelerator.device
    chosen = attention.make(
        config.attention, inputs.model_config, device_type=device.type, document_mask=config.document_mask,
        reset_positions=config.reset_positions, seq_len=config.seq_len, eos=inputs.store.eos,
        dtype=torch.float32 if config.precision == "fp32" else torch.bfloat16,
    )  # fmt: skip
    _refuse_chance(inputs.model_config)
    compiled = compiles(config, device)
    inputs.model_config._attn_implementation = chosen.implementation
    if device.type == "cuda" or compiled:  # transformers' default may be a loop over experts, which has no whole graph
        inputs.model_config._experts_implementation = "grouped_mm" if device.type == "cuda" else "batched_mm"
    model = skeleton(inputs.model_config)
    if inputs.base is not None and (inputs.base.path / "generation_config.json").exists():
        model.generation_config = GenerationConfig.from_pretrained(inputs.base.path)  # it may have several ends
    if config.precision == "fp8":
        float8.convert(model, device, compiled=compiled, tensor=mesh.tensor)
    root = LossModel(
        model, kernel=config.loss, z_loss=config.z_loss, balance=_balance(inputs.model_config), compiled=compiled,
    )  # fmt: skip
    parallelize(root, config, mesh, device)
    materialise(root, device)
    optimizer = optim.build(
        config.optimizer, model.named_parameters(), config.learning_rate,
        products=torch.float32 if config.precision == "fp32" else None,
    )  # fmt: skip
    optim.initialise(optimizer)
    forward: nn.Module = root
    if mesh.data_world > 1 and mesh.device_mesh is None:
        torch._dynamo.config.optimize_ddp = False  # blocks are compiled one by one: there is nothing to split
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of broadcast_buffers: its successor is not in torch 2.11
            forward = DistributedDataParallel(
                root, device_ids=[device.index] if device.type == "cuda" else None,
                broadcast_buffers=False, gradient_as_bucket_view=True,
            )  # fmt: skip
    if mesh.is_main:
        log.info("%s on %s, attention %s%s", mesh.words, device.type, chosen.implementation,
                 ", blocks compiled" if compiled else "")  # fmt: skip
    return Built(model, forward.train(), optimizer, chosen, compiled)


def _refuse_chance(model_config: Any) -> None:
    """Training draws nothing at random: a resumed run and a block computed again would draw otherwise.

    Raises:
        UsageError: the model has dropout or noise.
    """
    for name, value in sorted(model_config.to_dict().items()):
        if isinstance(value, float) and value > 0 and re.search(r"dropout|pdrop|jitter_noise", name):
            raise UsageError(
                f"the model has {name}: {value}: what is drawn at random cannot be repeated after a restart",
                hint=f'set "{name}": 0.0 in its config.json',
            )


def _balance(model_config: Any) -> float:
    """Coefficient of the load-balancing loss; 0 for a model without experts."""
    experts = getattr(model_config, "num_experts", None) or getattr(model_config, "num_local_experts", None)
    return float(getattr(model_config, "router_aux_loss_coef", 0.0) or 0.0) if experts else 0.0


def first_weights(config: TrainConfig, inputs: Inputs, built: Built, mesh: Mesh) -> None:
    """Weights from the seed or from the base model, and an optimizer that has seen nothing.

    Raises:
        ArtifactError: the base holds another model than its config says.
    """
    if config.model is not None:
        initialise(
            built.model.named_parameters(), seed=config.seed, std=config.model.init_std,
            num_layers=inputs.model_config.num_hidden_layers, scaled=config.model.scaled_residual_init,
        )  # fmt: skip
    elif inputs.base is not None:
        state.load_base(inputs.base.path, built.model, mesh.checkpoint_group)
    for _, _, value in state.optimizer_state(built.model, built.optimizer):
        value.zero_()
