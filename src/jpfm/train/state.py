"""What a checkpoint folder holds: a Hugging Face model, the optimizer's state beside it, and one JSON file.

    staged = stager.stage(model, optimizer)             # copies in main memory; training goes on
    write(folder, staged, group)                        # by all processes, each its own part
    describe(folder, model, tokenizer, progress)        # config, tokenizer, progress: by one
    progress = restore(folder, model, optimizer, group) # on any number of processes

`config.json`, `model*.safetensors` and the tokenizer open with transformers as they are; the weights in them are the
fp32 master weights, so they are the training state too. `optimizer/` holds one safetensors file a process. Both are
written and read by torch.distributed.checkpoint, which puts any sharding together again; nothing is unpickled, from our
own folders or anyone's. Refused: DCP's own file format, whose metadata is a pickle.
"""

import json
import logging
import shutil
import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import AutoModelForCausalLM

from jpfm.core import artifact as artifacts
from jpfm.core.errors import ArtifactError
from jpfm.core.log import log

VERSION = 3
OPTIMIZER = "optimizer"
PROGRESS = "trainer_state.json"
_FILE_BYTES = 5_000_000_000  # as transformers cuts its files
_SHARDED = "sharded"
_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Progress:
    """How far a run is: all that is needed besides weights and optimizer state."""

    step: int
    """Steps done."""
    tokens: int
    """Tokens seen, those before a branch included."""
    windows: tuple[tuple[int, int], ...] = ((0, 0),)
    """(from step, shift): step n reads the data of step n + shift. One entry unless a run was rewound or branched."""
    history: tuple[tuple[float, float], ...] = ()
    """Loss and gradient norm of the last steps that changed the weights: what a spike is measured against."""
    in_a_row: int = 0
    """Faulty steps at the end."""
    rewinds: int = 0
    scalars: Mapping[str, float] = field(default_factory=dict)
    """State of the optimizer that is one number for all parameters."""


@dataclass(frozen=True)
class Staged:
    """Copies of this process's part of the state, in main memory."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    scalars: dict[str, float]


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, str, Tensor]]:
    """(kind, parameter name, tensor) of everything an optimizer keeps."""
    for name, parameter in model.named_parameters():
        if parameter not in optimizer.state:
            raise RuntimeError(f"{name} is not what the optimizer knows: a copy that was gathered and not freed")
        for kind, value in sorted(optimizer.state[parameter].items()):
            yield kind, name, value


class Stager:
    """Copies a run's state to main memory, into the same (pinned) buffers each time."""

    def __init__(self) -> None:
        cuda = torch.cuda.is_available()
        self._stager = DefaultStager(
            StagingOptions(
                use_pinned_memory=cuda, use_shared_memory=False, use_async_staging=False, use_non_blocking_copy=cuda
            )
        )

    def stage(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Staged:
        """Copy weights and optimizer state; training may change them afterwards. The copy before must be written."""
        scalars: dict[str, float] = {}
        tensors: dict[str, Tensor] = {}
        for kind, name, value in optimizer_state(model, optimizer):
            if value.ndim:
                tensors[f"{kind}/{name}"] = value
            elif kind not in scalars:  # one number for all: a GPU is asked once
                scalars[kind] = float(value)
        weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        for name, value in weights.items():
            own = value.to_local() if isinstance(value, DTensor) else value
            if type(own) not in (Tensor, nn.Parameter):  # a wrapper has no memory to copy, and would be copied as noise
                raise RuntimeError(f"{name} is a {type(own).__name__}, which cannot be copied to main memory")
        copied: Any = self._stager.stage({"weights": weights, "optimizer": tensors})
        return Staged(copied["weights"], copied["optimizer"], scalars)

    def close(self) -> None:
        """Free the buffers."""
        self._stager.close()


def write(folder: Path, staged: Staged, group: Any) -> None:
    """Write weights and optimizer state; all processes call it, each writes its own part.

    Args:
        group: a gloo group of all processes that nothing else uses meanwhile; None for one process.
    """
    alone = group is None
    with _Quiet(), _Plainly():
        dcp.save(
            dict(staged.weights),
            storage_writer=HuggingFaceStorageWriter(
                str(folder), fqn_to_index_mapping=_files(staged.weights), save_distributed=True,
                enable_consolidation=True, thread_count_consolidation=4,
            ),
            process_group=group, no_dist=alone,
        )  # fmt: skip
        dcp.save(
            dict(staged.optimizer),
            storage_writer=HuggingFaceStorageWriter(str(folder / OPTIMIZER), save_distributed=True),
            process_group=group, no_dist=alone,
        )  # fmt: skip


def clear(folder: Path) -> None:
    """Remove what a kill left of `write`: pieces of more processes would get into the result. One process calls it."""
    for name in (_SHARDED, OPTIMIZER):
        if (folder / name).exists():
            artifacts.discard(folder / name)
    for path in [*folder.glob("model*.safetensors"), folder / _INDEX]:
        path.unlink(missing_ok=True)


def describe(folder: Path, model: Any, tokenizer: Any, progress: Progress) -> None:
    """Finish a written folder: one weights file where one is enough, config, tokenizer and progress. One process."""
    shutil.rmtree(folder / _SHARDED)
    files = sorted(folder.glob("model-*.safetensors"))
    if len(files) == 1:
        files[0].rename(folder / "model.safetensors")
        (folder / _INDEX).unlink()
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    if model.can_generate():
        model.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    artifacts.write_text(folder / PROGRESS, json.dumps(asdict(progress), sort_keys=True) + "\n")
    mode = (folder / PROGRESS).stat().st_mode
    for path in folder.rglob("*.safetensors"):  # safetensors makes files that their owner alone may read
        path.chmod(mode)
        _settle_header(path)


def _settle_header(path: Path) -> None:
    """Sort a safetensors file's own metadata in place: safetensors writes it in the order of a random hash."""
    with path.open("r+b") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        if "__metadata__" in header:
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        settled = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(settled) > size:
            raise ArtifactError(f"{path}: an unusual header", hint="report this with the versions `jpfm doctor` shows")
        file.seek(8)
        file.write(settled.ljust(size))


def _files(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Which of the model's files each tensor goes to, from 1; a file has up to 5 GB."""
    out: dict[str, int] = {}
    number, size = 1, 0
    for name, tensor in tensors.items():
        own = tensor.numel() * tensor.element_size()
        if size and size + own > _FILE_BYTES:
            number, size = number + 1, 0
        out[name], size = number, size + own
    return out


def read_progress(folder: Path) -> Progress:
    """The progress a checkpoint says.

    Raises:
        ArtifactError: it holds none.
    """
    file = folder / PROGRESS
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        raw["windows"] = tuple((int(step), int(shift)) for step, shift in raw["windows"])
        raw["history"] = tuple((float(loss), float(norm)) for loss, norm in raw["history"])
        return Progress(**raw)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{file}: no state of this trainer ({error})",
            hint="name a checkpoint that this version's `jpfm train` wrote, or use init_from: weights alone",
        ) from error


def names_in(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in a Hugging Face folder, from the files' headers.

    Raises:
        ArtifactError: there are none, or a file is no safetensors file.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ArtifactError(f"{path} cannot be read: {error}", hint="copy it again") from error
    if not shapes:
        raise ArtifactError(f"{folder} holds no *.safetensors", hint="name a Hugging Face folder with safetensors")
    return shapes


def load_weights(folder: Path, model: nn.Module, group: Any) -> None:
    """Read weights into a model in place; each process reads its own part.

    Raises:
        ArtifactError: the folder holds another model.
    """
    wanted = {name: parameter.detach() for name, parameter in model.named_parameters()}
    wrong = _differences(wanted, names_in(folder))
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ArtifactError(
            f"{folder} is of another model: {'; '.join(wrong[:3])}{more}",
            hint="name the model this checkpoint was made with",
        )
    _read(folder, wanted, group)


def load_base(folder: Path, model: nn.Module, group: Any) -> None:
    """Read weights of any transformers folder, also one whose tensors are stored otherwise than the model keeps them.

    Published mixtures of experts hold a tensor for each expert where transformers 5 computes with one for all: those
    are converted by transformers, whole on each process.

    Raises:
        ArtifactError: the folder holds another model.
    """
    wanted = {name: parameter.detach() for name, parameter in model.named_parameters()}
    if not _differences(wanted, names_in(folder)):
        _read(folder, wanted, group)
        return
    log.info("%s stores its weights in another form: transformers converts them, whole on each process", folder)
    whole = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", trust_remote_code=False)
    found = {name: parameter.detach() for name, parameter in whole.named_parameters()}
    if wrong := _differences(wanted, {name: tuple(value.shape) for name, value in found.items()}):
        raise ArtifactError(
            f"{folder} does not hold what its config.json says: {'; '.join(wrong[:3])}", hint="copy it again"
        )
    for name, value in wanted.items():
        if isinstance(value, DTensor):
            value.copy_(distribute_tensor(found[name], value.device_mesh, value.placements, src_data_rank=None))
        else:
            value.copy_(found[name])


def _differences(wanted: Mapping[str, Tensor], found: Mapping[str, tuple[int, ...]]) -> list[str]:
    wrong = [f"{name}: missing" for name in wanted if name not in found]
    wrong += [
        f"{name}: {list(found[name])} there, {list(value.shape)} asked"
        for name, value in wanted.items()
        if name in found and found[name] != tuple(value.shape)
    ]
    extra = set(found) - set(wanted) - {"lm_head.weight"}  # a tied output matrix may be stored twice
    wrong += [f"{name}: not in this model" for name in sorted(extra)]
    return wrong


def restore(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, group: Any) -> Progress:
    """Read weights and optimizer state in place. The optimizer's state must exist (`optim.initialise`).

    Raises:
        ArtifactError: the folder holds another model, or the state of another optimizer.
    """
    progress = read_progress(folder)
    load_weights(folder, model, group)
    tensors = {f"{kind}/{name}": value for kind, name, value in optimizer_state(model, optimizer) if value.ndim}
    kinds = {name.partition("/")[0] for name in tensors}
    there = {name.partition("/")[0] for name in names_in(folder / OPTIMIZER)}
    scalars = {kind for kind, _, value in optimizer_state(model, optimizer) if not value.ndim}
    if kinds != there or scalars != set(progress.scalars):
        raise ArtifactError(
            f"{folder} holds the state of another optimizer ({', '.join(sorted(there))}; asked: "
            f"{', '.join(sorted(kinds))})",
            hint="keep `optimizer` as it was, or take the weights alone with init_from",
        )
    _read(folder / OPTIMIZER, tensors, group)
    for kind, _, value in optimizer_state(model, optimizer):
        if not value.ndim:
            value.fill_(progress.scalars[kind])
    return progress


def _read(folder: Path, tensors: dict[str, Tensor], group: Any) -> None:
    with _Quiet(), _Plainly():
        dcp.load(
            tensors, storage_reader=HuggingFaceStorageReader(str(folder)), process_group=group, no_dist=group is None
        )


class _Plainly:
    """Raise what went wrong on a process, where DCP packs the failures of all into a BaseException of its own."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, CheckpointException):
            causes = [cause for _, (cause, _) in sorted(error.failures.items())]
            raise next((cause for cause in causes if isinstance(cause, OSError)), causes[0]) from error


class _Quiet:
    """Keep DCP's remarks on single processes, and its line for each tensor, off the user's screen."""

    def __enter__(self) -> None:
        self.levels = {name: logging.getLogger(name).level for name in _DCP_LOGGERS}
        for name in _DCP_LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        self.caught = warnings.catch_warnings()
        self.caught.__enter__()
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")

    def __exit__(self, *error: Any) -> None:
        self.caught.__exit__(*error)
        for name, level in self.levels.items():
            logging.getLogger(name).setLevel(level)


_DCP_LOGGERS = ("torch.distributed.checkpoint", "c10d-NullHandler-dcp_logger")
