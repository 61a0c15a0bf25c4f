"""How pictures look: one theme for light and dark paper. Same input, same bytes.

matplotlib's own style and font (DejaVu Sans), no user settings, no software name in the file. So labels are English and
ASCII; a page around them says the same in Japanese. Refused: an installed Japanese font, which would make the bytes
depend on the machine.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_DPI = 200


@dataclass(frozen=True)
class Theme:
    """Colours of paper, text and lines."""

    paper: str
    ink: str
    muted: str
    grid: str
    palette: tuple[str, ...]


# Okabe and Ito's palette without its yellow, told apart with any common colour vision; lightened for dark paper
LIGHT = Theme(
    "#ffffff", "#1b1f24", "#57606a", "#e4e8ec",
    ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C", "#7A5C00"),
)  # fmt: skip
DARK = Theme(
    "#14171a", "#e6e8ea", "#a4adb6", "#2b3137",
    ("#4A9FD8", "#F0B33A", "#2DBE93", "#E09BC2", "#9AD3F5", "#F08040", "#A8A8A8", "#B99A45"),
)  # fmt: skip


def new_figure(width: float, height: float, theme: Theme) -> Any:
    """An empty figure in inches, drawn by Agg."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor=theme.paper)
    FigureCanvasAgg(figure)
    return figure


def finish(axes: Any, theme: Theme, *, grid: str) -> None:
    """Colours, grid and spines of a theme."""
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


def save(figure: Any, out: Path) -> None:
    """Write a PNG without the name of the software."""
    figure.savefig(out, format="png", facecolor=figure.get_facecolor(), metadata={"Software": None})


def short(value: float) -> str:
    """A number with its thousands as a letter."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def plain(text: str) -> str:
    """Text that the font can draw: a question mark for what is not printable ASCII, cut at 44 characters."""
    shown = "".join(char if char.isascii() and char.isprintable() else "?" for char in text.replace("\n", " "))
    return shown if len(shown) <= 44 else shown[:43] + "…"
