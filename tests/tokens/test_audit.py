"""The audit's figures against counts made by hand, a count by sentence, and SentencePiece against its own export."""

import io
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from tests.tokens.audit_made import BYTES, GOLD, byte_level, saved, unigram, word_piece
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from jpfm.core.artifact import Artifact
from jpfm.core.errors import DataError, UsageError
from jpfm.tokens.audit.bootstrap import resample
from jpfm.tokens.audit.boundaries import Words, agreement, read_conllu, start_marks, unidic_words
from jpfm.tokens.audit.fertility import compare, measure
from jpfm.tokens.audit.measure import AuditSettings, audit, round_trip
from jpfm.tokens.audit.numbers import EXAMPLES, examples, number_rules
from jpfm.tokens.audit.open import open_tokenizers
from jpfm.tokens.audit.text import TOTAL, Domain
from jpfm.tokens.audit.tokenizer import BYTE, AuditedTokenizer
from jpfm.tokens.audit.vocabulary import piece_table, reachable, scripts_of, vocabulary_use

PIECES = {"令和": -1.0, "七": -1.0, "年に": -1.0, "始": -1.0, "めた": -1.0, "。": -1.0, "東": -1.0, "京": -1.0,
          "▁駅": -1.0, "へ": -1.0, "▁": -2.0, "東京": -9.0, "\n": -1.0}  # fmt: skip


def opened(path: Path) -> AuditedTokenizer:
    return open_tokenizers([str(path)])[0].tokenizer


def domain(*texts: str, name: str = "toy") -> Domain:
    return Domain(name, texts, len(texts), "files", None, "")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> AuditedTokenizer:
    return opened(unigram(tmp_path_factory.mktemp("toy") / "toy", PIECES))


def test_fertility_of_a_toy(toy: AuditedTokenizer) -> None:
    # 令和|七|年に, and 𩸽 in four bytes, 。
    measured = measure(domain("令和七年に", "𩸽。"), [toy])
    row, whole = compare([measured], [toy], draws=100)
    assert (row.chars, row.bytes, row.tokens) == (7, 22, 8)
    assert (row.chars_per_token, row.bytes_per_token) == (7 / 8, 22 / 8)
    assert row.byte_tokens == 4 / 8
    assert row.chars_in_bytes == 1 / 7
    assert row.unknown == 0
    assert row.low is None, "two documents give no interval"
    assert (whole.domain, whole.tokens) == (TOTAL, 8)


def test_the_interval_covers_the_value_and_pairs_are_narrower(toy: AuditedTokenizer, tmp_path: Path) -> None:
    other = opened(unigram(tmp_path / "other", {"令": -1.0, "和": -1.0, "七": -1.0, "。": -1.0}))
    texts = ["令和" * n + "七" * (40 - n) + "。" for n in range(40)]
    rows = compare([measure(domain(*texts), [toy, other])], [toy, other], draws=300)
    first, second = rows[0], rows[1]
    assert first.low is not None
    assert first.high is not None
    assert first.low < first.chars_per_token < first.high
    assert (first.ratio, first.ratio_low, first.ratio_high) == (1.0, 1.0, 1.0)
    assert second.ratio_high is not None
    assert second.ratio_high < 1, "令 and 和 apart need more tokens on every draw"
    again = compare([measure(domain(*texts), [toy, other])], [toy, other], draws=300)
    assert rows == again


def test_resampling_has_the_spread_that_theory_says() -> None:
    table = np.arange(50, dtype=np.float64)[:, None]
    drawn = resample(table, 4000, (7,))[:, 0]
    assert drawn.mean() == pytest.approx(table.sum(), rel=0.01)
    assert drawn.std() == pytest.approx(np.sqrt(50) * table.std(), rel=0.05)


def test_gold_is_read_with_ranges_spaces_and_empty_nodes(tmp_path: Path) -> None:
    file = tmp_path / "gold.conllu"
    file.write_text(GOLD, encoding="utf-8")
    gold = read_conllu(file)
    assert gold.texts == ("令和七年に始めた。", "東京 駅へ")
    assert gold.words == (("令和", "七", "年", "に", "始め", "た", "。"), ("東京", "駅", "へ"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOLD.replace("七\t", "八\t", 1), "gold.conllu:1: the words spell"),
        ("1\t二\n", "2 columns, CoNLL-U has 10"),
        ("# nothing\n", "holds no sentence"),
        ("x" + "\t_" * 9 + "\n", "'x' is no number"),
    ],
)
def test_bad_gold_is_refused_by_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "gold.conllu"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_conllu(file)
    with pytest.raises(UsageError, match="no such file"):
        read_conllu(tmp_path / "none")


def test_agreement_counted_by_hand(toy: AuditedTokenizer) -> None:
    gold = Words(("令和七年に始めた。", "東京 駅へ"),
                 (("令和", "七", "年", "に", "始め", "た", "。"), ("東京", "駅", "へ")))  # fmt: skip
    # 令和|七|年に|始|めた|。 and 東|京|▁駅|へ: 5 + 3 cuts; right are 2|3, 3|4(no)...: before 七, 年, 始, 。 and 駅, へ
    found = agreement(gold, toy)
    assert found is not None
    assert (found.sentences, found.words, found.tokens) == (2, 10, 10)
    assert found.precision == 6 / 8
    assert found.recall == 6 / 8
    assert found.f1 == 6 / 8
    assert found.whole_words == 5 / 10  # 令和 七 。 駅 へ
    assert found.crossing == 2 / 10  # 年に and めた


def by_sentence(gold: Words, tokenizer: AuditedTokenizer) -> tuple[int, int, int]:
    """The same counts the slow way: sets of places in one sentence at a time."""
    right = made = wanted = 0
    for text, words in zip(gold.texts, gold.words, strict=True):
        bare = "".join(text.split())
        places, at = set(), 0
        for word in words[:-1]:
            at += len(word)
            places.add(at)
        found = tokenizer.locate([text])
        cuts = set()
        for number, start, end in zip(found.ids, found.starts, found.ends, strict=True):
            continued = tokenizer.inside[number] or (start == end and tokenizer.kinds[number] != BYTE)
            before = len("".join(text[:start].split()))
            if not continued and 0 < before < len(bare):
                cuts.add(before)
        right, made, wanted = right + len(cuts & places), made + len(cuts), wanted + len(places)
    return right, made, wanted


WORDS = st.lists(st.text("令和七年始めた東京駅へ。𩸽é ", min_size=1, max_size=4), min_size=1, max_size=6)


@given(st.lists(WORDS, max_size=5))
def test_agreement_equals_a_count_by_sentence(toy: AuditedTokenizer, drawn: list[list[str]]) -> None:
    texts, words = [], []
    for sentence in drawn:
        parts = tuple(part for word in sentence for part in word.split())
        if parts:
            texts.append("".join(sentence))
            words.append(parts)
    gold = Words(tuple(texts), tuple(words))
    found = agreement(gold, toy)
    if not texts:
        assert found is None
        return
    assert found is not None
    right, made, wanted = by_sentence(gold, toy)
    assert found.precision == (right / made if made else None)
    assert found.recall == (right / wanted if wanted else None)
    assert 0 <= found.whole_words <= 1


def test_bytes_of_several_characters_are_told_apart(toy: AuditedTokenizer) -> None:
    # the library gives the run of unknown characters one span; each lead byte begins a character
    marks, tokens = start_marks(["令和𩸽é七"], toy)
    assert tokens == 1 + 4 + 2 + 1
    assert marks.tolist() == [True, False, True, True, True]


def test_a_byte_level_token_inside_a_character_makes_no_cut(tmp_path: Path) -> None:
    joined = byte_level(tmp_path / "bpe", ["日本".encode(), "本".encode()[:2], "語だ".encode()[:4]])
    found = opened(joined)
    assert found.kind == "byte-level BPE"
    # 日本 whole; 語 with the first byte of だ, then its other two
    assert [piece.text for piece in found.cut("日本語だ")] == ["日本", "語<0xE3>", "<0x81>", "<0xA0>"]
    marks, _ = start_marks(["日本語だ"], found)
    assert marks.tolist() == [True, False, True, False]
    row = compare([measure(domain("日本語だ"), [found])], [found], draws=100)[0]
    assert row.chars_in_bytes == 1 / 4, "だ is in no token as a whole"
    assert row.byte_tokens == 3 / 4


def test_the_byte_alphabet_is_the_librarys(tmp_path: Path) -> None:
    found = opened(byte_level(tmp_path / "bpe", [b"a"]))
    spelled = [piece.raw or piece.text.encode() for piece in found.pieces]
    in_text = [byte for byte in range(256) if byte not in (0xC0, 0xC1) and byte < 0xF5]
    assert [spelled[byte] for byte in in_text] == [bytes([byte]) for byte in in_text]
    assert sorted(spelled) == [bytes([byte]) for byte in range(256)]


def test_word_piece_with_unknown_words(tmp_path: Path) -> None:
    found = opened(word_piece(tmp_path / "wp", ["東京", "##都", "12", "##3"]))
    assert found.kind == "WordPiece"
    row = compare([measure(domain("東京都 123 鳥"), [found])], [found], draws=100)[0]
    assert (row.tokens, row.unknown) == (5, 1 / 5)
    trip = round_trip(found, [domain("東京都\n１２３\n鳥")], 1000)
    assert (trip["lines"], trip["equal"]) == (3, 1 / 3)
    assert trip["normalised"] == 1 / 3, "full-width digits come back as ASCII"
    assert trip["lost"] == 1 / 3
    assert trip["examples"][0] == {"kind": "lost", "before": "鳥", "after": "[UNK]"}


def test_sentencepiece_and_its_export_have_equal_figures(tokenizer: Artifact, corpus: Artifact) -> None:
    one, two = open_tokenizers(
        [f"sp={tokenizer.path / 'sentencepiece.model'}", f"hf={tokenizer.path / 'tokenizer.json'}"]
    )
    assert one.tokenizer.kind.startswith("SentencePiece")
    texts = ("令和7年4月1日、髙島屋で㈱の絵文字😀を見た。\nＡＢＣ　ｱｲｳ <|eos|> 𩸽é\n",) * 6
    settings = AuditSettings(draws=100)
    found = audit([one.tokenizer, two.tokenizer], [domain(*texts)], None, settings).figures
    for rows in (found["fertility"][:2], found["boundaries"][:2]):
        left, right = ({k: v for k, v in row.items() if k != "tokenizer"} for row in rows)
        assert left == right
    left, right = found["tokenizers"]
    for same in ("vocabulary", "numbers", "scripts", "ranks", "round_trip"):
        assert left[same] == right[same], same
    assert found["examples"][0]["cuts"][0] == found["examples"][0]["cuts"][1]
    assert left["round_trip"]["equal"] == 1


def test_a_plain_sentencepiece_model_is_read_with_its_faults(tmp_path: Path) -> None:
    out = io.BytesIO()
    lines = ["東京都の人口は多い", "令和７年の調査", "ｱｲｳの検査", "abc def"] * 30
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=out, vocab_size=45, model_type="bpe", minloglevel=2
    )
    (tmp_path / "plain.model").write_bytes(out.getvalue())
    found = opened(tmp_path / "plain.model")
    assert (found.name, found.kind, found.adds_space) == ("plain", "SentencePiece BPE", True)
    trip = round_trip(found, [domain("東京都\nｱｲｳ  ７年\n鬱")], 1000)
    assert (trip["equal"], trip["normalised"], trip["lost"]) == (1 / 3, 1 / 3, 1 / 3)


def test_unreachable_pieces_are_found(toy: AuditedTokenizer, tmp_path: Path) -> None:
    # 東|京 scores -2, 東京 -9: no text ever gives it
    reached = reachable(toy)
    assert [piece.piece for piece, hit in zip(toy.pieces, reached, strict=True) if not hit] == ["東京"]
    counts = np.zeros(toy.vocab_size, dtype=np.int64)
    counts[toy.encode(["令和令和七"]).ids] += 1
    use = vocabulary_use(piece_table(toy, {"toy": counts}))
    assert use.unreachable_pieces == ("東京",)
    assert (use.pieces, use.used, use.unreachable) == (len(PIECES) + 256, 2, 1)
    assert use.coverage[0] == (0.5, 1, 1 / (len(PIECES) + 256))
    better = opened(unigram(tmp_path / "better", PIECES | {"東京": -1.5}))
    assert reachable(better).all()


def test_scripts(tmp_path: Path) -> None:
    pieces = ["漢字", "かな", "カナー", "漢かな", "▁the", "12", "、。", "▁", "Яд", "A1"]
    found = opened(unigram(tmp_path / "scripts", dict.fromkeys(pieces, -1.0)))
    scripts, chars = scripts_of(found)
    assert scripts[1 : 1 + len(pieces)] == [
        "kanji", "hiragana", "katakana", "japanese", "latin", "digits", "symbols", "symbols", "other", "other",
    ]  # fmt: skip
    assert scripts[0] == "special"
    assert set(scripts[1 + len(pieces) :]) == {"byte"}
    assert chars[1 : 1 + len(pieces)].tolist() == [2, 2, 3, 3, 4, 2, 2, 1, 2, 2]


def test_number_rules_of_two_ways(tmp_path: Path) -> None:
    eras = ("明治", "大正", "昭和", "平成", "令和")
    written = {char for _, texts in EXAMPLES for text in texts for char in text} | set("".join(eras) + "発行はです")
    single = dict.fromkeys(sorted(written - {" "}), -1.0) | {"▁": -1.0}
    digits = opened(unigram(tmp_path / "digits", single | dict.fromkeys(eras, -1.0)))
    rules = number_rules(digits)
    assert (rules.digits_alone, rules.wide_digits_alone, rules.eras_whole, rules.units_apart) == (1, 1, 1, 1)
    assert rules.equal_lengths == 1
    assert rules.tokens_by_length == tuple((n, n, n) for n in range(1, 9))
    pairs = {str(number): -0.5 for number in range(10, 60)}
    joined = opened(unigram(tmp_path / "joined", single | pairs | {"7年": -0.1, "令和": -0.1}))
    rules = number_rules(joined)
    assert rules.digits_alone < 1
    assert rules.eras_whole == 1 / 5
    assert 0.5 < rules.units_apart < 1
    assert rules.equal_lengths < 1


def test_digits_and_eras_in_several_tokens_are_not_whole(tmp_path: Path) -> None:
    ascii_only = opened(unigram(tmp_path / "ascii", dict.fromkeys("0123456789", -1.0)))
    assert [piece.text for piece in ascii_only.cut("３")] == ["<0xEF>", "<0xBC>", "<0x93>"]
    rules = number_rules(ascii_only)
    assert (rules.digits_alone, rules.wide_digits_alone) == (1, 0)
    # 令 with the first two bytes of 和, then the last byte: no cut between characters, and yet two tokens
    eras = ("明治", "大正", "昭和", "平成", "令和")
    halves = opened(byte_level(tmp_path / "halves", [era.encode()[:5] for era in eras]))
    assert [piece.text for piece in halves.cut("令和")] == ["令<0xE5><0x92>", "<0x8C>"]
    assert number_rules(halves).eras_whole == 0
    whole = opened(byte_level(tmp_path / "whole", [era.encode() for era in eras]))
    assert number_rules(whole).eras_whole == 1
    # a wide digit joined from its bytes is one token again
    joined = opened(byte_level(tmp_path / "joined", [digit.encode() for digit in "０１２３４５６７８９"]))
    assert number_rules(joined).wide_digits_alone == 1


def test_an_unknown_digit_is_no_token_of_its_own(tmp_path: Path) -> None:
    made = Tokenizer(models.WordLevel({"[UNK]": 0} | {str(n): n + 1 for n in range(10)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    rules = number_rules(opened(saved(made, tmp_path / "letters")))
    assert (rules.digits_alone, rules.wide_digits_alone) == (1, 0)


def test_the_examples_are_many_and_shown_whole(toy: AuditedTokenizer) -> None:
    shown = examples([toy])
    assert len(shown) >= 30
    assert len({one.text for one in shown}) == len(shown)
    for one in shown:
        spelled = b"".join(
            bytes([BYTES.index(piece.text)]) if piece.kind == "byte" else piece.text.encode() for piece in one.cuts[0]
        )
        assert spelled.decode() == one.text


def test_unidic_words_spell_the_lines() -> None:
    found = unidic_words(["吾輩は猫である。\n\n　名前は まだ無い。", "次の文"], 15)
    assert found.texts == ("吾輩は猫である。", "　名前は まだ無い。")
    assert found.words[1][:3] == ("名前", "は", "まだ")
    assert found.left_out == 0


def test_real_gold_words_of_gsd(shared_data: Path, toy: AuditedTokenizer) -> None:
    gold = read_conllu(shared_data / "raw" / "ud-gsd" / "ja_gsd-ud-dev.conllu.gz")
    assert (len(gold.texts), sum(map(len, gold.words))) == (507, 12287)
    found = agreement(gold, toy)
    assert found is not None
    assert found.recall is not None
    assert found.recall > 0.99, "nearly every character is cut from the next"
    unidic = agreement(unidic_words(gold.texts, 10**9), toy)
    assert unidic is not None
    assert unidic.words == pytest.approx(found.words, rel=0.02), "GSD is cut in the same short units"
