"""`jpfm eval --follow`: real runs, real followers, several at once, killed, and a run that goes on meanwhile."""

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.conftest import tiny_training
from tests.dist.processes import Processes, until, write_config

from jpfm.core import artifact as artifacts
from jpfm.core import lineage
from jpfm.core.artifact import Artifact, open_artifact, verify
from jpfm.core.errors import ArtifactError, EnvironmentProblem, JpfmError, ModelError, UsageError
from jpfm.core.lock import lock
from jpfm.eval.follow import Follower
from jpfm.eval.run import EvalConfig, evaluate
from jpfm.model import checkpoints
from jpfm.model.checkpoints import Retired, checkpoints_of, hold, step_name
from jpfm.train.config import TrainConfig
from jpfm.train.loop import train

TASKS = [{"task": "bits_per_character", "max_chars": 1500}, {"task": "era_dates", "items_per_level": 1}]
CONFIG = EvalConfig.model_validate({"stage": "eval", "tasks": TASKS})
DIRECT = CONFIG.model_copy(update={"tasks": CONFIG.tasks[:1]})
"""One task that takes a third of a second."""
LONG = EvalConfig.model_validate({"stage": "eval", "tasks": [TASKS[0], TASKS[1] | {"items_per_level": 60}]})


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    made = Processes(tmp_path_factory.mktemp("processes"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "eval.yaml"
    path.write_text(yaml.safe_dump({"stage": "eval", "tasks": TASKS}), encoding="utf-8")
    return path


@pytest.fixture
def run(checkpoint: Artifact, tmp_path: Path) -> Path:
    """A finished run of 12 steps with checkpoints after 4 and 8, beside what it was made from."""
    for name in ("corpus", "tokenizer", "tokens"):
        (tmp_path / name).symlink_to(checkpoint.path.parent / name)
    shutil.copytree(checkpoint.path, tmp_path / "model")
    return tmp_path / "model"


def training(run: Path, checkpoint: Artifact) -> Path:
    """The same run as it is while it trains; returns its folder."""
    partial = run.with_name(run.name + ".partial")
    run.rename(partial)
    (partial / "manifest.json").unlink()
    plan = artifacts.plan_of("checkpoint", 1, checkpoint.manifest.config, [])
    (partial / "plan.json").write_text(artifacts.canonical_json(plan), encoding="utf-8")
    return partial


def finish(run: Path, checkpoint: Artifact) -> None:
    """The end of that run."""
    partial = run.with_name(run.name + ".partial")
    shutil.copy(checkpoint.path / "manifest.json", partial)
    (partial / "plan.json").unlink()
    partial.rename(run)


def steps_in(out: Path) -> list[int]:
    return [int(path.name[5:]) for path in sorted(out.iterdir()) if (path / "manifest.json").exists()]


def collect(follower: Follower, made: list[str]) -> None:
    """Names of what is scored, up to an error."""
    for scores in follower.run():
        made.append(scores.path.name)


def test_each_is_what_eval_gives_newest_first(run: Path, tmp_path: Path) -> None:
    follower = Follower(CONFIG, run, tmp_path / "scores")
    made = list(follower.run())
    assert [scores.path.name for scores in made] == [step_name(step) for step in (12, 8, 4)]
    places = [run, run / "steps" / step_name(8), run / "steps" / step_name(4)]
    for scores, place in zip(made, places, strict=True):
        alone = evaluate(CONFIG.model_copy(update={"model": str(place)}), tmp_path / f"alone-{scores.path.name}")
        assert alone.id == scores.id
        assert verify(scores.path) == []
    rows = follower.rows()
    assert rows[0] == ["step", "bits_per_character", "era_dates"]
    assert [row[0] for row in rows[1:]] == ["4", "8", "12"]
    assert float(rows[3][1]) == pytest.approx(made[0].manifest.stats["bits_per_character"], abs=1e-4)
    assert list(Follower(CONFIG, run, tmp_path / "scores").run()) == []
    assert not [path for path in (tmp_path / "scores").iterdir() if not path.name.startswith("step-")]
    assert not list((tmp_path / "scores").glob("*.lock"))


def test_two_followers_share_the_work(processes: Processes, config: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores"
    words: list[str | Path] = ["eval", config, "--follow", run, "--out", out]
    both = [processes.start(words, 1) for _ in range(2)]
    assert [one.wait() for one in both] == [[0], [0]], [one.errors() for one in both]
    printed = [one.text(0, "out").split() for one in both]
    assert sorted(printed[0] + printed[1]) == [str(out / step_name(step)) for step in (4, 8, 12)]
    assert all(printed)  # a follower waits for nobody while there is something to do
    for one in both:
        table = one.text(0).splitlines()[-4:]
        assert [line.split()[0] for line in table] == ["step", "4", "8", "12"]
        assert "is being made by" not in one.text(0)
    alone = evaluate(CONFIG.model_copy(update={"model": str(run)}), tmp_path / "alone")
    assert open_artifact(out / step_name(12)).id == alone.id


def test_what_a_killed_follower_left_is_taken_over(
    processes: Processes, config: Path, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores"
    words: list[str | Path] = ["eval", config, "tasks.1.items_per_level=40", "--follow", run, "--out", out]
    first = processes.start(words, 1)
    part = out / f"{step_name(12)}.partial" / "parts" / "bits_per_character.json"
    until(lambda: part.exists(), first.errors)
    written = part.stat().st_mtime_ns
    first.send(0, signal.SIGKILL)
    assert first.wait() == [137]
    assert part.stat().st_mtime_ns == written
    second = processes.start([*words, "tasks.1.items_per_level=40"], 1)
    assert second.wait() == [0], second.errors()
    assert steps_in(out) == [4, 8, 12]
    assert "taking over" in second.text(0)
    assert second.text(0).count(f"resuming {out / step_name(12)}") == 1
    assert not list(out.glob("*.lock"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_it_and_nothing_is_lost(
    processes: Processes, config: Path, run: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "scores"
    words: list[str | Path] = ["eval", config, "tasks.1.items_per_level=60", "--follow", run, "--out", out]
    first = processes.start(words, 1)
    until(lambda: (out / f"{step_name(8)}.partial" / "parts" / "bits_per_character.json").exists(), first.errors)
    first.send(0, number)
    assert first.wait() == [75], first.errors()
    assert first.text(0, "out").split() == [str(out / step_name(12))]
    assert first.text(0).splitlines()[-1].startswith("  hint: run the same command again")
    assert not list(out.glob("*.lock"))
    again = processes.start([*words, "--once"], 1)
    assert again.wait() == [0], again.errors()
    assert again.text(0, "out").split() == [str(out / step_name(step)) for step in (8, 4)]
    assert "Traceback" not in first.text(0) + again.text(0)


def test_a_run_is_followed_while_it_trains(
    processes: Processes, config: Path, tokens: Artifact, tmp_path: Path
) -> None:
    """From before it exists to its end, with one checkpoint kept: saves are faster than scores, so some are lost."""
    for name in ("corpus", "tokenizer", "tokens"):
        (tmp_path / name).symlink_to(tokens.path.parent / name)
    run, out = tmp_path / "model", tmp_path / "scores"
    settings = write_config(tokens, tmp_path / "train.yaml", steps=60, save={"every_steps": 2, "keep_last": 1})
    followers = [processes.start(["eval", config, "--follow", run, "--out", out], 1) for _ in range(2)]
    until(lambda: "does not exist yet" in followers[0].text(0), followers[0].errors)
    trainer = processes.train(settings, run, 1)
    assert trainer.wait() == [0], trainer.errors()
    assert [one.wait() for one in followers] == [[0], [0]], [one.errors() for one in followers]
    text = "".join(one.text(0) for one in (*followers, trainer))
    assert "Traceback" not in text
    scored = steps_in(out)
    assert scored[-1] == 60
    assert len(scored) >= 3
    assert sorted(path for one in followers for path in one.text(0, "out").split()) == [
        str(out / step_name(step)) for step in scored
    ]
    for step in scored:
        scores = open_artifact(out / step_name(step), "scores")
        assert verify(scores.path) == []
        assert scores.manifest.parents[1] == open_artifact(tmp_path / "corpus").id
    assert not list(run.rglob("*.discarded"))
    kept = [path.name for path in (run / "steps").iterdir()]
    assert kept[-1:] == [step_name(58)] or step_name(58) in kept
    assert len(kept) <= 3  # the newest, and what each of two followers read at the last save
    alone = evaluate(CONFIG.model_copy(update={"model": str(run)}), tmp_path / "alone")
    assert open_artifact(out / step_name(60)).id == alone.id


def test_a_run_that_ends_under_its_follower(run: Path, checkpoint: Artifact, tmp_path: Path) -> None:
    """The folder gets its name while a checkpoint below it is scored: it is found again, the last one too."""
    training(run, checkpoint)
    out = tmp_path / "scores"

    def end() -> None:
        until(lambda: (out / f"{step_name(8)}.partial" / "plan.json").exists(), lambda: "it does not begin")
        finish(run, checkpoint)

    ending = threading.Thread(target=end)
    ending.start()
    made = list(Follower(CONFIG, run, out, poll_seconds=0.05).run())
    ending.join()
    assert sorted(scores.path.name for scores in made) == [step_name(step) for step in (4, 8, 12)]
    shutil.copytree(run / "steps" / step_name(4), tmp_path / "copy")
    copied = evaluate(CONFIG.model_copy(update={"model": str(tmp_path / "copy")}), tmp_path / "of-copy")
    assert copied.id == open_artifact(out / step_name(4)).id
    for scores in made:  # also where the checkpoint had another place when it was scored
        assert [found.manifest.kind for found in lineage.ancestors(scores)][:3] == ["scores", "checkpoint", "corpus"]
    for step, place in checkpoints_of(run).items():
        alone = evaluate(CONFIG.model_copy(update={"model": str(place)}), tmp_path / f"alone-{step}")
        assert open_artifact(out / step_name(step)).id == alone.id


def test_the_scores_of_a_finished_run_know_where_they_come_from(run: Path, tmp_path: Path) -> None:
    for scores in Follower(DIRECT, run, tmp_path / "scores").run():
        kinds = [found.manifest.kind for found in lineage.ancestors(scores)]
        assert kinds[:3] == ["scores", "checkpoint", "corpus"]


def test_a_checkpoint_that_went_before_it_was_reached_is_counted(
    run: Path, checkpoint: Artifact, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    partial = training(run, checkpoint)
    follower = Follower(DIRECT, run, tmp_path / "scores", once=True)
    scored = follower.run()
    assert next(scored).path.name == step_name(8)
    assert checkpoints.retire(partial / "steps" / step_name(4))
    assert list(scored) == []
    assert follower.retired == {4}
    assert "the checkpoint of step 4 was retired before it was scored" in caplog.text
    assert follower.summary() == "1 checkpoint scored, 1 retired before it was reached"


def test_what_comes_and_goes_while_one_is_scored_is_counted(run: Path, checkpoint: Artifact, tmp_path: Path) -> None:
    steps, out = training(run, checkpoint) / "steps", tmp_path / "scores"

    def come_and_go() -> None:
        until(lambda: (out / f"{step_name(8)}.partial").exists(), lambda: "it does not begin")
        shutil.copytree(steps / step_name(8), steps / "copy")
        (steps / "copy").rename(steps / step_name(10))
        until(lambda: 10 in follower._seen, lambda: "it does not look")
        assert checkpoints.retire(steps / step_name(10))

    follower = Follower(LONG, run, out, once=True, poll_seconds=0.02)
    going = threading.Thread(target=come_and_go)
    going.start()
    assert [scores.path.name for scores in follower.run()] == [step_name(8), step_name(4)]
    going.join()
    assert follower.retired == {10}


def test_once_leaves_alone_what_another_is_at(run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "jpfm")
    out = tmp_path / "scores"
    with lock(out / f"{step_name(12)}.turn"):
        made = [scores.path.name for scores in Follower(DIRECT, run, out, once=True).run()]
    assert made == [step_name(8), step_name(4)]
    assert "1 more is being scored by other tasks" in caplog.text


def test_a_damaged_checkpoint_does_not_hide_the_others(run: Path, tmp_path: Path) -> None:
    weights = run / "steps" / step_name(8) / "model.safetensors"
    weights.chmod(0o644)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    made: list[str] = []
    with pytest.raises(ArtifactError, match=r"1 of the checkpoints cannot be scored; .*step-00000008 is damaged"):
        collect(Follower(DIRECT, run, tmp_path / "scores"), made)
    assert made == [step_name(12), step_name(4)]


def test_a_run_that_gives_no_sign_of_life_is_not_waited_for(run: Path, checkpoint: Artifact, tmp_path: Path) -> None:
    follower = Follower(DIRECT, tmp_path / "never", tmp_path / "none", wait_minutes=0.005, poll_seconds=0.05)
    with pytest.raises(ModelError, match=r"no news of .*never for .* minutes: it does not exist yet; 0 checkpoints"):
        list(follower.run())
    partial = training(run, checkpoint)
    (partial / "logs" / "status").write_text("training: step 9 of 12\n", encoding="utf-8")
    made: list[str] = []
    with pytest.raises(ModelError, match=r"'training: step 9 of 12', and no process is at it; 2 checkpoints scored"):
        collect(Follower(DIRECT, run, tmp_path / "scores", wait_minutes=0.02, poll_seconds=0.05), made)
    assert made == [step_name(8), step_name(4)]


def test_a_run_that_writes_is_waited_for(run: Path, checkpoint: Artifact, tmp_path: Path) -> None:
    partial = training(run, checkpoint)
    follower = Follower(DIRECT, run, tmp_path / "scores", wait_minutes=0.01, poll_seconds=0.05)
    scored = follower.run()
    assert [next(scored).path.name, next(scored).path.name] == [step_name(8), step_name(4)]

    def go_on() -> None:
        for step in range(20):  # two seconds, where 0.6 without a sign would end it
            (partial / "logs" / "status").write_text(f"training: step {step}\n", encoding="utf-8")
            time.sleep(0.1)
        finish(run, checkpoint)

    going = threading.Thread(target=go_on)
    going.start()
    assert [scores.path.name for scores in scored] == [step_name(12)]
    going.join()


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"model": "out/model"}, UsageError, "two answers to what is scored"),
        ({"out": "model/scores"}, UsageError, "lies in the run's own folder"),
        ({"out": "model.partial/scores"}, UsageError, "lies in the run's own folder"),
        ({"out": "tokens"}, ArtifactError, "is an artifact"),
        ({"out": "file"}, ArtifactError, "is a file"),
        ({"run": "tokens"}, ArtifactError, "is a tokens artifact, not a checkpoint"),
        ({"run": "plain"}, ArtifactError, "is no training run"),
        ({"run": "build"}, ArtifactError, "is a corpus that is being made"),
    ],
)
def test_what_is_refused_at_once(
    run: Path, tmp_path: Path, changes: dict[str, str], kind: type[JpfmError], message: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "plain").mkdir()
    (tmp_path / "build.partial").mkdir()
    (tmp_path / "build.partial" / "plan.json").write_text('{"kind": "corpus"}', encoding="utf-8")
    settings = CONFIG.model_copy(update={"model": changes.get("model")})
    follower = Follower(settings, tmp_path / changes.get("run", "model"), tmp_path / changes.get("out", "scores"))
    with pytest.raises(kind, match=message):
        list(follower.run())
    assert run.exists()
    assert not (tmp_path / "scores").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--once", "--out", "out"], "--once belongs to --follow"),
        (["--wait", "5", "--out", "out"], "--wait belongs to --follow"),
        (["--follow", "RUN", "--once", "--wait", "5", "--out", "out"], "--once does not wait"),
        (["--follow", "RUN"], "eval: --out is missing"),
        (["model=x", "--follow", "RUN", "--out", "out", "--dry-run"], "two answers to what is scored"),
    ],
)
def test_options_that_do_not_go_together(
    processes: Processes, config: Path, run: Path, words: list[str], message: str
) -> None:
    asked = processes.start(["eval", config, *(str(run) if word == "RUN" else word for word in words)], 1)
    assert asked.wait() == [2], asked.errors()
    assert message in asked.text(0)


def test_a_dry_run_says_what_is_to_be_scored(processes: Processes, config: Path, run: Path, tmp_path: Path) -> None:
    asked = processes.start(["eval", config, "--follow", run, "--out", tmp_path / "scores", "--dry-run"], 1)
    assert asked.wait() == [0], asked.errors()
    last = f"# follow {run}: 0 checkpoints scored; to score now, of steps: 12, 8, 4"
    assert asked.text(0, "out").splitlines()[-1] == last
    assert not (tmp_path / "scores").exists()


def test_scores_of_other_settings_or_another_run_are_not_mixed(run: Path, tokens: Artifact, tmp_path: Path) -> None:
    out = tmp_path / "scores"
    assert len(list(Follower(DIRECT, run, out).run())) == 3
    with pytest.raises(ArtifactError, match="step-00000004 holds scores made with other settings"):
        list(Follower(CONFIG, run, out).run())
    other = TrainConfig.model_validate(tiny_training(tokens).model_dump() | {"seed": 5})
    train(other, tmp_path / "other")
    with pytest.raises(ArtifactError, match="step-00000004 holds scores of another checkpoint than"):
        list(Follower(DIRECT, tmp_path / "other", out).run())


def test_the_name_it_has_while_it_trains_is_understood(run: Path, checkpoint: Artifact, tmp_path: Path) -> None:
    partial = training(run, checkpoint)
    follower = Follower(DIRECT, partial, tmp_path / "scores", once=True)
    assert follower.plan() == [f"follow {run}: 0 checkpoints scored; to score now, of steps: 8, 4"]
    assert len(list(follower.run())) == 2
    finish(run, checkpoint)
    assert [scores.path.name for scores in Follower(DIRECT, partial, tmp_path / "scores").run()] == [step_name(12)]


def test_a_held_checkpoint_stays_and_goes_at_the_next_call(run: Path) -> None:
    first = run / "steps" / step_name(4)
    with hold(first), hold(first):
        assert not checkpoints.retire(first)
        assert verify(first) == []
    assert checkpoints.retire(first)
    assert not list(run.rglob(f"{first.name}*"))
    with pytest.raises(Retired), hold(first):
        pass


def test_who_may_only_read_holds_it_too(run: Path, tmp_path: Path) -> None:
    """The run as another user's machine sees it: the same disk, mounted for reading alone."""
    (tmp_path / "seen").mkdir()
    commands: list[list[str | Path]] = [
        ["mount", "--bind", run, tmp_path / "seen"],
        ["mount", "-o", "remount,bind,ro", tmp_path / "seen"],
    ]
    for command in commands:
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no right to mount a folder for reading alone")
    first, seen = run / "steps" / step_name(4), tmp_path / "seen" / "steps" / step_name(4)
    try:
        with hold(seen):
            assert not checkpoints.retire(first)
        (first / checkpoints.HOLD).unlink()
        with pytest.raises(EnvironmentProblem, match="no right to make logs/hold"), hold(seen):
            pass
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path / "seen")], check=True)


@pytest.mark.parametrize("name", ["gone", "unfinished"])
def test_what_is_not_there_cannot_be_held(tmp_path: Path, name: str) -> None:
    (tmp_path / "unfinished").mkdir()
    with pytest.raises(Retired), hold(tmp_path / name):
        pass
    assert not (tmp_path / name / "logs").exists()


def test_readers_and_the_one_who_retires_never_meet(processes: Processes, tmp_path: Path) -> None:
    """Two processes hold and read whatever is there while a third makes and retires: a held one is always whole."""
    steps = tmp_path / "steps"
    steps.mkdir()
    readers = [processes.start([str(steps)], 1, call="tests.eval.hold_worker:read_until_the_end") for _ in range(2)]
    writer = processes.start([str(steps), "150"], 1, call="tests.eval.hold_worker:make_and_retire")
    assert writer.wait() == [0], writer.errors()
    assert [one.wait() for one in readers] == [[0], [0]], [one.errors() for one in readers]
    held = [int(one.text(0, "out")) for one in readers]
    assert min(held) > 20
    assert int(writer.text(0, "out")) > 0  # some were held when they were to go
