"""kill -9 at random moments of a build, then the same line again: every corpus has the id of the undisturbed build.

    python -m benchmarks.reliability.kills 50

The text is generated here, with planted copies, near copies, a footer, a repeated passage and items of a benchmark, so
that every pass and every decision has work, and enough of it that two workers run. Moments are drawn evenly over the
time of the undisturbed build; the whole process group is killed, workers too, one to three times a trial before it may
end. Every build is the command that a user types, in a process of its own.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.data.report import environment, heading, write

from jpfm.core.artifact import open_artifact, verify

_WORDS = "傘本花鍵箱縄皿紙筆糸石橋舟窓森港坂畑空雨星道店客話声"
_FOOTER = "このページの文章を許可なく使うことはできません。"
_PASSAGE = "当社は、お客様からお預かりした書類を、定められた手順に従って保管し、期間が過ぎた後に処分いたします。" * 3
_ITEMS = [f"港から坂を上ると{place}があり、その隣の店では{thing}を売っていますか。" for place, thing in
          (("古い灯台", "干した魚"), ("小さな学校", "竹の籠"), ("石の鳥居", "青い皿"))]  # fmt: skip
_SLICE_BYTES = 400_000


def steps(items: Path) -> list[dict[str, Any]]:
    """All corpus steps, and steps between them."""
    return [
        {"step": "normalize"},
        {"step": "frequent_lines", "minimum_documents": 30, "minimum_chars": 10},
        {"step": "repeated_substrings", "size": 60},
        {"step": "characters"},
        {"step": "exact_duplicates"},
        {"step": "near_duplicates", "number_aware": True},
        {"step": "decontaminate", "benchmarks": [{"name": "made", "path": str(items)}]},
        {"step": "mask_personal_data"},
        {"step": "split", "held_out_share": 0.1},
    ]


def plant(folder: Path, files: int, documents: int) -> None:
    """Write JSON Lines files of about 2,500 bytes a document."""
    draw = random.Random(1)
    written: list[str] = []
    for number in range(files):
        lines = []
        for _ in range(documents):
            chosen = draw.random()
            if written and chosen < 0.1:
                text = draw.choice(written)
            elif written and chosen < 0.25:
                text = draw.choice(written).replace(draw.choice(_WORDS), draw.choice(_WORDS), 2)
            else:
                parts = [
                    f"{draw.choice(_WORDS)}と{draw.choice(_WORDS)}の{draw.randrange(999)}番を見た。" for _ in range(60)
                ]
                text = "\n".join(parts)
                written.append(text)
            tail = "\n" + _FOOTER if draw.random() < 0.4 else ""
            tail += "\n" + _PASSAGE if draw.random() < 0.1 else ""
            tail += "\n" + draw.choice(_ITEMS) if draw.random() < 0.02 else ""
            lines.append(json.dumps({"text": text + tail}, ensure_ascii=False) + "\n")
        (folder / f"{number:02}.jsonl").write_text("".join(lines), encoding="utf-8")


@dataclass(frozen=True)
class Trials:
    """A recipe, and what its build gives when nothing disturbs it."""

    recipe: Path
    wanted: str
    """Id of the undisturbed corpus."""
    seconds: float
    """What the undisturbed build took."""

    @classmethod
    def prepare(cls, folder: Path, *, files: int, documents: int) -> "Trials":
        """Write text and recipe into a folder and build once to the end."""
        (folder / "raw").mkdir()
        plant(folder / "raw", files, documents)
        items = folder / "items.jsonl"
        items.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in _ITEMS))
        source = {"format": "jsonl", "name": "made", "paths": ["*.jsonl"], "rights": {"licence": "CC0-1.0"}}
        body: dict[str, Any] = {"stage": "data", "name": "kills", "root": str(folder / "raw"), "sources": [source]}
        body |= {"steps": steps(items), "slice_bytes": _SLICE_BYTES}
        recipe = folder / "recipe.yaml"
        recipe.write_text(json.dumps(body, ensure_ascii=False), encoding="utf-8")
        begun = time.monotonic()
        if code := cls(recipe, "", 0).start(folder / "undisturbed").wait():
            raise SystemExit(f"the undisturbed build ended with {code}")
        return cls(recipe, open_artifact(folder / "undisturbed").id, time.monotonic() - begun)

    def start(self, out: Path) -> "subprocess.Popen[bytes]":
        """Start a build in a process group of its own."""
        line = [sys.executable, "-m", "jpfm", "-q", "data", "build", str(self.recipe), "--out", str(out)]
        return subprocess.Popen(
            [*line, "--workers", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def kill_once(self, out: Path, after_seconds: float) -> str | None:
        """Start a build and kill it; returns the phase it was in, None where it had ended by itself."""
        process = self.start(out)
        time.sleep(after_seconds)
        ended = process.poll() is not None
        if not ended:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None if ended else phase(out)

    def ends_well(self, out: Path) -> bool:
        """Run the line to its end; whether the corpus is the undisturbed one, intact, with nothing beside it."""
        code = self.start(out).wait()
        return (
            code == 0
            and open_artifact(out).id == self.wanted
            and verify(out) == []
            and not any(out.parent.glob(f"{out.name}.*"))
        )


def phase(out: Path) -> str:
    """Where a killed build was, by what it left."""
    partial = out.with_name(out.name + ".partial")
    if not (partial / "logs" / "status").exists():
        return "finished" if out.exists() else "starting"
    if (partial / "state" / "collected.json").exists():
        return "hashing"
    if (partial / "work" / "collecting").exists():
        return "collecting"
    for unfinished in (partial / "state").glob("*.unfinished"):
        return f"making {unfinished.stem}"
    return (partial / "logs" / "status").read_text(encoding="utf-8").partition(":")[0]


def main(count: int) -> None:
    """Run the trials and write the result."""
    facts = environment()
    seed = random.randrange(10**6)
    draw = random.Random(seed)
    phases: Counter[str] = Counter()
    equal = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trials = Trials.prepare(folder, files=8, documents=400)
        for number in range(count):
            out = folder / f"trial{number}"
            for _ in range(draw.choice((1, 2, 3))):
                if (found := trials.kill_once(out, draw.uniform(0, trials.seconds))) is not None:
                    phases[found] += 1
            good = trials.ends_well(out)
            equal += good
            sys.stderr.write(f"{number + 1}/{count}: {'equal' if good else 'DIFFERENT'}\n")
            if good:
                shutil.rmtree(out)
    table = sorted(phases.items())
    result = {"environment": facts, "trials": count, "equal": equal, "kills": phases.total(), "seed": seed,
              "undisturbed_seconds": round(trials.seconds, 2), "killed_in": dict(table)}  # fmt: skip
    page = heading("Builds killed at random moments", facts)
    page += (
        f"\n{equal} of {count} corpora have the id of the undisturbed build ({trials.wanted}), verify, and leave "
        f"nothing beside them. {phases.total()} kills (SIGKILL of the process group with two workers), seed {seed}; "
        f"the undisturbed build takes {trials.seconds:.1f} s.\n\n| killed in | times |\n|---|---:|\n"
    )
    page += "".join(f"| {name} | {times} |\n" for name, times in table)
    write("kills", result, page)
    sys.exit(equal != count)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
