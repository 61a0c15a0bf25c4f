"""Bits per character on documents kept out of training: comparable between tokenizers, and it moves early."""

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
import pydantic

from jpfm.core.artifact import open_artifact
from jpfm.core.errors import DataError, UsageError
from jpfm.data.build import read_documents
from jpfm.eval import stats
from jpfm.eval.task import Context, LanguageModel, Row, Scored, Task, digest


class BitsPerCharacter(Task):
    """-log2 p(document and its end) over its characters, documents weighted by their length."""

    task: Literal["bits_per_character"]
    max_chars: Annotated[int, pydantic.Field(ge=1)] | None = None
    """Stop after this many characters of held-out text; null takes all of it."""
    seed: int = 0
    """Of the bootstrap over documents."""
    group = "modelling"
    title = {"ja": "文字あたりビット数", "en": "Bits per character"}
    definition = {
        "ja": "学習に使っていない文書の符号長（文末記号を含む）を文字数で割った値。小さいほどよい。",
        "en": "Code length of documents kept out of training (their end included) over characters. Lower is better.",
    }
    metric: ClassVar[str] = "bits_per_character"
    higher_is_better: ClassVar[bool] = False
    scorer: ClassVar[str] = "sliding_window_half_context"
    source = "held-out split of the training corpus"
    licence = "as the corpus"

    def run(self, model: LanguageModel, context: Context) -> Scored:
        if context.corpus is None:
            raise UsageError("bits_per_character needs the corpus", hint="set corpus=FOLDER of the corpus artifact")
        ids, sources, texts = self._documents(context)
        likelihoods = model.document_loglikelihood(texts)
        bits = np.array([-value.total / math.log(2) for value in likelihoods])
        chars = np.array([float(len(text)) for text in texts])
        rows = [
            Row(
                item_id=identity, item_sha256=digest(text), prompt=text[:200], gold=None, answer=None, correct=None,
                level=source, value=float(b / c), weight=float(c),
            )
            for identity, source, text, b, c in zip(ids, sources, texts, bits, chars, strict=True)
        ]  # fmt: skip
        uniform = math.log2(len({char for text in texts for char in text}))
        interval = stats.bootstrap_ratio(bits, chars, seed=self.seed)
        return Scored(interval, "bootstrap over documents, 95 %", rows, {"uniform_over_characters": uniform})

    def _documents(self, context: Context) -> tuple[list[str], list[str], list[str]]:
        assert context.corpus is not None
        corpus = open_artifact(context.corpus, "corpus")
        ids: list[str] = []
        sources: list[str] = []
        texts: list[str] = []
        total = 0
        for batch in read_documents(corpus, ["id", "source", "text"], split="held_out"):
            for row in batch.to_pylist():
                if self.max_chars is not None and total >= self.max_chars:
                    break
                ids.append(row["id"])
                sources.append(row["source"])
                texts.append(row["text"])
                total += len(row["text"])
        if not texts:
            raise DataError("no held-out documents", hint="raise held_out_share in the recipe's split step")
        return ids, sources, texts
