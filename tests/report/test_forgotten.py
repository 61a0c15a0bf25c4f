"""The record of a forgetting: complete, sealed, signed by a key that OpenSSH checks, and without any text."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jpfm.core.artifact import Artifact, verify
from jpfm.core.errors import ArtifactError, EnvironmentProblem, UsageError
from jpfm.data.build import build
from jpfm.data.forget import Forget
from jpfm.data.forgotten import find
from jpfm.data.rebuild import rebuild
from jpfm.data.recipe import Recipe
from jpfm.report.affected import reached
from jpfm.report.corpus_changes import CHANGES, compare, copies_of
from jpfm.report.forgotten import Request, write_record
from jpfm.report.seal import CHECK, VERIFY, open_key

FOOTER = "このページの文章を許可なく使うことはできません。"
SECRET = "甲野乙彦は丙町の角の家で時計を直している。"
HOSTILE = "</script><script>alert(1)</script>\u202e"
ONE = Forget(ids=("s/a.jsonl#1",))


def _needs_openssh() -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen on this machine")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key made for this test."""
    _needs_openssh()
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "someone@somewhere", "-f", str(tmp_path / "key")]
    subprocess.run(command, check=True)
    return tmp_path / "key"


@pytest.fixture
def corpus(tmp_path: Path) -> Artifact:
    """Four files; what the first document of `a` says stands in `b` and `c` too, and a footer in four documents."""
    (tmp_path / "raw").mkdir()
    for place, name in enumerate("abcd"):
        texts = [f"{name}の{n}番目の文書です。{'山川海'[n] * 30}{place}" for n in range(3)]
        texts[0] = SECRET * 3 if name in "abc" else texts[0]
        texts[1] += f"\n{FOOTER}"
        rows = [{"text": text, "url": f"https://{name}.example/{n}"} for n, text in enumerate(texts)]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (tmp_path / "raw" / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    source = {"format": "jsonl", "name": "s", "paths": ["*"], "url_field": "url", "rights": {"licence": "CC0-1.0"}}
    steps = [{"step": "frequent_lines", "minimum_documents": 4, "minimum_chars": 10}, {"step": "exact_duplicates"}]
    body = {"stage": "data", "name": "small", "root": str(tmp_path / "raw"), "sources": [source], "steps": steps,
            "slice_bytes": 1000}  # fmt: skip
    made = build(Recipe.model_validate(body), tmp_path / "corpus")
    assert made is not None
    return made


def _record(corpus: Artifact, out: str, request: Request) -> tuple[Artifact, dict[str, Any]]:
    after = rebuild(corpus, corpus.path.parent / out, request.asked)
    found = find(corpus, request.asked)
    reach = reached(corpus, [one.id for one in found], corpus.path.parent)
    made = write_record(corpus, after, request, found, reach)
    return made, json.loads((made.path / "record.json").read_text(encoding="utf-8"))


def _table(corpus: Artifact, folder: str) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(file) for file in sorted((corpus.path / folder).glob("*.parquet"))])


def _run(line: str, folder: Path) -> int:
    return subprocess.run(line, shell=True, cwd=folder, capture_output=True, check=False).returncode


def test_the_record_says_what_who_and_why(corpus: Artifact) -> None:
    made, record = _record(corpus, "after", Request(ONE, "山田", "鈴木", "本人の請求"))
    assert verify(made.path) == []
    assert (record["approved_by"], record["requested_by"], record["reason"]) == ("山田", "鈴木", "本人の請求")
    assert record["time"].endswith("+00:00")
    assert record["corpus"]["before"] == corpus.id
    assert set(made.manifest.parents) == {record["corpus"]["before"], record["corpus"]["after"]}
    assert record["documents"] == {
        "count": 1, "by": {"id": 1}, "was": {"kept": 1}, "source": {"s": 1}, "raw_files": 1,
    }  # fmt: skip
    (document,) = pl.read_parquet(made.path / "tables" / "documents.parquet").to_dicts()
    assert (document["id"], document["source"], document["was"]) == ("s/a.jsonl#1", "s", "kept")
    text = _table(corpus, "documents").filter(pl.col("id") == "s/a.jsonl#1")["text"][0]
    told = subprocess.run(["sha256sum"], input=text.encode(), capture_output=True, check=True).stdout.split()[0]
    assert document["sha256"] == told.decode()
    assert record["other_documents"] == {CHANGES[0]: 1, CHANGES[1]: 0, CHANGES[2]: 0, CHANGES[3]: 0}
    others = pl.read_parquet(made.path / "tables" / "other_documents.parquet")
    assert others.filter(pl.col("change") == CHANGES[0])["document"].to_list() == ["s/b.jsonl#1"]
    for name, table in record["tables"].items():
        assert pl.read_parquet(made.path / "tables" / f"{name}.parquet").height == table["rows"]


def test_a_host_of_thousands_leaves_a_record_that_a_person_can_open(tmp_path: Path) -> None:
    """The list is a table: record.json and the page do not grow with it, and the seal covers it."""
    (tmp_path / "raw").mkdir()
    rows = [
        {"text": f"{n}番の本は{n * 7919 % 3001}番の棚に戻した。", "url": f"https://a.example/{n}"} for n in range(3000)
    ]
    rows += [{"text": "残る文書。橋のたもとで傘を借りた。", "url": "https://b.example/"}]
    (tmp_path / "raw" / "a.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    source = {"format": "jsonl", "name": "s", "paths": ["*"], "url_field": "url", "rights": {"licence": "CC0-1.0"}}
    body = {"stage": "data", "name": "large", "root": str(tmp_path / "raw"), "sources": [source], "steps": []}
    corpus = build(Recipe.model_validate(body), tmp_path / "corpus")
    assert corpus is not None
    made, record = _record(corpus, "after", Request(Forget(hosts=("a.example",)), "山田"))
    assert record["documents"] == {
        "count": 3000, "by": {"host": 3000}, "was": {"kept": 3000}, "source": {"s": 3000}, "raw_files": 1,
    }  # fmt: skip
    assert (made.path / "record.json").stat().st_size < 5_000
    assert (made.path / "index.html").stat().st_size < 150_000
    told = pl.read_parquet(made.path / "tables" / "documents.parquet")
    expected = {
        f"s/a.jsonl#{n + 1}": hashlib.sha256(row["text"].encode()).hexdigest() for n, row in enumerate(rows[:-1])
    }
    assert dict(told.select("id", "sha256").iter_rows()) == expected
    table = record["tables"]["documents"]
    assert table == {
        "rows": 3000,
        "sha256": hashlib.sha256((made.path / "tables/documents.parquet").read_bytes()).hexdigest(),
    }
    assert _run(CHECK, made.path) == 0
    told.head(2999).write_parquet(made.path / "tables" / "documents.parquet")
    assert _run(CHECK, made.path) != 0
    assert any("documents.parquet" in problem for problem in verify(made.path))


def test_no_text_is_in_it_and_names_do_no_harm(corpus: Artifact) -> None:
    made, _ = _record(corpus, "after", Request(ONE, HOSTILE, HOSTILE, HOSTILE))
    page = (made.path / "index.html").read_text(encoding="utf-8")
    assert page.count("&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;⟦U+202E⟧") >= 3
    assert "<script>alert" not in page
    for file in made.path.rglob("*"):
        if file.suffix == ".parquet":
            assert SECRET not in json.dumps(pl.read_parquet(file).to_dicts(), ensure_ascii=False)
        elif file.is_file():
            assert SECRET[:8] not in file.read_text(encoding="utf-8")


def test_changes_are_those_of_the_documents(corpus: Artifact) -> None:
    """Against a reading of all documents of both corpora."""
    asked = Forget(urls=("https://a.example/0", "https://a.example/1"))
    gone = [one.id for one in find(corpus, asked)]
    after = rebuild(corpus, corpus.path.parent / "after", asked)
    changes = compare(corpus, after, gone)
    texts = [dict(_table(one, "documents").select("id", "text").iter_rows()) for one in (corpus, after)]
    others = (texts[0].keys() | texts[1].keys()) - set(gone)
    expected = {
        CHANGES[0]: {one for one in others if one not in texts[0]},
        CHANGES[1]: {one for one in others if one not in texts[1]},
        CHANGES[3]: {one for one in others if one in texts[0] and one in texts[1] and texts[0][one] != texts[1][one]},
    }
    assert expected[CHANGES[0]] == {"s/b.jsonl#1"}
    assert expected[CHANGES[3]] == {"s/b.jsonl#2", "s/c.jsonl#2", "s/d.jsonl#2"}  # the footer is no longer frequent
    for change, documents in expected.items():
        assert set(changes.documents.filter(pl.col("change") == change)["document"]) == documents
    assert changes.count(CHANGES[2]) == 0
    files = {
        path.relative_to(after.path).as_posix(): path.read_bytes()
        == (corpus.path / path.relative_to(after.path)).read_bytes()
        for path in (after.path / "documents").glob("*.parquet")
    }
    told = dict(changes.files.select("path", pl.col("before").eq_missing(pl.col("after"))).iter_rows())
    assert {path: told[path] for path in files} == files
    copies = dict(copies_of(corpus, gone))
    assert copies == {"s/b.jsonl#1": "s/a.jsonl#1", "s/c.jsonl#1": "s/a.jsonl#1"}


def test_a_shard_that_nothing_changes_is_named_unchanged(corpus: Artifact) -> None:
    made, record = _record(corpus, "after", Request(Forget(ids=("s/d.jsonl#3",)), "山田"))
    assert record["shards"] == {"rebuilt": 1, "unchanged": 3, "all": 4}
    files = pl.read_parquet(made.path / "tables" / "shards.parquet")
    changed = files.filter(pl.col("before").ne_missing(pl.col("after")))
    assert set(changed["shard"]) == {"s-00003"}
    assert files["shard"].unique().sort().to_list() == [f"s-0000{n}" for n in range(4)]


def test_the_seal_breaks_when_anything_is_changed(corpus: Artifact) -> None:
    made, _ = _record(corpus, "after", Request(ONE, "山田"))
    assert _run(CHECK, made.path) == 0
    for file in ("record.json", "index.html", "tables/documents.parquet", "tables/steps.parquet"):
        content = (made.path / file).read_bytes()
        (made.path / file).write_bytes(content + b" ")
        assert _run(CHECK, made.path) != 0
        (made.path / file).write_bytes(content)
    assert not (made.path / "record.sha256.sig").exists()


def test_a_signature_is_that_of_the_key_and_of_the_record(corpus: Artifact, key: Path) -> None:
    opened = open_key(key)
    made, record = _record(corpus, "after", Request(ONE, "山田", key=opened))
    assert _run(VERIFY, made.path) == 0
    page = (made.path / "index.html").read_text(encoding="utf-8")
    assert opened.public.replace("+", "&#43;") in page or opened.public in page
    assert record["signed_with"] == opened.fingerprint
    assert "someone@somewhere" not in (made.path / "allowed_signers").read_text() + page
    assert "PRIVATE" not in page
    seal = (made.path / "record.sha256").read_text()
    (made.path / "record.sha256").write_text(seal.replace("a", "b", 1))
    assert _run(VERIFY, made.path) != 0
    (made.path / "record.sha256").write_text(seal)
    other = key.with_name("other")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    (made.path / "allowed_signers").write_text(f"approver {other.with_suffix('.pub').read_text()}")
    assert _run(VERIFY, made.path) != 0


def test_a_key_that_cannot_sign_is_said_before_any_work(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no such file"):
        open_key(key.with_name("none"))
    key.with_name("text").write_text("no key\n")
    key.with_name("text").chmod(0o600)
    with pytest.raises(UsageError, match="ssh-keygen refused"):
        open_key(key.with_name("text"))
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(key.with_name("ec"))], check=True)
    with pytest.raises(UsageError, match="not ssh-ed25519"):
        open_key(key.with_name("ec"))
    monkeypatch.setenv("PATH", str(key.parent))
    with pytest.raises(EnvironmentProblem, match="not installed"):
        open_key(key)


def test_records_follow_each_other_and_stay(corpus: Artifact) -> None:
    first, _ = _record(corpus, "one", Request(ONE, "山田"))
    again, _ = _record(corpus, "one", Request(ONE, "山田"))
    assert again.id == first.id
    with pytest.raises(ArtifactError, match="approved_by"):
        _record(corpus, "one", Request(ONE, "佐藤"))
    after = first.path.parents[1]
    middle = rebuild(corpus, after, ONE)
    second, _ = _record(middle, "two", Request(Forget(ids=("s/b.jsonl#1",)), "佐藤"))
    records = sorted((second.path.parent).iterdir())
    assert [one.name for one in records] == ["0001", "0002"]
    assert (records[0] / "record.json").read_bytes() == (first.path / "record.json").read_bytes()
    assert verify(second.path.parents[1]) == []


def test_a_corpus_that_still_holds_a_document_gets_no_record(corpus: Artifact) -> None:
    found = find(corpus, ONE)
    reach = reached(corpus, [one.id for one in found], corpus.path.parent)
    with pytest.raises(ArtifactError, match=r"still holds s/a\.jsonl#1"):
        write_record(corpus, corpus, Request(ONE, "山田"), found, reach)
