"""What a run reads, opened and checked before any process computes: tokens, tokenizer, base model, order.

    inputs = open_inputs(config)
    inputs.order.batch(0); inputs.parents; inputs.model_config

Every process of a run does this by itself, and finds the same.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedTokenizerFast

from jpfm.core import artifact as artifacts
from jpfm.core import lineage
from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError, UsageError
from jpfm.core.log import log
from jpfm.model.extend_base import find_base
from jpfm.tokens import tokenizer as tokenizers
from jpfm.tokens.order import TokenOrder
from jpfm.tokens.pack import open_tokenizer
from jpfm.tokens.store import TokenStore
from jpfm.train.config import TrainConfig


@dataclass(frozen=True)
class Inputs:
    """The artifacts of a run, and what follows from them."""

    tokens: list[Artifact]
    tokenizer_artifact: Artifact
    tokenizer: PreTrainedTokenizerFast
    base: Artifact | None
    """The model of init_from, or the checkpoint of branch_from."""
    store: TokenStore
    order: TokenOrder
    model_config: Any
    """Of transformers."""

    @property
    def parents(self) -> list[Artifact]:
        """What the checkpoint's manifest names."""
        own = [*self.tokens, self.tokenizer_artifact]
        return own if self.base is None or self.base.id == self.tokenizer_artifact.id else [*own, self.base]


def open_inputs(config: TrainConfig) -> Inputs:
    """Open everything that the settings name.

    Raises:
        UsageError: a setting does not fit what was found.
        ArtifactError: an artifact is missing, damaged, or belongs to something else.
        DataError: the tokens do not fill one row.
    """
    if not config.tokens_folders:
        raise UsageError("tokens: this field is required", hint="set tokens=FOLDER of a tokens artifact")
    tokens = [artifacts.open_artifact(Path(folder), "tokens") for folder in config.tokens_folders]
    tokenizer_artifact = find_tokenizer(config, tokens[0])
    store = TokenStore.open(*tokens)
    unended = [str(one.path) for one in tokens if not one.manifest.stats.get("append_eos", True)]
    if unended:
        raise UsageError(
            f"{unended[0]} was packed with append_eos: false: documents would run into each other",
            hint="pack it again with append_eos: true",
        )
    order = TokenOrder(store, config.seq_len, config.rows_per_step, config.seed, config.mixture, config.packing)
    if config.branch_from is None:  # a branch's data may not begin at its own step
        order.check(config.num_steps)
    tokenizer = tokenizers.load(tokenizer_artifact.path)
    base = _base(config)
    return Inputs(
        tokens, tokenizer_artifact, tokenizer, base, store, order, _model_config(config, base, tokenizer, store)
    )


def find_tokenizer(config: TrainConfig, tokens: Artifact) -> Artifact:
    """The tokenizer that the tokens were packed with.

    Raises:
        ArtifactError: it is not found, or the one named is another.
    """
    wanted = tokens.manifest.stats["tokenizer"]
    if config.tokenizer is not None:
        found = open_tokenizer(Path(config.tokenizer))
        if wanted is not None and found.id != wanted:
            raise ArtifactError(
                f"{config.tokenizer} is {found.id}, but {tokens.path} was packed with {wanted}",
                hint="name the tokenizer the tokens were packed with, or pack the tokens again",
            )
        return found
    for parent in lineage.parents(tokens):
        if not isinstance(parent, str) and parent.id == wanted and (parent.path / "tokenizer.json").exists():
            return parent
    place = tokens.manifest.run.inputs.get(wanted or "")
    if place is not None and (folder := (tokens.path.absolute() / place).resolve()).is_dir():
        found = open_tokenizer(folder)  # another program's, which has no manifest of its own
        if found.id == wanted:
            return found
    raise ArtifactError(
        f"{wanted or 'a tokenizer'}, which {tokens.path} needs, is neither beside it nor where it was",
        hint="set tokenizer=FOLDER",
    )


def _base(config: TrainConfig) -> Artifact | None:
    if config.branch_from is not None:
        return artifacts.open_artifact(Path(config.branch_from), "checkpoint")
    if config.init_from is None:
        return None
    base = find_base(config.init_from)
    if base.artifact is not None and config.init_licence is not None:
        raise UsageError(
            f"init_licence: {config.init_from} is a checkpoint of jpfm, whose licence its own lineage says",
            hint="leave init_licence out",
        )
    if base.artifact is None and config.init_licence is None:
        log.warning("init_licence: %s says no licence, and the lineage will say so: set init_licence", config.init_from)
    return base.as_artifact(Path(config.init_from).name, config.init_licence)


def _model_config(config: TrainConfig, base: Artifact | None, tokenizer: Any, store: TokenStore) -> Any:
    if config.model is not None:
        return config.model.to_transformers(
            store.vocab_size, config.seq_len,
            bos=tokenizer.bos_token_id, eos=tokenizer.eos_token_id, pad=tokenizer.pad_token_id,
        )  # fmt: skip
    assert base is not None  # the settings have one of the three
    missing = [name for name in ("config.json", "tokenizer.json") if not (base.path / name).exists()]
    if missing:
        raise ArtifactError(
            f"{base.path} has no {' and no '.join(missing)}",
            hint="name a transformers folder with its fast tokenizer; the tokens must be packed with it",
        )
    if PreTrainedTokenizerFast.from_pretrained(base.path).get_vocab() != tokenizer.get_vocab():
        raise ArtifactError(
            f"{base.path} was made with another tokenizer than the tokens: its ids mean other pieces",
            hint="pack the corpus with this checkpoint: jpfm tokens pack ... tokenizer=CHECKPOINT",
        )
    found = AutoConfig.from_pretrained(base.path, trust_remote_code=False)
    limit = getattr(found, "max_position_embeddings", config.seq_len)
    if config.seq_len > limit:
        raise ArtifactError(
            f"{base.path} has {limit:,} positions, seq_len is {config.seq_len:,}",
            hint=f"set seq_len to {limit} or less",
        )
    if store.vocab_size > found.vocab_size:
        raise ArtifactError(
            f"{base.path} has {found.vocab_size:,} pieces, the tokens {store.vocab_size:,}",
            hint="extend the model with `jpfm tokenizer extend`, then pack with it",
        )
    return found
