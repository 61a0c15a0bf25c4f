"""`jpfm forget` as a user types it: what it lists, what it writes, who must answer for it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

PROSE = "港の坂を上ると、古い石橋と小さな本屋が見えた。店の人は鍵を箱にしまい、窓を閉めた。"


def _jpfm(*arguments: object) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "jpfm", "-q", *map(str, arguments)]
    return subprocess.run(
        line, capture_output=True, text=True, check=False, timeout=300, env=os.environ | {"COLUMNS": "200"}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of two files and two hosts; the last document is a copy of the first."""
    folder = tmp_path_factory.mktemp("forget")
    raw = folder / "raw"
    raw.mkdir()
    for name in "ab":
        rows: list[dict[str, Any]] = [
            {
                "text": f"{name}{n}。{PROSE}{n * 7}番の秘密。",
                "url": f"https://{'www' if n % 2 else 'old'}.{name}.jp/{n}",
            }
            for n in range(6)
        ]
        if name == "b":
            rows.append({"text": f"a0。{PROSE}0番の秘密。", "url": "https://copy.jp/"})
        (raw / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    source = {
        "format": "jsonl",
        "name": "s",
        "paths": ["*.jsonl"],
        "url_field": "url",
        "rights": {"licence": "CC0-1.0"},
    }
    body = {"stage": "data", "name": "small", "root": str(raw), "sources": [source], "slice_bytes": 2000,
            "steps": [{"step": "normalize"}, {"step": "exact_duplicates"}]}  # fmt: skip
    (folder / "recipe.yaml").write_text(json.dumps(body, ensure_ascii=False))
    done = _jpfm("data", "build", folder / "recipe.yaml", "--out", folder / "corpus")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_dry_run_lists_and_touches_nothing(folder: Path) -> None:
    before = sorted(folder.iterdir())
    done = _jpfm("forget", folder / "corpus", "--host", "old.a.jp", "--dry-run")
    assert done.returncode == 0, done.stderr
    for n in (0, 2, 4):
        assert f"document s/a.jsonl#{n + 1}: kept, by host" in done.stdout
    assert "a.jsonl#2:" not in done.stdout
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--host", "old.a.jp"], 2, "--approved-by is missing"),
        (["--approved-by", "山田"], 2, "nothing to forget is named"),
        (["--host", "https://old.a.jp/", "--approved-by", "山田"], 2, "is no host"),
        (["--regex", "(", "--approved-by", "山田"], 2, "no regular expression"),
        (["--host", "c.jp", "--approved-by", "山田"], 3, "no document meets --host c.jp"),
        (["--doc", "s/a.jsonl#1", "--approved-by", "山田", "slice_bytes=9"], 2, "would change more than places"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(folder: Path, options: list[str], code: int, words: str) -> None:
    done = _jpfm("forget", folder / "corpus", *options, "--out", folder / "refused")
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "hint: " in done.stderr
    assert not (folder / "refused").exists()


def test_the_record_says_what_was_done_and_nothing_of_the_text(folder: Path) -> None:
    shutil.move(folder / "raw", folder / "moved")
    try:
        options = ["--doc", "s/a.jsonl#1", "--approved-by", "山田", "--requested-by", "鈴木", "--reason", "本人の請求"]
        done = _jpfm("forget", folder / "corpus", f"root={folder / 'moved'}", *options, "--out", folder / "without")
    finally:
        shutil.move(folder / "moved", folder / "raw")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(folder / "without")
    assert _jpfm("verify", folder / "without").returncode == 0
    (record_file,) = (folder / "without" / "forgotten").rglob("record.json")
    record = json.loads(record_file.read_text(encoding="utf-8"))
    assert (record["approved_by"], record["requested_by"], record["reason"]) == ("山田", "鈴木", "本人の請求")
    tables = {file.stem: pl.read_parquet(file) for file in (record_file.parent / "tables").iterdir()}
    assert tables["documents"]["id"].to_list() == ["s/a.jsonl#1"]
    assert dict(tables["other_documents"].select("document", "change").iter_rows()) == {"s/b.jsonl#7": "came back"}
    seal = (record_file.parent / "record.sha256").read_text(encoding="utf-8")
    assert hashlib.sha256(record_file.read_bytes()).hexdigest() in seal
    page = (record_file.parent / "index.html").read_text(encoding="utf-8")
    assert "山田" in page
    assert PROSE[:12] not in page + record_file.read_text(encoding="utf-8")
    kept = pl.concat([pl.read_parquet(file) for file in (folder / "without" / "documents").glob("*.parquet")])
    assert "s/a.jsonl#1" not in kept["id"]
    assert "s/b.jsonl#7" in kept["id"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bulk.yaml", "- host: old.a.jp\n- doc: s/b.jsonl#7  # a copy\n"),
        ("bulk.json", '[{"host": "old.a.jp"}, {"doc": "s/b.jsonl#7"}]'),
    ],
)
def test_a_list_of_requests(folder: Path, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    done = _jpfm("forget", folder / "corpus", "--from", tmp_path / name, "--url", "https://www.b.jp/1", "--dry-run")
    assert done.returncode == 0, done.stderr
    found = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("  document") and ", by " in line}
    assert found == {f"s/{one}:" for one in ("a.jsonl#1", "a.jsonl#3", "a.jsonl#5", "b.jsonl#2", "b.jsonl#7")}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("hosts: [a.jp]\n", "1: expected a list"),
        ("- host: a.jp\n- a.jp\n", "2: expected one `kind: word`"),
        ("- host: a.jp\n  doc: x\n", "expected one `kind: word`"),
        ("- domain: a.jp\n", "1: 'domain' is no kind"),
        ("- doc: 17\n", "1: doc: expected text"),
        ("- doc: ''\n", "--doc is empty"),
    ],
)
def test_a_list_that_cannot_be_meant(folder: Path, tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "bulk.yaml").write_text(content, encoding="utf-8")
    done = _jpfm("forget", folder / "corpus", "--from", tmp_path / "bulk.yaml", "--dry-run")
    assert done.returncode == 2, done.stderr
    assert words in done.stderr


def test_a_dry_run_tells_what_would_come_back(folder: Path) -> None:
    done = _jpfm("forget", folder / "corpus", "--doc", "s/a.jsonl#1", "--dry-run")
    assert "document s/b.jsonl#7: a copy of s/a.jsonl#1" in done.stdout
    both = _jpfm("forget", folder / "corpus", "--doc", "s/a.jsonl#1", "--doc", "s/b.jsonl#7", "--dry-run")
    assert "a copy of" not in both.stdout


def test_a_key_is_looked_at_before_the_work(folder: Path) -> None:
    options = ["--doc", "s/a.jsonl#1", "--approved-by", "山田", "--sign-with", folder / "no-key"]
    done = _jpfm("forget", folder / "corpus", *options, "--out", folder / "refused")
    assert done.returncode in (2, 5), done.stderr  # 5 where there is no ssh-keygen
    assert "--sign-with" in done.stderr
    assert not (folder / "refused").exists()


def test_what_was_forgotten_cannot_be_forgotten_again(folder: Path) -> None:
    options = ["--doc", "s/a.jsonl#3", "--approved-by", "山田", "--out"]
    assert _jpfm("forget", folder / "corpus", *options, folder / "once").returncode == 0
    again = _jpfm("forget", folder / "corpus", *options, folder / "once")
    assert again.returncode == 0, again.stderr  # the same line once more finds all of it done
    done = _jpfm("forget", folder / "once", *options, folder / "twice")
    assert done.returncode == 3, done.stderr
    assert "were forgotten before" in done.stderr
    assert not (folder / "twice").exists()
