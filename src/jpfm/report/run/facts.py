"""Figures of a run: how far it is, how fast and how well it goes, which checkpoints it keeps and why.

progress(run), key_figures(run), checkpoints(run)
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from jpfm.core import artifact as artifacts
from jpfm.model.checkpoints import STEPS, finished_steps, step_of
from jpfm.report.run.read import Row, Run, is_number, step_seconds
from jpfm.report.run.series import brief
from jpfm.report.scores import Words
from jpfm.train.retention import retained
from jpfm.train.settings import Save

_RECENT = 200
"""Steps whose mean is called recent, at most; of a short run a twentieth."""


class Progress(NamedTuple):
    """How far a run is."""

    step: int
    total: int | None
    share: float | None
    tokens: int | None
    seconds_left: float | None


class Figure(NamedTuple):
    """A key figure: what it is, the figure, and what it means or is measured against."""

    key: str
    label: Words
    value: str
    note: Words | None = None


class Checkpoint(NamedTuple):
    """A checkpoint that lies on disk."""

    step: int
    tokens: int | None
    id: str
    loss: float | None
    held_out: float | None
    kept: Words


def progress(run: Run) -> Progress:
    """Steps done and to do. The time to go assumes the mean speed of the last steps."""
    step, tokens = last(run.metrics, "step"), last(run.metrics, "tokens")
    total = _total_steps(run.config)
    done = int(step or 0)
    seconds = step_seconds(run.metrics)
    left = None
    if run.state in ("running", "silent") and total is not None and seconds is not None:
        left = max(0, total - done) * seconds
    return Progress(done, total, min(1.0, done / total) if total else None, int(tokens) if tokens else None, left)


def _total_steps(config: Mapping[str, Any]) -> int | None:
    if isinstance(config.get("steps"), int):
        return int(config["steps"])
    tokens, batch = config.get("total_tokens"), config.get("batch_tokens")
    return -(-tokens // batch) if isinstance(tokens, int) and isinstance(batch, int) and batch else None


def last(metrics: pl.DataFrame, name: str) -> float | None:
    """The last value of a column that is not null."""
    found = metrics[name].drop_nulls().tail(1)
    return float(found[0]) if len(found) else None


def recent(metrics: pl.DataFrame, name: str) -> float | None:
    """Mean of a column over the last steps."""
    mean = metrics[name].tail(_num_recent(metrics)).mean()
    return float(mean) if is_number(mean) else None


def _num_recent(metrics: pl.DataFrame) -> int:
    return max(1, min(_RECENT, metrics.height // 20))


def key_figures(run: Run) -> list[Figure]:
    """What a person looks at first; what nobody recorded is left out."""
    metrics = run.metrics
    found: list[Figure | None] = [
        _figure("loss", "損失", "Loss", recent(metrics, "loss"), "{:.4f}",
                "直近{n}ステップの平均、nat/トークン", "mean of the last {n} steps, nats per token", metrics),
        _held_out(run),
        _figure("speed", "トークン/秒", "Tokens per second", recent(metrics, "tokens_per_second"), "{:,.0f}",
                "直近{n}ステップの平均", "mean of the last {n} steps", metrics),
        _figure("mfu", "MFU", "MFU", _scaled(recent(metrics, "mfu"), 100), "{:.1f}%",
                "直近{n}ステップの平均", "mean of the last {n} steps", metrics),
        _figure("memory", "メモリー（最大）", "Memory, peak", _scaled(_max(metrics, "memory_bytes"), 2**-30),
                "{:.2f} GiB"),
        _hours(run),
        _energy(run),
    ]  # fmt: skip
    return [figure for figure in found if figure is not None]


def _figure(
    key: str, ja: str, en: str, value: float | None, form: str, note_ja: str = "", note_en: str = "",
    metrics: pl.DataFrame | None = None,
) -> Figure | None:  # fmt: skip
    if value is None:
        return None
    number = _num_recent(metrics) if metrics is not None else 0
    note = Words(ja=note_ja.format(n=number), en=note_en.format(n=number)) if note_ja else None
    return Figure(key, Words(ja=ja, en=en), form.format(value), note)


def _held_out(run: Run) -> Figure | None:
    told = [row for row in run.held_out if row["total"] is not None]
    if not told:
        return None
    best = min(told, key=lambda row: (row["total"], row["step"]))
    note = Words(
        ja=f"全出典、ステップ{told[-1]['step']:,}。最良は{best['total']:.4f}（ステップ{best['step']:,}）",
        en=f"all sources, step {told[-1]['step']:,}; best {best['total']:.4f} at step {best['step']:,}",
    )
    label = Words(ja="1文字あたりビット数（取り分けた文書）", en="Bits per character, held out")
    return Figure("held_out", label, f"{told[-1]['total']:.4f}", note)


def _hours(run: Run) -> Figure | None:
    """GPU hours; on a CPU the hours of the clock."""
    hours = last(run.metrics, "gpu_hours")
    if hours is None and run.artifact is not None:
        hours = run.artifact.manifest.run.gpu_hours
    if hours:
        return Figure("gpu_hours", Words(ja="GPU 時間", en="GPU hours"), f"{hours:,.2f}")
    hours = last(run.metrics, "hours")
    return None if hours is None else Figure("hours", Words(ja="学習時間", en="Hours"), f"{hours:,.2f}")


def _energy(run: Run) -> Figure | None:
    joules = last(run.metrics, "energy_joules")
    if joules is None and run.artifact is not None:
        joules = run.artifact.manifest.run.energy_joules
    if joules is None:
        return None
    note = Words(ja="機器の計測値。冷却などは含みません", en="as the devices report it; cooling is not in it")
    return Figure("energy", Words(ja="電力量", en="Energy"), f"{joules / 3.6e6:,.3f} kWh", note)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _max(metrics: pl.DataFrame, name: str) -> float | None:
    most = metrics[name].max()
    return float(most) if is_number(most) else None


def checkpoints(run: Run) -> list[Checkpoint]:
    """The checkpoints on disk, by step, the finished run last."""
    measured = {row["step"]: row["total"] for row in run.held_out if row["total"] is not None}
    manifests = list(_manifests(run.path / STEPS))
    done = progress(run)
    wanted = [float(step) for step in (*(step for step, _ in manifests), done.step)]
    shown = run.metrics.filter(pl.col("step").is_in(wanted))
    losses, tokens = (dict(shown.select("step", name).rows()) for name in ("loss", "tokens"))
    found = []
    for step, told in manifests:
        stats = told.get("stats") or {}
        seen = stats.get("tokens", tokens.get(step))
        value = stats.get("bits_per_character", measured.get(step))
        found.append((step, int(seen) if isinstance(seen, int | float) else None, value if is_number(value) else None))
    reasons = _reasons(run, found)
    rows = [
        Checkpoint(step, seen, str(told.get("id", "")), losses.get(step), value, reasons[step])
        for (step, told), (_, seen, value) in zip(manifests, found, strict=True)
    ]
    if run.artifact is not None:
        kept = Words(ja="この学習の結果", en="the result of this run")
        loss, value = losses.get(done.step), measured.get(done.step)
        rows.append(Checkpoint(done.step, done.tokens, run.artifact.id, loss, value, kept))
    return rows


def _reasons(run: Run, found: Sequence[tuple[int, int | None, float | None]]) -> dict[int, Words]:
    """Why each checkpoint stays, by the settings of the last start; an older run's did not say."""
    words = {
        "last": Words(ja="最新", en="among the newest"),
        "every": Words(ja="一定トークンごと", en="one of those kept at intervals"),
        "best": Words(ja="取り分けた文書で最良", en="best on held-out text"),
    }
    unknown = Words(ja="–", en="–")
    if not isinstance(run.settings.get("save"), Mapping) or not found:
        return {step: unknown for step, _, _ in found}
    save = Save.model_validate(run.settings["save"])
    kept = retained([(step, tokens or 0, value) for step, tokens, value in found], save)
    return {
        step: Words(
            ja="、".join(words[one].ja for one in kept.get(step, ())) or "次の保存で消えます",
            en=", ".join(words[one].en for one in kept.get(step, ())) or "goes with the next one",
        )
        for step, _, _ in found
    }


def _manifests(steps: Path) -> Iterator[tuple[int, Row]]:
    """(step, manifest) of each finished checkpoint; one that is retired while we look is passed over."""
    for folder in finished_steps(steps):
        try:
            told = json.loads((folder / artifacts.MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue  # just retired
        if (step := step_of(folder)) is not None:
            yield step, told


def duration(seconds: float) -> Words:
    """A time in two units at most.

    >>> duration(93_784)
    Words(ja='1日2時間', en='1 d 2 h')
    """
    units = [("日", "d", 86400), ("時間", "h", 3600), ("分", "min", 60), ("秒", "s", 1)]
    left = round(seconds)
    parts: list[tuple[int, str, str]] = []
    for ja, en, size in units:
        number, rest = divmod(left, size)
        if number or parts or size == 1:
            parts.append((number, ja, en))
            left = rest
        if len(parts) == 2:
            break
    parts = [part for part in parts if part[0]] or parts[:1]
    return Words(ja="".join(f"{n}{ja}" for n, ja, _ in parts), en=" ".join(f"{n} {en}" for n, _, en in parts))


def stamp(value: Any) -> str:
    """A moment as a log tells it: a text as it is, a number as seconds since 1970, in UTC."""
    if is_number(value):
        return datetime.fromtimestamp(float(value), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return str(value) if value is not None else "–"


def facts_of(row: Mapping[str, Any], leave_out: Sequence[str]) -> str:
    """What else a line of a log says, as `name=value`."""
    return ", ".join(f"{name}={_short(value)}" for name, value in sorted(row.items()) if name not in leave_out)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return brief(value) if is_number(value) else str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_short(inner)}" for name, inner in value.items()) + "}"
    return str(value)
