"""Turns a `Page` into one HTML file that needs nothing else and may load nothing else.

    html = render(page, {"loss": Picture(light_png, dark_png)})

All text is untrusted: hidden characters become visible (`finalize`), then everything is escaped (autoescape). The
Content-Security-Policy in the page forbids the network and any script but the one whose hash it names.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from jpfm.report.columns import Column
from jpfm.report.page import Page
from jpfm.report.scores import ANSWER_CHARS, PROMPT_CHARS, SAMPLE_EACH, Words
from jpfm.report.visible import visible

_TEMPLATES = Path(__file__).parent / "templates"
GROUP_TITLES = {
    "language": Words(ja="言語理解", en="Language"),
    "knowledge": Words(ja="知識", en="Knowledge"),
    "reasoning": Words(ja="推論", en="Reasoning"),
    "business": Words(ja="業務", en="Business"),
    "safety": Words(ja="安全性", en="Safety"),
    "modelling": Words(ja="言語モデリング", en="Language modelling"),
}
METRIC_TITLES = {
    "accuracy": Words(ja="正解率", en="accuracy"),
    "exact_match": Words(ja="完全一致率", en="exact match"),
    "bits_per_character": Words(ja="1文字あたりビット数", en="bits per character"),
    "char_f1": Words(ja="文字F1", en="character F1"),
}
BASELINE_TITLES = {
    "random": Words(ja="無作為", en="random"),
    "majority": Words(ja="最頻", en="majority"),
}


class Picture(NamedTuple):
    """A PNG for light and one for dark surroundings."""

    light: bytes
    dark: bytes


def render(page: Page, pictures: Mapping[str, Picture]) -> str:
    """The page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": figure,
        "count": count,
        "ordered": ordered,
        "summed": summed,
        "dimensions": dimensions,
        "levels": levels,
        "error_classes": error_classes,
    }
    script = (_TEMPLATES / "leaderboard.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("leaderboard.html").render(
        page=page,
        pictures={name: {"light": _uri(both.light), "dark": _uri(both.dark)} for name, both in pictures.items()},
        script=script,
        style=(_TEMPLATES / "leaderboard.css").read_text(encoding="utf-8"),
        script_hash=digest,
        groups=GROUP_TITLES,
        metrics=METRIC_TITLES,
        baselines=BASELINE_TITLES,
        sample_each=SAMPLE_EACH,
        answer_chars=ANSWER_CHARS,
        prompt_chars=PROMPT_CHARS,
    )


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def figure(value: float | None) -> str:
    """A score: three decimals, so that columns line up; an en dash where there is none."""
    return "–" if value is None else f"{value:,.3f}".replace("-", "−")


def count(value: float | None) -> str:
    """A whole number with thousands separated; an en dash where there is none."""
    return "–" if value is None else f"{value:,}"


def ordered(baselines: Mapping[str, float]) -> list[tuple[str, float]]:
    """Baselines, the random one first, as on the bars from top to bottom."""
    return sorted(baselines.items(), key=lambda pair: (pair[0] != "random", pair[0]))


def summed(counts: Mapping[str, Any], key: str) -> int:
    """A count, or the sum of one by reason; 0 where the corpus says nothing."""
    found = counts.get(key, 0)
    return sum(found.values()) if isinstance(found, Mapping) else int(found)


def dimensions(column: Column) -> list[str]:
    """What the scores of a column are also given by (level, ...)."""
    return sorted({name for cell in column.cells.values() for name, parts in cell.score.by.items() if parts})


def levels(column: Column, dimension: str) -> list[str]:
    """The parts of one dimension, numbers in their order."""
    found = {level for cell in column.cells.values() for level in cell.score.by.get(dimension, {})}
    return sorted(found, key=lambda level: (not level.isdecimal(), int(level) if level.isdecimal() else 0, level))


def error_classes(column: Column) -> list[str]:
    """The error classes of a column, the most frequent first."""
    totals: Counter[str] = Counter()
    for cell in column.cells.values():
        totals.update(cell.score.errors)
    return sorted(totals, key=lambda name: (-totals[name], name))
