"""The ceiling: the shortest torch loop around transformers' model. No log, no checks, no checkpoints, no masks.

`plain` is eager. `plain_blocks` compiles each block; `plain_compiled` compiles model and loss as one, which is faster
on a CPU (8M model, one thread: 1.22 s against 1.81 s of CPU time a step; eager 1.95 s). Documents that share a row see
each other, and the loss is `F.cross_entropy` over whole logits.
"""

import itertools
from typing import Any, Literal

import torch
from benchmarks.train.clock import Clock
from benchmarks.train.setting import Setting
from torch import Tensor
from torch.nn import functional

from jpfm.tokens.loader import Loader


def run(setting: Setting, clock: Clock, compiled: Literal["no", "blocks", "whole"]) -> dict[str, Any]:
    """Train, and leave nothing."""
    device = torch.device(setting.device)
    model: Any = setting.transformers_model().to(device).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=setting.learning_rate, betas=(0.9, setting.beta2), weight_decay=setting.weight_decay,
        fused=True,
    )  # fmt: skip
    if compiled == "blocks":
        for block in model.model.layers:
            block.forward = torch.compile(block.forward, fullgraph=True)

    def loss_of(inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(setting.device, torch.bfloat16, enabled=setting.precision == "bf16"):
            logits = model(input_ids=inputs, use_cache=False).logits
        return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    forward = torch.compile(loss_of) if compiled == "whole" else loss_of
    micro = setting.micro_batch_rows
    parts = setting.rows_per_step // micro
    loss = torch.zeros(())
    with Loader(setting.order(), 0, setting.steps) as batches:
        for _, rows in batches:
            ids = torch.from_numpy(rows.astype("int64"))
            if setting.device == "cuda":
                ids = ids.pin_memory().to(device, non_blocking=True)
            for start in itertools.islice(itertools.count(0, micro), parts):
                part = ids[start : start + micro]
                loss = forward(part[:, :-1].contiguous(), part[:, 1:].contiguous()) / parts
                loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            clock.tick()
    if setting.out is not None:
        model.save_pretrained(f"{setting.out}/model")
    return clock.result(loss=float(loss) * parts)
