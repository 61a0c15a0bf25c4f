"""The chunked loss against torch's own in double precision."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from jpfm.train import loss
from jpfm.train.loss import IGNORE, cross_entropy_sum


def _reference(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    hidden = hidden.detach().double().requires_grad_()
    weight = weight.detach().double().requires_grad_()
    total = F.cross_entropy(hidden @ weight.t(), targets, ignore_index=IGNORE, reduction="sum")
    total.backward()
    assert hidden.grad is not None
    assert weight.grad is not None
    return total, hidden.grad, weight.grad


@given(rows=st.integers(1, 40), chunk=st.integers(1, 16), seed=st.integers(0, 1000), scale=st.floats(0.1, 30.0))
def test_value_and_gradients_equal_the_whole_loss(rows: int, chunk: int, seed: int, scale: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    hidden = (torch.randn(rows, 8, generator=draw) * scale).requires_grad_()
    weight = torch.randn(30, 8, generator=draw).requires_grad_()
    targets = torch.randint(0, 30, (rows,), generator=draw)
    targets[::3] = IGNORE
    before = loss._CHUNK_ROWS
    loss._CHUNK_ROWS = chunk
    try:
        total = cross_entropy_sum(hidden, weight, targets)
        (total * 0.5).backward()
    finally:
        loss._CHUNK_ROWS = before
    expected, hidden_grad, weight_grad = _reference(hidden, weight, targets)
    torch.testing.assert_close(total.double(), expected, rtol=1e-5, atol=1e-4)
    assert hidden.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(hidden.grad.double(), hidden_grad * 0.5, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(weight.grad.double(), weight_grad * 0.5, rtol=1e-4, atol=1e-4 * scale)


def test_all_targets_ignored_costs_nothing() -> None:
    hidden = torch.randn(4, 8, requires_grad=True)
    weight = torch.randn(10, 8, requires_grad=True)
    total = cross_entropy_sum(hidden, weight, torch.full((4,), IGNORE))
    total.backward()
    assert float(total.detach()) == 0.0
    assert hidden.grad is not None
    assert float(hidden.grad.abs().sum()) == 0.0


@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_under_autocast_it_stays_close(dtype: torch.dtype) -> None:
    hidden = torch.randn(64, 16, requires_grad=True)
    weight = (torch.randn(50, 16) * 0.1).requires_grad_()
    targets = torch.randint(0, 50, (64,))
    with torch.autocast("cpu", dtype):
        total = cross_entropy_sum(hidden, weight, targets)
    total.backward()
    expected, _, weight_grad = _reference(hidden, weight, targets)
    torch.testing.assert_close(total.double(), expected, rtol=1e-2, atol=0.1)
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad.double(), weight_grad, rtol=0.1, atol=0.2)
