"""Personal data in a column of text: the scanner's hits, each judged in a window of its line and the lines beside it.

    for row, spans in find(column, Rules(classes=("phone", "email"))): ...

Only windows around hits are decoded; a document without hits is never seen by Python.
"""

import bisect
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, get_args

import pyarrow as pa

from jpfm.text.kernels import buffers
from jpfm.text.pii import address, birth, exempt, names, network, numbers, phone
from jpfm.text.pii import scan as hits
from jpfm.text.pii.window import Span, Window, window

PiiClass = Literal[
    "url_token", "email", "credit_card", "corporate_number", "driver_licence", "residence_card", "passport",
    "bank_account", "my_number", "ip_address", "postal_address", "phone", "birth_date", "person_name",
]  # fmt: skip
CLASSES: tuple[PiiClass, ...] = get_args(PiiClass)
"""All classes. Where two overlap, the one named first stands."""
DEFAULT_CLASSES = tuple(name for name in CLASSES if name != "corporate_number")
"""All but the public numbers of corporations."""

_BACK, _FORWARD, _TABLE = 240, 600, 30_000  # bytes that a window may reach beyond a hit, or below a table's heading
_HEADINGS = (hits.NAME, hits.BIRTH, hits.BANK)
_HITS: dict[str, tuple[int, ...]] = {
    "email": (hits.EMAIL,), "url_token": (hits.URL,), "credit_card": (hits.LONG,), "corporate_number": (hits.LONG,),
    "driver_licence": (hits.LONG,), "residence_card": (hits.RESIDENCE,), "passport": (hits.PASSPORT,),
    "bank_account": (hits.BANK,), "my_number": (hits.LONG,), "ip_address": (hits.IP,),
    "postal_address": (hits.POSTAL, hits.BLOCK), "phone": (hits.PHONE, hits.EXTENSION), "birth_date": (hits.BIRTH,),
    "person_name": (hits.NAME,),
}  # fmt: skip


class Rules(NamedTuple):
    """What to look for and what may stay."""

    classes: tuple[PiiClass, ...] = DEFAULT_CLASSES
    obfuscated_emails: bool = True
    letter_heads: bool = True
    keep_private_ips: bool = True
    keep_corporate_contacts: bool = False
    keep_public_figures: bool = True


def find(column: pa.Array, rules: Rules | None = None) -> Iterator[tuple[int, list[Span]]]:
    """Personal data of each row that holds any.

    >>> for row, spans in find(pa.array(["電話03-1234-5678", "なし", "a@example.jpへ"])):
    ...     print(row, spans)
    0 [Span(kind='phone', start=2, length=12)]
    2 [Span(kind='email', start=0, length=12)]

    Args:
        column: string array without nulls.
    Yields:
        (row, spans): positions in characters, ascending and apart from each other.
    """
    rules = rules or Rules()
    detectors = _detectors(rules)
    view = buffers(column)
    found = hits.scan(column, set(detectors))
    rows, places, kinds = (found[:, column].tolist() for column in range(3))
    index = 0
    while index < len(rows):
        row = rows[index]
        stop = bisect.bisect_right(rows, row, index)
        base, end = int(view.offsets[row]), int(view.offsets[row + 1])
        here = [(place - base, kind) for place, kind in zip(places[index:stop], kinds[index:stop], strict=True)]
        spans = _row(view.data[base:end].tobytes(), here, detectors, rules)
        if spans:
            yield row, spans
        index = stop


_Detector = Callable[[Window], Iterator[Span]]


def _detectors(rules: Rules) -> dict[int, _Detector]:
    """What judges each kind of hit."""
    judges: dict[int, _Detector] = {
        hits.EMAIL: lambda w: network.mails(w, spelled=rules.obfuscated_emails),
        hits.URL: network.url_tokens,
        hits.LONG: numbers.long_numbers,
        hits.RESIDENCE: numbers.travel_documents,
        hits.PASSPORT: numbers.travel_documents,
        hits.BANK: numbers.accounts,
        hits.IP: lambda w: network.addresses(w, keep_private=rules.keep_private_ips),
        hits.POSTAL: address.addresses,
        hits.BLOCK: address.addresses,
        hits.PHONE: phone.phones,
        hits.EXTENSION: phone.phones,
        hits.BIRTH: birth.births,
        hits.NAME: names.names,
        hits.LETTER: names.addressees,
        hits.OFFICE: names.officials,
    }
    wanted = {kind for name in rules.classes for kind in _HITS[name]}
    if "person_name" in rules.classes:
        wanted |= {hits.LETTER} if rules.letter_heads else set()
        wanted |= set() if rules.keep_public_figures else {hits.OFFICE}
    return {kind: judges[kind] for kind in sorted(wanted)}


def _row(data: bytes, places: list[tuple[int, int]], detectors: dict[int, _Detector], rules: Rules) -> list[Span]:
    """Spans of one document. This is Python, but only over windows around hits."""
    spans: list[Span] = []
    chars = done = 0  # so many characters lie before byte `done`
    for low, high, kinds in _windows(data, places):
        chars += len(data[done:low].decode())
        done = low
        view = window(
            data[low:high].decode(),
            cut_left=low > 0 and data[low - 1] != 10,
            cut_right=high < len(data) and data[high] != 10,
        )
        judges = dict.fromkeys(detectors[kind] for kind in sorted(kinds))
        for judge in judges:
            for span in judge(view):
                if span.kind in rules.classes and not _stays(view, span, rules):
                    spans.append(Span(span.kind, span.start + chars, span.length))
    return _apart(spans)


def _stays(view: Window, span: Span, rules: Rules) -> bool:
    if rules.keep_corporate_contacts and exempt.is_corporate(view, span):
        return True
    return rules.keep_public_figures and exempt.is_public_figure(view, span)


def _windows(data: bytes, places: list[tuple[int, int]]) -> Iterator[tuple[int, int, set[int]]]:
    """Join hits whose windows meet: (first byte, end byte, kinds of hit)."""
    low = high = -1
    kinds: set[int] = set()
    for place, kind in places:
        start, stop = _around(data, place, kind)
        if kind in _HEADINGS and stop > high:
            stop = max(stop, _table_end(data, place))
        if start > high:
            if kinds:
                yield low, high, kinds
            low, high, kinds = start, stop, {kind}
        else:
            high = max(high, stop)
            kinds.add(kind)
    if kinds:
        yield low, high, kinds


def _around(data: bytes, place: int, kind: int) -> tuple[int, int]:
    """A hit's line, the line on either side and one more on the side where a label or its value may stand."""
    first, last = max(0, place - _BACK), min(len(data), place + _FORWARD)
    above = 3 if kind in (hits.LONG, hits.BANK) else 2  # line ends: one more than lines
    below = 3 if kind in _HEADINGS else 2
    before = data[first:place].rsplit(b"\n", above)
    after = data[place:last].split(b"\n", below)
    low = first + len(before[0]) + 1 if len(before) > above else first
    high = last - len(after[-1]) - 1 if len(after) > below else last
    while low < len(data) and low > 0 and (data[low] & 0xC0) == 0x80:
        low += 1
    while high < len(data) and (data[high] & 0xC0) == 0x80:
        high -= 1
    return low, high


def _table_end(data: bytes, place: int) -> int:
    """Where the rows end that have as many delimiters as the line of a heading."""
    line = data.rfind(b"\n", max(0, place - _BACK), place) + 1
    stop = data.find(b"\n", place, place + _FORWARD)
    heading = data[line:stop] if stop >= 0 and b":" not in data[line:stop] else b""
    delimiter = max(b"|", b"\t", b",", key=heading.count)
    total = heading.count(delimiter)
    last = min(len(data), place + _TABLE)
    while total and 0 <= stop < last:
        end = data.find(b"\n", stop + 1, last)
        end = end if end >= 0 else len(data) if last == len(data) else stop
        if end == stop or data.count(delimiter, stop + 1, end) != total:
            break
        stop = end
    return stop


def _apart(spans: list[Span]) -> list[Span]:
    """Spans that do not overlap: the class named first in CLASSES stands, then the longer one."""
    kept: list[Span] = []
    for span in sorted(set(spans), key=lambda s: (CLASSES.index(s.kind), -s.length, s.start)):
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return sorted(kept, key=lambda span: span.start)
