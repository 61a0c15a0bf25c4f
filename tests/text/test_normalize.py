"""One written form for one character, and nothing that changes what a text says."""

import re
import tarfile
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jpfm.text.normalize import DEFAULT, NormalizeRules, normalize, normalize_text
from jpfm.text.width import RULES, is_compatibility_ideograph


def _one(text: str, **switches: Any) -> str:
    return normalize_text(text, NormalizeRules(**switches))


TABLE = {
    "ｶﾞｿﾘﾝｽﾀﾝﾄﾞ": "ガソリンスタンド",
    "ﾊﾟｰﾃｨｰ｡｢ｳﾞｧｲｵﾘﾝ｣､ﾜﾝ･ﾂｰ": "パーティー。「ヴァイオリン」、ワン・ツー",
    "ｱﾞﾟ": "ア゛゜",
    "ＡＢＣｘｙｚ０１２３": "ABCxyz0123",
    "（株）！？％＆＝＋": "（株）！？％＆＝＋",
    "か\u3099き\u3099は\u309a": "がぎぱ",
    "e\u0301cole": "école",
    "９：００～１８：００": "9：00〜18：00",
    "03－1234－5678": "03−1234−5678",
    "①②Ⅲ㈱㎡㍻№℡…‥": "①②Ⅲ㈱㎡㍻№℡…‥",
    "髙橋と高橋、﨑と崎、𠮷と吉": "髙橋と高橋、﨑と崎、𠮷と吉",
    "ーー—―‐–": "ーー—―‐–",
    "一行目\r\n二行目\r三行目\u2028四行目\u2029五行目\u0085六行目": "一行目\n二行目\n三行目\n四行目\n五行目\n六行目",
    "行末の空白　 \t\n次": "行末の空白\n次",
    "　字下げは残る": "　字下げは残る",
    "一\n\n\n\n\n二": "一\n\n二",
    "一\n \n　\n\t\n二": "一\n\n二",
    "\n\n前後\n\n ": "前後",
    "幅\u200bゼロ\ufeffと\u2060制御\u202e\x07\x00文字\x7f\x9f": "幅ゼロと制御文字",
    "soft\u00adhyphen\u00a0と空白": "softhyphen と空白",
    "葛\U000e0100飾区": "葛\U000e0100飾区",
    "👨\u200d👩\u200d👧と👍🏽": "👨\u200d👩\u200d👧と👍🏽",
    "ﾜﾞｶﾟﾞ゛": "ヷカ゜゛゛",
    "か゛き゜は゜カﾞあ゛ゝ゛": "がき゜ぱガあ゛ゞ",
    "神と神、ΩとÅと﨑": "神と神、ΩとÅと﨑",
    "￠￡￢￥￣": "¢£¬￥￣",
    "∥―—‖": "∥―—‖",
    "1\u2009000\u202f円\u2007": "1 000 円",
    "क़\u0323\u0301": "क\u093c\u0323\u0301",
    "각": "각",
    "e\u0301\u0323": "ẹ\u0301",
    "か\u200b\u3099く": "がく",
    "文\u200d字❤\ufe0f\u200d🔥": "文字❤\ufe0f\u200d🔥",
    "漢字（かんじ）と吾輩《わがはい》、代表作《ひまわり》": "漢字（かんじ）と吾輩《わがはい》、代表作《ひまわり》",
    "わあああーーーーーーーーーーー！！！！！！！！！！！！": "わあああーーーーーーーーーーー！！！！！！！！！！！！",
    "│ ─ ・ … ─ │　〒〓※": "│ ─ ・ … ─ │　〒〓※",
    "▁下線に似た記号": "_下線に似た記号",
    "タブ\tは残る  空白も": "タブ\tは残る  空白も",
    "": "",
    " \n　\n": "",
    "縦\x0bタブ\x0c改頁": "縦タブ改頁",
}


@pytest.mark.parametrize(("text", "expected"), TABLE.items())
def test_normalised_form(text: str, expected: str) -> None:
    assert _one(text) == expected


@pytest.mark.parametrize("text", [text for text in TABLE if text])
def test_nothing_happens_with_every_rule_off(text: str) -> None:
    assert normalize_text(text, NormalizeRules.none()) == text


# --- each rule ------------------------------------------------------------------------------------------------------

ONE_RULE = [
    ("fullwidth_alnum", "Ａｚ０９（＠）", "Az09（＠）"),
    ("fullwidth_punctuation", "Ａ！（～－｜＼", "Ａ!(~-|\\"),
    ("halfwidth_kana", "ﾊﾟｿｺﾝ｡ﾞカﾞ", "パソコン。゛カ゛"),
    ("stray_voicing_marks", "か゛ｶﾞカﾞ", "がｶﾞガ"),
    ("wave_dash", "～〜~", "〜〜~"),
    ("minus_sign", "－−-‐–", "−−-‐–"),
    ("hyphens", "‐‑﹣–—", "---–—"),
    ("dashes", "―—–─ー", "——–─ー"),
    ("double_bar", "∥‖", "‖‖"),
    ("cp932_signs", "￠￡￢￤￥", "¢£¬￤￥"),
    ("spaces", "a\u00a0\u2003\u2009\u3000b", "a   \u3000b"),
    ("ideographic_space", "　一\u00a0", " 一\u00a0"),
    ("sentencepiece_mark", "▁ ", "_ "),
    ("nfc", "か\u3099Å神", "がÅ神"),
    ("zero_width", "あ\u200bい\u00ad\ufeffう\u200dえ\ufe0f\u200eお", "あいうえ\ufe0f\u200eお"),
    ("bidi_controls", "あ\u200e\u202bい\u2068\u200bう", "あい\u200bう"),
    ("controls", "あ\x00\x1b\t\r\n\x85\x9f", "あ\t\r\n\x85"),
    ("ruby", "漢字《かんじ》", "漢字"),
    ("reading_parentheses", "漢字（かんじ）、漢(カン)", "漢字、漢"),
    ("repeated_marks", "！" * 9 + "ー" * 20 + "w" * 9 + "." * 9, "！" * 8 + "ー" * 8 + "w" * 9 + "." * 9),
    ("line_ends", "a\r\nb\rc\u2028\r\r\n \u0085", "a\nb\nc\n\n\n \n"),
    ("trailing_spaces", "a \t\n　b　\n \r\n ", "a\n　b\n \r\n"),
    ("blank_lines", "\n\na\n\n\n \n\nb\n\n", "a\n\n \n\nb"),
]


@pytest.mark.parametrize(("rule", "text", "expected"), ONE_RULE)
def test_one_rule_alone(rule: str, text: str, expected: str) -> None:
    rules = NormalizeRules.none(**{rule: True})
    assert normalize_text(text, rules) == expected
    assert normalize_text(expected, rules) == expected
    column, edits = normalize(pa.array([text], pa.string()), rules, spans=True)
    assert column.to_pylist() == [expected]
    assert set(edits["rule"].to_pylist()) == {rule}


def test_every_rule_is_a_switch_with_a_table_and_an_example() -> None:
    switches = {name for name, value in DEFAULT.model_dump().items() if isinstance(value, bool)}
    assert switches - set(RULES) == {"keep_compatibility_ideographs", "keep_fenced_code", "keep_indented_code"}
    assert {rule for rule, _, _ in ONE_RULE} == set(RULES) - {""} <= switches
    for name in switches:
        assert re.search(rf"{name}=(True|False)", str(NormalizeRules.__doc__)), name


RUBY = {
    "吾輩《わがはい》は猫《ネコ》": "吾輩は猫",
    "｜武蔵野《むさしの》の｜King《キング》｜": "武蔵野のKing｜",
    "｜ハリー・ポッター《はりーぽったー》": "ハリー・ポッター",
    "葛\U000e0100《かつ》": "葛\U000e0100",
    "々《のま》〆《しめ》": "々〆",
    "《はる》と《春》、かな《かな》": "《はる》と《春》、かな《かな》",
    "漢《かん\nじ》": "漢《かん\nじ》",
    "｜《か》｜・《か》か｜゛《か》": "｜《か》｜・《か》か｜゛《か》",
    "｜Ｃ３ ＰＯ《しーすりー》": "C3 PO",
    "漢《》《かん》": "漢《》《かん》",
    "漢《かん》《かん》": "漢",
    "漢《か《な》": "漢《か《な》",
    "｜\u3099x《か》": "｜\u3099x《か》",
    "漢" + "《" + "あ" * 40 + "》": "漢",
    "漢" + "《" + "あ" * 41 + "》": "漢" + "《" + "あ" * 41 + "》",
}


@pytest.mark.parametrize(("text", "expected"), RUBY.items())
def test_ruby_leaves_its_base(text: str, expected: str) -> None:
    assert _one(text, ruby=True) == expected


def test_readings_go_only_after_kanji_and_only_kana() -> None:
    text = "東京（とうきょう）都(と)、カナ（かな）、株式会社（株）、明治（1868年）、（ふりがな）"
    assert _one(text, reading_parentheses=True) == "東京都、カナ（かな）、株式会社（株）、明治（1868年）、（ふりがな）"


def test_marks_are_counted_as_they_are_written_after_replacement() -> None:
    assert _one("～〜" * 9 + "ｰー" * 9, repeated_marks=True, repeated_marks_limit=3) == "〜〜〜ーーー"


def test_only_compatibility_ideographs_are_kept_from_nfc() -> None:
    ideographs = "".join(
        chr(c) for c in (*range(0xF900, 0xFB00), *range(0x2F800, 0x2FA20)) if is_compatibility_ideograph(c)
    )
    assert len(ideographs) > 1000
    assert _one(ideographs) == ideographs
    assert _one(ideographs, keep_compatibility_ideographs=False) == unicodedata.normalize("NFC", ideographs)


# --- code -----------------------------------------------------------------------------------------------------------

CODE = 'ｱ = "Ａ\u00a0～"  \n\n\n\n\tか\u3099\u200b神\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [("```\n", "```"), ("~~~~ ｐｙ\n", "~~~~~"), ("> ``` js\n", "> ```  "), ("1. 項\n\n      ```\n", "\t> ```"),
     ("　～の～\n```\n", "\n```\u3000"), ("```\n``\n~~~\n``` x\n", "````")],
)  # fmt: skip
def test_fenced_code_is_copied(before: str, after: str) -> None:
    text = f"Ａ\n{before}{CODE}{after}\nＢ"
    normal = _one(text)
    assert CODE in normal
    assert normal.startswith("A\n")
    assert normal.endswith("\nB")
    assert CODE not in _one(text, keep_fenced_code=False)


@pytest.mark.parametrize(
    ("before", "after"),
    [("```\n", ""), ("```\n", "~~~"), ("````\n", "```"), ("```\n", "``` x"), ("``\n", "``"), ("``` a`b\n", "end"),
     ("文```\n", "文```"), ("~~~~~~~~~~~~\n", "")],
)  # fmt: skip
def test_what_no_fence_closes_is_text(before: str, after: str) -> None:
    normal = _one(f"{before}Ａ\nｶﾞ\n{after}\n\n\n\nＢ")
    assert "A\nガ\n" in normal
    assert normal.endswith("\n\nB")


def test_fences_are_read_as_they_are_after_replacement() -> None:
    text = "Ａ\n\u00a0\u200b｀｀｀\nＢ\n` \u200b``\n`\u200b``\u2003\nＣ\n～～～\nＤ\n～～～"
    assert _one(text) == "A\n ｀｀｀\nB\n` ``\n```\nC\n〜〜〜\nD\n〜〜〜"
    narrow = {"fullwidth_punctuation": True, "wave_dash": False}
    assert _one(text, **narrow) == "A\n ```\nＢ\n` \u200b``\n```\nC\n~~~\nＤ\n~~~"


def test_code_begins_again_after_an_unclosed_fence() -> None:
    text = "~~~~\nＡ\n```\nＢ\n```\nＣ\n~~~\nＤ\n~~~\nＥ\n~~~~~~\n"
    assert _one(text) == "~~~~\nＡ\n```\nＢ\n```\nＣ\n~~~\nＤ\n~~~\nＥ\n~~~~~~"
    text = text.removesuffix("~~~~~~\n")
    assert _one(text) == "~~~~\nA\n```\nＢ\n```\nC\n~~~\nＤ\n~~~\nE"


def test_in_code_only_line_ends_and_controls_change() -> None:
    assert _one("```\r\nＡ\x00 \r\n\u2028Ｂ\u200b\r\n```\r\n") == "```\nＡ \n\nＢ\u200b\n```"


def test_indented_code_is_text_unless_asked() -> None:
    text = "Ａ\n    Ｂ\n\n    Ｃ \n\tＤ\n  \n\n     Ｅ  \n　　　　Ｆ\n\n    Ｇ  \n\n"
    assert _one(text) == "A\n    B\n\n    C\n\tD\n\n     E\n　　　　F\n\n    G"
    assert _one("Ａ\n\n    Ｇ  ", keep_indented_code=True) == "A\n\n    Ｇ  "
    kept = "A\n    B\n\n    Ｃ \n\tＤ\n\n     Ｅ  \n　　　　F\n\n    Ｇ  "
    assert _one(text, keep_indented_code=True) == kept


# --- properties -----------------------------------------------------------------------------------------------------

troubled_characters = st.sampled_from(
    "ｶﾞﾊﾟｳｰ｡゛゜\u3099\u309a\u0301\u0323\u0338かはカＡａ１（）()！。"
    " \t\u3000\n\r\u0085\u2028\u00a0\u2009\u200b\ufeff\x00\x0b"
    "〜～－‐―∥￡▁㎡①髙神漢字《》｜|é👍\u200d\ufe0f\U000e0100\u202e`~｀>=<각\u1100\u1161\u11a8\u0958\u0344\u1e9b≯"
)
troubled = st.text(troubled_characters, max_size=24)
words = [
    "```", "~~~", "～～～", "｀｀｀", "````", "\n", "\n\n", "\r\n", "    ", "\t", "> ", "漢《かん》", "｜あ《あ》",
    "字（じ）", "！！！", "\u200b", "ｶﾞ", "か\u3099",
]  # fmt: skip
fragments = st.lists(st.sampled_from(words) | troubled_characters, max_size=30).map("".join)
anything = troubled | fragments | st.text(max_size=40)
switches = st.fixed_dictionaries(
    {name: st.booleans() for name, value in DEFAULT.model_dump().items() if isinstance(value, bool)}
    | {"repeated_marks_limit": st.integers(1, 4)}
)
drawn_rules = switches.map(NormalizeRules.model_validate)


def _column(texts: list[str]) -> pa.Array:
    return pa.array([text.encode("utf-8", "ignore").decode() for text in texts], pa.string())


@settings(max_examples=600)
@given(st.lists(anything, min_size=1, max_size=3), drawn_rules)
def test_normalising_twice_changes_nothing_with_any_switches(texts: list[str], rules: NormalizeRules) -> None:
    once = normalize(_column(texts), rules)
    again = normalize(once, rules)
    assert again.to_pylist() == once.to_pylist()
    assert len(once) == len(texts)


@settings(max_examples=300)
@given(st.lists(anything, min_size=1, max_size=5))
def test_the_defaults_hold(texts: list[str]) -> None:
    once = normalize(_column(texts), NormalizeRules(keep_fenced_code=False, keep_compatibility_ideographs=False))
    for text in once.to_pylist():
        assert unicodedata.is_normalized("NFC", text)
        assert not text.endswith((" ", "\n", "\u3000"))
        assert not re.search(r"[\r\u0085\u2028\u200b\ufeffＡ１ｶ～－]|[ \t　]\n|\n\n\n|か[゛\u3099]", text)


@settings(max_examples=300)
@given(st.lists(anything, min_size=1, max_size=4), drawn_rules)
def test_edits_rebuild_the_output(texts: list[str], rules: NormalizeRules) -> None:
    column = _column(texts)
    normal, edits = normalize(column, rules, spans=True)
    assert normal.to_pylist() == normalize(column, rules).to_pylist()
    rows: list[list[str]] = [[] for _ in texts]
    reached = [0] * len(texts)
    for edit in edits.to_pylist():
        row, text = edit["row"], column[edit["row"]].as_py()
        assert edit["start"] >= reached[row]
        assert edit["before"] == text[edit["start"] : edit["start"] + edit["length"]] != edit["after"]
        assert getattr(rules, edit["rule"]) is True
        rows[row] += [text[reached[row] : edit["start"]], edit["after"]]
        reached[row] = edit["start"] + edit["length"]
    rebuilt = ["".join(pieces) + column[row].as_py()[reached[row] :] for row, pieces in enumerate(rows)]
    assert rebuilt == normal.to_pylist()


marked = st.text(
    st.characters(categories=["Mn", "Mc", "Lo", "Ll"]) | st.sampled_from("がはﾞe\u0301\u0323\u1100\u1161\u11a8각한"),
    max_size=20,
)


@settings(max_examples=300)
@given(marked | anything)
def test_the_nfc_rule_alone_is_unicode_nfc(text: str) -> None:
    rules = NormalizeRules.none(nfc=True, keep_compatibility_ideographs=False)
    assert normalize_text(text := _column([text])[0].as_py(), rules) == unicodedata.normalize("NFC", text)


def test_every_character_composes_as_in_unicode() -> None:
    rules = NormalizeRules.none(nfc=True, keep_compatibility_ideographs=False)
    points = [chr(c) for c in (*range(0xD800), *range(0xE000, 0x32000), *range(0xE0100, 0xE01F0))]
    texts = points + [unicodedata.normalize("NFD", c) for c in points] + [f"a\u0315{c}\u0300" for c in points]
    expected = [unicodedata.normalize("NFC", text) for text in texts]
    assert normalize(pa.array(texts, pa.string()), rules).to_pylist() == expected


@given(st.text(st.sampled_from("ｦｧｨｩｪｫｬｭｮｯｰｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔﾕﾖﾗﾘﾙﾚﾛﾜﾝ｡｢｣､･ﾞﾟ")))
def test_half_width_kana_are_as_in_nfkc_but_for_lone_marks(text: str) -> None:
    expected = unicodedata.normalize("NFKC", text).translate({0x3099: "゛", 0x309A: "゜"})
    assert normalize_text(text, NormalizeRules.none(halfwidth_kana=True)) == expected


@given(st.lists(anything, min_size=2, max_size=6))
def test_a_text_does_not_depend_on_its_neighbours(texts: list[str]) -> None:
    column = _column(texts)
    whole = normalize(column).to_pylist()
    assert whole == [normalize_text(text) for text in column.to_pylist()]
    assert normalize(pa.concat_arrays([pa.array(["x"]), column]).slice(1)).to_pylist() == whole


@pytest.mark.parametrize("column", [pa.array([], pa.string()), pa.array(["ａ", ""], pa.string())])
def test_small_columns(column: pa.Array) -> None:
    for rules in (DEFAULT, NormalizeRules.none()):
        text, edits = normalize(column, rules, spans=True)
        assert text.type == pa.string()
        assert len(text) == len(column)
        assert edits.column_names == ["row", "rule", "start", "length", "before", "after"]


@pytest.mark.parametrize("column", [pa.array(["a", None]), pa.array([b"a"]), pa.array(["a"], pa.large_string())])
def test_other_columns_are_refused(column: pa.Array) -> None:
    with pytest.raises(TypeError):
        normalize(column)


def test_text_that_nfc_makes_longer_finds_room() -> None:
    texts = ["x", "\U0001d160" * 500, "か\u3099", "\U0001d160" * 5000 + "ｶﾞ", "Ａ"]
    normal, edits = normalize(pa.array(texts, pa.string()), spans=True)
    expected = [unicodedata.normalize("NFC", text).replace("ｶﾞ", "ガ").replace("Ａ", "A") for text in texts]
    assert normal.to_pylist() == expected == normalize(pa.array(texts, pa.string())).to_pylist()
    assert edits["row"].to_pylist() == [1, 2, 3, 3, 4]


def test_hostile_text_stays_linear() -> None:
    """Each of these takes hours where a step looks back or ahead without a bound."""
    size = 200_000
    for text in (
        "a" + "\u0301\u0323" * size,
        "か\u3099\u200b" * size,
        "a" + "\u0301\u200b" * size,
        "\u0301" * size,
        "각\u11a8\u11a8" * size,
        "《" * size + "》" * size,
        "｜" + "漢" * size + "《か》" * size,
        "漢（" + "か" * size + "）",
        "```\n" * size + "`",
        "".join(f"{'`' * (3 + n % 90)} x\n" for n in range(size // 10)),
        "~~~ x\n" * size,
        "\n" * size,
        " " * size + "\n",
        "！" * size,
    ):
        rules = NormalizeRules(ruby=True, reading_parentheses=True, repeated_marks=True, keep_indented_code=True)
        normal, _ = normalize(pa.array([text], pa.string()), rules, spans=True)
        assert normalize(normal, rules).equals(normal)


# --- real text ------------------------------------------------------------------------------------------------------


def _reference(text: str) -> str:
    """The default rules (without code) written once more with `re` and `str.translate`, for text without odd marks."""
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u200c\u200e\u200f\u2060\ufeff]", "", text)
    text = re.sub(r"\r\n|[\r\u0085\u2028\u2029]", "\n", text)
    text = re.sub("[ｦ-ﾟ｡-･]+", lambda match: unicodedata.normalize("NFKC", match.group()), text)
    pieces = re.split("([\uf900-\ufaff])", text)
    text = "".join(
        unicodedata.normalize("NFC", piece) if index % 2 == 0 else piece for index, piece in enumerate(pieces)
    )
    wide = {c: c - 0xFEE0 for c in range(0xFF01, 0xFF5F) if chr(c - 0xFEE0).isalnum()}
    spaces = dict.fromkeys([0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F], " ")
    signs = {"～": "〜", "－": "−", "￠": "¢", "￡": "£", "￢": "¬", "▁": "_"}
    text = text.translate({**wide, **spaces, **{ord(old): new for old, new in signs.items()}})
    text = re.sub(r"[ \t　]+(?=\n|$)", "", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


def _members(path: Path, encoding: str, limit: int) -> list[str]:
    with tarfile.open(path) as archive:
        files = [archive.extractfile(member) for member in archive if member.isfile()][:limit]
        return [file.read().decode(encoding) for file in files if file is not None]


def test_real_text_is_as_a_plain_reference_has_it(shared_data: Path) -> None:
    texts = _members(sorted((shared_data / "raw" / "aozora").glob("*夏目漱石*"))[0], "cp932", 40)
    for archive in sorted((shared_data / "raw").glob("*/*_md.tar.gz")):
        texts += _members(archive, "utf-8", 1500)
    assert len(texts) > 1000
    normal = normalize(pa.array(texts, pa.string()), NormalizeRules(keep_fenced_code=False)).to_pylist()
    assert normal == [_reference(text) for text in texts]


def test_code_of_real_markdown_is_exempt(shared_data: Path) -> None:
    texts = _members(shared_data / "raw" / "cpprefjp" / "cpprefjp_md.tar.gz", "utf-8", 1500)
    fenced = re.compile(r"^```[^`\n]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
    blocks = [(text, block.replace("\r\n", "\n")) for text in texts for block in fenced.findall(text)]
    assert len(blocks) > 1000
    for text, block in blocks:
        assert block in normalize_text(text)
