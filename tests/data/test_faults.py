"""Faults: damaged files, changed input, kills and full disks end in the same corpus or in a clear error."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.reliability import kills

from jpfm.core.artifact import Artifact, open_artifact, verify
from jpfm.core.config import Loaded
from jpfm.core.errors import ArtifactError, DataError, EnvironmentProblem
from jpfm.core.shards import Engine, Slice
from jpfm.data import passes
from jpfm.data.build import build, jobs_of, plan
from jpfm.data.recipe import Recipe
from jpfm.data.shard import run_shard

Make = Callable[..., Recipe]
WHOLE = Slice(0, 1)
STEPS: list[Any] = [
    "normalize",
    {"step": "frequent_lines", "minimum_documents": 5, "minimum_chars": 5},
    "exact_duplicates",
    "near_duplicates",
    "characters",
    {"step": "split", "held_out_share": 0.3},
]


def _texts(count: int = 24) -> dict[str, str]:
    """Files with copies, near copies and a footer."""
    draw = random.Random(1)
    words = "傘本花鍵箱縄皿紙筆糸石橋"
    texts = [
        "".join(f"{draw.choice(words)}と{draw.choice(words)}の{draw.randrange(99)}番を見た。" for _ in range(12))
        for _ in range(count)
    ]
    for place in range(0, count - 3, 4):
        texts[place + 1] = texts[place]
        texts[place + 2] = texts[place].replace("見た", "買った", 1)
    return {f"{n:03}.txt": text + ("\n無断で使わないこと。" if n % 3 == 0 else "") for n, text in enumerate(texts)}


@pytest.fixture
def recipe(make_recipe: Make) -> Recipe:
    made = make_recipe(_texts(), STEPS, slice_bytes=1_500)
    assert len(plan(made)) >= 6
    return made


@pytest.fixture
def wanted(recipe: Recipe, tmp_path: Path) -> str:
    """The id of the undisturbed corpus."""
    return _build(recipe, tmp_path / "undisturbed").id


def _build(recipe: Recipe, out: Path, **settings: Any) -> Artifact:
    corpus = build(recipe, out, **settings)
    assert corpus is not None
    assert verify(out) == []
    assert not list(out.rglob("*.tmp"))
    assert not list(out.rglob("*.discarded"))
    return corpus


def _stopped(recipe: Recipe, out: Path, decisions: int) -> Path:
    """A build in parts up to the pass that follows so many decisions; returns the unfinished folder."""
    build(recipe, out, part=WHOLE)
    for _ in range(decisions):
        build(recipe, out, decide=True)
        build(recipe, out, part=WHOLE)
    return out.with_name(out.name + ".partial")


BUILD = """
import sys
from pathlib import Path
from jpfm.core import config
from jpfm.core.shards import Engine, Slice
from jpfm.data import passes
from jpfm.data.build import build
from jpfm.data.recipe import Recipe
passes._WORTH_A_PROCESS = 0  # workers for small input too
build(config.load(Path(sys.argv[1]), Recipe).config, Path(sys.argv[2]), {settings})
"""


def _start(recipe: Recipe, out: Path, settings: str = "") -> "subprocess.Popen[str]":
    file = out.with_suffix(".yaml")
    file.write_text(Loaded(recipe, {}).show(), encoding="utf-8")
    line = [sys.executable, "-c", BUILD.format(settings=settings), str(file), str(out)]
    return subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True)


def _kill(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _kill_when(process: "subprocess.Popen[str]", there: Callable[[], bool]) -> None:
    while process.poll() is None and not there():
        time.sleep(0.0005)
    _kill(process)


# --- files that are not as they were written ------------------------------------------------------------------------


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _other_schema(file: Path) -> None:
    pq.write_table(pa.table({"id": ["fremd"], "text": ["別の表"]}), file)


def _empty_table(file: Path) -> None:
    pq.write_table(pq.read_schema(file).empty_table(), file)


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


DAMAGES = [_truncate, _other_schema, _empty_table, _flip, Path.unlink]
PLACES = [
    "work/pass0/documents", "work/pass0/quarantined", "state/pass0/sketch", "state/pass1/sketch",
    "work/pass3/documents", "work/pass3/dropped", "state/decision2", "state/decision3",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda function: function.__name__)
def test_a_damaged_file_of_a_stopped_build_is_made_again(
    place: str, damage: Callable[[Path], None], recipe: Recipe, wanted: str, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    partial = _stopped(recipe, tmp_path / "out", 3)
    file = sorted((partial / place).glob("*.parquet"))[1]
    damage(file)
    caplog.clear()
    assert _build(recipe, tmp_path / "out").id == wanted
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(str(file) in words and "again" in words for words in warnings)


@pytest.mark.parametrize("place", ["state/pass0/counts/s-00001.json", "logs/input_hashes.json"])
def test_a_torn_json_file_is_made_again(
    place: str, recipe: Recipe, wanted: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    partial = _stopped(recipe, tmp_path / "out", 1)
    _truncate(partial / place)
    caplog.clear()
    assert _build(recipe, tmp_path / "out").id == wanted
    assert any(f"{partial / place} cannot be read" in record.getMessage() for record in caplog.records)


def test_slices_over_a_damaged_decision_do_not_spoil_the_corpus(recipe: Recipe, wanted: str, tmp_path: Path) -> None:
    build(recipe, tmp_path / "out", part=WHOLE)
    for _ in range(3):
        build(recipe, tmp_path / "out", decide=True)
        for number in (2, 3):
            for file in (tmp_path / "out.partial" / "state" / f"decision{number}").glob("s-*.parquet"):
                file.unlink()
        build(recipe, tmp_path / "out", part=WHOLE)  # drops nothing
    assert _build(recipe, tmp_path / "out").id == wanted


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda function: function.__name__)
def test_no_decision_is_made_over_damaged_shards(
    damage: Callable[[Path], None], recipe: Recipe, wanted: str, tmp_path: Path
) -> None:
    partial = _stopped(recipe, tmp_path / "out", 1)
    damage(partial / "state" / "pass1" / "sketch" / "s-00002.parquet")
    with pytest.raises(ArtifactError, match=r"1 of \d+ shards are not built yet: s-00002"):
        build(recipe, tmp_path / "out", decide=True)
    build(recipe, tmp_path / "out", part=WHOLE)
    build(recipe, tmp_path / "out", decide=True)
    assert _build(recipe, tmp_path / "out").id == wanted


# --- input that changes ---------------------------------------------------------------------------------------------


def test_input_that_changed_under_a_finished_slice_is_refused(recipe: Recipe, wanted: str, tmp_path: Path) -> None:
    build(recipe, tmp_path / "out", part=Slice(0, 2))
    file = tmp_path / "raw" / "000.txt"
    before = file.read_text()
    file.write_text(before.replace("番", "号"))  # as many bytes
    asked: list[dict[str, Any]] = [{}, {"part": Slice(1, 2)}, {"decide": True}]
    for settings in asked:
        with pytest.raises(ArtifactError, match="was started with other settings"):
            build(recipe, tmp_path / "out", **settings)
    file.write_text(before)
    assert _build(recipe, tmp_path / "out").id == wanted


def test_input_that_changes_between_plan_and_reading_is_an_error(recipe: Recipe, tmp_path: Path) -> None:
    shards = plan(recipe)
    job = jobs_of(recipe, shards, tmp_path / "out.partial", None)[0][0]
    with (tmp_path / "raw" / "000.txt").open("a") as file:
        file.write("書き足した。")
    with pytest.raises(DataError, match=r"000\.txt was changed while it was read") as caught:
        run_shard(job)
    assert "wait until nothing writes" in caught.value.hint
    assert not job.counts_file.exists()  # not done


def test_a_change_that_hides_behind_size_and_time_is_found_by_verifying_the_source(
    recipe: Recipe, wanted: str, tmp_path: Path
) -> None:
    """The limit of hashing input once: who sets a file's time back gets the text that was read when it was hashed."""
    build(recipe, tmp_path / "out", part=WHOLE)
    file = tmp_path / "raw" / "000.txt"
    stat = file.stat()
    file.write_text(file.read_text().replace("番", "号"))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert _build(recipe, tmp_path / "out").id == wanted
    assert verify(tmp_path / "out" / "sources" / "s", root=tmp_path / "raw") == [
        "000.txt: content changed (same size, other SHA-256)"
    ]


# --- array tasks ----------------------------------------------------------------------------------------------------


def test_tasks_on_one_slice_at_once_end_alike(recipe: Recipe, wanted: str, tmp_path: Path) -> None:
    for _ in range(2):
        tasks = [_start(recipe, tmp_path / "out", "part=Slice(0, 1)") for _ in range(3)]
        ended = [(task.communicate()[1], task.returncode) for task in tasks]
        assert [code for _, code in ended] == [0, 0, 0], ended
        build(recipe, tmp_path / "out", decide=True)
    assert _build(recipe, tmp_path / "out").id == wanted


@pytest.mark.parametrize("seed", range(3))
def test_slices_in_any_order(seed: int, recipe: Recipe, wanted: str, tmp_path: Path) -> None:
    draw = random.Random(seed)
    for _ in range(4):
        for index in draw.sample(range(5), 5):
            build(recipe, tmp_path / "out", part=Slice(index, 5))
        build(recipe, tmp_path / "out", decide=True)
    for _ in range(2):  # the second finds it finished
        assert _build(recipe, tmp_path / "out", finish=True).id == wanted
    assert build(recipe, tmp_path / "out", decide=True) is None


def test_what_is_asked_too_early_says_what_is_missing(recipe: Recipe, wanted: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    every = len(plan(recipe))
    asked: list[dict[str, Any]] = [{"finish": True}, {"decide": True}]
    for settings in asked:
        with pytest.raises(ArtifactError, match=rf"{every} of {every} shards are not built yet: s-00000, .* \.\.\.$"):
            build(recipe, out, **settings)
    build(recipe, out, part=Slice(0, 2))
    for settings in asked:
        with pytest.raises(ArtifactError, match=rf"{every // 2} of {every} shards .*s-00001") as caught:
            build(recipe, out, **settings)
        assert "--slice" in caught.value.hint
    build(recipe, out, part=Slice(1, 2))
    build(recipe, out, decide=True)
    counts = out.with_name("out.partial") / "state" / "pass1" / "counts"
    build(recipe, out, part=Slice(0, 2))
    assert len(list(counts.glob("*.json"))) == every - every // 2
    with pytest.raises(ArtifactError, match=rf"{every // 2} of {every} shards"):
        build(recipe, out, decide=True)
    assert _build(recipe, out, finish=True).id == wanted


def test_finishing_while_a_slice_runs_is_refused(recipe: Recipe, wanted: str, tmp_path: Path) -> None:
    build(recipe, tmp_path / "out", part=WHOLE)
    (tmp_path / "out.lock").unlink()
    code = "import sys; from pathlib import Path; from jpfm.core.lock import lock\n"
    code += "with lock(Path(sys.argv[1]), shared=True): print('held', flush=True); input()"
    line = [sys.executable, "-c", code, str(tmp_path / "out")]
    task = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # what a slice holds
    assert task.stdout is not None
    assert task.stdout.readline() == "held\n"
    try:
        asked: list[dict[str, Any]] = [{"finish": True}, {"decide": True}, {}]
        for settings in asked:
            with pytest.raises(ArtifactError, match="is being made by array tasks, first process"):
                build(recipe, tmp_path / "out", **settings)
    finally:
        task.communicate("\n")
    assert task.returncode == 0
    assert _build(recipe, tmp_path / "out", finish=True).id == wanted


# --- kills ----------------------------------------------------------------------------------------------------------


def _numbers() -> Iterator[int]:
    yield from range(12)
    pytest.fail("no kill met the moment")


def test_a_killed_decision_is_made_again(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(_texts(600), STEPS, slice_bytes=20_000)
    wanted = _build(recipe, tmp_path / "undisturbed").id
    state = _stopped(recipe, tmp_path / "out", 2) / "state"
    for _ in _numbers():
        _kill_when(_start(recipe, tmp_path / "out", "decide=True"), lambda: (state / "decision3.scratch").exists())
        if (state / "decision3.unfinished").exists():
            break
        assert not (state / "decision3").exists(), "no kill met the moment"
    build(recipe, tmp_path / "out", decide=True)
    assert sorted(path.name for path in state.glob("decision3*")) == ["decision3"]
    assert _build(recipe, tmp_path / "out").id == wanted


@pytest.mark.parametrize("number", [0, 1, 5, 20])
def test_a_build_killed_while_it_collects(number: int, make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(_texts(120), STEPS, slice_bytes=2_000)
    wanted = _build(recipe, tmp_path / "undisturbed").id
    partial = _stopped(recipe, tmp_path / "out", 3)
    documents = partial / "documents"
    _kill_when(_start(recipe, tmp_path / "out"), lambda: documents.exists() and len(list(documents.iterdir())) > number)
    assert partial.exists()
    assert (partial / "work" / passes.COLLECTING).exists()
    assert not (partial / "state" / "collected.json").exists()
    assert _build(recipe, tmp_path / "out").id == wanted


@pytest.mark.parametrize("damage", [_truncate, _empty_table], ids=lambda function: function.__name__)
def test_damage_between_a_kill_while_collecting_and_the_next_run(
    damage: Callable[[Path], None], make_recipe: Make, tmp_path: Path
) -> None:
    recipe = make_recipe(_texts(120), STEPS, slice_bytes=2_000)
    wanted = _build(recipe, tmp_path / "undisturbed").id
    partial = _stopped(recipe, tmp_path / "out", 3)
    documents = partial / "documents"
    _kill_when(_start(recipe, tmp_path / "out"), lambda: documents.exists() and len(list(documents.iterdir())) > 2)
    damage(sorted((partial / "work" / "pass3" / "documents").glob("*.parquet"))[-1])
    assert _build(recipe, tmp_path / "out").id == wanted


@pytest.mark.parametrize("damage", [None, _truncate, Path.unlink], ids=["none", "truncate", "unlink"])
def test_a_kill_while_files_are_hashed_costs_no_pass(
    damage: Callable[[Path], None] | None, make_recipe: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = make_recipe(_texts(120), STEPS, slice_bytes=2_000)
    wanted = _build(recipe, tmp_path / "undisturbed").id
    state = _stopped(recipe, tmp_path / "out", 3) / "state"
    _kill_when(_start(recipe, tmp_path / "out"), (state / "collected.json").exists)
    assert state.exists()
    if damage is not None:
        damage(sorted((state.parent / "documents").glob("*.parquet"))[3])
    caplog.clear()
    assert _build(recipe, tmp_path / "out").id == wanted
    again = any("again" in record.getMessage() for record in caplog.records)
    assert again == (damage is not None)


def test_a_killed_worker_is_told_and_the_next_run_goes_on(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(_texts(600), STEPS, slice_bytes=2_000)
    wanted = _build(recipe, tmp_path / "undisturbed").id
    process = _start(recipe, tmp_path / "out", "engine=Engine(workers=2)")
    counts = tmp_path / "out.partial" / "state" / "pass0" / "counts"
    while process.poll() is None and not (counts.exists() and any(counts.iterdir())):
        time.sleep(0.002)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    told = process.communicate()[1]
    assert process.returncode != 0
    assert EnvironmentProblem.__name__ in told
    assert "a worker process ended unexpectedly" in told
    assert _build(recipe, tmp_path / "out", engine=Engine(workers=2)).id == wanted


@pytest.mark.slow
def test_the_command_killed_at_random_moments(tmp_path: Path) -> None:
    """benchmarks.reliability.kills does this fifty times."""
    trials = kills.Trials.prepare(tmp_path, files=4, documents=60)
    seed = random.randrange(10**6)
    print(f"random moments of seed {seed}")  # shown when the test fails
    draw = random.Random(seed)
    for _ in range(3):
        trials.kill_once(tmp_path / "out", draw.uniform(0.3, 1) * trials.seconds)
    assert trials.ends_well(tmp_path / "out")


# --- a full disk ----------------------------------------------------------------------------------------------------


def _used(folder: Path) -> int:
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


@pytest.mark.parametrize(("decisions", "status"), [(2, "pass 4/4"), (3, "collect")])
def test_a_full_disk_while_deciding_or_collecting(
    decisions: int, status: str, small_disk: Callable[[str], Path], recipe: Recipe, wanted: str
) -> None:
    disk = small_disk("64m")
    partial = _stopped(recipe, disk / "out", decisions)
    small_disk(str(_used(disk) + 24 * 1024))
    with pytest.raises(OSError) as caught:
        build(recipe, disk / "out")
    assert caught.value.errno == errno.ENOSPC
    if status == "collect":
        assert (partial / "work" / passes.COLLECTING).exists()
    else:
        assert list((partial / "state").glob("decision3.*"))
        assert not (partial / "state" / "decision3").exists()
    small_disk("64m")
    assert _build(recipe, disk / "out").id == wanted


def test_what_the_artifact_is_does_not_depend_on_how_often_it_was_stopped(
    recipe: Recipe, wanted: str, tmp_path: Path
) -> None:
    first = open_artifact(tmp_path / "undisturbed").manifest
    _stopped(recipe, tmp_path / "out", 2)
    again = _build(recipe, tmp_path / "out").manifest
    assert again.stats == first.stats
    assert [entry.sha256 for entry in again.files] == [entry.sha256 for entry in first.files]
    assert _names(tmp_path / "out") == _names(tmp_path / "undisturbed")


def _names(folder: Path) -> Sequence[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "logs" not in path.parts)
