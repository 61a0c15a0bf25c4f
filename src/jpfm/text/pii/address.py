"""Japanese postal codes and addresses, with arabic or kanji numerals, one line or two.

An address needs a block number (番地, 丁目, 1-2-3) behind a municipality, and evidence that it is one: a prefecture, a
postal code, a label such as 住所, or a block of an address's own form. 東京都新宿区 alone is a place, not an address.
"""

import re
from collections.abc import Iterator

from jpfm.text.pii.window import Span, Window

PREFECTURES = (
    "北海道|青森県|岩手県|宮城県|秋田県|山形県|福島県|茨城県|栃木県|群馬県|埼玉県|千葉県|東京都|神奈川県|新潟県|富山県|石川県|福井県|山梨県|長野県|岐阜県"
    "|静岡県|愛知県|三重県|滋賀県|京都府|大阪府|兵庫県|奈良県|和歌山県|鳥取県|島根県|岡山県|広島県|山口県|徳島県|香川県|愛媛県|高知県|福岡県|佐賀県|長崎県"
    "|熊本県|大分県|宮崎県|鹿児島県|沖縄県"
)
_STOP = r"\s、。,.:;!?()「」『』【】〈〉《》\[\]<>|\"'=/…→※・"
_NUMBER = r"(?:\d{1,5}|[〇一二三四五六七八九十百千]{1,8})"
_MIDDLE = rf"[^\d{_STOP}]"
BLOCK = (
    rf"{_NUMBER}(?: ?(?:丁目の?|番地の?|番の?|号の?|線|条|の|ノ|-|条[東西南北]"
    rf"|線[東西南北]) ?{_NUMBER}){{0,4}}(?:番地|番|号|丁目)?"
)
_HOUSE = (
    r"ビルディング|ビル|マンション|ハイツ|コーポ|荘|アパート|タワー|レジデンス|ハウス|メゾン|パレス|ヒルズ|棟|館|寮"
    r"|団地|プラザ|ハイム|ヴィラ|コート"
    r"|テラス|シャトー|ガーデン|スクエア|住宅|邸|宿舎|会館|センター|パーク|ホームズ|ロイヤル|エステート|サンライズ"
    r"|グラン|ドミール|フラット"
)
_ROOM = r"(?: ?(?:[A-Z]棟? ?-? ?)?\d{1,4}(?:号室|号棟|号|階|F|室)?(?:-\d{1,4})?(?![\d年月日時分]))"
_NAMED = (
    r"コーポ|メゾン|ハイツ|ヴィラ|パレス|シャトー|グラン|サン|ロイヤル|ドミール|エステート|リバー|ライオンズ"
    r"|レジデンス"
)
_EDGE = r"(?=[\s、。,)」(|\"']|$)"
_BUILDING = (
    rf"(?: ?(?:{_NAMED})(?:[ァ-ヶーA-Za-z一-龯]{{1,10}}|[ぁ-ん]{{1,8}}?)(?:{_ROOM}|{_EDGE}|(?=[にへのをでとだ]|から"
    rf"|まで))"
    rf"|(?: (?:[ぁ-ん]{{1,6}})?|(?!より|から|まで"
    rf"|[のにへをではがと])(?:[ぁ-ん]{{2,6}})?)[ァ-ヶーA-Za-z0-9一-龯々・]{{0,12}}?(?:{_HOUSE})(?:[ァ-ヶーA-Za-z]{{0,10}}){_ROOM}?"
    rf"| ?\d{{1,4}}号室| \d{{3,4}}{_EDGE})?"
)
# a municipality begins behind a mark, a particle or a place's end; lengths are bounded, so backtracking is too
_MUNICIPALITY = (
    r"(?!そ[うのこしれ]|こ[のれこ]|あ[のる]|ど[のこ]|また|まだ|しか|ただ|いま|今)"
    rf"(?:[^\dはをへのが{_STOP}]|(?<![一-龯])が|の(?=[市町村ァ-ヶ]|[ぁ-ん])){{1,10}}?[市区町村郡區]"
)
ADDRESS = re.compile(
    rf"(?:(?P<prefecture>{PREFECTURES}) ?|(?:(?<=[{_STOP}はがをにでのて])|(?<=-\d{{4}})"
    rf"|(?<![^\n]))(?!{_MIDDLE}{{0,12}}?(?:{PREFECTURES}|まで|から|には|では|して|って)))"
    rf"(?P<place>{_MUNICIPALITY}(?: ?{_MIDDLE}{{0,24}}?) ?)(?P<block>{BLOCK})"
    rf"(?:(?<=\d)(?![年月日時分秒円人個件回本歳名階位点台度%\d対倍周万億千百票戸歩.:/]|か[月所国]|[ヶヵ箇][月所国])"
    rf"|(?<=[地号目])(?![線車機棟室館艇俸])|(?<=番)(?![一-龯々])"
    rf"|(?<=[〇一二三四五六七八九十百千])(?![一-龯々ァ-ヶぁ-ん]))"
)
_TAIL = re.compile(_BUILDING)
_CODE = re.compile(r"〒 ?\d{3} ?-? ?\d{4}(?!\d)|(?<![\d.-])\d{3}-\d{4}(?![\d-])")
_LABEL = re.compile(
    r"(?:住所|所在地|居所|本籍地?|宛先|送付先|届け?先|送り先|在所|転居先|引っ?越し先|勤務地|住まい|自宅|実家|現場"
    r"|会場)(?:\([^)\n]{0,8}\))?[は:|= 、・\n】\])]{0,4}$"
)
_POSTAL_LABEL = re.compile(r"(?:郵便番号|〒|郵便)[^\d。\n]{0,6}$")
_HEAD = re.compile(rf"^(?:[はがをにで]|.{{0,6}}?(?:住所|所在地|宛先|届け?先|本籍地?)[はを:]?)(?={_MIDDLE})")


def addresses(window: Window) -> Iterator[Span]:
    """Postal codes and addresses; a code and the address behind it are one span.

    >>> from jpfm.text.pii.window import window
    >>> w = window("住所は〒000-0012 さくら原市みどり野三丁目4番5号。本社は東京都新宿区。第3-1-2図")
    >>> [w.raw[s.start : s.end] for s in addresses(w)]
    ['〒000-0012 さくら原市みどり野三丁目4番5号']
    """
    flat = window.flat
    found = list(ADDRESS.finditer(flat))
    taken = -1
    for code in _CODE.finditer(flat):
        follower = next((m for m in found if _joins(flat[code.end() : m.start()]) and m.start() >= code.end()), None)
        end = _end(flat, follower) if follower else code.end()
        labelled = flat[code.start()] == "〒" or _POSTAL_LABEL.search(window.before(code.start(), 14))
        plain = follower is not None or labelled or _begins_place(flat, code.end())
        if plain and window.whole(code.start(), end):
            yield Span("postal_address", code.start(), end - code.start())
            taken = max(taken, end)
    for match in found:
        start, end = match.start(), _end(flat, match)
        if start < taken or not _is_address(window, match):
            continue
        if window.whole(start, end):
            yield Span("postal_address", start, end - start)


def _end(flat: str, match: re.Match[str]) -> int:
    tail = _TAIL.match(flat, match.end())
    end = tail.end() if tail else match.end()
    return end - (len(flat[match.start() : end]) - len(flat[match.start() : end].rstrip()))


def _joins(gap: str) -> bool:
    """What may stand between a postal code and its address: a space, a line end, a label."""
    return len(gap) <= 12 and re.fullmatch(r"[\s:|,、)]*(?:(?:住所|所在地)(?:\([^)]*\))?[\s:|は]*)?", gap) is not None


def _begins_place(flat: str, position: int) -> bool:
    return re.match(rf" ?(?:{PREFECTURES})", flat[position : position + 8]) is not None


def _is_address(window: Window, match: re.Match[str]) -> bool:
    block, place = match["block"], match["place"]
    labelled = bool(_LABEL.search(window.before(match.start(), 16)))
    if not labelled and re.fullmatch(rf"{_NUMBER}丁目", block):
        return False  # a quarter of a town, as encyclopaedias name it
    strong = bool(
        re.search(r"番地|丁目.*(?:番|\d|[一二三四五六七八九十])|番.*号|-.*-|番-|地の|条.*丁目", block)
        or (re.search(r"[条線町字].*\d+番|大字|字", place) and re.search(r"[番-]", block))
    )
    spoken = re.search(r"[はをへ]|では|には|から|まで|ます|です|した", place) is not None
    if match["prefecture"]:
        numeral = re.fullmatch(_NUMBER, block)
        bare = (
            numeral and not labelled and not re.match(r" ?(?:[\n、。)]|$)", window.flat[match.end() : match.end() + 2])
        )
        return not spoken and not bare and not (numeral and not block.isdigit())
    if re.search(r"第$|[図表]$", place):
        return False
    if labelled:
        return not spoken and not re.fullmatch(_NUMBER, block)
    two_arabic = re.fullmatch(r"\d+-\d+", block) is not None
    return strong and not spoken and (not two_arabic or "字" in place)
