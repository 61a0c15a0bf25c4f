"""Model sizes: a named size and what is set beside it, to a transformers config and a model to train.

    spec = ModelSpec(size="8M")                                        # or size="8B", num_layers=8, family="qwen3"
    config = spec.to_transformers(vocab_size=16_000, seq_len=512)      # LlamaConfig, Qwen3Config or Qwen3MoeConfig
    model = build(spec, vocab_size=16_000, seq_len=512, seed=0)        # whole, fp32, initialised, on the CPU

A size is a file of `configs/model/` (package data in `model/sizes/`): family, dimensions, where each number is from.
`ModelSpec.identity()` holds the dimensions themselves, so a size file that changes is another model, not the same name.
What a model costs is `model.estimate`; initialisation of sharded models is `model.init`. torch and transformers are
imported when a model is made, not when a config is read. Refused: a table of sizes in this file (the sources of 60
numbers had no place in it).
"""

import difflib
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from jpfm.core.config import Settings
from jpfm.core.config import load as load_settings

Positive = Annotated[int, pydantic.Field(ge=1)]
PositiveFloat = Annotated[float, pydantic.Field(gt=0)]
NotNegative = Annotated[float, pydantic.Field(ge=0)]
Family = Literal["llama", "qwen3", "qwen3_moe"]
"""llama: Touvron et al. 2023. qwen3: besides, queries and keys are normalised by head, and a head has its own width.
qwen3_moe: besides, each layer's feed-forward network is a mixture of experts."""

_FOLDER = Path(__file__).parent / "sizes"
_EXPERTS = ("num_experts", "experts_per_token", "expert_intermediate_size", "balance_coefficient")


class Shape(Settings):
    """Family and dimensions of a decoder: what a file of `configs/model/` says."""

    family: Family
    hidden_size: Positive
    num_layers: Positive
    num_heads: Positive
    num_kv_heads: Positive
    head_dim: Positive | None = None
    """Width of a head; null: hidden_size / num_heads."""
    intermediate_size: Positive | None = None
    """Width of the feed-forward network; for a mixture of experts `expert_intermediate_size` instead."""
    num_experts: Positive | None = None
    experts_per_token: Positive | None = None
    expert_intermediate_size: Positive | None = None
    balance_coefficient: NotNegative | None = None
    """Weight of the auxiliary loss that evens out how often each expert is chosen."""
    tie_embeddings: bool = False
    rope_theta: PositiveFloat = 10_000.0
    norm_eps: PositiveFloat = 1e-6

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Shape":
        self.check()
        return self

    @property
    def head_width(self) -> int:
        """Width of a head."""
        return self.head_dim or self.hidden_size // self.num_heads

    def check(self) -> None:
        """Raise ValueError, in a sentence that begins with the field, when there is no such model."""
        if self.head_dim is None and self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}, and head_dim is null"
            )
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}")
        if self.head_width % 2:
            raise ValueError(f"head_dim {self.head_width} must be even: rotary positions turn pairs")
        if self.family == "qwen3_moe":
            if missing := [name for name in _EXPERTS if getattr(self, name) is None]:
                raise ValueError(f"family qwen3_moe needs {', '.join(missing)}")
            if self.intermediate_size is not None:
                raise ValueError("intermediate_size is not used: all layers are experts; set expert_intermediate_size")
            if (self.experts_per_token or 0) > (self.num_experts or 0):
                raise ValueError(f"experts_per_token {self.experts_per_token} of num_experts {self.num_experts}")
        else:
            if given := [name for name in _EXPERTS if getattr(self, name) is not None]:
                raise ValueError(f"{given[0]} is for family: qwen3_moe; family is {self.family}")
            if self.intermediate_size is None:
                raise ValueError(f"intermediate_size is required for family: {self.family}")


def sizes() -> tuple[str, ...]:
    """Names of the sizes there are, smallest width first."""
    names = [path.stem for path in sorted(_FOLDER.glob("*.yaml"))]
    return tuple(sorted(names, key=lambda name: (shape_of(name).hidden_size * shape_of(name).num_layers, name)))


@functools.cache
def shape_of(size: str) -> Shape:
    """The shape of a named size.

    Raises:
        UsageError: the file has a problem; the line is named.
    """
    return load_settings(_FOLDER / f"{size}.yaml", Shape).config


class ModelSpec(Settings):
    """A model to train from scratch: a named size, with any dimension set otherwise, or all dimensions."""

    size: str | None = None
    """A file of configs/model/ without its ending, such as 8M; null: every dimension is given here."""
    family: Family | None = None
    """This and the fields down to norm_eps replace what the size's file says; null keeps it."""
    hidden_size: Positive | None = None
    num_layers: Positive | None = None
    num_heads: Positive | None = None
    num_kv_heads: Positive | None = None
    head_dim: Positive | None = None
    intermediate_size: Positive | None = None
    num_experts: Positive | None = None
    experts_per_token: Positive | None = None
    expert_intermediate_size: Positive | None = None
    balance_coefficient: NotNegative | None = None
    tie_embeddings: bool | None = None
    rope_theta: PositiveFloat | None = None
    norm_eps: PositiveFloat | None = None
    init_std: PositiveFloat = 0.02
    """Standard deviation of the weights."""
    scaled_residual_init: bool = True
    """The matrices that write to the residual stream take init_std / sqrt(2 * num_layers)
    (Radford et al. 2019, GPT-2, section 2.3)."""
    vocab_multiple: Positive = 64
    """The vocabulary is padded to a multiple of so many rows; 128 or 256 where the tensor cores or a split over
    processes ask for it."""

    @pydantic.field_validator("size")
    @classmethod
    def _known(cls, size: str | None) -> str | None:
        names = sizes()
        if size is not None and size not in names:
            near = difflib.get_close_matches(size, names, n=1, cutoff=0.3)
            guess = f"; did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"no size '{size}'{guess} Sizes: {', '.join(names)}")
        return size

    @pydantic.model_validator(mode="after")
    def _check(self) -> "ModelSpec":
        fields = self._fields()
        if missing := [
            name for name, field in Shape.model_fields.items() if field.is_required() and name not in fields
        ]:
            raise ValueError(
                f"size: name one of {', '.join(sizes())}, or give every dimension; missing: {', '.join(missing)}"
            )
        Shape.model_construct(None, **fields).check()
        return self

    def _fields(self) -> Mapping[str, Any]:
        given = {name: value for name in Shape.model_fields if (value := getattr(self, name)) is not None}
        named = shape_of(self.size).model_dump(exclude_none=True) if self.size is not None else {}
        if given.get("family", named.get("family")) != named.get("family"):
            # an override to or from experts: the size's feed-forward width is not that of the other kind
            moe = given["family"] == "qwen3_moe"
            dropped = ("intermediate_size",) if moe else _EXPERTS
            named = {name: value for name, value in named.items() if name not in dropped}
        return named | given

    @property
    def shape(self) -> Shape:
        """Family and dimensions, after what is set beside the size."""
        return Shape(**self._fields())

    def identity(self) -> dict[str, Any]:
        """The settings with the dimensions of the size written out; they load back to an equal model."""
        return super().identity() | self.shape.identity()

    def to_transformers(self, vocab_size: int, seq_len: int, *, bos: int = 1, eos: int = 2, pad: int = 3) -> Any:
        """The transformers config: LlamaConfig, Qwen3Config or Qwen3MoeConfig.

        Args:
            vocab_size: pieces of the tokenizer; padded to a multiple of vocab_multiple rows.
            seq_len: unit tokens; the longest position.
        """
        from transformers import LlamaConfig, Qwen3Config, Qwen3MoeConfig

        shape = self.shape
        experts: dict[str, Any] = {}
        width = shape.intermediate_size
        if shape.family == "qwen3_moe":
            assert shape.experts_per_token is not None
            assert shape.expert_intermediate_size is not None
            width = shape.experts_per_token * shape.expert_intermediate_size  # of no layer; other programs read it
            experts = {
                "num_experts": shape.num_experts,
                "num_experts_per_tok": shape.experts_per_token,
                "moe_intermediate_size": shape.expert_intermediate_size,
                "router_aux_loss_coef": shape.balance_coefficient,
                "norm_topk_prob": True,  # as all published Qwen3 models; the class's own default is false
            }
        kind = {"llama": LlamaConfig, "qwen3": Qwen3Config, "qwen3_moe": Qwen3MoeConfig}[shape.family]
        return kind(
            vocab_size=-(-vocab_size // self.vocab_multiple) * self.vocab_multiple,
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.num_layers,
            num_attention_heads=shape.num_heads,
            num_key_value_heads=shape.num_kv_heads,
            head_dim=shape.head_width,
            intermediate_size=width,
            tie_word_embeddings=shape.tie_embeddings,
            max_position_embeddings=seq_len,
            rms_norm_eps=shape.norm_eps,
            initializer_range=self.init_std,
            rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
            bos_token_id=bos,
            eos_token_id=eos,
            pad_token_id=pad,
            **experts,
        )


def build(spec: ModelSpec, vocab_size: int, seq_len: int, *, seed: int) -> Any:
    """A freshly initialised model in fp32 on the CPU: what the processes of a sharded run hold together."""
    from jpfm.model.init import initialise, materialise, skeleton

    config = spec.to_transformers(vocab_size, seq_len)
    config._attn_implementation = "sdpa"
    model = materialise(skeleton(config), "cpu")
    initialise(model, seed=seed, std=spec.init_std, num_layers=spec.shape.num_layers, scaled=spec.scaled_residual_init)
    return model
