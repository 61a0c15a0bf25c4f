"""swallow-v1 against a slow reading of the published rules: every column and every verdict on real text and junk."""

import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jpfm.data.document import Document, to_batch
from jpfm.data.steps.presets.swallow import DIFFERENCES, SwallowV1
from jpfm.data.steps.signals import Characters, Lines, Repeats
from jpfm.data.steps.word_signals import WordList, WordLists

Reasons = Callable[..., list[str | None]]
SIGNALS = (Characters(step="characters"), Lines(step="lines", as_published=True), Repeats(step="repeats"))
PRESET = SwallowV1(step="swallow-v1")


@pytest.fixture(scope="module")
def rules() -> Any:
    path = Path(__file__).parents[3] / "benchmarks" / "data" / "swallow_rules.py"
    spec = importlib.util.spec_from_file_location("swallow_rules", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_column_equals_the_slow_reading(texts: list[str], rules: Any) -> None:
    batch = to_batch([Document(str(n), text) for n, text in enumerate(texts)], "s", "CC0-1.0")
    for step in SIGNALS:
        batch = step.run(batch).batch
    for n, text in enumerate(texts):
        expected = rules.signals(text)
        assert set(PRESET.needs) == set(expected)
        assert {name: batch.column(name)[n].as_py() for name in expected} == expected, text[:80]


@pytest.mark.parametrize("as_published", [True, False])
def test_the_verdicts_are_those_of_the_published_rules(
    texts: list[str], rules: Any, reasons: Reasons, as_published: bool
) -> None:
    lines = Lines(step="lines", as_published=as_published)
    found = reasons(texts, Characters(step="characters"), lines, Repeats(step="repeats"), PRESET)
    assert found == [rules.judge(text, all_kanji=not as_published) for text in texts]
    counts = Counter(found)
    assert counts[None] > 20, "real prose passes"
    assert len(counts) > 12, "many rules are exercised"


def test_every_rule_can_be_the_reason(reasons: Reasons) -> None:
    """Loosened until only the rule in question is left."""
    prose = "".join(
        f"{chr(0x4E00 + 37 * n)}の話を{chr(0x5E00 + 53 * n)}と聞いたのは{n}日前のことであった。" for n in range(40)
    )
    loose: dict[str, Any] = {"minimum_chars": 0, "minimum_japanese_letters": 0}
    cases = {
        "too_short": ("短い。", {}),
        "little_hiragana": ("漢字仮名交文。" * 3, loose | {"mean_sentence_chars": (0, 90)} | _anything_repeats()),
        "much_katakana": ("アイウエオカキクケコあいうえ。", loose | _anything_repeats()),
        "little_japanese": ("abcdefghijklmnopあいうえお。", loose | _anything_repeats()),
        "long_sentences": (prose.replace("。", "、")[:150], loose | _anything_repeats() | {"minimum_hiragana": 0}),
        "ellipses": ("今日は朝から雨が降っていて、とても寒かったので…", loose | _anything_repeats()),
    }
    for reason, (text, settings) in cases.items():
        preset = SwallowV1.model_validate({"step": "swallow-v1"} | settings)
        assert reasons([text], *SIGNALS, preset) == [reason], reason


def _anything_repeats() -> dict[str, Any]:
    return {
        "maximum_top_gram_shares": (1, 1, 1), "maximum_duplicate_gram_shares": (1,) * 6,
        "maximum_repeated_line_share": 1, "maximum_repeated_sentence_share": 1,
        "maximum_repeated_line_char_share": 1, "maximum_repeated_sentence_char_share": 1,
    }  # fmt: skip


def test_ng_words_count_by_their_longest_match(tmp_path: Path, reasons: Reasons) -> None:
    """5 % of the Japanese letters is too much, as its `ng_fraction < 0.05` says."""
    path = tmp_path / "ng.txt"
    path.write_text("禁句\n禁句集\n", encoding="utf-8")
    lists = WordLists(step="word_lists", lists=(WordList(name="ng", path=str(path)),))
    loose = {"minimum_chars": 0, "minimum_japanese_letters": 0, "mean_sentence_chars": (0, 90)} | _anything_repeats()
    preset = SwallowV1.model_validate({"step": "swallow-v1", "ng_list": "ng"} | loose)
    assert preset.needs[-1] == "words_ng_share"
    texts = ["禁句集" + "あ" * 57, "禁句集" + "あ" * 58, "禁句の句" + "あ" * 30]
    assert reasons(texts, *SIGNALS, lists, preset) == ["ng_words", None, "ng_words"]


def test_the_listed_differences_are_real(rules: Any, reasons: Reasons) -> None:
    rare, empty = DIFFERENCES
    ours, theirs = (_letters(rare.example, as_published=flag) for flag in (False, True))
    assert (ours, theirs) == (13, 10)
    assert rules.signals(rare.example)["num_japanese_letters"] == theirs
    assert reasons([empty.example], *SIGNALS, PRESET) == [empty.ours]


def _letters(text: str, *, as_published: bool) -> int:
    batch = Lines(step="lines", as_published=as_published).run(to_batch([Document("0", text)], "s", "CC0-1.0")).batch
    return int(batch.column("num_japanese_letters")[0].as_py())
