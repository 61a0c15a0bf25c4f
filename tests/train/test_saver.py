"""Which checkpoints stay, on paper and on disk."""

import json
from pathlib import Path

import hypothesis
from hypothesis import strategies
from tests.conftest import tiny_training

from jpfm.core.artifact import Artifact
from jpfm.train.loop import train
from jpfm.train.retention import retained
from jpfm.train.settings import Save

CHECKPOINTS = strategies.lists(
    strategies.tuples(
        strategies.integers(1, 50), strategies.integers(1, 300), strategies.none() | strategies.floats(0, 9)
    ),
    max_size=20,
)


@hypothesis.given(
    CHECKPOINTS, strategies.integers(1, 4), strategies.none() | strategies.integers(1, 2000), strategies.integers(0, 3)
)
def test_what_stays(raw: list[tuple[int, int, float | None]], last: int, every: int | None, best: int) -> None:
    found, step, tokens = [], 0, 0
    for steps, more, value in raw:
        step, tokens = step + steps, tokens + more
        found.append((step, tokens, value))
    kept = retained(found, Save(keep_last=last, keep_every_tokens=every, keep_best=best))
    by = {why: [step for step, reasons in kept.items() if why in reasons] for why in ("last", "every", "best")}
    assert by["last"] == [step for step, _, _ in found[-last:]]
    values = {step: value for step, _, value in found if value is not None}
    assert len(by["best"]) == min(best, len(values))
    others = [value for step, value in values.items() if step not in by["best"]]
    assert all(values[step] <= other for step in by["best"] for other in others)
    if every is None:
        assert by["every"] == []
    else:  # the first after each multiple, and no other
        crossed: dict[int, int] = {}
        for step, tokens, _ in found:
            crossed.setdefault(tokens // every, step)
        assert by["every"] == [step for number, step in crossed.items() if number > 0]
    assert set(kept) == set(by["last"]) | set(by["every"]) | set(by["best"])


@hypothesis.given(CHECKPOINTS, strategies.integers(1, 3), strategies.integers(1, 2000), strategies.integers(0, 2))
def test_removing_as_it_goes_is_removing_at_the_end(
    raw: list[tuple[int, int, float | None]], last: int, every: int, best: int
) -> None:
    """A checkpoint that was removed would not stay later either: retiring after each save loses nothing."""
    save = Save(keep_last=last, keep_every_tokens=every, keep_best=best)
    found: list[tuple[int, int, float | None]] = []
    there: list[tuple[int, int, float | None]] = []
    step = tokens = 0
    for steps, more, value in raw:
        step, tokens = step + steps, tokens + more
        found.append((step, tokens, value))
        there.append((step, tokens, value))
        kept = retained(there, save)
        there = [one for one in there if one[0] in kept]
    assert {one[0] for one in there} == set(retained(found, save))


def test_checkpoints_on_disk(tokens: Artifact, tmp_path: Path) -> None:
    """Two last ones, one each 6 steps, and the best by held-out text."""
    config = tiny_training(
        tokens, steps=15, save={"every_steps": 2, "keep_last": 2, "keep_every_tokens": 6 * 1024, "keep_best": 1},
        held_out={"every_steps": 100, "max_chars": 2000},
    )  # fmt: skip
    seen: dict[int, float] = {}

    def note(made: Artifact) -> None:
        if "step" in made.manifest.stats:
            seen[made.manifest.stats["step"]] = made.manifest.stats["bits_per_character"]

    made = train(config, tmp_path / "model", on_checkpoint=note)
    assert sorted(seen) == [2, 4, 6, 8, 10, 12, 14, 15]  # the last is the model itself
    del seen[15]
    best = min(seen, key=lambda step: seen[step])
    there = {int(path.name.removeprefix("step-")) for path in (made.path / "steps").iterdir()}
    assert there == {6, 12, 14, best}
    for path in (made.path / "steps").iterdir():
        assert json.loads((path / "manifest.json").read_text(encoding="utf-8"))["kind"] == "checkpoint"
