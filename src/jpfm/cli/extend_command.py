"""`jpfm tokenizer extend`: Japanese pieces for an existing tokenizer and model: continual pretraining begins here."""

from pathlib import Path

from jpfm.cli.shared import Dry, Out, Overrides, emit, load_config, require_out, show_dry_run
from jpfm.core.errors import UsageError


def extend(config: Path, overrides: Overrides = None, out: Out = None, dry_run: Dry = False) -> None:
    """Add Japanese pieces to a model: base=FOLDER corpus=FOLDER. Old ids keep their number and meaning."""
    from jpfm.core.artifact import open_artifact
    from jpfm.model import extend as stage
    from jpfm.model.extend_base import NOT_STATED, find_base
    from jpfm.tokens.extension.base import BaseTokenizer

    loaded = load_config(config, stage.ExtendConfig, overrides)
    settings = loaded.config
    for field, value in (("base", settings.base), ("corpus", settings.corpus)):
        if value is None:
            raise UsageError(f"{field}: this field is required", hint=f"set {field}=FOLDER on the command line")
    corpus = open_artifact(Path(str(settings.corpus)), "corpus")
    if dry_run:
        found = find_base(str(settings.base))
        base = BaseTokenizer.open(found.folder)
        name, licence = settings.base_name or "no base_name", settings.base_licence or NOT_STATED
        from_where = found.artifact.id if found.artifact else f"{name}, licence {licence}"
        chars = min(corpus.manifest.stats["total"]["chars"], settings.vocabulary.max_training_chars)
        first, pieces = base.next_id, settings.vocabulary.pieces
        show_dry_run(
            loaded, [f"base: {from_where}",
                     f"{pieces:,} new piece{'' if pieces == 1 else 's'} for {base.family} from about {chars:,} "
                     f"characters of {corpus.id}", f"ids from {first:,} to {first + pieces - 1:,}"],
        )  # fmt: skip
        return
    emit(stage.extend(settings, corpus, require_out(out, "tokenizer extend")).path)
