"""HTML to text: our whole path (bytes to Document) beside bare resiliparse and trafilatura, on one core.

    python -m benchmarks.data.web_pages FOLDER      # writes results/html.json and html.md

FOLDER is the shared data. Pages: the W3C's Japanese Layout Requirements, and pages generated here from Aozora works
and Markdown in six templates of Japanese sites, whose main text is therefore known. Kept: the share of its characters
in paragraphs, cells and items that came out whole; noise: the share of what came out that is none of them. The
templates name their parts in ways that our rules know (gnavi, pankuzu, sidebar), so noise on unknown sites is higher;
what resiliparse loses is mostly words of one character between tags (と, 年), which cost it the paragraph here.
Times are CPU seconds of this process, medians of five rounds; in each round every system reads every page once.
"""

import argparse
import gc
import gzip
import html
import io
import logging
import random
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.data.report import environment, heading, mixed_texts, write

from jpfm.data.document import Document
from jpfm.data.sources.archive import Member
from jpfm.data.sources.html import HtmlSource

TITLE = "HTML to text"
PACKAGES = ("resiliparse", "trafilatura", "lxml", "numba")
ROUNDS = 5
NUM_PAGES = 240
PRECISE_PAGES = 48  # trafilatura is slow
GOAL = 1.2
_KANJI = re.compile(r"[一-鿿]{1,4}")
_UNTOLD = re.compile(r"\d+\.\s|[\s|•*-]")
_TAIL = (
    '<div id="cookie-consent"><p>クッキーを使います。</p><button>同意</button></div><script>'
    + "x();" * 500
    + "</script>"
)
_TEMPLATES = (
    # a modern site
    """<header class="l-header"><nav class="g-nav"><ul>{nav}</ul></nav></header>
<main><div class="breadcrumb"><a href="/">ホーム</a> &gt; {title}</div><article><h1>{title}</h1>{body}</article></main>
<aside class="sidebar"><h2>関連</h2><ul>{side}</ul></aside><footer><ul>{foot}</ul><small>© 見本</small></footer>""",
    # a blog
    """<div id="page" class="site"><header id="masthead" class="site-header"><ul class="main-menu">{nav}</ul></header>
<div id="content"><div id="primary" class="content-area"><article class="post"><h1 class="entry-title">{title}</h1>
<div class="entry-content">{body}</div><div class="sns-share"><a href="#">共有</a></div></article></div>
<div id="secondary" class="widget-area sidebar"><ul>{side}</ul></div></div>
<footer class="site-footer">{foot}</footer></div>""",
    # a city, before HTML5
    """<div id="wrap"><div id="header"><p>見本市</p><ul id="gnavi">{nav}</ul></div>
<p class="pankuzu">ホーム</p><div id="contents"><h1>{title}</h1>{body}<p class="pagetop"><a>先頭へ</a></p></div>
<div id="sidebar"><ul>{side}</ul></div><div id="footer"><ul>{foot}</ul></div></div>""",
    # a layout of tables
    """<table width="100%"><tr><td width="180" class="sidemenu"><font size="-1"><ul>{nav}</ul></font></td>
<td><h1><font color="navy">{title}</font></h1>{body}</td></tr></table><div class="footer"><ul>{foot}</ul></div>""",
    # an old application server: all in one form
    """<form id="aspnetForm" action="/x"><input type="hidden" name="v" value="{state}">
<div class="globalNav">{tabs}</div><div class="jp"><h1>{title}</h1>{body}</div>
<div class="footer-inner"><ul>{foot}</ul></div></form>""",
    # a shop
    """<header><nav><ul>{nav}</ul></nav></header><div class="product"><h1>{title}</h1>{body}</div>
<section class="recommend"><h2>おすすめ</h2><ul>{side}</ul></section><footer>{foot}</footer>""",
)
_MENU = (
    "お知らせ 会社概要 採用情報 お問い合わせ よくあるご質問 施設案内 交通アクセス 個人情報保護 サイトマップ 新着情報 "
    "製品一覧"
)
_WORDS = _MENU.split()


class Case(NamedTuple):
    """A page and its main text in pieces."""

    data: bytes
    gold: tuple[str, ...] = ()


def inline(text: str, draw: random.Random) -> str:
    """A paragraph as sites write it: ruby, links around a word, emphasis, now and then a line break in the source."""
    out, last = [], 0
    for found in _KANJI.finditer(text):
        word, chance = found.group(), draw.random()
        out.append(html.escape(text[last : found.start()]))
        if chance < 0.03:
            out.append(f"<ruby>{word}<rp>（</rp><rt>よみ</rt><rp>）</rp></ruby>")
        elif chance < 0.06:
            out.append(f'<a href="/words/{draw.randrange(9999)}.html" class="link">{word}</a>')
        elif chance < 0.07:
            out.append(f"<strong>{word}</strong>")
        elif chance < 0.08:
            out.append(f"\n        {word}")
        else:
            out.append(word)
        last = found.end()
    return "".join(out) + html.escape(text[last:])


def links(count: int, draw: random.Random, item: str = "li") -> str:
    words = (draw.choice(_WORDS) for _ in range(count))
    return "\n".join(
        f'  <{item} class="item item-{n}"><a href="/{draw.randrange(99999)}/">{word}</a></{item}>'
        for n, word in enumerate(words)
    )


def head(title: str, draw: random.Random) -> str:
    """What stands before the body: meta tags, styles, scripts, structured data."""
    style = "\n".join(f".c{n}{{margin:{n}px;color:#{n:06x}}}" for n in range(draw.randrange(20, 120)))
    script = "\n".join(f'ga("send",{{"k{n}":"v{n}","dl":location.href}});' for n in range(draw.randrange(20, 120)))
    metas = "\n".join(f'<meta property="og:x{n}" content="{title}">' for n in range(8))
    return f"""<!DOCTYPE html><html lang="ja"><head><meta charset="utf-8"><title>{title} | 見本の市</title>
<meta name="viewport" content="width=device-width"><meta name="robots" content="index">
{metas}
<link rel="canonical" href="https://example.jp/{draw.randrange(9999)}"><link rel="stylesheet" href="/a.css">
<style>{style}</style><script>{script}</script>
<script type="application/ld+json">{{"@type":"Article","name":"{title}"}}</script></head>"""


def template(kind: int, title: str, body: str, draw: random.Random) -> str:
    """A page whose main text is body, in one of six forms."""
    values = {
        "title": title, "body": body, "nav": links(30, draw), "side": links(25, draw), "foot": links(40, draw),
        "tabs": links(30, draw, "div"), "state": "A" * 2000,
    }  # fmt: skip
    page = re.sub(r"\{(\w+)\}", lambda found: values[found.group(1)], _TEMPLATES[kind % len(_TEMPLATES)])
    return f"{head(title, draw)}<body>\n{page}\n{_TAIL}</body></html>"


def generated(folder: Path) -> list[Case]:
    """Pages of natural size from real text; the same for the same data."""
    texts = [text for text in mixed_texts(folder, at_least=1).to_pylist() if len(text) > 1500]
    cases = []
    for number in range(NUM_PAGES):
        draw = random.Random(number)
        text = texts[draw.randrange(len(texts))]
        start = draw.randrange(max(1, len(text) - 9000))
        lines = [line.strip() for line in text[start : start + draw.randrange(1200, 9000)].split("\n")]
        paragraphs = [line for line in lines[1:-1] if len(line) > 8 and not line.startswith("```")] or [
            "短い頁である。"
        ]
        title = "".join(char for char in paragraphs[0] if char.isalnum())[:20] or "題"
        parts, gold = [], [title, *paragraphs]
        for place, paragraph in enumerate(paragraphs):
            parts.append(f"<p>{inline(paragraph, draw)}</p>")
            if place % 9 == 4:
                cells = [[draw.choice(_WORDS), str(draw.randrange(999)), "年"] for _ in range(6)]
                rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in cells)
                parts.append(f'<table class="spec">{rows}</table>')
                gold += ["".join(row) for row in cells]
            if place % 9 == 7:
                items = [f"{draw.choice(_WORDS)}について{draw.randrange(99)}件" for _ in range(5)]
                parts.append("<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>")
                gold += items
        cases.append(Case(template(number, title, "\n".join(parts), draw).encode(), tuple(gold)))
    return cases


def systems() -> dict[str, Callable[[bytes], str]]:
    import trafilatura
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import detect_encoding
    from resiliparse.parse.html import HTMLTree

    rights: Any = {"licence": "CC0-1.0"}
    source = HtmlSource(format="html", name="html", paths=("*",), rights=rights)

    def ours(data: bytes) -> str:
        (found,) = source.read(Member("a.html", io.BytesIO(data)), "html/a.html")
        assert isinstance(found, Document), found
        return found.text

    def bare(data: bytes) -> str:
        return str(extract_plain_text(HTMLTree.parse_from_bytes(data), main_content=True))

    def detecting(data: bytes) -> str:
        return str(
            extract_plain_text(HTMLTree.parse_from_bytes(data, detect_encoding(data) or "utf-8"), main_content=True)
        )

    def precise(data: bytes) -> str:
        return trafilatura.extract(data, include_comments=False, include_tables=True) or ""

    return {"jpfm": ours, "resiliparse": bare, "resiliparse, encoding detected": detecting, "trafilatura": precise}


def seconds(cases: list[Case], names: list[str], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each system over all pages; systems take turns, so that drift hits all alike."""
    taken: dict[str, list[float]] = {name: [] for name in names}
    every = systems()
    for number in range(rounds + 1):
        for name in names:
            gc.collect()
            begun = time.process_time()
            for case in cases:
                every[name](case.data)
            if number:  # the first round compiles and fills caches
                taken[name].append(time.process_time() - begun)
    return {name: statistics.median(times) for name, times in taken.items()}


def quality(cases: list[Case], read: Callable[[bytes], str]) -> dict[str, float]:
    """Shares of main text that came out, and of output that is no main text; spaces, bullets and numbers left aside."""
    told = kept = out = 0
    for case in cases:
        text = rest = _UNTOLD.sub("", read(case.data))
        for piece in sorted((_UNTOLD.sub("", piece) for piece in case.gold), key=len, reverse=True):
            told += len(piece)
            if piece and piece in rest:
                kept += len(piece)
                rest = rest.replace(piece, "\n", 1)
        out += len(text)
    return {"kept": kept / told, "noise": 1 - kept / max(out, 1)}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    folder = parser.parse_args().data
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    facts = environment(PACKAGES)
    layouts = sorted((folder / "raw/html-jlreq").glob("*.html*"))
    sets = {
        "generated": generated(folder),
        "jlreq": [Case(gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes()) for p in layouts],
    }
    every = systems()
    *fast, slow = every
    result: dict[str, Any] = {"environment": facts, "goal": GOAL, "sets": {}}
    lines = [heading(TITLE, facts), ""]
    for name, cases in sets.items():
        some = cases[:PRECISE_PAGES]
        size, part = (sum(len(case.data) for case in chosen) for chosen in (cases, some))
        taken = seconds(cases, fast, ROUNDS) | seconds(some, [slow], ROUNDS if name == "generated" else 1)
        speed = {system: (part if system == slow else size) / 1e6 / time for system, time in taken.items()}
        rows = {
            system: {"mb_per_second": speed[system], "ratio": speed["resiliparse"] / speed[system]} for system in every
        }
        if name == "generated":
            for system in every:
                rows[system] |= quality(some if system == slow else cases, every[system])
        result["sets"][name] = {"pages": len(cases), "bytes": size, "trafilatura_pages": len(some), "systems": rows}
        lines += [f"## {name}: {len(cases)} pages, {size / 1e6:.1f} MB", "", "| system | MB/s | time, bare = 1 | "
                  "main text kept | noise |", "|---|---|---|---|---|"]  # fmt: skip
        for system, row in rows.items():
            told = "".join(f" {100 * row[key]:.1f} % |" if key in row else " |" for key in ("kept", "noise"))
            lines.append(f"| {system} | {row['mb_per_second']:.1f} | {row['ratio']:.2f} |{told}")
        lines += ["", f"trafilatura read the first {len(some)} pages."] if len(some) < len(cases) else []
        lines.append("")
    worst = max(entry["systems"]["jpfm"]["ratio"] for entry in result["sets"].values())
    lines.append(f"Goal: jpfm at most {GOAL} of bare resiliparse; measured at most {worst:.2f}.")
    told = (__doc__ or "").partition("FOLDER is the shared data. ")[2].strip()
    lines += ["", told]
    write("html", result, "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
