"""A corpus with planted near-duplicates, of any size, for the benchmarks of deduplication.

    pool = shared_pool(Path("FOLDER"))                  # FOLDER: the shared data; tests use invented_pool
    plant(pool, Path("OUT"), num_bytes=500_000_000, seed=1)
    python -m benchmarks.data.planted FOLDER OUT MEGABYTES

OUT/part-*.jsonl hold the documents (id, text, source, url, date) in an order drawn by the seed, OUT/planted.jsonl what
was done to make each copy. The same pool and seed give the same bytes, for any number of workers.

A document is a random sequence of pieces of real paragraphs (at most 240 characters) of one source, of web-like length:
log-normal, 500 to 8,000 characters. The shared text would fill 50 MB once; drawing pieces makes as many unrelated
documents as are wanted, and two of them share a piece now and then, as pages of one site do, but not half of their
5-grams (benchmarks.data.dedup measures that). Refused: repeating whole works, whose repeats are exact copies.

A share of the documents founds a cluster of 2 to 50. A member is edited from the founder (a star) or from the member
before it (a chain, whose ends are no near-duplicates any more): sentences and characters inserted, deleted, replaced;
numbers changed; punctuation, width and line ends rewritten. Edits are added until the Jaccard similarity of character
5-grams with its parent falls to the member's target, 0.5 to 0.95, by bisection. planted.jsonl tells that similarity as
measured; which pairs of the corpus ARE near-duplicates is for the oracle alone to say (benchmarks.data.oracle).
"""

import json
import multiprocessing
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pydantic

SIZE = 5
"""Characters of an n-gram."""
_CHUNK = 240
_SHORTEST, _LONGEST = 500, 8_000
_CLUSTERED = 0.12
_EXACT = 0.1
_FILE_BYTES = 7_000_000  # below the `slice_bytes` of a recipe: a file is one shard, a line number one id
_SENTENCE = re.compile(r"[^。！？\n]*[。！？\n]|[^。！？\n]+")
_NUMBER = re.compile(r"[0-9０-９]+|[〇一二三四五六七八九十百千]+(?=[年月日円人回号条])")
_STYLES = ("characters", "sentences", "mixed", "numbers", "form")
_WEIGHTS = (3, 3, 3, 1, 1)


class Pool(NamedTuple):
    """Pieces of text of at most 240 characters, each once."""

    pieces: dict[str, list[str]]
    """By source."""
    chars: list[int]
    """Of each source: what it weighs when a source is drawn."""


class Edit(NamedTuple):
    """Put `text` in the place of the characters [start, stop)."""

    start: int
    stop: int
    text: str


class Member(NamedTuple):
    """One document as it was made."""

    source: str
    text: str
    parent: int | None
    """The member of the cluster that it was edited from."""
    style: str
    target: float | None
    jaccard: float | None
    """Measured, with the parent."""


def grams(text: str, size: int = SIZE) -> frozenset[str]:
    """The set of character n-grams; a shorter text is its own only one, an empty text has none.

    >>> sorted(grams("すもももも", 4)), sorted(grams("もも")), grams("")
    (['すももも', 'もももも'], ['もも'], frozenset())
    """
    return frozenset(text[i : i + size] for i in range(max(1, len(text) - size + 1))) if text else frozenset()


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """The share of the n-grams of both that both have; 0 where there are none."""
    common = len(first & second)
    return common / (len(first) + len(second) - common) if first or second else 0.0


# the pool


def chunks_of(text: str) -> Iterator[str]:
    """Pieces of at most 240 characters, cut at line ends, long lines at sentence ends."""
    waiting = ""
    for line in text.splitlines():
        for sentence in _SENTENCE.findall(line):
            for start in range(0, len(sentence), _CHUNK):
                piece = sentence[start : start + _CHUNK]
                if len(waiting) + len(piece) > _CHUNK:
                    yield waiting
                    waiting = ""
                waiting += piece
        if len(waiting) >= _CHUNK // 6:
            yield waiting
            waiting = ""
        elif waiting:
            waiting = waiting[: _CHUNK - 1] + "\n"
    if waiting.strip():
        yield waiting


def shared_pool(folder: Path) -> Pool:
    """Pieces of the shared text, as our readers give it; each once.

    Args:
        folder: the shared data (it holds raw/aozora, raw/cpprefjp and others).
    """
    from jpfm.data.document import Document
    from jpfm.data.sources import AnySource

    settings: list[dict[str, Any]] = [
        {"name": "literature", "format": "aozora", "paths": ["aozora/*.tar.gz"]},
        {"name": "reference", "format": "markdown", "paths": ["cpprefjp/*.tar.gz"]},
        {"name": "business", "format": "markdown", "paths": ["arch-guidelines/*.tar.gz", "business-tuqulore/**/*.md"]},
        {"name": "encyclopaedia", "format": "json", "paths": ["wikipedia-ner/*.json.gz"]},
    ]
    found = {}
    for row in settings:
        source: Any = pydantic.TypeAdapter(AnySource).validate_python(row | {"rights": {"licence": "CC-BY-4.0"}})
        pieces: dict[str, None] = {}
        for part in source.pieces(folder / "raw", 1 << 40):
            for document in source.documents(part):
                if isinstance(document, Document):
                    pieces.update(dict.fromkeys(chunks_of(document.text)))
        found[row["name"]] = list(pieces)
    return _weighed(found)


def invented_pool(seed: int, *, count: int = 4_000) -> Pool:
    """Sentences of invented words: as good as text where only n-grams count, and free of rights."""
    draw = random.Random(f"{seed}/invented")
    kana = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわ"
    kanji = [chr(0x4E00 + 7 * n) for n in range(900)]
    nouns = ["".join(draw.choices(kanji, k=draw.randint(1, 3))) for _ in range(3_000)]
    verbs = [draw.choice(kanji) + "".join(draw.choices(kana, k=2)) for _ in range(600)]

    def sentence() -> str:
        words = [draw.choice(nouns) + draw.choice("はがをにでともへ") for _ in range(draw.randint(2, 7))]
        number = f"{draw.randint(1, 9_999)}件を" if draw.random() < 0.3 else ""
        return "、".join(["".join(words[:2]), "".join(words[2:])]) + number + draw.choice(verbs) + "。"

    pieces = ["".join(sentence() for _ in range(draw.randint(1, 5)))[:_CHUNK] for _ in range(count)]
    return _weighed({"invented": pieces})


def _weighed(pieces: dict[str, list[str]]) -> Pool:
    return Pool(pieces, [sum(map(len, some)) for some in pieces.values()])


# edits


def apply(text: str, edits: Sequence[Edit]) -> str:
    """The text after edits of places that do not overlap.

    >>> apply("令和5年の売上", [Edit(7, 7, "高"), Edit(2, 3, "6")])
    '令和6年の売上高'
    """
    parts, at = [], 0
    for edit in sorted(edits):
        parts += [text[at : edit.start], edit.text]
        at = edit.stop
    return "".join([*parts, text[at:]])


def _characters(draw: random.Random, text: str) -> list[Edit]:
    """A typing error at each of many places: another character, one more, one less."""
    edits = []
    for place in draw.sample(range(len(text)), len(text) // 6):
        kind = draw.randrange(3)
        edits.append(Edit(place, place + (kind != 1), "" if kind == 2 else draw.choice(text)))
    return edits


def _sentences(draw: random.Random, text: str, donor: Callable[[], str]) -> list[Edit]:
    """Sentences deleted, replaced by one of elsewhere, or with one more before them."""
    spans = [match.span() for match in _SENTENCE.finditer(text)]
    draw.shuffle(spans)
    edits = []
    for start, stop in spans:
        kind = draw.randrange(3)
        edits.append(Edit(start, start if kind == 1 else stop, "" if kind == 2 else donor()))
    return edits


def _numbers(draw: random.Random, text: str) -> list[Edit]:
    """Every number becomes another of as many digits."""
    edits = []
    for match in _NUMBER.finditer(text):
        old = match.group()
        digits = (
            "0123456789" if old[0].isascii() else "０１２３４５６７８９" if old[0].isdigit() else "一二三四五六七八九"
        )
        edits.append(Edit(*match.span(), "".join(draw.choices(digits, k=len(old)))))
    return edits


def _form(draw: random.Random, text: str) -> list[Edit]:
    """Another written form of the same: punctuation, width, line ends; at least one of them."""
    tables: list[dict[str, str]] = [
        {"、": "，", "。": "．", "「": "『", "」": "』"},
        {chr(c): chr(c + 0xFEE0) for c in range(0x21, 0x7F)} | {chr(c + 0xFEE0): chr(c) for c in range(0x21, 0x7F)},
        {"\n": draw.choice(["\n\n", "\n　", " "])},
    ]
    table: dict[str, str] = {}
    for one in draw.sample(tables, draw.randint(1, 3)):
        table |= one
    return [Edit(place, place + 1, table[letter]) for place, letter in enumerate(text) if letter in table]


def _hashes(text: str) -> npt.NDArray[np.uint64]:
    """The character n-grams as sorted 64-bit numbers: for the search, which asks for many similarities."""
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93)
    points ^= points >> np.uint64(32)
    state = np.zeros(max(0, len(points) - SIZE + 1), dtype=np.uint64)
    for place in range(SIZE):
        state = state * np.uint64(0x9E3779B97F4A7C15) + points[place : place + len(state)]
    return np.unique(state)


def _fewest(text: str, first: Sequence[Edit], more: Sequence[Edit], target: float) -> int:
    """The least k with which `first` and the first k of `more` bring the similarity to the target or below.

    All where none does. The search goes by (1 - J) / (1 + J), to which each edit adds about the same.
    """
    own = _hashes(text)

    def distance(k: int) -> float:
        other = _hashes(apply(text, [*first, *more[:k]]))
        common = len(np.intersect1d(own, other, assume_unique=True))
        similarity = common / max(1, len(own) + len(other) - common)
        return (1 - similarity) / (1 + similarity)

    goal = (1 - target) / (1 + target)
    low, high = 0, len(more)
    at_low, at_high = distance(low), distance(high)
    if at_low >= goal or at_high < goal:
        return low if at_low >= goal else high
    turn = 0
    while high - low > 1:
        share = 0.5 if turn % 3 == 2 else (goal - at_low) / (at_high - at_low)
        middle = min(high - 1, max(low + 1, round(low + (high - low) * share)))
        at = distance(middle)
        if at < goal:
            low, at_low = middle, at
        else:
            high, at_high = middle, at
        turn += 1
    return high


def edited(draw: random.Random, text: str, style: str, target: float, donor: Callable[[], str]) -> str:
    """A copy at about the target similarity.

    Large edits first, all but the one that would pass the target (in `mixed` a random part of them), then single
    characters, of which one moves the similarity of a text of 1,000 characters by 0.01 at most. Numbers and form are
    changed everywhere, even where that alone passes the target.
    """
    first = {"numbers": _numbers, "form": _form}.get(style)
    edits = first(draw, text) if first else []
    if style in ("sentences", "mixed"):
        edits = _sentences(draw, text, donor)
        most = max(0, _fewest(text, [], edits, target) - 1)
        edits = edits[: draw.randint(0, most) if style == "mixed" else most]
    taken = {place for edit in edits for place in range(edit.start, edit.stop + 1)}
    fine = [edit for edit in _characters(draw, text) if edit.start not in taken and edit.stop not in taken]
    return apply(text, edits + fine[: _fewest(text, edits, fine, target)])


# the corpus


def cluster(pool: Pool, seed: int, index: int) -> list[Member]:
    """The members of cluster number `index`, most often a single document; a function of pool, seed and index alone."""
    draw = random.Random(f"{seed}/cluster/{index}")
    name = draw.choices(list(pool.pieces), pool.chars)[0]
    pieces = pool.pieces[name]
    length = min(_LONGEST, max(_SHORTEST, int(draw.lognormvariate(7.4, 0.7))))
    text = draw.choice(pieces)
    while len(text) < length:
        text += "\n" + draw.choice(pieces)
    members = [Member(name, text[:_LONGEST], None, "original", None, None)]
    if draw.random() >= _CLUSTERED:
        return members
    chain = draw.random() < 0.3
    for number in range(1, min(50, int(2 / (1 - draw.random()) ** 0.6))):
        parent = number - 1 if chain else 0
        before = members[parent].text
        if draw.random() < _EXACT:
            members.append(Member(name, before, parent, "exact", 1.0, 1.0))
            continue
        style, target = draw.choices(_STYLES, _WEIGHTS)[0], round(draw.uniform(0.5, 0.95), 3)
        after = edited(draw, before, style, target, lambda: draw.choice(pieces))
        members.append(Member(name, after, parent, style, target, round(jaccard(grams(before), grams(after)), 4)))
    return members


_pools: list[Pool] = []
"""The pool of a worker process."""


def _begin(pool: Pool) -> None:
    _pools.append(pool)


def _cluster(job: tuple[int, int]) -> list[Member]:
    return cluster(_pools[0], *job)


def plant(
    pool: Pool, out: Path, *, seed: int, num_bytes: int | None = None, num_documents: int | None = None,
    workers: int = 1,
) -> Path:  # fmt: skip
    """Write a corpus of at least a size, given as UTF-8 bytes of text or as documents (then exactly that many).

    Returns:
        The folder `out`.
    """
    rows: list[tuple[float, int, int, Member]] = []
    size = 0
    with multiprocessing.get_context("spawn").Pool(workers, _begin, (pool,)) as processes:
        jobs = ((seed, index) for index in range(sys.maxsize))
        for index, members in enumerate(_in_blocks(processes, jobs)):
            for number, member in enumerate(members):
                place = random.Random(f"{seed}/order/{index}/{number}").random()
                rows.append((place, index, number, member))
                size += len(member.text.encode())
            if (num_bytes is not None and size >= num_bytes) or (
                num_documents is not None and len(rows) >= num_documents
            ):
                break
    rows = sorted(rows[:num_documents], key=lambda row: row[:3])
    _write(rows, out, seed)
    return out


def _in_blocks(processes: Any, jobs: Iterator[tuple[int, int]]) -> Iterator[list[Member]]:
    """Results in the order of the jobs, of which there is no end: a block is asked for when the one before is used."""
    while True:
        yield from processes.map(_cluster, [next(jobs) for _ in range(512)], chunksize=16)


def _write(rows: Sequence[tuple[float, int, int, Member]], out: Path, seed: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    names = {(index, number): f"{position:08d}" for position, (_, index, number, _) in enumerate(rows)}
    written, file, told = _FILE_BYTES, None, []
    count = 0
    for (_, index, _, member), name in zip(rows, names.values(), strict=True):
        if written >= _FILE_BYTES:
            if file is not None:
                file.close()
            file = (out / f"part-{count:04d}.jsonl").open("w", encoding="utf-8", newline="\n")
            count, written = count + 1, 0
        day = random.Random(f"{seed}/date/{name}").randrange(3_600)
        row = {
            "id": name, "text": member.text, "source": member.source,
            "url": f"https://site{index % 977}.example/{name}",
            "date": f"{2015 + day // 360}-{day // 30 % 12 + 1:02d}-{day % 30 % 28 + 1:02d}",
        }  # fmt: skip
        line = json.dumps(row, ensure_ascii=False) + "\n"
        assert file is not None
        file.write(line)
        written += len(line.encode())
        parent = None if member.parent is None else names.get((index, member.parent))
        told.append(
            {"id": name, "cluster": index, "parent": parent, "style": member.style, "target": member.target,
             "jaccard": member.jaccard}
        )  # fmt: skip
    if file is not None:
        file.close()
    with (out / "planted.jsonl").open("w", encoding="utf-8", newline="\n") as planted:
        planted.writelines(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in told)


def read(corpus: Path, columns: Sequence[str] = ("id", "text")) -> pa.Table:
    """Columns of the documents of a corpus, in corpus order."""
    rows = [
        json.loads(line)
        for path in sorted(corpus.glob("part-*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in columns})


def read_planted(corpus: Path) -> list[dict[str, Any]]:
    """What was done to make each document, in corpus order."""
    return [json.loads(line) for line in (corpus / "planted.jsonl").read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    plant(shared_pool(Path(sys.argv[1])), Path(sys.argv[2]), seed=1, num_bytes=int(float(sys.argv[3]) * 1e6), workers=2)
