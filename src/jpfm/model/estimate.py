"""What a model costs before it is trained: parameters, operations, memory of one process, hours.

    config = ModelSpec(size="8B").to_transformers(vocab_size=196_608, seq_len=4096)
    cost = estimate(config, seq_len=4096)                       # 8.6 B parameters, 52 GFLOP a token
    memory(config, rows=2, seq_len=4096, shards=64).total       # bytes of one process
    hours(cost.flops_per_token * tokens, devices=64, peak_flops=989e12, mfu=0.45)

Parameters are counted on the model itself, built without memory (0.1 s for 32 B parameters), so any causal language
model of transformers can be asked. Refused: a formula for each family, one more place where a bias or a norm is lost.
"""

import copy
from dataclasses import dataclass
from typing import Any, Literal

from jpfm.core.errors import UsageError

Checkpointing = Literal["none", "selective", "full"]


@dataclass(frozen=True)
class Estimate:
    """What a model costs. `flops_per_token` is forward and backward."""

    parameters: int
    active_parameters: int
    """Those that work on one token: of a mixture of experts only the chosen ones."""
    embedding_parameters: int
    """The input embedding; with tied embeddings the same matrix is the output's."""
    flops_per_token: int
    """6 (N_active - N_embedding_lookup) + 12 L d s, where d is heads x head width: PaLM's appendix B (Chowdhery et al.
    2022, arXiv:2204.02311). A tied matrix does multiply, at the output. Attention is not halved for being causal."""
    training_bytes: int
    """Weights, gradients and two Adam moments in fp32, whole. Activations come on top: see `memory`."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one process at its peak."""

    states: int
    """fp32 weights, gradients and optimizer."""
    gathered: int
    """bf16 copies of weights, weights of other processes while a block works, buffers of gradients on their way."""
    activations: int
    """What the backward pass of one micro-batch needs, and what it works in."""
    logits: int
    """One chunk of the loss, and the gradient of the output matrix before it is added up."""

    @property
    def total(self) -> int:
        """All of it; the libraries themselves (0.4 GB on a CPU, 1 to 2 GB on a GPU) come on top."""
        return self.states + self.gathered + self.activations + self.logits


@dataclass(frozen=True)
class _Counts:
    parameters: int
    embedding: int
    experts: int
    blocks: int
    """In decoder blocks."""
    block_matrices: int
    tied: bool


def estimate(config: Any, seq_len: int) -> Estimate:
    """Parameters, operations and memory of a transformers causal language model.

    Args:
        config: a transformers config; it is not changed.
        seq_len: unit tokens.
    Raises:
        UsageError: transformers has no causal language model for the config.
    """
    counts, width = _count(config), _Width(config)
    idle = round(counts.experts * (1 - width.chosen / width.experts)) if width.experts else 0
    active = counts.parameters - idle
    matrices = active - (0 if counts.tied else counts.embedding)
    return Estimate(
        parameters=counts.parameters,
        active_parameters=active,
        embedding_parameters=counts.embedding,
        flops_per_token=6 * matrices + 12 * width.layers * width.queries * seq_len,
        training_bytes=16 * counts.parameters,
    )


def hours(flops: float, devices: int, peak_flops: float, mfu: float) -> float:
    """Hours for so many operations on devices that reach the share `mfu` of their peak (operations a second)."""
    return flops / (devices * peak_flops * mfu) / 3600


def memory(
    config: Any,
    *,
    rows: int,
    seq_len: int,
    shards: int = 1,
    tensor: int = 1,
    checkpointing: Checkpointing = "none",
    bf16: bool = True,
    muon: bool = False,
    compiled: bool = False,
    chunk_bytes: int = 256 * 2**20,
) -> Memory:
    """Bytes of one process at its peak, at the end of the forward pass over the last micro-batch.

    With h hidden, q and k the widths of all query and key heads, f feed-forward, b bytes of a number (bf16 2, else 4),
    a block keeps for each token of a micro-batch, nothing checkpointed:

    - two norms: (4 + b) h each, input in fp32 and what is scaled; and b h each, input of the products. Norms of queries
      and keys: (4 + b) (q + k).
    - attention: b (2 q + 2 k) for queries, keys, values and output; 4 a head for the softmax's sum. No s x s matrix.
    - feed-forward: 4 b f for gate, its activation, up and product. Of experts the same with the chosen ones' width, and
      2 b h a chosen expert.
    - compiled blocks keep b h for a norm's input and its output, and 3 b f. Blocks that are neither compiled nor
      sharded run under autocast, which casts an fp32 norm's output once for each product: 3 b h more.

    `full` keeps b h a block, and one block whole; `selective` besides attention and every second product. The backward
    pass works in the gradients of one block's widest values, after the logits have gone. States are 4 bytes a weight,
    4 a gradient, 8 Adam (4 Muon, for matrices of blocks), over `shards`, matrices of blocks over `tensor` too. The loss
    holds a chunk of logits, a part of it in fp32, and an fp32 gradient of the output matrix.

    Source: the method of Korthikanti et al. 2022 (arXiv:2205.05198, section 4.1: 34 s b h + 5 a s^2 b for GPT with
    dropout), adapted to Llama blocks, attention that keeps no matrix, and a loss in chunks.
    Measured on a CPU, peak resident memory of whole steps (8M and 150M, 2 to 8 rows of 512, 16,000 to 100,000 pieces,
    fp32 and bf16): the estimate is 1.01 to 1.16 of it where freed blocks go back to the system
    (MALLOC_MMAP_THRESHOLD_=65536). By its own default glibc keeps freed blocks: up to 40 % more, not counted here.

    Args:
        rows: of one micro-batch of one process. seq_len: unit tokens.
        shards: processes that share one copy of the weights (FSDP2). tensor: processes that split each product.
        compiled: blocks by torch.compile.
        chunk_bytes: of logits that the loss holds at one time.
    """
    counts, width, tokens = _count(config), _Width(config), rows * seq_len
    number = 2 if bf16 else 4
    adam = 8 * counts.parameters - (4 * counts.block_matrices if muon else 0)
    split = counts.block_matrices - counts.block_matrices // tensor  # what tensor parallelism takes off
    own = (8 * (counts.parameters - split) + adam - adam * split // counts.parameters) // shards
    block = (counts.blocks - split) // width.layers
    ends = counts.parameters - counts.blocks
    if shards > 1:  # two blocks gathered (one works, one is fetched), one gradient on its way, both ends stay
        gathered = 2 * number * block + 4 * block + number * ends
    else:
        gathered = 2 * (counts.parameters - split) if bf16 else 0
    whole = width.kept(number, tensor, compiled)
    if bf16 and shards == 1 and not compiled:
        whole += 3 * number * width.hidden
    per_token = {
        "none": width.layers * whole,
        "selective": width.layers * width.selected(number, tensor) + whole,
        "full": width.layers * number * width.hidden + whole,
    }[checkpointing]
    ends_per_token = (4 + 4 * number) * width.hidden  # last norm, its output twice and that one's gradient
    chunk = min(tokens * config.vocab_size * number, chunk_bytes)
    chunk += chunk // 4  # a part of it in fp32, twice
    working = max(0, tokens * width.working(number, tensor) - chunk)  # begins where the logits have gone
    output = config.vocab_size * width.hidden
    return Memory(
        states=own,
        gathered=gathered,
        activations=tokens * (per_token + ends_per_token) + working,
        logits=chunk + (6 if bf16 else 4) * output,
    )


class _Width:
    """Widths of one block, numbers a token."""

    def __init__(self, config: Any) -> None:
        self.hidden: int = config.hidden_size
        self.layers: int = config.num_hidden_layers
        heads: int = config.num_attention_heads
        keys = getattr(config, "num_key_value_heads", None) or heads
        head = getattr(config, "head_dim", None) or self.hidden // heads
        self.heads, self.queries, self.keys = heads, heads * head, keys * head
        self.head_norms = str(config.model_type).startswith("qwen3")
        self.experts: int = getattr(config, "num_experts", None) or getattr(config, "num_local_experts", None) or 0
        self.chosen: int = config.num_experts_per_tok if self.experts else 1
        one = getattr(config, "moe_intermediate_size", None) if self.experts else None
        self.inner: int = self.chosen * (one or config.intermediate_size)

    def kept(self, number: int, tensor: int, compiled: bool) -> int:
        """Bytes a token of one block for the backward pass, all kept."""
        attention = number * (2 * self.queries + 2 * self.keys) + 4 * self.heads
        copies = 2 * number * self.hidden * self.chosen + 4 * 3 * self.experts if self.experts else 0
        if compiled:
            norms = 4 * number * self.hidden
            split = attention + 3 * number * self.inner + copies
            split += number * (self.queries + self.keys) if self.head_norms else 0
        else:
            norms = 2 * (4 + 2 * number) * self.hidden
            split = attention + 4 * number * self.inner + copies
            split += (4 + number) * (self.queries + self.keys) if self.head_norms else 0
        return norms + split // tensor

    def selected(self, number: int, tensor: int) -> int:
        """Bytes a token of one block: its input, attention's output, products 1, 3, 5, 7 (query, value, gate, down)."""
        inner = self.hidden * self.chosen if self.experts else self.inner
        return number * 2 * self.hidden + (number * (2 * self.queries + self.keys + inner) + 4 * self.heads) // tensor

    def working(self, number: int, tensor: int) -> int:
        """Bytes a token the backward pass works in: gradients around the widest place of a block."""
        return number * (2 * self.hidden + 3 * self.inner // tensor)


def _count(config: Any) -> _Counts:
    from jpfm.model.init import skeleton

    own = copy.deepcopy(config)
    own._attn_implementation = "eager"  # counts the same, and a name may not be registered yet
    try:
        model = skeleton(own)
    except ValueError as error:
        raise UsageError(
            f"transformers has no causal language model for a {type(config).__name__}",
            hint="use a Llama-like model (Llama, Qwen, Mistral, ...)",
        ) from error
    named = dict(model.named_parameters())
    inside = {name: parameter for name, parameter in named.items() if ".layers." in name}
    return _Counts(
        parameters=sum(parameter.numel() for parameter in named.values()),
        embedding=model.get_input_embeddings().weight.numel(),
        experts=sum(parameter.numel() for name, parameter in inside.items() if ".experts." in name),
        blocks=sum(parameter.numel() for parameter in inside.values()),
        block_matrices=sum(parameter.numel() for parameter in inside.values() if parameter.ndim > 1),
        tied=model.get_output_embeddings().weight is model.get_input_embeddings().weight,
    )
