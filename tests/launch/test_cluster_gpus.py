"""The driver's library and its program, as they answer: what is read from them."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from jpfm.launch.cluster import gpus
from jpfm.launch.cluster.facts import Gpu

NVML = r"""
#include <string.h>
typedef void *Device;
static int card = 1;
int nvmlInit_v2(void) { return INIT; }
const char *nvmlErrorString(int status) { return status == 18 ? "Driver/library version mismatch" : "?"; }
int nvmlSystemGetDriverVersion(char *text, unsigned length) { strncpy(text, "580.10", length); return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) { *device = &card; return index != 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, Device *device) {
    *device = &card; return strcmp(uuid, "GPU-0123") != 0; }
#define OWN if (device != &card) return 2
int nvmlDeviceGetName(Device device, char *text, unsigned length) {
    OWN; strncpy(text, "NVIDIA H200", length); return 0; }
int nvmlDeviceGetUUID(Device device, char *text, unsigned length) {
    OWN; strncpy(text, "GPU-0123", length); return 0; }
struct memory { unsigned long long total, free, used; };
int nvmlDeviceGetMemoryInfo(Device device, struct memory *m) {
    OWN; m->total = 143771ull << 20; m->free = 143171ull << 20; m->used = 600ull << 20; return 0; }
int nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *count, void *infos) {
    OWN; unsigned room = *count; *count = 3; return room < 3 ? 7 : 0; }
int nvmlDeviceGetTotalEccErrors(Device device, unsigned type, unsigned counter, unsigned long long *count) {
    OWN; if (counter != 0) return 2; *count = type == 1 ? 2 : 5000000000ull; return 0; }
int nvmlDeviceGetRemappedRows(
    Device device, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed) {
    OWN; *corrected = 4; *uncorrected = 1; *pending = 1; *failed = 0; return 0; }
int nvmlDeviceGetTemperature(Device device, unsigned sensor, unsigned *value) {
    OWN; *value = 31; return sensor != 0; }
int nvmlDeviceGetEnforcedPowerLimit(Device device, unsigned *value) { OWN; *value = 650000; return 0; }
int nvmlDeviceGetPowerManagementDefaultLimit(Device device, unsigned *value) { OWN; *value = 700000; return 0; }
int nvmlDeviceGetMaxClockInfo(Device device, unsigned clock, unsigned *value) {
    OWN; *value = 1980; return clock != 1; }
int nvmlDeviceGetClockInfo(Device device, unsigned clock, unsigned *value) { OWN; *value = 1755; return clock != 1; }
int nvmlDeviceGetMaxPcieLinkGeneration(Device device, unsigned *value) { OWN; *value = 5; return 0; }
int nvmlDeviceGetCurrPcieLinkGeneration(Device device, unsigned *value) { OWN; *value = 4; return 0; }
int nvmlDeviceGetCurrPcieLinkWidth(Device device, unsigned *value) { OWN; *value = 8; return 0; }
int nvmlDeviceGetMaxPcieLinkWidth(Device device, unsigned *value) { OWN; *value = 16; return 0; }
int nvmlDeviceGetCurrentClocksThrottleReasons(Device device, unsigned long long *value) {
    OWN; *value = 0x40 | 0x4; return 0; }
int nvmlDeviceGetNvLinkState(Device device, unsigned index, unsigned *up) {
    OWN; *up = index != 5; return index < 18 ? 0 : 2; }
int nvmlDeviceGetRetiredPages(Device device, unsigned cause, unsigned *count, unsigned long long *pages) { return 3; }
int nvmlDeviceGetRetiredPagesPendingStatus(Device device, unsigned *value) { return 3; }
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], str]:
    """A library with NVML's signatures, of one GPU with a history; it starts, or fails with a status."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "nvml.c").write_text(NVML)

    def build(status: int) -> str:
        library = folder / f"libnvidia-ml-{status}.so.1"
        subprocess.run(["gcc", "-shared", "-fPIC", f"-DINIT={status}", "-o", library, folder / "nvml.c"], check=True)
        return str(library)

    return build


def test_the_drivers_library_is_read(driver: Callable[[int], str]) -> None:
    seen = gpus.read(driver(0))
    assert (seen.driver, seen.problem) == ("580.10", None)
    assert seen.gpus == (
        Gpu(
            uuid="GPU-0123", name="NVIDIA H200", memory_mib=143_771, used_mib=600, processes=3, temperature=31,
            power_limit_watts=650.0, power_default_watts=700.0, max_sm_mhz=1980, pcie_max_generation=5, pcie_width=8,
            pcie_max_width=16, nvlinks=17, ecc_uncorrected=2, ecc_corrected=5_000_000_000, retired_pages=None,
            remapped_rows=1, reset_pending=True, remap_failed=False,
        ),
    )  # fmt: skip


def test_a_gpu_is_watched_at_work(driver: Callable[[int], str]) -> None:
    with gpus.Watching("GPU-0123", driver(0)) as watching:
        pass
    assert (watching.sm_mhz, watching.pcie_generation) == (1755, 4)
    assert watching.slowed_by == ("the hardware, for heat",)
    with gpus.Watching("GPU-9999", driver(0)) as unknown:
        pass
    assert (unknown.sm_mhz, unknown.slowed_by) == (None, ())


def test_a_driver_that_does_not_start_says_why(driver: Callable[[int], str]) -> None:
    assert gpus.read(driver(18)).problem == "the driver does not start: Driver/library version mismatch"


def program(folder: Path, lines: str) -> str:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return str(path)


def test_the_program_is_asked_where_there_is_no_library(tmp_path: Path) -> None:
    row = "550.54, GPU-0123, NVIDIA A100-SXM4-80GB, 81920, 3, 29, 400.00, 400.00, 1410, 4, 16, 16, 0, 12, [N/A], No"
    absent = str(tmp_path / "absent.so")
    seen = gpus.read(absent, program(tmp_path, f'[ "$2" = --format=csv,noheader,nounits ] && echo "{row}"'))
    assert (seen.driver, seen.problem) == ("550.54", None)
    (only,) = seen.gpus
    assert (only.uuid, only.memory_mib, only.power_limit_watts, only.pcie_width) == ("GPU-0123", 81_920, 400.0, 16)
    assert (only.ecc_uncorrected, only.ecc_corrected, only.retired_pages, only.reset_pending) == (0, 12, None, False)
    failing = gpus.read(absent, program(tmp_path, "echo 'NVIDIA-SMI has failed: no driver'; exit 9"))
    assert failing.gpus == ()
    assert "NVIDIA-SMI has failed" in str(failing.problem)
    assert gpus.read(absent, str(tmp_path / "none")).problem == "no NVIDIA driver"
