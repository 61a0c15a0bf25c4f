"""`jpfm tokenizer ...` and `jpfm tokens ...`"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jpfm.cli import audit_command, extend_command
from jpfm.cli.shared import (
    Address,
    Dry,
    EngineOption,
    Finish,
    Out,
    Overrides,
    Part,
    Workers,
    emit,
    load_config,
    make_engine,
    print_table,
    require_out,
    show_dry_run,
)
from jpfm.core.errors import UsageError
from jpfm.core.shards import Slice

if TYPE_CHECKING:
    import polars as pl

tokenizer_app = typer.Typer(help="Train, extend and audit tokenizers.", no_args_is_help=True)
tokens_app = typer.Typer(help="Turn a corpus into tokens; see what training will read, and what it has read.",
                         no_args_is_help=True)  # fmt: skip


tokenizer_app.command("audit")(audit_command.audit)
tokenizer_app.command("extend")(extend_command.extend)


def _required(value: str | None, field: str) -> Path:
    if value is None:
        raise UsageError(f"{field}: this field is required", hint=f"set {field}=FOLDER on the command line")
    return Path(value)


@tokenizer_app.command("train")
def train_tokenizer(config: Path, overrides: Overrides = None, out: Out = None, dry_run: Dry = False) -> None:
    """Train SentencePiece on a corpus and export it to transformers."""
    from jpfm.core.artifact import open_artifact
    from jpfm.tokens import tokenizer

    loaded = load_config(config, tokenizer.TokenizerConfig, overrides)
    corpus = open_artifact(_required(loaded.config.corpus, "corpus"), "corpus")
    if dry_run:
        chars = min(corpus.manifest.stats["total"]["chars"], loaded.config.max_training_chars)
        show_dry_run(loaded, [f"{loaded.config.vocab_size:,} pieces from about {chars:,} characters of {corpus.id}"])
        return
    emit(tokenizer.train(loaded.config, corpus, require_out(out, "tokenizer train")).path)


@tokens_app.command()
def pack(
    config: Path, overrides: Overrides = None, out: Out = None, workers: Workers = None, part: Part = None,
    finish: Finish = False, engine: EngineOption = "local", address: Address = None, dry_run: Dry = False,
) -> None:  # fmt: skip
    """Tokenize a corpus into .bin/.idx and docs.parquet. Run the same line again to resume."""
    from jpfm.cli import plans
    from jpfm.tokens import pack as packing

    loaded = load_config(config, packing.TokensConfig, overrides)
    corpus, tokenizer = packing.open_inputs(loaded.config)
    if dry_run:
        show_dry_run(loaded, list(plans.tokens(loaded.config, corpus, tokenizer)))
        return
    if part is not None and finish:
        raise UsageError("--slice and --finish are steps of their own", hint="run them one after the other")
    made = packing.pack(
        loaded.config, corpus, tokenizer, require_out(out, "tokens pack"), engine=make_engine(engine, workers, address),
        part=Slice.parse(part) if part else None, finish=finish,
    )  # fmt: skip
    if made is not None:
        emit(made.path)


@tokens_app.command()
def preview(config: Path, overrides: Overrides = None) -> None:
    """What a training config would read: the mixture as it comes out, epochs by source, tokens by licence."""
    from jpfm.core.artifact import open_artifact
    from jpfm.tokens import preview as views
    from jpfm.tokens.order import TokenOrder
    from jpfm.tokens.store import TokenStore
    from jpfm.train.config import TrainConfig

    settings = load_config(config, TrainConfig, overrides).config
    if not settings.tokens_folders:
        _required(None, "tokens")
    store = TokenStore.open(*(open_artifact(Path(folder), "tokens") for folder in settings.tokens_folders))
    order = TokenOrder(
        store, settings.seq_len, settings.rows_per_step, settings.seed, settings.mixture, settings.packing
    )
    total = settings.num_steps * settings.batch_tokens
    emit(f"{settings.num_steps:,} steps of {settings.batch_tokens:,} tokens: {total:,} in all")
    emit("")
    _show(views.by_source(order, settings.num_steps))
    if len(order.parts) > 1:
        emit("")
        _show(views.by_stage(order, settings.num_steps))
    emit("")
    _show(views.by_licence(order, settings.num_steps))
    for line in views.warnings(order, settings.num_steps):
        emit(f"note: {line}")
    order.check(settings.num_steps)


@tokens_app.command()
def trace(
    run: Annotated[Path, typer.Argument(help="Folder of a training run or of one of its checkpoints.")],
    step: Annotated[int, typer.Option(min=1, help="From 1, as in the training log.")],
    rank: Annotated[int | None, typer.Option(min=0, help="Only one process's part.")] = None,
    world: Annotated[int, typer.Option(min=1, help="With --rank: how many processes.")] = 1,
    out: Annotated[Path | None, typer.Option("--out", help="Write a .parquet, .csv or .jsonl file instead.")] = None,
) -> None:
    """Which documents, licences and token ranges a step of a run saw; `stop` is exclusive, positions are of `file`."""
    from jpfm.report.trace import trace as traced

    seen = traced(run, step, rank, world)
    if out is None:
        _show(seen)
        return
    _write(seen, out)
    emit(out)


def _show(table: "pl.DataFrame") -> None:
    """Print a table: counts with commas, shares with six digits."""

    def cell(value: object) -> str:
        if value is None:
            return "-"
        if isinstance(value, float):
            return f"{value:.6f}"
        return f"{value:,}" if isinstance(value, int) else str(value)

    print_table([table.columns, *([cell(value) for value in row] for row in table.iter_rows())])


def _write(table: "pl.DataFrame", out: Path) -> None:
    writers: dict[str, Callable[[Path], object]] = {
        ".parquet": table.write_parquet, ".csv": table.write_csv, ".jsonl": table.write_ndjson,
    }  # fmt: skip
    if out.suffix not in writers:
        raise UsageError(f"--out {out}: unknown ending", hint="name a file that ends in .parquet, .csv or .jsonl")
    out.parent.mkdir(parents=True, exist_ok=True)
    writers[out.suffix](out)
