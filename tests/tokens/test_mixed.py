"""Merged vocabularies: every part has its share, scores come from the mixture, ids are exact."""

import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.artifact import Artifact
from jpfm.core.errors import DataError, UsageError
from jpfm.tokens import mixed, training_text
from jpfm.tokens.estimation import _FLOOR, estimate
from jpfm.tokens.mixed import check_enough, merged
from jpfm.tokens.sentencepiece_training import read
from jpfm.tokens.tokenizer import TokenizerConfig, load, load_sentencepiece, train
from jpfm.tokens.tokenizer_config import Part

PARTS = (Part(name="ja", share=0.8, kinds=("japanese",)), Part(name="other", share=0.2, kinds=("english", "code")))
SETTINGS = TokenizerConfig(
    stage="tokenizer", vocab_size=2000, character_coverage=0.98, required_characters="none", parts=PARTS
)


def _segmentations(text: str, pieces: set[str]) -> list[list[str]]:
    found = []
    for cuts in itertools.product([False, True], repeat=len(text) - 1):
        borders = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), len(text)]
        parts = [text[a:b] for a, b in itertools.pairwise(borders)]
        if set(parts) <= pieces:
            found.append(parts)
    return found


@given(
    lines=st.lists(st.text("あいう", min_size=1, max_size=6), min_size=1, max_size=6),
    longer=st.lists(st.text("あいう", min_size=2, max_size=3), unique=True, max_size=6),
)
def test_one_round_is_the_expectation_over_all_segmentations(lines: list[str], longer: list[str]) -> None:
    pieces = ["あ", "い", "う", *longer]
    start = np.log(np.full(len(pieces), 1 / len(pieces)))
    expected = dict.fromkeys(pieces, 0.0)
    for line in lines:
        ways = _segmentations(line, set(pieces))
        weights = [math.exp(sum(start[pieces.index(piece)] for piece in way)) for way in ways]
        for way, weight in zip(ways, weights, strict=True):
            for piece in way:
                expected[piece] += weight / sum(weights)
    counts = np.maximum([expected[piece] for piece in pieces], _FLOOR)
    found = estimate(pl.Series("line", lines), pieces, start, rounds=1)
    assert found == pytest.approx(np.log(counts / counts.sum()), rel=1e-9)


def test_unknown_characters_and_spaces_are_passed() -> None:
    found = estimate(
        pl.Series("line", ["猫 と", "猫𠮷と"]), ["猫", "と", "▁と", "▁"], np.log(np.full(4, 0.25)), rounds=3
    )
    assert np.isfinite(found).all()
    assert found[2] > found[3], "▁と explains the space better than ▁ and と"


@given(data=st.data())
def test_the_union_has_its_size_all_characters_and_the_best_of_each_part(data: st.DataObject) -> None:
    vocabularies = st.lists(st.text("abcd", min_size=1, max_size=3), unique=True, min_size=1, max_size=30)
    ranked = [[(piece, -float(i)) for i, piece in enumerate(data.draw(vocabularies))] for _ in range(2)]
    pieces = {piece for part in ranked for piece, _ in part}
    singles = {piece for piece in pieces if len(piece) == 1}
    size = data.draw(st.integers(max(len(singles), 1), len(pieces)))
    union = merged(ranked, [0.7, 0.3], size)
    assert len(union) == len(set(union)) == size
    assert singles <= set(union) <= pieces
    for part in ranked:
        longer = [piece for piece, _ in part if len(piece) > 1]
        others = {piece for other in ranked if other is not part for piece, _ in other}
        own = [piece in union for piece in longer if piece not in others]
        assert own == sorted(own, reverse=True), "a worse piece of a part never stands in for a better one"


HALVES = (Part(name="ja", share=0.5), Part(name="en", share=0.5))


def test_a_union_that_cannot_be_made_is_an_error() -> None:
    with pytest.raises(DataError, match=r"single characters alone are 2, and there is room for 1 piece$") as caught:
        check_enough(HALVES, [[("a", -1.0)], [("b", -1.0)]], fixed=300, room=1)
    assert "vocab_size to 302 or more" in caught.value.hint
    few, many = [("a", -1.0)], [(letter * 2, -1.0) for letter in "abcdefghijklm"]
    with pytest.raises(DataError, match=r"give 14 pieces, 20 are wanted \(ja gives 1 of 13 asked for\)$") as caught:
        check_enough(HALVES, [few, many], fixed=300, room=20)
    assert (
        caught.value.hint
        == "set vocab_size to 302 or less, or give this part a smaller share (0.192 or less) or more text"
    )


def test_a_part_that_falls_short_is_named_and_the_hint_works(corpus: Artifact, tmp_path: Path) -> None:
    parts = (Part(name="ja", share=0.74, kinds=("japanese",)), Part(name="en", share=0.26, kinds=("english", "code")))
    settings = SETTINGS.model_copy(update={"parts": parts, "vocab_size": 5000})
    with pytest.raises(DataError, match=r"parts: together they give .* are wanted \(.*en gives ") as caught:
        train(settings, corpus, tmp_path / "a")
    size = re.search(r"set vocab_size to (\d+) or less", caught.value.hint)
    assert size, caught.value.hint
    made = train(settings.model_copy(update={"vocab_size": int(size.group(1))}), corpus, tmp_path / "b")
    assert made.manifest.stats["vocab_size"] == int(size.group(1))
    share = re.search(r"smaller share \((0\.\d+) or less\)", caught.value.hint)
    assert share, caught.value.hint
    smaller = float(share.group(1))
    parts = (parts[0].model_copy(update={"share": 1 - smaller}), parts[1].model_copy(update={"share": smaller}))
    made = train(settings.model_copy(update={"parts": parts}), corpus, tmp_path / "c")
    assert made.manifest.stats["vocab_size"] == 5000


def test_a_part_without_room_for_its_characters_says_what_helps(corpus: Artifact, tmp_path: Path) -> None:
    parts = (Part(name="ja", share=0.8, kinds=("japanese",)), Part(name="en", share=0.2, kinds=("english", "code")))
    settings = SETTINGS.model_copy(update={"parts": parts, "required_characters": "basic"})
    with pytest.raises(DataError, match=r"parts: en: .*required_chars\. \d+ vs \d+") as caught:
        train(settings, corpus, tmp_path / "a")
    hint = caught.value.hint
    assert "set required_characters: none, or lower character_coverage" in hint
    size = re.search(r"set vocab_size to (\d+) or more", hint)
    share = re.search(r"larger share \((0\.\d+) or more\)", hint)
    assert size, hint
    assert share, hint
    text = training_text.sample(corpus, weights=None, shares=None, max_chars=10**8, short="error", seed=0)
    fixed = 4 + 256 + len(settings.special_tokens.control) + 1
    larger = settings.model_copy(update={"vocab_size": int(size.group(1))})
    mixed._trained(larger, parts[1], text, tmp_path, fixed)
    with pytest.raises(DataError, match="required_chars"):
        mixed._trained(larger.model_copy(update={"vocab_size": larger.vocab_size - 9}), parts[1], text, tmp_path, fixed)
    mixed._trained(settings, parts[1].model_copy(update={"share": float(share.group(1))}), text, tmp_path, fixed)


def test_a_mixed_tokenizer_is_exact_and_the_same_again(corpus: Artifact, tmp_path: Path) -> None:
    made = train(SETTINGS, corpus, tmp_path / "mixed")
    assert train(SETTINGS, corpus, tmp_path / "again").id == made.id
    pieces, fast = load_sentencepiece(made), load(made.path)
    assert pieces.vocab_size() == len(fast) == 2000
    proto = read((made.path / "sentencepiece.model").read_bytes())
    normal = [piece for piece in proto.pieces if piece.type == piece.NORMAL and piece.piece != "\n"]
    assert len({piece.piece for piece in normal}) == len(normal)
    latin = [piece.piece for piece in normal if len(piece.piece) > 1 and piece.piece.strip("▁").isascii()]
    assert len(latin) > 60, "the small part keeps its share"
    assert all(float(piece.score) * 256 == round(piece.score * 256) for piece in normal)
    for text in ("吾輩は猫である。", "for (int i = 0;", "Hello world, 東京"):
        assert fast(text, add_special_tokens=False)["input_ids"] == pieces.encode(text)


@pytest.mark.parametrize(
    ("part", "kind", "words"),
    [
        ({"sources": ["lwa"]}, UsageError, "parts: x: 'lwa' names no source of the corpus"),
        ({"sources": ["law"], "kinds": ["code"]}, DataError, "no line of these kinds and sources"),
    ],
)
def test_a_part_without_text_is_told(
    part: dict[str, Any], kind: type[Exception], words: str, corpus: Artifact, tmp_path: Path
) -> None:
    # the first part cannot be trained: what is wrong with the second must be told before that is tried
    parts = (Part(name="none", share=0.001), Part.model_validate({"name": "x", "share": 0.999} | part))
    with pytest.raises(kind, match=words):
        train(SETTINGS.model_copy(update={"parts": parts}), corpus, tmp_path / "a")
