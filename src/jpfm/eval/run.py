"""Score a checkpoint: each task's rows as Parquet and one `scores.json` for reports."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydantic

from jpfm.core import artifact as artifacts
from jpfm.core import lineage
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.config import Settings, place
from jpfm.core.errors import UsageError
from jpfm.core.log import Events, log
from jpfm.eval import stats
from jpfm.eval.task import Context, Row, Scored, Task, digest
from jpfm.eval.tasks import AnyTask

VERSION = 1
_ROWS = pa.schema(
    [
        ("item_id", pa.string()), ("item_sha256", pa.string()), ("prompt_sha256", pa.string()), ("prompt", pa.string()),
        ("choices", pa.list_(pa.string())), ("choice_scores", pa.list_(pa.float64())), ("gold", pa.string()),
        ("answer", pa.string()), ("correct", pa.bool_()), ("error_class", pa.string()), ("level", pa.string()),
        ("value", pa.float64()), ("weight", pa.float64()),
    ]
)  # fmt: skip
_FORMAT_ERRORS = ("format", "calendar")


class EvalConfig(Settings):
    """Settings of `jpfm eval`."""

    stage: Literal["eval"]
    model: str | None = place()
    """Folder of a checkpoint artifact."""
    corpus: str | None = place()
    """Folder of the corpus whose held-out documents are scored; null finds the checkpoint's own by lineage."""
    tasks: Annotated[tuple[AnyTask, ...], pydantic.Field(min_length=1)]
    batch_tokens: Annotated[int, pydantic.Field(ge=1)] = 8192
    """Padded tokens of one forward pass. The scores do not depend on it beyond rounding."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "EvalConfig":
        names = [task.name for task in self.tasks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"tasks: '{name}' is named twice; keep one")
        return self


def evaluate(config: EvalConfig, out: Path) -> Artifact:
    """Score a checkpoint on the config's tasks. A task that is finished is not asked again after a kill."""
    if config.model is None:
        raise UsageError("model: this field is required", hint="set model=FOLDER of a checkpoint")
    checkpoint = artifacts.open_artifact(Path(config.model), "checkpoint")
    parents = [checkpoint]
    corpus = None
    if any(task.name == "bits_per_character" for task in config.tasks):
        corpus = _corpus(config, checkpoint)
        parents.append(corpus)

    for task in config.tasks:
        task.check()

    def work(draft: Draft) -> Finished:
        return _work(config, draft, checkpoint, Context(corpus.path if corpus else None))

    return artifacts.produce(out, kind="scores", version=VERSION, config=config.identity(), parents=parents, work=work)


def _corpus(config: EvalConfig, checkpoint: Artifact) -> Artifact:
    if config.corpus is not None:
        return artifacts.open_artifact(Path(config.corpus), "corpus")
    found = [artifact for artifact in lineage.ancestors(checkpoint) if artifact.manifest.kind == "corpus"]
    return found[0]


def _work(config: EvalConfig, draft: Draft, checkpoint: Artifact, context: Context) -> Finished:
    from jpfm.eval.backend import CheckpointModel  # torch: `jpfm data items` and a dry run need only the settings

    events = Events(draft.logs / "events.jsonl")
    for folder in ("items", "parts"):
        (draft.path / folder).mkdir(exist_ok=True)
    made = checkpoint.manifest.stats
    # read at once: when a run ends, the folder of a checkpoint in it gets another name
    vocab_size = json.loads((checkpoint.path / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    model: CheckpointModel | None = None
    entries = []
    for task in config.tasks:
        part = draft.path / "parts" / f"{task.name}.json"
        if not part.exists():
            draft.status(f"scoring {task.name}")
            model = model or CheckpointModel.open(checkpoint.path, config.batch_tokens)
            scored = task.run(model, context)
            _write_rows(scored.rows, draft.path / "items" / f"{task.name}.parquet")
            artifacts.write_text(part, artifacts.canonical_json(summary(task, scored)))
            events.write("task finished", task=task.name)
        entries.append(json.loads(part.read_text(encoding="utf-8")))
        shown = entries[-1]
        if shown["value"] is not None:
            log.info("%s: %s %.4f [%.4f, %.4f] over %d items", task.name, shown["metric"], shown["value"], shown["low"],
                     shown["high"], shown["num_items"])  # fmt: skip
    document = {
        "schema_version": 1,
        "model": {
            "id": checkpoint.id,
            "name": _name(checkpoint),
            "size": made.get("size"),
            "parameters": made.get("parameters"),
            "tokens_seen": made.get("tokens"),
            "step": made.get("steps", made.get("step")),
            "vocab_size": vocab_size,
            "final_loss": made.get("final_loss"),
        },
        "tasks": entries,
    }
    artifacts.write_text(draft.path / "scores.json", artifacts.canonical_json(document, indent=1) + "\n")
    artifacts.discard(draft.path / "parts")
    return Finished({entry["task"]: entry["value"] for entry in entries})


def _name(checkpoint: Artifact) -> str:
    """What the model calls itself, wherever its folder lies: that name is in the scores, and so in their id."""
    stats, config = checkpoint.manifest.stats, checkpoint.manifest.config
    if "name" in stats:
        return str(stats["name"])
    return f"{config['name']}, step {stats['step']:,}" if "name" in config and "step" in stats else checkpoint.id


def summary(task: Task, scored: Scored) -> dict[str, Any]:
    """One task's entry of `scores.json`."""
    rows = scored.rows
    judged = [row for row in rows if row.correct is not None]
    measured = [row for row in rows if row.value is not None and row.correct is None]
    errors = Counter(row.error_class for row in judged if row.error_class is not None)
    interval = scored.interval
    return {
        "task": task.name, "group": task.group, "title": task.title, "definition": task.definition,
        "metric": task.metric, "higher_is_better": task.higher_is_better,
        "value": interval.value if interval else None, "low": interval.low if interval else None,
        "high": interval.high if interval else None, "interval": scored.interval_name,
        "num_items": len(rows), "num_scored": len(judged) + len(measured),
        "num_unscored": len(rows) - len(judged) - len(measured),
        "num_format_failures": sum(errors[name] for name in _FORMAT_ERRORS),
        "baselines": dict(scored.baselines), "by": _by(rows), "errors": dict(errors),
        "items_sha256": digest([row.item_sha256 for row in rows]),
        "prompt_sha256": digest([row.prompt for row in rows]),
        "scorer": task.scorer, "num_fewshot": task.fewshot, "source": task.source, "licence": task.licence,
    }  # fmt: skip


def _by(rows: Sequence[Row]) -> dict[str, Any]:
    """Figures by level; for measured rows the level is the document's source and the figure a ratio of sums."""
    levels = sorted({row.level for row in rows if row.level is not None})
    table: dict[str, Any] = {}
    for level in levels:
        own = [row for row in rows if row.level == level]
        judged = [row for row in own if row.correct is not None]
        measured = [(row.value, row.weight) for row in own if row.value is not None and row.weight is not None]
        if judged:
            interval = stats.wilson(sum(bool(row.correct) for row in judged), len(judged))
        elif measured:
            values, weights = (np.array(column) for column in zip(*measured, strict=True))
            interval = stats.bootstrap_ratio(values * weights, weights)
        else:
            continue
        entry: dict[str, Any] = {"value": interval.value, "num_items": len(own)}
        if len(own) > 1:  # one document says nothing about the spread of others
            entry |= {"low": interval.low, "high": interval.high}
        table[level] = entry
    return {"level": table} if table else {}


def _write_rows(rows: Sequence[Row], path: Path) -> None:
    records = [
        {
            "item_id": row.item_id, "item_sha256": row.item_sha256, "prompt_sha256": digest(row.prompt),
            "prompt": row.prompt, "choices": list(row.choices), "choice_scores": list(row.choice_scores),
            "gold": row.gold, "answer": row.answer, "correct": row.correct, "error_class": row.error_class,
            "level": row.level, "value": row.value, "weight": row.weight,
        }
        for row in rows
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(records, schema=_ROWS), path, compression="zstd")
