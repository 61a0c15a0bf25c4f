"""`jpfm forget`: take documents out of a corpus, say what they have reached, and leave a record someone answers for."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jpfm.cli.shared import Dry, Out, Overrides, Workers, emit, make_engine, require_out
from jpfm.core.errors import DataError, UsageError
from jpfm.core.log import log

if TYPE_CHECKING:
    from jpfm.core.artifact import Artifact
    from jpfm.data.forget import Forget
    from jpfm.data.forgotten import Found
    from jpfm.data.recipe import Recipe
    from jpfm.report.affected import Reach

_FIELDS = {"doc": "ids", "url": "urls", "host": "hosts", "regex": "regexes"}
"""Options, and keys of a line of `--from`; the settings of `Forget` that they fill."""


def forget(
    corpus: Annotated[Path, typer.Argument(metavar="DIR", help="The corpus.")],
    overrides: Overrides = None,
    url: Annotated[list[str] | None, typer.Option(help="An address, as it stands in the column url.")] = None,
    host: Annotated[list[str] | None, typer.Option(help="A host with all below it.")] = None,
    doc: Annotated[list[str] | None, typer.Option(help="The id of a document.")] = None,
    regex: Annotated[list[str] | None, typer.Option(help="Searched in the raw text, title and address.")] = None,
    listed: Annotated[
        Path | None, typer.Option("--from", help="YAML or JSON list of many: `- host: example.jp`, `- doc: ID` ...")
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Folder to search for what was made of it; default: the one that holds DIR.")
    ] = None,
    out: Out = None,
    approved_by: Annotated[str | None, typer.Option(help="Who answers for it. Required.")] = None,
    requested_by: Annotated[str | None, typer.Option(help="Who asked.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, in your words.")] = None,
    sign_with: Annotated[
        Path | None, typer.Option(metavar="KEYFILE", help="The approver's private SSH key (Ed25519); signs the record.")
    ] = None,
    workers: Workers = None,
    dry_run: Dry = False,
) -> None:
    """Make the corpus without some documents, with a signed-off record. KEY=VALUE says where inputs lie (root=...)."""
    from jpfm.core.artifact import open_artifact
    from jpfm.data.forgotten import find, recipe_of
    from jpfm.report.affected import reached

    given = {"url": url, "host": host, "doc": doc, "regex": regex}
    asked = _asked([(name, value) for name, values in given.items() for value in values or ()], listed)
    folder = _folder(runs, corpus)
    target = None if dry_run else require_out(out, "forget")
    request = None if dry_run else _request(asked, approved_by, requested_by, reason, sign_with)
    artifact = open_artifact(corpus, "corpus")
    engine = make_engine("local", workers)
    recipe = _placed(recipe_of(artifact), overrides or ())
    met = find(artifact, asked, engine, recipe=recipe)
    found = _to_go(artifact, asked, met)
    reach = reached(artifact, [one.id for one in found], folder)
    if request is None or target is None:
        for line in _plan(artifact, found, reach):
            emit(line)
        return
    from jpfm.data.rebuild import rebuild
    from jpfm.report.forgotten import write_record

    made = rebuild(artifact, target, asked, engine, recipe=recipe, found=met)
    record = write_record(artifact, made, request, found, reach)
    log.info("record: %s", record.path / "index.html")
    emit(made.path)


def _asked(words: Sequence[tuple[str, str]], listed: Path | None) -> "Forget":
    """The request of the command line and of the file together.

    Raises:
        UsageError: it names nothing, or something in it cannot be meant.
    """
    import pydantic

    from jpfm.data.forget import Forget

    every = [*words, *(_lines(listed) if listed is not None else ())]
    if not every:
        raise UsageError("forget: nothing to forget is named", hint="add --url, --host, --doc, --regex or --from FILE")
    for name, value in every:
        if not value.strip():
            raise UsageError(f"forget: --{name} is empty", hint="an empty word would name nothing, or everything")
        if name == "host" and ("/" in value or ":" in value):
            raise UsageError(f"forget: --host {value}: is no host", hint="e.g. example.jp; --url takes an address")
    fields = {
        field: tuple(sorted({value for name, value in every if name == option})) for option, field in _FIELDS.items()
    }
    try:
        return Forget(**fields)
    except pydantic.ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"forget: {message}", hint="regular expressions are of Rust's syntax") from error


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    """The lines of a bulk request.

    Raises:
        UsageError: one is not `KIND: WORD`.
    """
    from jpfm.core.config import read_file

    root = read_file(file)
    if not isinstance(root.value, list):
        raise UsageError(f"{root.origin}: expected a list", hint="write lines such as `- host: example.jp`")
    for node in root.value:
        pairs = node.value.items() if isinstance(node.value, dict) else ()
        if len(pairs) != 1:
            raise UsageError(f"{node.origin}: expected one `kind: word`", hint=f"kinds are {', '.join(_FIELDS)}")
        ((kind, word),) = pairs
        if kind not in _FIELDS:
            raise UsageError(f"{node.origin}: '{kind}' is no kind", hint=f"kinds are {', '.join(_FIELDS)}")
        if not isinstance(word.value, str):
            raise UsageError(f"{word.origin}: {kind}: expected text", hint="put it between quotation marks")
        yield kind, word.value


def _folder(runs: Path | None, corpus: Path) -> Path:
    if runs is not None and not runs.is_dir():
        raise UsageError(f"--runs {runs}: is no folder", hint="name the folder that holds tokens, models and scores")
    return runs or corpus.absolute().parent


def _request(
    asked: "Forget", approved_by: str | None, requested_by: str | None, reason: str | None, sign_with: Path | None
) -> Any:
    """The request with who answers for it.

    Raises:
        UsageError: nobody does.
    """
    from jpfm.report.forgotten import Request
    from jpfm.report.seal import open_key

    if not (approved_by or "").strip():
        raise UsageError(
            "forget: --approved-by is missing: a record is signed off by a person",
            hint="--approved-by 'name of who answers for it'; --dry-run needs nobody",
        )
    return Request(asked, str(approved_by), requested_by, reason, open_key(sign_with) if sign_with else None)


def _placed(recipe: "Recipe", overrides: Sequence[str]) -> "Recipe":
    """The corpus's recipe with its inputs in other places.

    Raises:
        UsageError: something else would change.
    """
    from jpfm.core import yaml12
    from jpfm.core.config import apply_overrides, validate
    from jpfm.data.recipe import Recipe

    root = yaml12.parse(recipe.model_dump_json(), "the corpus's recipe")
    placed = validate(apply_overrides(root, overrides), Recipe).config
    if placed.identity() != recipe.identity():
        raise UsageError(
            f"forget: {' '.join(overrides)} would change more than places",
            hint="only where inputs lie may change: root=FOLDER, or a path of a source or step",
        )
    return placed


def _to_go(corpus: "Artifact", asked: "Forget", found: Sequence["Found"]) -> list["Found"]:
    """The documents that are still there.

    Raises:
        DataError: there are none.
    """
    from jpfm.data.forget import NAME

    left = [one for one in found if one.was != NAME]
    words = [f"--{option} {value}" for option, field in _FIELDS.items() for value in getattr(asked, field)]
    shown = ", ".join(words[:5]) + (f" and {len(words) - 5} more" if len(words) > 5 else "")
    if not left and found:
        raise DataError(
            f"{corpus.path}: all {len(found)} documents that meet {shown} were forgotten before",
            hint="the record lies in its folder forgotten/",
        )
    if not left:
        raise DataError(
            f"{corpus.path}: no document meets {shown}; searched were ids and addresses of kept and dropped documents"
            + (", and the raw text" if asked.regexes else ""),
            hint="look ids and addresses up in documents/ and dropped/, or in the ledger of `jpfm report provenance`",
        )
    return left


def _plan(corpus: "Artifact", found: Sequence["Found"], reach: "Reach") -> Iterator[str]:
    """What would be forgotten and what it has reached, a line each."""
    from jpfm.report.corpus_changes import copies_of
    from jpfm.report.forgotten_page import HAS, steps_of

    yield f"corpus {corpus.id}: {len(found):,} documents"
    for one in found:
        yield f"  document {one.id}: {one.was}, by {one.reason}, shard {one.shard}"
    copies = copies_of(corpus, [one.id for one in found])
    yield f"copies of them, dropped as such: {len(copies):,} (one of each comes back unless it is forgotten too)"
    yield from (f"  document {one}: a copy of {of}" for one, of in copies)
    shards = Counter(one.shard for one in found)
    yield f"shards that hold them: {len(shards):,} (others are built again only if a decision over all shards changes)"
    for shard, count in sorted(shards.items()):
        yield f"  shard {shard}: {count:,} documents"
    yield f"token ranges: {reach.exposure.ranges.height:,}"
    for row in reach.exposure.ranges.iter_rows(named=True):
        yield f"  tokens {row['tokens']}: [{row['first']}, {row['last']}) {row['document']}"
    yield f"training runs: {len(reach.exposure.runs):,}"
    for run in reach.exposure.runs:
        yield f"  run {run.name} on {run.tokens}: {run.num_steps:,} steps saw {run.num_tokens:,} of their tokens"
        if run.num_steps:
            clean = f"{run.last_clean.id} (step {run.last_clean.step})" if run.last_clean else "none"
            yield f"    steps {', '.join(steps_of(reach, run.number))}"
            yield f"    last checkpoint before: {clean}"
            yield from (f"    affected: {saved.id} (step {saved.step})" for saved in run.affected)
    yield f"artifacts looked at: {len(reach.touched):,}"
    for touched in reach.touched:
        yield f"  {touched.kind} {touched.id} {', '.join(touched.places)}: {HAS[touched.what].en}"
    yield from (f"  unfinished {kind} {place}: made from what is affected" for place, kind in reach.unfinished)
    yield from (f"  {place}: its parent {parent} is not here; cannot be told" for place, parent in reach.unknown)
