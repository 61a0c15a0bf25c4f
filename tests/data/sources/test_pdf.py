"""PDF files drawn by reportlab: paragraphs put together again, vertical text, columns, and files that are damaged."""

import io
import resource
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import CIDFont, UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from tests.data.found import document as _one
from tests.data.found import quarantined as _why

from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.base import Piece
from jpfm.data.sources.layout import Line, Run, page_lines
from jpfm.data.sources.reflow import reflow

Read = Callable[..., list[Document | Quarantined]]
GOTHIC, MINCHO, VERTICAL = "HeiseiKakuGo-W5", "HeiseiMin-W3", "HeiseiMin-W3-UniJIS-UCS2-V"
WIDTH, HEIGHT = 595, 842
BODY = "当社は製造業の現場で使われる検査装置を設計し国内外の工場へ納めている。昨年度の売上高は前年度に比べて増加した。"


def _canvas(**options: Any) -> tuple[Canvas, io.BytesIO]:
    for font in (GOTHIC, MINCHO):
        pdfmetrics.registerFont(UnicodeCIDFont(font))
    pdfmetrics.registerFont(UnicodeCIDFont(MINCHO, isVertical=True))
    vertical = CIDFont(MINCHO, "UniJIS-UCS2-V")
    vertical.fontName = vertical.name = VERTICAL
    file = io.BytesIO()
    return Canvas(file, pagesize=(WIDTH, HEIGHT), **options), file


def _wrapped(text: str, chars: int) -> list[str]:
    """Lines of so many characters, as a word processor sets Japanese: the paragraph's first one indented."""
    text = f"　{text}"
    return [text[at : at + chars] for at in range(0, len(text), chars)]


def _draw(canvas: Canvas, lines: Sequence[str], x: float, y: float, size: float = 10.5, pitch: float = 18) -> float:
    canvas.setFont(MINCHO, size)
    for line in lines:
        for at, char in enumerate(line):  # one by one: the font's own metrics do not matter then
            if char != "　":
                canvas.drawString(x + at * size, y, char)
        y -= pitch
    return y


def _finish(canvas: Canvas, file: io.BytesIO) -> bytes:
    canvas.save()
    return file.getvalue()


def _page(*paragraphs: str, chars: int = 20) -> bytes:
    canvas, file = _canvas()
    _draw(canvas, [line for text in paragraphs for line in _wrapped(text, chars)], 72, 770)
    return _finish(canvas, file)


def test_paragraphs_are_put_together_without_spaces(read_file: Read) -> None:
    second = "部品の価格は高いままであり利鞘は縮んだ。来年度は調達先を広げる計画である。"
    found = _one(read_file("pdf", "a.pdf", _page(BODY, second)))
    assert found.text == f"{BODY}\n\n{second}"
    assert found.meta["vertical"] == "false"


def test_a_sentence_that_happens_to_fill_its_line_does_not_end_the_paragraph(read_file: Read) -> None:
    text = "あ" * 18 + "。" + "い" * 19 + "。" + "う" * 10 + "。"
    second = "え" * 30 + "。"
    assert _one(read_file("pdf", "a.pdf", _page(text, second))).text == f"{text}\n\n{second}"


def test_latin_lines_join_with_a_space(read_file: Read) -> None:
    canvas, file = _canvas()
    canvas.setFont("Helvetica", 11)
    lines = [
        "The quick brown fox jumps over the lazy dog while we meas-",
        "ure how long a line of Latin text may become before it is",
        "broken. Short end.",
    ]
    for number, line in enumerate(lines):
        canvas.drawString(72, 700 - 16 * number, line)
    canvas.drawString(72, 640, "Another one.")
    assert _one(read_file("pdf", "a.pdf", _finish(canvas, file))).text == (
        "The quick brown fox jumps over the lazy dog while we measure how long a line of Latin text may become "
        "before it is broken. Short end.\n\nAnother one."
    )


def test_headings_lists_and_tables_keep_their_lines(read_file: Read) -> None:
    canvas, file = _canvas()
    y = _draw(canvas, ["事業報告"], 72, 770, size=16, pitch=30)
    y = _draw(canvas, _wrapped(BODY, 20), 72, y)
    y = _draw(canvas, ["第２章　業績", "・検査装置", "・保守", "（１）設計の部門", "（２）製造の部門"], 72, y - 8)
    for row in (["部門", "四月", "五月"], ["検査", "1200", "1100"], ["保守", "300", "400"]):
        for at, cell in enumerate(row):
            canvas.drawString(72 + 120 * at, y, cell)
        y -= 18
    _draw(canvas, _wrapped("以上のとおり報告する。", 20), 72, y - 8)
    assert _one(read_file("pdf", "a.pdf", _finish(canvas, file))).text == (
        f"事業報告\n\n{BODY}\n\n第２章　業績\n\n・検査装置\n・保守\n（１）設計の部門\n（２）製造の部門\n\n"
        "部門\t四月\t五月\n検査\t1200\t1100\n保守\t300\t400\n\n以上のとおり報告する。"
    )


def test_columns_are_read_one_after_the_other(read_file: Read) -> None:
    canvas, file = _canvas()
    y = _draw(canvas, ["二段組の論文の題名を中央に大きく置いた"], 72, 780, size=16, pitch=40)
    left, right = "左" * 60 + "。", "右" * 60 + "。"
    for at in range(4):  # drawn row by row, as some programs do
        for x, text in ((72, left), (310, right)):
            lines = _wrapped(text, 20)
            if at < len(lines):
                _draw(canvas, [lines[at]], x, y - 18 * at)
    found = _one(read_file("pdf", "a.pdf", _finish(canvas, file)))
    assert found.text == f"二段組の論文の題名を中央に大きく置いた\n\n{left}\n\n{right}"


def test_a_paragraph_goes_on_over_the_page(read_file: Read) -> None:
    canvas, file = _canvas()
    lines = _wrapped(BODY, 20)
    _draw(canvas, lines[:2], 72, 400)
    canvas.showPage()
    _draw(canvas, lines[2:], 72, 770)
    assert _one(read_file("pdf", "a.pdf", _finish(canvas, file))).text == BODY


@pytest.mark.parametrize("number", ["- {} -", "{}", "{} / 4", "{}ページ", "p. {}"])
def test_running_headers_and_page_numbers_are_dropped(read_file: Read, number: str) -> None:
    canvas, file = _canvas()
    for page in range(1, 5):
        _draw(canvas, ["検査装置の説明書"], 72, 810, size=8)
        _draw(canvas, _wrapped(f"{'一二三四'[page - 1]}枚目の本文である。", 30), 72, 700)
        _draw(canvas, [number.format(page)], 290, 30, size=8)
        canvas.showPage()
    found = _one(read_file("pdf", "a.pdf", _finish(canvas, file)))
    assert found.text == "\n\n".join(f"{page}枚目の本文である。" for page in "一二三四")
    assert found.meta["num_pages"] == "4"


def test_the_same_title_on_two_pages_stays(read_file: Read) -> None:
    canvas, file = _canvas()
    for _ in range(2):
        _draw(canvas, ["請求書"], 72, 810)
        canvas.showPage()
    assert _one(read_file("pdf", "a.pdf", _finish(canvas, file))).text == "請求書\n\n請求書"


@pytest.mark.parametrize("by", ["font", "place"])
def test_vertical_text_is_read_from_the_right(read_file: Read, by: str) -> None:
    canvas, file = _canvas()
    paragraphs = [BODY, "部品の価格は高いままであり利鞘は縮んだ。来年度は調達先を広げる計画である。"]
    x = 500.0
    for line in (line for text in paragraphs for line in _wrapped(text, 20)):
        if by == "font":
            canvas.setFont(_vertical_font(), 10.5)
            canvas.drawString(x, 770 - 10.5 * (len(line) - len(line.lstrip("　"))), line.lstrip("　"))
        else:
            canvas.setFont(MINCHO, 10.5)
            for at, char in enumerate(line):
                if char != "　":
                    canvas.drawString(x, 760 - 10.5 * at, char)
        x -= 18
    _draw(canvas, ["検査装置の説明書"], 72, 810, size=8)
    found = _one(read_file("pdf", "a.pdf", _finish(canvas, file)))
    assert found.text == "検査装置の説明書\n\n" + "\n\n".join(paragraphs)
    assert found.meta["vertical"] == "true"


def _vertical_font() -> str:
    font = UnicodeCIDFont(MINCHO, isVertical=True)
    font.fontName = font.name = "vertical"
    pdfmetrics.registerFont(font)
    return "vertical"


def test_readings_above_and_numbers_across_vertical_lines(read_file: Read) -> None:
    canvas, file = _canvas()
    line = "利鞘は縮み売上は平成@年の春に増え始めた"
    canvas.setFont(MINCHO, 10.5)
    for at, char in enumerate(line):
        if char == "@":
            canvas.setFont("Helvetica", 8)
            canvas.drawString(500.8, 701, "29")
            canvas.setFont(MINCHO, 10.5)
            continue
        canvas.drawString(500, 760 - 10.5 * at + 52, char)
    canvas.setFont(MINCHO, 5)
    for at, char in enumerate("りざや"):
        canvas.drawString(511.5, 816 - 5.2 * at, char)
    assert _one(read_file("pdf", "a.pdf", _finish(canvas, file))).text == line.replace("@", "29")


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_pages_that_are_turned(read_file: Read, degrees: int) -> None:
    canvas, file = _canvas()
    canvas.translate(WIDTH / 2, HEIGHT / 2)
    canvas.rotate(degrees)
    canvas.translate(-200, -200)
    _draw(canvas, _wrapped(BODY, 20), 50, 300)
    found = _one(read_file("pdf", "a.pdf", _finish(canvas, file)))
    assert (found.text, found.meta["vertical"]) == (BODY, "false")


def test_title_author_and_date(read_file: Read) -> None:
    canvas, file = _canvas()
    canvas.setTitle("Microsoft Word - 契約書.docx")
    canvas.setAuthor("法務部")
    _draw(canvas, ["本文です。"], 72, 700)
    found = _one(read_file("pdf", "a.pdf", _finish(canvas, file)))
    assert (found.title, found.meta["author"], found.date[:2]) == ("契約書.docx", "法務部", "20")
    canvas, file = _canvas()
    canvas.setTitle("無題のプレゼンテーション")
    _draw(canvas, ["本文です。"], 72, 700)
    assert _one(read_file("pdf", "a.pdf", _finish(canvas, file))).title == ""


def test_radicals_and_rare_kanji(read_file: Read) -> None:
    canvas, file = _canvas()
    canvas.setFont(MINCHO, 10.5)
    canvas.drawString(72, 700, "⼈と⽇本、㈱髙橋①㎡〜")
    assert _one(read_file("pdf", "a.pdf", _finish(canvas, file))).text == "人と日本、㈱髙橋①㎡〜"


@pytest.mark.parametrize(("password", "error"), [("", ""), ("秘密", "locked by a password")])
def test_locked_files(read_file: Read, password: str, error: str) -> None:
    lock = StandardEncryption(password or "", ownerPassword="owner", strength=128)
    canvas, file = _canvas(encrypt=lock)
    _draw(canvas, ["本文です。"], 72, 700)
    items = read_file("pdf", "a.pdf", _finish(canvas, file))
    if error:
        assert error in _why(items).detail
        assert "qpdf" in _why(items).detail
    else:
        assert _one(items).text == "本文です。"


def test_scans_say_ocr(read_file: Read) -> None:
    canvas, file = _canvas()
    for _ in range(3):
        canvas.rect(72, 72, 300, 300, fill=1)
        canvas.showPage()
    found = _why(read_file("pdf", "a.pdf", _finish(canvas, file)))
    assert (found.error, "ocrmypdf" in found.detail) == ("no_text", True)


def test_pages_without_text_are_counted(read_file: Read) -> None:
    canvas, file = _canvas()
    _draw(canvas, ["本文です。"], 72, 700)
    canvas.showPage()
    canvas.rect(72, 72, 300, 300, fill=1)
    canvas.showPage()
    assert _one(read_file("pdf", "a.pdf", _finish(canvas, file))).meta["pages_without_text"] == 1


def test_too_many_pages_are_refused(read_file: Read) -> None:
    canvas, file = _canvas()
    for _ in range(4):
        _draw(canvas, ["本文です。"], 72, 700)
        canvas.showPage()
    data = _finish(canvas, file)
    assert _why(read_file("pdf", "a.pdf", data, max_pages=3)).error == "too_large"
    assert isinstance(_one(read_file("pdf", "a.pdf", data, max_pages=4)), Document)


@pytest.mark.parametrize(
    "data", [b"", b"%PDF-1.7\n", "ただの文章".encode(), b"PK\x03\x04" + bytes(100), b"%PDF-1.7\n" + b"1 0 obj<<" * 2000]
)
def test_what_is_no_pdf(read_file: Read, data: bytes) -> None:
    assert _why(read_file("pdf", "a.pdf", data)).error == "format"


def _raw(stream: bytes, title: bytes = b"(a)") -> bytes:
    """The least PDF that shows a content stream."""
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources <</Font <</F 5 0 R>>>> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Title %b >>" % title,
    ]
    data = b"%PDF-1.5\n"
    for number, part in enumerate(parts, 1):
        data += b"%d 0 obj\n%b\nendobj\n" % (number, part)
    return data + b"trailer << /Size 7 /Root 1 0 R /Info 6 0 R >>\n%%EOF"


_SHOW = zlib.compress(b"BT /F 12 Tf 50 700 Td (text) Tj ET")


def test_a_bomb_costs_itself_only(read_file: Read) -> None:
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(b"q\n" * (1 << 19)) for _ in range(256)) + packer.flush()
    # the peak of all children this process ever had; a new one begins with its parent's, as Linux counts
    before = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
    found = _why(read_file("pdf", "a.pdf", _raw(bomb)))
    assert (len(bomb) < 400_000, found.error, "SIG" in found.detail) == (True, "format", True)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < before + (2 << 20)  # KiB; without a limit 22 GB
    assert _one(read_file("pdf", "b.pdf", _raw(_SHOW))).text == "text"


def test_a_file_that_takes_too_long_costs_itself_only(read_file: Read) -> None:
    found = _why(read_file("pdf", "a.pdf", _raw(zlib.compress(b"0 0 m 1 1 l S\n" * 1_000_000)), max_seconds=0.01))
    assert (found.error, "max_seconds" in found.detail) == ("too_large", True)
    assert _one(read_file("pdf", "b.pdf", _raw(_SHOW))).text == "text"


def test_a_title_that_is_half_a_character(read_file: Read) -> None:
    found = _one(read_file("pdf", "a.pdf", _raw(_SHOW, b"<FEFFD83D0041>")))
    assert found.text == "text"
    found.title.encode()
    assert _one(read_file("pdf", "a.pdf", _raw(_SHOW, b"<FEFF984C540D>"))).title == "題名"


def test_fonts_without_unicode_values_say_ocr(read_file: Read) -> None:
    codes = zlib.compress(b"BT /F 12 Tf 50 700 Td (\\001\\002\\003\\004) Tj ET")
    found = _why(read_file("pdf", "a.pdf", _raw(codes)))
    assert (found.error, "ocrmypdf" in found.detail) == ("garbled", True)


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_files_cut_off(read_file: Read, part: float) -> None:
    data = _page(BODY)
    (item,) = read_file("pdf", "a.pdf", data[: int(part * len(data))])
    assert isinstance(item, Document) or item.detail


@given(at=st.integers(0, 100_000), junk=st.binary(min_size=1, max_size=12), compressed=st.booleans())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_damaged_files_give_documents_or_reasons(
    make_source: Any, tmp_path: Path, at: int, junk: bytes, compressed: bool
) -> None:
    canvas, file = _canvas(pageCompression=int(compressed))
    _draw(canvas, _wrapped(BODY, 20), 72, 700)
    data = _finish(canvas, file)
    at %= len(data)
    path = tmp_path / "a.pdf"
    path.write_bytes(data[:at] + junk + data[at + len(junk) :])
    for item in make_source("pdf").documents(Piece(str(path), "a.pdf", len(data))):
        if isinstance(item, Document):
            (item.text + item.title + repr(item.meta)).encode()
        else:
            assert item.detail


_SIZES = st.sampled_from([0.0, 1e-9, 1.0, 10.0, 12.0, 1e6])
_PLACES = st.sampled_from([-1e9, -5.0, 0.0, 3.0, 100.0, 110.0, 300.0, 1e9])


@given(st.lists(st.tuples(st.text("あa。・ 1", min_size=1, max_size=5), _PLACES, _PLACES, _SIZES, _SIZES), max_size=40))
def test_any_boxes_give_lines(boxes: list[tuple[str, float, float, float, float]]) -> None:
    runs = [Run(text, x, y, x + width, y + height, height) for text, x, y, width, height in boxes]
    lines = page_lines(runs)
    kept = "".join("".join(line.text.split()) for line in lines)
    sizes = sorted(run.size for run in runs if run.text.strip())
    if len({*sizes, 10.0}) == 1:  # no small kana that could be a reading
        assert sorted(kept) == sorted("".join("".join(text.split()) for text, *_ in boxes))
    assert isinstance(reflow(lines), str)


def test_many_lines_are_put_in_order_in_time() -> None:
    runs = [
        Run("あ" * 3, 9.0 * (at % 70), 10.0 * (at // 70), 9.0 * (at % 70) + 8, 10.0 * (at // 70) + 9, 9)
        for at in range(70_000)
    ]
    lines = page_lines(runs)
    assert sum(len(line.text.replace("\t", "")) for line in lines) == 210_000


def test_reflow_of_lines() -> None:
    def line(text: str, x1: float, y: float, x0: float = 0.0) -> Line:
        return Line(text, x0, x1, y, 10.0, 1, 0.0, 200.0, 15.0, 0)

    address = [line("東京都の住所", 60, 100), line("検査ビル三階", 60, 85), line("電話 00", 40, 70)]
    assert reflow(address) == "東京都の住所\n検査ビル三階\n電話 00"
    assert reflow([line("soft\u00ad", 198, 100), line("ware", 40, 85)]) == "software"
    assert reflow([]) == ""
