"""Some hundreds of real texts and a box of made-up junk that every preset must judge like its authors' code."""

import gzip
import itertools
import json
import random
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from jpfm.data.document import Document, to_batch
from jpfm.data.steps.base import Step

PROSE = "山道を歩きながら、いろいろなことを考えた。春の風はまだ冷たく、川の水は雪どけで濁っている。"
CHINESE = "我们在这里讨论语言识别的问题。中文和日文都使用汉字，但是日文还使用假名。因此只看汉字是不够的。"


def _aozora(folder: Path) -> Iterator[str]:
    """Pieces of about 1,500 characters, cut at paragraphs; a few whole works."""
    draw = random.Random(3)
    for path in sorted((folder / "raw" / "aozora").rglob("*.tar.gz"))[:24]:
        with tarfile.open(path) as archive:
            files = sorted((member for member in archive if member.isfile()), key=lambda member: member.name)[:3]
            for member in files:
                stream = archive.extractfile(member)
                assert stream is not None
                text = stream.read().decode("cp932").replace("\r\n", "\n")
                pieces, piece = [], ""
                for line in text.split("\n"):
                    piece += line + "\n"
                    if len(piece) > 1500:
                        pieces.append(piece.strip("\n"))
                        piece = ""
                yield from draw.sample(pieces, min(2, len(pieces)))
                if len(text) < 6000:
                    yield text


def _markdown(folder: Path) -> Iterator[str]:
    draw = random.Random(5)
    for name, count in (("cpprefjp", 90), ("arch-guidelines", 6)):
        for path in sorted((folder / "raw" / name).rglob("*.tar.gz")):
            with tarfile.open(path) as archive:
                members = sorted((m for m in archive if m.name.endswith(".md")), key=lambda member: member.name)
                for member in draw.sample(members, count):
                    stream = archive.extractfile(member)
                    assert stream is not None
                    yield stream.read().decode()[:9000]
    for path in sorted((folder / "raw" / "business-tuqulore").rglob("*.md")):
        yield path.read_text(encoding="utf-8")[:9000]


def _others(folder: Path) -> Iterator[str]:
    with gzip.open(next((folder / "raw" / "law-xml").glob("*.xml.gz"))) as stream:
        articles = ["".join(node.itertext()) for node in ET.parse(stream).iter("Article")]
    yield from articles[:120:4]
    yield from ("\n".join(articles[k : k + 8]) for k in range(0, 48, 8))
    with gzip.open(folder / "raw" / "wikipedia-ner" / "ner.json.gz", "rt", encoding="utf-8") as stream:
        sentences = [row["text"] for row in json.load(stream)]
    yield from ("".join(sentences[k : k + 20]) for k in range(0, 800, 20))
    yield from sentences[:30]


def _junk() -> Iterator[str]:
    yield from ("", " ", "\n\n", "　\n\t", "。！", "あ", "A", "…", "123")
    yield from (PROSE, PROSE * 12, (PROSE + "\n") * 20, "\n\n".join([PROSE] * 3), CHINESE * 12, PROSE + CHINESE * 9)
    menu = [
        "ホーム",
        "会社概要",
        "お知らせ",
        "採用情報",
        "アクセス",
        "お問い合わせ",
        "サイトマップ",
        "個人情報保護方針",
    ]
    yield "\n".join(menu * 6)
    yield " | ".join(menu * 8)
    yield "\n".join(f"・{name}" for name in menu) + "\n" + PROSE * 9
    yield "\n".join(f"{n}: 名無しさん 2019/08/{n:02}(日) 15:28:46 ID:eB{n}g8h\n{PROSE}" for n in range(1, 25))
    yield "\n".join(f"商品レビュー{n}件 SOLD OUT 楽天市場 投稿日2020年{n}月{n}日 ページ{n}" for n in range(1, 13))
    yield "\n".join(f"第{n}話 質問とコメント" for n in range(1, 16))
    yield "\n".join(f"- 項目{n}を書く。{PROSE}" for n in range(16))
    yield "\n".join(f"• 項目{n}" for n in range(60))
    yield "\n".join(f"記事{n}の続きを読むと驚きの結果が待っていて時代から付..." for n in range(40))
    yield "\n".join(f"番組{n}の見どころを先取りで紹介していく毎回の特集です…" for n in range(40)) + "\n"
    yield "…".join(menu * 20)
    yield "東京・大阪・名古屋・" * 30
    yield "アイウエオカキクケコ" * 50
    yield "".join(chr(0x30A1 + k * 7 % 80) for k in range(900))
    yield "".join(chr(0x4E00 + k * 7919 % 8000) for k in range(900))
    yield "".join(chr(0x3042 + k * 31 % 70) for k in range(900)) + "。"
    yield "The quick brown fox jumps over the lazy dog. " * 30
    yield "x" * 199 + PROSE * 10
    yield PROSE * 5 + "ー" * 200 + PROSE * 5
    yield PROSE * 6 + "★" * 30 + "!?" * 300
    yield "🍣🍺😀👍🏽" * 60 + PROSE
    yield "𠮷野家の𩸽定食と𠮷田さんの𠮟り方を、𠮷の字で書くことにした。" * 14
    yield "１２３４５６７８９０" * 40 + PROSE
    yield "## 見出し\n" * 40
    yield "\r\n".join([PROSE] * 9) + "\x0b\x0c\x1c\u2028\u0085" + PROSE
    yield PROSE * 4 + "\n" + "、".join(menu * 9) + "。\n" + "あ" * 250 + "。"
    yield "\n".join(itertools.chain.from_iterable((f"{n}行目の文。", "同じ行です。同じ行です。") for n in range(30)))
    draw = random.Random(11)
    letters = "".join(sorted(set(PROSE)))
    for size in (30, 400, 420, 900, 1500):
        yield "".join(draw.choices(letters + "。\n…・!", k=size))
        yield "。".join("".join(draw.choices(letters, k=draw.randrange(5, 60))) for _ in range(size // 20))
        yield "\n".join("".join(draw.choices(letters + "。", k=draw.randrange(1, 30))) for _ in range(size // 10))


@pytest.fixture(scope="session")
def texts(shared_data: Path) -> list[str]:
    """Real text of five kinds, then junk."""
    found = [*_aozora(shared_data), *_markdown(shared_data), *_others(shared_data), *_junk()]
    assert len(found) > 350
    return found


@pytest.fixture(scope="session")
def reasons() -> Callable[..., list[str | None]]:
    """`reasons(texts, *steps)`: why the last step drops each text, None where it keeps it."""

    def judge(texts: Sequence[str], *steps: Step, urls: Sequence[str] = ()) -> list[str | None]:
        addresses = urls or [""] * len(texts)
        documents = [Document(str(n), text, url=addresses[n]) for n, text in enumerate(texts)]
        batch = to_batch(documents, "s", "CC0-1.0")
        for step in steps[:-1]:
            before = batch.num_rows
            batch = step.run(batch).batch
            assert batch.num_rows == before
            assert set(step.adds) <= set(batch.schema.names)
        last = steps[-1]
        assert set(last.needs) <= set(batch.schema.names)
        result = last.run(batch)
        dropped = dict(zip(*(result.dropped.column(name).to_pylist() for name in ("id", "reason")), strict=True))
        kept = set(result.batch.column("id").to_pylist())
        assert kept.isdisjoint(dropped)
        assert len(kept) + len(dropped) == len(texts)
        return [dropped.get(str(n)) for n in range(len(texts))]

    return judge
