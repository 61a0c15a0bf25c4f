"""`jpfm config ...`: what a file resolves to, and which fields exist."""

import json
from pathlib import Path
from typing import Annotated

import typer

from jpfm.cli.shared import Overrides, emit
from jpfm.core.config import Settings, apply_overrides, read_file, validate
from jpfm.core.errors import UsageError

app = typer.Typer(help="Look at settings.", no_args_is_help=True)
STAGES = ("data", "tokenizer", "tokens", "train", "eval", "pipeline")


def model_of(stage: str) -> type[Settings]:
    """The settings model of a stage, imported when asked for."""
    if stage == "data":
        from jpfm.data.recipe import Recipe

        return Recipe
    if stage == "tokenizer":
        from jpfm.tokens.tokenizer import TokenizerConfig

        return TokenizerConfig
    if stage == "tokens":
        from jpfm.tokens.pack import TokensConfig

        return TokensConfig
    if stage == "train":
        from jpfm.train.config import TrainConfig

        return TrainConfig
    if stage == "eval":
        from jpfm.eval.run import EvalConfig

        return EvalConfig
    if stage == "pipeline":
        from jpfm.pipeline import PipelineConfig

        return PipelineConfig
    raise UsageError(f"no settings are called '{stage}'", hint=f"one of: {', '.join(STAGES)}")


@app.command()
def show(file: Path, overrides: Overrides = None) -> None:
    """Print the resolved file with the origin of every value. The print loads back to an equal config."""
    root = apply_overrides(read_file(file), overrides or ())
    stage = root.value.get("stage") if isinstance(root.value, dict) else None
    if stage is None or not isinstance(stage.value, str):
        raise UsageError(f"{file}: 'stage' is missing", hint=f"begin the file with `stage: NAME`: {', '.join(STAGES)}")
    emit(validate(root, model_of(stage.value)).show().rstrip("\n"))


@app.command()
def schema(name: Annotated[str, typer.Argument(help=f"One of: {', '.join(STAGES)}")]) -> None:
    """Print the JSON Schema of a stage's settings."""
    emit(json.dumps(model_of(name).model_json_schema(), ensure_ascii=False, indent=1))
