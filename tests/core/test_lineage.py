"""From any artifact back to raw files and their licences."""

import shutil
from pathlib import Path

import pytest

from jpfm.core.artifact import Artifact, open_artifact
from jpfm.core.errors import ArtifactError
from jpfm.core.lineage import ancestors, index, parents, why


def test_why_draws_the_tree_down_to_raw_files_and_licences(
    tokens: Artifact, tokenizer: Artifact, corpus: Artifact
) -> None:
    lines = why(tokens.path, max_files=2).splitlines()
    assert lines[0].startswith(tokens.id)
    assert lines[1].startswith(f"├─ {corpus.id}")
    assert any(line.startswith(f"└─ {tokenizer.id}") for line in lines)
    assert sum("licence CC0-1.0" in line for line in lines) == 5
    assert any("aozora/001_akegata_no_eki.txt  " in line and "sha256 " in line for line in lines)
    assert any("... and 24 more files" in line for line in lines)
    assert sum("(shown above)" in line for line in lines) == 1  # the corpus is a parent of both


def test_ancestors_come_once_each_nearest_first(tokens: Artifact, tokenizer: Artifact, corpus: Artifact) -> None:
    found = [artifact.id for artifact in ancestors(tokens)]
    assert found[:3] == [tokens.id, corpus.id, tokenizer.id]
    assert len(found) == len(set(found)) == 8
    assert {identity.split("-")[0] for identity in found[3:]} == {"source"}
    assert set(found) <= set(index(corpus.path.parent))


def test_a_lost_parent_is_named_and_found_again_beside_its_child(
    tokens: Artifact, tokenizer: Artifact, corpus: Artifact, tmp_path: Path
) -> None:
    shutil.copytree(tokens.path, tmp_path / "elsewhere" / "tokens")
    moved = open_artifact(tmp_path / "elsewhere" / "tokens")
    assert parents(moved) == [corpus.id, tokenizer.id]
    assert f"{corpus.id}  (not found here)" in why(moved.path)
    with pytest.raises(ArtifactError, match=corpus.id):
        list(ancestors(moved))
    shutil.copytree(corpus.path, tmp_path / "elsewhere" / "renamed")
    shutil.copytree(tokenizer.path, tmp_path / "elsewhere" / "other")
    assert len(list(ancestors(moved))) == 8


def test_a_manifest_of_another_program_is_passed_over(tokens: Artifact, corpus: Artifact, tmp_path: Path) -> None:
    shutil.copytree(tokens.path, tmp_path / "tokens")
    shutil.copytree(corpus.path, tmp_path / "corpus")
    for name, text in (("web", '{"name": "an app", "icons": []}'), ("broken", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(text, encoding="utf-8")
    assert corpus.id in {one.id for one in parents(open_artifact(tmp_path / "tokens")) if isinstance(one, Artifact)}
