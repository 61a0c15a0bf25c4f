"""Muon and AdamW on real processes: however the weights are split, they become what one process makes of them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

WORKER = Path(__file__).parent / "muon_worker.py"
pytestmark = pytest.mark.slow
LAYOUTS = [
    "plain-2",
    "plain-3",
    "fsdp-2",
    "fsdp-3",  # empty shards: matrices of 1 and 5 rows, a norm of one element
    "fsdp_columns-2",  # columns of matrices and of experts
    "hsdp-4",
    "tensor-2",
    "fsdp_tensor-4",  # rows cut twice, 5 of them unevenly
    "hsdp_tensor-8",
]
SCENARIOS = [
    *(f"muon-{layout}-float32" for layout in ["plain-1", *LAYOUTS]),
    *("adamw-plain-1-float32", "adamw-fsdp-3-float32", "adamw-fsdp_tensor-4-float32"),
    *("muon-plain-1-bfloat16", "muon-fsdp-2-bfloat16", "muon-plain-2-bfloat16"),
]
Results = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Weights, states and update sizes of every process after five steps, by scenario."""
    folder = tmp_path_factory.mktemp("muon")
    command = [sys.executable, str(WORKER), str(folder), *SCENARIOS]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr[-5000:]
    return {scenario: torch.load(folder / f"{scenario}.pt") for scenario in SCENARIOS}


def assert_same(found: list[dict[str, Any]], expected: dict[str, Any], tolerance: float) -> None:
    for process in found:
        assert process["tensors"].keys() == expected["tensors"].keys()
        for name, tensor in expected["tensors"].items():
            torch.testing.assert_close(
                process["tensors"][name], tensor, rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
            )
        assert process["rms"] == pytest.approx(expected["rms"], rel=1e-5)
        assert process["rms"] == found[0]["rms"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_muon_on_shards_is_muon_on_one_process(results: Results, layout: str) -> None:
    (alone,) = results["muon-plain-1-float32"]
    assert len(alone["tensors"]) == 13 + 9 + 4 * 3  # weights, momenta, and three states of what AdamW does
    assert_same(results[f"muon-{layout}-float32"], alone, 1e-6)


@pytest.mark.parametrize("layout", ["fsdp-3", "fsdp_tensor-4"])
def test_adamw_on_shards_is_adamw_on_one_process(results: Results, layout: str) -> None:
    (alone,) = results["adamw-plain-1-float32"]
    assert_same(results[f"adamw-{layout}-float32"], alone, 1e-6)


@pytest.mark.parametrize("layout", ["fsdp-2", "plain-2"])
def test_bfloat16_products_are_sent_as_they_are(results: Results, layout: str) -> None:
    """Matrices are rounded before they are sent, as they would be before they are multiplied: nothing is lost."""
    (alone,) = results["muon-plain-1-bfloat16"]
    assert_same(results[f"muon-{layout}-bfloat16"], alone, 1e-6)
