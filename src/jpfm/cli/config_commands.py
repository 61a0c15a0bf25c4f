"""`jpfm config ...`: what a file resolves to, and which fields exist."""

import importlib
import json
from pathlib import Path
from typing import Annotated

import typer

from jpfm.cli.shared import Overrides, emit
from jpfm.core.config import Settings, apply_overrides, read_file, validate
from jpfm.core.errors import UsageError

app = typer.Typer(help="Look at settings.", no_args_is_help=True)
_MODELS = {
    "data": ("jpfm.data.recipe", "Recipe"),
    "tokenizer": ("jpfm.tokens.tokenizer", "TokenizerConfig"),
    "extend": ("jpfm.model.extend", "ExtendConfig"),
    "tokens": ("jpfm.tokens.pack", "TokensConfig"),
    "train": ("jpfm.train.config", "TrainConfig"),
    "eval": ("jpfm.eval.run", "EvalConfig"),
    "pipeline": ("jpfm.pipeline", "PipelineConfig"),
    "site": ("jpfm.launch.site", "Site"),
}
STAGES = tuple(_MODELS)


def model_of(stage: str) -> type[Settings]:
    """The settings model of a stage, imported when asked for."""
    if stage not in _MODELS:
        raise UsageError(f"no settings are called '{stage}'", hint=f"one of: {', '.join(STAGES)}")
    module, name = _MODELS[stage]
    found: type[Settings] = getattr(importlib.import_module(module), name)
    return found


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
