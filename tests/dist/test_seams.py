"""Where parts of the trainer meet: held-out text under FSDP2, bf16 under tensor parallelism, a kill at the very end."""

from pathlib import Path

import pytest
from safetensors import safe_open
from tests.dist.processes import Processes, losses, write_config
from tests.dist.test_arms import FSDP

from jpfm.core.artifact import Artifact, open_artifact

pytestmark = pytest.mark.slow


def dtypes(folder: Path) -> set[str]:
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        return {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("tied", [True, False])
def test_scoring_held_out_text_leaves_nothing_gathered(
    tokens: Artifact, processes: Processes, tmp_path: Path, tied: bool
) -> None:
    """A forward pass without a backward pass leaves bf16 copies in FSDP2's hands: no checkpoint may hold them."""
    config = write_config(
        tokens, tmp_path / "train.yaml", precision="bf16", held_out={"every_steps": 2, "max_chars": 2000},
        save={"every_steps": 4, "keep_best": 1},
        model={"size": "1M", "hidden_size": 64, "num_layers": 2, "intermediate_size": 160, "tie_embeddings": tied},
    )  # fmt: skip
    straight = processes.trained(config, tmp_path / "straight", 2, *FSDP)
    assert dtypes(straight) == dtypes(straight / "steps" / "step-00000004") == {"F32"}
    out = tmp_path / "model"
    run = processes.train(config, out, 2, *FSDP)
    run.wait_for_step(out, 6)
    run.end()
    processes.trained(config, out, 2, *FSDP)
    assert losses(out) == losses(straight)
    assert open_artifact(out).id == open_artifact(straight).id
    assert open_artifact(out).manifest.stats["bits_per_character"] > 1


def test_bf16_under_tensor_parallelism_alone(tokens: Artifact, processes: Processes, tmp_path: Path) -> None:
    config = write_config(tokens, tmp_path / "train.yaml", precision="bf16")
    one = losses(processes.trained(config, tmp_path / "one", 1))
    two = losses(processes.trained(config, tmp_path / "two", 2, "parallel.replicate=1", "parallel.tensor=2"))
    assert two == pytest.approx(one, rel=2e-3)


def test_a_kill_between_the_manifest_and_its_name(tokens: Artifact, processes: Processes, tmp_path: Path) -> None:
    """The main process finds the work done, and the others do not wait for it to begin."""
    config = write_config(tokens, tmp_path / "train.yaml")
    out = processes.trained(config, tmp_path / "model", 2)
    identity = open_artifact(out).id
    out.rename(tmp_path / "model.partial")
    processes.trained(config, out, 2)
    assert open_artifact(out).id == identity
