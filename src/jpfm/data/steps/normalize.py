"""The step that writes every document in one form: `text.normalize` over the text column.

- step: normalize
  rules: {ruby: true, fullwidth_punctuation: false}     # what differs from the defaults of `NormalizeRules`
  keep_spans: true                                      # every change as a row of edits/*.parquet
"""

from typing import Literal

import pyarrow as pa

from jpfm.data.document import EDITS
from jpfm.data.steps.base import NO_EDITS, Mapper, set_text
from jpfm.text.normalize import DEFAULT, NormalizeRules, normalize


class Normalize(Mapper):
    """NFC and the explicit width table of `text.normalize`; never NFKC. Code in Markdown text is left alone."""

    step: Literal["normalize"]
    rules: NormalizeRules = DEFAULT
    """Switches, one for each rule."""
    keep_spans: bool = False
    """Record each change: rule, place, text before and after. Raw line ends alone can make a row for every line."""

    def map(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.Table]:
        """Every text normalised, and the edits where they are kept (kind: the rule)."""
        if not self.keep_spans:
            return set_text(batch, normalize(batch.column("text"), self.rules)), NO_EDITS
        text, changes = normalize(batch.column("text"), self.rules, spans=True)
        rows = changes["row"].combine_chunks()
        columns = {
            "id": batch.column("id").take(rows),
            "source": batch.column("source").take(rows),
            "step": pa.array([self.name] * len(rows), pa.string()),
            "kind": changes["rule"],
            **{name: changes[name] for name in ("start", "length", "before", "after")},
        }
        return set_text(batch, text), pa.table(columns, schema=EDITS)
