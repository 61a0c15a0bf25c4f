"""Misread text gets its own characters back where that is provable, and right text is never touched."""

import gzip
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.data.document import EDITS, Document, to_batch
from jpfm.data.steps.mojibake import RepairMojibake
from jpfm.text.decode import decode
from jpfm.text.mojibake import repair, undo

ESSAYS = Path(__file__).parents[2] / "src" / "jpfm" / "sample" / "raw" / "office" / "essay.jsonl"
SENTENCES = [
    sentence + "。"
    for line in ESSAYS.read_text(encoding="utf-8").splitlines()
    for sentence in json.loads(line)["body"].replace("\n", "").split("。")
    if 12 < len(sentence) < 80
]


def _browser_latin1(data: bytes) -> str:
    """What a browser shows of bytes that it takes for iso-8859-1: windows-1252, and controls where that has nothing."""
    chars = [bytes((byte,)).decode("cp1252", "ignore") or chr(byte) for byte in data]
    return "".join(chars)


def _latin1(data: bytes) -> str:
    return data.decode("latin-1")


WRONGS: dict[str, Callable[[str], str]] = {
    "utf8_as_cp932": lambda text: text.encode().decode("cp932"),
    "utf8_as_latin1": lambda text: _browser_latin1(text.encode()),
    "utf8_as_latin1_2_times": lambda text: _browser_latin1(_browser_latin1(text.encode()).encode()),
    "utf8_as_latin1_3_times": lambda text: _latin1(_latin1(_latin1(text.encode()).encode()).encode()),
    "euc_as_cp932": lambda text: text.encode("euc_jp").decode("cp932"),
    "cp932_as_latin1": lambda text: _browser_latin1(text.encode("cp932")),
    "euc_as_latin1": lambda text: _browser_latin1(text.encode("euc_jp")),
    "jis_without_escape": lambda text: text.encode("iso2022_jp").decode().replace("\x1b", ""),
}


@pytest.mark.parametrize("kind", list(WRONGS))
def test_real_sentences_come_back(kind: str) -> None:
    tried, right = 0, 0
    for text in SENTENCES + [sentence[:length] for sentence in SENTENCES for length in range(10, 20)]:
        try:
            wrong = WRONGS[kind](text)
        except UnicodeError:
            continue  # this reading loses bytes: nothing to repair
        tried += 1
        right += undo(wrong) == (text, kind)
        assert undo(wrong)[0] in (text, wrong)
    assert tried >= 20
    assert right >= (0.85 if kind == "euc_as_cp932" else 0.98) * tried  # short EUC-JP is left where it may be real kana


@pytest.mark.parametrize(
    ("wrong", "right", "kind"),
    [
        ("縺ゅ＞縺?", "縺ゅ＞縺?", ""),  # the lost byte is lost
        ("縺ゅ＞�", "縺ゅ＞�", ""),
        ("ã\x81\x82ã\x81„", "あい", "utf8_as_latin1"),
        ("価格はÂ¥100、気温は20Â°C", "価格は¥100、気温は20°C", "utf8_as_latin1"),
        ("cafÃ© au lait", "café au lait", "utf8_as_latin1"),
        ("件名: $B2q5D$N$*CN$i$;(B (1)", "件名: 会議のお知らせ (1)", "jis_without_escape"),
        ("・ｿ･ﾋ･蝪ｼ･ｹ", "・ｿ･ﾋ･蝪ｼ･ｹ", ""),  # one byte was already replaced
    ],
)
def test_known_lines(wrong: str, right: str, kind: str) -> None:
    assert undo(wrong) == (right, kind)


RIGHT = [
    "日本語の文章です。",
    "ﾌﾘｺﾐ ｶ)ﾔﾏﾀﾞ",
    "ﾄﾞｳｷﾖｳﾄ ﾁﾖﾀﾞｸ ｶｽﾐｶﾞｾｷ",
    "ｺﾝｽﾄﾗｸﾀ･ﾃﾞｽﾄﾗｸﾀ･",
    "･･･ﾌﾙﾀｲﾑ勤務",
    "縺れた糸を繧ぐ",
    "L’année européenne a été très chargée : réunions, congrès, déménagements.",
    "“‘Tis” isn’t, can’t, won’t – it’s…",
    "Über die Größe des Gebäudes läßt sich streiten; „Königstraße“.",
    "São Paulo não é a capital; informações às vezes.",
    "CAFÉ» ÀÉÎÕÜ «ÑANDÚ»",
    "½ ¾ ± × ÷ £100 §3 ©2024",
    "sub $B { my $BASE(B) = @_ }",
    "$BAR = foo(BAZ); $@ARGV(B",
    "体重$BMI(B)",
    "舊字體の學校で聲を發する。縣廳、澤邊、齋藤",
    "鬱蒼とした檸檬と薔薇、蠟燭、躊躇",
    "Ελληνικά και Русский текст",
    "한국어 문장과 中文句子。",
    "ã は鼻母音、â は",
    "😀絵文字と①㈱㍻",
    "À bientôt ! Ça va ? Œuvre, cœur",
    "Žižkov, Šárka, Łódź, İstanbul'da şeker",
]


@pytest.mark.parametrize("line", RIGHT)
def test_right_lines_stay(line: str) -> None:
    assert undo(line) == (line, "")
    column = pa.array([line, line + "\n" + line])
    assert repair(column).text.equals(column)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), max_size=5))
def test_a_repair_keeps_rows_and_lines_and_is_told(texts: list[str]) -> None:
    column = pa.array(texts, pa.string())
    after, repairs = repair(column)
    changed = {found.row for found in repairs}
    for row, (before, now) in enumerate(zip(texts, after.to_pylist(), strict=True)):
        assert (before != now) == (row in changed)
    for found in repairs:
        assert texts[found.row][found.start : found.start + found.length] == found.before != found.after


@given(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=6), st.data())
def test_only_the_misread_lines_of_a_document_change(lines: list[str], data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(set(WRONGS) - {"utf8_as_cp932", "euc_as_cp932"})))
    where = data.draw(st.sets(st.integers(0, len(lines) - 1)))
    wrong = [WRONGS[kind](line) if n in where else line for n, line in enumerate(lines)]
    after, repairs = repair(pa.array(["", "\n".join(wrong), "次の文書。"]))
    assert after.to_pylist() == ["", "\n".join(lines), "次の文書。"]
    assert len(repairs) == len(where)
    assert {found.row for found in repairs} <= {1}


def test_what_happened_to_one_line_explains_its_short_neighbours() -> None:
    heading = WRONGS["euc_as_cp932"]("経済産業省")
    assert undo(heading) == (heading, "")  # ten half-width kana: alone that proves too little
    text = WRONGS["euc_as_cp932"]("こちらのページはうつりました")
    after, repairs = repair(pa.array([heading + "\n" + text]))
    assert after[0].as_py() == "経済産業省\nこちらのページはうつりました"
    assert [found.kind for found in repairs] == ["euc_as_cp932", "euc_as_cp932"]


def test_columns_that_are_slices_or_empty() -> None:
    wrong = WRONGS["utf8_as_latin1"]("お知らせ")
    column = pa.array(["捨てる", wrong, "正しい", wrong])
    after, repairs = repair(column.slice(1, 2))
    assert after.to_pylist() == ["お知らせ", "正しい"]
    assert [found.row for found in repairs] == [0]
    assert repair(pa.array([], pa.string())).text.to_pylist() == []


@pytest.mark.parametrize("keep_text", [False, True])
def test_the_step_records_each_repair(keep_text: bool) -> None:
    wrong = WRONGS["utf8_as_latin1"]("お知らせ")
    batch = to_batch([Document("s/0", "正しい文。"), Document("s/1", "見出し\n" + wrong)], "s", "CC0-1.0")
    done = RepairMojibake(step="repair_mojibake", keep_text=keep_text).run(batch)
    assert done.batch.column("text").to_pylist() == ["正しい文。", "見出し\nお知らせ"]
    assert done.batch.schema == batch.schema
    assert done.edits.schema == EDITS
    row = done.edits.to_pylist()[0]
    assert (row["id"], row["source"], row["step"], row["kind"]) == ("s/1", "s", "repair_mojibake", "utf8_as_latin1")
    assert (row["start"], row["length"]) == (4, len(wrong))
    assert (row["before"], row["after"]) == ((wrong, "お知らせ") if keep_text else (None, None))
    assert done.dropped.num_rows == 0
    assert RepairMojibake(step="repair_mojibake").run(batch.slice(0, 1)).edits.num_rows == 0


# --- real text: nothing may change ------------------------------------------------------------------------------------

_FULL = (
    "ァアィイゥウェエォオカキクケコサシスセソタチツッテトナニヌネノハヒフヘホマミムメモャヤュユョヨラリルレロワン・ー"
)
_HALF = "ｧｱｨｲｩｳｪｴｫｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂｯﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓｬﾔｭﾕｮﾖﾗﾘﾙﾚﾛﾜﾝ･ｰ"
NARROW = dict(zip(_FULL, _HALF, strict=True))
for _plain, _voiced in zip(
    "ウカキクケコサシスセソタチツテトハヒフヘホ", "ヴガギグゲゴザジズゼゾダヂヅデドバビブベボ", strict=True
):
    NARROW[_voiced] = NARROW[_plain] + "ﾞ"
for _plain, _voiced in zip("ハヒフヘホ", "パピプペポ", strict=True):
    NARROW[_voiced] = NARROW[_plain] + "ﾟ"


def _texts(path: Path) -> list[str]:
    if path.name.endswith(".tar.gz"):
        with tarfile.open(path) as archive:
            streams = [archive.extractfile(member) for member in archive if member.isfile()]
            raws = [stream.read() for stream in streams if stream is not None]
    else:
        raws = [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()]
    return [decode(raw).text for raw in raws]


def test_no_real_text_is_touched(shared_data: Path) -> None:
    count = 0
    for path in sorted((shared_data / "raw").rglob("*")):
        if path.is_file() and re.search(
            r"\.(md|txt|tar\.gz|xml\.gz|json\.gz|jsonl\.gz|conllu\.gz|csv|html|html\.gz)$", path.name
        ):
            texts = _texts(path)
            repairs = repair(pa.array(texts)).repairs
            assert not repairs, (path.name, repairs[0])
            count += len(texts)
    assert count > 7500


def test_no_real_words_in_half_width_are_touched(shared_data: Path) -> None:
    text = "\n".join(_texts(shared_data / "raw" / "wikipedia-ner" / "ner.json.gz"))
    words = sorted(set(re.findall("[ア-ヴ][ア-ヴー・]+", text)))
    half = ["".join(NARROW.get(char, "") for char in word) for word in words]
    assert len(half) > 5000
    records = [" ".join(half[n : n + 3]) for n in range(0, len(half), 3)]
    lists = ["､".join(half[n : n + 4]) for n in range(0, len(half), 4)]
    assert repair(pa.array(half + records + lists)).repairs == []
