"""Fuzzed strings are hostile, keyed and many; differences are told with their place."""

import logging
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pytest

from jpfm.core.artifact import Artifact
from jpfm.core.errors import DataError
from jpfm.data.build import build, read_documents
from jpfm.data.recipe import Recipe
from jpfm.tokens import fuzz, parity
from jpfm.tokens.tokenizer import load_sentencepiece


def test_fuzzed_strings_are_keyed_and_hold_what_breaks_tokenizers() -> None:
    texts = fuzz.strings(20_000, key="a", pieces=["▁東京", "京都"])
    assert texts == fuzz.strings(20_000, key="a", pieces=["▁東京", "京都"])
    assert texts != fuzz.strings(20_000, key="b", pieces=["▁東京", "京都"])
    together = "".join(texts.to_pylist())
    marks = ("ｶﾞ", "👨‍👩‍👧‍👦", "か\u3099", "\U000e0100", "𠮷", "㈱", "\x00", "𪚥", " 東京京都")
    for wanted in (*marks, "\n\n", "<|user|>", "<0x0A>", "▁"):
        assert wanted in together, wanted
    lengths = pc.utf8_length(texts).to_numpy()
    assert lengths.max() > 200
    assert (lengths > 0).all()
    runs = [text for text in texts.to_pylist() if len(text) > 20 and len(set(text)) == 1]
    assert len(runs) > 200, "runs of one character"
    assert sum(text != text.strip(" ") for text in texts.to_pylist()) > 500, "spaces at the ends"


def test_fifty_thousand_strings_are_checked_and_counted(tokenizer: Artifact) -> None:
    stats = tokenizer.manifest.stats
    assert stats["strings_fuzzed"] == 50_000
    assert set(stats["chars_per_token_by_source"]) == {"aozora", "html", "law", "markdown", "office"}
    assert all(0.5 < rate < 5 for rate in stats["chars_per_token_by_source"].values())


def test_held_out_text_has_figures_of_its_own(
    corpus: Artifact, tokenizer: Artifact, caplog: pytest.LogCaptureFixture
) -> None:
    pieces = load_sentencepiece(tokenizer)
    counted: dict[str, list[int]] = {}
    for batch in read_documents(corpus, ["source", "text"], split="held_out"):
        for source, text in zip(batch["source"].to_pylist(), batch["text"].to_pylist(), strict=True):
            lines = [line for line in text.split("\n") if line]
            before = counted.get(source, [0, 0])
            counted[source] = [before[0] + sum(map(len, lines)), before[1] + sum(map(len, pieces.encode(lines)))]
    stats = tokenizer.manifest.stats
    by_source = {source: round(chars / tokens, 4) for source, (chars, tokens) in counted.items()}
    assert stats["chars_per_token_held_out_by_source"] == by_source
    chars, tokens = (sum(column) for column in zip(*counted.values(), strict=True))
    assert stats["chars_per_token_held_out"] == round(chars / tokens, 4)
    assert stats["chars_per_token_held_out"] != stats["chars_per_token"]
    with caplog.at_level(logging.INFO, logger="jpfm"):
        assert parity.compare(tokenizer.path, corpus, key="tokenizer/0") == stats
    assert caplog.messages[-1].endswith(
        f"{stats['chars'] / stats['tokens']:.3f} characters a token, training text included; "
        f"{chars / tokens:.3f} of held-out text"
    ), caplog.messages


def test_without_a_held_out_split_there_is_no_such_figure(recipe: Recipe, tmp_path: Path, tokenizer: Artifact) -> None:
    steps = tuple(step for step in recipe.steps if step.step != "split")
    built = build(recipe.model_copy(update={"steps": steps}), tmp_path / "whole")
    assert built is not None
    assert not [name for name in parity.compare(tokenizer.path, built, key="a") if "held_out" in name]


def test_lines_ends_inside_text_change_no_id(tokenizer: Artifact) -> None:
    pieces = load_sentencepiece(tokenizer)
    newline = pieces.piece_to_id("\n")
    lines = [text.replace("\n", "") for text in fuzz.strings(2_000, key="lines", pieces=[]).to_pylist()]
    joined: list[int] = []
    for index, line in enumerate(lines):
        joined += [newline] * (index > 0) + pieces.encode(line)
    assert pieces.encode("\n".join(lines)) == joined


def test_text_that_does_not_come_back_is_told(tokenizer: Artifact) -> None:
    checker = parity.Checker(tokenizer.path)
    checker.check(["▁は空白になる", "a b"])
    with pytest.raises(DataError, match="transformers does not give text back: '一三' for '一二三'"):
        checker._same_text("transformers", ["一二三"], ["一三"])


def test_the_same_bytes_on_another_number_of_processors(corpus: Artifact, tokenizer: Artifact, tmp_path: Path) -> None:
    code = (
        "import os, sys; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from pathlib import Path\n"
        "from jpfm.core.artifact import open_artifact\n"
        "from jpfm.tokens.tokenizer import TokenizerConfig, train\n"
        "config = TokenizerConfig(stage='tokenizer', vocab_size=1500, character_coverage=0.98, "
        "required_characters='none')\n"
        f"print(train(config, open_artifact(Path({str(corpus.path)!r})), Path({str(tmp_path / 'one')!r})).id)\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "RAYON_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.strip() == tokenizer.id, done.stderr
