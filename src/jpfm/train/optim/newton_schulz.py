"""The nearest semi-orthogonal matrices, of many matrices at once: what Muon steps along instead of the gradient.

    orthogonal, square_sum = orthogonalise(updates, steps=5, dtype=products_in(device))

Five steps of a quintic Newton-Schulz iteration, X <- aX + b(XX')X + c(XX')(XX')X, with Jordan's coefficients, which
bring singular values from 0.01 to between 0.7 and 1.2 instead of to 1 exactly. Matrices of one shape go through it as
one batch: on one core 18 of 256 x 704 take 98 ms in bfloat16 products and 403
ms in fp32. Refused: the iteration on Gram matrices (0.8 of the products at 256 x 704, but unstable in bfloat16) and
torch.compile (it saves nothing where matrix products are the whole cost, and costs seconds at the start).
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Keller Jordan, https://kellerjordan.github.io/posts/muon/."""
SMALLEST_NORM = 1e-7
"""A matrix is divided by its norm, or by this; one of zeros stays zero."""
BATCH_ELEMENTS = 1 << 26
"""Elements of one batch; 128 MiB in bfloat16, and as much for each of three temporaries."""


class Orthogonal(NamedTuple):
    """Orthogonalised matrices and how large the update they make is."""

    matrices: list[Tensor]
    """In the order and shapes given, in the type of the products; views of the batches."""
    square_sum: Tensor
    """Sum of squares of all updates, `update_scale` times the matrices. A scalar, fp32, on the device."""


def products_in(device: torch.device) -> torch.dtype:
    """The type of the products where none is asked for: bfloat16 wherever the hardware multiplies it."""
    if device.type != "cpu":
        return torch.bfloat16
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if fast else torch.float32


def update_scale(rows: int, columns: int) -> float:
    """What an orthogonal matrix is multiplied by, so that its elements are as large as those of an AdamW update.

    Source: Liu et al. 2025, arXiv:2502.16982, equation 4.

    >>> update_scale(256, 1024)
    6.4
    """
    return 0.2 * math.sqrt(max(rows, columns))


def orthogonalise(updates: Sequence[Tensor], steps: int, dtype: torch.dtype, device: torch.device) -> Orthogonal:
    """Orthogonalise matrices.

    Args:
        updates: shape (rows, columns), or (matrices, rows, columns) for a stack of them; at least one row and column.
        steps: of the iteration; fewer than 5 leave small singular values small.
        dtype: of the products, and of the result.
        device: where they are; it says where the sum is when there are none.
    """
    results: list[Tensor] = list(updates)
    square_sum = torch.zeros((), device=device)
    for indices in _batches(updates):
        stack = _stack([updates[index] for index in indices], dtype)
        scale = update_scale(*stack.shape[-2:])
        stack = newton_schulz(stack, steps)
        square_sum.add_(_square_sum(stack), alpha=scale * scale)
        start = 0
        for index in indices:
            update = updates[index]
            count = update.shape[0] if update.ndim == 3 else 1
            results[index] = stack[start : start + count].view(update.shape)
            start += count
    return Orthogonal(results, square_sum)


def newton_schulz(stack: Tensor, steps: int) -> Tensor:
    """The iteration on a batch.

    Args:
        stack: shape (matrices, rows, columns).
    Returns:
        The same shape and type; the singular values that were above 0.01 of the norm are near 1.
    """
    a, b, c = COEFFICIENTS
    wide = torch.promote_types(stack.dtype, torch.float32)
    norm = torch.linalg.vector_norm(stack, dim=(-2, -1), keepdim=True, dtype=wide)
    x_BRC = stack / norm.clamp_(min=SMALLEST_NORM).to(stack.dtype)
    tall = stack.shape[-2] > stack.shape[-1]
    for _ in range(steps):
        gram_BSS = torch.bmm(x_BRC.mT, x_BRC) if tall else torch.bmm(x_BRC, x_BRC.mT)  # S is the shorter side
        factor_BSS = torch.baddbmm(gram_BSS, gram_BSS, gram_BSS, beta=b, alpha=c)
        left, right = (x_BRC, factor_BSS) if tall else (factor_BSS, x_BRC)
        x_BRC = torch.baddbmm(x_BRC, left, right, beta=a)
    return x_BRC


def _square_sum(stack: Tensor) -> Tensor:
    wide = torch.promote_types(stack.dtype, torch.float32)
    return torch.linalg.vector_norm(stack, dtype=wide).square_()


def _batches(updates: Sequence[Tensor]) -> Iterator[list[int]]:
    """Indices of updates of one shape, of BATCH_ELEMENTS together or of one update."""
    by_shape: dict[tuple[int, int], list[int]] = {}
    for index, update in enumerate(updates):
        if update.numel():
            by_shape.setdefault((update.shape[-2], update.shape[-1]), []).append(index)
    for indices in by_shape.values():
        yield from portions(updates, indices, BATCH_ELEMENTS)


def portions(tensors: Sequence[Tensor], indices: Sequence[int], elements: int) -> Iterator[list[int]]:
    """Indices of tensors of so many elements together, or of one that has more."""
    portion: list[int] = []
    total = 0
    for index in indices:
        if portion and total + tensors[index].numel() > elements:
            yield portion
            portion, total = [], 0
        portion.append(index)
        total += tensors[index].numel()
    yield portion


def _stack(updates: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Shape (matrices, rows, columns); a copy."""
    stacks = [update if update.ndim == 3 else update.unsqueeze(0) for update in updates]
    counts = [len(update) for update in stacks]
    stack = torch.empty((sum(counts), *updates[0].shape[-2:]), dtype=dtype, device=updates[0].device)
    torch._foreach_copy_(stack.split(counts), stacks)
    return stack
