"""Named sizes, what is set beside them, and the transformers configs they become."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydantic
import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from jpfm.core.config import load, read_file
from jpfm.core.errors import UsageError
from jpfm.model.spec import ModelSpec, Shape, build, shape_of, sizes
from jpfm.train.config import TrainConfig

ROOT = Path(__file__).parents[2]
MIXTURE = {"num_experts": 6, "experts_per_token": 2, "expert_intermediate_size": 40, "balance_coefficient": 0.01}
DIMENSIONS = {"hidden_size": 64, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2}
# parameters by the vocabulary each size is named with; the last five are those of the published models
PARAMETERS = {
    "1M": (16_000, 2_786_432),
    "8M": (16_000, 8_916_224),
    "150M": (32_000, 134_105_856),
    "1B": (128_256, 1_235_814_400 + 128_256 * 2048),  # Llama 3.2 1B with an output matrix of its own
    "8B": (128_256, 8_030_261_248),  # Llama 3.1 8B
    "32B": (152_064, 32_763_876_352 - 64 * (5120 + 2 * 1024)),  # Qwen2.5 32B without its query, key, value biases
    "30B-A3B": (151_936, 30_532_122_624),  # Qwen3-30B-A3B
}


@pytest.mark.parametrize("size", sizes())
def test_a_size_is_a_file_that_says_where_its_numbers_are_from(size: str) -> None:
    path = ROOT / "configs" / "model" / f"{size}.yaml"
    assert load(path, Shape).config == shape_of(size) == ModelSpec(size=size).shape
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#")
    assert re.search(r"et al\.|\w+/\w+|8/3", text), "no source"
    assert set(read_file(path).value) >= {"family", "rope_theta", "norm_eps", "tie_embeddings"}


@pytest.mark.parametrize("size", sizes())
def test_a_size_has_the_parameters_of_the_model_it_is_named_for(size: str) -> None:
    from jpfm.model.estimate import estimate

    vocabulary, parameters = PARAMETERS[size]
    config = ModelSpec(size=size).to_transformers(vocabulary, 4096)
    assert estimate(config, 4096).parameters == parameters


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"size": "1M"}, "LlamaConfig"),
        ({"size": "1M", "family": "qwen3", "head_dim": 48}, "Qwen3Config"),
        ({"size": "1M", "family": "qwen3_moe", **MIXTURE}, "Qwen3MoeConfig"),
        ({"family": "llama", **DIMENSIONS, "intermediate_size": 100, "head_dim": 24}, "LlamaConfig"),
        ({"family": "qwen3_moe", **DIMENSIONS, **MIXTURE}, "Qwen3MoeConfig"),
        ({"size": "30B-A3B", "num_layers": 2, "hidden_size": 64, "num_heads": 4, "num_experts": 8}, "Qwen3MoeConfig"),
    ],
)
def test_the_config_survives_a_file_and_builds_a_model_of_the_shape(
    fields: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    spec = ModelSpec.model_validate(fields)
    config = spec.to_transformers(601, 128, bos=5, eos=6, pad=7)
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert type(again).__name__ == kind
    assert (again.vocab_size, again.max_position_embeddings) == (640, 128)
    assert (again.bos_token_id, again.eos_token_id, again.pad_token_id) == (5, 6, 7)
    model, shape = build(spec, 601, 128, seed=0), spec.shape
    attention = model.model.layers[-1].self_attn
    assert len(model.model.layers) == shape.num_layers
    assert attention.q_proj.weight.shape == (shape.num_heads * shape.head_width, shape.hidden_size)
    assert attention.k_proj.weight.shape == (shape.num_kv_heads * shape.head_width, shape.hidden_size)
    assert model.config.rope_parameters["rope_theta"] == shape.rope_theta
    assert model.model.norm.variance_epsilon == shape.norm_eps
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == shape.tie_embeddings
    if shape.family == "qwen3_moe":
        mixture = model.model.layers[-1].mlp
        assert mixture.experts.gate_up_proj.shape == (
            shape.num_experts,
            2 * (shape.expert_intermediate_size or 0),
            shape.hidden_size,
        )
        assert mixture.gate.norm_topk_prob
        assert again.router_aux_loss_coef == shape.balance_coefficient


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_heads": 3}, "hidden_size 256 is not a multiple of num_heads 3"),
        ({"num_kv_heads": 3}, "not a multiple of num_kv_heads"),
        ({"hidden_size": 12, "num_heads": 4, "num_kv_heads": 4}, "must be even"),
        ({"head_dim": 33}, "head_dim 33 must be even"),
        ({"size": "9M"}, "no size '9M'; did you mean '8M'"),
        ({"size": "llama"}, "Sizes: 1M, 8M, 150M, 1B, 30B-A3B, 8B, 32B"),
        ({"size": None}, "missing: family, hidden_size, num_layers, num_heads, num_kv_heads"),
        ({"size": None, "family": "llama", **DIMENSIONS}, "intermediate_size is required"),
        ({"num_experts": 8}, "num_experts is for family: qwen3_moe; family is llama"),
        ({"family": "qwen3_moe", "num_experts": 8}, "needs experts_per_token, expert_intermediate_size, balance_coeff"),
        ({"family": "qwen3_moe", **MIXTURE, "experts_per_token": 7}, "experts_per_token 7 of num_experts 6"),
        ({"family": "qwen3_moe", **MIXTURE, "intermediate_size": 9}, "intermediate_size is not used"),
        ({"size": "30B-A3B", "family": "qwen3"}, "intermediate_size is required for family: qwen3"),
        ({"family": "gpt"}, "Input should be 'llama', 'qwen3' or 'qwen3_moe'"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=words):
        ModelSpec.model_validate({"size": "8M", **fields})


def test_a_wrong_size_is_told_with_its_line(tmp_path: Path) -> None:
    config = tmp_path / "train.yaml"
    config.write_text("stage: train\nsteps: 1000\nmodel:\n  size: 80B\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load(config, TrainConfig)
    assert "train.yaml:4: model.size: no size '80B'; did you mean '8B'?" in caught.value.message


@pytest.mark.parametrize(
    "fields", [{"size": "8M"}, {"size": "8M", "family": "qwen3_moe", **MIXTURE}, {"size": "30B-A3B", "num_layers": 3}]
)
def test_the_identity_says_the_dimensions_and_loads_back(fields: dict[str, Any]) -> None:
    """A checkpoint names what was trained even where a size's file changes later."""
    spec = ModelSpec.model_validate(fields)
    identity = json.loads(json.dumps(spec.identity()))
    assert identity["hidden_size"] == spec.shape.hidden_size
    assert ModelSpec.model_validate(identity).shape == spec.shape
    assert ModelSpec.model_validate(identity).identity() == spec.identity()


def test_reading_a_size_needs_no_torch() -> None:
    code = (
        "import sys; from jpfm.model.spec import ModelSpec; ModelSpec(size='8B').shape; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_fused_experts_load_from_the_models_own_names_and_from_published_ones(tmp_path: Path) -> None:
    """A checkpoint may be written from sharded parameters under their own names; transformers writes one by expert."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    model = build(ModelSpec.model_validate({"family": "qwen3_moe", **DIMENSIONS, **MIXTURE}), 300, 64, seed=1)
    published, own = tmp_path / "published", tmp_path / "own"
    model.save_pretrained(published)
    with safe_open(published / "model.safetensors", "pt") as file:
        assert "model.layers.0.mlp.experts.5.gate_proj.weight" in file.keys()  # noqa: SIM118
    model.config.save_pretrained(own)
    save_file(model.state_dict(), own / "model.safetensors", metadata={"format": "pt"})
    for folder in (published, own):
        found, told = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
        assert not any(told.values()), told
        assert all(torch.equal(value, found.state_dict()[name]) for name, value in model.state_dict().items())
