"""The load-balancing loss: row by row, whatever the micro-batch, in compiled and checkpointed layers."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from jpfm.core.errors import UsageError
from jpfm.train.loss.balance import Routers, balance_sum
from jpfm.train.loss.loss import IGNORE, LossModel


def _batch(rows: int = 4, seq_len: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(5)
    ids = torch.randint(3, 64, (rows, seq_len + 1), generator=draw)
    targets = ids[:, 1:].clone()
    targets[0, -5:] = IGNORE
    targets[1, -1:] = IGNORE
    return ids[:, :-1], targets


def _mixture(family: str = "qwen3") -> Any:
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 48, "max_position_embeddings": 64, "use_cache": False, "num_experts_per_tok": 2,
    }  # fmt: skip
    model: Any
    if family == "qwen3":
        model = Qwen3MoeForCausalLM(Qwen3MoeConfig(num_experts=6, moe_intermediate_size=16, head_dim=8, **shape))
    else:
        model = MixtralForCausalLM(MixtralConfig(num_local_experts=6, **shape))
    for name, parameter in model.named_parameters():
        if name.endswith("gate.weight"):
            torch.nn.init.normal_(parameter, std=0.5)
    return model


@pytest.mark.parametrize("family", ["qwen3", "mixtral"])
def test_balance_is_that_of_each_row_and_layer(family: str) -> None:
    model = _mixture(family)
    loss_model = LossModel(model, balance=0.3)
    inputs, targets = _batch()
    losses = loss_model(inputs, targets, {})
    logits = model(input_ids=inputs, output_router_logits=True, use_cache=False).router_logits
    assert len(logits) == 3
    expected = torch.zeros(())
    for layer in logits:
        for row, goal in zip(layer.unflatten(0, inputs.shape), targets, strict=True):
            probability = torch.softmax(row[goal != IGNORE], 1)
            used = F.one_hot(probability.topk(2).indices, 6).sum(1).float()
            expected = expected + 6 * (used.mean(0) * probability.mean(0)).sum() * (goal != IGNORE).sum() / 3
    torch.testing.assert_close(losses.objective, losses.nats + 0.3 * expected, rtol=1e-5, atol=1e-5)


def test_balance_does_not_depend_on_micro_batches() -> None:
    loss_model = LossModel(_mixture(), balance=0.3)
    inputs, targets = _batch()
    whole = loss_model(inputs, targets, {}).objective
    whole.backward()
    grads = [parameter.grad.clone() for parameter in loss_model.parameters() if parameter.grad is not None]
    loss_model.zero_grad()
    parts = [loss_model(inputs[i : i + 1], targets[i : i + 1], {}).objective for i in range(4)]
    for part in parts:
        part.backward()
    torch.testing.assert_close(sum(parts), whole, rtol=1e-5, atol=1e-4)
    again = [parameter.grad for parameter in loss_model.parameters() if parameter.grad is not None]
    for one, other in zip(again, grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_balanced_routing_costs_top_k_a_target_and_a_favourite_costs_more() -> None:
    targets = torch.zeros(2, 8, dtype=torch.int64)
    token = torch.arange(16).unsqueeze(1)
    even = (torch.arange(4) == token % 4).float() + (torch.arange(4) == (token + 1) % 4).float()
    assert float(balance_sum([even], 2, targets)) == pytest.approx(2.0 * 16, rel=1e-5)
    favourite = torch.tensor([3.0, 2.0, 0.0, 0.0]).expand(16, 4)
    assert float(balance_sum([favourite], 2, targets)) > 3.0 * 16


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("how", ["compiled", "checkpointed", "both"])
def test_balance_survives_compilation_and_checkpointing(how: str) -> None:
    inputs, targets = _batch()
    expected = LossModel(_mixture(), balance=0.3)
    expected(inputs, targets, {}).objective.backward()
    loss_model = LossModel(_mixture(), balance=0.3)
    if how != "compiled":
        loss_model.model.gradient_checkpointing_enable({"use_reentrant": False})
        loss_model.train()
    if how != "checkpointed":
        loss_model.model.config._experts_implementation = "batched_mm"  # the loop over experts breaks the graph
        for layer in loss_model.model.model.layers:
            layer.forward = torch.compile(layer.forward, fullgraph=True, backend="aot_eager")
    for _ in range(2):
        loss_model.zero_grad()
        loss_model(inputs, targets, {}).objective.backward()
    for (name, one), other in zip(loss_model.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3, msg=name)


def test_a_model_without_routers_has_nothing_to_balance() -> None:
    with pytest.raises(UsageError, match="no routers"):
        Routers(
            LlamaForCausalLM(
                LlamaConfig(
                    vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
                )
            )
        )
