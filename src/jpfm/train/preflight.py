"""What is said, and refused, before a run computes anything: cost, doubtful settings, too little memory.

preflight(config, inputs, mesh, device)          # logs on the main process; raises on all
"""

import os
from pathlib import Path
from typing import Any

import torch

from jpfm.core.errors import EnvironmentProblem, UsageError
from jpfm.core.log import log
from jpfm.model import estimate as costs
from jpfm.train.config import TrainConfig
from jpfm.train.inputs import Inputs
from jpfm.train.lint.lint import lint
from jpfm.train.loss.chunked import CHUNK_BYTES
from jpfm.train.mesh import Mesh
from jpfm.train.parallel import compiles

LIBRARIES = {"cpu": 400_000_000, "cuda": 1_500_000_000}
"""What torch itself takes."""
_SLACK = 1.1  # the estimate was within ten per cent of what was measured


def preflight(config: TrainConfig, inputs: Inputs, mesh: Mesh, device: torch.device) -> None:
    """Check the run against the machine and the rules, and say what it will cost.

    Raises:
        UsageError: processes and batch do not fit each other, or `lint: refuse` and there are findings.
        EnvironmentProblem: the memory is too small.
    """
    check_rows(config, mesh)
    needed = memory_needed(config, inputs.model_config, mesh, device)
    found = [number for number in mesh.from_all(free_bytes(device)) if number is not None]
    free = min(found) if found else None  # all processes decide alike
    if mesh.is_main:
        _announce(config, inputs, needed)
        if config.guard.check_replicas_every_steps is not None and mesh.replicate == 1:
            log.warning("guard.check_replicas_every_steps: this mesh has one copy of the weights, nothing to compare")
    if free is not None and (problem := shortage(config, needed, free, mesh, device)) is not None:
        raise problem
    _lint(config, inputs, mesh)


def memory_needed(config: TrainConfig, model_config: Any, mesh: Mesh, device: torch.device) -> costs.Memory:
    """Bytes of one process at its peak, by the settings; torch itself (`LIBRARIES`) comes on top.

    Args:
        mesh: its sizes are looked at, not its processes: one that is only planned will do.
        device: its type is looked at; there need be none here.
    """
    return costs.memory(
        model_config, rows=min(config.micro_batch_rows, config.rows_per_step // mesh.data_world),
        seq_len=config.seq_len, shards=mesh.shard, tensor=mesh.tensor,
        checkpointing=config.activation_checkpointing, bf16=config.precision != "fp32",
        muon=config.optimizer.kind == "muon", compiled=compiles(config, device),
        chunk_bytes=CHUNK_BYTES[device.type],
    )  # fmt: skip


def shortage(
    config: TrainConfig, needed: costs.Memory, free: int, mesh: Mesh, device: torch.device, *, words: str = "are free"
) -> EnvironmentProblem | None:
    """The refusal of a run that does not fit; None where it does.

    Args:
        free: bytes that a process may take.
        words: what is said of those bytes.
    """
    total = needed.total + LIBRARIES.get(device.type, 0)
    if total <= free * _SLACK:
        return None
    return EnvironmentProblem(
        f"this run takes about {total / 1e9:.1f} GB a process ({needed.states / 1e9:.1f} for weights, gradients "
        f"and optimizer, {needed.activations / 1e9:.1f} for activations); {free / 1e9:.1f} GB {words}",
        hint=_mend(config, needed, mesh),
    )


def check_rows(config: TrainConfig, mesh: Mesh) -> None:
    """Whether the rows of a step can be shared evenly.

    Raises:
        UsageError: they cannot.
    """
    if config.rows_per_step % mesh.data_world:
        raise UsageError(
            f"batch_tokens {config.batch_tokens} is {config.rows_per_step} rows; {mesh.data_world} processes cannot "
            "share them evenly",
            hint=f"set batch_tokens to a multiple of {mesh.data_world * config.seq_len}, or use "
            f"{_largest_divisor(config.rows_per_step, mesh.data_world)} processes",
        )


def _largest_divisor(number: int, limit: int) -> int:
    return max(n for n in range(1, limit + 1) if number % n == 0)


def free_bytes(device: torch.device) -> int | None:
    """Memory this process may take; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (text := limit.read_text(encoding="utf-8").strip()) != "max":
        cache = _file_cache(limit.with_name("memory.stat"))
        free = min(free, int(text) - int(used.read_text(encoding="utf-8")) + cache)
    return free // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _file_cache(stat: Path) -> int:
    """Bytes of files in a control group's memory: given back when something else needs them."""
    lines = stat.read_text(encoding="utf-8").splitlines() if stat.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "active_file ")))


def _mend(config: TrainConfig, needed: costs.Memory, mesh: Mesh) -> str:
    if needed.activations + needed.logits > needed.states:
        if config.micro_batch_rows > 1:
            return f"set micro_batch_rows to {max(1, config.micro_batch_rows // 2)}, or activation_checkpointing=full"
        return "set activation_checkpointing=full, or a smaller seq_len"
    if mesh.world > 1 and mesh.shard < mesh.world // mesh.tensor:
        return "set parallel.shard=null parallel.replicate=1: each process then keeps a part of the weights"
    return "use more processes with parallel.shard=null, or a smaller model"


def _announce(config: TrainConfig, inputs: Inputs, needed: costs.Memory) -> None:
    cost = costs.estimate(inputs.model_config, config.seq_len)
    tokens = config.num_steps * config.batch_tokens
    active = f" ({cost.active_parameters:,} active)" if cost.active_parameters != cost.parameters else ""
    log.info(
        "%s: %s parameters%s, %s in embeddings, %.3g FLOP a token, %.3g in all; about %.2f GB a process",
        config.name, f"{cost.parameters:,}", active, f"{cost.embedding_parameters:,}", cost.flops_per_token,
        cost.flops_per_token * tokens, needed.total / 1e9,
    )  # fmt: skip
    log.info("%s tokens in %s steps: %.2f epochs of %s rows", f"{tokens:,}", f"{config.num_steps:,}",
             tokens / (inputs.order.num_rows * config.seq_len), f"{inputs.order.num_rows:,}")  # fmt: skip


def _lint(config: TrainConfig, inputs: Inputs, mesh: Mesh) -> None:
    if config.lint == "off":
        return
    by_source = {name: span.tokens for name, span in inputs.store.spans.items()}
    findings = lint(config, inputs.model_config, vocab_size=inputs.store.vocab_size, sources_tokens=by_source)
    if findings and config.lint == "refuse":
        raise UsageError(
            "lint: refuse, and there are findings\n" + "\n".join(finding.sentence() for finding in findings),
            hint="mend them, or set lint: warn",
        )
    if mesh.is_main:
        for finding in findings:
            log.warning("%s", finding.sentence())
