"""Bytes to text: what was written comes back, whatever encoding a Japanese file has."""

import gzip
import json
import random
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.text.charsets import codec_of, cp932_bytes, read
from jpfm.text.decode import UnreadableText, decode

ESSAYS = Path(__file__).parents[2] / "src" / "jpfm" / "sample" / "raw" / "office" / "essay.jsonl"
SENTENCES = [
    sentence + "。"
    for line in ESSAYS.read_text(encoding="utf-8").splitlines()
    for sentence in json.loads(line)["body"].replace("\n", "").split("。")
    if len(sentence) > 12
]
BUSINESS = (
    "㈱髙﨑商会　第Ⅲ期①　床面積３５㎡　営業時間９：００～１８：００　電話０３－１２３４－５６７８　№１２　℡ ㍻ ㌔"
)
FORM = "ﾊﾝｶｸの帳票です。合計は十二件、担当は大槻さんと伺っております"
NOVEL = "森鷗外は俱楽部へ行った。それから剝がれた頰を"
ONE_FORM = str.maketrans("～－∥￠￡￢—", "〜−‖¢£¬―")

texts = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=6).map("\r\n".join)


def _jis(text: str, euc: bool = False) -> bytes:
    """ISO-2022-JP (or EUC-JP) as Windows writes it: CP932's cells as JIS rows, half-width kana after ESC ( I (8E)."""
    out, mode = b"", b"\x1b(B"
    for char in text:
        data = char.encode("cp932")
        if len(data) == 1:
            want, cell = (b"\x1b(I", bytes([data[0] & 0x7F])) if data[0] > 0x7F else (b"\x1b(B", data)
        else:
            lead, trail = data
            row = (lead - (0x81 if lead < 0xA0 else 0xC1)) * 2 + 0x21 + (trail >= 0x9F)
            column = trail - 0x7E if trail >= 0x9F else trail - (0x20 if trail > 0x7E else 0x1F)
            want, cell = b"\x1b$B", bytes([row, column])
        if euc:
            high = bytes(byte | 0x80 for byte in cell)
            out += {b"\x1b(B": cell, b"\x1b$B": high, b"\x1b(I": b"\x8e" + high}[want]
        else:
            out += (want if want != mode else b"") + cell
            mode = want
    return out + (b"\x1b(B" if mode != b"\x1b(B" else b"")


# --- every encoding -------------------------------------------------------------------------------------------------


@given(texts, st.sampled_from(["cp932", "euc_jp", "utf-8", "utf-8-sig", "iso2022_jp", "utf-16", "utf-16-le", "utf-32"]))
def test_real_sentences_come_back_from_every_encoding(text: str, encoding: str) -> None:
    found = decode(text.encode(encoding))
    assert found.text == text
    assert found.confidence > 0.9


@given(
    texts,
    st.sampled_from(
        ["shift_jis", "Shift-JIS", " x-sjis ", "Windows-31J", "euc-jp", "utf-8", "latin-1", "gb2312", "big5", "", None]
    ),
)
def test_a_wrong_label_does_no_harm(text: str, label: str | None) -> None:
    for encoding in ("cp932", "euc_jp", "utf-8"):
        assert decode(text.encode(encoding), label).text == text


@pytest.mark.parametrize("encoding", ["cp932", "utf-8", "utf-8-sig", "utf-16", "euc_jis_2004"])
def test_the_characters_of_business_pages_come_back(encoding: str) -> None:
    text = BUSINESS.replace("髙", "").replace("㌔", "") if encoding == "euc_jis_2004" else BUSINESS
    data = (text + "\n" + SENTENCES[0]).encode(encoding)
    found = decode(data, "shift_jis" if encoding == "cp932" else None).text.split("\n")[0]
    assert found.translate(ONE_FORM) == text.translate(ONE_FORM)
    if encoding == "cp932":
        assert "〜" in found  # the WAVE DASH that JIS means, not the FULLWIDTH TILDE that Microsoft reads
        assert "～" not in found


@pytest.mark.parametrize(
    "text", ["㈱大槻商会 御中\r\n①見積書 ②納期 Ⅲ類 No.5 ㎡", "件名: Re: ｵﾌｨｽ移転の件〜至急", SENTENCES[0]]
)
def test_mail_with_microsofts_characters_comes_back(text: str) -> None:
    for data in (_jis(text.replace("〜", "～")), _jis(text.replace("〜", "～"), euc=True)):
        assert decode(data).text == text
    assert _jis("日本語") == "日本語".encode("iso2022_jp")  # the writer above agrees with Python's where both can
    assert _jis("日本ｶﾅ", euc=True) == "日本ｶﾅ".encode("euc_jp")


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        (b"", "", "utf-8"),
        (b"plain ASCII, 100%\n", "plain ASCII, 100%\n", "utf-8"),
        (b"\xef\xbb\xbfid,\xe5\x90\x8d\n", "id,名\n", "utf-8"),
        ("一部\n\ufeff二部\n\ufeff".encode("utf-8-sig"), "一部\n二部\n", "utf-8"),
        ("一部\n\ufeff二部\n".encode("utf-16"), "一部\n二部\n", "utf-16"),
        (FORM.encode("cp932"), FORM, "cp932"),
        ("経済産業省のニュース".encode("euc_jp"), "経済産業省のニュース", "euc_jp"),
        ("𠮷野家で牛丼を食べた".encode(), "𠮷野家で牛丼を食べた", "utf-8"),
        (NOVEL.encode("euc_jis_2004"), NOVEL, "euc_jis_2004"),
        ("café, naïve".encode(), "café, naïve", "utf-8"),
        ("Привет".encode(), "Привет", "utf-8"),
        ("DOS の末尾\r\n\x1a".encode("cp932"), "DOS の末尾\r\n\x1a", "cp932"),
        (b"\x1b[32mok\x1b(B\x1b[m \xe5\xae\x8c\xe4\xba\x86\n", "\x1b[32mok\x1b(B\x1b[m 完了\n", "utf-8"),
        ("補助漢字の丂".encode("iso2022_jp_ext"), "補助漢字の丂", "iso2022_jp_ext"),
        ("俱楽部の頰".encode("iso2022_jp_2004"), "俱楽部の頰", "iso2022_jp_2004"),
    ],
)  # fmt: skip
def test_known_bytes(data: bytes, text: str, encoding: str) -> None:
    assert decode(data)[:2] == (text, encoding)


# --- few bytes: the only evidence is how plausible the text is --------------------------------------------------------

SHORT = ["経済産業省", "お知らせ", "会社概要", "ニュース", "テスト", "東京都千代田区", "地図", "髙橋", "﨑いては、"]


@pytest.mark.parametrize("text", SHORT)
@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc_jp", "iso2022_jp"])
def test_short_strings(text: str, encoding: str) -> None:
    if encoding in ("euc_jp", "iso2022_jp") and ("髙" in text or "﨑" in text):
        data = _jis(text.replace("髙", "高").replace("﨑", "崎"), euc=encoding == "euc_jp")
        assert decode(data).text == text.replace("髙", "高").replace("﨑", "崎")
    else:
        assert decode(text.encode(encoding)).text == text


@pytest.mark.parametrize(
    "record",
    [
        "ﾌﾘｺﾐ ｶ)ﾔﾏﾀﾞ", "21ｺｳｻﾞﾌﾘｶｴ 0001234 ﾀﾅｶ ﾊﾅｺ 00005000", "ﾄﾞｳｷﾖｳﾄ ﾁﾖﾀﾞｸ ｶｽﾐｶﾞｾｷ", "ｶﾌﾞｼｷｶﾞｲｼｬ･ｵｵﾂｷ",
        "1,ﾐﾂﾓﾘｼｮ,12000\r\n2,ｾｲｷｭｳｼｮ,9800\r\n",
    ],
)  # fmt: skip
def test_real_half_width_records_are_not_taken_for_euc(record: str) -> None:
    assert decode(record.encode("cp932"))[:2] == (record, "cp932")


def test_the_confidence_tells_sure_from_unsure() -> None:
    assert decode(SENTENCES[0].encode("cp932")).confidence > 0.999
    assert decode("ﾃｽﾄﾃｽﾄ".encode("cp932")).confidence < 0.9  # also three kanji of EUC-JP


# --- labels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("Shift_JIS", "cp932"), ("x-sjis", "cp932"), ("windows-31j", "cp932"), ("MS_Kanji", "cp932"),
        ("EUC-JP", "euc_jp"), ("x-euc-jp", "euc_jp"), ("ISO-2022-JP", "iso2022_jp"), ("UTF8", "utf-8"),
        ("utf-16", "utf-16-le"), ("UTF-16BE", "utf-16-be"), ("latin1", "cp1252"), ("US-ASCII", "cp1252"),
        ('"shift_jis"', "cp932"), ("gb2312", "gb18030"), ("euc-kr", "cp949"), ("utf-7", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_labels_mean_what_browsers_mean(label: str | None, codec: str | None) -> None:
    assert codec_of(label) == codec


def test_the_label_decides_where_the_bytes_do_not() -> None:
    data = "ﾃｽﾄﾃｽﾄ".encode("cp932")  # also three kanji of EUC-JP
    assert decode(data, "shift_jis").text == "ﾃｽﾄﾃｽﾄ"
    assert decode(data, "euc-jp").text == data.decode("euc_jp")
    hidden = "いないと答"  # in UTF-16 these are ten printable ASCII bytes
    assert hidden.encode("utf-16-le").isascii()
    assert decode(hidden.encode("utf-16-le"), "utf-16").text == hidden


def test_a_server_that_says_latin_1_of_every_page_is_overruled() -> None:
    for encoding in ("cp932", "euc_jp"):
        assert decode(SENTENCES[1].encode(encoding), "iso-8859-1").text == SENTENCES[1]
    french = "Où êtes-vous née ? L’été, déjà."
    assert decode(french.encode("cp1252"), "iso-8859-1")[:2] == (french, "cp1252")


@pytest.mark.parametrize(
    ("text", "label"),
    [("我们在北京大学学习汉语。", "gb2312"), ("한국어 문장입니다.", "euc-kr"), ("繁體中文的網頁。", "big5")],
)
def test_a_page_in_another_language_is_read_as_it_says(text: str, label: str) -> None:
    codec = codec_of(label)
    assert codec is not None
    assert decode(text.encode(codec), label)[:2] == (text, codec)


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)) * 4,
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x02\x80\xff\xfe\xfd\xfc",
        "壊れた文章です。".encode() * 5 + b"\xe3\x81",
        "﻿印だけUTF-8".encode()[:-1] + b"\xff",
        b"\xff\xfe\x00\xd8",
        bytes(1000),
        b"PK\x03\x04" + random.Random(1).randbytes(2000),
    ],
)
def test_what_is_no_text_is_refused_with_a_hint(data: bytes) -> None:
    with pytest.raises(UnreadableText) as caught:
        decode(data)
    assert caught.value.hint


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "euc_jp", "utf-16"])
def test_a_file_cut_off_inside_a_character_is_refused_as_such(encoding: str) -> None:
    data = "\n".join(SENTENCES[:3]).encode(encoding)
    with pytest.raises(UnreadableText, match=r"cut off inside .*at byte \d+"):
        decode(data[:-1])


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc_jp"])
@pytest.mark.parametrize("damage", [b"\xff", b"\xfd\xff", b"\xff\x00\xfe"])
def test_invalid_bytes_in_the_middle_are_refused_with_their_place(encoding: str, damage: bytes) -> None:
    before, after = SENTENCES[0].encode(encoding), SENTENCES[1].encode(encoding)
    with pytest.raises(UnreadableText, match=rf"{encoding}, but byte {len(before)} \(0x"):
        decode(before + damage + after)


def test_two_encodings_in_one_file_are_refused() -> None:
    with pytest.raises(UnreadableText, match="utf-8, but byte"):
        decode(SENTENCES[0].encode() + b"\n" + SENTENCES[1].encode("cp932"))


@given(st.binary(max_size=400), st.sampled_from([None, "shift_jis", "utf-16", "iso-8859-1", "gb18030", "euc-jp"]))
def test_any_bytes_give_text_or_one_error(data: bytes, label: str | None) -> None:
    try:
        found = decode(data, label)
    except UnreadableText:
        return
    found.text.encode("utf-8")  # no lone surrogates
    assert "\ufeff" not in found.text
    assert 0 <= found.confidence <= 1


@given(st.binary(max_size=60).map(lambda data: b"\x1b$B" + data + b"\x1b(B"))
def test_any_escape_sequence_gives_text_or_one_error(data: bytes) -> None:
    try:
        found = decode(data)
    except UnreadableText:
        return
    found.text.encode("utf-8")


# --- the readers that Python lacks ------------------------------------------------------------------------------------


@given(st.text(st.sampled_from("あ日ーｱﾞ①㈱Ⅲ髙﨑aZ0 \n、。・"), max_size=40))
def test_the_readers_of_windows_variants_read_what_windows_writes(text: str) -> None:
    rewritten = text.replace("髙", "高").replace("﨑", "崎")  # IBM's cells lie outside of JIS's 94 rows
    assert read(_jis(rewritten, euc=True), "cp51932") == rewritten
    assert read(_jis(rewritten), "cp50221") == rewritten
    assert read(cp932_bytes(text), "cp932") == text


@given(st.binary(max_size=60))
def test_cp51932_agrees_with_pythons_euc_jp(data: bytes) -> None:
    try:
        expected = data.decode("euc_jp")
    except UnicodeDecodeError:
        return
    if b"\x8f" in data or "\\" in expected or "\x7f" in expected:
        return  # JIS X 0212 is not in CP51932
    assert read(data, "cp51932").translate(ONE_FORM) == expected.translate(ONE_FORM)


# --- real files -------------------------------------------------------------------------------------------------------


def test_every_bundled_text_decodes_except_the_broken_one(sample: Path) -> None:
    files = [path for path in sorted(sample.rglob("*")) if path.is_file() and path.name != "900_kowareta.txt"]
    assert {decode(path.read_bytes()).encoding for path in files} == {"utf-8", "cp932", "euc_jp"}
    with pytest.raises(UnreadableText):
        decode((sample / "aozora" / "900_kowareta.txt").read_bytes())


def test_every_shared_novel_is_cp932_and_survives_euc(shared_data: Path) -> None:
    archives = sorted((shared_data / "raw" / "aozora").glob("*.tar.gz"))
    assert len(archives) > 20
    for path in archives[1::4]:
        with tarfile.open(path) as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is None:
                    continue
                raw = stream.read()
                text = raw.decode("cp932").translate(ONE_FORM)
                assert decode(raw) == (decode(raw).text, "cp932", 1.0)
                assert decode(raw).text.translate(ONE_FORM) == text
                assert decode(raw.decode("cp932").encode("euc_jis_2004", "ignore")).encoding.startswith("euc_")


def test_cut_strings_of_wikipedia_come_back(shared_data: Path) -> None:
    rows = json.loads(gzip.decompress((shared_data / "raw" / "wikipedia-ner" / "ner.json.gz").read_bytes()))
    draw = random.Random(7)
    wrong = []
    for row in draw.sample(rows, 1500):
        start = draw.randrange(max(1, len(row["text"]) - 6))
        piece = row["text"][start : start + draw.choice((5, 6, 8, 12, 30))].translate(ONE_FORM)
        for encoding in ("utf-8", "cp932", "euc_jp", "iso2022_jp"):
            try:
                data = cp932_bytes(piece) if encoding == "cp932" else piece.encode(encoding)
            except UnicodeEncodeError:
                continue
            try:
                found = decode(data).text.translate(ONE_FORM)
            except UnreadableText:
                found = ""
            if found != piece:
                wrong.append((encoding, piece, found))
    assert len(wrong) <= 6, wrong  # of about 6,000
