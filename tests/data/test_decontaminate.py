"""Evaluation items in documents: found in every disguise and nowhere else, dropped, cut or marked, and counted."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.disguises import DISGUISES

from jpfm.core.errors import DataError, JpfmError, UsageError
from jpfm.data.document import CONTAMINATION, DROPPED, EDITS, Document, to_batch
from jpfm.data.steps.base import Changed
from jpfm.data.steps.decontaminate import Decontaminate

QUESTIONS = [
    "日本で2番目に高い山の名前を答えてください。",
    "国語の授業で「坊っちゃん」を書いた作家として習うのは誰ですか？",
    "列車が駅に10分遅れて着いたとき、乗りかえの時間は何分残りますか。",
    "コンピューターの電源を切る前に、必ずしておくべきことは何でしょうか？",
    "りんごを3個とみかんを5個買うと、合わせて何円になりますか？",
    "気温が下がると、池の水の表面から凍りはじめるのはなぜですか。",
    "学校の図書館で借りた本を返す日を過ぎたら、どうすればよいですか？",
    "ガラスの窓が割れる音を聞いて、お母さんは何と言いましたか？",
]
BEFORE, AFTER = (
    "昨日は朝から雨が降っていたので、家で本を読んでいた。",
    "それから夕方になって、ようやく空が明るくなってきた。",
)


@pytest.fixture
def make_step(tmp_path: Path) -> Callable[..., Decontaminate]:
    """`make_step({"exam": [text, ...]}, action="cut")`: a step over benchmarks written to files."""

    def make(benchmarks: Mapping[str, Sequence[str]], of: Mapping[str, Any] = {}, **settings: Any) -> Decontaminate:
        made = []
        for name, texts in benchmarks.items():
            path = tmp_path / f"{name}.jsonl"
            path.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
            made.append({"name": name, "path": str(path)} | of.get(name, {}))
        return Decontaminate.model_validate({"step": "decontaminate", "benchmarks": made} | settings)

    return make


Make = Callable[..., Decontaminate]


def _run(step: Decontaminate, texts: Iterable[str]) -> Changed:
    documents = [Document(f"s/{number}", text) for number, text in enumerate(texts)]
    return step.run(to_batch(documents, "s", "CC0-1.0"))


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_planted_question_is_found_at_its_place(disguise: str, make_step: Make) -> None:
    planted = [DISGUISES[disguise](question) for question in QUESTIONS]
    changed = _run(make_step({"exam": QUESTIONS}, action="mark"), [BEFORE + text + AFTER for text in planted])
    rows = changed.contamination.to_pylist()
    assert [(row["id"], row["benchmark"], row["item"]) for row in rows] == [
        (f"s/{number}", "exam", str(number)) for number in range(len(QUESTIONS))
    ]
    for row, text in zip(rows, planted, strict=True):
        end = row["start"] + row["length"] - len(BEFORE)
        assert row["share"] == 1.0
        assert not _letters(text[: row["start"] - len(BEFORE)])
        assert end <= len(text)
        assert _letters(text[end:]) in ("", "よみかた")  # the reading of the last word
        assert row["excerpt"] == (BEFORE + text + AFTER)[row["start"] :][: row["length"]]
    assert changed.contamination.schema == CONTAMINATION


def test_other_text_is_not_touched(make_step: Make) -> None:
    others = [BEFORE, AFTER, BEFORE + AFTER, "日本で3番目に高い山の名前。", "坊っちゃんを書いた作家", ""]
    changed = _run(make_step({"exam": QUESTIONS}), others)
    assert changed.batch.column("text").to_pylist() == others
    assert changed.contamination.num_rows == changed.dropped.num_rows == changed.edits.num_rows == 0


# --- the three actions ----------------------------------------------------------------------------------------------


def test_drop_says_what_was_found(make_step: Make) -> None:
    changed = _run(make_step({"exam": QUESTIONS}), [BEFORE, BEFORE + QUESTIONS[3] + QUESTIONS[1], AFTER])
    assert changed.batch.column("id").to_pylist() == ["s/0", "s/2"]
    (row,) = changed.dropped.to_pylist()
    told = {key: row[key] for key in ("id", "source", "step", "reason", "value", "threshold", "detail")}
    assert told == {
        "id": "s/1", "source": "s", "step": "decontaminate", "reason": "contaminated", "value": 1.0, "threshold": 0.7,
        "detail": "exam 1",
    }  # fmt: skip
    assert changed.dropped.schema == DROPPED
    assert changed.contamination.column("item").to_pylist() == ["1", "3"]
    assert changed.batch.column("contaminated_by").to_pylist() == [[], []]


def test_cut_takes_the_question_and_leaves_the_rest(make_step: Make) -> None:
    text = f"{BEFORE}\n問1：{QUESTIONS[4]}\n{AFTER}「{QUESTIONS[1]}」と先生が聞いた。"
    changed = _run(make_step({"exam": QUESTIONS}, action="cut"), [text, BEFORE, f"第1問　{QUESTIONS[0]}"])
    assert changed.batch.column("text").to_pylist() == [f"{BEFORE}\n{AFTER}と先生が聞いた。", BEFORE, "第1問　"]
    assert changed.batch.column("contaminated_by").to_pylist() == [[], [], []]
    edits = changed.edits.to_pylist()
    assert [(e["id"], e["kind"], text[e["start"] : e["start"] + e["length"]]) for e in edits[:2]] == [
        ("s/0", "contamination", f"問1：{QUESTIONS[4]}"),
        ("s/0", "contamination", f"「{QUESTIONS[1]}」"),
    ]
    assert changed.edits.schema == EDITS
    assert {e["before"] for e in edits} == {None}


def test_a_document_that_is_nothing_but_items_goes(make_step: Make) -> None:
    changed = _run(make_step({"exam": QUESTIONS}, action="cut"), [BEFORE, "\n".join(QUESTIONS[:3]) + "\n…"])
    assert changed.batch.column("id").to_pylist() == ["s/0"]
    assert changed.dropped.column("detail").to_pylist() == ["exam 0; nothing is left without it"]
    assert changed.edits.num_rows == 0


def test_mark_changes_nothing_but_columns(make_step: Make) -> None:
    texts = [BEFORE, BEFORE + QUESTIONS[0], QUESTIONS[7] + QUESTIONS[2]]
    step = make_step({"b": QUESTIONS[:1], "a": QUESTIONS[2:]}, action="mark")
    batch = to_batch([Document(f"s/{n}", text) for n, text in enumerate(texts)], "s", "CC0-1.0")
    changed = step.run(batch)
    assert changed.batch.drop_columns(["contaminated_by"]).equals(batch)
    assert changed.batch.column("text") is not None
    assert changed.batch.column("contaminated_by").to_pylist() == [[], ["b"], ["a"]]
    assert changed.dropped.num_rows == changed.edits.num_rows == 0


def test_each_benchmark_may_have_its_own_action_and_the_hardest_wins(make_step: Make) -> None:
    of = {"drop": {}, "cut": {"action": "cut"}, "mark": {"action": "mark"}}
    step = make_step({"drop": QUESTIONS[:1], "cut": QUESTIONS[1:2], "mark": QUESTIONS[2:3]}, of)
    first, second, third = QUESTIONS[:3]
    changed = _run(step, [first + second, BEFORE + second + third, third])
    assert changed.dropped.column("id").to_pylist() == ["s/0"]
    assert changed.batch.column("text").to_pylist() == [BEFORE + third, third]
    assert changed.batch.column("contaminated_by").to_pylist() == [["mark"], ["mark"]]
    assert changed.contamination.column("benchmark").to_pylist() == ["cut", "drop", "cut", "mark", "mark"]


def test_the_order_of_benchmarks_does_not_matter(make_step: Make) -> None:
    names = {"b": QUESTIONS[:4], "a": QUESTIONS[2:], "c": [QUESTIONS[0], QUESTIONS[0] + QUESTIONS[5]]}
    texts = [BEFORE + text + AFTER for text in QUESTIONS] + ["".join(QUESTIONS)]
    for action in ("drop", "cut", "mark"):
        there = _run(make_step(names, action=action), texts)
        back = _run(make_step(dict(reversed(names.items())), action=action), texts)
        assert all(one.equals(other) for one, other in zip(there, back, strict=True))


_piece = st.sampled_from([*QUESTIONS[:3], BEFORE, "問1：", "\n", "「", "」", "。", "本文", "（ふじ）", " "])


@pytest.fixture(scope="module")
def three_questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exam") / "three.csv"
    path.write_text("text\n" + "\n".join(QUESTIONS[:3]), encoding="utf-8")
    return path


@given(st.lists(st.lists(_piece, max_size=8).map("".join), min_size=1, max_size=4), st.sampled_from(["cut", "mark"]))
def test_cut_removes_its_spans_and_mark_nothing(three_questions: Path, texts: list[str], action: str) -> None:
    step = Decontaminate.model_validate(
        {"step": "decontaminate", "action": action, "benchmarks": [{"name": "exam", "path": str(three_questions)}]}
    )
    changed = _run(step, texts)
    left = dict(zip(changed.batch.column("id").to_pylist(), changed.batch.column("text").to_pylist(), strict=True))
    assert set(left) | set(changed.dropped.column("id").to_pylist()) == {f"s/{n}" for n in range(len(texts))}
    for number, text in enumerate(texts):
        spans = [edit for edit in changed.edits.to_pylist() if edit["id"] == f"s/{number}"]
        kept = [True] * len(text)
        for span in spans:
            kept[span["start"] : span["start"] + span["length"]] = [False] * span["length"]
        expected = "".join(character for character, stays in zip(text, kept, strict=True) if stays)
        if f"s/{number}" in left:
            assert left[f"s/{number}"].replace("\n", "") == expected.replace("\n", "")
            assert spans or left[f"s/{number}"] == text
            if action == "cut":
                assert not any(question in left[f"s/{number}"] for question in QUESTIONS[:3])


# --- what can be looked for -----------------------------------------------------------------------------------------


def test_short_texts_are_looked_for_whole_or_not_at_all(make_step: Make) -> None:
    texts = [
        "富士山はどこ？",
        "富士山はどの県にある？",
        "富士山はどの県にあるか？",
        "！？……――",
    ]  # keys of 6, 10, 11 and 0
    step = make_step({"exam": texts}, action="mark")
    found = _run(step, ["先生が富士山はどの県にあるかと聞いた", "富士山はどの県にあるのか", "富士山はどこ", "！？……――"])
    assert found.contamination.column("item").to_pylist() == ["2"]
    assert found.contamination.column("id").to_pylist() == ["s/0"]
    (facts,) = step.index().facts.to_pylist()
    assert (facts["items"], facts["searchable_items"], facts["texts"], facts["too_short"]) == (4, 1, 4, 3)
    (facts,) = make_step({"exam": [*texts, QUESTIONS[0]]}, shortest=None).index().facts.to_pylist()
    assert (facts["searchable_items"], facts["too_short"]) == (1, 4)


def test_an_instruction_is_no_item(make_step: Make) -> None:
    instruction = "次の文章を読んで、内容と合っているものを選択肢から一つ選びなさい。"
    texts = [f"{instruction}{question}" for question in QUESTIONS * 2]
    texts = [f"{text}（その{number}）" for number, text in enumerate(texts)] + [instruction]
    step = make_step({"exam": texts}, action="mark")
    changed = _run(step, [BEFORE + instruction + AFTER, instruction + "選択肢は四つある。", instruction + QUESTIONS[5]])
    assert changed.contamination.column("id").unique().to_pylist() == ["s/2"]
    assert set(changed.contamination.column("item").to_pylist()) == {"5", "13"}
    (facts,) = step.index().facts.to_pylist()
    assert (facts["only_common"], facts["searchable_items"]) == (1, 16)


def test_items_with_one_text_are_all_named(make_step: Make) -> None:
    step = make_step({"exam": [QUESTIONS[0], QUESTIONS[1], QUESTIONS[0].replace("2", "２")]}, action="mark")
    assert _run(step, [QUESTIONS[0]]).contamination.column("item").to_pylist() == ["0", "2"]
    (facts,) = step.index().facts.to_pylist()
    assert (facts["items"], facts["texts"]) == (3, 2)


def test_one_character_changed_in_a_passage_is_no_disguise(make_step: Make) -> None:
    passage = "".join(QUESTIONS)
    changed = _run(make_step({"exam": [passage]}, action="mark"), [passage.replace("授業", "講義"), passage[:60]])
    assert [(row["id"], round(row["share"], 2)) for row in changed.contamination.to_pylist()] == [("s/0", 0.93)]


def test_settings_of_one_benchmark_override_the_step(make_step: Make) -> None:
    texts = [QUESTIONS[0], "富士山の高さは？"]
    half = BEFORE + QUESTIONS[0][:17]
    step = make_step({"exam": texts}, {"exam": {"ngram": 7, "minimum_share": 0.5}}, action="mark")
    assert _run(step, [half, "富士山の高さは"]).contamination.num_rows == 2
    assert _run(make_step({"exam": texts}, action="mark"), [half, "富士山の高さは"]).contamination.num_rows == 0


def test_an_empty_batch_has_the_column(make_step: Make) -> None:
    changed = _run(make_step({"exam": QUESTIONS}), [])
    assert changed.batch.num_rows == 0
    assert changed.batch.schema.field("contaminated_by").type == pa.list_(pa.string())


def test_a_benchmark_without_anything_to_look_for_is_refused(make_step: Make) -> None:
    with pytest.raises(DataError, match="long enough to be looked for"):
        make_step({"exam": ["はい", "？？？"]}).check()
    with pytest.raises(UsageError, match="no file matches"):
        make_step({"exam": QUESTIONS}, {"exam": {"path": "nowhere/*.jsonl"}}).check()
    with pytest.raises(pydantic.ValidationError, match="two are called 'a'"):
        Decontaminate.model_validate({"step": "decontaminate", "benchmarks": [{"name": "a"}, {"name": "a"}]})


def test_what_a_benchmark_holds_is_part_of_the_identity_and_where_it_lies_is_not(
    make_step: Make, tmp_path: Path
) -> None:
    first = make_step({"exam": QUESTIONS}).identity()
    moved = tmp_path / "elsewhere" / "exam.jsonl"
    moved.parent.mkdir()
    (tmp_path / "exam.jsonl").rename(moved)
    place = {"step": "decontaminate", "benchmarks": [{"name": "exam", "path": str(moved)}]}
    assert Decontaminate.model_validate(place).identity() == first
    moved.write_text(moved.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert Decontaminate.model_validate(place).identity() != first


def test_errors_are_sentences(make_step: Make) -> None:
    with pytest.raises(JpfmError) as caught:
        make_step({"exam": QUESTIONS}, {"exam": {"fields": ["question"]}}).check()
    assert "item 0 has no field 'question'" in caught.value.message
    assert "fields found: text" in caught.value.hint
