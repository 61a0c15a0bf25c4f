"""Which token ranges hold some documents, which training steps saw them, and which checkpoints come after.

    exposure = expose(tokens_and_checkpoints, ["crawl/a.warc.gz#120"])
    exposure.ranges      # tokens, document, first, last (exclusive)
    exposure.steps       # run, step, slot, document, first, last

Nothing was written down during training: what step n sees is a function of the tokens and the settings, so it is
computed again (`TokenOrder.sightings`). Steps count from 1, as in the training log and in the names of checkpoints:
step n is `TokenOrder.documents(n - 1)`, and checkpoint step-n has seen steps 1 to n.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from jpfm.core.artifact import Artifact, canonical_json
from jpfm.tokens.order import TokenOrder, order_of
from jpfm.tokens.store import TokenStore
from jpfm.train.windows import Read

RANGES = {"tokens": pl.String, "document": pl.String, "first": pl.Int64, "last": pl.Int64}
STEPS = {
    "run": pl.Int64, "step": pl.Int64, "slot": pl.Int64, "document": pl.String, "first": pl.Int64, "last": pl.Int64,
}  # fmt: skip


class Saved(NamedTuple):
    """A checkpoint of a run and how many steps it has seen."""

    id: str
    step: int


class Run(NamedTuple):
    """A training run: its checkpoints share settings and tokens."""

    number: int
    """In the table of steps."""
    name: str
    tokens: str
    seq_len: int
    batch_tokens: int
    seed: int
    saved: tuple[Saved, ...]
    """By step; those that are still there."""
    num_steps: int
    """Steps up to the last checkpoint that saw any of the documents."""
    num_tokens: int
    """Tokens of them that those steps saw, each as often as it was seen."""
    first_step: int | None

    @property
    def affected(self) -> tuple[Saved, ...]:
        """The checkpoints after the first such step."""
        first = self.first_step
        return () if first is None else tuple(saved for saved in self.saved if saved.step >= first)

    @property
    def last_clean(self) -> Saved | None:
        """The last checkpoint before it: where training can start again."""
        clean = self.saved[: len(self.saved) - len(self.affected)]
        return clean[-1] if clean else None


@dataclass(frozen=True)
class Exposure:
    """Token ranges of the documents, and the steps of all runs that saw them."""

    ranges: pl.DataFrame
    steps: pl.DataFrame
    runs: tuple[Run, ...]

    def documents_in(self, checkpoint: str) -> int:
        """How many of the documents a checkpoint has seen in its own training."""
        for run in self.runs:
            for saved in run.saved:
                if saved.id == checkpoint:
                    seen = self.steps.filter((pl.col("run") == run.number) & (pl.col("step") <= saved.step))
                    return seen["document"].n_unique()
        return 0


def expose(artifacts: Sequence[Artifact], ids: Sequence[str]) -> Exposure:
    """Follow documents through tokens and the checkpoints that were trained on them.

    Raises:
        ArtifactError: tokens are damaged.
    """
    tokens = {one.id: one for one in artifacts if one.manifest.kind == "tokens"}
    ranges = pl.concat([pl.DataFrame(schema=RANGES), *(_ranges(one, ids) for one in tokens.values())])
    groups: dict[str, list[Artifact]] = {}
    for one in artifacts:
        if one.manifest.kind == "checkpoint" and any(parent in tokens for parent in one.manifest.parents):
            config = {key: value for key, value in one.manifest.config.items() if key != "step"}
            groups.setdefault(canonical_json([config, one.manifest.parents]), []).append(one)
    runs, steps = [], [pl.DataFrame(schema=STEPS)]
    read: dict[tuple[str, ...], tuple[TokenStore, pl.DataFrame]] = {}
    for number, group in enumerate(groups.values(), start=1):
        names = tuple(parent for parent in group[0].manifest.parents if parent in tokens)
        if names not in read:  # runs over the same tokens share what is read of them
            store = TokenStore.open(*(tokens[name] for name in names))
            read[names] = store, _in_store(store, ids)
        run, seen = _run(number, group, *read[names])
        runs.append(run)
        steps.append(seen)
    return Exposure(ranges, pl.concat(steps), tuple(runs))


def _ranges(tokens: Artifact, ids: Sequence[str]) -> pl.DataFrame:
    """Where the documents lie in the token stream of one artifact."""
    return _in_store(TokenStore.open(tokens), ids).select(list(RANGES))


def _in_store(store: TokenStore, ids: Sequence[str]) -> pl.DataFrame:
    """Where the documents lie in a store: RANGES, and `own`, the first token counted within their artifact."""
    own = dict.fromkeys((artifact.id for artifact in store.artifacts), 0)
    parts = [pl.DataFrame(schema=RANGES | {"own": pl.Int64})]
    for place, file in enumerate(store.files):
        rows = store.table(place).filter(pl.col("id").is_in(list(ids)))
        shift = own[file.artifact] - int(store.first[place])
        own[file.artifact] += file.tokens
        parts.append(
            rows.select(
                pl.lit(file.artifact).alias("tokens"), pl.col("id").alias("document"), "first", "last",
                (pl.col("first") + shift).alias("own"),
            )
        )  # fmt: skip
    return pl.concat(parts)


def _by_step(pair: tuple[Read, str]) -> tuple[int, str]:
    return pair[0].steps, pair[1]


def _by_the_run(order: TokenOrder, ranges: pl.DataFrame, read: Read) -> pa.Table:
    """Sightings by the steps of a run: data that was left out by a rewind is no step's."""
    found = order.sightings(ranges["first"].to_numpy(), ranges["last"].to_numpy(), read.data_steps)
    data = found.column("step").to_numpy()
    step = np.full(len(data), -1, dtype=np.int64)
    for first, end, shift in read.spans():
        here = (data >= first + shift) & (data < end + shift)
        step[here] = data[here] - shift
    return found.set_column(0, "step", pa.array(step)).filter(pa.array(step >= 0))


def _run(number: int, group: Sequence[Artifact], store: TokenStore, ranges: pl.DataFrame) -> tuple[Run, pl.DataFrame]:
    config: dict[str, Any] = group[0].manifest.config
    reads = sorted(((Read.of(one.manifest.config, one.manifest.stats), one.id) for one in group), key=_by_step)
    saved = [Saved(identity, read.steps) for read, identity in reads]
    order = order_of(config, store)
    found = _by_the_run(order, ranges, reads[-1][0])
    shift = (ranges["own"] - ranges["first"]).gather(found.column("range").to_numpy())
    seen = pl.DataFrame(pl.from_arrow(found)).select(
        pl.lit(number, pl.Int64).alias("run"),
        pl.col("step") + 1,
        "slot",
        ranges["document"].gather(found.column("range").to_numpy()).alias("document"),
        pl.col("first") + shift,
        pl.col("last") + shift,
    )
    run = Run(
        number=number,
        name=str(config.get("name", "")),
        tokens=", ".join(one.id for one in store.artifacts),
        seq_len=config["seq_len"],
        batch_tokens=config["batch_tokens"],
        seed=config["seed"],
        saved=tuple(saved),
        num_steps=seen["step"].n_unique(),
        num_tokens=int((seen["last"] - seen["first"]).sum()),
        first_step=seen["step"].min() if seen.height else None,  # type: ignore[arg-type] # of an Int64 column
    )
    return run, seen
