"""Bits per character of a trained folder on held-out documents, the same way for every arm: `... score FOLDER SETTING`.

Each document stands alone in its rows, behind the end-of-document token, so that neither a model that was trained with
documents apart nor one without has the advantage. fp32, plain transformers.
"""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.train.setting import Setting
from torch.nn import functional

from jpfm.core.artifact import open_artifact
from jpfm.train import held_out
from jpfm.train.settings import HeldOut

_MAX_CHARS = 60_000
_ROWS = 16


def score(folder: Path, setting: Setting) -> dict[str, Any]:
    """Bits per character, over all and by source."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()
    corpora = held_out.find(HeldOut(), [open_artifact(Path(setting.tokens), "tokens")])
    domains = held_out.domains(corpora, Path(setting.tokenizer), setting.seq_len, _MAX_CHARS, packed=False)

    def nats(rows: Any, counts: Any) -> float:
        total = 0.0
        for start in range(0, len(rows), _ROWS):
            ids = torch.from_numpy(rows[start : start + _ROWS].astype(np.int64))
            targets = ids[:, 1:].clone()
            targets[torch.arange(targets.shape[1]) >= torch.from_numpy(counts[start : start + _ROWS])[:, None]] = -100
            longest = max(1, int(counts[start : start + _ROWS].max()))
            logits = model(input_ids=ids[:, :longest], use_cache=False).logits
            total += float(
                functional.cross_entropy(logits.flatten(0, 1), targets[:, :longest].flatten(), reduction="sum")
            )
        return total

    with torch.no_grad():
        found = held_out.evaluate(domains, nats)
    if not math.isfinite(found.overall):
        raise ValueError(f"{folder}: the score is {found.overall}")
    return {"overall": found.overall, "by_source": dict(found.bits_per_character)}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    print(json.dumps(score(Path(sys.argv[1]), Setting.read(sys.argv[2]))))
