"""What differs between a corpus and the one that `jpfm forget` made of it: shards, and documents nobody asked about.

    changes = compare(before, after, forgotten_ids)
    changes.rebuilt, changes.files, changes.documents

Shards are compared by the hashes in both manifests; of those that differ the verdicts on all documents are compared:
a copy comes back when what it copied is gone, a line stays that is no longer frequent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from jpfm.core.artifact import Artifact
from jpfm.data.forgotten import shard_names

HELD_OUT = ".held_out"
CHANGES = ("came back", "dropped now", "dropped for another reason", "text changed")
_FILES = {"shard": pl.String, "path": pl.String, "before": pl.String, "after": pl.String}
_DOCUMENTS = {"document": pl.String, "shard": pl.String, "change": pl.String, "before": pl.String, "after": pl.String}
_VERDICTS = {"document": pl.String, "verdict": pl.String, "text": pl.UInt64}


@dataclass(frozen=True)
class Changes:
    """The differences of two corpora."""

    shards: tuple[str, ...]
    """All shards."""
    rebuilt: tuple[str, ...]
    """Those of which a file differs."""
    files: pl.DataFrame
    """shard, path, before, after: SHA-256 of each file of each shard; null where there is none."""
    documents: pl.DataFrame
    """document, shard, change, before, after: documents that stay but fare otherwise. A verdict is `kept`, or step and
    reason."""

    def count(self, change: str) -> int:
        """How many documents changed in one way."""
        return self.documents.filter(pl.col("change") == change).height


def compare(before: Artifact, after: Artifact, forgotten: Sequence[str]) -> Changes:
    """Compare a corpus with what forgetting made of it.

    Args:
        forgotten: ids of the documents that were asked for; the changes are of others.
    """
    shards = shard_names(after)
    hashes = [{entry.path: entry.sha256 for entry in one.manifest.files} for one in (before, after)]
    rows = [
        {"shard": shard, "path": path, "before": hashes[0].get(path), "after": hashes[1].get(path)}
        for path in sorted({*hashes[0], *hashes[1]})
        if path.endswith(".parquet") and (shard := _shard_of(path)) in set(shards)
    ]
    files = pl.DataFrame(rows, schema=_FILES)
    differ = files.filter(pl.col("before").ne_missing(pl.col("after")))["shard"].unique(maintain_order=True).to_list()
    gone = pl.Series(forgotten, dtype=pl.String).implode()
    documents = [
        _compare_shard(before, after, shard).filter(~pl.col("document").is_in(gone)) for shard in sorted(differ)
    ]
    return Changes(
        tuple(shards), tuple(sorted(differ)), files, pl.concat([pl.DataFrame(schema=_DOCUMENTS), *documents])
    )


def copies_of(corpus: Artifact, ids: Sequence[str]) -> list[tuple[str, str]]:
    """Documents that were dropped as copies of these: (copy, of which). They come back when these go."""
    known = {f"same as {one}": one for one in ids}  # the detail that duplicate steps leave
    found = []
    for file in sorted((corpus.path / "dropped").glob("*.parquet")):
        rows = pl.scan_parquet(file).filter(pl.col("detail").is_in(list(known)) & ~pl.col("id").is_in(list(ids)))
        found += [(one, known[detail]) for one, detail in rows.select("id", "detail").collect().iter_rows()]
    return found


def _shard_of(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".parquet").removesuffix(HELD_OUT)


def _compare_shard(before: Artifact, after: Artifact, shard: str) -> pl.DataFrame:
    both = _verdicts(before, shard).join(
        _verdicts(after, shard), on="document", how="full", coalesce=True, suffix="_now"
    )
    was, now = pl.col("verdict"), pl.col("verdict_now")
    came, went, other, text = CHANGES
    change = (
        pl.when(was.ne_missing("kept") & now.eq_missing("kept"))
        .then(pl.lit(came))
        .when(was.eq_missing("kept") & now.ne_missing("kept"))
        .then(pl.lit(went))
        .when(was.ne_missing(now))
        .then(pl.lit(other))
        .when(pl.col("text").ne_missing(pl.col("text_now")))
        .then(pl.lit(text))
    )
    rows = both.select(
        "document", pl.lit(shard).alias("shard"), change.alias("change"), was.alias("before"), now.alias("after")
    )
    return rows.filter(pl.col("change").is_not_null()).sort("document")


def _verdicts(corpus: Artifact, shard: str) -> pl.DataFrame:
    """What became of each document of a shard, with a hash of the text of those that are kept."""
    parts = [pl.DataFrame(schema=_VERDICTS)]
    for ending in ("", HELD_OUT):
        file = corpus.path / "documents" / f"{shard}{ending}.parquet"
        if file.exists():
            kept = pl.scan_parquet(file)
            parts.append(
                kept.select(
                    pl.col("id").alias("document"), pl.lit("kept").alias("verdict"), pl.col("text").hash()
                ).collect()
            )
    dropped = corpus.path / "dropped" / f"{shard}.parquet"
    if dropped.exists():
        verdict = pl.concat_str("step", "reason", separator=":")
        rows = pl.scan_parquet(dropped).select(
            pl.col("id").alias("document"), verdict.alias("verdict"), pl.lit(None, pl.UInt64).alias("text")
        )
        parts.append(rows.collect())
    return pl.concat(parts)
