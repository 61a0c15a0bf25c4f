"""Is this a person's name? The morphological dictionary is asked about the few characters behind a label."""

import functools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from jpfm.text.pii.latin import latin_name
from jpfm.text.pii.surnames import GIVEN, READINGS, SURNAMES

_KANJI = re.compile(r"[一-龯々〆ヶヵ髙﨑㐂\uf900-\ufaff\U00020000-\U0003ffff]+")
_HONORIFIC = re.compile(
    r"[ 　]?(?:様|さま|さん|ちゃん|くん|君|氏|殿|先生|教授|准教授|博士|社長|専務|常務|取締役|部長|次長|課長|係長"
    r"|主任|主査|室長|所長|店長|院長|校長|教頭|医師"
    r"|看護師|弁護士|税理士|司法書士|行政書士|委員長?|理事長?|会長|副会長|代理|補佐|以下|ほか|他|まで|より|から|宛"
    r"|あて|御中|行)"
)
_ORGANISATION = re.compile(
    r"(?:部|課|室|係|局|店|社|省|庁|所|組|班|院|校|園|館|団体?|隊|署|会|科|係り|担当|グループ|チーム|センター|事務局"
    r"|支店|本店|本部|支部|本社|支社|工場|窓口|法人|大学"
    r"|学校|病院|役所|役場|協会|学会|委員会|連合|組合|銀行|商事|商店|工業|製作所|産業|建設|不動産|クリニック|ホテル"
    r"|サービス|システム|デスク|サポート|リーダー|マネージャー?|オペレーター?|スタッフ|係員|各位|一同|全員"
    r"|者|員|人|側|用|欄|等|等々|名|先|者様|県|府|都|市|区|町|村|駅|編|版|系|制|式|性|的|化|中|別|順|年|月|日|時|分"
    r"|費|料|金|額|数|番号|列|型|値|表|図|書|票|証|権)$"
)
_EMPTY = re.compile(
    r"^(?:未定|不明|なし|無し|該当|必須|任意|記入|入力|省略|同|年齢|性別|住所|電話|職業|所属|印$|続柄|備考|役職|本籍"
    r"|学年|血液型|別紙|匿名|非公開|調整中|名前|氏名|漢字|全角|半角"
    r"|文字列|本人|[〇○●◯×✕△□＊*_＿\-ー…・.．]+)"
)
_PART = re.compile(r"[^ 　・･]+")
_RUN = re.compile(r"[一-龯々〆ヶヵノ髙﨑㐂\uf900-\ufaff\U00020000-\U0003ffffぁ-んァ-ヶー]+")
_PLACE_LIKE = re.compile(r"[一-龯]{1,2}[ノヶ之][一-龯]{1,3}$")
_RELATION = re.compile(
    r"[（(](?:父|母|兄|弟|姉|妹|夫|妻|祖父|祖母|長男|次男|長女|次女|子|叔父|叔母|孫|友人|本人|同居)[）)]"
)
_LAST = frozenset("田川山野村木原島嶋井藤沢澤谷崎﨑橋岡尾宮林森河池浦坂倉塚辺邊津瀬堀")
_NO_NAMES = frozenset(["なし", "あり", "のみ", "ほか", "など", "また", "こと", "もの", "ため", "よう"])
_CLING = re.compile(r"(?:様|さん|殿|氏)$")
_PARTICLE = re.compile(r"[でがをはにとのもへやかま]")
_KATAKANA = re.compile(r"[ァ-ヶー]{2,10}(?:[ 　・＝=][ァ-ヶー]{1,10}){0,3}|[ｦ-ﾟ]{2,12}(?:[ 　･][ｦ-ﾟ]{1,12}){0,2}")
_HIRAGANA = re.compile(r"[ぁ-んー]{2,6}[ 　][ぁ-んー]{2,6}|[ぁ-んー]{4,10}")


class _Word(NamedTuple):
    text: str
    pos: str
    kind: str  # '姓', '名', '人名', '地名', '?' (not in the dictionary) or ''


@functools.cache
def _tagger() -> Any:
    import fugashi

    return fugashi.Tagger()


def _words(text: str) -> list[_Word]:
    words = []
    for word in _tagger()(text):
        feature = word.feature
        kind = ""
        if feature.pos3 == "人名":
            kind = feature.pos4 if feature.pos4 in ("姓", "名") else "人名"
        elif feature.pos3 == "地名":
            kind = "地名"
        elif word.is_unk:
            kind = "?"
        words.append(_Word(word.surface, feature.pos1, kind))
    return words


def in_phrase(raw: str, start: int, end: int, *, strong: bool, strict: bool) -> Iterator[tuple[int, int]]:
    """Names in raw[start:end], which holds no comma or bracket.

    Args:
        strong: an unknown word counts; otherwise it must look like a name.
        strict: only what the dictionary knows as a name counts.
    Yields:
        (start, end) without honorifics and titles.
    """
    parts = [match.span() for match in _PART.finditer(raw, start, end)]
    index = 0
    while index < len(parts) and index < 5:
        first, last = parts[index]
        foreign = _kana_name(raw, first, end, strong=strong, strict=strict) or latin_name(raw, first, end)
        if foreign:
            yield foreign
            return
        size, full = _name_length(raw[first:last], raw[last : last + 6], strong=strong, strict=strict)
        if size:
            stop = first + size
            joined = (
                (not full or size <= 3)
                and stop == last
                and index + 1 < len(parts)
                and raw[last : last + 2].strip("・･")[:1] in " 　"
            )
            given = _given_length(raw, parts[index + 1], strong=strong) if joined else 0
            if given:
                index += 1
                stop = parts[index][0] + given
            elif strict and not full and raw[first:stop] not in SURNAMES and _words(raw[first:stop])[0].kind == "地名":
                return
            yield first, stop
            strong = False
            if stop < parts[index][1]:
                return
        elif index + 1 < len(parts) and _before_given(raw, parts[index], parts[index + 1]):
            yield first, parts[index + 1][1]
            return
        elif not _skips(raw[first:last]):
            return
        index += 1


def _before_given(raw: str, part: tuple[int, int], behind: tuple[int, int]) -> bool:
    """A few kanji, a space and a given name that the dictionary knows: 蓮台寺 裕美子."""
    text, given = raw[slice(*part)], raw[slice(*behind)]
    if part[1] - part[0] > 4 or not _KANJI.fullmatch(text) or _EMPTY.match(text) or _ORGANISATION.search(text):
        return False
    words = _words(given)
    return len(given) >= 2 and len(words) == 1 and words[0].kind == "名"


def _skips(part: str) -> bool:
    """An organisation, a unit or a title may stand before the name."""
    words = re.sub(r"[0-9０-９A-Za-z]", "", part)
    return bool(_ORGANISATION.search(words) or _HONORIFIC.fullmatch(part) or "株式会社" in part or "有限会社" in part) \
        and not re.search(r"[はがをにで。]", words)  # fmt: skip


def _name_length(part: str, raw_after: str, *, strong: bool, strict: bool) -> tuple[int, bool]:
    """How many characters of a part are a name, and whether it is surname and given name."""
    if _EMPTY.match(part) or not _KANJI.match(part):
        return 0, False
    run = _RUN.match(part)
    text = run.group()[:12] if run else ""
    surname = next((n for n in (4, 3, 2, 1) if text[:n] in SURNAMES), 0)
    size, known, pieces, kana = 0, False, 0, False
    kinds: list[str] = []
    first = [_Word(text[:surname], "名詞", "姓")] if surname >= 2 else []
    for word in [*first, *_words(text[len(first) and surname :])]:
        if size and _HONORIFIC.match(text[size:]):
            break
        if not _KANJI.match(word.text) and word.text != "ノ":
            sure = strong or surname or (kinds and kinds[0] in ("姓", "地名"))
            is_given = word.kind in ("姓", "名", "人名") or (
                sure
                and word.pos in ("名詞", "形状詞", "副詞", "形容詞")
                and 2 <= len(word.text) <= 4
                and word.text not in _NO_NAMES
            )
            if not (size and is_given):
                break
            kana = True
        elif word.kind == "" and len(word.text) >= 2 and not (size and word.text in GIVEN):
            known = True
        pieces += len(word.text) == 1 or word.kind == "?"
        kinds.append("名" if size and word.text in GIVEN else word.kind)
        size += len(word.text)
    size = _without_honorific(text, size)
    name, after = text[:size], part[size:]
    if not name or size > 8 or (after and not _HONORIFIC.match(after) and not _PARTICLE.match(after)):
        return 0, False
    if _ORGANISATION.search(name) and not (kinds[-1] in ("姓", "名") or name in SURNAMES):
        return 0, False
    full = len(kinds) >= 2 and kinds[0] in ("姓", "地名", "人名") and "名" in kinds[1:]
    full = full or (surname and size > surname and size >= 4) or size >= 5
    full = full or (size >= 3 and "名" in kinds[1:])
    person = kinds[0] in ("姓", "人名") or "名" in kinds or (surname and not known)
    if strict:
        certain = (
            kinds[0] == "姓"
            or (kinds[0] == "人名" and size >= 2)
            or (full and person)
            or name in SURNAMES
            or bool(_PLACE_LIKE.match(name))
        )
        certain = certain or (strong and bool(surname) and not known)
        return (size, bool(full)) if certain and not (known and not full) else (0, False)
    if person and not (known and kinds[0] == "地名"):
        return size, bool(full)
    if (size < 2 and not strong) or (len(kinds) == 1 and name[-1] in _LAST and size in (2, 3)):
        return (size, bool(full)) if size > 1 else (0, False)
    if _PLACE_LIKE.match(name) or (_RELATION.match(raw_after) and size <= 4):
        return size, bool(full)
    if strong:
        return (0, False) if known and pieces == 0 and not kana else (size, bool(full))
    broken = pieces >= 1 and not known and size <= 5
    return (size, bool(full)) if broken or (kinds == ["地名"] and size <= 3) else (0, False)


def _without_honorific(text: str, size: int) -> int:
    """一様 is one word of the dictionary, but a name and its honorific."""
    found = _CLING.search(text[:size])
    return size - len(found.group()) if found and size > 1 else size


def _given_length(raw: str, part: tuple[int, int], *, strong: bool) -> int:
    """How many characters of the part behind a surname are a given name."""
    text = raw[part[0] : part[1]]
    if _HONORIFIC.match(text) or _EMPTY.match(text):
        return 0
    run = re.match(r"[一-龯々ヶ\uf900-\ufaffぁ-ん]{1,8}|[ァ-ヶー]{1,8}", text)
    if not run:
        return 0
    words = _words(run.group())
    size = 0
    for word in words:
        if size and (_HONORIFIC.match(text[size:]) or word.pos in ("助詞", "助動詞")):
            break
        size += len(word.text)
    size = _without_honorific(text, size)
    size = max(min(size, 5), 1)
    if _ORGANISATION.search(text[:size]) and words[0].kind not in ("名", "姓"):
        return 0
    if text[size:] and not _HONORIFIC.match(text[size:]) and not _PARTICLE.match(text[size:]):
        return 0
    if words[0].kind in ("名", "姓", "人名", "?") or size <= 2 or all(len(word.text) == 1 for word in words):
        return size
    return size if size <= (4 if strong or not _KANJI.match(text) else 0) else 0


def _kana_name(raw: str, start: int, end: int, *, strong: bool, strict: bool) -> tuple[int, int] | None:
    match = _KATAKANA.match(raw, start, end) or _HIRAGANA.match(raw, start, end)
    if not match:
        return None
    text = match.group()
    after = raw[match.end() : end]
    if (
        after
        and not re.match(r"[ 　]", after)
        and not _HONORIFIC.match(after)
        and not re.match(r"[でがをはにとのも]", after)
    ):
        return None
    surname = re.split(r"[ 　・･＝=]", text)[0]
    hiragana = "".join(chr(ord(char) - 0x60) if "ァ" <= char <= "ヶ" else char for char in surname)
    known = hiragana in READINGS or any(word.kind in ("姓", "名", "人名") for word in _words(surname)[:1])
    known = known or (not strict and _is_full_reading(surname, hiragana))
    if not (known or (strong and not strict and _is_reading(text))):
        return None
    return match.span()


def _is_full_reading(text: str, hiragana: str) -> bool:
    """A surname's reading and a given name that the dictionary knows, in one piece: スズキイチロウ."""
    for size in range(2, min(6, len(text) - 1)):
        if hiragana[:size] in READINGS:
            words = _words(text[size:])
            if len(words) == 1 and words[0].kind == "名":
                return True
    return False


def _is_reading(text: str) -> bool:
    """Kana that may be a name: two parts, or one part that is no word of the dictionary."""
    if re.search(r"[ 　・･＝=]", text):
        return True
    words = _words(text)
    return len(words) > 1 and not any(len(word.text) >= 4 for word in words)
