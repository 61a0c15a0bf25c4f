"""Block products in float8 by torchao: about 1.2 to 1.4 times bf16 on Hopper, where everything is compiled.

float8.convert(model, device, compiled=True, tensor=1)

Without compile float8 is slower than bf16 (0.23 times in nanochat's log), so it refuses to run that way. The first and
last product of the model (embedding and output matrix) stay bf16; so do products whose sizes are no multiples of 16.
Refused: gathering weights in float8 under FSDP2. torchao then keeps them in a wrapper whose memory cannot be seen, and
checkpoints were written full of noise without an error.
"""

from typing import Any

import torch
from torch import nn

from jpfm.core.errors import UsageError


def convert(model: Any, device: torch.device, *, compiled: bool, tensor: int) -> None:
    """Replace the linear layers of the blocks, in place.

    Raises:
        UsageError: the device, the settings or the installation cannot do it.
    """
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 9):
        raise UsageError(
            "precision: fp8 needs a GPU with float8 products (Hopper, Ada or newer)", hint="set precision: bf16"
        )
    if not compiled:
        raise UsageError(
            "precision: fp8 without compile is slower than bf16", hint="set compile: true, or precision: bf16"
        )
    if tensor > 1:
        raise UsageError(
            "precision: fp8 with parallel.tensor is not there", hint="set parallel.tensor: 1, or precision: bf16"
        )
    try:
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training
    except ImportError as error:
        raise UsageError("precision: fp8 needs torchao", hint="pip install torchao, or set precision: bf16") from error
    convert_to_float8_training(
        model.model.layers,
        config=Float8LinearConfig(pad_inner_dim=True),
        module_filter_fn=_fits,
    )


def _fits(module: nn.Module, name: str) -> bool:
    return isinstance(module, nn.Linear) and module.in_features % 16 == 0 and module.out_features % 16 == 0
