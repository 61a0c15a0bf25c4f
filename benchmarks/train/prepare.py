"""What the arms read: Japanese text as tokens, made once into a folder, or random ids of a wide vocabulary.

tokens, tokenizer = japanese(Path("out/bench"), raw=Path("../shared/data/raw"))
wide = synthetic(Path("out/bench"), vocab_size=196_608, tokens=20_000_000)
"""

from pathlib import Path

import numpy as np
import polars as pl

from jpfm.core import artifact as artifacts
from jpfm.core import config
from jpfm.core.artifact import Draft, Finished
from jpfm.core.shards import Engine
from jpfm.data.build import build
from jpfm.data.recipe import Recipe
from jpfm.tokens import tokenizer as tokenizers
from jpfm.tokens.index import write_index
from jpfm.tokens.pack import TokensConfig, pack
from jpfm.tokens.tokenizer import TokenizerConfig

ROOT = Path(__file__).parents[2]
_DOCUMENT = 1000


def japanese(folder: Path, raw: Path | None) -> tuple[Path, Path]:
    """Tokens and tokenizer of `configs/japanese-open.yaml`'s text, or of the bundled sample where `raw` is None."""
    tokens, tokenizer = folder / "tokens", folder / "tokenizer"
    if (tokens / artifacts.MANIFEST).exists():
        return tokens, tokenizer
    engine = Engine(workers=1)
    if raw is None:
        recipe, size = _sample(), "quickstart"
    else:
        recipe, size = ROOT / "data_recipes" / "japanese-open.yaml", "16k"
    overrides = [] if raw is None else [f"root={raw.absolute()}"]
    corpus = build(config.load(recipe, Recipe, overrides).config, folder / "corpus", engine=engine)
    assert corpus is not None  # only a slice of the work returns None
    own = config.load(ROOT / "configs" / "tokenizer" / f"{size}.yaml", TokenizerConfig).config
    made = tokenizers.train(own, corpus, tokenizer)
    packed = pack(TokensConfig(stage="tokens"), corpus, made, tokens, engine=engine)
    assert packed is not None  # as above
    return packed.path, made.path


def _sample() -> Path:
    """The recipe of the quickstart, in a file of its own."""
    import tempfile

    import yaml

    whole = yaml.safe_load((ROOT / "configs" / "quickstart.yaml").read_text(encoding="utf-8"))
    path = Path(tempfile.mkdtemp()) / "recipe.yaml"
    path.write_text(yaml.safe_dump(whole["data"], allow_unicode=True), encoding="utf-8")
    return path


def synthetic(folder: Path, *, vocab_size: int, tokens: int) -> Path:
    """Random ids over a whole vocabulary in documents of 1,000: what the embedding reads is not in any cache."""

    def work(draft: Draft) -> Finished:
        count = tokens // _DOCUMENT * _DOCUMENT
        ids = np.random.default_rng(0).integers(4, vocab_size, count, dtype=np.int32)
        ids[_DOCUMENT - 1 :: _DOCUMENT] = 2
        ids.tofile(draft.path / "random-00000.bin")
        lengths = np.full(count // _DOCUMENT, _DOCUMENT, dtype=np.int32)
        write_index(draft.path / "random-00000.idx", lengths, np.dtype(np.int32))
        pl.DataFrame({"id": [], "length": []}).write_parquet(draft.path / "random-00000.docs.parquet")
        file = {"name": "random-00000", "source": "random", "documents": len(lengths), "tokens": count}
        return Finished({"vocab_size": vocab_size, "eos": 2, "dtype": "int32", "tokenizer": None, "files": [file],
                         "tokens_by_source": {"random": count}})  # fmt: skip

    out = folder / f"random-{vocab_size}-{tokens}"
    settings = {"tokens": tokens, "vocab_size": vocab_size}
    return artifacts.produce(out, kind="tokens", version=2, config=settings, parents=[], work=work).path
