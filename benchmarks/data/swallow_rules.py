"""Swallow Corpus v1's rules read slowly: a stand-in for its script in tests (verdicts) and benchmarks (speed).

Written from the published rules (arXiv:2404.17733 and the repository's README and thresholds) with one Counter for each
n, as its script works. `judge(text)` names the first rule that fails, or None.
"""

import re
from collections import Counter
from collections.abc import Sequence

_SENTENCE = re.compile("[^。．！？!?]+[。．！？!?]?")


def _repeated(items: Sequence[str]) -> tuple[float, float]:
    counts = Counter(items)
    chars = sum(map(len, items))
    again = sum((times - 1) * len(item) for item, times in counts.items())
    return (len(items) - len(counts)) / len(items) if items else 0.0, again / chars if chars else 0.0


def _japanese(text: str, *, all_kanji: bool) -> tuple[int, int, int]:
    hiragana = sum("\u3041" <= char <= "\u3096" for char in text)
    katakana = sum("\u30a1" <= char <= "\u30fa" for char in text)
    kanji = sum(
        char in "々〇〻" or "\u3400" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff"
        or (all_kanji and 0x20000 <= ord(char) < 0x40000)
        for char in text
    )  # fmt: skip
    return hiragana, katakana, hiragana + katakana + kanji + sum(char in "。．！？、，" for char in text)


def signals(text: str, *, all_kanji: bool = False) -> dict[str, float]:
    """The figures the rules compare, under our column names."""
    lines = [_SENTENCE.findall(line) for line in text.split("\n")]
    sentences = [sentence for line in lines for sentence in line]
    hiragana, katakana, japanese = _japanese(text, all_kanji=all_kanji)
    found: dict[str, float] = {"num_chars": len(text)}
    found["repeated_line_share"], found["repeated_line_char_share"] = _repeated(["".join(line) for line in lines])
    found["repeated_sentence_share"], found["repeated_sentence_char_share"] = _repeated(sentences)
    for n in range(2, 11):
        counts = Counter(text[k : k + n] for k in range(len(text) - n + 1))
        if n < 5:
            found[f"top_{n}gram_share"] = max(counts.values()) / counts.total() if counts else 0.0
        else:
            twice = sum(times > 1 for times in counts.values())
            found[f"duplicate_{n}gram_share"] = twice / len(counts) if counts else 0.0
    found["hiragana_of_japanese"] = hiragana / japanese if japanese else 0.0
    found["katakana_of_japanese"] = katakana / japanese if japanese else 0.0
    found["japanese_of_chars"] = japanese / len(text) if text else 0.0
    found["num_japanese_letters"] = japanese
    found["mean_sentence_chars"] = sum(map(len, sentences)) / len(sentences) if sentences else 0.0
    found["max_sentence_chars"] = max(map(len, sentences), default=0)
    trailing = sum(sentence.strip().endswith(("・", "…")) for sentence in sentences)
    found["ellipsis_sentence_share"] = trailing / len(sentences) if sentences else 0.0
    return found


def judge(text: str, *, all_kanji: bool = False) -> str | None:
    """The first rule that fails, by the name our preset gives it."""
    found = signals(text, all_kanji=all_kanji)
    rules = [
        ("too_short", found["num_chars"] < 400),
        ("repeated_lines", found["repeated_line_share"] > 0.30),
        ("repeated_sentences", found["repeated_sentence_share"] > 0.30),
        ("repeated_line_chars", found["repeated_line_char_share"] > 0.20),
        ("repeated_sentence_chars", found["repeated_sentence_char_share"] > 0.20),
        ("top_2gram", found["top_2gram_share"] > 0.20),
        ("top_3gram", found["top_3gram_share"] > 0.18),
        ("top_4gram", found["top_4gram_share"] > 0.16),
        ("duplicate_5grams", found["duplicate_5gram_share"] > 0.15),
        ("duplicate_6grams", found["duplicate_6gram_share"] > 0.14),
        ("duplicate_7grams", found["duplicate_7gram_share"] > 0.13),
        ("duplicate_8grams", found["duplicate_8gram_share"] > 0.12),
        ("duplicate_9grams", found["duplicate_9gram_share"] > 0.11),
        ("duplicate_10grams", found["duplicate_10gram_share"] > 0.10),
        ("little_hiragana", found["hiragana_of_japanese"] < 0.20),
        ("much_katakana", found["katakana_of_japanese"] > 0.50),
        ("little_japanese", found["japanese_of_chars"] < 0.50),
        ("few_japanese_letters", found["num_japanese_letters"] < 400),
        ("short_sentences", found["mean_sentence_chars"] < 20),
        ("long_sentences", found["mean_sentence_chars"] > 90),
        ("a_long_sentence", found["max_sentence_chars"] > 200),
        ("ellipses", found["ellipsis_sentence_share"] > 0.20),
    ]
    return next((name for name, fails in rules if fails), None)
