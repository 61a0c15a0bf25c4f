"""The record of a forgetting: what was asked, who answers for it, what was taken out, and what else it reaches.

    record = write_record(before, after, request, found, reach)
    record.path / "index.html"

It lies in the new corpus, `forgotten/0001` and so on, and goes along when that corpus forgets again. An artifact of its
own with both corpora as parents: the corpus keeps its id, that of a build without the documents. Inside: `record.json`
(canonical) with the request, counts and the hash of each table; `tables/*.parquet` with every list that grows with the
number of documents or shards; one offline page; and a seal over all of them. No text of a document is in it, only its
SHA-256. It carries the clock: a record is an event, and two events of the same content are two.
Refused: the documents in record.json too. A host of 100,000 pages made it 22 MB, which no editor opens.
"""

import datetime
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from jpfm import __version__
from jpfm.core import artifact as artifacts
from jpfm.core import run as runs
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.errors import ArtifactError
from jpfm.data.forget import Forget
from jpfm.data.forgotten import Found
from jpfm.report.affected import RECORD, Reach
from jpfm.report.corpus_changes import CHANGES, compare
from jpfm.report.exposure import Run
from jpfm.report.forgotten_page import page
from jpfm.report.seal import Key, write_seal

VERSION = 2
RECORD_FILE = "record.json"
_FOUND = {"id": pl.String, "shard": pl.String, "by": pl.String, "was": pl.String}
_HASHES = {"id": pl.String, "sha256": pl.String}


@dataclass(frozen=True)
class Request:
    """What is asked, by whom and why, and who answers for it."""

    asked: Forget
    approved_by: str
    requested_by: str | None = None
    reason: str | None = None
    key: Key | None = None
    """The approver's, to sign with."""

    @property
    def config(self) -> dict[str, Any]:
        """What tells one request from another."""
        return {
            "report": RECORD,
            "asked": self.asked.model_dump(mode="json"),
            "approved_by": self.approved_by,
            "requested_by": self.requested_by,
            "reason": self.reason,
            "signed_with": self.key.fingerprint if self.key else None,
        }


def write_record(before: Artifact, after: Artifact, request: Request, found: Sequence[Found], reach: Reach) -> Artifact:
    """Write the record into the new corpus, or find it there.

    Args:
        before: the corpus that holds the documents.
        after: what forgetting made of it.
        reach: of the documents, as it was before.
    Raises:
        ArtifactError: the new corpus has another record of this forgetting, or still holds one of the documents.
    """
    folder = after.path / RECORD
    earlier = sorted((before.path / RECORD).glob("[0-9]*"))
    for one in earlier:
        if not (folder / one.name).exists():
            shutil.copytree(one, folder / f"{one.name}.copying", dirs_exist_ok=True)
            (folder / f"{one.name}.copying").rename(folder / one.name)

    def work(draft: Draft) -> Finished:
        return _work(draft, before, after, request, found, reach)

    return artifacts.produce(
        folder / f"{len(earlier) + 1:04d}", kind="report", version=VERSION, config=request.config,
        parents=[before, after], work=work,
    )  # fmt: skip


def _work(
    draft: Draft, before: Artifact, after: Artifact, request: Request, found: Sequence[Found], reach: Reach
) -> Finished:
    draft.status("comparing both corpora")
    ids = [one.id for one in found]
    changes = compare(before, after, ids)
    _check_gone(after, ids)
    documents = _documents(before, found)
    tables = {
        "documents": documents,
        "token_ranges": reach.exposure.ranges,
        "steps": reach.exposure.steps,
        "shards": changes.files,
        "other_documents": changes.documents,
    }
    folder = draft.path / "tables"
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table.to_arrow(), folder / f"{name}.parquet", compression="zstd")
    record = {
        **{key: value for key, value in request.config.items() if key != "report"},
        "schema_version": 2,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "jpfm": {"version": __version__, "commit": runs.git_commit()},
        "corpus": {"name": after.manifest.config["name"], "before": before.id, "after": after.id},
        "documents": _counts(documents),
        "shards": {
            "rebuilt": len(changes.rebuilt),
            "unchanged": len(changes.shards) - len(changes.rebuilt),
            "all": len(changes.shards),
        },
        "other_documents": {change: changes.count(change) for change in CHANGES},
        **describe(reach),
        "tables": {
            name: {"rows": table.height, "sha256": artifacts.sha256(folder / f"{name}.parquet")}
            for name, table in tables.items()
        },
    }
    text = artifacts.canonical_json(record, indent=1) + "\n"
    artifacts.write_text(draft.path / RECORD_FILE, text)
    artifacts.write_text(draft.path / "index.html", page(record, tables, reach, request.key))
    write_seal(draft.path, request.key)
    return Finished(
        {
            "documents": len(found),
            "kept_before": sum(one.was == "kept" for one in found),
            "shards_rebuilt": len(changes.rebuilt),
            "came_back": changes.count(CHANGES[0]),
            "checkpoints": sum(one.kind == "checkpoint" and one.what == "trained" for one in reach.touched),
        }
    )


def describe(reach: Reach) -> dict[str, Any]:
    """What the documents have reached, as JSON."""
    return {
        "affected": [one._asdict() for one in reach.touched if one.what != "clean"],
        "unaffected": [one._asdict() for one in reach.touched if one.what == "clean"],
        "training": [_training(one) for one in reach.exposure.runs],
        "unfinished": [{"place": place, "kind": kind} for place, kind in reach.unfinished],
        "unknown": [{"place": place, "parent": parent} for place, parent in reach.unknown],
    }


def _training(run: Run) -> dict[str, Any]:
    clean = run.last_clean
    return {
        "number": run.number,
        "name": run.name,
        "tokens": run.tokens,
        "seq_len": run.seq_len,
        "batch_tokens": run.batch_tokens,
        "seed": run.seed,
        "num_steps": run.num_steps,
        "num_tokens": run.num_tokens,
        "first_step": run.first_step,
        "affected": [saved._asdict() for saved in run.affected],
        "last_clean": clean._asdict() if clean else None,
    }


def _documents(before: Artifact, found: Sequence[Found]) -> pl.DataFrame:
    """id, source, shard, by, was, sha256: of the text that the corpus held; null of a document that it had not kept."""
    asked = pl.DataFrame(found, schema=_FOUND, orient="row")
    hashes = [pl.DataFrame(schema=_HASHES)]
    for (shard,), own in asked.group_by("shard", maintain_order=True):
        for file in sorted((before.path / "documents").glob(f"{shard}*.parquet")):
            kept = pl.scan_parquet(file).select("id", "text").filter(pl.col("id").is_in(own["id"].implode())).collect()
            digests = [hashlib.sha256(text.encode()).hexdigest() for text in kept["text"]]
            hashes.append(pl.DataFrame({"id": kept["id"], "sha256": digests}, schema=_HASHES))
    source = pl.col("id").str.split_exact("/", 1).struct.field("field_0").alias("source")
    return asked.join(pl.concat(hashes).unique("id"), on="id", how="left", maintain_order="left").select(
        "id", source, "shard", "by", "was", "sha256"
    )


def _counts(documents: pl.DataFrame) -> dict[str, Any]:
    """How many documents there are, by what met them, what became of them before, and their source."""
    counted = {name: dict(documents.group_by(name).len().sort(name).iter_rows()) for name in ("by", "was", "source")}
    files = documents["id"].str.split_exact("#", 1).struct.field("field_0")
    return {"count": documents.height, **counted, "raw_files": files.n_unique()}


def _check_gone(after: Artifact, ids: Sequence[str]) -> None:
    """A record says that documents are gone: look.

    Raises:
        ArtifactError: one is still there.
    """
    gone = pl.Series(ids, dtype=pl.String).implode()
    for file in sorted((after.path / "documents").glob("*.parquet")):
        there = pl.scan_parquet(file).filter(pl.col("id").is_in(gone)).select("id").collect()
        if there.height:
            raise ArtifactError(
                f"{Path('documents') / file.name} still holds {there['id'][0]}",
                hint="this is no corpus without the documents; make it again into another --out",
            )
