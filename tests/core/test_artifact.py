"""Artifacts: the manifest comes last, ids depend on content alone, nothing is lost."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished, open_artifact, produce, verify
from jpfm.core.errors import ArtifactError, DataError, JpfmError, UsageError
from jpfm.core.lock import lock

CONFIG = {"name": "試作", "steps": 3}


def _write_poem(draft: Draft) -> Finished:
    (draft.path / "詩").mkdir(exist_ok=True)
    (draft.path / "詩" / "一.txt").write_text("古池や蛙飛びこむ水の音\n", encoding="utf-8")
    (draft.path / "数.bin").write_bytes(bytes(range(256)))
    (draft.logs / "clock").write_text(str(time.time_ns()))
    return Finished({"lines": 1})


def _make(out: Path, work: Callable[[Draft], Finished] = _write_poem, **changed: object) -> Artifact:
    return produce(out, kind="source", version=1, config=CONFIG | changed, parents=[], work=work)


def _refuse(draft: Draft) -> Finished:
    raise AssertionError("work was called though there is nothing to do")


def test_an_id_depends_on_content_and_settings_only(tmp_path: Path) -> None:
    first = _make(tmp_path / "a")
    second = _make(tmp_path / "else" / "where")
    assert first.id == second.id
    assert first.manifest.run.started
    assert sorted(entry.path for entry in first.manifest.files) == ["数.bin", "詩/一.txt"]  # logs are not content
    assert len({_make(tmp_path / str(steps), steps=steps).id for steps in range(4)} | {first.id}) == 4

    def other_text(draft: Draft) -> Finished:
        done = _write_poem(draft)
        (draft.path / "詩" / "一.txt").write_text("古池や蛙飛びこむ水の昔\n", encoding="utf-8")
        return done

    assert _make(tmp_path / "text", other_text).id != first.id
    child = produce(tmp_path / "b", kind="source", version=1, config=CONFIG, parents=[first], work=_write_poem)
    assert child.id != first.id
    assert child.manifest.parents == (first.id,)
    newer = produce(tmp_path / "c", kind="source", version=2, config=CONFIG, parents=[], work=_write_poem)
    assert newer.id != first.id


def test_a_known_id_stays_the_same_on_every_machine() -> None:
    entry = artifacts.FileEntry(path="a.txt", bytes=1, sha256="00")
    body = (
        '{"config": {"a": "日", "b": 1}, "files": [["a.txt", "00"]], '
        '"kind": "corpus", "parents": ["source-0"], "version": 1}'
    )
    expected = f"corpus-{hashlib.sha256(body.encode()).hexdigest()[:12]}"
    assert artifacts.artifact_id("corpus", 1, {"b": 1, "a": "日"}, ["source-0"], [entry]) == expected


def test_a_second_run_has_nothing_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    done = _make(tmp_path / "a")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with caplog.at_level("INFO", logger="jpfm"):
        assert _make(tmp_path / "a", _refuse).manifest == done.manifest
    assert "nothing to do" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]  # no lock, no partial


def test_an_interrupted_stage_goes_on_where_it_was(tmp_path: Path) -> None:
    def stop_half_way(draft: Draft) -> Finished:
        _write_poem(draft)
        draft.status("half way")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _make(tmp_path / "a", stop_half_way)
    partial = tmp_path / "a.partial"
    assert (partial / "logs" / "status").read_text(encoding="utf-8") == "half way\n"
    assert not (tmp_path / "a").exists()
    with pytest.raises(ArtifactError) as caught:
        open_artifact(tmp_path / "a")
    assert "unfinished" in caught.value.message
    assert "resumes" in caught.value.hint
    seen: list[bool] = []

    def go_on(draft: Draft) -> Finished:
        seen.append(draft.resumed and (draft.path / "詩" / "一.txt").exists())
        return Finished({"lines": 1})

    assert _make(tmp_path / "a", go_on).id == _make(tmp_path / "straight").id
    assert seen == [True]


@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_on_the_same_folder_are_refused_by_name(tmp_path: Path, finished: bool) -> None:
    if finished:
        _make(tmp_path / "a")
    else:
        artifacts.open_draft(tmp_path / "a", artifacts.plan_of("source", 1, CONFIG, []))
    with pytest.raises(ArtifactError) as caught:
        _make(tmp_path / "a", _refuse, steps=4, extra=[1])
    assert "config.steps: 3 there, 4 asked" in caught.value.message
    assert "config.extra: null there, [1] asked" in caught.value.message
    assert "take another --out" in caught.value.hint


@pytest.mark.parametrize("error", [UsageError, DataError])
def test_a_mistake_in_the_settings_leaves_nothing_that_the_mended_line_must_resume(
    tmp_path: Path, error: type[JpfmError]
) -> None:
    def mistaken(draft: Draft) -> Finished:
        draft.status("choosing")
        (draft.path / "empty").mkdir()
        raise error("weights name 'laws'", hint="sources: law")

    with pytest.raises(error):
        _make(tmp_path / "a", mistaken, weights="laws")
    assert not (tmp_path / "a.partial").exists()
    assert _make(tmp_path / "a", weights="law").id

    def later(draft: Draft) -> Finished:
        (draft.path / "shard").write_text("work of an hour")
        raise error("the next shard is broken", hint="mend it")

    with pytest.raises(error):
        _make(tmp_path / "b", later)
    assert (tmp_path / "b.partial" / "shard").exists()
    with pytest.raises(ArtifactError, match="started with other settings"):
        _make(tmp_path / "b", steps=9)


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.txt").write_text("大事")
    with pytest.raises(ArtifactError, match="exists and is no artifact"):
        _make(tmp_path / "a")
    assert (tmp_path / "a" / "thesis.txt").read_text() == "大事"
    (tmp_path / "empty").mkdir()
    assert _make(tmp_path / "empty").manifest.stats == {"lines": 1}


def test_a_kill_between_manifest_and_rename_is_mended(tmp_path: Path) -> None:
    done = _make(tmp_path / "a")
    os.rename(tmp_path / "a", tmp_path / "a.partial")
    with lock(tmp_path / "a"):  # while its owner may still be at work nobody else touches it
        with pytest.raises(ArtifactError, match="is being made by"):
            _make(tmp_path / "a", _refuse)
        assert (tmp_path / "a.partial").exists()
    assert _make(tmp_path / "a", _refuse).id == done.id


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _rename_id(path: Path) -> None:
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["config"]["steps"] = 4
    path.write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "harm", "found"),
    [
        ("数.bin", _flip, "数.bin: content changed"),
        ("詩/一.txt", lambda path: path.unlink(), "詩/一.txt: missing"),
        ("数.bin", lambda path: path.write_bytes(b"x"), "数.bin: 1 bytes, the manifest says 256"),
        ("manifest.json", _rename_id, "manifest.json: says source-"),
    ],
)
def test_verify_finds_what_changed(tmp_path: Path, name: str, harm: Callable[[Path], object], found: str) -> None:
    _make(tmp_path / "a")
    assert verify(tmp_path / "a") == []
    harm(tmp_path / "a" / name)
    problems = verify(tmp_path / "a")
    assert len(problems) == 1
    assert problems[0].startswith(found)


def test_verify_finds_a_flipped_byte_in_a_real_corpus(corpus: Artifact, tmp_path: Path) -> None:
    copy = tmp_path / "corpus"
    shutil.copytree(corpus.path, copy)
    assert verify(copy) == []
    _flip(copy / "documents" / "law-00000.parquet")
    assert verify(copy) == ["documents/law-00000.parquet: content changed (same size, other SHA-256)"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is not a jpfm manifest"),
        ("{}", "is not a jpfm manifest"),
        ('{"name": "web app", "icons": []}', "is not a jpfm manifest"),
        (None, "has no manifest.json"),
    ],
)
def test_what_is_no_artifact_is_said_so(tmp_path: Path, text: str | None, what: str) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match=what):
        open_artifact(tmp_path)


def test_a_missing_folder_and_a_wrong_kind_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        open_artifact(tmp_path / "nowhere")
    _make(tmp_path / "a")
    with pytest.raises(ArtifactError, match="is a source artifact, not a tokenizer artifact"):
        open_artifact(tmp_path / "a", "tokenizer")
