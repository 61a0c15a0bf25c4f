"""A picture of the loss over training tokens, from the metrics file."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jpfm.train.meter import read_metrics


def loss_curve(metrics: Path, out: Path) -> None:
    """Draw loss in nats a token against tokens seen: each step thin, a running mean thick. Same input, same bytes."""
    rows = list(read_metrics(metrics))
    tokens = np.array([row["tokens"] for row in rows], dtype=np.float64)
    loss = np.array([row["loss"] for row in rows], dtype=np.float64)
    figure = Figure(figsize=(7.2, 3.6), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if len(rows):
        axes.plot(tokens, loss, color="#9db4c8", linewidth=0.8)
        window = max(1, len(rows) // 40)
        smooth = np.convolve(loss, np.ones(window) / window, mode="valid")
        axes.plot(tokens[window - 1 :], smooth, color="#0b4f8a", linewidth=1.8)
        axes.annotate(f"{smooth[-1]:.3f}", (tokens[-1], smooth[-1]), xytext=(4, 4), textcoords="offset points", fontsize=8)
    axes.set_xlabel("training tokens")
    axes.set_ylabel("loss, nats a token")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}M" if value >= 1e5 else f"{value / 1e3:g}k")
    figure.savefig(out, format="png", metadata={"Software": None})
