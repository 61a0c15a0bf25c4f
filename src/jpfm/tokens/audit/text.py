"""The text an audit measures on: domains out of corpora, folders and files, of each a bounded sample, always the same.

    domains = read_domains(["out/corpus", "law=texts/law.jsonl"], 2_000_000, 100_000)

A domain is a source of a corpus, or a file, or a folder. Of a corpus the held-out split is read where it keeps one: a
tokenizer that was trained on the rest has not seen it; a source without held-out documents is no domain then, and the
others say so (`Domain.absent`). Which documents are taken follows from a hash of their ids, not
from their order, until the sample is full; of a long document the beginning is taken, cut at a line end.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from jpfm.core.artifact import MANIFEST, Artifact, open_artifact
from jpfm.core.errors import ArtifactError, DataError, UsageError
from jpfm.core.log import log
from jpfm.data.build import read_documents
from jpfm.text.kernels import hash_rows
from jpfm.tokens.audit.open import named

Split = Literal["held_out", "all", "files"]
_TEXT = (".txt", ".md", ".text")
_LINES = (".jsonl", ".ndjson")
_SUFFIXES = tuple(suffix + packed for suffix in (*_TEXT, *_LINES) for packed in ("", ".gz"))
TOTAL = "*"
"""The name of a row over all domains."""
_BATCH = 512
"""Documents of files that are ranked at a time."""


class Absent(NamedTuple):
    """A source of a corpus that gives no domain."""

    name: str
    """As the domain would be called."""
    documents: int
    """That the corpus keeps of it: all of them in train, or without text."""
    held_out: int


class Domain(NamedTuple):
    """Texts of one kind."""

    name: str
    texts: tuple[str, ...]
    documents: int
    """Documents that there are; `texts` is the sample."""
    split: Split
    artifact: Artifact | None
    sha256: str
    """Of the names and bytes of the files; empty for a corpus, whose id says it."""
    absent: tuple[Absent, ...] = ()
    """Other sources of the same corpus that are measured nowhere."""


class _Sample:
    """The documents of lowest hash that fill a number of characters; what cannot be among them is let go."""

    def __init__(self, max_chars: int, max_document_chars: int) -> None:
        self._max_chars, self._max_document_chars = max_chars, max_document_chars
        self._parts: list[pl.DataFrame] = []
        self._held = 0
        self.documents = 0

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        self.documents += len(ids)
        shown = [head(text, self._max_document_chars) for text in texts]
        keys = hash_rows(pa.array(ids, pa.string()))
        chars = np.fromiter(map(len, shown), dtype=np.int64, count=len(shown))
        self._parts.append(pl.DataFrame({"key": keys, "id": list(ids), "text": shown, "chars": chars}))
        self._held += int(chars.sum())
        if self._held > 3 * self._max_chars:
            self._parts = [self._kept()]
            self._held = int(self._parts[0]["chars"].sum())

    def _kept(self) -> pl.DataFrame:
        every = pl.concat(self._parts).filter(pl.col("chars") > 0).sort("key", "id")
        return every.filter(pl.col("chars").cum_sum() - pl.col("chars") < self._max_chars)

    def texts(self) -> tuple[str, ...]:
        return tuple(self._kept()["text"].to_list()) if self._parts else ()


def head(text: str, limit: int) -> str:
    """The beginning of a long text, to the last line end before the limit where there is one.

    >>> head("一行目\\n二行目\\n三行目", 9)
    '一行目\\n二行目'
    """
    if len(text) <= limit:
        return text
    cut = text.rfind("\n", 0, limit)
    return text[: cut if cut > 0 else limit]


def read_domains(specs: Sequence[str], max_chars: int, max_document_chars: int) -> list[Domain]:
    """Read the domains of an audit, in the order named; sources of a corpus in its own order.

    Args:
        specs: `PATH` or `NAME=PATH`: corpora, folders or files.
        max_chars: characters of a domain that are measured.
        max_document_chars: characters of one document that are.
    Raises:
        UsageError: nothing is there, or two domains have one name.
        DataError: a file is no UTF-8 or not what its name says, or there is no text.
    """
    if not specs:
        raise UsageError("tokenizer audit: --corpus is missing", hint="--corpus out/corpus, or --corpus law=law.jsonl")
    domains: list[Domain] = []
    for spec in specs:
        name, path = named(spec)
        if not path.exists():
            raise UsageError(f"--corpus {path}: no such file or folder", hint="name a corpus, a folder or a text file")
        if path.is_dir() and ((path / MANIFEST).exists() or path.with_name(path.name + ".partial").exists()):
            domains += _of_corpus(open_artifact(path, "corpus"), name, max_chars, max_document_chars)
        else:
            domains.append(_of_files(path, name, max_chars, max_document_chars))
    names = [domain.name for domain in domains]
    for one in names:
        if one == TOTAL:
            raise UsageError(f"a domain cannot be called '{TOTAL}'", hint="it stands for all of them")
        if names.count(one) > 1:
            raise UsageError(
                f"two domains are called '{one}'", hint="name them apart: --corpus old=PATH --corpus new=PATH"
            )
    return domains


def _of_corpus(corpus: Artifact, name: str | None, max_chars: int, max_document_chars: int) -> Iterator[Domain]:
    held_out = bool(corpus.manifest.stats["total"].get("held_out"))
    sources = list(corpus.manifest.stats["sources"])
    samples = {source: _Sample(max_chars, max_document_chars) for source in sources}
    for batch in read_documents(corpus, ["id", "source", "text"], split="held_out" if held_out else None):
        table = pl.DataFrame(pl.from_arrow(batch))
        for (source,), rows in table.group_by(["source"], maintain_order=True):
            samples[str(source)].add(rows["id"].to_list(), rows["text"].to_list())
    found = [
        Domain(source, sample.texts(), sample.documents, "held_out" if held_out else "all", corpus, "")
        for source, sample in samples.items()
    ]
    full = [domain for domain in found if domain.texts]
    if not full:
        raise ArtifactError(f"{corpus.path}: holds no text", hint="build the corpus again, or name another")
    if name is not None:
        full = [one._replace(name=name if len(full) == 1 else f"{name}/{one.name}") for one in full]
    stats = corpus.manifest.stats["sources"]
    absent = tuple(
        Absent(
            one.name if name is None else f"{name}/{one.name}",
            int(stats[one.name]["kept"]),
            int(stats[one.name]["held_out"]),
        )
        for one in found
        if not one.texts
    )
    if absent:
        listed = (
            f"{one.name} ({one.documents:,} document{'s' * (one.documents != 1)}, {one.held_out:,} held out)"
            for one in absent
        )
        log.warning("%s: not measured: %s", corpus.path, ", ".join(listed))
    yield from (one._replace(absent=absent) for one in full)


def _of_files(path: Path, name: str | None, max_chars: int, max_document_chars: int) -> Domain:
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    if path.is_dir():
        files = [file for file in files if file.name.endswith(_SUFFIXES)]
    if not files:
        raise DataError(f"--corpus {path}: no text in this folder", hint=f"files read: {', '.join(_SUFFIXES)}")
    sample, digest = _Sample(max_chars, max_document_chars), hashlib.sha256()
    for file in files:
        relative = file.name if path.is_file() else file.relative_to(path).as_posix()
        data = file.read_bytes()
        digest.update(f"{relative}\n{hashlib.sha256(data).hexdigest()}\n".encode())
        ids: list[str] = []
        texts: list[str] = []
        for number, text in enumerate(_documents(file, data)):
            ids.append(f"{relative}#{number}")
            texts.append(text)
            if len(ids) == _BATCH:
                sample.add(ids, texts)
                ids, texts = [], []
        sample.add(ids, texts)
    taken = sample.texts()
    if not taken:
        raise DataError(f"--corpus {path}: holds no text", hint="name files with text in them")
    return Domain(name or _stem(path), taken, sample.documents, "files", None, digest.hexdigest())


def _stem(path: Path) -> str:
    found = path.absolute().name
    return next(
        (found.removesuffix(one) for one in sorted(_SUFFIXES, key=len, reverse=True) if found.endswith(one)), found
    )


def _documents(file: Path, data: bytes) -> Iterator[str]:
    """The texts of one file: its lines where it is JSON lines, else one."""
    name = file.name.removesuffix(".gz")
    if not name.endswith((*_TEXT, *_LINES)):
        raise UsageError(f"--corpus {file}: cannot read this kind of file", hint=f"files read: {', '.join(_SUFFIXES)}")
    if file.name.endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise DataError(f"{file}: is no whole gzip file: {error}", hint="copy it again") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: byte {error.start:,} is not UTF-8",
            hint="build a corpus of it (jpfm data build), which decodes it",
        ) from error
    if name.endswith(_TEXT):
        yield text
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _text_field(file, number, line)


def _text_field(file: Path, number: int, line: str) -> str:
    try:
        found: Any = json.loads(line)
    except ValueError as error:
        raise DataError(f"{file}:{number}: is not JSON: {error}", hint="one object a line") from error
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        keys = ", ".join(sorted(found)[:8]) if isinstance(found, dict) else type(found).__name__
        raise DataError(f"{file}:{number}: has no text in the field 'text'", hint=f"found: {keys}")
    try:
        found["text"].encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{file}:{number}: character {error.start:,} is half a surrogate pair", hint="the text was damaged before"
        ) from error
    return str(found["text"])
