"""Mail as Japanese programs write it, mailboxes of any size, and messages made to do harm."""

import base64
import mailbox
import time
import tracemalloc
from collections.abc import Callable
from email.message import EmailMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.data.found import document as _one

from jpfm.data.document import Document, Quarantined
from jpfm.data.sources import mail as module
from jpfm.data.sources.base import Piece
from jpfm.data.sources.mail_text import flowed, html_text, own_text
from jpfm.data.sources.mime import parameters, unfold

Read = Callable[..., list[Document | Quarantined]]


def _mail(text: str, **headers: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = headers.get("subject", "件名")
    message["From"] = "山田 <yamada@example.jp>"
    message["To"] = "sato@example.jp"
    message["Date"] = "Wed, 01 Jul 2026 09:30:00 +0900"
    message["Message-ID"] = "<1@example.jp>"
    message.set_content(text)
    return message


def _raw(body: bytes, *headers: str) -> bytes:
    return "\r\n".join(["From: a@example.jp", *headers]).encode("latin-1") + b"\r\n\r\n" + body


@pytest.mark.parametrize("policy", [SMTP, SMTP.clone(cte_type="8bit"), SMTP.clone(linesep="\n")])
def test_a_mail_and_what_is_kept_of_it(read_file: Read, policy: Any) -> None:
    message = _mail("見積書を送ります。\n\nご確認ください。\n", subject="㈱検査 御見積の件①" * 5)
    message["References"] = "<0@example.jp> <0.5@example.jp>"
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="御見積書　七月分の控え.pdf")
    found = _one(read_file("mail", "a.eml", message.as_bytes(policy=policy)))
    assert found.text == "見積書を送ります。\n\nご確認ください。"
    assert (found.id, found.title, found.date) == ("s/a.eml", "㈱検査 御見積の件①" * 5, "2026-07-01T09:30:00+09:00")
    assert found.meta == {
        "message_id": "1@example.jp",
        "thread": "0@example.jp",
        "attachments": ["御見積書　七月分の控え.pdf"],
    }
    assert "yamada" not in repr(found)
    kept = _one(read_file("mail", "a.eml", message.as_bytes(policy=policy), keep_headers=("from", "to")))
    assert (kept.meta["from"], kept.meta["to"]) == ("山田 <yamada@example.jp>", "sato@example.jp")


@pytest.mark.parametrize(
    ("label", "data"),
    [
        ("ISO-2022-JP", "①㈱髙橋です。".encode("cp932")),  # rewritten below as JIS rows
        ("Shift_JIS", "①㈱髙橋です。".encode("cp932")),
        ("shift_jis", "①㈱髙橋です。".encode("cp932")),
        ("EUC-JP", "①㈱橋です。".encode("euc_jis_2004")),
        ("utf-8", "①㈱髙橋です。".encode()),
        ("us-ascii", "①㈱髙橋です。".encode("cp932")),
        ("x-unknown", "①㈱髙橋です。".encode()),
    ],
)
@pytest.mark.parametrize("transfer", ["8bit", "base64", "quoted-printable"])
def test_charsets_that_are_not_what_they_say(read_file: Read, label: str, data: bytes, transfer: str) -> None:
    if label == "ISO-2022-JP":
        data = b"\x1b$B" + bytes.fromhex("2d21 2d6a 7c62 3636 2447 2439 2123") + b"\x1b(B"
    text = "①㈱橋です。" if label == "EUC-JP" else "①㈱髙橋です。"
    if transfer == "base64":
        data = base64.encodebytes(data).replace(b"\n", b"\r\n")
    elif transfer == "quoted-printable":
        data = b"".join(f"={byte:02X}".encode() for byte in data) + b"=\r\n"
    headers = (f'Content-Type: text/plain; charset="{label}"', f"Content-Transfer-Encoding: {transfer}")
    assert _one(read_file("mail", "a.eml", _raw(data, *headers))).text == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"=?ISO-2022-JP?B?GyRCOGY4K0BRPXEbKEI=?=", "御見積書"),
        (b"=?utf-8?B?5pel5pys6A==?=\r\n =?utf-8?B?qp4=?= done", "日本語 done"),  # cut inside a character
        (b"=?UTF-8?Q?=E6=97=A5_=E6=9C=AC?=", "日 本"),
        (b"Re: =?utf-8*ja?Q?=E6=97=A5?= [1]", "Re: 日 [1]"),
        ("件名そのまま".encode("cp932"), "件名そのまま"),
        ("件名そのまま".encode("iso2022_jp"), "件名そのまま"),
        (b"=?utf-8?B?A?= x", "=?utf-8?B?A?= x"),
        (b"=?broken", "=?broken"),
        (b"\xff\xfe\xfd", "\\xff\\xfe\\xfd"),
    ],
)
def test_headers(raw: bytes, text: str) -> None:
    assert unfold(raw) == text


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b'attachment; filename="a;b.pdf"', "a;b.pdf"),
        (b'attachment; filename="=?utf-8?B?5pel5pys?=.pdf"', "日本.pdf"),
        (b"attachment; filename*=iso-2022-jp''%1B%24B%46%7C%4B%5C%1B%28B.pdf", "日本.pdf"),
        (b"attachment; filename*1=.pdf; filename*0*=Shift_JIS'ja'%93%FA%96%7B", "日本.pdf"),
        (b"attachment; filename=" + "日本.pdf".encode("cp932"), "日本.pdf"),
        (b"attachment; filename", ""),
    ],
)
def test_file_names(raw: bytes, name: str) -> None:
    assert parameters(raw).get("filename", "") == name


REPLY = "承知しました。\n\n"


@pytest.mark.parametrize(
    "quote",
    [
        "2026年7月1日(水) 10:00 山田太郎 <yamada@example.jp>:\n\n> 会議は10時です。\n> よろしく",
        "On Wed, Jul 1, 2026 at 10:00 AM Yamada\n<yamada@example.jp> wrote:\n> 会議は10時です。\n>\n> よろしく",
        "2026/07/01 10:00、山田さんのメール:\n> 会議は10時です。",
        "山田さんは書きました:\n>> 前の前\n> 会議は10時です。",
        "-----Original Message-----\nFrom: 山田\nSent: 7/1\n\n会議は10時です。",
        "----- 元のメッセージ -----\n差出人: 山田\n本文",
        "________________________________\n差出人: 山田\n送信日時: 7月1日\n宛先: 佐藤\n\n会議は10時です。",
        "From: 山田\nSent: 2026年7月1日\nTo: 佐藤\nSubject: 会議\n\n会議は10時です。",
        "＞会議は10時です。",
        "> 会議は10時です。\n",
    ],
)
def test_quoted_replies_are_cut(read_file: Read, quote: str) -> None:
    assert own_text(REPLY + quote) == REPLY.strip()
    message = _mail(REPLY + quote)
    assert _one(read_file("mail", "a.eml", message.as_bytes())).text == REPLY.strip()
    kept = _one(read_file("mail", "a.eml", message.as_bytes(), quotes="keep")).text
    assert kept == (REPLY + quote).strip()


@pytest.mark.parametrize(
    "text",
    [
        "答えを引用の間に書きます。\n\nはい。",
        "差出人: は空欄にしてください。\n以上",
        "日程は次のとおり:\n7月1日 10:00\n----------\n以上、よろしくお願いします。",
        "転送します。\n---------- Forwarded message ---------\n会議は10時です。",
        "2026年7月1日の議題:\n予算",
        "1 > 0 です。",
        "連絡先は下記のとおり。\n==========\n窓口は総務課です。電話でも受け付けます。\n==========",
    ],
)
def test_what_is_no_quote_stays(text: str) -> None:
    assert own_text(text) == text


def test_answers_between_quotes_stay() -> None:
    text = "> 10時でよいですか\nはい。\n\n> 場所は\n会議室です。"
    assert own_text(text) == "はい。\n\n会議室です。"


@pytest.mark.parametrize(
    "signature",
    [
        "-- \n山田太郎\nTEL 03-0000-0000",
        "--\n山田",
        "━━━━━━━━━━━━\n株式会社検査　営業部\n山田太郎\n〒100-0000 東京都\nTEL：03-0000-0000\n━━━━━━━━━━━━",
        "☆★☆★☆★☆★☆★\n山田\nyamada@example.jp\n☆★☆★☆★☆★☆★",
        "-=-=-=-=-=-=-=\n山田\n電話 03-0000-0000",
    ],
)
def test_signatures_are_cut(signature: str) -> None:
    text = f"明日伺います。\n\n{signature}\n"
    assert own_text(text) == "明日伺います。"
    assert own_text(text, signatures=True) == text.replace("-- \n", "--\n").strip()


def test_html_only_where_there_is_no_plain_text(read_file: Read) -> None:
    html = (
        "<html><head><style>p{}</style><title>題</title></head><body>"
        "<p>承知しました。<br>明日<ruby>伺<rt>うかが</rt></ruby>います。</p>"
        "<table><tr><td>品</td><td>数</td></tr></table>"
        "<div class='gmail_quote'>前<blockquote>の便</blockquote></div><script>x()</script></body></html>"
    )
    message = _mail("ただの文。")
    message.add_alternative(html, subtype="html")
    assert _one(read_file("mail", "a.eml", message.as_bytes())).text == "ただの文。"
    only = MIMEMultipart("alternative")
    only["Subject"] = "a"
    only.attach(MIMEText("", "plain"))
    only.attach(MIMEText(html, "html", "iso-2022-jp"))
    assert _one(read_file("mail", "b.eml", only.as_bytes())).text == "承知しました。\n明日伺います。\n\n品\t数"


def test_html_of_any_depth_is_read_in_time() -> None:
    begun = time.monotonic()
    assert html_text("<div>" * 100_000 + "底") == "底"
    assert html_text("<blockquote>" * 20_000 + "底") == ""
    assert html_text("<blockquote>" * 20_000 + "底", quotes=True) == "底"
    assert time.monotonic() - begun < 20


def test_flowed_text(read_file: Read) -> None:
    body = "これは長い \r\n行です。\r\n\r\nLatin \r\nlines \r\ntoo\r\n-- \r\n山田\r\n".encode()
    headers = "Content-Type: text/plain; charset=utf-8; format=flowed"
    assert _one(read_file("mail", "a.eml", _raw(body, headers))).text == "これは長い行です。\n\nLatin lines too"
    assert flowed("> 引用の \n> 続き\n次", delete_space=True) == "> 引用の続き\n次"


def test_attached_messages_are_documents_of_their_own(read_file: Read) -> None:
    inner = _mail("中の本文です。", subject="中")
    outer = _mail("外の本文です。", subject="外")
    outer.add_attachment(inner)
    items = read_file("mail", "a.eml", outer.as_bytes())
    assert [(item.id, item.title, item.text) for item in items if isinstance(item, Document)] == [
        ("s/a.eml", "外", "外の本文です。"),
        ("s/a.eml#1", "中", "中の本文です。"),
    ]


@pytest.mark.parametrize(
    ("data", "error", "found"),
    [
        (b"", "format", "no header"),
        ("ただの文章です。\n".encode(), "format", "no header"),
        (_raw(b"> only\r\n", "Content-Type: text/plain"), "no_text", "quotes"),
        (_raw(b"AAAA", "Content-Type: image/png; name=a.png"), "no_text", "attachments: a.png"),
        (_raw(b"44GCA", "Content-Transfer-Encoding: base64"), "format", "cut off"),
        (_raw(b"x", "Content-Transfer-Encoding: x-uuencode"), "format", "x-uuencode"),
        (_raw(b"\x81\xff\xfe\x00\x01" * 40, "Content-Type: text/plain"), "decode", ""),
        (b"X: " + b"a" * (2 << 20), "format", "headers of more than"),
    ],
)
def test_messages_that_cannot_be_read(read_file: Read, data: bytes, error: str, found: str) -> None:
    (item,) = read_file("mail", "a.eml", data)
    assert isinstance(item, Quarantined)
    assert item.error == error
    assert found in item.detail


def test_a_mailbox_as_the_standard_library_writes_it(read_file: Read, tmp_path: Path) -> None:
    box = mailbox.mbox(str(tmp_path / "box"))
    texts = [
        "一通目です。",
        "From here on, the second.\n\nFrom the office: 二通目です。\n\n>From quoted",
        "三通目です。",
    ]
    for text in texts:
        box.add(mailbox.mboxMessage(_mail(text)))
    box.flush()
    data = (tmp_path / "box").read_bytes()
    assert b"\n>From the office" in data
    items = read_file("mail", "a.mbox", data)
    assert [(item.id, item.text) for item in items if isinstance(item, Document)] == [
        ("s/a.mbox#1", texts[0]),
        ("s/a.mbox#2", texts[1].replace("\n>From", "\nFrom")),  # that format cannot tell the two apart
        ("s/a.mbox#3", texts[2]),
    ]


@pytest.mark.parametrize(
    "line", ["From - Wed Jul  1 09:30:00 2026", "From ", "From -", "From 17@xxx Wed Jul 01 00:30:00 +0000 2026"]
)
def test_the_lines_that_begin_messages(read_file: Read, line: str) -> None:
    message = "Subject: a\n\n本文\n\nFrom the text\n\n"
    items = read_file("mail", "a.mbox", f"{line}\n{message}{line}\r\n{message}".encode())
    assert [item.text for item in items if isinstance(item, Document)] == ["本文\n\nFrom the text"] * 2


def test_a_broken_message_costs_itself(read_file: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MESSAGE_BYTES", 3000)
    start = "From a Wed Jul  1 09:30:00 2026\n"
    messages = ["Subject: 1\n\n一\n\n", "Subject: 2\nContent-Transfer-Encoding: base64\n\n44GCA\n\n"]
    messages += [f"Subject: 3\n\n{'大' * 2000}\n\n", "Subject: 4\n\n四\n\n"]
    items = read_file("mail", "a.mbox", "".join(start + message for message in messages).encode())
    assert [(item.id, item.error if isinstance(item, Quarantined) else item.text) for item in items] == [
        ("s/a.mbox#1", "一"),
        ("s/a.mbox#2", "format"),
        ("s/a.mbox#3", "too_large"),
        ("s/a.mbox#4", "四"),
    ]


def test_memory_is_bounded_while_a_mailbox_streams(make_source: Any, tmp_path: Path) -> None:
    path = tmp_path / "large.mbox"
    message = b"From a Wed Jul  1 09:30:00 2026\nSubject: a\n\n" + "本文です。\n".encode() * 200 + b"\n"
    with path.open("wb") as file:
        for _ in range(600):
            file.write(message)
        file.write(b"From a Wed Jul  1 09:30:00 2026\nSubject: b\n\n" + b"x" * (70 << 20))
    tracemalloc.start()
    items = make_source("mail").documents(Piece(str(path), "large.mbox", path.stat().st_size))
    kinds = [isinstance(item, Document) for item in items]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kinds == [True] * 600 + [False]
    assert peak < 80 << 20


@pytest.mark.parametrize("depth", [8, 5000])
def test_nested_parts(read_file: Read, depth: int) -> None:
    data = b"From: a@example.jp\n"
    for number in range(depth):
        data += f'Content-Type: multipart/mixed; boundary="{number}"\n\n--{number}\n'.encode()
    data += "Content-Type: text/plain; charset=utf-8\n\n底\n".encode()
    (item,) = read_file("mail", "a.eml", data)
    assert item.text == "底" if isinstance(item, Document) else "deep" in item.detail
    assert isinstance(item, Document) == (depth == 8)


def test_attached_messages_in_attached_messages_end(read_file: Read) -> None:
    data = "Content-Type: text/plain; charset=utf-8\n\n底\n".encode()
    for _ in range(200):
        data = b"From: a@example.jp\nContent-Type: message/rfc822\n\n" + data
    items = read_file("mail", "a.eml", data)
    assert len(items) < 100
    assert isinstance(items[-1], Quarantined)
    assert items[-1].error == "too_large"


HOSTILE = {
    "rule": "-" * 100_000 + "x",
    "dashes and spaces": "- " * 50_000 + "x",
    "at signs": "━━━━━━━━━━\n" + "@" * 70 + "\n" + "@a" * 50_000,
    "spaces": " " * 200_000 + "x",
    "colons": "From:" * 40_000,
    "introduction": "On " + "a " * 60_000 + "\n> q",
    "years": "2026年7月1" * 30_000 + "\n> q",
    "mails": "<a@b>" * 30_000 + "\n> q",
    "quotes": "> a\nb\n" * 30_000,
    "senders": "From: a\n" * 30_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_takes_more_than_linear_time(name: str) -> None:
    begun = time.monotonic()
    own_text(HOSTILE[name])
    flowed(HOSTILE[name], delete_space=False)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("unit", [b"=?a?b?", b"=?utf-8?B?44GC?= ", b';a="', b"; ", b";a*0*=", b"\\", b"From ", b"=?"])
def test_no_header_takes_more_than_linear_time(unit: bytes) -> None:
    begun = time.monotonic()
    unfold(unit * 20_000)
    parameters(unit * 20_000)
    assert time.monotonic() - begun < 5


@given(
    st.binary(max_size=300)
    | st.lists(
        st.sampled_from(
            [
                b"From a 10:00\n",
                b"\n",
                b"\r\n",
                b"Subject: =?utf-8?B?44?=\n",
                b"Content-Type: multipart/mixed; boundary=b\n",
                b"--b\n",
                b"--b--\n",
                b"Content-Type: message/rfc822\n",
                b"Content-Transfer-Encoding: base64\n",
                b"> q\n",
                b"Content-Type: text/html\n",
                b"<p>a<blockquote>",
                b"Content-Disposition: attachment; filename*9*=x''%\n",
                "本文".encode(),
                "本文".encode("cp932"),
                b"\x1b$B",
                b"\x00",
                b"Date: 1 Jan 99999 00:00\n",
                b":\n",
                b"-- \n",
            ]
        ),
        max_size=25,
    ).map(b"".join)
)
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_give_documents_or_reasons(make_source: Any, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.mbox"
    for head in (b"", b"From a 10:00\n", b"Subject: a\n"):
        path.write_bytes(head + data)
        for item in make_source("mail", keep_headers=("from",)).documents(Piece(str(path), "a.mbox", len(data))):
            if isinstance(item, Document):
                (item.text + item.title + repr(item.meta)).encode()
                assert item.text.strip()
            else:
                assert item.detail


def test_the_order_of_mixed_parts(read_file: Read) -> None:
    message = _mail("前半。")
    message.make_mixed()
    part = EmailMessage()
    part.set_content("後半。")
    message.attach(part)
    assert _one(read_file("mail", "a.eml", message.as_bytes())).text == "前半。\n\n後半。"
