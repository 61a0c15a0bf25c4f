"""One arm in this process, told by its parent: `python -m benchmarks.train.arm NAME SETTING SPAWNED`.

Its last line on stdout is the result in JSON.
"""

import importlib.util
import json
import os
import sys
from typing import Any, Literal

from benchmarks.train.setting import Setting

JPFM: dict[str, dict[str, Any]] = {
    "jpfm": {},
    "jpfm_fp32": {"precision": "fp32"},
    "jpfm_compiled": {"compile": True},
    "jpfm_muon": {"muon": True},
    "jpfm_muon_compiled": {"muon": True, "compile": True},
}
PLAIN: dict[str, Literal["no", "blocks", "whole"]] = {
    "plain": "no",
    "plain_blocks": "blocks",
    "plain_compiled": "whole",
}
HUGGING_FACE = ("hf_trainer", "hf_trainer_bf16", "hf_trainer_compile", "hf_trainer_bf16_compile", "hf_trainer_liger")
ALL = (*JPFM, *PLAIN, *HUGGING_FACE, "torchtitan")


def missing(name: str, device: str) -> str | None:
    """Why an arm cannot run here, in a line; None where it can."""
    if name == "torchtitan":
        if importlib.util.find_spec("torchtitan") is None:
            return "torchtitan is not installed"
        if device != "cuda":
            return "torchtitan imports Triton, which needs a GPU"
    if name == "hf_trainer_liger":
        if device != "cuda":
            return "liger-kernel needs a GPU"
        if importlib.util.find_spec("liger_kernel") is None:
            return "liger-kernel is not installed"
    return None


def main(name: str, setting: Setting, spawned: float) -> dict[str, Any]:
    """Run an arm."""
    import torch
    from benchmarks.train.clock import Clock

    if setting.device == "cpu":
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    clock = Clock(setting, spawned)
    if name in JPFM:
        from benchmarks.train import jpfm_arm

        return jpfm_arm.run(setting, clock, **JPFM[name])
    if name in PLAIN:
        from benchmarks.train import plain

        return plain.run(setting, clock, PLAIN[name])
    if name in HUGGING_FACE:
        from benchmarks.train import hugging_face

        return hugging_face.run(setting, clock, name)
    from benchmarks.train import titan

    return titan.run(setting, clock)


if __name__ == "__main__":
    found = main(sys.argv[1], Setting.read(sys.argv[2]), float(sys.argv[3]))
    sys.stdout.write("\n" + json.dumps(found) + "\n")
