"""One optimizer step's gradient on two processes of gloo: the loss in DDP, FSDP2 and beside tensor parallel weights.

    torchrun --nproc_per_node 2 loss_worker.py FOLDER

FOLDER/LAYOUT.pt is what the first process has in the end: the loss, and the whole gradient by parameter.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from transformers import LlamaConfig, LlamaForCausalLM

from jpfm.train.attention import attention
from jpfm.train.loss.loss import IGNORE, LossModel

LAYOUTS = ("ddp", "fsdp", "fsdp-tied", "tensor")
EOS, SEQ_LEN, Z_LOSS = 2, 16, 1e-3


def batch() -> tuple[np.ndarray, torch.Tensor]:
    """Four rows of packed documents; the last two have fewer targets than the first two."""
    rows = np.random.default_rng(0).integers(3, 64, (4, SEQ_LEN + 1)).astype(np.uint32)
    rows[[0, 1, 2], [5, 9, 3]] = EOS
    targets = torch.from_numpy(rows[:, 1:].astype(np.int64))
    targets[2, 6:] = IGNORE
    targets[3, 11:] = IGNORE
    return rows[:, :-1], targets


def build(tied: bool) -> tuple[Any, attention.Attention]:
    """The same model on every process, and its attention."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            intermediate_size=48, max_position_embeddings=64, tie_word_embeddings=tied, use_cache=False,
        )
    )  # fmt: skip
    made = attention.make(
        "auto", model.config, device_type="cpu", document_mask=True, reset_positions=True, seq_len=SEQ_LEN, eos=EOS
    )
    model.config._attn_implementation = made.implementation
    return model, made


def step(model: nn.Module, made: attention.Attention, part: slice, data_world: int) -> float:
    """Backward of these rows' share of the mean over all targets; the mean in nats of these rows alone times it."""
    rows, targets = batch()
    count = int((targets != IGNORE).sum())
    ids = torch.from_numpy(rows[part].astype(np.int64))
    objective, nats = model(ids, targets[part], made.arguments(rows[part]))
    (objective * (data_world / count)).backward()
    return float(nats) / count


def gradients(model: Any) -> dict[str, torch.Tensor]:
    """Whole gradients by name, without the wrapper's prefixes."""
    found = {}
    for name, parameter in model.named_parameters():
        grad = parameter.grad.full_tensor() if isinstance(parameter.grad, DTensor) else parameter.grad
        found[name.removeprefix("module.").removeprefix("model.")] = grad
    return found


def main(folder: Path) -> None:
    """All layouts, one after the other."""
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    mesh = init_device_mesh("cpu", (2,))
    for layout in LAYOUTS:
        model, made = build(tied=layout == "fsdp-tied")
        whole: nn.Module
        part, data_world = slice(2 * rank, 2 * rank + 2), 2
        if layout == "ddp":
            whole = DistributedDataParallel(LossModel(model, z_loss=Z_LOSS))
        elif layout == "tensor":
            model.lm_head.weight = nn.Parameter(distribute_tensor(model.lm_head.weight.detach(), mesh, [Shard(0)]))
            whole = LossModel(model, z_loss=Z_LOSS)
            part, data_world = slice(0, 4), 1
        else:
            whole = LossModel(model, z_loss=Z_LOSS)
            for layer in model.model.layers:
                fully_shard(layer, mesh=mesh)
            if layout == "fsdp":  # tied weights belong to one unit, the root
                fully_shard(model.model.embed_tokens, mesh=mesh)
                fully_shard([model.model.norm, model.lm_head], mesh=mesh)
            fully_shard(whole, mesh=mesh)
        loss = torch.tensor(step(whole, made, part, data_world))
        if data_world > 1:
            dist.all_reduce(loss)
        found = {"loss": loss, **gradients(whole)}
        if rank == 0:
            torch.save(found, folder / f"{layout}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
