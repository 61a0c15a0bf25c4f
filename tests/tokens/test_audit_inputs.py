"""What an audit is given: any tokenizer, any text; each kind of bad input is one line that says what to do."""

import gzip
import json
from pathlib import Path

import pytest
from tests.tokens.audit_made import uneven_corpus, unigram

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError, DataError, JpfmError, UsageError
from jpfm.data.build import read_documents
from jpfm.tokens.audit.open import open_tokenizers
from jpfm.tokens.audit.text import Absent, head, read_domains


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(kind: type[JpfmError], match: str, *specs: str) -> None:
    with pytest.raises(kind, match=match) as caught:
        open_tokenizers(specs)
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_bad_tokenizers(tmp_path: Path) -> None:
    refused(UsageError, "no tokenizer is named")
    refused(UsageError, "no such file or folder", "llm-jp/llm-jp-3-1.8b")
    write(tmp_path / "empty" / "README", "x")
    refused(UsageError, "holds neither tokenizer.json nor", str(tmp_path / "empty"))
    write(tmp_path / "code" / "tokenizer_config.json", json.dumps({"auto_map": {"AutoTokenizer": ["x.T", None]}}))
    refused(DataError, "code of its own", str(tmp_path / "code"))
    refused(
        DataError, "is not a model of SentencePiece", str(write(tmp_path / "broken.model", b"\xff\xfe not a model"))
    )
    refused(DataError, "is not a tokenizer.json", str(write(tmp_path / "broken" / "tokenizer.json", '{"model": 1}')))
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    refused(DataError, "Git LFS pointer", str(write(tmp_path / "lfs" / "tokenizer.json", pointer).parent))
    refused(UsageError, "neither a .model nor", str(write(tmp_path / "vocab.txt", "a")))


def test_names(tmp_path: Path) -> None:
    first = unigram(tmp_path / "a" / "tokenizer", {"あ": -1.0})
    second = unigram(tmp_path / "b" / "tokenizer", {"い": -1.0})
    names = [one.tokenizer.name for one in open_tokenizers([str(first), str(second)])]
    assert names == ["a/tokenizer", "b/tokenizer"]
    assert [one.tokenizer.name for one in open_tokenizers([f"x={first}", str(second)])] == ["x", "tokenizer"]
    refused(UsageError, "two tokenizers are called 'x'", f"x={first}", f"x={second}")


def test_an_artifact_is_known_as_one(tokenizer: Artifact) -> None:
    found = open_tokenizers([str(tokenizer.path)])[0]
    assert found.artifact is not None
    assert found.artifact.id == tokenizer.id
    assert found.tokenizer.kind.startswith("SentencePiece")
    assert found.tokenizer.vocab_size == tokenizer.manifest.stats["vocab_size"]


def test_a_corpus_is_read_by_source_and_held_out(corpus: Artifact) -> None:
    domains = read_domains([str(corpus.path)], 10**9, 10**9)
    held = [row for batch in read_documents(corpus, ["source", "text"], split="held_out") for row in batch.to_pylist()]
    assert held
    assert {one.name for one in domains} == {row["source"] for row in held}
    assert {one.split for one in domains} == {"held_out"}
    assert sorted(text for one in domains for text in one.texts) == sorted(row["text"] for row in held if row["text"])
    renamed = read_domains([f"見本={corpus.path}"], 10**9, 10**9)
    assert [one.name for one in renamed] == [f"見本/{one.name}" for one in domains]


def test_sources_without_held_out_documents_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = uneven_corpus(tmp_path)
    caplog.clear()
    (notes,) = read_domains([str(made.path)], 10**6, 10**6)
    assert (notes.name, notes.split) == ("notes", "held_out")
    assert notes.absent == (Absent("law", 1, 0), Absent("empty", 0, 0))
    assert "not measured: law (1 document, 0 held out), empty (0 documents, 0 held out)" in caplog.text
    (renamed,) = read_domains([f"新={made.path}"], 10**6, 10**6)
    assert [one.name for one in renamed.absent] == ["新/law", "新/empty"]


def test_files_and_folders(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({"text": f"文書{n}"}, ensure_ascii=False) for n in range(5)) + "\n"
    write(tmp_path / "news.jsonl.gz", gzip.compress(lines.encode()))
    write(tmp_path / "law" / "one.txt", "\ufeff第一条")
    write(tmp_path / "law" / "deep" / "two.md", "第二条")
    write(tmp_path / "law" / "image.png", b"\x89PNG")
    news, law = read_domains([str(tmp_path / "news.jsonl.gz"), f"法令={tmp_path / 'law'}"], 1000, 1000)
    assert (news.name, law.name) == ("news", "法令")
    assert sorted(news.texts) == [f"文書{n}" for n in range(5)]
    assert sorted(law.texts) == ["第一条", "第二条"]
    assert (news.documents, law.documents) == (5, 2)


def test_the_sample_is_bounded_and_does_not_depend_on_order(tmp_path: Path) -> None:
    texts = [f"{n:04d}" + "文" * 96 for n in range(2000)]
    whole = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    path = write(tmp_path / "big.jsonl", whole)
    small = read_domains([str(path)], 5_000, 1000)[0]
    assert sum(map(len, small.texts)) == 5_000
    assert small.documents == 2000
    large = read_domains([str(path)], 20_000, 1000)[0]
    assert large.texts[: len(small.texts)] == small.texts, "a larger sample begins with the smaller one"
    assert len(set(small.texts)) == 50
    assert head("一行目\n二行目", 5) == "一行目"
    assert head("切れ目なし", 3) == "切れ目"


@pytest.mark.parametrize(
    ("name", "content", "kind", "match"),
    [
        ("a.txt", b"\x93\xfa\x96{", DataError, "byte 0 is not UTF-8"),
        ("a.jsonl", '{"text": "x"}\n{"body": "y"}\n', DataError, "a.jsonl:2: has no text in the field 'text'"),
        ("a.jsonl", "not json\n", DataError, "a.jsonl:1: is not JSON"),
        ("a.jsonl", '{"text": "\\ud83d"}\n', DataError, "a.jsonl:1: character 0 is half a surrogate pair"),
        ("a.jsonl.gz", b"no gzip", DataError, "no whole gzip file"),
        ("a.txt", "", DataError, "holds no text"),
        ("a.pdf", "x", UsageError, "cannot read this kind of file"),
    ],
)
def test_bad_text(tmp_path: Path, name: str, content: str | bytes, kind: type[JpfmError], match: str) -> None:
    with pytest.raises(kind, match=match) as caught:
        read_domains([str(write(tmp_path / name, content))], 1000, 1000)
    assert caught.value.hint


def test_bad_domains(tmp_path: Path, tokenizer: Artifact) -> None:
    one = str(write(tmp_path / "a.txt", "文"))
    for specs, kind, match in (
        ([], UsageError, "--corpus is missing"),
        ([str(tmp_path / "none")], UsageError, "no such file or folder"),
        ([one, one], UsageError, "two domains are called 'a'"),
        ([f"*={one}"], UsageError, "cannot be called"),
        ([str(tokenizer.path)], ArtifactError, "not a corpus artifact"),
    ):
        with pytest.raises(kind, match=match):
            read_domains(specs, 1000, 1000)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no text in this folder"):
        read_domains([str(tmp_path / "empty")], 1000, 1000)
