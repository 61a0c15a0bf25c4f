"""jpfm's own arm: `jpfm.train.loop.train` as a user calls it, its log read afterwards."""

import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.train.clock import Clock, count_waits
from benchmarks.train.setting import Setting


def config(setting: Setting, **changes: Any) -> Any:
    """jpfm's settings for a run; what is not of the run itself is left at jpfm's defaults."""
    from jpfm.train.config import TrainConfig

    schedule: dict[str, Any] = {"kind": setting.schedule, "warmup_steps": setting.warmup_steps, "final_share": 0.0}
    if setting.schedule == "wsd":
        schedule["decay_steps"] = setting.decay_steps
    adamw = {"beta2": setting.beta2, "weight_decay": setting.weight_decay}
    body = {
        "stage": "train", "tokens": setting.tokens, "tokenizer": setting.tokenizer, "model": dict(setting.model),
        "seq_len": setting.seq_len, "batch_tokens": setting.step_tokens, "steps": setting.steps,
        "micro_batch_rows": setting.micro_batch_rows, "precision": setting.precision, "seed": setting.seed,
        "learning_rate": setting.learning_rate, "schedule": schedule, "optimizer": {"kind": "adamw", **adamw},
        "save": {"every_steps": setting.save_every}, "lint": "off",
    }  # fmt: skip
    if changes.pop("muon", False):
        body["optimizer"] = {"kind": "muon", "weight_decay": setting.weight_decay, "adamw": adamw}
    return TrainConfig.model_validate(body | changes)


def run(setting: Setting, clock: Clock, **changes: Any) -> dict[str, Any]:
    """Train into `setting.out`, or into a folder that is thrown away."""
    from jpfm.core.artifact import LOGS
    from jpfm.train.loop import train
    from jpfm.train.meter import METRICS, read_metrics

    with tempfile.TemporaryDirectory() as scratch:
        out = Path(setting.out or scratch) / "model"
        watch = _Watch(out.with_name("model.partial") / LOGS / METRICS, setting, clock)
        watch.start()
        try:
            train(config(setting, **changes), out)
        finally:
            watch.stop()
        rows = list(read_metrics(out / LOGS / METRICS))
        seconds = [setting.step_tokens / row["tokens_per_second"] for row in rows]
        saves = [row["seconds"]["save"] for row in rows]
        if setting.out is None:
            shutil.rmtree(out)
    timed = slice(setting.warm, None)
    return clock.line(seconds[timed], loss=rows[-1]["loss"], saves=saves[timed])


class _Watch(threading.Thread):
    """Looks at the log's first lines: when the first step is over, and from when on waits are counted."""

    def __init__(self, log: Path, setting: Setting, clock: Clock) -> None:
        super().__init__(daemon=True)
        self._log, self._setting, self._clock = log, setting, clock
        self._over = threading.Event()

    def run(self) -> None:
        if not self._until(1):
            return
        self._clock.first_step()
        if not self._until(self._setting.warm):
            return
        self._clock.mark(last=False)
        if self._setting.audit and self._setting.device == "cuda":
            first = self._lines()
            with count_waits() as caught:
                self._until(self._setting.steps)
                steps = self._lines() - first
            self._clock.waits = round(len(caught) * self._setting.timed / max(1, steps))
        if self._until(self._setting.steps):
            self._clock.mark(last=True)

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _until(self, lines: int) -> bool:
        while self._lines() < lines:
            if self._over.is_set():
                return False
            time.sleep(0.02)
        return True

    def _lines(self) -> int:
        try:
            return self._log.read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0
