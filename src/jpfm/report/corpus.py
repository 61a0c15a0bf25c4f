"""One HTML page by which a person judges a corpus: what was kept, dropped, masked, changed and not read.

    write_page(open_artifact(Path("out/corpus"), "corpus"), Path("corpus.html"), samples=8)

Samples are chosen by a hash of the document's id and row, so the same corpus gives the same page and nobody picks the
pretty ones. Masks are marked in the text. Everything shown is untrusted and goes through escaping and `visible`.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow.parquet as pq

from jpfm.core.artifact import Artifact, write_text
from jpfm.data import contamination
from jpfm.data.steps.frequent_lines import BOILERPLATE
from jpfm.report.background import corpus_view
from jpfm.report.render import environment
from jpfm.report.scores import Words

KEPT_CHARS = 1200
DROPPED_CHARS = 600
WINDOW_CHARS = 60
WINDOWS = 4
MOVES_TEXT = {"normalize", "repair_mojibake", "frequent_lines", "mask_personal_data"}
"""Steps after which places noted before no longer hold."""
_FACTS = ("licence", "url", "lang", "date", "encoding")


class Part(NamedTuple):
    """A stretch of text; `mark` names the class of personal data that stood there."""

    text: str
    mark: str


class Sample(NamedTuple):
    """One document to read."""

    id: str
    title: str
    facts: tuple[tuple[str, str], ...]
    figures: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    left_out: int
    """Characters not shown."""


class Reason(NamedTuple):
    """Documents dropped or quarantined for one reason."""

    key: str
    documents: int
    samples: tuple[Sample, ...]


class Change(NamedTuple):
    """One place before and after an edit, where the recipe asked to keep it."""

    id: str
    kind: str
    before: str
    after: str


def write_page(corpus: Artifact, out: Path, *, samples: int = 8, originals: bool = False) -> None:
    """Write the page.

    Args:
        samples: documents shown of each source, and of each reason.
        originals: show text as it was before edits, where the recipe kept it. It may be personal data.
    """
    notices: list[Words] = []
    view = corpus_view(corpus, (), notices)
    steps = [str(step["step"]) for step in corpus.manifest.config["steps"]]
    page = {
        "corpus": view,
        "notices": notices,
        "kept": [(name, tuple(_kept(corpus, name, samples))) for name in corpus.manifest.stats["sources"]],
        "masked": tuple(_masked(corpus, samples * 2)) if _places_hold(steps) else (),
        "masks_moved": not _places_hold(steps),
        "dropped": list(_dropped(corpus, samples)),
        "quarantined": list(_quarantined(corpus, samples)),
        "contamination": contamination.touched(corpus) if contamination.STEP in steps else [],
        "changes": list(_changes(corpus, samples)) if originals else [],
        "originals_shown": originals,
        "originals_kept": bool(_files(corpus, "dropped/originals")),
        "boilerplate": _boilerplate(corpus, samples * 4),
    }
    write_text(out, environment().get_template("corpus.html").render(**page))


def _places_hold(steps: Sequence[str]) -> bool:
    """True when no step moved text after the masks were noted."""
    after = steps[steps.index("mask_personal_data") + 1 :] if "mask_personal_data" in steps else []
    return not MOVES_TEXT.intersection(after)


def _files(corpus: Artifact, folder: str) -> list[Path]:
    return sorted((corpus.path / folder).glob("*.parquet"))


def _rank(identity: str) -> bytes:
    return hashlib.sha256(identity.encode()).digest()


def _pick(files: Sequence[Path], where: pl.Expr, number: int) -> list[dict[str, Any]]:
    """Rows of several files that meet a condition: the `number` of them whose ids hash lowest."""
    found: list[tuple[bytes, Path, int]] = []
    for file in files:
        ids = pl.scan_parquet(file).with_row_index("_row").filter(where).select("_row", "id").collect()
        found += [(_rank(f"{identity} {row}"), file, row) for row, identity in ids.iter_rows()]
        found = sorted(found)[:number]
    rows: dict[tuple[Path, int], dict[str, Any]] = {}
    for file in {file for _, file, _ in found}:  # each file is read once, and only its chosen rows are kept
        numbers = [row for _, other, row in found if other == file]
        chosen = pl.scan_parquet(file).with_row_index("_row").filter(pl.col("_row").is_in(numbers)).collect()
        rows |= {(file, row.pop("_row")): row for row in chosen.to_dicts()}
    return [rows[file, row] for _, file, row in found]


def _kept(corpus: Artifact, source: str, number: int) -> Iterator[Sample]:
    for row in _pick(_files(corpus, "documents"), pl.col("source") == source, number):
        yield _sample(row, KEPT_CHARS)


def _sample(row: dict[str, Any], limit: int) -> Sample:
    text = row["text"]
    spans = [(span["start"], span["length"], span["class"]) for span in row.get("pii_spans") or []]
    figures = tuple(
        (name, f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}")
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name != "decode_confidence"
    )
    facts = tuple((name, row[name]) for name in _FACTS if row.get(name))
    return Sample(
        row["id"], row.get("title") or "", facts, figures, tuple(_parts(text[:limit], spans)), max(0, len(text) - limit)
    )


def _parts(text: str, spans: Sequence[tuple[int, int, str]], offset: int = 0) -> Iterator[Part]:
    at = 0
    for start, length, kind in sorted(spans):
        begin, end = max(start - offset, at), min(start - offset + length, len(text))
        if begin >= end:
            continue
        if begin > at:
            yield Part(text[at:begin], "")
        yield Part(text[begin:end], kind)
        at = end
    if at < len(text):
        yield Part(text[at:], "")


def _masked(corpus: Artifact, number: int) -> Iterator[Sample]:
    """Documents with masks: the text around each."""
    files = [file for file in _files(corpus, "documents") if "pii_spans" in pq.read_schema(file).names]
    for row in _pick(files, pl.col("pii_count") > 0, number):
        text, parts = row["text"], []
        spans = [(span["start"], span["length"], span["class"]) for span in row["pii_spans"]]
        for begin, end in _windows(spans, len(text))[:WINDOWS]:
            window = re.sub(r"\s", " ", text[begin:end])
            parts += [Part("… ", ""), *_parts(window, spans, begin), Part(" …\n", "")]
        facts = (("pii_count", f"{row['pii_count']:,}"),)
        yield Sample(row["id"], row["title"], facts, (), tuple(parts), 0)


def _windows(spans: Sequence[tuple[int, int, str]], length: int) -> list[tuple[int, int]]:
    """Stretches of text around the spans; those that touch are one."""
    found: list[tuple[int, int]] = []
    for start, size, _ in sorted(spans):
        begin, end = max(0, start - WINDOW_CHARS), min(length, start + size + WINDOW_CHARS)
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return found


def _dropped(corpus: Artifact, number: int) -> Iterator[Reason]:
    for key, count in sorted(corpus.manifest.stats["total"]["dropped"].items(), key=lambda item: -item[1]):
        step, _, reason = key.partition(":")
        rows = _pick(_files(corpus, "dropped"), (pl.col("step") == step) & (pl.col("reason") == reason), number)
        yield Reason(key, count, tuple(_dropped_sample(row) for row in rows))


def _dropped_sample(row: dict[str, Any]) -> Sample:
    figure = []
    if row["value"] is not None:
        against = f" / {row['threshold']:.4g}" if row["threshold"] is not None else ""
        figure.append(("value / threshold", f"{row['value']:.4g}{against}"))
    if row["detail"]:
        figure.append(("detail", row["detail"]))
    text = row["text"] or ""
    return Sample(
        row["id"], "", (), tuple(figure), (Part(text[:DROPPED_CHARS], ""),), max(0, len(text) - DROPPED_CHARS)
    )


def _quarantined(corpus: Artifact, number: int) -> Iterator[Reason]:
    for key, count in sorted(corpus.manifest.stats["total"]["quarantined"].items(), key=lambda item: -item[1]):
        rows = _pick(_files(corpus, "quarantined"), pl.col("error") == key, number)
        samples = tuple(Sample(row["id"], "", (), (), (Part(row["detail"], ""),), 0) for row in rows)
        yield Reason(key, count, samples)


def _boilerplate(corpus: Artifact, number: int) -> list[dict[str, Any]]:
    """The lines that `frequent_lines` removed, the most frequent first."""
    file = corpus.path / BOILERPLATE
    if not file.exists():
        return []
    return pl.read_parquet(file).sort("documents", "line", descending=[True, False]).head(number).to_dicts()


def _changes(corpus: Artifact, number: int) -> Iterator[Change]:
    """Some of each kind, so that the frequent ones do not hide the rare."""
    files = _files(corpus, "dropped/originals")
    kinds = sorted({pair for file in files for pair in pl.read_parquet(file).select("step", "kind").unique().rows()})
    for step, kind in kinds:
        chosen = (pl.col("step") == step) & (pl.col("kind") == kind) & pl.col("before").is_not_null()
        for row in _pick(files, chosen, number):
            yield Change(row["id"], f"{step}:{kind}", row["before"], row["after"] or "")
