"""Sizes, initialisation and estimates against the models transformers builds."""

import math

import pydantic
import pytest
import torch
from transformers import LlamaForCausalLM

from jpfm.model.spec import SIZES, ModelSpec, build, estimate


@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("tied", [True, False])
def test_the_estimate_counts_what_transformers_builds(size: str, tied: bool) -> None:
    spec = ModelSpec.model_validate({"size": size, "tie_embeddings": tied})
    config = spec.to_transformers(vocab_size=16_000, seq_len=512)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    assert estimate(config, 512).parameters == sum(p.numel() for p in model.parameters())


def test_same_seed_same_weights_other_seed_others() -> None:
    spec = ModelSpec(size="1M")
    first, second, other = (build(spec, 600, 64, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_residual_writers_start_smaller() -> None:
    spec = ModelSpec(size="8M")
    weights = build(spec, 600, 64, seed=0).state_dict()
    layers = spec.shape.num_layers
    down = weights["model.layers.0.mlp.down_proj.weight"].std()
    assert float(down) == pytest.approx(0.02 / math.sqrt(2 * layers), rel=0.05)
    assert float(weights["model.layers.0.mlp.up_proj.weight"].std()) == pytest.approx(0.02, rel=0.05)
    assert torch.equal(weights["model.norm.weight"], torch.ones(spec.shape.hidden_size))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_heads": 3}, "not a multiple of num_heads"),
        ({"num_kv_heads": 3}, "not a multiple of num_kv_heads"),
        ({"hidden_size": 12, "num_heads": 4, "num_kv_heads": 4}, "even"),
        ({"size": "9M"}, "1M"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=words):
        ModelSpec.model_validate({"size": "8M", **fields})
