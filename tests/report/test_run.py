"""The page of a training run: what is read of its folder, how a long log is made short, and what the page says."""

import json
import math
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.made import make_chain
from tests.report.run_made import finished, lines, settings, unfinished, write_lines

from jpfm.core import artifact as artifacts
from jpfm.core import lineage
from jpfm.core.errors import ArtifactError, UsageError
from jpfm.report.run import charts as run_charts
from jpfm.report.run import facts as run_facts
from jpfm.report.run import series as run_series
from jpfm.report.run.charts import Series, Span
from jpfm.report.run.read import open_run, read_metrics
from jpfm.report.run.run import run_page, watch
from jpfm.report.run.settings import setting_rows
from jpfm.report.scores import Words

NAME = Words(ja="損失", en="loss")
STEPS = Words(ja="ステップ", en="steps")


@pytest.mark.parametrize(
    ("text", "rows", "unread"),
    [
        ("", [], 0),
        ('{"step": 1, "loss": 2}\n{"step": 2, "lo', [(1, 2.0)], 1),
        ('{"step": 1, "loss": NaN}\n{"step": 2, "loss": 3.5}\n', [(1, None), (2, 3.5)], 0),
        ('{"step": 1, "loss": -Infinity, "grad_norm": Infinity}\n', [(1, None)], 0),
        ('{"step": 1}\n{"step":}\n{"step": 3, "loss": 1.5}\n', [(1, None), (3, 1.5)], 1),
        ('{"step": 5, "loss": 1}\n{"step": 3, "loss": 2}\n{"step": 5, "loss": 4}\n', [(3, 2.0), (5, 4.0)], 0),
        ('{"loss": 1}\n[1]\n\0\0\n{"step": 1, "loss": "high", "new": {"a": [1]}}\n', [(1, None)], 3),
        ('{"step": 1, "loss": 2, "skipped": "spike: NaN, Infinity"}\n{', [(1, 2.0)], 1),
    ],
)
def test_lines_of_any_kind_are_read_or_counted(
    tmp_path: Path, text: str, rows: list[tuple[float, float | None]], unread: int
) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text(text, encoding="utf-8")
    found, left_out = read_metrics(file)
    assert found.select("step", "loss").rows() == rows
    assert left_out == unread


def test_the_columns_are_what_json_says(tmp_path: Path) -> None:
    rows = lines(120)
    rows[7] |= {"skipped": "spike 急上昇"}
    write_lines(tmp_path / "metrics.jsonl", rows)
    found, unread = read_metrics(tmp_path / "metrics.jsonl")
    assert (found.height, unread) == (120, 0)
    for name in ("loss", "lr", "tokens", "mfu", "energy_joules"):
        assert found[name].to_list() == [row[name] for row in rows]
    assert found["seconds_save"].to_list() == [row["seconds"]["save"] for row in rows]
    assert found["update_rms_vectors"].drop_nulls().to_list() == [0.34, 0.34]
    assert found["skipped"].drop_nulls().to_list() == ["spike 急上昇"]


@given(
    values=st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan)), min_size=1, max_size=400),
    number=st.integers(1, 50),
)
def test_buckets_keep_lowest_highest_and_sum(values: list[float], number: int) -> None:
    x, y = np.arange(1.0, len(values) + 1), np.array(values)
    found = run_series.buckets(x, y, 0.0, float(len(values)), number)
    there = y[~np.isnan(y)]
    assert found.num_values.sum() == len(there)
    if not len(there):
        return
    assert found.low.min() == there.min()
    assert found.high.max() == there.max()
    assert np.isclose((found.mean * found.num_values).sum(), there.sum(), rtol=1e-9, atol=1e-3)
    assert (np.diff(found.place) > 0).all()
    assert (np.diff(found.x) > 0).all()
    assert found.place.max() < number
    mean = run_series.smoothed(found)
    assert mean.shape == found.mean.shape
    assert mean.min() >= found.mean.min() - 1e-3
    assert mean.max() <= found.mean.max() + 1e-3


def test_a_straight_line_stays_where_it_is() -> None:
    x = np.arange(1.0, 801.0)
    found = run_series.buckets(x, 3 - x / 400, 0.0, 800.0, 400)
    assert np.abs(run_series.smoothed(found) - found.mean).max() < 0.004, "a lag of one bucket is 0.005"


@given(low=st.floats(-1e9, 1e9), span=st.floats(1e-6, 1e9), most=st.integers(3, 8))
def test_ticks_are_few_round_and_inside(low: float, span: float, most: int) -> None:
    found = run_series.ticks(low, low + span, most)
    assert len(found) <= most + 1
    assert all(low - span * 1e-6 - abs(low) * 1e-6 <= tick <= (low + span) + abs(low + span) * 1e-6 for tick in found)


@given(low=st.floats(1e-8, 1e8), ratio=st.floats(1.2, 1e9))
def test_logarithmic_ticks_are_few_and_inside(low: float, ratio: float) -> None:
    found = run_series.log_ticks(low, low * ratio)
    assert 1 <= len(found) <= 7
    assert all(low * 0.999 <= tick <= low * ratio * 1.001 for tick in found)
    assert found == sorted(set(found))


def points(d: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", d)]


def test_one_step_in_a_million_is_still_seen() -> None:
    x = np.arange(1.0, 1_000_001.0)
    y = np.full(1_000_000, 2.0)
    y[654_321] = 9.0
    chart = run_charts.draw("loss", NAME, NAME, [Series(NAME, x, y)], Span(0, 1e6, STEPS), log=True, band=True)
    assert chart is not None
    band = next(path.d for path in chart.paths if path.kind == "band")
    highest = min(points(band), key=lambda point: point[1])
    assert abs(highest[0] - 654) <= 2
    assert highest[1] < 10, "the spike reaches the top of the frame"
    assert len(band) < 12_000
    told = [cell for cell in chart.cells if cell is not None and "9" in cell.values[0][1]]
    assert len(told) == 1


def test_what_was_skipped_is_in_the_band_and_not_in_the_line() -> None:
    x = np.arange(1.0, 2001.0)
    y = np.full(2000, 2.0)
    y[1000] = 50.0
    series = [Series(NAME, x, y, y > 10)]
    chart = run_charts.draw("loss", NAME, NAME, series, Span(0, 2000, STEPS), band=True)
    assert chart is not None
    line = points(next(path.d for path in chart.paths if path.kind == "line"))
    assert len({height for _, height in line}) == 1
    assert min(height for _, height in points(chart.paths[0].d)) < 20


def test_stacked_areas_add_up() -> None:
    x = np.arange(1.0, 11.0)
    series = [Series(NAME, x, np.full(10, value)) for value in (1.0, 2.0, 3.0)]
    chart = run_charts.draw("seconds", NAME, NAME, series, Span(0, 10, STEPS), stacked=True)
    assert chart is not None
    tops = [points(path.d)[0][1] for path in chart.paths]
    heights = [300 - tops[0], tops[0] - tops[1], tops[1] - tops[2]]
    assert heights == pytest.approx([heights[0], 2 * heights[0], 3 * heights[0]], abs=0.3)
    cell = chart.cells[0]
    assert cell is not None
    assert [text for _, text in cell.values] == ["1", "2", "3"]


def test_nothing_to_draw_is_no_chart() -> None:
    empty = Series(NAME, np.arange(3.0), np.full(3, np.nan))
    negative = Series(NAME, np.arange(3.0), np.full(3, -1.0))
    assert run_charts.draw("mfu", NAME, NAME, [empty], Span(0, 3, STEPS)) is None
    assert run_charts.draw("grad_norm", NAME, NAME, [negative], Span(0, 3, STEPS), log=True) is None


def test_marks_that_touch_keep_one_label() -> None:
    found = run_charts.mark("resume", {10.0: "8", 11.0: "16", 90.0: "8", 400.0: "4"}, Span(0, 100, STEPS))
    assert found is not None
    assert found.number == 3
    assert found.labels == ((10.0, "8"), (90.0, "8"))
    assert found.d == "M100 0V300M110 0V300M900 0V300"


def test_a_running_run_says_how_far_it_is(tmp_path: Path) -> None:
    out = unfinished(tmp_path / "model", 1234, 2000)
    run = open_run(out)
    assert run.state == "running"
    done = run_facts.progress(run)
    assert (done.step, done.total, done.tokens) == (1234, 2000, 1234 * 4096)
    assert done.seconds_left == pytest.approx(766 * 0.275, rel=0.1)
    made = run_page([out], tmp_path / "page")
    html = made.page.read_text(encoding="utf-8")
    assert not made.finished
    assert '<body data-reload="30">' in html
    assert '<noscript><meta http-equiv="refresh" content="30"></noscript>' in html
    assert "Step 1,234 of 2,000 (61.7%)" in html
    assert "ステップ 1,234 / 2,000（61.7%）" in html
    assert not (made.page.parent / "manifest.json").exists()
    told = json.loads((made.page.parent / "data.json").read_text(encoding="utf-8"))["runs"][0]
    assert told["state"] == "running"
    assert [one["step"] for one in told["checkpoints"]] == [200, 400, 600, 800, 1000, 1200]
    assert [one["kept"] for one in told["checkpoints"]][-2:] == ["among the newest"] * 2
    assert [one["kind"] for one in told["starts"]] == ["started", "resumed", "resumed"]
    assert [one["action"] for one in told["faults"]] == ["update skipped", "rewound"]


@pytest.mark.parametrize(
    ("age", "lock", "state"), [(0, True, "running"), (9000, True, "silent"), (0, False, "stopped")]
)
def test_the_state_is_told_from_lock_and_last_line(tmp_path: Path, age: float, lock: bool, state: str) -> None:
    out = unfinished(tmp_path / "model", 40, 100, running=lock)
    run = open_run(out, now=time.time() + age)
    assert run.state == state
    assert (run_facts.progress(run).seconds_left is None) == (state == "stopped")


def test_bits_per_character_in_total_weigh_by_characters(tmp_path: Path) -> None:
    out = unfinished(tmp_path / "model", 10, 100)
    rows = [
        {"step": 5, "tokens": 1, "bits_per_character": {"法令": 1.0, "青空": 3.0}, "chars": {"法令": 900, "青空": 100}},
        {"step": 9, "tokens": 2, "bits_per_character": {"法令": 2.0, "青空": None}, "chars": {}, "overall": 1.5},
        {"step": 10, "tokens": 3, "bits_per_character": {"法令": 2.0}},
    ]
    write_lines(tmp_path / "model.partial" / "logs" / "held_out.jsonl", rows)
    assert [row["total"] for row in open_run(out).held_out] == [pytest.approx(1.2), 1.5, None]


def test_settings_are_held_against_the_defaults(tmp_path: Path) -> None:
    out = unfinished(tmp_path / "model", 10, 2000)
    rows = {row.name: row for row in setting_rows(open_run(out))}
    differing = {name for name, row in rows.items() if row.differs}
    assert differing == {"name", "model.size", "steps", "schedule.warmup_steps", "micro_batch_rows"}
    assert rows["name"].value == '"青空8M"'
    assert (rows["micro_batch_rows"].value, rows["micro_batch_rows"].default) == ("4", "8")
    assert not rows["micro_batch_rows"].decides
    assert not {"tokens", "tokenizer", "init_from", "branch_from"} & rows.keys(), "places are no settings to show"


def test_another_kind_is_one_difference(tmp_path: Path) -> None:
    out = unfinished(tmp_path / "model", 10, 100)
    plan = tmp_path / "model.partial" / "plan.json"
    told = json.loads(plan.read_text(encoding="utf-8"))
    told["config"] = settings(100, optimizer={"kind": "muon", "momentum": 0.9}).identity()
    plan.write_text(artifacts.canonical_json(told), encoding="utf-8")
    rows = [row for row in setting_rows(open_run(out)) if row.differs and row.name.startswith("optimizer")]
    assert [(row.name, row.value, row.default) for row in rows] == [
        ("optimizer.kind", '"muon"', '"adamw"'), ("optimizer.momentum", "0.9", "0.95"),
    ]  # fmt: skip


def test_the_page_of_a_finished_run_is_an_artifact_of_its_logs(tmp_path: Path) -> None:
    chain = make_chain(tmp_path / "in")
    tokens = next(one for one in lineage.ancestors(chain.checkpoint) if one.manifest.kind == "tokens")
    run = finished(tmp_path / "model", 300, parents=(tokens,))
    made = run_page([run.path], tmp_path / "page")
    again = run_page([run.path], tmp_path / "again", now=1.0)
    assert made.finished
    report = artifacts.open_artifact(made.page.parent, "report")
    assert report.manifest.parents == (run.id,)
    assert made.page.read_bytes() == again.page.read_bytes()
    assert artifacts.verify(made.page.parent) == []
    html = made.page.read_text(encoding="utf-8")
    assert 'http-equiv="refresh"' not in html
    assert run.id in html
    assert tokens.id in html
    assert str(tmp_path) not in html
    assert run_page([run.path], tmp_path / "page").page == made.page


def test_the_plain_page_becomes_the_artifact(tmp_path: Path) -> None:
    out = unfinished(tmp_path / "model", 40, 100)
    page = run_page([out], tmp_path / "page").page
    shutil.rmtree(tmp_path / "model.partial")
    (tmp_path / "model.lock").unlink()
    finished(out, 100)
    assert watch([out], tmp_path / "page", 0.01) == page
    assert (tmp_path / "page" / "manifest.json").exists()


def test_an_older_run_is_shown_with_what_it_has(tmp_path: Path) -> None:
    def work(draft: artifacts.Draft) -> artifacts.Finished:
        rows = ({name: row[name] for name in ("step", "tokens", "loss", "lr", "grad_norm", "tokens_per_second")}
                for row in lines(60))  # fmt: skip
        write_lines(draft.logs / "metrics.jsonl", rows)
        return artifacts.Finished({"steps": 60})

    config = {"name": "古い", "steps": 60, "batch_tokens": 4096, "adam_epsilon": 1e-8}
    run = artifacts.produce(tmp_path / "old", kind="checkpoint", version=2, config=config, parents=[], work=work)
    html = run_page([run.path], tmp_path / "page").page.read_text(encoding="utf-8")
    assert "Not recorded: " in html
    absent = html[html.index("Not recorded: ") :][:1500]
    assert all(word in absent for word in ("MFU", "Memory", "Bits per character"))
    assert '<figure id="loss">' in html
    assert '<figure id="mfu">' not in html


def test_a_run_that_has_not_begun_has_a_page(tmp_path: Path) -> None:
    partial = tmp_path / "model.partial"
    (partial / "logs").mkdir(parents=True)
    (partial / "plan.json").write_text(json.dumps({"config": settings(10).identity(), "parents": ["tokens-0"]}))
    html = run_page([tmp_path / "model"], tmp_path / "page").page.read_text(encoding="utf-8")
    assert "No step is done yet." in html
    assert "Step 0 of 10 (0.0%)" in html


def test_several_runs_share_their_curves(tmp_path: Path) -> None:
    one = finished(tmp_path / "one", 200)
    two = finished(tmp_path / "two", 150, seed=4, learning_rate=2e-3)
    made = run_page([one.path, two.path, one.path], tmp_path / "page")
    report = artifacts.open_artifact(made.page.parent, "report")
    assert report.manifest.parents == (one.id, two.id)
    html = made.page.read_text(encoding="utf-8")
    assert "Comparison of 2 training runs" in html
    assert "青空8M (1)" in html
    differing = html[html.index('<section id="differing">') :]
    assert "learning_rate" in differing
    assert "seq_len" not in differing
    assert html.count('<path class="line c1"') >= 6
    assert 'class="mark' not in html


@pytest.mark.parametrize("given", ["nothing", "empty", "tokens", "step"])
def test_what_is_no_run_is_refused_in_a_sentence(tmp_path: Path, given: str) -> None:
    (tmp_path / "empty").mkdir()
    if given == "tokens":
        make_chain(tmp_path / "in")
        (tmp_path / "in" / "tokens").rename(tmp_path / "tokens")
    if given == "step":
        artifacts.produce(tmp_path / "step", kind="checkpoint", version=3, config={}, parents=[],
                          work=lambda draft: artifacts.Finished({}))  # fmt: skip
        shutil.rmtree(tmp_path / "step" / "logs")
    with pytest.raises(ArtifactError, match=f"{given} (does not exist|holds no training run|is a )"):
        run_page([tmp_path / given], tmp_path / "page")
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("inside", ["model", "model/page", "model.partial/logs/page"])
def test_a_page_never_lies_in_the_run(tmp_path: Path, inside: str) -> None:
    out = unfinished(tmp_path / "model", 10, 20)
    with pytest.raises(UsageError, match="in the run's own folder"):
        run_page([out], tmp_path / inside)
    assert not (tmp_path / "model").exists(), "a folder of this name would stop the run from finishing"


def test_a_page_replaces_nothing_but_a_page(tmp_path: Path) -> None:
    out = unfinished(tmp_path / "model", 10, 20)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "index.html").write_text("mine")
    (tmp_path / "notes" / "todo.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="is no page of a run"):
        run_page([out], tmp_path / "notes")
    done = finished(tmp_path / "done", 10)
    run_page([done.path], tmp_path / "report")
    with pytest.raises(ArtifactError, match="finished artifact"):
        run_page([out], tmp_path / "report")
    assert (tmp_path / "notes" / "index.html").read_text() == "mine"


def test_text_of_logs_and_settings_is_escaped(tmp_path: Path) -> None:
    out = unfinished(tmp_path / "model", 30, 100)
    logs = tmp_path / "model.partial" / "logs"
    evil = "<script>alert(1)</script>\u202e"
    write_lines(logs / "runs.jsonl", [{"started": evil, "device": evil, "versions": {evil: evil}, "new": evil}])
    write_lines(logs / "faults.jsonl", [{"step": 3, "kind": evil, "action": evil, "loss": evil}])
    write_lines(logs / "events.jsonl", [{"time": 1, "event": evil, "why": evil}])
    write_lines(logs / "held_out.jsonl", [{"step": 9, "tokens": 9, "bits_per_character": {evil: 2.0}}])
    (logs / "status").write_text(evil, encoding="utf-8")
    html = run_page([out], tmp_path / "page").page.read_text(encoding="utf-8")
    assert "<script>alert" not in html
    assert "\u202e" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;⟦U+202E⟧") >= 8


def test_a_long_log_gives_a_small_page(tmp_path: Path) -> None:
    """60,000 lines; benchmarks say what a million take."""
    out = unfinished(tmp_path / "model", 400, 100_000)
    row = json.dumps(lines(400)[-1])[1:]
    file = tmp_path / "model.partial" / "logs" / "metrics.jsonl"
    number = re.sub(r'"(step|tokens)": \d+, ', "", row)
    with file.open("w", encoding="utf-8") as log:
        log.writelines(f'{{"step": {step}, "tokens": {step * 4096}, {number}\n' for step in range(1, 60_001))
    page = run_page([out], tmp_path / "page").page
    assert pl.read_ndjson(file).height == 60_000
    assert "Step 60,000 of 100,000" in page.read_text(encoding="utf-8")
    assert page.stat().st_size < 600_000


def test_the_command_prints_the_page_and_watches(tmp_path: Path) -> None:
    out = unfinished(tmp_path / "model", 40, 100)
    start = "from jpfm.cli.cli import main; import sys; sys.argv[0] = 'jpfm'; main()"
    command = [sys.executable, "-c", start, "report", "run", str(out), "--out", str(tmp_path / "page")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / 'page' / 'index.html'}\n"
    before = (tmp_path / "page" / "index.html").stat().st_mtime_ns
    watching = subprocess.Popen([*command, "--watch", "1"], stdout=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 60
        while (tmp_path / "page" / "index.html").stat().st_mtime_ns == before and time.monotonic() < until:
            time.sleep(0.1)
        shutil.rmtree(tmp_path / "model.partial")
        (tmp_path / "model.lock").unlink()
        finished(out, 100)
        printed, _ = watching.communicate(timeout=60)
    finally:
        watching.kill()
    assert watching.returncode == 0
    assert printed == f"{tmp_path / 'page' / 'index.html'}\n"
    assert artifacts.open_artifact(tmp_path / "page", "report").manifest.kind == "report"
