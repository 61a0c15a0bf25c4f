"""The key by which documents are compared, against tables of real Japanese and a slow reading of its definition."""

import itertools
import re
import unicodedata
from typing import NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.text.dedup_key import KeyRules, Keys, keys
from jpfm.text.old_kanji import NEW_OF_OLD


def _strings(found: Keys) -> list[str]:
    edges = found.offsets.tolist()
    return ["".join(map(chr, found.points[start:stop])) for start, stop in itertools.pairwise(edges)]


def _key(text: str, rules: KeyRules | None = None) -> str:
    return _strings(keys(pa.array([text], pa.string()), rules or KeyRules()))[0]


# --- what counts and what does not ----------------------------------------------------------------------------------

SAME = [
    ("ﾊﾟﾘのｶﾌｪｰ", "パリのカフェー"),
    ("ｶﾞｽ", "ガス"),
    ("か\u3099き\u3099", "がぎ"),
    ("は\u309aり", "ぱり"),
    ("か゛き゛", "がぎ"),
    ("ウ゛ァイオリン", "ヴァイオリン"),
    ("こゝろ", "こゝろ"),
    ("すゝ゛", "すゞ"),
    ("ワ\u3099", "ヷ"),
    ("ＴＥＬ：０３－１２３４", "tel 03-1234"),
    ("㈱ミツバ", "株ミツバ"),
    ("(株)ミツバ", "株ミツバ"),
    ("①②③", "123"),
    ("⑴", "1"),
    ("㊗", "祝"),
    ("10時〜12時", "10時～12時"),
    ("Ａ－Ｂ", "a-b"),
    ("それは…", "それは……"),
    ("吾輩は猫である。\n名前はまだ無い。", "吾輩は猫である。名前はまだ無い。"),
    ("東京　都", "東京都"),
    ("東京\u200b都\ufeff\u00ad", "東京都"),
    ("「はい」と言った", "『はい』と言った"),
    ("ガス・パン", "ガスパン"),
    ("葛\U000e0100城市", "葛城市"),
    ("❤\ufe0f", "❤"),
    ("神\ufa19", "神神"),
    ("\U0002f800", "\u4e3d"),
    ("＃データ", "#データ"),
]
OTHER = [
    ("パリ", "ハリ"),
    ("ガス", "カス"),
    ("かぎ", "かき"),
    ("ポスト", "ホスト"),
    ("びょういん", "びよういん"),
    ("ウォッカ", "ウオッカ"),
    ("きって", "きつて"),
    ("令和5年", "令和6年"),
    ("100㎡", "100m2"),
    ("㍻", "平成"),
    ("Ⅲ", "iii"),
    ("㌔", "キロ"),
    ("⑩", "10"),
    ("½", "12"),
    ("℃", "c"),
    ("國", "国"),
    ("カタカナ", "かたかな"),
    ("二〇二三", "2023"),
    ("ビール", "ビル"),
    ("吉", "𠮷"),
    ("¥100", "$100"),
    ("1+1", "11"),
    ("漢字《かんじ》", "漢字"),
    ("👍", "👎"),
]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_copies_have_one_key(one: str, two: str) -> None:
    assert _key(one) == _key(two)
    assert _key(one)


@pytest.mark.parametrize(("one", "two"), OTHER)
def test_other_texts_have_other_keys(one: str, two: str) -> None:
    assert _key(one) != _key(two)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", ""),
        ("　\n\t 、。「」", ""),
        ("゛", ""),
        ("\u3099か", "か"),
        ("か\u3099\u3099", "が"),
        ("か\u3099\u309a", "が"),
        ("ん\u3099", "ん"),  # takes no mark
        ("漢゛字", "漢字"),
        ("A\u309a", "a"),
        ("か、\u3099", "が"),  # what stands between does not count
        ("👨\u200d👩\u200d👧", "👨👩👧"),
        ("𠮷野家の𩸽", "𠮷野家の𩸽"),
        ("ーーー", "ーーー"),
        ("々〆〇ヶ", "々〆〇ヶ"),
        ("İ", "İ"),  # its small letter is two characters
        ("\U0010ffff", "\U0010ffff"),
        ("한글", "한글"),
    ],
)
def test_odd_texts(text: str, key: str) -> None:
    assert _key(text) == key


@pytest.mark.parametrize(
    ("rules", "text", "key"),
    [
        ({"width": False}, "Ａｶﾞ㈱か\u3099", "ａｶﾞ㈱か\u3099"),
        ({"case": False}, "Ａb", "Ab"),
        ({"spaces": False}, "a\u3000b\n", "a b\n"),
        ({"punctuation": False}, "（株）、。", "(株)、。"),
        ({"old_kanji": True}, "國學院の齋藤・龜井、會澤辯護士", "国学院の斎藤亀井会沢辯護士"),
        ({"old_kanji": True}, "\uf914", "楽"),  # the compatibility form of an old form
        ({"old_kanji": True}, "豫算の餘り、曆と歷史", "予算の余り暦と歴史"),
        ({"kana": True}, "カタカナヴァヵヶヽヾー", "かたかなゔぁゕゖゝゞー"),
        ({"kana": True}, "ｶﾞｽ", "がす"),
        ({"numbers": True}, "二〇二三年は令和５年", "2023年は令和5年"),
        ({"kana": True, "numbers": True, "ruby": True}, "第二《だいに》カイ", "第2かい"),
    ],
)
def test_each_rule_is_a_switch(rules: dict[str, bool], text: str, key: str) -> None:
    assert _key(text, KeyRules(**rules)) == key


RUBY = [
    ("漢字《かんじ》を読む", "漢字を読む"),
    ("真面目な｜漢字《かんじ》", "真面目な漢字"),
    ("漢字（かんじ）を読む", "漢字を読む"),
    ("漢字(かんじ)を読む", "漢字を読む"),
    ("倫敦（ロンドン）", "倫敦"),  # as normalize reads it
    ("漢字（ｶﾝｼﾞ）", "漢字"),
    ("学校（か\u3099っこう）", "学校"),
    ("夏目漱石（なつめ　そうせき）", "夏目漱石"),
    ("人々（ひとびと）", "人々"),
    ("一ヶ月《いっかげつ》", "一ヶ月"),
    ("𩸽《ほっけ》定食", "𩸽定食"),
    ("山《やま》川《かわ》", "山川"),
]
NO_RUBY = [
    "三葉商事（株）",
    "定義（注）を見る",
    "連絡先（〇三の一二三四）",
    "漢字（）",
    "漢字（かんじ",
    "漢字《かんじ",
    "ひらがな（かな）",
    "Tokyo（とうきょう）",
    "漢字、（かんじ）",
    "漢字　（かんじ）",
    "（かんじ）",
    "漢字（かん字）",
    "漢字（kanji）",
    "漢字「かんじ」",
    "長い（" + "あ" * 60 + "）",
    "木（" + "あ" * 60 + "）",
]


@pytest.mark.parametrize(("text", "key"), RUBY)
def test_readings_do_not_count_where_asked_for(text: str, key: str) -> None:
    assert _key(text, KeyRules(ruby=True)) == key
    assert _key(text) != key


@pytest.mark.parametrize("text", NO_RUBY)
def test_what_only_looks_like_a_reading_counts(text: str) -> None:
    assert _key(text, KeyRules(ruby=True)) == _key(text)


def test_old_forms_lead_to_new_ones_in_one_step() -> None:
    assert len(NEW_OF_OLD) > 300
    assert not {*NEW_OF_OLD} & {*NEW_OF_OLD.values()}
    assert not {ord(c) for c in "辨瓣辯"} & {*NEW_OF_OLD}  # three words that share 弁


# --- places ---------------------------------------------------------------------------------------------------------


def test_places_name_the_characters_of_the_text() -> None:
    text = "㈱ミツバ、ﾊﾟﾘの𠮷田《よしだ》さん（か\u3099）。２０"
    found = keys(pa.array(["前", text]), KeyRules(ruby=True), places=True)
    assert found.places is not None
    begin = int(found.offsets[1])
    assert _strings(found)[1] == "株ミツバパリの𠮷田さんが20"
    places = found.places[begin:].tolist()
    assert [text[place] for place in places] == list("㈱ミツバﾊﾘの𠮷田さんか２０")
    assert keys(pa.array([text]), KeyRules()).places is None


# --- a slow reading of the definition -------------------------------------------------------------------------------

MARKS = {"\u3099": "\u3099", "ﾞ": "\u3099", "゛": "\u3099", "\u309a": "\u309a", "ﾟ": "\u309a", "゜": "\u309a"}
READING = re.compile(r"《([^》]{1,39})》|[（(]([^）)]{1,39})[）)]")


class _Slow(NamedTuple):
    key: str
    places: list[int]


def _plain(character: str) -> str:
    form = unicodedata.normalize("NFKC", character)
    if len(form) > 1:
        form = "".join(part for part in form if unicodedata.category(part)[0] not in "PZM")
    return form if len(form) == 1 else character


def _is_kana(character: str, rules: KeyRules) -> bool:
    shown = _plain(character) if rules.width else character
    return "ぁ" <= shown <= "\u309f" or "ァ" <= shown <= "ヿ" or (rules.width and character in MARKS)


def _is_kanji(character: str, rules: KeyRules) -> bool:
    shown = _plain(character) if rules.width else character
    return shown in "々〆〇ヶケ" or any(
        low <= ord(shown) < high
        for low, high in ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0xF900, 0xFB00), (0x20000, 0x40000))
    )


def _one(character: str, rules: KeyRules) -> str:
    """What stands in the key for a character that is no mark and no reading."""
    if rules.width and (0xFE00 <= ord(character) < 0xFE10 or 0xE0100 <= ord(character) < 0xE01F0):
        return ""
    shown = _plain("〜" if character == "～" else character) if rules.width else character.replace("～", "〜")
    category = unicodedata.category(shown)
    if ord(character) < 0x40000 or 0xE0000 <= ord(character) < 0xE0080:
        if rules.spaces and (category in ("Zs", "Zl", "Zp", "Cc", "Cf") or 0xE0000 <= ord(character) < 0xE0080):
            return ""
        if rules.punctuation and category[0] == "P":
            return ""
        if rules.case and len(shown.lower()) == 1:
            shown = shown.lower()
    if rules.old_kanji:
        shown = chr(NEW_OF_OLD.get(ord(shown), ord(shown)))
    if rules.kana and ("ァ" <= shown <= "ヶ" or shown in "ヽヾ"):
        shown = chr(ord(shown) - 0x60)
    return shown


def _slow(text: str, rules: KeyRules) -> _Slow:
    key: list[str] = []
    places: list[int] = []
    place, after_kanji = 0, False
    while place < len(text):
        character = text[place]
        if rules.width and character in MARKS:
            if key:
                joined = unicodedata.normalize("NFC", key[-1] + MARKS[character])
                if len(joined) == 1 and "ぁ" <= joined <= "ヿ":
                    key[-1] = joined
            place += 1
            continue
        found = READING.match(text, place) if rules.ruby and after_kanji else None
        if found and all(_is_kana(c, rules) or c in "・ \u3000" for c in found.group(1) or found.group(2)):
            place = found.end()
            continue
        shown = "" if rules.ruby and character == "｜" else _one(character, rules)
        if shown:
            key.append(shown)
            places.append(place)
        after_kanji = shown != "" and _is_kanji(character, rules)
        place += 1
    return _Slow("".join(key), places)


letters = st.sampled_from(
    "かがはぱウワアんゝっーカガﾊｶﾞﾟ゛゜\u3099\u309a漢字國学々〆〇ヶケ𠮷𩸽《》（）()｜|、。「」・～〜－−-…Ａa０9①⑩㈱㍻㎡Ⅲﬁ"
    " \u3000\n\t\u200b\u00ad\ufe0f👍\U000e0100\U000e0041\uf914\ufa19\U0002f800İßé\U00030000\U0010ffff한"
)
texts = st.lists(st.text(letters | st.characters(exclude_categories=["Cs"]), max_size=40), max_size=5)
rule_sets = st.builds(
    KeyRules, width=st.booleans(), case=st.booleans(), spaces=st.booleans(), punctuation=st.booleans(),
    old_kanji=st.booleans(), kana=st.booleans(), ruby=st.booleans(),
)  # fmt: skip
few_rules = st.sampled_from(
    [KeyRules(), KeyRules(case=False, punctuation=False), KeyRules(old_kanji=True, kana=True, ruby=True)]
)


@given(texts, few_rules)
def test_keys_equal_the_slow_reading(rows: list[str], rules: KeyRules) -> None:
    column = pa.array(["前の行", *rows, "後の行"], pa.string()).slice(1, len(rows))  # Arrow's offset is honoured
    found = keys(column, rules, places=True)
    expected = [_slow(text, rules) for text in rows]
    assert _strings(found) == [slow.key for slow in expected]
    assert found.places is not None
    assert found.places.tolist() == [place for slow in expected for place in slow.places]


@pytest.mark.slow
@given(st.text(letters, max_size=40), rule_sets)
def test_every_combination_of_rules_equals_the_slow_reading(text: str, rules: KeyRules) -> None:
    assert _key(text, rules) == _slow(text, rules).key


def test_every_character_alone_equals_the_slow_reading() -> None:
    points = [point for point in range(0x40000) if not 0xD800 <= point < 0xE000]
    points += [*range(0xE0000, 0xE0200), 0x10FFFF]
    column = pa.array([chr(point) for point in points], pa.string())
    for rules in (KeyRules(), KeyRules(old_kanji=True, kana=True)):
        wrong = [
            hex(point)
            for point, got in zip(points, _strings(keys(column, rules)), strict=True)
            if got != _slow(chr(point), rules).key
        ]
        assert wrong == []


@given(texts, few_rules)
def test_the_key_of_a_key_is_itself(rows: list[str], rules: KeyRules) -> None:
    plain = rules.model_copy(update={"ruby": False})  # brackets that a first reading kept may close up to a reading
    once = _strings(keys(pa.array(rows, pa.string()), plain))
    assert _strings(keys(pa.array(once, pa.string()), plain)) == once


@given(texts)
def test_a_row_does_not_depend_on_the_others(rows: list[str]) -> None:
    rules = KeyRules(numbers=True, ruby=True)
    together = keys(pa.array(rows, pa.string()), rules, places=True)
    assert _strings(together) == [_key(text, rules) for text in rows]


@pytest.mark.parametrize("column", [pa.array([], pa.string()), pa.array(["", ""]), pa.array(["猫"]).slice(1)])
def test_empty_columns(column: pa.Array) -> None:
    for rules in (KeyRules(), KeyRules(numbers=True)):
        found = keys(column, rules, places=True)
        assert found.offsets.tolist() == [0] * (len(column) + 1)
        assert found.places is not None
        assert len(found.points) == len(found.places) == 0
