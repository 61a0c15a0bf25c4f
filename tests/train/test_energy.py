"""Energy is what counters say: over their wrap-around, and unknown where they are silent."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from jpfm.train.energy import Counter, EnergyCounter, nvml_counter, rapl


def _package(root: Path, name: str, microjoules: int, limit: int = 262_143_328_850) -> Path:
    folder = root / name
    folder.mkdir()
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{limit}\n")
    return folder / "energy_uj"


def test_packages_are_added_and_their_parts_are_not(tmp_path: Path) -> None:
    first, second = _package(tmp_path, "intel-rapl:0", 1_000_000), _package(tmp_path, "intel-rapl:1", 5_000_000)
    part = _package(tmp_path, "intel-rapl:0:0", 0)
    counter = EnergyCounter(rapl(tmp_path), read_every_seconds=0.0)
    assert counter.joules() == 0.0
    first.write_text("3000000\n")
    second.write_text("5500000\n")
    part.write_text("900000000\n")
    assert counter.joules() == pytest.approx(2.5)


def test_a_counter_that_starts_again_goes_on(tmp_path: Path) -> None:
    file = _package(tmp_path, "intel-rapl:0", 99_000_000, limit=100_000_000)
    counter = EnergyCounter(rapl(tmp_path), read_every_seconds=0.0)
    for value, expected in ((500_000, 1.5), (80_500_000, 81.5), (10_500_000, 111.5)):
        file.write_text(f"{value}\n")
        assert counter.joules() == pytest.approx(expected)


def test_no_counters_means_unknown(tmp_path: Path) -> None:
    assert rapl(tmp_path) is None
    assert rapl(tmp_path / "absent") is None
    assert EnergyCounter(None).joules() is None
    (tmp_path / "intel-rapl:0").mkdir()
    (tmp_path / "intel-rapl:0" / "energy_uj").mkdir()  # it is there, and reading fails
    assert rapl(tmp_path) is None
    assert EnergyCounter.open(torch.device("cpu"), first_on_machine=False).joules() == 0.0


def test_a_counter_that_fails_later_is_unknown_from_then_on(caplog: pytest.LogCaptureFixture) -> None:
    values = iter([1.0, 2.0])

    def read() -> float:
        try:
            return next(values)
        except StopIteration:
            raise OSError("NVML gives no energy any more (status 15)") from None

    counter = EnergyCounter([Counter(read, None)], read_every_seconds=0.0)
    assert counter.joules() == 1.0
    with caplog.at_level("WARNING", logger="jpfm"):
        assert counter.joules() is None
        assert counter.joules() is None
    assert [record.getMessage() for record in caplog.records] == [
        "the energy of this run is not known any more: NVML gives no energy any more (status 15)"
    ]


def test_a_driver_that_was_loaded_again_is_unknown() -> None:
    values = iter([100.0, 5.0])
    counter = EnergyCounter([Counter(lambda: next(values), None)], read_every_seconds=0.0)
    assert counter.joules() is None


NVML = """
#include <string.h>
static int calls;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    if (strcmp(uuid, "GPU-0123")) return 6;
    *device = (void *)0x123456789abcdef0;
    return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy) {
    if (device != (void *)0x123456789abcdef0) return 2;
    *energy = 5000000000000ULL + 1500ULL * calls++;
    return 0;
}
"""


def test_the_drivers_library_is_called_as_its_header_says(tmp_path: Path) -> None:
    """A library with NVML's signatures, compiled here: 64-bit handle and counter arrive whole."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    (tmp_path / "nvml.c").write_text(NVML)
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "nvml.c"], check=True)
    counter = nvml_counter("GPU-0123", str(library))
    assert counter is not None
    energy = EnergyCounter([counter], read_every_seconds=0.0)
    assert energy.joules() == pytest.approx(1.5)
    assert energy.joules() == pytest.approx(3.0)
    assert nvml_counter("GPU-9999", str(library)) is None
    assert nvml_counter("GPU-0123", str(tmp_path / "absent.so")) is None
