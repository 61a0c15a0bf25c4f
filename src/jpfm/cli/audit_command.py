"""`jpfm tokenizer audit`: compare tokenizers of any maker on text of any origin, and write a page about it."""

from pathlib import Path
from typing import Annotated

import typer

from jpfm.cli.shared import Dry, Out, emit, require_out


def audit(
    tokenizers: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]PATH...",
            help="Tokenizer artifacts, folders with tokenizer.json, .model files. The first is the measure.",
        ),
    ],
    corpus: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]PATH", help="A corpus, a folder of text, a .txt or .jsonl; may be repeated."),
    ] = None,
    gold: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A treebank (.conllu, .conllu.gz) whose words are right.")
    ] = None,
    out: Out = None,
    chars: Annotated[int, typer.Option(min=1000, help="Characters of each domain to measure.")] = 2_000_000,
    word_chars: Annotated[int, typer.Option(min=100, help="Of these, characters to cut into words.")] = 200_000,
    speed_bytes: Annotated[int, typer.Option(min=0, help="Text that speed is measured on; 0: no speed.")] = 4_000_000,
    show_text: Annotated[bool, typer.Option(help="Show lines that do not come back after decoding.")] = True,
    dry_run: Dry = False,
) -> None:
    """Compare tokenizers: characters a token, word boundaries, numbers and dates, use of the vocabulary, speed."""
    from jpfm.report.tokenizer_audit import tokenizer_audit
    from jpfm.tokens.audit.measure import AuditSettings
    from jpfm.tokens.audit.open import open_tokenizers
    from jpfm.tokens.audit.text import read_domains

    settings = AuditSettings(max_chars=chars, max_word_chars=word_chars, failures_shown=5 if show_text else 0)
    if dry_run:
        for one in open_tokenizers(tokenizers):
            found = one.tokenizer
            emit(f"tokenizer {found.name}: {found.kind}, {found.vocab_size:,} pieces, sha256 {found.sha256[:12]}")
        for domain in read_domains(corpus or (), settings.max_chars, settings.max_document_chars):
            size = sum(map(len, domain.texts))
            emit(f"domain {domain.name}: {len(domain.texts):,} of {domain.documents:,} documents, {size:,} characters")
        return
    made = tokenizer_audit(
        tokenizers, corpus or (), require_out(out, "tokenizer audit"), gold=gold, settings=settings,
        speed_bytes=speed_bytes,
    )  # fmt: skip
    emit(made.path / "index.html")
