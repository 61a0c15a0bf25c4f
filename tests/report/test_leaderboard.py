"""The leaderboard: what it shows, what it refuses, and that the same scores give the same bytes."""

import base64
import hashlib
import json
import logging
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.report.made import item, make_chain, make_scores, showcase, task

from jpfm.core.artifact import Artifact, open_artifact, verify
from jpfm.core.errors import ArtifactError
from jpfm.report.columns import BAND_COLUMNS, lay_out, scale, verdict
from jpfm.report.leaderboard import leaderboard
from jpfm.report.scores import TaskScore, read_scores


def page_of(report: Artifact) -> str:
    return (report.path / "index.html").read_text(encoding="utf-8")


def data_of(report: Artifact) -> Any:
    return json.loads((report.path / "data.json").read_text(encoding="utf-8"))


@pytest.fixture
def outside(tmp_path: Path) -> Artifact:
    """Scores of a model from outside: no ancestors."""
    return make_scores(tmp_path / "in" / "outside", None, [task("quiz", 0.41, 0.36, 0.46)])


def test_everything_is_written_and_holds_together(tmp_path: Path) -> None:
    report = leaderboard(showcase(tmp_path / "in"), tmp_path / "report")
    names = {entry.path for entry in report.manifest.files}
    assert {"index.html", "data.json", "loss.png", "funnel.png"} <= names
    assert verify(report.path) == []
    html = page_of(report)
    for words in ("jpfm-8M", "japanese-open", "public-domain-JP", "青空文庫", "checkpoint-", "区別できません"):
        assert words in html
    assert data_of(report)["corpora"][0]["total"]["read"] == 18_600


def test_same_scores_give_the_same_bytes(tmp_path: Path) -> None:
    scores = showcase(tmp_path / "in")
    one = leaderboard(scores, tmp_path / "one")
    two = leaderboard(scores, tmp_path / "elsewhere" / "two")
    assert one.id == two.id
    assert one.manifest.files == two.manifest.files
    for entry in one.manifest.files:
        assert (one.path / entry.path).read_bytes() == (two.path / entry.path).read_bytes()


def test_no_path_or_host_is_on_the_page(tmp_path: Path) -> None:
    report = leaderboard(showcase(tmp_path / "in"), tmp_path / "report")
    for name in ("index.html", "data.json"):
        text = (report.path / name).read_text(encoding="utf-8")
        assert str(tmp_path) not in text
        assert socket.gethostname() not in text or len(socket.gethostname()) < 6


def test_page_loads_nothing_and_runs_one_script(tmp_path: Path) -> None:
    html = page_of(leaderboard(showcase(tmp_path / "in"), tmp_path / "report"))
    assert not re.search(r"""(?:src|srcset|href)\s*=\s*["'](?!data:|#)""", html)
    assert not re.search(r"@import|url\(", html)
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert f"script-src 'sha256-{digest}'" in policy[1]
    assert " on" + "click" not in html


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202egnp.exe\u202c\x00\x1b[2J{{ 7*7 }}👩‍👩‍👧"


def test_hostile_text_is_escaped_and_its_hidden_characters_show(tmp_path: Path) -> None:
    """Every free text that a scores folder can carry: names, titles, definitions, classes, items."""
    words = {"ja": HOSTILE, "en": HOSTILE}
    entry = task(
        "quiz", 0.3, 0.2, 0.4, title=words, definition=words, source=HOSTILE, licence=HOSTILE, scorer=HOSTILE,
        interval=HOSTILE, metric=HOSTILE, group=HOSTILE, errors={HOSTILE: 3}, baselines={HOSTILE: 0.2},
        by={"level": {HOSTILE: {"value": 0.1, "low": 0.0, "high": 0.2, "num_items": 4}}},
    )  # fmt: skip
    rows = [
        item(0, item_id=HOSTILE, prompt=HOSTILE, gold=HOSTILE, answer=HOSTILE, error_class=HOSTILE, level=HOSTILE,
             choices=[HOSTILE], choice_scores=[0.1]),
    ]  # fmt: skip
    chain = make_chain(tmp_path / "in", steps=30)
    scores = make_scores(
        tmp_path / "in" / "scores", chain.checkpoint, [entry], model={"name": HOSTILE, "size": HOSTILE},
        items={"quiz": rows},
    )  # fmt: skip
    html = page_of(leaderboard([scores], tmp_path / "report"))
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html)
    assert "⟦U+202E⟧gnp.exe⟦U+202C⟧␀␛[2J" in html
    assert "{{ 7*7 }}" in html
    assert "👩‍👩‍👧" in html


def test_long_answers_are_cut_and_say_so(tmp_path: Path) -> None:
    rows = [item(0, answer="あ" * 1_000_000, prompt="い" * 50_000, gold="う" * 401), item(1, answer="え" * 400)]
    scores = make_scores(tmp_path / "s", None, [task("quiz", 0.3, 0.2, 0.4)], items={"quiz": rows})
    html = page_of(leaderboard([scores], tmp_path / "report"))
    assert len(html) < 200_000
    assert "あ" * 400 in html
    assert "あ" * 401 not in html
    assert "全1,000,000文字のうち先頭400文字を表示" in html
    assert "全401文字のうち先頭400文字を表示" in html
    assert html.count("文字のうち先頭") == 2
    assert "［…］" in html


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"items_sha256": "c" * 64}, "設問が異なる（aaaaaaaa → cccccccc）"),
        ({"prompt_sha256": "d" * 64}, "プロンプトが異なる（bbbbbbbb → dddddddd）"),
        ({"scorer": "exact_match"}, "採点方法が異なる（choice_loglikelihood → exact_match）"),
        ({"metric": "char_f1"}, "指標が異なる（accuracy → char_f1）"),
    ],
)
def test_results_that_differ_in_what_was_asked_get_their_own_column(
    tmp_path: Path, changed: dict[str, str], reason: str
) -> None:
    one = make_scores(tmp_path / "a", None, [task("quiz", 0.3, 0.2, 0.4)], model={"id": "a", "name": "A"})
    two = make_scores(tmp_path / "b", None, [task("quiz", 0.5, 0.4, 0.6, **changed)], model={"id": "b", "name": "B"})
    table = lay_out([read_scores(one), read_scores(two)])
    assert [sorted(column.cells) for column in table.columns] == [[1], [2]]
    html = page_of(leaderboard([one, two], tmp_path / "report"))
    assert reason in html
    assert "未評価" in html


def test_results_that_agree_share_a_column(tmp_path: Path) -> None:
    one = make_scores(tmp_path / "a", None, [task("quiz", 0.3, 0.2, 0.4)], model={"id": "a"})
    two = make_scores(tmp_path / "b", None, [task("quiz", 0.5, 0.4, 0.6)], model={"id": "b"})
    (column,) = lay_out([read_scores(one), read_scores(two)]).columns
    assert sorted(column.cells) == [1, 2]


def test_one_model_in_several_folders_is_one_row_and_a_second_run_another(tmp_path: Path) -> None:
    parts = [
        make_scores(tmp_path / "a", None, [task("quiz", 0.3, 0.2, 0.4)]),
        make_scores(tmp_path / "b", None, [task("other", 0.5, 0.4, 0.6)]),
        make_scores(tmp_path / "c", None, [task("quiz", 0.31, 0.21, 0.41)]),
    ]
    table = lay_out([read_scores(part) for part in parts])
    assert [(row.repeat, len(row.scores)) for row in table.rows] == [(1, 2), (2, 1)]
    html = page_of(leaderboard([*parts, parts[0]], tmp_path / "report"))
    assert "評価2回目" in html


def test_unscored_and_format_failures_are_shown(tmp_path: Path) -> None:
    entry = task("quiz", 0.3, 0.2, 0.4, num_unscored=7, num_format_failures=31)
    rows = [item(n, answer=None, correct=None, value=None, error_class=None) for n in range(3)] + [item(5)]
    html = page_of(leaderboard([make_scores(tmp_path / "s", None, [entry], items={"quiz": rows})], tmp_path / "report"))
    assert "n = 193 / 200" in html
    assert "未採点 7" in html
    assert "形式不備 31" in html
    assert html.count('class="unscored"') == 3


def test_a_task_without_any_score_is_shown_without_a_number(tmp_path: Path) -> None:
    entry = task("quiz", None, None, None, num_unscored=200)
    html = page_of(leaderboard([make_scores(tmp_path / "s", None, [entry])], tmp_path / "report"))
    assert '<div class="value">–</div>' in html
    assert "未採点 200" in html


@pytest.mark.parametrize(
    ("low", "high", "higher", "baselines", "expected"),
    [
        (0.30, 0.40, True, {"random": 0.2, "majority": 0.25}, "better"),
        (0.22, 0.30, True, {"random": 0.2, "majority": 0.25}, "same"),
        (0.25, 0.30, True, {"random": 0.2, "majority": 0.25}, "same"),
        (0.10, 0.19, True, {"random": 0.2, "majority": 0.25}, "worse"),
        (0.21, 0.24, True, {"random": 0.2, "majority": 0.25}, "worse"),
        (3.9, 4.1, False, {"unigram": 7.9, "bigram": 5.0}, "better"),
        (4.9, 5.1, False, {"unigram": 7.9, "bigram": 5.0}, "same"),
        (6.0, 6.2, False, {"unigram": 7.9, "bigram": 5.0}, "worse"),
        (0.1, 0.2, True, {}, "unknown"),
        (None, None, True, {"random": 0.2}, "unknown"),
    ],
)
def test_a_result_beats_the_baseline_only_with_its_whole_interval(
    low: float | None, high: float | None, higher: bool, baselines: dict[str, float], expected: str
) -> None:
    entry = task("quiz", 0.3, low, high, higher_is_better=higher, baselines=baselines)
    assert verdict(TaskScore.model_validate(entry)) == expected


@pytest.mark.parametrize(
    ("value", "axis"),
    [(0.0, (0.0, 1.0)), (1.0, (0.0, 1.0)), (4.2, (0.0, 5.0)), (73.0, (0.0, 80.0)), (-2.2, (-2.5, 1.0))],
)
def test_bars_have_a_round_axis(value: float, axis: tuple[float, float]) -> None:
    entry = TaskScore.model_validate(task("quiz", value, value, value, baselines={}))
    assert scale([entry]) == pytest.approx(axis)


def test_many_columns_fall_into_bands(tmp_path: Path) -> None:
    groups = ["language"] * 9 + ["knowledge"] * 5 + ["safety"] * 3
    tasks = [task(f"t{n}", 0.3, 0.2, 0.4, group=group) for n, group in enumerate(groups)]
    table = lay_out([read_scores(make_scores(tmp_path / "s", None, tasks))])
    widths = [sum(len(span.columns) for span in band) for band in table.bands]
    assert sum(widths) == len(tasks)
    assert max(widths) <= BAND_COLUMNS


def test_the_sample_is_fixed_and_half_right(tmp_path: Path) -> None:
    one = read_scores(make_scores(tmp_path / "a", None, [task("quiz", 0.4, 0.3, 0.5)]))
    rows = [item(number) for number in reversed(range(40))]
    two = read_scores(make_scores(tmp_path / "b", None, [task("quiz", 0.4, 0.3, 0.5)], items={"quiz": rows}))
    outcomes = [entry.outcome for entry in one.samples["quiz"]]
    assert outcomes == ["right"] * 6 + ["wrong"] * 6
    assert one.samples["quiz"] == two.samples["quiz"], "the order of the file does not matter"


def test_no_scores_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="none were given") as caught:
        leaderboard([], tmp_path / "report")
    assert "jpfm eval" in caught.value.hint
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("damage", ["no manifest", "no scores", "cut short"])
def test_half_written_scores_are_an_error(tmp_path: Path, outside: Artifact, damage: str) -> None:
    file = outside.path / "scores.json"
    if damage == "no manifest":
        (outside.path / "manifest.json").unlink()
    elif damage == "no scores":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ArtifactError) as caught:
        leaderboard([outside], tmp_path / "report")
    assert caught.value.hint
    assert not (tmp_path / "report").exists()


def test_another_kind_is_an_error(tmp_path: Path) -> None:
    chain = make_chain(tmp_path / "in", steps=5)
    with pytest.raises(ArtifactError, match="not a scores"):
        leaderboard([chain.corpus], tmp_path / "report")


def test_another_schema_is_said_and_the_rest_is_shown(
    tmp_path: Path, outside: Artifact, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = make_scores(tmp_path / "in" / "foreign", None, [], model={"name": None})
    tasks = ["none", task("new", 0.1, 0.0, 0.2) | {"value": "high"}, task("good", 1, 1, 1)]
    partly = make_scores(tmp_path / "in" / "partly", None, tasks, model={"id": "p"})
    with caplog.at_level(logging.WARNING, logger="jpfm"):
        report = leaderboard([outside, foreign, partly], tmp_path / "report")
    html = page_of(report)
    assert f"{foreign.id}：scores.json の形式がこの版と異なるため" in html
    assert "課題「new」の形式がこの版と異なるため" in html
    assert [result["task"] for result in data_of(report)["results"]] == ["quiz", "good"]
    assert "another schema" in caplog.text


def test_missing_and_broken_items_are_said_and_the_rest_is_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("gone", "broken", "fine")
    scores = make_scores(
        tmp_path / "in" / "s", None, [task(name, 0.4, 0.3, 0.5) for name in names],
        items={"gone": []},
    )  # fmt: skip
    (scores.path / "items" / "broken.parquet").write_bytes(b"PAR1 no")
    with caplog.at_level(logging.WARNING, logger="jpfm"):
        html = page_of(leaderboard([scores], tmp_path / "report"))
    assert "課題「gone」の設問ファイルがないため" in html
    assert "課題「broken」の設問ファイルを読めないため" in html
    assert "作成後にファイルが変わっています" in html
    assert html.count('<details class="sample">') == 1
    assert "items file of task 'gone' is missing" in caplog.text


def test_an_items_file_outside_the_folder_is_not_read(tmp_path: Path) -> None:
    scores = make_scores(tmp_path / "in" / "s", None, [task("../../secret", 0.4, 0.3, 0.5)], items={"../../secret": []})
    pq.write_table(pa.table({"item_id": ["x"]}), tmp_path / "in" / "secret.parquet")
    html = page_of(leaderboard([open_artifact(scores.path)], tmp_path / "report"))
    assert "設問ファイルがないため" in html


def test_a_model_from_outside_says_what_is_not_known(tmp_path: Path, outside: Artifact) -> None:
    report = leaderboard([outside], tmp_path / "report")
    html = page_of(report)
    assert "チェックポイントの記録がありません" in html
    assert "学習データの記録がないため" in html
    assert not (report.path / "loss.png").exists()
    assert not (report.path / "funnel.png").exists()


def test_missing_ancestors_are_said(tmp_path: Path) -> None:
    chain = make_chain(tmp_path / "in", steps=5)
    scores = make_scores(tmp_path / "in" / "scores", chain.checkpoint, [task("quiz", 0.4, 0.3, 0.5)])
    shutil.rmtree(tmp_path / "in" / "tokens")
    html = page_of(leaderboard([scores], tmp_path / "report"))
    assert "系譜上の成果物が見つかりません（tokens-" in html
    assert "学習データの記録がないため" in html, "the tokenizer's corpus did not train the model"


def test_a_broken_neighbour_hides_the_lineage_but_not_the_scores(tmp_path: Path, outside: Artifact) -> None:
    chain = make_chain(tmp_path / "in", steps=5)
    scores = make_scores(tmp_path / "in" / "scores", chain.checkpoint, [task("quiz", 0.4, 0.3, 0.5)])
    (tmp_path / "in" / "tokens" / "manifest.json").write_text("{", encoding="utf-8")
    html = page_of(leaderboard([scores], tmp_path / "report"))
    assert "0.400" in html
    assert "系譜をたどれません" in html or "系譜上の成果物が見つかりません" in html
    assert str(tmp_path) not in html


def test_a_log_without_loss_is_said(tmp_path: Path) -> None:
    chain = make_chain(tmp_path / "in", steps=5)
    scores = make_scores(tmp_path / "in" / "scores", chain.checkpoint, [task("quiz", 0.4, 0.3, 0.5)])
    (chain.checkpoint.path / "logs" / "metrics.jsonl").write_text('{"step": 1}\n{"step"', encoding="utf-8")
    report = leaderboard([scores], tmp_path / "report")
    assert "学習ログに損失の記録がありません" in page_of(report)
    assert not (report.path / "loss.png").exists()


def test_figures_that_disagree_with_the_checkpoint_are_said(tmp_path: Path) -> None:
    chain = make_chain(tmp_path / "in", steps=5)
    scores = make_scores(
        tmp_path / "in" / "scores", chain.checkpoint, [task("quiz", 0.4, 0.3, 0.5)], model={"parameters": 7}
    )
    assert "parameters differ between the scores (7) and the checkpoint (8,388,608)" in page_of(
        leaderboard([scores], tmp_path / "report")
    )
