"""The step that masks, fakes, removes or drops personal data; the detectors are in `text.pii`."""

import json
from collections import Counter
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from jpfm.data.document import EDITS, drop_table
from jpfm.data.steps.base import NO_DROPS, NO_EDITS, Changed, Step, set_text
from jpfm.text.pii.find import CLASSES, DEFAULT_CLASSES, PiiClass, Rules, find
from jpfm.text.pii.replace import Action, Edit, replace
from jpfm.text.pii.window import Span

SPANS = pa.list_(pa.struct([("class", pa.string()), ("start", pa.int64()), ("length", pa.int64())]))


def _place(kind: str, start: int, length: int) -> dict[str, Any]:
    return {"class": kind, "start": start, "length": length}


class MaskPersonalData(Step):
    """Find personal data by class and mask it, put a fake in its place, remove it, or drop the document.

    Titles are masked as texts are. Columns added: `pii_count`, and `pii_spans` with class and place in the new text.
    Each change is an edit row (class, place and length in the old text); the old text itself is kept only where
    `keep_originals` asks for it, and in `dropped/` for documents that are dropped. Corporate numbers are public and
    stay unless named in `classes`.
    """

    step: Literal["mask_personal_data"]
    classes: tuple[PiiClass, ...] = DEFAULT_CLASSES
    """What to look for. Default: all but corporate_number."""
    action: Action = "mask"
    """What happens to it: a tag, a fake value of the same form, nothing in its place, or no document."""
    action_by_class: dict[PiiClass, Action] = {}
    """Another action for some classes, such as {my_number: drop, phone: fake}."""
    tag: Literal["japanese", "ascii"] = "japanese"
    """<電話番号> or <PHONE>."""
    seed: int = 0
    """Of fake values; the same value gets the same fake."""
    drop_above: Annotated[int, pydantic.Field(ge=0)] | None = None
    """Drop documents that hold more than so many pieces of personal data: name lists, leaked tables."""
    obfuscated_emails: bool = True
    """Also e-mail addresses that write [at] or ★ for the sign."""
    letter_heads: bool = True
    """Also the addressee at the head of a letter: 営業課 戸狩様."""
    keep_private_ips: bool = True
    """Leave addresses of private and documentation networks."""
    keep_corporate_contacts: bool = False
    """Leave phone numbers, e-mail and postal addresses of companies and offices: 代表電話, 所在地, 0120, info@."""
    keep_public_figures: bool = True
    """Leave names behind a public office (内閣総理大臣, 知事, 議員)."""
    keep_originals: bool = False
    """Write what stood there, and what stands there now, into the edits."""
    adds = ("pii_count", "pii_spans")

    @pydantic.model_validator(mode="after")
    def _check(self) -> "MaskPersonalData":
        for name in self.action_by_class:
            if name not in self.classes:
                raise ValueError(f"action_by_class: '{name}' is not among `classes`; add it there")
        return self

    @property
    def rules(self) -> Rules:
        """What the detectors look for."""
        return Rules(
            self.classes, self.obfuscated_emails, self.letter_heads, self.keep_private_ips,
            self.keep_corporate_contacts, self.keep_public_figures,
        )  # fmt: skip

    def action_of(self, kind: str) -> Action:
        """The action for a class."""
        return self.action_by_class.get(kind, self.action)  # type: ignore[call-overload]

    def run(self, batch: pa.RecordBatch) -> Changed:
        """Mask and drop. Python sees only rows that hold personal data."""
        text = batch.column("text")
        changed: dict[int, tuple[str, list[Edit]]] = {}
        drops: dict[tuple[str, float | None], list[tuple[int, list[Span]]]] = {}
        for row, spans in find(text, self.rules):
            verdict = self._verdict(spans)
            if verdict is not None:
                drops.setdefault(verdict, []).append((row, spans))
            else:
                changed[row] = replace(text[row].as_py(), spans, self.action_of, tag=self.tag, seed=self.seed)
        edits = self._edits(batch, changed)
        batch, in_titles = self._titles(batch)
        dropped = [self._drops(batch, reason, threshold, rows) for (reason, threshold), rows in drops.items()]
        batch = self._columns(batch, changed)
        if drops:
            gone = pa.array(sorted(row for rows in drops.values() for row, _ in rows), pa.int64())
            stays = pc.invert(pc.is_in(pa.array(range(batch.num_rows), pa.int64()), value_set=gone))
            batch = batch.filter(stays)
        edits = pa.concat_tables([edits, in_titles])
        return Changed(batch, pa.concat_tables(dropped) if dropped else NO_DROPS, edits)

    def _titles(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.Table]:
        """Titles are subjects of mail and first lines: they hold what texts hold. Their edits are `title_CLASS`.

        No document is dropped for its title alone; what would drop it is masked there.
        """
        titles = batch.column("title")
        changed = {
            row: replace(titles[row].as_py(), spans, self._action_in_title, tag=self.tag, seed=self.seed)
            for row, spans in find(titles, self.rules)
        }
        if not changed:
            return batch, NO_EDITS
        mask = pa.array([row in changed for row in range(batch.num_rows)])
        values = pa.array([changed[row][0] for row in sorted(changed)], pa.string())
        position = batch.schema.get_field_index("title")
        masked = pc.replace_with_mask(titles, mask, values)
        edits = self._edits(batch, changed, column="title")
        return batch.set_column(position, batch.schema.field(position), masked), edits

    def _action_in_title(self, kind: str) -> Action:
        action = self.action_of(kind)
        return "mask" if action == "drop" else action

    def _verdict(self, spans: list[Span]) -> tuple[str, float | None] | None:
        """Why a document goes: (reason, threshold), or None."""
        if self.drop_above is not None and len(spans) > self.drop_above:
            return "pii_too_many", float(self.drop_above)
        kinds = {span.kind for span in spans}
        for kind in CLASSES:
            if kind in kinds and self.action_of(kind) == "drop":
                return f"pii_{kind}", None
        return None

    def _drops(
        self, batch: pa.RecordBatch, reason: str, threshold: float | None, rows: list[tuple[int, list[Span]]]
    ) -> pa.Table:
        """Dropped rows: value is how many there are (of the class), detail the places in the old text."""
        kind = reason.removeprefix("pii_")
        counts = [Counter(span.kind for span in spans) for _, spans in rows]
        return drop_table(
            batch,
            pa.array([row for row, _ in rows], pa.int64()),
            step=self.name,
            reason=reason,
            values=[float(count[kind] or count.total()) for count in counts],
            threshold=threshold,
            details=[json.dumps([_place(s.kind, s.start, s.length) for s in spans]) for _, spans in rows],
        )

    def _edits(
        self, batch: pa.RecordBatch, changed: dict[int, tuple[str, list[Edit]]], column: str = "text"
    ) -> pa.Table:
        rows: list[dict[str, Any]] = []
        for row, (_, edits) in changed.items():
            old = batch.column(column)[row].as_py() if self.keep_originals else None
            identity = {"id": batch.column("id")[row].as_py(), "source": batch.column("source")[row].as_py()}
            for edit in edits:
                place = {
                    "kind": edit.kind if column == "text" else f"{column}_{edit.kind}",
                    "start": edit.start,
                    "length": edit.length,
                }
                kept = old and {"before": old[edit.start : edit.start + edit.length], "after": edit.after}
                rows.append({**identity, "step": self.name, **place, **(kept or {"before": None, "after": None})})
        return pa.Table.from_pylist(rows, schema=EDITS) if rows else NO_EDITS

    @staticmethod
    def _columns(batch: pa.RecordBatch, changed: dict[int, tuple[str, list[Edit]]]) -> pa.RecordBatch:
        counts = [0] * batch.num_rows
        spans: list[list[dict[str, Any]]] = [[] for _ in counts]
        if changed:
            mask = [row in changed for row in range(batch.num_rows)]
            values = pa.array([changed[row][0] for row in sorted(changed)], pa.string())
            batch = set_text(batch, pc.replace_with_mask(batch.column("text"), pa.array(mask), values))
        for row, (_, edits) in changed.items():
            counts[row] = len(edits)
            spans[row] = [_place(edit.kind, edit.new_start, len(edit.after)) for edit in edits]
        batch = batch.append_column("pii_count", pa.array(counts, pa.int64()))
        return batch.append_column("pii_spans", pa.array(spans, SPANS))
