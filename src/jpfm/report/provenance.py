"""The rights ledger: for every kept document source, terms, basis, address, dates and what changed it; and the sums.

    made = provenance([corpus], Path("out/ledger"), tokens=[tokens])
    made.path / "index.html"

Takes a corpus, or what was made from corpora: tokens, a checkpoint, scores. Writes `ledger.parquet` (a row a document,
no text), `tables/*.parquet`, `data.json` and one offline page. Every sum is compared with the manifests: a ledger that
does not add up is an error, not a page. Documents of a corpus made from a corpus are those that are in it; the drops,
edits and opt-outs are those of both.
Refused: a store of rights beside the documents; it drifts from them.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from jpfm.core import artifact as artifacts
from jpfm.core import lineage
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.errors import ArtifactError, UsageError
from jpfm.report.background import corpus_view
from jpfm.report.provenance_ledger import NO_HOST, Holding, write_ledger
from jpfm.report.provenance_page import TOP, page_data
from jpfm.report.provenance_tables import UNREADABLE, check, make_tables
from jpfm.report.provenance_terms import ACTIONS, BASES, ROBOTS
from jpfm.report.render import environment

VERSION = 1
LEDGER_FILE = "ledger.parquet"
_MADE_FROM = {
    "report": ("scores", "checkpoint", "tokens", "corpus"),
    "scores": ("checkpoint",),  # a corpus that scores name gave held-out documents: the model was not trained on it
    "checkpoint": ("checkpoint", "tokens"),
    "tokens": ("corpus",),  # whose text the tokens are; the tokenizer may be of another
    "tokenizer": ("corpus",),
    "signatures": ("corpus",),
}
"""By kind, the kinds of parent that hold the documents an artifact was made of."""


def provenance(given: Sequence[Artifact], out: Path, tokens: Sequence[Artifact] = ()) -> Artifact:
    """Make the ledger of the documents behind these artifacts.

    Args:
        tokens: tokens of the corpora, for their counts; those that lie on the way need not be named.
    Raises:
        ArtifactError: no corpus is behind them, one cannot be read, or figures do not add up.
        UsageError: two sets of tokens of one corpus.
    """
    trail = _trail([*given, *tokens])
    holdings = _holdings(_trail(given), [one for one in trail if one.manifest.kind == "tokens"])
    corpora = [holding.corpus for holding in holdings]
    parents = {one.id: one for one in (*given, *tokens, *corpora)} | {
        h.tokens.id: h.tokens for h in holdings if h.tokens
    }

    def work(draft: Draft) -> Finished:
        return _work(draft, given, holdings)

    return artifacts.produce(
        out, kind="report", version=VERSION, config={"report": "provenance", "top": TOP},
        parents=list(parents.values()), work=work,
    )  # fmt: skip


def _trail(given: Sequence[Artifact]) -> list[Artifact]:
    """These artifacts and those whose documents they were made of, nearest first, back to corpora.

    Raises:
        ArtifactError: one of them is not here.
    """
    found: dict[str, Artifact] = {}
    queue = [*given]
    while queue:
        current = queue.pop(0)
        kinds = _MADE_FROM.get(current.manifest.kind, ())
        if current.id in found:
            continue
        found[current.id] = current
        for parent in lineage.parents(current) if kinds else ():
            if isinstance(parent, Artifact):
                queue += [parent] if parent.manifest.kind in kinds else []
            elif parent.partition("-")[0] in kinds:
                raise ArtifactError(
                    f"{current.path}: its parent {parent} is neither beside it nor where it was",
                    hint="put the folder that holds it beside this one, or name it on the command line instead",
                )
    return list(found.values())


def _holdings(trail: Sequence[Artifact], tokens: Sequence[Artifact]) -> list[Holding]:
    corpora = [one for one in trail if one.manifest.kind == "corpus"]
    if not corpora:
        raise ArtifactError(
            f"no corpus is behind {', '.join(str(one.path) for one in trail)}",
            hint="name a corpus, or tokens, a checkpoint or scores that were made from one",
        )
    by_corpus: dict[str, Artifact] = {}
    for one in tokens:
        corpus = next((parent for parent in one.manifest.parents if parent.startswith("corpus-")), None)
        if corpus is None:
            raise UsageError(
                f"{one.path} was made of token files alone: its documents are not known",
                hint="leave it out; `jpfm why` shows the terms of its sources",
            )
        if all(corpus != known.id for known in corpora):
            raise UsageError(
                f"{one.path} holds tokens of {corpus}, which is not in this ledger",
                hint=f"in it are {', '.join(known.id for known in corpora)}; leave them out, or name their corpus",
            )
        if corpus in by_corpus:
            raise UsageError(
                f"{by_corpus[corpus].path} and {one.path} are both tokens of {corpus}",
                hint="make two ledgers: a document has one count of tokens in each",
            )
        by_corpus[corpus] = one
    return [Holding(corpus, by_corpus.get(corpus.id)) for corpus in corpora]


def _with_earlier(corpora: Sequence[Artifact]) -> list[Artifact]:
    """These corpora and those that they were made from."""
    found: dict[str, Artifact] = {}
    queue = [*corpora]
    while queue:
        current = queue.pop(0)
        if current.id not in found:
            found[current.id] = current
            above = lineage.parents(current)
            queue += [one for one in above if isinstance(one, Artifact) and one.manifest.kind == "corpus"]
    return list(found.values())


def _work(draft: Draft, given: Sequence[Artifact], holdings: Sequence[Holding]) -> Finished:
    ledger = draft.path / LEDGER_FILE
    if not ledger.exists():
        draft.status("writing the ledger")
        write_ledger(holdings, ledger)
    check(ledger, holdings)
    draft.status("adding up")
    corpora = _with_earlier([holding.corpus for holding in holdings])
    tables = make_tables(ledger, holdings, corpora)
    folder = draft.path / "tables"
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table.to_arrow(), folder / f"{name}.parquet", compression="zstd")
    data = page_data(holdings, corpora, tables)
    artifacts.write_text(draft.path / "data.json", artifacts.canonical_json(data, indent=1) + "\n")
    page = (
        environment()
        .get_template("provenance.html")
        .render(
            data=data,
            views=[corpus_view(corpus, (), []) for corpus in corpora],
            trees=[(one.id, lineage.why(one.path)) for one in given],
            top=TOP,
            no_host=NO_HOST,
            unreadable=UNREADABLE,
            example_host=next(
                (row["value"] for row in data["by"]["host"] if row["value"] not in (None, NO_HOST)), "example.jp"
            ),
            bases=BASES,
            actions=ACTIONS,
            robots_words=ROBOTS,
        )
    )
    artifacts.write_text(draft.path / "index.html", page)
    figures = {name: count for name, count in data["total"].items() if count is not None}
    return Finished(figures | {"notices": len(data["notices"])})
