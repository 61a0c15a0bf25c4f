"""What the ledger's page shows, as plain data: the same dict is `data.json` and what the template renders.

    data = page_data(holdings, corpora, tables)

Long tables are cut to the largest rows and one row for the rest; the Parquet files beside the page hold all of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from jpfm.core import lineage
from jpfm.core.artifact import Artifact
from jpfm.core.rights import Rights
from jpfm.report.provenance_ledger import Holding
from jpfm.report.provenance_notices import points_to_check
from jpfm.report.provenance_tables import BY
from jpfm.report.provenance_terms import terms_of

TOP = 50
"""Rows of a table on the page."""
_YEARS = ("year", "retrieved")
Row = dict[str, Any]


def page_data(holdings: Sequence[Holding], corpora: Sequence[Artifact], tables: Mapping[str, pl.DataFrame]) -> Row:
    """Everything on the page but the lineage and the counts of the manifests."""
    rights = rights_of(corpora)
    terms = [_stated(row, rights.get(row["source"])) for row in tables["terms"].iter_rows(named=True)]
    by = {name: _by(tables["summary"], name) for name in BY}
    every = tables["summary"].filter(by="source")
    total: Row = {name: every[name].sum() for name in ("documents", "held_out", "chars")}
    total["tokens"] = every["tokens"].sum() if any(holding.tokens for holding in holdings) else None
    notices = [*points_to_check(holdings, corpora, tables, terms)]
    return {
        "name": " + ".join(str(holding.corpus.manifest.config.get("name", "")) for holding in holdings),
        "corpora": [
            {"id": one.corpus.id, "name": one.corpus.manifest.config.get("name", ""),
             "tokens": one.tokens.id if one.tokens else None}
            for one in holdings
        ],
        "total": total,
        "notices": [words.model_dump() for words in notices],
        "terms": _top(terms),
        "licences": [row | _in_words(row["value"] or "") for row in by["licence"]],
        "by": by,
        "robots": _top([*tables["robots"].iter_rows(named=True)]),
        "sources": _source_rows(corpora, rights),
        "personal_data": _personal(tables["personal_data"]),
        "originals": [one.id for one in corpora if (one.path / "dropped" / "originals").is_dir()],
        "steps": [[step["step"] for step in one.manifest.config["steps"]] for one in corpora],
    }  # fmt: skip


def rights_of(corpora: Sequence[Artifact]) -> dict[str, Rights]:
    """The stated rights of the sources of these corpora, by name."""
    found: dict[str, Rights] = {}
    for corpus in corpora:
        for parent in lineage.parents(corpus):
            if isinstance(parent, Artifact) and parent.manifest.rights is not None:
                found.setdefault(str(parent.manifest.config["name"]), parent.manifest.rights)
    return found


def _stated(row: Row, rights: Rights | None) -> Row:
    """A row of the terms with what was stated of its source; `rights` is null where no record was found."""
    own = rights is not None and row["licence"] != rights.licence
    return row | {"rights": rights and rights.model_dump(), "named_by_document": own}


def _in_words(licence: str) -> Row:
    terms = terms_of(licence)
    return terms._asdict() | {"words": terms.words.model_dump()}


def _by(summary: pl.DataFrame, name: str) -> list[Row]:
    rows = _top(summary.filter(by=name).drop("by").to_dicts())
    if name in _YEARS:  # a person reads years in their order; what is no year comes last
        rows.sort(key=lambda row: (row["value"] is None, not (row["value"] or "").isdecimal(), row["value"] or ""))
    if name == "host":
        for row in rows:
            row["decoded"] = _decoded(row["value"])
    return rows


def _decoded(host: str | None) -> str:
    """A host in the script that people read; empty where that is what stands there.

    >>> _decoded("xn--wgv71a119e.jp"), _decoded("example.jp"), _decoded("xn--a.jp")
    ('日本語.jp', '', '')
    """
    if host is None or "xn--" not in host:
        return ""
    try:
        return host.encode("ascii").decode("idna")
    except UnicodeError:
        return ""


def _top(rows: list[Row]) -> list[Row]:
    """The first rows, and one for the rest: its texts are null, `rest` says how many it stands for."""
    shown: list[Row] = [row | {"rest": 0} for row in rows[:TOP]]
    if left := rows[TOP:]:
        summed: Row = dict.fromkeys(left[0])
        for name in ("documents", "held_out", "chars", "tokens"):
            known = [row[name] for row in left if row[name] is not None]
            summed[name] = sum(known) if known else None
        shown.append(summed | {"rest": len(left)})
    return shown


def _source_rows(corpora: Sequence[Artifact], rights: Mapping[str, Rights]) -> list[Row]:
    """What was decided of each source about crawlers' rules, and how many pages it cost."""
    rows: dict[str, Row] = {}
    for corpus in corpora:
        settings = {str(source["name"]): source for source in corpus.manifest.config["sources"]}
        for name, counts in corpus.manifest.stats["sources"].items():
            stated = rights.get(name)
            row = rows.setdefault(
                name,
                {
                    "source": name,
                    "robots": stated.robots if stated else None,
                    "opt_out": None,
                    "opted_out": 0,
                    "forgotten": 0,
                },
            )
            row["opt_out"] = settings.get(name, {}).get("opt_out") or row["opt_out"]
            row["opted_out"] += counts["quarantined"].get("opt_out", 0)
            row["forgotten"] += sum(n for key, n in counts["dropped"].items() if key.startswith("forget:"))
    return list(rows.values())


def _personal(table: pl.DataFrame) -> list[Row]:
    """By class over all corpora: an earlier corpus masked, a later one keeps the document."""
    sums = [pl.col(name).sum() for name, kind in table.schema.items() if kind == pl.Int64]
    action = pl.col("action").filter(pl.col("action") != "").unique(maintain_order=True).str.join(", ")
    rows = (
        table.group_by("class")
        .agg(action, *sums)
        .sort("places", "dropped_documents", "class", descending=[True, True, False])
    )
    return rows.to_dicts()
