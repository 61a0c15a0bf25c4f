"""Building a corpus: every document accounted for, and the same bytes however it was run, stopped or killed."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jpfm.core.artifact import Artifact, verify
from jpfm.core.config import Loaded
from jpfm.core.errors import ArtifactError, DataError, UsageError
from jpfm.core.shards import Engine, Slice
from jpfm.data.build import build, plan, read_documents
from jpfm.data.recipe import Recipe

Make = Callable[..., Recipe]


def _rows(corpus: Artifact, folder: str) -> list[dict[str, Any]]:
    return [row for path in sorted((corpus.path / folder).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def _build(recipe: Recipe, out: Path, **settings: Any) -> Artifact:
    corpus = build(recipe, out, **settings)
    assert corpus is not None
    return corpus


# --- the bundled sample ---------------------------------------------------------------------------------------------


def test_every_document_is_accounted_for(corpus: Artifact) -> None:
    stats = corpus.manifest.stats
    for counts in (stats["total"], *stats["sources"].values()):
        assert counts["read"] == counts["kept"] + sum(counts["dropped"].values()) + sum(counts["quarantined"].values())
    assert stats["total"]["read"] == sum(counts["read"] for counts in stats["sources"].values()) == 163
    kept, dropped, bad = (_rows(corpus, folder) for folder in ("documents", "dropped", "quarantined"))
    assert (len(kept), len(dropped)) == (stats["total"]["kept"], sum(stats["total"]["dropped"].values()))
    assert Counter(f"{row['step']}:{row['reason']}" for row in dropped) == stats["total"]["dropped"]
    assert Counter(row["error"] for row in bad) == stats["total"]["quarantined"]
    ids = [row["id"] for row in (*kept, *dropped, *bad)]
    assert len(ids) == len(set(ids)) == 163
    assert sum(len(row["text"]) for row in kept) == stats["total"]["chars"]
    licences = {row["licence"] for row in kept}  # the recipe's, and the one a page names itself in SPDX's words
    assert licences == {"CC0-1.0"}
    assert verify(corpus.path) == []
    assert not (corpus.path / "work").exists()


FAULTS = {
    "aozora/aozora/900_kowareta.txt": "decode",
    "office/office/broken.jsonl#2": "format",
    "html/html/fault_english.html": "not_japanese",
    "markdown/markdown/fault_spam.md": "repetitive",
    "office/office/faults.jsonl#9": "mojibake",
    "office/office/faults.jsonl#10": "mojibake",
    "office/office/faults.jsonl#11": "repetitive",
    "office/office/faults.jsonl#12": "repetitive",
    "office/office/faults.jsonl#13": "not_japanese",
    "office/office/faults.jsonl#14": "too_short",
    "office/office/faults.jsonl#15": "empty",
    "office/office/faults.jsonl#16": "mostly_symbols",
}
PAIRS = {  # of a fault and its original the one that comes first stays
    "office/office/faults.jsonl#1": ("exact_duplicate", "office/office/email.jsonl"),
    "office/office/faults.jsonl#2": ("exact_duplicate", "office/office/essay.jsonl"),
    "office/office/faults.jsonl#3": ("near_duplicate", "office/office/qa.jsonl"),
    "office/office/faults.jsonl#4": ("near_duplicate", "office/office/essay.jsonl"),
    "office/office/faults.jsonl#5": ("near_duplicate", "office/office/notice.jsonl"),
    "html/html/fault_exact.html": ("exact_duplicate", "html/html/howto_knife.html"),
    "html/html/fault_near.html": ("near_duplicate", "html/html/travel_port.html"),
    "aozora/aozora/901_saihan.txt": ("near_duplicate", "aozora/aozora/002_garasu_no_ukidama.txt"),
}


def test_each_planted_fault_is_caught_under_its_name_and_nothing_else(corpus: Artifact) -> None:
    caught = {row["id"]: row["error"] for row in _rows(corpus, "quarantined")}
    pairs = {}
    for row in _rows(corpus, "dropped"):
        if row["reason"].endswith("_duplicate"):
            pairs[row["id"]] = (row["reason"], row["detail"].removeprefix("same as "))
        else:
            caught[row["id"]] = row["reason"]
    assert caught == FAULTS
    assert len(pairs) == len(PAIRS)
    for fault, (reason, original) in PAIRS.items():
        other = {dropped: stays for dropped, (_, stays) in pairs.items()} | {s: d for d, (_, s) in pairs.items()}
        assert other[fault].startswith(original)
        assert reason in {pairs.get(fault, ("",))[0], pairs.get(other[fault], ("",))[0]}


def test_personal_data_and_boilerplate_of_the_sample_are_gone(corpus: Artifact) -> None:
    texts = {row["id"]: row["text"] for row in _rows(corpus, "documents")}
    whole = "\n".join(texts.values())
    for secret in (
        "090-0000-1234",
        "@example",
        "123456789018",
        "4111 1111",
        "〒000-0012",
        "3051 7264 9080",
        "03-0000-9012",
    ):
        assert secret not in whole
    for number, classes in ((6, 5), (7, 4), (8, 4)):
        edits = [row for row in _rows(corpus, "edits") if row["id"] == f"office/office/faults.jsonl#{number}"]
        assert {row["kind"] for row in edits} >= {"phone", "email", "postal_address"}
        assert sum(row["step"] == "mask_personal_data" for row in edits) >= classes
    assert "このメールは送信専用" not in whole
    assert corpus.manifest.stats["total"]["edits"]["frequent_lines:frequent_line"] > 0


def test_reading_a_corpus_gives_its_splits(corpus: Artifact, make_recipe: Make, tmp_path: Path) -> None:
    ids = {
        s: [i for b in read_documents(corpus, ["id"], split=s) for i in b["id"].to_pylist()]
        for s in ("train", "held_out", None)
    }
    assert sorted(ids["train"] + ids["held_out"]) == sorted(ids[None])
    assert len(ids["held_out"]) == corpus.manifest.stats["total"]["held_out"] > 0
    plain = _build(make_recipe({"a.txt": "本文"}, []), tmp_path / "out")
    assert [b.num_rows for b in read_documents(plain, ["text"], split="train")] == [1]
    with pytest.raises(UsageError, match="keeps no documents apart"):
        list(read_documents(plain, ["text"], split="held_out"))


# --- the same bytes -------------------------------------------------------------------------------------------------

POEMS = {f"{n:02}.txt": f"第{n}の歌。" + "春はあけぼの、やうやう白くなりゆく山ぎは。" * (n % 5 + 1) for n in range(24)}
STEPS: list[Any] = ["normalize", "characters", {"step": "length", "minimum_chars": 30}, "exact_duplicates"]


def test_workers_and_slices_and_folders_do_not_change_the_corpus(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(POEMS, STEPS, slice_bytes=400)
    assert len(plan(recipe)) > 6
    alone = _build(recipe, tmp_path / "alone")
    assert _build(recipe, tmp_path / "else" / "two", engine=Engine(workers=2)).manifest.files == alone.manifest.files
    for part in ("1/2", "0/2"):
        assert build(recipe, tmp_path / "sliced", part=Slice.parse(part)) is None
    assert not (tmp_path / "sliced").exists()
    work = tmp_path / "sliced.partial" / "state" / "pass0" / "counts"
    assert len(list(work.iterdir())) == len(plan(recipe))
    assert _build(recipe, tmp_path / "sliced").id == alone.id
    assert build(recipe, tmp_path / "sliced", part=Slice.parse("0/2")) is None  # nothing to do
    (tmp_path / "raw").rename(tmp_path / "moved")
    for file in (tmp_path / "moved").iterdir():
        os.utime(file, (0, 0))
    moved = recipe.model_copy(update={"root": str(tmp_path / "moved")})
    assert _build(moved, tmp_path / "third").id == alone.id


def test_what_a_killed_task_was_writing_is_no_part_of_the_corpus(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(POEMS, STEPS, slice_bytes=400)
    build(recipe, tmp_path / "out", part=Slice(0, 2))
    for folder in ("documents", "dropped", "work/pass0/documents", "state"):
        left = tmp_path / "out.partial" / folder / "s-00000.parquet.host.17.tmp"
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_bytes(b"PAR1")
    assert _build(recipe, tmp_path / "out").id == _build(recipe, tmp_path / "alone").id


def test_array_tasks_may_start_at_once(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(POEMS, STEPS, slice_bytes=400)
    tasks = [_start(_file(recipe, tmp_path), tmp_path / "out", f"part=Slice({n}, 3)") for n in range(3)]
    assert [task.wait() for task in tasks] == [0, 0, 0]
    assert _build(recipe, tmp_path / "out").id == _build(recipe, tmp_path / "alone").id


def test_other_text_another_order_or_other_settings_are_another_corpus(make_recipe: Make, tmp_path: Path) -> None:
    def made(name: str, files: dict[str, str], steps: list[Any], **settings: Any) -> str:
        for old in (tmp_path / "raw").glob("*"):
            old.unlink()
        return _build(make_recipe(files, steps), tmp_path / name, **settings).id

    first = made("a", POEMS, STEPS)
    assert made("b", POEMS, STEPS) == first
    assert made("c", POEMS | {"00.txt": POEMS["00.txt"] + "。"}, STEPS) != first
    assert made("d", POEMS, STEPS[:-1]) != first
    assert made("e", POEMS, STEPS, limit_docs=5) != first


def test_a_limit_reads_so_many_documents_of_each_shard(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(POEMS, STEPS[:2])
    assert _build(recipe, tmp_path / "out", limit_docs=5).manifest.stats["total"]["read"] == 5


BUILD = """
import sys
from pathlib import Path
from jpfm.core import config
from jpfm.core.shards import Engine, Slice
from jpfm.data.build import build
from jpfm.data.recipe import Recipe
build(config.load(Path(sys.argv[1]), Recipe).config, Path(sys.argv[2]), {settings})
"""


def _file(recipe: Recipe, folder: Path) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(Loaded(recipe, {}).show(), encoding="utf-8")
    return path


def _start(recipe_file: Path, out: Path, settings: str = "") -> "subprocess.Popen[bytes]":
    code = BUILD.format(settings=settings)
    return subprocess.Popen([sys.executable, "-c", code, str(recipe_file), str(out)], stderr=subprocess.DEVNULL)


def _kill_at(process: "subprocess.Popen[bytes]", partial: Path, num_files: int) -> None:
    """kill -9 as soon as the build has written so many files."""
    while process.poll() is None and sum(path.is_file() for path in partial.rglob("*")) < num_files:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_a_build_killed_at_random_moments_ends_as_an_undisturbed_one(
    recipe_file: Path, recipe: Recipe, corpus: Artifact, tmp_path: Path
) -> None:
    seed = random.randrange(10**6)
    print(f"random moments of seed {seed}")  # shown when the test fails
    for moment in sorted(random.Random(seed).sample(range(2, 110), 2)):
        _kill_at(_start(recipe_file, tmp_path / "out"), tmp_path / "out.partial", moment)
    assert _build(recipe, tmp_path / "out").id == corpus.id
    assert verify(tmp_path / "out") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.slow
def test_a_build_with_workers_killed_at_random_moments_too(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(POEMS, STEPS, slice_bytes=400)
    seed = random.randrange(10**6)
    print(f"random moments of seed {seed}")
    for moment in sorted(random.Random(seed).sample(range(2, 80), 2)):
        _kill_at(
            _start(_file(recipe, tmp_path), tmp_path / "out", "engine=Engine(workers=2)"),
            tmp_path / "out.partial",
            moment,
        )
    assert _build(recipe, tmp_path / "out").id == _build(recipe, tmp_path / "alone").id
    assert verify(tmp_path / "out") == []


def test_a_second_build_at_once_is_refused_and_harms_nothing(
    recipe_file: Path, recipe: Recipe, corpus: Artifact, tmp_path: Path
) -> None:
    first = _start(recipe_file, tmp_path / "out")
    lock = tmp_path / "out.lock"
    while not (lock.exists() and lock.read_text()) and first.poll() is None:
        time.sleep(0.001)
    first.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(ArtifactError, match=f"is being made by process {first.pid} on "):
            build(recipe, tmp_path / "out")
    finally:
        first.send_signal(signal.SIGCONT)
    assert first.wait() == 0
    assert _build(recipe, tmp_path / "out").id == corpus.id


def test_changed_settings_or_input_on_an_unfinished_folder_are_refused(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(POEMS, STEPS, slice_bytes=400)
    build(recipe, tmp_path / "out", part=Slice(0, 2))
    changed = make_recipe({}, [*STEPS[:2], {"step": "length", "minimum_chars": 31}, STEPS[3]], slice_bytes=400)
    with pytest.raises(ArtifactError) as caught:
        build(changed, tmp_path / "out")
    assert "config.steps" in caught.value.message
    with pytest.raises(ArtifactError, match=r"config\.slice_bytes: 400 there, 500 asked"):
        build(make_recipe({}, STEPS, slice_bytes=500), tmp_path / "out", part=Slice(1, 2))
    with pytest.raises(ArtifactError, match="parents"):
        build(make_recipe({"00.txt": "書き換えた"}, STEPS, slice_bytes=400), tmp_path / "out")
    make_recipe({"00.txt": POEMS["00.txt"]}, STEPS)
    done = _build(recipe, tmp_path / "out")
    with pytest.raises(ArtifactError, match="made with other settings"):
        build(changed, tmp_path / "out", part=Slice(0, 2))
    assert _build(recipe, tmp_path / "out").id == done.id


# --- a full disk, odd input -----------------------------------------------------------------------------------------


def test_a_full_disk_loses_nothing_that_was_finished(
    small_disk: Callable[[str], Path], recipe: Recipe, corpus: Artifact
) -> None:
    disk = small_disk("400k")
    with pytest.raises(OSError) as caught:  # the command line makes one sentence of it
        build(recipe, disk / "out")
    assert caught.value.errno == errno.ENOSPC
    finished = {path: path.read_bytes() for path in (disk / "out.partial" / "state").rglob("counts/*.json")}
    assert finished
    small_disk("64m")
    before = {path: path.stat().st_mtime_ns for path in finished}
    build(recipe, disk / "out", part=Slice(0, 2))
    assert {path: path.stat().st_mtime_ns for path in finished} == before  # done shards are not built again
    done = _build(recipe, disk / "out")
    assert done.id == corpus.id
    assert verify(done.path) == []


def test_an_empty_corpus_says_where_the_documents_went(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(POEMS, ["characters", {"step": "length", "minimum_chars": 10_000}])
    with pytest.raises(DataError) as caught:
        build(recipe, tmp_path / "out")
    assert (
        "the corpus is empty: all 24 documents were dropped or quarantined ({'length:too_short': 24})"
        in caught.value.message
    )
    assert not (tmp_path / "out").exists()


def test_empty_and_broken_files_among_good_ones(make_recipe: Make, tmp_path: Path) -> None:
    files = {"a.txt": "", "b.txt": b"\xff\xfe\xfd" * 9, "c.txt.gz": b"\x1f\x8bcut", "d.txt": "良い文書である。" * 9}
    recipe = make_recipe(files, ["normalize", "characters", {"step": "length", "minimum_chars": 5}, "near_duplicates"])
    total = _build(recipe, tmp_path / "out").manifest.stats["total"]
    assert (total["read"], total["kept"], total["dropped"]) == (4, 1, {})
    assert total["quarantined"] == {"decode": 1, "archive": 1, "empty": 1}


def test_a_source_of_which_nothing_could_be_read_is_told(
    make_recipe: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {"a.txt": "良い文書である。", "b.jsonl": '{"body": "本文の名前が違う"}\n'}
    recipe = make_recipe(files, [], source={"paths": ("a.txt",)})
    other = {"format": "jsonl", "name": "rows", "paths": ("b.jsonl",), "rights": {"licence": "CC0-1.0"}}
    both = Recipe.model_validate(recipe.model_dump() | {"sources": [recipe.sources[0].model_dump(), other]})
    _build(both, tmp_path / "out")
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert (
        "source 'rows': none of its 1 inputs could be read. First: rows/b.jsonl#1: field 'text' is missing" in warning
    )
    alone = Recipe.model_validate(recipe.model_dump() | {"sources": [other]})
    with pytest.raises(DataError, match="first of 'rows': rows/b"):
        build(alone, tmp_path / "alone")


def test_an_optional_source_may_have_no_file(
    make_recipe: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = make_recipe({"a.txt": "良い文書である。"}, [], source={"paths": ("a.txt", "*.md"), "optional": True})
    assert _build(recipe, tmp_path / "out").manifest.stats["total"]["kept"] == 1
    assert any("no file matches *.md; it is optional" in record.getMessage() for record in caplog.records)


def test_held_out_documents_have_files_of_their_own(make_recipe: Make, tmp_path: Path) -> None:
    texts = {f"{n}.txt": f"第{n}の文書である。" * 3 for n in range(40)}
    corpus = _build(make_recipe(texts, ["characters", {"step": "split", "held_out_share": 0.3}]), tmp_path / "out")
    files = sorted((corpus.path / "documents").iterdir())
    assert [file.name for file in files] == ["s-00000.held_out.parquet", "s-00000.parquet"]
    for file, split in zip(files, ("held_out", "train"), strict=True):
        assert set(pq.read_table(file, columns=["split"]).column("split").to_pylist()) == {split}
        rows = sum(batch.num_rows for batch in read_documents(corpus, ["id"], split=split))
        assert rows == pq.read_metadata(file).num_rows > 0


def test_a_file_name_that_is_no_utf_8_is_one_sentence(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe({"a.txt": "本文"}, [])
    name = os.fsencode(tmp_path / "raw") + "/議事録.txt".encode("cp932")
    Path(os.fsdecode(name)).write_text("本文二")
    with pytest.raises(DataError, match="file name") as caught:
        build(recipe, tmp_path / "out")
    assert caught.value.hint


def test_what_a_step_needs_is_missed_before_anything_is_read(make_recipe: Make, tmp_path: Path) -> None:
    lists = {"step": "word_lists", "lists": [{"name": "x", "path": str(tmp_path / "none.txt")}]}
    recipe = make_recipe({"a.txt": "本文である。"}, ["lines", lists])
    with pytest.raises(UsageError, match="word list 'x'"):
        plan(recipe)
    with pytest.raises(UsageError, match="word list 'x'"):
        build(recipe, tmp_path / "out")
    assert not (tmp_path / "out.partial").exists()
