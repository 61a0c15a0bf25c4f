"""What a step of a run saw, read back from its checkpoint alone."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.conftest import tiny_training

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError, UsageError
from jpfm.report.trace import order_of_run, trace
from jpfm.tokens.mixture import Mixture, Stage
from jpfm.tokens.order import TokenOrder
from jpfm.tokens.preview import by_licence, by_source, by_stage, warnings
from jpfm.tokens.store import TokenStore


def cli(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "jpfm.cli.cli", *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


def test_a_step_is_read_back(checkpoint: Artifact, tokens: Artifact) -> None:
    config = tiny_training(tokens)
    order = TokenOrder(TokenStore.open(tokens), config.seq_len, config.rows_per_step, config.seed)
    for step in (1, 7, 12):
        seen = trace(checkpoint.path, step)
        rows = zip(seen.iter_rows(named=True), order.documents(step - 1).to_pylist(), strict=True)
        for row, expected in rows:
            assert [row[key] for key in ("slot", "id", "licence")] == [
                expected[key] for key in ("slot", "id", "licence")
            ]
            ids = np.fromfile(tokens.path / row["file"], dtype=np.uint16)[row["start"] : row["stop"]]
            assert np.array_equal(ids, order.store.read(expected["first"], expected["last"]))
        assert seen["slot"].unique().sort().to_list() == list(range(config.rows_per_step))
    half = trace(checkpoint.path, 3, rank=1, world=2)
    whole = trace(checkpoint.path, 3)
    assert half.to_dicts() == whole.filter(pl.col("slot") % 2 == 1).to_dicts()
    assert trace(checkpoint.path / "steps" / "step-00000004", 3).equals(whole)


def test_steps_and_ranks_that_are_not_there(checkpoint: Artifact, corpus: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has seen steps 1 to 12"):
        trace(checkpoint.path, 13)
    with pytest.raises(UsageError, match="step-00000004 has seen steps 1 to 4"):
        trace(checkpoint.path / "steps" / "step-00000004", 5)
    with pytest.raises(UsageError, match="--rank 2 of 2"):
        trace(checkpoint.path, 1, rank=2, world=2)
    with pytest.raises(ArtifactError, match="holds no checkpoint"):
        trace(tmp_path, 1)
    with pytest.raises(ArtifactError):
        trace(corpus.path, 1)


def test_the_commands(checkpoint: Artifact, tokens: Artifact, tmp_path: Path) -> None:
    out = tmp_path / "seen.parquet"
    done = cli("tokens", "trace", str(checkpoint.path), "--step", "2", "--out", str(out))
    assert (done.returncode, done.stdout.strip()) == (0, str(out))
    assert pl.read_parquet(out).equals(trace(checkpoint.path, 2))
    shown = cli("tokens", "trace", str(checkpoint.path), "--step", "2", "--rank", "0", "--world", "4")
    assert shown.returncode == 0
    assert len(shown.stdout.splitlines()) == trace(checkpoint.path, 2, 0, 4).height + 1
    refused = cli("tokens", "trace", str(checkpoint.path), "--step", "2", "--out", str(tmp_path / "seen.txt"))
    assert refused.returncode == 2
    assert "ends in .parquet" in refused.stderr
    config = tmp_path / "train.yaml"
    config.write_text(
        f"stage: train\ntokens: {tokens.path}\nmodel: {{size: 1M}}\nseq_len: 128\nbatch_tokens: 1024\nsteps: 500\n"
        "schedule: {warmup_steps: 1}\nmixture:\n  max_epochs: {office: 2}\n",
        encoding="utf-8",
    )
    seen = cli("tokens", "preview", str(config))
    assert seen.returncode == 2
    assert "source 'office' would be seen" in seen.stderr
    assert "its cap is 2" in seen.stderr
    table = cli("tokens", "preview", str(config), "steps=5").stdout
    assert "CC0-1.0" in table
    assert "office" in table


def test_the_preview_says_what_the_run_then_sees(tokens: Artifact) -> None:
    store = TokenStore.open(tokens)
    shares = {"office": 0.5, "law": 0.25, "html": 0.25}
    order = TokenOrder(store, 64, 8, mixture=Mixture(stages=(Stage(tokens=64 * 80, weights=shares), Stage())))
    steps = 40
    table = by_source(order, steps)
    rows = pl.concat([pl.DataFrame({"source": order.rows(step).source}) for step in range(steps)])
    counts = dict(rows.group_by("source").len().iter_rows())
    for number, row in enumerate(table.iter_rows(named=True)):
        assert row["seen"] == counts.get(number, 0) * 64
        assert row["epochs"] == pytest.approx(counts.get(number, 0) / row["rows"])
    assert table["share"].sum() == pytest.approx(1)
    stages = by_stage(order, steps)
    first = stages.filter(pl.col("stage") == 1)
    assert dict(zip(first["source"], first["weight"], strict=True)) == shares | {
        name: 0.0 for name in store.spans if name not in shares
    }
    assert stages.filter(pl.col("stage") == 2)["first_step"].unique().to_list() == [11]
    licences = by_licence(order, steps)
    assert licences["tokens"].sum() == store.num_tokens
    assert licences["seen"].sum() == pytest.approx(steps * 8 * 64, abs=len(licences))
    held = pl.concat([pl.read_parquet(file) for file in sorted(tokens.path.glob("*.docs.parquet"))])
    by_hand = dict(held.group_by("licence").agg(pl.col("length").sum()).iter_rows())
    assert dict(zip(licences["licence"], licences["tokens"], strict=True)) == by_hand


def test_what_a_person_should_look_at_twice(tokens: Artifact) -> None:
    order = TokenOrder(TokenStore.open(tokens), 64, 8, mixture=Mixture(weights={"law": 1.0}))
    found = warnings(order, 10_000)
    assert any(line.startswith("law is seen ") for line in found)
    assert any(line.startswith("office has no weight") for line in found)
    late = TokenOrder(TokenStore.open(tokens), 64, 8, mixture=Mixture(stages=(Stage(tokens=10**9), Stage())))
    assert warnings(late, 3) == ["stage 2 begins after the last step: it is never reached"]


def test_lost_tokens_are_named(checkpoint: Artifact, tmp_path: Path) -> None:
    import shutil

    from jpfm.core.artifact import open_artifact

    copied = shutil.copytree(checkpoint.path, tmp_path / "model")
    with pytest.raises(ArtifactError, match=r"tokens-[0-9a-f]{12}, which .* was trained on"):
        order_of_run(open_artifact(copied))
