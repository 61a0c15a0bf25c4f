"""The audit as an artifact: figures, a row a piece, an offline page, and speed that does not touch the id."""

import html
import json
import re
from pathlib import Path

import polars as pl
import pytest
from tests.tokens.audit_made import GOLD, uneven_corpus, unigram
from typer import Typer
from typer.testing import CliRunner

from jpfm.cli.audit_command import audit as command
from jpfm.core.artifact import Artifact, verify
from jpfm.report.tokenizer_audit import tokenizer_audit
from jpfm.report.tokenizer_audit_charts import _ticks
from jpfm.tokens.audit.measure import AuditSettings
from jpfm.tokens.audit.text import TOTAL

HOSTILE = "</script><script>alert(1)</script>"
GLITCH = "<img src=x onerror=alert(2)>"
SETTINGS = AuditSettings(draws=100)


def made_inputs(folder: Path) -> tuple[Path, Path]:
    """A tokenizer with a hostile piece and a folder of text."""
    pieces = {HOSTILE: -1.0, "\u202e": -1.0, "<img src=x onerror=alert(2)>": -9.0} | dict.fromkeys(
        "令和七年に始めた。", -2.0
    )
    peer = unigram(folder / "peer", pieces | dict.fromkeys(GLITCH.replace(" ", "▁"), -1.0))
    texts = folder / "texts"
    texts.mkdir()
    for number in range(6):
        (texts / f"{number}.txt").write_text(f"令和七年に始めた。{HOSTILE}\n" * (number + 1), encoding="utf-8")
    return peer, texts


@pytest.fixture(scope="module")
def made(tokenizer: Artifact, corpus: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("audit")
    peer, texts = made_inputs(folder)
    gold = folder / "gold.conllu"
    gold.write_text(GOLD, encoding="utf-8")
    return tokenizer_audit(
        [f"ours={tokenizer.path}", f"<b>敵={peer}"], [str(corpus.path), f"見本={texts}"], folder / "report",
        gold=gold, settings=SETTINGS, speed_bytes=20_000,
    )  # fmt: skip


def figures(made: Artifact) -> dict[str, list[dict[str, object]]]:
    return dict(json.loads((made.path / "audit.json").read_text(encoding="utf-8")))


def test_the_artifact_is_whole(made: Artifact, tokenizer: Artifact, corpus: Artifact) -> None:
    assert made.manifest.kind == "report"
    assert set(made.manifest.parents) == {tokenizer.id, corpus.id}
    assert verify(made.path) == []
    assert sorted(path.relative_to(made.path).as_posix() for path in made.path.rglob("*.parquet")) == [
        "pieces/1-ours.parquet", "pieces/2-_b__.parquet",
    ]  # fmt: skip
    assert not any(entry.path.startswith("logs") for entry in made.manifest.files)


def test_the_pieces_add_up(made: Artifact) -> None:
    rows = figures(made)["fertility"]
    for number, name in (("1-ours", "ours"), ("2-_b__", "<b>敵")):
        table = pl.read_parquet(made.path / "pieces" / f"{number}.parquet")
        counts = {row["domain"]: row["tokens"] for row in rows if row["tokenizer"] == name}
        assert table["count"].sum() == counts.pop(TOTAL)
        assert {
            column.removeprefix("count:"): table[column].sum() for column in table.columns if ":" in column
        } == counts


def test_the_page_escapes_and_shows_hidden_characters(made: Artifact) -> None:
    page = (made.path / "index.html").read_text(encoding="utf-8")
    assert page.count("<script") == 1
    assert "<img" not in page
    assert html.escape(GLITCH.replace(" ", "␣")) in page
    assert html.escape("<b>敵") in page
    assert "\u202e" not in page
    assert "⟦U+202E⟧" in page
    assert "<b>敵" not in page
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_what_the_reader_is_told(made: Artifact) -> None:
    told = " ".join(str(one["en"]) for one in figures(made)["notices"])
    assert "Vocabularies differ in size" in told
    assert "<b>敵: loses characters" not in told, "it spells what it does not know in bytes"
    glitch = next(one for one in figures(made)["tokenizers"] if one["name"] == "<b>敵")
    assert glitch["vocabulary"]["unreachable_pieces"] == [GLITCH]  # type: ignore[index]


def test_a_source_without_held_out_documents_is_named(tmp_path: Path) -> None:
    made = uneven_corpus(tmp_path / "in")
    peer = unigram(tmp_path / "peer", {"晴": -1.0})
    audited = tokenizer_audit(
        [str(peer)], [str(made.path)], tmp_path / "out", settings=SETTINGS, speed_bytes=0
    )  # fmt: skip
    found = figures(audited)
    assert [(one["name"], one["corpus"]) for one in found["absent"]] == [("law", made.id), ("empty", made.id)]
    for language, words in (
        ("en", "law: not measured, here or in total: no document of it is held out (1 document, all for training)."),
        ("en", "empty: not measured, here or in total: the corpus keeps no document of it."),
        ("ja", "law：1文書すべてが学習用で、取り分けた文書がないため、測っていません（合計にも含みません）。"),
        ("ja", "empty：コーパスに残った文書がないため、測っていません（合計にも含みません）。"),
    ):
        assert words in [one[language] for one in found["notices"]]
        assert f">{words}</span>" in (audited.path / "index.html").read_text(encoding="utf-8")


def test_one_of_each_is_written_in_the_singular(tmp_path: Path) -> None:
    text = tmp_path / "一.txt"
    text.write_text("晴れ", encoding="utf-8")
    peer = unigram(tmp_path / "peer", {"晴": -1.0})
    page = tokenizer_audit([str(peer)], [str(text)], tmp_path / "out", settings=SETTINGS, speed_bytes=0)
    written = (page.path / "index.html").read_text(encoding="utf-8")
    assert "1 tokenizer compared on 1 domain, 2 characters." in written
    assert "1 document is too few for an interval" in written
    assert "1 sentence, 1 word<" in written


def test_speed_lies_beside_and_the_id_does_not_depend_on_it(
    made: Artifact, tokenizer: Artifact, corpus: Artifact, tmp_path: Path
) -> None:
    speed = json.loads((made.path / "logs" / "speed.json").read_text(encoding="utf-8"))
    assert [one["tokenizer"] for one in speed["speeds"]] == ["ours", "<b>敵"]
    assert all(one["megabytes_per_second"] > 0 and len(one["runs"]) == 3 for one in speed["speeds"])
    assert speed["hardware"]["cpu"]
    assert "logs/speed.html" in (made.path / "index.html").read_text(encoding="utf-8")
    peer, texts = made_inputs(tmp_path)
    gold = tmp_path / "gold.conllu"
    gold.write_text(GOLD, encoding="utf-8")
    again = tokenizer_audit(
        [f"ours={tokenizer.path}", f"<b>敵={peer}"], [str(corpus.path), f"見本={texts}"], tmp_path / "again",
        gold=gold, settings=SETTINGS, speed_bytes=10_000,
    )  # fmt: skip
    assert again.id == made.id


def test_the_command(tokenizer: Artifact, tmp_path: Path) -> None:
    app = Typer()
    app.command()(command)
    text = tmp_path / "短い.txt"
    text.write_text("令和七年に始めた。", encoding="utf-8")
    asked = [str(tokenizer.path), "--corpus", str(text), "--speed-bytes", "0"]
    planned = CliRunner().invoke(app, [*asked, "--dry-run"])
    assert planned.exit_code == 0
    assert "domain 短い: 1 of 1 documents, 9 characters" in planned.stdout
    done = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "index.html").exists()
    assert "logs/speed.html" not in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("low", "high"), [(1.37, 2.96), (1.0, 1.0), (0.0, 0.48), (2.301, 2.302), (0.4, 131.0)])
def test_ticks_cover_what_is_drawn(low: float, high: float) -> None:
    ticks = _ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 10
