"""Steps that must not count: real spikes from one batch of another language, real overflows from an absurd rate."""

import json
import math
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies
from safetensors.torch import load_file
from tests.conftest import tiny_training
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ModelError
from jpfm.tokens.order import TokenOrder, positions
from jpfm.tokens.store import TokenStore
from jpfm.train.faults import FaultGuard
from jpfm.train.loop import train
from jpfm.train.settings import Faults
from jpfm.train.state import Progress

ONE_ODD_BATCH = {
    "stages": [
        {"tokens": 20 * 1024, "weights": {"law": 1}},
        {"tokens": 1024, "weights": {"html": 1}},
        {"weights": {"law": 1}},
    ]
}
SPIKES: dict[str, object] = {
    "mixture": ONE_ODD_BATCH, "steps": 26, "learning_rate": 1e-3, "save": {"every_steps": 6, "keep_last": 10},
    "faults": {"window_steps": 12, "spike_sigma": 4.0},
}  # fmt: skip


def faults(folder: Path) -> list[dict[str, Any]]:
    file = folder / "logs" / "faults.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "logs" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def action(name: str, **more: object) -> dict[str, object]:
    return {"faults": {"window_steps": 12, "spike_sigma": 4.0, "action": name, **more}}


def interrupted(config: Any, out: Path, after: int) -> None:
    """Ctrl-C when a checkpoint is there."""

    def stop(made: Artifact) -> None:
        if made.manifest.stats.get("step") == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, out, on_checkpoint=stop)


@hypothesis.given(
    values=strategies.lists(
        strategies.tuples(strategies.floats(0, 9), strategies.floats(0, 9)), min_size=0, max_size=30
    ),
    cut=strategies.integers(0, 30),
)
def test_a_resumed_guard_judges_the_same(values: list[tuple[float, float]], cut: int) -> None:
    """Wherever a run is cut: the rest is judged as without the cut, from what a checkpoint keeps."""
    settings = Faults(window_steps=8, spike_sigma=1.0)
    guard = FaultGuard(settings, Progress(0, 0))
    verdicts = []
    for step, (loss, norm) in enumerate(values, 1):
        if step == cut:
            kept = json.loads(json.dumps([guard.history, guard.in_a_row]))
            guard = FaultGuard(settings, Progress(0, 0, history=tuple(map(tuple, kept[0])), in_a_row=kept[1]))
        verdicts.append(guard.judge(step, loss, norm))
        if verdicts[-1] is None:
            guard.applied(loss, norm)
        else:
            guard.skipped()
    straight = FaultGuard(settings, Progress(0, 0))
    for step, ((loss, norm), verdict) in enumerate(zip(values, verdicts, strict=True), 1):
        assert straight.judge(step, loss, norm) == verdict
        if verdict is None:
            straight.applied(loss, norm)
    assert len(guard.history) <= 8


def test_a_spike_is_six_deviations_above_the_last_steps() -> None:
    guard = FaultGuard(Faults(window_steps=8), Progress(0, 0))
    for step in range(7):
        guard.applied(2.0 + step % 2, 1.0)
    assert guard.judge(8, 1e9, 1e9) is None  # too few to judge by
    guard.applied(3.0, 1.0)
    assert guard.judge(9, 2.5 + 6 * 0.5, 1.0) is None
    found = guard.judge(9, 2.5 + 6 * 0.5 + 1e-6, 1.0)
    assert found is not None
    assert (found.kind, found.what, found.limit) == ("spike", "loss", 5.5)
    assert guard.judge(9, 2.0, 1.0 + 1e-9) is not None  # the norm never moved: any rise is one
    assert found.words == "step 9: loss 5.5 is a spike (limit 5.5)"
    for value in (math.nan, math.inf, -math.inf):
        assert FaultGuard(Faults(spike_sigma=None), Progress(0, 0)).judge(1, value, 1.0) is not None
        assert FaultGuard(Faults(spike_sigma=None), Progress(0, 0)).judge(1, 1.0, value) is not None


def test_a_skipped_step_changes_neither_weights_nor_optimizer(tokens: Artifact, tmp_path: Path) -> None:
    seen: dict[int, dict[str, bytes]] = {}

    def keep(made: Artifact) -> None:
        files = made.path.rglob("*.safetensors")
        step = made.manifest.stats.get("step", 23)
        seen[step] = {path.relative_to(made.path).as_posix(): path.read_bytes() for path in files}

    config = tiny_training(tokens, **SPIKES | {"save": {"every_steps": 1}, "steps": 23})
    made = train(config, tmp_path / "model", on_checkpoint=keep)
    (fault,) = faults(made.path)
    assert (fault["step"], fault["kind"], fault["action"]) == (21, "spike", "skip")
    rows = metrics(made.path)
    assert [row["step"] for row in rows if "skipped" in row] == [21]
    assert rows[20]["skipped"] == "spike"
    assert seen[21] == seen[20]
    assert len(seen[20]) >= 2  # weights and optimizer state
    assert seen[22] != seen[21]
    assert made.manifest.stats["tokens"] == 23 * 1024


def test_a_run_that_is_interrupted_after_a_fault_ends_the_same(tokens: Artifact, tmp_path: Path) -> None:
    config = tiny_training(tokens, **SPIKES | {"save": {"every_steps": 11}})
    straight = train(config, tmp_path / "straight")
    assert [fault["step"] for fault in faults(straight.path)] == [21]
    interrupted(config, tmp_path / "cut", 11)  # the window of judging spans the cut
    assert train(config, tmp_path / "cut").id == straight.id
    assert faults(tmp_path / "cut") == faults(straight.path)


@pytest.fixture(scope="module")
def rewound(tokens: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return train(tiny_training(tokens, **SPIKES | action("rewind")), tmp_path_factory.mktemp("rewound") / "model")


def test_a_rewind_goes_back_to_the_checkpoint_and_past_the_data(
    tokens: Artifact, rewound: Artifact, tmp_path: Path
) -> None:
    """Step 21 is a spike; the checkpoint of step 18 is trained on with the data from that of step 22 on."""
    (fault,) = faults(rewound.path)
    assert (fault["step"], fault["action"]) == (21, "rewind")
    assert [list(pair) for pair in rewound.manifest.stats["windows"]] == [[0, 0], [18, 3]]
    state = json.loads((rewound.path / "trainer_state.json").read_text(encoding="utf-8"))
    assert state["windows"] == [[0, 0], [18, 3]]
    assert (state["step"], state["rewinds"], state["tokens"]) == (26, 1, 26 * 1024)
    rows = metrics(rewound.path)
    assert [row["step"] for row in rows] == list(range(1, 27))  # the steps that were left are not in the record
    assert not any("skipped" in row for row in rows)

    def keep(made: Artifact) -> None:
        if made.manifest.stats.get("step") == 18:
            raise KeyboardInterrupt

    config = tiny_training(tokens, **SPIKES | action("rewind"))
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "model", on_checkpoint=keep)
    folder = tmp_path / "model.partial" / "steps" / "step-00000018"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    store = TokenStore.open(tokens)
    order = TokenOrder(store, config.seq_len, config.rows_per_step, config.seed, config.mixture)
    ids = order.batch(21)
    inputs, targets = (torch.from_numpy(part.astype("int64")) for part in (ids[:, :-1], ids[:, 1:]))
    with torch.no_grad():
        place = torch.from_numpy(positions(ids[:, :-1], store.eos))
        logits = model(inputs, position_ids=place, use_cache=False).logits
    assert rows[18]["loss"] == pytest.approx(float(cross_entropy(logits.flatten(0, 1), targets.flatten())), rel=1e-5)


def test_a_rewound_run_is_replayed_and_resumed_to_the_same_result(
    tokens: Artifact, rewound: Artifact, tmp_path: Path
) -> None:
    config = tiny_training(tokens, **SPIKES | action("rewind"))
    interrupted(config, tmp_path / "model", 18)  # before the spike
    interrupted(config, tmp_path / "model", 24)  # after the rewind
    assert train(config, tmp_path / "model").id == rewound.id


def test_a_spike_that_stays_ends_after_so_many_rewinds(tokens: Artifact, tmp_path: Path) -> None:
    """From step 21 on the text is of another language for good: no going past it."""
    for_good = {"stages": [ONE_ODD_BATCH["stages"][0], {"weights": {"html": 1}}]}
    settings = SPIKES | action("rewind", max_rewinds=2) | {"mixture": for_good}
    with pytest.raises(ModelError, match=r"step 1\d: .* is a spike .*; the run was rewound 2 times already"):
        train(tiny_training(tokens, **settings), tmp_path / "model")
    assert [fault["action"] for fault in faults(tmp_path / "model.partial")] == ["rewind", "rewind", "stop"]


def test_a_spike_stops_where_that_is_asked_for(tokens: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"step 21: .* is a spike .*; the weights were not changed"):
        train(tiny_training(tokens, **SPIKES | action("stop")), tmp_path / "model")
    (fault,) = faults(tmp_path / "model.partial")
    assert fault["action"] == "stop"


def test_a_loss_that_is_no_number_ends_the_run_with_sound_weights(tokens: Artifact, tmp_path: Path) -> None:
    """A rate of 1e18 is real overflow: each step after the first is skipped, the third in a row is the last."""
    config = tiny_training(
        tokens, learning_rate=1e18, schedule={"warmup_steps": 0}, save={"every_steps": 1, "keep_last": 10},
        faults={"max_in_a_row": 3}, clip_norm=1e9,
    )  # fmt: skip
    with pytest.raises(ModelError, match=r"step \d+: (loss|gradient norm) (nan|inf) is not finite; so were 3 steps"):
        train(config, tmp_path / "model")
    found = faults(tmp_path / "model.partial")
    assert [fault["kind"] for fault in found] == ["not_finite"] * 3
    assert all(fault[fault["what"]] is None for fault in found)  # JSON has no NaN
    first = found[0]["step"]
    steps = tmp_path / "model.partial" / "steps"
    for step in (first - 1, first + 1):
        weights = load_file(steps / f"step-{step:08d}" / "model.safetensors")
        assert all(bool(value.isfinite().all()) for value in weights.values())
    with pytest.raises(ModelError, match=f"step {first + 2}: .*; so were 3 steps in a row"):
        train(config, tmp_path / "model")  # the resumed run counts on from the checkpoint
