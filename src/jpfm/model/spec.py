"""Model sizes: settings to a transformers config, its own initialisation, and what it will cost.

spec = ModelSpec(size="8M")
config = spec.to_transformers(vocab_size=16_000, seq_len=512)
model = build(spec, vocab_size=16_000, seq_len=512, seed=0)      # fp32, initialised
print(estimate(config, seq_len=512))
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pydantic
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from jpfm.core.artifact import Artifact, verify
from jpfm.core.config import Settings
from jpfm.core.errors import ArtifactError

Positive = Annotated[int, pydantic.Field(ge=1)]
VOCAB_MULTIPLE = 64


class Shape(Settings):
    """Dimensions of a decoder."""

    hidden_size: Positive
    num_layers: Positive
    num_heads: Positive
    num_kv_heads: Positive
    intermediate_size: Positive
    tie_embeddings: bool = False


SIZES: dict[str, Shape] = {
    "1M": Shape(hidden_size=128, num_layers=4, num_heads=4, num_kv_heads=2, intermediate_size=352, tie_embeddings=True),
    "8M": Shape(hidden_size=256, num_layers=6, num_heads=4, num_kv_heads=4, intermediate_size=704, tie_embeddings=True),
    "150M": Shape(hidden_size=768, num_layers=12, num_heads=12, num_kv_heads=12, intermediate_size=2048),
    "1B": Shape(hidden_size=2048, num_layers=16, num_heads=32, num_kv_heads=8, intermediate_size=8192),
    "8B": Shape(hidden_size=4096, num_layers=32, num_heads=32, num_kv_heads=8, intermediate_size=14336),
}
"""Named sizes. The names round the parameter count with a 16k (1M, 8M), 32k (150M) and 128k (1B, 8B) vocabulary."""


class ModelSpec(Settings):
    """A model to train from scratch: a named size, with any dimension set otherwise."""

    family: Literal["llama"] = "llama"
    size: Literal["1M", "8M", "150M", "1B", "8B"]
    hidden_size: Positive | None = None
    """This and the next five override the named size; null keeps its value."""
    num_layers: Positive | None = None
    num_heads: Positive | None = None
    num_kv_heads: Positive | None = None
    intermediate_size: Positive | None = None
    tie_embeddings: bool | None = None
    rope_theta: Annotated[float, pydantic.Field(gt=0)] = 10_000.0
    init_std: Annotated[float, pydantic.Field(gt=0)] = 0.02
    """Standard deviation of the weights; the two matrices that write to the residual stream take it over
    sqrt(2 * num_layers) (Radford et al. 2019, GPT-2, section 2.3)."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "ModelSpec":
        shape = self.shape
        if shape.hidden_size % shape.num_heads:
            raise ValueError(f"hidden_size {shape.hidden_size} is not a multiple of num_heads {shape.num_heads}")
        if shape.num_heads % shape.num_kv_heads:
            raise ValueError(f"num_heads {shape.num_heads} is not a multiple of num_kv_heads {shape.num_kv_heads}")
        if shape.hidden_size // shape.num_heads % 2:
            raise ValueError("hidden_size / num_heads must be even: rotary positions turn pairs")
        return self

    @property
    def shape(self) -> Shape:
        named = SIZES[self.size]
        return named.model_copy(
            update={name: value for name in Shape.model_fields if (value := getattr(self, name)) is not None}
        )

    def to_transformers(
        self, vocab_size: int, seq_len: int, *, bos: int = 1, eos: int = 2, pad: int = 3
    ) -> LlamaConfig:
        """The transformers config. The vocabulary is padded to a multiple of 64 rows."""
        shape = self.shape
        return LlamaConfig(
            vocab_size=-(-vocab_size // VOCAB_MULTIPLE) * VOCAB_MULTIPLE,
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.num_layers,
            num_attention_heads=shape.num_heads,
            num_key_value_heads=shape.num_kv_heads,
            intermediate_size=shape.intermediate_size,
            tie_word_embeddings=shape.tie_embeddings,
            max_position_embeddings=seq_len,
            rms_norm_eps=1e-6,
            initializer_range=self.init_std,
            rope_parameters={"rope_type": "default", "rope_theta": self.rope_theta},
            bos_token_id=bos,
            eos_token_id=eos,
            pad_token_id=pad,
            use_cache=False,  # with a cache, packed documents would see each other
        )


def build(spec: ModelSpec, vocab_size: int, seq_len: int, *, seed: int) -> LlamaForCausalLM:
    """A freshly initialised model in fp32 on the CPU. The same seed gives the same weights everywhere."""
    config = spec.to_transformers(vocab_size, seq_len)
    config._attn_implementation = "sdpa"
    model = LlamaForCausalLM(config)
    residual_std = spec.init_std / math.sqrt(2 * config.num_hidden_layers)
    with torch.no_grad():
        for position, (name, parameter) in enumerate(sorted(model.named_parameters())):
            draw = torch.Generator().manual_seed(seed * 1_000_003 + position)
            if name.endswith("norm.weight"):
                parameter.fill_(1.0)
            else:
                writes_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                parameter.normal_(0.0, residual_std if writes_residual else spec.init_std, generator=draw)
    model.tie_weights()
    return model


def load(checkpoint: Artifact, tokenizer: Any, seq_len: int) -> Any:
    """The model of a checkpoint in fp32 on the CPU, to train on with tokens of a tokenizer. Never runs its code.

    Raises:
        ArtifactError: the checkpoint is damaged, or its ids or positions are not those of the tokens.
    """
    if problems := verify(checkpoint.path):
        raise ArtifactError(f"{checkpoint.path} is damaged: {problems[0]}", hint="copy it again; see `jpfm verify`")
    own = PreTrainedTokenizerFast.from_pretrained(checkpoint.path)
    if own.get_vocab() != tokenizer.get_vocab():
        raise ArtifactError(
            f"{checkpoint.path} was made with another tokenizer than the tokens: its ids mean other pieces",
            hint="pack the corpus with this checkpoint: jpfm tokens pack ... tokenizer=CHECKPOINT",
        )
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint.path, dtype=torch.float32, trust_remote_code=False, attn_implementation="sdpa"
    )
    limit = getattr(model.config, "max_position_embeddings", seq_len)
    if seq_len > limit:
        raise ArtifactError(
            f"{checkpoint.path} has {limit:,} positions, seq_len is {seq_len:,}", hint=f"set seq_len to {limit} or less"
        )
    if not hasattr(model, "lm_head") or not hasattr(model, "model"):
        raise ArtifactError(
            f"{checkpoint.path}: {type(model).__name__} has no `model` and `lm_head`",
            hint="train on from a Llama-like model (Llama, Qwen, Mistral, ...)",
        )
    model.config.use_cache = False  # with a cache, packed documents would see each other
    return model


@dataclass(frozen=True)
class Estimate:
    """What a model costs. `flops_per_token` is forward and backward."""

    parameters: int
    embedding_parameters: int
    flops_per_token: int
    """6 (N - N_embedding_lookup) + 12 L d s, the convention of PaLM's appendix B (Chowdhery et al. 2022)."""
    training_bytes: int
    """Weights, gradients and two Adam moments in fp32. Activations come on top."""


def estimate(config: Any, seq_len: int) -> Estimate:
    """Parameters, FLOPs and memory of a Llama config, from its dimensions alone."""
    hidden, layers, vocab = config.hidden_size, config.num_hidden_layers, config.vocab_size
    head = hidden // config.num_attention_heads
    attention = hidden * hidden * 2 + hidden * head * config.num_key_value_heads * 2
    block = attention + 3 * hidden * config.intermediate_size + 2 * hidden
    embedding = vocab * hidden
    matrices = layers * block + hidden + embedding  # the output matrix multiplies, the input one only looks up
    total = matrices + (0 if config.tie_word_embeddings else embedding)
    return Estimate(
        parameters=total,
        embedding_parameters=embedding,
        flops_per_token=6 * matrices + 12 * layers * hidden * seq_len,
        training_bytes=16 * total,
    )
