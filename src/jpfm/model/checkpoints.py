"""The checkpoints that lie in a training run's folder: which there are, and how one stays while it is read.

    checkpoints_of(Path("out/model"))              # {4: .../model.partial/steps/step-00000004, 8: ...}
    with hold(path):                               # nobody retires it until the block, or the process, ends
        ...
    retire(path)                                   # False: somebody reads it

While a run trains, its folder is `RUN.partial`; afterwards `RUN` itself is the last checkpoint, and `RUN/steps` holds
those kept. A reader holds a shared flock on a file inside the checkpoint, and who removes it needs it alone: the kernel
frees it when the reader dies. Refused: a file that names its readers; one that is killed would keep a checkpoint of
12 GB (1 B parameters, AdamW, fp32) for ever, and any age at which such a file is stale is below some evaluation's.
"""

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from jpfm.core import artifact as artifacts
from jpfm.core.errors import ArtifactError, EnvironmentProblem
from jpfm.core.log import log

STEPS = "steps"
HOLD = f"{artifacts.LOGS}/hold"
"""The file of a checkpoint that its readers lock. Not part of the checkpoint's id."""
_STEP_NAME = re.compile(r"step-(\d{8,})")


class Retired(ArtifactError):
    """The checkpoint went before it could be held."""


def step_name(step: int) -> str:
    """Name of the folder of the checkpoint after so many steps.

    >>> step_name(4)
    'step-00000004'
    """
    return f"step-{step:08d}"


def step_of(path: Path) -> int | None:
    """The steps that a folder's name says; None where it is no such name.

    >>> step_of(Path("steps/step-00000004")), step_of(Path("steps/step-00000004.partial"))
    (4, None)
    """
    found = _STEP_NAME.fullmatch(path.name)
    return int(found[1]) if found else None


def finished_steps(steps: Path) -> list[Path]:
    """Finished intermediate checkpoints, oldest first. By name, not by clock."""
    try:
        names = os.listdir(steps)
    except FileNotFoundError:  # none yet, or the run has just finished and got its name
        return []
    found = {step: steps / name for name in names if (step := step_of(steps / name)) is not None}
    return [found[step] for step in sorted(found) if (found[step] / artifacts.MANIFEST).exists()]


def checkpoints_of(run: Path) -> dict[int, Path]:
    """Every finished checkpoint of a run by its step, ascending; the last one of a finished run is the run's folder.

    Args:
        run: what `jpfm train` was given as --out; it may train now, and it may not exist yet.
    Raises:
        ArtifactError: `run` is an artifact of another kind.
    """
    found: dict[int, Path] = {}
    for folder in (partial_of(run), run):  # in this order: a run that finishes in between is seen under its new name
        found |= {step: path for path in finished_steps(folder / STEPS) if (step := step_of(path)) is not None}
    if (run / artifacts.MANIFEST).is_file():
        stats = artifacts.open_artifact(run, "checkpoint").manifest.stats
        found[int(stats.get("step") or stats.get("steps") or 0)] = run
    return dict(sorted(found.items()))


def partial_of(run: Path) -> Path:
    """The folder of a run while it trains."""
    return run.with_name(run.name + ".partial")


@contextmanager
def hold(checkpoint: Path) -> Iterator[None]:
    """Keep a checkpoint from being retired while it is read; many readers may hold it at once.

    Raises:
        Retired: it is gone, or it goes at this moment.
        EnvironmentProblem: its folder cannot be written to, or the file system has no locks.
    """
    gone = Retired(
        f"{checkpoint} is retired", hint="raise save.keep_last or save.keep_every_tokens of the run to keep more"
    )
    try:
        file = _open(checkpoint)
    except FileNotFoundError:
        raise gone from None
    with file:
        if not _lock(file, checkpoint, fcntl.LOCK_SH) or not _is_there(file, checkpoint):
            raise gone
        yield


def retire(checkpoint: Path) -> bool:
    """Remove a checkpoint unless somebody holds it.

    Returns:
        Whether it was removed; False where it is held, and stays until somebody asks again.
    """
    doomed = checkpoint.with_name(checkpoint.name + artifacts.DISCARDED)
    (checkpoint / HOLD).parent.mkdir(exist_ok=True)
    with (checkpoint / HOLD).open("a", encoding="utf-8") as file:
        if not _lock(file, checkpoint, fcntl.LOCK_EX):
            return False
        if doomed.exists():
            artifacts.discard(doomed)
        os.rename(checkpoint, doomed)  # from here on nobody finds it, so the lock has done its work
    try:
        artifacts.discard(doomed)  # not before the file is closed: NFS keeps a file that its own client has open
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EBUSY):
            raise
        log.warning("%s: cannot be removed now (%s); the end of training removes it", doomed, error.strerror)
    return True


def _open(checkpoint: Path) -> IO[str]:
    """The hold file: open for appending, which NFS wants for an exclusive lock; else for reading, enough for ours."""
    file = checkpoint / HOLD
    if not (checkpoint / artifacts.MANIFEST).exists():
        raise FileNotFoundError(file)
    try:
        file.parent.mkdir(exist_ok=True)
        return file.open("a", encoding="utf-8")
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
    try:
        return file.open(encoding="utf-8")
    except FileNotFoundError:
        if not checkpoint.exists():
            raise
        raise EnvironmentProblem(
            f"{checkpoint} cannot be held while it is read: no right to make {HOLD} in it",
            hint="ask the owner of the run for the right to write, or score it after the run has ended",
        ) from None


def _lock(file: IO[str], checkpoint: Path, how: int) -> bool:
    """Whether the lock was had at once."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise EnvironmentProblem(
            f"{checkpoint}: this file system has no locks ({error.strerror})",
            hint="mount it with flock support, or train on another disk",
        ) from error
    return True


def _is_there(file: IO[str], checkpoint: Path) -> bool:
    """Whether the file that was locked is still the one of the checkpoint of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), (checkpoint / HOLD).stat())
    except FileNotFoundError:
        return False
