"""Extending a tokenizer: old ids keep number and meaning on any text, new pieces are reachable, damage is found."""

import copy
import dataclasses
import itertools
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tokens.extension_bases import ENGLISH, FAMILIES, BaseFamily, code_lines, make
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from jpfm.core.artifact import Artifact
from jpfm.core.errors import DataError, UsageError
from jpfm.data.build import read_documents
from jpfm.tokens.extension.base import BaseTokenizer
from jpfm.tokens.extension.checks import HeldOut, check_extension, held_out
from jpfm.tokens.extension.extend import Extension, VocabularySettings, extend_tokenizer, training_lines
from jpfm.tokens.extension.merges import continue_merges
from jpfm.tokens.extension.pieces import PieceRules, to_bytes, to_piece
from jpfm.tokens.extension.units import Units, collect_units
from jpfm.tokens.morphemes import CUT, cut_words
from jpfm.tokens.parity import Checker
from jpfm.tokens.tokenizer_config import Morphemes

SETTINGS = VocabularySettings(pieces=300, minimum_count=4)
any_text = st.lists(
    st.sampled_from(["東京", "料理", "です", "ました", "会社", "、", "。", "ー", "ｶﾞ", "か\u3099", "髙", "𠮷", "👨‍👩‍👧"])
    | st.sampled_from(["<|end|>", "<|pad|>", "<0xE3>", " ", "  ", "\n", "▁", "１２", "34", "the ", "\x00", "é", "…"])
    | st.characters(exclude_categories=["Cs"]),
    max_size=30,
).map("".join)  # fmt: skip
not_japanese = st.text(
    st.characters(exclude_categories=["Cs"]).filter(lambda char: not (0x3000 <= ord(char) <= 0x9FFF)
                                                    and not 0xF900 <= ord(char) <= 0xFFEF and ord(char) < 0x20000)
)  # fmt: skip


@pytest.fixture(scope="module")
def japanese(corpus: Artifact) -> list[str]:
    """Training lines of the sample."""
    lines = [
        line for batch in read_documents(corpus, ["text"], split="train")
        for text in batch.column("text").to_pylist() for line in text.split("\n") if line
    ]  # fmt: skip
    assert len(lines) > 500
    return lines


@pytest.fixture(scope="module")
def extensions(corpus: Artifact, japanese: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Extension]:
    """One extension of each family."""
    made: dict[str, Extension] = {}
    for family in FAMILIES:
        folder = make(family, tmp_path_factory.mktemp("bases") / family, japanese[::8])
        made[family] = extend_tokenizer(BaseTokenizer.open(folder), training_lines(corpus, SETTINGS), SETTINGS)
    return made


def ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def written_out(extension: Extension, found: list[int]) -> list[int]:
    old, offsets = extension.spelled_out()
    first = extension.base.next_id
    return [
        one for number in found
        for one in ([number] if number < first else old[offsets[number - first] : offsets[number - first + 1]].tolist())
    ]  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_all_checks_pass_and_held_out_japanese_gets_shorter(
    extensions: dict[str, Extension], corpus: Artifact, family: BaseFamily
) -> None:
    extension = extensions[family]
    text = held_out(corpus, 1_000_000)
    code = pl.Series("text", [line for line in [*ENGLISH, *code_lines()] if line and line.isascii()])
    both = HeldOut(
        pl.concat([text.lines, code]), pl.concat([text.sources, pl.Series(text.sources.name, ["code"] * len(code))])
    )
    stats = check_extension(extension, both, fuzzed=3_000)
    rates = stats["chars_per_token"]
    assert rates["by_source"]["code"]["before"] == rates["by_source"]["code"]["after"]
    assert rates["by_source"]["aozora"]["after"] > 1.05 * rates["by_source"]["aozora"]["before"]
    assert stats["lines_changed"]["latin"]["share"] == 0 < stats["lines_changed"]["japanese"]["share"]
    assert stats["lines_changed"]["latin"]["lines"] >= len(code.unique()) / 2
    assert stats["new_pieces_used"] > 100


@pytest.mark.parametrize("family", FAMILIES)
def test_new_ids_follow_all_old_ones_and_each_is_reached(extensions: dict[str, Extension], family: BaseFamily) -> None:
    extension = extensions[family]
    base, extended = extension.base, extension.tokenizer()
    assert base.names[base.next_id - 1] == "<|pad|>", "added tokens count"
    assert extended.get_vocab_size() == extension.size == base.next_id + 300
    assert {extended.id_to_token(number): number for number in range(base.next_id)} == base.text.get_vocab()
    names = {token["content"] for token in extension.document["added_tokens"]}
    assert names == {token["content"] for token in base.document["added_tokens"]}, "new pieces are no added tokens"
    whole = 0
    for number, piece in enumerate(extension.pieces, base.next_id):
        name = base.piece_name(piece.spelled)
        assert [token.id for token in extended.model.tokenize(name)] == [number]
        if family != "llama2" and b"\xef\xbf\xbd" not in (shown := piece.spelled.decode(errors="replace")).encode():
            assert ids(extended, shown) == [number]
            whole += 1
    assert whole > 200 or family == "llama2"


@pytest.mark.parametrize("family", FAMILIES)
@given(text=any_text)
def test_text_comes_back_and_old_ids_stay_for_any_text(
    extensions: dict[str, Extension], family: BaseFamily, text: str
) -> None:
    extension = extensions[family]
    before, after = ids(extension.base.text, text), ids(extension.tokenizer(), text)
    if family != "unigram" or max(after, default=0) < extension.base.next_id:
        assert written_out(extension, after) == before
    decode = {"skip_special_tokens": False}
    back = extension.base.text.decode(before, **decode)
    if back.count("\ufffd") <= text.count("\ufffd"):  # a base that loses text is no measure
        assert extension.tokenizer().decode(after, **decode) == back


@pytest.mark.parametrize("family", FAMILIES)
@given(text=not_japanese | st.sampled_from(ENGLISH))
def test_text_without_japanese_keeps_its_ids(extensions: dict[str, Extension], family: BaseFamily, text: str) -> None:
    extension = extensions[family]
    assert ids(extension.tokenizer(), text) == ids(extension.base.text, text)


def test_special_tokens_are_read_as_before_where_they_are_meant(
    extensions: dict[str, Extension], tmp_path: Path
) -> None:
    for family, extension in extensions.items():
        folder = tmp_path / family
        folder.mkdir()
        extension.write(folder)
        fast = PreTrainedTokenizerFast.from_pretrained(folder)
        old = PreTrainedTokenizerFast.from_pretrained(extension.base.folder)
        for text in ("東京<|end|>です<|pad|>", "<|end|>", *ENGLISH):
            assert fast.decode(fast(text)["input_ids"]) == old.decode(old(text)["input_ids"])
        assert (fast.eos_token_id, fast.pad_token_id) == (old.eos_token_id, old.pad_token_id)
        assert len(fast) == extension.size
        fast.add_tokens(["<|later|>"])
        assert fast.convert_tokens_to_ids("<|later|>") == extension.size, "a later token gets a free id"


def test_pieces_do_not_cross_words_or_digits(extensions: dict[str, Extension], japanese: list[str]) -> None:
    words = set(CUT.join(cut_words(pl.Series(japanese), "short").to_list()).split(CUT))
    joined = "\n".join(words)
    for extension in extensions.values():
        for piece in extension.pieces:
            shown = piece.spelled.decode(errors="ignore").strip()
            assert shown in joined
            assert not any(char.isdigit() for char in shown)


@pytest.mark.parametrize("morphemes", ["bunsetsu", "none"])
def test_morphemes_means_what_it_means_in_training(
    extensions: dict[str, Extension], japanese: list[str], morphemes: Morphemes
) -> None:
    settings = VocabularySettings(pieces=300, minimum_count=4, rules=PieceRules(morphemes=morphemes))
    pieces = extend_tokenizer(extensions["qwen"].base, [pl.Series("line", japanese)], settings).pieces

    def crossing(cut: Morphemes) -> bool:
        joined = "\n".join(set(CUT.join(cut_words(pl.Series(japanese), cut).to_list()).split(CUT)))
        return any(piece.spelled.decode(errors="ignore").strip() not in joined for piece in pieces)

    assert crossing("short")
    assert crossing("bunsetsu") == (morphemes == "none")


@pytest.mark.parametrize("value", [True, False, "words"])
def test_morphemes_is_one_of_the_three_words_of_training(value: object) -> None:
    with pytest.raises(ValueError, match="'short', 'bunsetsu' or 'none'"):
        PieceRules.model_validate({"morphemes": value})


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_of_characters_are_counted(extensions: dict[str, Extension], family: BaseFamily) -> None:
    extension = extensions[family]
    whole = sum("\ufffd" not in piece.spelled.decode(errors="replace") for piece in extension.pieces)
    assert extension.training["whole_characters"] == whole
    assert extension.training["parts_of_characters"] == 300 - whole
    assert (whole < 300) == extension.base.byte_level, "only merges of bytes pass by parts of characters"


def test_one_script_is_kept_when_it_is_asked_for(extensions: dict[str, Extension], japanese: list[str]) -> None:
    def mixed(found: Extension) -> list[str]:
        texts = [piece.spelled.decode(errors="ignore") for piece in found.pieces]
        return [t for t in texts if any("ぁ" <= c <= "ん" for c in t) and any("一" <= c <= "鿿" for c in t)]

    rules = PieceRules(one_script=True)
    one = VocabularySettings(pieces=200, minimum_count=4, rules=rules)
    assert mixed(extensions["llama3"])
    assert not mixed(extend_tokenizer(extensions["llama3"].base, [pl.Series("line", japanese)], one))


@pytest.mark.parametrize(
    ("rules", "spelled", "allowed"),
    [
        (PieceRules(), "東京", True),
        (PieceRules(), " 東京", True),
        (PieceRules(), "東 京", False),
        (PieceRules(), "東\n", False),
        (PieceRules(), "食べる", True),
        (PieceRules(one_script=True), "食べる", False),
        (PieceRules(one_script=True), "コーヒー", True),
        (PieceRules(one_script=True), "らーめん", True),
        (PieceRules(one_script=True), "人々", True),
        (PieceRules(), "Tシャツ", False),
        (PieceRules(japanese_only=False), "Tシャツ", True),
        (PieceRules(), "……", False),
        (PieceRules(), "１月", False),
        (PieceRules(digits=True), "１月", True),
        (PieceRules(max_piece_chars=2), "日本語", False),
        (PieceRules(), " ", False),
    ],
)
def test_what_a_piece_may_be(rules: PieceRules, spelled: str, allowed: bool) -> None:
    assert rules.allows(spelled.encode()) == allowed


@pytest.mark.parametrize(
    ("spelled", "allowed"),
    [
        ("東".encode()[:2], True),
        ("東".encode()[1:], False),
        ("の東".encode()[:4], False),
        ("の東".encode()[:5], False),
        ("𠮷".encode()[:2], True),
        ("😀".encode()[:2], False),
        ("😀".encode()[:3], False),
        ("한".encode()[:2], False),
        ("\ufe0f".encode()[:2], False),
        ("Я".encode()[:1], False),
        ("“".encode()[:2], False),
    ],
)
def test_a_part_of_a_character_may_be_a_piece_where_the_character_may(spelled: bytes, allowed: bool) -> None:
    assert PieceRules().allows(spelled) == allowed


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_the_name_of_a_piece_gives_its_bytes(text: str) -> None:
    assert to_bytes(to_piece(text.encode(), byte_level=True), byte_level=True) == text.encode()
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    assert "".join(piece for piece, _ in pieces) == to_piece(text.encode(), byte_level=True)


# --- the learner ------------------------------------------------------------------------------------------------


def naive(units: list[tuple[list[int], int]], limit: int, minimum: int) -> list[tuple[int, int]]:
    """Count every pair anew before each merge."""
    rows = [(list(row), count) for row, count in units]
    merges: list[tuple[int, int]] = []
    while len(merges) < limit:
        counts: Counter[tuple[int, int]] = Counter()
        for row, count in rows:
            for pair in itertools.pairwise(row):
                counts[pair] += count
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if best is None or counts[best] < minimum:
            break
        new = 1000 + len(merges)
        merges.append(best)
        for row, _ in rows:
            place = 0
            while place < len(row) - 1:
                if (row[place], row[place + 1]) == best:
                    row[place : place + 2] = [new]
                place += 1
    return merges


@given(
    rows=st.lists(st.tuples(st.lists(st.integers(97, 100), min_size=2, max_size=12), st.integers(1, 5)), max_size=12),
    minimum=st.integers(1, 4),
)
def test_merges_are_those_of_counting_anew(rows: list[tuple[list[int], int]], minimum: int) -> None:
    units = Units(
        np.array([symbol for row, _ in rows for symbol in row], dtype=np.int64),
        np.cumsum([0, *(len(row) for row, _ in rows)]).astype(np.int64),
        np.array([count for _, count in rows], dtype=np.int64), 0, np.zeros(0, dtype=np.int64),
    )  # fmt: skip
    serial = itertools.count()  # spellings that never meet: every pair is a string of its own
    learned = continue_merges(
        units, lambda symbol: bytes([symbol]), lambda _: False, lambda _: next(serial) >= 0,
        first_id=1000, limit=8, minimum_count=minimum,
    )  # fmt: skip
    expected = naive(rows, 8, minimum)
    found = [(piece.left, piece.right) for piece in learned.pieces]
    spelled: dict[int, bytes] = {}
    seen: set[bytes] = set()
    for number, (left, right) in enumerate(expected):  # two ways to one string: the learner takes the first only
        text = b"".join(spelled.get(part, bytes([part]) if part < 256 else b"") for part in (left, right))
        if text in seen:
            expected = expected[:number]
            break
        spelled[1000 + number] = text
        seen.add(text)
    assert found[: len(expected)] == expected


def test_continuing_gives_the_pieces_that_the_trainer_itself_learns_next() -> None:
    """tokenizers' trainer stopped at 400 pieces and continued here, against the same trainer run to 460."""
    lines = [line for line in [*code_lines(), *ENGLISH] if line.isascii()]
    made = {}
    for size in (400, 460):
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        tokenizer.train_from_iterator(
            lines, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
        )
        made[size] = json.loads(tokenizer.to_str())
    base = BaseTokenizer._of(Path("base"), made[400], "byte_level_bpe")
    units = collect_units([pl.Series("line", lines)], base, "none")
    learned = continue_merges(units, base.spelling, base.taken, lambda _: True, first_id=400, limit=60, minimum_count=1)
    names = [base.piece_name(piece.spelled) for piece in learned.pieces]
    order = sorted(made[460]["model"]["vocab"], key=made[460]["model"]["vocab"].__getitem__)
    assert order[:400] == sorted(made[400]["model"]["vocab"], key=made[400]["model"]["vocab"].__getitem__)
    assert names == order[400:]


def test_units_do_not_depend_on_how_the_lines_come(extensions: dict[str, Extension], japanese: list[str]) -> None:
    base = extensions["llama2"].base
    whole = collect_units([pl.Series("line", japanese)], base, "short")
    parts = collect_units([pl.Series("line", japanese[n : n + 7]) for n in range(0, len(japanese), 7)], base, "short")
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


# --- Unigram ----------------------------------------------------------------------------------------------------


def test_scores_are_on_the_old_scale(extensions: dict[str, Extension]) -> None:
    extension = extensions["unigram"]
    assert extension.scores is not None
    old = [
        score for number, (_, score) in enumerate(extension.base.document["model"]["vocab"])
        if extension.base.ordinary[number]
    ]  # fmt: skip
    assert min(old) <= min(extension.scores)
    assert max(extension.scores) < 0
    assert all((score * 256).is_integer() for score in extension.scores)
    assert abs(np.median(extension.scores) - np.median(old)) < 2


def test_a_tokenizer_of_ours_keeps_its_sentencepiece_model(
    tokenizer: Artifact, corpus: Artifact, tmp_path: Path
) -> None:
    settings = VocabularySettings(pieces=120, minimum_count=4)
    extension = extend_tokenizer(BaseTokenizer.open(tokenizer.path), training_lines(corpus, settings), settings)
    extension.write(tmp_path)
    text = held_out(corpus, 300_000)
    check_extension(extension, text, fuzzed=1_000)
    Checker(tmp_path).check(text.lines.to_list(), comes_back=False)  # SentencePiece and transformers: equal ids
    names = [piece.spelled.decode().replace(" ", "▁") for piece in extension.pieces]
    pieces = Checker(tmp_path).pieces
    assert [pieces.piece_to_id(name) for name in names] == list(range(extension.base.next_id, extension.size))


# --- what goes wrong --------------------------------------------------------------------------------------------


def damaged(extension: Extension, kind: str) -> Extension:
    document = copy.deepcopy(extension.document)
    model = document["model"]
    if kind == "new merges first":
        model["merges"] = model["merges"][-300:] + model["merges"][:-300]
    elif kind == "two old ids swapped":
        names = [extension.base.names[number] for number in range(300, 302)]
        model["vocab"][names[0]], model["vocab"][names[1]] = model["vocab"][names[1]], model["vocab"][names[0]]
    elif kind == "decoder changed":
        document["decoder"] = {"type": "Fuse"}
    elif kind == "added tokens forgotten":
        for token in document["added_tokens"]:
            del model["vocab"][token["content"]]
    elif kind == "a merge missing":
        del model["merges"][-150]
    return dataclasses.replace(extension, document=document)


@pytest.mark.parametrize(
    "kind",
    ["new merges first", "two old ids swapped", "decoder changed", "added tokens forgotten", "a merge missing"],
)
def test_a_damaged_extension_is_refused(extensions: dict[str, Extension], corpus: Artifact, kind: str) -> None:
    text = held_out(corpus, 200_000)
    assert check_extension(extensions["qwen"], text, fuzzed=500)
    with pytest.raises(DataError):
        check_extension(damaged(extensions["qwen"], kind), text, fuzzed=500)


def test_too_many_pieces_are_one_line_with_a_mend(extensions: dict[str, Extension]) -> None:
    lines = [pl.Series("line", ["山は青い。川も青い。"] * 30)]
    settings = VocabularySettings(pieces=5000, minimum_count=20)
    for extension in extensions.values():
        with pytest.raises(DataError, match=r"pieces is 5,000, but the text gives only \d+ at ") as caught:
            extend_tokenizer(extension.base, lines, settings)
        assert "lower vocabulary.minimum_count" in caught.value.hint


def test_the_number_of_pieces_that_the_hint_names_works(extensions: dict[str, Extension]) -> None:
    base, words = extensions["llama3"].base, "鰯鰯、" * 30
    for lines, found in ((["abc"], 0), ([words], None)):
        with pytest.raises(DataError) as caught:
            extend_tokenizer(base, [pl.Series("line", lines)], VocabularySettings(pieces=5000, minimum_count=20))
        told = re.search(r"set vocabulary\.pieces=(\d+) or ", caught.value.hint)
        assert (told is None) == (found == 0), "none is no setting"
        if told:
            fits = VocabularySettings(pieces=int(told[1]), minimum_count=20)
            assert len(extend_tokenizer(base, [pl.Series("line", lines)], fits).pieces) == int(told[1])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"), "WordPiece"),
        (models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"), "WordLevel"),
        (models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]), "neither byte-level nor has byte fallback"),
        (models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")], end_of_word_suffix="</w>"), "end_of_word_suffix"),
        (models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")], dropout=0.1), "dropout"),
    ],
)
def test_tokenizers_whose_ids_could_not_be_kept_are_refused(model: Any, words: str, tmp_path: Path) -> None:
    Tokenizer(model).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match=words):
        BaseTokenizer.open(tmp_path)


@pytest.mark.parametrize("content", [None, "", "{}", '{"model": 3}'])
def test_a_folder_without_a_tokenizer_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DataError, match="no tokenizer that can be read"):
        BaseTokenizer.open(tmp_path)


def test_a_corpus_that_keeps_nothing_apart_is_refused(corpus: Artifact, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    (tmp_path / "documents").mkdir()
    for file in sorted((corpus.path / "documents").glob("*.parquet")):
        pq.write_table(pq.read_table(file).drop_columns(["split"]), tmp_path / "documents" / file.name)
    with pytest.raises(UsageError, match="keeps no documents apart"):
        held_out(dataclasses.replace(corpus, path=tmp_path), 1000)
