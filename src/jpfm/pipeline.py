"""The whole pipeline in one file: recipe, tokenizer, tokens, training, eval, leaderboard.

    artifacts = run(config, Path("out/quickstart"))

Each stage is the stage a user can run alone; here they only get their inputs from each other. A finished stage is
skipped, an interrupted one resumes.
"""

from pathlib import Path
from typing import Literal

from jpfm.core.artifact import Artifact
from jpfm.core.config import Settings
from jpfm.core.log import log
from jpfm.core.shards import Engine
from jpfm.data.build import build
from jpfm.data.recipe import Recipe
from jpfm.eval.run import EvalConfig, evaluate
from jpfm.report.leaderboard import leaderboard
from jpfm.tokens import tokenizer as tokenizers
from jpfm.tokens.pack import TokensConfig, pack
from jpfm.tokens.tokenizer import TokenizerConfig
from jpfm.train.config import TrainConfig
from jpfm.train.loop import train


class PipelineConfig(Settings):
    """Settings of `jpfm run`: the settings of each stage. Their input folders are set by the pipeline."""

    stage: Literal["pipeline"]
    name: str
    data: Recipe
    tokenizer: TokenizerConfig
    tokens: TokensConfig = TokensConfig(stage="tokens")
    train: TrainConfig
    eval: EvalConfig


def run(config: PipelineConfig, out: Path, *, workers: int) -> Artifact:
    """Run all stages into `out`; returns the leaderboard."""
    for task in config.eval.tasks:  # a missing benchmark file is said now, not after training
        task.check()
    corpus = build(config.data, out / "corpus", engine=Engine(workers=workers))
    assert corpus is not None  # only a slice returns None
    log.info("corpus: %s", corpus.path)
    tokenizer = tokenizers.train(config.tokenizer, corpus, out / "tokenizer")
    tokens = pack(config.tokens, corpus, tokenizer, out / "tokens", engine=Engine(workers=workers))
    assert tokens is not None
    training = config.train.model_copy(update={"tokens": str(tokens.path), "tokenizer": str(tokenizer.path)})
    checkpoint = train(training, out / "model")
    scoring = config.eval.model_copy(update={"model": str(checkpoint.path), "corpus": str(corpus.path)})
    scores = evaluate(scoring, out / "scores")
    return leaderboard([scores], out / "leaderboard")
