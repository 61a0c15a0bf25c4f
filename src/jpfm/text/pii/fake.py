"""Fake values of the same form: digits stay digits of the same width and grouping, a name stays a name.

A fake is a pure function of (seed, class, value): the same number gets the same fake in every document, and other
writings of it (full-width, with other hyphens) get the same digits. What ranges allow, no fake can belong to anybody:

    phone            the local part begins with 0, which the numbering plan does not assign; 0120 becomes 0100
    email            example.jp, reserved by the registry       postal code   000, not in use; the town is invented
    my_number, corporate_number, credit_card                    a wrong check digit
    driver_licence   office 00                                  ip_address    documentation ranges (RFC 5737, RFC 3849)

No such range is published for accounts, passports and residence cards: those get leading zeros or the letters XX.
"""

import hashlib
import re

from jpfm.text.pii import address, checks
from jpfm.text.pii.fake_words import birth_date, person_name
from jpfm.text.pii.window import digits_of, flatten

_KANJI_DIGITS = "〇一二三四五六七八九"


class Draw:
    """A stream of numbers that depends on (seed, class, value) alone."""

    def __init__(self, seed: int, kind: str, value: str) -> None:
        key = hashlib.blake2b(f"{seed}/{kind}".encode(), digest_size=32).digest()
        self._state = hashlib.blake2b(value.encode(), key=key, digest_size=32).digest()
        self._pool = int.from_bytes(self._state, "big")

    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1."""
        if self._pool < 1 << 64:
            self._state = hashlib.blake2b(self._state, digest_size=32).digest()
            self._pool = int.from_bytes(self._state, "big")
        self._pool, number = divmod(self._pool, limit)
        return number

    def digits(self, count: int) -> str:
        """So many digits."""
        return "".join(str(self.below(10)) for _ in range(count))


def fake(kind: str, value: str, *, seed: int) -> str:
    """A fake value of the same class and form.

    >>> fake("phone", "０９０-1234-5678", seed=1), fake("email", "taro@mail.example.com", seed=1)
    ('０９０-0601-7302', 'user41630@example.jp')
    """
    digits = digits_of(value)
    plain = digits if kind not in ("email", "url_token", "postal_address", "person_name") and digits else flatten(value)
    if kind == "phone" and digits.startswith("81"):
        plain = "0" + digits[2:].lstrip("0")
    draw = Draw(seed, kind, plain.lower())
    if kind == "phone":
        return _phone(draw, value)
    if kind == "email":
        return _email(draw, value)
    if kind == "ip_address":
        return _ip(draw, value)
    if kind == "url_token":
        body = "".join("0123456789abcdef"[draw.below(16)] for _ in range(max(4, min(len(value), 64) - 7)))
        return f"user:{body}" if ":" in value else f"EXAMPLE{body}"
    if kind == "postal_address":
        return _address(draw, value)
    if kind == "person_name":
        return person_name(draw.below, value)
    if kind == "birth_date":
        return birth_date(draw.below, value)
    return _number(draw, kind, value, digits)


def _like(value: str, digits: str, *, letters: str = "X") -> str:
    """The value with other digits (in its own widths) and, for papers, with other letters."""
    out, stream = [], iter(digits)
    for char in value:
        if "0" <= char <= "9":
            out.append(next(stream, "0"))
        elif "０" <= char <= "９":
            out.append(chr(ord(next(stream, "0")) + 0xFEE0))
        elif char in _KANJI_DIGITS:
            out.append(_KANJI_DIGITS[int(next(stream, "0"))])
        elif letters and char.isascii() and char.isalpha():
            out.append(letters)
        elif letters and "Ａ" <= char <= "Ｚ":
            out.append(chr(ord(letters) + 0xFEE0))
        else:
            out.append(char)
    return "".join(out)


def _number(draw: Draw, kind: str, value: str, digits: str) -> str:
    count = len(digits)
    if kind == "bank_account":
        groups = [len(group) for group in re.findall(r"\d+", flatten(value))]
        zeros = ["0" * (size // 2 + 1) + draw.digits(size - size // 2 - 1) for size in groups]
        return _like(value, "".join(zeros), letters="")
    if kind == "driver_licence":
        return _like(value, "00" + draw.digits(count - 2), letters="")
    if kind in ("passport", "residence_card"):
        return _like(value, draw.digits(count))
    valid = {
        "my_number": checks.my_number_is_valid,
        "corporate_number": checks.corporate_number_is_valid,
        "credit_card": checks.luhn_is_valid,
    }[kind]
    while True:  # one draw in ten is valid
        made = str(1 + draw.below(9)) + draw.digits(count - 1)
        if not valid(made):
            return _like(value, made, letters="")


def _phone(draw: Draw, value: str) -> str:
    plain = "".join(str(_KANJI_DIGITS.index(char)) if char in _KANJI_DIGITS else char for char in flatten(value))
    main = re.split(r"[(,、 ]*(?:内|ext|Ext|EXT)", plain)[0]
    groups = re.findall(r"\d+", main)
    digits, total = "".join(groups), len(re.findall(r"\d", plain))
    abroad = re.match(r"(?:0081|81)0?", digits) if plain.lstrip("(").startswith(("+", "0081")) else None
    country = abroad.group() if abroad else ""
    rest = digits[len(country) :]
    if digits.startswith(("0120", "0800", "0570", "0180", "0990")) and not (len(digits) == 11 and digits[:3] == "080"
                                                                            and groups[0] != "0800"):  # fmt: skip
        head = "0100"
    elif len(digits) < 9:  # an extension alone
        head = ""
    elif re.match(r"0?(?:[5-9]0|20)", rest):
        head = digits[: len(country) + (3 if rest[0] == "0" else 2)] + "0"
    elif abroad:
        tail = [group for group in groups if group.strip("0")]
        area = tail[1] if len(tail) >= 4 or (len(tail) == 3 and tail[0] in ("81", "0081")) else rest[:1]
        head = country + area.removeprefix("0") + "0"
    else:
        head = (groups[0] if len(groups) > 1 else "03") + "0"
    return _like(value, head + draw.digits(total - len(head)), letters="")


def _email(draw: Draw, value: str) -> str:
    sign = re.search(r" ?[\[({<（［＜【｛][^\])}>）］＞】｝]*[\])}>）］＞】｝] ?|[@＠★☆●◎■◆]", value)
    return f"user{draw.digits(5)}{sign.group() if sign else '@'}example.jp"


def _ip(draw: Draw, value: str) -> str:
    if ":" in value:
        return f"2001:db8::{1 + draw.below(0xFFFE):x}:{1 + draw.below(0xFFFE):x}"
    return f"{('192.0.2', '198.51.100', '203.0.113')[draw.below(3)]}.{1 + draw.below(254)}"


_CITIES = ("さくら原市", "みどり野市", "ひばり台市", "白糸市", "くるみ川市", "朝霧台市", "月見浜市", "柚子坂市")
_TOWNS = ("本町", "泉", "中央", "花園", "若葉", "見晴", "川端", "常盤", "緑", "日の出")


def _address(draw: Draw, value: str) -> str:
    """Postal code 000-nnnn, the same prefecture, an invented city and town, other numbers in the block."""
    code = re.match(r"(?:〒 ?)?\d{3} ?-? ?\d{4}", flatten(value))
    head = _like(value[: code.end()], "000" + draw.digits(4), letters="") if code else ""
    rest = value[code.end() :] if code else value
    if not rest:
        return head
    found = address.ADDRESS.search(flatten(rest))
    if not found:
        return head + rest[: len(rest) - len(rest.lstrip())] + _CITIES[draw.below(8)]
    start, block = found.start(), rest[found.start("block") : found.end("block")]
    prefecture = rest[start : found.start("place")] if found["prefecture"] else ""
    place = _CITIES[draw.below(8)] + _TOWNS[draw.below(10)]
    tail = rest[found.end("block") :]
    room = re.search(r"[\d０-９]{1,4}(?:号室|階|[FＦ])?$", tail)
    house = (tail[:1] if tail[:1].isspace() else "") + "見本荘" + (_renumber(draw, room.group()) if room else "")
    return head + rest[:start] + prefecture + place + _renumber(draw, block) + (house if tail.strip() else "")


def _renumber(draw: Draw, text: str) -> str:
    return re.sub(
        r"[1-9１-９一二三四五六七八九]",
        lambda match: chr(ord(match.group()[0]) - "123456789".find(match.group()) + draw.below(9))
        if match.group().isascii()
        else "１２３４５６７８９"[draw.below(9)] if match.group() in "１２３４５６７８９"
        else "一二三四五六七八九"[draw.below(9)],
        text,
    )  # fmt: skip
