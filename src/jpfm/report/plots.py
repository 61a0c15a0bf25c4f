"""The funnel: what happened to the documents, as a picture.

funnel(corpus.manifest.stats, out / "funnel.png")
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import style

from jpfm.core.picture import DARK, LIGHT, finish, new_figure, plain, save, short

_DPI = 200
_MAX_REASONS = 40
_MAX_SOURCES = 8


def funnel(stats: Mapping[str, Any], out: Path, *, steps: Sequence[str] = (), dark: bool = False) -> None:
    """Draw the way of the documents: read, what each reason took away, quarantined, kept.

    Every bar of a loss starts where the bar above ends, so the picture reads like a bill. Split by source in colour for
    two to eight sources.

    Args:
        stats: of a corpus manifest: `total` and `sources`, each with read, kept, dropped, quarantined.
        steps: names of the recipe's steps in order; reasons ("step:reason") are drawn in that order.
    """
    theme = DARK if dark else LIGHT
    sources = dict(stats["sources"])
    if not 2 <= len(sources) <= _MAX_SOURCES:
        sources = {"": stats["total"]}
    bars = funnel_bars(stats["total"], steps)
    total = int(stats["total"]["read"])
    with style.context("default"):
        figure = new_figure(7.6, 0.75 + 0.27 * len(bars) + (0.3 if len(sources) > 1 else 0), theme)
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
                              label=plain(name) if place == 0 else None)  # fmt: skip
                left += width
            share = f"  {bar.count / total:.1%}" if total else ""
            sign = "−" if bar.kind == "loss" else ""
            axes.annotate(f"{sign}{bar.count:,}{share}", (1.012, place), xycoords=("axes fraction", "data"), fontsize=8,
                          va="center", color=theme.ink, annotation_clip=False)  # fmt: skip
        axes.set_yticks(range(len(bars)), [plain(bar.label) for bar in bars], fontsize=8)
        for label in axes.get_yticklabels():
            label.set_parse_math(False)
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlim(0, max(total, 1))
        axes.set_xlabel("documents")
        axes.xaxis.set_major_formatter(lambda value, _: short(value))
        finish(axes, theme, grid="x")
        if len(sources) > 1:
            legend = axes.legend(
                loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=_legend_columns(list(sources)),
                frameon=False, fontsize=8, handlelength=0.9, handleheight=0.9, columnspacing=1.4, labelcolor=theme.ink,
            )  # fmt: skip
            for text in legend.get_texts():
                text.set_parse_math(False)
        save(figure, out)


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


def _legend_columns(names: Sequence[str]) -> int:
    """All names in one row where they fit, else in two rows."""
    return len(names) if sum(len(plain(name)) + 6 for name in names) <= 90 else (len(names) + 1) // 2
