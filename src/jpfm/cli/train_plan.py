"""What `jpfm train CONFIG --dry-run` says: processes, memory, operations, hours, doubtful settings.

    for line in train(config, vocab_size=196_608, on="64 H100"):
        print(line)

Planned for other devices (`on`) what the run would refuse is an error; on this machine it is a line, because a file for
64 GPUs is read on a laptop first. Nothing is downloaded, and nothing but manifests and configs is read. Refused: hours
from a table of measured speeds; the share of the peak is one number that a user can replace by what was measured.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from jpfm.core import artifact as artifacts
from jpfm.core.errors import ArtifactError, UsageError
from jpfm.model.estimate import estimate, hours
from jpfm.model.extend_base import find_base
from jpfm.tokens.store import TokenStore
from jpfm.train import preflight
from jpfm.train.config import TrainConfig
from jpfm.train.lint.finding import Machine
from jpfm.train.lint.lint import lint
from jpfm.train.mesh import Mesh, sizes
from jpfm.train.parallel import compiles
from jpfm.train.peak import Peak, device_peak, known_devices, memory_bytes, published

_DEFAULT_VOCABULARY = 32_000
_SHARE = 0.4
"""Of the peak that training reaches: published runs on H100 0.34 to 0.5; here on a CPU 0.38 (bf16) and 0.76 (fp32)."""
_SHARE_FP8 = 0.23
"""Of twice the peak: float8 made a whole step 1.17 times as fast (nanochat, dev/LOG.md, 8 H100)."""
_EXAMPLE = '--on "64 H100"'


class Devices(NamedTuple):
    """What a run is planned for."""

    number: int
    name: str
    device: torch.device
    peak: Peak
    free: int | None
    """Bytes a device has for a run; of a CPU, for all processes together. None where the system does not say."""
    ours: bool
    """Whether they are those of this machine."""


def train(
    config: TrainConfig, vocab_size: int | None = None, on: str | None = None, *, refuse: bool = False
) -> Iterator[str]:
    """Parameters, processes, memory, operations and hours of a training run, and what the lint says.

    Args:
        vocab_size: of the tokenizer to come, where no tokens are named yet.
        on: number and name of the devices it is planned for, "64 H100"; None: this machine.
        refuse: what does not fit into memory is an error instead of a line.
    Raises:
        UsageError: `on` is no known device, or the settings do not fit the number of devices.
        ArtifactError: what the settings name is not there.
    """
    devices = _this_machine(config) if on is None else _named(on, config)
    folders = [artifacts.open_artifact(Path(folder), "tokens") for folder in config.tokens_folders]
    store = TokenStore.open(*folders) if folders else None
    if store is not None:
        vocab_size = store.vocab_size
    elif vocab_size is None and config.model is not None:
        yield f"vocabulary taken as {_DEFAULT_VOCABULARY:,} pieces: set --vocabulary or tokens=DIR"
    model = _model_config(config, vocab_size or _DEFAULT_VOCABULARY)
    cost = estimate(model, config.seq_len)
    active = f" ({cost.active_parameters:,} work on a token)" if cost.active_parameters != cost.parameters else ""
    yield f"model: {cost.parameters:,} parameters{active}, {cost.embedding_parameters:,} of them the input embedding"
    mesh, refused = _mesh(config, devices)
    if refused is not None:
        yield f"refused on this machine: {refused.message}; {refused.hint}; to plan for others: {_EXAMPLE}"
        yield "what follows is for the fewest processes that the settings allow"
    yield _processes(config, mesh)
    yield from _memory(config, model, mesh, devices, refuse)
    steps = config.num_steps - (config.branch_at or 0)
    tokens = steps * config.batch_tokens
    behind = f" behind the {config.branch_at:,} of the run" if config.branch_at else ""
    yield f"training: {steps:,} steps{behind} of {config.batch_tokens:,} tokens, {tokens:,} in all"
    if store is not None:
        yield f"data: {tokens / store.num_tokens:.2f} times the {store.num_tokens:,} tokens there are"
    flops = float(cost.flops_per_token) * tokens
    yield f"operations: {cost.flops_per_token:.3g} FLOPs a token, forward and backward; {flops:.3g} in all"
    yield _time(config, flops, devices)
    sources = None if store is None else {name: span.tokens for name, span in store.spans.items()}
    yield from _lint(config, model, vocab_size or model.vocab_size, sources, devices)


def checkpoint_bytes(config: TrainConfig) -> float:
    """About what one checkpoint takes on a disk: weights and the two moments of AdamW, in fp32.

    Raises:
        ArtifactError: what the settings name is not there.
    """
    folders = [artifacts.open_artifact(Path(folder), "tokens") for folder in config.tokens_folders]
    vocabulary = TokenStore.open(*folders).vocab_size if folders else _DEFAULT_VOCABULARY
    return 12.0 * estimate(_model_config(config, vocabulary), config.seq_len).parameters


def _named(on: str, config: TrainConfig) -> Devices:
    found = re.fullmatch(r"\s*([\d,]+)(?:\s*x\s*|\s+)(.*\S)\s*", on)
    number = int(found[1].replace(",", "") or 0) if found else 0
    if found is None or number < 1:
        raise UsageError(f"--on {on}: this is no number with the name of a device", hint=f"write {_EXAMPLE}")
    name = found[2]
    peak, memory = published(name, config.precision), memory_bytes(name)
    if peak is None or memory is None:
        raise UsageError(
            f"--on {on}: the peak of {name} is not known",
            hint=f"known are {', '.join(known_devices())}",
        )
    return Devices(number, name, torch.device("cuda"), peak, memory, ours=False)


def _this_machine(config: TrainConfig) -> Devices:
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    name = torch.cuda.get_device_name(0) if cuda else "CPU"
    number = torch.cuda.device_count() if cuda else 1
    peak = device_peak(device, config.precision)
    return Devices(number, name, device, peak, preflight.free_bytes(device), ours=True)


def _model_config(config: TrainConfig, vocab_size: int) -> Any:
    """Of transformers; of a base model that is here, for the network is not asked."""
    if config.model is not None:
        return config.model.to_transformers(vocab_size, config.seq_len)
    from transformers import AutoConfig

    if config.branch_from is not None:
        folder = artifacts.open_artifact(Path(config.branch_from), "checkpoint").path
    else:
        assert config.init_from is not None  # the settings have one of the three
        folder = find_base(config.init_from).folder
    file = folder / "config.json"
    if not file.is_file():
        raise ArtifactError(f"{folder} has no config.json", hint="name the folder of a model of transformers")
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().partition("\n")[0]
        raise ArtifactError(
            f"transformers does not read {file}: {first}", hint="name the folder of a model of transformers"
        ) from error


def _mesh(config: TrainConfig, devices: Devices) -> tuple[Mesh, UsageError | None]:
    """The mesh of so many processes; where this machine's are refused, why, and the smallest that the settings allow.

    Raises:
        UsageError: the settings do not fit the devices that were named, or no number of any.
    """
    parallel = config.parallel
    try:
        mesh = Mesh(*sizes(parallel, devices.number), rank=0)
        preflight.check_rows(config, mesh)
    except UsageError as error:
        if not devices.ours:
            raise
        smallest = (parallel.replicate or 1) * (parallel.shard or 1) * parallel.tensor
        mesh = Mesh(*sizes(parallel, smallest), rank=0)
        preflight.check_rows(config, mesh)
        return mesh, error
    return mesh, None


def _processes(config: TrainConfig, mesh: Mesh) -> str:
    own = config.rows_per_step // mesh.data_world
    parts = -(-own // min(config.micro_batch_rows, own))
    share = f", {own:,} to a process" if mesh.data_world > 1 else ""
    batches = "one micro-batch" if parts == 1 else f"{parts:,} micro-batches"
    return f"processes: {mesh.words}; a step is {config.rows_per_step:,} rows{share}, in {batches}"


def _memory(config: TrainConfig, model: Any, mesh: Mesh, devices: Devices, refuse: bool) -> Iterator[str]:
    """Bytes of one process, part by part, against those there are."""
    needed = preflight.memory_needed(config, model, mesh, devices.device)
    parts = {
        "weights, gradients and optimizer": needed.states, "gathered": needed.gathered,
        "activations": needed.activations, "logits": needed.logits, "torch": preflight.LIBRARIES[devices.device.type],
    }  # fmt: skip
    hundredths = {name: round(size / 1e7) for name, size in parts.items()}  # so that they add up as printed
    named = " + ".join(f"{name} {size / 100:.2f}" for name, size in hundredths.items())
    blocks = "compiled blocks" if compiles(config, devices.device) else "blocks not compiled"
    yield f"memory of a process: {sum(hundredths.values()) / 100:,.2f} GB = {named}; {blocks}"
    if devices.free is None:
        return
    on_cpu = devices.device.type == "cpu"
    free = devices.free // mesh.world if on_cpu else devices.free
    words = "are free" if devices.ours else f"is what one {devices.name} has"
    if on_cpu and mesh.world > 1:
        words += f" here for each of {mesh.world:,} processes"
    problem = preflight.shortage(config, needed, free, mesh, devices.device, words=words)
    if problem is not None and refuse:
        raise problem
    if problem is not None:
        yield f"too little memory: {problem.message}; {problem.hint}"
    else:
        yield f"it fits: {free / 1e9:,.1f} GB {words}"


def _time(config: TrainConfig, flops: float, devices: Devices) -> str:
    reached = _SHARE_FP8 if config.precision == "fp8" and devices.device.type == "cuda" else _SHARE
    rate = f"{devices.peak.flops / 1e12:,.3g} TFLOP/s ({devices.peak.source})"
    whole = hours(flops, devices.number, devices.peak.flops, reached)
    if devices.device.type == "cpu":
        more = f"; for GPUs: {_EXAMPLE}" if whole > 1000 else ""
        return f"time: about {_span(whole)} on this machine, at an assumed MFU of {reached:.0%} of {rate}{more}"
    together = whole * devices.number
    sum_of_all = f"{together:,.0f}" if together >= 10 else f"{together:.2g}"
    return (
        f"time: about {_span(whole)} on {devices.number:,} {devices.name}, {sum_of_all} device-hours, "
        f"at an assumed MFU of {reached:.0%} of {rate}"
    )


def _span(number: float) -> str:
    if number < 1:
        return f"{number * 60:,.1f} minutes"
    if number < 48:
        return f"{number:,.1f} hours"
    return f"{number:,.0f} hours ({number / 24:,.1f} days)" if number < 17_532 else f"{number / 8766:,.0f} years"


def _lint(
    config: TrainConfig, model: Any, vocab_size: int, sources: dict[str, int] | None, devices: Devices
) -> Iterator[str]:
    if config.lint == "off":
        yield "lint: off"
        return
    machine = None if devices.ours else Machine(cuda=True, bf16_products=True)
    found = lint(config, model, vocab_size=vocab_size, sources_tokens=sources, machine=machine)
    for finding in found:
        yield f"lint: {finding.sentence()}"
    if not found:
        yield "lint: nothing doubtful"
    elif config.lint == "refuse":
        yield "lint: refuse, so this run would be refused"
