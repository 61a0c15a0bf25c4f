"""What users type has a piece, though the training text never held it."""

import unicodedata
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
import sentencepiece

from jpfm.core.artifact import Artifact
from jpfm.data.build import read_documents
from jpfm.tokens import sentencepiece_training
from jpfm.tokens.characters import required
from jpfm.tokens.tokenizer_config import TokenizerConfig

TYPED = [
    "㈱１２№",
    "ﾄｳｷｮｳﾊﾟﾋﾟﾌﾟ",
    "￥９８，０００",
    "㍻30・㋿7",
    "25℃／㎡",
    "①②⑳ⅣⅩ",
    "ＡＢＣ～ｘｙｚ",
    "ヴァイオリンゐゑヰヱ",
]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_typed_characters_have_pieces(corpus: Artifact, kind: str, tmp_path: Path) -> None:
    texts = pa.chunked_array([batch.column("text") for batch in read_documents(corpus, ["text"])])
    lines = pl.Series(pl.from_arrow(texts)).str.split("\n").explode()
    spelled = {}
    for which in ("basic", "none"):
        config = TokenizerConfig.model_validate(
            {
                "stage": "tokenizer",
                "model": kind,
                "vocab_size": 2800,
                "character_coverage": 0.98,
                "required_characters": which,
            }
        )
        learned = sentencepiece_training.learn(lines, config, tmp_path / "units", vocab_size=2800)
        pieces = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_training.finish(learned, config))
        spelled[which] = [text for text in TYPED if any(pieces.is_byte(token) for token in pieces.encode(text))]
    assert spelled["basic"] == []
    assert len(spelled["none"]) >= 5


def test_sets_hold_what_they_say() -> None:
    basic, kanji = set(required("basic")), set(required("jis-level-1"))
    assert not required("none")
    assert basic < kanji
    assert {unicodedata.name(character).split("-")[0] for character in kanji - basic} == {"CJK UNIFIED IDEOGRAPH"}
    assert {"亜", "腕"} <= kanji - basic
    assert "弌" not in kanji  # level 2
    assert all(not character.isspace() and len(character.encode()) <= 3 for character in kanji)
    assert set("".join(TYPED)) <= basic
