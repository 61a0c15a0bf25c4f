"""Personal data in real Japanese forms: what is found and where, what only looks like it, and what fakes may be."""

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.text.pii import checks, fake_words
from jpfm.text.pii.fake import fake
from jpfm.text.pii.find import CLASSES, PiiClass, Rules, find
from jpfm.text.pii.replace import replace
from jpfm.text.pii.scan import NUM_KINDS, scan
from jpfm.text.pii.window import Span, flatten

ALL = Rules(classes=CLASSES)


def _found(text: str, rules: Rules = ALL) -> list[tuple[str, str]]:
    return [(span.kind, text[span.start : span.end]) for _, spans in find(pa.array([text]), rules) for span in spans]


FORMS: dict[PiiClass, dict[str, list[str]]] = {
    "phone": {
        "電話は03-1234-5678です。": ["03-1234-5678"],
        "電話(03)1234-5678、03（1234）5678、（03） 1234−5678まで": [
            "(03)1234-5678",
            "03（1234）5678",
            "（03） 1234−5678",
        ],
        "携帯090-0000-1234と08000004321、060-1234-5678": ["090-0000-1234", "08000004321", "060-1234-5678"],
        "０９０ー１２３４ー５６７８／050-3456-7890": ["０９０ー１２３４ー５６７８", "050-3456-7890"],
        "090 1234 5678、020-1234-5678、03.3456.7890": ["090 1234 5678", "020-1234-5678", "03.3456.7890"],
        "0120-123-456、0800-123-4567、0570-012-345へ": ["0120-123-456", "0800-123-4567", "0570-012-345"],
        "+81-90-1234-5678 or +81 (0)3-1234-5678": ["+81-90-1234-5678", "+81 (0)3-1234-5678"],
        "市外局番0463-12-3456、01558-2-1234": ["0463-12-3456", "01558-2-1234"],
        "TEL：0312345678、03-1234-5678（内線123）、内線 45": ["0312345678", "03-1234-5678（内線123）", "45"],
        "センター03-1234-5678\nTEL03-1234-5679": ["03-1234-5678", "03-1234-5679"],
        "電話〇三（一二三四）五六七八": ["〇三（一二三四）五六七八"],
        "お電話（080(9611)3549）": ["080(9611)3549"],
    },
    "email": {
        "宛先はtaro.yamada+jp@mail.example.co.jp。": ["taro.yamada+jp@mail.example.co.jp"],
        "taro＠example.jp、ｔａｒｏ＠ｅｘａｍｐｌｅ．ｊｐ": ["taro＠example.jp", "ｔａｒｏ＠ｅｘａｍｐｌｅ．ｊｐ"],
        "taro[at]example.jp、hanako★example.jp": ["taro[at]example.jp", "hanako★example.jp"],
        "..o.o.@docomo.example.jpとtaro@例え.jp": ["o.o.@docomo.example.jp", "taro@例え.jp"],
    },
    "postal_address": {
        "〒000-0012 さくら原市みどり野三丁目4番5号 コーポすずかけ201とのこと": [
            "〒000-0012 さくら原市みどり野三丁目4番5号 コーポすずかけ201"
        ],
        "〒100-0001、以下略": ["〒100-0001"],
        "東京都千代田区霞が関一丁目二番三号 見本ビル5階に": ["東京都千代田区霞が関一丁目二番三号 見本ビル5階"],
        "京都市中京区寺町通御池上る上本能寺前町488番地": ["京都市中京区寺町通御池上る上本能寺前町488番地"],
        "住所：さくら原市大字水口88番地の2": ["さくら原市大字水口88番地の2"],
        "〒１２３－４５６７\n長野県軽井沢町長倉1-2-3\n": ["〒１２３－４５６７\n長野県軽井沢町長倉1-2-3"],
        "札幌市中央区北1条西2丁目3番地へ": ["札幌市中央区北1条西2丁目3番地"],
    },
    "my_number": {"番号は123456789018と1234 5678 9018": ["123456789018", "1234 5678 9018"]},
    "corporate_number": {
        "法人番号7000012050002、T7000012050002": ["7000012050002", "T7000012050002"],
        "法人番号は次のとおり。7000012050002": ["7000012050002"],
        "7000012050002が当社の法人番号": ["7000012050002"],
        "商号,法人番号\n見本,7000012050002": ["7000012050002"],
    },
    "credit_card": {
        "カードは4111 1111 1111 1111、5500-0000-0000-0004": ["4111 1111 1111 1111", "5500-0000-0000-0004"],
        "カード：3782 822463 10005を": ["3782 822463 10005"],
    },
    "bank_account": {
        "見本銀行 本店 普通 1234567": ["1234567"],
        "口座番号：1234567（普）7654321": ["1234567", "7654321"],
        "口座番号（普通）は、以下のとおりです。\n1234567": ["1234567"],
        "1234567（口座番号）、番号7654321の口座": ["1234567", "7654321"],
        "口座番号\t名義\n1234567\t別紙\n7654321\t別紙": ["1234567", "7654321"],
        "Account No. 1234567": ["1234567"],
        "ゆうちょ銀行 記号10140 番号12345671": ["10140 番号12345671"],
    },
    "driver_licence": {"運転免許証 第301234567890号": ["301234567890"]},
    "passport": {"旅券番号はTR1234567です。": ["TR1234567"]},
    "residence_card": {"在留カード（AB12345678CD）": ["AB12345678CD"]},
    "ip_address": {"接続元は133.200.1.2と2400:4050::12ab:1です": ["133.200.1.2", "2400:4050::12ab:1"]},
    "url_token": {
        "https://a.example.jp/r?id=3&token=9fA3xQ77b2まで": ["9fA3xQ77b2"],
        "git clone https://taro:p4ssw0rd@b.example.jp/r.git": ["taro:p4ssw0rd"],
    },
    "person_name": {
        "氏名：山田 太郎": ["山田 太郎"],
        "担当：佐藤、鈴木（経理部）、五十嵐": ["佐藤", "鈴木", "五十嵐"],
        "担当者名：営業部　高橋課長": ["高橋"],
        "氏　名　勅使河原 一": ["勅使河原 一"],
        "フリガナ：ヤマダ タロウ": ["ヤマダ タロウ"],
        "お名前　田中まゆみ様": ["田中まゆみ"],
        "Name: Taro Yamada": ["Taro Yamada"],
        "担当の高橋です。": ["高橋"],
        "氏名……山田 太郎": ["山田 太郎"],
        "申込者の氏名は次のとおりです。\n山田 太郎": ["山田 太郎"],
        "山田太郎（担当）、佐藤さんが責任者です。": ["山田太郎", "佐藤"],
        "番号\t氏名\n1\t山田太郎\n2\t佐藤花子": ["山田太郎", "佐藤花子"],
        "参加者\n・山田太郎\n・佐藤花子": ["山田太郎", "佐藤花子"],
        "株式会社見本\n営業課 戸狩様\n\n拝啓": ["戸狩"],
        "申請者氏名：グエン・ヴァン・アン": ["グエン・ヴァン・アン"],
    },
    "birth_date": {
        "生年月日：昭和55年5月3日": ["昭和55年5月3日"],
        "生年月日（1980/05/03）": ["1980/05/03"],
        "誕生日は昭和五十五年五月三日": ["昭和五十五年五月三日"],
        "平成２年１月９日生（満35歳）": ["平成２年１月９日"],
        "生年月日は次のとおり。\n　西暦1980年5月3日": ["西暦1980年5月3日"],
        "生 年 月 日……昭和55・5・3、平成2年1月9日生まれ": ["昭和55・5・3", "平成2年1月9日"],
        "番号,生年月日\n1,1980/5/3\n2,二〇〇一年三月四日": ["1980/5/3", "二〇〇一年三月四日"],
    },
}


@pytest.mark.parametrize(("kind", "text", "values"), [(k, t, v) for k, rows in FORMS.items() for t, v in rows.items()])
def test_a_form_is_found_whole(kind: PiiClass, text: str, values: list[str]) -> None:
    assert _found(text) == [(kind, value) for value in values]
    assert _found(text, Rules(classes=tuple(name for name in CLASSES if name != kind))) == []


UNTOUCHED = [
    "価格は1,234,567円、税込¥49,440-です。",
    "単価 ¥2,060 / 24 / ¥49,440",
    "会期は2025-04-01から2025-12-31まで、2025/04/01 10:30開始",
    "令和7年4月1日（2025年4月1日）、作者は1867年2月9日に生まれた",
    "cos 30°は0.8660254037844386、πは3.141592653589793238",
    "0.123456789018や-0.4111111111111111も数である",
    "ISBN978-4-06-203456-7、ISBN 4-06-203456-7、ISBN 0306406152",
    "JANコード4901234567894、注文番号A-2025-000123、注文番号：0312345678",
    "個人番号に似た123456789012と1234-5678-9012",
    "カードに似た4111 1111 1111 1112",
    "IPは192.168.0.1、版は1.20.3、型番8327-54-C、バージョン 61.2.3.4、24.7.5.1 Overview",
    "第1234条第5678項、12345678901234567890、第12条の3第2項",
    "npmのreact@18.2.0とlodash@4.17.21を入れ、foo@2x.pngを置く",
    "@taroさん、会議室@3階、a@b、@user@mastodon.example、git@github.com:a/b.git",
    "社員番号00012345、普通は1234567円、人口12345678人、1234 5678",
    "時刻は09:00-17:00、電圧は100-240V、std::vector、10:30:45、aa:bb:cc:dd:ee:01",
    "郵便記号〒だけ、〒123、3-1-2節、図3-1-2、浦和市2-1大宮市",
    "東京都新宿区で会い、埼玉県鴻巣市本町一丁目を歩いた。",
    "担当：営業部、担当：全員、氏名：必須、名前：データベース",
    "お客様\n皆様\n保護者様\n神様\n",
    "生年月日を記入する。口座番号を確認する。",
    "2025年3月4日生放送、2025年3月4日発生、設立年月日：2001年3月4日、昭和の1970年5月3日に生まれた作家",
    "担当：営業部、氏名：______、お名前を入力、担当者まで、名前空間：std、氏名欄、氏名（フリガナ）",
    "そんなばかな……あるだろうね、ある一人――前に",
    "法人番号は未定、注文番号7000012050002、口座番号を確認のうえ受付番号1234567を",
    "https://example.jp/?token=YOUR_TOKEN&key=1",
    "枯枝に烏のとまりたるや秋の暮かな　　芭蕉",
    "この手紙は県の条例である。一番の理由、二番目の町、市の第3次計画（2-3）",
    '"yjcaptions_id": "4624-5009-5013"',
    "48458670270\n499999500000\n",
]  # fmt: skip


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_only_looks_like_personal_data_stays(text: str) -> None:
    assert _found(text) == []


SWITCHES: list[tuple[str, dict[str, bool], list[str], list[str]]] = [
    ("taro[at]example.jp", {"obfuscated_emails": False}, ["taro[at]example.jp"], []),
    ("見本様\n田中様\n\n拝啓", {"letter_heads": False}, ["田中"], []),
    ("IPは192.168.0.12です", {"keep_private_ips": False}, [], ["192.168.0.12"]),
    ("内閣総理大臣 山田太郎が述べた", {"keep_public_figures": False}, [], ["山田太郎"]),
    ("見本県知事　氏名：山田太郎", {"keep_public_figures": False}, [], ["山田太郎"]),
    ("見本株式会社\n代表電話 03-1234-5678", {"keep_corporate_contacts": True}, ["03-1234-5678"], []),
    ("見本株式会社 担当携帯 090-1234-5678", {"keep_corporate_contacts": True}, ["090-1234-5678"], ["090-1234-5678"]),
    ("自宅は03-1234-5678、0120-123-456", {"keep_corporate_contacts": True}, ["03-1234-5678", "0120-123-456"],
        ["03-1234-5678"]),
    ("info@example.jpとtaro@example.jp", {"keep_corporate_contacts": True}, ["info@example.jp", "taro@example.jp"],
        ["taro@example.jp"]),
    ("本社所在地：東京都港区見本町1-2-3", {"keep_corporate_contacts": True}, ["東京都港区見本町1-2-3"], []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "switch", "default", "switched"), SWITCHES)
def test_a_switch_changes_what_stays(
    text: str, switch: dict[str, bool], default: list[str], switched: list[str]
) -> None:
    assert [value for _, value in _found(text, Rules())] == default
    rules = Rules(**switch)  # type: ignore[arg-type]
    assert [value for _, value in _found(text, rules)] == switched


@pytest.mark.parametrize("position", [0, 100, 238, 239, 240, 241, 400, 3000])
def test_a_long_line_hides_nothing(position: int) -> None:
    text = "あ" * position + "電話03-1234-5678" + "い" * 500 + "、a@example.jp、" + "う" * position
    assert _found(text) == [("phone", "03-1234-5678"), ("email", "a@example.jp")]


def test_rows_keep_their_own_data_and_empty_columns_are_fine() -> None:
    texts = ["", "電話03-1234-5678", "なし", "𠮷野家の番号は090-1234-5678", "a@example.jp"]
    column = pa.chunked_array([pa.array(["x", *texts])]).combine_chunks().slice(1)  # an offset that is not 0
    found = dict(find(column))
    assert {row: [texts[row][s.start : s.end] for s in spans] for row, spans in found.items()} == {
        1: ["03-1234-5678"], 3: ["090-1234-5678"], 4: ["a@example.jp"],
    }  # fmt: skip
    assert list(find(pa.array([], pa.string()))) == []
    assert scan(pa.array([""]), set(range(NUM_KINDS))).shape == (0, 3)


PIECES = st.sampled_from(
    ["03-1234-5678", "090", "1234", "-", "ー", " ", "　", "a@example.jp", "@", "〒", "123-4567", "東京都港区",
        "1-2-3", "丁目", "番地",
     "氏名：", "山田", "様", "\n", "、", "。", "(", "）", "T7000012050002", "123456789018", "口座番号", "1234567",
         "https://a.jp/?token=",
     "abc123", "生年月日", "昭和", "5年", "〇三", "：", "::", "8.8.4.4", "さ", "𠮷", "é", "\x00", "内線", "電話"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=30).map("".join))
def test_spans_are_apart_inside_the_text_and_the_same_for_any_neighbour(text: str) -> None:
    alone = [(row, spans) for row, spans in find(pa.array([text]), ALL)]
    last = 0
    for span in alone[0][1] if alone else []:
        assert last <= span.start < span.end <= len(text)
        last = span.end
    assert [spans for row, spans in find(pa.array(["03-1", text, "〒"]), ALL) if row == 1] == [s for _, s in alone]


@given(st.text(st.sampled_from("0123456789-−. @〒あ円x"), max_size=60))
def test_masking_twice_changes_nothing(text: str) -> None:
    def mask(value: str) -> str:
        spans = [span for _, found in find(pa.array([value])) for span in found]
        return replace(value, spans, lambda kind: "mask")[0]

    assert mask(mask(text)) == mask(text)


@given(st.integers(0, 10**11 - 1))
def test_one_check_digit_of_ten_is_right(number: int) -> None:
    assert sum(checks.my_number_is_valid(f"{number:011d}{digit}") for digit in range(10)) == 1
    assert sum(checks.luhn_is_valid(f"{number:015d}{digit}") for digit in range(10)) == 1
    assert sum(checks.corporate_number_is_valid(f"{digit}{number:012d}") for digit in range(10)) == 1


@given(
    st.integers(0, 10**6), st.sampled_from([(k, v) for k, rows in FORMS.items() for vs in rows.values() for v in vs])
)
def test_a_fake_has_the_form_of_its_value(seed: int, case: tuple[str, str]) -> None:
    kind, value = case
    made = fake(kind, value, seed=seed)
    assert made == fake(kind, value, seed=seed)
    assert made != value
    if kind not in ("email", "url_token", "person_name", "birth_date", "ip_address", "postal_address"):
        shape = str.maketrans(
            "123456789１２３４５６７８９一二三四五六七八九", "000000000０００００００００〇〇〇〇〇〇〇〇〇"
        )
        letters = re.compile("[A-Z]" if kind in ("passport", "residence_card") else r"(?!)")
        assert letters.sub("X", made.translate(shape)) == letters.sub("X", value.translate(shape))
    if kind == "phone" and len(value) > 4:
        local = re.sub(r"\D", "", flatten(made).translate(str.maketrans("〇一二三四五六七八九", "0123456789")))
        assert re.match(r"(?:0100|81?0?[1-9]0?0|810[1-9]0|8190|0[5-9]00|0200|0\d{1,4}0)", local)
    elif kind == "email":
        assert made.endswith("example.jp")
    elif kind in ("my_number", "corporate_number", "credit_card"):
        digits = re.sub(r"\D", "", flatten(made))
        judge = {"my_number": checks.my_number_is_valid, "corporate_number": checks.corporate_number_is_valid,
                 "credit_card": checks.luhn_is_valid}[kind]  # fmt: skip
        assert not judge(digits)
    elif kind == "postal_address" and "〒" in value:
        assert re.match(r"〒000-\d{4}", flatten(made))


def test_one_value_has_one_fake_however_it_is_written() -> None:
    made = {fake("phone", value, seed=3).translate(str.maketrans("０９８７６５４３２１", "0987654321")).replace("-",
        "")
            for value in ("090-1234-5678", "０９０-１２３４-５６７８", "09012345678")}  # fmt: skip
    assert len(made) == 1
    assert fake("phone", "090-1234-5678", seed=3) != fake("phone", "090-1234-5678", seed=4)
    assert fake_words.person_name(lambda limit: 0, "佐々木") == "青木"


@pytest.mark.parametrize(
    ("text", "removed"),
    [
        ("電話は03-1234-5678です。", "電話はこちらの番号です。"),
        ("お問い合わせは03-1234-5678まで", "お問い合わせはこちらの番号まで"),
        ("見本商店\nTEL：03-1234-5678\n定休日：水曜", "見本商店\n定休日：水曜"),
        ("見本商店（03-1234-5678）が開く", "見本商店が開く"),
        ("氏名：山田 太郎\n", ""),
        ("差出人 <taro@example.jp>、件名", "差出人、件名"),
        ("担当：佐藤、鈴木", ""),
        ("住所：東京都港区見本町1-2-3、電話：03-1234-5678", ""),
        ("開く：https://a.example.jp/?token=9fA3xQ77b2", "開く：https://a.example.jp/?token="),
        ('{"tel": "03-1234-5678"}', '{"tel": ""}'),
    ],
)
def test_removal_leaves_readable_text(text: str, removed: str) -> None:
    spans = [span for _, found in find(pa.array([text])) for span in found]
    assert spans
    new, edits = replace(text, spans, lambda kind: "remove")
    assert new == removed
    for edit in edits:
        assert new[edit.new_start : edit.new_start + len(edit.after)] == edit.after


@given(st.lists(PIECES, max_size=20).map("".join), st.sampled_from(["mask", "fake", "remove"]))
def test_edits_say_where_everything_is_now(text: str, how: str) -> None:
    spans = [span for _, found in find(pa.array([text]), ALL) for span in found]
    new, edits = replace(text, spans, lambda kind: how, seed=1)  # type: ignore[arg-type,return-value]
    assert [Span(e.kind, e.start, e.length) for e in edits] == spans
    for edit in edits:
        assert new[edit.new_start : edit.new_start + len(edit.after)] == edit.after
