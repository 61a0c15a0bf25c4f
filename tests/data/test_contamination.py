"""A corpus built with `decontaminate`: what lies in it, what its table says, and what decides its id."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jpfm.core.artifact import Artifact, verify
from jpfm.core.errors import ArtifactError, DataError, UsageError
from jpfm.data.build import build
from jpfm.data.contamination import Touched, examples, table, touched
from jpfm.data.recipe import Recipe
from jpfm.data.steps.decontaminate import Decontaminate
from jpfm.data.steps.exact_duplicates import ExactDuplicates

Make = Callable[..., Recipe]
MATHS = [
    "りんごを3個とみかんを5個買うと、合わせて何円になりますか？",
    "時速60キロの車が3時間走ると、何キロ進みますか。",
]
LAND = ["日本で2番目に高い山の名前を答えてください。", "日本で一番広い湖がある県はどこですか？", "どこ？"]
FILES = {
    "a.txt": "昨日は雨が降ったので、家で本を読んで過ごしていた。",
    "b.txt": f"宿題の一つ目。\n{MATHS[0]}\n答えはわからない。",
    "c.txt": f"先生が「{LAND[0]}」と聞いた。誰も答えなかった。",
    "d.txt": f"{LAND[0]}\n{LAND[1]}\nどちらも地理の授業で習った。",
    "e.txt": f"{LAND[1]}と{MATHS[1]}を、どちらも宿題に出された。",
}


@pytest.fixture
def exam(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`exam(maths="drop", land="mark")`: the step over two benchmarks written to files, with these actions."""

    def make(**actions: str) -> dict[str, Any]:
        for name, texts in (("maths", MATHS), ("land", LAND)):
            lines = [json.dumps({"text": text}) for text in texts]
            (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        benchmarks = [
            {"name": name, "path": str(tmp_path / f"{name}.jsonl"), "action": action}
            for name, action in actions.items()
        ]
        return {"step": "decontaminate", "benchmarks": benchmarks}

    return make


def _build(recipe: Recipe, out: Path) -> Artifact:
    corpus = build(recipe, out)
    assert corpus is not None
    return corpus


def test_the_table_says_what_became_of_items_and_documents(
    make_recipe: Make, exam: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = make_recipe(FILES, [exam(maths="drop", land="mark"), "exact_duplicates"])
    corpus = _build(recipe, tmp_path / "out")
    assert touched(corpus) == [
        Touched("land", items=3, searchable=2, found=2, documents=3, dropped=1, cut=0, marked=2),
        Touched("maths", items=2, searchable=2, found=2, documents=2, dropped=2, cut=0, marked=0),
    ]
    assert table(corpus)[1:] == [
        ["land", "3", "2", "2", "3", "1", "·", "2"], ["maths", "2", "2", "2", "2", "2", "·", "·"],
    ]  # fmt: skip
    assert corpus.manifest.stats["total"]["dropped"] == {"decontaminate:contaminated": 2}
    kept = pq.read_table(corpus.path / "documents").to_pylist()
    assert {row["id"].rpartition("/")[2]: row["contaminated_by"] for row in kept} == {
        "a.txt": [], "c.txt": ["land"], "d.txt": ["land"],
    }  # fmt: skip
    assert {row["changed_by"] for row in kept} == {""}
    assert verify(corpus.path) == []
    shown = list(examples(corpus, number=1))
    assert len(shown) == 2
    assert shown[0].startswith("● land ")
    assert MATHS[0][:20] in shown[1]


def test_cut_documents_stay_and_say_so(make_recipe: Make, exam: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    corpus = _build(make_recipe(FILES, [exam(maths="cut", land="cut")]), tmp_path / "out")
    assert [(one.benchmark, one.documents, one.cut, one.dropped) for one in touched(corpus)] == [
        ("land", 3, 3, 0), ("maths", 2, 2, 0),
    ]  # fmt: skip
    texts = {row["id"].rpartition("/")[2]: row for row in pq.read_table(corpus.path / "documents").to_pylist()}
    assert texts["b.txt"]["text"] == "宿題の一つ目。\n答えはわからない。"
    assert texts["c.txt"]["text"] == "先生がと聞いた。誰も答えなかった。"
    assert texts["d.txt"]["text"] == "どちらも地理の授業で習った。"
    assert {name: row["changed_by"] for name, row in texts.items()} == {
        "a.txt": "", "b.txt": "decontaminate", "c.txt": "decontaminate", "d.txt": "decontaminate",
        "e.txt": "decontaminate",
    }  # fmt: skip
    assert corpus.manifest.stats["total"]["edits"] == {"decontaminate:contamination": 6}


def test_other_items_give_another_corpus_and_another_place_does_not(
    make_recipe: Make, exam: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = make_recipe(FILES, [exam(maths="mark")])
    first = _build(recipe, tmp_path / "first")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "maths.jsonl").rename(moved / "maths.jsonl")
    body = recipe.model_dump(mode="json")
    body["steps"][0]["benchmarks"][0]["path"] = str(moved / "maths.jsonl")
    assert _build(Recipe.model_validate_json(json.dumps(body)), tmp_path / "second").id == first.id
    with (moved / "maths.jsonl").open("a", encoding="utf-8") as file:
        file.write('\n{"text": "どこにもない問題の文章がここに一つ加わった。"}')
    with pytest.raises(ArtifactError):  # the corpus that lies there is not this one
        build(Recipe.model_validate_json(json.dumps(body)), tmp_path / "second")
    assert _build(Recipe.model_validate_json(json.dumps(body)), tmp_path / "third").id != first.id


def test_a_corpus_that_was_not_searched_says_so(
    make_recipe: Make, exam: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="does not look for benchmarks"):
        touched(_build(make_recipe(FILES, ["normalize"]), tmp_path / "plain"))
    only = {"source": {"paths": ("a.txt",)}}
    corpus = _build(make_recipe(FILES, [exam(maths="drop")], **only), tmp_path / "clean")
    assert list(examples(corpus, number=3)) == []
    (corpus.path / "benchmarks.parquet").unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        table(corpus)


def test_a_missing_benchmark_stops_the_build_before_anything_is_read(
    make_recipe: Make, exam: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = make_recipe(FILES, [exam(maths="drop")])
    (tmp_path / "maths.jsonl").unlink()
    with pytest.raises(UsageError, match="benchmark 'maths': no file matches"):
        build(recipe, tmp_path / "out")
    assert not (tmp_path / "out.partial").exists()


def test_a_benchmark_that_changes_while_documents_are_read_is_told(
    make_recipe: Make, exam: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some shards would be searched for the old items and some for the new ones."""
    recipe = make_recipe(FILES, [exam(maths="drop"), "exact_duplicates"])
    run = ExactDuplicates.decide

    def decide(*arguments: Any) -> None:  # in the middle of a build
        with (tmp_path / "maths.jsonl").open("a", encoding="utf-8") as file:
            file.write('\n{"text": "後から加わった問題の文章がここに一つある。"}')
        run(*arguments)

    monkeypatch.setattr(ExactDuplicates, "decide", decide)
    with pytest.raises(DataError, match=r"steps\.0\.benchmarks\.0\.files\S* \(decontaminate\) is not what the corpus"):
        build(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_changed_is_read_again(
    make_recipe: Make, exam: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    step = make_recipe(FILES, [exam(maths="drop")]).steps[0]
    assert isinstance(step, Decontaminate)
    assert step.index() is step.index()
    texts = step.index().facts.column("texts").to_pylist()
    with (tmp_path / "maths.jsonl").open("a", encoding="utf-8") as file:
        file.write('\n{"text": "後から加わった問題の文章がここに一つある。"}')
    assert step.index().facts.column("texts").to_pylist() == [texts[0] + 1]
