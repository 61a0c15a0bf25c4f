"""The character 5-grams: a distribution, the counts of Kneser-Ney, and what a run's folder must hold."""

import importlib.util
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError
from jpfm.data.build import read_documents

if TYPE_CHECKING:
    from benchmarks import bits_per_character as bench
else:  # benchmarks/ is no part of the package
    _FILE = Path(__file__).parents[2] / "benchmarks" / "bits_per_character.py"
    _SPEC = importlib.util.spec_from_file_location("bits_per_character", _FILE)
    bench = importlib.util.module_from_spec(_SPEC)
    _SPEC.loader.exec_module(bench)


def _texts(corpus: Artifact, split: str) -> list[str]:
    return [text for b in read_documents(corpus, ["text"], split=split) for text in b.column("text").to_pylist()]


@pytest.fixture(scope="module")
def trained(corpus: Artifact) -> "bench.CharacterNgrams":
    return bench.CharacterNgrams(_texts(corpus, "train"))


def test_probabilities_of_any_context_sum_to_one(trained: "bench.CharacterNgrams") -> None:
    draw = np.random.Generator(np.random.Philox(0))
    real = draw.permutation(trained.windows(["令和六年四月一日から施行する。\n𠮷野家"]))[:, :-1]
    random = draw.integers(0, trained.num_symbols, (20, 4))
    start, unknown = np.full((1, 4), bench.BEGIN), np.full((1, 4), bench.UNKNOWN)
    assert trained.largest_error(np.concatenate([real, random, start, unknown])) < 1e-9


@pytest.mark.parametrize("order", [1, 2, 3, 7])
def test_every_order_is_a_distribution(order: int) -> None:
    ngrams = bench.CharacterNgrams(["すもももももももものうち", "ももたろう"], order)
    contexts = np.random.Generator(np.random.Philox(order)).integers(0, ngrams.num_symbols, (30, order - 1))
    assert ngrams.largest_error(contexts) < 1e-12


def test_bigrams_by_hand() -> None:
    """Documents "ab", "ab", "b": bigrams ^a 2, ab 2, b$ 3, ^b 1. Different symbols before a: 1, b: 2, $: 1."""
    ngrams = bench.CharacterNgrams(["ab", "ab", "b"], order=2)
    assert [table.discounts for table in ngrams.tables] == [(0.5, 1.0, 1.5)] * 2
    uniform = 1 / (0x110000 - 0x800 + 1)
    escape = (0.5 + 1.0 + 0.5) / 4  # a 1, b 2, $ 1
    a, b, end = 0.5 / 4 + escape * uniform, 1 / 4 + escape * uniform, 0.5 / 4 + escape * uniform
    after_start = (1.0 + 0.5) / 3  # ^a 2, ^b 1
    p_b = (1 - 0.5) / 3 + after_start * b
    p_end = (3 - 1.5) / 3 + 1.5 / 3 * end
    p_a_then_unseen = ((2 - 1.0) / 3 + after_start * a) * (1.0 / 2 * escape * uniform) * end  # no bigram begins with z
    found = ngrams.bits(["b", "az"])
    assert found == pytest.approx([-np.log2(p_b * p_end), -np.log2(p_a_then_unseen)], rel=1e-12)


def test_five_grams_are_those_of_the_definition(corpus: Artifact) -> None:
    """Chen & Goodman's recursion written with strings and Counters, on three documents of the sample."""
    texts = _texts(corpus, "train")[:3]
    padded = ["^^^^" + text + "$" for text in texts]
    grams = {n: Counter(t[i - n : i] for t in padded for i in range(5, len(t) + 1)) for n in range(1, 6)}
    for n in range(4, 0, -1):  # different symbols before, not occurrences
        before = {t[i - n - 1 : i] for t in padded for i in range(5, len(t) + 1)}
        grams[n] = Counter(gram[1:] for gram in before)
    discounts = {}
    for n, counts in grams.items():
        n1, n2, n3, n4 = (sum(count == k for count in counts.values()) for k in (1, 2, 3, 4))
        y = n1 / (n1 + 2 * n2)
        discounts[n] = (0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)

    def p(context: str, symbol: str) -> float:
        n = len(context) + 1
        shorter = p(context[1:], symbol) if context else 1 / bench.NUM_OUTCOMES
        counts = {gram: count for gram, count in grams[n].items() if gram.startswith(context)}
        if not counts:
            return shorter
        own = counts.get(context + symbol, 0)
        left = sum(discounts[n][min(count, 3)] for count in counts.values())
        return (own - discounts[n][min(own, 3)] + left * shorter) / sum(counts.values())

    ngrams = bench.CharacterNgrams(texts)
    assert [table.discounts for table in ngrams.tables] == [pytest.approx(d[1:]) for _, d in sorted(discounts.items())]
    for text in ("", texts[0][:40], texts[1][100:130] + "東京の𠮷野家", "".join(reversed(texts[2][:30]))):
        whole = "^^^^" + text + "$"
        bits = -sum(math.log2(p(whole[i - 4 : i], whole[i])) for i in range(4, len(whole)))
        assert ngrams.bits([text])[0] == pytest.approx(bits, rel=1e-9)


def test_text_it_was_trained_on_costs_less(trained: "bench.CharacterNgrams", corpus: Artifact) -> None:
    known, unseen = _texts(corpus, "train")[:5], _texts(corpus, "held_out")
    seen_rate = trained.bits(known).sum() / sum(map(len, known))
    unseen_rate = trained.bits(unseen).sum() / sum(map(len, unseen))
    assert 2 * seen_rate < unseen_rate < 8
    assert 0 < trained.probability(trained.windows(["ꙮ"]))[0] < 1 / bench.NUM_OUTCOMES  # a letter of no Japanese text


def test_bits_of_a_document_do_not_depend_on_its_neighbours(trained: "bench.CharacterNgrams") -> None:
    texts = ["会議の議事録", "", "𠮷野家で牛丼"]
    assert trained.bits(texts) == pytest.approx([float(trained.bits([text])[0]) for text in texts], rel=1e-12)


def test_xz_given_text_pays_little_for_what_it_has_read() -> None:
    digits = np.random.Generator(np.random.Philox(0)).integers(0, 10, 4000)
    text = "".join(map(str, digits)).encode()
    again, other = bench.xz_given(text, [text[1000:2000], text[1000:2000][::-1]])
    assert again < 50
    assert other > 300


@pytest.mark.parametrize("max_chars", [None, 500])
def test_the_model_is_compared_on_the_documents_it_was_scored_on(
    corpus: Artifact, checkpoint: Artifact, tmp_path: Path, max_chars: int | None
) -> None:
    from jpfm.eval.run import EvalConfig, evaluate

    (tmp_path / "corpus").symlink_to(corpus.path)
    (tmp_path / "model").symlink_to(checkpoint.path)
    task = {"task": "bits_per_character", "max_chars": max_chars}
    config = EvalConfig.model_validate({"stage": "eval", "model": str(checkpoint.path), "tasks": [task]})
    scores = evaluate(config, tmp_path / "scores")
    result = bench.compare(tmp_path, baselines_only=False)
    total = result["rows"][-1]
    assert total["bits_per_character"]["model"] == pytest.approx(scores.manifest.stats["bits_per_character"])
    assert (total["documents"] < len(_texts(corpus, "held_out"))) == (max_chars is not None)
    assert result["artifacts"] == {"corpus": corpus.id, "checkpoint": checkpoint.id, "scores": scores.id}
    assert "\nModel: " in bench.markdown(result)


def test_a_run_without_scores_says_what_to_do(corpus: Artifact) -> None:
    with pytest.raises(ArtifactError, match="not scored") as caught:
        bench.compare(corpus.path.parent, baselines_only=False)
    assert "--baselines-only" in caught.value.hint


def test_baselines_need_the_corpus_alone(corpus: Artifact) -> None:
    result = bench.compare(corpus.path.parent, baselines_only=True)
    *sources, total = result["rows"]
    assert total["source"] == "all"
    for key in ("documents", "characters"):
        assert sum(row[key] for row in sources) == total[key]
    for key, rate in total["bits_per_character"].items():
        shares = [row["bits_per_character"][key] * row["characters"] / total["characters"] for row in sources]
        assert rate == pytest.approx(sum(shares)) or key.startswith("xz")
    assert result["artifacts"] == {"corpus": corpus.id}
    assert "| all | " in bench.markdown(result)
