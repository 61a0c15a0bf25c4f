"""The recipes of configs/train: they load, say where each value is from, cost what they say, and the lint is silent."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jpfm.cli.cli import app
from jpfm.core.config import load, read_file
from jpfm.model.estimate import Estimate, estimate, memory
from jpfm.train.config import TrainConfig
from jpfm.train.lint.finding import Machine
from jpfm.train.lint.lint import lint

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "configs" / "train"
FILES = sorted(RECIPES.glob("*.yaml"))
VOCABULARY = {
    "quickstart": 3_000,
    "japanese-open": 16_000,
    "150M": 32_000,
    "1B": 99_968,
    "8B": 196_608,
    "32B": 196_608,
    "30B-A3B": 151_936,
}
"""Ids of the tokenizer each recipe from scratch is meant for."""
GPU = Machine(cuda=True, bf16_products=True)


def _recipe(name: str) -> TrainConfig:
    return load(RECIPES / f"{name}.yaml", TrainConfig).config


def _cost(name: str) -> tuple[TrainConfig, Any, Estimate]:
    config = _recipe(name)
    assert config.model is not None
    model = config.model.to_transformers(VOCABULARY[name], config.seq_len)
    return config, model, estimate(model, config.seq_len)


def test_the_recipes_are_there() -> None:
    assert {path.stem for path in FILES} == {*VOCABULARY, "continual-swallow", "anneal"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_value_says_where_it_is_from(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# "), "the first line says what it is for"
    for number, line in enumerate(lines, start=1):
        assert len(line) <= 120, f"{path.name}:{number} has {len(line)} characters"
        if line.startswith("#") or re.fullmatch(r"\s*[\w-]+:", line) or line.startswith(("stage: ", "name: ")):
            continue
        reason = line.partition("  # ")[2]
        assert len(reason) >= 1, f"{path.name}:{number}: {line}: where is it from?"
        letter = re.match(r"([A-Z]{1,2})\b(?=$|[:;,. ])", reason)  # a letter stands for a source named above
        if letter and letter[1] not in {"A", "LLM"}:
            assert re.search(rf"(?:# |[;.] ){letter[1]}: |called {letter[1]}\b|; {letter[1]}: ", "\n".join(lines)), (
                reason
            )


@pytest.mark.parametrize("name", sorted(VOCABULARY))
def test_the_lint_has_nothing_to_say(name: str) -> None:
    config, model, _ = _cost(name)
    assert lint(config, model, vocab_size=VOCABULARY[name], sources_tokens=None, machine=GPU) == []


@pytest.mark.parametrize("name", ["150M", "1B", "8B", "32B", "30B-A3B"])
def test_a_recipe_costs_what_its_head_says(name: str) -> None:
    config, _, cost = _cost(name)
    head = " ".join((RECIPES / f"{name}.yaml").read_text(encoding="utf-8").partition("\nstage:")[0].split("\n# "))
    found = re.search(r"([\d.]+e\d+) FLOPs, ([\d,]+) hours of an H100 at 40 %", head)
    assert found, head
    flops = cost.flops_per_token * config.num_steps * config.batch_tokens
    assert float(found[1]) == pytest.approx(flops, rel=0.02)
    assert float(found[2].replace(",", "")) == pytest.approx(flops / (0.4 * 989e12) / 3600, rel=0.05)


@pytest.mark.parametrize("name", ["150M", "1B", "8B", "32B", "30B-A3B"])
def test_a_recipe_fits_a_gpu_of_80_gb(name: str) -> None:
    config, model, _ = _cost(name)
    need = memory(
        model,
        rows=config.micro_batch_rows,
        seq_len=config.seq_len,
        shards=config.parallel.shard or 1,
        checkpointing=config.activation_checkpointing,
        compiled=True,
    ).total
    assert need < 70e9, f"{need / 1e9:.0f} GB: 10 GB are for the libraries and holes between blocks"
    text = (RECIPES / f"{name}.yaml").read_text(encoding="utf-8")
    said = re.search(r"(\d+) GB by the estimate", text)
    assert said
    assert float(said[1]) == pytest.approx(need / 1e9, rel=0.1)


def test_continual_pretraining_goes_on_from_a_model_of_others() -> None:
    from transformers import LlamaConfig

    config = _recipe("continual-swallow")
    assert config.model is None
    assert config.init_from == "out/extended"
    llama = LlamaConfig(  # Llama 3.1 8B with 5,120 more pieces
        vocab_size=133_376, hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
        intermediate_size=14_336, max_position_embeddings=131_072, tie_word_embeddings=False,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
        },
    )  # fmt: skip
    sources = {"ja": 40_000_000_000, "en": 20_000_000_000}
    assert lint(config, llama, vocab_size=133_376, sources_tokens=sources, machine=GPU) == []


def test_anneal_changes_only_steps_and_schedule_of_a_run() -> None:
    changes = read_file(RECIPES / "anneal.yaml").plain()
    assert set(changes) == {"steps", "schedule"}
    for name in ("8B", "32B"):
        base = json.loads(_recipe(name).model_dump_json())
        branch = base | changes | {"model": None, "branch_from": f"out/{name}/steps/step-900000", "branch_at": 900_000}
        config = TrainConfig.model_validate_json(json.dumps(branch), strict=True)
        model = _cost(name)[1]
        assert lint(config, model, vocab_size=VOCABULARY[name], sources_tokens=None, machine=GPU) == []
        decay = config.schedule.decay_length(config.batch_tokens)
        assert config.num_steps - decay == config.branch_at, "the decay begins where the branch does"


def test_branches_find_the_checkpoints_that_anneal_names() -> None:
    for name in ("8B", "32B"):
        config = _recipe(name)
        assert config.save.keep_every_tokens is not None
        assert 900_000 * config.batch_tokens % config.save.keep_every_tokens == 0, "this one stays"
        assert config.save.every_steps is not None
        assert 900_000 % config.save.every_steps == 0, "this one is written"


def test_the_quickstart_is_the_one_of_the_package() -> None:
    bundled = ROOT / "src" / "jpfm" / "sample" / "train" / "quickstart.yaml"
    assert (RECIPES / "quickstart.yaml").resolve() == bundled
    whole = read_file(ROOT / "configs" / "quickstart.yaml").plain()["train"]
    assert read_file(bundled).plain() == whole


@pytest.mark.parametrize("name", sorted(VOCABULARY))
def test_a_recipe_says_what_it_would_do(name: str) -> None:
    done = CliRunner().invoke(app, ["train", str(RECIPES / f"{name}.yaml"), "--dry-run"])
    assert done.exit_code == 0, done.output
    config = _recipe(name)
    assert f"{config.num_steps:,} steps" in done.output
    assert f"{config.num_steps * config.batch_tokens:,}" in done.output
