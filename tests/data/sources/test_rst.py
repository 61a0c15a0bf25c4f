"""reStructuredText, Sphinx's too, as plain text; nothing registered, read or printed."""

# ruff: noqa: E501  (a case stands on one line: source, then text)
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

CASES = {
    "titles and paragraphs": ("題\n==\n\n長い段落は\n途中で折る。\n\n節\n--\n\nAn English\nline", "題\n\n長い段落は途中で折る。\n\n節\n\nAn English line"),
    "escapes between Japanese and markup": (r"これは\ **強調**\ した\ ``code``\ です。\*印", "これは強調したcodeです。*印"),
    "roles, known and unknown": (
        ":ref:`導入 <intro>` :class:`~a.b.C` :func:`!open` :kbd:`Ctrl-C` :独自:`語` :x-y:`z` :term:`環境`",
        "導入 C open Ctrl-C 語 z 環境",
    ),
    "a role's markup that is none": (":pep:`8` と :math:`\\frac{1}{2}` と :menuselection:`表示 --> 拡大`", "8 と $\\frac{1}{2}$ と 表示 → 拡大"),
    "links": ("`文書 <https://a.example/>`_ と link_ と `語`_ と _`目印`。\n\n.. _link: https://a.example/\n.. _語: x", "文書 と link と 語 と 目印。"),
    "addresses": ("見よ https://a.example/b?c=d 。", "見よ https://a.example/b?c=d 。"),
    "code": (
        ".. code-block:: python\n   :linenos:\n   :caption: 例\n\n   x = '①'\n\n     y\n\n例::\n\n    ls\n\n>>> 1\n1",
        "```python\nx = '①'\n\n  y\n```\n\n例:\n\n```\nls\n```\n\n```\n>>> 1\n1\n```",
    ),
    "an unindented quoted literal": ("例::\n\n> 一\n> 二", "例:\n\n```\n> 一\n> 二\n```"),
    "notes": (
        ".. note:: 注意は\n   続く。\n\n   二段目。\n\n.. seealso::\n\n   :doc:`他 </a/b>`\n\n.. admonition:: 見出し\n\n   中",
        "注意は続く。\n\n二段目。\n\n他\n\n見出し\n\n中",
    ),
    "versions": (".. versionadded:: 3.8\n\n.. versionchanged:: 3.9\n   引数が増えた。\n\n.. deprecated:: 4 使わない。", "引数が増えた。\n\n使わない。"),
    "what shows nothing": (
        ".. toctree::\n   :maxdepth: 2\n\n   a\n\n.. index:: 語\n.. raw:: html\n\n   <b>x</b>\n\n.. 註\n   続き\n\n"
        ".. include:: /etc/passwd\n\n.. csv-table:: \n   :file: /etc/passwd\n\n.. role:: raw-html(raw)\n   :format: html\n\n"
        "前\\ :raw-html:`<br>`\\ 後\n\n.. automodule:: os\n   :members:",
        "前後",
    ),
    "unknown directives show their content": (".. 独自:: 引数\n   :選択: 1\n\n   中身は **残る**。\n\n.. a:b:: 見出し\n\n   中", "中身は 残る。\n\n見出し\n\n中"),
    "descriptions": (
        ".. py:function:: load(fp, *, key=None)\n   :noindex:\n\n   読む。\n\n   :param fp: ファイル\n   :returns: 値",
        "load(fp, *, key=None)\n\n読む。\n\nparam fp: ファイル\nreturns: 値",
    ),
    "lists": (
        "- 一\n\n  続き\n- 二\n\n  - 二の一\n\n3. 甲\n#. 乙\n\n(a) あ\n(b) い\n\n用語 : 型\n   定義。\n\n-v, --verbose  詳しく",
        "一\n続き\n二\n二の一\n\n3. 甲\n4. 乙\n\n(a) あ\n(b) い\n\n用語 : 型\n定義。\n\n-v, --verbose\n詳しく",
    ),
    "tables": (
        "==== ====\n列1  列2\n==== ====\nあ   い\n==== ====\n\n+----+----+\n| 甲 | 乙 |\n+====+====+\n| 一 |    |\n+----+----+\n\n"
        '.. list-table:: 題\n\n   * - 品名\n     - 値段\n   * - 鉛筆\n     -\n\n.. csv-table::\n   :header: "a", "b"\n\n   "1, 2", 3',
        "列1\t列2\nあ\tい\n\n甲\t乙\n一\t\n\n題\n\n品名\t値段\n鉛筆\t\n\na\tb\n1, 2\t3",
    ),
    "a table that docutils cannot read is not lost": ("== ==\n列1 列2\n== ==\n", "```\n== ==\n列1 列2\n== ==\n```"),
    "line blocks": ("| 古池や\n|   蛙飛びこむ\n| 水の音", "古池や\n蛙飛びこむ\n水の音"),
    "footnotes and citations": ("売上 [#n]_ は [CIT]_ による。\n\n.. [#n] 速報値。\n.. [CIT] 文献。", "売上 は [CIT] による。\n\n速報値。\n\n[CIT] 文献。"),
    "substitutions": (
        "|製品| は |v|\\ |tm| で |無い| だ。\n\n.. |製品| replace:: 試作 *機*\n.. |v| image:: a.png\n   :alt: 第二版\n.. |tm| unicode:: U+2122",
        "試作 機 は 第二版™ で 無い だ。",
    ),
    "figures": (".. image:: a.png\n   :alt: 図の説明\n\n.. figure:: b.png\n   :width: 5\n\n   題\n\n   凡例", "図の説明\n\n題\n\n凡例"),
    "quotes and rules": ("前\n\n    引用\n\n    -- 誰か\n\n----\n\n後", "前\n\n引用\n\n誰か\n\n後"),
    "broken markup stays as written": ("**閉じない と `これも と |これも", "**閉じない と `これも と |これも"),
    "math": (".. math::\n\n   a &= b \\\\\n\n後", "$$\na &= b \\\\\n$$\n\n後"),
    "empty": ("", ""),
}  # fmt: skip


@pytest.mark.parametrize(("source", "plain"), CASES.values(), ids=CASES)
def test_text_is_what_a_reader_sees(
    read_file: Read, capfd: pytest.CaptureFixture[str], source: str, plain: str
) -> None:
    (found,) = read_file("rst", "a.rst", source.encode())
    assert isinstance(found, Document)
    assert found.text == plain
    assert capfd.readouterr() == ("", "")


def test_the_fields_above_the_text_are_facts(read_file: Read) -> None:
    source = (
        ":orphan:\n:date: 2024-05-06\n:lang: ja\n:license: CC-BY-4.0\n:著者: 誰か\n\n文書名\n######\n\n:項目: 本文\n"
    )
    (found,) = read_file("rst", "a.rst", source.encode("cp932"))
    assert isinstance(found, Document)
    assert (found.title, found.text) == ("文書名", "文書名\n\n項目: 本文")
    assert (found.date, found.lang, found.licence, found.encoding) == ("2024-05-06", "ja", "CC-BY-4.0", "cp932")
    assert found.meta == {
        "fields": {"orphan": "", "date": "2024-05-06", "lang": "ja", "license": "CC-BY-4.0", "著者": "誰か"}
    }


def test_docutils_own_tables_stay_as_they_are(read_file: Read) -> None:
    from docutils.core import publish_string
    from docutils.parsers.rst import directives, roles, states

    before = dict(directives._directives), dict(roles._roles), states.Body.explicit.constructs, states.state_classes
    read_file("rst", "a.rst", b".. toctree::\n\n   a\n\n:ref:`x` .. role:: own\n\n.. default-role:: math\n\n`x`")
    after = dict(directives._directives), dict(roles._roles), states.Body.explicit.constructs, states.state_classes
    assert before == after
    said = publish_string(".. toctree::\n\n   a", writer="pseudoxml", settings_overrides={"warning_stream": False})
    assert b'Unknown directive type "toctree"' in said


BAD = {
    "bullets": "- " * 2000, "quotes": "".join(" " * depth + "段\n\n" for depth in range(600)),
    "columns": "+-" * 300 + "+\n" + "|a" * 300 + "|\n" + "+-" * 300 + "+\n", "lines": "\n" * 60_000,
    "size": "あ" * 800_000,
}  # fmt: skip


@pytest.mark.parametrize("source", BAD.values(), ids=BAD)
def test_what_would_never_end_is_quarantined(read_file: Read, source: str) -> None:
    (found,) = read_file("rst", "a.rst", source.encode())
    assert isinstance(found, Quarantined)
    assert found.error in ("format", "too_large")


LARGE = ["*a " * 30_000, "``a " * 30_000, "`a " * 30_000, "|a| " * 30_000, "http://a " * 20_000,
         ".. |a| replace:: " + "|b| " * 200 + "\n.. |b| replace:: " + "x " * 5000 + "\n\n" + "|a| " * 200]  # fmt: skip


@pytest.mark.parametrize("source", LARGE, ids=lambda source: source[:5])
def test_what_would_make_docutils_search_forever_is_read(read_file: Read, source: str) -> None:
    (found,) = read_file("rst", "a.rst", source.encode())
    assert isinstance(found, Document)
    assert len(found.text) < 200_000


@given(source=st.text(alphabet="*`|_:=-.#[]()<>+ \n\t\\1a漢。") | st.text())
def test_any_text_is_read(make_source: Callable[..., Any], source: str) -> None:
    try:
        (found,) = make_source("rst").read(Member("a", io.BytesIO(source.encode("utf-8", "replace"))), "s/a")
    except JpfmError:
        return
    found.text.encode("utf-8")
    assert "\0" not in found.text


def test_no_file_is_read(read_file: Read, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("秘密")
    source = f".. include:: secret.txt\n\n.. literalinclude:: {tmp_path}/secret.txt\n\n.. raw:: html\n   :file: secret.txt\n\n本文"
    (found,) = read_file("rst", "a.rst", source.encode())
    assert isinstance(found, Document)
    assert found.text == "本文"
