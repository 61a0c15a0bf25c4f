"""A checkpoint is a Hugging Face folder: transformers opens it, and what does not fit is named."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.conftest import tiny_training
from transformers import AutoModelForCausalLM, AutoTokenizer

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError
from jpfm.model.spec import build as whole_model
from jpfm.train import state
from jpfm.train.config import TrainConfig
from jpfm.train.optim import optim
from jpfm.train.state import Progress


def model_of(config: TrainConfig, vocab_size: int = 1536) -> Any:
    assert config.model is not None
    return whole_model(config.model, vocab_size, config.seq_len, seed=1)


def test_transformers_opens_it(checkpoint: Artifact) -> None:
    model, info = AutoModelForCausalLM.from_pretrained(checkpoint.path, output_loading_info=True)
    assert not any(info[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    weights = load_file(checkpoint.path / "model.safetensors")
    assert all(value.dtype == torch.float32 for value in weights.values())
    for name, value in model.named_parameters():
        assert torch.equal(value, weights[name]), name
    assert AutoTokenizer.from_pretrained(checkpoint.path)("東京都に住む。").input_ids
    assert not any(path.suffix in (".pt", ".pkl", ".bin", ".distcp") for path in checkpoint.path.rglob("*"))


def test_what_is_written_is_read(tokens: Artifact, tmp_path: Path, checkpoint: Artifact) -> None:
    """Weights, moments, counters and progress, through the files."""
    config = tiny_training(tokens)
    vocabulary = json.loads((checkpoint.path / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    models = [model_of(config, vocabulary) for _ in range(2)]
    optimizers = [optim.build(config.optimizer, model.named_parameters(), 1e-3) for model in models]
    for optimizer in optimizers:
        optim.initialise(optimizer)
    draw = torch.Generator().manual_seed(0)
    for parameter in models[0].parameters():
        parameter.grad = torch.randn(parameter.shape, generator=draw)
    optimizers[0].step()
    progress = Progress(7, 700, ((0, 0), (3, 2)), ((1.5, 0.1), (float.fromhex("0x1.123456789abcdp-3"), 2.0)), 1, 2)
    stager = state.Stager()
    staged = stager.stage(models[0], optimizers[0])
    state.write(tmp_path / "model", staged, None)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint.path)
    from dataclasses import replace

    state.describe(tmp_path / "model", models[0], tokenizer, replace(progress, scalars=staged.scalars))
    stager.close()
    found = state.restore(tmp_path / "model", models[1], optimizers[1], None)
    assert replace(found, scalars={}) == progress
    for (name, first), (_, second) in zip(models[0].named_parameters(), models[1].named_parameters(), strict=True):
        assert torch.equal(first, second), name
    for (kind, name, first_value), (_, _, second_value) in zip(
        *(state.optimizer_state(m, o) for m, o in zip(models, optimizers, strict=True)), strict=True
    ):
        assert torch.equal(first_value, second_value), (kind, name)
    assert found.scalars == {"step": 1.0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 128}, r"model.embed_tokens.weight: \[1536, 64\] there, \[1536, 128\] asked"),
        ({"num_layers": 3}, r"model.layers.2\.\S+: missing"),
        ({"num_layers": 1}, r"model.layers.1\.\S+: not in this model"),
        ({"tie_embeddings": False}, r"lm_head.weight: missing"),
    ],
)
def test_another_model_is_named(tokens: Artifact, checkpoint: Artifact, changes: dict[str, object], words: str) -> None:
    model = {"size": "1M", "hidden_size": 64, "num_layers": 2, "intermediate_size": 160} | changes
    with pytest.raises(ArtifactError, match=f"is of another model: .*{words}"):
        state.load_weights(checkpoint.path, model_of(tiny_training(tokens, model=model)), None)


@pytest.mark.parametrize("text", ["", "{", "{}", '{"step": 3}', '{"windows": 3, "history": []}'])
def test_a_state_that_is_none(checkpoint: Artifact, tmp_path: Path, text: str) -> None:
    folder = Path(shutil.copytree(checkpoint.path, tmp_path / "copy"))
    (folder / "trainer_state.json").write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match="no state of this trainer"):
        state.read_progress(folder)
    (folder / "trainer_state.json").unlink()
    with pytest.raises(ArtifactError, match="no state of this trainer"):
        state.read_progress(folder)


def test_a_file_that_is_cut(checkpoint: Artifact, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint.path, tmp_path / "copy"))
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ArtifactError, match=r"model.safetensors cannot be read"):
        state.names_in(folder)
    with pytest.raises(ArtifactError, match=r"holds no \*.safetensors"):
        state.names_in(tmp_path)
