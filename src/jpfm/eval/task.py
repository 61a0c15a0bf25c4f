"""What a task is: a frozen settings model that loads its items, asks the model, and scores the answers.

A task names its licence, source and official rule in the file that defines it. A score that could not be computed is
None and is counted apart; it is never 0.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from jpfm.core.config import Settings
from jpfm.eval import stats

Group = Literal["language", "knowledge", "reasoning", "business", "safety", "modelling"]


class LogLikelihood(NamedTuple):
    """Sum of natural log probabilities of a continuation, and how many tokens it has."""

    total: float
    num_tokens: int


class LanguageModel(Protocol):
    """What a task may ask of a model."""

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[LogLikelihood]:
        """log p(continuation | context) for each (context, continuation)."""
        ...

    def document_loglikelihood(self, texts: Sequence[str]) -> list[LogLikelihood]:
        """log p(text and its end) for each whole document, with a sliding window where it is long."""
        ...

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int) -> list[str]:
        """Greedy continuation up to the end of the line."""
        ...


@dataclass(frozen=True)
class Row:
    """One item as asked and answered."""

    item_id: str
    item_sha256: str
    prompt: str
    gold: str | None
    answer: str | None
    correct: bool | None
    """None: unscored, for the reason in error_class."""
    error_class: str | None = None
    choices: tuple[str, ...] = ()
    choice_scores: tuple[float, ...] = ()
    level: str | None = None
    value: float | None = None
    """A measurement that is not right or wrong (bits per character of a document)."""
    weight: float | None = None
    """What the measurement counts for in an average (characters of the document)."""


@dataclass(frozen=True)
class Scored:
    """A task's result: figures and rows."""

    interval: stats.Interval | None
    interval_name: str
    rows: list[Row]
    baselines: Mapping[str, float] = field(default_factory=dict)


class Task(Settings):
    """Settings and behaviour of one task."""

    task: Any
    group: ClassVar[Group]
    title: ClassVar[dict[str, str]]
    definition: ClassVar[dict[str, str]]
    metric: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True
    scorer: ClassVar[str]
    source: ClassVar[str]
    licence: ClassVar[str]

    @property
    def name(self) -> str:
        return str(self.task)

    @property
    def fewshot(self) -> int:
        return 0

    def check(self) -> None:
        """Look at the task's input before hours are spent on what comes before it.

        Raises:
            DataError: a file is missing or not the one the task was made for.
        """

    def texts(self) -> Iterator[tuple[str, str]]:
        """(item id, text) by which a training document that holds an item gives itself away; none where items are made.

        A text is what a document would copy: the question, not its choices, which are words of the language.
        """
        yield from ()

    def run(self, model: LanguageModel, context: "Context") -> Scored:
        """Load the items, ask the model, score."""
        raise TypeError(f"{type(self).__name__} does not run")


@dataclass(frozen=True)
class Context:
    """What a task may need besides the model: the corpus its held-out documents come from."""

    corpus: Path | None


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON: names items and prompts."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def accuracy(rows: Sequence[Row]) -> stats.Interval | None:
    """Wilson interval over the scored rows; None when none is scored."""
    scored = [row for row in rows if row.correct is not None]
    return stats.wilson(sum(bool(row.correct) for row in scored), len(scored)) if scored else None
