"""Which documents a step of a run saw: `jpfm tokens trace RUN --step N`.

    seen = trace(Path("out/model"), step=100)            # slot, id, source, licence, file, start, stop
    seen = trace(Path("out/model.partial"), step=100, rank=3, world=8)

`start` and `stop` (exclusive) count tokens of the `.bin` named `file`; the first token of a row is only an input.
Worked out again from the settings in the checkpoint's manifest and the tokens it names; nothing was written down while
it trained. Steps count from 1, as in the training log.
"""

from pathlib import Path

import numpy as np
import polars as pl

from jpfm.core import artifact as artifacts
from jpfm.core import lineage
from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError, UsageError
from jpfm.tokens.order import TokenOrder, order_of
from jpfm.tokens.store import TokenStore
from jpfm.train.windows import Read


def run_of(folder: Path) -> Artifact:
    """A checkpoint of a run: the folder itself, or the newest one inside an unfinished run.

    Raises:
        ArtifactError: the folder holds none.
    """
    if (folder / artifacts.MANIFEST).is_file():
        return artifacts.open_artifact(folder, "checkpoint")
    for place in (folder, folder.with_name(folder.name + ".partial")):
        steps = sorted((place / "steps").glob(f"step-*/{artifacts.MANIFEST}"))
        if steps:
            return artifacts.open_artifact(steps[-1].parent, "checkpoint")
    raise ArtifactError(
        f"{folder} holds no checkpoint", hint="name the folder of `jpfm train`, or a checkpoint inside its steps/"
    )


def order_of_run(checkpoint: Artifact) -> TokenOrder:
    """The order a run reads its tokens in.

    Raises:
        ArtifactError: the tokens are not found.
    """
    parents = [
        parent for parent in lineage.parents(checkpoint) if isinstance(parent, str) or parent.manifest.kind == "tokens"
    ]
    missing = [parent for parent in parents if isinstance(parent, str) and parent.startswith("tokens-")]
    if missing:
        raise ArtifactError(
            f"{missing[0]}, which {checkpoint.path} was trained on, is neither beside it nor where it was",
            hint="copy the tokens folder beside the run",
        )
    found = [parent for parent in parents if not isinstance(parent, str)]
    if not found:
        raise ArtifactError(f"{checkpoint.path} was not trained on tokens", hint="name a run of `jpfm train`")
    return order_of(checkpoint.manifest.config, TokenStore.open(*found))


def trace(folder: Path, step: int, rank: int | None = None, world: int = 1) -> pl.DataFrame:
    """Which documents a step saw.

    Returns:
        slot (row of the global batch), id, source, licence, file (the `.bin`), and the range of its tokens that the
        row shows: start, stop (exclusive).
    Args:
        step: from 1, as in the training log.
        rank: one process of `world`; None for all.
    Raises:
        UsageError: the step is not one of the run, or the rank not one of the world.
    """
    checkpoint = run_of(folder)
    read = Read.of(checkpoint.manifest.config, checkpoint.manifest.stats)
    if not read.begin < step <= read.steps:
        before = f"; those before are of the run it branched from: {checkpoint.manifest.parents[-1]}"
        raise UsageError(
            f"--step {step}: {checkpoint.path} has seen steps {read.begin + 1} to {read.steps}"
            + (before if read.begin else ""),
            hint="name one of them",
        )
    if rank is not None and not 0 <= rank < world:
        raise UsageError(f"--rank {rank} of {world} processes", hint="name --world W, and a rank from 0 to W - 1")
    order = order_of_run(checkpoint)
    if rank is None:
        rank, world = 0, 1
    seen = pl.DataFrame(pl.from_arrow(order.documents(read.windows.data_step(step - 1), rank, world)))
    store = order.store
    number = np.searchsorted(store.first, seen["first"].to_numpy(), side="right") - 1
    files = pl.Series("file", [file.bin.name for file in store.files])
    begin = pl.Series("begin", store.first[:-1])
    return seen.select(
        "slot", "id", "source", "licence",
        files.gather(number),
        (pl.col("first") - begin.gather(number)).alias("start"),
        (pl.col("last") - begin.gather(number)).alias("stop"),
    )  # fmt: skip
