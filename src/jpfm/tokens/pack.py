"""Pack a corpus: documents in, Megatron's `.bin/.idx` and `docs.parquet` out, one triple a file.

    corpus, tokenizer = open_inputs(config)
    artifact = pack(config, corpus, tokenizer, Path("out/tokens"), engine=Engine(workers=2))

`NAME.bin` is the token ids of the documents of one file one after the other, each ended by EOS; `NAME.idx` is
Megatron's index with one sequence a document; `NAME.docs.parquet` says where each sequence came from: ordinal, id,
source, licence, start and length in tokens (and `part`, where long documents are cut).

A file is one job (`tokens.text_file`, `tokens.megatron`): any number of workers, array tasks or Ray nodes gives the
same bytes, and a kill loses at most the files being written. Refused: one file for all (no second worker could write
it, and a kill would lose all of it); one file a corpus shard (10^5 files of 2 MB; Megatron opens each at start).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic

from jpfm.core import artifact as artifacts
from jpfm.core import run
from jpfm.core.artifact import MANIFEST, Artifact, Draft, FileEntry, Finished, Kind, Manifest, open_artifact
from jpfm.core.config import Settings, place
from jpfm.core.errors import ArtifactError, UsageError
from jpfm.core.lock import lock
from jpfm.core.log import log, progress
from jpfm.core.shards import LOCAL, Engine, Slice, map_shards
from jpfm.data.input_hashes import InputHashes
from jpfm.tokens.index import dtype_for
from jpfm.tokens.megatron import MegatronJob, MegatronSource
from jpfm.tokens.text_file import Manner, encoder_of, text_jobs
from jpfm.tokens.token_file import FileJob

VERSION = 2
_WORTH_A_PROCESS = 4_000_000  # bytes of input


class TokensConfig(Settings):
    """Settings of `jpfm tokens pack`."""

    stage: Literal["tokens"]
    corpus: str | None = place()
    """Folder of a corpus artifact; not needed where `megatron` names token files."""
    tokenizer: str | None = place()
    """A tokenizer artifact, a checkpoint (for its tokenizer), or a folder with tokenizer.json or a .model file."""
    split: Literal["train"] = "train"
    """Documents that are packed. Those held out for evaluation never are."""
    document_order: Literal["corpus", "shuffled"] = "corpus"
    """Order within a file. Training visits rows in an order of its own either way: shuffle for readers that do not."""
    seed: int = 0
    """Of `shuffled`; without effect on `corpus`."""
    append_eos: bool = True
    """End each document with EOS. The trainer needs it; false is for readers that end documents themselves."""
    max_document_tokens: Annotated[int, pydantic.Field(ge=16, lt=1 << 31)] | None = None
    """Cut longer documents into sequences of at most this many tokens, EOS included, at a line or sentence end where
    the second half has one. null keeps documents whole."""
    file_bytes: Annotated[int, pydantic.Field(ge=1)] = 256_000_000
    """Row groups of one source are joined into a file until it holds this much text (UTF-8 bytes)."""
    megatron: tuple[MegatronSource, ...] = ()
    """Token files made before, by other programs."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> Self:
        names = [source.name for source in self.megatron]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"megatron: two sources are called '{twice}'; give each its own name")
        return self

    def manner(self) -> Manner:
        """How documents become sequences."""
        shuffle = self.seed if self.document_order == "shuffled" else None
        return Manner(self.append_eos, self.max_document_tokens, shuffle)


def open_inputs(config: TokensConfig) -> tuple[Artifact | None, Artifact | None]:
    """The corpus and the tokenizer that a config names.

    Raises:
        UsageError: there is nothing to pack, or no tokenizer for the corpus.
        ArtifactError: a folder holds something else.
    """
    if config.corpus is None and not config.megatron:
        raise UsageError("corpus: this field is required", hint="set corpus=FOLDER, or name token files in `megatron`")
    if config.corpus is not None and config.tokenizer is None:
        raise UsageError("tokenizer: this field is required", hint="set tokenizer=FOLDER on the command line")
    corpus = None if config.corpus is None else open_artifact(Path(config.corpus), "corpus")
    return corpus, None if config.tokenizer is None else open_tokenizer(Path(config.tokenizer))


def open_tokenizer(folder: Path) -> Artifact:
    """A tokenizer artifact; a folder of another program is taken as one, named by the hashes of its files."""
    encoder_of(str(folder))
    if folder.is_dir() and ((folder / MANIFEST).exists() or folder.with_name(folder.name + ".partial").exists()):
        found = open_artifact(folder)
        return found if found.manifest.kind == "checkpoint" else open_artifact(folder, "tokenizer")
    paths = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else [folder]
    files = (FileEntry(path=path.name, bytes=path.stat().st_size, sha256=artifacts.sha256(path)) for path in paths)
    return Artifact(folder, _manifest("tokenizer", {}, tuple(files)))


def _manifest(kind: Kind, config: dict[str, Any], files: tuple[FileEntry, ...], **more: Any) -> Manifest:
    """Of something that lies elsewhere: it is kept inside the tokens, so that their lineage has no gap."""
    return Manifest(
        kind=kind, id=artifacts.artifact_id(kind, VERSION, config, (), files), stage_version=VERSION, parents=(),
        config=config, files=files, stats={"files": len(files), "bytes": sum(file.bytes for file in files)},
        run=run.finish(run.start(inputs={})), **more,
    )  # fmt: skip


@dataclass(frozen=True)
class Vocabulary:
    """What the ids mean."""

    size: int
    eos: int | None
    tokenizer: str | None
    """Id of the tokenizer artifact; None where token files were packed without one."""

    @property
    def dtype(self) -> str:
        """Width of the ids in all files."""
        return dtype_for(self.size).name


def vocabulary(config: TokensConfig, tokenizer: Artifact | None) -> Vocabulary:
    """The one vocabulary of all files.

    Raises:
        UsageError: sources name different ones, or there is none.
    """
    sizes: dict[str, int | None] = {}
    ends: dict[str, int | None] = {}
    if tokenizer is not None:
        encoder = encoder_of(str(tokenizer.path))
        sizes["the tokenizer"] = max(encoder.vocab_size, tokenizer.manifest.stats.get("vocab_size", 0))
        ends["the tokenizer"] = encoder.eos
    for source in config.megatron:
        sizes[f"megatron source '{source.name}'"] = source.vocab_size
        ends[f"megatron source '{source.name}'"] = source.eos
    size, eos = (_agreed(what, stated) for what, stated in (("vocab_size", sizes), ("eos", ends)))
    if size is None or (eos is None and config.megatron):
        what = "vocab_size" if size is None else "eos"
        raise UsageError(
            f"megatron: neither a source nor a tokenizer tells {what}", hint=f"set {what} in `megatron`, or tokenizer="
        )
    return Vocabulary(size, eos, tokenizer.id if tokenizer is not None else None)


def _agreed(what: str, stated: dict[str, int | None]) -> int | None:
    known = [(who, value) for who, value in stated.items() if value is not None]
    for (one, first), (other, second) in itertools.pairwise(known):
        if first != second:
            raise UsageError(
                f"{what} of {one} is {first:,}, of {other} {second:,}: ids of two vocabularies cannot be mixed",
                hint="pack each with its own tokenizer; one model reads one vocabulary",
            )
    return known[0][1] if known else None


def pack(
    config: TokensConfig, corpus: Artifact | None, tokenizer: Artifact | None, out: Path, *, engine: Engine = LOCAL,
    part: Slice | None = None, finish: bool = False,
) -> Artifact | None:  # fmt: skip
    """Tokenize the train split of a corpus, and take in token files.

    Args:
        part: write this slice of the files and return None.
        finish: do what is left of an artifact whose slices are done; refused while some are not.
    Raises:
        DataError: there is no document, or ids are not those of the vocabulary.
        ArtifactError: slices are missing, token files are damaged, or another process makes these tokens.
    """
    if corpus is None and not config.megatron:
        raise UsageError("there is no corpus to pack", hint="set corpus=FOLDER, or name token files in `megatron`")
    hashes = InputHashes.read(out)
    sources = [_source(source, hashes) for source in config.megatron]
    parents = [artifact for artifact in (corpus, tokenizer, *sources) if artifact is not None]
    plan = artifacts.plan_of("tokens", VERSION, config.identity(), parents)
    if part is not None or finish:
        if (done := artifacts.finished(out, plan)) is not None:
            return done if finish else None
        if part is not None:
            with lock(out, shared=True):
                draft = artifacts.open_draft(out, plan)
                hashes.write(draft.path)
                mine = part.take(jobs_of(config, corpus, tokenizer, draft.path))
                _run(mine, engine, f"packing, slice {part.index}/{part.count}")
            return None
        _require(jobs_of(config, corpus, tokenizer, out.with_name(out.name + ".partial")))

    def work(draft: Draft) -> Finished:
        draft.status("packing")
        hashes.write(draft.path)
        for path in sorted(draft.path.rglob("*.tmp")):  # of workers that were killed; only the holder of the lock may
            path.unlink()
        jobs = jobs_of(config, corpus, tokenizer, draft.path)
        _run(jobs, engine, "packing")
        for parent in parents:
            if not (parent.path / MANIFEST).exists():
                folder = draft.path / "inputs" / f"{parent.manifest.kind}-{parent.manifest.config.get('name', 'files')}"
                folder.mkdir(parents=True, exist_ok=True)
                artifacts.write_text(folder / MANIFEST, parent.manifest.model_dump_json(indent=1) + "\n")
        return Finished(_stats(jobs, vocabulary(config, tokenizer), config))

    return artifacts.produce(out, kind="tokens", version=VERSION, config=config.identity(), parents=parents, work=work)


def _source(source: MegatronSource, hashes: InputHashes) -> Artifact:
    files = tuple(hashes.entries(source, source.pieces()))
    config = {"name": source.name, "rights": source.rights.model_dump(), "format": "megatron"}
    return Artifact(Path(f"{source.prefix}.bin"), _manifest("source", config, files, rights=source.rights))


def jobs_of(config: TokensConfig, corpus: Artifact | None, tokenizer: Artifact | None, root: Path) -> Sequence[FileJob]:
    """The files of the result, in order: those of the corpus source by source, then token files.

    Raises:
        UsageError: a corpus and token files have a source of one name, or there is no tokenizer for the text.
    """
    ids = vocabulary(config, tokenizer)
    jobs: list[FileJob] = []
    if corpus is not None:
        if tokenizer is None:
            raise UsageError("tokenizer: this field is required", hint="set tokenizer=FOLDER on the command line")
        if config.append_eos:
            encoder_of(str(tokenizer.path)).check_eos(str(tokenizer.path))
        jobs += text_jobs(corpus, str(tokenizer.path), ids.dtype, root, config.file_bytes, config.manner())
    of_text = {job.source for job in jobs}
    for source in config.megatron:
        if source.name in of_text:
            raise UsageError(
                f"megatron source '{source.name}': the corpus has a source of that name", hint="give it another name"
            )
        assert ids.eos is not None
        size = sum(piece.bytes for piece in source.pieces())
        prefix = str(Path(source.prefix).absolute())
        jobs.append(
            MegatronJob(
                str(root), f"{source.name}-00000", source.name, size, ids.dtype, prefix, source.rights.licence, ids.eos,
                ids.size, config.append_eos,
            )
        )  # fmt: skip
    return jobs


def _require(jobs: Sequence[FileJob]) -> None:
    lacking = [job.name for job in jobs if not job.record.exists()]
    if lacking:
        raise ArtifactError(
            f"{len(lacking)} of {len(jobs)} files are not packed yet: {', '.join(lacking[:5])}"
            + (" ..." if len(lacking) > 5 else ""),
            hint="run the slices that are missing (--slice I/N) until they end without an error; or pack the rest here "
            "with the same line without --finish",
        )


def _run(jobs: Sequence[FileJob], engine: Engine, label: str) -> None:
    """Write the files that are not finished."""
    todo = [job for job in jobs if not job.is_done()]
    size = sum(job.bytes for job in todo)
    with progress(label, total=size / 1e6, unit="MB") as bar:
        for job, tokens in map_shards(_run_one, todo, engine if size >= _WORTH_A_PROCESS else engine.few()):
            bar.advance(job.bytes / 1e6, file=job.name, tokens=tokens)
    log.info("%s: %d of %d files were written", label, len(todo), len(jobs))


def _run_one(job: FileJob) -> int:
    return job.run()


def _stats(jobs: Sequence[FileJob], ids: Vocabulary, config: TokensConfig) -> dict[str, Any]:
    files: list[dict[str, Any]] = []
    by_source: dict[str, int] = {}
    by_licence: dict[str, int] = {}
    for job in jobs:
        record = job.recorded()
        files.append({"name": job.name, "source": job.source} | {key: record[key] for key in ("documents", "tokens")})
        by_source[job.source] = by_source.get(job.source, 0) + record["tokens"]
        for licence, tokens in record["tokens_by_licence"].items():
            by_licence[licence] = by_licence.get(licence, 0) + tokens
    added = {job.source: count for job in jobs if (count := job.recorded()["eos_added"])}
    for source, count in added.items():
        log.warning(
            "%s: no document ended with EOS %s; it was put after each of %s. If that is another tokenizer's, set `eos`",
            source, ids.eos, f"{count:,}",
        )  # fmt: skip
    return {
        "documents": sum(file["documents"] for file in files),
        "tokens": sum(file["tokens"] for file in files),
        "vocab_size": ids.size,
        "eos": ids.eos,
        "append_eos": config.append_eos,
        "eos_added": added,
        "dtype": ids.dtype,
        "tokenizer": ids.tokenizer,
        "tokens_by_source": by_source,
        "tokens_by_licence": by_licence,
        "files": files,
    }
