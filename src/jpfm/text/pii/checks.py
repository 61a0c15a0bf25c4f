"""Check digits and number ranges of the numbers that Japanese documents hold. Digits are ASCII strings."""

_LICENCE_OFFICES_TEXT = (
    "10 11 12 13 14 20 21 22 23 24 25 30 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 60 61 62 63 64 65 70 71 72"
    " 73 74 80 81 82 83 90 91 92 93 94 95 96 97"
)
_LICENCE_OFFICES = frozenset(_LICENCE_OFFICES_TEXT.split())
_CARD_RANGES: tuple[tuple[int, int, tuple[int, ...]], ...] = (  # first six digits, lengths
    (222100, 272099, (16,)), (300000, 305999, (14, 16)), (309500, 309599, (14,)), (340000, 349999, (15,)),
    (352800, 358999, (16,)), (360000, 369999, (14,)), (370000, 379999, (15,)), (380000, 399999, (14,)),
    (400000, 499999, (16, 19)), (510000, 559999, (16,)), (601100, 601199, (16,)), (620000, 629999, (16, 17, 18, 19)),
    (644000, 659999, (16,)),
)  # fmt: skip


def my_number_is_valid(digits: str) -> bool:
    """The check digit of an individual number (12 digits).

    >>> my_number_is_valid("123456789018"), my_number_is_valid("123456789012")
    (True, False)

    Source: 行政手続における特定の個人を識別するための番号の利用等に関する法律の規定による通知カード及び
    個人番号カード並びに情報提供ネットワークシステムによる特定個人情報の提供等に関する省令
    (平成26年総務省令第85号) 第5条.
    """
    total = 0
    for n in range(1, 12):
        weight = n + 1 if n <= 6 else n - 5
        total += int(digits[11 - n]) * weight
    remainder = total % 11
    return int(digits[11]) == (0 if remainder <= 1 else 11 - remainder)


def corporate_number_is_valid(digits: str) -> bool:
    """The check digit (the first) of a corporate number (13 digits).

    >>> corporate_number_is_valid("7000012050002"), corporate_number_is_valid("1000012050002")
    (True, False)

    Source: 法人番号の指定等に関する省令(平成26年財務省令第70号) 第2条.
    """
    total = 0
    for n in range(1, 13):  # n counts from the last digit
        total += int(digits[13 - n]) * (1 if n % 2 else 2)
    return int(digits[0]) == 9 - total % 9


def luhn_is_valid(digits: str) -> bool:
    """The check digit of a payment card.

    >>> luhn_is_valid("4111111111111111")
    True
    """
    total = 0
    for position, char in enumerate(reversed(digits)):
        value = int(char) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def card_number_is_valid(digits: str) -> bool:
    """A payment card number: a range that an issuer holds, the length of that range and the check digit.

    >>> card_number_is_valid("378282246310005"), card_number_is_valid("9111111111111115")
    (True, False)

    Source: ISO/IEC 7812-1; ranges as the brands publish them (Visa, Mastercard, Amex, JCB, Diners, Discover, UnionPay).
    """
    prefix = int(digits[:6])
    known = any(low <= prefix <= high and len(digits) in lengths for low, high, lengths in _CARD_RANGES)
    return known and len(set(digits)) > 1 and luhn_is_valid(digits)


def licence_number_is_plausible(digits: str) -> bool:
    """A driver's licence number (12 digits) begins with the number of a prefecture's commission.

    The eleventh digit is said to be a check digit, but no public rule defines it, so it is not judged.

    >>> licence_number_is_plausible("301234567890"), licence_number_is_plausible("001234567890")
    (True, False)
    """
    return digits[:2] in _LICENCE_OFFICES
