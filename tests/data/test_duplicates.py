"""Exact and near duplicates: which documents go, for which one that stays, and that no candidate is taken on trust."""

import itertools
import random
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.data.corpus_steps import Decided, run_step

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError, UsageError
from jpfm.core.shards import Engine
from jpfm.data.build import build
from jpfm.data.document import SCHEMA, Document, to_batch
from jpfm.data.duplicates import bands as band_join
from jpfm.data.duplicates.bands import candidates, unpack
from jpfm.data.duplicates.verdicts import Rows
from jpfm.data.recipe import Recipe
from jpfm.data.signatures import like, make_signatures
from jpfm.data.steps.base import Changed
from jpfm.data.steps.exact_duplicates import ExactDuplicates
from jpfm.data.steps.near_duplicates import FIGURES, NearDuplicates, banding, probability

Make = Callable[..., Recipe]
WORDS = "傘本花鍵箱縄皿紙筆糸石橋舟窓森港坂畑"
LONG = "".join(f"{n}番目の停留所では、{word}を持った人が降りていった。" for n, word in enumerate(WORDS[:10] * 3))


def _near(**settings: Any) -> NearDuplicates:
    return NearDuplicates.model_validate({"step": "near_duplicates"} | settings)


def _exact(**settings: Any) -> ExactDuplicates:
    return ExactDuplicates.model_validate({"step": "exact_duplicates"} | settings)


def _batch(texts: Sequence[str], source: str = "s", dates: Sequence[str] | None = None) -> pa.RecordBatch:
    rows = [
        Document(f"{source}/{n}", text, date=date)
        for n, (text, date) in enumerate(zip(texts, dates or [""] * len(texts), strict=True))
    ]
    return to_batch(rows, source, "CC0-1.0")


def _many(texts: pa.Array) -> pa.RecordBatch:
    """A batch of any number of texts, made by column."""
    count = len(texts)
    ids = pc.binary_join_element_wise("s/", pa.array(np.arange(count)).cast(pa.string()), "")
    columns = {"id": ids, "text": texts, "source": pa.repeat("s", count)}
    rest = {f.name: pa.repeat(pa.scalar(1 if f.name == "decode_confidence" else "", f.type), count) for f in SCHEMA}
    return pa.record_batch([(rest | columns)[field.name] for field in SCHEMA], schema=SCHEMA)


def _kept(results: Sequence[Changed]) -> list[str]:
    return [i for result in results for i in result.batch.column("id").to_pylist()]


def _dropped(results: Sequence[Changed]) -> dict[str, str]:
    """Id of each dropped document -> the document it goes for."""
    return {row["id"]: row["detail"].removeprefix("same as ") for r in results for row in r.dropped.to_pylist()}


def _story(seed: int, sentences: int = 20) -> str:
    draw = random.Random(seed)

    def one() -> str:
        return draw.choice(WORDS)

    return "".join(
        f"{one()}{one()}の{draw.choice('二三四五六七八九')}{one()}を{one()}から{one()}へ"
        f"{draw.choice(('運ぶ', '置いた', '見に行く', '忘れた'))}。"
        for _ in range(sentences)
    )


def _edited(draw: random.Random, text: str, share: float) -> str:
    characters = list(text)
    for _ in range(max(1, int(len(text) * share / 5))):
        place = draw.randrange(len(characters))
        if (kind := draw.randrange(3)) == 0:
            characters[place] = draw.choice(WORDS)
        elif kind == 1:
            characters.insert(place, draw.choice(WORDS))
        else:
            del characters[place]
    return "".join(characters)


# --- equal texts ----------------------------------------------------------------------------------------------------


def test_the_first_of_equal_texts_stays_over_all_shards(tmp_path: Path) -> None:
    one, two = _batch(["朝の市場", "別", "朝の市場"], "a"), _batch(["別", "朝の市場", "朝の市場。", ""], "b")
    results = run_step(_exact(), tmp_path, one, two)
    assert _kept(results) == ["a/0", "a/1", "b/2", "b/3"]
    assert _dropped(results) == {"a/2": "a/0", "b/0": "a/1", "b/1": "a/0"}
    assert [r.batch.column("num_copies").to_pylist() for r in results] == [[3, 2], [1, 1]]
    assert {(row["reason"], row["value"], row["threshold"]) for r in results for row in r.dropped.to_pylist()} == {
        ("exact_duplicate", 1.0, 1.0)
    }


@pytest.mark.parametrize(
    ("one", "two", "equal"),
    [
        ("東京　都\n", "東京都", True),
        ("ﾊﾟﾘ", "パリ", True),
        ("か\u3099", "が", True),
        ("㈱", "（株）", False),
        ("パリ", "ハリ", False),
        ("令和5年", "令和6年", False),
        ("Tokyo", "tokyo", False),
        ("はい。", "はい", False),
    ],
)
def test_width_and_white_space_alone_make_no_difference(one: str, two: str, equal: bool, tmp_path: Path) -> None:
    assert (len(_kept(run_step(_exact(), tmp_path, _batch([one, two])))) == 1) == equal


DATED = {
    "2024-05-01": 4, "2024-05-01T12:30:00+09:00": 4, "2024/05/01": 4, "20240501": 4, "2024-05": 3, "2024": 2,
    "2023-12-31": 1, "": 0, "令和6年5月1日": 0, "２０２４": 0, "24-05-01": 0, "unknown": 0,
}  # fmt: skip


@pytest.mark.parametrize(("one", "two"), list(itertools.permutations(DATED, 2)))
def test_the_newest_stays_and_an_unknown_date_is_the_oldest(one: str, two: str) -> None:
    step = _exact(prefer={"rule": "newest"})
    first, second = step.sketch(_batch(["文", "文"], dates=[one, two])).column("priority").to_pylist()
    assert (first < second, first > second) == (DATED[one] > DATED[two], DATED[one] < DATED[two])


@pytest.mark.parametrize(
    ("prefer", "stays"),
    [
        ({}, "web/0"),
        ({"rule": "longest"}, "web/1"),
        ({"rule": "newest"}, "law/0"),
        ({"sources": ["law"]}, "law/0"),
        ({"sources": ["law"], "rule": "longest"}, "law/1"),
        ({"sources": ["minutes", "law"]}, "minutes/0"),
        ({"sources": ["minutes", "law"], "rule": "newest"}, "minutes/0"),
        ({"sources": ["other"]}, "web/0"),
    ],
)
def test_the_rule_of_the_recipe_says_which_copy_stays(prefer: dict[str, Any], stays: str, tmp_path: Path) -> None:
    batches = [
        _batch(["同じ 文", "同 じ　　　　文"], "web", ["2020", ""]),
        _batch(["同じ文", "同 じ文"], "law", ["2024-01-01", "2023"]),
        _batch(["同じ文"], "minutes", ["2001"]),
    ]
    for step in (_exact(prefer=prefer), _near(prefer=prefer)):
        results = run_step(step, tmp_path, *batches)
        assert _kept(results) == [stays]
        assert set(_dropped(results).values()) == {stays}


# --- near duplicates ------------------------------------------------------------------------------------------------


def test_near_copies_go_and_look_alikes_stay(tmp_path: Path) -> None:
    texts = [
        LONG, LONG.replace("花", "華"), LONG[: len(LONG) // 2], "パリの春は寒い。", "ハリの春は寒い。",
        "令和5年度の予算", "令和6年度の予算", LONG.replace("。", "。\n"),
    ]  # fmt: skip
    (result,) = run_step(_near(), tmp_path, _batch(texts))
    assert result.batch.column("id").to_pylist() == [f"s/{n}" for n in (0, 2, 3, 4, 5, 6)]
    assert result.batch.column("cluster_size").to_pylist() == [3, 1, 1, 1, 1, 1]
    for row in result.dropped.to_pylist():
        assert (row["reason"], row["detail"], row["threshold"]) == ("near_duplicate", "same as s/0", 0.8)
        assert 0.8 <= row["value"] <= 1


def _pair(common: int, union: int) -> tuple[str, str]:
    """Two texts without a character twice in which a share of the single characters is common: Jaccard by hand."""
    letters = [chr(0x4E00 + n) for n in range(union)]
    middle = common + (union - common) // 2
    return "".join(letters[:middle]), "".join(letters[:common] + letters[middle:])


@pytest.mark.parametrize(
    ("common", "union", "dropped"),
    [(80, 100, 1), (79, 100, 0), (4, 5, 1), (799, 1000, 0), (800, 1000, 1), (801, 1000, 1)],
)
def test_the_threshold_itself_counts_as_similar(common: int, union: int, dropped: int, tmp_path: Path) -> None:
    step = _near(ngram=1, jaccard=0.8, bands=500, rows_per_band=1)
    (result,) = run_step(step, tmp_path, _batch(_pair(common, union)))
    assert result.dropped.num_rows == dropped
    assert result.dropped.column("value").to_pylist() == [common / union] * dropped


def test_a_document_goes_only_for_a_similar_one_that_stays(tmp_path: Path) -> None:
    chain = [LONG]
    for old, new in (("傘", "笠"), ("本", "帳"), ("花", "華")):
        chain.append(chain[-1].replace(old, new))
    one, two = _batch(chain[:2], "a"), _batch(chain[2:], "b")
    results = run_step(_near(jaccard=0.9), tmp_path, one, two)
    assert _kept(results) == ["a/0", "b/0"]  # b/0 is like a/1, which goes, and not like a/0
    assert _dropped(results) == {"a/1": "a/0", "b/1": "b/0"}
    assert [r.batch.column("cluster_size").to_pylist() for r in results] == [[2], [2]]
    results = run_step(_near(jaccard=0.9, clusters="connected"), tmp_path, one, two)
    assert _kept(results) == ["a/0"]
    assert set(_dropped(results).values()) == {"a/0"}
    assert results[0].batch.column("cluster_size").to_pylist() == [4]
    assert all(row["value"] >= 0.8 for r in results for row in r.dropped.to_pylist())


def test_a_star_of_versions_leaves_its_centre(tmp_path: Path) -> None:
    letters = [_story(n, 3) for n in range(60)]
    centre = "".join(letters)
    versions = ["".join([*letters[:n], _story(900 + n, 3), *letters[n + 1 :]]) for n in range(0, 60, 2)]
    batch = _batch([*versions, centre], dates=["2020"] * 30 + ["2024"])
    (result,) = run_step(_near(jaccard=0.955, bands=64, rows_per_band=2, prefer={"rule": "newest"}), tmp_path, batch)
    assert _kept([result]) == ["s/30"]  # at most 0.952 alike with each other, at least 0.966 with it
    assert result.batch.column("cluster_size").to_pylist() == [31]
    (first,) = run_step(_near(jaccard=0.955, bands=64, rows_per_band=2), tmp_path, batch)
    assert _kept([first]) == [f"s/{n}" for n in range(30)]
    assert first.batch.column("cluster_size").to_pylist() == [2, *[1] * 29]


def test_short_empty_and_odd_documents(tmp_path: Path) -> None:
    texts = [
        "",
        "。、",
        "\n",
        "あ",
        "あ",
        "い",
        "はい",
        "はい！",
        "いいえ",
        "あいうえ",
        "あいうえお",
        "ー" * 50,
        "ー" * 70,
    ]
    (result,) = run_step(_near(), tmp_path, _batch(texts))
    assert _dropped([result]) == {"s/4": "s/3", "s/7": "s/6", "s/12": "s/11"}  # empty keys are no cluster
    (result,) = run_step(_exact(), tmp_path, _batch(texts))
    assert _dropped([result]) == {"s/4": "s/3"}


@pytest.mark.parametrize("step", [_exact(), _near(), _near(number_aware=True, prefer={"rule": "newest"})])
def test_empty_shards_and_none(step: ExactDuplicates | NearDuplicates, tmp_path: Path) -> None:
    empty = _batch([])
    results = run_step(step, tmp_path, empty, _batch([LONG], "a"), empty, _batch([LONG], "b"), empty)
    assert _kept(results) == ["a/0"]
    assert all(result.batch.schema == results[1].batch.schema for result in results)
    assert _kept(run_step(step, tmp_path, empty)) == []
    assert _kept(run_step(step, tmp_path, empty, empty)) == []
    assert Decided(step, tmp_path).decision.exists()  # no shard at all


def test_shards_are_cut_as_one_likes(tmp_path: Path) -> None:
    texts = [_story(n) for n in range(30)] + [_story(n).replace("運ぶ", "運んだ", 2) for n in range(0, 30, 2)]
    whole = run_step(_near(), tmp_path, _batch(texts))
    pieces = [_batch(texts).slice(start, 7) for start in range(0, len(texts), 7)]
    parts = run_step(_near(), tmp_path, *pieces)
    assert _kept(parts) == _kept(whole)
    assert _dropped(parts) == _dropped(whole)
    backwards = run_step(_near(), tmp_path, *pieces[::-1])
    assert len(_kept(backwards)) == len(_kept(whole))
    assert set(_kept(backwards)) != set(_kept(whole))  # the first of another order


def test_counts_of_copies_and_clusters_add_up(tmp_path: Path) -> None:
    draw = random.Random(5)
    texts: list[str] = []
    for seed in range(40):
        story = _story(seed)
        texts += [story] * draw.randrange(1, 4) + [_edited(draw, story, 0.05) for _ in range(draw.randrange(3))] * 2
    draw.shuffle(texts)
    pieces = [_batch(texts).slice(start, 50) for start in range(0, len(texts), 50)]
    for clusters in ("kept", "connected"):
        exact = run_step(_exact(), tmp_path, *pieces)
        assert sum(pc.sum(r.batch.column("num_copies")).as_py() for r in exact) == len(texts)
        near = run_step(_near(clusters=clusters), tmp_path, *(r.batch for r in exact))
        assert sum(pc.sum(r.batch.column("cluster_size")).as_py() for r in near) == len(texts)
        alone = run_step(_near(clusters=clusters), tmp_path, *pieces)
        assert sum(pc.sum(r.batch.column("cluster_size")).as_py() for r in alone) == len(texts)
        assert sum(r.dropped.num_rows for r in near) > 20
        assert _sizes(near) == _sizes(alone)  # in one step or two


def _sizes(results: Sequence[Changed]) -> list[tuple[str, int]]:
    return [row for r in results for row in zip(*(r.batch[c].to_pylist() for c in ("id", "cluster_size")), strict=True)]


def test_bands_and_rows_are_given_together_or_chosen(tmp_path: Path) -> None:
    for settings in ({"bands": 5}, {"rows_per_band": 5}):
        with pytest.raises(ValueError, match="bands and rows_per_band together"):
            _near(**settings)
    assert _near(bands=3, rows_per_band=2).banding == (3, 2)
    assert "band_002" in _near(bands=3, rows_per_band=2).sketch(_batch([LONG])).schema.names
    assert "band_003" not in _near(bands=3, rows_per_band=2).sketch(_batch([LONG])).schema.names
    for threshold in np.arange(0.05, 1.001, 0.05).tolist():
        bands, rows = banding(threshold)
        assert bands * rows <= 128
        assert rows == 1 or probability(threshold, bands, rows) >= 0.95
    pair = _batch([_story(1), _story(2)])
    assert run_step(_near(bands=400, rows_per_band=1, jaccard=0.9), tmp_path, pair)[0].dropped.num_rows == 0


# --- numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("令和5年", "令和6年"), ("令和5年", "平成5年"), ("令和　５年", "平成　５年"), ("令和元年", "令和2年"),
        ("3.5％", "35％"), ("3.5％", "3.05％"), ("第三条", "第四条"), ("1,234百万円", "1,235百万円"),
        ("三億円", "四億円"),
    ],
)  # fmt: skip
def test_documents_that_differ_in_numbers_stay_where_numbers_count(old: str, new: str, tmp_path: Path) -> None:
    texts = [f"{LONG}{number}のこと。{LONG}" for number in (old, new)]
    assert len(_kept(run_step(_near(), tmp_path, _batch(texts)))) == 1
    (result,), figures = _with_figures(_near(number_aware=True), tmp_path, _batch(texts))
    assert len(_kept([result])) == 2
    assert result.batch.column("cluster_size").to_pylist() == [1, 1]
    assert (figures["pairs_kept_for_their_numbers"], figures["dropped"]) == (1, 0)


def _with_figures(step: NearDuplicates, folder: Path, *batches: pa.RecordBatch) -> tuple[list[Changed], dict[str, int]]:
    decided = Decided(step, folder, *([batch] for batch in batches))
    return [decided.apply(number, batch) for number, batch in enumerate(batches)], step.figures(decided.decision)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("令和5年", "令和五年"),
        ("令和元年", "令和1年"),
        ("1,234円", "1234円"),
        ("第二条", "第２条"),
        ("一般の", "普通の"),
    ],
)
def test_numbers_written_in_another_way_are_the_same_numbers(old: str, new: str, tmp_path: Path) -> None:
    texts = [f"{LONG}{number}のこと。{LONG}" for number in (old, new)]
    assert len(_kept(run_step(_near(number_aware=True), tmp_path, _batch(texts)))) == 1


@pytest.mark.parametrize("count", [3, 300])
def test_versions_of_each_form_are_found_among_forms_that_differ_in_numbers(count: int, tmp_path: Path) -> None:
    forms = [f"{LONG}令和{n}年度の予算は{n * 7}億円とする。" for n in range(count)]
    versions = [form.replace("とする", "である") for form in forms]
    (result,), figures = _with_figures(_near(number_aware=True), tmp_path, _batch([*forms, *versions]))
    assert _dropped([result]) == {f"s/{count + n}": f"s/{n}" for n in range(count)}
    assert figures["pairs_kept_for_their_numbers"] >= count - 1


# --- many of one kind -----------------------------------------------------------------------------------------------


def test_a_million_identical_documents(tmp_path: Path) -> None:
    begun = time.monotonic()
    text = "このページは見つかりませんでした。"
    batch = _many(pa.repeat(pa.scalar(text), 1_000_000))
    for step, column in (
        (_exact(), "num_copies"),
        (_near(), "cluster_size"),
        (_near(number_aware=True), "cluster_size"),
    ):
        (result,) = run_step(step, tmp_path, batch)
        assert result.batch.column("id").to_pylist() == ["s/0"]
        assert result.batch.column(column).to_pylist() == [1_000_000]
        assert result.dropped.num_rows == 999_999
    assert time.monotonic() - begun < 300  # minutes would be hours if pairs were squares


def test_many_look_alikes_that_are_not_similar_end_in_bounded_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun = time.monotonic()
    template = _story(1, 3)
    texts = [template + _story(n + 10, 3) for n in range(20_000)]
    texts[-1] = texts[100].replace("運ぶ", "運んだ")
    step = _near(jaccard=0.8, bands=3, rows_per_band=1)
    (result,), figures = _with_figures(step, tmp_path, _batch(texts))
    assert result.dropped.num_rows <= 1
    assert figures["unfinished_buckets"] >= 1
    assert figures["pairs_compared"] < 64 * 2 * 3 * 20_000
    assert any("share a band and are not similar" in record.getMessage() for record in caplog.records)
    assert time.monotonic() - begun < 300


def test_many_versions_of_one_page_take_few_comparisons(tmp_path: Path) -> None:
    draw = random.Random(1)
    page = _story(1, 60)
    texts = [_edited(draw, page, 0.02) for _ in range(3_000)]
    (result,), figures = _with_figures(_near(), tmp_path, _batch(texts))
    assert _kept([result]) == ["s/0"]
    assert result.batch.column("cluster_size").to_pylist() == [3_000]
    assert figures["pairs_compared"] < 60 * 3_000  # of 4.5 million
    assert figures["unfinished_buckets"] == 0


# --- against exact all-pairs ----------------------------------------------------------------------------------------


def _planted(seed: int, count: int) -> list[str]:
    """Documents of one to forty sentences, two fifths of which have versions: stars, chains and both."""
    draw = random.Random(seed)
    texts: list[str] = []
    while len(texts) < count:
        texts.append(_story(draw.randrange(10**9), draw.choice((1, 3, 10, 40))))
        last = base = texts[-1]
        for _ in range(draw.choice((0, 0, 0, 1, 2, 5, 12, 60)) if draw.random() < 0.8 else 0):
            last = _edited(draw, base if draw.random() < 0.5 else last, draw.choice((0.02, 0.05, 0.1, 0.2, 0.3)))
            texts.append(last)
    draw.shuffle(texts)
    return texts


def _shingles(text: str) -> set[str]:
    key = "".join(character for character in text if character not in "。、")
    return {key[at : at + 5] for at in range(max(1, len(key) - 4))}


def _all_pairs(sets: Sequence[set[str]], threshold: float) -> Iterator[tuple[int, int]]:
    postings: dict[str, list[int]] = defaultdict(list)
    for new, grams in enumerate(sets):
        common = Counter(old for gram in grams for old in postings[gram])
        for gram in grams:
            postings[gram].append(new)
        for old, shared in common.items():
            if shared / (len(grams) + len(sets[old]) - shared) >= threshold:
                yield old, new


def _greedy(count: int, pairs: Iterator[tuple[int, int]]) -> set[int]:
    later = defaultdict(list)
    for old, new in pairs:
        later[old].append(new)
    gone: set[int] = set()
    for row in range(count):
        if row not in gone:
            gone.update(later[row])
    return gone


@pytest.mark.slow
@pytest.mark.parametrize(("threshold", "seed"), [(0.5, 1), (0.7, 2), (0.8, 3), (0.8, 4), (0.9, 5)])
def test_what_goes_is_what_all_pairs_say(threshold: float, seed: int, tmp_path: Path) -> None:
    texts = _planted(seed, 2_000)
    sets = [_shingles(text) for text in texts]
    pieces = [_batch(texts).slice(start, 600) for start in range(0, len(texts), 600)]
    results = run_step(_near(jaccard=threshold), tmp_path, *pieces)
    dropped = {int(i[2:]): int(stays[2:]) for i, stays in _dropped(results).items()}
    for row in (row for result in results for row in result.dropped.to_pylist()):
        one = int(row["id"][2:])
        two = dropped[one]
        similarity = len(sets[one] & sets[two]) / len(sets[one] | sets[two])
        assert row["value"] == pytest.approx(similarity, abs=1e-9)
        assert similarity >= threshold  # precision 1.0, always
        assert two not in dropped
        assert two < one
    expected = _greedy(len(texts), _all_pairs(sets, threshold))
    assert len(expected) > 100
    assert len(dropped.keys() & expected) >= 0.95 * len(expected)
    assert len(dropped) <= 1.02 * len(expected)


# --- the band join --------------------------------------------------------------------------------------------------


def _joined(step: NearDuplicates, folder: Path, *batches: pa.RecordBatch, **settings: Any) -> Any:
    """Pairs of the band join, and its buckets as sets of rows."""
    decided = Decided(step, folder, *([batch] for batch in batches))
    rows = Rows(sorted(decided.root.glob("*.sketch.parquet")))
    scratch = decided.root / "join"
    scratch.mkdir()
    given = {"taking_part": None, "ranks": None, "earlier": 0, "engine": Engine()} | settings
    pairs, buckets = candidates(rows, step.banding[0], scratch=scratch, **given)
    members = [frozenset(part.tolist()) for part in np.split(buckets.rows, buckets.starts[1:-1]) if len(part)]
    return (
        set(zip(*(side.tolist() for side in unpack(pairs)), strict=True)),
        Counter(members),
        len(list(scratch.glob("*.pairs.npy"))),
    )


@pytest.mark.parametrize("ranked", [False, True])
def test_the_join_gives_the_same_in_parts(ranked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(2)
    texts = _planted(9, 300) + [_edited(draw, LONG, 0.02) for _ in range(40)] + ["", ""]
    pieces = [_batch(texts).slice(start, 90) for start in range(0, len(texts), 90)]
    ranks = np.array(draw.sample(range(len(texts)), len(texts))) if ranked else None
    whole, buckets, files = _joined(_near(), tmp_path, *pieces, ranks=ranks)
    assert files == 18
    assert whole
    assert buckets
    assert all(left < right for left, right in whole)
    for parts in (2, 3, 7):
        monkeypatch.setattr(band_join, "MEMORY", len(texts) * 40 // parts)
        again = _joined(_near(), tmp_path, *pieces, ranks=ranks)
        assert again[:2] == (whole, buckets)
        assert again[2] >= 18 * parts


def test_small_buckets_give_all_pairs_and_large_ones_those_of_the_best(tmp_path: Path) -> None:
    texts = ["一つ目の文章です"] * 4 + ["別の話をしましょう"] * 12 + ["誰とも似ていない"]
    step = _near(bands=2, rows_per_band=2)
    ranks = np.arange(len(texts))[::-1].copy()
    pairs, buckets, _ = _joined(step, tmp_path, _batch(texts), ranks=ranks)
    small = set(itertools.combinations(range(4), 2))
    large = {(n, 15) for n in range(4, 15)} | {(n, n + 1) for n in range(4, 15)}
    assert pairs == small | large
    assert buckets == {frozenset(range(4, 16)): 2}
    part = np.ones(len(texts), dtype=np.bool_)
    part[[0, 1, 4, 5, 6, 7]] = False
    pairs, buckets, _ = _joined(step, tmp_path, _batch(texts), taking_part=part)
    assert pairs == {(2, 3)} | set(itertools.combinations(range(8, 16), 2))
    assert not buckets
    pairs, _, _ = _joined(step, tmp_path, _batch(texts), earlier=3)
    assert {pair for pair in pairs if pair[1] < 4} == {(0, 3), (1, 3), (2, 3)}
    marks = np.array([1, 1, 2, 2] + [3] * 13, dtype=np.uint64)
    pairs, _, _ = _joined(step, tmp_path, _batch(texts), marks=marks)
    assert {pair for pair in pairs if pair[1] < 4} == {(0, 1), (2, 3), (0, 2)}  # of 1 and 2 one pair, to be counted


def test_two_workers_decide_as_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = _planted(11, 2_500)
    pieces = [_batch(texts).slice(start, 500) for start in range(0, len(texts), 500)]
    monkeypatch.setattr("jpfm.core.shards.Engine.few", lambda engine: engine)  # small work, yet in processes
    folders = []
    for workers in (1, 2):
        decided = Decided(
            _near(number_aware=True), tmp_path, *([piece] for piece in pieces), engine=Engine(workers=workers)
        )
        folders.append({p.name: p.read_bytes() for p in sorted(decided.decision.iterdir())})
    assert folders[0] == folders[1]
    assert FIGURES in folders[0]


# --- earlier corpora ------------------------------------------------------------------------------------------------


def _corpus(make: Make, folder: Path, files: dict[str, str], steps: list[Any], name: str) -> Artifact:
    recipe = make({f"{name}/{file}": text for file, text in files.items()}, steps, source={"paths": (f"{name}/*",)})
    corpus = build(recipe, folder / name)
    assert corpus is not None
    return corpus


STEPS: list[Any] = ["exact_duplicates", "near_duplicates"]


@pytest.fixture
def signatures(make_recipe: Make, tmp_path: Path) -> Artifact:
    """Signatures of a corpus whose documents are gone."""
    old = {f"{n:02}.txt": _story(n) for n in range(12)} | {
        "99.txt": f"{LONG}令和5年度の予算。{LONG}",
        "empty.txt": "。",
    }
    corpus = _corpus(make_recipe, tmp_path, old, STEPS, "old")
    made = make_signatures(corpus, tmp_path / "old.signatures", like(corpus, []))
    shutil.rmtree(corpus.path)
    shutil.rmtree(tmp_path / "raw" / "old")
    return made


def _against(signatures: Artifact, *, exact: bool = True, **near: Any) -> list[Any]:
    there = [str(signatures.path)]
    steps: list[Any] = [{"step": "exact_duplicates", "against": there}] if exact else []
    return [*steps, {"step": "near_duplicates", "against": there} | near]


def _rows(corpus: Artifact, folder: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return [row for path in sorted((corpus.path / folder).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_documents_of_an_earlier_corpus_go_without_its_text(
    make_recipe: Make, signatures: Artifact, tmp_path: Path
) -> None:
    new = {
        "a.txt": _story(3), "b.txt": _story(4).replace("運ぶ", "運んだ", 1), "c.txt": _story(500), "d.txt": "！",
        "e.txt": _story(4).replace("運ぶ", "運んだ", 1) + "終わり。", "f.txt": f"{LONG}令和6年度の予算。{LONG}",
        "g.txt": _story(500).replace("運ぶ", "運んだ", 1),
    }  # fmt: skip
    corpus = _corpus(make_recipe, tmp_path, new, _against(signatures), "new")
    dropped = {row["id"][-5:]: (row["reason"], row["detail"]) for row in _rows(corpus, "dropped")}
    assert dropped == {
        "a.txt": ("exact_duplicate", f"same as s/old/03.txt of {signatures.id}"),
        "b.txt": ("near_duplicate", f"same as s/old/04.txt of {signatures.id}"),
        "e.txt": ("near_duplicate", f"same as s/old/04.txt of {signatures.id}"),
        "f.txt": ("near_duplicate", f"same as s/old/99.txt of {signatures.id}"),
        "g.txt": ("near_duplicate", "same as s/new/c.txt"),
    }
    assert signatures.id in corpus.manifest.parents
    kept = {row["id"][-5:]: (row["num_copies"], row["cluster_size"]) for row in _rows(corpus, "documents")}
    assert kept == {"c.txt": (1, 2), "d.txt": (1, 1)}
    figures = corpus.manifest.stats["decisions"]["2:near_duplicates"]
    assert (figures["documents"], figures["dropped"]) == (6, 4)
    aware = _corpus(make_recipe, tmp_path, new, _against(signatures, number_aware=True), "new2")
    assert {row["id"][-5:] for row in _rows(aware, "documents")} == {"c.txt", "d.txt", "f.txt"}
    assert aware.manifest.stats["decisions"]["2:near_duplicates"]["pairs_kept_for_their_numbers"] == 1


def test_a_chain_over_two_earlier_documents_drops_only_new_ones(
    make_recipe: Make, signatures: Artifact, tmp_path: Path
) -> None:
    half = _story(5)[: len(_story(5)) // 2]
    new = {"a.txt": half + _story(6)[len(_story(6)) // 2 :], "b.txt": _story(900)}
    steps = _against(signatures, exact=False, jaccard=0.25, clusters="connected", bands=18, rows_per_band=7)
    corpus = _corpus(make_recipe, tmp_path, new, steps, "new")
    total = corpus.manifest.stats["total"]
    assert total["read"] == 2
    assert corpus.manifest.stats["decisions"]["1:near_duplicates"]["dropped"] == sum(total["dropped"].values())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ngram": 6}, r"was made with ngram: 5, the step has 6"),
        ({"jaccard": 0.7}, r"was made with bands: 18, the step has 25"),
        ({"bands": 18, "rows_per_band": 6}, r"was made with rows_per_band: 7, the step has 6"),
        ({"key": {"kana": True}}, r"was made with key: .*'kana': False"),
    ],
)
def test_signatures_of_other_settings_are_refused_by_name(
    settings: dict[str, Any], words: str, make_recipe: Make, signatures: Artifact, tmp_path: Path
) -> None:
    recipe = make_recipe({"new/a.txt": "文"}, _against(signatures, **settings), source={"paths": ("new/*",)})
    with pytest.raises(UsageError, match=words) as caught:
        build(recipe, tmp_path / "new")
    assert "alike" in caught.value.hint
    assert not (tmp_path / "new.partial").exists()


def test_an_exact_key_of_other_settings_and_no_signatures_are_refused(
    make_recipe: Make, signatures: Artifact, tmp_path: Path
) -> None:
    step = {"step": "exact_duplicates", "against": [str(signatures.path)], "key": {"case": True}}
    with pytest.raises(UsageError, match=r"exact_duplicates: .* was made with exact_key: "):
        build(make_recipe({"new/a.txt": "文"}, [step], source={"paths": ("new/*",)}), tmp_path / "new")
    for place, words in ((tmp_path / "raw", "has no manifest"), (tmp_path / "none", "does not exist")):
        step = {"step": "near_duplicates", "against": [str(place)]}
        with pytest.raises(ArtifactError, match=words):
            build(make_recipe({"new/a.txt": "文"}, [step], source={"paths": ("new/*",)}), tmp_path / "new")


def test_signatures_follow_the_recipe_and_name_what_is_wrong(make_recipe: Make, tmp_path: Path) -> None:
    steps = [{"step": "near_duplicates", "jaccard": 0.7, "ngram": 7}]
    corpus = _corpus(make_recipe, tmp_path, {"a.txt": LONG, "b.txt": ""}, steps, "old")
    assert like(corpus, []).config["ngram"] == 7
    assert (like(corpus, ["jaccard=0.5"]).near.banding, like(corpus, ["jaccard=0.5"]).near.ngram) == (banding(0.5), 7)
    for words, message in ((["ngram"], "expected KEY=VALUE"), (["ngrams=5"], "ngrams"), (["jaccard=x"], "jaccard")):
        with pytest.raises(UsageError, match=message):
            like(corpus, words)
    made = make_signatures(corpus, tmp_path / "one", like(corpus, []))
    assert make_signatures(corpus, tmp_path / "two", like(corpus, []), Engine(workers=2)).id == made.id
    assert made.manifest.parents == (corpus.id,)
    assert made.manifest.stats == {"documents": 1}


def test_signatures_killed_on_the_way_are_the_same_signatures(make_recipe: Make, tmp_path: Path) -> None:
    corpus = _corpus(make_recipe, tmp_path, {"a.txt": LONG}, [], "old")
    made = make_signatures(corpus, tmp_path / "one", like(corpus, []))
    leftover = tmp_path / "two.partial" / "signatures" / "s-00000.parquet.host.1.tmp"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"PAR1 half a file")
    assert make_signatures(corpus, tmp_path / "two", like(corpus, [])).id == made.id
    assert not list((tmp_path / "two").rglob("*.tmp"))
