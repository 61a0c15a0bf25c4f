"""The arms of Hugging Face's Trainer: what its defaults give, its best settings, and what was tried to find those.

The same rows in the same order (`train_sampling_strategy="sequential"`) and the same first weights. Labels are the
inputs, which the model shifts by itself, as its documentation has it: a row of 512 has 511 targets. Documents that
share a row see each other: Trainer's defaults know no packing.
"""

import tempfile
from typing import Any

import torch
from benchmarks.train.clock import Clock
from benchmarks.train.setting import Setting
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

TRIED: dict[str, dict[str, Any]] = {
    "hf_trainer_bf16": {"bf16": True},
    "hf_trainer_compile": {"torch_compile": True},
    "hf_trainer_bf16_compile": {"bf16": True, "torch_compile": True},
}
"""Beside the rest of _BEST; the fastest is `hf_trainer_best`."""
_BEST: dict[str, Any] = {
    "optim": "adamw_torch_fused", "logging_strategy": "no", "save_strategy": "no", "disable_tqdm": True,
    "dataloader_pin_memory": False, "logging_nan_inf_filter": False,
}  # fmt: skip
_CUDA: dict[str, Any] = {"dataloader_pin_memory": True, "dataloader_num_workers": 2, "tf32": True}


class Rows(Dataset[dict[str, torch.Tensor]]):  # type: ignore[misc]
    """The rows of a run, one after the other."""

    def __init__(self, setting: Setting) -> None:
        self._order, self._setting = setting.order(), setting
        self._step, self._rows = -1, torch.empty(0)

    def __len__(self) -> int:
        return self._setting.steps * self._setting.rows_per_step

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        step, row = divmod(index, self._setting.rows_per_step)
        if step != self._step:
            self._step, self._rows = step, torch.from_numpy(self._order.batch(step).astype("int64"))
        ids = self._rows[row, :-1]
        return {"input_ids": ids, "labels": ids}


class _Ticks(TrainerCallback):  # type: ignore[misc]
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._clock.tick()


def run(setting: Setting, clock: Clock, kind: str) -> dict[str, Any]:
    """Train with `kind`: defaults, one of TRIED, or liger."""
    given: dict[str, Any] = {"train_sampling_strategy": "sequential", "use_cpu": setting.device == "cpu"}
    if kind == "hf_trainer":
        given["bf16"] = setting.device == "cuda" and setting.precision == "bf16"  # nobody trains 1 B in fp32 there
    else:
        given |= _BEST | TRIED.get(kind, TRIED["hf_trainer_bf16_compile"])
        if setting.device == "cuda":
            given |= _CUDA
        if kind == "hf_trainer_liger":
            given["use_liger_kernel"] = True
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=setting.steps, learning_rate=setting.learning_rate,
            per_device_train_batch_size=setting.micro_batch_rows,
            gradient_accumulation_steps=setting.rows_per_step // setting.micro_batch_rows,
            lr_scheduler_type="linear" if setting.schedule == "linear" else "constant_with_warmup",
            warmup_steps=setting.warmup_steps, weight_decay=setting.weight_decay, adam_beta2=setting.beta2, **given,
        )  # fmt: skip
        trainer = Trainer(
            setting.transformers_model(), arguments, train_dataset=Rows(setting), callbacks=[_Ticks(clock)]
        )
        done = trainer.train()
        if setting.out is not None:
            trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False).save_pretrained(
                f"{setting.out}/model"
            )
    return clock.result(loss=done.training_loss)
