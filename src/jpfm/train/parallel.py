"""From a model without weights to one that trains on many devices, in the order that torchtitan proved.

    root = parallelize(loss_model, config, mesh, device)      # parameters still on the meta device under a mesh
    materialise(root, device)                                 # model/init: every process allocates its own part

Tensor parallel -> activation checkpointing -> torch.compile of each block -> FSDP2 -> weights. Blocks are compiled
in place through their `forward`, so names, hooks and checkpoints are those of the plain model; `fullgraph` makes a
graph break an error instead of a slow run. Compile stands outside checkpointing: the other way round torch loses the
saved tensors (pytorch#161889).
"""

import fnmatch
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from jpfm.core.errors import UsageError
from jpfm.train.config import TrainConfig
from jpfm.train.mesh import Mesh


def parallelize(root: nn.Module, config: TrainConfig, mesh: Mesh, device: torch.device) -> None:
    """Change a LossModel in place; its parameters may be on the meta device.

    Args:
        root: has `.model`, a transformers causal language model.
    Raises:
        UsageError: the model has no plan for tensor parallelism, or heads do not divide.
    """
    model: Any = root.model
    blocks = list(model.model.layers)
    if mesh.tensor > 1:
        _split_products(model, mesh)
    autocast = config.precision != "fp32" and not mesh.is_sharded
    if autocast:  # FSDP2 gathers weights in bf16; autocast leaves embedding, norms and experts in fp32
        for module in model.model.modules():
            if module is model.model.embed_tokens or type(module).__name__.endswith("Norm"):
                module.register_forward_hook(_to_bfloat16)
            elif any(parameter.ndim == 3 for parameter in module._parameters.values() if parameter is not None):
                _compute_with(module, lambda weight: weight.to(torch.bfloat16))
    if config.activation_checkpointing != "none":
        for block in blocks:
            _checkpoint(block, config.activation_checkpointing)
    if compiles(config, device):
        for block in blocks:
            block.forward = torch.compile(block.forward, fullgraph=True)
    if mesh.is_sharded:
        _shard(root, model, blocks, config, mesh)


def compiles(config: TrainConfig, device: torch.device) -> bool:
    """Whether blocks are compiled: as set, else on a GPU."""
    return device.type == "cuda" if config.compile is None else config.compile


def _to_bfloat16(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return output.to(torch.bfloat16)


def _shard(root: nn.Module, model: Any, blocks: list[Any], config: TrainConfig, mesh: Mesh) -> None:
    names = tuple(name for name, size in (("dp_replicate", mesh.replicate), ("dp_shard", mesh.shard)) if size > 1)
    policy = (
        MixedPrecisionPolicy()
        if config.precision == "fp32"
        else MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)
    )
    wrap = partial(
        fully_shard, mesh=mesh.device_mesh[names], mp_policy=policy,
        reshard_after_forward=config.parallel.reshard_after_forward,
    )  # fmt: skip
    for block in blocks:
        wrap(block)
    if not model.config.tie_word_embeddings:  # one matrix used at both ends stays with the root
        wrap(model.model.embed_tokens)
        fully_shard(
            [model.model.norm, model.lm_head], mesh=mesh.device_mesh[names], mp_policy=policy,
            reshard_after_forward=False,
        )  # fmt: skip
    fully_shard(root, mesh=mesh.device_mesh[names], mp_policy=policy, reshard_after_forward=False)


_SPLIT: dict[str, Callable[[], Any]] = {
    "colwise": ColwiseParallel,
    "rowwise": RowwiseParallel,
}


def _split_products(model: Any, mesh: Mesh) -> None:
    """Tensor parallelism by the plan that transformers has for the model, with torch's own styles."""
    config, group = model.config, mesh.device_mesh["tp"]
    plan = getattr(config, "base_model_tp_plan", None) or {}
    name = type(model).__name__
    unknown = sorted(set(plan.values()) - {*_SPLIT, "replicated_with_grad_allreduce"})
    if not plan or unknown:
        reason = f"its plan has {', '.join(unknown)}" if unknown else "transformers has no plan for it"
        raise UsageError(
            f"parallel.tensor: {name} cannot be split: {reason}", hint="set tensor: 1; shard: null splits its weights"
        )
    for what in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        if getattr(config, what) % mesh.tensor:
            raise UsageError(
                f"parallel.tensor: {what} {getattr(config, what)} is not a multiple of {mesh.tensor}",
                hint="choose a divisor of it",
            )
    for path, module in list(model.model.named_modules()):
        for pattern, style in plan.items():
            if not fnmatch.fnmatchcase(path, pattern):
                continue
            if style in _SPLIT:
                parallelize_module(module, group, _SPLIT[style]())
            else:
                _sum_gradient(module, group.get_group())


def _sum_gradient(module: nn.Module, group: Any) -> None:
    """A norm inside split heads sees a part of them: its gradient is the sum over the group."""
    _compute_with(module, lambda weight: _SumGradient.apply(weight, group))


def _compute_with(module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    """Let a module compute with changed weights; its parameters stay what they are."""
    plain: Any = module.forward
    names = tuple(name for name, parameter in module._parameters.items() if parameter is not None)

    def forward(*arguments: Any, **named: Any) -> Any:
        kept = {name: module._parameters[name] for name in names}
        for name, parameter in kept.items():
            module._parameters[name] = None
            module.__dict__[name] = change(parameter)
        try:
            return plain(*arguments, **named)
        finally:
            for name, parameter in kept.items():
                module.__dict__.pop(name, None)
                module._parameters[name] = parameter

    module.forward = forward


class _SumGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        grad = grad.contiguous().clone()
        torch.distributed.all_reduce(grad, group=ctx.group)
        return grad, None


_SAVED = {
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    torch.ops.aten._scaled_dot_product_cudnn_attention.default,
}
"""Not computed again: attention costs more than its output takes. Varlen and document attention are found by name."""


def _saved_by_name(operation: Any) -> bool:
    return "attn" in str(operation) or "document_attention" in str(operation)


def _checkpoint(block: Any, kind: str) -> None:
    plain = block.forward
    keywords: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}  # no dropout: nothing is drawn
    if kind == "selective":
        keywords["context_fn"] = _selective_contexts
    block.forward = lambda *arguments, **named: checkpoint(plain, *arguments, **keywords, **named)


def _selective_contexts() -> Any:
    return create_selective_checkpoint_contexts(_counting_policy())


def _counting_policy() -> Callable[..., CheckpointPolicy]:
    """Keep attention and every second matrix product (torchtitan's rule by operation), compute the rest again.

    Forward and recomputation ask one policy, so each counts its own products.
    """
    counts = {False: 0, True: 0}

    def choose(ctx: Any, operation: Any, *arguments: Any, **keywords: Any) -> CheckpointPolicy:
        if operation in _SAVED or _saved_by_name(operation):
            return CheckpointPolicy.MUST_SAVE
        if operation in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default):
            counts[ctx.is_recompute] += 1
            if counts[ctx.is_recompute] % 2:
                return CheckpointPolicy.MUST_SAVE
        return CheckpointPolicy.PREFER_RECOMPUTE

    return choose
