"""What was seen on a cluster, as plain figures: nothing here judges (`rules`), nothing here measures.

    facts = Facts.model_validate_json(text)      # the part "facts" of DIR/cluster.json

Absent is None: a figure that this machine does not give, or a stage that a node did not reach. Nodes go by the name
that the scheduler calls them by (JPFM_NODE), since that is what `--exclude` takes; hostnames are what resolves.
"""

from collections.abc import Mapping
from typing import Literal

import pydantic


class _Fact(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Gpu(_Fact):
    """A GPU as its driver describes it before anything of ours runs on it."""

    uuid: str
    name: str
    memory_mib: int | None = None
    used_mib: int | None = None
    processes: int | None = None
    """That compute on it; others' too."""
    temperature: int | None = None
    """Degrees Celsius."""
    power_limit_watts: float | None = None
    power_default_watts: float | None = None
    max_sm_mhz: int | None = None
    pcie_max_generation: int | None = None
    pcie_width: int | None = None
    pcie_max_width: int | None = None
    nvlinks: int | None = None
    """That are up."""
    ecc_uncorrected: int | None = None
    """Since the driver was loaded."""
    ecc_corrected: int | None = None
    retired_pages: int | None = None
    remapped_rows: int | None = None
    """For errors that could not be corrected."""
    reset_pending: bool | None = None
    """A page or row waits for a reset to be taken out of use."""
    remap_failed: bool | None = None


class Address(_Fact):
    """What a name resolves to on one node."""

    address: str | None
    error: str | None = None


class Machine(_Fact):
    """One node at rest."""

    hostname: str
    versions: Mapping[str, str]
    memory_gib: float
    """Of main memory, available."""
    shm_gib: float | None
    """Free in /dev/shm."""
    scratch: str
    scratch_gib: float | None
    """Free; None: there is no such folder, or nothing can be written there."""
    scratch_write_mb: float | None
    """A second, with fsync."""
    scratch_error: str | None = None
    open_files: int
    """Soft limit."""
    locked_memory_kib: int | None
    """None: no limit."""
    infiniband: bool
    gloo_interface: str | None = None
    """GLOO_SOCKET_IFNAME."""
    torch_gpus: int
    driver: str | None = None
    gpus: tuple[Gpu, ...] = ()
    gpus_unread: str | None = None
    """Why the driver tells nothing."""
    names: Mapping[str, Address] = {}
    """What the names of all nodes, and of the meeting point, resolve to here."""


class Process(_Fact):
    """One process and its device at work."""

    rank: int
    device: str
    name: str
    """Of the GPU; of the processor on a CPU."""
    uuid: str | None = None
    open_files: int
    flops: float | None = None
    """A second, of a large matrix product: bf16 on a GPU, fp32 on a CPU."""
    sm_mhz: int | None = None
    """The highest clock seen in that time."""
    pcie_generation: int | None = None
    slowed_by: tuple[str, ...] = ()
    error: str | None = None


class Link(_Fact):
    """An all-reduce over all processes of some nodes: one (within it), two (a pair) or all."""

    nodes: tuple[str, ...]
    network: Literal["gloo", "nccl"]
    processes: int
    num_bytes: int
    """That were summed."""
    gb_per_second: float | None
    """Bus bandwidth, median of the repeats: 2 (n - 1) / n x bytes / seconds."""
    error: str | None = None
    wrong: int = 0
    """Elements whose sum was not what it must be, over all processes and repeats."""


class Disk(_Fact):
    """The shared folder from one node. MB a second; reading is of what another node wrote."""

    mib: int
    """That were to be written and read each time."""
    write_alone: float | None = None
    read_alone: float | None = None
    write_together: float | None = None
    read_together: float | None = None
    unseen: tuple[str, ...] = ()
    """Nodes whose files this one does not see."""
    seen_after_seconds: float | None = None
    lock: Literal["kept", "taken twice"] | None = None
    """Whether another node's flock holds here."""
    error: str | None = None


class Clock(_Fact):
    """A node's wall clock against the first node's."""

    ahead_seconds: float
    uncertain_seconds: float
    """Half of the fastest round trip."""


class Facts(_Fact):
    """Everything, by the node's name; nodes are in order of rank."""

    processes_expected: int
    absent: tuple[str, ...] = ()
    """Nodes that the scheduler gave and that never spoke."""
    absent_ranks: tuple[int, ...] = ()
    silent: Mapping[str, str] = {}
    """Nodes that stopped answering -> in which stage."""
    nodes: tuple[str, ...]
    machines: Mapping[str, Machine] = {}
    processes: Mapping[str, tuple[Process, ...]] = {}
    inside: tuple[Link, ...] = ()
    pairs: tuple[Link, ...] = ()
    untried: tuple[tuple[str, str], ...] = ()
    """Pairs left out, because one of them had failed with several others or did not answer."""
    overall: tuple[Link, ...] = ()
    disks: Mapping[str, Disk] = {}
    clocks: Mapping[str, Clock] = {}
