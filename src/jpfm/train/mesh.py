"""The processes of a run: how many, on which devices, in which mesh. accelerate holds them.

    accelerator, mesh = open_mesh(config, logs)
    mesh.data_rank, mesh.data_world        # which rows of a step this process reads

The same line runs under torchrun, `accelerate launch` and srun: Slurm's variables are translated where nobody has set
RANK. accelerate 1.15 knows FSDP2 and meshes on GPUs alone and stays DDP on a CPU without a word; told that the type is
MULTI_GPU it builds the mesh over gloo too, which the tests need. Combinations that accelerate refuses are refused here
with a sentence, before anything is loaded.
"""

import datetime
import os
import subprocess
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import DistributedType, ParallelismConfig

from jpfm.core.errors import EnvironmentProblem, UsageError
from jpfm.train import trackers
from jpfm.train.config import TrainConfig
from jpfm.train.settings import Parallel


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
    replicate, shard, tensor = sizes(config.parallel, world)
    log_with = trackers.prepare(config.report, logs)  # what all processes refuse is said before they meet
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
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
        mixed_precision="no" if config.precision == "fp32" or meshed else "bf16",  # FSDP2 casts by its own policy
        log_with=log_with or None,
        project_dir=str(logs),
        parallelism_config=ParallelismConfig(dp_replicate_size=replicate, dp_shard_size=shard, tp_size=tensor)
        if meshed
        else None,
    )
    group = dist.new_group(backend="gloo") if world > 1 else None
    return accelerator, Mesh(
        replicate, shard, tensor, accelerator.process_index,
        accelerator.torch_device_mesh if meshed else None, group,
    )  # fmt: skip


def tell(mesh: Mesh, error: Exception | None) -> None:
    """The main process says whether it could begin; the others `ask`. Its own error it raises itself."""
    if mesh.world > 1:
        dist.broadcast_object_list([error], src=0)


def ask() -> None:
    """Wait until the main process has begun; what kept it from that is raised here too."""
    error: list[Exception | None] = [None]
    dist.broadcast_object_list(error, src=0)
    if error[0] is not None:
        raise error[0]


def close_mesh(accelerator: Accelerator) -> None:
    """Leave the others; a later run in this process starts anew."""
    trackers.finish(accelerator)
    if dist.is_initialized():
        dist.destroy_process_group()
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState._reset_state()
    GradientState._reset_state()
