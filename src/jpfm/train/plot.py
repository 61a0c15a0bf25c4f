"""A picture of the loss over training tokens.

loss_curve(run / "logs" / "metrics.jsonl", out / "loss.png")
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import style

from jpfm.core.errors import DataError
from jpfm.core.picture import DARK, LIGHT, Theme, finish, new_figure, plain, save, short

_LINES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Curve:
    """A loss curve: training tokens and loss of each step, in order of tokens."""

    tokens: npt.NDArray[np.float64]
    loss: npt.NDArray[np.float64]
    num_left_out: int
    """Lines without a finite loss, or unreadable."""


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
    theme = DARK if dark else LIGHT
    with style.context("default"):
        figure = new_figure(7.6, 3.5, theme)
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
            ends.append((curve.tokens[-1], mean[-1], plain(name), colour))
        _label_ends(axes, ends, theme)
        axes.set_xlabel("training tokens")
        axes.set_ylabel("loss (nats per token)")
        axes.xaxis.set_major_formatter(lambda value, _: short(value))
        axes.set_xlim(left=0)
        finish(axes, theme, grid="both")
        save(figure, out)


def _label_ends(axes: Any, ends: Sequence[tuple[float, float, str, str]], theme: Theme) -> None:
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
