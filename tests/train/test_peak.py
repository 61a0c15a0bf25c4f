"""The table of peaks against what chips are made of, and what is measured where there is no table."""

import pytest
import torch

from jpfm.core.errors import UsageError
from jpfm.train import peak
from jpfm.train.peak import Precision, dense_peak, device_peak, published

NAMES = {
    "NVIDIA A100-SXM4-80GB": "A100", "NVIDIA A100 80GB PCIe": "A100", "NVIDIA A800-SXM4-80GB": "A800",
    "NVIDIA A10": "A10", "NVIDIA A30": "A30", "NVIDIA A40": "A40", "NVIDIA RTX A6000": "RTX A6000",
    "NVIDIA H100 80GB HBM3": "H100 SXM", "NVIDIA H100 PCIe": "H100 PCIe", "NVIDIA H100 NVL": "H100 NVL",
    "NVIDIA H800": "H800 SXM", "NVIDIA H20": "H20", "NVIDIA H200": "H200 SXM", "NVIDIA H200 NVL": "H200 NVL",
    "NVIDIA GH200 480GB": "GH200", "NVIDIA GH200 144G HBM3e": "GH200", "NVIDIA B200": "B200",
    "NVIDIA GB200": "GB200", "NVIDIA B300 SXM6 AC": "B300", "NVIDIA GB300": "GB300", "NVIDIA L4": "L4",
    "NVIDIA L40S": "L40S", "NVIDIA RTX 6000 Ada Generation": "RTX 6000 Ada",
    "NVIDIA GeForce RTX 3090": "GeForce RTX 3090", "NVIDIA GeForce RTX 4090": "GeForce RTX 4090",
    "NVIDIA GeForce RTX 5090": "GeForce RTX 5090", "AMD Instinct MI300X": "Instinct MI300X",
    "AMD Instinct MI325X": "Instinct MI325X",
}  # fmt: skip


@pytest.mark.parametrize(("name", "title"), NAMES.items())
def test_names_that_drivers_give(name: str, title: str) -> None:
    found = published(name, "bf16")
    assert found is not None
    assert found.source == f"data sheet of {title}: bf16, dense"


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA A10G", "NVIDIA A100X", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 3090 Ti", "Tesla V100-SXM2-32GB", "NVIDIA L40",
        "AMD Instinct MI250X", "cpu",
    ],
)  # fmt: skip
def test_another_device_is_not_taken_for_one_in_the_table(name: str) -> None:
    assert published(name, "bf16") is None


# (units a chip has, floating point operations of a unit and clock, boost clock in GHz): white papers' block diagrams,
# not the figures that the table copies. A dense bf16 product with 32-bit accumulation.
CHIPS = {
    "NVIDIA A100-SXM4-80GB": (108, 2048, 1.41),
    "NVIDIA A30": (56, 2048, 1.44),
    "NVIDIA A40": (84, 1024, 1.74),
    "NVIDIA A10": (72, 1024, 1.695),
    "NVIDIA RTX A6000": (84, 1024, 1.80),
    "NVIDIA H100 80GB HBM3": (132, 4096, 1.83),
    "NVIDIA H100 PCIe": (114, 4096, 1.62),
    "NVIDIA L4": (58, 1024, 2.04),
    "NVIDIA L40S": (142, 1024, 2.49),
    "NVIDIA RTX 6000 Ada Generation": (142, 1024, 2.505),
    "NVIDIA GeForce RTX 3090": (82, 512, 1.695),
    "NVIDIA GeForce RTX 4090": (128, 512, 2.52),
    "NVIDIA GeForce RTX 5090": (170, 512, 2.407),
    "AMD Instinct MI300X": (304, 2048, 2.1),
}


@pytest.mark.parametrize("name", CHIPS)
def test_peaks_follow_from_units_and_clock(name: str) -> None:
    units, operations, clock = CHIPS[name]
    found = published(name, "bf16")
    assert found is not None
    assert found.flops == pytest.approx(units * operations * clock * 1e9, rel=0.015)


def test_relations_between_precisions_and_devices() -> None:
    """What is true of all of them; a figure with sparsity, or half of one, breaks it."""
    for sheet in peak._SHEETS:
        assert sheet.bf16 / sheet.tf32 == pytest.approx(2, rel=0.03), sheet  # sheets round to three digits
        if sheet.fp8 is not None:
            assert sheet.fp8 / sheet.bf16 == pytest.approx(2, rel=0.03), sheet
        assert sheet.tf32 >= sheet.fp32, sheet
    bf16 = {name: published(name, "bf16") for name in NAMES}
    rates = {name: found.flops for name, found in bf16.items() if found is not None}
    assert rates["NVIDIA A100-SXM4-80GB"] == 312e12
    assert rates["NVIDIA H200"] == rates["NVIDIA H100 80GB HBM3"] == rates["NVIDIA GH200 480GB"] == 989e12
    assert rates["NVIDIA H100 80GB HBM3"] / rates["NVIDIA A100-SXM4-80GB"] == pytest.approx(3.17, rel=0.01)
    assert rates["NVIDIA GB200"] / rates["NVIDIA B200"] == pytest.approx(10 / 9, rel=0.01)  # 1,200 W and 1,000 W


def test_a_precision_that_a_device_has_not() -> None:
    with pytest.raises(UsageError, match="has no fp8 units"):
        published("NVIDIA A100-SXM4-80GB", "fp8")


@pytest.mark.parametrize(("precision", "unit"), [("fp32", "fp32"), ("bf16", "bf16"), ("fp8", "bf16")])
def test_a_cpu_is_measured_and_says_so(precision: Precision, unit: str) -> None:
    found = device_peak("cpu", precision)
    assert found.source == f"measured: a {unit} matrix product on cpu, {torch.get_num_threads()} threads"
    assert 1e8 < found.flops < 1e14


def test_an_unknown_device_is_measured() -> None:
    found = dense_peak("Preferred Networks MN-Core", "bf16", "cpu")
    assert found.source.startswith("measured: a bf16 matrix product on Preferred Networks MN-Core")
