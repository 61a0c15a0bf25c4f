"""Estimates against the models transformers builds and the tensors autograd keeps."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, BertConfig, GemmaConfig, LlamaConfig, MistralConfig

from jpfm.core.errors import UsageError
from jpfm.model.estimate import estimate, hours, memory
from jpfm.model.spec import ModelSpec, build, sizes

SMALL: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen3": {"family": "qwen3", "head_dim": 96},
    "qwen3_moe": {
        "family": "qwen3_moe", "num_experts": 8, "experts_per_token": 2, "expert_intermediate_size": 352,
        "balance_coefficient": 0.001,
    },
}  # fmt: skip


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("tied", [True, False])
def test_it_counts_what_transformers_builds(family: str, tied: bool) -> None:
    config = ModelSpec.model_validate({"size": "8M", **SMALL[family], "tie_embeddings": tied}).to_transformers(1000, 64)
    before = config.to_dict()
    cost = estimate(config, 64)
    assert config.to_dict() == before
    model = AutoModelForCausalLM.from_config(config)
    assert cost.parameters == sum(p.numel() for p in model.parameters())
    assert cost.embedding_parameters == model.model.embed_tokens.weight.numel()
    assert cost.training_bytes == 16 * cost.parameters


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(vocab_size=90, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
                    attention_bias=True, mlp_bias=True),
        MistralConfig(vocab_size=90, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                      num_key_value_heads=2),
        GemmaConfig(vocab_size=90, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                    num_key_value_heads=1, head_dim=24),
    ],
    ids=lambda config: config.model_type,
)  # fmt: skip
def test_models_that_are_only_like_llama_are_counted_too(config: Any) -> None:
    model = AutoModelForCausalLM.from_config(config)
    assert estimate(config, 64).parameters == sum(p.numel() for p in model.parameters())
    assert memory(config, rows=1, seq_len=64).total > 16 * estimate(config, 64).parameters


def test_what_is_no_language_model_is_refused_in_a_sentence() -> None:
    class Unknown(BertConfig):
        model_type = "unknown"

    with pytest.raises(UsageError, match="no causal language model for a Unknown"):
        estimate(Unknown(), 64)


def test_operations_follow_the_formula() -> None:
    """By hand for one dense and one sparse model: 6 (N - lookup) + 12 L d s."""
    dense = estimate(ModelSpec(size="8B").to_transformers(128_256, 8192), 8192)
    assert dense.flops_per_token == 6 * (8_030_261_248 - 128_256 * 4096) + 12 * 32 * 4096 * 8192
    assert dense.active_parameters == dense.parameters
    sparse = estimate(ModelSpec(size="30B-A3B").to_transformers(151_936, 4096), 4096)
    experts = 48 * 3 * 2048 * 768
    assert sparse.active_parameters == sparse.parameters - 120 * experts
    assert 3.3e9 < sparse.active_parameters < 3.4e9, "what the published name says"
    assert sparse.flops_per_token == 6 * (sparse.active_parameters - 151_936 * 2048) + 12 * 48 * 4096 * 4096


def test_operations_are_those_of_the_matrix_products() -> None:
    """torch's own counter over forward and backward, whose attention does as much as the formula says."""
    from torch.utils.flop_counter import FlopCounterMode

    spec = ModelSpec.model_validate({"size": "1M", "family": "qwen3", "head_dim": 48, "tie_embeddings": False})
    model = build(spec, 1000, 256, seed=0)
    model.set_attn_implementation("eager")
    ids = torch.arange(256)[None]
    with FlopCounterMode(display=False) as counter:
        model(ids, labels=ids).loss.backward()
    own = estimate(model.config, 256)
    vectors = sum(p.numel() for p in model.parameters() if p.ndim < 2)  # no matrix product; 0.2 % here
    expected = (own.flops_per_token - 6 * vectors) * 256  # transformers 5.17 multiplies for rotary angles: 6e-6 more
    assert counter.get_total_flops() == pytest.approx(expected, rel=1e-5)


def kept(model: Any, rows: int, seq_len: int) -> int:
    """Bytes of the tensors that autograd keeps for the backward pass, weights and buffers not counted."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    storages: dict[int, Any] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage
        return tensor

    ids = torch.randint(0, 500, (rows, seq_len))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.model(input_ids=ids, use_cache=False)
    return sum(storage.nbytes() for storage in storages.values())


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("bf16", [False, True])
def test_activations_are_what_autograd_keeps(family: str, bf16: bool) -> None:
    """Per layer, as the difference of two depths; bf16 as FSDP2 has it: all weights of a block in bf16."""
    rows, seq_len, found, told = 2, 256, [], []
    for layers in (2, 6):
        spec = ModelSpec.model_validate({"size": "8M", **SMALL[family], "num_layers": layers})
        model = build(spec, 1000, seq_len, seed=0)
        found.append(kept(model.bfloat16() if bf16 else model, rows, seq_len))
        told.append(memory(model.config, rows=rows, seq_len=seq_len, shards=2, bf16=bf16).activations)
    assert told[1] - told[0] == pytest.approx(found[1] - found[0], rel=0.05)


def test_states_and_what_takes_from_them() -> None:
    config = ModelSpec(size="1B").to_transformers(128_256, 4096)
    number = estimate(config, 4096).parameters

    def of(**how: Any) -> Any:
        return memory(config, rows=1, seq_len=4096, **how)

    assert of().states == 16 * number
    assert of(shards=8).states == 2 * number
    blocks = 16 * (2 * 2048 * 2048 + 2 * 2048 * 512 + 3 * 2048 * 8192)
    assert of(muon=True).states == 16 * number - 4 * blocks
    assert of(tensor=4).states == pytest.approx(16 * (number - blocks * 3 / 4), rel=1e-6)
    assert of(bf16=False).gathered == 0
    assert of(shards=8).gathered < of().gathered
    by_checkpointing = [of(checkpointing=kind, compiled=True).activations for kind in ("full", "selective", "none")]
    assert by_checkpointing == sorted(by_checkpointing)
    assert of(compiled=True).activations < of().activations
    twice = memory(config, rows=2, seq_len=4096)
    assert 1.9 < twice.activations / of().activations < 2.2
    assert of(chunk_bytes=2**20).logits < of().logits
    assert of(checkpointing="full").total == sum(
        getattr(of(checkpointing="full"), name) for name in ("states", "gathered", "activations", "logits")
    )


def test_hours_are_operations_over_what_devices_reach() -> None:
    assert hours(3.6e18, devices=10, peak_flops=1e12, mfu=0.5) == pytest.approx(200.0)


def test_the_largest_size_is_estimated_without_memory() -> None:
    spec = ModelSpec(size=sizes()[-1])
    cost = memory(spec.to_transformers(196_608, 4096), rows=1, seq_len=4096, shards=64, checkpointing="selective")
    assert 15e9 < cost.total < 60e9
