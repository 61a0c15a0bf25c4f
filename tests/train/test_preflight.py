"""What is refused before anything is computed: too little memory, doubtful settings, rows that do not divide."""

from pathlib import Path

import pytest
import torch
from tests.conftest import tiny_training

from jpfm.core.artifact import Artifact
from jpfm.core.errors import EnvironmentProblem, UsageError
from jpfm.train.inputs import open_inputs
from jpfm.train.loop import train
from jpfm.train.mesh import Mesh
from jpfm.train.preflight import preflight

CPU = torch.device("cpu")
LARGE = {"size": "32B"}


@pytest.mark.parametrize(
    ("changes", "mesh", "words", "hint"),
    [
        ({"model": LARGE}, Mesh(1, 1, 1, 0), "for weights, gradients and optimizer", "use more processes"),
        ({"model": LARGE}, Mesh(4, 1, 1, 0), r"GB are free", "parallel.shard=null parallel.replicate=1"),
        (
            {"model": {"size": "8M"}, "seq_len": 8192, "batch_tokens": 64 * 8192, "micro_batch_rows": 64},
            Mesh(1, 1, 1, 0), "for activations", "set micro_batch_rows to 32",
        ),
    ],
    ids=["alone", "copies", "activations"],
)  # fmt: skip
def test_too_little_memory(tokens: Artifact, changes: dict[str, object], mesh: Mesh, words: str, hint: str) -> None:
    config = tiny_training(tokens, **changes)
    with pytest.raises(EnvironmentProblem, match=words) as found:
        preflight(config, open_inputs(config), mesh, CPU)
    assert hint in found.value.hint


def test_a_share_of_a_model_needs_less(tokens: Artifact) -> None:
    """The same model fits when 64 processes share it."""
    config = tiny_training(tokens, model={"size": "1B"}, batch_tokens=64 * 128, micro_batch_rows=1)
    preflight(config, open_inputs(config), Mesh(1, 64, 1, 0), CPU)


@pytest.mark.parametrize("world", [3, 5, 6, 7, 16])
def test_rows_that_do_not_divide(tokens: Artifact, world: int) -> None:
    config = tiny_training(tokens)
    with pytest.raises(UsageError, match=rf"is 8 rows; {world} processes cannot share them evenly") as found:
        preflight(config, open_inputs(config), Mesh(world, 1, 1, 0), CPU)
    assert f"a multiple of {world * 128}" in found.value.hint


def test_doubtful_settings_are_refused_on_request(tokens: Artifact, tmp_path: Path) -> None:
    doubtful = {"optimizer": {"kind": "adamw", "epsilon": 1e-3}, "lint": "refuse"}
    with pytest.raises(UsageError, match=r"(?s)lint: refuse.*epsilon"):
        train(tiny_training(tokens, **doubtful), tmp_path / "model")
    assert not (tmp_path / "model").exists()
