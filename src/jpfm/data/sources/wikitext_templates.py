"""Which templates of Japanese Wikipedia hold text, and which of their arguments it is. All others are dropped.

Template pages are not in a dump of articles, and expanding them needs MediaWiki; what a reader sees of these is known.
"""

import re
from collections.abc import Mapping, Sequence

_TEXT_ARGUMENT = {
    1: "nowrap nobr small smaller big larger large resize u underline strong em nobold bold italic nihongo2 ipa "
    "unicode sup sub ruby ルビ ふりがな ruby-ja center right left indent quote quotation blockquote cquote 引用 "
    "大引用 縦書き 下線 太字 斜体 強調 拡張漢字 補助漢字フォント jis2004フォント jis90フォント cjk拡張 vanchor "
    "visible_anchor anchor2 仮リンク illm ill2 ill link-interwiki 日本語版にない記事リンク 要出典範囲 要検証範囲 "
    "独自研究範囲 要説明範囲 未検証範囲 要追加記述範囲 更新必要範囲 flag flagcountry 国旗 flagu nts formatnum "
    "abbr kbd code mono tt samp var",
    2: "lang color colors font_color fontcolor font フォント 色 font_size fontsize resize2 rtl-lang transl langlang",
}  # fmt: skip
_ARGUMENT_OF = {name: position for position, names in _TEXT_ARGUMENT.items() for name in names.split()}
_SIGNS = {
    "!": "|", "=": "=", "・": "・", "·": "・", "dot": "・", "bull": "・", "nbsp": " ", "sp": " ", "spaces": " ",
    "snd": " – ", "ndash": "–", "mdash": "—", "¥": "¥", "lbrace": "{", "rbrace": "}", "(": "{", ")": "}", "、": "、",
}  # fmt: skip
_NAME = re.compile(r"[^=<>\[\]{}|\n/:?&\"]{1,40}")  # of a named argument; an address with = in it is none
_READING = ("読み仮名", "読み仮名_ruby不使用", "よみがな")
_DATE = ("生年月日と年齢", "生年月日", "没年月日", "年月日", "死亡年月日と没年齢", "没年齢")
_UNITS_BETWEEN = {"-": "-", "–": "–", "から": "から", "to": "から", "and": "と", "x": "×", "by": "×", "±": "±"}


def template(arguments: Sequence[str], keep: Mapping[str, int]) -> str:
    """What is shown of a template whose parts between pipes these are; the first is its name.

    >>> template(["lang", "en", "cat"], {}), template(["仮リンク", "猫の日", "en", "Cat Day"], {})
    ('cat', '猫の日')
    >>> template(["読み仮名", "猫", "ねこ"], {}), template(["convert", "10", "-", "20", "km", "mi"], {})
    ('猫（ねこ）', '10-20 km')
    >>> template(["Infobox", "名前=猫"], {})
    ''
    """
    name = arguments[0].strip().replace(" ", "_").lower()
    if name in _SIGNS and len(arguments) == 1:
        return _SIGNS[name]
    if name.partition(":")[0] in ("formatnum", "lc", "uc", "lcfirst", "ucfirst"):
        return arguments[0].partition(":")[2].strip()
    position = keep.get(arguments[0].strip()) or _ARGUMENT_OF.get(name)
    if position is None and name.startswith(("lang-", "lang_", "ipa-")):
        position = 1
    known = position is not None or name in ("convert", "cvt", "val", "frac", "分数", "0", *_READING, *_DATE)
    if not known:
        return ""
    plain, named = _arguments(arguments[1:])
    if position is not None:
        return named.get("label") or named.get(str(position)) or _at(plain, position)
    if name in _READING:
        reading = "、".join(part for part in plain[1:3] if part)
        return f"{_at(plain, 1)}（{reading}）" if reading else _at(plain, 1)
    if name in ("convert", "cvt"):
        return _quantity(plain)
    if name == "val":
        return _at(plain, 1) + (f"×10{named['e']}" if "e" in named else "") + (f" {named['u']}" if "u" in named else "")
    if name in ("frac", "分数"):
        return _fraction(plain)
    if name in _DATE and len(plain) >= 3 and all(part.isdigit() for part in plain[-3:]):
        year, month, day = plain[:3] if len(plain) < 6 else plain[3:6]
        return f"{year}年{month}月{day}日"
    return ""


def _arguments(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    plain: list[str] = []
    named: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals and _NAME.fullmatch(name.strip()):
            named[name.strip()] = value.strip()
        else:
            plain.append(argument.strip())
    if not plain or "1" in named:
        plain = [named[str(number)] for number in range(1, 10) if str(number) in named] or plain
    return plain, named


def _at(plain: Sequence[str], position: int) -> str:
    return plain[position - 1] if len(plain) >= position else ""


def _quantity(plain: Sequence[str]) -> str:
    shown = _at(plain, 1)
    rest = list(plain[1:8])
    while len(rest) >= 2 and rest[0] in _UNITS_BETWEEN:
        shown += _UNITS_BETWEEN[rest[0]] + rest[1]
        rest = rest[2:]
    return f"{shown} {rest[0]}" if rest else shown


def _fraction(plain: Sequence[str]) -> str:
    if len(plain) >= 3:
        return f"{plain[0]} {plain[1]}/{plain[2]}"
    return "/".join(plain[:2]) if len(plain) == 2 else f"1/{_at(plain, 1)}"
