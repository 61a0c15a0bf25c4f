"""Ids of our encoder are those of SentencePiece: on real text, on made-up strings, at every cut."""

import itertools
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError
from jpfm.data.build import read_documents
from jpfm.tokens.encoder import CONTINUES, ENDS_LINE, ENDS_SENTENCE, OTHER, Encoder
from jpfm.tokens.unigram import Unigram

SYMBOLS = ("\n", "東京都", "京都府庁", "<|x|>", "  ", "🈂️")
KINDS = ("ours", "rounded", "plain", "no_bytes", "bpe")
ATOMS = [
    *SYMBOLS, *"あいうえおがぎ日本東京都府庁人年月一二三、。「」ー…・", *"ｱｶﾞﾊﾟ｡",
    *"abcXYZ019 　\t\r\x00\x1f\u200b\ufeff▁", "か\u3099", "は\u309a", "e\u0301", "👨‍👩‍👧‍👦", "🇯🇵", "❤️", "𠮷", "𩸽",
    "葛\U000e0100", "\U0010ffff", "\ufffd", "<0x0A>", "<|eos|>",
]  # fmt: skip
texts = st.lists(st.sampled_from(ATOMS), max_size=40).map("".join) | st.text(max_size=30)


@pytest.fixture(scope="session")
def lines(corpus: Artifact) -> list[str]:
    """All lines of the sample."""
    return [
        line for batch in read_documents(corpus, ["text"]) for text in batch["text"].to_pylist()
        for line in text.split("\n")
    ]  # fmt: skip


@pytest.fixture(scope="session")
def model_of(lines: list[str], tokenizer: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """SentencePiece models: scores in 1/256 or any, user-defined symbols, without bytes, BPE."""
    folder = tmp_path_factory.mktemp("models")

    def make(kind: str) -> Path:
        if kind == "ours":
            return tokenizer.path / "sentencepiece.model"
        path = folder / f"{kind}.model"
        if not path.exists():
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines), model_prefix=str(path.with_suffix("")), vocab_size=2000,
                model_type="bpe" if kind == "bpe" else "unigram", byte_fallback=kind != "no_bytes",
                character_coverage=0.98, normalization_rule_name="identity", add_dummy_prefix=False,
                remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, minloglevel=2,
                user_defined_symbols=list(SYMBOLS), num_threads=2,
            )  # fmt: skip
            if kind == "rounded":
                proto = sentencepiece_model_pb2.ModelProto()
                proto.ParseFromString(path.read_bytes())
                for piece in proto.pieces:
                    piece.score = round(piece.score * 256) / 256
                path.write_bytes(proto.SerializeToString())
        return path

    return make


def ids_of(encoder: Encoder, strings: list[str]) -> list[list[int]]:
    ids, offsets = encoder.encode(pa.array(strings, pa.string()))
    return [part.tolist() for part in np.split(ids, offsets[1:-1])] if strings else []


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_sentencepiece_on_the_sample(
    kind: str, model_of: Callable[[str], Path], lines: list[str]
) -> None:
    encoder = Encoder.open(model_of(kind))
    expected = sentencepiece.SentencePieceProcessor(model_file=str(model_of(kind))).encode(lines)
    assert ids_of(encoder, lines) == expected
    assert encoder.way == ("bpe" if kind == "bpe" else "unigram")


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_sentencepiece_on_made_up_strings(kind: str, model_of: Callable[[str], Path]) -> None:
    encoder = Encoder.open(model_of(kind))
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model_of(kind)))

    @given(st.lists(texts, min_size=1, max_size=5))
    def check(strings: list[str]) -> None:
        assert ids_of(encoder, strings) == [processor.encode(string) for string in strings]

    check()


@pytest.mark.parametrize("kind", ["rounded", "plain", "no_bytes", "bpe"])
def test_ids_are_those_of_sentencepiece_on_20000_mixed_strings(
    kind: str, model_of: Callable[[str], Path], lines: list[str]
) -> None:
    """Pieces of the vocabulary, real text and every block of Unicode, put together at random."""
    encoder = Encoder.open(model_of(kind))
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model_of(kind)))
    draw = random.Random(kind)
    pieces = [processor.id_to_piece(number) for number in range(processor.vocab_size())]
    points = [chr(point) for point in range(0x20, 0x30000, 7) if unicodedata.category(chr(point)) != "Cs"]
    made = [
        "".join(
            draw.choice((draw.choice(pieces), draw.choice(points), draw.choice(ATOMS), draw.choice(lines)[:9]))
            for _ in range(draw.randrange(1, 12))
        )
        for _ in range(20_000)
    ]
    for string, found, expected in zip(made, ids_of(encoder, made), processor.encode(made), strict=True):
        assert found == expected, repr(string)


def test_a_document_is_its_lines_with_the_line_end_between(model_of: Callable[[str], Path], lines: list[str]) -> None:
    encoder = Encoder.open(model_of("ours"))
    (newline,) = ids_of(encoder, ["\n"])[0]
    joined: list[int] = []
    for ids in ids_of(encoder, lines):
        joined += [*ids, newline]
    assert ids_of(encoder, ["\n".join(lines)]) == [joined[:-1]]


@given(strings=st.lists(texts, min_size=2, max_size=8))
def test_cuts_that_no_piece_spans_change_nothing(strings: list[str], model_of: Callable[[str], Path]) -> None:
    """Where no piece of the vocabulary holds the two characters beside a cut, the parts encode as the whole does."""
    encoder = Encoder.open(model_of("rounded"))
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model_of("rounded")))
    spanned = {
        pair for number in range(processor.vocab_size())
        for piece in [processor.id_to_piece(number)]
        for pair in itertools.pairwise(piece)
    }  # fmt: skip
    text = "".join(strings)
    seen = text.replace(" ", "▁")
    cuts = [place for place in range(1, len(text)) if (seen[place - 1], seen[place]) not in spanned]
    parts = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert [token for ids in ids_of(encoder, parts) for token in ids] == ids_of(encoder, [text])[0]


def test_a_document_of_millions_of_characters_in_one_line_encodes_as_its_parts(
    model_of: Callable[[str], Path], lines: list[str]
) -> None:
    """SentencePiece's own 32-bit sums are no longer exact at this length; the parts are."""
    encoder = Encoder.open(model_of("ours"))
    unit = "".join(line for line in lines if line.endswith("。"))[:60_000].rpartition("。")[0] + "。\u0001"
    once = ids_of(encoder, [unit])[0]
    count = 3_000_000 // len(unit)
    ids, _ = encoder.encode(pa.array([unit * count]))
    assert np.array_equal(ids, np.tile(np.array(once, dtype=np.uint32), count))


def test_text_that_is_never_settled_still_encodes(tmp_path: Path) -> None:
    """A run in which pieces overlap everywhere has no place that all paths go through."""
    proto = sentencepiece_model_pb2.ModelProto()
    for text, score, kind in (
        ("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("あ", -4.0, 1), ("ああ", -5.0, 1), ("あああ", -9.5, 1)
    ):  # fmt: skip
        proto.pieces.add(piece=text, score=score, type=kind)
    proto.trainer_spec.model_type = 1
    proto.normalizer_spec.add_dummy_prefix = False
    proto.normalizer_spec.remove_extra_whitespaces = False
    (tmp_path / "a.model").write_bytes(proto.SerializeToString())
    encoder = Encoder.open(tmp_path / "a.model")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "a.model"))
    for length in (1, 2, 3, 4095, 4096, 9_001):
        assert ids_of(encoder, ["b", "あ" * length, ""])[1] == processor.encode("あ" * length)
    assert sorted(ids_of(encoder, ["あ" * 200_001])[0]) == [3, *[4] * 100_000]


def test_spaces_without_a_piece_of_their_own_are_three_bytes_each(tmp_path: Path) -> None:
    """More tokens than bytes of text."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.trainer_spec.model_type = proto.trainer_spec.UNIGRAM
    proto.trainer_spec.byte_fallback = True
    proto.normalizer_spec.add_dummy_prefix = proto.normalizer_spec.remove_extra_whitespaces = False
    proto.pieces.add(piece="<unk>", score=0, type=2)
    for byte in range(256):
        proto.pieces.add(piece=f"<0x{byte:02X}>", score=0, type=6)
    for piece, score in (("a", -1.0), ("▁a", -2.0)):
        proto.pieces.add(piece=piece, score=score, type=1)
    (tmp_path / "m.model").write_bytes(proto.SerializeToString())
    encoder = Encoder.open(tmp_path / "m.model")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    strings = [" " * 2000, " a" * 50 + "  ", "あ" * 300]
    assert encoder.way == "unigram"
    assert ids_of(encoder, strings) == pieces.encode(strings)
    assert len(ids_of(encoder, strings)[0]) == 6000


def test_a_slice_of_a_column_and_large_strings_encode(model_of: Callable[[str], Path], lines: list[str]) -> None:
    encoder = Encoder.open(model_of("ours"))
    some = [line for line in lines if line][:50]
    expected = ids_of(encoder, some)
    for kind in (pa.string(), pa.large_string()):
        ids, offsets = encoder.encode(pa.array(some, kind)[10:30])
        assert [part.tolist() for part in np.split(ids, offsets[1:-1])] == expected[10:30]
    assert len(encoder.encode(pa.array([], pa.string())).ids) == 0
    assert encoder.encode(pa.array(["", ""])).offsets.tolist() == [0, 0, 0]
    with pytest.raises(TypeError, match="1 nulls"):
        encoder.encode(pa.array(["あ", None]))


def test_a_tokenizer_json_alone_encodes_as_the_model(tokenizer: Artifact, tmp_path: Path, lines: list[str]) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tokenizer.path / name).read_bytes())
    fast, own = Encoder.open(tmp_path), Encoder.open(tokenizer.path)
    assert (fast.way, own.way) == ("tokenizers", "unigram")
    assert (fast.eos, fast.vocab_size) == (own.eos, own.vocab_size)
    text = ["\n".join(lines[:40]), "<|eos|>と<|user|>は文字", "𠮷野家\nで"]
    assert ids_of(fast, text) == ids_of(own, text)


def test_endings_tell_where_a_document_may_be_cut(model_of: Callable[[str], Path]) -> None:
    encoder = Encoder.open(model_of("ours"))
    ids = ids_of(encoder, ["。\n\U0010ffff"])[0]
    assert encoder.endings()[ids].tolist() == [ENDS_SENTENCE, ENDS_LINE, OTHER, *[CONTINUES] * 3]


def test_a_model_that_normalises_runs_in_sentencepiece(lines: list[str], tmp_path: Path) -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines[:400]), model_prefix=str(tmp_path / "nfkc"), vocab_size=1500, minloglevel=2,
        character_coverage=0.98, hard_vocab_limit=False, normalization_rule_name="nmt_nfkc",
    )  # fmt: skip
    encoder = Encoder.open(tmp_path / "nfkc.model")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "nfkc.model"))
    assert encoder.way == "sentencepiece"
    assert ids_of(encoder, ["ｱﾊﾟｰﾄ ①  x"]) == [processor.encode("ｱﾊﾟｰﾄ ①  x")]
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString((tmp_path / "nfkc.model").read_bytes())
    assert Unigram.compile(proto) is None


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({}, "holds no tokenizer"),
        ({"sentencepiece.model": b"PK\x03\x04"}, "is no SentencePiece model"),
        ({"tokenizer.json": b"{}"}, "is no tokenizer"),
    ],
)
def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path, files: dict[str, bytes], what: str) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ArtifactError, match=what):
        Encoder.open(tmp_path)


def test_ids_are_those_of_sentencepiece_on_real_text(shared_data: Path, model_of: Callable[[str], Path]) -> None:
    """Markdown pages beside the checkout: another kind of text than the models were trained on."""
    from jpfm.data.document import Document
    from jpfm.data.sources.markdown import MarkdownSource

    source = MarkdownSource.model_validate(
        {"format": "markdown", "name": "m", "paths": ["raw/arch-guidelines/*.tar.gz"], "rights": {"licence": "MIT"}}
    )
    documents = [
        document.text for piece in source.pieces(shared_data, 1 << 40) for document in source.documents(piece)
        if isinstance(document, Document)
    ]  # fmt: skip
    found = [line for text in documents for line in text.split("\n")]
    assert len(found) > 1000
    for kind in ("ours", "plain", "bpe"):
        expected = sentencepiece.SentencePieceProcessor(model_file=str(model_of(kind))).encode(found)
        assert ids_of(Encoder.open(model_of(kind)), found) == expected
