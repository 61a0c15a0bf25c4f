"""Train a SentencePiece tokenizer on Japanese morphemes and export it to transformers, ids equal.

    artifact = train(config, corpus, Path("out/tokenizer"))
    tokenizer = load(artifact.path)                     # a transformers fast tokenizer

The stages, each a module: `training_text` takes lines by weights and shares, `morphemes` marks where no piece may span,
`sentencepiece_training` (or `mixed`, for vocabularies merged from parts) learns pieces, `export` writes the
transformers files, `parity` checks every line of the corpus and 50,000 fuzzed strings and refuses to finish where one
id differs.
"""

from pathlib import Path

import sentencepiece
from transformers import PreTrainedTokenizerFast

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.errors import ArtifactError
from jpfm.tokens import mixed, parity, sentencepiece_training, training_text
from jpfm.tokens.export import export
from jpfm.tokens.morphemes import cut
from jpfm.tokens.special_tokens import BOS, EOS, NEWLINE, PAD, SPECIALS, UNK
from jpfm.tokens.tokenizer_config import TokenizerConfig
from jpfm.tokens.training_text import TrainingText

VERSION = 2
__all__ = [
    "BOS", "EOS", "NEWLINE", "PAD", "SPECIALS", "UNK", "VERSION", "TokenizerConfig",
    "load", "load_sentencepiece", "train",
]  # fmt: skip


def train(config: TokenizerConfig, corpus: Artifact, out: Path) -> Artifact:
    """Train and export a tokenizer.

    Raises:
        UsageError: weights or parts name sources that the corpus does not have.
        DataError: the corpus is too small for the vocabulary or the shares, or an exported id differs.
    """

    def work(draft: Draft) -> Finished:
        model_file = draft.path / "sentencepiece.model"
        figures = draft.path / "training_text.json"
        if not (model_file.exists() and figures.exists()):
            draft.status("choosing the training text")
            text = _sampled(config, corpus)
            draft.status("training SentencePiece")
            model = mixed.learn(config, text, draft.path) if config.parts else _learn(config, text, draft.path)
            artifacts.write_text(figures, artifacts.canonical_json(text.chars(), indent=1) + "\n")
            temporary = model_file.with_suffix(".model.tmp")
            temporary.write_bytes(sentencepiece_training.finish(model, config))
            temporary.replace(model_file)
        draft.status("exporting and comparing ids")
        export(model_file.read_bytes(), config.special_tokens, draft.path)
        return Finished(parity.compare(draft.path, corpus, key=f"tokenizer/{config.seed}"))

    return artifacts.produce(
        out, kind="tokenizer", version=VERSION, config=config.identity(), parents=[corpus], work=work
    )


def _sampled(config: TokenizerConfig, corpus: Artifact) -> TrainingText:
    return training_text.sample(
        corpus, weights=config.weights, shares=config.shares, max_chars=config.max_training_chars,
        short=config.short_text, seed=config.seed,
    )  # fmt: skip


def _learn(config: TokenizerConfig, text: TrainingText, folder: Path) -> bytes:
    lines = cut(text.lines, config.morphemes, config.split_scripts)
    return sentencepiece_training.learn(lines, config, folder / "training.tmp", vocab_size=config.vocab_size)


def load(folder: Path) -> PreTrainedTokenizerFast:
    """Open the transformers tokenizer of a tokenizer or checkpoint folder. Never runs code from the folder."""
    if not (folder / "tokenizer.json").exists():
        raise ArtifactError(f"{folder} holds no tokenizer.json", hint="name a tokenizer or checkpoint folder")
    return PreTrainedTokenizerFast.from_pretrained(folder)


def load_sentencepiece(artifact: Artifact) -> sentencepiece.SentencePieceProcessor:
    """Open the SentencePiece model of a tokenizer artifact."""
    return sentencepiece.SentencePieceProcessor(model_file=str(artifact.path / "sentencepiece.model"))
