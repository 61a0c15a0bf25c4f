"""The pictures of a report: loss against training tokens, and what happened to the documents.

    loss_curve(run / "logs" / "metrics.jsonl", out / "loss.png")
    funnel(corpus.manifest.stats, out / "funnel.png")

Same input, same bytes: matplotlib's own style and font (DejaVu Sans), no user settings, no software name in the file.
So labels are English and ASCII; the page around them says the same in Japanese. Refused: an installed Japanese font,
which would make the bytes depend on the machine.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jpfm.core.errors import DataError
from jpfm.report.visible import visible

_DPI = 200
_MAX_REASONS = 40
_MAX_SOURCES = 8
_LINES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Curve:
    """A loss curve: training tokens and loss of each step, in order of tokens."""

    tokens: npt.NDArray[np.float64]
    loss: npt.NDArray[np.float64]
    num_left_out: int
    """Lines without a finite loss, or unreadable."""


@dataclass(frozen=True)
class _Theme:
    paper: str
    ink: str
    muted: str
    grid: str
    palette: tuple[str, ...]


# Okabe and Ito's palette without its yellow, told apart with any common colour vision; lightened for dark paper
_LIGHT = _Theme(
    "#ffffff", "#1b1f24", "#57606a", "#e4e8ec",
    ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C", "#7A5C00"),
)  # fmt: skip
_DARK = _Theme(
    "#14171a", "#e6e8ea", "#a4adb6", "#2b3137",
    ("#4A9FD8", "#F0B33A", "#2DBE93", "#E09BC2", "#9AD3F5", "#F08040", "#A8A8A8", "#B99A45"),
)  # fmt: skip


def read_curve(metrics: Path) -> Curve:
    """Read a metrics file; where a resumed run repeats a step, its last line counts.

    Raises:
        DataError: no line holds a finite loss and a token count.
    """
    rows: dict[int, tuple[float, float]] = {}
    left_out = 0
    for line in metrics.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            tokens, loss = float(row["tokens"]), float(row["loss"])
            step = int(row["step"])
        except (ValueError, KeyError, TypeError):
            left_out += 1
            continue
        if np.isfinite(loss) and np.isfinite(tokens):
            rows[step] = (tokens, loss)
        else:
            left_out += 1
    if not rows:
        raise DataError(
            f"{metrics}: no line holds a finite 'loss' and 'tokens'", hint="a trainer writes one JSON object a line"
        )
    points = np.array(sorted(rows.values()), dtype=np.float64)
    return Curve(points[:, 0], points[:, 1], left_out)


def smoothed(loss: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Centred running mean over a fortieth of the points, five at least; shorter at the ends: no lag and no gap.

    Below twenty points the values themselves: a mean of so few hides what they say.
    """
    half = max(2, len(loss) // 80) if len(loss) >= 20 else 0
    sums = np.concatenate([[0.0], np.cumsum(loss)])
    places = np.arange(len(loss))
    low, high = np.maximum(places - half, 0), np.minimum(places + half + 1, len(loss))
    return np.asarray((sums[high] - sums[low]) / (high - low), dtype=np.float64)


def loss_curve(metrics: Path | Mapping[str, Path], out: Path, *, dark: bool = False) -> None:
    """Draw loss (nats a token) against training tokens: raw values thin, their running mean thick.

    Args:
        metrics: one metrics.jsonl, or several by the name to write beside the line.
        dark: light lines on dark paper.
    Raises:
        DataError: a file holds no loss.
    """
    files = {"": metrics} if isinstance(metrics, Path) else metrics
    theme = _DARK if dark else _LIGHT
    with style.context("default"):
        figure = _figure(7.6, 3.5, theme)
        axes = figure.add_subplot()
        ends: list[tuple[float, float, str, str]] = []
        for position, (name, file) in enumerate(files.items()):
            curve = read_curve(file)
            colour = theme.palette[position % len(theme.palette)]
            line = _LINES[position // len(theme.palette) % len(_LINES)]
            mean = smoothed(curve.loss)
            marker = "o" if len(mean) == 1 else None
            axes.plot(curve.tokens, curve.loss, color=colour, linewidth=0.6, alpha=0.35, zorder=2)
            axes.plot(curve.tokens, mean, line, color=colour, linewidth=1.8, marker=marker, markersize=4, zorder=3)
            ends.append((curve.tokens[-1], mean[-1], _plain(name), colour))
        _label_ends(axes, ends, theme)
        axes.set_xlabel("training tokens")
        axes.set_ylabel("loss (nats per token)")
        axes.xaxis.set_major_formatter(lambda value, _: _short(value))
        axes.set_xlim(left=0)
        _finish(axes, theme, grid="both")
        _save(figure, out)


def _label_ends(axes: Any, ends: Sequence[tuple[float, float, str, str]], theme: _Theme) -> None:
    """Write name and last loss right of each line's end, pushed apart where they would meet."""
    low, high = axes.get_ylim()
    gap = (high - low) * 0.062
    place = -np.inf
    right = max(end[0] for end in ends)
    for tokens, loss, name, colour in sorted(ends, key=lambda end: (end[1], end[2])):
        place = max(loss, place + gap)
        text = f"{loss:.3f}  {name}".rstrip()
        axes.plot([tokens], [loss], "o", color=colour, markersize=3.5, zorder=4)
        axes.annotate(
            text, (1.012, place), xycoords=("axes fraction", "data"), fontsize=8, va="center", color=theme.ink,
            parse_math=False, annotation_clip=False,
        )  # fmt: skip
        axes.annotate(
            "", (1.008, place), xytext=(tokens, loss), xycoords=("axes fraction", "data"), textcoords="data",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "linestyle": ":"}, annotation_clip=False,
        )  # fmt: skip
    axes.set_xlim(right=right * 1.01 if right > 0 else 1)


def funnel(stats: Mapping[str, Any], out: Path, *, steps: Sequence[str] = (), dark: bool = False) -> None:
    """Draw the way of the documents: read, what each reason took away, quarantined, kept.

    Every bar of a loss starts where the bar above ends, so the picture reads like a bill. Split by source in colour for
    two to eight sources.

    Args:
        stats: of a corpus manifest: `total` and `sources`, each with read, kept, dropped, quarantined.
        steps: names of the recipe's steps in order; reasons ("step:reason") are drawn in that order.
    """
    theme = _DARK if dark else _LIGHT
    sources = dict(stats["sources"])
    if not 2 <= len(sources) <= _MAX_SOURCES:
        sources = {"": stats["total"]}
    bars = funnel_bars(stats["total"], steps)
    total = int(stats["total"]["read"])
    with style.context("default"):
        figure = _figure(7.6, 0.75 + 0.27 * len(bars) + (0.3 if len(sources) > 1 else 0), theme)
        axes = figure.add_subplot()
        remaining = total
        for place, bar in enumerate(bars):
            left = float(remaining - bar.count if bar.kind == "loss" else 0)
            remaining -= bar.count if bar.kind == "loss" else 0
            for position, (name, entry) in enumerate(sources.items()):
                width = bar.of(entry)
                colour = theme.palette[position % len(theme.palette)]
                if width or place == 0:  # an edge keeps the smallest count visible, so none is drawn for none
                    axes.barh(place, width, left=left, height=0.66, color=colour, edgecolor=colour, linewidth=0.5,
                              label=_plain(name) if place == 0 else None)  # fmt: skip
                left += width
            share = f"  {bar.count / total:.1%}" if total else ""
            sign = "−" if bar.kind == "loss" else ""
            axes.annotate(f"{sign}{bar.count:,}{share}", (1.012, place), xycoords=("axes fraction", "data"), fontsize=8,
                          va="center", color=theme.ink, annotation_clip=False)  # fmt: skip
        axes.set_yticks(range(len(bars)), [_plain(bar.label) for bar in bars], fontsize=8)
        for label in axes.get_yticklabels():
            label.set_parse_math(False)
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlim(0, max(total, 1))
        axes.set_xlabel("documents")
        axes.xaxis.set_major_formatter(lambda value, _: _short(value))
        _finish(axes, theme, grid="x")
        if len(sources) > 1:
            legend = axes.legend(
                loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=_legend_columns(list(sources)),
                frameon=False, fontsize=8, handlelength=0.9, handleheight=0.9, columnspacing=1.4, labelcolor=theme.ink,
            )  # fmt: skip
            for text in legend.get_texts():
                text.set_parse_math(False)
        _save(figure, out)


@dataclass(frozen=True)
class FunnelBar:
    """One line of the funnel: what it is called, how many documents, and which keys of the stats it adds up."""

    label: str
    kind: str
    count: int
    group: str
    keys: tuple[str, ...]

    def of(self, entry: Mapping[str, Any]) -> int:
        """The documents of one source in this bar."""
        if not self.keys:
            return int(entry[self.group])
        return sum(int(entry[self.group].get(key, 0)) for key in self.keys)


def funnel_bars(total: Mapping[str, Any], steps: Sequence[str]) -> list[FunnelBar]:
    """The lines of the funnel, top to bottom; the smallest reasons beyond forty are joined into one that says so."""
    reasons = in_step_order(total["dropped"], steps)
    kept = sorted(reasons, key=lambda key: (-total["dropped"][key], key))[:_MAX_REASONS]
    shown = [key for key in reasons if key in kept]
    rest = tuple(key for key in reasons if key not in kept)
    losses: list[tuple[str, str, tuple[str, ...]]] = [(key, "dropped", (key,)) for key in shown]
    if rest:
        losses.append((f"{len(rest)} smaller reasons", "dropped", rest))
    # a document is quarantined while it is read, before any step sees it
    bad = [(f"quarantined: {key}", "quarantined", (key,)) for key in sorted(total["quarantined"])]
    bars = [FunnelBar("read", "whole", int(total["read"]), "read", ())]
    for label, group, keys in bad + losses:
        bars.append(FunnelBar(label, "loss", sum(int(total[group][key]) for key in keys), group, keys))
    return [*bars, FunnelBar("kept", "whole", int(total["kept"]), "kept", ())]


def in_step_order(keys: Mapping[str, Any] | Sequence[str], steps: Sequence[str]) -> list[str]:
    """Keys "step:what" in the order of the recipe's steps; steps that are not in it come last, by name."""
    rank = {name: position for position, name in reversed(list(enumerate(steps)))}
    return sorted(keys, key=lambda key: (rank.get(key.split(":")[0], len(rank) + len(steps)), key))


def _figure(width: float, height: float, theme: _Theme) -> Any:
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor=theme.paper)
    FigureCanvasAgg(figure)
    return figure


def _finish(axes: Any, theme: _Theme, *, grid: str) -> None:
    axes.set_facecolor(theme.paper)
    axes.grid(axis=grid, color=theme.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.muted)
    axes.tick_params(colors=theme.muted, labelsize=8, width=0.7, length=3)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(theme.muted)
        label.set_size(8.5)
    for label in axes.get_yticklabels():
        label.set_color(theme.ink)


def _save(figure: Any, out: Path) -> None:
    figure.savefig(out, format="png", facecolor=figure.get_facecolor(), metadata={"Software": None})


def _short(value: float) -> str:
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _legend_columns(names: Sequence[str]) -> int:
    """All names in one row where they fit, else in two rows."""
    return len(names) if sum(len(_plain(name)) + 6 for name in names) <= 90 else (len(names) + 1) // 2


def _plain(text: str) -> str:
    """The font has no Japanese: question marks stand for what is not ASCII. The page numbers the models beside it."""
    shown = visible(text).replace("\n", " ").encode("ascii", "replace").decode("ascii")
    return shown if len(shown) <= 44 else shown[:43] + "…"
