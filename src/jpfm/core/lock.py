"""One process makes one artifact: a lock file beside it that the kernel frees when its owner dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jpfm.core import run
from jpfm.core.errors import ArtifactError, EnvironmentProblem
from jpfm.core.log import log

_TOGETHER = "array tasks"


@contextmanager
def lock(out: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold `NAME.lock`: one process makes one artifact. The kernel frees it when the owner dies.

    Args:
        shared: array tasks that make parts of an artifact hold it together; who finishes it needs it alone.
    Raises:
        ArtifactError: another process holds it; the message names its host, process and start.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.with_name(out.name + ".lock")
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            if not (path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())):
                raise BlockingIOError  # its owner finished and removed it between our open and our lock
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise ArtifactError(
                f"{out} is being made by {owner}", hint="wait for it, or stop that process and run this again"
            ) from None
        except OSError as error:
            raise EnvironmentProblem(
                f"{path}: this file system has no locks ({error.strerror})",
                hint="mount it with flock support, or write to another disk",
            ) from error
        if shared:
            if not path.read_text(encoding="utf-8"):
                file.write(f"{_TOGETHER}, first {run.owner()}")
                file.flush()
            yield  # the file stays: other tasks may hold it
            return
        file.seek(0)
        if (stale := file.read().strip()) and not stale.startswith(_TOGETHER):
            log.warning("%s: stale lock of %s, which ended without finishing; taking over", path.name, stale)
        file.truncate(0)
        file.write(run.owner())
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
            path.unlink(missing_ok=True)
