"""The chunked loss against torch's own in double precision, and the module that holds it."""

import copy
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from jpfm.core.errors import UsageError
from jpfm.train.loss import chunked as chunked_loss
from jpfm.train.loss.loss import IGNORE, LossModel, _liger, chunked_cross_entropy


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few rows, blocks of one or two."""
    monkeypatch.setattr(chunked_loss, "CHUNK_BYTES", {"cpu": 1000, "cuda": 1000})
    monkeypatch.setattr(chunked_loss, "_BLOCK_BYTES", {"cpu": 300, "cuda": 300})


def _reference(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, z_loss: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]]:
    """Objective, nats and both gradients of whole logits in double precision."""
    hidden, weight = (one.detach().double().requires_grad_() for one in (hidden, weight))
    logits = hidden @ weight.t()
    nats = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum")
    objective = nats + z_loss * (torch.logsumexp(logits, 1).square() * (targets != IGNORE)).sum()
    return objective.detach(), nats.detach(), torch.autograd.grad(objective, (hidden, weight))


@pytest.mark.usefixtures("small_chunks")
@settings(deadline=None, max_examples=150)
@given(
    rows=st.integers(1, 40), vocabulary=st.integers(2, 70), width=st.integers(1, 9), seed=st.integers(0, 1000),
    scale=st.floats(0.1, 30.0), z_loss=st.sampled_from([0.0, 1e-4, 0.1]), ignored=st.floats(0, 1),
)  # fmt: skip
def test_value_and_gradients_equal_the_whole_loss(
    rows: int, vocabulary: int, width: int, seed: int, scale: float, z_loss: float, ignored: float
) -> None:
    draw = torch.Generator().manual_seed(seed)
    hidden = (torch.randn(rows, width, generator=draw) * scale).requires_grad_()
    weight = torch.randn(vocabulary, width, generator=draw).requires_grad_()
    targets = torch.randint(0, vocabulary, (rows,), generator=draw)
    targets[torch.rand(rows, generator=draw) < ignored] = IGNORE
    losses = chunked_cross_entropy(hidden, weight, targets, z_loss=z_loss)
    (losses.objective * 0.5).backward()
    objective, nats, grads = _reference(hidden, weight, targets, z_loss)
    torch.testing.assert_close(losses.objective.detach().double(), objective, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(losses.nats.double(), nats, rtol=1e-5, atol=1e-4)
    assert not losses.nats.requires_grad
    for made, right in zip((hidden.grad, weight.grad), grads, strict=True):
        assert made is not None
        torch.testing.assert_close(made.double(), right * 0.5, rtol=1e-4, atol=1e-5 * float(right.abs().max() + 1))


@pytest.mark.parametrize("z_loss", [0.0, 0.01])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_chunks_change_nothing_but_the_order_of_sums(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, z_loss: float
) -> None:
    draw = torch.Generator().manual_seed(1)
    hidden, weight = (torch.randn(n, 16, generator=draw).requires_grad_() for n in (50, 300))
    targets = torch.randint(0, 300, (50,), generator=draw)
    made = []
    for limit in (700, 10_000, 10**9):
        monkeypatch.setattr(chunked_loss, "CHUNK_BYTES", {"cpu": limit, "cuda": limit})
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            losses = chunked_cross_entropy(hidden, weight, targets, z_loss=z_loss)
        made.append((losses.objective.detach(), *torch.autograd.grad(losses.objective, (hidden, weight))))
    for other in made[1:]:
        for one, same in zip(made[0], other, strict=True):
            torch.testing.assert_close(one, same, rtol=1e-5 if dtype == torch.float32 else 2e-2, atol=2e-2)


def test_the_compiled_part_is_the_same_function() -> None:
    draw = torch.Generator().manual_seed(2)
    index = torch.randint(0, 90, (20, 1), generator=draw)
    for dtype in (torch.float32, torch.bfloat16):
        for z_loss in (0.0, 0.01):
            logits = (torch.randn(20, 90, generator=draw) * 5).to(dtype)
            other = logits.clone()
            sums = chunked_loss._slope(logits, index, z_loss)
            whole = chunked_loss._whole_slope(other, index, z_loss)
            torch.testing.assert_close(sums, whole, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(logits, other, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-6)


def test_compiled_is_used_where_it_is_asked_for() -> None:
    hidden, weight = torch.randn(6, 4, requires_grad=True), torch.randn(9, 4, requires_grad=True)
    targets = torch.tensor([1, 2, 3, IGNORE, 8, 0])
    traced: list[Any] = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        traced.append(graph)
        return graph.forward

    torch._dynamo.reset()
    before = chunked_loss._compiled_slope
    chunked_loss._compiled_slope = torch.compile(chunked_loss._whole_slope, fullgraph=True, backend=backend)
    try:
        losses = chunked_cross_entropy(hidden, weight, targets, z_loss=0.01, compiled=True)
    finally:
        chunked_loss._compiled_slope = before
    objective, _, grads = _reference(hidden, weight, targets, 0.01)
    torch.testing.assert_close(losses.objective.detach().double(), objective, rtol=1e-5, atol=1e-5)
    for made, right in zip(torch.autograd.grad(losses.objective, (hidden, weight)), grads, strict=True):
        torch.testing.assert_close(made.double(), right, rtol=1e-4, atol=1e-5)
    assert len(traced) == 1


def test_under_autocast_it_stays_close() -> None:
    draw = torch.Generator().manual_seed(3)
    hidden = torch.randn(64, 16, generator=draw).requires_grad_()
    weight = (torch.randn(50, 16, generator=draw) * 0.1).requires_grad_()
    targets = torch.randint(0, 50, (64,), generator=draw)
    with torch.autocast("cpu", torch.bfloat16):
        losses = chunked_cross_entropy(hidden, weight, targets, z_loss=0.01)
    losses.objective.backward()
    objective, _, grads = _reference(hidden, weight, targets, 0.01)
    torch.testing.assert_close(losses.objective.detach().double(), objective, rtol=1e-3, atol=0.01)
    assert losses.objective.dtype == torch.float32
    for made, right in zip((hidden.grad, weight.grad), grads, strict=True):
        assert made is not None
        assert made.dtype == torch.float32
        assert float((made - right).norm() / right.norm()) < 0.01


def test_all_targets_ignored_costs_nothing() -> None:
    hidden, weight = torch.randn(4, 8, requires_grad=True), torch.randn(10, 8, requires_grad=True)
    losses = chunked_cross_entropy(hidden, weight, torch.full((4,), IGNORE), z_loss=0.1)
    losses.objective.backward()
    assert float(losses.objective.detach()) == float(losses.nats) == 0.0
    for one in (hidden.grad, weight.grad):
        assert one is not None
        assert float(one.abs().sum()) == 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_huge_logits_give_no_infinity(dtype: torch.dtype) -> None:
    hidden = torch.tensor([[1e4], [-1e4], [3e4]], dtype=dtype, requires_grad=True)
    weight = torch.tensor([[1.0], [-1.0], [0.5]], dtype=dtype, requires_grad=True)
    targets = torch.tensor([0, 0, 2])
    losses = chunked_cross_entropy(hidden, weight, targets)
    losses.objective.backward()
    _, nats, grads = _reference(hidden, weight, targets)
    torch.testing.assert_close(losses.nats.double(), nats, rtol=1e-2, atol=0.0)
    for made, right in zip((hidden.grad, weight.grad), grads, strict=True):
        assert made is not None
        torch.testing.assert_close(made.double(), right, rtol=1e-2, atol=1e-2)


def test_without_gradients_only_the_loss_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight = torch.randn(7, 8, requires_grad=True), torch.randn(20, 8, requires_grad=True)
    targets = torch.randint(0, 20, (7,))
    with_grad = chunked_cross_entropy(hidden, weight, targets, z_loss=0.1)

    def never(*_: Any) -> Any:
        raise AssertionError("a slope was made")

    monkeypatch.setattr(chunked_loss, "_slope", never)
    with torch.no_grad():
        without = chunked_cross_entropy(hidden, weight, targets, z_loss=0.1)
    torch.testing.assert_close(without.objective, with_grad.objective.detach())
    torch.testing.assert_close(without.nats, with_grad.nats)


def test_the_whole_logits_never_exist_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest tensor that appears between input and gradients is the matrix, not tokens x vocabulary."""
    monkeypatch.setattr(chunked_loss, "CHUNK_BYTES", {"cpu": 64 * 1024, "cuda": 0})
    monkeypatch.setattr(chunked_loss, "_BLOCK_BYTES", {"cpu": 16 * 1024, "cuda": 0})
    hidden, weight = torch.randn(512, 4, requires_grad=True), torch.randn(2048, 4, requires_grad=True)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    with Watch():
        chunked_cross_entropy(hidden, weight, torch.randint(0, 2048, (512,))).objective.backward()
    assert largest <= 64 * 1024 // 4


def test_a_second_backward_is_refused() -> None:
    hidden, weight = torch.randn(4, 8, requires_grad=True), torch.randn(10, 8, requires_grad=True)
    objective = chunked_cross_entropy(hidden, weight, torch.tensor([1, 2, 3, 4])).objective
    objective.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="already propagated"):
        objective.backward()


def _llama(**others: Any) -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            intermediate_size=48, max_position_embeddings=64, use_cache=False, **others,
        )
    )  # fmt: skip


def _batch(rows: int = 4, seq_len: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(5)
    ids = torch.randint(3, 64, (rows, seq_len + 1), generator=draw)
    targets = ids[:, 1:].clone()
    targets[0, -5:] = IGNORE
    targets[1, -1:] = IGNORE
    return ids[:, :-1], targets


@pytest.mark.parametrize("tied", [False, True])
def test_the_module_equals_transformers_own_loss(tied: bool) -> None:
    model = _llama(tie_word_embeddings=tied)
    plain = copy.deepcopy(model)
    inputs, targets = _batch()
    logits = plain(input_ids=inputs).logits
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum")
    expected.backward()
    losses = LossModel(model)(inputs, targets, {})
    losses.objective.backward()
    torch.testing.assert_close(losses.nats, expected.detach(), rtol=1e-5, atol=1e-4)
    for (name, one), (_, other) in zip(model.named_parameters(), plain.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4, msg=name)


def test_the_head_still_gives_logits_and_the_model_still_generates() -> None:
    model = _llama()
    plain = copy.deepcopy(model)
    LossModel(model)
    inputs, _ = _batch()
    torch.testing.assert_close(model(input_ids=inputs).logits, plain(input_ids=inputs).logits)
    assert list(model.state_dict()) == list(plain.state_dict())


def test_a_copy_has_its_own_head() -> None:
    one = LossModel(_llama())
    other = copy.deepcopy(one)
    with torch.no_grad():
        other.model.lm_head.weight.zero_()
    inputs, targets = _batch()
    assert float(other(inputs, targets, {}).nats) == pytest.approx(
        float(torch.tensor(64.0).log() * (targets != IGNORE).sum()), rel=1e-5
    )


def test_a_model_whose_logits_are_more_than_a_product_is_refused() -> None:
    config = CohereConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=48,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    with pytest.raises(UsageError, match="logit_scale"):
        LossModel(CohereForCausalLM(config))
    with pytest.raises(UsageError, match="lm_head"):
        LossModel(nn.Linear(2, 2))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("kernel", ["liger", "cut"])
def test_kernels_of_a_gpu_are_refused_without_one(kernel: Any) -> None:
    with pytest.raises(UsageError, match="GPU") as caught:
        LossModel(_llama(), kernel=kernel)
    assert "chunked" in (caught.value.hint or "")


class _LigerResult(NamedTuple):
    loss: torch.Tensor
    z_loss: torch.Tensor


def _like_liger(
    input: torch.Tensor, weight: torch.Tensor, target: torch.Tensor, *, ignore_index: int, lse_square_scale: float,
    reduction: str, return_z_loss: bool, accum_dtype: torch.dtype,
) -> Any:  # fmt: skip
    """The signature and result of liger-kernel 0.8.5, whose z-loss is part of its loss."""
    logits = input @ weight.t()
    z_part = lse_square_scale * (torch.logsumexp(logits, 1).square() * (target != ignore_index)).sum()
    total = F.cross_entropy(logits, target, ignore_index=ignore_index, reduction=reduction) + z_part
    return _LigerResult(total, z_part) if return_z_loss else total


@pytest.mark.parametrize("z_loss", [0.0, 0.01])
def test_what_liger_returns_is_split_into_objective_and_nats(z_loss: float) -> None:
    hidden, weight = torch.randn(6, 4, requires_grad=True), torch.randn(9, 4, requires_grad=True)
    targets = torch.tensor([1, 2, 3, IGNORE, 8, 0])
    losses = _liger(_like_liger, z_loss, hidden, weight, targets)
    objective, nats, _ = _reference(hidden, weight, targets, z_loss)
    torch.testing.assert_close(losses.objective.detach().double(), objective, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(losses.nats.double(), nats, rtol=1e-5, atol=1e-5)
    assert losses.objective.requires_grad
    assert not losses.nats.requires_grad
