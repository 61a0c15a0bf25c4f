"""torchtitan's arm: its own Trainer, model, block compile and chunked loss, with our dimensions and our rows.

Written against torchtitan 0.3.0, which imports Triton and so runs on a GPU alone. Its varlen attention keeps documents
apart by positions that restart, as ours does. Its weights begin with its own rule: this arm is for speed, not for loss.
A step is counted where its loop asks whether to save.
"""

import dataclasses
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import torch
from benchmarks.train.clock import Clock
from benchmarks.train.setting import Setting

from jpfm.tokens.loader import Loader
from jpfm.tokens.order import positions


def model_spec(setting: Setting) -> Any:
    """torchtitan's 8B with our widths: the flavour that has no tied matrix and no bias."""
    from torchtitan.models import llama3  # type: ignore[import-not-found]

    ours = setting.transformers_config()
    rope_theta = ours.rope_parameters["rope_theta"]
    if ours.tie_word_embeddings:
        raise ValueError("this arm has no tied matrices: choose 1B or 8B dimensions")
    spec = llama3.model_registry("8B", attn_backend="varlen")
    theirs = spec.model
    rope = dataclasses.replace(
        theirs.layers[0].attention.rope,
        dim=ours.head_dim,
        max_seq_len=setting.seq_len,
        theta=rope_theta,
        scaling="none",
    )
    layers = llama3._build_llama3_layers(
        n_layers=ours.num_hidden_layers, dim=ours.hidden_size, n_heads=ours.num_attention_heads,
        n_kv_heads=ours.num_key_value_heads, hidden_dim=ours.intermediate_size, rope=rope, attn_backend="varlen",
    )  # fmt: skip
    model = dataclasses.replace(
        theirs, dim=ours.hidden_size, vocab_size=ours.vocab_size, layers=layers,
        tok_embeddings=dataclasses.replace(
            theirs.tok_embeddings, num_embeddings=ours.vocab_size, embedding_dim=ours.hidden_size
        ),
        norm=dataclasses.replace(theirs.norm, normalized_shape=ours.hidden_size),
        lm_head=dataclasses.replace(
            theirs.lm_head, in_features=ours.hidden_size, out_features=ours.vocab_size
        ),
    )  # fmt: skip
    return dataclasses.replace(spec, model=model)


def batches(setting: Setting) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
    """Our rows in torchtitan's form: input and positions, and labels."""
    order = setting.order()
    micro, eos = setting.micro_batch_rows, order.store.eos
    with Loader(order, 0, setting.steps) as loader:
        for _, rows in loader:
            for start in range(0, len(rows), micro):
                part = rows[start : start + micro]
                ids = torch.from_numpy(part.astype("int64"))
                place = torch.from_numpy(positions(part[:, :-1], eos))
                yield {"input": ids[:, :-1].contiguous(), "positions": place}, ids[:, 1:].contiguous()


def trainer_config(setting: Setting, folder: str) -> Any:
    """torchtitan's settings: bf16 products over fp32 weights, blocks and loss compiled, no checkpoints, no log."""
    from torchtitan.components.dataloader import BaseDataLoader  # type: ignore[import-not-found]
    from torchtitan.models.llama3 import config_registry  # type: ignore[import-not-found]

    class Rows(BaseDataLoader):  # type: ignore[misc]
        """Rows of TokenOrder."""

        @dataclasses.dataclass(kw_only=True, slots=True)
        class Config(BaseDataLoader.Config):  # type: ignore[misc]
            """Nothing of its own."""

        def __init__(self, config: Any, **_: Any) -> None:
            pass

        def __iter__(self) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
            return batches(setting)

        def state_dict(self) -> dict[str, Any]:
            """No state: nothing is saved."""
            return {}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            """Likewise."""

    config = config_registry.llama3_debugmodel()
    spec = model_spec(setting)
    config.model_spec = spec
    config.hf_assets_path = setting.tokenizer
    config.dump_folder = folder
    config.dataloader = Rows.Config()
    config.loss.loss_fn.global_vocab_size = spec.model.vocab_size
    config.training.local_batch_size = setting.micro_batch_rows
    config.training.global_batch_size = setting.rows_per_step
    config.training.seq_len = setting.seq_len
    config.training.steps = setting.steps
    config.training.disable_cuda_graphs = True  # document lengths differ from step to step
    config.compile.enable = True
    config.compile.components = ["model", "loss"]
    config.activation_checkpoint = None
    config.checkpoint.enable = False
    config.validator.enable = False
    config.metrics.log_freq = setting.steps + 1
    return config


def run(setting: Setting, clock: Clock) -> dict[str, Any]:
    """Train with torchtitan's Trainer."""
    os.environ.update(
        {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1",
         "MASTER_PORT": "29511"}
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_config(setting, folder).build()
        save = trainer.checkpointer.save

        def counted(*arguments: Any, **named: Any) -> Any:
            clock.tick()
            return save(*arguments, **named)

        trainer.checkpointer.save = counted
        try:
            trainer.train()
        finally:
            trainer.close()
            torch.distributed.destroy_process_group()
    return clock.result()
