"""Multiple choice by log likelihood: the choice that the model finds most likely after the question is its answer.

JCommonsenseQA: Kurihara, Kawahara & Shibata 2022, "JGLUE: Japanese General Language Understanding Evaluation".
Licence CC-BY-SA-4.0, https://github.com/yahoojapan/JGLUE (version 1.3). The official rule is accuracy over all items.
The prompt is a plain question and answer, few-shot examples are the first of the training file; neither was chosen by
looking at results.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pydantic

from jpfm.core import artifact as artifacts
from jpfm.core.config import place
from jpfm.core.errors import DataError, UsageError
from jpfm.data.benchmarks import records
from jpfm.data.recipe import PACKAGE
from jpfm.eval.task import Context, LanguageModel, Row, Scored, Task, accuracy, digest

NUM_CHOICES = 5
_FIELDS = {"q_id", "question", "label", *(f"choice{n}" for n in range(NUM_CHOICES))}


def load_items(path: str, sha256: str | None = None) -> list[dict[str, Any]]:
    """Read items with question, choice0..4 and label from JSON Lines (.json, .jsonl, also .gz).

    Raises:
        DataError: no such file, another content than the task was made for, or a field is missing.
    """
    file = Path(__file__).resolve().parents[2] / path.removeprefix(PACKAGE) if path.startswith(PACKAGE) else Path(path)
    if not file.is_file():
        raise DataError(
            f"{file}: no such file",
            hint="name the benchmark's files: tasks.0.path=FILE tasks.0.train_path=FILE (eval.tasks... for jpfm run)",
        )
    if sha256 is not None and (found := artifacts.sha256(file)) != sha256:
        raise DataError(
            f"{file}: its content is not the version this task was made for (sha256 {found[:12]}, not {sha256[:12]})",
            hint="fetch version 1.3; scores over other items cannot share a column",
        )
    if file.stat().st_size == 0:
        raise DataError(f"{file} holds no items", hint="fetch it again")
    items = []
    for number, row in enumerate(_rows(file), start=1):
        if missing := _FIELDS - row.keys():
            raise DataError(
                f"{file}: item {number} has no field '{sorted(missing)[0]}'", hint=f"expected {sorted(_FIELDS)}"
            )
        if row["label"] not in range(NUM_CHOICES):
            raise DataError(f"{file}: item {number}: label {row['label']}", hint="expected 0 to 4")
        items.append(dict(row))
    return items


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from records(file)
    except DataError as error:
        raise DataError(f"{file} is not JSON Lines: {error.message}", hint=error.hint) from error


def choices_of(item: dict[str, Any]) -> list[str]:
    """The five choices of an item, in order."""
    return [str(item[f"choice{n}"]) for n in range(NUM_CHOICES)]


def prompt_of(item: dict[str, Any], examples: Sequence[dict[str, Any]]) -> str:
    """Questions and answers, then the question to answer."""
    shown = [f"質問：{e['question']}\n答え：{choices_of(e)[e['label']]}\n\n" for e in examples]
    return "".join(shown) + f"質問：{item['question']}\n答え："


class ChoiceTask(Task):
    """Five choices, scored by the log likelihood of each choice's text."""

    path: str = place()
    """File of the items. `package:` begins a path in jpfm."""
    num_fewshot: Annotated[int, pydantic.Field(ge=0, le=32)] = 3
    normalise: Literal["none", "chars"] = "none"
    """Compare log likelihoods as they are, or per character of the choice."""
    max_items: Annotated[int, pydantic.Field(ge=1)] | None = None
    """Score this many items, drawn with `seed`; null scores all."""
    seed: int = 0
    scorer: ClassVar[str] = "choice_loglikelihood"

    @property
    def fewshot(self) -> int:
        return self.num_fewshot

    def items_and_examples(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Items to score, and worked examples that are none of them."""
        items = load_items(self.path)
        return items[self.num_fewshot :], items[: self.num_fewshot]

    def check(self) -> None:
        self.items_and_examples()

    def texts(self) -> Iterator[tuple[str, str]]:
        """The questions that are scored; `max_items` does not matter, another run may draw others."""
        items, _ = self.items_and_examples()
        yield from ((str(item["q_id"]), str(item["question"])) for item in items)

    def run(self, model: LanguageModel, context: Context) -> Scored:
        items, examples = self.items_and_examples()
        if self.max_items is not None and self.max_items < len(items):
            picks = sorted(random.Random(self.seed).sample(range(len(items)), self.max_items))
            items = [items[pick] for pick in picks]
        prompts = [prompt_of(item, examples) for item in items]
        pairs = [(p, choice) for p, item in zip(prompts, items, strict=True) for choice in choices_of(item)]
        scores = [value.total for value in model.loglikelihood(pairs)]
        rows = []
        for number, (item, prompt) in enumerate(zip(items, prompts, strict=True)):
            options = choices_of(item)
            own = scores[number * NUM_CHOICES : (number + 1) * NUM_CHOICES]
            if self.normalise == "chars":
                own = [value / max(1, len(option)) for value, option in zip(own, options, strict=True)]
            best = max(range(NUM_CHOICES), key=lambda n: own[n])
            rows.append(
                Row(
                    item_id=str(item["q_id"]),
                    item_sha256=digest([item["question"], options, item["label"]]),
                    prompt=prompt,
                    gold=options[item["label"]],
                    answer=options[best],
                    correct=best == item["label"],
                    error_class=None if best == item["label"] else "other_choice",
                    choices=tuple(options),
                    choice_scores=tuple(own),
                )
            )
        labels = [item["label"] for item in items]
        majority = max(labels.count(n) for n in range(NUM_CHOICES)) / len(labels)
        return Scored(accuracy(rows), "Wilson 95 %", rows, {"random": 1 / NUM_CHOICES, "majority": majority})


class JCommonsenseQA(ChoiceTask):
    """Japanese common-sense questions (JGLUE v1.3, validation)."""

    task: Literal["jcommonsenseqa"]
    train_path: str | None = place()
    """File of the training split, for few-shot examples."""
    group = "language"
    title = {"ja": "JCommonsenseQA", "en": "JCommonsenseQA"}
    definition = {
        "ja": "日常の常識を問う五択。選択肢の対数尤度が最大のものを解答とみなした正答率。",
        "en": "Five-way common-sense questions; the choice with the highest log likelihood is the answer. Accuracy.",
    }
    source = "https://github.com/yahoojapan/JGLUE v1.3 (Yahoo Japan Corporation, Kawahara Lab)"
    licence = "CC-BY-SA-4.0"

    def items_and_examples(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        items = load_items(self.path, _JCQA_VALID_SHA256)
        if self.num_fewshot == 0:
            return items, []
        if self.train_path is None:
            raise UsageError(
                "jcommonsenseqa: num_fewshot needs train_path", hint="name train-v1.3.json(.gz), or set num_fewshot: 0"
            )
        return items, load_items(self.train_path)[: self.num_fewshot]


_JCQA_VALID_SHA256 = "0d8d76f3bfa0d174866939882faccdd01fbc2bcd5a76c43748ba0c40a7b3b8d4"


class SampleQuestions(ChoiceTask):
    """The bundled common-sense questions (written for jpfm, CC0)."""

    task: Literal["sample_questions"]
    path: str = place("package:sample/bench/choice.jsonl")
    group = "language"
    title = {"ja": "付属の常識問題", "en": "Bundled common sense"}
    definition = {
        "ja": "jpfm に同梱した常識五択問題。選択肢の対数尤度が最大のものを解答とみなした正答率。",
        "en": "Five-way common-sense questions bundled with jpfm; highest log likelihood is the answer. Accuracy.",
    }
    source = "jpfm bundled sample"
    licence = "CC0-1.0"
