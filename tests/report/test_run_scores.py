"""Scores of checkpoints on the page of a run: points with intervals, their run found by ids, nothing invented."""

import json
import re
from pathlib import Path

import pytest
from tests.report.run_made import finished, unfinished
from tests.report.scored_made import scores

from jpfm.core.artifact import open_artifact, verify
from jpfm.core.errors import ArtifactError
from jpfm.report.run.charts import Span
from jpfm.report.run.read import open_run
from jpfm.report.run.run import run_page
from jpfm.report.run.scored import charts_of, scores_of, table_of
from jpfm.report.scores import Words

STEPS = Words(ja="ステップ", en="steps")


def test_a_dot_and_a_bar_for_each_value(tmp_path: Path) -> None:
    run = finished(tmp_path / "one", 800)
    folder = scores(tmp_path / "scores", [200, 400, 600, 800], last=run)
    found = scores_of([open_run(run.path)], ["one"], [folder])
    assert [point.step for point in found.points[0]] == [200, 400, 600, 800]
    assert not found.pending
    charts = dict(charts_of(found.points, [STEPS], Span(0, 800, STEPS), "step"))
    for key, dots, bars in (("score_0", 3, 3), ("score_1", 4, 3)):
        (chart,) = charts[key]
        assert chart is not None
        paths = {path.kind: path.d for path in chart.paths}
        assert paths["dots"].count("h0") == dots
        assert paths["bars"].count("V") == bars
        heights = [float(text) for text in re.findall(r"M\d+ (-?[\d.]+)", paths["bars"])]
        heights += [float(text) for text in re.findall(r"V(-?[\d.]+)", paths["bars"])]
        assert 0 <= min(heights) < max(heights) <= 300  # no interval leaves the frame
        assert re.findall(r"M(\d+) [\d.]+h0", paths["dots"])[-1] == "1000"
    (chart,) = charts["score_1"]
    assert chart is not None
    value = 2.4 + 3.0 / (1 + 800 / 90)
    assert chart.cells[-1] is not None
    assert chart.cells[-1].values[0][1] == f"{value:.4g} ({value - 0.2:.4g}–{value + 0.2:.4g})"
    table = table_of(found.points[0])
    assert table is not None
    assert table["rows"][1]["cells"][0] == ("–", "")
    assert table["rows"][0]["cells"][1] == (f"{2.4 + 3.0 / (1 + 200 / 90):.4f}", "")


def test_the_page_of_a_finished_run_has_the_scores_as_parents(tmp_path: Path) -> None:
    run = finished(tmp_path / "one", 400)
    folder = scores(tmp_path / "scores", [200, 400], last=run)
    made = run_page([run.path], tmp_path / "page", scores=[folder])
    assert made.finished
    report = open_artifact(tmp_path / "page", "report")
    assert report.manifest.parents == (
        run.id, *(open_artifact(folder / f"step-{step:08d}").id for step in (200, 400)),
    )  # fmt: skip
    assert verify(report.path) == []
    again = run_page([run.path], tmp_path / "again", scores=[folder])
    assert open_artifact(again.page.parent).id == report.id
    told = json.loads((tmp_path / "page" / "data.json").read_text(encoding="utf-8"))["runs"][0]["scores"]
    assert [row["step"] for row in told] == [200, 400]
    assert told[0]["tasks"]["jcommonsenseqa"]["low"] < told[0]["tasks"]["jcommonsenseqa"]["value"]
    assert str(tmp_path) not in made.page.read_text(encoding="utf-8")


def test_while_scores_are_to_come_the_page_is_no_artifact(tmp_path: Path) -> None:
    run = finished(tmp_path / "one", 400)
    nothing = run_page([run.path], tmp_path / "page", scores=[tmp_path / "scores"])
    assert not nothing.finished
    assert "scores: no scores yet." in nothing.page.read_text(encoding="utf-8")
    scores(tmp_path / "scores", [200])
    part = run_page([run.path], tmp_path / "page", scores=[tmp_path / "scores"])
    assert not part.finished
    text = part.page.read_text(encoding="utf-8")
    assert "its last checkpoint is not scored yet" in text
    assert 'data-reload="30"' in text
    scores(tmp_path / "scores", [200, 400], last=run)
    assert run_page([run.path], tmp_path / "page", scores=[tmp_path / "scores"]).finished


def test_runs_are_compared_over_tokens(tmp_path: Path) -> None:
    one, two = finished(tmp_path / "one", 400), finished(tmp_path / "two", 600, seed=2, learning_rate=0.002)
    folders = [scores(tmp_path / "b", [200, 600], last=two), scores(tmp_path / "a", [400], last=one)]
    found = scores_of([open_run(one.path), open_run(two.path)], ["one", "two"], folders)
    # step 200 has one id in both runs, as run_made makes them; the last step tells them apart
    assert [[point.step for point in points] for points in found.points] == [[400], [200, 600]]
    page = run_page([one.path, two.path], tmp_path / "page", scores=[tmp_path / "a"])
    text = page.page.read_text(encoding="utf-8")
    assert text.count('<path class="dots') == 2
    assert 'id="score_0"' in text


def test_of_several_runs_a_folder_of_none_is_told(tmp_path: Path) -> None:
    one, two = finished(tmp_path / "one", 400), finished(tmp_path / "two", 600, seed=2)
    found = scores_of(
        [open_run(one.path), open_run(two.path)], ["one", "two"], [scores(tmp_path / "scores", [100, 300])]
    )
    assert found.points == ((), ())
    assert found.notices[0].en == "scores: scores of checkpoints that none of these runs holds; they are not shown."


def test_scores_of_another_run_are_refused(tmp_path: Path) -> None:
    run = finished(tmp_path / "one", 400)
    other = finished(tmp_path / "other", 400, seed=3, learning_rate=0.004)
    folder = scores(tmp_path / "scores", [200, 400], last=other)
    with pytest.raises(ArtifactError, match="for step 400; that of one is"):
        scores_of([open_run(run.path)], ["one"], [folder])
    with pytest.raises(ArtifactError, match=r"step 200 of one is scored in .*b and in .*a"):
        scores_of([open_run(run.path)], ["one"], [scores(tmp_path / name, [200]) for name in ("a", "b")])


def test_scores_of_another_schema_are_named(tmp_path: Path) -> None:
    training = unfinished(tmp_path / "model", 500, 1000)
    folder = scores(tmp_path / "scores", [200, 400])
    (folder / "step-00000200" / "scores.json").write_text('{"model": {}}', encoding="utf-8")
    found = scores_of([open_run(training)], ["model"], [folder])
    assert [point.step for point in found.points[0]] == [400]
    assert found.notices[0].en.startswith("scores/step-00000200: scores.json has another schema")
    assert not run_page([training], tmp_path / "page", scores=[folder]).finished
