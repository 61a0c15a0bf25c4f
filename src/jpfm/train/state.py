"""Checkpoints: a Hugging Face folder, the optimizer's state beside it, and the manifest last.

A checkpoint opens with `transformers.AutoModelForCausalLM.from_pretrained` as it is. The optimizer's state is
safetensors too: nothing is unpickled, from our own folders or anyone's.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.errors import ArtifactError

VERSION = 2
_OPTIMIZER = "optimizer.safetensors"
_TRAINER = "trainer_state.json"
_STEP_NAME = re.compile(r"step-(\d{8})")


def write(folder: Path, model: Any, tokenizer: Any, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Fill a folder with the model after `step` steps, the tokenizer and the training state."""
    transformers.utils.logging.disable_progress_bar()  # jpfm shows its own
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file(dict(_optimizer_tensors(model, optimizer)), folder / _OPTIMIZER)
    artifacts.write_text(folder / _TRAINER, json.dumps({"step": step}) + "\n")
    for path in folder.glob("*.safetensors"):  # safetensors makes files that their owner alone may read
        path.chmod((folder / _TRAINER).stat().st_mode)


def _optimizer_tensors(model: Any, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, torch.Tensor]]:
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state[parameter].items():
            yield f"{key}/{name}", value.detach().to("cpu").contiguous()


def restore(folder: Path, model: Any, optimizer: torch.optim.Optimizer) -> int:
    """Load weights and optimizer state in place; returns the number of steps done.

    Raises:
        ArtifactError: the folder holds a model of other dimensions, or a file was changed.
    """
    problems = artifacts.verify(folder)
    if problems:
        raise ArtifactError(
            f"checkpoint {folder} is damaged: {problems[0]}",
            hint="delete that folder; training resumes from the checkpoint before it",
        )
    weights = load_file(folder / "model.safetensors")
    missing, unexpected = model.load_state_dict(weights, strict=False)
    absent = [name for name in missing if name != "lm_head.weight" or not model.config.tie_word_embeddings]
    if absent or unexpected:
        raise ArtifactError(
            f"checkpoint {folder} is of another model: {(absent + unexpected)[:3]}", hint="check train.model"
        )
    model.tie_weights()
    tensors = load_file(folder / _OPTIMIZER)
    for name, parameter in model.named_parameters():
        keys = [key for key in tensors if key.partition("/")[2] == name]
        optimizer.state[parameter] = {
            key.partition("/")[0]: tensors[key].to(parameter.device if tensors[key].ndim else tensors[key].device)
            for key in keys
        }
    return int(json.loads((folder / _TRAINER).read_text(encoding="utf-8"))["step"])


def save(steps: Path, step: int, config: dict[str, Any], parents: list[Artifact], fill: Any, keep: int) -> Artifact:
    """Write `steps/step-NNNNNNNN` as an artifact of its own and retire the oldest beyond `keep`.

    Args:
        fill: called with the folder to write into.
    """

    def work(draft: Draft) -> Finished:
        fill(draft.path)
        return Finished({"step": step})

    made = artifacts.produce(
        steps / f"step-{step:08d}", kind="checkpoint", version=VERSION, config=config | {"step": step},
        parents=parents, work=work,
    )  # fmt: skip
    for old in finished_steps(steps)[:-keep]:
        artifacts.discard(old)
    return made


def sweep(steps: Path) -> None:
    """Remove what a kill left of a checkpoint that was being written or retired. Only the run's owner may."""
    if steps.is_dir():
        for path in sorted(set(steps.iterdir()) - set(finished_steps(steps))):
            artifacts.discard(path)


def finished_steps(steps: Path) -> list[Path]:
    """Finished intermediate checkpoints, oldest first. By name, not by clock."""
    if not steps.is_dir():
        return []
    return sorted(p for p in steps.iterdir() if _STEP_NAME.fullmatch(p.name) and (p / artifacts.MANIFEST).exists())
