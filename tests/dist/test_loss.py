"""Loss and gradient on two processes equal those of one."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

WORKER = Path(__file__).with_name("loss_worker.py")
pytestmark = pytest.mark.slow


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("loss_worker", WORKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


worker = _load()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loss")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(WORKER)]
    done = subprocess.run(
        [*command, str(folder)], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.parametrize("layout", worker.LAYOUTS)
def test_two_processes_make_the_gradient_of_one(results: Path, layout: str) -> None:
    model, made = worker.build(tied=layout == "fsdp-tied")
    whole = worker.LossModel(model, z_loss=worker.Z_LOSS)
    loss = worker.step(whole, made, slice(0, 4), 1)
    expected = worker.gradients(whole)
    found = torch.load(results / f"{layout}.pt")
    assert float(found.pop("loss")) == pytest.approx(loss, rel=1e-5)
    found = {name.removeprefix("model."): grad for name, grad in found.items()}
    expected = {name.removeprefix("model."): grad for name, grad in expected.items()}
    assert sorted(found) == sorted(expected)
    for name, grad in expected.items():
        torch.testing.assert_close(
            found[name], grad, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )
