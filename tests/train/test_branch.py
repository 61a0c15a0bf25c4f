"""Branches: another schedule, mixture, batch or text from a checkpoint on, with its lineage; and what is refused."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import tiny_training

from jpfm.core.artifact import Artifact, open_artifact
from jpfm.core.errors import ArtifactError, UsageError
from jpfm.tokens.order import TokenOrder
from jpfm.tokens.store import TokenStore
from jpfm.train.branch import settings_of
from jpfm.train.config import TrainConfig
from jpfm.train.loop import train
from jpfm.train.schedule import lr_at

DECAY = {"steps": 14, "schedule": {"decay_steps": 6, "decay": "minus_sqrt", "final_share": 0.0}}


@pytest.fixture(scope="module")
def base(tokens: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A constant rate to the end, with all its checkpoints."""
    made = train(_base(tokens), tmp_path_factory.mktemp("base") / "run").path
    assert sorted(path.name for path in (made / "steps").iterdir()) == [f"step-{n:08d}" for n in (4, 8, 12)]
    return made


def _base(tokens: Artifact, **changes: object) -> TrainConfig:
    settings: dict[str, object] = {
        "steps": 16, "schedule": {"warmup_steps": 3}, "save": {"every_steps": 4, "keep_last": 10},
        "mixture": {"weights": {"aozora": 0.25, "office": 0.5, "law": 0.25}},
    }  # fmt: skip
    return tiny_training(tokens, **settings | changes)


@pytest.fixture
def stopped(base: Path, tmp_path: Path) -> Path:
    """The same run as it is while it goes on: no result yet, all checkpoints there."""
    for name in ("steps", "logs"):
        shutil.copytree(base / name, tmp_path / "run.partial" / name)
    return tmp_path / "run"


def branched(run: Path, at: int, out: Path, **changes: object) -> Artifact:
    return train(TrainConfig.model_validate(settings_of(run, at, changes)), out)


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "logs" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def rows_read(config: TrainConfig, tokens: Artifact, steps: range) -> Counter[bytes]:
    """How often each row of text was read."""
    order = TokenOrder(TokenStore.open(tokens), config.seq_len, config.rows_per_step, config.seed, config.mixture)
    return Counter(row.tobytes() for step in steps for row in order.batch(step))


def test_a_branch_that_changes_nothing_is_the_run(base: Path, stopped: Path, tmp_path: Path) -> None:
    made = branched(stopped, 8, tmp_path / "branch")
    assert [row["step"] for row in metrics(made.path)] == list(range(9, 17))
    for name in ("loss", "lr", "grad_norm", "tokens"):
        assert [row[name] for row in metrics(made.path)] == [row[name] for row in metrics(base)[8:]], name
    assert (made.path / "model.safetensors").read_bytes() == (base / "model.safetensors").read_bytes()
    parent = open_artifact(stopped.with_name("run.partial") / "steps" / "step-00000008")
    assert parent.id in made.manifest.parents


def test_a_decay_branches_off_a_constant_rate(base: Path, stopped: Path, tmp_path: Path) -> None:
    made = branched(stopped, 8, tmp_path / "branch", **DECAY)
    rows = metrics(made.path)
    config = TrainConfig.model_validate(settings_of(stopped, 8, DECAY))
    assert [row["lr"] for row in rows] == [
        lr_at(step, config.learning_rate, 14, config.schedule, config.batch_tokens) for step in range(8, 14)
    ]
    assert rows[0]["lr"] > rows[1]["lr"] > rows[-1]["lr"] == 0
    assert rows[0]["loss"] == metrics(base)[8]["loss"]  # the same weights on the same batch
    assert config.schedule.warmup_steps == 3  # what is not named stays
    assert made.manifest.stats["tokens"] == 14 * 1024


def test_a_branch_off_the_finished_run_trains_on(base: Path, tmp_path: Path) -> None:
    made = branched(base, 16, tmp_path / "branch", steps=18)
    assert [row["step"] for row in metrics(made.path)] == [17, 18]
    assert open_artifact(base).id in made.manifest.parents


def test_a_new_mixture_goes_on_without_a_row_twice(tokens: Artifact, base: Path, stopped: Path, tmp_path: Path) -> None:
    changes = {"mixture": {"weights": {"law": 1}}, "steps": 14}
    made = branched(stopped, 8, tmp_path / "branch", **changes)
    config = TrainConfig.model_validate(settings_of(stopped, 8, changes))
    before, after = rows_read(_base(tokens), tokens, range(8)), rows_read(config, tokens, range(8, 14))
    assert max((before + after).values()) == 1
    assert (before + after).total() == 14 * 8
    assert rows_read(config, tokens, range(8)) == before  # the first stage is what was read
    law = rows_read(_base(tokens, mixture={"weights": {"law": 1}}), tokens, range(11))
    assert set(after) <= set(law)  # nothing but the law
    epochs = made.manifest.stats["epochs_by_source"]
    assert epochs["law"] > epochs["aozora"] > 0


def test_a_larger_batch_goes_on_where_the_tokens_stopped(
    tokens: Artifact, base: Path, stopped: Path, tmp_path: Path
) -> None:
    made = branched(stopped, 8, tmp_path / "branch", batch_tokens=2048, steps=11)
    assert made.manifest.stats["tokens"] == 8 * 1024 + 3 * 2048
    assert [list(pair) for pair in made.manifest.stats["windows"]] == [[0, 0], [8, -4]]
    config = TrainConfig.model_validate(settings_of(stopped, 8, {"batch_tokens": 2048, "steps": 11}))
    small, large = rows_read(_base(tokens), tokens, range(8, 14)), rows_read(config, tokens, range(4, 7))
    assert small == large
    # the mean of the first large batch, before any update: of the run's own next two batches, nearly
    assert metrics(made.path)[0]["loss"] == pytest.approx(metrics(base)[8]["loss"], rel=0.05)
    with pytest.raises(UsageError, match=r"batch_tokens 3072: the 8,192 tokens read so far are no multiple of it"):
        branched(stopped, 8, tmp_path / "odd", batch_tokens=3072, steps=11)


def test_other_text_begins_anew(corpus: Artifact, tokenizer: Artifact, stopped: Path, tmp_path: Path) -> None:
    from jpfm.tokens.pack import TokensConfig, pack

    settings = TokensConfig(stage="tokens", document_order="shuffled", seed=1)
    other = pack(settings, corpus, tokenizer, tmp_path / "tokens")
    assert other is not None
    changes = {"tokens": str(other.path), "mixture": {}, "steps": 10}
    made = branched(stopped, 8, tmp_path / "branch", **changes)
    assert [list(pair) for pair in made.manifest.stats["windows"]] == [[0, 0], [8, -8]]
    assert other.id in made.manifest.parents
    assert [row["step"] for row in metrics(made.path)] == [9, 10]


def test_a_branch_of_a_branch_and_its_resume(base: Path, stopped: Path, tmp_path: Path) -> None:
    changes = {"batch_tokens": 2048, "steps": 14, "save": {"every_steps": 2}}
    straight = branched(stopped, 8, tmp_path / "straight", **changes)
    config = TrainConfig.model_validate(settings_of(stopped, 8, changes))

    def stop(made: Artifact) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "branch", on_checkpoint=stop)
    again = branched(tmp_path / "branch", 10, tmp_path / "second", **DECAY | {"save": {"every_steps": 2}})
    assert [list(pair) for pair in again.manifest.stats["windows"]] == [[0, 0], [8, -4]]
    assert metrics(again.path)[0]["loss"] == metrics(straight.path)[2]["loss"]
    assert train(config, tmp_path / "branch").id == straight.id  # the branch is resumed like any run
    assert [row["step"] for row in metrics(tmp_path / "branch")] == list(range(9, 15))


def test_what_a_branch_cannot_be(base: Path, stopped: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="has no checkpoint after step 7; there are: 4, 8, 12") as found:
        settings_of(stopped, 7, {})
    assert "--at" in found.value.hint
    with pytest.raises(ArtifactError, match="has no checkpoint after step 20; there are: 4, 8, 12, 16"):
        settings_of(base, 20, {})
    with pytest.raises(ArtifactError, match="has no checkpoint after step 4; there are: none"):
        settings_of(tmp_path / "nothing", 4, {})
    with pytest.raises(UsageError, match="model: a branch goes on with the model"):
        settings_of(stopped, 8, {"model": {"size": "8M"}})
    with pytest.raises(ArtifactError, match="holds the state of another optimizer"):
        branched(stopped, 8, tmp_path / "muon", optimizer={"kind": "muon"})
    with pytest.raises(UsageError, match=r"steps 8: 8 are done already"):
        branched(stopped, 8, tmp_path / "short", steps=8)
    wrong = settings_of(stopped, 8, {}) | {"branch_at": 4}
    with pytest.raises(ArtifactError, match="has done 8 steps, branch_at says 4"):
        train(TrainConfig.model_validate(wrong), tmp_path / "wrong")
