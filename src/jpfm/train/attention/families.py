"""What a family of models needs from attention, and the sentence that refuses what a kernel would leave out.

    facts = facts(model.config)
    check(facts, "varlen", document_mask=True)             # UsageError with the mend, or nothing

Two lines of defence, because a family may leak without an error: the configuration before start, and every call of the
attention function (`check_call`), which sees the sinks, capped scores and changed masks that a layer really asks for.
"""

from typing import Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM

from jpfm.core.errors import UsageError

_KNOWN_LAYERS = ("full_attention", "sliding_attention")
_ASKED_FOR = {
    "s_aux": "attention sinks",
    "softcap": "capped scores",
    "position_bias": "a position bias",
    "cache": "a cache",
}


class Facts(NamedTuple):
    """The part of a model's configuration that decides how it may attend."""

    model_type: str
    window: int | None
    """Tokens back that sliding layers see; None: no layer slides."""
    by_layer_type: bool
    """The decoder takes one mask for each type of layer."""
    mixers: tuple[str, ...]
    """Layers through which documents would see each other whatever the mask: recurrent, chunked, convolutions."""
    takes_sdpa: bool
    """Attention is a plain softmax of scores: no sinks, no capped scores."""
    dropout: float
    query_dim: int
    value_dim: int

    @property
    def needs_own_masks(self) -> bool:
        """Only transformers' own masks serve this family."""
        return bool(self.mixers) or not self.takes_sdpa


def facts(model_config: Any) -> Facts:
    """Read a transformers configuration.

    Raises:
        UsageError: it is not one of a causal language model.
    """
    config = model_config.get_text_config()
    try:
        family = AutoModelForCausalLM._model_mapping[type(config)]
    except KeyError:
        raise UsageError(
            f"{type(config).__name__} is not the configuration of a causal language model of transformers",
            hint="train a decoder such as Llama, Qwen3 or Mistral",
        ) from None
    family = family[0] if isinstance(family, tuple) else family
    layers = tuple(getattr(config, "layer_types", None) or ())
    mixers = tuple(sorted(set(layers) - set(_KNOWN_LAYERS)))
    if not mixers and (getattr(family, "_is_stateful", False) or not getattr(family, "_supports_attention_backend", 0)):
        mixers = ("layers that do not call transformers' attention interface",)
    if not mixers and getattr(config, "index_topk", None):
        mixers = ("sparse attention by an index",)
    if not mixers and getattr(config, "attention_chunk_size", None):
        mixers = ("chunked_attention",)
    slides = "sliding_attention" in layers if layers else getattr(config, "use_sliding_window", True)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    value_dim = getattr(config, "v_head_dim", None) or head_dim
    return Facts(
        model_type=str(config.model_type),
        window=getattr(config, "sliding_window", None) if slides else None,
        by_layer_type=bool(layers),
        mixers=mixers,
        takes_sdpa=bool(getattr(family, "_supports_sdpa", False))
        and getattr(config, "attn_logit_softcapping", None) is None,
        dropout=float(getattr(config, "attention_dropout", 0.0) or 0.0),
        query_dim=getattr(config, "qk_head_dim", None) or head_dim,
        value_dim=value_dim,
    )


def check(family: Facts, kind: str, *, document_mask: bool) -> None:
    """Refuse what this way to attend would compute wrongly for the family.

    Raises:
        UsageError: with the mend.
    """
    name = family.model_type
    if family.mixers:
        what = ", ".join(family.mixers)
        mend = "set attention=sdpa, document_mask=false and reset_positions=false"
        if document_mask:
            raise UsageError(f"{name} has {what}: packed documents would see each other", hint=f"{mend} to accept that")
        raise UsageError(f"attention: {kind}: {name} has {what}, which it does not compute", hint=mend)
    if kind in ("varlen", "sdpa") and not family.takes_sdpa:
        raise UsageError(
            f"attention: {kind}: {name} has attention sinks or capped scores, which {kind} does not compute",
            hint="set attention=flex (on a GPU)",
        )
    if kind in ("varlen", "flex") and family.dropout:
        raise UsageError(
            f"attention: {kind}: it has no dropout; this model's attention_dropout is {family.dropout:g}",
            hint="set attention=sdpa, or attention_dropout to 0 in the checkpoint's config.json",
        )
    if kind == "varlen" and family.query_dim != family.value_dim:
        raise UsageError(
            f"attention: varlen: {name} has queries of {family.query_dim} and values of {family.value_dim} numbers a "
            "head; flash kernels take one size",
            hint="set attention=sdpa",
        )


def no_flash(family: Facts, device_type: str, dtype: torch.dtype) -> str | None:
    """Why the flash kernels of this device cannot be used; None: they can."""
    if device_type == "cpu":
        return None
    if dtype not in (torch.bfloat16, torch.float16):
        return f"flash attention on {device_type} takes bfloat16, not {str(dtype).removeprefix('torch.')}"
    if device_type == "cuda" and torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0):
        return "flash attention needs compute capability 8.0 (A100 or newer)"
    if family.query_dim > 256 or family.query_dim % 8:
        return f"flash attention takes heads of up to 256 numbers, a multiple of 8; here {family.query_dim}"
    return None


def check_call(module: Any, attention_mask: Any, dropout: float, window: int | None, others: dict[str, Any]) -> None:
    """Refuse what one layer asks for and a kernel without masks does not do.

    Raises:
        UsageError: with the mend.
    """
    name = type(module).__name__
    for key, what in _ASKED_FOR.items():
        if others.get(key) is not None:
            raise UsageError(f"attention: varlen: {name} asks for {what}", hint="set attention=flex (on a GPU)")
    if attention_mask is not None:
        raise UsageError(f"attention: varlen: {name} changes the mask", hint="set attention=sdpa")
    if dropout:
        raise UsageError(f"attention: varlen: {name} asks for dropout {dropout:g}", hint="set attention=sdpa")
    if window is None and getattr(module, "sliding_window", None) is not None:
        raise UsageError(f"attention: varlen: {name} keeps its sliding window to itself", hint="set attention=sdpa")
    if not getattr(module, "is_causal", True) or others.get("is_causal") is False:
        raise UsageError(f"attention: varlen: {name} looks ahead", hint="set attention=sdpa, document_mask=false")
