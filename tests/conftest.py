"""What the tests share: the bundled sample as corpus, tokenizer and tokens, each built once a session.

Everything is real: the package's own text, the functions a user's command calls, real files in pytest's folders.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# several test processes share the cores: more threads than cores wait for each other in spinning barriers
os.environ["OMP_NUM_THREADS"] = "1"

import hypothesis
import pytest

from jpfm.core import config
from jpfm.core.artifact import Artifact
from jpfm.data.build import build
from jpfm.data.recipe import Recipe

if TYPE_CHECKING:
    from jpfm.train.config import TrainConfig

hypothesis.settings.register_profile(
    "jpfm", deadline=None, max_examples=60, derandomize=True, database=None, print_blob=True
)
hypothesis.settings.load_profile("jpfm")

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "src" / "jpfm" / "sample" / "raw"
SAMPLE_RECIPE = """
stage: data
name: sample
root: package:sample/raw
slice_bytes: 60000
sources:
  - {format: aozora, name: aozora, paths: ["aozora/*.txt"], rights: &cc0 {licence: CC0-1.0, attribution: jpfm}}
  - {format: html, name: html, paths: ["html/*.html"], rights: *cc0}
  - {format: law_xml, name: law, paths: ["law/*.xml"], rights: *cc0}
  - {format: markdown, name: markdown, paths: ["markdown/*.md"], rights: *cc0}
  - {format: jsonl, name: office, paths: ["office/*.jsonl"], text_field: body, title_field: title, rights: *cc0}
steps:
  - step: normalize
  - {step: frequent_lines, minimum_documents: 6}
  - step: characters
  - step: repetition
  - step: mojibake
  - {step: length, minimum_chars: 60}
  - step: symbols
  - step: japanese_share
  - {step: repetitive, maximum: 0.15}
  - step: mask_personal_data
  - step: exact_duplicates
  - step: near_duplicates
  - {step: split, held_out_share: 0.05}
"""


@pytest.fixture(scope="session")
def sample() -> Path:
    """The bundled raw files."""
    return SAMPLE


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe over the whole bundled sample, as a user writes it."""
    path = tmp_path_factory.mktemp("recipe") / "sample.yaml"
    path.write_text(SAMPLE_RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def recipe(recipe_file: Path) -> Recipe:
    return config.load(recipe_file, Recipe).config


@pytest.fixture(scope="session")
def corpus(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The corpus of the bundled sample. Tests read it; one that changes files copies it first."""
    built = build(recipe, tmp_path_factory.mktemp("sample") / "corpus")
    assert built is not None
    return built


@pytest.fixture(scope="session")
def tokenizer(corpus: Artifact) -> Artifact:
    """A tokenizer of 1500 pieces: small enough that characters without a piece, spelled in bytes, are common."""
    from jpfm.tokens.tokenizer import TokenizerConfig, train

    settings = TokenizerConfig(stage="tokenizer", vocab_size=1500, character_coverage=0.98, required_characters="none")
    return train(settings, corpus, corpus.path.parent / "tokenizer")


@pytest.fixture(scope="session")
def tokens(corpus: Artifact, tokenizer: Artifact) -> Artifact:
    from jpfm.tokens.pack import TokensConfig, pack

    packed = pack(TokensConfig(stage="tokens"), corpus, tokenizer, corpus.path.parent / "tokens")
    assert packed is not None  # only a slice returns None
    return packed


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real public data beside the checkout; its README names sources and licences."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no shared data at {path}")
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """`small_disk("300k")`: a folder that is a disk of that size; called again, the disk gets the new size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def resize(size: str) -> Path:
        options = f"remount,size={size}" if folder.is_mount() else f"size={size}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no right to mount a small disk: {done.stderr.strip()}")
        return folder

    yield resize
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def checkpoint(tokens: Artifact) -> Artifact:
    """A model of 0.5 M parameters after 12 steps: enough to load, score and compare."""
    from jpfm.train.loop import train

    return train(tiny_training(tokens), tokens.path.parent / "model")


def tiny_training(tokens: Artifact, **changes: object) -> "TrainConfig":
    """Settings of a run of seconds over a tokens artifact."""
    from jpfm.train.config import TrainConfig

    settings: dict[str, object] = {
        "stage": "train", "name": "tiny", "tokens": str(tokens.path),
        "model": {"size": "1M", "hidden_size": 64, "num_layers": 2, "intermediate_size": 160},
        "seq_len": 128, "batch_tokens": 1024, "micro_batch_rows": 4, "steps": 12, "learning_rate": 3e-3,
        "schedule": {"warmup_steps": 3, "decay_steps": 4}, "precision": "fp32",
        "save": {"every_steps": 4}, "lint": "off",
    }  # fmt: skip
    return TrainConfig.model_validate(settings | changes)
