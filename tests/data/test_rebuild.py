"""Forgetting: the result is the corpus of a build without the documents, and other shards are the same files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from jpfm.core.artifact import Artifact, verify
from jpfm.core.errors import ArtifactError, DataError
from jpfm.core.shards import Engine
from jpfm.data.build import build
from jpfm.data.forget import Forget, host_of
from jpfm.data.forgotten import find, recipe_of
from jpfm.data.rebuild import rebuild
from jpfm.data.recipe import Recipe

FOOTER = "このページの文章を許可なく使うことはできません。"
WORDS = "傘本花鍵箱縄皿紙筆糸石橋舟窓森港坂畑"


def _story(seed: int, lines: int = 30) -> str:
    """A text that shares few 5-grams with those of other seeds."""
    state, out = seed * 7919 + 1, []
    for _ in range(lines):
        state = (state * 1103515245 + 12345) % 2**31
        one, two = WORDS[state % 18], WORDS[state // 18 % 18]
        out.append(f"{state % 997}番の{one}を{two}の{state // 31 % 89}階へ運び、{state % 61}人が{two}{one}を見た。")
    return "\n".join(out)


def _rows(name: str, count: int, *, seed: int) -> str:
    rows = []
    for number in range(count):
        text = _story(seed + number)
        if number % 3 == 0:
            text += "\n" + FOOTER
        host = f"{'www.' if number % 2 else ''}site{number % 4}.example.jp"
        rows.append({"text": text, "url": f"https://{host}/{name}/{number}", "date": f"20{10 + number % 9}-01-01"})
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _copy(text: str, number: int) -> str:
    return text.replace("人が", "名が", 1 + number % 2)


@pytest.fixture
def files() -> dict[str, str]:
    """Six files with copies of documents of the first in the others, and a footer in a third of all."""
    made = {f"{letter}.jsonl": _rows(letter, 8, seed=100 * place) for place, letter in enumerate("abcdef")}
    first = [json.loads(line) for line in made["a.jsonl"].splitlines()]
    for place, letter in enumerate("cdf"):
        copied = {"text": _copy(first[place]["text"], place), "url": f"https://copy.example/{letter}", "date": "2020"}
        made[f"{letter}.jsonl"] += json.dumps(copied, ensure_ascii=False) + "\n"
    made["e.jsonl"] += (
        json.dumps({"text": first[0]["text"], "url": "https://copy.example/e"}, ensure_ascii=False) + "\n"
    )
    return made


STEPS: list[Any] = [
    "normalize",
    {"step": "frequent_lines", "minimum_documents": 14, "minimum_chars": 10},
    "characters",
    {"step": "length", "minimum_chars": 30},
    "exact_duplicates",
    {"step": "near_duplicates", "jaccard": 0.8, "prefer": {"rule": "first"}},
    {"step": "split", "held_out_share": 0.2},
]
SOURCE = {"format": "jsonl", "url_field": "url", "date_field": "date"}
SLICE = 20_000
"""Larger than each file and smaller than two: a shard is a file."""
Make = Callable[..., Recipe]


def _built(recipe: Recipe, out: Path) -> Artifact:
    made = build(recipe, out)
    assert made is not None
    return made


def _table(corpus: Artifact, folder: str) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(file) for file in sorted((corpus.path / folder).glob("*.parquet"))])


@pytest.mark.parametrize(
    "asked",
    [
        Forget(hosts=("site0.example.jp",)),
        Forget(urls=("https://site1.example.jp/a/1", "https://www.site1.example.jp/a/1")),
        Forget(ids=("s/a.jsonl#1",)),
        Forget(ids=("s/e.jsonl#9",)),
        Forget(hosts=("copy.example",)),
        Forget(regexes=(r"997番の|12番の傘",), ids=("s/b.jsonl#2",)),
    ],
    ids=["host", "url", "representative", "dropped copy", "all copies", "regex"],
)
def test_the_result_is_that_of_a_build_without_the_documents(
    make_recipe: Make, files: dict[str, str], tmp_path: Path, asked: Forget
) -> None:
    recipe = make_recipe(files, STEPS, source=SOURCE, slice_bytes=SLICE)
    before = _built(recipe, tmp_path / "before")
    made = rebuild(before, tmp_path / "after", asked)
    again = _built(recipe.model_copy(update={"forget": Forget(**{
        name: tuple(sorted(values)) for name, values in asked.model_dump().items()})}), tmp_path / "again")  # fmt: skip
    assert made.id == again.id
    assert made.manifest.parents == again.manifest.parents
    assert made.manifest.stats == again.manifest.stats
    assert {(e.path, e.sha256) for e in made.manifest.files} == {(e.path, e.sha256) for e in again.manifest.files}
    assert verify(made.path) == []
    state = [
        {f.relative_to(c.path): f.read_bytes() for f in (c.path / "state").rglob("*.parquet")} for c in (made, again)
    ]
    assert state[0] == state[1]  # a second request starts from the same
    gone = {one.id for one in find(before, asked)}
    assert gone
    assert not gone & set(_table(made, "documents")["id"])
    left = _table(made, "dropped").filter(pl.col("id").is_in(list(gone)))
    assert left["step"].unique().to_list() == ["forget"]
    assert left["text"].null_count() == len(left) == len(gone)


def test_only_shards_that_change_are_built_and_the_others_are_the_same_files(
    make_recipe: Make, files: dict[str, str], tmp_path: Path
) -> None:
    recipe = make_recipe(files, STEPS, source=SOURCE, slice_bytes=SLICE)
    before = _built(recipe, tmp_path / "before")
    for name in "bcdef":  # the raw files of other shards are not needed, but for their list
        path = tmp_path / "raw" / f"{name}.jsonl"
        path.write_bytes(b"\x00" * path.stat().st_size)
    with pytest.raises(DataError, match=r"is not the file that corpus-.* was made of"):
        rebuild(before, tmp_path / "refused", Forget(ids=("s/b.jsonl#1",)))
    made = rebuild(before, tmp_path / "after", Forget(ids=("s/a.jsonl#5",)))
    for letter in "bcdef":
        for old in (before.path / "documents").glob(f"s-0000{'abcdef'.index(letter)}*.parquet"):
            assert old.samefile(made.path / "documents" / old.name)
    assert "s/a.jsonl#5" not in set(_table(made, "documents")["id"])


def test_a_copy_comes_back_when_what_it_copied_is_gone(
    make_recipe: Make, files: dict[str, str], tmp_path: Path
) -> None:
    before = _built(make_recipe(files, STEPS, source=SOURCE, slice_bytes=SLICE), tmp_path / "before")
    assert {"s/c.jsonl#9", "s/e.jsonl#9"} <= set(_table(before, "dropped")["id"])
    made = rebuild(before, tmp_path / "after", Forget(ids=("s/a.jsonl#1",)))
    assert "s/c.jsonl#9" in set(_table(made, "documents")["id"])
    dropped = dict(_table(made, "dropped").select("id", "detail").iter_rows())
    assert dropped["s/e.jsonl#9"] == "same as s/c.jsonl#9"


def test_the_kept_documents_are_those_of_raw_files_without_them(
    make_recipe: Make, files: dict[str, str], tmp_path: Path
) -> None:
    before = _built(make_recipe(files, STEPS, source=SOURCE, slice_bytes=SLICE), tmp_path / "before")
    asked = Forget(hosts=("site2.example.jp",))
    made = rebuild(before, tmp_path / "after", asked)
    shutil.rmtree(tmp_path / "raw")
    fewer = {
        name: "".join(line for line in text.splitlines(keepends=True)
                      if not host_of(json.loads(line)["url"]).endswith("site2.example.jp"))
        for name, text in files.items()
    }  # fmt: skip
    physically = _built(make_recipe(fewer, STEPS, source=SOURCE, slice_bytes=SLICE), tmp_path / "physically")
    columns = ["text", "url", "cluster_size", "split", "changed_by"]
    tables = [_table(one, "documents").select(columns).sort("url") for one in (made, physically)]
    assert tables[0].equals(tables[1])


def test_requests_follow_each_other(make_recipe: Make, files: dict[str, str], tmp_path: Path) -> None:
    before = _built(make_recipe(files, STEPS, source=SOURCE, slice_bytes=SLICE), tmp_path / "before")
    asked = [Forget(ids=("s/a.jsonl#1",)), Forget(hosts=("site3.example.jp",))]
    ways = []
    for name, order in (("one", asked), ("two", asked[::-1])):
        corpus = before
        for place, request in enumerate(order):
            corpus = rebuild(corpus, tmp_path / f"{name}{place}", request, Engine(workers=2))
        ways.append(corpus.id)
    both = Forget(ids=asked[0].ids, hosts=asked[1].hosts)
    assert {*ways, rebuild(before, tmp_path / "both", both).id} == {ways[0]}


def test_what_was_found_is_not_looked_for_again(make_recipe: Make, files: dict[str, str], tmp_path: Path) -> None:
    """A regular expression needs all raw files; a rebuild that is told what it met needs those of changed shards."""
    before = _built(make_recipe(files, STEPS, source=SOURCE, slice_bytes=SLICE), tmp_path / "before")
    mark = json.loads(files["a.jsonl"].splitlines()[4])["text"].splitlines()[0]
    asked = Forget(regexes=(mark,))
    found = find(before, asked)
    assert [one.id for one in found] == ["s/a.jsonl#5"]
    looked = rebuild(before, tmp_path / "looked", asked)
    for name in "bcdef":
        path = tmp_path / "raw" / f"{name}.jsonl"
        path.write_bytes(b"\x00" * path.stat().st_size)
    with pytest.raises(DataError, match="is not the file that"):
        rebuild(before, tmp_path / "refused", asked)
    assert rebuild(before, tmp_path / "told", asked, found=found).id == looked.id


def test_a_request_that_names_again_what_was_forgotten_gives_the_corpus_of_both(
    make_recipe: Make, files: dict[str, str], tmp_path: Path
) -> None:
    """The reason of a document that two lists name is that of the first list, also when it was asked for last."""
    recipe = make_recipe(files, STEPS, source=SOURCE, slice_bytes=SLICE)
    before = _built(recipe, tmp_path / "before")
    first, second = Forget(hosts=("copy.example",)), Forget(ids=("s/a.jsonl#5", "s/c.jsonl#9"))
    once = rebuild(before, tmp_path / "once", first)
    found = find(once, second)
    assert {one.id: one.was for one in found} == {"s/a.jsonl#5": "kept", "s/c.jsonl#9": "forget"}
    twice = rebuild(once, tmp_path / "twice", second, found=found)
    both = recipe.model_copy(update={"forget": Forget(hosts=first.hosts, ids=second.ids)})
    assert twice.id == _built(both, tmp_path / "both").id


def test_what_became_of_a_found_document_is_what_the_corpus_says(
    make_recipe: Make, files: dict[str, str], tmp_path: Path
) -> None:
    """Kept in either split, dropped by each step, unread: against a reading of all tables."""
    files["g.jsonl"] = "{broken\n" + json.dumps({"text": "短い文。", "url": ""}, ensure_ascii=False) + "\n"
    before = _built(make_recipe(files, STEPS, source=SOURCE, slice_bytes=SLICE), tmp_path / "before")
    told = dict.fromkeys(_table(before, "documents")["id"], "kept")
    told |= dict(_table(before, "dropped").select("id", "step").iter_rows())
    found = {one.id: one.was for one in find(before, Forget(regexes=(".",)))}
    assert found == told
    assert set(found.values()) == {"kept", "length", "exact_duplicates", "near_duplicates"}
    assert "s/g.jsonl#1" in set(_table(before, "quarantined")["id"])  # no text of it is in the corpus
    (shard,) = (file for file in (before.path / "documents").glob("s-00000.parquet"))
    pq.write_table(pq.read_table(shard).slice(1), shard)
    with pytest.raises(ArtifactError, match="no file of shard s-00000 tells what became of it"):
        find(before, Forget(regexes=(".",)))


def test_a_benchmark_that_changed_since_is_refused(
    make_recipe: Make, files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exam.jsonl").write_text(
        '{"text": "山の高さと谷の深さを合わせると何メートルですか。"}\n', encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    exam = {"step": "decontaminate", "benchmarks": [{"name": "exam", "path": "exam.jsonl"}]}
    before = _built(
        make_recipe(files, [exam, "exact_duplicates"], source=SOURCE, slice_bytes=SLICE), tmp_path / "before"
    )
    monkeypatch.chdir("/")  # the recipe in the corpus knows where the items lie, whatever the folder
    made = rebuild(before, tmp_path / "after", Forget(ids=("s/a.jsonl#1",)))
    assert verify(made.path) == []
    with (tmp_path / "exam.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"text": "川の長さと橋の数をかけると、いくつになりますか。"}\n')
    with pytest.raises(DataError, match=r"steps\.0\.benchmarks\.0\.files\S* \(decontaminate\) is not what"):
        rebuild(before, tmp_path / "refused", Forget(ids=("s/a.jsonl#2",)))
    assert not (tmp_path / "refused").exists()


def test_a_request_that_meets_nothing_and_a_damaged_state_are_refused(
    make_recipe: Make, files: dict[str, str], tmp_path: Path
) -> None:
    before = _built(make_recipe(files, STEPS, source=SOURCE, slice_bytes=SLICE), tmp_path / "before")
    with pytest.raises(DataError, match="no document meets the request"):
        rebuild(before, tmp_path / "after", Forget(hosts=("example.com",)))
    assert not (tmp_path / "after.partial").exists()
    (sketch, *_) = sorted((before.path / "state" / "pass1" / "sketch").iterdir())
    sketch.write_bytes(sketch.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match="is not as it was written"):
        rebuild(before, tmp_path / "after", Forget(ids=("s/a.jsonl#1",)))
    shutil.rmtree(before.path / "state")
    with pytest.raises(ArtifactError, match=r"has no state/recipe\.json"):
        recipe_of(before)


def test_what_a_limit_left_unread_is_not_found(make_recipe: Make, files: dict[str, str], tmp_path: Path) -> None:
    recipe = make_recipe(files, STEPS, source=SOURCE, slice_bytes=SLICE)
    few = build(recipe, tmp_path / "few", limit_docs=2)
    assert few is not None
    found = find(few, Forget(regexes=("人が",)))
    assert {one.id for one in found} == {f"s/{letter}.jsonl#{n}" for letter in "abcdef" for n in (1, 2)}


def test_hosts_take_what_is_below_them_and_nothing_else() -> None:
    import pyarrow as pa

    urls = [
        "https://a.jp/x",
        "http://www.A.jp:80/",
        "https://ba.jp/",
        "https://a.jp.evil.com/",
        "",
        "//a.jp/y",
        "http://[bad",
    ]
    batch = pa.record_batch([pa.array([str(n) for n in range(len(urls))]), pa.array(urls)], names=["id", "url"])
    assert Forget(hosts=("a.jp",)).reasons(batch).to_pylist() == ["host", "host", None, None, None, "host", None]
