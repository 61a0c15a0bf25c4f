"""The load-balancing loss of mixture-of-experts models, row by row.

    routers = Routers(model)
    with routers as logits:
        hidden = model.model(...)
    balance = balance_sum(logits, top_k=8, targets=targets)

Each row of each layer is balanced by itself, so that micro-batches, accumulation and processes change nothing.
Refused: transformers' own `load_balancing_loss_func`, which pools layers and all tokens of one forward call: another
micro-batch is another loss, and a layer that prefers one expert can hide behind a layer that prefers another.
The router's logits come from hooks on the router modules that transformers itself names for `output_router_logits`;
a hook is part of a compiled layer, its list is filled when the layer returns, and activation checkpointing does not
fill it again.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jpfm.core.errors import UsageError
from jpfm.train.loss.chunked import IGNORE


class Routers:
    """Collects the logits of a model's routers during one forward pass."""

    def __init__(self, model: Any) -> None:
        """Put a hook on each router.

        Raises:
            UsageError: the model has no routers that transformers names.
        """
        named = getattr(model, "_can_record_outputs", None) or {}
        recorder = named.get("router_logits")
        kind = getattr(recorder, "target_class", recorder)
        self._index = getattr(recorder, "index", 0)
        routers: list[Any] = [one for one in model.modules() if isinstance(kind, type) and isinstance(one, kind)]
        if not routers:
            raise UsageError(
                f"balance: {type(model).__name__} has no routers to balance", hint="set the balance loss to 0"
            )
        self._logits: list[Tensor] | None = None
        # the list is filled in the forward pass alone, also where a compiled layer is computed again
        torch._dynamo.config.skip_fwd_side_effects_in_bwd_under_checkpoint = True
        for router in routers:
            router.register_forward_hook(self._record)
        self.top_k = int(model.config.num_experts_per_tok)

    def _record(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        if self._logits is not None:
            self._logits.append(output[self._index] if isinstance(output, tuple) else output)

    def __enter__(self) -> list[Tensor]:
        self._logits = []
        return self._logits

    def __exit__(self, *_: object) -> None:
        self._logits = None


def balance_sum(logits: Sequence[Tensor], top_k: int, targets: Tensor) -> Tensor:
    """Sum over the rows of (targets of the row) x (mean over layers of experts x sum of share x probability).

    top_k for each target where every expert is used alike, more otherwise.

    Args:
        logits: of each layer's router, shape (rows * seq_len, experts).
        targets: shape (rows, seq_len); tokens whose target is IGNORE do not count.
    Source: Fedus et al. 2021, Switch Transformers, equations 4 to 6, for each row as in DeepSeek-V2, section 2.1.
    """
    valid_BS = targets != IGNORE
    count_B = valid_BS.sum(1)
    per_token_BS = valid_BS / count_B.clamp_min(1).unsqueeze(1)
    total = torch.zeros((), dtype=torch.float32, device=targets.device)
    for layer in logits:
        probability_BSE = torch.softmax(layer.float(), dim=1).unflatten(0, targets.shape)
        chosen = probability_BSE.detach().topk(top_k, dim=2).indices
        used_BSE = torch.zeros_like(probability_BSE).scatter_(2, chosen, 1.0)
        share_BE = torch.einsum("bse,bs->be", used_BSE, per_token_BS)
        mean_BE = torch.einsum("bse,bs->be", probability_BSE, per_token_BS)
        total = total + (count_B * (share_BE * mean_BE).sum(1)).sum() * probability_BSE.shape[2]
    return total / len(logits)
