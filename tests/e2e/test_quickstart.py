"""Raw text to a leaderboard page by one command; killed ten times it comes to the same."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jpfm.core import lineage
from jpfm.core.artifact import open_artifact
from jpfm.text.pii.find import CLASSES

SMALL = [
    "train.model.hidden_size=64", "train.model.num_layers=2", "train.model.intermediate_size=160", "train.seq_len=128",
    "train.batch_tokens=1024", "train.steps=40", "train.save.every_steps=5", "train.schedule.warmup_steps=5",
    "train.schedule.decay_steps=10", "eval.tasks.0.max_items=20", "eval.tasks.1.items_per_level=4",
    "eval.tasks.2.max_chars=3000",
]  # fmt: skip
STAGES = ("corpus", "tokenizer", "tokens", "model", "scores", "leaderboard")


def command(out: Path) -> list[str]:
    return [sys.executable, "-m", "jpfm", "quickstart", *SMALL, "--out", str(out), "--workers", "2"]


def run(out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(out), capture_output=True, text=True, check=False, timeout=600)


def ids(out: Path) -> dict[str, str]:
    return {stage: open_artifact(out / stage).id for stage in STAGES}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("quickstart") / "out"
    done = run(out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out / "leaderboard" / "index.html")
    return out


@pytest.mark.slow
def test_every_planted_fault_is_caught_and_named(finished: Path) -> None:
    stats = open_artifact(finished / "corpus").manifest.stats
    total = stats["total"]
    assert total["read"] == total["kept"] + sum(total["dropped"].values()) + sum(total["quarantined"].values())
    reasons = {name.partition(":")[2] for name in total["dropped"]}
    assert reasons == {
        "exact_duplicate", "near_duplicate", "mojibake", "repetitive", "not_japanese", "too_short", "mostly_symbols",
    }  # fmt: skip
    assert set(total["quarantined"]) == {"decode", "empty", "format"}
    masked = {name.partition(":")[2] for name in total["edits"]}
    assert masked >= {"frequent_line", "email", "phone", "postal_address", "my_number", "credit_card", "person_name"}
    assert masked - {"frequent_line"} <= {*CLASSES, *(f"title_{name}" for name in CLASSES)}
    assert set(total["encodings"]) == {"utf-8", "cp932", "euc_jp"}
    assert total["kept"] >= 120
    assert total["chars"] >= 120_000


@pytest.mark.slow
def test_the_page_leads_back_to_raw_files(finished: Path) -> None:
    kinds = {artifact.manifest.kind for artifact in lineage.ancestors(open_artifact(finished / "leaderboard"))}
    assert kinds == {"report", "scores", "checkpoint", "tokens", "tokenizer", "corpus", "source"}
    page = (finished / "leaderboard" / "index.html").read_text(encoding="utf-8")
    for word in ("quickstart-1M", "CC0-1.0", "区別できません"):
        assert word in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert (finished / "model" / "logs" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert list((finished / "model" / "logs").rglob("events.out.tfevents*"))


@pytest.mark.slow
def test_run_again_has_nothing_to_do(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    done = run(finished)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("nothing to do") == len(STAGES)
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_corpus_and_the_model_open_with_other_peoples_libraries(finished: Path, tmp_path: Path) -> None:
    import datasets
    from transformers import AutoModelForCausalLM, AutoTokenizer

    files = [str(path) for path in sorted((finished / "corpus" / "documents").glob("*.parquet"))]
    corpus = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert len(corpus) == open_artifact(finished / "corpus").manifest.stats["total"]["kept"]
    tokenizer = AutoTokenizer.from_pretrained(finished / "model")
    model = AutoModelForCausalLM.from_pretrained(finished / "model")
    text = "株式会社みなと精機\n議事録（案）"
    ids_ = tokenizer(text, return_tensors="pt")
    assert tokenizer.decode(ids_["input_ids"][0]) == text
    assert model(**{"input_ids": ids_["input_ids"]}).logits.shape[-1] == model.config.vocab_size


@pytest.mark.slow
def test_killed_ten_times_the_ids_are_the_same(finished: Path, tmp_path: Path) -> None:
    expected = ids(finished)
    draw = random.Random(20261124)
    out = tmp_path / "killed"
    kills = rounds = 0
    while kills < 10:
        started = time.monotonic()
        process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _, errors = process.communicate(timeout=draw.uniform(0.5, 12.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            continue
        assert process.returncode == 0, errors
        assert ids(out) == expected, f"after {kills} kills, {time.monotonic() - started:.0f} s"
        rounds += 1
        out = tmp_path / f"killed{rounds}"
    done = run(out)
    assert done.returncode == 0, done.stderr
    assert ids(out) == expected


@pytest.mark.slow
def test_ctrl_c_is_a_sentence_and_resumes(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "interrupted"
    process = subprocess.Popen(command(out), stderr=subprocess.PIPE, text=True)
    while not (out / "corpus.partial").exists() and not (out / "corpus").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert "Traceback" not in errors
    assert "run the same command again" in errors
    assert run(out).returncode == 0
    assert ids(out) == ids(finished)


@pytest.mark.slow
def test_the_metrics_file_has_each_step_once(finished: Path) -> None:
    lines = (finished / "model" / "logs" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 41))
