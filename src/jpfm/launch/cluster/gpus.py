"""What the driver says about the GPUs of this node: errors, clocks, links, who is on them.

    seen = read()                      # before anything of ours runs on them
    with Watching("GPU-...") as watching:
        ...                            # work
    watching.sm_mhz, watching.slowed_by

NVML is asked through the driver's own library. Only where that cannot be loaded, `nvidia-smi` is asked (it says less:
no NVLink, no remapped rows), and where there is neither, the reason is kept. GPUs that CUDA_VISIBLE_DEVICES hides from
the job are looked at too; the rules take those that a process works on.
"""

import csv
import ctypes
import io
import subprocess
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from jpfm.launch.cluster.facts import Gpu

LIBRARY = "libnvidia-ml.so.1"
PROGRAM = "nvidia-smi"
_INSUFFICIENT_SIZE = 7
_NVLINKS = 18
_SM, _VOLATILE, _CORRECTED, _UNCORRECTED = 1, 0, 0, 1
_CAUSES = 2  # of retirement: single bit errors, double bit errors
_SLOWED = {0x8: "the hardware", 0x20: "the driver, for heat", 0x40: "the hardware, for heat", 0x80: "the power supply"}
_SAMPLE_SECONDS = 0.05


class Seen(NamedTuple):
    """GPUs of a node, in the driver's order."""

    driver: str | None
    gpus: tuple[Gpu, ...]
    problem: str | None
    """Why there are none."""


def read(library: str = LIBRARY, program: str = PROGRAM) -> Seen:
    """Look at all GPUs."""
    try:
        nvml = _Nvml(library)
    except OSError:
        return _by_program(program)
    except RuntimeError as error:
        return Seen(None, (), str(error))
    return Seen(nvml.driver(), tuple(nvml.gpu(handle) for handle in nvml.handles()), None)


class Watching:
    """Clock, link and throttling of one GPU while it works; empty where NVML is not there."""

    def __init__(self, uuid: str, library: str = LIBRARY) -> None:
        self.sm_mhz: int | None = None
        self.pcie_generation: int | None = None
        self._reasons = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watching a GPU", daemon=True)
        try:
            self._nvml: _Nvml | None = _Nvml(library)
            self._handle = self._nvml.handle_of(uuid)
        except (OSError, RuntimeError):
            self._nvml = None  # `read` has said why

    def __enter__(self) -> "Watching":
        if self._nvml is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._nvml is not None:
            self._thread.join()

    @property
    def slowed_by(self) -> tuple[str, ...]:
        """What held the clock down, but for the power limit, which every full load meets."""
        return tuple(words for bit, words in _SLOWED.items() if self._reasons & bit)

    def _watch(self) -> None:
        assert self._nvml is not None
        while True:
            clock = self._nvml.number(self._handle, "nvmlDeviceGetClockInfo", _SM)
            link = self._nvml.number(self._handle, "nvmlDeviceGetCurrPcieLinkGeneration")
            reasons = self._nvml.number(
                self._handle, "nvmlDeviceGetCurrentClocksThrottleReasons", of=ctypes.c_ulonglong
            )
            self.sm_mhz = max(filter(None, (self.sm_mhz, clock)), default=None)
            self.pcie_generation = max(filter(None, (self.pcie_generation, link)), default=None)
            self._reasons |= reasons or 0
            if self._done.wait(_SAMPLE_SECONDS):
                return


class _Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class _Nvml:
    """The driver's library. A question that a GPU does not answer is None, whatever the reason."""

    def __init__(self, library: str) -> None:
        self._library = ctypes.CDLL(library)
        self._library.nvmlErrorString.restype = ctypes.c_char_p
        if status := self._library.nvmlInit_v2():
            words = self._library.nvmlErrorString(status)
            raise RuntimeError(f"the driver does not start: {words.decode() if words else status}")

    def driver(self) -> str | None:
        text = ctypes.create_string_buffer(80)
        return None if self._library.nvmlSystemGetDriverVersion(text, 80) else text.value.decode()

    def handles(self) -> list[ctypes.c_void_p]:
        count = ctypes.c_uint()
        if self._library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            return []
        found = []
        for index in range(count.value):
            handle = ctypes.c_void_p()
            if not self._library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle)):
                found.append(handle)
        return found

    def handle_of(self, uuid: str) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        if status := self._library.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)):
            raise RuntimeError(f"the driver knows no GPU {uuid} (status {status})")
        return handle

    def number(self, handle: ctypes.c_void_p, name: str, *first: int, of: Any = ctypes.c_uint) -> int | None:
        """A function with the device, some numbers, and a place for the answer."""
        function = getattr(self._library, name, None)
        value = of()
        if function is None or function(handle, *map(ctypes.c_uint, first), ctypes.byref(value)):
            return None
        return int(value.value)

    def gpu(self, handle: ctypes.c_void_p) -> Gpu:
        memory = _Memory()
        known = self._library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == 0
        corrected, remapped, pending, failed = (ctypes.c_uint() for _ in range(4))
        places = map(ctypes.byref, (corrected, remapped, pending, failed))
        rows = (
            self._there("nvmlDeviceGetRemappedRows") and self._library.nvmlDeviceGetRemappedRows(handle, *places) == 0
        )
        page_pending = self.number(handle, "nvmlDeviceGetRetiredPagesPendingStatus")
        return Gpu(
            uuid=self._text(handle, "nvmlDeviceGetUUID") or "",
            name=self._text(handle, "nvmlDeviceGetName") or "",
            memory_mib=memory.total >> 20 if known else None,
            used_mib=memory.used >> 20 if known else None,
            processes=self._processes(handle),
            temperature=self.number(handle, "nvmlDeviceGetTemperature", 0),
            power_limit_watts=_thousandth(self.number(handle, "nvmlDeviceGetEnforcedPowerLimit")),
            power_default_watts=_thousandth(self.number(handle, "nvmlDeviceGetPowerManagementDefaultLimit")),
            max_sm_mhz=self.number(handle, "nvmlDeviceGetMaxClockInfo", _SM),
            pcie_max_generation=self.number(handle, "nvmlDeviceGetMaxPcieLinkGeneration"),
            pcie_width=self.number(handle, "nvmlDeviceGetCurrPcieLinkWidth"),
            pcie_max_width=self.number(handle, "nvmlDeviceGetMaxPcieLinkWidth"),
            nvlinks=self._nvlinks(handle),
            ecc_uncorrected=self._errors(handle, _UNCORRECTED),
            ecc_corrected=self._errors(handle, _CORRECTED),
            retired_pages=self._retired(handle),
            remapped_rows=remapped.value if rows else None,
            reset_pending=None if not rows and page_pending is None else bool((rows and pending.value) or page_pending),
            remap_failed=bool(failed.value) if rows else None,
        )

    def _there(self, name: str) -> bool:
        return hasattr(self._library, name)

    def _text(self, handle: ctypes.c_void_p, name: str) -> str | None:
        text = ctypes.create_string_buffer(96)
        return None if getattr(self._library, name)(handle, text, ctypes.c_uint(96)) else text.value.decode()

    def _errors(self, handle: ctypes.c_void_p, kind: int) -> int | None:
        return self.number(handle, "nvmlDeviceGetTotalEccErrors", kind, _VOLATILE, of=ctypes.c_ulonglong)

    def _processes(self, handle: ctypes.c_void_p) -> int | None:
        """Asked with no room for them, the driver says how many there are."""
        count = ctypes.c_uint(0)
        if not self._there("nvmlDeviceGetComputeRunningProcesses_v3"):
            return None
        status = self._library.nvmlDeviceGetComputeRunningProcesses_v3(handle, ctypes.byref(count), None)
        return count.value if status in (0, _INSUFFICIENT_SIZE) else None

    def _retired(self, handle: ctypes.c_void_p) -> int | None:
        total: int | None = None
        for cause in range(_CAUSES):
            count = ctypes.c_uint(0)
            if not self._there("nvmlDeviceGetRetiredPages"):
                return None
            status = self._library.nvmlDeviceGetRetiredPages(handle, ctypes.c_uint(cause), ctypes.byref(count), None)
            if status in (0, _INSUFFICIENT_SIZE):
                total = (total or 0) + count.value
        return total

    def _nvlinks(self, handle: ctypes.c_void_p) -> int | None:
        states = [self.number(handle, "nvmlDeviceGetNvLinkState", link) for link in range(_NVLINKS)]
        return None if all(state is None for state in states) else sum(state or 0 for state in states)


def _thousandth(value: int | None) -> float | None:
    return None if value is None else value / 1000


def _by_program(program: str) -> Seen:
    """By `nvidia-smi`; an unknown field would fail the whole question, so only old ones are asked for."""
    columns = ("driver_version", *_FIELDS)
    command = [program, f"--query-gpu={','.join(columns)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        return Seen(None, (), "no NVIDIA driver")
    except (OSError, subprocess.SubprocessError) as error:
        return Seen(None, (), f"{program}: {error}")
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        return Seen(None, (), f"{program}: {said[0] if said else f'exit code {done.returncode}'}")
    rows = [dict(zip(columns, map(str.strip, row), strict=True)) for row in csv.reader(io.StringIO(done.stdout)) if row]
    found = []
    for row in rows:
        values: dict[str, Any] = {}
        for column, (field, convert) in _FIELDS.items():
            values[field] = _converted(row[column], convert)
        found.append(Gpu(**values | {"uuid": values["uuid"] or "", "name": values["name"] or ""}))
    return Seen(rows[0]["driver_version"] if rows else None, tuple(found), None)


def _whole(text: str) -> int:
    return round(float(text))


def _yes(text: str) -> bool:
    return {"Yes": True, "No": False}[text]


_FIELDS: dict[str, tuple[str, Callable[[str], object]]] = {
    "uuid": ("uuid", str), "name": ("name", str),
    "memory.total": ("memory_mib", _whole), "memory.used": ("used_mib", _whole),
    "temperature.gpu": ("temperature", _whole),
    "enforced.power.limit": ("power_limit_watts", float), "power.default_limit": ("power_default_watts", float),
    "clocks.max.sm": ("max_sm_mhz", _whole), "pcie.link.gen.max": ("pcie_max_generation", _whole),
    "pcie.link.width.current": ("pcie_width", _whole), "pcie.link.width.max": ("pcie_max_width", _whole),
    "ecc.errors.uncorrected.volatile.total": ("ecc_uncorrected", _whole),
    "ecc.errors.corrected.volatile.total": ("ecc_corrected", _whole),
    "retired_pages.double_bit.count": ("retired_pages", _whole), "retired_pages.pending": ("reset_pending", _yes),
}  # fmt: skip


def _converted(text: str, convert: Callable[[str], object]) -> object:
    """[N/A], [Not Supported], [GPU requires reset] and the like are no figure."""
    try:
        return convert(text)
    except (ValueError, KeyError):
        return None
