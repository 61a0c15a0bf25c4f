"""Extend a model's vocabulary with Japanese pieces: one checkpoint with model and tokenizer, checked before it is used.

    made = extend(ExtendConfig(stage="extend", base="models/llama-3"), corpus, Path("out/extended"))
    made.manifest.stats["bits_per_character"]      # {"base", "mean", "align", "random", "base_ids"}: bits

The base is a parent of the checkpoint, with its name and licence (`extend_base`). The checkpoint's folder holds the
model, its tokenizer, and in `tokenizer/` a tokenizer artifact to pack tokens with.
Old ids keep their rows bit for bit; new ids follow the tokenizer's last one (`tokens.extension.base` says why, and what
it means for models whose embedding is padded). The embedding is padded to a multiple of 64 rows.

An untrained new row always costs something: the model reads embeddings that it was not trained on, and has to predict
in one step what it knew in two. `bits_per_character` says how much, before any training, on held-out text:

- `base`: the base with its own tokenizer, before anything is added.
- `mean`, `align`, `random`: the extended model with the extended tokenizer, its new rows made in that way.
- `base_ids`: the extended model, rows as `init` makes them, reading text in the *base's* ids, so that no new piece is
  read or due. Old rows are untouched: what it has more than `base` is the probability that new output rows take from
  old ones. What the extended tokenizer adds to that is reading and predicting the new pieces themselves.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.config import Settings, place
from jpfm.core.errors import DataError, ModelError, UsageError
from jpfm.core.log import log
from jpfm.core.rights import check_licence
from jpfm.model.extend_base import Base, find_base, keep
from jpfm.model.extend_perplexity import bits_per_character
from jpfm.model.extend_rows import Init, fill, grow, rows_for
from jpfm.tokens.extension.base import BaseTokenizer
from jpfm.tokens.extension.checks import FUZZED, HeldOut, check_extension, held_out
from jpfm.tokens.extension.extend import Extension, VocabularySettings, extend_tokenizer, training_lines
from jpfm.tokens.parity import Checker

VERSION = 2
_SEQ_LEN = 512
_INITS: tuple[Init, ...] = ("mean", "align", "random")


class ExtendConfig(Settings):
    """Settings of `jpfm tokenizer extend`."""

    stage: Literal["extend"]
    name: str = "extended"
    """How the model is called in reports."""
    base: str | None = place()
    """Folder of a transformers model with its tokenizer, a checkpoint artifact, or a hub id in the local cache."""
    base_name: str | None = None
    """How `jpfm why` and reports call the base, e.g. its hub id; null takes nothing from the folder's name. A jpfm
    checkpoint has a name and sources with licences of its own."""
    base_licence: Annotated[str, pydantic.AfterValidator(check_licence)] | None = None
    """The base's licence: SPDX, or LicenseRef-NAME for terms of its own. null warns, and `jpfm why` says so."""
    corpus: str | None = place()
    """Folder of a corpus artifact with a held-out split."""
    vocabulary: VocabularySettings = VocabularySettings()
    init: Init = "mean"
    """How the rows of new pieces begin. mean: the mean of the old pieces that spell the new one. align: the mean of the
    old pieces at each place in the text where the new one stands (for BPE the same as mean). random: normal, with mean
    and covariance of the old rows."""
    rescale: bool = False
    """Give new rows the mean norm of the old ones. It cost 0.5 to 0.8 bits per character more in our measurements."""
    multiple: Annotated[int, pydantic.Field(ge=1, le=4096)] = 64
    """Rows of the embedding are a multiple of it."""
    check_chars: Annotated[int, pydantic.Field(ge=1)] = 2_000_000
    """Held-out text on which ids and text are compared."""
    fuzzed_strings: Annotated[int, pydantic.Field(ge=0)] = FUZZED
    perplexity_chars: Annotated[int, pydantic.Field(ge=1)] = 50_000
    """Held-out text on which bits per character are measured: of the base, of the extended model with new rows made in
    each way, and (`base_ids`) of the extended model on the base's ids, which shows what new output rows take from old
    ones."""
    perplexity_seq_len: Annotated[int, pydantic.Field(ge=8)] | None = None
    """Tokens of a window. null takes 512, or what the model takes where that is less; more than that is refused."""
    start: Literal["bos", "eos"] | None = None
    """The token before a text; null takes eos for a jpfm checkpoint, else bos, or eos where there is none."""
    seed: int = 0


def extend(config: ExtendConfig, corpus: Artifact, out: Path) -> Artifact:
    """Make the extended checkpoint.

    Raises:
        UsageError: no base, or the corpus keeps no documents apart.
        DataError: a tokenizer that cannot be extended, one that does not fit the model, or too little text.
    """
    if config.base is None:
        raise UsageError("base: this field is required", hint="set base=FOLDER of a model with its tokenizer")
    base = find_base(config.base)
    parents = [corpus, base.as_artifact(config.base_name, config.base_licence)]

    def work(draft: Draft) -> Finished:
        if base.artifact is None and config.base_licence is None:
            log.warning(
                "the base's licence is not stated, and `jpfm why` will say so: set base_licence=NAME (SPDX, or "
                "LicenseRef-NAME for terms of its own)"
            )
        keep(parents[-1], draft.path)
        return _work(config, base, corpus, parents, draft)

    return artifacts.produce(
        out, kind="checkpoint", version=VERSION, config=config.identity(), parents=parents, work=work
    )


def _work(config: ExtendConfig, base: Base, corpus: Artifact, parents: Sequence[Artifact], draft: Draft) -> Finished:
    text = held_out(corpus, config.check_chars)
    tokenizer = BaseTokenizer.open(base.folder)
    model = _open_model(base.folder, tokenizer)
    seq_len = _seq_len(config, model)
    start = _start(config, base)
    draft.status("learning pieces")
    extension = extend_tokenizer(tokenizer, training_lines(corpus, config.vocabulary), config.vocabulary)
    draft.status("comparing ids and text")
    checked = check_extension(extension, text, fuzzed=config.fuzzed_strings, seed=config.seed)
    made = _tokenizer(extension, checked, text, parents, config, draft)
    draft.status("making embeddings and measuring bits per character")
    rows = -(-extension.size // config.multiple) * config.multiple
    bits, had = _embed(config, model, extension, corpus, text, start, seq_len, rows)
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(draft.path)
    extension.write(draft.path)
    return Finished(
        {
            "name": config.name,
            "base": {"name": config.base_name, "licence": config.base_licence, "family": tokenizer.family,
                     "ids": tokenizer.next_id, "rows": had},
            "tokenizer": made.id,
            "vocab_size": extension.size,
            "rows": int(model.get_input_embeddings().weight.shape[0]),
            "pieces": len(extension.pieces),
            "training": dict(extension.training),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "init": config.init,
            "checks": checked,
            "bits_per_character": bits,
        }
    )  # fmt: skip


def _open_model(folder: Path, tokenizer: BaseTokenizer) -> Any:
    transformers.utils.logging.disable_progress_bar()  # jpfm shows its own
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", trust_remote_code=False, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise DataError(
            f"{folder}: no model that can be read: {reason}",
            hint="name a folder with config.json and *.safetensors, as save_pretrained writes it",
        ) from error
    rows = int(model.get_input_embeddings().weight.shape[0])
    if tokenizer.next_id > rows:
        raise DataError(
            f"{folder}: the tokenizer has ids up to {tokenizer.next_id - 1}, the model {rows} rows: they do not fit",
            hint="the folder mixes two models; name the tokenizer that the model was trained with",
        )
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def _seq_len(config: ExtendConfig, model: Any) -> int:
    """Tokens of a window.

    Raises:
        UsageError: the model takes fewer than are asked for.
    """
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is None:
        return config.perplexity_seq_len or _SEQ_LEN
    if config.perplexity_seq_len is not None and config.perplexity_seq_len > longest:
        raise UsageError(
            f"perplexity_seq_len: a window of {config.perplexity_seq_len:,} tokens, the base takes {longest:,}",
            hint=f"set perplexity_seq_len={longest} or less, or leave it out",
        )
    return config.perplexity_seq_len or min(_SEQ_LEN, int(longest))


def _start(config: ExtendConfig, base: Base) -> int:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(base.folder)
    ids = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id}
    wanted = [config.start] if config.start else ["eos", "bos"] if base.artifact else ["bos", "eos"]
    found = next((ids[name] for name in wanted if ids[name] is not None), None)
    if found is None:
        raise DataError(
            f"{base.folder}: the tokenizer names no {' or '.join(wanted)} token to begin a text with",
            hint="name one in tokenizer_config.json, or set start=bos or start=eos",
        )
    return int(found)


def _tokenizer(
    extension: Extension, checked: dict[str, Any], text: HeldOut, parents: Sequence[Artifact], config: ExtendConfig,
    draft: Draft,
) -> Artifact:  # fmt: skip
    """The tokenizer as an artifact of its own, inside the checkpoint's folder."""

    def work(inner: Draft) -> Finished:
        extension.write(inner.path)
        PreTrainedTokenizerFast.from_pretrained(inner.path)  # transformers reads what was written
        if (inner.path / "sentencepiece.model").exists():
            Checker(inner.path).check(text.lines.unique(maintain_order=True).to_list(), comes_back=False)
        rates = checked["chars_per_token"]["all"]
        return Finished(
            {"vocab_size": extension.size, "chars_per_token": rates["after"], "pieces": len(extension.pieces)} | checked
            | {"chars_per_token_by_source": checked["chars_per_token"]["by_source"], "chars_per_token": rates["after"]}
        )  # fmt: skip

    identity = config.identity()
    kept = {name: identity[name] for name in ("stage", "vocabulary", "fuzzed_strings", "check_chars", "seed")}
    return artifacts.produce(
        draft.path / "tokenizer", kind="tokenizer", version=VERSION, config=kept, parents=parents, work=work
    )


def _embed(
    config: ExtendConfig, model: Any, extension: Extension, corpus: Artifact, text: HeldOut, start: int, seq_len: int,
    rows: int,
) -> tuple[dict[str, float], int]:  # fmt: skip
    """Grow the model, try each way to make rows and leave it with the one that is asked for."""
    texts = _sample(text, config.perplexity_chars)

    def measure(tokenizer: Any) -> float:
        def encode(lines: Sequence[str]) -> list[list[int]]:
            return [e.ids for e in tokenizer.encode_batch_fast(list(lines), add_special_tokens=False)]

        value = bits_per_character(model, encode, texts, start=start, seq_len=seq_len)
        if not value < float("inf"):
            raise ModelError(f"bits per character are {value}", hint="the base's weights are damaged, or need fp32")
        return round(value, 4)

    bits = {"base": measure(extension.base.text)}
    first = extension.base.next_id
    old = [layer.weight[:first].detach().clone() for layer in _matrices(model)]
    had = grow(model, rows)
    extended = extension.tokenizer()
    for init in [*(one for one in _INITS if one != config.init), config.init]:
        made = rows_for(init, extension, training_lines(corpus, config.vocabulary))
        fill(model, extension, init, made, rescale=config.rescale, seed=config.seed, had=had)
        bits[init] = measure(extended)
        log.info("%s: %.4f bits per character, the base has %.4f", init, bits[init], bits["base"])
    bits["base_ids"] = measure(extension.base.text)
    for was, layer in zip(old, _matrices(model), strict=True):
        if not torch.equal(was, layer.weight[:first]):
            raise ModelError("rows of old pieces changed", hint="report this model; do not use the result")
    return bits, had


def _matrices(model: Any) -> list[Any]:
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    return [layer for layer in layers if layer is not None]


def _sample(text: HeldOut, max_chars: int) -> list[str]:
    """Lines evenly over the held-out text, at most so many characters."""
    total = int(text.lines.str.len_chars().sum())
    taken = text.lines.gather_every(max(1, -(-total // max_chars)))
    within = taken.str.len_chars().cum_sum() <= max_chars
    return list((taken.filter(within) if within.any() else taken.head(1)).to_list())
