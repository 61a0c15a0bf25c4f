"""Which charts a run's page has, of what, and the marks of what happened to the run.

    charts, absent = charts_of_one(run)
    marks = marks_of(run)

A chart that nobody recorded anything for is left out and named among the absent ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from jpfm.report.run import charts as run_charts
from jpfm.report.run import facts as run_facts
from jpfm.report.run import scored as run_scored
from jpfm.report.run.charts import Chart, Mark, Series, Span
from jpfm.report.run.read import GROUPS, SECONDS, Row, Run, is_number
from jpfm.report.run.scored import Point
from jpfm.report.scores import Words

_ALL = Words(ja="全出典", en="all sources")
_COMPONENTS = {
    "data": Words(ja="データ待ち", en="data"),
    "forward_backward": Words(ja="順・逆伝播", en="forward and backward"),
    "reduce": Words(ja="集約", en="reduce"),
    "optimizer": Words(ja="最適化", en="optimizer"),
    "held_out": Words(ja="評価", en="held-out text"),
    "save": Words(ja="保存", en="save"),
    "other": Words(ja="その他", en="other"),
}
_GROUP_WORDS = {
    "embeddings": Words(ja="埋め込み", en="embeddings"),
    "matrices": Words(ja="行列", en="matrices"),
    "vectors": Words(ja="ベクトル", en="vectors"),
}
_TITLES = {
    "loss": (Words(ja="損失", en="Loss"), Words(ja="nat/トークン", en="nats per token")),
    "held_out": (
        Words(ja="取り分けた文書の1文字あたりビット数", en="Bits per character on held-out text"),
        Words(ja="ビット", en="bits"),
    ),
    "lr": (Words(ja="学習率", en="Learning rate"), Words(ja="", en="")),
    "grad_norm": (
        Words(ja="勾配ノルム（切り詰め前）", en="Gradient norm, before clipping"),
        Words(ja="対数", en="log"),
    ),
    "tokens_per_second": (Words(ja="速度", en="Speed"), Words(ja="トークン/秒", en="tokens per second")),
    "mfu": (Words(ja="MFU（モデルFLOP利用率）", en="MFU, model FLOP utilisation"), Words(ja="%", en="%")),
    "seconds": (Words(ja="1ステップの時間の内訳", en="Where a step's time goes"), Words(ja="ミリ秒", en="ms")),
    "memory_bytes": (Words(ja="メモリー", en="Memory"), Words(ja="GiB", en="GiB")),
    "update_rms": (
        Words(ja="更新量のRMS（学習率との比）", en="RMS of the update over the learning rate"),
        Words(ja="", en=""),
    ),
}
_STEPS, _TOKENS = Words(ja="ステップ", en="steps"), Words(ja="トークン", en="tokens")


def _column(run: Run, name: str, factor: float = 1.0) -> Any:
    return run.metrics[name].fill_null(float("nan")).to_numpy() * factor


def _span(run: Run) -> Span:
    steps = run.metrics["step"].to_numpy()
    if not len(steps):
        return Span(0.0, 1.0, _STEPS)
    tokens = run.metrics.select("step", "tokens").drop_nulls()
    start = 0.0 if steps[0] <= max(1.0, steps[-1] * 0.05) else float(steps[0]) - 1  # a branch begins where it begins
    known = (tokens["step"].to_numpy(), tokens["tokens"].to_numpy()) if tokens.height else None
    return Span(start, max(float(steps[-1]), start + 1), _STEPS, known)


def charts_of_one(run: Run, points: Sequence[Point] = ()) -> tuple[list[Row], list[Words]]:
    """The charts of a run over its steps ({key, charts: one, or one for each scale}), and the titles of absent ones.

    Args:
        points: scores of its checkpoints.
    """
    span, steps = _span(run), run.metrics["step"].to_numpy()
    skipped = run.metrics["skipped"].is_not_null().to_numpy()

    def one(name: str, factor: float = 1.0) -> list[Series]:
        left_out = skipped if name in ("loss", "grad_norm") else None
        return [Series(_TITLES[name][0], steps, _column(run, name, factor), left_out)]

    def many(prefix: str, words: Mapping[str, Words], names: Sequence[str], factor: float = 1.0) -> list[Series]:
        return [Series(words[name], steps, _column(run, f"{prefix}_{name}", factor)) for name in names]

    made: list[tuple[str, list[Chart | None]]] = [
        ("loss", _both_scales(one("loss"), span)),
        ("held_out", [_held_out_chart(run, span)]),
        *run_scored.charts_of([points], [_STEPS], span, "step"),
        ("lr", [_draw("lr", one("lr"), span)]),
        ("grad_norm", [_draw("grad_norm", one("grad_norm"), span, log=True, band=True)]),
        ("tokens_per_second", [_draw("tokens_per_second", one("tokens_per_second"), span, band=True)]),
        ("mfu", [_draw("mfu", one("mfu", 100), span, band=True)]),
        ("seconds", [_draw("seconds", many("seconds", _COMPONENTS, SECONDS, 1000), span, stacked=True, clip=True)]),
        ("memory_bytes", [_draw("memory_bytes", one("memory_bytes", 2**-30), span)]),
        ("update_rms", [_draw("update_rms", many("update_rms", _GROUP_WORDS, GROUPS), span)]),
    ]
    return _told(made)


def _told(made: Sequence[tuple[str, Sequence[Chart | None]]]) -> tuple[list[Row], list[Words]]:
    """The charts that hold something, and the titles of those that do not."""
    rows = []
    for key, charts in made:
        there = [chart for chart in charts if chart is not None]
        if there:
            rows.append({"key": key, "charts": there})
    return rows, [_TITLES[key][0] for key, charts in made if not any(charts) and key in _TITLES]


def _draw(key: str, series: Sequence[Series], span: Span, **how: bool) -> Chart | None:
    title, unit = _TITLES[key]
    return run_charts.draw(key, title, unit, series, span, **how)


def _both_scales(series: Sequence[Series], span: Span) -> list[Chart | None]:
    """The loss with a logarithmic axis, and with a linear one in which the first steps may lie outside."""
    return [
        _draw("loss", series, span, log=True, band=True),
        _draw("loss", series, span, band=True, from_zero=False, clip=True),
    ]


def _held_out_chart(run: Run, span: Span) -> Chart | None:
    return _draw("held_out", [Series(*line) for line in _held_out_lines(run, "step")], span, from_zero=False)


def _held_out_lines(run: Run, axis: str) -> list[tuple[Words, Any, Any]]:
    """All sources together first, where there are several, then each by itself."""
    rows = [row for row in run.held_out if is_number(row.get(axis))]
    places = np.array([float(row[axis]) for row in rows])
    names = sorted({name for row in rows for name in row["bits_per_character"]})
    lines = [
        (Words(ja=name, en=name), places, np.array([row["bits_per_character"].get(name, np.nan) for row in rows]))
        for name in names
    ]
    total = np.array([row["total"] if row["total"] is not None else np.nan for row in rows])
    return [(_ALL, places, total), *lines] if len(names) > 1 and np.isfinite(total).any() else lines


def charts_of_several(
    runs: Sequence[Run], names: Sequence[str], points: Sequence[Sequence[Point]] = ()
) -> tuple[list[Row], list[Words]]:
    """Charts that compare runs over their tokens, and the titles of absent ones.

    Args:
        points: scores of the checkpoints of each run.
    """
    words = [Words(ja=name, en=name) for name in names]
    ends = [run_facts.last(run.metrics, "tokens") or 1.0 for run in runs]
    span = Span(0.0, max(ends), _TOKENS)

    def lines(name: str, factor: float = 1.0) -> list[Series]:
        series = []
        for run, word in zip(runs, words, strict=True):
            there = run.metrics.filter(pl.col("tokens").is_not_null())
            values = there[name].fill_null(float("nan")).to_numpy() * factor
            left_out = there["skipped"].is_not_null().to_numpy() if name in ("loss", "grad_norm") else None
            series.append(Series(word, there["tokens"].to_numpy(), values, left_out))
        return series

    made: list[tuple[str, list[Chart | None]]] = [("loss", _both_scales(lines("loss"), span))]
    found = [{name.en: (name, x, y) for name, x, y in _held_out_lines(run, "tokens")} for run in runs]
    sources = sorted({name for one in found for name in one}, key=lambda name: (name != _ALL.en, name))
    for number, source in enumerate(sources):
        none = (words[0], np.zeros(0), np.zeros(0))
        series = [Series(word, *one.get(source, none)[1:]) for word, one in zip(words, found, strict=True)]
        chart = _draw("held_out", series, span, from_zero=False)
        if chart is not None:
            shown = _ALL if source == _ALL.en else Words(ja=source, en=source)
            title = Words(ja=f"{chart.title.ja}：{shown.ja}", en=f"{chart.title.en}: {shown.en}")
            made.append((f"held_out_{number}", [chart._replace(key=f"held_out_{number}", title=title)]))
    if points:
        made += run_scored.charts_of(points, words, span, "tokens")
    made += [
        ("lr", [_draw("lr", lines("lr"), span)]),
        ("grad_norm", [_draw("grad_norm", lines("grad_norm"), span, log=True)]),
        ("tokens_per_second", [_draw("tokens_per_second", lines("tokens_per_second"), span)]),
        ("mfu", [_draw("mfu", lines("mfu", 100), span)]),
    ]
    return _told(made)


def marks_of(run: Run) -> list[Mark]:
    """Where the run was resumed, skipped updates, was rewound or stopped."""
    span = _span(run)
    resumed = {
        float(row["step"]): str(row.get("world", ""))
        for row in (run.starts[1:] if run.config.get("branch_at") else run.starts)
        if row.get("resumed") and is_number(row.get("step"))
    }
    skipped = run.metrics.filter(pl.col("skipped").is_not_null())["step"].to_list()
    by_action: dict[str, dict[float, str]] = {"skip": dict.fromkeys(skipped, ""), "rewind": {}, "stop": {}}
    for row in run.faults:
        if is_number(row.get("step")):
            by_action.get(str(row.get("action")), {})[float(row["step"])] = ""
    made = [run_charts.mark("resume", resumed, span)]
    made += [run_charts.mark(kind, places, span) for kind, places in by_action.items()]
    return [one for one in made if one is not None]
