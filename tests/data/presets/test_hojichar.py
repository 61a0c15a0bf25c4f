"""hojichar-default against the installed HojiChar: each filter alone, and all of them in order."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jpfm.data.document import Document, to_batch
from jpfm.data.steps.base import Step
from jpfm.data.steps.presets.hojichar import DIFFERENCES, HojicharDefault
from jpfm.data.steps.signals import BulletinBoard, Characters, Lines, Repeats
from jpfm.data.steps.word_signals import Nouns, WordList, WordLists

theirs = pytest.importorskip("hojichar.filters.document_filters", reason="HojiChar is not installed")
pytest.importorskip("emoji", reason="HojiChar's filters of words and symbols need the package emoji")

Reasons = Callable[..., list[str | None]]
PRESET = HojicharDefault(step="hojichar-default")
FILTERS = {
    "not_japanese": "AcceptJapanese", "adult": "DiscardAdultContentJa", "adult_en": "DiscardAdultContentEn",
    "discrimination": "DiscardDiscriminationContentJa", "violence": "DiscardViolenceContentJa",
    "bulletin_board": "DiscardBBSComments", "advertisement": "DiscardAds", "rare_kuten": "DiscardRareKuten",
    "nouns": "DiscardTooManyNouns", "character_repetition": "CharRepetitionRatioFilter",
    "word_repetition": "WordRepetitionRatioFilter", "special_characters": "DiscardTooManySpecialToken",
    "one_character": "SingleCharacterRepetitionFilter", "ellipses": "DiscardTooManyEndingEllipsis",
    "short_lines": "DiscardTooShortLines",
}  # fmt: skip
NOTHING: dict[str, Any] = {name: None for name in HojicharDefault.model_fields if name != "step"}
RULES = {
    "not_japanese": "lookup_chars", "bulletin_board": "maximum_bulletin_board_marks",
    "advertisement": "maximum_advertisement", "rare_kuten": "maximum_chars_per_kuten", "nouns": "noun_share",
    "character_repetition": "frequent_5gram_share", "word_repetition": "repeated_words_share",
    "special_characters": "maximum_special_share", "one_character": "run_chars",
    "ellipses": "maximum_ellipsis_line_share", "short_lines": "maximum_short_line_share",
}  # fmt: skip


@pytest.fixture(scope="module")
def signals(shared_data: Path) -> tuple[Step, ...]:
    folder = shared_data / "lists" / "hojichar"
    files = {"adult": "adult_keywords_ja", "adult_en": "adult_keywords_en", "violence": "violence_keywords_ja",
             "discrimination": "discrimination_keywords_ja", "advertisement": "advertisement_keywords_ja"}  # fmt: skip
    lists = [
        WordList(name=name, path=str(folder / f"{file}.txt"), language="en" if name.endswith("_en") else "ja")
        for name, file in files.items()
    ]
    return (
        Characters(step="characters"), Lines(step="lines"), Repeats(step="repeats"),
        BulletinBoard(step="bulletin_board", as_published=True), Nouns(step="nouns"),
        WordLists(step="word_lists", lists=tuple(lists)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def more_texts(texts: list[str], signals: tuple[Step, ...]) -> list[str]:
    """Each text, and some with words of the lists strewn in."""
    draw = random.Random(2)
    lists = next(step for step in signals if isinstance(step, WordLists)).lists
    strewn = []
    for words in lists:
        found = words.words()
        for count in (1, 2, 14, 15, 16):
            middle = "、".join(draw.choices(found, k=count)) if words.language == "ja" else " ".join(
                word.upper() if count % 2 else word for word in draw.choices(found, k=count)
            )  # fmt: skip
            strewn += [f"昔むかしの話である。 {middle} と書いてあった。", middle, f"x{middle}x", f"あ {middle}\n"]
    return [*texts, *strewn]


@pytest.fixture(scope="module")
def verdicts(more_texts: list[str]) -> dict[str, list[bool]]:
    """What HojiChar rejects, by our name of the rule."""
    from hojichar import Document as Theirs

    found = {}
    for reason, name in FILTERS.items():
        rule = getattr(theirs, name)()
        found[reason] = [bool(rule.apply(Theirs(text)).is_rejected) for text in more_texts]
    return found


def test_all_filters_in_order(
    more_texts: list[str], signals: tuple[Step, ...], verdicts: dict[str, list[bool]], reasons: Reasons
) -> None:
    """The first that rejects names the reason."""
    expected = [next((r for r in FILTERS if verdicts[r][n]), None) for n in range(len(more_texts))]
    found = reasons(more_texts, *signals, PRESET)
    wrong = [(more_texts[n][:60], a, b) for n, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b]
    assert wrong == []
    assert Counter(found)[None] > 50


def test_each_filter_alone(more_texts: list[str], signals: tuple[Step, ...], verdicts: dict[str, list[bool]]) -> None:
    batch = to_batch([Document(str(n), text) for n, text in enumerate(more_texts)], "s", "CC0-1.0")
    for step in signals:
        batch = step.run(batch).batch
    for reason, rejected in verdicts.items():
        only = RULES.get(reason, "maximum_ng_words")
        default = HojicharDefault.model_fields[only].default
        preset = HojicharDefault.model_validate({"step": "hojichar-default"} | NOTHING | {only: default})
        dropped = preset.run(batch).dropped.to_pylist()
        if only == "maximum_ng_words":  # four lists under one threshold
            column = batch.column(f"words_{reason}_hits").to_pylist()
            assert [hits > 0 for hits in column] == rejected, reason
            continue
        ids = {int(row["id"]) for row in dropped}
        assert {row["reason"] for row in dropped} == {reason}, "a rule that never fires is not tested"
        wrong = [more_texts[n][:60] for n in range(len(more_texts)) if (n in ids) != rejected[n]]
        assert wrong == [], reason


def test_counts_of_words_are_those_of_its_expressions(
    more_texts: list[str], signals: tuple[Step, ...], shared_data: Path
) -> None:
    """Hits with and without `ignore_confused`, which LLM-jp compares with a number."""
    batch = to_batch([Document(str(n), text) for n, text in enumerate(more_texts)], "s", "CC0-1.0")
    for step in (signals[1], signals[-1]):
        batch = step.run(batch).batch
    seen = 0
    for name in ("adult", "discrimination", "violence"):
        for column, whole in (("hits", False), ("whole_hits", True)):
            path = shared_data / "lists" / "hojichar" / f"{name}_keywords_ja.txt"
            pattern = theirs.NgWordsFilterJa(path, ignore_confused=whole).keyword_pat
            expected = [len(pattern.findall(text)) for text in more_texts[::3]]
            assert batch.column(f"words_{name}_{column}").to_pylist()[::3] == expected, (name, column)
            seen += sum(count > 1 for count in expected)
    assert seen > 50


@pytest.mark.parametrize("length", [(10, None), (None, 30), (5, 20)])
def test_document_length(texts: list[str], reasons: Reasons, length: tuple[int | None, int | None]) -> None:
    from hojichar import Document as Theirs

    rule = theirs.DocumentLengthFilter(min_doc_len=length[0], max_doc_len=length[1])
    settings = NOTHING | {"minimum_chars": length[0], "maximum_chars": length[1]}
    preset = HojicharDefault.model_validate({"step": "hojichar-default"} | settings)
    found = reasons(texts, Characters(step="characters"), preset)
    assert [reason is not None for reason in found] == [rule.apply(Theirs(text)).is_rejected for text in texts]


def test_a_rule_left_out_needs_no_column() -> None:
    preset = HojicharDefault.model_validate(
        {"step": "hojichar-default", "noun_share": None, "repeated_words_share": None}
    )
    assert {"noun_share", "repeated_words_share"} & set(preset.needs) == set()
    assert {"noun_share", "repeated_words_share"} < set(PRESET.needs)


def test_the_listed_differences_are_real(reasons: Reasons) -> None:
    from hojichar import Document as Theirs

    hyphens, header = DIFFERENCES
    assert theirs.DiscardBBSComments().apply(Theirs(hyphens.example)).is_rejected
    for as_published, expected in ((True, "bulletin_board"), (False, None)):
        board = BulletinBoard(step="bulletin_board", as_published=as_published)
        preset = HojicharDefault.model_validate(
            {"step": "hojichar-default"} | NOTHING | {"maximum_bulletin_board_marks": 14}
        )
        assert reasons([hyphens.example], board, preset) == [expected]
    document = Theirs(header.example)
    document.set_tokens(header.example.split("\n"))
    theirs.HeaderFooterTagsRemover().apply(document)
    assert [token.is_rejected for token in document.tokens] == [True, False, False]
