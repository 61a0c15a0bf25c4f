"""DocBook 4 and 5 as plain text; nothing outside the file is read, and no entity grows."""

# ruff: noqa: E501  (documents stand as they are written)
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.errors import JpfmError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member

Read = Callable[..., list[Document | Quarantined]]

BOOK = """<?xml version="1.0" encoding="{encoding}"?>
<!DOCTYPE book PUBLIC "-//OASIS//DTD DocBook XML V4.5//EN" "http://www.oasis-open.org/docbook/xml/4.5/docbookx.dtd" [
  <!ENTITY product "製品㈱">
  <!ENTITY full "&product;第二版">
  <!ENTITY chap2 SYSTEM "chap2.xml">
]>
<book lang="ja">
  <bookinfo>
    <title>手引き</title><subtitle>&full;の使い方</subtitle>
    <author><firstname>太郎</firstname><surname>山田</surname></author>
    <pubdate>2024-05-06</pubdate>
    <legalnotice><para>無断転載を禁じる。</para></legalnotice>
    <abstract><para>要旨。</para></abstract>
  </bookinfo>
  <!-- 註 -->
  <chapter id="intro"><title>はじめに<indexterm><primary>索引</primary></indexterm></title>
    <para>この<emphasis>本</emphasis>は
      <command>ls</command> の&mdash;使い方を<quote>説明</quote>する<footnote><para>脚注。</para></footnote>。
      <xref linkend="two"/>を見よ。2<superscript>10</superscript>。</para>
    <itemizedlist>
      <listitem><para>一つ目</para><para>続き</para></listitem>
      <listitem><para>二つ目</para>
        <orderedlist numeration="loweralpha"><listitem><para>甲</para></listitem><listitem><para>乙</para></listitem></orderedlist>
      </listitem>
    </itemizedlist>
    <programlisting language="c">int x = 1;
  y &lt; 2;</programlisting>
    <para>段落の中の表
      <informaltable><tgroup cols="2"><thead><row><entry>品名</entry><entry>値段</entry></row></thead>
      <tbody><row><entry><para>鉛筆</para></entry><entry/></row></tbody></tgroup></informaltable>
      とその後。</para>
    <variablelist><title>用語</title>
      <varlistentry><term>環境</term><term>env</term><listitem><para>説明。</para></listitem></varlistentry>
    </variablelist>
    <note><para>注意。</para></note>
    <figure><title>図の題</title><mediaobject><imageobject><imagedata fileref="a.png"/></imageobject>
      <textobject><phrase>図の説明</phrase></textobject></mediaobject></figure>
  </chapter>
  &chap2;
  <sect1 id="two"><title>二章</title><para><ulink url="https://a.example/"/>と<keycombo><keycap>Ctrl</keycap><keycap>C</keycap></keycombo></para>
    <procedure><step><para>押す</para></step><step><para>待つ</para></step></procedure>
    <literallayout>古池や
  蛙</literallayout></sect1>
</book>"""
TEXT = """手引き

製品㈱第二版の使い方

要旨。

はじめに

この本はls の—使い方を「説明」する。二章を見よ。2^10。

脚注。

一つ目
続き
二つ目
a. 甲
b. 乙

```c
int x = 1;
  y < 2;
```

段落の中の表とその後。

品名\t値段
鉛筆\t

用語

環境、env
説明。

注意。

図の題

図の説明

二章

https://a.example/とCtrl+C

1. 押す
2. 待つ

古池や
  蛙"""


@pytest.mark.parametrize("encoding", ["utf-8", "shift_jis", "euc-jp"])
def test_a_book_of_version_4(read_file: Read, encoding: str) -> None:
    codec, sign = {"utf-8": ("utf-8", "㈱"), "shift_jis": ("cp932", "㈱"), "euc-jp": ("euc_jp", "社")}[encoding]
    body = BOOK.replace("{encoding}", encoding).replace("㈱", sign)
    (found,) = read_file("docbook", "a.xml", body.encode(codec))
    assert isinstance(found, Document)
    assert found.text == TEXT.replace("㈱", sign)
    assert (found.title, found.lang, found.date) == ("手引き", "ja", "2024-05-06")
    assert found.meta == {"authors": ["太郎山田"], "entities_left_out": ["chap2"]}


ARTICLE = """<article xmlns="http://docbook.org/ns/docbook" xmlns:xlink="http://www.w3.org/1999/xlink" version="5.0" xml:lang="ja">
<info><title>記事</title><author><personname>名無し</personname></author><date>2024</date></info>
<section xml:id="s"><info><title>節</title></info>
<para><link xlink:href="https://a.example/">文献</link>、<link xlink:href="https://b.example/"/>、<link linkend="s"/></para>
<table><title>HTML の表</title><tr><th>甲</th><td>乙</td></tr></table>
<qandaset><qandaentry><question><para>問い</para></question><answer><para>答え</para></answer></qandaentry></qandaset>
<simplelist><member>あ</member><member>い</member></simplelist>
<equation><mathphrase>a + b</mathphrase></equation>
<glosslist><glossentry><glossterm>語</glossterm><glossdef><para>意味</para></glossdef></glossentry></glosslist>
<screen><prompt>$</prompt> ls<co xml:id="c"/></screen>
<calloutlist><callout arearefs="c"><para>一覧</para></callout></calloutlist>
<bibliography><bibliomixed>文献一</bibliomixed></bibliography>
</section></article>"""


def test_an_article_of_version_5(read_file: Read) -> None:
    (found,) = read_file("docbook", "a.xml", ARTICLE.encode())
    assert isinstance(found, Document)
    assert found.text == (
        "記事\n\n節\n\n文献、https://b.example/、節\n\nHTML の表\n\n甲\t乙\n\n問い\n答え\n\nあ\nい\n\na + b\n\n語\n意味\n\n"
        "```\n$ ls\n```\n\n一覧\n\n文献一"
    )
    assert (found.title, found.date, found.meta) == ("記事", "2024", {"authors": ["名無し"]})


PAGE = """<refentry id="ls"><refmeta><refentrytitle>ls</refentrytitle><manvolnum>1</manvolnum></refmeta>
<refnamediv><refname>ls</refname><refname>dir</refname><refpurpose>一覧を表示する</refpurpose></refnamediv>
<refsynopsisdiv><cmdsynopsis><command>ls</command> <arg choice="opt">-l</arg></cmdsynopsis></refsynopsisdiv>
<refsect1><title>説明</title><para>表示する。</para></refsect1></refentry>"""


def test_a_manual_page(read_file: Read) -> None:
    (found,) = read_file("docbook", "a.xml", PAGE.encode())
    assert isinstance(found, Document)
    assert (found.title, found.text) == ("ls", "ls、dir - 一覧を表示する\n\nls -l\n\n説明\n\n表示する。")


def _laughs(levels: int) -> str:
    lines = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "笑" * 10}">' for n in range(levels))
    return f"<!DOCTYPE para [{lines}]><article><para>&l{levels - 1};</para></article>"


BAD = {
    "empty": (b"", "not well-formed"),
    "cut off": (BOOK[:900].replace("{encoding}", "utf-8").encode(), "not well-formed"),
    "html": (b"<html><body/></html>", "the root is <html>"),
    "laughs": (_laughs(9).encode(), "entity"),
    "laughs in an attribute": (_laughs(9).replace("<para>&l8;", "<para role='&l8;'>").encode(), ""),
    "a large entity": (f'<!DOCTYPE a [<!ENTITY a "{"笑" * 20_000}">]><article>&a;</article>'.encode(), "grows"),
    "an entity of itself": (b'<!DOCTYPE a [<!ENTITY a "&b;"><!ENTITY b "&a;">]><article>&a;</article>', ""),
    "quadratic": (
        f'<!DOCTYPE a [<!ENTITY a "{"笑" * 9000}">]><article>{"&a;" * 2000}</article>'.encode(), "amplification"
    ),
    "deep": (("<section>" * 10_000).encode(), "not well-formed"),
    "deep and closed": (b"<section>" * 200 + b"<para>x</para>" + b"</section>" * 200, "deep"),
    "an entity nobody declared": (b"<article>&x;</article>", "not well-formed"),
    "NUL": (b"<article>\0</article>", ""),
}  # fmt: skip


@pytest.mark.parametrize(("data", "what"), BAD.values(), ids=BAD)
def test_what_is_no_docbook_or_would_grow_is_quarantined(read_file: Read, data: bytes, what: str) -> None:
    (found,) = read_file("docbook", "a.xml", data)
    assert isinstance(found, Quarantined)
    assert what in found.detail


def test_external_entities_are_never_read(read_file: Read, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("秘密")
    for system in (f"file://{tmp_path}/secret.txt", "secret.txt", "/etc/passwd", "http://127.0.0.1:9/x"):
        source = f'<!DOCTYPE article [<!ENTITY x SYSTEM "{system}">]><article><para>前&x;後</para>&x;</article>'
        (found,) = read_file("docbook", "a.xml", source.encode())
        assert isinstance(found, Document)
        assert (found.text, found.meta) == ("前後", {"entities_left_out": ["x"]})
    for inside in (
        '<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;',
        "<!ENTITY % p \"<!ENTITY q SYSTEM 'secret.txt'>\"> %p;",
    ):
        (found,) = read_file(
            "docbook", "a.xml", f"<!DOCTYPE article [{inside}]><article><para>文</para></article>".encode()
        )
        assert isinstance(found, Document)
        assert found.text == "文"


_PIECES = st.sampled_from(
    ["<para>", "</para>", "<article>", "</article>", "<title>", "</title>", "<itemizedlist>", "</itemizedlist>", "<row>",
     "<listitem>", "</listitem>", "&amp;", "&x;", "漢字", " ", "<xref linkend='a'/>", "<varlistentry/>", "<quote>", "</quote>",
     "<table>", "</table>", "<glossentry/>", "<link/>", "<!--", "-->", "<?x?>", "<![CDATA[", "]]>"]
)  # fmt: skip


@given(parts=st.lists(_PIECES), raw=st.binary())
def test_any_bytes_are_read_or_refused(make_source: Callable[..., Any], parts: list[str], raw: bytes) -> None:
    whole = f"<!DOCTYPE article SYSTEM 'x'><article>{''.join(parts)}</article>".encode()
    for data in (whole, raw, whole[: len(raw)] + raw):
        try:
            (found,) = make_source("docbook").read(Member("a", io.BytesIO(data)), "s/a")
        except JpfmError:
            continue
        found.text.encode("utf-8")
