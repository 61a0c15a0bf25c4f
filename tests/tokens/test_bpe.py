"""Our BPE merges give the ids of SentencePiece: trained models, random vocabularies, ties, runs without an end."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from jpfm.core.artifact import Artifact
from jpfm.data.build import read_documents
from jpfm.tokens.bpe import Bpe
from jpfm.tokens.encoder import Encoder
from jpfm.tokens.fuzz import strings

MODELS: dict[str, dict[str, Any]] = {
    "bytes": {"byte_fallback": True},
    "no_bytes": {},
    "symbols": {"byte_fallback": True, "user_defined_symbols": ["\n", "東京都", "京都府庁", "<|x|>", "▁▁", "ー"]},
    "digits": {"byte_fallback": True, "split_digits": True, "user_defined_symbols": ["\n"]},
    "prefixed": {"byte_fallback": True, "add_dummy_prefix": True, "user_defined_symbols": ["\n", "▁あ"]},
    "prefixed_no_bytes": {"add_dummy_prefix": True},
    "tiny": {"vocab_size": 1410, "split_by_unicode_script": False, "byte_fallback": True},
}
ATOMS = [
    *"あいうえおがぎ日本東京都府庁人年月一二三、。「」ー…・", *"ｱｶﾞﾊﾟ｡", *"abcXYZ019 　\n\t\r\x00\u200b\ufeff▁", "東京都",
    "京都府庁", "<|x|>", "▁▁", "  ", "か\u3099", "👨‍👩‍👧", "𠮷", "葛\U000e0100", "\U0010ffff", "\ufffd", "<0x0A>",
    "<s>", "</s>", "<unk>",
]  # fmt: skip
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
Made = tuple[Encoder, sentencepiece.SentencePieceProcessor]
texts = st.lists(st.sampled_from(ATOMS), max_size=40).map("".join) | st.text(max_size=30)


def proto_of(pieces: Sequence[tuple[str, float, int]]) -> Any:
    """A BPE model over text as it is, of these pieces."""
    proto = sentencepiece_model_pb2.ModelProto()
    for text, score, kind in (("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), *pieces):
        proto.pieces.add(piece=text, score=score, type=kind)
    proto.trainer_spec.model_type = proto.trainer_spec.BPE
    proto.normalizer_spec.add_dummy_prefix = False
    proto.normalizer_spec.remove_extra_whitespaces = False
    return proto


def split(ids: np.ndarray[Any, Any], offsets: np.ndarray[Any, Any]) -> list[list[int]]:
    return [part.tolist() for part in np.split(ids, offsets[1:-1])] if len(offsets) > 1 else []


def ids_of(model: Encoder | Bpe, documents: list[str]) -> list[list[int]]:
    if isinstance(model, Encoder):
        return split(*model.encode(pa.array(documents, pa.string())))
    data = "".join(documents).encode()
    starts = np.cumsum([0, *(len(document.encode()) for document in documents)])
    return split(*model.encode(np.frombuffer(data, np.uint8), starts))


def compare(proto: Any, documents: list[str]) -> None:
    model = Bpe.compile(proto)
    assert model is not None
    processor = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    found = ids_of(model, documents)
    for document, ids in zip(documents, found, strict=True):
        expected = processor.encode(document)
        assert ids == expected, (document, [(piece.piece, piece.score, piece.type) for piece in proto.pieces])


@pytest.fixture(scope="session")
def lines(corpus: Artifact) -> list[str]:
    """All lines of the sample."""
    return [
        line for batch in read_documents(corpus, ["text"]) for text in batch["text"].to_pylist()
        for line in text.split("\n")
    ]  # fmt: skip


@pytest.fixture(scope="session")
def made(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """Our encoder and SentencePiece's for each of `MODELS`, trained on the sample."""
    folder = tmp_path_factory.mktemp("bpe")

    def make(kind: str) -> Made:
        path = folder / f"{kind}.model"
        if not path.exists():
            options = {"vocab_size": 4000, "character_coverage": 0.98, "add_dummy_prefix": False} | MODELS[kind]
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines), model_prefix=str(path.with_suffix("")), model_type="bpe",
                normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True,
                max_sentencepiece_length=12, minloglevel=2, num_threads=2, **options,
            )  # fmt: skip
        encoder = Encoder.open(path)
        assert encoder.way == "bpe"
        return encoder, sentencepiece.SentencePieceProcessor(model_file=str(path))

    return make


@pytest.mark.parametrize("kind", MODELS)
def test_ids_are_those_of_sentencepiece_on_the_sample(kind: str, made: Callable[[str], Made], lines: list[str]) -> None:
    encoder, processor = made(kind)
    assert ids_of(encoder, lines) == processor.encode(lines)
    whole = ["\n".join(lines[:300]), "", "\n".join(lines[300:])]
    assert ids_of(encoder, whole) == processor.encode(whole)


@pytest.mark.parametrize("kind", MODELS)
def test_ids_are_those_of_sentencepiece_on_fuzzed_strings(kind: str, made: Callable[[str], Made]) -> None:
    encoder, processor = made(kind)
    pieces = [processor.id_to_piece(number) for number in range(processor.vocab_size())]
    fuzzed = strings(8_000, key=kind, pieces=pieces)
    found = split(*encoder.encode(fuzzed))
    for text, ids, expected in zip(fuzzed.to_pylist(), found, processor.encode(fuzzed.to_pylist()), strict=True):
        assert ids == expected, repr(text)


@pytest.mark.parametrize("kind", MODELS)
def test_ids_are_those_of_sentencepiece_on_made_up_strings(kind: str, made: Callable[[str], Made]) -> None:
    encoder, processor = made(kind)

    @given(st.lists(texts, min_size=1, max_size=5))
    @example(["", " ", "", "  ", "▁"])
    @example(["京都府庁東京都府庁", "東京都" * 40, "ーーー", " あ", "あ"])
    def check(documents: list[str]) -> None:
        assert ids_of(encoder, documents) == [processor.encode(document) for document in documents]

    check()


@settings(max_examples=300)
@given(
    pieces=st.dictionaries(
        st.text("a▁猫", min_size=1, max_size=5),
        st.tuples(st.sampled_from([0.0, -1.0, -2.0, -4.5, 2.0]), st.sampled_from([NORMAL] * 3 + [USER_DEFINED])),
        min_size=1, max_size=14,
    ),
    documents=st.lists(st.text("a 猫▁𠮷", max_size=30), min_size=1, max_size=4),
    prefixed=st.booleans(),
)  # fmt: skip
@example(
    pieces={"a": (0.0, NORMAL), "aa猫a": (0.0, NORMAL), "猫a": (0.0, USER_DEFINED)}, documents=["aa猫a"], prefixed=False
)
@example(
    pieces={"a": (-9.0, NORMAL), "a猫": (0.0, NORMAL), "猫a": (0.0, USER_DEFINED)}, documents=["a猫a猫"], prefixed=True
)
def test_ids_are_those_of_sentencepiece_for_any_vocabulary(
    pieces: dict[str, tuple[float, int]], documents: list[str], prefixed: bool
) -> None:
    """Scores in any order: a joined piece may be better than its parts, parts may have no piece, many are equal; a
    piece may stand in the text over a user-defined symbol, which never merges.
    """
    proto = proto_of([(text, *rest) for text, rest in pieces.items()])
    proto.normalizer_spec.add_dummy_prefix = prefixed
    compare(proto, documents)


@pytest.mark.parametrize("scores", [1, 3, 1000])
def test_ids_are_those_of_sentencepiece_on_long_runs_of_overlapping_pieces(scores: int) -> None:
    """Stretches of tens to thousands of characters: all pairs of a few letters, many longer pieces, some symbols."""
    draw = random.Random(scores)
    for round_number in range(80):
        letters = "あいうえ"[: 1 + round_number % 4]
        texts = {"".join(draw.choices(letters, k=draw.randrange(1, 7))) for _ in range(draw.randrange(1, 60))}
        kinds = [NORMAL] * 19 + [USER_DEFINED] * (round_number % 3)
        proto = proto_of([(text, float(-draw.randrange(scores)), draw.choice(kinds)) for text in sorted(texts)])
        documents = ["".join(draw.choices(letters, k=draw.randrange(1, 500))) for _ in range(6)]
        documents += ["".join(draw.choices(letters, k=5000)), letters[0] * 4500, "x" * 9000 + letters[-1] * 33]
        compare(proto, documents)


def test_the_leftmost_of_equal_pairs_merges_first() -> None:
    proto = proto_of([("あ", -9, NORMAL), ("ああ", -1, NORMAL), ("い", -9, NORMAL), ("あい", -1, NORMAL)])
    model = Bpe.compile(proto)
    assert model is not None
    assert ids_of(model, ["あああ", "ああい", "あああい"]) == [[4, 3], [4, 5], [4, 6]]
    compare(proto, ["あああ", "ああい", "あああい"])


def test_pieces_join_from_symbols_without_a_piece() -> None:
    """Neither 猫 nor 犬 is a piece, nor what is left of them when a better piece takes one."""
    proto = proto_of([("猫犬", -2, NORMAL), ("犬犬", -1, NORMAL)])
    compare(proto, ["猫犬", "猫犬犬", "犬猫犬猫", "猫", "猫猫x猫"])
    model = Bpe.compile(proto)
    assert model is not None
    assert ids_of(model, ["猫犬", "猫犬犬", "猫猫x猫"]) == [[3], [0, 4], [0]]


@pytest.mark.parametrize("prefixed", [False, True])
def test_spaces_without_a_piece_are_spelled_in_three_bytes_each(prefixed: bool) -> None:
    """More tokens than bytes of text: what they are written to is large enough."""
    byte_pieces = [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
    proto = proto_of([("a", -1, NORMAL), ("▁a", -2, NORMAL), *byte_pieces])
    proto.trainer_spec.byte_fallback = True
    proto.normalizer_spec.add_dummy_prefix = prefixed
    compare(proto, [" " * 70_000, "a", "", " a ", "b"] + ["猫"] * 3_000)


@pytest.mark.parametrize("kind", ["symbols", "prefixed"])
def test_a_document_of_millions_of_characters_in_one_line_encodes(
    kind: str, made: Callable[[str], Made], lines: list[str]
) -> None:
    encoder, processor = made(kind)
    text = "".join(line for line in lines if line.endswith("。"))
    text = text * (3_000_000 // len(text) + 1)
    ids = encoder.encode(pa.array(["短い", text, "文"])).ids
    assert ids.tolist() == [token for document in processor.encode(["短い", text, "文"]) for token in document]


def test_a_document_that_no_place_splits_encodes() -> None:
    """A million characters that pieces overlap in everywhere are one stretch."""
    texts = ("ああ", "ああああ", "あい", "いあ", "あ", "い")
    draw = random.Random(0)
    compare(
        proto_of([(text, -place, NORMAL) for place, text in enumerate(texts)]),
        ["あ" * 1_000_001, "".join(draw.choices("ああい", k=300_000)), "あ"],
    )


def test_models_that_our_merges_do_not_cover_run_in_sentencepiece(tmp_path: Path) -> None:
    pieces = [("あ", -9, NORMAL), ("ああ", -1, NORMAL), ("あああ", -2, NORMAL)]
    assert Bpe.compile(proto_of(pieces)) is not None
    unused = proto_of([*pieces[:1], ("ああ", -1, UNUSED), *pieces[2:]])
    special = proto_of([*pieces, ("い", 0, CONTROL)])
    spaces, unigram = proto_of(pieces), proto_of(pieces)
    spaces.normalizer_spec.remove_extra_whitespaces = True
    unigram.trainer_spec.model_type = unigram.trainer_spec.UNIGRAM
    suffixed = proto_of(pieces)
    suffixed.normalizer_spec.add_dummy_prefix = suffixed.trainer_spec.treat_whitespace_as_suffix = True
    for proto in (unused, special, spaces, unigram, suffixed):
        assert Bpe.compile(proto) is None
    (tmp_path / "unused.model").write_bytes(unused.SerializeToString())
    encoder = Encoder.open(tmp_path / "unused.model")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "unused.model"))
    assert encoder.way == "sentencepiece"
    assert ids_of(encoder, ["ああ", "あああ", "ああああ"]) == processor.encode(["ああ", "あああ", "ああああ"])


def test_ids_are_those_of_sentencepiece_on_real_text(shared_data: Path, made: Callable[[str], Made]) -> None:
    """Literature beside the checkout: another kind of text than the models were trained on."""
    from jpfm.data.document import Document
    from jpfm.data.sources.aozora import AozoraSource

    source = AozoraSource.model_validate(
        {"format": "aozora", "name": "a", "paths": ["raw/aozora/*.tar.gz"], "rights": {"licence": "CC0-1.0"}}
    )
    texts = [
        document.text for piece in source.pieces(shared_data, 1 << 40) for document in source.documents(piece)
        if isinstance(document, Document)
    ][::6]  # fmt: skip
    assert sum(map(len, texts)) > 200_000
    for kind in MODELS:
        encoder, processor = made(kind)
        assert ids_of(encoder, texts) == processor.encode(texts)
