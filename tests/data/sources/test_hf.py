"""Hugging Face data sets from folders: shards as work, the same bytes for any workers, clear words when something is missing."""

# ruff: noqa: E501
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pytest

from jpfm.core.artifact import Artifact, sha256
from jpfm.core.errors import DataError, UsageError
from jpfm.core.shards import Engine
from jpfm.data.build import build
from jpfm.data.document import Document, Quarantined
from jpfm.data.recipe import Recipe

CC0 = {"licence": "CC0-1.0"}


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three Parquet shards of a split `train` and one of `test`."""
    path = tmp_path / "raw" / "own-data"
    path.mkdir(parents=True)
    for shard in range(3):
        rows = {
            "body": [f"第{shard}部の{row}番目の文章です。" for row in range(4)],
            "head": [f"題{shard}-{row}" for row in range(4)], "link": ["https://a.example/"] * 4, "score": [0.5] * 4,
        }  # fmt: skip
        pq.write_table(pa.table(rows), path / f"train-0000{shard}-of-00003.parquet")
    pq.write_table(
        pa.table({"body": ["試験用"], "head": ["t"], "link": [""], "score": [1.0]}),
        path / "test-00000-of-00001.parquet",
    )
    return path


def _read(source: Any, root: Path) -> list[Document | Quarantined]:
    return [found for piece in source.pieces(root, 1 << 20) for found in source.documents(piece)]


def _source(make_source: Callable[..., Any], **settings: Any) -> Any:
    return make_source("hf", **({"paths": (), "dataset": "./own-data", "text_field": "body"} | settings))


def test_a_folder_of_parquet_is_read_shard_by_shard(make_source: Callable[..., Any], folder: Path) -> None:
    source = _source(make_source, title_field="head", url_field="link", meta_fields=("score",))
    pieces = list(source.pieces(folder.parent, 1 << 20))
    assert [(piece.name, piece.start, piece.stop) for piece in pieces] == [
        ("own-data/train", n, n + 1) for n in range(3)
    ]
    second = list(source.documents(pieces[1]))
    assert [doc.id for doc in second] == [f"s/own-data/train#1-{row}" for row in range(4)]
    assert second[2].text == "第1部の2番目の文章です。"
    assert (second[2].title, second[2].url, second[2].meta) == ("題1-2", "https://a.example/", {"score": 0.5})
    entries = list(source.entries(pieces))
    assert [entry.path for entry in entries] == [f"train-0000{n}-of-00003.parquet" for n in range(3)]
    assert entries[0].sha256 == sha256(folder / "train-00000-of-00003.parquet")
    assert source.origin() == {"dataset": "./own-data", "config": None, "split": "train"}


def test_splits_and_chosen_files(make_source: Callable[..., Any], folder: Path) -> None:
    (found,) = _read(_source(make_source, split="test"), folder.parent)
    assert isinstance(found, Document)
    assert (found.id, found.text) == ("s/own-data/test#0-0", "試験用")
    one = _read(_source(make_source, data_files=("train-00002*",)), folder.parent)
    assert {doc.text[:3] for doc in one if isinstance(doc, Document)} == {"第2部"}


def test_json_lines_and_a_broken_shard(make_source: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "raw" / "own-data"
    path.mkdir(parents=True)
    (path / "a.jsonl").write_text('{"body": "一"}\n{"body": null}\n{"body": "三"}\n', encoding="utf-8")
    (path / "b.jsonl").write_text('{"body": "四"}\n{"body":\n', encoding="utf-8")
    found = _read(_source(make_source), path.parent)
    assert [doc.text for doc in found if isinstance(doc, Document)][:2] == ["一", "三"]
    bad = [doc for doc in found if isinstance(doc, Quarantined)]
    assert [doc.error for doc in bad] == ["format", "format"]
    assert "'body' is a NoneType" in bad[0].detail
    assert "damaged after row" in bad[1].detail


@pytest.mark.parametrize("as_dict", [False, True])
def test_what_save_to_disk_wrote(make_source: Callable[..., Any], tmp_path: Path, as_dict: bool) -> None:
    import datasets

    saved = datasets.Dataset.from_dict({"body": [f"文{row}" for row in range(10)]})
    path = tmp_path / "raw" / "own-data"
    if as_dict:
        datasets.DatasetDict({"train": saved}).save_to_disk(path, num_shards={"train": 2})
    else:
        saved.save_to_disk(path, num_shards=2)
    source = _source(make_source)
    pieces = list(source.pieces(path.parent, 1 << 20))
    assert len(pieces) == 2
    texts = [doc.text for doc in _read(source, path.parent) if isinstance(doc, Document)]
    assert texts == [f"文{row}" for row in range(10)]
    assert len(list(source.entries(pieces))) == 2
    with pytest.raises(UsageError, match="save_to_disk"):
        _read(_source(make_source, config="x"), path.parent)
    if as_dict:
        with pytest.raises(DataError, match="no split 'dev'") as caught:
            _read(_source(make_source, split="dev"), path.parent)
        assert "splits found: train" in str(caught.value.hint)


MISSING = {
    "no such column": ({"text_field": "text"}, "no column 'text'", "columns found: body, head, link, score"),
    "no such meta field": ({"meta_fields": ("x",)}, "no column 'x'", "columns found"),
    "no such split": ({"split": "dev"}, "Bad split: dev. Available splits: ", "check dataset"),
    "no such folder": ({"dataset": "./none"}, "cannot be opened", "check dataset"),
    "no such file": ({"data_files": ("x*.parquet",)}, "cannot be opened", "check dataset"),
    "no such config": ({"config": "en"}, "cannot be opened", "check dataset"),
}


@pytest.mark.parametrize(("settings", "what", "mend"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_said_before_anything_is_read(
    make_source: Callable[..., Any], folder: Path, settings: dict[str, Any], what: str, mend: str
) -> None:
    with pytest.raises(DataError) as caught:
        list(_source(make_source, **settings).pieces(folder.parent, 1 << 20))
    assert what in caught.value.message
    assert mend in str(caught.value.hint)


def test_code_inside_a_data_set_is_never_run(make_source: Callable[..., Any], folder: Path) -> None:
    mark = folder.parent / "ran"
    (folder / "own-data.py").write_text(f"open({str(mark)!r}, 'w')\n")
    with pytest.raises(DataError):
        _read(_source(make_source, data_files=("own-data.py",)), folder.parent)
    assert not mark.exists()


@pytest.mark.parametrize(
    "settings",
    [{"dataset": "a/b/c"}, {"dataset": "./x", "revision": "main"}, {"dataset": "a/b", "paths": ("*",)},
     {"dataset": "a/b", "exclude": ("*",)}, {"dataset": "../x", "trust_remote_code": True}, {}],
)  # fmt: skip
def test_settings_that_would_be_ignored_are_refused(make_source: Callable[..., Any], settings: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        make_source("hf", **({"paths": ()} | settings))


def test_without_network_the_mend_is_named() -> None:
    code = (
        "from jpfm.data.sources.hf import _commit\nfrom jpfm.core.errors import DataError\n"
        "try: _commit('llm-jp/none', None)\nexcept DataError as e: print(e.message, '|', e.hint)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "llm-jp/none: the hub cannot be reached" in said
    assert "hf download llm-jp/none --repo-type dataset" in said


def _recipe(root: Path) -> Recipe:
    source = {"format": "hf", "name": "s", "dataset": "./own-data", "text_field": "body", "rights": CC0}
    return Recipe.model_validate(
        {"stage": "data", "name": "hf", "root": str(root), "sources": [source], "steps": [], "slice_bytes": 1}
    )


def test_a_corpus_of_any_number_of_workers_has_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    made = [
        build(_recipe(folder.parent), tmp_path / f"out{workers}", engine=Engine(workers=workers)) for workers in (1, 2)
    ]
    assert all(isinstance(corpus, Artifact) for corpus in made)
    first, second = (corpus.manifest for corpus in made if corpus is not None)
    assert first.id == second.id
    assert len([entry for entry in first.files if entry.path.startswith("documents/")]) == 3
    assert first.stats["total"]["kept"] == 12
    source = json.loads((tmp_path / "out1" / "sources" / "s" / "manifest.json").read_text(encoding="utf-8"))
    assert source["config"]["dataset"] == "./own-data"
    assert len(source["files"]) == 3
    pq.write_table(
        pa.table({"body": ["変わった"], "head": [""], "link": [""], "score": [0.0]}),
        folder / "train-00002-of-00003.parquet",
    )
    changed = build(_recipe(folder.parent), tmp_path / "out3")
    assert changed is not None
    assert changed.id != first.id
