"""Set documents apart for evaluation."""

from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from jpfm.data.steps.base import NO_EDITS, Mapper
from jpfm.text import kernels


class Split(Mapper):
    """Set documents apart for evaluation: column `split` is 'held_out' for a share of them chosen by their text.

    Needs the `characters` step before it.
    """

    step: Literal["split"]
    held_out_share: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.02
    """Share of documents kept out of tokenizer and model training."""
    max_held_out_chars: Annotated[int, pydantic.Field(ge=1)] = 20_000
    """A longer document is never held out: a few books would make up the whole held-out text."""
    seed: int = 0
    needs = ("num_chars",)
    adds = ("split",)

    def map(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.Table]:
        """The batch with the column `split`."""
        draws = kernels.hash_rows(batch.column("text"), seed=self.seed) >> np.uint64(11)
        chosen = draws.astype(np.float64) / 2.0**53 < self.held_out_share
        chosen &= batch.column("num_chars").to_numpy(zero_copy_only=False) <= self.max_held_out_chars
        split = pc.if_else(pa.array(chosen), pa.scalar("held_out"), pa.scalar("train"))
        return batch.append_column("split", split), NO_EDITS
