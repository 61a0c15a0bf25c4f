"""Folders of training runs as the trainer leaves them: logs, a plan or a manifest, checkpoints. Made for the page."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.train.config import TrainConfig

BATCH_TOKENS = 4096
Row = dict[str, Any]


def settings(steps: int, **changed: Any) -> TrainConfig:
    """Settings with a few changes from the defaults."""
    told = {"stage": "train", "name": "青空8M", "model": {"size": "8M"}, "steps": steps, "seq_len": 512} | changed
    return TrainConfig.model_validate_json(json.dumps(told | {"schedule": {"warmup_steps": 1}}))


def lines(steps: int, *, first: int = 1, seed: int = 0) -> list[Row]:
    """Lines of metrics.jsonl with everything the trainer may write."""
    noise = np.random.default_rng(seed).normal(0, 1, steps + 1)
    rows: list[Row] = []
    for step in range(first, steps + 1):
        loss = 2.6 + 7.2 / (1 + step / 25) ** 0.8 + 0.06 * float(noise[step])
        row = {
            "step": step,
            "tokens": step * BATCH_TOKENS,
            "loss": round(loss, 6),
            "lr": 1e-3 * min(1, step / 100) * (1 if step < 0.8 * steps else max(0.1, (steps - step) / (0.2 * steps))),
            "grad_norm": round(0.9 * math.exp(0.3 * float(noise[step])), 5),
            "tokens_per_second": round(15_300 + 400 * float(noise[step]), 1),
            "mfu": 0.412 + 0.01 * float(noise[step]),
            "seconds": {"data": 0.004, "forward_backward": 0.201 + 0.01 * abs(float(noise[step])), "reduce": 0.021,
                        "optimizer": 0.03, "held_out": 0.0, "save": 1.1 if step % 200 == 0 else 0.0, "other": 0.006},
            "memory_bytes": 23_000_000_000 + 1_000_000 * (step % 7),
            "hours": step * 0.27 / 3600,
            "gpu_hours": step * 0.27 / 3600 * 8,
            "energy_joules": step * 0.27 * 8 * 620,
        }  # fmt: skip
        if step % 50 == 0:
            row["update_rms"] = {"embeddings": 0.21, "matrices": 0.2 - step * 1e-5, "vectors": 0.34}
        rows.append(row)
    return rows


def write_lines(file: Path, rows: Iterable[Mapping[str, Any]], end: str = "") -> None:
    """Write a log; `end` is what a kill left of the last line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n" for row in rows)
    file.write_text(text + end, encoding="utf-8")


def fill(folder: Path, steps: int, *, every: int = 200, seed: int = 0) -> None:
    """Logs and checkpoints of a run that is `steps` far: resumed twice, two updates skipped, rewound once."""
    rows = lines(steps, seed=seed)
    for place in (steps // 3, steps // 2):
        rows[place] |= {"loss": 9.7, "grad_norm": 310.0, "skipped": "spike"}
    logs = folder / "logs"
    write_lines(logs / "metrics.jsonl", rows)
    write_lines(
        logs / "held_out.jsonl",
        ({"step": step, "tokens": step * BATCH_TOKENS,
          "bits_per_character": {name: level + 4 / (1 + step / 40) for name, level in SOURCES.items()},
          "chars": {"青空文庫": 60_000, "法令": 30_000, "office": 10_000}}
         for step in range(every // 2, steps + 1, every // 2)),
    )  # fmt: skip
    write_lines(
        logs / "faults.jsonl",
        [{"step": steps // 3 + 1, "kind": "spike", "what": "grad_norm", "action": "skip", "loss": 9.7,
          "grad_norm": 310.0, "limit": 4.2, "rewound_to": None},
         {"step": steps // 2 + 1, "kind": "not_finite", "what": "loss", "action": "rewind", "loss": "nan",
          "grad_norm": 310.0, "limit": None, "rewound_to": steps // 2 - 9}],
    )  # fmt: skip
    versions = {"torch": "2.13.0", "transformers": "5.23.0", "accelerate": "1.15.0"}
    write_lines(
        logs / "runs.jsonl",
        [{"started": f"2026-11-2{number}T09:30:00+0900", "step": step, "world": world, "resumed": step > 0,
          "mesh": {"replicate": 1, "shard": world, "tensor": 1}, "device": "NVIDIA H200", "precision": "bf16",
          "compile": True, "versions": versions}
         for number, (step, world) in enumerate([(0, 8), (steps // 4, 16), (steps * 2 // 3, 8)], start=1)],
    )  # fmt: skip
    write_lines(logs / "events.jsonl", [{"time": 1_790_000_000.5, "event": "started", "kind": "checkpoint"}])
    whole = json.loads(settings(steps, micro_batch_rows=4, tokens="/data/secret/tokens").model_dump_json())
    (logs / "settings.json").write_text(json.dumps(whole), encoding="utf-8")
    write_lines(logs / "undone.jsonl", lines(7))
    (logs / "status").write_text(f"training: step {steps}\n", encoding="utf-8")
    for step in range(every, steps, every):
        checkpoint(folder / "steps" / f"step-{step:08d}", step)


SOURCES = {"青空文庫": 2.9, "法令": 1.7, "office": 2.2}


def checkpoint(folder: Path, step: int) -> None:
    """What the page reads of a checkpoint."""
    folder.mkdir(parents=True)
    stats = {"step": step, "tokens": step * BATCH_TOKENS, "bits_per_character": 2.5 + 4 / (1 + step / 40)}
    told = {"id": f"checkpoint-{step:012x}", "kind": "checkpoint", "stats": stats}
    (folder / "manifest.json").write_text(json.dumps(told), encoding="utf-8")


def unfinished(out: Path, steps: int, total: int, *, parents: tuple[str, ...] = (), running: bool = True) -> Path:
    """`NAME.partial` of a run; returns what the user called it."""
    partial = out.with_name(out.name + ".partial")
    fill(partial, steps)
    plan = {"kind": "checkpoint", "version": 3, "config": settings(total).identity(), "parents": list(parents)}
    (partial / "plan.json").write_text(artifacts.canonical_json(plan), encoding="utf-8")
    if running:
        out.with_name(out.name + ".lock").write_text("process 1", encoding="utf-8")
    return out


def finished(out: Path, steps: int, parents: tuple[Artifact, ...] = (), seed: int = 0, **changed: Any) -> Artifact:
    """A finished run."""

    def work(draft: Draft) -> Finished:
        fill(draft.path, steps, seed=seed)
        return Finished({"steps": steps, "epochs_by_source": {"aozora": 1.25}})

    config = settings(steps, **changed)
    return artifacts.produce(
        out, kind="checkpoint", version=3, config=config.identity(), parents=list(parents), work=work
    )
