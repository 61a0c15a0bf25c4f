"""The rights ledger: its figures are those of the corpus, added up another way."""

import json
from pathlib import Path

import polars as pl
import pytest

from jpfm.core.artifact import Artifact, verify
from jpfm.data.build import build
from jpfm.data.recipe import Recipe
from jpfm.report.provenance import provenance

PROSE = "港の坂を上ると、古い石橋と小さな本屋が見えた。店の人は鍵を箱にしまい、窓を閉めた。"


def _page(title: str, text: str, robots: str = "") -> str:
    head = f"<meta name=robots content='{robots}'>" if robots else ""
    return f"<html lang=ja><head><title>{title}</title>{head}</head><body><main><p>{text}</p></main></body></html>"


@pytest.fixture
def corpus(tmp_path: Path) -> Artifact:
    raw = tmp_path / "raw"
    (raw / "pages").mkdir(parents=True)
    rows = [
        {"text": f"{n}通目。{PROSE * (n % 4 + 1)} 連絡先 03-0000-12{n:02}", "url": url, "date": date}
        for n, (url, date) in enumerate([
            ("https://www.example.jp/a", "2024-05-01"), ("https://www.example.jp/b", "2024"),
            ("http://User@EXAMPLE.jp:8080/c", "令和8年"), ("", ""),
            ("https://<script>alert(1)</script>/x", "2023-02-30"),
        ])
    ]  # fmt: skip
    rows.append({"text": rows[0]["text"], "url": "https://copy.example/", "date": "2020"})
    (raw / "mail.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    (raw / "pages" / "a.html").write_text(_page("坂", "別の話。" + PROSE * 3))
    (raw / "pages" / "b.html").write_text(_page("拒否", PROSE * 2, "noai"))
    sources = [
        {"format": "jsonl", "name": "mail", "paths": ["*.jsonl"], "url_field": "url", "date_field": "date",
         "rights": {"licence": "CC0-1.0", "retrieved": "2026-01-31", "basis": "own-data"}},
        {"format": "html", "name": "pages", "paths": ["pages/*"],
         "rights": {"licence": "PDL-1.0", "attribution": "某省", "robots": "respected"}},
    ]  # fmt: skip
    steps = ["normalize", "mask_personal_data", "exact_duplicates"]
    body = {"stage": "data", "name": "ledger", "root": str(raw), "sources": sources}
    made = build(Recipe.model_validate(body | {"steps": [{"step": step} for step in steps]}), tmp_path / "corpus")
    assert made is not None
    return made


def test_the_figures_are_those_of_the_corpus(corpus: Artifact, tmp_path: Path) -> None:
    made = provenance([corpus], tmp_path / "ledger", [])
    assert verify(made.path) == []
    ledger = pl.read_parquet(made.path / "ledger.parquet")
    documents = pl.concat([pl.read_parquet(file) for file in sorted((corpus.path / "documents").glob("*.parquet"))])
    assert ledger["id"].to_list() == documents["id"].to_list()
    assert len(ledger) == corpus.manifest.stats["total"]["kept"] == 6
    assert "text" not in ledger.columns
    for name in ("source", "licence", "basis", "url", "retrieved", "date", "encoding", "changed_by", "num_copies"):
        assert ledger[name].to_list() == documents[name].to_list(), name
    assert ledger["chars"].sum() == documents["text"].str.len_chars().sum() == corpus.manifest.stats["total"]["chars"]
    assert set(ledger["basis"]) == {"own-data", "licence"}
    assert "mask_personal_data" in ledger["changed_by"][0]
    hosts = ledger.filter(pl.col("source") == "mail")["host"].to_list()
    assert hosts[:4] == ["www.example.jp", "www.example.jp", "example.jp", "-"]
    assert ledger.filter(pl.col("source") == "mail")["year"].to_list() == [2024, 2024, None, None, None]
    data = json.loads((made.path / "data.json").read_text(encoding="utf-8"))
    for kind in ("licence", "source", "basis"):
        expected = dict(documents.group_by(kind).len().iter_rows())
        assert {row["value"]: row["documents"] for row in data["by"][kind]} == expected


def test_the_page_escapes_what_it_shows_and_names_opt_outs(corpus: Artifact, tmp_path: Path) -> None:
    page = (provenance([corpus], tmp_path / "ledger", []).path / "index.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    for words in ("CC0-1.0", "PDL-1.0", "某省", "opt_out", "exact_duplicate", "phone"):
        assert words in page


def test_the_same_corpus_gives_the_same_ledger(corpus: Artifact, tmp_path: Path) -> None:
    assert provenance([corpus], tmp_path / "one", []).id == provenance([corpus], tmp_path / "two", []).id


def test_a_corpus_without_its_documents_is_refused(corpus: Artifact, tmp_path: Path) -> None:
    from jpfm.core.errors import ArtifactError

    (file, *_) = sorted((corpus.path / "documents").glob("mail*.parquet"))
    pl.read_parquet(file).head(2).write_parquet(file)
    with pytest.raises(ArtifactError):
        provenance([corpus], tmp_path / "ledger", [])
