"""Web pages: what a reader came for becomes text, what a page says of itself becomes columns, damage stays harmless."""

import gzip
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.found import document as _document
from tests.data.found import quarantined as _bad

from jpfm.data.document import Document, Quarantined, to_batch
from jpfm.data.sources.boilerplate import is_boilerplate
from jpfm.data.sources.markup_lines import prepare
from jpfm.data.sources.page import charset, read_page
from jpfm.data.sources.page_facts import Facts, opt_out, read_facts, spdx
from jpfm.data.sources.page_text import main_text
from jpfm.data.sources.tags import MAX_ATTRIBUTES, MAX_REOPENED, MAX_STEPS, measure

Read = Callable[..., list[Document | Quarantined]]


def _facts(markup: str, base: str) -> Facts:
    return read_facts(markup.encode(), measure(markup.encode()), base)


def _text(body: str) -> str:
    return read_page(f"<html><body>{body}</body></html>", "a.html").text


RUBY = {
    "<ruby>山毛欅<rp>(</rp><rt>ぶな</rt><rp>)</rp></ruby>の森": "山毛欅の森",
    "<ruby>東<rt>とう<rt>きょう</ruby>の森": "東の森",
    "<ruby><rb>東<rb>京<rt>とう<rt>きょう</ruby>の森": "東京の森",
    "<RUBY lang='ja'><RB>東京</RB><RP>（</RP><RT class=x>とうきょう</RT><RP>）</RP></RUBY>の森": "東京の森",
    "<ruby>旧金山<rt>jiùjīnshān</rt><rtc><rt>San Francisco</rt></rtc></ruby>の森": "旧金山の森",
    "<ruby>漢<rt>かん</rt>字<rt>じ</rt></ruby>の森": "漢字の森",
    "<ruby><ruby>護<rt>まも</rt></ruby>り人<rt>guardian</rt></ruby>の森": "護り人の森",
    "<ruby>\n  欅\n  <rp>(</rp>\n  <rt>けやき</rt>\n  <rp>)</rp>\n</ruby>\nの森": "欅の森",
    "<ruby>杜<rt>もり</p><p>次の段": "杜\n\n次の段",
    "<ruby>木<rt><span>き</span></rt></ruby>の<ruby>実<rt>み</rt></ruby>の森": "木の実の森",
}


@pytest.mark.parametrize(("markup", "plain"), RUBY.items())
def test_ruby_keeps_the_word_and_drops_the_reading(read_file: Read, markup: str, plain: str) -> None:
    page = f"<html><body><main><p>{markup}を歩いた。</p></main></body></html>"
    assert _document(read_file("html", "a.html", page.encode())).text == f"{plain}を歩いた。"


@pytest.mark.parametrize("markup", [m for m, plain in RUBY.items() if "\n\n" not in plain and "護" not in plain])
def test_trafilatura_agrees_about_ruby(markup: str) -> None:
    page = (
        f"<html><body><article><p>{markup}を歩いた。{'長い話を続けて読むと眠くなる。' * 12}</p></article></body></html>"
    )
    assert read_page(page, "a", extractor="trafilatura").text.startswith(f"{RUBY[markup]}を歩いた。")


LAYOUT = {
    # one character between tags is text, not an icon
    "<p><a href=x>東京</a>と<a href=y>京都</a>の間</p>": "東京と京都の間",
    "<div>東</div><div>西</div>": "東\n西",
    # line breaks of the source
    "<p>これは長い\n段落です。\n  つづき</p>": "これは長い段落です。つづき",
    "<p>これは長い\r\n段落です。 \nつづき</p>": "これは長い段落です。つづき",
    "<p>青い<b>空</b>\nと<i>\n海</i>と\n<a href=x>山</a></p>": "青い空と 海と山",
    "<p>An English\nline と\nAPI</p>": "An English line と API",
    "<p>空白 と　全角</p>": "空白 と　全角",
    "<p>行<br>\n次の行<br><br>あと</p>": "行\n次の行\n\nあと",
    "<p>한국어\n단락</p>": "한국어 단락",
    # blocks
    "<h2>題</h2><p>甲</p><p>乙</p>": "題\n\n甲\n\n乙",
    "<p>　字下げ</p>": "字下げ",
    "<dl><dt>語<dd>説明</dl>": "語\n説明",
    "<details><summary>要約</summary>くわしく</details>": "要約\nくわしく",
    # lists
    "<ul><li>甲<li>乙<ul><li>丙</ul></ul>": "• 甲\n• 乙\n  • 丙",
    "<ol><li>甲<li>乙</ol>": "1. 甲\n2. 乙",
    "<ul><li><p>甲</p><p>つづき</p></ul>": "• 甲\n\nつづき",
    # tables
    "<table><tr><th>年<th>額<tr><td>一<td>二</table>": "年\t額\n一\t二",
    "<table><tr><td>甲<td><td>丙</table>": "甲\t\t丙",
    "<table><tr><td><p>甲</p><td>乙<br>丙<td><div>丁</div><div>戊</div></table>": "甲\t乙 丙\t丁 戊",
    "<TABLE><TR><TD><P>甲</P></TD><TD>乙<BR>丙</TD></TR></TABLE>": "甲\t乙 丙",
    "<table><tr><td>消し\nゴム<td>筆</table><p>後</p>": "消しゴム\t筆\n\n後",
    "<table><tr><td><p>長い段落。</p><p>" + "字" * 400 + "</p></table>": "長い段落。\n\n" + "字" * 400,
    # what <pre> holds
    "<pre>一\n  二\n\n\n\n三\t\t四</pre><p>後": "一\n  二\n\n\n\n三\t\t四\n\n後",
    "<pre><code class='language-python'>def f():\n    return 1\n\n\nx\n</code></pre>":
    "```python\ndef f():\n    return 1\n\n\nx\n```",
    "<pre class=lang-sh><code>echo ```</code></pre>": "````sh\necho ```\n````",
    "<p>前</p><pre>日本\n語": "前\n\n日本\n語",
    # references
    "<p>&lt;b&gt; &amp;amp; &#12354;&hellip;": "<b> &amp; あ…",
    "<p>あ\x00い</p>": "あい",
    "<pre>あ\ufdd0\ufdd1い</pre>": "あい",
}  # fmt: skip


@pytest.mark.parametrize(("body", "text"), LAYOUT.items())
def test_layout_becomes_lines(body: str, text: str) -> None:
    assert _text(body).strip("　") == text


GONE = [
    "<nav><ul><li><a href=/>案内</a></ul></nav>",
    "<header><p>案内</p></header>",
    "<footer>案内</footer>",
    "<aside>案内</aside>",
    "<form action=/q><label>案内</label><input><button>案内</button></form>",
    "<select><option>案内</select>",
    "<script>document.write('<p>案内</p>')</script>",
    "<style>p:before{content:'案内'}</style>",
    "<template><p>案内</p></template>",
    "<noscript>案内</noscript>",
    "<dialog open>案内</dialog>",
    "<iframe>案内</iframe>",
    "<!-- <p>案内</p> -->",
    "<p hidden>案内</p>",
    "<p style='display:none'>案内</p>",
    "<div aria-hidden=true>案内</div>",
    "<div role=navigation>案内</div>",
    "<ul class='pankuzu'><li>案内</ul>",
    "<p id=topicPath>案内</p>",
    "<div class='c-breadcrumb__list'>案内</div>",
    "<div class='l-globalNav'>案内</div>",
    "<div id='header'><p>案内</p></div>",
    "<div class='sns-share'>案内</div>",
    "<div class='cookie-banner'><p>案内</p><p>同意</p></div>",
    "<div id='onetrust-consent-sdk'>案内</div>",
    "<a class=skip href='#main'>案内</a>",
    "<p class='pageTop'><a href='#top'>案内</a></p>",
    "<div class=footer-inner>案内</div>",
    "<div class='mw-editsection'>案内</div>",
    "<textarea>案内</textarea>",
    "<svg><text>案内</text></svg>",
]


@pytest.mark.parametrize("body", GONE)
def test_what_every_page_of_a_site_repeats_goes(body: str) -> None:
    article = "<div id=contents><h1>題</h1><p>本文である。</p></div>"
    assert _text(body + article) == "題\n\n本文である。"


KEPT = [
    "<div class='jp'>残る</div>",  # resiliparse's own filter takes it for a share button
    "<div class='wa'>残る</div>",
    "<ul><li>残る</ul>",
    "<div class='menu'>残る</div>",  # of a restaurant
    "<div class='page-with-sidebar'>残る</div>",
    "<div class='no-footer'>残る</div>",
    "<div class='l-navi'><main>残る</main></div>",
    "<form id=aspnetForm><h1>残る</h1></form>",
    "<article><header><h1>残る</h1></header></article>",
    "<div class='card'><div class='header'>残る</div></div>",
    "<table><tr><td>残る</table>",
    "<blockquote>残る</blockquote>",
    "<center><font size=+1>残る</font></center>",
    "<body class='right-sidebar'><p>残る</p>",
]


@pytest.mark.parametrize("body", KEPT)
def test_what_only_looks_like_it_stays(body: str) -> None:
    assert "残る" in _text(body)


def test_only_main_stays_where_there_is_one() -> None:
    assert _text("<div>帯</div><main class=a><p>本文</p></main><div>帯</div>") == "本文"
    two = "<div>帯</div><main><p>甲</p></main><main hidden><p>乙</p></main>"
    assert _text(two) == "帯\n\n甲"
    assert _text("<script>x = '<main>'</script><p>本文</p>") == "本文"
    assert _text("<!-- <main> --><p>本文</p></main>") == "本文"


def test_a_page_gives_main_text_title_licence_and_address(read_file: Read) -> None:
    page = """<!DOCTYPE html><html lang="ja"><head><meta charset="Shift_JIS"><title> ごみの日 | 市 </title>
<link rel="license" href="https://creativecommons.org/licenses/by/4.0/deed.ja">
<meta property="article:published_time" content="2026-1-5T09:00:00+09:00">
<link rel="canonical" href="https://city.example/gomi.html"></head>
<body><nav><ul><li><a href="/">めにゅー</a></li></ul></nav>
<main><article><h1>ごみの日①</h1><p>㈱髙橋商店の前に、朝八時までに出してください。燃えるごみは火曜と金曜です。</p></article></main>
<footer>著作権表示のある帯</footer><script>alert('動く')</script></body></html>"""
    found = _document(read_file("html", "gomi.html", page.encode("cp932")))
    assert found.text == "ごみの日①\n\n㈱髙橋商店の前に、朝八時までに出してください。燃えるごみは火曜と金曜です。"
    assert (found.title, found.encoding, found.url) == ("ごみの日 | 市", "cp932", "https://city.example/gomi.html")
    assert (found.licence, found.lang, found.date) == ("CC-BY-4.0", "ja", "2026-01-05T09:00:00+09:00")
    assert found.meta == {"licences": ["https://creativecommons.org/licenses/by/4.0/deed.ja"]}


LICENCES = {
    '<link rel=license href="http://creativecommons.org/licenses/by-sa/3.0/">': "CC-BY-SA-3.0",
    '<a rel="license noopener" href="https://creativecommons.org/publicdomain/zero/1.0/deed.ja">CC0</a>': "CC0-1.0",
    '<p>この作品は<a href="https://creativecommons.org/licenses/by-nc/4.0/">表示-非営利</a>で提供</p>': "CC-BY-NC-4.0",
    '<meta name="DCTERMS.license" content="http://creativecommons.org/licenses/by/2.1/jp/">': "LicenseRef-CC-BY-2.1-JP",
    '<meta name="dcterms.rights" content="Copyright 市役所">': "",
    '<link rel="license" href="/terms">': "https://example.jp/terms",
    '<a href="https://creativecommons.org/licenses/by/4.0/">写真</a>'
    '<a href="https://creativecommons.org/licenses/by-nc/4.0/">本文</a>': "",
    '<a href="https://creativecommons.org/licenses/by/4.0/deed.ja">一</a>'
    '<a href="http://creativecommons.org/licenses/by/4.0/">二</a>': "CC-BY-4.0",
    '<!-- <a rel=license href="https://creativecommons.org/licenses/by/4.0/"> -->': "",
    '<script>var a = "<a rel=license href=https://creativecommons.org/licenses/by/4.0/>"</script>': "",
    '<a href="https://creativecommons.org/about/">CC</a>': "",
    '<p>Driver license</p>': "",
}  # fmt: skip


@pytest.mark.parametrize(("markup", "licence"), LICENCES.items())
def test_a_licence_is_what_the_page_names_as_its_own(markup: str, licence: str) -> None:
    assert _facts(f"<html><body>{markup}</body></html>", "https://example.jp/a/b").licence == licence


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://creativecommons.org/licenses/by-nc-nd/2.0/", "CC-BY-NC-ND-2.0"),
        ("http://www.creativecommons.org/licenses/by-sa/2.1/jp/", "CC-BY-SA-2.1-JP"),
        ("https://creativecommons.org/licences/by/3.0/us/", "CC-BY-3.0-US"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("https://creativecommons.org/licenses/by/", "https://creativecommons.org/licenses/by/"),
        ("https://www.digital.go.jp/copyright-policy", "https://www.digital.go.jp/copyright-policy"),
    ],
)
def test_addresses_become_spdx_identifiers(address: str, name: str) -> None:
    assert spdx(address) == name


FACTS = {
    "<TITLE>大\n文字</TITLE>": ("title", "大 文字"),
    "<title>A &amp; B &lt;c&gt;</title>": ("title", "A & B <c>"),
    '<meta property="og:title" content="題">': ("title", "題"),
    '<html xml:lang="ja-JP">': ("lang", "ja-JP"),
    '<META HTTP-EQUIV="Content-Language" CONTENT="ja, en">': ("lang", "ja"),
    "<link rel=canonical href=/a?b=1&amp;c=2>": ("url", "https://example.jp/a?b=1&c=2"),
    '<link rel="canonical" href="javascript:x">': ("url", ""),
    '<link rel="canonical" href="http://[bad">': ("url", "http://[bad"),
    '<meta property="og:url" content="https://example.jp/og">': ("url", "https://example.jp/og"),
    '<meta name="date" content="2026/3/9">': ("date", "2026-03-09"),
    '<meta name=robots content="noindex"><p><meta name="robots" content="noai">': ("robots", "noindex, noai"),
    '<meta content="a > b" name="tdm-policy">': ("tdm_policy", "a > b"),
    '<!--<meta name="robots" content="noai">-->': ("robots", ""),
    '<script>"<meta name=robots content=noai>"</script><meta name=robots content=all>': ("robots", "all"),
}


@pytest.mark.parametrize(("markup", "fact"), FACTS.items())
def test_facts_are_read_wherever_they_stand(markup: str, fact: tuple[str, str]) -> None:
    assert getattr(_facts(markup, "https://example.jp/"), fact[0]) == fact[1]


@pytest.mark.parametrize(
    ("directives", "tdm", "out"),
    [("noai, noimageai", "", True), ("NOAI", "", True), ("gptbot: noai", "", True), ("noindex, nofollow", "", False),
     ("noimageai", "", False), ("", "1", True), ("", "0", False), ("mosnoair", "", False)],
)  # fmt: skip
def test_opting_out(directives: str, tdm: str, out: bool) -> None:
    assert bool(opt_out(directives, tdm=tdm)) is out


def test_a_page_that_opts_out_is_quarantined_unless_asked_for(read_file: Read) -> None:
    page = '<meta name="tdm-reservation" content="1"><p>本文</p>'.encode()
    assert "tdm-reservation" in _bad(read_file("html", "a.html", page), "opt_out").detail
    kept = _document(read_file("html", "a.html", page, opt_out="keep"))
    assert kept.meta == {"tdm": "1"}
    batch = to_batch([kept], "s", "CC0-1.0", ("robots_meta", "tdm"))
    assert batch.column("tdm").to_pylist() == ["1"]
    assert batch.column("robots_meta").to_pylist() == [None]


@pytest.mark.parametrize(
    ("head", "header", "label"),
    [
        (b'<meta charset="EUC-JP">', "", "EUC-JP"),
        (b'<meta http-equiv="Content-Type" content="text/html; charset=x-sjis">', "", "x-sjis"),
        (b'<meta charset="EUC-JP">', "Shift_JIS", "Shift_JIS"),
        (b'<meta charset="EUC-JP">', "none", "EUC-JP"),
        (b'<?xml version="1.0" encoding="euc-jp"?><html>', "", "euc-jp"),
        (b'<meta charset="utf-16">', "", "utf-8"),
        (b'<!-- <meta charset="euc-jp"> -->', "", None),
        (b"<p>", "", None),
    ],
)
def test_the_label_a_browser_goes_by(head: bytes, header: str, label: str | None) -> None:
    assert charset(head, header) == label


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "cp932", "euc_jp", "iso2022_jp", "utf-16"])
def test_pages_in_the_encodings_of_japan(read_file: Read, codec: str) -> None:
    page = "<html><head><title>市の予算</title></head><body><p>予算の案を議会に出しました。</p></body></html>"
    found = _document(read_file("html", "a.html", page.encode(codec)))
    assert (found.title, found.text) == ("市の予算", "予算の案を議会に出しました。")


@pytest.mark.parametrize("page", [b"", b"<", b"\x00\x00", b"<html><p>&#xD800;&#0;&#x110000;</p>", b"<p>" * 3000])
def test_odd_pages_are_read_without_harm(read_file: Read, page: bytes) -> None:
    found = _document(read_file("html", "a.html", page))
    (found.text + found.title).encode()


HEAPS = {
    "open spans before unknown end tags": "<span>" * 200_000 + "</foo>" * 200_000,
    "spans and unknown end tags": "<span></foo>" * 200_000,
    "open formatting": "<p>" + "".join(f"<b id=x{n}>" for n in range(4000)) + "</p>" + "<p>x</p>" * 4000,
    "attributes": "<p " + " ".join(f"a{n}=1" for n in range(40_000)) + ">x",
    "attributes without spaces": "<p " + "".join(f"a{n}='1'" for n in range(40_000)) + ">x",
    "options": "<select>" + "<option><b>" * 40_000,
    "3 MB of divs": "<div>" * 600_000,
    "foster parents": "<table>" + "<b>x" * 40_000,
}
LARGE = {
    "12,000 deep": "<div>" * 12_000 + "深い",
    "deep lists": "<ul><li>" * 5000 + "深い",
    "paragraphs never closed": "<p>あいう" * 300_000,
    "NUL": "<p>あ\x00い</p>" * 100_000,
    "angle brackets": "<" * 3_000_000,
    "comments never closed": "<!--" * 500_000,
    "ampersands": "&" * 2_000_000,
    "pre never closed": "<pre>\n" * 300_000,
    "cells never closed": "<table>" + "<td>あ<br>" * 200_000,
    "rt never closed": "<ruby>" + "<rt>" * 300_000,
    "line breaks": "<p>" + "あ\n" * 1_000_000,
    "blank lines": "<p>あ" + "\n" * 2_000_000 + "い",
    "spaces": "<p>あ" + " " * 2_000_000 + "い",
    "classes": "".join(f"<p class=nav-{n}>あ" for n in range(100_000)),
    "titles": "<title>" * 300_000,
    "metas in a comment": "<!--" + "<meta name=robots content=noai>" * 80_000,
    "quotes": "<meta name='" * 200_000,
    "licences": "<a href=x>license " * 150_000,
    "main": "<main>" * 12_000 + "</main>" * 12_000,
    "font soup": "<p><font color=red>あ</p>" * 10_000,
}


@pytest.mark.parametrize("kind", HEAPS)
def test_a_heap_of_tags_is_refused_in_a_moment(read_file: Read, kind: str) -> None:
    begun = time.process_time()
    assert "heap of open tags" in _bad(read_file("html", "a.html", HEAPS[kind].encode()), "format").detail
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("kind", LARGE)
def test_large_odd_pages_take_linear_time(read_file: Read, kind: str) -> None:
    """Each of these takes minutes where anything is quadratic; the limit is far above what linear takes."""
    begun = time.process_time()
    (found,) = read_file("html", "a.html", LARGE[kind].encode())
    assert time.process_time() - begun < 10
    if kind in ("12,000 deep", "deep lists"):
        assert isinstance(found, Document)
        assert "深い" in found.text


def test_prices_stay_below_the_limits_for_real_pages(sample: Path, shared_data: Path) -> None:
    pages = [path.read_bytes() for path in sorted((sample / "html").glob("*.html"))]
    pages += [gzip.decompress(path.read_bytes()) for path in sorted((shared_data / "raw/html-jlreq").glob("*.gz"))]
    for page in pages:
        steps, reopened, attributes = measure(page)[:3]
        assert (steps < MAX_STEPS / 100, reopened < MAX_REOPENED / 100, attributes < MAX_ATTRIBUTES / 10) == (True,) * 3


@pytest.mark.parametrize("name", ["gomi.html", "fault_near.html", "recipe_purin.html"])
def test_pages_of_the_sample_lose_navigation_and_keep_the_article(read_file: Read, sample: Path, name: str) -> None:
    found = _document(read_file("html", name, (sample / "html" / name).read_bytes()))
    assert len(found.text) > 300
    assert "本文へ移動" not in found.text
    assert "{box-sizing" not in found.text


def test_real_long_page(read_file: Read, shared_data: Path) -> None:
    path = shared_data / "raw/html-jlreq/old__ja__index.html.gz"
    found = _document(read_file("html", "a.html.gz", path.read_bytes()))
    assert (found.title, found.lang, found.encoding) == ("日本語組版処理の要件（日本語版）", "ja", "utf-8")
    assert len(found.text) > 150_000
    assert not {"<p>", "&amp;", "\r"} & set(found.text)
    assert "\n\n\n" not in found.text


@given(st.text(alphabet=st.sampled_from("あ漢ー。A1 \t\n　<>pbdivtrubyea/=\"'&;!-"), max_size=200))
def test_preparing_never_loses_a_character_that_shows(source: str) -> None:
    """What is not a tag, a space or a fence is still there, in order, for text outside cells and code."""
    plain = source.replace("<", "＜").replace("&", "＆")
    page = f"<p>{plain}</p>"
    tags = measure(page.encode())
    shown = "".join(main_text(prepare(page, tags), tags, ()).split())
    assert shown == "".join(plain.split())


@given(st.text(max_size=300))
def test_any_text_is_a_page(source: str) -> None:
    page = read_page(source.encode("utf-8", "replace").decode(), "a")
    (page.text + "".join(str(fact) for fact in page.facts)).encode()


@pytest.mark.parametrize("name", ["globalNavi", "g-nav", "sidebar", "footer", "breadcrumbs", "snsBtn sns", "js-drawer"])
def test_names_of_boilerplate(name: str) -> None:
    assert is_boilerplate("class", name)


def test_trafilatura_takes_less(read_file: Read, sample: Path) -> None:
    data = (sample / "html/gomi.html").read_bytes()
    precise = _document(read_file("html", "a.html", data, extractor="trafilatura")).text
    whole = _document(read_file("html", "a.html", data)).text
    assert "区分\t主な品目\t回数\t出し方" in precise
    assert "燃やすごみ\t生ごみ、紙くず、革製品\t週2回\t黄色の指定袋" in precise
    assert "|---" not in precise
    assert 300 < len(precise) <= len(whole) + 20
    huge = b"<p>" + "長い話。".encode() * 600_000
    assert (
        "extractor: resiliparse" in _bad(read_file("html", "a.html", huge, extractor="trafilatura"), "too_large").detail
    )


def test_more_than_32_mib_are_refused(read_file: Read) -> None:
    _bad(read_file("html", "a.html", b"<p>" + b"a" * (33 << 20)), "too_large")
