"""Attention that keeps the documents of a packed row apart, at full speed and without a flash-attn wheel.

    attention = make("auto", model.config, device_type="cuda", document_mask=True, reset_positions=True,
                     seq_len=4096, eos=2)
    model.config._attn_implementation = attention.implementation
    model.model(input_ids=ids, use_cache=False, **attention.arguments(rows[:, :-1], device))

`varlen` (the default) hands cumulative lengths to a kernel that takes each document by itself: torch's flash attention
on CUDA, `document_attention` on a CPU. `flex` compiles a block mask into the kernel; `sdpa` builds a mask of seq_len x
seq_len. All three are registered with transformers, which would otherwise find packed documents only in positions that
restart, build that mask in every forward pass and, with a cache, forget it (a loss of 6.9424 instead of 6.9378, no
error). Refused: a flash-attn wheel (built for one torch and CUDA), flash arguments through transformers (a device
synchronisation in every layer). What a kernel cannot compute for a family of models is refused, never left out.
"""

import functools
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.flex_attention import flex_attention_forward
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface

from jpfm.core.errors import UsageError
from jpfm.tokens.order import positions
from jpfm.train.attention import families
from jpfm.train.attention.document_attention import document_attention

log = logging.getLogger(__name__)
Setting = Literal["auto", "varlen", "flex", "sdpa"]
Kind = Literal["varlen", "flex", "sdpa", "native"]


@dataclass(frozen=True)
class Attention:
    """How a model attends, and what its decoder must be told about each micro-batch."""

    kind: Kind
    implementation: str
    """For `config._attn_implementation`."""
    seq_len: int
    eos: int
    document_mask: bool
    reset_positions: bool
    window: int | None = None
    """Tokens back that a sliding layer sees, itself included; None: no layer slides."""
    by_layer_type: bool = field(default=False)
    """The decoder takes one mask for each type of layer."""

    def arguments(self, inputs: npt.NDArray[Any], device: torch.device | str = "cpu") -> dict[str, Any]:
        """Keyword arguments of the decoder for these rows, on the device.

        Args:
            inputs: token ids, shape (rows, seq_len).
        """
        if self.reset_positions:
            place = positions(inputs, self.eos)
        else:
            place = np.arange(inputs.shape[1], dtype=np.int64)[np.newaxis]
        given: dict[str, Any] = {"position_ids": _to(place, device)}
        if self.kind == "varlen":
            lengths, longest = cumulative_lengths(inputs, self.eos if self.document_mask else None)
            given["cumulative_lengths"] = _to(lengths, device)
            torch._dynamo.maybe_mark_dynamic(given["cumulative_lengths"], 0)
            given["max_length"] = longest if torch.device(device).type == "cuda" else self.seq_len  # one graph less
        elif self.kind == "sdpa" and (self.document_mask or self.window is not None):
            ids = _to(self._documents(inputs), device)
            given["attention_mask"] = self._masks(lambda window: _dense_mask(ids, window))
        elif self.kind == "flex":
            ids = _to(self._documents(inputs), device)
            given["attention_mask"] = self._masks(lambda window: _block_mask(ids, window))
        return given

    def _documents(self, inputs: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """The number of each token's document within its row."""
        if not self.document_mask:
            return np.zeros(inputs.shape, dtype=np.int32)
        return np.cumsum(inputs == self.eos, axis=1, dtype=np.int32)

    def _masks(self, make_mask: Callable[[int | None], Any]) -> Any:
        if not self.by_layer_type:
            return make_mask(self.window)
        whole = {"full_attention": make_mask(None)}
        return whole | ({"sliding_attention": make_mask(self.window)} if self.window is not None else {})


def make(
    setting: Setting, model_config: Any, *, device_type: str, document_mask: bool, reset_positions: bool,
    seq_len: int, eos: int, dtype: torch.dtype = torch.bfloat16,
) -> Attention:  # fmt: skip
    """Choose a way to attend, register it with transformers, and check that it computes what the model needs.

    Args:
        setting: auto is varlen, but sdpa on CUDA in fp32 or on a GPU before Ampere, which have no flash kernel.
        dtype: of the products; flash kernels on CUDA take bfloat16 and float16.
    Raises:
        UsageError: the model has layers that would let documents leak, or that this kernel does not compute.
    """
    facts = families.facts(model_config)
    missing = families.no_flash(facts, device_type, dtype)
    kind: Kind = ("sdpa" if missing else "varlen") if setting == "auto" else setting
    if kind == "varlen" and missing:
        raise UsageError(f"attention: varlen: {missing}", hint="set attention=sdpa")
    if setting == "auto" and missing:
        log.info("attention: sdpa, with a mask: %s", missing)
    if kind == "flex" and device_type == "cpu":
        raise UsageError(
            "attention: flex: torch's flex_attention has no backward pass on a CPU", hint="set attention=varlen"
        )
    if document_mask or kind != "sdpa":
        families.check(facts, kind, document_mask=document_mask)
    elif facts.needs_own_masks:
        if reset_positions:
            raise UsageError(
                f"reset_positions: {facts.model_type} makes its own masks, and takes positions that restart for "
                "separate documents in some layers but not in all",
                hint="set reset_positions=false",
            )
        if not facts.takes_sdpa:
            raise UsageError(
                f"attention: sdpa: {facts.model_type} has attention sinks or capped scores; sdpa has neither",
                hint="set attention=flex (on a GPU)",
            )
        return Attention("native", "sdpa", seq_len, eos, document_mask, reset_positions)
    window = facts.window if facts.window is not None and facts.window < seq_len else None
    name = f"jpfm_{kind}"
    if kind == "varlen":
        AttentionInterface.register(name, _varlen if device_type == "cpu" else _varlen_flash())
    else:
        AttentionInterface.register(name, _flex if kind == "flex" else _sdpa)
    AttentionMaskInterface.register(name, _no_mask)
    return Attention(
        kind, name, seq_len, eos, document_mask, reset_positions, window, by_layer_type=facts.by_layer_type
    )


def cumulative_lengths(inputs: npt.NDArray[Any], eos: int | None) -> tuple[npt.NDArray[np.int32], int]:
    """Where documents begin in the flattened rows, and a bound of their length.

    >>> cumulative_lengths(np.array([[7, 7, 2, 8], [2, 8, 8, 2]]), eos=2)
    (array([0, 2, 4, 7, 8], dtype=int32), 4)

    Args:
        inputs: token ids, shape (rows, seq_len).
        eos: None: each row is one document.
    Returns:
        The beginnings and the number of tokens, int32; the longest document, rounded up to a power of two (at most
        seq_len), so that a compiled model meets few values.
    """
    rows, seq_len = inputs.shape
    begins = np.zeros(inputs.shape, dtype=bool) if eos is None else inputs == eos
    begins[:, 0] = True
    lengths = np.append(np.flatnonzero(begins.reshape(-1)), rows * seq_len).astype(np.int32)
    longest = int(np.diff(lengths).max())
    return lengths, min(seq_len, 1 << (longest - 1).bit_length())


def _to(array: npt.NDArray[Any], device: torch.device | str) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _no_mask(*_: Any, **__: Any) -> None:
    """transformers' own mask: none; what the kernel needs comes with the arguments."""


def _dense_mask(ids: Tensor, window: int | None) -> Tensor:
    """Document numbers (rows, S) -> who sees whom, boolean, shape (rows, 1, S, S)."""
    count = torch.arange(ids.shape[1], device=ids.device)
    distance = count.unsqueeze(1) - count
    seen = distance >= 0 if window is None else (distance >= 0) & (distance < window)
    return (ids[:, None, :, None] == ids[:, None, None, :]) & seen


def _block_mask(ids: Tensor, window: int | None) -> Any:
    """The same, as blocks that flex_attention skips or takes whole."""
    from torch.nn.attention.flex_attention import create_block_mask

    def seen(row: Tensor, _: Tensor, query: Tensor, key: Tensor) -> Tensor:
        near = (query >= key) & (ids[row, query] == ids[row, key])
        return near if window is None else near & (query - key < window)

    rows, seq_len = ids.shape
    compiled = ids.device.type == "cuda"  # without it, the mask of seq_len x seq_len is made on the way
    return create_block_mask(seen, rows, None, seq_len, seq_len, device=ids.device, _compile=compiled)


def _one_dtype(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Under autocast rotary positions leave query and key in fp32, value is bfloat16."""
    if torch.is_autocast_enabled(query.device.type):
        dtype = torch.get_autocast_dtype(query.device.type)
    else:
        dtype = value.dtype
    return query.to(dtype), key.to(dtype), value.to(dtype)


def _varlen(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, scaling: float | None = None,
    dropout: float = 0.0, sliding_window: int | None = None, cumulative_lengths: Tensor | None = None,
    max_length: int | None = None, flash: Callable[..., Tensor] | None = None, **others: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """transformers' call: query (rows, heads, S, D) -> (rows, S, heads, D)."""
    families.check_call(module, attention_mask, dropout, sliding_window, others)
    if cumulative_lengths is None or max_length is None:
        raise UsageError(
            f"attention: varlen: {type(module).__name__} is not told where documents begin", hint="set attention=sdpa"
        )
    query, key, value = _one_dtype(query, key, value)
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    if flash is None:
        return document_attention(query, key, value, cumulative_lengths, scale, sliding_window)[0], None
    rows, _, seq_len, _ = query.shape
    flat = [part.transpose(1, 2).flatten(0, 1) for part in (query, key, value)]
    return flash(*flat, cumulative_lengths, max_length, scale, sliding_window).unflatten(0, (rows, seq_len)), None


@functools.cache
def _varlen_flash() -> Callable[..., tuple[Tensor, None]]:
    from torch.nn.attention.varlen import varlen_attn

    return functools.partial(_varlen, flash=adapted(varlen_attn))


def adapted(varlen_attn: Callable[..., Any]) -> Callable[..., Tensor]:
    """torch's varlen attention under one signature; its own differs between torch 2.10 and 2.13.

    Returns:
        (query (T, H, D), key (T, G, D), value, cumulative lengths, longest, scale, window or None) -> (T, H, D).
    """
    names = inspect.signature(varlen_attn).parameters
    windows, groups, scales = "window_size" in names, "enable_gqa" in names, "scale" in names

    def flash(
        query: Tensor, key: Tensor, value: Tensor, cumulative: Tensor, longest: int, scale: float, window: int | None
    ) -> Tensor:
        settings: dict[str, Any] = {}
        shared = query.shape[1] // key.shape[1]
        if groups:
            settings["enable_gqa"] = shared > 1
        elif shared > 1:
            key, value = key.repeat_interleave(shared, dim=1), value.repeat_interleave(shared, dim=1)
        if windows:
            settings["window_size"] = (-1 if window is None else window - 1, 0)
        elif window is None:
            settings["is_causal"] = True
        else:
            raise UsageError("attention: varlen: this torch has no sliding windows", hint="install torch>=2.11")
        if scales:
            settings["scale"] = scale
        else:
            query = query * (scale * query.shape[2] ** 0.5)
        return varlen_attn(query, key, value, cumulative, cumulative, longest, longest, **settings)

    return flash


def _flex(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **others: Any
) -> tuple[Tensor, Any]:
    query, key, value = _one_dtype(query, key, value)
    return flex_attention_forward(module, query, key, value, attention_mask, **others)


def _sdpa(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **others: Any
) -> tuple[Tensor, Any]:
    return sdpa_attention_forward(module, query, key, value, attention_mask, **others)
