"""`jpfm tokenizer extend`: Japanese pieces for an existing tokenizer and model: continual pretraining begins here."""

from pathlib import Path

from jpfm.cli.shared import Dry, Out, Overrides, emit, load_config, require_out, show_dry_run
from jpfm.core.errors import UsageError


def extend(config: Path, overrides: Overrides = None, out: Out = None, dry_run: Dry = False) -> None:
    """Add Japanese pieces to a model: base=FOLDER corpus=FOLDER. Old ids keep their number and meaning."""
    from jpfm.core.artifact import open_artifact
    from jpfm.model import extend as stage
    from jpfm.tokens.extension.base import BaseTokenizer

    loaded = load_config(config, stage.ExtendConfig, overrides)
    settings = loaded.config
    for field, value in (("base", settings.base), ("corpus", settings.corpus)):
        if value is None:
            raise UsageError(f"{field}: this field is required", hint=f"set {field}=FOLDER on the command line")
    corpus = open_artifact(Path(str(settings.corpus)), "corpus")
    if dry_run:
        base = BaseTokenizer.open(stage.find_base(str(settings.base)).folder)
        chars = min(corpus.manifest.stats["total"]["chars"], settings.vocabulary.max_training_chars)
        first, pieces = base.next_id, settings.vocabulary.pieces
        show_dry_run(
            loaded, [f"{pieces:,} pieces for {base.family} from about {chars:,} characters of {corpus.id}",
                     f"ids {first:,} to {first + pieces - 1:,}"],
        )  # fmt: skip
        return
    emit(stage.extend(settings, corpus, require_out(out, "tokenizer extend")).path)
