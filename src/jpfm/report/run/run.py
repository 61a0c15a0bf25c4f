"""The page of a training run: how far it is, how it goes, what happened to it. Works while it trains and afterwards.

    made = run_page([Path("out/model")], Path("out/model-page"))
    made.page                                     # .../index.html; made.finished

A finished run's page is a report artifact, with the run as its parent and the logs it was drawn from named by their
hashes: the same logs give the same bytes. A run that is not finished has no id that could be a parent, so its page is
a plain folder, written anew on each call; it becomes the artifact on the first call after the run's end (and after its
last checkpoint is scored, where scores are shown). Several runs are compared on one page. Refused: a server
(TensorBoard is one; it cannot be sent by mail or kept with a paper).
"""

import base64
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.errors import ArtifactError, UsageError
from jpfm.core.log import log
from jpfm.report.render import environment
from jpfm.report.run.page import data, names_of, page_data
from jpfm.report.run.read import LOGS, Run, open_run
from jpfm.report.run.scored import Scored, scores_of

VERSION = 2
PAGE, FIGURES = "index.html", "data.json"
REFRESH_SECONDS = 30
TEMPLATES = Path(__file__).parents[1] / "templates"


class Made(NamedTuple):
    """A page that was written."""

    page: Path
    finished: bool
    """Whether all runs are finished, their last checkpoints scored if scores are shown, and the page is an artifact."""


def run_page(
    folders: Sequence[Path], out: Path, *, scores: Sequence[Path] = (), now: float | None = None
) -> Made:  # fmt: skip
    """Write the page of a run, or of several to be compared.

    Args:
        folders: what `jpfm train` was given as --out.
        scores: folders that `jpfm eval --follow` scored their checkpoints into.
        now: seconds since 1970, for runs that are not finished; None asks the clock.
    Raises:
        ArtifactError: a folder holds no run, or `out` something else than such a page.
        UsageError: `out` lies in a run's folder, where it would become a part of the run.
    """
    now = time.time() if now is None else now
    folders = list({folder.absolute(): folder for folder in folders}.values())
    _refuse_inside(folders, out.absolute())
    runs = [open_run(folder, now=now) for folder in folders]
    scored = scores_of(runs, names_of(runs), scores)
    parents = [run.artifact for run in runs if run.artifact is not None]
    if len(parents) < len(runs) or scored.pending:
        _plain(runs, scored, out, now)
        return Made(out / PAGE, False)
    if _is_plain(out):
        artifacts.discard(out)
    return Made(_artifact(runs, scored, [*parents, *scored.artifacts], out, now).path / PAGE, True)


def watch(folders: Sequence[Path], out: Path, seconds: float, *, scores: Sequence[Path] = ()) -> Path:
    """Write the page again every so many seconds, first after these, until all runs are finished."""
    while True:
        time.sleep(seconds)
        made = run_page(folders, out, scores=scores)
        if made.finished:
            return made.page


def _refuse_inside(folders: Sequence[Path], out: Path) -> None:
    for folder in folders:
        for place in (folder.absolute(), folder.absolute().with_name(folder.name + ".partial")):
            if out == place or place in out.parents:
                raise UsageError(
                    f"--out {out} lies in the run's own folder", hint=f"name another, e.g. --out {folder}-page"
                )


def _artifact(
    runs: Sequence[Run], scored: Scored, parents: Sequence[Artifact], out: Path, now: float
) -> Artifact:  # fmt: skip
    """The page of finished runs."""
    logs = [
        {name: artifacts.sha256(run.path / "logs" / name) for name in LOGS if (run.path / "logs" / name).is_file()}
        for run in runs
    ]

    config = {"page": "run", "logs": logs}
    if scored.notices:  # they name what is not among the parents
        config["notices"] = [words.en for words in scored.notices]

    def work(draft: Draft) -> Finished:
        steps = _write(runs, scored, draft.path, now)
        return Finished({"steps": steps})

    return artifacts.produce(out, kind="report", version=VERSION, config=config, parents=parents, work=work)


def _is_plain(out: Path) -> bool:
    """Whether a folder is the page of an unfinished run, and nothing else."""
    if not out.is_dir() or (out / artifacts.MANIFEST).exists():
        return False
    names = {path.name for path in out.iterdir()}
    return PAGE in names and names <= {PAGE, FIGURES, f"{PAGE}.tmp", f"{FIGURES}.tmp"}


def _plain(runs: Sequence[Run], scored: Scored, out: Path, now: float) -> None:
    """The page of runs of which one is not finished."""
    if (out / artifacts.MANIFEST).exists():
        raise ArtifactError(f"{out} holds a finished artifact", hint="take another --out for a run that still trains")
    if out.exists() and not _is_plain(out) and (not out.is_dir() or any(out.iterdir())):
        raise ArtifactError(f"{out} exists and is no page of a run", hint="take another --out; nothing was touched")
    out.mkdir(parents=True, exist_ok=True)
    _write(runs, scored, out, now)
    log.debug("%s: written anew on each call while the run is unfinished", out / PAGE)


def _write(runs: Sequence[Run], scored: Scored, folder: Path, now: float) -> list[int]:
    """Write the page and its figures; returns the steps of each run."""
    page = page_data(runs, now=now, scored=scored)
    html = _environment().get_template("run.html").render(**page, refresh_seconds=REFRESH_SECONDS)
    artifacts.write_text(folder / FIGURES, artifacts.canonical_json(data(page), indent=1) + "\n")
    artifacts.write_text(folder / PAGE, html)
    return [view["progress"].step for view in page["runs"]]


def _environment() -> jinja2.Environment:
    """That of all pages, with a script that also reloads: Chromium's `meta refresh` ignores a page with a #fragment."""
    made = environment()
    script = f"{made.globals['script']}{(TEMPLATES / 'run.js').read_text(encoding='utf-8')}"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    made.globals |= {"script": script, "script_hash": digest}
    return made
