"""A quality of your own: a classifier that the recipe trains on sources it names, and a threshold over its score.

    sources:
      - {format: text, name: textbooks, ...}       # what "educational" means here
      - {format: warc, name: crawl, ...}
    steps:
      - {step: quality, column: edu_score, positive: [textbooks], negative: [crawl], drop_sources: [textbooks]}
      - {step: quality_score, column: edu_score, minimum: 0.6}

The classifier is a corpus step: after one pass over the documents it is trained in one process, in an order drawn from
the seed, on a bounded sample of each class, so any number of workers gives the same bytes. What it is worth is measured
on a share of the sample that it never saw, logged, and kept with the weights in `classifiers/COLUMN/` of the corpus: an
artifact whose parents are the sources it learned from. Another recipe names that folder as `model` instead of training.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pydantic

from jpfm.core import artifact as artifacts
from jpfm.core import run
from jpfm.core.artifact import Artifact, Manifest, open_artifact
from jpfm.core.config import place
from jpfm.core.errors import DataError
from jpfm.core.log import log
from jpfm.data.document import drop_table
from jpfm.data.steps.base import NO_DROPS, NO_EDITS, Changed, CorpusStep, Filter, Limit, ShardFiles, Sketched
from jpfm.text import classifier, kernels

VERSION = 1
_DECISION = "weights.parquet"
_WEIGHTS = "weights.npy"
_SKETCH = pa.schema([("positive", pa.bool_()), ("draw", pa.uint64())])
Column = Annotated[str, pydantic.Field(pattern=r"^[a-z][a-z0-9_]*$")]


class _OwnColumn:
    """Names the step's `column` where a step has its settings; a class alone has none."""

    def __get__(self, step: Any, owner: Any) -> tuple[str, ...]:
        return () if step is None else (step.column,)


class Quality(CorpusStep):
    """Score every document by a linear classifier over its hashed character n-grams, 0 (negative) to 1 (positive)."""

    adds: ClassVar[Any] = _OwnColumn()

    step: Literal["quality"]
    column: Column = "quality"
    """Column that takes the score."""
    positive: tuple[str, ...] = ()
    """Sources whose documents are examples of what is looked for."""
    negative: tuple[str, ...] = ()
    """Sources whose documents are not."""
    drop_sources: tuple[str, ...] = ()
    """Sources that were for training only: their documents are dropped as `training_only`."""
    max_documents: Annotated[int, pydantic.Field(ge=2)] = 20_000
    """Documents of each class to learn from; more are sampled by their text."""
    max_chars: Annotated[int, pydantic.Field(ge=10)] = 2_000
    """Characters of each document that are read, from its beginning; for training and for the score."""
    smallest_ngram: Annotated[int, pydantic.Field(ge=1, le=classifier.MAX_SIZE)] = 1
    largest_ngram: Annotated[int, pydantic.Field(ge=1, le=classifier.MAX_SIZE)] = 3
    """Unit characters."""
    epochs: Annotated[int, pydantic.Field(ge=1)] = 5
    held_out_share: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.1
    """Share of the sample kept apart to measure accuracy and AUC."""
    seed: int = 0
    model: str | None = place()
    """Folder of a classifier trained before (`CORPUS/classifiers/COLUMN`); then nothing is trained."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Quality":
        if self.model is not None:
            unused = {"positive", "negative", "max_documents", "max_chars", "smallest_ngram", "largest_ngram", "epochs",
                      "held_out_share", "seed"} & self.model_fields_set  # fmt: skip
            if unused:
                raise ValueError(f"with model nothing is trained; remove {', '.join(sorted(unused))}")
        elif not self.positive or not self.negative:
            raise ValueError("name the sources to learn from as positive and negative, or a trained model")
        if both := set(self.positive) & set(self.negative):
            raise ValueError(f"source '{min(both)}' cannot be positive and negative")
        if self.smallest_ngram > self.largest_ngram:
            raise ValueError("smallest_ngram is larger than largest_ngram")
        return self

    @property
    def named_sources(self) -> tuple[str, ...]:
        """Every source that the settings name."""
        return (*self.positive, *self.negative, *self.drop_sources)

    def inputs(self) -> tuple[Artifact, ...]:
        """The classifier that is used again."""
        return () if self.model is None else (open_artifact(Path(self.model).absolute(), "classifier"),)

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Class and draw of each document to learn from."""
        positive, negative = (
            pc.is_in(batch.column("source"), value_set=pa.array(names, pa.string()))
            for names in (self.positive, self.negative)
        )
        wanted = pc.or_(positive, negative)
        draws = pa.array(kernels.hash_rows(batch.column("text"), seed=self.seed))
        return pa.record_batch([positive.filter(wanted), draws.filter(wanted)], schema=_SKETCH)

    def decide(self, sketched: Sketched, decision: Path) -> None:
        """The weights; the figures and the settings they were trained with stand in the table's metadata."""
        pq.write_table(self._weights(sketched), decision / _DECISION, compression="zstd")

    def load(self, decision: Path, shard: str) -> pa.Table:
        """The weights, for every shard."""
        return pq.read_table(decision / _DECISION)

    def differs(self, before: Path, now: Path, shard: ShardFiles) -> bool:
        """One classifier scores all shards."""
        return not self.load(before, "").equals(self.load(now, ""))

    def _weights(self, sketched: Sketched) -> pa.Table:
        if self.model is not None:
            (made,) = self.inputs()
            about = {key: made.manifest.config[key] for key in ("max_chars", "smallest_ngram", "largest_ngram")}
            return _decision(np.load(made.path / _WEIGHTS), about, {})
        texts, labels, draws = self._sample(sketched)
        apart = (draws % 1_000_003) / 1_000_003 < self.held_out_share
        for name, mask in (("to learn from", ~apart), ("held out", apart)):
            for positive in (True, False):
                if not (labels[mask] == positive).any():
                    word = "positive" if positive else "negative"
                    raise DataError(
                        f"{self.name}: no {word} document {name}: {len(labels)} documents in all",
                        hint=f"add documents to the sources {', '.join(self.positive if positive else self.negative)}, "
                        "or set held_out_share",
                    )
        about = {
            "max_chars": self.max_chars,
            "smallest_ngram": self.smallest_ngram,
            "largest_ngram": self.largest_ngram,
        }
        sizes = (self.smallest_ngram, self.largest_ngram)
        weights = classifier.train(
            texts.filter(pa.array(~apart)), labels[~apart], sizes=sizes, limit=self.max_chars, epochs=self.epochs,
            seed=self.seed,
        )  # fmt: skip
        scores = classifier.score(texts.filter(pa.array(apart)), weights, sizes=sizes, limit=self.max_chars)
        accuracy, auc = classifier.accuracy_and_auc(labels[apart], scores)
        figures = {
            "positive": int(labels[~apart].sum()), "negative": int((~labels[~apart]).sum()),
            "held_out": int(apart.sum()), "held_out_accuracy": round(accuracy, 4), "held_out_auc": round(auc, 4),
        }  # fmt: skip
        log.info("%s: learned %s from %d and %d documents; on %d held out: accuracy %.3f, AUC %.3f", self.name,
                 self.column, figures["positive"], figures["negative"], figures["held_out"], accuracy, auc)  # fmt: skip
        return _decision(weights, about, figures)

    def _sample(self, sketched: Sketched) -> tuple[pa.Array, npt.NDArray[np.bool_], npt.NDArray[np.uint64]]:
        """Texts (their beginnings), classes and draws of the documents to learn from, in corpus order."""
        rows = pa.concat_tables(
            [_SKETCH.empty_table(), *(pq.read_table(shard.sketch, schema=_SKETCH) for shard in sketched.shards)]
        )
        highest = {}  # the largest draw that is taken, by class
        for positive in (True, False):
            draws = np.sort(rows.filter(pc.equal(rows.column("positive"), positive)).column("draw").to_numpy())
            highest[positive] = int(draws[: self.max_documents][-1]) if len(draws) else 0
        texts, labels, taken = [], [], []
        read = [shard for shard in sketched.shards if pq.read_metadata(shard.sketch).num_rows]
        sketched.need([shard.name for shard in read])
        for shard in read:
            for batch in pq.ParquetFile(shard.documents).iter_batches(columns=["source", "text"]):
                found = self.sketch(batch)
                chosen = pc.is_in(batch.column("source"), value_set=pa.array((*self.positive, *self.negative)))
                label, draw = (found.column(name).to_numpy(zero_copy_only=False) for name in ("positive", "draw"))
                mask = draw <= np.where(label, highest[True], highest[False]).astype(np.uint64)
                text = batch.column("text").filter(chosen).filter(pa.array(mask))
                texts.append(pc.utf8_slice_codeunits(text, 0, self.max_chars))
                labels.append(label[mask])
                taken.append(draw[mask])
        joined = pa.concat_arrays(texts) if texts else pa.array([], pa.string())
        empty = np.zeros(0)
        return joined, np.concatenate([empty, *labels]).astype(bool), np.concatenate([empty.astype(np.uint64), *taken])

    def keep(self, decision: Path, corpus: Path, sources: Mapping[str, Artifact]) -> None:
        """Write `classifiers/COLUMN/` with a manifest of its own, unless the classifier was made before."""
        if self.model is not None:
            return
        learnt = self.load(decision, "")
        folder = corpus / "classifiers" / self.column
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / _WEIGHTS, learnt.column("weight").to_numpy())
        config = {key: value for key, value in self.identity().items() if key != "drop_sources"}
        learned = [sources[name].id for name in (*self.positive, *self.negative) if name in sources]
        if len(learned) < len(self.positive) + len(self.negative):  # they lie in a corpus made before
            learned = [item.id for item in sources.values()]
        parents = tuple(learned)
        files = tuple(artifacts.hash_files(folder))
        manifest = Manifest(
            kind="classifier", id=artifacts.artifact_id("classifier", VERSION, config, parents, files),
            stage_version=VERSION, parents=parents, config=config, files=files, stats=_about(learnt)["figures"],
            run=run.finish(run.start(inputs={})),
        )  # fmt: skip
        artifacts.write_text(folder / artifacts.MANIFEST, manifest.model_dump_json(indent=1) + "\n")

    def apply(self, batch: pa.RecordBatch, decision: pa.Table) -> Changed:
        """Drop the sources that were for training only, and score the others."""
        dropped = NO_DROPS
        training = pc.is_in(batch.column("source"), value_set=pa.array(self.drop_sources, pa.string()))
        rows = pc.indices_nonzero(training)
        if len(rows):
            dropped = drop_table(
                batch, rows, step=self.name, reason="training_only", values=[None] * len(rows), threshold=None
            )
            batch = batch.filter(pc.invert(training))
        about = _about(decision)["settings"]
        scores = classifier.score(
            batch.column("text"), decision.column("weight").to_numpy(),
            sizes=(about["smallest_ngram"], about["largest_ngram"]), limit=about["max_chars"],
        )  # fmt: skip
        return Changed(batch.append_column(self.column, pa.array(scores)), dropped, NO_EDITS)


def _decision(weights: npt.NDArray[np.float32], settings: Mapping[str, Any], figures: Mapping[str, Any]) -> pa.Table:
    about = json.dumps({"settings": dict(settings), "figures": dict(figures)}, sort_keys=True)
    return pa.table({"weight": pa.array(weights, pa.float32())}).replace_schema_metadata({"jpfm": about})


def _about(decision: pa.Table) -> dict[str, Any]:
    return dict(json.loads(decision.schema.metadata[b"jpfm"]))


class QualityScore(Filter):
    """Drop documents by the score of a `quality` step before it."""

    needs: ClassVar[Any] = _OwnColumn()

    step: Literal["quality_score"]
    column: Column = "quality"
    """Column of the `quality` step."""
    minimum: Annotated[float, pydantic.Field(ge=0, le=1)] | None = None
    maximum: Annotated[float, pydantic.Field(ge=0, le=1)] | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> "QualityScore":
        if self.minimum is None and self.maximum is None:
            raise ValueError("set minimum or maximum")
        return self

    def limits(self) -> tuple[Limit, ...]:
        """The reason names the column."""
        low = Limit(self.column, f"low_{self.column}", minimum=self.minimum)
        high = Limit(self.column, f"high_{self.column}", maximum=self.maximum)
        return tuple(limit for limit in (low, high) if limit.minimum is not None or limit.maximum is not None)
