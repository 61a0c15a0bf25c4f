"""Training text: kinds of lines, shares that hold, lines spread evenly, cuts that change nothing but the marks."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.artifact import Artifact
from jpfm.core.errors import DataError, UsageError
from jpfm.tokens.morphemes import CUT, cut, cut_scripts, cut_words
from jpfm.tokens.tokenizer_config import Shares, TokenizerConfig
from jpfm.tokens.training_text import KINDS, MAX_LINE_CHARS, _copies, _cut_long, budgets, count, lines_of, sample

SOURCES = ("aozora", "law", "code")
TOTALS = np.array([[9000.0, 1000.0, 0.0], [4000.0, 0.0, 0.0], [1000.0, 2000.0, 3000.0]])
ALL = {"short": "error", "seed": 0, "max_chars": 10**9}


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("吾輩は猫である。", "japanese"),
        ("ｶﾀｶﾅ", "japanese"),
        ("// 合計を返す", "japanese"),
        ("𠮷", "japanese"),
        ("It is a truth universally acknowledged.", "english"),
        ("2026-11-29", "english"),
        ("    for (int i = 0; i < n; ++i) {", "code"),
        ("}", "code"),
        ("#include <vector>", "code"),
    ],
)
def test_the_kind_of_a_line(line: str, kind: str) -> None:
    assert [KINDS[found] for found in lines_of(pa.array([line])).kinds] == [kind]


def test_lines_between_fences_are_code_and_empty_lines_are_none() -> None:
    text = "説明\n\n```cpp\n日本語の注釈\nplain words\n```\n終わり\n~~~~\n罫線"
    found = lines_of(pa.array([text]))
    kinds = [KINDS[kind] for kind in found.kinds]
    assert kinds == ["japanese", "code", "code", "code", "code", "japanese", "english", "japanese"]
    assert found.chars.tolist() == [2, 6, 6, 11, 3, 3, 4, 2]


def test_weights_and_shares_hold_together() -> None:
    weights = {"aozora": 1.0, "law": 1.0, "code": 2.0}
    shares = Shares(japanese=6, english=3, code=1)
    found = budgets(SOURCES, TOTALS, weights=weights, shares=shares, max_chars=1000, short="error")
    assert found.sum() == pytest.approx(1000)
    assert found.sum(axis=1) == pytest.approx([250, 250, 500], rel=1e-3)
    assert found.sum(axis=0) == pytest.approx([600, 300, 100], rel=1e-3)


def test_too_little_text_is_an_error_or_less_or_repeated() -> None:
    weights = {"aozora": 0.5, "law": 0.5, "code": 0.0}
    ask = {"weights": weights, "shares": None, "max_chars": 20_000}
    with pytest.raises(DataError, match=r"law \(japanese\) has 4,000 characters, 10,000 are asked for") as caught:
        budgets(SOURCES, TOTALS, short="error", **ask)  # type: ignore[arg-type]
    assert "max_training_chars to 8000 or less" in caught.value.hint
    budgets(SOURCES, TOTALS, short="error", **ask | {"max_chars": 8000})  # type: ignore[arg-type]
    assert budgets(SOURCES, TOTALS, short="less", **ask).sum() == pytest.approx(8000)  # type: ignore[arg-type]
    repeated = budgets(SOURCES, TOTALS, short="repeat", **ask)  # type: ignore[arg-type]
    assert repeated.sum(axis=1) == pytest.approx([10_000, 10_000, 0])


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"aozora": 1, "law": 1, "code": 1, "lwa": 1}, "'lwa' names no source"),
        ({"aozora": 1, "law": 1}, "'code' is missing; 0 leaves a source out"),
    ],
)
def test_weights_that_name_other_sources_are_refused(weights: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        budgets(SOURCES, TOTALS, weights=weights, shares=None, max_chars=10, short="error")
    assert "aozora, law, code" in caught.value.hint


def test_a_kind_without_text_is_an_error() -> None:
    with pytest.raises(DataError, match="there is no text of 'english'"):
        budgets(("law",), TOTALS[1:2], weights=None, shares=Shares(english=1), max_chars=10, short="less")


@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    rate=st.floats(0, 3),
    seed=st.integers(0, 10**6),
)
def test_lines_are_taken_evenly_and_the_same_in_any_batches(sizes: list[int], rate: float, seed: int) -> None:
    total = sum(sizes)
    rates = np.array([0.0, rate])
    cells = np.ones(total, dtype=np.int64)
    whole = _copies(cells, rates, np.full(2, seed))
    seen = np.full(2, seed)
    batches = [_copies(np.ones(size, dtype=np.int64), rates, seen) for size in sizes]
    assert np.concatenate(batches).tolist() == whole.tolist()
    assert set(np.unique(whole)) <= {int(rate), int(rate) + 1}
    running = np.cumsum(whole) - rate * np.arange(1, total + 1)
    assert np.abs(running).max() < 6, "any stretch of lines gives its share within a few lines"


def test_a_sample_of_the_corpus_has_its_shares(corpus: Artifact) -> None:
    sources, totals = count(corpus)
    everything = sample(corpus, weights=None, shares=None, **ALL)  # type: ignore[arg-type]
    assert int(everything.lines.str.len_chars().sum()) == int(totals.sum())
    assert everything.only(["code"], []).lines.len() < everything.lines.len()
    weights = dict.fromkeys(sources, 1.0)
    some = sample(corpus, weights=weights, shares=None, max_chars=20_000, short="repeat", seed=1)
    by_source = {name: sum(kinds.values()) for name, kinds in some.chars().items()}
    assert set(by_source) == set(sources)
    for chars in by_source.values():
        assert chars == pytest.approx(20_000 / len(sources), rel=0.25)
    again = sample(corpus, weights=weights, shares=None, max_chars=20_000, short="repeat", seed=1)
    assert again.lines.equals(some.lines)
    other = sample(corpus, weights=weights, shares=None, max_chars=20_000, short="repeat", seed=2)
    assert not other.lines.equals(some.lines)


def test_long_lines_are_cut_and_lose_nothing() -> None:
    line = "あ𠮷" * MAX_LINE_CHARS
    frame = pl.DataFrame({"line": [line, "短い"], "source": [0, 1], "kind": [0, 0]})
    cut_up = _cut_long(frame)
    assert cut_up["line"].str.len_chars().to_list() == [MAX_LINE_CHARS, MAX_LINE_CHARS, 2]
    assert "".join(cut_up["line"].to_list()) == line + "短い"


@pytest.mark.parametrize(
    ("morphemes", "units"),
    [
        ("short", ["食べ", "られ", "なかっ", "た", "駅前", "の", "店", "へ 2", "回", "行っ", "た", "。"]),
        ("bunsetsu", ["食べられなかった", "駅前の", "店へ 2", "回", "行った", "。"]),
        ("none", ["食べられなかった駅前の店へ 2回行った。"]),
    ],
)
def test_words_are_cut(morphemes: str, units: list[str]) -> None:
    line = "食べられなかった駅前の店へ 2回行った。"
    assert cut_words(pl.Series([line]), morphemes).to_list()[0].split(CUT) == units  # type: ignore[arg-type]


def test_scripts_are_kept_apart() -> None:
    line = "東京タワーはTokyo Tower、100mの㈱々ゝ！"
    assert cut_scripts(pl.Series([line])).to_list()[0].split(CUT) == [
        "東京", "タワー", "は", "Tokyo", " Tower", "、100", "m", "の", "㈱", "々", "ゝ", "！"
    ]  # fmt: skip


@given(lines=st.lists(st.text(st.sampled_from("東京タワーは、 　\tA1ぁ𠮷ｶﾞ-") | st.characters(
    exclude_categories=["Cs"], exclude_characters="\n\x1f\0"), max_size=20), max_size=8))  # fmt: skip
@pytest.mark.parametrize("morphemes", ["short", "bunsetsu"])
def test_cuts_add_marks_and_nothing_else(lines: list[str], morphemes: str) -> None:
    found = cut(pl.Series(lines, dtype=pl.String), morphemes, "strict")  # type: ignore[arg-type]
    assert found.str.replace_all(CUT, "", literal=True).to_list() == lines


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weights": {"a": 0}}, "all are 0"),
        ({"shares": {}}, "all shares are 0"),
        ({"parts": [{"name": "ja", "share": 0.5}]}, "make 0.5, not 1"),
        ({"parts": [{"name": "ja", "share": 1}], "model": "bpe"}, "need model: unigram"),
        ({"parts": [{"name": "ja", "share": 0.5}, {"name": "ja", "share": 0.5}]}, "same name"),
        ({"vocab_size": 400, "special_tokens": {"reserved": 200}}, "leaves no pieces"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TokenizerConfig.model_validate({"stage": "tokenizer"} | settings)
