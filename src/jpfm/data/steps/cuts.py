"""What the steps that cut text out share: the batch without the spans, and an edit for each."""

import numpy as np
import pyarrow as pa

from jpfm.data.document import EDITS
from jpfm.data.steps.base import NO_DROPS, NO_EDITS, Changed, set_text
from jpfm.text.cut import I64, cut


def with_cuts(batch: pa.RecordBatch, step: str, kind: str, rows: I64, starts: I64, ends: I64) -> Changed:
    """Cut byte spans out of the texts of a batch; what is left, with an edit a span.

    Args:
        rows, starts, ends: as `text.cut.cut` takes them. Shapes (k,).
    """
    if len(rows) == 0:
        return Changed(batch, NO_DROPS, NO_EDITS)
    done = cut(batch.column("text"), rows, starts, ends)
    taken, none = pa.array(rows), pa.nulls(len(rows), pa.string())
    words = [pa.array(np.full(len(rows), word)) for word in (step, kind)]
    edits = pa.table(
        [batch.column("id").take(taken), batch.column("source").take(taken), *words, done.starts, done.lengths,
         none, none],
        schema=EDITS,
    )  # fmt: skip
    return Changed(set_text(batch, done.column), NO_DROPS, edits)
