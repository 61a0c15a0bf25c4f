"""The tables of a run's page: its course in twenty rows, its starts, its faults, and what a reader has to know."""

from typing import Any

import polars as pl

from jpfm.report.run import facts as run_facts
from jpfm.report.run import series as run_series
from jpfm.report.run.read import Row, Run, is_number
from jpfm.report.scores import Words

_TABLE_ROWS = 20
_STARTS = {
    "started": Words(ja="開始", en="started"),
    "resumed": Words(ja="再開", en="resumed"),
    "branch": Words(ja="分岐", en="branched"),
    "rewound": Words(ja="巻き戻し", en="rewound"),
}


def starts_of(run: Run) -> list[Row]:
    """Each start of the process; of an older run, when it was started, by its events."""
    branch = run.config.get("branch_at") is not None
    told = (
        "started",
        "step",
        "world",
        "mesh",
        "device",
        "precision",
        "compile",
        "versions",
        "resumed",
        "rewound",
        "peak_flops",
        "peak_source",
    )
    rows = [
        {
            "at": run_facts.stamp(row.get("started")),
            "kind": _STARTS[_kind_of(row, first_of_branch=branch and number == 0)],
            "step": row.get("step"),
            "world": row.get("world"),
            "mesh": _mesh(row.get("mesh")),
            "device": row.get("device"),
            "precision": row.get("precision"),
            "compile": row.get("compile"),
            "versions": ", ".join(f"{n} {v}" for n, v in sorted((row.get("versions") or {}).items())),
            "more": run_facts.facts_of(row, told),
        }
        for number, row in enumerate(run.starts)
    ]
    if rows:
        return rows
    empty = dict.fromkeys(("step", "world", "device", "precision", "compile")) | {
        "mesh": "–",
        "versions": "",
        "more": "",
    }
    return [
        empty | {"at": run_facts.stamp(row.get("time")), "kind": _STARTS[row["event"]]}
        for row in run.events
        if row.get("event") in ("started", "resumed")
    ]


def _kind_of(row: Row, *, first_of_branch: bool) -> str:
    if row.get("rewound"):
        return "rewound"
    return "branch" if first_of_branch else "resumed" if row.get("resumed") else "started"


def _mesh(mesh: Any) -> str:
    """Copies x shards x tensor, as in {replicate: 2, shard: 8, tensor: 1} -> 2 × 8 × 1."""
    return (
        " × ".join(str(mesh.get(name, 1)) for name in ("replicate", "shard", "tensor"))
        if isinstance(mesh, dict)
        else "–"
    )


def peak_of(run: Run) -> str | None:
    """The device's peak that MFU is measured against, where a start tells it."""
    for row in reversed(run.starts):
        if is_number(row.get("peak_flops")):
            source = f" ({row['peak_source']})" if row.get("peak_source") else ""
            return f"{row['peak_flops'] / 1e12:,.4g} TFLOP/s{source}"
    return None


def fault_of(row: Row) -> Row:
    """A line of faults.jsonl in words."""
    kinds = {"not_finite": Words(ja="有限でない値", en="not finite"), "spike": Words(ja="急上昇", en="spike")}
    actions = {
        "skip": Words(ja="更新を飛ばした", en="update skipped"),
        "rewind": Words(ja="巻き戻した", en="rewound"),
        "stop": Words(ja="停止した", en="stopped"),
    }
    whats = {"loss": Words(ja="損失", en="loss"), "grad_norm": Words(ja="勾配ノルム", en="gradient norm")}
    kind, action = str(row.get("kind", "–")), str(row.get("action", "–"))
    return {
        "step": row.get("step"),
        "kind": kinds.get(kind, Words(ja=kind, en=kind)),
        "what": whats.get(str(row.get("what")), Words(ja="–", en="–")),
        "action": actions.get(action, Words(ja=action, en=action)),
        "loss": _number(row.get("loss")),
        "grad_norm": _number(row.get("grad_norm")),
        "limit": _number(row.get("limit")),
        "rewound_to": row.get("rewound_to"),
    }


def _number(value: Any) -> str:
    """A figure of a fault; what is not finite is written as it is, for that is the fault."""
    return run_series.brief(value) if is_number(value) else "–" if value is None else str(value)


def table_of(run: Run) -> list[Row]:
    """The same figures for eyes that have no use for a chart: twenty rows, each the mean of its stretch of steps."""
    if not run.metrics.height:
        return []
    size = -(-run.metrics.height // _TABLE_ROWS)
    means = run.metrics.with_row_index("row").group_by(pl.col("row") // size, maintain_order=True).agg(
        pl.col("step").last(), pl.col("tokens").last(),
        pl.col("loss", "lr", "grad_norm", "tokens_per_second", "mfu").mean(),
    )  # fmt: skip
    return [
        {
            "step": f"{row['step']:,.0f}",
            "tokens": f"{row['tokens']:,.0f}" if row["tokens"] is not None else "–",
            "loss": f"{row['loss']:.4f}" if row["loss"] is not None else "–",
            "lr": run_series.brief(row["lr"]) if row["lr"] is not None else "–",
            "grad_norm": run_series.brief(row["grad_norm"]) if row["grad_norm"] is not None else "–",
            "tokens_per_second": f"{row['tokens_per_second']:,.0f}" if row["tokens_per_second"] is not None else "–",
            "mfu": f"{row['mfu'] * 100:.1f}%" if row["mfu"] is not None else "–",
        }
        for row in means.iter_rows(named=True)
    ]


def notices_of(run: Run, name: str, num_runs: int) -> list[Words]:
    """What a reader has to know."""
    before = (f"{name}：", f"{name}: ") if num_runs > 1 else ("", "")
    found = []
    if run.state == "silent":
        found.append(
            Words(
                ja="ロックは残っていますが、しばらく何も書かれていません。プロセスが強制終了されたか、止まっています。",
                en="Its lock is there, but nothing has been written for a while: the process was killed, or it hangs.",
            )
        )
    if run.state == "stopped":
        found.append(
            Words(
                ja="この学習は動いていません。同じコマンドをもう一度実行すると、最後のチェックポイントから再開します。",
                en="This run is not going on. The same command again resumes it from its last checkpoint.",
            )
        )
    if not run.metrics.height:
        found.append(Words(ja="終わったステップはまだありません。", en="No step is done yet."))
    for file, number in run.unread.items():
        found.append(
            Words(
                ja=f"logs/{file} の{number:,}行は読めなかったため、除きました。",
                en=f"logs/{file}: {number:,} unreadable line{'s' if number > 1 else ''} left out.",
            )
        )
    number = run.metrics.filter(pl.col("loss").is_null()).height
    if number:
        found.append(
            Words(
                ja=f"{number:,}ステップには損失の記録がないか、有限の数ではありません。",
                en=f"{number:,} step{'s have' if number > 1 else ' has'} no loss, or none that is a finite number.",
            )
        )
    return [Words(ja=before[0] + words.ja, en=before[1] + words.en) for words in found]
