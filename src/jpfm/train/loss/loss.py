"""The loss of a causal language model, as one module that data parallel wrappers can hold.

    loss_model = LossModel(model, kernel="chunked", z_loss=1e-4)
    objective, nats = loss_model(inputs, targets, attention.arguments(rows, device))
    accelerator.backward(objective * (data_world / global_count))

Sums over the targets, never means: the mean of micro-batch means is another loss when rows are padded.
The output matrix is used inside `model.lm_head`'s own call, whose `forward` is replaced, so that FSDP2's hooks on that
module gather and free its weight (a call from outside finds a sharded weight; gathering it for each chunk costs half
as much time again). Make the module after tensor parallelism; before or after `fully_shard`.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from jpfm.core.errors import UsageError
from jpfm.train.loss.balance import Routers, balance_sum
from jpfm.train.loss.chunked import IGNORE, Losses, chunked_cross_entropy

__all__ = ["IGNORE", "LossModel", "Losses", "chunked_cross_entropy"]

Kernel = Literal["chunked", "liger", "cut"]
_Function = Callable[[Tensor, Tensor, Tensor], Losses]
_SCALES = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")


class LossModel(nn.Module):
    """A causal language model that returns its loss sums instead of logits."""

    def __init__(
        self, model: Any, *, kernel: Kernel = "chunked", z_loss: float = 0.0, balance: float = 0.0,
        compiled: bool = False,
    ) -> None:  # fmt: skip
        """Replace the forward of the model's `lm_head`; without targets it still gives logits.

        Args:
            z_loss: weight of log(Z)^2, which is in the objective and not in the nats.
            balance: weight of the load-balancing loss of mixture-of-experts models, likewise.
            compiled: compile the elementwise part of the chunked kernel.
        Raises:
            UsageError: the model's logits are more than a matrix product, or the kernel is not here.
        """
        super().__init__()
        self.model = model
        self.balance = balance
        self.routers = Routers(model) if balance else None
        head = _head(model)
        head.forward = functools.partial(_head_forward, head, head.forward, _function(kernel, z_loss, compiled))

    def forward(self, inputs: Tensor, targets: Tensor, arguments: dict[str, Any]) -> Losses:
        """Loss sums of some rows.

        Args:
            inputs: token ids, shape (rows, seq_len).
            targets: token ids or IGNORE, the same shape, int64.
            arguments: of the decoder, from `Attention.arguments`.
        """
        if self.routers is None:
            hidden = self.model.model(input_ids=inputs, use_cache=False, **arguments).last_hidden_state
            return self.model.lm_head(hidden.flatten(0, 1), targets.flatten())
        with self.routers as logits:
            hidden = self.model.model(input_ids=inputs, use_cache=False, **arguments).last_hidden_state
        losses = self.model.lm_head(hidden.flatten(0, 1), targets.flatten())
        balance = balance_sum(logits, self.routers.top_k, targets)
        return Losses(losses.objective + self.balance * balance, losses.nats)


def _head(model: Any) -> Any:
    name = type(model).__name__
    head = getattr(model, "lm_head", None)
    if not isinstance(head, nn.Linear) or not hasattr(model, "model"):
        raise UsageError(
            f"{name} has no `model` and linear `lm_head`", hint="train a model such as Llama, Qwen3 or Mistral"
        )
    config = model.config.get_text_config()
    scaled = [one for one in _SCALES if getattr(config, one, None) not in (None, 1, 1.0)]
    if scaled or head.bias is not None:
        what = f"{scaled[0]} {getattr(config, scaled[0])}" if scaled else "a bias in its lm_head"
        raise UsageError(
            f"{name} has {what}: its logits are more than the product that this loss takes",
            hint="train a model such as Llama, Qwen3 or Mistral",
        )
    return head


def _head_forward(
    head: Any, logits: Callable[[Tensor], Tensor], function: _Function, hidden: Tensor, targets: Tensor | None = None
) -> Any:
    """lm_head(hidden) is logits as ever; lm_head(hidden, targets) is Losses."""
    if targets is None:
        return logits(hidden)
    return function(_whole(hidden), _whole(head.weight), targets)


def _whole(tensor: Tensor) -> Tensor:
    """The full tensor where tensor parallelism has split it; its gradient goes back to the parts."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _function(kernel: Kernel, z_loss: float, compiled: bool) -> _Function:
    if kernel == "chunked":
        return functools.partial(chunked_cross_entropy, z_loss=z_loss, compiled=compiled)
    if not torch.cuda.is_available():
        raise UsageError(f"loss: {kernel} runs on a GPU only, and there is none", hint="set loss=chunked")
    if kernel == "liger":
        module = _imported("liger_kernel.transformers.functional", kernel, "liger-kernel")
        return functools.partial(_liger, module.liger_fused_linear_cross_entropy, z_loss)
    if z_loss:
        raise UsageError(f"loss: cut has no z-loss, and z_loss is {z_loss:g}", hint="set loss=chunked")
    package = "cut-cross-entropy @ git+https://github.com/apple/ml-cross-entropy"
    _imported("cut_cross_entropy.cce_utils", kernel, package)  # 25.1.1, the one on PyPI, lacks the exact gradient
    module = _imported("cut_cross_entropy", kernel, package)
    return functools.partial(_cut, module.linear_cross_entropy)


def _imported(module: str, kernel: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"loss: {kernel}: {error}", hint=f"pip install '{package}', or set loss=chunked") from error


def _products(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both in autocast's dtype: these kernels are no matrix product that autocast knows."""
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        return hidden.to(dtype), weight.to(dtype)
    return hidden, weight


def _liger(kernel: Callable[..., Any], z_loss: float, hidden: Tensor, weight: Tensor, targets: Tensor) -> Losses:
    hidden, weight = _products(hidden, weight)
    made = kernel(
        hidden, weight, targets, ignore_index=IGNORE, lse_square_scale=z_loss, reduction="sum",
        return_z_loss=bool(z_loss), accum_dtype=torch.float32,
    )  # fmt: skip
    objective, z_part = (made.loss, made.z_loss) if z_loss else (made, 0.0)
    return Losses(objective, (objective - z_part).detach())


def _cut(kernel: Callable[..., Tensor], hidden: Tensor, weight: Tensor, targets: Tensor) -> Losses:
    # full_c: no gradient of the output matrix is left out for being small; kahan: compensated sums
    objective = kernel(
        *_products(hidden, weight), targets, ignore_index=IGNORE, reduction="sum", impl="cce_kahan_full_c"
    )
    return Losses(objective, objective.detach())
