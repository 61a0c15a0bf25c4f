"""data_recipes/all-formats.yaml: every reader in one recipe, good and broken files, every document accounted for."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import get_args

import datasets
import pyarrow.parquet as pq
import pytest

from jpfm.core import config
from jpfm.core.artifact import Artifact, verify
from jpfm.core.shards import Engine
from jpfm.core.yaml12 import Node
from jpfm.data.build import build
from jpfm.data.recipe import Recipe
from jpfm.data.sources import AnySource
from jpfm.report.corpus import write_page

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "data_recipes" / "all-formats.yaml"
SHARED = ROOT.parent / "shared" / "data"
# what is broken in the example, and the name it is counted under
BROKEN = {
    "text/text/bad-truncated.txt": "archive", "text/text/bad-nul.txt": "decode", "jsonl/jsonl/rows.jsonl#4": "format",
    "parquet/parquet/bad-no-text.parquet": "format", "docx/office/bad-old.doc": "format",
    "docbook/docbook/bad-laughs.xml": "format",
    "aozora/aozora/900_kowareta.txt": "decode", "text/text/bad-empty.txt": "empty",
}  # fmt: skip


def _recipe(folder: Path) -> Recipe:
    root = config.apply_overrides(config.read_file(RECIPE), [f"root={folder}"])
    assert isinstance(root.value, dict)
    if not SHARED.is_dir():  # without the public data its sources are left out; the skip below says so
        sources = [node for node in root.value["sources"].value if not node.value["name"].value.startswith("shared-")]
        root.value["sources"] = Node(sources, root.origin)
    return config.validate(root, Recipe).config


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("formats")
    shared = ["--shared", str(SHARED)] if SHARED.is_dir() else []
    make = ROOT / "examples" / "all_formats" / "make.py"
    subprocess.run([sys.executable, str(make), str(folder), *shared], check=True)
    return _recipe(folder)


@pytest.fixture(scope="module")
def made(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    corpus = build(recipe, tmp_path_factory.mktemp("made") / "corpus")
    assert corpus is not None
    return corpus


def test_every_format_is_in_the_recipe(recipe: Recipe) -> None:
    formats = {get_args(kind.model_fields["format"].annotation)[0] for kind in get_args(get_args(AnySource)[0])}
    assert {source.format for source in recipe.sources} == formats - {"corpus"}


def test_the_funnel_adds_up_for_each_source(made: Artifact, recipe: Recipe) -> None:
    stats = made.manifest.stats
    assert set(stats["sources"]) == {source.name for source in recipe.sources}
    for name, counts in stats["sources"].items():
        assert counts["kept"] > 0, name
        assert counts["read"] == counts["kept"] + sum(counts["dropped"].values()) + sum(counts["quarantined"].values())
    assert verify(made.path) == []


def test_broken_input_is_quarantined_under_its_name_and_the_rest_is_read(made: Artifact) -> None:
    rows = [row for path in (made.path / "quarantined").glob("*") for row in pq.read_table(path).to_pylist()]
    found = {row["id"]: row["error"] for row in rows}
    assert BROKEN.items() <= found.items()
    assert Counter(error for key, error in found.items() if key.startswith("warc/")) == {"format": 1, "opt_out": 1}
    assert all(row["detail"] for row in rows)


def test_nothing_outside_a_file_is_read(made: Artifact) -> None:
    for folder in ("documents", "dropped"):
        for path in (made.path / folder).glob("docbook*"):
            assert "root:" not in "".join(pq.read_table(path, columns=["text"]).column("text").to_pylist())


def test_encodings_are_counted(made: Artifact) -> None:
    encodings = made.manifest.stats["total"]["encodings"]
    assert {"utf-8", "cp932", "euc_jp", "iso2022_jp", "utf-16"} <= set(encodings)


def test_it_opens_as_a_data_set_and_as_a_page(made: Artifact, tmp_path: Path) -> None:
    found = datasets.load_dataset(str(made.path), cache_dir=str(tmp_path / "cache"))["train"]
    assert found.num_rows == made.manifest.stats["total"]["kept"] - made.manifest.stats["total"]["held_out"]
    assert {"author", "payload_digest", "law_num", "pii_spans", "decode_confidence"} <= set(found.column_names)
    write_page(made, tmp_path / "page.html", samples=3, originals=True)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<mark" in html
    assert "<del>" in html


def test_two_workers_give_the_same_corpus(recipe: Recipe, made: Artifact, tmp_path: Path) -> None:
    again = build(recipe, tmp_path / "again", engine=Engine(workers=2))
    assert again is not None
    assert again.id == made.id


def test_the_public_data_is_read_too(made: Artifact, shared_data: Path) -> None:
    assert shared_data.is_dir()
    sources = made.manifest.stats["sources"]
    assert sources["shared-aozora"]["kept"] == 10
    assert sources["shared-law"]["kept"] == 1
