"""One process, two processes and Ray make one corpus, of a recipe that decides over all shards."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jpfm.core.artifact import Artifact, verify
from jpfm.core.shards import Engine
from jpfm.data import passes
from jpfm.data.build import build, plan
from jpfm.data.recipe import Recipe

pytestmark = pytest.mark.slow
Make = Callable[..., Recipe]
STEPS: list[Any] = [
    "normalize",
    {"step": "near_duplicates", "prefer": {"rule": "longest"}},
    "rehydration_weight",
    "characters",
    {"step": "split", "held_out_share": 0.2},
]
WORDS = "橋川岸舟森畑道坂駅港窓庭灯帆笛"


def _texts() -> dict[str, str]:
    """Sixty documents: of each six, four are one text: itself, a copy, and two near copies of different length."""
    draw = random.Random(5)
    texts = [
        "".join(f"{draw.choice(WORDS)}から{draw.choice(WORDS)}へ{draw.randrange(9999)}歩あるいた。" for _ in range(15))
        for _ in range(60)
    ]
    for place in range(0, 60, 6):
        texts[place + 1] = texts[place]
        texts[place + 2] = texts[place].replace("あるいた", "走った", 1)
        texts[place + 3] = texts[place] + "途中で雨が降り出した。"
    draw.shuffle(texts)
    return {f"{number:02}.txt": text for number, text in enumerate(texts)}


@pytest.fixture
def recipe(make_recipe: Make, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setattr(passes, "_WORTH_A_PROCESS", 0)  # else two workers are started from 4 MB of input on
    made = make_recipe(_texts(), STEPS, slice_bytes=4_000)
    assert len(plan(made)) > 8
    return made


def _built(recipe: Recipe, out: Path, engine: Engine) -> Artifact:
    made = build(recipe, out, engine=engine)
    assert made is not None
    assert verify(out) == []
    return made


def _state(corpus: Artifact) -> dict[str, bytes]:
    """Sketches and decisions: not part of the id, but what `forget` works on."""
    return {
        path.relative_to(corpus.path).as_posix(): path.read_bytes()
        for path in (corpus.path / "state").rglob("*.parquet")
    }


def test_two_processes_make_the_corpus_of_one(recipe: Recipe, tmp_path: Path) -> None:
    one = _built(recipe, tmp_path / "one", Engine())
    dropped = one.manifest.stats["total"]["dropped"]
    assert dropped == {"near_duplicates:near_duplicate": 30}
    two = _built(recipe, tmp_path / "two", Engine(workers=2))
    assert (two.id, two.manifest.stats, _state(two)) == (one.id, one.manifest.stats, _state(one))


def test_ray_makes_it_too(recipe: Recipe, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    one = _built(recipe, tmp_path / "one", Engine())
    far = _built(recipe, tmp_path / "ray", Engine("ray", workers=2))
    assert (far.id, far.manifest.stats, _state(far)) == (one.id, one.manifest.stats, _state(one))
