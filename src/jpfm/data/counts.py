"""Every document is accounted for: counts of one shard, of all shards, and the check that they add up."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jpfm.core.errors import DataError
from jpfm.core.log import log
from jpfm.data.document import Quarantined
from jpfm.data.steps.base import Changed


class ShardCounts:
    """What became of one shard's documents in one pass, counted as they pass by."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.read = self.kept = self.chars = self.held_out = 0
        self.dropped: Counter[str] = Counter()
        self.quarantined: Counter[str] = Counter()
        self.edits: Counter[str] = Counter()
        self.encodings: Counter[str] = Counter()

    def add_changes(self, changed: Changed) -> None:
        """Count drops by step and reason, edits by step and kind."""
        for counter, table, word in ((self.dropped, changed.dropped, "reason"), (self.edits, changed.edits, "kind")):
            if table.num_rows:
                for row in table.group_by(["step", word]).aggregate([([], "count_all")]).to_pylist():
                    counter[f"{row['step']}:{row[word]}"] += row["count_all"]

    def add_kept(self, batch: pa.RecordBatch) -> None:
        """Count the documents that are left."""
        self.kept += batch.num_rows
        self.chars += int(pc.sum(pc.utf8_length(batch.column("text"))).as_py() or 0)
        if "split" in batch.schema.names:
            self.held_out += int(pc.sum(pc.equal(batch.column("split"), "held_out")).as_py() or 0)
        for row in pc.value_counts(batch.column("encoding")).to_pylist():
            self.encodings[row["values"]] += row["counts"]

    def add_quarantined(self, rows: Sequence[Quarantined]) -> None:
        """Count input that could not be read."""
        self.read += len(rows)
        self.quarantined.update(row.error for row in rows)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {key: dict(value) if isinstance(value, Counter) else value for key, value in vars(self).items()}


def add_up(passes: Sequence[Sequence[Path]]) -> dict[str, Any]:
    """Add up the counts of every shard and pass, by source and in all.

    Args:
        passes: for each pass, the counts files of its shards.
    """
    sources: dict[str, dict[str, Any]] = {}
    for number, files in enumerate(passes):
        for file in files:
            counts = json.loads(file.read_text(encoding="utf-8"))
            entry = sources.setdefault(
                counts["source"],
                {"read": 0, "kept": 0, "held_out": 0, "chars": 0, "dropped": Counter(), "quarantined": Counter(),
                 "edits": Counter(), "encodings": Counter()},
            )  # fmt: skip
            if number == 0:
                entry["read"] += counts["read"]
            if number == len(passes) - 1:
                for key in ("kept", "held_out", "chars"):
                    entry[key] += counts[key]
                entry["encodings"].update(counts["encodings"])
            for key in ("dropped", "quarantined", "edits"):
                entry[key].update(counts[key])
    total: dict[str, Any] = {"read": 0, "kept": 0, "held_out": 0, "chars": 0}
    for key in ("dropped", "quarantined", "edits", "encodings"):
        total[key] = dict(sum((entry[key] for entry in sources.values()), Counter()))
    for key in ("read", "kept", "held_out", "chars"):
        total[key] = sum(entry[key] for entry in sources.values())
    plain = {
        name: {key: dict(value) if isinstance(value, Counter) else value for key, value in entry.items()}
        for name, entry in sources.items()
    }
    return {"total": total, "sources": plain}


def check(counts: dict[str, Any], quarantined: Path) -> None:
    """`read = kept + dropped + quarantined` for each source, and something is left. Warns of sources that gave nothing.

    Args:
        quarantined: folder of what could not be read, for the first reason.
    Raises:
        DataError: it does not hold, or nothing is left.
    """
    for name, entry in counts["sources"].items():
        out = entry["kept"] + sum(entry["dropped"].values()) + sum(entry["quarantined"].values())
        if entry["read"] != out:
            raise DataError(
                f"source '{name}': {entry['read']} documents read but {out} accounted for",
                hint="this is a bug in a step: report the recipe",
            )
    barren = {
        name: first
        for name, entry in counts["sources"].items()
        if entry["read"] and entry["read"] == sum(entry["quarantined"].values())
        for first in (_first_quarantined(quarantined, name),)
    }
    for name, first in barren.items():
        log.warning("source '%s': none of its %d inputs could be read. First: %s", name,
                    counts["sources"][name]["read"], first)  # fmt: skip
    if counts["total"]["kept"] == 0:
        reasons = counts["total"]["dropped"] | counts["total"]["quarantined"]
        raise DataError(
            f"the corpus is empty: all {counts['total']['read']} documents were dropped or quarantined ({reasons})"
            + "".join(f"; first of '{name}': {first}" for name, first in barren.items()),
            hint="check the format and fields of the sources named, or loosen the thresholds of the steps named",
        )


def _first_quarantined(folder: Path, source: str) -> str:
    """Id and reason of the first input of a source that could not be read."""
    for file in sorted(folder.glob("*.parquet")):
        for row in pq.read_table(file).to_pylist():
            if row["source"] == source:
                return f"{row['id']}: {row['detail']}"
    return "no detail was kept"
