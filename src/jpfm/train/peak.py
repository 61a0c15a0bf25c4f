"""How many floating point operations a second a device can do at best: what MFU is a share of.

    peak = device_peak(torch.device("cuda"), "bf16")
    peak.flops, peak.source                      # 989e12, "data sheet of H100 SXM: bf16, dense"

The figures of data sheets that say "with sparsity" are halved: a training step has no 2:4 sparse weights. Refused: a
default for a device that is not in the table (OLMo-core once took half of an A100's peak and reported twice its MFU);
the rate of a large matrix product is measured instead, and the source says so. GeForce cards are listed with 32-bit
accumulation, at half the rate that their sheets print first. A part of a device (MIG) or a slower edition of a listed
one (laptop, 4090 D) is measured too.
"""

import re
import time
from typing import Any, Literal, NamedTuple

from jpfm.core.errors import UsageError

Precision = Literal["fp32", "tf32", "bf16", "fp8"]
_PARTS_AND_EDITIONS = frozenset({"MIG", "LAPTOP", "MAX", "D", "TI", "SUPER"})
_MEASURE_SECONDS = 0.4


class Peak(NamedTuple):
    """The most a device can do."""

    flops: float
    """Floating point operations a second, dense."""
    source: str
    """Where the figure is from, in words."""


class _Sheet(NamedTuple):
    """A line of a data sheet: words of the device's name, and TFLOP/s without sparsity; None: it has no such unit."""

    words: tuple[str, ...]
    title: str
    fp32: float
    tf32: float
    bf16: float
    fp8: float | None
    gib: int
    """Of memory that a program finds; with error correction where the driver turns it on."""


# Sources: NVIDIA data sheets of A100, A800, A10, A30, A40, RTX A6000, L4, L40S, RTX 6000 Ada, H100 and H200 (SXM, PCIe,
# NVL), H800, GH200, H20, HGX B200 and B300 (a board of eight, over 8), GB200 and GB300 NVL72 (over 72); NVIDIA white
# papers of GA102, AD102 and GB202 for GeForce; AMD data sheets of Instinct MI300X and MI325X. More words go first.
_SHEETS = (
    _Sheet(("H100", "PCIE"), "H100 PCIe", 51.2, 378, 756, 1513, 80),
    _Sheet(("H100", "NVL"), "H100 NVL", 60, 417.5, 835.5, 1670.5, 94),
    _Sheet(("H200", "NVL"), "H200 NVL", 60, 417.5, 835.5, 1670.5, 141),
    _Sheet(("H100",), "H100 SXM", 67, 494.5, 989, 1979, 80),
    _Sheet(("H800",), "H800 SXM", 67, 494.5, 989, 1979, 80),
    _Sheet(("H200",), "H200 SXM", 67, 494.5, 989, 1979, 141),
    _Sheet(("GH200",), "GH200", 67, 494.5, 989, 1979, 96),
    _Sheet(("H20",), "H20", 44, 74, 148, 296, 96),
    _Sheet(("GB200",), "GB200", 80, 1250, 2500, 5000, 185),
    _Sheet(("GB300",), "GB300", 80, 1250, 2500, 5000, 277),
    _Sheet(("B200",), "B200", 75, 1125, 2250, 4500, 179),
    _Sheet(("B300",), "B300", 75, 1125, 2250, 4500, 262),
    _Sheet(("A100", "40GB"), "A100", 19.5, 156, 312, None, 40),
    _Sheet(("A100",), "A100", 19.5, 156, 312, None, 80),
    _Sheet(("A800", "40GB"), "A800", 19.5, 156, 312, None, 40),
    _Sheet(("A800",), "A800", 19.5, 156, 312, None, 80),
    _Sheet(("A30",), "A30", 10.3, 82, 165, None, 24),
    _Sheet(("A40",), "A40", 37.4, 74.8, 149.7, None, 45),
    _Sheet(("A10",), "A10", 31.2, 62.5, 125, None, 22),
    _Sheet(("A6000",), "RTX A6000", 38.7, 77.4, 154.8, None, 48),
    _Sheet(("L4",), "L4", 30.3, 60, 121, 242, 22),
    _Sheet(("L40S",), "L40S", 91.6, 183, 362, 733, 45),
    _Sheet(("RTX", "6000", "ADA"), "RTX 6000 Ada", 91.1, 182.1, 364.2, 728.5, 48),
    _Sheet(("RTX", "3090"), "GeForce RTX 3090", 35.6, 35.6, 71.2, None, 24),
    _Sheet(("RTX", "4090"), "GeForce RTX 4090", 82.6, 82.6, 165.2, 330.3, 24),
    _Sheet(("RTX", "5090"), "GeForce RTX 5090", 104.8, 104.8, 209.5, 419, 32),
    _Sheet(("MI300X",), "Instinct MI300X", 163.4, 653.7, 1307.4, 2614.9, 192),
    _Sheet(("MI325X",), "Instinct MI325X", 163.4, 653.7, 1307.4, 2614.9, 256),
)


def published(device_name: str, precision: Precision) -> Peak | None:
    """The data sheet's figure; None for a device that is not in the table.

    >>> published("NVIDIA A100-SXM4-80GB", "bf16")
    Peak(flops=312000000000000.0, source='data sheet of A100: bf16, dense')

    Args:
        device_name: as the driver gives it, "NVIDIA H100 80GB HBM3".
    Raises:
        UsageError: the device has no unit for this precision.
    """
    sheet = _sheet(device_name)
    if sheet is None:
        return None
    rate = {"fp32": sheet.fp32, "tf32": sheet.tf32, "bf16": sheet.bf16, "fp8": sheet.fp8}[precision]
    if rate is None:
        raise UsageError(f"{device_name} has no {precision} units", hint="set precision: bf16")
    return Peak(rate * 1e12, f"data sheet of {sheet.title}: {precision}, dense")


def memory_bytes(device_name: str) -> int | None:
    """Memory of a device that is in the table, before anything runs on it; None for others.

    >>> memory_bytes("H100 PCIe") / 2**30
    80.0
    """
    sheet = _sheet(device_name)
    return None if sheet is None else sheet.gib * 2**30


def known_devices() -> list[str]:
    """The names that `published` knows, as a person writes them, sorted."""
    return sorted({" ".join(sheet.words) for sheet in _SHEETS})


def _sheet(device_name: str) -> _Sheet | None:
    words = set(re.split(r"[\s\-_]+", device_name.upper()))
    if words & _PARTS_AND_EDITIONS:
        return None
    return next((sheet for sheet in _SHEETS if words.issuperset(sheet.words)), None)


def dense_peak(device_name: str, precision: Precision, device: str | None = None) -> Peak:
    """The data sheet's figure, or the rate of a large matrix product where there is none.

    Args:
        device_name: as the driver gives it; "cpu" is measured.
        device: where to measure; null: the GPU if there is one, the CPU for "cpu".
    """
    if (known := published(device_name, precision)) is not None:
        return known
    import torch

    if device is None:
        device = "cuda" if device_name.lower() != "cpu" and torch.cuda.is_available() else "cpu"
    dtype = torch.float32 if precision in ("fp32", "tf32") else torch.bfloat16
    unit = "fp32" if dtype == torch.float32 else "bf16"
    threads = f", {torch.get_num_threads()} threads" if device == "cpu" else ""
    return Peak(matmul_rate(device, dtype), f"measured: a {unit} matrix product on {device_name}{threads}")


def device_peak(device: Any, precision: Precision) -> Peak:
    """The peak of a torch device; products in fp32 count as tf32 where torch is set to run them so."""
    import torch

    device = torch.device(device)
    if device.type != "cuda":
        return dense_peak("cpu", precision, "cpu")
    if precision == "fp32" and torch.get_float32_matmul_precision() != "highest":
        precision = "tf32"
    return dense_peak(torch.cuda.get_device_name(device), precision, str(device))


def matmul_rate(device: str, dtype: object) -> float:
    """Floating point operations a second of a large matrix product, the best of a few. Takes about half a second."""
    import torch

    size, repeats = (1024, 4) if device == "cpu" else (8192, 8)
    left = torch.randn(size, size, device=device, dtype=dtype)
    right = torch.randn(size, size, device=device, dtype=dtype)

    def seconds() -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            left @ right
        if device != "cpu":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    seconds()  # the first one loads kernels
    begin, best = time.perf_counter(), seconds()
    while time.perf_counter() - begin < _MEASURE_SECONDS:
        best = min(best, seconds())
    return 2.0 * size**3 * repeats / best
