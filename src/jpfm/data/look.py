"""What a person reads to judge a corpus: kept and dropped documents, and the funnel in numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from jpfm.core.artifact import Artifact
from jpfm.core.errors import UsageError
from jpfm.data.build import read_documents

_EXCERPT = 400


def show_kept(corpus: Artifact, *, number: int, source: str | None = None) -> Iterator[str]:
    """Excerpts of kept documents, spread evenly over the corpus."""
    known = corpus.manifest.stats["sources"]
    if source is not None and source not in known:
        raise UsageError(f"no source '{source}' in this corpus", hint=f"sources: {', '.join(known)}")
    kept = known[source]["kept"] if source else corpus.manifest.stats["total"]["kept"]
    stride = max(1, kept // max(1, number))
    position = shown = 0
    for batch in read_documents(corpus, ["id", "title", "source", "licence", "encoding", "text"]):
        for row in batch.to_pylist():
            if source is not None and row["source"] != source:
                continue
            if position % stride == 0 and shown < number:
                shown += 1
                facts = f"{row['licence']} · {row['encoding']} · {len(row['text']):,} chars"
                head = f"● {row['id']}  {row['title']}\n  {facts}"
                yield f"{head}\n{_excerpt(row['text'])}\n"
            position += 1


def show_dropped(corpus: Artifact, reason: str, *, number: int) -> Iterator[str]:
    """Excerpts of documents dropped for a reason (`step`, `reason` or `step:reason`), or quarantined with that error.

    Raises:
        UsageError: nothing was dropped for that reason; the hint names the reasons there are.
    """
    total = corpus.manifest.stats["total"]
    if reasons := [key for key in total["dropped"] if reason in (key, *key.split(":", 1))]:
        rows = pl.concat([pl.read_parquet(path) for path in sorted((corpus.path / "dropped").glob("*.parquet"))])
        chosen = pl.concat_str("step", pl.lit(":"), "reason").is_in(reasons)
        for row in rows.filter(chosen).head(number).iter_rows(named=True):
            against = "" if row["threshold"] is None else f" against {row['threshold']:.4g}"
            figure = "" if row["value"] is None else f"{row['value']:.4g}{against}"
            text = _excerpt(row["text"] or "")  # of a forgotten document nothing was kept
            yield f"○ {row['id']}\n  {row['step']}: {row['reason']} {figure} {row['detail']}\n{text}\n"
    elif reason in total["quarantined"]:
        for path in sorted((corpus.path / "quarantined").glob("*.parquet")):
            for row in pq.read_table(path).to_pylist():
                if row["error"] == reason:
                    yield f"× {row['id']}\n  {row['error']}: {row['detail']}\n"
    else:
        there = ", ".join([*total["dropped"], *total["quarantined"]]) or "none"
        raise UsageError(f"nothing was dropped for '{reason}'", hint=f"reasons in this corpus: {there}")


def _excerpt(text: str) -> str:
    cut = text if len(text) <= _EXCERPT else text[:_EXCERPT] + f" … ({len(text) - _EXCERPT:,} more)"
    return "\n".join("    " + line for line in cut.split("\n"))


def funnel(stats: Mapping[str, Any]) -> list[Sequence[str]]:
    """Rows of a table: what became of the documents, by source. First row is the heading."""
    names = list(stats["sources"])
    columns = [stats["total"], *(stats["sources"][name] for name in names)]
    rows: list[Sequence[str]] = [["", "total", *names]]

    def add(label: str, values: Sequence[int]) -> None:
        rows.append([label, *(f"{value:,}" if value else "·" for value in values)])

    add("read", [column["read"] for column in columns])
    for kind, mark in (("quarantined", "× "), ("dropped", "− ")):
        for reason in stats["total"][kind]:
            add(f"{mark}{reason}", [column[kind].get(reason, 0) for column in columns])
    add("kept", [column["kept"] for column in columns])
    add("  of these held out", [column["held_out"] for column in columns])
    add("characters kept", [column["chars"] for column in columns])
    for edit in stats["total"]["edits"]:
        add(f"~ {edit}", [column["edits"].get(edit, 0) for column in columns])
    for encoding in stats["total"]["encodings"]:
        add(f"encoding {encoding}", [column["encodings"].get(encoding, 0) for column in columns])
    return rows
