"""The signal steps: what their columns hold, which settings they refuse, and that a recipe asks for the right ones."""

import gzip
import hashlib
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pytest

from jpfm.core.errors import DataError, UsageError
from jpfm.data.build import build
from jpfm.data.document import Document, to_batch
from jpfm.data.recipe import Recipe
from jpfm.data.steps.base import Signal
from jpfm.data.steps.signals import BulletinBoard, Characters, Compression, Domains, Lines, Repeats, ZlibCompression
from jpfm.data.steps.word_signals import Nouns, WordList, WordLists, Words

PROSE = "山道を歩きながら、いろいろなことを考えた。春の風はまだ冷たく、川の水は雪どけで濁っている。"


def _columns(step: Signal, texts: Sequence[str], urls: Sequence[str] = (), before: Sequence[Signal] = ()) -> Any:
    addresses = urls or [""] * len(texts)
    batch = to_batch([Document(str(n), text, url=addresses[n]) for n, text in enumerate(texts)], "s", "CC0-1.0")
    for earlier in before:
        batch = earlier.run(batch).batch
    names = batch.schema.names
    after = step.run(batch).batch
    assert after.schema.names == [*names, *step.adds]
    return {name: after.column(name).to_pylist() for name in step.adds}


def test_characters_give_counts_and_shares() -> None:
    found = _columns(Characters(step="characters"), ["漢字かなカナ abc12、", ""])
    assert found["num_chars"] == [13, 0]
    shares = ("hiragana", "katakana", "kanji", "latin", "digit", "punctuation", "space")
    assert [round(found[f"{name}_share"][0] * 13) for name in shares] == [2, 2, 2, 3, 2, 1, 1]
    assert all(found[f"{name}_share"][1] == 0 for name in shares)
    assert sum(found[f"{name}_share"][0] for name in shares) == pytest.approx(1)


def test_lines_of_a_menu_of_prose_and_of_nothing() -> None:
    found = _columns(Lines(step="lines"), ["ホーム\nお知らせ\nホーム\n", PROSE, ""])
    assert found["short_line_share"] == [1.0, 0.0, 1.0]
    assert found["repeated_line_share"] == [0.25, 0.0, 0.0]
    assert found["num_sentences"] == [3, 2, 0]
    assert found["mean_sentence_chars"] == [pytest.approx(10 / 3), 22.5, 0.0]
    assert found["max_sentence_chars"] == [4, 24, 0]
    assert found["chars_per_kuten"] == [float("inf"), 22.5, 0.0]
    assert found["chars_before_kana"] == [0.0, 2.0, float("inf")]
    assert found["num_japanese_letters"] == [8, 45, 0]  # ー is no letter, 。 and 、 are
    assert found["japanese_of_chars"][1] == 1.0
    assert found["num_visible_chars"] == [10, 45, 0]


def test_kanji_outside_the_basic_plane_by_switch() -> None:
    counts = [_columns(Lines(step="lines", as_published=flag), ["𠮷野家"])["num_japanese_letters"] for flag in (0, 1)]
    assert counts == [[3], [2]]


def test_repeats_have_their_columns() -> None:
    found = _columns(Repeats(step="repeats"), [PROSE, PROSE * 4, ""])
    assert found["duplicate_10gram_share"][0] == 0.0
    assert found["duplicate_10gram_share"][1] > 0.9
    assert all(values[2] == 0.0 for values in found.values())


def test_compression_ratios_are_those_of_the_libraries() -> None:
    texts = [PROSE, "あ" * 500, "", "x"]
    found = _columns(ZlibCompression(step="zlib_compression"), texts)["zlib_ratio"]
    assert found == [len(zlib.compress(t.encode(), 9)) / len(t.encode()) if t else 1.0 for t in texts]
    fast = _columns(Compression(step="compression"), texts)["lz4_ratio"]
    assert fast[1] < 0.05 < fast[0]
    raw = pa.Codec("lz4_raw").compress(PROSE.encode())
    assert fast[0] == len(raw) / len(PROSE.encode())
    assert pa.Codec("lz4_raw").decompress(raw, len(PROSE.encode())).to_pybytes().decode() == PROSE


@pytest.mark.parametrize(
    ("text", "marks", "published"),
    [
        ("2020年1月2日 2020-01-02 2020/1/2 2020. 1. 2", 4, 4),
        ("２０２０年１月２日の投稿", 2, 2),
        ("コメント(3) SOLD OUT 楽天市場 レビュー 質問", 5, 5),
        ("第12話(月)次のページ", 3, 3),
        ("A-B-C 090-1234-5678", 0, 4),
        ("20200102、(祝)、話", 0, 0),
    ],
)
def test_marks_of_bulletin_boards(text: str, marks: int, published: int) -> None:
    for flag, expected in ((False, marks), (True, published)):
        step = BulletinBoard(step="bulletin_board", as_published=flag)
        assert _columns(step, [text])["bulletin_board_marks"] == [expected]


def test_domains_by_settings() -> None:
    urls = ["https://a.example.jp/x", "https://b.co.uk/", "", "https://example.com/wiki/", "notaurl", "HTTPS://X.JP:8/"]
    step = Domains(step="domains", top_level=("jp", "co.uk"), refused=("https://a.",))
    assert _columns(step, [PROSE] * 6, urls)["domain_allowed"] == [0, 1, 1, 0, 0, 1]


@pytest.fixture
def make_list(tmp_path: Path) -> Callable[..., WordList]:
    def make(name: str, content: str | bytes, **settings: Any) -> WordList:
        path = tmp_path / f"{name}.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return WordList(name=name, path=str(path), **settings)

    return make


def test_word_lists_count_hits_whole_words_and_share(make_list: Callable[..., WordList]) -> None:
    step = WordLists(
        step="word_lists",
        lists=(
            make_list("shop", "\ufeff送料無料\r\nカメラ\n\n"),
            make_list("en", "Free Shipping\nsale\n", language="en"),
        ),
    )
    assert step.adds == ("words_shop_hits", "words_shop_whole_hits", "words_shop_share", "words_en_hits")
    texts = ["送料無料のカメラ", "防犯カメラー", "free shipping, SALE. wholesale", "", "sale"]
    found = _columns(step, texts, before=[Lines(step="lines")])
    assert found["words_shop_hits"] == [2, 1, 0, 0, 0]
    assert found["words_shop_whole_hits"] == [2, 0, 0, 0, 0]
    assert found["words_shop_share"] == [7 / 8, 3 / 5, 0.0, 0.0, 0.0]
    assert found["words_en_hits"] == [0, 0, 2, 0, 1]


def test_a_word_list_is_pinned_by_its_hash_not_its_place(make_list: Callable[..., WordList]) -> None:
    digest = hashlib.sha256("語\n".encode()).hexdigest()
    assert make_list("a", "語\n", sha256=digest).words() == ["語"]
    assert make_list("a", "語\n", sha256=digest).identity() == {"name": "a", "sha256": digest, "language": "ja"}
    with pytest.raises(UsageError, match=f"sha256 .*the recipe says {digest}"):
        make_list("a", "別の語\n", sha256=digest).words()


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [(b"", DataError, "holds no word"), (b"\n \n", DataError, "holds no word"),
     (gzip.compress(b"x", mtime=0), DataError, "not UTF-8 at byte 1")],
)  # fmt: skip
def test_bad_word_lists(
    make_list: Callable[..., WordList], content: bytes, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_list("bad", content).words()


def test_a_missing_word_list(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        WordList(name="gone", path=str(tmp_path / "gone.txt")).words()
    with pytest.raises(pydantic.ValidationError):
        WordList(name="Not a column", path="x")


def test_nouns_and_words() -> None:
    texts = ["リンゴ・オレンジ・ミカン・バナナ セール中", "今日の仙台朝市ではリンゴがセール中", "", "！？"]
    found = _columns(Nouns(step="nouns"), texts)
    assert found["noun_share"][0] >= 0.8 > found["noun_share"][1]
    assert found["noun_share"][2:] == [0.0, 0.0]
    again = _columns(Nouns(step="nouns"), [PROSE * 2])["repeated_words_share"][0]
    apart = _columns(Nouns(step="nouns", chunk_chars=len(PROSE)), [PROSE * 2])["repeated_words_share"][0]
    assert 0.8 < again < 1.0 == apart, "a sequence that spans both copies stands once, unless each copy is a chunk"
    counted = _columns(Words(step="words", stop_words=("の", "を")), [PROSE, ""])
    assert counted["num_stop_words"] == [2.0, 0.0]
    assert counted["num_printed_lines"] == [1.0, 0.0]
    assert counted["terminal_line_share"] == [1.0, 0.0]
    assert set(counted) == set(Words(step="words").adds)


def test_a_recipe_names_the_step_that_is_missing(make_recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(
        pydantic.ValidationError, match="needs column 'repeated_line_share'; put `- step: lines` before"
    ):
        make_recipe({"a.txt": PROSE}, ["characters", "swallow-v1"])
    with pytest.raises(pydantic.ValidationError, match="needs column 'top_2gram_share'; put `- step: repeats` before"):
        make_recipe({"a.txt": PROSE}, ["characters", "lines", "swallow-v1"])
    with pytest.raises(pydantic.ValidationError, match="adds 'num_sentences' a second time"):
        make_recipe({"a.txt": PROSE}, ["lines", "lines"])
    with pytest.raises(pydantic.ValidationError, match="words_adult_hits"):
        make_recipe({"a.txt": PROSE}, ["characters", "lines", "repeats", "bulletin_board", "nouns", "hojichar-default"])


def test_a_preset_in_a_corpus(make_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    """Built from a recipe: dropped rows name rule, value and threshold; the rest carry all columns."""
    long = "".join(
        f"{n}日目の朝は{chr(0x4E00 + 61 * n)}を見て、{chr(0x5E00 + 43 * n)}のことを思い出していた。" for n in range(40)
    )
    recipe = make_recipe(
        {"good.txt": long, "short.txt": PROSE, "same.txt": (PROSE + "\n") * 30},
        ["characters", "lines", "repeats", "swallow-v1"],
    )
    corpus = build(recipe, tmp_path / "corpus")
    assert corpus is not None
    dropped = pq.read_table(corpus.path / "dropped").to_pylist()
    rows = {row["id"].split("/")[-1].split("#")[0]: (row["step"], row["reason"], row["threshold"]) for row in dropped}
    assert rows == {"short.txt": ("swallow-v1", "too_short", 400.0), "same.txt": ("swallow-v1", "repeated_lines", 0.3)}
    kept = pq.read_table(corpus.path / "documents")
    assert kept.num_rows == 1
    assert {*Lines(step="lines").adds, *Repeats(step="repeats").adds} < set(kept.column_names)
