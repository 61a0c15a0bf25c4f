"""What `decontaminate` found in a corpus: a row a benchmark, and examples to judge.

    table(corpus)                    # rows for the terminal, the first is the heading
    examples(corpus, number=3)       # of each benchmark the finds with the largest share

The counts come from `contamination/`, `dropped/` and `benchmarks.parquet`: nothing is searched again. A document counts
as dropped where the step dropped it, for whichever benchmark; else its benchmark's action tells what became of it.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import polars as pl

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError, UsageError
from jpfm.data.document import CONTAMINATION
from jpfm.data.item_index import BENCHMARKS

STEP = "decontaminate"


class Touched(NamedTuple):
    """What was found of one benchmark."""

    benchmark: str
    items: int
    searchable: int
    """Items with a text that can be looked for; the others are too short or nothing but common phrases."""
    found: int
    """Items that stand in a document."""
    documents: int
    """Documents with an item."""
    dropped: int
    cut: int
    marked: int


def touched(corpus: Artifact) -> list[Touched]:
    """The counts of each benchmark, by name.

    Raises:
        UsageError: the recipe did not look for benchmarks.
        ArtifactError: the corpus does not tell what was looked for.
    """
    facts = _facts(corpus)
    parts = [_shard(corpus, name) for name in _shards(corpus)]
    nothing = pl.DataFrame(pl.from_arrow(CONTAMINATION.empty_table())).with_columns(gone=pl.lit(value=False))
    rows = pl.concat([nothing, *parts])
    counts = {
        row["benchmark"]: row
        for row in rows.group_by("benchmark")
        .agg(
            found=pl.col("item").n_unique(), documents=pl.col("id").n_unique(),
            dropped=pl.col("id").filter(pl.col("gone")).n_unique(),
        )
        .iter_rows(named=True)
    }  # fmt: skip
    told = []
    for fact in facts.iter_rows(named=True):
        count = counts.get(fact["benchmark"], {"found": 0, "documents": 0, "dropped": 0})
        left = count["documents"] - count["dropped"]
        by_action = {action: left if action == fact["action"] else 0 for action in ("cut", "mark")}
        told.append(
            Touched(
                fact["benchmark"], fact["items"], fact["searchable_items"], count["found"], count["documents"],
                count["dropped"], by_action["cut"], by_action["mark"],
            )
        )  # fmt: skip
    return told


def table(corpus: Artifact) -> list[Sequence[str]]:
    """The counts as rows of words; the first is the heading."""
    rows: list[Sequence[str]] = [
        ["benchmark", "items", "searchable", "found", "documents", "dropped", "cut", "marked"],
    ]
    rows += [[one.benchmark, *(f"{value:,}" if value else "·" for value in one[1:])] for one in touched(corpus)]
    return rows


def examples(corpus: Artifact, *, number: int) -> Iterator[str]:
    """Of each benchmark the finds with the largest share, one a document."""
    facts = _facts(corpus)
    scans = [pl.scan_parquet(corpus.path / "contamination" / name) for name in _shards(corpus)]
    if not scans:
        return
    for name in facts["benchmark"]:
        own = (
            pl.concat(scans).filter(pl.col("benchmark") == name)
            .sort("share", "id", "item", descending=[True, False, False])
            .unique("id", keep="first", maintain_order=True).head(number).collect()
        )  # fmt: skip
        for row in own.iter_rows(named=True):
            excerpt = " ".join(row["excerpt"].split())
            yield f"● {name} {row['item']}: {row['share']:.2f} in {row['id']} at {row['start']:,}\n    {excerpt}\n"


def _facts(corpus: Artifact) -> pl.DataFrame:
    if all(step["step"] != STEP for step in corpus.manifest.config["steps"]):
        raise UsageError(
            f"{corpus.path}: its recipe does not look for benchmarks", hint="add `- step: decontaminate` to it"
        )
    file = corpus.path / BENCHMARKS
    if not file.exists():
        raise ArtifactError(f"{file} is missing", hint="copy the corpus again, or build it again")
    return pl.read_parquet(file)


def _shards(corpus: Artifact) -> list[str]:
    return sorted(file.name for file in (corpus.path / "contamination").glob("*.parquet"))


def _shard(corpus: Artifact, name: str) -> pl.DataFrame:
    """Finds of one shard, and whether the step dropped the document."""
    dropped = corpus.path / "dropped" / name
    gone = pl.Series("id", [], pl.String)
    if dropped.exists():
        gone = pl.read_parquet(dropped, columns=["id", "step"]).filter(pl.col("step") == STEP)["id"]
    found = pl.read_parquet(corpus.path / "contamination" / name)
    return found.with_columns(gone=pl.col("id").is_in(gone.implode()))
