"""A branch of a run: its weights, optimizer and step count from one checkpoint on, with other settings.

    settings = settings_of(Path("out/base"), at=8000, changes={"steps": 9000, "schedule": {...}})
    train(TrainConfig.model_validate(settings), Path("out/annealed"))

The everyday use is WSD's decay: train at a constant rate, and branch a short decay off whenever a finished model is
wanted (Hu et al. 2024, MiniCPM; LLM-jp v4 does it by copying folders). The data goes on where the checkpoint stopped: a
new mixture becomes a further stage behind what was read, so no row comes twice for that. Other tokens, another seq_len,
packing or seed begin a stream of their own.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jpfm.core import artifact as artifacts
from jpfm.core import lineage
from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError, UsageError
from jpfm.core.log import log
from jpfm.model.checkpoints import checkpoints_of
from jpfm.tokens.mixture import Mixture
from jpfm.train import saver, state
from jpfm.train.build import Built
from jpfm.train.config import TrainConfig
from jpfm.train.inputs import Inputs
from jpfm.train.mesh import Mesh
from jpfm.train.state import Progress
from jpfm.train.windows import Windows

_STREAM = ("seq_len", "packing", "seed")


def checkpoint_at(run: Path, step: int) -> Artifact:
    """The checkpoint of a run after `step` steps, finished run or not.

    Raises:
        ArtifactError: there is none; the message lists those that are.
    """
    found = checkpoints_of(run)
    if step not in found:
        there = ", ".join(f"{number:,}" for number in sorted(found)) or "none"
        raise ArtifactError(
            f"{run} has no checkpoint after step {step:,}; there are: {there}",
            hint="set --at to one of them; save.keep_every_tokens keeps more",
        )
    return artifacts.open_artifact(found[step], "checkpoint")


def settings_of(run: Path, at: int, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a branch: those of the run, the changes over them.

    Raises:
        ArtifactError: the run has no such checkpoint, or an input of it is not found.
        UsageError: a change is not possible on a branch.
    """
    checkpoint = checkpoint_at(run, at)
    for name in ("model", "init_from", "branch_from", "branch_at"):
        if name in changes:
            raise UsageError(
                f"{name}: a branch goes on with the model it branches from", hint=f"leave {name} out of the changes"
            )
    old = {**_last_settings(run, checkpoint), **checkpoint.manifest.config}
    old.pop("step", None)
    new = _merged(old, changes)
    if "steps" in changes or "total_tokens" in changes:  # one of the two is given anew
        for name in ("steps", "total_tokens"):
            if name not in changes:
                new[name] = None
    if "mixture" in changes and not _new_stream(checkpoint, changes):
        new["mixture"] = _continued(old, new["mixture"], checkpoint, at)
    inputs = _inputs(checkpoint)
    return {
        **new, "model": None, "init_from": None, "init_licence": None, "branch_from": str(checkpoint.path),
        "branch_at": at, "tokens": changes.get("tokens", inputs["tokens"]),
        "tokenizer": changes.get("tokenizer", inputs["tokenizer"]),
    }  # fmt: skip


def _last_settings(run: Path, checkpoint: Artifact) -> dict[str, Any]:
    """What the run's last start was given, mesh and batch sizes included."""
    for folder in (run, run.with_name(run.name + ".partial")):
        file = folder / artifacts.LOGS / "settings.json"
        if file.exists():
            return dict(json.loads(file.read_text(encoding="utf-8")))
    log.warning("%s has no logs/settings.json: mesh, micro_batch_rows and the like are the defaults", run)
    return {}


def _merged(old: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge, except where a kind is chosen anew and for a mixture; all else is replaced."""
    out = dict(old)
    for name, value in changes.items():
        before = out.get(name)
        whole = name == "mixture" or (isinstance(value, Mapping) and "kind" in value)
        if isinstance(value, Mapping) and isinstance(before, Mapping) and not whole:
            out[name] = _merged(before, value)
        else:
            out[name] = value
    return out


def _new_stream(checkpoint: Artifact, changes: Mapping[str, Any]) -> bool:
    old = checkpoint.manifest.config
    if any(name in changes and changes[name] != old[name] for name in _STREAM):
        return True
    named = changes.get("tokens")
    if named is None:
        return False
    folders = [named] if isinstance(named, str) else list(named)
    return [artifacts.open_artifact(Path(folder), "tokens").id for folder in folders] != _tokens_of(checkpoint)


def _tokens_of(checkpoint: Artifact) -> list[str]:
    return [parent for parent in checkpoint.manifest.parents if parent.startswith("tokens-")]


def _continued(old: Mapping[str, Any], mixture: Any, checkpoint: Artifact, at: int) -> dict[str, Any]:
    """The new mixture as stages behind what the checkpoint has read of the old one."""
    windows = Windows.of(checkpoint.manifest.stats)
    left = windows.data_step(at) * int(old["batch_tokens"])
    before = Mixture.model_validate_json(json.dumps(old["mixture"]))
    after = Mixture.model_validate_json(json.dumps(mixture))
    stages: list[dict[str, Any]] = []
    for stage in before.all_stages():
        length = left if stage.tokens is None else min(left, stage.tokens)
        if length:
            stages.append({"tokens": length, "weights": stage.weights})
        left -= length
    stages += [{"tokens": stage.tokens, "weights": stage.weights} for stage in after.all_stages()]
    return {"stages": stages, "max_epochs": after.max_epochs or before.max_epochs}


def _inputs(checkpoint: Artifact) -> dict[str, Any]:
    found = lineage.parents(checkpoint)
    missing = [parent for parent in found if isinstance(parent, str)]
    tokens = [str(p.path) for p in found if not isinstance(p, str) and p.manifest.kind == "tokens"]
    tokenizers = [str(p.path) for p in found if not isinstance(p, str) and (p.path / "tokenizer.json").exists()]
    if not tokens:
        raise ArtifactError(
            f"the tokens of {checkpoint.path} are not found: {', '.join(missing)}",
            hint="put them beside the run, or name them: tokens=FOLDER",
        )
    return {"tokens": tokens if len(tokens) > 1 else tokens[0], "tokenizer": tokenizers[0] if tokenizers else None}


def restore(config: TrainConfig, inputs: Inputs, built: Built, mesh: Mesh) -> Progress:
    """Weights, optimizer and progress of the checkpoint that a run branches from; its data window.

    Raises:
        ArtifactError: the checkpoint is not the one named, or of another optimizer.
        UsageError: the new batch size does not meet the place where the data stopped.
    """
    assert inputs.base is not None  # the settings have both
    assert config.branch_at is not None
    if mesh.is_main:
        mark = inputs.base.path / saver.BRANCHED
        mark.parent.mkdir(exist_ok=True)
        mark.touch()  # the run it is of may go on, and must not retire it
    found = state.restore(inputs.base.path, built.model, built.optimizer, mesh.checkpoint_group)
    at = config.branch_at
    if found.step != at:
        raise ArtifactError(
            f"{inputs.base.path} has done {found.step} steps, branch_at says {at}",
            hint="use `jpfm train branch`, which sets both",
        )
    old, windows = inputs.base.manifest.config, Windows(found.windows)
    same_tokens = _tokens_of(inputs.base) == [parent.id for parent in inputs.tokens]
    if not same_tokens or any(old[name] != getattr(config, name) for name in _STREAM):
        log.info("branching at step %d of %s with other data: its order begins anew", at, inputs.base.id)
        first = 0
    else:
        read = windows.data_step(at) * int(old["batch_tokens"])
        first, rest = divmod(read, config.batch_tokens)
        if rest:
            raise UsageError(
                f"batch_tokens {config.batch_tokens}: the {read:,} tokens read so far are no multiple of it",
                hint="branch at a step where they are, or keep batch_tokens",
            )
        log.info("branching at step %d of %s", at, inputs.base.id)
    return Progress(found.step, found.tokens, windows.then(at, first - at).pairs)
