"""The audit of tokenizers as an artifact: all figures, a row for every piece, and one offline page.

    made = tokenizer_audit(["ours=out/tokenizer", "peer.model"], ["out/corpus"], Path("out/audit"))
    made.path / "index.html"

Writes `audit.json` (every figure of the page), `pieces/N-NAME.parquet` (a row a piece) and `index.html`. Speed has a
clock in it: it goes to `logs/speed.json` and `logs/speed.html`, which the page links and the id does not cover, so the
same audit has the same id on any machine. Refused: speed on the page itself; two machines would disagree on the id of
equal figures, and `jpfm verify` would call one of them changed.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jpfm.core import artifact as artifacts
from jpfm.core import run
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.log import log
from jpfm.report.render import environment
from jpfm.report.tokenizer_audit_page import page_data, speed_data
from jpfm.tokens.audit.boundaries import Words, read_conllu
from jpfm.tokens.audit.measure import AuditSettings, audit, texts_for_speed
from jpfm.tokens.audit.open import Opened, open_tokenizers
from jpfm.tokens.audit.speed import measure_speed
from jpfm.tokens.audit.text import TOTAL, Domain, read_domains

VERSION = 2
FIGURES = "audit.json"
SPEED = "speed.json"


def tokenizer_audit(
    tokenizers: Sequence[str],
    corpora: Sequence[str],
    out: Path,
    *,
    gold: Path | None = None,
    settings: AuditSettings | None = None,
    speed_bytes: int = 4_000_000,
) -> Artifact:
    """Compare tokenizers.

    Args:
        tokenizers: `PATH` or `NAME=PATH`: artifacts, folders of Hugging Face, `.model` files. The first is the measure.
        corpora: `PATH` or `NAME=PATH`: corpora, folders of text, text or JSONL files.
        gold: a treebank in CoNLL-U whose words are right.
        speed_bytes: text that speed is measured on; 0 leaves speed out.
    Raises:
        UsageError, DataError, ArtifactError: what is wrong with a tokenizer or a text, in a line.
    """
    settings = settings or AuditSettings()
    opened = open_tokenizers(tokenizers)
    words = read_conllu(gold) if gold is not None else None
    domains = read_domains(corpora, settings.max_chars, settings.max_document_chars)
    given = [*(one.artifact for one in opened), *(domain.artifact for domain in domains)]
    parents = {one.id: one for one in given if one is not None}

    def work(draft: Draft) -> Finished:
        return _work(draft, opened, domains, words, settings, speed_bytes)

    made = artifacts.produce(
        out,
        kind="report",
        version=VERSION,
        config={
            "report": "tokenizer_audit",
            "settings": settings.identity(),
            "tokenizers": [{"name": one.tokenizer.name, "sha256": one.tokenizer.sha256} for one in opened],
            "domains": [{"name": d.name, "sha256": d.sha256, "corpus": d.artifact and d.artifact.id} for d in domains],
            "gold": artifacts.sha256(gold) if gold is not None else None,
            "speed": bool(speed_bytes),
        },
        parents=list(parents.values()),
        work=work,
    )
    for line in summary(json.loads((made.path / FIGURES).read_text(encoding="utf-8"))):
        log.info("%s", line)
    return made


def _work(
    draft: Draft,
    opened: Sequence[Opened],
    domains: Sequence[Domain],
    gold: Words | None,
    settings: AuditSettings,
    speed_bytes: int,
) -> Finished:
    tokenizers = [one.tokenizer for one in opened]
    draft.status("measuring")
    found = audit(tokenizers, domains, gold, settings)
    folder = draft.path / "pieces"
    folder.mkdir(exist_ok=True)
    files = {}
    for number, (name, table) in enumerate(found.tables.items(), start=1):
        files[name] = f"pieces/{number}-{re.sub(r'[^0-9A-Za-z._-]', '_', name)}.parquet"
        table.write_parquet(draft.path / files[name], compression="zstd")
    trained_on = {one.tokenizer.name: one.artifact.manifest.parents if one.artifact else () for one in opened}
    data = page_data(found.figures, settings, files, trained_on)
    artifacts.write_text(draft.path / FIGURES, artifacts.canonical_json(data["figures"], indent=1) + "\n")
    if speed_bytes:
        draft.status("measuring speed")
        _write_speed(draft, opened, domains, speed_bytes)
    page = environment().get_template("tokenizer_audit.html").render(**data, total=TOTAL, has_speed=bool(speed_bytes))
    artifacts.write_text(draft.path / "index.html", page)
    total = [row for row in found.figures["fertility"] if row["domain"] == TOTAL]
    return Finished(
        {
            "chars_per_token": {row["tokenizer"]: round(row["chars_per_token"], 4) for row in total},
            "chars": total[0]["chars"],
            "domains": len(domains),
        }
    )


def _write_speed(draft: Draft, opened: Sequence[Opened], domains: Sequence[Domain], speed_bytes: int) -> None:
    """Measure and write speed, with the machine it was measured on, into the part without an id."""
    tokenizers = [one.tokenizer for one in opened]
    speeds = measure_speed(tokenizers, texts_for_speed(domains, speed_bytes), speed_bytes)
    data: dict[str, Any] = {
        "hardware": run.hardware().model_dump(),
        "versions": {
            name: version for name, version in run.versions().items() if name in ("sentencepiece", "tokenizers")
        },
        "speeds": [speed._asdict() for speed in speeds],
    }
    artifacts.write_text(draft.logs / SPEED, artifacts.canonical_json(data, indent=1) + "\n")
    page = environment().get_template("tokenizer_speed.html").render(**speed_data(data))
    artifacts.write_text(draft.logs / "speed.html", page)


def summary(figures: dict[str, Any]) -> list[str]:
    """A line a tokenizer, for the terminal."""
    gold = {row["tokenizer"]: row["f1"] for row in figures["boundaries"] if row["against"] == "gold"}
    lines = []
    for row in (row for row in figures["fertility"] if row["domain"] == TOTAL):
        interval = f" [{row['low']:.3f}, {row['high']:.3f}]" if row["low"] is not None else ""
        f1 = gold.get(row["tokenizer"])
        lines.append(
            f"{row['tokenizer']}: {row['chars_per_token']:.3f}{interval} characters a token, "
            f"{row['byte_tokens']:.2%} byte tokens" + (f", F1 {f1:.3f} against gold words" if f1 is not None else "")
        )
    return lines
