"""Western date <-> era date, day by day: generated items with one right answer and a checker that says what is wrong.

Level 1 asks for one of five choices (a small base model has a chance), level 2 for the era date of a Western date,
level 3 for the Western date of an era date, level 4 for both near the days when eras change. Same seed, same items.
Written for jpfm; the rule is the calendar in `eval/business/eras.py`.
"""

import datetime
import random
from typing import Annotated, ClassVar, Literal, NamedTuple

import pydantic

from jpfm.eval.business.eras import ERAS, FIRST_DAY, EraDate, from_era, read_era_date, read_western_date, to_era
from jpfm.eval.task import Context, LanguageModel, Row, Scored, Task, accuracy, digest

_LAST_DAY = datetime.date(2030, 12, 31)
_TO_ERA, _TO_WEST = "西暦を和暦に", "和暦を西暦に"
_MAX_NEW_TOKENS = 32
_NUM_CHOICES = 5


class Question(NamedTuple):
    """One generated item. `gold` is the usual written form; the checker accepts every right one."""

    level: int
    direction: str
    asked: str
    date: datetime.date
    gold: str
    choices: tuple[str, ...]


class Verdict(NamedTuple):
    """Right or not, and what kind of mistake."""

    correct: bool
    error_class: str | None


def check(question: Question, answer: str) -> Verdict:
    """Judge a free answer by the date it names.

    Error classes: format (no date), calendar (the other calendar), no_such_day, era (right day of another era's
    count), year, month_day.
    """
    if question.direction == _TO_ERA:
        read = read_era_date(answer)
        if read is None:
            return Verdict(False, "calendar" if read_western_date(answer) else "format")
        right = to_era(question.date)
        if read in right:
            return Verdict(True, None)
        if read.era not in {form.era for form in right}:
            return Verdict(False, "era")
        if from_era(read) is None:
            return Verdict(False, "no_such_day")
        return Verdict(False, "year" if (read.month, read.day) == right[0][2:] else "month_day")
    west = read_western_date(answer)
    if west is None:
        return Verdict(False, "calendar" if read_era_date(answer) else "format")
    if west == question.date:
        return Verdict(True, None)
    return Verdict(False, "year" if (west.month, west.day) == (question.date.month, question.date.day) else "month_day")


def western_text(date: datetime.date) -> str:
    """A Western date as Japanese text writes it."""
    return f"{date.year}年{date.month}月{date.day}日"


def _random_day(draw: random.Random, *, near_change: bool) -> datetime.date:
    if near_change:
        return draw.choice(ERAS[1:]).first + datetime.timedelta(days=draw.randint(-10, 10))
    return FIRST_DAY + datetime.timedelta(days=draw.randrange((_LAST_DAY - FIRST_DAY).days + 1))


def make_question(level: int, seed: int, number: int) -> Question:
    """Item `number` of a level: a pure function of (level, seed, number)."""
    draw = random.Random(f"era_dates/{seed}/{level}/{number}")
    date = _random_day(draw, near_change=level == 4)
    direction = {1: _TO_ERA, 2: _TO_ERA, 3: _TO_WEST}.get(level) or draw.choice((_TO_ERA, _TO_WEST))
    forms = to_era(date)
    gold = forms[0].text() if direction == _TO_ERA else western_text(date)
    asked = western_text(date) if direction == _TO_ERA else draw.choice(forms).text()
    return Question(level, direction, asked, date, gold, _choices(draw, forms) if level == 1 else ())


def _choices(draw: random.Random, right: tuple[EraDate, ...]) -> tuple[str, ...]:
    """The right form among four wrong ones: neighbouring years and the other eras' names."""
    own = right[0]
    others = [era.name for era in ERAS if era.name not in {form.era for form in right}]
    wrong = {
        EraDate(own.era, own.year + shift, own.month, own.day).text()
        for shift in (-2, -1, 1, 2)
        if own.year + shift >= 1
    } | {EraDate(era, own.year, own.month, own.day).text() for era in others}
    wrong -= {form.text() for form in right}
    options = [own.text(), *draw.sample(sorted(wrong), _NUM_CHOICES - 1)]
    draw.shuffle(options)
    return tuple(options)


def prompt_of(question: Question, examples: list[Question]) -> str:
    """Worked examples of the same direction, then the question."""
    shown = [f"{q.direction}直すと、{q.asked}は{q.gold}です。\n" for q in examples]
    return "".join(shown) + f"{question.direction}直すと、{question.asked}は"


class EraDates(Task):
    """Conversion between Western and era dates at day level."""

    task: Literal["era_dates"]
    levels: tuple[Annotated[int, pydantic.Field(ge=1, le=4)], ...] = (1, 2, 3, 4)
    items_per_level: Annotated[int, pydantic.Field(ge=1)] = 50
    num_fewshot: Annotated[int, pydantic.Field(ge=0, le=32)] = 4
    seed: int = 0
    group = "business"
    title = {"ja": "和暦・西暦の日付", "en": "Era dates"}
    definition = {
        "ja": "西暦と和暦の日付を日単位で変換する生成問題。改元日を含み、答えは専用の判定器で厳密に照合する。"
        "レベル1は五択、2は西暦から和暦、3は和暦から西暦、4は改元日の前後。",
        "en": "Generated conversions between Western and era dates to the day, era edges included; exact typed check. "
        "Level 1: five choices; 2: to the era; 3: to the Western date; 4: near the days when eras change.",
    }
    scorer: ClassVar[str] = "era_date_typed"
    source = "generated by jpfm; rule: 元号法 and the orders naming each era"
    licence = "CC0-1.0"

    @property
    def fewshot(self) -> int:
        return self.num_fewshot

    def questions(self) -> list[Question]:
        return [make_question(level, self.seed, n) for level in self.levels for n in range(self.items_per_level)]

    def examples(self, direction: str) -> list[Question]:
        """Few-shot examples from a seed of their own, never items of the test."""
        level = 2 if direction == _TO_ERA else 3
        return [make_question(level, -1 - self.seed, n) for n in range(self.num_fewshot)]

    def run(self, model: LanguageModel, context: Context) -> Scored:
        questions = self.questions()
        shown = {direction: self.examples(direction) for direction in (_TO_ERA, _TO_WEST)}
        prompts = [prompt_of(question, shown[question.direction]) for question in questions]
        free = [n for n, question in enumerate(questions) if not question.choices]
        picked = [n for n, question in enumerate(questions) if question.choices]
        answers = dict(
            zip(free, model.generate([prompts[n] for n in free], max_new_tokens=_MAX_NEW_TOKENS), strict=True)
        )
        pairs = [(prompts[n], choice) for n in picked for choice in questions[n].choices]
        scores = iter(model.loglikelihood(pairs))
        rows = []
        for number, (question, prompt) in enumerate(zip(questions, prompts, strict=True)):
            own: tuple[float, ...] = ()
            if question.choices:
                own = tuple(next(scores).total for _ in question.choices)
                answer = question.choices[max(range(len(own)), key=lambda n: own[n])]
            else:
                answer = answers[number]
            verdict = check(question, answer)
            rows.append(
                Row(
                    item_id=f"{question.level}-{self.seed}-{number}",
                    prompt=prompt,
                    gold=question.gold,
                    answer=answer,
                    item_sha256=digest([question.direction, question.asked, question.gold, question.choices]),
                    correct=verdict.correct,
                    error_class=verdict.error_class,
                    choices=question.choices,
                    choice_scores=own,
                    level=str(question.level),
                )
            )
        chance = len(picked) / _NUM_CHOICES / len(questions)
        return Scored(accuracy(rows), "Wilson 95 %", rows, {"random": chance})
