"""The processes of a run: how many, on which devices, in which mesh. accelerate holds them.

    accelerator, mesh = open_mesh(config, logs)
    mesh.data_rank, mesh.data_world        # which rows of a step this process reads

The same line runs under torchrun, `accelerate launch` and srun: Slurm's variables are translated where nobody has set
RANK. accelerate 1.15 knows FSDP2 and meshes on GPUs alone and stays DDP on a CPU without a word; told that the type is
MULTI_GPU it builds the mesh over gloo too, which the tests need. Combinations that accelerate refuses are refused here
with a sentence, before anything is loaded.
"""

import datetime
import logging
import os
import subprocess
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import DistributedType, GradientAccumulationPlugin, ParallelismConfig

from jpfm.core.errors import EnvironmentProblem, UsageError
from jpfm.core.log import log
from jpfm.train import trackers
from jpfm.train.config import TrainConfig
from jpfm.train.settings import Parallel

_FOREVER = datetime.timedelta(days=7)


@dataclass(frozen=True)
class Mesh:
    """Sizes of the mesh, and this process's place in it. Processes of one tensor group read the same rows."""

    replicate: int
    shard: int
    tensor: int
    rank: int
    device_mesh: Any = None
    """torch's DeviceMesh with the dimensions larger than 1; None for one process and for DDP."""
    checkpoint_group: Any = None
    """A gloo group of its own: checkpoints are written while the step's collectives run. None for one process."""
    control_group: Any = None
    """A gloo group for what the processes tell each other outside the steps, without a limit on waiting."""

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.replicate * self.shard * self.tensor

    @property
    def data_world(self) -> int:
        """Processes that read different rows."""
        return self.replicate * self.shard

    @property
    def data_rank(self) -> int:
        """Which of them this one is."""
        return self.rank // self.tensor

    @property
    def is_main(self) -> bool:
        """Whether this process writes logs and manifests."""
        return self.rank == 0

    @property
    def is_sharded(self) -> bool:
        """Whether FSDP2 holds the weights, and casts them."""
        return self.device_mesh is not None and self.data_world > 1

    def from_main(self, value: Any) -> Any:
        """What the main process has there; the others' values are not looked at."""
        if self.control_group is None:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0, group=self.control_group)
        return held[0]

    def from_all(self, value: Any) -> list[Any]:
        """What each process has there, by number."""
        if self.control_group is None:
            return [value]
        held = [value] * self.world
        dist.all_gather_object(held, value, group=self.control_group)
        return held

    def wait(self) -> None:
        """Until all processes are here, however long one works."""
        if self.control_group is not None:
            dist.barrier(self.control_group)

    @property
    def words(self) -> str:
        """`FSDP2 over 4 processes`, for a person."""
        if self.world == 1:
            return "one process"
        data = "DDP" if self.shard == 1 else "FSDP2" if self.replicate == 1 else f"HSDP {self.replicate} x {self.shard}"
        parts = [data] if self.data_world > 1 else []
        if self.tensor > 1:
            parts.append(f"tensor parallel {self.tensor}")
        return f"{' and '.join(parts)} over {self.world} processes"


def sizes(parallel: Parallel, world: int) -> tuple[int, int, int]:
    """replicate, shard and tensor for a number of processes; what is null takes what is left.

    >>> sizes(Parallel(replicate=None, shard=2), 8)
    (4, 2, 1)

    Raises:
        UsageError: they do not multiply to the world, or accelerate cannot combine them.
    """
    known = (parallel.replicate or 1) * (parallel.shard or 1) * parallel.tensor
    left, rest = divmod(world, known)
    open_ended = parallel.replicate is None or parallel.shard is None
    if rest or (left != 1 and not open_ended):
        text = f"replicate {parallel.replicate} x shard {parallel.shard} x tensor {parallel.tensor}"
        raise UsageError(
            f"parallel: {text} does not fit {world} processes",
            hint="their product is the number of processes; set one of replicate and shard to null: it takes the rest",
        )
    replicate = left if parallel.replicate is None else parallel.replicate
    shard = left if parallel.shard is None else parallel.shard
    if parallel.tensor > 1 and replicate > 1 and shard == 1:
        raise UsageError(
            f"parallel: tensor {parallel.tensor} with {replicate} plain copies (DDP) is not possible with accelerate",
            hint="shard the copies: replicate: 1, shard: null",
        )
    return replicate, shard, parallel.tensor


def adopt_slurm(environment: MutableMapping[str, str]) -> bool:
    """Translate the variables of `srun` into those torch reads, where no launcher has set them.

    The first node of the step is the meeting point and the port follows from job and step, unless MASTER_ADDR and
    MASTER_PORT are set. A batch script without srun is one process and left alone.

    Raises:
        EnvironmentProblem: scontrol does not say which node comes first.
    """
    if "RANK" in environment or int(environment.get("SLURM_STEP_NUM_TASKS", "1")) < 2:
        return False
    if "MASTER_ADDR" not in environment:
        nodes = environment.get("SLURM_STEP_NODELIST", "")
        try:
            found = subprocess.run(
                ["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=False
            )
            names = found.stdout.split()
        except FileNotFoundError:  # inside a container, usually
            names = []
        if not names:
            raise EnvironmentProblem(
                f"srun gave the nodes '{nodes}', and `scontrol show hostnames` does not name them",
                hint="set MASTER_ADDR to a node that all others reach",
            )
        environment["MASTER_ADDR"] = names[0]
    if "MASTER_PORT" not in environment:
        job, step = int(environment.get("SLURM_JOB_ID", "0")), int(environment.get("SLURM_STEP_ID", "0"))
        environment["MASTER_PORT"] = str(10_000 + (job * 31 + step) % 50_000)
    environment["RANK"] = environment["SLURM_PROCID"]
    environment["WORLD_SIZE"] = environment["SLURM_STEP_NUM_TASKS"]
    environment["LOCAL_RANK"] = environment.get("SLURM_LOCALID", "0")
    tasks = environment.get("SLURM_STEP_TASKS_PER_NODE", environment["WORLD_SIZE"])
    environment["LOCAL_WORLD_SIZE"] = tasks.split(",", maxsplit=1)[0].split("(", maxsplit=1)[0]
    return True


def open_mesh(config: TrainConfig, logs: Path) -> tuple[Accelerator, Mesh]:
    """Join the other processes.

    Raises:
        UsageError: the mesh does not fit them.
    """
    adopt_slurm(os.environ)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if os.environ.get("RANK", "0") != "0":  # what all processes do is told once
        log.setLevel(max(log.level, logging.WARNING))
    replicate, shard, tensor = sizes(config.parallel, world)
    log_with = trackers.prepare(config.report, logs)  # what all processes refuse is said before they meet
    _refuse_foreign(os.environ)
    cuda = torch.cuda.is_available()
    if cuda:
        _take_device(os.environ, world)
    if world > 1 and not dist.is_initialized():
        # the watchdog speaks first: it knows the step and who is missing
        timeout = datetime.timedelta(seconds=config.guard.collective_timeout_seconds + 120)
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=timeout)
    meshed = shard > 1 or tensor > 1
    if meshed and not cuda:
        PartialState(cpu=True)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    accelerator = Accelerator(
        cpu=not cuda,
        mixed_precision="no" if config.precision == "fp32" or (meshed and replicate * shard > 1) else "bf16",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # whatever the environment says
        log_with=log_with or None,
        project_dir=str(logs),
        parallelism_config=ParallelismConfig(dp_replicate_size=replicate, dp_shard_size=shard, tp_size=tensor)
        if meshed
        else None,
    )
    groups = [dist.new_group(backend="gloo", timeout=_FOREVER) if world > 1 else None for _ in range(2)]
    return accelerator, Mesh(
        replicate, shard, tensor, accelerator.process_index,
        accelerator.torch_device_mesh if meshed else None, *groups,
    )  # fmt: skip


def _refuse_foreign(environment: Mapping[str, str]) -> None:
    """What `accelerate config` turned on would change the run behind the settings' back.

    Raises:
        UsageError: something is.
    """
    for name in ("FSDP", "DEEPSPEED", "MEGATRON_LM", "PARALLELISM_CONFIG"):
        if environment.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
            raise UsageError(
                f"ACCELERATE_USE_{name} is set: accelerate's own configuration would split the model too",
                hint="unset it, or use torchrun; `parallel` in the settings says how the model is split",
            )


def _take_device(environment: Mapping[str, str], world: int) -> None:
    """This process's GPU is the one of its number on the machine.

    Raises:
        EnvironmentProblem: there is none of that number, or the number is not known.
    """
    if world > 1 and "LOCAL_RANK" not in environment:
        raise EnvironmentProblem(
            "WORLD_SIZE is set and LOCAL_RANK is not: each process would take the first GPU",
            hint="start with torchrun or srun, or set LOCAL_RANK",
        )
    number, there = int(environment.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= there:
        raise EnvironmentProblem(
            f"process {number} of this machine finds {there} GPU",
            hint="start one process a GPU; with Slurm use --gpus-per-node, not --gpus-per-task",
        )
    torch.cuda.set_device(number)


def close_mesh(accelerator: Accelerator, *, failed: bool = False) -> None:
    """Leave the others; a later run in this process starts anew.

    Args:
        failed: an error is on its way out: NCCL would wait for the others' collectives before it could be told.
    """
    if failed and torch.cuda.is_available() and dist.is_initialized():
        for tracker in accelerator.trackers:
            tracker.finish()
        return
    trackers.finish(accelerator)
    if dist.is_initialized():
        dist.destroy_process_group()
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState._reset_state()
    GradientState._reset_state()
