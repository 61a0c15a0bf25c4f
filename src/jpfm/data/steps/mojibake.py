"""The step that undoes provable misreadings: UTF-8 read as CP932, EUC-JP as half-width kana, and their like."""

from typing import Literal

import pyarrow as pa

from jpfm.data.document import EDITS
from jpfm.data.steps.base import NO_EDITS, Mapper, set_text
from jpfm.text.mojibake import repair


class RepairMojibake(Mapper):
    """Give lines that were decoded with the wrong encoding before they came here their own characters back.

    Only where the misreading is provable (see `text.mojibake`); what is beyond repair stays as it is, and the filter
    `mojibake` drops it. Put it before `normalize`. Each repair is an edit: what had happened and where.
    """

    step: Literal["repair_mojibake"]
    keep_text: bool = False
    """Keep each line before and after its repair with the edit, so that a person can judge it."""

    def map(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.Table]:
        """The batch with its misread lines repaired."""
        text, repairs = repair(batch.column("text"))
        if not repairs:
            return batch, NO_EDITS
        rows = pa.array([found.row for found in repairs])
        columns = {
            "id": batch.column("id").take(rows),
            "source": batch.column("source").take(rows),
            "step": pa.array([self.name] * len(repairs), pa.string()),
            "kind": pa.array([found.kind for found in repairs], pa.string()),
            "start": pa.array([found.start for found in repairs], pa.int64()),
            "length": pa.array([found.length for found in repairs], pa.int64()),
            "before": pa.array([found.before if self.keep_text else None for found in repairs], pa.string()),
            "after": pa.array([found.after if self.keep_text else None for found in repairs], pa.string()),
        }
        edits = pa.table([columns[name] for name in EDITS.names], schema=EDITS)
        return set_text(batch, text), edits
