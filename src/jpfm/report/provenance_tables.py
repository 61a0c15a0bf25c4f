"""Figures of the ledger: how many documents, characters and tokens by licence, source, year, host and so on.

    tables = make_tables(Path("ledger.parquet"), holdings, corpora)
    check(tables, holdings)                 # they are those of the manifests

All but the counts of what is not in the corpus any more is computed from the ledger alone, so that anybody can compute
it again. `polars` streams; memory grows with the number of distinct values (hosts), not of documents.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError
from jpfm.data.sources.page_facts import opt_out
from jpfm.report.provenance_ledger import Holding, document_files, year_of

UNREADABLE = "unreadable"
"""Value of a date that is not ISO 8601; one that is not given is "-"."""
MASK = "mask_personal_data"
_SUMS = (
    pl.len().cast(pl.Int64).alias("documents"),
    (pl.col("split") == "held_out").sum().cast(pl.Int64).alias("held_out"),
    pl.col("chars").sum(),
    pl.when(pl.col("tokens").count() > 0).then(pl.col("tokens").sum()).alias("tokens"),
)
_ORDER = ("tokens", "chars", "documents")


def _year(column: str) -> pl.Expr:
    """The year as a word, or why there is none."""
    stated = pl.col(column) != ""
    return pl.coalesce(year_of(pl.col(column)).cast(pl.String), pl.when(stated).then(pl.lit(UNREADABLE)), pl.lit("-"))


BY: Mapping[str, pl.Expr] = {
    "licence": pl.col("licence"),
    "basis": pl.col("basis"),
    "source": pl.col("source"),
    "host": pl.col("host"),
    "year": _year("date"),
    "retrieved": _year("retrieved"),
    "encoding": pl.col("encoding"),
    "changed_by": pl.col("changed_by").replace("", None).str.split(","),
    "contaminated": pl.col("contaminated"),
}
"""What the figures are split by. The last two count a document for each step or benchmark that it names."""


def make_tables(ledger: Path, holdings: Sequence[Holding], corpora: Sequence[Artifact]) -> dict[str, pl.DataFrame]:
    """The tables of the report, by name.

    Args:
        corpora: those of the holdings, and the corpora that they were made from.
    """
    rows = pl.scan_parquet(ledger)
    kept = {holding.corpus.id for holding in holdings}
    return {
        "summary": pl.concat([_split(rows, name, value) for name, value in BY.items()]),
        "terms": _terms(rows),
        "robots": _robots(rows),
        "decisions": pl.DataFrame(list(_decisions(corpora)), schema=_DECISIONS, orient="row"),
        "personal_data": pl.DataFrame(
            [row for corpus in corpora for row in _personal_data(corpus, corpus.id in kept)], schema=_PII, orient="row"
        ),
    }


def _ordered(frame: pl.DataFrame, *names: str) -> pl.DataFrame:
    descending = [True] * len(_ORDER) + [False] * len(names)
    return frame.sort(*_ORDER, *names, descending=descending, nulls_last=True)


def _split(rows: pl.LazyFrame, name: str, value: pl.Expr) -> pl.DataFrame:
    """Sums by one thing: columns by, value, documents, held_out, chars, tokens."""
    chosen = rows.select(value.alias("value"), "split", "chars", "tokens")
    if chosen.collect_schema()["value"] == pl.List(pl.String):
        chosen = chosen.explode("value").drop_nulls("value")
    found = _ordered(chosen.group_by("value").agg(_SUMS).collect(engine="streaming"), "value")
    return found.select(pl.lit(name).alias("by"), pl.all())


def _terms(rows: pl.LazyFrame) -> pl.DataFrame:
    """Sums by source, licence and basis, with the first and last date of retrieval and how many have none."""
    day = pl.col("retrieved").replace("", None).str.head(10)
    dates = (
        day.min().alias("retrieved_first"),
        day.max().alias("retrieved_last"),
        day.null_count().cast(pl.Int64).alias("undated"),
    )
    keys = ("source", "licence", "basis")
    return _ordered(rows.group_by(keys).agg(*_SUMS, *dates).collect(engine="streaming"), *keys)


def _robots(rows: pl.LazyFrame) -> pl.DataFrame:
    """Kept documents whose page or server says something to crawlers, and what of it says no to training."""
    said = ("robots", "robots_meta", "tdm")
    some = pl.any_horizontal(pl.col(name).fill_null("") != "" for name in said)
    found = rows.filter(some).group_by("source", *(pl.col(name).fill_null("") for name in said)).agg(*_SUMS)
    frame = _ordered(found.collect(engine="streaming"), "source", *said)
    against = [opt_out(row["robots"], row["robots_meta"], tdm=row["tdm"]) for row in frame.iter_rows(named=True)]
    return frame.with_columns(pl.Series("opt_out", against, pl.String))


_DECISIONS = {"corpus": pl.String, "source": pl.String, "what": pl.String, "key": pl.String, "count": pl.Int64}


def _decisions(corpora: Sequence[Artifact]) -> Iterator[tuple[str, str, str, str, int]]:
    """What the manifests count, by corpus and source; dropped, quarantined and edits by key."""
    for corpus in corpora:
        for source, counts in sorted(corpus.manifest.stats["sources"].items()):
            for what in ("read", "kept", "held_out", "chars"):
                yield corpus.id, source, what, "", counts[what]
            for what in ("dropped", "quarantined", "edits"):
                for key, count in sorted(counts[what].items()):
                    yield corpus.id, source, what, key, count


_PII = {
    "corpus": pl.String, "class": pl.String, "action": pl.String, "places": pl.Int64, "title_places": pl.Int64,
    "dropped_documents": pl.Int64, "kept_places": pl.Int64, "kept_documents": pl.Int64,
}  # fmt: skip


def _personal_data(corpus: Artifact, is_kept: bool) -> Iterator[dict[str, Any]]:
    """By class of personal data: what was done to it, in how many places, and in how many of the kept documents."""
    step = next((step for step in corpus.manifest.config["steps"] if step["step"] == MASK), None)
    kept = _kept_spans(corpus) if is_kept else {}
    total = corpus.manifest.stats["total"]
    edits, dropped = (Counter(_of_mask(total[what])) for what in ("edits", "dropped"))
    names = {key.removeprefix("title_") for key in edits} | {key.removeprefix("pii_") for key in dropped} | kept.keys()
    names |= set(step["classes"]) if step is not None else set()
    for name in sorted(names):
        action = step["action_by_class"].get(name, step["action"]) if step is not None else ""
        places, documents = kept.get(name, (0, 0))
        yield {
            "corpus": corpus.id, "class": name, "action": "drop" if name == "too_many" else action,
            "places": edits[name], "title_places": edits[f"title_{name}"],
            "dropped_documents": dropped[f"pii_{name}"],
            "kept_places": places, "kept_documents": documents,
        }  # fmt: skip


def _of_mask(counts: Mapping[str, int]) -> dict[str, int]:
    return {key.removeprefix(f"{MASK}:"): count for key, count in counts.items() if key.startswith(f"{MASK}:")}


def _kept_spans(corpus: Artifact) -> dict[str, tuple[int, int]]:
    """Places and documents of each class among the kept documents."""
    rows = pl.scan_parquet(document_files(corpus))
    if "pii_spans" not in rows.collect_schema():
        return {}
    classes = pl.col("pii_spans").list.eval(pl.element().struct.field("class"))
    places, documents = (
        dict(rows.select(each).explode("pii_spans").drop_nulls().group_by("pii_spans").len().collect().iter_rows())
        for each in (classes, classes.list.unique())
    )
    return {name: (places[name], documents[name]) for name in places}


def check(ledger: Path, holdings: Sequence[Holding]) -> None:
    """The ledger has as many documents, characters and tokens as the manifests say.

    Raises:
        ArtifactError: it has not; the message names the corpus, the source and both figures.
    """
    counted = pl.scan_parquet(ledger).group_by("corpus", "source").agg(_SUMS).collect(engine="streaming")
    here = {(row["corpus"], row["source"]): row for row in counted.iter_rows(named=True)}
    for corpus, tokens in holdings:
        stats = corpus.manifest.stats["sources"]
        told = {source: counts for source, counts in stats.items() if counts["kept"]}
        found = {source: row for (identity, source), row in here.items() if identity == corpus.id}
        for source in sorted(told.keys() | found.keys()):
            for name, column in (("kept", "documents"), ("held_out", "held_out"), ("chars", "chars")):
                expected, got = (side.get(source, {}).get(key, 0) for side, key in ((told, name), (found, column)))
                if expected != got:
                    _refuse(corpus, f"source '{source}': {got:,} {column.replace('_', ' ')}", f"{expected:,}")
        if tokens is not None:
            by_source = tokens.manifest.stats["tokens_by_source"]  # sources taken in as token files have no documents
            expected = sum(count for source, count in by_source.items() if source in stats)
            got = sum(row["tokens"] or 0 for row in found.values())
            if got != expected:
                _refuse(tokens, f"docs.parquet holds {got:,} tokens", f"{expected:,}")


def _refuse(artifact: Artifact, found: str, expected: str) -> None:
    raise ArtifactError(
        f"{artifact.path}: {found}, its manifest says {expected}",
        hint=f"`jpfm verify {artifact.path}` tells which files are not as they were made",
    )
