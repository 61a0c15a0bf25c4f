"""The CPU's operator against a dense mask in double precision: value, gradients, windows, grouped heads."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from jpfm.train.attention.document_attention import document_attention


def _reference(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, cumulative: torch.Tensor, scale: float,
    window: int | None,
) -> torch.Tensor:  # fmt: skip
    rows, _, seq_len, _ = query.shape
    count = torch.arange(rows * seq_len)
    document = torch.bucketize(count, cumulative.long(), right=True)
    distance = count.unsqueeze(1) - count
    seen = (document.unsqueeze(1) == document) & (distance >= 0)
    if window is not None:
        seen &= distance < window
    shared = query.shape[1] // key.shape[1]
    queries, keys, values = [
        one.repeat_interleave(shared if one is not query else 1, dim=1).transpose(0, 1).flatten(1, 2).double()
        for one in (query, key, value)
    ]
    output = F.scaled_dot_product_attention(queries, keys, values, attn_mask=seen, scale=scale)
    return output.unflatten(1, (rows, seq_len)).permute(1, 2, 0, 3)


@settings(max_examples=60, deadline=None)
@given(
    ends=st.sets(st.integers(1, 3 * 37 - 1), max_size=12), shared=st.integers(1, 3), groups=st.integers(1, 2),
    window=st.none() | st.integers(1, 50), seed=st.integers(0, 99),
)  # fmt: skip
def test_operator_equals_a_dense_mask_in_double_precision(
    ends: set[int], shared: int, groups: int, window: int | None, seed: int
) -> None:
    rows, seq_len, dim = 3, 37, 8
    draw = torch.Generator().manual_seed(seed)

    def drawn(heads: int) -> torch.Tensor:
        return torch.randn(rows, seq_len, heads, dim, generator=draw).transpose(1, 2).requires_grad_()

    query, key, value = drawn(groups * shared), drawn(groups), drawn(groups)
    cumulative = torch.tensor(sorted(ends | {0, seq_len, 2 * seq_len, 3 * seq_len}), dtype=torch.int32)
    grad = torch.randn(rows, seq_len, groups * shared, dim, generator=draw)
    output, _ = document_attention(query, key, value, cumulative, 0.3, window)
    expected = _reference(query, key, value, cumulative, 0.3, window)
    torch.testing.assert_close(output.double(), expected, rtol=1e-5, atol=1e-5)
    made = torch.autograd.grad(output, (query, key, value), grad)
    right = torch.autograd.grad(expected, (query, key, value), grad.double())
    for one, other in zip(made, right, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_operator_in_bfloat16_is_as_close_as_the_dtype_allows() -> None:
    draw = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(2, heads, 300, 16, generator=draw, dtype=torch.bfloat16).requires_grad_() for heads in (4, 2, 2)
    )
    cumulative = torch.tensor([0, 7, 300, 450, 600], dtype=torch.int32)
    output, _ = document_attention(query, key, value, cumulative, 0.25, None)
    expected = _reference(query, key, value, cumulative, 0.25, None)
    grad = torch.randn(output.shape, generator=draw)
    made = torch.autograd.grad(output, (query, key, value), grad.bfloat16())
    right = torch.autograd.grad(expected, (query, key, value), grad.double())
    assert float((output.detach() - expected.detach()).abs().max()) < 0.02
    for one, other in zip(made, right, strict=True):
        assert float((one - other).norm() / other.norm()) < 0.01


def test_operator_satisfies_torch_library_checks() -> None:
    query, key, value = (torch.randn(2, heads, 10, 8).requires_grad_() for heads in (4, 2, 2))
    cumulative = torch.tensor([0, 3, 10, 20], dtype=torch.int32)
    torch.library.opcheck(document_attention, (query, key, value, cumulative, 0.3, None))


def test_scores_beyond_the_range_of_exp_stay_finite() -> None:
    query, key, value = (torch.randn(1, 2, 40, 8).requires_grad_() for _ in range(3))
    cumulative = torch.tensor([0, 30, 40], dtype=torch.int32)
    output, _ = document_attention(query, key, value, cumulative, 1e3, None)
    output.sum().backward()
    assert all(bool(one.grad.isfinite().all()) for one in (query, key, value) if one.grad is not None)
    assert bool(output.isfinite().all())
