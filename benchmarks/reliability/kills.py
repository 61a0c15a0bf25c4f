"""kill -9 at random moments of a build, then the same line again: every corpus has the id of the undisturbed build.

    python -m benchmarks.reliability.kills 50

The text is generated here, with planted copies, near copies, a footer and a repeated passage, so that every pass and
every decision has work. Moments are drawn evenly over the time of the undisturbed build; the whole process group is
killed, workers too, once or twice a trial before it may end.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.data.report import environment, heading, write

from jpfm.core.artifact import open_artifact, verify
from jpfm.data.recipe import Recipe

_WORDS = "傘本花鍵箱縄皿紙筆糸石橋舟窓森港坂畑空雨星道店客話声"
_FOOTER = "このページの文章を許可なく使うことはできません。"
_PASSAGE = "当社は、お客様からお預かりした書類を、定められた手順に従って保管し、期間が過ぎた後に処分いたします。" * 3
STEPS: list[dict[str, Any]] = [
    {"step": "normalize"},
    {"step": "frequent_lines", "minimum_documents": 30, "minimum_chars": 10},
    {"step": "repeated_substrings", "size": 60},
    {"step": "characters"},
    {"step": "exact_duplicates"},
    {"step": "near_duplicates", "number_aware": True},
    {"step": "mask_personal_data"},
    {"step": "split", "held_out_share": 0.1},
]


def plant(folder: Path, files: int, documents: int) -> Recipe:
    """Write JSON Lines files and give the recipe over them."""
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
            lines.append(json.dumps({"text": text + tail}, ensure_ascii=False) + "\n")
        (folder / f"{number:02}.jsonl").write_text("".join(lines), encoding="utf-8")
    source = {"format": "jsonl", "name": "made", "paths": ["*.jsonl"], "rights": {"licence": "CC0-1.0"}}
    body = {"stage": "data", "name": "kills", "root": str(folder), "sources": [source], "steps": STEPS}
    return Recipe.model_validate(body | {"slice_bytes": 100_000})


def run(recipe: Path, out: Path) -> "subprocess.Popen[bytes]":
    """Start a build in a process group of its own."""
    line = [sys.executable, "-m", "jpfm", "-q", "data", "build", str(recipe), "--out", str(out), "--workers", "2"]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def main(trials: int) -> None:
    """Run the trials and write the result."""
    facts = environment()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "raw").mkdir()
        recipe = plant(folder / "raw", 4, 50)
        file = folder / "recipe.yaml"
        file.write_text(json.dumps(json.loads(recipe.model_dump_json())), encoding="utf-8")
        begun = time.monotonic()
        assert run(file, folder / "undisturbed").wait() == 0
        seconds = time.monotonic() - begun
        wanted = open_artifact(folder / "undisturbed").id
        seed = random.randrange(10**6)
        draw = random.Random(seed)
        equal = kills = 0
        phases: dict[str, int] = {}
        for trial in range(trials):
            out = folder / f"trial{trial}"
            for _ in range(draw.choice((1, 1, 2))):
                process = run(file, out)
                time.sleep(draw.uniform(0, seconds))
                if process.poll() is None:
                    status = out.with_name(out.name + ".partial") / "logs" / "status"
                    phase = status.read_text(encoding="utf-8").partition(":")[0].strip() if status.exists() else "start"
                    phases[phase] = phases.get(phase, 0) + 1
                    os.killpg(process.pid, signal.SIGKILL)
                    kills += 1
                process.wait()
            assert run(file, out).wait() == 0, f"trial {trial} of seed {seed} did not end"
            good = open_artifact(out).id == wanted and verify(out) == []
            equal += good
            sys.stderr.write(f"{trial + 1}/{trials}: {'equal' if good else 'DIFFERENT'}\n")
            if good:
                subprocess.run(["rm", "-r", str(out)], check=True)
    result = {"environment": facts, "trials": trials, "equal": equal, "kills": kills, "seed": seed,
              "undisturbed_seconds": round(seconds, 2), "killed_in": dict(sorted(phases.items()))}  # fmt: skip
    page = heading("Builds killed at random moments", facts)
    page += (
        f"\n{equal} of {trials} corpora have the id of the undisturbed build ({wanted}) and verify. {kills} kills "
        f"(SIGKILL of the process group), seed {seed}; the undisturbed build takes {seconds:.1f} s.\n\n"
        "| killed in | times |\n|---|---:|\n"
    )
    page += "".join(f"| {phase} | {count} |\n" for phase, count in sorted(phases.items()))
    write("kills", result, page)
    sys.exit(equal != trials)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
