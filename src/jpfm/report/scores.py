"""Reads what an evaluation wrote: `scores.json` and `items/TASK.parquet` of one scores artifact.

    read = read_scores(open_artifact(Path("out/scores"), "scores"))
    read.model, read.tasks, read.notices

Half-written is an error: a leaderboard must not show what is not there. Foreign is a notice: a task of another schema
or a missing items file is named on the page and on the log, and the rest is shown. Every task is checked by itself, so
one bad task does not hide nineteen good ones. Refused: the eval floor's own models; a page must also read older scores.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pydantic_core

from jpfm.core.artifact import MANIFEST, Artifact, open_artifact, verify
from jpfm.core.errors import ArtifactError
from jpfm.core.log import log
from jpfm.report.visible import Cut, cut, cut_middle

SCORES = "scores.json"
SAMPLE_EACH = 6
"""Items shown of the right and of the wrong ones, a task and model."""
ANSWER_CHARS = 400
PROMPT_CHARS = 2000
_MAX_CHOICES = 12
Outcome = Literal["right", "wrong", "measured", "unscored"]


class _Read(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Words(_Read):
    """One text in Japanese and English."""

    ja: str
    en: str


class ModelFacts(_Read):
    """Which model was scored. What an outside model does not tell is None."""

    id: str
    name: str
    size: str | None = None
    parameters: int | None = None
    tokens_seen: int | None = None
    step: int | None = None
    vocab_size: int | None = None
    final_loss: float | None = None


class LevelScore(_Read):
    """The score over one part of the items."""

    value: float | None
    low: float | None = None
    high: float | None = None
    num_items: int


class TaskScore(_Read):
    """One model's score on one task, with all that decides whether it may be compared."""

    task: str
    group: str
    title: Words
    definition: Words
    metric: str
    higher_is_better: bool
    value: float | None
    low: float | None
    high: float | None
    interval: str
    num_items: int
    num_scored: int
    num_unscored: int
    num_format_failures: int
    baselines: dict[str, float] = {}
    by: dict[str, dict[str, LevelScore]] = {}
    errors: dict[str, int] = {}
    items_sha256: str
    prompt_sha256: str
    scorer: str
    num_fewshot: int
    source: str
    licence: str


@dataclass(frozen=True)
class Item:
    """One question as the model met it, cut to what a page can hold."""

    outcome: Outcome
    item_id: Cut
    prompt: Cut
    choices: tuple[tuple[Cut, float | None], ...]
    num_choices: int
    gold: Cut | None
    answer: Cut | None
    error_class: str | None
    level: str | None
    value: float | None


@dataclass(frozen=True)
class Scores:
    """One scores artifact as far as it could be read."""

    artifact: Artifact
    model: ModelFacts | None
    tasks: tuple[TaskScore, ...]
    samples: dict[str, tuple[Item, ...]] = field(default_factory=dict)
    notices: tuple[Words, ...] = ()


def notice(notices: list[Words], ja: str, en: str, detail: object = "") -> None:
    """Say what is missing on the page, in both languages, and on the log, with the detail that a page must not hold."""
    notices.append(Words(ja=ja, en=en))
    log.warning("leaderboard: %s%s", en, f" ({detail})" if detail else "")


def read_scores(given: Artifact) -> Scores:
    """Read one scores artifact with a sample of its items.

    Raises:
        ArtifactError: the folder is unfinished, of another kind, or holds no readable scores.json.
    """
    artifact = open_artifact(given.path, "scores")
    file = artifact.path / SCORES
    if not file.is_file():
        raise ArtifactError(
            f"{artifact.path} holds a {MANIFEST} but no {SCORES}: it is half-written",
            hint="run `jpfm eval` into a new folder and give that one",
        )
    try:
        body = pydantic_core.from_json(file.read_bytes())
    except ValueError as error:
        raise ArtifactError(
            f"{file} is cut short or no JSON: {error}", hint="run `jpfm eval` into a new folder and give that one"
        ) from error
    notices: list[Words] = []
    # a missing items file has its own notice below
    if problems := [problem for problem in verify(artifact.path) if not problem.endswith(": missing")]:
        notice(
            notices,
            f"{artifact.id}：作成後にファイルが変わっています。数値を確認してください（{len(problems)}件）。",
            f"{artifact.id}: files changed after it was made; check its figures ({len(problems)} differences).",
            "; ".join(problems),
        )
    model, tasks = _model(artifact, body, notices), []
    for entry in body.get("tasks", []) if model is not None else []:
        if (task := _task(artifact, entry, notices)) is not None:
            tasks.append(task)
    samples = {task.task: _sample(artifact, task.task, notices) for task in tasks}
    return Scores(artifact, model, tuple(tasks), samples, tuple(notices))


def _model(artifact: Artifact, body: Any, notices: list[Words]) -> ModelFacts | None:
    try:
        if not isinstance(body, dict) or not isinstance(body.get("tasks"), list):
            raise TypeError("expected an object with 'model' and a list 'tasks'")
        return ModelFacts.model_validate(body.get("model"))
    except (pydantic.ValidationError, TypeError) as error:
        notice(
            notices,
            f"{artifact.id}：{SCORES} の形式がこの版と異なるため、結果を表示できません。",
            f"{artifact.id}: {SCORES} has another schema than this version reads; its results are not shown.",
            error,
        )
        return None


def _task(artifact: Artifact, entry: Any, notices: list[Words]) -> TaskScore | None:
    try:
        return TaskScore.model_validate(entry)
    except pydantic.ValidationError as error:
        name = cut(str(entry.get("task", "?")) if isinstance(entry, dict) else "?", 80).text
        notice(
            notices,
            f"{artifact.id}：課題「{name}」の形式がこの版と異なるため、表示できません。",
            f"{artifact.id}: task '{name}' has another schema than this version reads; it is not shown.",
            error,
        )
        return None


def _sample(artifact: Artifact, task: str, notices: list[Words]) -> tuple[Item, ...]:
    """Up to twelve items: six right and six wrong; places left over go to unscored ones.

    The order is by SHA-256 of the item id, so the choice is fixed, not biased by file order, and mostly the same items
    for every model of a task.
    """
    file = artifact.path / "items" / f"{task}.parquet"
    inside = (artifact.path / "items").resolve()
    if file.resolve().parent != inside or not file.is_file():
        notice(
            notices,
            f"{artifact.id}：課題「{cut(task, 80).text}」の設問ファイルがないため、回答例を表示できません。",
            f"{artifact.id}: the items file of task '{cut(task, 80).text}' is missing; no sample is shown.",
        )
        return ()
    try:
        keys = pq.read_table(file, columns=["item_id", "correct", "value"])
        rows = _choose(keys)
        chosen = pq.read_table(file).take(pa.array([row for row, _ in rows], pa.int64())).to_pylist()
        return tuple(_item(row, outcome) for row, (_, outcome) in zip(chosen, rows, strict=True))
    except (pa.ArrowException, KeyError, OSError, TypeError, ValueError) as error:
        notice(
            notices,
            f"{artifact.id}：課題「{cut(task, 80).text}」の設問ファイルを読めないため、回答例を表示できません。",
            f"{artifact.id}: the items file of task '{cut(task, 80).text}' cannot be read; no sample is shown.",
            error,
        )
        return ()


def _choose(keys: pa.Table) -> list[tuple[int, Outcome]]:
    found: dict[Outcome, list[int]] = {"right": [], "wrong": [], "measured": [], "unscored": []}
    columns = [keys[name].to_pylist() for name in ("item_id", "correct", "value")]
    digests = [hashlib.sha256(str(identity).encode("utf-8", "replace")).digest() for identity in columns[0]]
    for row in sorted(range(keys.num_rows), key=lambda row: (digests[row], row)):
        found[_outcome(columns[1][row], columns[2][row])].append(row)
    taken: list[tuple[int, Outcome]] = []
    limits: tuple[tuple[Outcome, int], ...] = (
        ("right", SAMPLE_EACH),
        ("wrong", SAMPLE_EACH),
        ("measured", 2 * SAMPLE_EACH),
        ("unscored", 2 * SAMPLE_EACH),
    )
    for outcome, limit in limits:
        taken += [(row, outcome) for row in found[outcome][: min(limit, 2 * SAMPLE_EACH - len(taken))]]
    return taken


def _outcome(correct: bool | None, value: float | None) -> Outcome:
    if correct is not None:
        return "right" if correct else "wrong"
    return "unscored" if value is None else "measured"


def _item(row: dict[str, Any], outcome: Outcome) -> Item:
    choices = row["choices"] or []
    measured: Sequence[float | None] = row["choice_scores"] or [None] * len(choices)
    pairs = list(zip(choices, measured, strict=False))[:_MAX_CHOICES]
    return Item(
        outcome=outcome,
        item_id=cut(str(row["item_id"]), 120),
        prompt=cut_middle(row["prompt"] or "", PROMPT_CHARS),
        choices=tuple((cut(str(text), ANSWER_CHARS), score) for text, score in pairs),
        num_choices=len(choices),
        gold=None if row["gold"] is None else cut(row["gold"], ANSWER_CHARS),
        answer=None if row["answer"] is None else cut(row["answer"], ANSWER_CHARS),
        error_class=row["error_class"],
        level=row["level"],
        value=row["value"],
    )
