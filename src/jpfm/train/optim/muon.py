"""Muon for the matrices of the blocks and AdamW for the rest, as one optimizer, on shards as on whole weights.

    optimizer = Muon(groups, learning_rate)         # `optim.build` makes the groups

Muon needs whole matrices, and processes have parts of them: `muon_routes` says how they come together. Momentum, weight
decay and AdamW work on the parts. State is tensors like the parameters (`momentum`; or `exp_avg`, `exp_avg_sq` and
`step`), so that a checkpoint is resharded like the weights. Refused: torch.optim.Muon, which knows neither shards nor
experts, takes its matrices one by one, and in bfloat16 always; and two optimizers, which accelerate would prepare, save
and step apart. A step of 6 layers of width 256 and 16,000 pieces takes one core 87 ms (300 in fp32 products; torch's
Muon and AdamW 91; AdamW alone 5), beside about 1 s of the model.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim.adamw import adamw

from jpfm.train.optim.muon_routes import Route, local, pipeline, routes
from jpfm.train.optim.newton_schulz import products_in, update_scale


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) and AdamW (Loshchilov and Hutter 2019) by group.

    Args:
        groups: of parameters, with `algorithm` "muon" (momentum, nesterov, newton_schulz_steps) or "adamw" (betas,
            eps), each with `weight_decay`. Muon takes shapes (rows, columns) and (experts, rows, columns).
        learning_rate: of all groups, until `group["lr"]` is set.
        dtype: of the products that orthogonalise; null: bfloat16 where the hardware multiplies it.
    """

    def __init__(
        self, groups: Sequence[dict[str, Any]], learning_rate: float, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__(groups, {"lr": learning_rate})
        self._dtype = dtype
        self._routes: dict[tuple[int, ...], list[Route]] = {}
        self._square_sum: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every parameter that has a gradient; no process waits for its device."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._square_sum = None
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter in parameters:
                self.create_state(parameter, group["algorithm"])
            if parameters:
                (self._muon if group["algorithm"] == "muon" else self._adamw)(group, parameters)
        return loss

    def create_state(self, parameter: Tensor, algorithm: str) -> None:
        """The state of a parameter before its first step, where it has none."""
        state = self.state[parameter]
        if state:
            return
        if algorithm == "adamw":
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        for name in ("momentum",) if algorithm == "muon" else ("exp_avg", "exp_avg_sq"):
            state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)

    def update_square_sum(self) -> Tensor | None:
        """Sum of squares of Muon's last update over the learning rate, this process's share of it: sum over all.

        Returns:
            A scalar on the device; None before the first step.
        """
        return self._square_sum

    def _adamw(self, group: dict[str, Any], parameters: Sequence[Tensor]) -> None:
        state = [self.state[parameter] for parameter in parameters]
        for entry in state:  # the kernel is not given empty shards
            if not local(entry["exp_avg"]).numel():
                entry["step"] += 1
        full = [index for index, parameter in enumerate(parameters) if local(parameter).numel()]
        adamw(
            [local(parameters[index]) for index in full],
            [_gradient(parameters[index]) for index in full],
            [local(state[index]["exp_avg"]) for index in full],
            [local(state[index]["exp_avg_sq"]) for index in full],
            [],
            [state[index]["step"] for index in full],
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )

    def _muon(self, group: dict[str, Any], parameters: Sequence[Tensor]) -> None:
        gradients = [_gradient(parameter) for parameter in parameters]
        momenta = [local(self.state[parameter]["momentum"]) for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        torch._foreach_mul_([local(parameter) for parameter in parameters], 1 - group["lr"] * group["weight_decay"])
        key = tuple(id(parameter) for parameter in parameters)
        if key not in self._routes:
            self._routes[key] = routes(parameters)  # once: it may make process groups
        device = parameters[0].device
        if self._square_sum is None:
            self._square_sum = torch.zeros((), device=device)
        pipeline(
            self._along(route, group, parameters, gradients, momenta, self._dtype or products_in(device))
            for route in self._routes[key]
        )

    def _along(
        self,
        route: Route,
        group: dict[str, Any],
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        momenta: Sequence[Tensor],
        dtype: torch.dtype,
    ) -> Iterator[None]:
        """Orthogonalise the updates of a route's parameters and make them."""

        def update(index: int) -> Tensor:
            momentum, gradient = momenta[index], gradients[index]
            return torch.lerp(gradient, momentum, group["momentum"]) if group["nesterov"] else momentum

        pieces, square_sum = yield from route.orthogonal(update, group["newton_schulz_steps"], dtype)
        for index, piece in zip(route.indices, pieces, strict=True):
            scale = update_scale(*parameters[index].shape[-2:])
            local(parameters[index]).add_(piece, alpha=-group["lr"] * scale)
        assert self._square_sum is not None  # set before the first route
        self._square_sum.add_(square_sum, alpha=1 / route.copies)


def _gradient(parameter: Tensor) -> Tensor:
    """The local part of a gradient, laid out like the parameter."""
    gradient = parameter.grad
    if isinstance(gradient, DTensor) and gradient.placements != parameter.placements:
        gradient = gradient.redistribute(parameter.device_mesh, parameter.placements)
    return local(gradient)
