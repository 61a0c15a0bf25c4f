"""gettext catalogues, written with polib and by hand: what is used, what is left out, in every encoding."""

# ruff: noqa: E501  (catalogues stand as they are written)
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.errors import JpfmError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member

Read = Callable[..., list[Document | Quarantined]]


def catalogue(charset: str = "UTF-8") -> polib.POFile:
    po = polib.POFile()
    po.metadata = {
        "Project-Id-Version": "例題 1.0", "PO-Revision-Date": "2024-05-06 10:00+0900", "Language": "ja",
        "Content-Type": f"text/plain; charset={charset}", "Plural-Forms": "nplurals=1; plural=0;",
    }  # fmt: skip
    po.append(polib.POEntry(msgid="_File", msgstr="ファイル(_F)", occurrences=[("a.c", "1")], comment="註"))
    po.append(polib.POEntry(msgid="Open", msgctxt="menu", msgstr="開く"))
    po.append(polib.POEntry(msgid="Open", msgctxt="state", msgstr="開"))
    po.append(polib.POEntry(msgid="%d file", msgid_plural="%d files", msgstr_plural={0: "%d 個のファイル"}))
    po.append(polib.POEntry(msgid='Say "hi"\nand go.\n', msgstr="「やあ」と言い\n去る。\n"))
    po.append(polib.POEntry(msgid="Not yet", msgstr=""))
    po.append(polib.POEntry(msgid="%d dog", msgid_plural="%d dogs", msgstr_plural={0: ""}))
    po.append(polib.POEntry(msgid="Guess", msgstr="推測", flags=["fuzzy", "c-format"]))
    po.append(polib.POEntry(msgid="Gone", msgstr="去った", obsolete=True))
    return po


TRANSLATION = "ファイル(_F)\n開く\n開\n%d 個のファイル\n「やあ」と言い\n去る。"
SOURCE = '_File\nOpen\nOpen\n%d files\nSay "hi"\nand go.\nNot yet\n%d dogs\nGuess'
BOTH = '_File\nファイル(_F)\n\nOpen\n開く\n\nOpen\n開\n\n%d files\n%d 個のファイル\n\nSay "hi"\nand go.\n「やあ」と言い\n去る。'


@pytest.mark.parametrize(("shown", "text"), {"translation": TRANSLATION, "source": SOURCE, "both": BOTH}.items())
def test_what_polib_writes_is_read(read_file: Read, shown: str, text: str) -> None:
    (found,) = read_file("gettext", "ja.po", str(catalogue()).encode(), text=shown)
    assert isinstance(found, Document)
    assert found.text == text
    assert (found.title, found.date, found.lang) == ("例題 1.0", "2024-05-06", "" if shown == "source" else "ja")
    assert found.meta == {
        "project": "例題 1.0", "language": "ja", "messages_used": 5, "messages_fuzzy": 1, "messages_obsolete": 1,
        "messages_untranslated": 2,
    }  # fmt: skip


@pytest.mark.parametrize(("charset", "codec"), [("EUC-JP", "euc_jp"), ("CP932", "cp932"), ("Shift_JIS", "cp932"),
                                                ("UTF-8", "utf-8"), ("CHARSET", "utf-8"), ("ISO-2022-JP", "iso2022_jp")])  # fmt: skip
def test_the_header_names_the_encoding(read_file: Read, charset: str, codec: str) -> None:
    (found,) = read_file("gettext", "ja.po", str(catalogue(charset)).encode(codec))
    assert isinstance(found, Document)
    assert found.text == TRANSLATION
    assert found.encoding == codec


def test_windows_line_ends_and_line_ends_inside_messages(read_file: Read) -> None:
    source = 'msgid "a"\r\nmsgstr ""\r\n"一行目\\n"\r\n"二\u2028行\x0b目"\r\n'
    (found,) = read_file("gettext", "ja.po", source.encode())
    assert isinstance(found, Document)
    assert found.text == "一行目\n二 行 目"


def test_several_plural_forms_are_a_line_each(read_file: Read) -> None:
    source = 'msgid "%d day"\nmsgid_plural "%d days"\nmsgstr[0] "%d Tag"\nmsgstr[1] "%d Tage"\nmsgstr[2] "%d Tage"\n'
    (found,) = read_file("gettext", "de.po", source.encode())
    assert isinstance(found, Document)
    assert found.text == "%d Tag\n%d Tage"


def test_a_template_has_no_facts_and_no_text(read_file: Read) -> None:
    source = 'msgid ""\nmsgstr "Project-Id-Version: PACKAGE VERSION\\nPO-Revision-Date: YEAR-MO-DA\\n"\n\nmsgid "a"\nmsgstr ""'
    (found,) = read_file("gettext", "a.pot", source.encode())
    assert isinstance(found, Document)
    assert (found.text, found.title, found.date, found.meta) == ("", "", "", {"messages_untranslated": 1})


BAD = {
    "no catalogue": ("題名\n本文", "not a gettext catalogue: Syntax error in line 1"),
    "quotes": ('msgid "a"\nmsgstr "b"c"', "line 2"),
    "a long message": ('msgid "a"\nmsgstr ""\n' + '"あ"\n' * 6000, "more than 5000 lines"),
    "a long comment": ("# あ\n" * 6000, "more than 5000 lines"),
    "a long obsolete message": ('#~ "a"\n' * 6000, "more than 5000 lines"),
}


@pytest.mark.parametrize(("source", "what"), BAD.values(), ids=BAD)
def test_what_is_no_catalogue_is_quarantined(read_file: Read, source: str, what: str) -> None:
    (found,) = read_file("gettext", "a.po", source.encode())
    assert isinstance(found, Quarantined)
    assert what in found.detail


def test_a_file_that_holds_the_name_of_a_file_does_not_open_it(read_file: Read, tmp_path: Path) -> None:
    (tmp_path / "other.po").write_text('msgid "a"\nmsgstr "秘密"\n')
    assert polib.pofile(str(tmp_path / "other.po"))[0].msgstr == "秘密"
    (found,) = read_file("gettext", "a.po", str(tmp_path / "other.po").encode())
    assert isinstance(found, Quarantined)


_LINES = st.sampled_from(
    ["msgid ", "msgstr ", "msgctxt ", "msgid_plural ", "msgstr[0] ", "msgstr[x] ", '"漢字"', '"a\\n"', '""', '"a"b"', "\n",
     "#, fuzzy\n", "#~ ", "#| ", "#: a:1\n", "# \n", "\\", '"', "[0]", " "]
)  # fmt: skip


@given(parts=st.lists(_LINES), raw=st.binary())
def test_any_bytes_are_read_or_refused(make_source: Callable[..., Any], parts: list[str], raw: bytes) -> None:
    for data in ("".join(parts).encode(), raw):
        try:
            (found,) = make_source("gettext").read(Member("a", io.BytesIO(data)), "s/a")
        except JpfmError:
            continue
        found.text.encode("utf-8")
