"""The linear classifier: it learns, it repeats itself exactly, and it agrees with a plain reading of its definition."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.text.classifier import BUCKETS, accuracy_and_auc, score, train

OFFICE = [
    f"第{n}条　会社は、社員の{word}に関する規程を定める。"
    for n, word in enumerate(["賃金", "休暇", "出張", "退職"] * 10)
]
NOVEL = [
    f"{word}は{n}度目の雪を見ながら、ふと昔の恋を思ひ出した。"
    for n, word in enumerate(["彼女", "男", "先生", "母"] * 10)
]
TEXTS = pa.array([text for pair in zip(OFFICE, NOVEL, strict=True) for text in pair])
LABELS = np.array([True, False] * 40)


def test_it_learns_and_scores_what_it_never_saw() -> None:
    weights = train(TEXTS, LABELS)
    low, high = score(pa.array(["恋人は雪の中で待つてゐた。", "会社は規程により賃金を定める。"]), weights)
    assert low < 0.4
    assert high > 0.6
    assert accuracy_and_auc(LABELS, score(TEXTS, weights)) == (1.0, 1.0)


def test_the_same_texts_give_the_same_bytes() -> None:
    first = train(TEXTS, LABELS)
    assert first.tobytes() == train(pa.chunked_array([TEXTS[:7], TEXTS[7:]]).combine_chunks(), LABELS).tobytes()
    assert first.tobytes() != train(TEXTS, LABELS, seed=1).tobytes()


def test_classes_of_unequal_size_count_the_same() -> None:
    few = pa.array([*OFFICE[:4], *NOVEL])
    labels = np.array([True] * 4 + [False] * len(NOVEL))
    assert accuracy_and_auc(LABELS, score(TEXTS, train(few, labels))).accuracy > 0.9


def test_an_empty_text_stands_at_the_bias_and_space_does_not_count() -> None:
    weights = train(TEXTS, LABELS)
    empty, plain, spaced = score(pa.array(["", "会社は", " 会\n社　は\t"]), weights)
    assert empty == pytest.approx(1 / (1 + math.exp(-weights[BUCKETS])))
    assert plain == spaced


@given(text=st.text(max_size=40), low=st.integers(1, 3), more=st.integers(0, 2), limit=st.integers(1, 50))
def test_a_score_is_the_mean_of_its_ngrams(text: str, low: int, more: int, limit: int) -> None:
    text = text.encode("utf-8", "replace").decode()
    weights = np.zeros(BUCKETS + 1, dtype=np.float32)
    weights[:BUCKETS] = 0.5
    chars = "".join(char for char in text if char not in " \t\n\v\f\r\u3000")[:limit]
    grams = sum(max(0, len(chars) - size + 1) for size in range(low, low + more + 1))
    (found,) = score(pa.array([text]), weights, sizes=(low, low + more), limit=limit)
    assert found == pytest.approx(1 / (1 + math.exp(-0.5 * math.sqrt(grams))))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[bool, int]]) -> None:
    labels, values = np.array([label for label, _ in rows]), np.array([value / 5 for _, value in rows])
    high, low = values[labels], values[~labels]
    if not len(high) or not len(low):
        with pytest.raises(ValueError, match="empty"):
            accuracy_and_auc(labels, values)
        return
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in high for b in low]
    assert accuracy_and_auc(labels, values).auc == pytest.approx(np.mean(pairs))
