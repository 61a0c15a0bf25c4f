"""Write a folder that holds Japanese text in every format jpfm reads, and broken input beside it.

    python examples/all_formats/make.py FOLDER [--shared SHARED]
    jpfm data build data_recipes/all-formats.yaml root=FOLDER --out out/all-formats

The text is the CC0 sample bundled with jpfm. Every file is made by the format's own writer library (the `dev` extra
installs them). SHARED is a folder of public data to read besides, linked as FOLDER/shared.
"""

import argparse
import bz2
import csv
import datetime
import email.message
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

SAMPLE = Path(__file__).parents[2] / "src" / "jpfm" / "sample" / "raw"
NUM_TEXTS = 40
Texts = list[tuple[str, str]]


def texts() -> Texts:
    """(title, body) of the sample's e-mail, notices and essays."""
    found = []
    for name in ("essay", "email", "notice", "minutes", "manual"):
        path = SAMPLE / "office" / f"{name}.jsonl"
        if path.exists():
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            found += [(str(row["title"]), str(row["body"])) for row in rows]
    return found[:NUM_TEXTS]


def plain(out: dict[str, bytes], some: Texts) -> None:
    """Plain text in the encodings Japanese files have, and in archives."""
    for (title, body), codec in zip(
        some, ("utf-8", "utf-8-sig", "cp932", "euc_jp", "iso2022_jp", "utf-16"), strict=False
    ):
        out[f"text/{codec}.txt"] = f"{title}\n\n{body}\n".encode(codec, "ignore")
    packable = [text.encode() for _, text in some[6:]]
    out["text/one.txt.gz"] = gzip.compress(packable[0], mtime=0)
    out["text/two.txt.bz2"] = bz2.compress(packable[1])
    out["text/three.txt.xz"] = lzma.compress(packable[2])
    import zstandard

    out["text/four.txt.zst"] = zstandard.ZstdCompressor().compress(packable[3])
    stand_in, name = "n" * len("報告書①.txt".encode("cp932")), "報告書①.txt".encode("cp932")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(stand_in, packable[4])
        archive.writestr("../../zip-slip.txt", packable[5])
    out["text/windows.zip"] = packed.getvalue().replace(stand_in.encode(), name)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as tar:
        for number, data in enumerate(packable[6:8]):
            entry = tarfile.TarInfo(f"章/{number}.txt")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    out["text/book.tar.xz"] = packed.getvalue()
    out["text/bad-truncated.txt.gz"] = out["text/one.txt.gz"][:-40]
    out["text/bad-empty.txt"] = b""
    out["text/bad-nul.txt"] = b"\x00\x01\x02" * 400


def markup(out: dict[str, bytes], some: Texts) -> None:
    """Markdown, reStructuredText, DocBook, gettext, HTML."""
    for number, (title, body) in enumerate(some[:3]):
        out[f"markdown/{number}.md"] = (
            f"---\ntitle: {title}\nlang: ja\n---\n\n# {title}\n\n{body}\n\n```python\nprint('①')\n```\n\n"
            "| 品名 | 数量 |\n|---|---:|\n| 鉛筆 | 12 |\n"
        ).encode()
        paragraphs = "\n\n".join(line for line in body.split("\n") if line.strip())
        out[f"rst/{number}.rst"] = (
            f"{title}\n{'=' * 2 * len(title)}\n\n{paragraphs}\n\n.. note:: 注意書きです。\n".encode()
        )
        inner = "".join(f"<para>{escape(line)}</para>" for line in body.split("\n") if line.strip())
        out[f"docbook/{number}.xml"] = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<article xmlns="http://docbook.org/ns/docbook" version="5.0" '
            f'xml:lang="ja"><title>{escape(title)}</title>{inner}</article>'
        ).encode()
    import polib

    catalogue = polib.POFile()
    catalogue.metadata = {"Content-Type": "text/plain; charset=UTF-8", "Language": "ja"}
    for number, (_, body) in enumerate(some[3:9]):
        for line, text in enumerate(body.split("\n")):
            if text.strip():
                catalogue.append(polib.POEntry(msgid=f"Line {line} of message {number}", msgstr=text))
    out["gettext/ja.po"] = str(catalogue).encode()
    for number, codec in enumerate(("utf-8", "cp932", "euc_jp")):
        out[f"html/{number}.html"] = page(*some[number], codec)
    out["html/bad-deep.html"] = b"<div>" * 12_000 + "深い".encode()
    levels = "".join(
        f'<!ENTITY {after} "{f"&{before};" * 10}">' for before, after in zip("abcdefghi", "bcdefghij", strict=True)
    )
    out["docbook/bad-laughs.xml"] = (
        f'<!DOCTYPE article [<!ENTITY a "ha">{levels}]><article><para>&j;</para></article>'.encode()
    )
    out["docbook/bad-outside.xml"] = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><article>&x;</article>'


def page(title: str, body: str, codec: str) -> bytes:
    """A web page with navigation, ruby, a table and a licence."""
    inner = "".join(f"<p>{escape(line)}</p>" for line in body.split("\n") if line.strip())
    return (
        f'<!doctype html><html lang="ja"><head><meta charset="{codec.replace("cp932", "shift_jis").replace("_", "-")}">'
        f"<title>{escape(title)}</title>"
        '<link rel="license" href="https://creativecommons.org/publicdomain/zero/1.0/"></head><body>'
        "<nav><ul><li><a href='/'>ホーム</a></li><li><a href='/a'>一覧</a></li></ul></nav>"
        f"<main><h1>{escape(title)}</h1>{inner}<p><ruby>頁<rp>(</rp><rt>ページ</rt><rp>)</rp></ruby>の終わり。</p>"
        "<table><tr><th>品名</th><td>鉛筆</td></tr></table></main><footer>Copyright</footer></body></html>"
    ).encode(codec, "ignore")


def records(out: dict[str, bytes], some: Texts) -> None:
    """JSON Lines, JSON, Parquet, CSV, a data set folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"text": body, "title": title} for title, body in some[:6]]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    out["jsonl/rows.jsonl"] = "\n".join([*lines[:3], '{"text": "cut', *lines[3:]]).encode()
    out["json/rows.json"] = json.dumps({"rows": rows}, ensure_ascii=False).encode()
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), table)
    out["parquet/rows.parquet"] = table.getvalue()
    table = io.BytesIO()
    pq.write_table(pa.table({"body": ["本文の列名が違う"]}), table)
    out["parquet/bad-no-text.parquet"] = table.getvalue()
    for name, codec, mark in (("bom.csv", "utf-8-sig", ","), ("windows.tsv", "cp932", "\t")):
        sheet = io.StringIO()
        writer = csv.DictWriter(sheet, ["title", "text"], delimiter=mark)
        writer.writeheader()
        writer.writerows(rows)
        out[f"csv/{name}"] = sheet.getvalue().encode(codec, "ignore")
    for number in range(2):
        part = "\n".join(lines[number::2])
        out[f"dataset/train-{number:05d}-of-00002.jsonl"] = part.encode()


def web(out: dict[str, bytes], some: Texts) -> None:
    """A WARC and a WET file, with a broken record in the middle."""
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    def record(number: int, extra: list[tuple[str, str]]) -> bytes:
        raw = io.BytesIO()
        headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html"), *extra], protocol="HTTP/1.1")
        writer = WARCWriter(raw, gzip=True)
        made = writer.create_warc_record(
            f"https://example.jp/{number}", "response", payload=io.BytesIO(page(*some[number], "cp932")),
            http_headers=headers, warc_headers_dict={"WARC-Date": "2026-01-31T00:00:00Z"},
        )  # fmt: skip
        writer.write_record(made)
        return raw.getvalue()

    good = [record(number, []) for number in range(3)]
    broken = bytearray(good[1])
    broken[len(broken) // 2 : len(broken) // 2 + 50] = b"\xff" * 50
    out["warc/pages.warc.gz"] = good[0] + bytes(broken) + good[2] + record(3, [("tdm-reservation", "1")])
    raw = io.BytesIO()
    writer = WARCWriter(raw, gzip=True)
    for number, (_, body) in enumerate(some[4:6]):
        made = writer.create_warc_record(
            f"https://example.jp/wet/{number}", "conversion", payload=io.BytesIO(body.encode()),
            warc_content_type="text/plain", warc_headers_dict={"WARC-Date": "2026-01-31T00:00:00Z"},
        )  # fmt: skip
        writer.write_record(made)
    out["warc/pages.warc.wet.gz"] = raw.getvalue()


def public(out: dict[str, bytes], some: Texts) -> None:
    """Wikipedia dumps, Diet minutes, an EDINET report; Aozora and law come from the sample."""
    pages = "".join(
        f"<page><title>{escape(title)}</title><ns>0</ns><id>{number}</id><revision><id>{number + 100}</id>"
        "<timestamp>2026-01-31T00:00:00Z</timestamp><text xml:space='preserve'>"
        f"'''{escape(title)}'''（{{{{lang|en|x}}}}）は、[[見本|例]]である。"
        f"\n\n{escape(body)}\n\n== 脚注 ==\n&lt;references/&gt;\n</text></revision></page>"
        for number, (title, body) in enumerate(some[:4], start=1)
    )
    dump = (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="ja"><siteinfo>'
        "<sitename>Wikipedia</sitename><base>https://ja.wikipedia.org/wiki/%E8%A6%8B%E6%9C%AC</base></siteinfo>"
        f"{pages}</mediawiki>"
    )
    out["mediawiki/pages.xml.bz2"] = bz2.compress(dump.encode())
    lines = []
    for number, (title, body) in enumerate(some[4:8]):
        lines.append(json.dumps({"index": {"_type": "_doc", "_id": str(number)}}))
        lines.append(json.dumps({"title": title, "text": body, "namespace": 0, "wiki": "jawiki", "language": "ja"}))
    out["cirrus/content.json.gz"] = gzip.compress("\n".join(lines).encode(), mtime=0)
    speeches = [
        {"speechID": f"1_{n:03d}", "speechOrder": n, "speaker": "見本太郎", "speech": f"○見本太郎君　{body}",
         "speechURL": f"https://kokkai.ndl.go.jp/txt/1/{n}", "date": "2026-01-31", "nameOfHouse": "衆議院",
         "nameOfMeeting": "本会議", "issue": "第1号", "issueID": "1", "session": 220}
        for n, (_, body) in enumerate(some[8:12], start=1)
    ]  # fmt: skip
    answer = {"numberOfRecords": 4, "numberOfReturn": 4, "startRecord": 1, "nextRecordPosition": None}
    out["kokkai/speech.json"] = json.dumps(answer | {"speechRecord": speeches}, ensure_ascii=False).encode()
    inner = "".join(f"<p>{escape(line)}</p>" for line in some[12][1].split("\n") if line.strip())
    report = (
        '<?xml version="1.0" encoding="UTF-8"?><html xmlns="http://www.w3.org/1999/xhtml" '
        'xmlns:ix="http://www.xbrl.org/2008/inlineXBRL"><head><title>有価証券報告書</title></head><body>'
        '<div style="display:none"><ix:header><ix:hidden>'
        '<ix:nonNumeric name="jpdei_cor:EDINETCodeDEI" contextRef="c">E00000</ix:nonNumeric>'
        "</ix:hidden></ix:header></div><h1>第一部【企業情報】</h1><h2>【事業の内容】</h2>"
        f'<ix:nonNumeric name="jpcrp_cor:DescriptionOfBusinessTextBlock" contextRef="c">{inner}</ix:nonNumeric>'
        "<table><tr><td>売上高（百万円）</td><td>"
        '<ix:nonFraction name="jppfs_cor:NetSales" contextRef="c" unitRef="JPY" decimals="-6" '
        'scale="6">1,234</ix:nonFraction></td></tr></table></body></html>'
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(
            "XBRL/PublicDoc/0101010_honbun_jpcrp030000-asr-001_E00000-000_2026-03-31_01_2026-06-30_ixbrl.htm", report
        )
    out["edinet/S100TEST.zip"] = packed.getvalue()


def office(out: dict[str, bytes], some: Texts) -> None:
    """PDF, Word, Excel, PowerPoint, mail."""
    import docx
    import openpyxl
    import pptx
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfgen.canvas import Canvas

    pdfmetrics.registerFont(UnicodeCIDFont("HeiseiMin-W3"))
    raw: Any = io.BytesIO()
    canvas = Canvas(raw, pagesize=(595, 842), invariant=1)
    canvas.setTitle(some[0][0])
    for _, body in some[:2]:
        canvas.setFont("HeiseiMin-W3", 11)
        y = 780.0
        for paragraph in body.split("\n"):
            for start in range(0, len(paragraph), 40):
                canvas.drawString(70, y, paragraph[start : start + 40])
                y -= 16
            y -= 8
            if y < 80:
                break
        canvas.showPage()
    canvas.save()
    out["pdf/report.pdf"] = raw.getvalue()
    document = docx.Document()
    document.add_heading(some[2][0], level=1)
    for line in some[2][1].split("\n"):
        document.add_paragraph(line)
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "数量", "12"
    raw = io.BytesIO()
    document.save(raw)
    out["office/report.docx"] = raw.getvalue()
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "一覧"
    for number, (title, body) in enumerate(some[3:8], start=1):
        sheet.append([number, title, body[:200], datetime.date(2026, 1, number)])
    raw = io.BytesIO()
    book.save(raw)
    out["office/list.xlsx"] = raw.getvalue()
    slides = pptx.Presentation()
    for title, body in some[8:11]:
        slide = slides.slides.add_slide(slides.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body[:200]
    raw = io.BytesIO()
    slides.save(raw)
    out["office/slides.pptx"] = raw.getvalue()
    out["office/bad-old.doc"] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    messages = []
    for number, (title, body) in enumerate(some[11:14]):
        message = email.message.EmailMessage()
        message["Subject"], message["From"], message["To"] = title, "a@example.jp", "b@example.jp"
        message["Date"] = "Sat, 31 Jan 2026 09:00:00 +0900"
        charset = ("utf-8", "iso-2022-jp", "utf-8")[number]
        message.set_content(body.encode(charset, "ignore").decode(charset) + "\n> 引用です。\n", charset=charset)
        messages.append(bytes(message))
    out["mail/one.eml"] = messages[0]
    out["mail/box.mbox"] = b"".join(b"From a@example.jp Sat Jan 31 09:00:00 2026\n" + m + b"\n" for m in messages[1:])


def files() -> dict[str, bytes]:
    """Every file by its path."""
    out: dict[str, bytes] = {}
    some = texts()
    makers: tuple[Callable[[dict[str, bytes], Texts], None], ...] = (plain, markup, records, web, public, office)
    for turn, make in enumerate(makers):
        make(out, some[turn * 5 :] + some[: turn * 5])
    for folder, pattern in (("aozora", "*.txt"), ("law", "*.xml")):
        for path in sorted((SAMPLE / folder).glob(pattern)):
            out[f"{folder}/{path.name}"] = path.read_bytes()
    return out


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shared", type=Path, help="a folder of public data to read besides")
    asked = parser.parse_args()
    for name, data in files().items():
        path = asked.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    if asked.shared is not None:
        link = asked.folder / "shared"
        link.unlink(missing_ok=True)
        link.symlink_to(asked.shared.resolve(), target_is_directory=True)


if __name__ == "__main__":
    main()
