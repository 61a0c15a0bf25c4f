"""Era dates: the calendar at its edges, the reader of written dates, and the checker of answers."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.eval.business.eras import EraDate, from_era, read_era_date, read_western_date, to_era
from jpfm.eval.tasks.era_dates import EraDates, Question, check, make_question

D = datetime.date


@pytest.mark.parametrize(
    ("date", "forms"),
    [
        (D(1873, 1, 1), ["明治6年1月1日"]),
        (D(1912, 7, 29), ["明治45年7月29日"]),
        (D(1912, 7, 30), ["大正元年7月30日", "明治45年7月30日"]),
        (D(1926, 12, 24), ["大正15年12月24日"]),
        (D(1926, 12, 25), ["昭和元年12月25日", "大正15年12月25日"]),
        (D(1989, 1, 7), ["昭和64年1月7日"]),
        (D(1989, 1, 8), ["平成元年1月8日"]),
        (D(2019, 4, 30), ["平成31年4月30日"]),
        (D(2019, 5, 1), ["令和元年5月1日"]),
        (D(2024, 2, 29), ["令和6年2月29日"]),
    ],
)
def test_days_at_the_edges(date: D, forms: list[str]) -> None:
    assert [form.text() for form in to_era(date)] == forms


@given(st.dates(D(1873, 1, 1), D(2099, 12, 31)))
def test_there_and_back(date: D) -> None:
    forms = to_era(date)
    assert forms
    for form in forms:
        assert from_era(form) == date
        assert read_era_date(form.text()) == form


@pytest.mark.parametrize(
    "text", ["昭和64年1月8日", "平成31年5月1日", "令和元年4月30日", "大正16年1月1日", "令和5年2月29日"]
)
def test_days_that_never_were(text: str) -> None:
    read = read_era_date(text)
    assert read is not None
    assert from_era(read) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("令和六年四月一日", EraDate("令和", 6, 4, 1)),
        ("昭和六十四年一月七日です。", EraDate("昭和", 64, 1, 7)),
        ("Ｒ６．４．１", EraDate("令和", 6, 4, 1)),
        ("H31/4/30", EraDate("平成", 31, 4, 30)),
        ("答えは平成元年 1月 8日", EraDate("平成", 1, 1, 8)),
        ("2024年4月1日", None),
        ("わかりません", None),
    ],
)
def test_reads_era_dates_as_people_write_them(text: str, expected: EraDate | None) -> None:
    assert read_era_date(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024年4月1日", D(2024, 4, 1)),
        ("西暦二〇二四年十二月三十一日", D(2024, 12, 31)),
        ("１９８９/１/７", D(1989, 1, 7)),
        ("2023年2月29日", None),
        ("令和6年4月1日", None),
    ],
)
def test_reads_western_dates(text: str, expected: D | None) -> None:
    assert read_western_date(text) == expected


def _to_era_question(date: D) -> Question:
    return Question(2, "西暦を和暦に", "", date, to_era(date)[0].text(), ())


@pytest.mark.parametrize(
    ("date", "answer", "verdict"),
    [
        (D(2024, 4, 1), "令和6年4月1日です", (True, None)),
        (D(2024, 4, 1), "令和６年４月１日", (True, None)),
        (D(1926, 12, 25), "大正15年12月25日", (True, None)),
        (D(1926, 12, 25), "昭和元年12月25日", (True, None)),
        (D(2024, 4, 1), "平成36年4月1日", (False, "era")),
        (D(2024, 4, 1), "令和5年4月1日", (False, "year")),
        (D(2024, 4, 1), "令和6年4月2日", (False, "month_day")),
        (D(1989, 1, 7), "昭和64年1月8日", (False, "no_such_day")),
        (D(2024, 4, 1), "2024年4月1日", (False, "calendar")),
        (D(2024, 4, 1), "", (False, "format")),
        (D(2024, 4, 1), "\u202e\x00" * 50_000, (False, "format")),
    ],
)
def test_the_checker_names_the_mistake(date: D, answer: str, verdict: tuple[bool, str | None]) -> None:
    assert tuple(check(_to_era_question(date), answer)) == verdict


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_the_gold_answer_is_right_and_not_in_the_question(level: int) -> None:
    for number in range(200):
        question = make_question(level, 7, number)
        assert check(question, question.gold).correct
        assert question.gold not in question.asked
        if question.choices:
            assert sum(check(question, choice).correct for choice in question.choices) == 1
            assert len(set(question.choices)) == 5


def test_same_seed_same_items_and_examples_are_apart() -> None:
    task = EraDates(task="era_dates", items_per_level=30)
    assert task.questions() == task.questions()
    assert task.questions() != EraDates(task="era_dates", items_per_level=30, seed=1).questions()
    asked = {question.asked for question in task.questions()}
    assert not asked & {e.asked for e in task.examples("西暦を和暦に") + task.examples("和暦を西暦に")}


def test_positions_of_the_right_choice_are_balanced() -> None:
    places = [0] * 5
    for number in range(1000):
        question = make_question(1, 0, number)
        places[question.choices.index(question.gold)] += 1
    assert min(places) > 150
