"""Count the two tables of `jpfm.text.plausible` from real text and print the module that holds them.

    python benchmarks/data/plausible_tables.py DATA > src/jpfm/text/plausible_tables.py

DATA is the folder of shared data. Half the Aozora authors, the software guidelines and the work rules are read, equal
weights for old and for modern text; every other source is left for measuring (`benchmarks/data/encodings.py`). Some
katakana is made half-width as old business systems write it, so that real half-width text is known too. What is stored
is counts: which class follows which, and which kanji are among the 100, 500 and 1,500 most frequent.
"""

import random
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jpfm.text import plausible

BANDS = (100, 500, 1500)
FULL = (
    "ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン"
)
HALF = "ｦｧｨｩｪｫｬｭｮｯｰｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔﾕﾖﾗﾘﾙﾚﾛﾜﾝ"
NARROW = dict(zip(FULL, HALF, strict=True))
NARROW |= dict(
    zip("ガギグゲゴザジズゼゾダヂヅデドバビブベボヴ", (h + "ﾞ" for h in "ｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾊﾋﾌﾍﾎｳ"), strict=True)
)
NARROW |= dict(zip("。「」、・", "｡｢｣､･", strict=True))
NARROW |= dict(zip("パピプペポ", (h + "ﾟ" for h in "ﾊﾋﾌﾍﾎ"), strict=True))
FLOORS = {
    "control": 3e-7, "damage": 1e-8, "private": 3e-6, "kanji_ibm": 1e-4, "kanji_rare": 1e-4, "foreign": 3e-6,
    "emoji": 1e-5, "latin": 3e-5, "latin_mark": 1e-5, "typographic": 1e-4, "half_kana": 3e-4, "half_small": 3e-5,
    "half_voiceable": 3e-4, "half_mark": 1e-5, "half_voicing": 3e-5, "business": 3e-4, "frame": 3e-5,
    "greek_cyrillic": 1e-4,
}  # fmt: skip
"""The least share of text that a class has, where the training text has too little of it to count; 1e-5 for others."""
STICKY = {"foreign": 200, "greek_cyrillic": 50, "private": 10, "emoji": 5, "latin": 3}
"""Scripts that the training text lacks: how often, of some hundred characters, one follows another of its kind."""


def members(path: Path, ending: str) -> Iterator[bytes]:
    with tarfile.open(path) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.name.endswith(ending) else None
            if stream is not None:
                yield stream.read()


def trained_authors(data: Path) -> list[Path]:
    """Every second author, in the order of their numbers."""
    return sorted((data / "raw" / "aozora").glob("*.tar.gz"))[::2]


def old_text(data: Path) -> str:
    files = [raw for path in trained_authors(data) for raw in members(path, ".txt")]
    return "\n".join(raw.decode("cp932").replace("\r", "") for raw in files)


def modern_text(data: Path) -> str:
    guidelines = members(data / "raw" / "arch-guidelines" / "arch_guidelines_md.tar.gz", ".md")
    rules = sorted((data / "raw" / "business-tuqulore").rglob("*.md"))
    texts = [raw.decode("utf-8") for raw in guidelines] + [path.read_text(encoding="utf-8") for path in rules] * 3
    return "\n".join(texts)


def with_half_width(text: str, draw: random.Random) -> str:
    """Lines, some with their katakana made half-width, and records of half-width words, figures and spaces."""
    words = re.findall("[ァ-ヴー][ァ-ヴー・]+", text)

    def narrow(line: str) -> str:
        return re.sub("[ァ-ヴー][ァ-ヴー・、]*", lambda run: "".join(NARROW.get(c, c) for c in run.group()), line)

    def record() -> str:
        names = [narrow(draw.choice(words)) for _ in range(draw.randrange(1, 5))]
        if draw.random() < 0.3:
            return draw.choice("･､").join(names)
        others = [draw.choice((str(draw.randrange(10**6)), "ｶ)", "(ｶ", "-")) for _ in range(draw.randrange(4))]
        parts = names + others
        draw.shuffle(parts)
        return draw.choice((" ", " ", "", ",")).join(parts)

    lines = []
    for line in text.split("\n"):
        lines.append(narrow(line) if draw.random() < 0.005 else line)
        if draw.random() < 0.002:
            lines.append(record())
    return "\n".join(lines)


def points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def common_kanji(texts: list[str]) -> list[str]:
    share = np.zeros(0x10000)
    for text in texts:
        codes = points(text)
        codes = codes[(codes >= 0x4E00) & (codes <= 0x9FFF)]
        share += np.bincount(codes, minlength=0x10000) / len(codes)
    order = np.argsort(-share, kind="stable")
    return ["".join(map(chr, sorted(order[low:high]))) for low, high in zip((0, *BANDS), BANDS, strict=False)]


def transitions(texts: list[str]) -> npt.NDArray[np.float64]:
    """Nats of each class after each class. Shape (classes, classes)."""
    size = len(plausible.CLASSES)
    counts = np.zeros((size, size))
    for text in texts:
        classes = plausible.CLASS_OF[np.minimum(points(text), 0x10000)].astype(np.int64)
        pairs = np.bincount(classes[:-1] * size + classes[1:], minlength=size * size).reshape(size, size)
        counts += pairs / len(classes) / len(texts) * 1e6
    floors = np.array([FLOORS.get(name, 1e-5) for name in plausible.CLASSES])
    single = np.maximum(counts.sum(axis=0) / counts.sum(), floors)
    single /= single.sum()
    for name, count in STICKY.items():
        counts[plausible.CLASSES.index(name), plausible.CLASSES.index(name)] += count
    smooth = (counts + 20 * single) / (counts.sum(axis=1, keepdims=True) + 20)
    smooth = np.maximum(smooth, floors / 5)
    costs: npt.NDArray[np.float64] = -np.log(smooth / smooth.sum(axis=1, keepdims=True))
    return costs


def main(data: Path) -> None:
    draw = random.Random(3)
    texts = [old_text(data), modern_text(data)]
    kanji = common_kanji(texts)
    for band, chars in zip((plausible.KANJI_1, plausible.KANJI_2, plausible.KANJI_3), kanji, strict=True):
        plausible.CLASS_OF[[ord(char) for char in chars]] = band
    costs = transitions([with_half_width(text, draw) for text in texts])
    quarters = np.clip(np.rint(costs * 4), 0, 63).astype(int)
    print(
        '"""Statistics that `plausible` reads, counted by benchmarks/data/plausible_tables.py: run it, edit nothing."""'
    )
    print("\n# kanji by frequency: the first 100, the next 400, the next 1,000; each band in code point order")
    print("COMMON_KANJI = (")
    for chars in kanji:
        lines = [chars[start : start + 100] for start in range(0, len(chars), 100)]
        print("    (\n" + "\n".join(f'        "{line}"' for line in lines) + "\n    ),")
    print(")\n# row: class before; place in the row: class; character: quarter nats (`plausible.ALPHABET`)")
    print('TRANSITIONS = """')
    print("\n".join("".join(plausible.ALPHABET[q] for q in row) for row in quarters))
    print('"""')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
