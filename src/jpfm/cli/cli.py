"""`jpfm`: typed commands. A stage is imported only when it is called, so that `--help` answers at once.

Result paths go to stdout, everything else to stderr. Exit codes: 0 ok, 2 usage or config, 3 data, 4 artifact,
5 environment, 6 training or eval, 75 stopped and saved, 1 our own bug (with a traceback).
"""

import errno
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from jpfm import __version__
from jpfm.cli import (
    config_commands,
    data_commands,
    doctor_command,
    forget_command,
    model_commands,
    submit_commands,
    tokens_commands,
    train_commands,
)
from jpfm.cli.interrupt import interrupts
from jpfm.cli.shared import Dry, Out, Overrides, Workers, emit, load_config, show_dry_run
from jpfm.core import ending
from jpfm.core import log as logs
from jpfm.core.errors import EnvironmentProblem, JpfmError, Preempted
from jpfm.core.parent import end_with_parent

_INTERRUPTED = 130  # what typer makes of Ctrl-C
app = typer.Typer(
    help="jpfm: raw Japanese text to a foundation model, every token traced.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
app.add_typer(data_commands.app, name="data")
app.add_typer(config_commands.app, name="config")
app.add_typer(tokens_commands.tokenizer_app, name="tokenizer")
app.add_typer(tokens_commands.tokens_app, name="tokens")
app.add_typer(model_commands.report_app, name="report")
app.add_typer(train_commands.app, name="train")
app.add_typer(submit_commands.app, name="submit")
app.command("eval")(model_commands.evaluate)
app.command("forget")(forget_command.forget)
app.command("doctor")(doctor_command.doctor)


def _version(value: bool) -> None:
    if value:
        emit(f"jpfm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings only.")] = False,
    version: Annotated[bool | None, typer.Option("--version", callback=_version, is_eager=True)] = None,
) -> None:
    logs.setup(verbose=verbose, quiet=quiet)


@app.command()
def run(
    config: Path, overrides: Overrides = None, out: Out = None, workers: Workers = None, dry_run: Dry = False
) -> None:
    """Run a whole pipeline file: data, tokenizer, tokens, training, eval, leaderboard. Run again to resume."""
    from jpfm.pipeline import PipelineConfig

    loaded = load_config(config, PipelineConfig, overrides)
    _pipeline(loaded, out or Path("out") / loaded.config.name, workers, dry_run)


@app.command()
def quickstart(overrides: Overrides = None, out: Out = None, workers: Workers = None, dry_run: Dry = False) -> None:
    """The whole pipeline on the bundled sample; ends with a leaderboard page. A few minutes on two cores."""
    from jpfm.pipeline import PipelineConfig

    bundled = Path(__file__).resolve().parents[1] / "sample" / "quickstart.yaml"
    _pipeline(load_config(bundled, PipelineConfig, overrides), out or Path("out/quickstart"), workers, dry_run)


def _pipeline(loaded: Any, out: Path, workers: int | None, dry_run: bool) -> None:
    from jpfm.cli import plans
    from jpfm.pipeline import run as run_pipeline

    if dry_run:
        config = loaded.config
        training = plans.train(config.train, config.tokenizer.vocab_size)
        show_dry_run(loaded, [*plans.data(config.data), *training, *plans.stages(out)])
        return
    page = run_pipeline(loaded.config, out, workers=workers or os.cpu_count() or 1)
    emit(page.path / "index.html")


@app.command()
def why(folder: Path) -> None:
    """The tree from an artifact back to raw files, with their licences."""
    from jpfm.core.lineage import why as tree

    emit(tree(folder))


@app.command()
def verify(
    folder: Path,
    raw: Annotated[Path | None, typer.Option(help="Folder of the raw files, to check the sources too.")] = None,
) -> None:
    """Hash every file of an artifact (and those inside it) again and compare with its manifest."""
    from jpfm.core import artifact as artifacts
    from jpfm.core.errors import ArtifactError
    from jpfm.core.lineage import index

    artifacts.open_artifact(folder)
    problems = []
    for artifact in index(folder).values():
        is_source = artifact.manifest.kind == "source" or artifact.path.parent.name == "inputs"  # files lie elsewhere
        if is_source and raw is None:
            continue
        problems += [f"{artifact.id}: {p}" for p in artifacts.verify(artifact.path, root=raw if is_source else None)]
    for problem in problems:
        emit(problem)
    if problems:
        raise ArtifactError(f"{folder}: {len(problems)} difference(s)", hint="restore the files, or make it again")
    emit(f"{folder}: intact")


def main() -> None:
    """Entry point: run a command and turn what goes wrong into a sentence and an exit code."""
    if ending.is_read_by_a_launcher():
        end_with_parent(signal.SIGTERM)
    try:
        code = _guarded()
    except Exception as error:
        ending.record(1, f"{type(error).__name__}: {error}", "a bug: its traceback is in the log")
        raise
    ending.record(code)
    sys.exit(0 if code == Preempted.exit_code and ending.is_read_by_a_launcher() else code)


def _guarded() -> int:
    try:
        with interrupts():
            result = app(standalone_mode=False)
        if result == _INTERRUPTED:
            raise KeyboardInterrupt
    except JpfmError as error:
        return _say(error)
    except (KeyboardInterrupt, typer.Abort):
        return _say(Preempted("interrupted; everything finished is kept", hint="run the same command again to go on"))
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - the reader has gone
        return 0
    except MemoryError:
        return _say(
            EnvironmentProblem("out of memory", hint="use fewer --workers or a smaller batch; run again to resume")
        )
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "free space or use another disk with --out; run the same command again to go on" if full else (
            "choose a folder you may write to with --out"
        )  # fmt: skip
        return _say(EnvironmentProblem(f"{error.filename or 'writing'}: {error.strerror}", hint=hint))
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return _say_usage(error)
        raise
    return result if isinstance(result, int) else 0


def _say(error: JpfmError) -> int:
    label = "stopped" if isinstance(error, Preempted) else "error"
    if (rank := os.environ.get("RANK", "0")) != "0":  # each process of a training run says what it met
        label = f"process {rank}: {label}"
    sys.stderr.write(f"{label}: {error.message}\n  hint: {error.hint}\n")
    ending.record(error.exit_code, error.message, error.hint)
    return error.exit_code


def _say_usage(error: Any) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "jpfm"
    sys.stderr.write(f"error: {error.format_message()}\n  hint: `{command} --help` shows what it takes\n")
    ending.record(2, error.format_message(), f"`{command} --help` shows what it takes")
    return 2


if __name__ == "__main__":
    main()
