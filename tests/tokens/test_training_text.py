"""Training text: kinds of lines, shares that hold, lines spread evenly, cuts that change nothing but the marks."""

import logging

import networkx  # type: ignore[import-untyped]
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jpfm.core.artifact import Artifact
from jpfm.core.errors import DataError, UsageError
from jpfm.tokens.budgets import KINDS, budgets
from jpfm.tokens.morphemes import CUT, cut, cut_scripts, cut_words
from jpfm.tokens.tokenizer_config import Shares, TokenizerConfig
from jpfm.tokens.training_text import MAX_LINE_CHARS, _copies, _cut_long, count, lines_of, sample

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
    with pytest.raises(DataError, match=r"law has 4,000 characters, 10,000 are asked for") as caught:
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


TINY = np.array([[60_000.0, 464.0, 0.0], [300_000.0, 60_000.0, 40_000.0], [90_000.0, 50_000.0, 80_000.0]])
TINY_ASK = {"weights": {"aozora": 1.0, "law": 1.0, "code": 1.0}, "shares": Shares(japanese=7, english=2, code=1)}


@pytest.mark.parametrize("short", ["error", "less", "repeat"])
def test_a_tiny_cell_does_not_decide_the_text(short: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="jpfm"):
        found = budgets(SOURCES, TINY, max_chars=180_000, short=short, **TINY_ASK)  # type: ignore[arg-type]
    assert found.sum(axis=1) == pytest.approx([60_000] * 3, rel=1e-4)
    assert found.sum(axis=0) == pytest.approx([126_000, 36_000, 18_000], rel=1e-4)
    assert found[0, 1] == pytest.approx(464), "the cell gives all it holds"
    assert (found <= TINY * (1 + 1e-9)).all(), "nothing is repeated while another source has the kind"
    assert not caplog.messages


def test_what_is_repeated_is_told_with_how_often(caplog: pytest.LogCaptureFixture) -> None:
    held = np.array([[500_000.0, 464.0, 0.0], [300_000.0, 10_000.0, 40_000.0], [90_000.0, 8_000.0, 80_000.0]])
    with caplog.at_level(logging.INFO, logger="jpfm"):
        found = budgets(SOURCES, held, max_chars=180_000, short="repeat", **TINY_ASK)  # type: ignore[arg-type]
    assert found.sum(axis=0) == pytest.approx([126_000, 36_000, 18_000], rel=1e-4)
    assert found[:, 1] / held[:, 1] == pytest.approx([36_000 / 18_464] * 3, rel=1e-4), "each as often"
    assert (found[:, [0, 2]] <= held[:, [0, 2]] * (1 + 1e-9)).all()
    assert caplog.messages == [
        "text is taken more than once: aozora (english, 464 characters) 1.9 times; law (english, 10,000 characters) "
        "1.9 times; code (english, 8,000 characters) 1.9 times"
    ]
    ask = TINY_ASK | {"max_chars": 180_000}
    with pytest.raises(DataError, match="can give 18,464 characters of english, 36,000 are asked for") as caught:
        budgets(SOURCES, held, short="error", **ask)  # type: ignore[arg-type]
    assert "max_training_chars to 92320 or less" in caught.value.hint
    less = budgets(SOURCES, held, short="less", **ask)  # type: ignore[arg-type]
    assert less.sum() == pytest.approx(92_320)
    assert less[:, 1] == pytest.approx(held[:, 1])


def test_weights_and_shares_that_cannot_hold_together_are_refused() -> None:
    ask = {"weights": {"aozora": 9.0, "law": 1.0, "code": 0.5}, "shares": Shares(japanese=1, code=1)}
    with pytest.raises(DataError, match="cannot hold together"):
        budgets(SOURCES, TOTALS, max_chars=1000, short="repeat", **ask)  # type: ignore[arg-type]


sizes = st.sampled_from([0, 0, 1, 30, 464, 5_000, 10**6])


@given(
    held=st.lists(st.tuples(sizes, sizes, sizes), min_size=1, max_size=4),
    parts=st.lists(st.sampled_from([0, 1, 2, 7]), min_size=7, max_size=7),
    chars=st.sampled_from([1_000, 50_000, 10**6]),
    short=st.sampled_from(["less", "repeat"]),
)
def test_shares_hold_where_a_maximum_flow_finds_that_they_can(
    held: list[tuple[int, int, int]], parts: list[int], chars: int, short: str
) -> None:
    totals = np.array(held, dtype=np.float64)
    weights, kinds = np.array(parts[: len(held)], dtype=np.float64), np.array(parts[4:], dtype=np.float64)
    assume(weights.sum() and kinds.sum() and totals.sum())
    assume((totals.sum(axis=1)[weights > 0] > 0).all() and (totals.sum(axis=0)[kinds > 0] > 0).all())
    weights, kinds = weights / weights.sum(), kinds / kinds.sum()
    names = [f"s{index}" for index in range(len(held))]
    most = _longest(totals, weights, kinds)

    def call() -> np.ndarray:
        return budgets(
            names, totals, weights=dict(zip(names, weights, strict=True)),
            shares=Shares(japanese=kinds[0], english=kinds[1], code=kinds[2]), max_chars=chars, short=short,  # type: ignore[arg-type]
        )  # fmt: skip

    if most < 1e-6:
        with pytest.raises(DataError, match="cannot hold together"):
            call()
        return
    found = call()
    wanted = chars if short == "repeat" else min(chars, most, totals.sum())
    assert found.sum() == pytest.approx(wanted, rel=1e-4)
    assert found.sum(axis=1) == pytest.approx(weights * wanted, rel=1e-3, abs=1e-3 * wanted)
    assert found.sum(axis=0) == pytest.approx(kinds * wanted, rel=1e-3, abs=1e-3 * wanted)
    assert not found[totals == 0].any()
    if wanted <= most:
        assert (found <= totals * (1 + 1e-6)).all()


def _longest(totals: np.ndarray, weights: np.ndarray, kinds: np.ndarray) -> float:
    """The longest text that takes nothing twice, by networkx's maximum flow and bisection: an oracle."""
    low, high = 0.0, 2 * float(totals.sum())
    for _ in range(60):
        chars = (low + high) / 2
        flow = networkx.DiGraph()
        flow.add_nodes_from(["from", "to"])
        for row, weight in enumerate(weights):
            flow.add_edge("from", row, capacity=weight * chars)
            for kind, held in enumerate(totals[row]):
                flow.add_edge(row, KINDS[kind], capacity=held)
        for kind, share in enumerate(kinds):
            flow.add_edge(KINDS[kind], "to", capacity=share * chars)
        enough = networkx.maximum_flow_value(flow, "from", "to") >= chars * (1 - 1e-9)
        low, high = (chars, high) if enough else (low, chars)
    return low


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
