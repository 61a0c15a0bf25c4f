"""How often each system gives back the exact text of encoded Japanese strings, and how fast (CPU time).

    python -m benchmarks.data.encodings DATA [--per-cell 200]

DATA is the folder of shared data. Strings are cut at random from text that `jpfm.text.plausible_tables` was not counted
on: the other half of the Aozora authors, Wikipedia sentences, web sentences, JSQuAD passages, C++ reference pages,
government pages, a statute. Into half of them some of ①㈱髙﨑Ⅲ㎡～－ are put, where the encoding has them. No system is
told a label. A string counts as right when the text is exactly that which was encoded, after the forms of wave dash,
minus and dash that encodings disagree on are made one. Writes benchmarks/results/encodings.json and encodings.md.
"""

import argparse
import gzip
import json
import math
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.data.plausible_tables import members, trained_authors
from benchmarks.data.report import environment, heading, write

LENGTHS = (10, 16, 24, 40, 80, 160, 400, 1000, 2000)
BUSINESS = "①㈱髙﨑Ⅲ㎡～－"
ENCODINGS = ("utf-8", "cp932", "euc_jp", "iso2022_jp")
EXTRAS = ("cp51932", "cp50221", "euc_jis_2004", "utf-16", "utf-16-le")
ONE_FORM = str.maketrans("～－∥￠￡￢—", "〜−‖¢£¬―")
PACKAGES = ("chardet", "charset-normalizer", "faust-cchardet", "numba", "numpy", "resiliparse")

TITLE = "Decoding: exact text back, by encoding and length"

System = Callable[[bytes], str | None]


def sources(data: Path) -> dict[str, str]:
    """Held-out text by source."""
    raw, trained = data / "raw", set(trained_authors(data))
    others = [path for path in sorted((raw / "aozora").glob("*.tar.gz")) if path not in trained]
    novels = [text.decode("cp932") for path in others for text in members(path, ".txt")]
    gsd = gzip.decompress((raw / "ud-gsd" / "ja_gsd-ud-dev.conllu.gz").read_bytes()).decode()
    ner = json.loads(gzip.decompress((raw / "wikipedia-ner" / "ner.json.gz").read_bytes()))
    squad = json.loads(gzip.decompress((data / "bench/jglue/jsquad-v1.3/valid-v1.3.json.gz").read_bytes()))
    reference = members(raw / "cpprefjp" / "cpprefjp_md.tar.gz", ".md")
    government = sorted((raw / "gov-digital-agency").rglob("*.md"))
    law = gzip.decompress(next((raw / "law-xml").glob("*.gz")).read_bytes()).decode()
    return {
        "novels": "\r\n".join(novels),
        "encyclopedia": "\n".join(row["text"] for row in ner),
        "web": "\n".join(line[9:] for line in gsd.splitlines() if line.startswith("# text = ")),
        "passages": "\n".join(p["context"] for article in squad["data"] for p in article["paragraphs"]),
        "reference": "\n".join(page.decode() for page in reference),
        "government": "\n".join(path.read_text(encoding="utf-8-sig") for path in government),
        "statute": re.sub(r"\s*<[^>]+>\s*", "\n", law),
    }


def encode(text: str, encoding: str) -> bytes:
    """As `str.encode`, and CP51932 and CP50221: CP932's characters in the bytes of EUC-JP and ISO-2022-JP."""
    if encoding not in ("cp51932", "cp50221"):
        return text.encode(encoding)
    euc, out, double = encoding == "cp51932", b"", False
    for char in text:
        code = char.encode("cp932")
        pair = len(code) == 2
        if pair:
            row = (code[0] - (0x81 if code[0] < 0xA0 else 0xC1)) * 2 + 0x21 + (code[1] >= 0x9F)
            cell = code[1] - (0x7E if code[1] >= 0x9F else 0x20 if code[1] > 0x7E else 0x1F)
            if row > 0x7E:  # IBM's extensions: NEC's second copy of them, in rows 89 to 92
                row, cell = NEC[char]
            code = bytes((row | 0x80, cell | 0x80) if euc else (row, cell))
        elif code[0] > 0x7F:
            raise UnicodeEncodeError(encoding, char, 0, 1, "half-width kana is left out")
        if not euc and pair != double:
            out += b"\x1b$B" if pair else b"\x1b(B"
            double = pair
        out += code
    return out + (b"\x1b(B" if double else b"")


def _nec_rows() -> dict[str, tuple[int, int]]:
    rows = {}
    for lead in (0xED, 0xEE):
        for trail in (*range(0x40, 0x7F), *range(0x80, 0xFD)):
            char = bytes((lead, trail)).decode("cp932", "ignore")
            row = (lead - 0xC1) * 2 + 0x21 + (trail >= 0x9F)
            rows[char] = (row, trail - (0x7E if trail >= 0x9F else 0x20 if trail > 0x7E else 0x1F))
    return rows


NEC = _nec_rows()


def can(char: str, encoding: str) -> bool:
    try:
        encode(char, encoding)
    except UnicodeEncodeError:
        return False
    return True


def cut(text: str, encoding: str, length: int, business: bool, draw: random.Random) -> tuple[str, bytes]:
    """A string whose bytes are as near below length as whole characters allow, at least one beyond ASCII."""
    usable = [char for char in BUSINESS if can(char, encoding)] or ["〜", "−"]
    while True:
        start = draw.randrange(len(text))
        piece = [char for char in text[start : start + length] if can(char, encoding)]
        for _ in range(1 + length // 100 if business else 0):
            piece.insert(draw.randrange(max(1, min(len(piece), length // 3))), draw.choice(usable))
        low, high = 0, len(piece)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (
                (middle, high) if len(encode("".join(piece[:middle]), encoding)) <= length else (low, middle - 1)
            )
        string = "".join(piece[:low])
        data = encode(string, encoding)
        if not string.isascii() and len(data) > length * 0.75:
            return string, data


def strings(data: Path, per_cell: int) -> Iterator[tuple[str, int, str, bytes]]:
    """(encoding, length, text, bytes), the same for the same arguments."""
    texts = list(sources(data).values())
    for encoding in ENCODINGS + EXTRAS:
        for length in LENGTHS:
            draw = random.Random(f"{encoding} {length}")
            for number in range(per_cell):
                yield encoding, length, *cut(texts[number % len(texts)], encoding, length, number % 2 == 1, draw)


def systems() -> dict[str, System]:
    import cchardet
    import chardet
    import charset_normalizer
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    from jpfm.text.decode import UnreadableText, decode

    def ours(data: bytes) -> str | None:
        try:
            return decode(data).text
        except UnreadableText:
            return None

    def by_name(data: bytes, name: str | None, windows: bool) -> str | None:
        if windows and (name or "").lower().replace("-", "_") in ("shift_jis", "sjis"):
            name = "cp932"
        try:
            return data.decode(name or "utf-8")
        except (UnicodeDecodeError, LookupError):
            return None

    def normalizer(data: bytes) -> str | None:
        best = charset_normalizer.from_bytes(data).best()
        return None if best is None else str(best)

    def swallow(data: bytes) -> str | None:
        for name in ("utf-8", "shift_jis", "euc_jp"):
            try:
                return data.decode(name)
            except UnicodeDecodeError:
                continue
        return None

    return {
        "jpfm": ours,
        "charset-normalizer": normalizer,
        "chardet": lambda data: by_name(data, chardet.detect(data)["encoding"], False),
        "chardet, cp932": lambda data: by_name(data, chardet.detect(data)["encoding"], True),
        "cchardet": lambda data: by_name(data, cchardet.detect(data)["encoding"], False),
        "cchardet, cp932": lambda data: by_name(data, cchardet.detect(data)["encoding"], True),
        "resiliparse": lambda data: bytes_to_str(data, detect_encoding(data) or "utf-8"),
        "Swallow's order": swallow,
    }


def measure(rows: list[tuple[str, int, str, bytes]]) -> dict[str, dict[str, Any]]:
    """Share right by encoding and length, and seconds, for each system."""
    figures: dict[str, dict[str, Any]] = {}
    for name, system in systems().items():
        for _, _, _, data in rows[:50]:
            system(data)
        right: dict[str, dict[int, list[bool]]] = defaultdict(lambda: defaultdict(list))
        started = time.process_time()
        answers = [system(data) for _, _, _, data in rows]
        seconds = time.process_time() - started
        for (encoding, length, text, _), answer in zip(rows, answers, strict=True):
            right[encoding][length].append((answer or "").translate(ONE_FORM) == text.translate(ONE_FORM))
        figures[name] = {
            "right": {e: {str(k): sum(v) / len(v) for k, v in by_length.items()} for e, by_length in right.items()},
            "microseconds_a_string": seconds / len(rows) * 1e6,
        }
    return figures


def speeds(data: Path) -> dict[str, dict[str, float | None]]:
    """MB/s on a file of about 32 MB, best of three (4 MB, once, for charset-normalizer and chardet).

    None where the answer is not the file's text: a wrong answer has no speed.
    """
    novels = sources(data)["novels"].replace("\x1a", "").translate(ONE_FORM)[:2_000_000]
    figures: dict[str, dict[str, float | None]] = defaultdict(dict)
    for encoding in ("ascii", *ENCODINGS, "utf-16"):
        text = "The quick brown fox, 123 times.\r\n" * 10_000 if encoding == "ascii" else novels
        text = text.encode(encoding, "ignore").decode(encoding)
        for name, system in systems().items():
            slow = name in ("charset-normalizer", "chardet")
            if "," in name:
                continue
            size = len(text.encode(encoding))
            whole_text = text * max(1, (4_000_000 if slow else 32_000_000) // size)
            whole = whole_text.encode(encoding)
            best, right = math.inf, False
            for _ in range(1 if slow else 3):
                started = time.process_time()
                answer = system(whole)
                best = min(best, time.process_time() - started)
                right = (answer or "").translate(ONE_FORM) == whole_text.translate(ONE_FORM)
            figures[name][encoding] = len(whole) / best / 1e6 if right else None
    return figures


def table(rows: list[list[str]]) -> str:
    """A Markdown table; the first row is its heading."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body]) + "\n"


def speed(figures: dict[str, float | None], kind: str) -> str:
    if kind not in figures:
        return ""
    value = figures[kind]
    return "wrong" if value is None else f"{value:,.0f}"


def page(result: dict[str, Any]) -> str:
    names = list(result["accuracy"])
    parts = [
        heading(TITLE, result["environment"]),
        f"{result['num_strings']:,} strings cut from held-out text by `benchmarks/data/encodings.py`, no label given; "
        "percent of strings whose text comes back exactly. The tables of `jpfm.text.plausible` were counted on other "
        'text, but its few constants were set while looking at strings like these. "cp932" after a name: its SHIFT_JIS '
        "is read as CP932, which the system itself does not say. Bold: the best of a row.\n",
    ]
    for encoding in ENCODINGS + EXTRAS:
        rows = [[f"{encoding}, bytes", *names]]
        for length in LENGTHS:
            shares = [result["accuracy"][name]["right"][encoding][str(length)] for name in names]
            rows.append(
                [str(length), *(f"**{100 * s:.1f}**" if s == max(shares) else f"{100 * s:.1f}" for s in shares)]
            )
        parts.append(table(rows))
    lost = result["not_best"]
    parts.append(f"Cells where jpfm is not the best: {', '.join(lost) if lost else 'none'}.\n")
    parts.append("## Speed\n")
    kinds = list(result["speed_mb_per_second"]["jpfm"])
    rows = [["system", "µs a string of the table", *(f"{kind}, MB/s" for kind in kinds)]]
    for name in names:
        fast = result["speed_mb_per_second"].get(name, {})
        per_string = f"{result['accuracy'][name]['microseconds_a_string']:,.0f}"
        rows.append([name, per_string, *(speed(fast, kind) for kind in kinds)])
    parts.append(table(rows))
    parts.append(
        "One file of 32 MB, one thread, best of three (charset-normalizer and chardet: 4 MB, once). Seconds are CPU "
        "seconds. A system whose answer is not the text has no speed.\n"
    )
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--per-cell", type=int, default=200)
    arguments = parser.parse_args()
    rows = list(strings(arguments.data, arguments.per_cell))
    accuracy = measure(rows)
    ours = accuracy["jpfm"]["right"]
    lost = [
        f"{encoding} {length} ({name} {100 * other[encoding][length]:.1f} against {100 * share:.1f})"
        for encoding, by_length in ours.items()
        for length, share in by_length.items()
        for name, other in ((name, figures["right"]) for name, figures in accuracy.items())
        if other[encoding][length] > share
    ]
    result = {
        "environment": environment(PACKAGES),
        "num_strings": len(rows),
        "accuracy": accuracy,
        "not_best": lost,
        "speed_mb_per_second": speeds(arguments.data),
    }
    write("encodings", result, page(result))


if __name__ == "__main__":
    main()
