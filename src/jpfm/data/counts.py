"""Every document is accounted for: counts of one shard, of all shards, and the check that they add up."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jpfm.core.errors import DataError
from jpfm.data.document import Quarantined


def count_shard(
    source: str, read: int, documents: pa.Table, tables: dict[str, list[pa.Table]], bad: list[Quarantined]
) -> dict[str, Any]:
    """What became of one shard's documents in one pass."""
    dropped: Counter[str] = Counter()
    edits: Counter[str] = Counter()
    for table in tables["dropped"]:
        dropped.update(f"{s}:{r}" for s, r in zip(table["step"].to_pylist(), table["reason"].to_pylist(), strict=True))
    for table in tables["edits"]:
        edits.update(f"{s}:{k}" for s, k in zip(table["step"].to_pylist(), table["kind"].to_pylist(), strict=True))
    encodings = Counter(documents["encoding"].to_pylist())
    chars = int(pc.sum(pc.utf8_length(documents["text"])).as_py() or 0)
    return {
        "source": source,
        "read": read + len(bad),
        "kept": documents.num_rows,
        "chars": chars,
        "held_out": documents["split"].to_pylist().count("held_out") if "split" in documents.column_names else 0,
        "dropped": dict(dropped),
        "quarantined": dict(Counter(row.error for row in bad)),
        "edits": dict(edits),
        "encodings": dict(encodings),
    }


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


def check(counts: dict[str, Any]) -> None:
    """`read = kept + dropped + quarantined` for each source, and something is left.

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
    if counts["total"]["kept"] == 0:
        reasons = counts["total"]["dropped"] | counts["total"]["quarantined"]
        raise DataError(
            f"the corpus is empty: all {counts['total']['read']} documents were dropped ({reasons})",
            hint="loosen the thresholds of the steps named, or check the input",
        )
