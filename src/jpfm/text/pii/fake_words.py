"""Fake names and dates of birth in the script and the form of the value they stand for."""

import re
from collections.abc import Callable

from jpfm.text.pii.surnames import SURNAMES
from jpfm.text.pii.window import flatten

Below = Callable[[int], int]
"""Draws a number from 0 to its argument - 1."""

_FAMILY = (
    ("青木", "アオキ", "Aoki"), ("石田", "イシダ", "Ishida"), ("上野", "ウエノ", "Ueno"), ("大野", "オオノ", "Ono"),
    ("川口", "カワグチ", "Kawaguchi"), ("北村", "キタムラ", "Kitamura"), ("久保", "クボ", "Kubo"),
    ("小松", "コマツ", "Komatsu"), ("坂本", "サカモト", "Sakamoto"), ("島田", "シマダ", "Shimada"),
    ("杉山", "スギヤマ", "Sugiyama"), ("竹内", "タケウチ", "Takeuchi"), ("永井", "ナガイ", "Nagai"),
    ("西田", "ニシダ", "Nishida"), ("野口", "ノグチ", "Noguchi"), ("平野", "ヒラノ", "Hirano"),
    ("松本", "マツモト", "Matsumoto"), ("宮本", "ミヤモト", "Miyamoto"), ("森田", "モリタ", "Morita"),
    ("横山", "ヨコヤマ", "Yokoyama"), ("若林", "ワカバヤシ", "Wakabayashi"), ("和田", "ワダ", "Wada"),
)  # fmt: skip
_GIVEN = (
    ("一郎", "イチロウ", "Ichiro"), ("花子", "ハナコ", "Hanako"), ("直樹", "ナオキ", "Naoki"),
    ("恵子", "ケイコ", "Keiko"),
    ("健太", "ケンタ", "Kenta"), ("由美", "ユミ", "Yumi"), ("正人", "マサト", "Masato"), ("明美", "アケミ", "Akemi"),
    ("大輔", "ダイスケ", "Daisuke"), ("裕子", "ユウコ", "Yuko"), ("隆", "タカシ", "Takashi"), ("真理", "マリ", "Mari"),
    ("和也", "カズヤ", "Kazuya"), ("美穂", "ミホ", "Miho"), ("誠", "マコト", "Makoto"), ("彩", "アヤ", "Aya"),
)  # fmt: skip


def person_name(below: Below, value: str) -> str:
    """A common name in the value's script, with its space; a surname alone stays one.

    >>> [person_name(lambda limit: 1, value) for value in ("山田 太郎", "さとう", "YAMADA T.")]
    ['石田 花子', 'いしだ', 'ISHIDA HANAKO']
    """
    family, given = _FAMILY[below(len(_FAMILY))], _GIVEN[below(len(_GIVEN))]
    gap = re.search(r"[ 　・･＝=]+|, ", value)
    joint = gap.group() if gap else ""
    if re.match(r"[A-Za-z]", value):
        words = (family[2], given[2])
        return joint.join(word.upper() for word in words) if value.isupper() else joint.join(words)
    alone = not joint and (value in SURNAMES or len(value) <= 2)
    if re.match(r"[ァ-ヶｦ-ﾟ]", value):
        alone = not joint and len(value) <= 4
        return family[1] if alone else family[1] + joint + given[1]
    if re.match(r"[ぁ-ん]", value):
        alone = not joint and len(value) <= 4
        text = family[1] if alone else family[1] + joint + given[1]
        return "".join(chr(ord(char) - 0x60) if "ァ" <= char <= "ヶ" else char for char in text)
    return family[0] if alone else family[0] + joint + given[0]


_ERAS = {"明": (1867, 44), "M": (1867, 44), "大": (1911, 14), "T": (1911, 14), "昭": (1925, 63), "S": (1925, 63),
         "平": (1988, 30), "H": (1988, 30), "令": (2018, 6), "R": (2018, 6)}  # fmt: skip
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip
_KANJI = "〇一二三四五六七八九"


def birth_date(below: Below, value: str) -> str:
    """A date in the value's form: its era, separators, widths and leading zeros.

    >>> birth_date(lambda limit: 4, "昭和55年５月3日"), birth_date(lambda limit: 4, "1980/05/03")
    ('昭和6年５月5日', '1944/05/05')
    """
    flat = flatten(value)
    era = re.match(r"明治|大正|昭和|平成|令和|[MTSHR](?=\.?\s*\d)", flat)
    base, years = _ERAS[era.group()[0]] if era else (1940, 66)
    in_era = 2 + below(years - 1)
    western = base + in_era if era else 1940 + below(66)
    month, day = 1 + below(12), 1 + below(28)
    if re.fullmatch(r"\d{8}", flat):
        return _widen(f"{western}{month:02d}{day:02d}", value)
    named = re.search(r"[A-Za-z]{3,}", flat)
    if named and not era:
        text = re.sub(r"[A-Za-z]{3,}\.?", _MONTHS[month - 1], flat)
        text = re.sub(r"\d{4}", str(western), text)
        return re.sub(r"(?<!\d)\d{1,2}(?!\d)", str(day), text)
    fields = iter([in_era if era else western, *([western] if era and "(" in flat else []), month, day])
    if re.match(r"\d{1,2}/\d{1,2}/\d{4}", flat):
        fields = iter([month, day, western])
    return re.sub(
        r"[0-9０-９]+|[〇一二三四五六七八九十百千元]+(?=[年月日])",
        lambda match: _as_written(next(fields, day), match.group()),
        value,
    )


def _as_written(number: int, old: str) -> str:
    if old[0] in "元〇一二三四五六七八九十百千":
        if number > 99:
            return "".join(_KANJI[int(digit)] for digit in str(number))
        tens, ones = divmod(number, 10)
        return ("" if not tens else "十" if tens == 1 else _KANJI[tens] + "十") + (
            _KANJI[ones] if ones or not tens else ""
        )
    padded = len(old) == 2 and old[0] in "0０"
    return _widen(f"{number:02d}" if padded else str(number), old)


def _widen(text: str, like: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) for char in text) if "０" <= like[0] <= "９" else text
