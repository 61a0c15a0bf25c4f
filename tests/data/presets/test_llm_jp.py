"""llm-jp-v1 against a slow reading of filter_data.py, with HojiChar's own expressions where it uses them."""

import random
import re
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlparse

import pytest

from jpfm.data.steps.base import Step
from jpfm.data.steps.presets.llm_jp import DIFFERENCES, LlmJpV1
from jpfm.data.steps.signals import Domains, Lines, ZlibCompression
from jpfm.data.steps.word_signals import WordList, WordLists

Reasons = Callable[..., list[str | None]]
FILES = {"advertisement": "advertisement_keywords_ja", "adult": "adult_keywords_ja",
         "discrimination": "discrimination_keywords_ja", "violence": "violence_keywords_ja"}  # fmt: skip
URLS = (
    "https://example.co.jp/a", "http://example.com:8080/x?y=1", "https://user:pass@example.TOKYO", "https://jp/",
    "https://ja.wikipedia.org/wiki/x", "http://ja.wikipedia.org/wiki/x", "https://example.ru/a.jp", "http://a.jp.cn/",
    "https://example.cn", "https://www.example.info#x", "https://example.me?x=.cn", "http://xjp/", "https://a.b.c.cc/",
)  # fmt: skip


def _words(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").split("\n") if line]


def _whole(words: list[str]) -> re.Pattern[str]:
    """Words of katakana alone only between other characters, behind all others in order."""
    katakana = [re.escape(word) for word in words if re.fullmatch("[ァ-ヴー]+", word)]
    others = [re.escape(word) for word in words if not re.fullmatch("[ァ-ヴー]+", word)]
    return re.compile("|".join(others) + f"|(?<![ァ-ヴー])(?:{'|'.join(katakana)})(?![ァ-ヴー])")


@pytest.fixture(scope="module")
def lists(shared_data: Path) -> dict[str, list[str]]:
    return {name: _words(shared_data / "lists" / "hojichar" / f"{file}.txt") for name, file in FILES.items()}


@pytest.fixture(scope="module")
def signals(shared_data: Path) -> tuple[Step, ...]:
    folder = shared_data / "lists" / "hojichar"
    found = tuple(WordList(name=name, path=str(folder / f"{file}.txt")) for name, file in FILES.items())
    return (
        Lines(step="lines"), Domains(step="domains"), ZlibCompression(step="zlib_compression"),
        WordLists(step="word_lists", lists=found),
    )  # fmt: skip


def _judge(
    text: str, url: str, expressions: dict[str, re.Pattern[str]], *, harmful: int, sentence: int, least: float
) -> str | None:
    domain = urlparse(url).hostname
    assert domain is not None
    allowed = {"jp", "com", "net", "org", "work", "info", "xyz", "biz", "me", "tv", "site", "tokyo", "cc"}
    if url.startswith("https://ja.wikipedia.org/") or domain.split(".")[-1] not in allowed:
        return "domain"
    if text.strip() == "":
        return "empty"
    if not re.search("[ぁ-んァ-ン]", text[:50]):
        return "not_japanese"
    if len(expressions["advertisement"].findall(text)) > 10:
        return "advertisement"
    for name in ("adult", "discrimination", "violence"):
        if len(expressions[name].findall(text)) > harmful:
            return name
    if text.count("。") < len(text) / sentence:
        return "long_sentences"
    data = text.encode()
    ratio = len(zlib.compress(data, level=9)) / len(data)
    return "compresses_well" if ratio < least else "compresses_badly" if ratio > 0.70 else None


@pytest.mark.parametrize("strict", [False, True])
def test_the_verdicts_are_those_of_the_published_rules(
    texts: list[str], signals: tuple[Step, ...], lists: dict[str, list[str]], reasons: Reasons, strict: bool
) -> None:
    draw = random.Random(4)
    sample = list(texts)
    for words in lists.values():
        for count in (2, 3, 4, 5, 10, 11, 12):
            middle = [*draw.choices(words, k=count), "、"]
            body = "".join(texts[draw.randrange(40)].split("\n")[:4])
            sample += ["あれこれと" + "、".join(middle) + body, "あ" + "".join(middle) + body]
    urls = [URLS[0] if n % 3 else URLS[n % len(URLS)] for n in range(len(sample))]
    expressions = {name: _whole(words) for name, words in lists.items() if name != "advertisement"}
    expressions["advertisement"] = re.compile("|".join(map(re.escape, lists["advertisement"])))
    preset = LlmJpV1(step="llm-jp-v1")
    harmful, sentence, least = 3, 250, 0.30
    if strict:
        harmful, sentence, least = 2, 80, 0.375
        preset = LlmJpV1(
            step="llm-jp-v1", maximum_harmful=harmful, maximum_chars_per_kuten=sentence, compression=(least, 0.7)
        )
    found = reasons(sample, *signals, preset, urls=urls)
    expected = [
        _judge(text, url, expressions, harmful=harmful, sentence=sentence, least=least)
        for text, url in zip(sample, urls, strict=True)
    ]
    wrong = [(sample[n][:60], a, b) for n, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b]
    assert wrong == []
    assert set(Counter(found)) == {
        None, "domain", "empty", "not_japanese", "advertisement", "adult", "discrimination", "violence",
        "long_sentences", "compresses_well", "compresses_badly",
    }  # fmt: skip


def test_the_listed_difference_is_real(signals: tuple[Step, ...], reasons: Reasons) -> None:
    (no_url,) = DIFFERENCES
    assert urlparse("").hostname is None  # where its script asserts
    preset = LlmJpV1(step="llm-jp-v1", compression=(0.0, 2.0))
    assert reasons([no_url.example], *signals, preset) == [None]
