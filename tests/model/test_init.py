"""Initialisation: what is drawn, that nothing but the seed and the name decides it, and that shards agree."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import LlamaForCausalLM, Qwen3MoeForCausalLM

from jpfm.model import init
from jpfm.model.init import initialise, materialise, skeleton
from jpfm.model.spec import ModelSpec, build

SCRIPT = Path(__file__).parent / "sharded_init.py"
MIXTURE = ModelSpec(
    family="qwen3_moe", hidden_size=256, num_layers=2, num_heads=4, num_kv_heads=2, num_experts=4,
    experts_per_token=2, expert_intermediate_size=128, balance_coefficient=0.01,
)  # fmt: skip


def drawn(name: str, shape: tuple[int, ...], *, seed: int = 0, std: float = 0.02, threads: int = 1) -> Tensor:
    made = torch.full(shape, math.nan)
    initialise([(name, made)], seed=seed, std=std, num_layers=8, threads=threads)
    return made


def test_same_seed_same_weights_other_seed_others() -> None:
    spec = ModelSpec(size="1M")
    first, second, other = (build(spec, 600, 64, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


@pytest.mark.parametrize("spec", [ModelSpec(size="8M"), MIXTURE], ids=["llama", "qwen3_moe"])
def test_norms_are_one_and_residual_writers_start_smaller(spec: ModelSpec) -> None:
    model = build(spec, 600, 64, seed=0)
    for name, value in model.named_parameters():
        if "norm" in name:
            assert torch.equal(value, torch.ones_like(value)), name
            continue
        residual = "o_proj" in name or "down_proj" in name
        std = 0.02 / math.sqrt(2 * spec.shape.num_layers) if residual else 0.02
        assert float(value.detach().std()) == pytest.approx(std, rel=0.1 if value.numel() < 5000 else 0.02), name
        assert abs(float(value.detach().mean())) < 5 * std / math.sqrt(value.numel()), name


def test_residual_writers_are_like_the_rest_when_not_scaled() -> None:
    spec = ModelSpec(size="8M", scaled_residual_init=False, init_std=0.006)
    weight = build(spec, 600, 64, seed=0).model.layers[0].mlp.down_proj.weight
    assert float(weight.detach().std()) == pytest.approx(0.006, rel=0.02)


def test_values_are_normal() -> None:
    """Quantiles over block borders; rows of one name and blocks of another are not alike."""
    values = drawn("model.layers.0.mlp.up_proj.weight", (3000, 300), std=1.0)
    for level in (0.001, 0.1, 0.5, 0.9, 0.999):
        expected = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(level))
        assert float((values < expected).float().mean()) == pytest.approx(level, abs=0.002)
    height = init._BLOCK // 300
    other = drawn("model.layers.1.mlp.up_proj.weight", (3000, 300), std=1.0)
    for one, two in ((values[:height], values[height : 2 * height]), (values, other)):
        assert abs(float((one * two).mean())) < 5 / math.sqrt(one.numel())


@given(
    st.integers(1, 40), st.integers(1, 40), st.lists(st.integers(1, 5), max_size=1), st.integers(1, 300),
    st.integers(1, 4),
)  # fmt: skip
def test_threads_order_and_company_change_nothing(
    rows: int, columns: int, before: list[int], block: int, threads: int
) -> None:
    size, init._BLOCK = init._BLOCK, block
    try:
        shape = (*before, rows, columns)
        name = "model.layers.3.mlp.experts.gate_up_proj"
        alone, threaded, among = drawn(name, shape), drawn(name, shape, threads=threads), torch.empty(shape)
        others = [("model.norm.weight", torch.empty(3)), ("lm_head.weight", torch.empty(9, 4)), (name, among)]
        initialise(others, seed=0, std=0.02, num_layers=8)
        half = torch.empty(shape, dtype=torch.bfloat16)
        initialise([(name, half)], seed=0, std=0.02, num_layers=8)
    finally:
        init._BLOCK = size
    assert torch.equal(alone, threaded)
    assert torch.equal(alone, among)
    assert torch.equal(alone.bfloat16(), half)


def test_the_skeleton_takes_no_memory_and_keeps_rotary_frequencies() -> None:
    """`to_empty` would leave them undefined; a model that trains with those learns no positions."""
    spec = ModelSpec(size="8M", rope_theta=500_000.0)
    config = spec.to_transformers(1000, 256)
    bare = skeleton(config)
    assert {p.device.type for p in bare.parameters()} == {"meta"}
    assert bare.lm_head.weight is bare.model.embed_tokens.weight
    model = materialise(bare, "cpu")
    expected = LlamaForCausalLM(config)
    assert torch.equal(model.model.rotary_emb.inv_freq, expected.model.rotary_emb.inv_freq)
    assert {name for name, _ in model.named_buffers()} == {name for name, _ in expected.named_buffers()}
    assert model.lm_head.weight is model.model.embed_tokens.weight
    initialise(model, seed=0, std=0.02, num_layers=6)
    expected.load_state_dict(model.state_dict())
    ids = torch.arange(200)[None]
    assert torch.equal(model(ids, use_cache=False).logits, expected(ids, use_cache=False).logits)


def test_a_mixture_of_experts_is_the_model_transformers_builds() -> None:
    model = build(MIXTURE, 600, 64, seed=0)
    expected = Qwen3MoeForCausalLM(model.config)
    assert {name: p.shape for name, p in model.named_parameters()} == {
        name: p.shape for name, p in expected.named_parameters()
    }
    expected.load_state_dict(model.state_dict())
    ids = torch.arange(60)[None]
    torch.testing.assert_close(model(ids).logits, expected(ids).logits)


def test_what_cannot_be_initialised_is_refused() -> None:
    with pytest.raises(ValueError, match="on the meta device"):
        initialise(skeleton(ModelSpec(size="1M").to_transformers(300, 64)), seed=0, std=0.02, num_layers=4)
    with pytest.raises(ValueError, match=r"sinks \(4,\): no rule"):
        initialise([("model.layers.0.self_attn.sinks", torch.empty(4))], seed=0, std=0.02, num_layers=4)
    biases = torch.ones(3)
    initialise([("model.layers.0.self_attn.q_proj.bias", biases)], seed=0, std=0.02, num_layers=4)
    assert not biases.any()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_shards_of_any_mesh_hold_the_weights_of_the_whole_model(processes: int) -> None:
    """FSDP2, HSDP, tensor parallel, both together, and odd placements: see sharded_init.py."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run([*command, str(SCRIPT), "1000"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
