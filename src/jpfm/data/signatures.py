"""`jpfm data signatures`: what later corpora are compared with, as an artifact made from a corpus.

    made = make_signatures(corpus, Path("out/2025.signatures"), like(corpus, []), Engine(workers=2))

A corpus can then be thrown away or kept elsewhere; a new crawl names the signatures (`against`) in `exact_duplicates`
and `near_duplicates`. They take about 4 bytes a character: the whole set of n-gram hashes is kept, so that every pair
is confirmed exactly. Refused: a sample of them; a quarter of the size, but 1.2 % of error at the threshold.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydantic

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.errors import UsageError
from jpfm.core.log import progress
from jpfm.core.shards import LOCAL, Engine, map_shards
from jpfm.data.duplicates.store import FOLDER
from jpfm.data.shard import RowGroups
from jpfm.data.sources.base import BATCH_DOCUMENTS
from jpfm.data.steps.exact_duplicates import ExactDuplicates, digests
from jpfm.data.steps.near_duplicates import NearDuplicates
from jpfm.text.dedup_key import keys
from jpfm.text.sketch import ngram_sets

VERSION = 1


@dataclass(frozen=True)
class Like:
    """The steps that the signatures are for; only what decides a signature counts."""

    near: NearDuplicates
    exact: ExactDuplicates

    @property
    def config(self) -> dict[str, Any]:
        """The settings that steps must share with the signatures."""
        bands, rows = self.near.banding
        return {
            "key": self.near.key.model_dump(), "ngram": self.near.ngram, "bands": bands, "rows_per_band": rows,
            "exact_key": self.exact.key.model_dump(),
        }  # fmt: skip


def like(corpus: Artifact, overrides: Sequence[str]) -> Like:
    """The steps of the corpus's own recipe where it has them, with settings of `near_duplicates` changed.

    Args:
        overrides: words such as `jaccard=0.7`.
    Raises:
        UsageError: a word is no KEY=VALUE, or no setting of the step.
    """
    steps: dict[str, dict[str, Any]] = {step["step"]: step for step in corpus.manifest.config["steps"]}
    settings = {"step": "near_duplicates"} | steps.get("near_duplicates", {})
    for word in overrides:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"{word}: expected KEY=VALUE", hint="settings of near_duplicates, e.g. jaccard=0.7")
        settings[key] = value
    try:
        near = NearDuplicates.model_validate(settings)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"near_duplicates: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            hint="jpfm config schema data lists the settings of the step",
        ) from error
    return Like(near, ExactDuplicates.model_validate(steps.get("exact_duplicates", {"step": "exact_duplicates"})))


@dataclass(frozen=True)
class _Job:
    source: Path
    target: Path
    like: Like


def make_signatures(corpus: Artifact, out: Path, settings: Like, engine: Engine = LOCAL) -> Artifact:
    """Write the signatures of all documents of a corpus, one file for each of its files."""

    def work(draft: Draft) -> Finished:
        folder = draft.path / FOLDER
        folder.mkdir(exist_ok=True)
        for leftover in folder.glob("*.tmp"):
            leftover.unlink()  # of a run that was killed
        files = sorted((corpus.path / "documents").glob("*.parquet"))
        jobs = [_Job(file, folder / file.name, settings) for file in files]
        todo = [job for job in jobs if not job.target.exists()]
        with progress("signatures", total=sum(job.source.stat().st_size for job in todo) / 1e6, unit="MB") as bar:
            for job, _ in map_shards(_write, todo, engine):
                bar.advance(job.source.stat().st_size / 1e6)
        return Finished({"documents": sum(pq.read_metadata(job.target).num_rows for job in jobs)})

    return artifacts.produce(
        out, kind="signatures", version=VERSION, config=settings.config, parents=[corpus], work=work
    )


def _write(job: _Job) -> None:
    out = RowGroups(job.target, sketch=True)
    near = job.like.near
    batches = pq.ParquetFile(job.source).iter_batches(batch_size=BATCH_DOCUMENTS, columns=["id", "text"])
    none = pa.record_batch(
        [pa.array([], pa.string())] * 2, names=["id", "text"]
    )  # a file without documents has columns
    for batch in itertools.chain(batches, [none]):
        texts = batch.column("text")
        sets = ngram_sets(keys(texts, near.key), size=near.ngram)
        exact = digests(keys(texts, job.like.exact.key))
        columns: dict[str, pa.Array] = {"id": batch.column("id")} | near.signature(texts, numbers=True)
        columns |= {"exact_high": pa.array(exact[:, 0]), "exact_low": pa.array(exact[:, 1])}
        columns["ngrams"] = pa.LargeListArray.from_arrays(sets.offsets, pa.array(sets.values.astype(np.uint32)))
        out.add(pa.record_batch(list(columns.values()), names=list(columns)))
    out.close()
