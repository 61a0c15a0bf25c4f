"""The cost of a text: what was written costs less than what it looks like in a wrong encoding."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.text import plausible
from jpfm.text.plausible import cost
from jpfm.text.plausible_tables import TRANSITIONS

ESSAYS = Path(__file__).parents[2] / "src" / "jpfm" / "sample" / "raw" / "office" / "essay.jsonl"
SENTENCES = [json.loads(line)["body"] for line in ESSAYS.read_text(encoding="utf-8").splitlines()]


@given(st.sampled_from(SENTENCES), st.sampled_from([("utf-8", "cp932"), ("euc_jp", "cp932"), ("utf-8", "latin-1")]))
def test_right_text_costs_less_than_wrong_text(text: str, pair: tuple[str, str]) -> None:
    wrong = text.encode(pair[0]).decode(pair[1], "replace")
    assert cost(text).nats < 0.8 * cost(wrong).nats


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("経済産業省", "ｷﾐｺﾑｻｺｶﾈｾﾊ"), ("日本語", "譌･譛ｬ隱"), ("あいう", "縺ゅ＞縺"), ("学校の門", "鑿麒の瀧"),
        ("ﾔﾏﾀﾞ", "ﾔﾏﾐﾞ"), ("ﾃﾞｰﾀ", "ｰﾃﾞﾀ"), ("A社と㈱B", "Aﾐﾒと\ue000B"),
    ],
)  # fmt: skip
def test_pairs(right: str, wrong: str) -> None:
    assert cost(right).nats < cost(wrong).nats


def test_every_class_has_members_and_every_row_of_the_table_is_a_distribution() -> None:
    sizes = np.bincount(plausible.CLASS_OF, minlength=len(plausible.CLASSES))
    assert (sizes > 0).all()
    rows = TRANSITIONS.split()
    assert {len(row) for row in rows} == {len(rows)} == {len(plausible.CLASSES)}
    for row in rows:  # costs are rounded to quarter nats, and cut off at 15.75
        total = sum(np.exp(-plausible.ALPHABET.index(char) / 4) for char in row)
        assert 0.85 < total < 1.15


def test_the_sample_of_a_long_text_stands_for_all_of_it() -> None:
    text = "\n".join(SENTENCES) * (1 + 100_000 // len("\n".join(SENTENCES)))
    part = cost(text[:20_000])
    assert cost(text).nats / len(text) == pytest.approx(part.nats / 20_000, rel=0.05)


@given(st.text(max_size=50))
def test_any_text_has_a_cost(text: str) -> None:
    price = cost(text)
    assert 0 <= price.telling_nats <= price.nats + 1e-6
    assert price.chars == len(text)
