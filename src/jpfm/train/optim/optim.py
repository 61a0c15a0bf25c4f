"""The optimizer of a run from its settings: groups by what a parameter is, state before the first step, update sizes.

    optimizer = build(config.optimizer, model.named_parameters(), config.learning_rate)     # after sharding
    initialise(optimizer)                                                                   # to load a checkpoint into
    update_rms(optimizer)                       # {"embeddings": 0.21, "matrices": 0.19, "vectors": 0.24}

What does not decay: norms and biases, and the embedding where asked. One group has one layout (mesh and placements),
since the fused kernels refuse to mix them. Refused: a group for all and decay for all, which pulls norms towards 0.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from jpfm.core.errors import UsageError
from jpfm.train.optim.muon import Muon as MuonOptimizer
from jpfm.train.optim.muon_routes import copies, local, processes
from jpfm.train.settings import AdamW, Muon

Kind = Literal["embeddings", "matrices", "vectors"]

INPUT = re.compile(r"(^|\.)(embed_tokens|embed_in|embed_positions|word_embeddings|wte|wpe)\.weight$")
OUTPUT = re.compile(r"(^|\.)(lm_head|embed_out)\.weight$")
BLOCK = re.compile(r"(^|\.)layers\.\d+\.")
EXPERTS = re.compile(r"\.experts\.")
PIECE_ELEMENTS = 1 << 24
"""Elements of a state that are measured at a time."""


def build(
    settings: AdamW | Muon,
    parameters: Iterable[tuple[str, Tensor]],
    learning_rate: float,
    *,
    products: torch.dtype | None = None,
) -> torch.optim.Optimizer:
    """The optimizer of some parameters.

    Args:
        parameters: with their names in the transformers model; those that need no gradient are left out.
        learning_rate: of all groups, until a step sets `group["lr"]`.
        products: type in which Muon orthogonalises; null: bfloat16 where the hardware multiplies it.
    Raises:
        UsageError: Muon, and the model has no matrix that it knows as one of a block.
    """
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, parameter in parameters:
        if not parameter.requires_grad:
            continue
        kind = kind_of(name, parameter)
        muon = isinstance(settings, Muon) and of_a_block(name, parameter)
        layout = (parameter.device_mesh, parameter.placements) if isinstance(parameter, DTensor) else None
        key = (muon, kind, bool(INPUT.search(name)), layout)
        if key not in groups:
            groups[key] = {"params": [], "kind": kind, **_options(settings, muon, decays(settings, name, kind))}
        groups[key]["params"].append(parameter)
    if not isinstance(settings, Muon):
        return torch.optim.AdamW(list(groups.values()), lr=learning_rate, fused=True)
    if not any(group["algorithm"] == "muon" for group in groups.values()):
        raise UsageError(
            "optimizer.kind muon: the model has no matrix named `...layers.N...`, so AdamW would do all of it",
            hint="set optimizer.kind=adamw",
        )
    return MuonOptimizer(list(groups.values()), learning_rate, products)


def kind_of(name: str, parameter: Tensor) -> Kind:
    """What a parameter is: an embedding (also an output matrix), a vector (norms, all biases), or a matrix."""
    if INPUT.search(name) or OUTPUT.search(name):
        return "embeddings"
    return "vectors" if parameter.ndim < 2 or name.rpartition(".")[2].endswith("bias") else "matrices"


def of_a_block(name: str, parameter: Tensor) -> bool:
    """Whether Muon takes a parameter: a matrix of a block, or a stack of experts' matrices."""
    if kind_of(name, parameter) != "matrices" or not BLOCK.search(name):
        return False
    return parameter.ndim == 2 or (parameter.ndim == 3 and EXPERTS.search(name) is not None)


def decays(settings: AdamW | Muon, name: str, kind: Kind) -> bool:
    """Whether weight decay is for a parameter."""
    adamw = settings.adamw if isinstance(settings, Muon) else settings
    return kind != "vectors" and (adamw.decay_embeddings or INPUT.search(name) is None)


def _options(settings: AdamW | Muon, muon: bool, decay: bool) -> dict[str, Any]:
    """Options of one group."""
    if isinstance(settings, Muon) and muon:
        return {
            "algorithm": "muon",
            "momentum": settings.momentum,
            "nesterov": settings.nesterov,
            "newton_schulz_steps": settings.newton_schulz_steps,
            "weight_decay": settings.weight_decay,
        }
    adamw = settings.adamw if isinstance(settings, Muon) else settings
    return {
        "algorithm": "adamw",
        "betas": (adamw.beta1, adamw.beta2),
        "eps": adamw.epsilon,
        "weight_decay": adamw.weight_decay if decay else 0.0,
        "fused": True,  # load_state_dict keeps `step` on the device for it
    }


def initialise(optimizer: torch.optim.Optimizer) -> None:
    """Give every parameter the state that it has before its first step, where it has none."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if isinstance(optimizer, MuonOptimizer):
                optimizer.create_state(parameter, group["algorithm"])
            elif not optimizer.state[parameter]:
                optimizer.state[parameter] |= {
                    "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                    "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                }


@torch.no_grad()
def update_rms(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """How far the last step moved the weights: root mean square of the update over the learning rate, without decay.

    About 0.2 for both algorithms in the middle of a run. Where it is far below for AdamW, epsilon is too large for the
    gradients (LLM-jp-3 172B, alpha 1 and 2).

    Returns:
        By kind, over all shards; 0 before the first step. Waits for the device, and every process must call it.
    """
    sums: dict[str, Tensor] = {}
    elements: dict[str, int] = {}
    for group in optimizer.param_groups:
        kind, parameters = group["kind"], group["params"]
        elements[kind] = elements.get(kind, 0) + sum(parameter.numel() for parameter in parameters)
        total = sums.setdefault(kind, torch.zeros((), device=parameters[0].device))
        if group["algorithm"] == "adamw":
            for parameter in parameters:
                for square_sum in _adamw_square_sums(optimizer.state.get(parameter, {}), group):
                    total.add_(square_sum, alpha=1 / copies(parameter))
    if isinstance(optimizer, MuonOptimizer) and (muon := optimizer.update_square_sum()) is not None:
        sums["matrices"].add_(muon)
    flat = torch.stack([sums[kind] for kind in sorted(sums)])
    if processes() > 1:
        dist.all_reduce(flat)
    return {
        kind: (square_sum / elements[kind]) ** 0.5 for kind, square_sum in zip(sorted(sums), flat.tolist(), strict=True)
    }


def _adamw_square_sums(state: dict[str, Tensor], group: dict[str, Any]) -> Iterator[Tensor]:
    """Sums of squares of an AdamW update over the learning rate, piece by piece of the local part."""
    if not state:
        return
    beta1, beta2 = group["betas"]
    step = state["step"].clamp(min=1)
    first, second = (1 - beta**step for beta in (beta1, beta2))
    pieces = zip(
        *(local(state[name]).reshape(-1).split(PIECE_ELEMENTS) for name in ("exp_avg", "exp_avg_sq")), strict=True
    )
    for mean, square in pieces:
        update = (mean / first).div_((square / second).sqrt_().add_(group["eps"]))
        yield torch.linalg.vector_norm(update, dtype=torch.promote_types(update.dtype, torch.float32)).square_()
