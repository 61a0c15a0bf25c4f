"""Energy that devices report by their own counters; unknown where they report none, never a guess.

    counter = EnergyCounter.open(torch.device("cuda"), first_on_machine=True)
    counter.joules()                     # since it was opened, or None

A process reads the GPU it computes on (NVML's total energy consumption, Volta and later; not the machine around it). On
a CPU the first process of a machine reads the packages (RAPL, Linux), the others add nothing, so that the sum over
processes is the run's energy. RAPL counts what everybody does on the machine, and a reader needs the right to.
Its counter starts again at 0 after some 262 kJ, half an hour at 150 W, so it is read as training goes: a difference of
two readings hours apart would be wrong.
Refused: power times time, which samples what the driver itself adds up.
"""

import ctypes
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from jpfm.core.log import log

_RAPL = Path("/sys/class/powercap")
_READ_EVERY_SECONDS = 1.0


class Counter(NamedTuple):
    """A counter of a device."""

    read: Callable[[], float]
    """Joules since some time."""
    range: float | None
    """It starts again at 0 from here; None: never."""


@dataclass
class EnergyCounter:
    """Joules since it was opened, over some counters."""

    counters: Sequence[Counter] | None
    """None: this machine reports nothing. Empty: another process reads for this one."""
    read_every_seconds: float = _READ_EVERY_SECONDS
    _last: list[float] = field(default_factory=list)
    _total: float = 0.0
    _when: float = 0.0

    def __post_init__(self) -> None:
        self._last = [counter.read() for counter in self.counters or ()]
        self._when = time.perf_counter()

    @classmethod
    def open(cls, device: Any, *, first_on_machine: bool = True) -> "EnergyCounter":
        """The counter of a torch device.

        Args:
            first_on_machine: whether this process reads what all processes of a machine share.
        """
        if device.type == "cuda":
            counter = _nvml(device)
            return cls(None if counter is None else [counter])
        if not first_on_machine:
            return cls([])
        return cls(rapl())

    def joules(self) -> float | None:
        """Since it was opened; up to a second old. None where nothing is reported."""
        if self.counters is None:
            return None
        now = time.perf_counter()
        if now - self._when >= self.read_every_seconds:
            self._when = now
            try:
                for number, counter in enumerate(self.counters):
                    self._total += self._passed(number, counter)
            except OSError as error:  # no reason to end a run
                log.warning("the energy of this run is not known any more: %s", error)
                self.counters = None
                return None
        return self._total

    def _passed(self, number: int, counter: Counter) -> float:
        value = counter.read()
        passed = value - self._last[number]
        if passed < 0 and counter.range is None:
            raise OSError("the counter went back: the driver was loaded again")
        self._last[number] = value
        return passed if passed >= 0 or counter.range is None else passed + counter.range


def rapl(root: Path = _RAPL) -> list[Counter] | None:
    """The processor packages of this machine; None where there are none or this user may not read them."""
    found = []
    for file in sorted(root.glob("intel-rapl:[0-9]*/energy_uj")):
        if file.parent.name.count(":") > 1:  # a part of a package
            continue
        try:
            _microjoules(file)
            limit = _microjoules(file.with_name("max_energy_range_uj"))
        except OSError:
            return None
        found.append(Counter(lambda file=file: _microjoules(file), limit))  # type: ignore[misc]
    return found or None


def _microjoules(file: Path) -> float:
    return int(file.read_text(encoding="ascii")) / 1e6


def _nvml(device: Any) -> Counter | None:
    """The driver's counter of a GPU, by way of its own library, which every driver installs."""
    import torch

    if torch.version.cuda is None:
        return None
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return None if uuid is None else nvml_counter(f"GPU-{uuid}", "libnvidia-ml.so.1")


def nvml_counter(uuid: str, library: str) -> Counter | None:
    """The counter of the GPU with this UUID; None where the library, the GPU or its counter is missing."""
    try:
        nvml = ctypes.CDLL(library)
    except OSError:
        return None
    handle, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)):
        return None
    if nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)):
        return None  # a part of a GPU (MIG), or a GPU before Volta

    def read() -> float:
        if status := nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)):
            raise OSError(f"NVML gives no energy any more (status {status})")
        return millijoules.value / 1e3

    return Counter(read, None)
