"""Markdown as Japanese documentation writes it: what a reader sees stays, what the renderer reads goes."""

import io
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.errors import JpfmError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources import prose
from jpfm.data.sources.archive import Member, members
from jpfm.data.sources.base import Piece

Read = Callable[..., list[Document | Quarantined]]

CASES = {
    "soft breaks join as Japanese does": (
        "長い段落は\n途中で折る。\nAn English\nline も",
        "長い段落は途中で折る。An English line も",
    ),
    "a hard break stays": ("一行目  \n二行目<br>三行目\\\n四行目", "一行目\n二行目\n三行目\n四行目"),
    "numbers of lists stay, the text refers to them": (
        "3. 申請する\n4. 承認する\n   - 部長\n   - 役員\n\n手順3へ戻る。",
        "3. 申請する\n4. 承認する\n部長\n役員\n\n手順3へ戻る。",
    ),
    "code keeps a fence": (
        "```cpp example {1,3}\nint main() {}\n```\n\n    字下げのコード\n\n~~~\n```\n~~~",
        "```cpp\nint main() {}\n```\n\n```\n字下げのコード\n```\n\n````\n```\n````",
    ),
    "emphasis beside Japanese punctuation": (
        "これは**「太字」**です。**注意。**次に*『斜体』*を、snake_case_nameと3 * 4 * 5は",
        "これは「太字」です。注意。次に『斜体』を、snake_case_nameと3 * 4 * 5は",
    ),
    "emphasis of CommonMark": ("**a**b*c* ***d*** ~~消した~~ \\*印\\*", "abc d 消した *印*"),
    "front matter that is none": ("---\n\n本文\n\n---\n\n続き", "本文\n\n続き"),
    "footnotes": (
        "売上[^1]は増えた[^長い]。\n\n[^1]: 速報値。\n[^長い]: 一段目。\n\n    二段目。\n\n[^無い]も",
        "売上は増えた。\n\n速報値。\n\n一段目。\n\n二段目。\n\n[^無い]も",
    ),
    "tasks": ("- [ ] 未了\n- [x] 済み\n\n[x] は記号", "☐ 未了\n☑ 済み\n\n[x] は記号"),
    "VitePress": (
        "前\n::: tip 使い方\n本文**です**\n:::\n:::: warning\n- 一\n::::\n::: code-group\n```js\nx\n```\n:::",
        "前\n\n使い方\n\n本文です\n\n一\n\n```js\nx\n```",
    ),
    "Docusaurus and Pandoc": (":::note[覚え書き]\n中\n:::\n\n::: {.warning}\n枠\n:::", "覚え書き\n\n中\n\n枠"),
    "a container's marks inside code stay": (
        "```\n::: tip\n* int[color ff0000]\n```",
        "```\n::: tip\n* int[color ff0000]\n```",
    ),
    "MkDocs": (
        '!!! note "読む前に"\n    一段目\n\n    - 項目\n\n??? warning\n    二段目\n\n後',
        "読む前に\n\n一段目\n\n項目\n\n二段目\n\n後",
    ),
    "GitHub": ("> [!NOTE]\n> 補足です。\n\n[!x] 文中", "補足です。\n\n[!x] 文中"),
    "attributes of headings": ("# 概要 {#overview}\n\n## 型 {.class}\n\n本文 {#x}", "概要\n\n型\n\n本文 {#x}"),
    "table of contents": ("[[toc]]\n\n[TOC]\n\n本文", "本文"),
    "math": (
        "値は $a_1 + b_2$ と $$\\frac{1}{2}$$、料金は$5と$6。\n\n$$\nx_*y_*\n$$",
        "値は $a_1 + b_2$ と $$\\frac{1}{2}$$、料金は$5と$6。\n\n$$\nx_*y_*\n$$",
    ),
    "powers": (
        "2<sup>31</sup>-1 と x<sup>`n`</sup> と H<sub>2</sub>O と注<sup>[1]</sup>",
        "2^31-1 と x^n と H2O と注[1]",
    ),
    "ruby": ("<ruby>漢字<rp>(</rp><rt>かんじ</rt><rp>)</rp></ruby>を読む", "漢字を読む"),
    "comments": ("前<!-- 行内 -->後\n\n<!-- 枠\n\n続き -->\n\n末", "前後\n\n末"),
    "HTML tables": (
        "<table>\n<tr><th>品名</th>\n <th>値段</th></tr>\n<tr><td></td><td>1<br>2</td></tr>\n</table>",
        "品名\t値段\n\t1\n2",
    ),
    "HTML blocks": (
        "<details>\n<summary>開く</summary>\n\n中の**文**\n\n</details>\n\n<script>\nvar a;\n</script>"
        "\n\n<pre>\n一\n  二\n</pre>",
        "開く\n\n中の文\n\n一\n  二",
    ),
    "tables keep empty cells": ("| | 列 |\n|-|-|\n| 行 | |\n| 甲<br>乙 | `a\\|b` |", "\t列\n行\t\n甲 乙\ta|b"),
    "images and links": (
        "[![図**1**](a.png)](b) ![](c.png) <https://x.jp/> [題][r]\n\n[r]: /u",
        "図1  https://x.jp/ 題",
    ),
    "links that lead nowhere": ("[a][無い] と [[wiki]]", "[a][無い] と [[wiki]]"),
    "an unclosed fence runs to the end": ("```\nコード", "```\nコード\n```"),
    "nested code": ("1. 手順\n\n   ```sh\n   ls\n   ```\n\n   確認", "1. 手順\n```sh\nls\n```\n確認"),
}


@pytest.mark.parametrize(("source", "plain"), CASES.values(), ids=CASES)
def test_text_is_what_a_reader_sees(read_file: Read, source: str, plain: str) -> None:
    (found,) = read_file("markdown", "a.md", source.encode())
    assert isinstance(found, Document)
    assert found.text == plain


CPPREFJP = """# push_back
* vector[meta header]
* std[meta namespace]
* cpp11[meta cpp]
* [mathjax enable]

```cpp
void push_back(const T& x);
```
* T[link /reference/t.md]
* x[color ff0000][link x.md]
* exposition[italic]

## 概要
末尾に追加する。

- 手順
    ```cpp
    f();
    ```
    * f[link f.md]
- 終わり

* 普通の[link]箇条書き

- [Clang](/c.md): 3.2 [mark verified], 4 [mark noimpl]
"""


def test_marks_of_cpprefjp(read_file: Read) -> None:
    (found,) = read_file("markdown", "a.md", CPPREFJP.encode())
    assert isinstance(found, Document)
    assert found.text == (
        "push_back\n\n```cpp\nvoid push_back(const T& x);\n```\n\n概要\n\n末尾に追加する。\n\n"
        "手順\n```cpp\nf();\n```\n終わり\n\n普通の[link]箇条書き\n\nClang: 3.2 ✓, 4 ✗"
    )
    assert (found.title, found.meta) == (
        "push_back",
        {"cpprefjp": {"header": "vector", "namespace": "std", "cpp": "cpp11"}},
    )


FRONT = {
    "yaml": (
        "---\ntitle: 設計指針\nlang: ja\ndate: 2024-3-1 10:00\nlicense: CC-BY-4.0\nurl: https://a.example/b\n---\n本文",
        ("設計指針", "ja", "2024-03-01", "CC-BY-4.0", "https://a.example/b"),
    ),
    "toml": ('+++\ntitle = "題"\ndate = 2024-05-06\n+++\n本文', ("題", "", "2024-05-06", "", "")),
    "a comment first": ("---\n# 注\n\nlanguage: ja-JP\nurl: /local\n---  \n本文", ("", "ja-JP", "", "", "")),
    "no date": ("---\ndate: 近日\ntitle: [a, b]\n---\n本文", ("", "", "", "", "")),
}


@pytest.mark.parametrize(("source", "facts"), FRONT.values(), ids=FRONT)
def test_front_matter_names_facts(read_file: Read, source: str, facts: tuple[str, ...]) -> None:
    (found,) = read_file("markdown", "a.md", source.encode())
    assert isinstance(found, Document)
    assert found.text == "本文"
    assert (found.title, found.lang, found.date, found.licence, found.url) == facts
    assert found.meta["front_matter"]


@pytest.mark.parametrize("front", ["title: 'a", "title: &a [*a]", "a: !!python/object:os.system x", "a: 1\na: 2"])
def test_front_matter_that_cannot_be_read_is_said_so(read_file: Read, front: str) -> None:
    (found,) = read_file("markdown", "a.md", f"---\n{front}\n---\n# 本文".encode())
    assert isinstance(found, Document)
    assert (found.text, found.title, found.meta["front_matter"]) == ("本文", "本文", front)
    assert found.meta["front_matter_error"]


DEEP = {
    "quotes": "> " * 10_000 + "深い",
    "lists": "- " * 10_000 + "深い",
    "numbers": "1. " * 10_000,
    "admonitions": "".join("    " * depth + "!!! note\n" for depth in range(200)),
    "indented lists": "".join("  " * depth + "- 項目\n" for depth in range(300)),
    "brackets": "[" * 300_000,
}


@pytest.mark.parametrize("source", DEEP.values(), ids=DEEP)
def test_what_is_too_deep_is_quarantined(read_file: Read, source: str) -> None:
    (found,) = read_file("markdown", "a.md", source.encode())
    assert isinstance(found, Quarantined)
    assert found.error == "format"
    assert "deep" in found.detail or "brackets" in found.detail


LARGE = {"backticks": "`" * 1_000_000, "stars": "*あ" * 50_000, "tags": "<a " * 50_000, "comments": "<!--" * 200_000,
         "cells": "|a" * 20_000 + "\n" + "|-" * 20_000 + "\n" + "|\n" * 500, "dollars": "$$a\n\n" * 10_000,
         "marks": "* [" * 10_000, "links": "[a](" * 10_000}  # fmt: skip


@pytest.mark.parametrize("source", LARGE.values(), ids=LARGE)
def test_what_would_make_a_parser_backtrack_is_read(read_file: Read, source: str) -> None:
    (found,) = read_file("markdown", "a.md", source.encode())
    assert isinstance(found, Document)


def test_fifty_lists_inside_each_other_lose_nothing(read_file: Read) -> None:
    source = "".join("  " * depth + f"- 項目{depth}\n" for depth in range(49))
    (found,) = read_file("markdown", "a.md", source.encode())
    assert isinstance(found, Document)
    assert found.text.split("\n") == [f"項目{depth}" for depth in range(49)]


_SYNTAX = st.text(alphabet="#*_`~[](){}<>!|:-+=>$^\\&; \n\t1.a漢「」。") | st.text()


def _read(make_source: Callable[..., Any], source: str) -> Document | Quarantined:
    try:
        (found,) = make_source("markdown").read(Member("a.md", io.BytesIO(source.encode("utf-8", "replace"))), "s/a.md")
    except JpfmError as error:
        return Quarantined("s/a.md", "format", error.message)
    return found


@given(source=_SYNTAX)
def test_any_text_is_read(make_source: Callable[..., Any], source: str) -> None:
    found = _read(make_source, source)
    if isinstance(found, Document):
        found.text.encode("utf-8")
        assert "\r" not in found.text


@given(words=st.lists(st.text(alphabet="漢字かなカナ、。「」", min_size=1), min_size=1))
def test_plain_japanese_comes_through_as_it_is(make_source: Callable[..., Any], words: list[str]) -> None:
    found = _read(make_source, "\n\n".join(words))
    assert isinstance(found, Document)
    assert found.text == "\n\n".join(words)


# --- what formats share ---------------------------------------------------------------------------------------------


@given(st.text(alphabet="<>/!-abtdrp漢 &;\n\"'"))
def test_html_in_pieces_leaves_no_tag(source: str) -> None:
    assert not re.search(r"<(?:td|tr|p|b)>", prose.html_text(source))


def test_lines_join_by_their_neighbours() -> None:
    assert prose.join_lines("東京\n(Tokyo)\nand 大阪\n\n  한국\n어") == "東京(Tokyo) and 大阪한국 어"


# --- real data ------------------------------------------------------------------------------------------------------

_RESIDUE = re.compile(
    r"^(?::::|!!!|#{1,6} )|\]\(|\*\*[^\s*]+\*\*|\[\^|\[(?:meta|link|color) |</(?:div|span|a|td)>", re.MULTILINE
)
_CODE = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("archive", "every"), [("arch-guidelines/arch_guidelines_md", 1), ("cpprefjp/cpprefjp_md", 25)]
)
def test_real_documentation_leaves_no_residue(
    shared_data: Path, make_source: Callable[..., Any], tmp_path: Path, archive: str, every: int
) -> None:
    path = shared_data / "raw" / f"{archive}.tar.gz"
    with tarfile.open(path) as opened:
        names = sorted(name for name in opened.getnames() if name.endswith(".md"))[::every]
    wanted = {f"{path.name.removesuffix('.gz')}/{name}" for name in names}
    pages, dirty = 0, []
    source = make_source("markdown")
    for member in members(path, path.name):
        if member.name not in wanted:
            continue
        (found,) = source.read(member, member.name)
        assert isinstance(found, Document)
        pages += 1
        prose_only = _CODE.sub("", found.text)
        if _RESIDUE.search(prose_only):
            dirty.append((member.name, _RESIDUE.search(prose_only)))
    assert pages > 50
    assert len(dirty) <= pages // 50, dirty  # pages about Markdown itself, and a broken fence of cpprefjp
    (handbook,) = source.documents(Piece(str(p := shared_data / "raw/business-tuqulore/02_賃金規程.md"), p.name, 0))
    assert handbook.title == "賃金規程"
    assert "\n2. " in handbook.text  # the articles' paragraphs keep their numbers
