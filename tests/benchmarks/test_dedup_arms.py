"""The benchmark of deduplication as a whole, small: our arm end to end, and the band join on planted signatures."""

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import pytest
from benchmarks.data import band_join, dedup, dedup_datatrove
from benchmarks.data.watch import watch


@pytest.mark.slow
def test_our_arm_is_run_and_judged(tmp_path: Path) -> None:
    dedup.main([str(tmp_path / "scratch"), "--megabytes", "0.5", "--documents", "200", "--turns", "1"])
    result = json.loads((tmp_path / "scratch" / "dedup.json").read_text(encoding="utf-8"))
    quality = result["quality"]
    assert quality["documents"] == 200
    assert set(quality["outcomes"]) == {"jpfm at 0.7", "jpfm at 0.8"}
    for row in quality["outcomes"].values():
        score = row["views"]["key"]
        assert score["dropped"] > 10
        assert score["precision"] == 1.0
        assert score["recall"] > 0.9
    assert quality["background"]["raw"]["unplanned_pairs_at_0.5"] == 0
    assert result["keys"]["arms"]["jpfm"]["examples_equal"]["令和5年/令和6年"] is False
    page = (tmp_path / "scratch" / "dedup.md").read_text(encoding="utf-8")
    assert "| jpfm at 0.7 |" in page
    with pytest.raises(SystemExit, match="not empty"):
        dedup.main([str(tmp_path / "scratch")])


def test_verdicts_of_datatrove_name_the_kept_one_of_the_cluster(tmp_path: Path) -> None:
    """From files as its writers leave them."""
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    corpus.mkdir()
    rows = [{"id": name, "text": "本文"} for name in "abcd"]
    (corpus / "part-0000.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for folder, found in (("kept", {"a": -1, "c": 0}), ("removed", {"b": 0, "d": 0})):
        (out / folder).mkdir(parents=True)
        with gzip.open(out / folder / "00000.jsonl.gz", "wt", encoding="utf-8") as lines:
            lines.writelines(
                json.dumps({"id": name, "text": "本文", "metadata": {"minhash_cluster_id": cluster}}) + "\n"
                for name, cluster in found.items()
            )
    dedup_datatrove.verdicts(corpus, out)
    told = [json.loads(line) for line in (out / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["id"], row["kept"], row["of"]) for row in told] == [
        ("a", True, None), ("b", False, "c"), ("c", True, None), ("d", False, "c"),
    ]  # fmt: skip


@pytest.mark.skipif(importlib.util.find_spec("datatrove") is None, reason="datatrove is not installed")
def test_the_key_of_datatrove_has_no_marks_and_no_numbers() -> None:
    assert dedup_datatrove.key("パリ") == dedup_datatrove.key("ハリ")
    assert dedup_datatrove.key("令和5年") == dedup_datatrove.key("令和6年")


def test_the_band_join_finds_what_was_planted(tmp_path: Path) -> None:
    band_join.make(tmp_path / "sketches", 30_000)
    (tmp_path / "join").mkdir()
    files = sorted((tmp_path / "sketches").iterdir())
    found = band_join.join(files, tmp_path / "join", 1)
    assert found == band_join.expected(30_000)
    assert found["copies"] == 300
    assert found["in_large_buckets"] == 1_500


def test_memory_is_that_of_all_processes() -> None:
    """Two processes, of which each fills 60 MB for a while; a failure is told with its last words."""
    hold = "import time; held = bytearray(60_000_000); held[::4096] = b'1' * len(held[::4096]); time.sleep(1)"
    start = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {hold!r}])"
    told = watch([sys.executable, "-c", f"{start}; {hold}; child.wait(); print('done')"])
    assert told.processes == 2
    assert 0.12 < told.resident_gb < 0.3
    assert told.proportional_gb <= told.resident_gb
    assert told.output == "done\n"
    with pytest.raises(SystemExit, match=r"ended with 3:\nno such corpus"):
        watch([sys.executable, "-c", "import sys; print('no such corpus', file=sys.stderr); sys.exit(3)"])
