"""Values for the personal-data test set, drawn from the documented formats of each class."""

import random
from collections.abc import Callable

_DIGITS = "0123456789"
_FULL = str.maketrans("0123456789-+() ", "０１２３４５６７８９－＋（）　")


def digits(draw: random.Random, count: int) -> str:
    """Random digits; the first is not 0."""
    return str(draw.randint(1, 9)) + "".join(draw.choices(_DIGITS, k=count - 1))


# area codes of the numbering plan, a few of each length
_AREAS = ["03", "06", "011", "045", "052", "075", "092", "078", "022", "082", "0463", "0422", "0267", "0154", "0773",
    "0993",
          "04", "01558", "04992", "09913", "0120", "0800", "0570"]  # fmt: skip


def phone(draw: random.Random, frame: str) -> str:
    """A telephone number in one of the written forms."""
    form = draw.choice(["land"] * 5 + ["mobile"] * 4 + ["ip", "abroad", "free", "extension", "spelled"])
    joint = draw.choice(["-"] * 8 + ["−", "‐", "ー", " ", ".", "・"])
    labelled = frame.upper().startswith(
        ("TEL", "電話", "携帯", "☎", "| 電話", "FAX", "℡", "スマホ", "電話番号", "・電話", "連絡先（携帯")
    )
    if form == "spelled":
        number = (
            "〇三・"
            + "".join(draw.choices("一二三四五六七八九", k=4))
            + "・"
            + "".join(draw.choices("〇一二三四五六七八九", k=4))
        )
        return number if draw.random() < 0.5 else number.replace("・", "（", 1).replace("・", "）", 1)
    if form == "free":
        area = draw.choice(["0120", "0800", "0570"])
        middle = digits(draw, 3)
        last = "".join(draw.choices(_DIGITS, k=4 if area == "0800" else 3))
        return f"{area}-{middle}-{last}"
    if form in ("mobile", "ip", "abroad"):
        area = draw.choice(["090", "080", "070", "060"]) if form != "ip" else draw.choice(["050", "020"])
        middle, last = digits(draw, 4), "".join(draw.choices(_DIGITS, k=4))
        if form == "abroad":
            if draw.random() < 0.5:
                return f"+81{joint if joint in '- ' else '-'}{area[1:]}-{middle}-{last}"
            return draw.choice([f"+81-3-{middle}-{last}", f"+81 (0)3-{middle}-{last}", f"+81{area[1:]}{middle}{last}"])
        style = draw.random()
        if style < 0.2:
            return f"{area}{middle}{last}"
        if style < 0.3:
            return f"({area}){middle}-{last}"
        if style < 0.35:
            return f"{area}({middle}){last}"
    else:
        area = draw.choice(_AREAS[:20])
        middle = draw.choice("27") + "".join(draw.choices(_DIGITS, k=3)) if area == "04" else str(
            draw.randint(2, 9)) + "".join(draw.choices(_DIGITS, k=5 - len(area)))  # fmt: skip
        last = "".join(draw.choices(_DIGITS, k=4))
        style = draw.random()
        if style < 0.12 and labelled:
            return f"{area}{middle}{last}"
        if style < 0.3:
            return f"({area}){middle}-{last}"
        if style < 0.45:
            return f"{area}({middle}){last}"
        if style < 0.5:
            return f"（{area}）{middle}－{last}"
    number = f"{area}{joint}{middle}{joint}{last}"
    if joint == "-" and draw.random() < 0.25:
        number = number.translate(_FULL)
    if form == "extension":
        number += draw.choice(["（内線{}）", " 内線{}", "（内{}）", "(ext. {})"]).format(draw.randint(100, 9999))
    return number


_LOCALS = [
    "taro.yamada",
    "hanako_s",
    "k-ito",
    "m.sato1985",
    "yuki+news",
    "n.tanaka",
    "abc123",
    "r2d2",
    "ito.ken-ichi",
    "s",
    "7star",
    "o_o",
]
_DOMAINS = ["example.jp", "example.co.jp", "mail.example.com", "sub.example.ne.jp", "example.org", "example-shop.jp",
    "e.example.net",
            "example.tokyo", "example.ac.jp", "lg.example.go.jp", "docomo.example.ne.jp"]  # fmt: skip


def email(draw: random.Random, frame: str) -> str:
    """An address; a few full-width, spelled out, or in a carrier's old form."""
    local, domain = draw.choice(_LOCALS) + draw.choice(["", str(draw.randint(1, 99))]), draw.choice(_DOMAINS)
    style = draw.random()
    if style < 0.08:
        return f"{local}＠{domain}"
    if style < 0.12:
        wide = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
        return f"{local}@{domain}".translate(wide)
    if "<{x}>" not in frame and "mailto" not in frame:
        if style < 0.2:
            return local + draw.choice(["[at]", "(at)", " [at] ", "（at）", "[アット]", "★", "☆"]) + domain
        if style < 0.23:
            return f"{local}..a.@{domain}"
    if style < 0.26:
        return f"{local}@例え.jp"
    return f"{local}@{domain}".upper() if style > 0.97 else f"{local}@{domain}"


_PLACES = [
    ("東京都", "千代田区", ["霞が関", "神田神保町", "麹町"]), ("東京都", "世田谷区", ["三軒茶屋", "桜新町"]),
        ("北海道", "札幌市中央区", ["南三条西", "大通西"]),
    ("京都府", "京都市中京区", ["寺町通御池上る上本能寺前町", "烏丸通四条下る水銀屋町"]), ("大阪府", "堺市堺区",
        ["南瓦町", "三国ヶ丘御幸通"]),
    ("神奈川県", "横浜市青葉区", ["あざみ野", "たまプラーザ"]), ("埼玉県", "さいたま市浦和区", ["常盤", "高砂"]),
        ("茨城県", "つくば市", ["吾妻", "天王台"]),
    ("長野県", "北佐久郡軽井沢町", ["大字長倉", "軽井沢東"]), ("沖縄県", "那覇市", ["おもろまち", "泉崎"]), ("福岡県",
        "福岡市博多区", ["博多駅前", "東公園"]),
    ("鹿児島県", "熊毛郡屋久島町", ["宮之浦", "安房"]), ("青森県", "上北郡六ヶ所村", ["大字尾駮字野附"]), ("",
        "さくら原市", ["みどり野", "大字水口"]),
    ("三重県", "四日市市", ["諏訪町", "鵜の森"]), ("千葉県", "市川市", ["八幡", "行徳駅前"]), ("広島県", "廿日市市",
        ["下平良"]), ("東京都", "町田市", ["森野"]),
]  # fmt: skip
_KANJI = "〇一二三四五六七八九"
_HOUSES = [
    "コーポすずかけ",
    "メゾン桜",
    "サンハイツ緑",
    "グランドタワー",
    "見本ビル",
    "ひばり荘",
    "みどりマンション",
    "第二寿荘",
    "レジデンス南",
    "エステート泉",
]


def _kanji(number: int) -> str:
    tens, ones = divmod(number, 10)
    return ("" if not tens else ("十" if tens == 1 else _KANJI[tens] + "十")) + (
        _KANJI[ones] if ones or not tens else ""
    )


def postal_address(draw: random.Random, frame: str) -> str:
    """A postal code, an address, or both."""
    prefecture, city, towns = draw.choice(_PLACES)
    town = draw.choice(towns)
    first, second, third = draw.randint(1, 9), draw.randint(1, 30), draw.randint(1, 30)
    form = draw.choice(
        ["a-b-c"] * 4 + ["chome"] * 3 + ["kanji"] * 2 + ["banchi"] * 2 + ["banchi-no", "a-b", "kanji-a-b"]
    )
    block = {
        "a-b-c": f"{first}-{second}-{third}", "chome": f"{first}丁目{second}番{third}号",
        "kanji": f"{_kanji(first)}丁目{_kanji(second)}番{_kanji(third)}号", "banchi": f"{second * 37}番地",
        "banchi-no": f"{second * 11}番地の{first}", "a-b": f"{second * 13}-{third}",
            "kanji-a-b": f"{_kanji(first)}丁目{second}-{third}",
    }[form]  # fmt: skip
    if town.startswith("大字"):
        block = f"{second * 37}番地{draw.choice(['', str(first)])}" if draw.random() < 0.6 else f"{second * 41}-{first}"
    if town in ("南三条西", "大通西"):
        block = f"{first}丁目{second}-{third}" if draw.random() < 0.5 else f"{first}丁目{second}番"
    with_pref = prefecture if draw.random() < 0.85 else ""
    address = with_pref + city + town + block
    if draw.random() < 0.3:
        house = draw.choice(_HOUSES)
        address += (
            draw.choice([" ", "　", ""])
            + house
            + draw.choice(["", f"{draw.randint(1, 9)}0{first}号室", f"{draw.randint(1, 20)}階", f"{first}0{first}"])
        )
    code = f"{draw.randint(0, 999):03d}-{draw.randint(0, 9999):04d}"
    style = draw.random()
    labelled = any(word in frame for word in ("住所", "本籍", "所在地", "転居先", "届け先", "送付先", "宛先"))
    if not with_pref and form in ("a-b",) and not labelled:
        style = min(style, 0.4)  # a bare N-N behind a city's name alone is not known to be an address
    if style < 0.3:
        return f"〒{code}{draw.choice([' ', '　', chr(10), ''])}{address}"
    if style < 0.4:
        return f"〒{code} {address}".translate(_FULL)
    if style < 0.45:
        return f"〒{code}"
    if style < 0.5:
        return f"{code} {prefecture}{address.removeprefix(prefecture)}" if prefecture else f"〒{code} {address}"
    return address.translate(_FULL) if style > 0.93 else address


def _my_check(head: str) -> str:
    total = sum(int(digit) * weight for digit, weight in zip(head, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2), strict=True))
    rest = total % 11
    return "0" if rest <= 1 else str(11 - rest)


def my_number(draw: random.Random, frame: str) -> str:
    """Twelve digits with a right check digit (Facts 2.12), in one piece or by four."""
    head = digits(draw, 11)
    number = head + _my_check(head)
    style = draw.random()
    joint = draw.choice([" ", "-", "　", "－"])
    number = number if style < 0.5 else joint.join((number[:4], number[4:8], number[8:]))
    return number.translate(_FULL) if style > 0.9 else number


def corporate_number(draw: random.Random, frame: str) -> str:
    """Thirteen digits; the first is 9 minus the weighted sum of the others modulo 9."""
    body = digits(draw, 12)
    check = 9 - sum(int(digit) * (1 if index % 2 == 0 else 2) for index, digit in enumerate(reversed(body))) % 9
    return ("T" if "登録番号" in frame else "") + str(check) + body


def bank_account(draw: random.Random, frame: str) -> str:
    """Seven digits."""
    number = "".join(draw.choices(_DIGITS, k=7))
    return number.translate(_FULL) if draw.random() < 0.15 else number


def _luhn(head: str) -> str:
    total = 0
    for index, char in enumerate(reversed(head)):
        value = int(char) * (2 if index % 2 == 0 else 1)
        total += value // 10 + value % 10
    return str(-total % 10)


_CARDS = [
    ("4", 16),
    ("51", 16),
    ("55", 16),
    ("2221", 16),
    ("34", 15),
    ("37", 15),
    ("3528", 16),
    ("3589", 16),
    ("36", 14),
    ("6011", 16),
    ("62", 16),
]


def credit_card(draw: random.Random, frame: str) -> str:
    """A card number of a brand's range and length, grouped as cards are printed."""
    prefix, length = draw.choice(_CARDS)
    head = prefix + "".join(draw.choices(_DIGITS, k=length - 1 - len(prefix)))
    number = head + _luhn(head)
    joint = draw.choice(["", " ", "-", " ", "　"])
    cuts = {16: (4, 8, 12), 15: (4, 10), 14: (4, 10)}[length]
    pieces = [number[a:b] for a, b in zip((0, *cuts), (*cuts, length), strict=True)]
    text = joint.join(pieces)
    return text.translate(_FULL) if draw.random() < 0.08 else text


def driver_licence(draw: random.Random, frame: str) -> str:
    """Twelve digits that begin with a commission's number."""
    return draw.choice(["10", "30", "43", "45", "54", "62", "63", "73", "90", "97"]) + "".join(
        draw.choices(_DIGITS, k=10)
    )


def passport(draw: random.Random, frame: str) -> str:
    """Two letters and seven digits."""
    number = draw.choice(["TR", "TK", "TZ", "MS", "MZ", "TH"]) + "".join(draw.choices(_DIGITS, k=7))
    return number.translate(_FULL) if draw.random() < 0.05 else number


def residence_card(draw: random.Random, frame: str) -> str:
    """Two letters, eight digits, two letters."""
    letters = draw.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=4)
    return "".join(letters[:2]) + "".join(draw.choices(_DIGITS, k=8)) + "".join(letters[2:])


def ip_address(draw: random.Random, frame: str) -> str:
    """A public address."""
    if draw.random() < 0.2 and ":8080" not in frame:
        head = draw.choice(["2400:4050", "2001:268", "240b:10", "2606:4700", "2001:db9"])
        tail = ":".join(f"{draw.randint(1, 65535):x}" for _ in range(draw.randint(1, 4)))
        return (
            f"{head}::{tail}"
            if draw.random() < 0.7
            else ":".join([head, *(f"{draw.randint(1, 65535):x}" for _ in range(6))])
        )
    first = draw.choice([8, 27, 49, 60, 101, 118, 126, 133, 153, 210, 219])
    return f"{first}.{draw.randint(0, 255)}.{draw.randint(0, 255)}.{draw.randint(1, 254)}"


def url_token(draw: random.Random, frame: str) -> str:
    """A random secret."""
    alphabet = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789" + ("" if "jsessionid" in frame else "-_")
    text = "".join(draw.choices(alphabet, k=draw.choice([12, 16, 24, 32, 40])))
    secret = "a" + text + "7"
    return f"user1:{secret}" if "{x}@" in frame else secret


_FAMILY = ["佐藤", "鈴木", "高橋", "田中", "伊藤", "渡邉", "山﨑", "小林", "五十嵐", "長谷川", "佐々木", "髙木",
    "勅使河原", "小鳥遊", "御手洗", "曽我野", "柚木原",
           "鷺ノ谷", "蓮台寺", "越河", "蓑島", "烏丸谷", "四十物", "東海林", "長宗我部", "保科", "千葉", "山口",
               "石川", "宮崎", "森", "林", "原", "星", "東", "八月一日"]  # fmt: skip
_GIVEN = ["太郎", "花子", "健一", "美咲", "翔太", "陽菜", "さくら", "ひろし", "康之輔", "千歩", "みち代", "鉄平",
    "蓮", "葵", "大翔", "凛", "恵", "樹", "あかり", "ユリ",
          "裕美子", "龍之介", "一", "望", "真由美", "健"]  # fmt: skip
_KANA = [
    "ヤマダ タロウ",
    "サトウ　ハナコ",
    "スズキイチロウ",
    "タカハシ ケンジ",
    "シノザキ　ミオ",
    "グエン・ヴァン・アン",
    "マリア・シルバ",
    "ジョン スミス",
    "オダギリ ジュン",
]
_LATIN = [
    "Taro Yamada",
    "SATO Hanako",
    "Suzuki Ichiro",
    "Kenji Watanabe",
    "TANAKA, Yuki",
    "Maria Silva",
    "John Smith",
    "Nguyen Van An",
]
_ABROAD = ["李 明", "王偉", "金 美英", "朴 智星", "陳 大文"]


def person_name(draw: random.Random, frame: str) -> str:
    """A name in kanji, kana or Latin letters as the frame's label invites."""
    style = draw.random()
    letter = "様" in frame and "\n\n" in frame
    weak = frame.startswith(
        ("担当", "責任者", "【担当】", "作成者", "幹事", "連絡先", "代表者", "記入者", "受取人", "契約者", "ご担当")
    )
    family, given = draw.choice(_FAMILY), draw.choice(_GIVEN)
    if weak and style < 0.45 and frame != "代表者：{x}":
        return family
    if style < 0.55 or letter:
        return family + given
    if style < 0.8:
        return family + draw.choice([" ", "　"]) + given
    if style < 0.86:
        return draw.choice(_ABROAD)
    if style < 0.94 and "漢字" not in frame:
        return draw.choice(_KANA)
    return draw.choice(_LATIN) if "漢字" not in frame else family + given


_ERAS = [("大正", 2, 14), ("昭和", 2, 63), ("平成", 2, 30), ("令和", 2, 6)]


def birth_date(draw: random.Random, frame: str) -> str:
    """A date in a Western or Japanese form."""
    year, month, day = draw.randint(1925, 2020), draw.randint(1, 12), draw.randint(1, 28)
    era, low, high = draw.choice(_ERAS)
    in_era = draw.randint(low, high)
    forms = [
        f"{year}年{month}月{day}日", f"{year}/{month:02d}/{day:02d}", f"{year}-{month:02d}-{day:02d}",
            f"{year}.{month}.{day}",
        f"{era}{in_era}年{month}月{day}日", f"{era}{_kanji(in_era)}年{_kanji(month)}月{_kanji(day)}日",
            f"{'TSHR'['大昭平令'.index(era[0])]}{in_era}.{month}.{day}",
        f"{year}年{month}月{day}日".translate(_FULL), f"{era}{in_era}年（{year}年）{month}月{day}日",
            f"{year}年{month}月", f"{year}{month:02d}{day:02d}",
        f"{era}元年{month}月{day}日",
    ]  # fmt: skip
    if "生（満" in frame:
        return draw.choice(forms[:1] + forms[4:6] + forms[7:8])
    if "（西暦）" in frame:
        return draw.choice(forms[:4])
    if "<西暦>" in frame:
        return "西暦" + draw.choice(forms[:4])
    if frame.startswith("Date"):
        month_name = [
            "Jan",
            "February",
            "Mar",
            "April",
            "May",
            "June",
            "July",
            "Aug",
            "Sept",
            "Oct",
            "November",
            "Dec",
        ][month - 1]
        return draw.choice(
            [f"{day} {month_name} {year}", f"{month_name} {day}, {year}", f"{year}-{month:02d}-{day:02d}"]
        )
    return draw.choice(forms)


MAKERS: dict[str, Callable[[random.Random, str], str]] = {
    "phone": phone, "email": email, "postal_address": postal_address, "my_number": my_number,
    "corporate_number": corporate_number, "bank_account": bank_account, "credit_card": credit_card,
    "driver_licence": driver_licence, "passport": passport, "residence_card": residence_card,
        "ip_address": ip_address,
    "url_token": url_token, "person_name": person_name, "birth_date": birth_date,
}  # fmt: skip

_WORDS = {
    "<date>": ["2025年4月1日", "3月末", "令和7年度"], "<time>": ["9時", "10:30"], "<num>": ["3", "12", "28"],
        "<day>": ["水曜", "日曜"], "<rel>": ["母", "長男", "兄"],
    "<name>": ["受付", "友人"], "<noun>": ["見積もり", "応募", "公園"], "<latin>": ["Info", "Sender"],
        "<bank>": ["見本", "みなと", "第四"], "<branch>": ["本町", "駅前"],
    "<three>": ["123", "801"], "<host>": ["a.example.jp", "mail.example.com", "s3.example.org"], "<dept>": ["営業部",
        "総務課", "カスタマーサポート"],
    "<西暦>": [""],  # part of the value
    "<season>": ["新緑", "初秋"], "<age>": ["34", "70"],
}  # fmt: skip


def fill(frame: str, draw: random.Random) -> str:
    """Draw the words in <>."""
    for mark, choices in _WORDS.items():
        while mark in frame:
            frame = frame.replace(mark, draw.choice(choices), 1)
    return frame


def fill_negative(frame: str, draw: random.Random) -> str:
    """Draw the fields of a hard negative."""
    fields: dict[str, str] = {f"n{count}": digits(draw, count) for count in range(1, 21)}
    my, card = digits(draw, 11), draw.choice("345") + digits(draw, 14)
    fields |= {
        "price": f"{draw.randint(100, 9_999_999):,}",
            "isodate": f"20{draw.randint(10, 29)}-0{draw.randint(1, 9)}-{draw.randint(10, 28)}",
        "clock": f"{draw.randint(0, 23):02d}:{draw.randint(0, 59):02d}",
            "date8": f"20{draw.randint(10, 29)}0{draw.randint(1, 9)}{draw.randint(10, 28)}",
        "time6": f"{draw.randint(0, 23):02d}{draw.randint(0, 59):02d}{draw.randint(0, 59):02d}",
            "time4": f"{draw.randint(0, 23):02d}{draw.randint(0, 59):02d}",
        "y": str(draw.randint(1950, 2029)), "y18": str(draw.randint(1820, 1899)), "m": str(draw.randint(1, 12)),
            "d": str(draw.randint(1, 28)),
        "isbn10": "0" + digits(draw, 9), "v1": str(draw.randint(0, 30)), "v2": str(draw.randint(1, 254)),
            "word": draw.choice(["sample", "foo", "見本"]),
        "hex8": "".join(draw.choices("0123456789abcdef", k=8)),
        "bad_my": my + str((int(_my_check(my)) + draw.randint(1, 9)) % 10),
            "bad_card": card + str((int(_luhn(card)) + draw.randint(1, 9)) % 10),
    }  # fmt: skip
    if frame == "カードに似た{bad_card}は使えない。" and draw.random() < 0.5:
        raw = fields["bad_card"]
        fields["bad_card"] = " ".join(raw[i : i + 4] for i in range(0, 16, 4))
    return frame.format_map(fields)
