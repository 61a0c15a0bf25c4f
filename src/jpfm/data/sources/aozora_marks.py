"""The marks of Aozora Bunko text: ruby, notes, gaiji, accents in ASCII, repeat marks.

    clean("硝子《ガラス》と※［＃「口＋加」、第3水準1-14-93］［＃「硝子」に傍点］")     # ('硝子と咖', 0)

Ruby goes first, gaiji and notes after it: 《 and 》 that belong to the text are written as gaiji notes, and what a note
stands for is not read again as a mark. Each is one regular expression without backtracking into what it passed.
Source: Aozora Bunko, 注記一覧 (aozora.gr.jp/annotation) and アクセント分解 (aozora.gr.jp/accent_separation.html).
"""

import re
import sys
import unicodedata
from functools import cache

MISSING = "〓"
_UNKNOWN = "\uffff"  # stands for an unresolved gaiji until they are counted: 〓 may be the author's own
# kanji name their level; signs (‼ 〻 ヷ Ⅰ) stand in rows 1 to 13 and do not. A page reference may follow.
_CELL = re.compile(r"第[34]水準([12])-(\d{1,2})-(\d{1,2})|、(1)-([1-9]|1[0-3])-(\d{1,2})(?![\d-])")
_POINT = re.compile(r"U\+([0-9A-Fa-f]{4,6})")
_RUBY = re.compile(r"《([^》\n]{1,80}+)》")
_INNER = r"［[^［］\n]*+］"
_NESTED = rf"［[^［］\n]*+(?:{_INNER}[^［］\n]*+)*+］"
_NOTE = rf"［＃([^［］\n]*+(?:{_NESTED}[^［］\n]*+)*+)］"
_LINE_OF_NOTES = re.compile(rf"\n(?:{_NOTE}[ 　]*+)++(?=\n)")
_GAIJI = re.compile(rf"※{_NOTE}")  # each begins with a literal, which is found at memory speed
_ANY_NOTE = re.compile(_NOTE)
_BLANK_LINES = re.compile(r"\n\n\n+")  # where page breaks and pictures stood
_OLD_NOTE = re.compile(r"【＃([^【】\n]*)】")  # a few early files
_WARICHU = {"割り注": "（", "ここから割り注": "（", "割り注終わり": "）", "ここで割り注終わり": "）"}
_FOREIGN = re.compile(r"〔([^〔〕\n]*)〕")
_ACCENT = re.compile(r"[A-Za-z]['`^~](?![A-Za-z]?['`^~]{2})|[A-Za-z][:,/_&](?=[A-Za-z])|(?:[AaOo][Ee]|[Aas])&|[!?]@")
_COMBINING = {"'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303", ":": "\u0308", ",": "\u0327", "_": "\u0304",
              "&": "\u030a"}  # fmt: skip
_LETTERS = {
    "AE&": "Æ", "Ae&": "Æ", "ae&": "æ", "OE&": "Œ", "Oe&": "Œ", "oe&": "œ", "s&": "ß", "O/": "Ø", "o/": "ø", "L/": "Ł",
    "l/": "ł", "d/": "đ", "h/": "ħ", "!@": "¡", "?@": "¿",
}  # fmt: skip
_ELISION = re.compile(r"[BCDFGHJKLMNPQRSTVWXZbcdfghjklmnpqrstvwxz]'(?=[AEHIOUYaehiouy])")
"""l'esprit, C'est: an apostrophe. Consonants bear an acute accent before a consonant or at the end of a word."""


def clean(text: str, *, keep_ruby: bool = False, accents: bool = True) -> tuple[str, int]:
    """Resolve gaiji, ruby and notes.

    >>> clean("硝子《ガラス》と｜山毛欅《ぶな》［＃「ぶな」に傍点］")
    ('硝子と山毛欅', 0)
    >>> clean("ひら／＼と※［＃始め二重括弧、1-1-52］蝶※［＃終わり二重括弧、1-1-53］　〔Bohe`me〕")
    ('ひら〳〵と《蝶》　Bohème', 0)
    >>> clean("朝※［＃「口＋某」、12-3］［＃割り注］漢語［＃割り注終わり］百戦無［＃レ］効")
    ('朝〓（漢語）百戦無効', 1)

    Args:
        keep_ruby: readings stay, in full-width parentheses.
        accents: letters with accents, spelled in ASCII inside 〔〕, become those letters and lose the brackets.
    Returns:
        The text, and how many gaiji have no character of their own; those are 〓.
    """
    if accents and "〔" in text:
        text = _FOREIGN.sub(_bracket, text)
    if "＼" in text:
        text = text.replace("／″＼", "〴〵").replace("／＼", "〳〵")
    text = _RUBY.sub(r"（\1）" if keep_ruby else "", text).replace("｜", "")
    if "【＃" in text:
        text = _OLD_NOTE.sub(r"［＃\1］", text)
    if "［＃" not in text:
        return _BLANK_LINES.sub("\n\n", text).strip("\n"), 0
    text = _GAIJI.sub(_character, text)
    text = _LINE_OF_NOTES.sub("", f"\n{text}\n")
    text = _BLANK_LINES.sub("\n\n", _ANY_NOTE.sub(_shown, text)).strip("\n")
    missing = text.count(_UNKNOWN)
    return (text.replace(_UNKNOWN, MISSING) if missing else text), missing


def _character(match: re.Match[str]) -> str:
    found = gaiji(match.group(1))
    return _UNKNOWN if found == MISSING else found


def _shown(match: re.Match[str]) -> str:
    """What a reader sees of a note: nothing, but brackets for 割り注 and a gap before a name at the foot of a line."""
    name = match.group(1)
    if name.startswith("地") and match.string[match.start() - 1] not in "\n　":
        return "　"
    return _WARICHU.get(name, "")


@cache
def gaiji(note: str) -> str:
    """The character that a gaiji note names. Kana with ゜ of Ainu and nasal か゚ are two code points.

    >>> gaiji("「口＋加」、第3水準1-14-93"), gaiji("「口＋愛」、U+566F、123-4"), gaiji("半濁点付き平仮名か、1-4-87")
    ('咖', '噯', 'か゚')
    >>> gaiji("感嘆符二つ、1-8-75"), gaiji("「木＋某」")
    ('‼', '〓')
    """
    if point := _POINT.search(note):
        number = int(point.group(1), 16)
        usable = 0x20 <= number <= sys.maxunicode and not 0xD800 <= number < 0xE000
        return chr(number) if usable and unicodedata.category(chr(number)) not in ("Cc", "Cn") else MISSING
    if cell := _CELL.search(note):
        plane, row, column = (int(part) for part in cell.groups() if part is not None)
        lead = b"\x8f" if plane == 2 else b""
        try:
            return (lead + bytes([row + 0xA0, column + 0xA0])).decode("euc_jis_2004")
        except (UnicodeDecodeError, ValueError):  # no such cell
            return MISSING
    return MISSING


def _bracket(match: re.Match[str]) -> str:
    inside = accented(match.group(1))
    return match.group(0) if inside == match.group(1) else inside


def accented(text: str) -> str:
    """Letters with accents, from the ASCII that Aozora Bunko spells them in.

    >>> accented("l'esprit de ge'ome'trie, franc,ais, Tru:be, d'oe&il, Ko/benhavn, Goethe: Faust")
    "l'esprit de géométrie, français, Trübe, d'œil, København, Goethe: Faust"
    """
    return _ACCENT.sub(_letter, text)


def _letter(match: re.Match[str]) -> str:
    pair = match.group(0)
    if pair in _LETTERS:
        return _LETTERS[pair]
    if _ELISION.match(match.string, match.start()):
        return pair
    composed = unicodedata.normalize("NFC", pair[0] + _COMBINING.get(pair[1], ""))
    return composed if len(composed) == 1 and composed != pair[0] else pair
