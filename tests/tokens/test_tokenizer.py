"""The tokenizer: transformers gives SentencePiece's ids, text comes back, training is the same every time."""

import re
from pathlib import Path

import pydantic
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError, DataError
from jpfm.data.build import read_documents
from jpfm.tokens.tokenizer import BOS, EOS, PAD, SPECIALS, UNK, TokenizerConfig, load, load_sentencepiece, train

SETTINGS = TokenizerConfig(stage="tokenizer", vocab_size=1500, character_coverage=0.98, required_characters="none")
TEXT = {"add_special_tokens": False, "split_special_tokens": True}
LINES = [
    "吾輩は猫である。名前はまだ無い。",
    "㈱髙橋①Ⅲ㎡〜−… 株式会社",
    "　字下げのある行",
    "  二つの空白  が  続く ",
    "Hello, world! 0123456789 3.14",
    "𠮷野家👨‍👩‍👧‍👦🍣",
    "ーーーーー……、、。。",
    "a<b || c>d と <s> は文字である",
    "タブ\tと記号 _ ▲ ■",
    "",
]
characters = st.sampled_from("あいうえおかがアイー日本語東京駅、。 　…〜0123aBc<|>eos\t①髙🍣é") | st.characters(
    exclude_categories=["Cs", "Cc"], exclude_characters="▁\n"
)


@pytest.fixture(scope="module")
def fast(tokenizer: Artifact) -> PreTrainedTokenizerFast:
    return load(tokenizer.path)


@pytest.fixture(scope="module")
def pieces(tokenizer: Artifact) -> sentencepiece.SentencePieceProcessor:
    return load_sentencepiece(tokenizer)


@pytest.mark.parametrize("line", LINES)
def test_ids_equal_sentencepiece_and_text_comes_back(
    fast: PreTrainedTokenizerFast, pieces: sentencepiece.SentencePieceProcessor, line: str
) -> None:
    ids = pieces.encode(line)
    assert fast(line, **TEXT)["input_ids"] == ids
    assert pieces.decode(ids) == fast.decode(ids) == line
    assert not {UNK, BOS, EOS, PAD} & set(ids)


@given(line=st.text(characters, max_size=60))
def test_ids_are_equal_and_text_comes_back_for_any_line(
    fast: PreTrainedTokenizerFast, pieces: sentencepiece.SentencePieceProcessor, line: str
) -> None:
    ids = pieces.encode(line)
    assert fast(line, **TEXT)["input_ids"] == ids
    assert pieces.decode(ids) == fast.decode(ids) == line


@pytest.mark.parametrize("line", ["<|eos|>は<|user|>と書く", "<0x41><0xFF>は文字", "<|eos|><|eos|>", "<|un", "<0x4>"])
def test_text_that_spells_a_special_piece_is_text(
    fast: PreTrainedTokenizerFast, pieces: sentencepiece.SentencePieceProcessor, line: str
) -> None:
    assert fast(line, **TEXT)["input_ids"] == pieces.encode(line)


def test_special_tokens_and_line_ends_have_their_ids(fast: PreTrainedTokenizerFast, tokenizer: Artifact) -> None:
    assert fast.convert_tokens_to_ids(list(SPECIALS)) == [UNK, BOS, EOS, PAD]
    assert (fast.eos_token_id, fast.bos_token_id, fast.pad_token_id) == (EOS, BOS, PAD)
    assert len(fast) == tokenizer.manifest.stats["vocab_size"] == 1500
    (newline,) = fast("\n", add_special_tokens=False)["input_ids"]
    assert fast("一\n\n二", add_special_tokens=False)["input_ids"].count(newline) == 2
    reserved = load(tokenizer.path).convert_tokens_to_ids(list(SETTINGS.special_tokens.control))
    assert len(set(reserved)) == 10
    assert UNK not in reserved


def test_no_piece_spans_a_word_a_digit_pair_or_a_line(pieces: sentencepiece.SentencePieceProcessor) -> None:
    vocabulary = [pieces.id_to_piece(i) for i in range(pieces.vocab_size()) if not pieces.is_byte(i)]
    assert not [piece for piece in vocabulary if sum(char.isdigit() and char.isascii() for char in piece) > 1]
    assert [piece for piece in vocabulary if "\n" in piece] == ["\n"]
    assert not [piece for piece in vocabulary if "\x1f" in piece]
    assert max(len(piece) for piece in vocabulary if not piece.startswith("<|")) <= SETTINGS.max_piece_chars
    assert sum(pieces.is_byte(i) for i in range(pieces.vocab_size())) == 256


def test_training_is_the_same_every_time_and_settings_matter(
    corpus: Artifact, tokenizer: Artifact, tmp_path: Path
) -> None:
    assert train(SETTINGS, corpus, tmp_path / "again").id == tokenizer.id
    other = train(SETTINGS.model_copy(update={"morphemes": "none"}), corpus, tmp_path / "other")
    assert other.id != tokenizer.id
    sampled = train(SETTINGS.model_copy(update={"max_training_chars": 60_000}), corpus, tmp_path / "sampled")
    assert sampled.id not in (other.id, tokenizer.id)


def test_the_manifest_tells_how_well_it_fits(corpus: Artifact, tokenizer: Artifact) -> None:
    stats = tokenizer.manifest.stats
    chars = sum(len(text.replace("\n", "")) for b in read_documents(corpus, ["text"]) for text in b["text"].to_pylist())
    assert stats["chars"] == chars
    assert stats["chars_per_token"] == pytest.approx(chars / stats["tokens"], abs=1e-4)
    assert 0 < stats["byte_token_share"] < 0.3
    assert tokenizer.manifest.parents == (corpus.id,)


def test_a_vocabulary_too_large_for_the_text_is_one_sentence(corpus: Artifact, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        train(SETTINGS.model_copy(update={"vocab_size": 500_000}), corpus, tmp_path / "a")
    assert "SentencePiece cannot train 500000 pieces on" in caught.value.message
    assert re.fullmatch(r"set vocab_size to \d+ or less, or give it more text", caught.value.hint)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("settings", [{"vocab_size": 100}, {"character_coverage": 0.95}, {"max_piece_chars": 0}])
def test_settings_sentencepiece_would_refuse_are_refused_first(settings: dict[str, float]) -> None:
    with pytest.raises(pydantic.ValidationError):
        TokenizerConfig.model_validate({"stage": "tokenizer"} | settings)


def test_a_folder_without_tokenizer_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"holds no tokenizer\.json"):
        load(tmp_path)
