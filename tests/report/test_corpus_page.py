"""The page of a corpus: everything dropped is listed, masks are marked, and no text can do harm."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jpfm.cli.cli import app
from jpfm.core.artifact import Artifact
from jpfm.data.build import build
from jpfm.data.recipe import Recipe
from jpfm.report.corpus import write_page

MAIL = "taro@example.co.jp"
TEXTS = [
    f"お問い合わせは{MAIL}までお願いします。電話は03-1234-5678です。",
    "<script>alert(1)</script>という文字列をふくむ文書です。\u202e逆さま",
    "短い",
    "x" * 300,
]


def _corpus(folder: Path, content: str, form: str, steps: list[dict[str, Any]]) -> Artifact:
    (folder / "raw").mkdir()
    (folder / "raw" / "a").write_text(content, encoding="utf-8")
    source = {"format": form, "name": "s", "paths": ["a"], "rights": {"licence": "CC0-1.0"}}
    body = {"stage": "data", "name": "small", "root": str(folder / "raw"), "sources": [source], "steps": steps}
    corpus = build(Recipe.model_validate(body), folder / "corpus")
    assert corpus is not None
    return corpus


@pytest.fixture
def page(tmp_path: Path) -> tuple[Artifact, str]:
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS] + ["{broken"]
    steps: list[dict[str, Any]] = [
        {"step": "characters"}, {"step": "length", "minimum_chars": 10}, {"step": "japanese_share"},
        {"step": "mask_personal_data"},
    ]  # fmt: skip
    corpus = _corpus(tmp_path, "\n".join(lines), "jsonl", steps)
    write_page(corpus, tmp_path / "page.html")
    return corpus, (tmp_path / "page.html").read_text(encoding="utf-8")


def test_masks_are_marked_and_the_value_is_nowhere(page: tuple[Artifact, str]) -> None:
    _, html = page
    marks = re.findall(r'<mark title="(\w+)">([^<]+)</mark>', html)
    assert {kind for kind, _ in marks} == {"email", "phone"}
    assert MAIL not in html
    assert "03-1234-5678" not in html


def test_every_reason_is_there_with_its_figure(page: tuple[Artifact, str]) -> None:
    corpus, html = page
    total = corpus.manifest.stats["total"]
    for key in (*total["dropped"], *total["quarantined"]):
        assert f"<code>{key}</code>" in html
    assert "2 / 10" in html  # num_chars against its threshold
    assert "is not JSON" in html


def test_text_is_text(page: tuple[Artifact, str]) -> None:
    _, html = page
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>alert" not in html
    assert "⟦U+202E⟧" in html


def test_the_same_corpus_gives_the_same_page(page: tuple[Artifact, str], tmp_path: Path) -> None:
    corpus, html = page
    write_page(corpus, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == html


def test_places_that_moved_are_not_marked(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path, TEXTS[0], "text", [{"step": "mask_personal_data"}, {"step": "normalize"}])
    write_page(corpus, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "A later step changed the text" in html


def test_the_command_writes_it(corpus: Artifact, tmp_path: Path) -> None:
    out = tmp_path / "c.html"
    done = CliRunner().invoke(app, ["data", "show", str(corpus.path), "--html", str(out)])
    assert (done.exit_code, done.stdout.strip()) == (0, str(out))
    assert out.stat().st_size > 50_000
    done = CliRunner().invoke(app, ["data", "show", str(corpus.path), "--html", str(tmp_path)])
    assert done.exit_code != 0


def test_originals_are_shown_only_when_asked_for(tmp_path: Path) -> None:
    steps = [{"step": "mask_personal_data", "keep_originals": True}]
    corpus = _corpus(tmp_path, TEXTS[0], "text", steps)
    write_page(corpus, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert MAIL not in html
    assert "kept in dropped/originals" in html
    write_page(corpus, tmp_path / "page.html", originals=True)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"<del>{MAIL}</del>" in html
    assert "Do not pass them on" in html


def test_contamination_is_shown_where_it_was_looked_for(tmp_path: Path) -> None:
    question = "山あいの停車場に着いた汽車は、橋を渡る前に何分のあいだ停まったでしょうか。"
    items = [json.dumps({"text": text}, ensure_ascii=False) for text in (question, "どれ？")]
    (tmp_path / "exam.jsonl").write_text("\n".join(items), encoding="utf-8")
    lines = [f"先生の問い。{question}", "川べりの道を歩いて帰った。", f"もう一度。{question}"]
    content = "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in lines)
    exam = {"name": "<b>exam</b>", "path": str(tmp_path / "exam.jsonl")}
    corpus = _corpus(tmp_path, content, "jsonl", [{"step": "decontaminate", "benchmarks": [exam]}])
    write_page(corpus, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    section = html.partition('<section id="contamination">')[2].partition("</section>")[0]
    row = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", section.partition("<tbody>")[2])
    assert row == ["&lt;b&gt;exam&lt;/b&gt;", "2", "1", "1", "2", "2", "0", "0"]
    assert {"ベンチマーク混入", "見つかった設問", "Benchmark contamination", "Items found"} <= set(
        re.findall(r">([^<]+)<", section)
    )
    assert 'href="#contamination"' in html


def test_a_corpus_that_was_not_searched_has_no_such_section(page: tuple[Artifact, str]) -> None:
    assert "#contamination" not in page[1]


@pytest.mark.parametrize("action", ["mask", "drop"])
def test_every_reason_can_be_read_on_the_command_line(tmp_path: Path, action: str) -> None:
    lines = "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS)
    steps: list[dict[str, Any]] = [{"step": "mask_personal_data", "action": action}, {"step": "characters"},
             {"step": "length", "minimum_chars": 10}]  # fmt: skip
    corpus = _corpus(tmp_path, lines, "jsonl", steps)
    for key in corpus.manifest.stats["total"]["dropped"]:
        for word in (key, *key.split(":")):
            done = CliRunner().invoke(app, ["data", "show", str(corpus.path), "--dropped", word])
            assert done.exit_code == 0, done.output
            assert "○" in done.stdout
