"""What the page of a run shows, as plain data: charts, figures and tables in both languages.

environment().get_template("run.html").render(**page_data([open_run(folder)], now=time.time()))

One run is drawn over its steps, with what happened to it; several are drawn over their tokens, which compares runs of
other batch sizes fairly. Refused: wall time as an axis; it says more about the machine than about the model.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jpfm.report.run import facts as run_facts
from jpfm.report.run import panels as run_panels
from jpfm.report.run import scored as run_scored
from jpfm.report.run import settings as run_settings
from jpfm.report.run import tables as run_tables
from jpfm.report.run.lineage import origin_of
from jpfm.report.run.read import Row, Run
from jpfm.report.run.scored import Point, Scored
from jpfm.report.scores import Words

_EVENTS = 30
_FAULTS = 200
_STATES = {
    "running": Words(ja="学習中", en="running"),
    "silent": Words(ja="応答なし", en="no sign of life"),
    "stopped": Words(ja="中断", en="stopped"),
    "finished": Words(ja="完了", en="finished"),
}
_MARK_WORDS = {
    "resume": Words(ja="再開（数字はプロセス数）", en="resumed (number: processes)"),
    "skip": Words(ja="更新を飛ばしたステップ", en="update skipped"),
    "rewind": Words(ja="巻き戻し", en="rewound"),
    "stop": Words(ja="異常による停止", en="stopped by a fault"),
}


def page_data(runs: Sequence[Run], *, now: float, scored: Scored | None = None) -> Row:
    """All that the template needs.

    Args:
        scored: scores of the runs' checkpoints.
        now: seconds since 1970, for what is still running; nothing of it is shown for finished runs.
    """
    names = names_of(runs)
    points = scored.points if scored is not None else tuple(() for _ in runs)
    if len(runs) == 1:
        charts, absent = run_panels.charts_of_one(runs[0], points[0])
    else:
        charts, absent = run_panels.charts_of_several(runs, names, points)
    views = [_view(run, name, now, own) for run, name, own in zip(runs, names, points, strict=True)]
    return {
        "runs": views,
        "one": views[0] if len(runs) == 1 else None,
        "charts": charts,
        "marks": run_panels.marks_of(runs[0]) if len(runs) == 1 else (),
        "mark_words": _MARK_WORDS,
        "absent": absent,
        "refresh": any(run.state != "finished" for run in runs) or (scored is not None and scored.pending),
        "differing": run_settings.differing(runs) if len(runs) > 1 else [],
        "notices": [
            *(scored.notices if scored is not None else ()),
            *(
                words
                for run, name in zip(runs, names, strict=True)
                for words in run_tables.notices_of(run, name, len(runs))
            ),
        ],
    }


def names_of(runs: Sequence[Run]) -> list[str]:
    """Names that differ: numbered where runs call themselves alike."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [f"{name} ({number})" for number, name in enumerate(names, start=1)]
    return names


def _view(run: Run, name: str, now: float, points: Sequence[Point]) -> Row:
    """A run as the page tells it."""
    done = run_facts.progress(run)
    return {
        "name": name,
        "state": run.state,
        "state_words": _STATES[run.state],
        "status": run.status,
        "id": run.artifact.id if run.artifact is not None else None,
        "progress": done,
        "left": run_facts.duration(done.seconds_left) if done.seconds_left is not None else None,
        "written": run_facts.stamp(run.written) if run.written is not None else None,
        "ago": run_facts.duration(max(0.0, now - run.written)) if run.written is not None else None,
        "figures": run_facts.key_figures(run),
        "peak": run_tables.peak_of(run),
        "table": run_tables.table_of(run),
        "checkpoints": run_facts.checkpoints(run),
        "points": points,
        "scores": run_scored.table_of(points),
        "starts": run_tables.starts_of(run),
        "faults": [run_tables.fault_of(row) for row in run.faults[-_FAULTS:]],
        "num_faults": len(run.faults),
        "settings": run_settings.setting_rows(run),
        "num_undone": run.num_undone,
        "origin": origin_of(run),
        "events": [
            {"at": run_facts.stamp(row.get("time")), "event": str(row.get("event", "")),
             "facts": run_facts.facts_of(row, ("time", "event"))}
            for row in run.events[-_EVENTS:]
        ],
    }  # fmt: skip


def data(page: Mapping[str, Any]) -> Row:
    """The figures of the page for programs; the curves are in the runs' own logs."""
    return {
        "runs": [
            {
                "name": view["name"],
                "state": view["state"],
                "id": view["id"],
                "progress": view["progress"]._asdict(),
                "figures": {figure.key: figure.value for figure in view["figures"]},
                "checkpoints": [one._asdict() | {"kept": one.kept.en} for one in view["checkpoints"]],
                "scores": run_scored.data_of(view["points"]),
                "starts": [row | {"kind": row["kind"].en} for row in view["starts"]],
                "faults": [row | {name: row[name].en for name in ("kind", "what", "action")} for row in view["faults"]],
                "settings_changed": {row.name: row.value for row in view["settings"] if row.differs},
            }
            for view in page["runs"]
        ],
        "notices": [words.model_dump() for words in page["notices"]],
    }
