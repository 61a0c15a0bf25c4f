"""Hugging Face data sets, from the hub or a local folder, streamed.

    - {format: hf, name: fineweb2, dataset: HuggingFaceFW/fineweb-2, config: jpn_Jpan, url_field: url, rights: {...}}
    - {format: hf, name: own, dataset: ./my-dataset, text_field: body, rights: {...}}     # below the recipe's root

A shard of the data set (a file of it) is the unit of work and of resume. A hub id is pinned to a commit before anything
is read; the commit stands in the source's manifest, and for a folder the hash of each file. Code inside a data set is
never run. What `save_to_disk` wrote is read as well.
"""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pydantic

from jpfm.core.artifact import FileEntry
from jpfm.core.errors import DataError, UsageError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.base import Piece
from jpfm.data.sources.records import RecordSource

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?")
_SAVED = ("state.json", "dataset_dict.json")


class HfSource(RecordSource):
    """A split of a Hugging Face data set."""

    format: Literal["hf"]
    dataset: str
    """Id on the hub (organisation/name), or a folder: `./NAME` below the recipe's root, or `/...`."""
    config: str | None = None
    """Which subset, e.g. a language."""
    split: str = "train"
    revision: str | None = None
    """Branch, tag or commit on the hub; the newest commit of the main branch when null."""
    data_files: tuple[str, ...] = ()
    """Glob patterns of files inside the data set to read instead of what it declares."""
    paths: tuple[str, ...] = pydantic.Field(default=(), max_length=0)
    """Not used here: `dataset` names the data."""
    exclude: tuple[str, ...] = pydantic.Field(default=(), max_length=0)
    """Not used here: `data_files` chooses files."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "HfSource":
        if not self.is_local and not _HUB_ID.fullmatch(self.dataset):
            raise ValueError(f"dataset '{self.dataset}' is no hub id; a folder begins with ./ or /")
        if self.is_local and self.revision is not None:
            raise ValueError("revision is for data sets on the hub; remove it for a folder")
        return self

    @property
    def is_local(self) -> bool:
        """Whether `dataset` names a folder."""
        return self.dataset.startswith(("./", "../", "/"))

    def pieces(self, root: Path, slice_bytes: int) -> Iterator[Piece]:
        """One piece a shard.

        Raises:
            DataError: the data set cannot be reached or has no such split or column.
        """
        where = str((root / self.dataset).absolute()) if self.is_local else f"{self.dataset}@{self._commit()}"
        stream = self._open(where)
        self._check_columns(stream)
        files = self._local_files(where) if self.is_local else []
        size = sum(file.stat().st_size for file in files) // stream.num_shards if files else slice_bytes
        name = f"{Path(self.dataset).name if self.is_local else self.dataset}/{self.split}"
        for number in range(stream.num_shards):
            yield Piece(where, name, size, number, number + 1)

    def entries(self, pieces: list[Piece]) -> Iterator[FileEntry]:
        """The files of a local data set; what lies on the hub is pinned by its commit."""
        if self.is_local:
            folder = Path(pieces[0].path)
            files = [
                Piece(str(file), file.relative_to(folder).as_posix(), 0) for file in self._local_files(str(folder))
            ]
            yield from super().entries(files)

    def origin(self) -> dict[str, Any]:
        """Data set, subset, split, and the commit of the hub."""
        about = {"dataset": self.dataset, "config": self.config, "split": self.split}
        return about if self.is_local else about | {"revision": self._commit()}

    def documents(self, piece: Piece) -> Iterator[Document | Quarantined]:
        """The rows of one shard; a row's id holds the shard's number and its own."""
        from datasets.exceptions import DatasetsError

        identity = f"{self.name}/{piece.name}#{piece.start}-"
        number = 0
        try:
            stream = self._open(piece.path)
            for record in stream.select_columns(list(self.named_fields)).shard(stream.num_shards, piece.start):
                yield self.to_document(record, f"{identity}{number}")
                number += 1
        except (pa.ArrowException, DatasetsError, OSError, ValueError, EOFError) as error:
            yield Quarantined(f"{identity}{number}", "format", f"damaged after row {number}: {error}")

    def _commit(self) -> str:
        return _commit(self.dataset, self.revision)

    def _open(self, where: str) -> Any:
        """The split as a stream.

        Raises:
            DataError: there is no such data set, subset or split.
        """
        import datasets

        datasets.disable_progress_bars()
        folder, _, commit = (where, "", None) if self.is_local else where.rpartition("@")
        try:
            if self.is_local and any((Path(folder) / name).exists() for name in _SAVED):
                return self._open_saved(Path(folder))
            return datasets.load_dataset(
                folder, self.config, split=self.split, revision=commit, data_files=list(self.data_files) or None,
                streaming=True,
            )  # fmt: skip
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            raise DataError(
                f"source '{self.name}': {self.dataset} cannot be opened: {str(error).splitlines()[0]}",
                hint="check dataset, config, split and data_files; code of a data set (NAME.py) is never run",
            ) from error

    def _open_saved(self, folder: Path) -> Any:
        import datasets

        if self.config is not None or self.data_files:
            raise UsageError(
                f"source '{self.name}': {folder} was written by save_to_disk, which has no config and no data_files",
                hint="remove them",
            )
        saved = datasets.load_from_disk(str(folder))
        if isinstance(saved, datasets.DatasetDict):
            if self.split not in saved:
                raise DataError(
                    f"source '{self.name}': no split '{self.split}'", hint=f"splits found: {', '.join(sorted(saved))}"
                )
            saved = saved[self.split]
        return saved.to_iterable_dataset(num_shards=max(1, len(saved.cache_files)))

    def _check_columns(self, stream: Any) -> None:
        found = stream.column_names or list(next(iter(stream.take(1)), {self.text_field: ""}))
        for column in self.named_fields:
            if column not in found:
                raise DataError(
                    f"source '{self.name}': {self.dataset} has no column '{column}'",
                    hint=f"columns found: {', '.join(found)}; set text_field, title_field, url_field ...",
                )

    def _local_files(self, where: str) -> list[Path]:
        """Files that a split of a local data set is read from, sorted."""
        import datasets

        folder = Path(where)
        if any((folder / name).exists() for name in _SAVED):
            inside = folder / self.split if (folder / "dataset_dict.json").exists() else folder
            return sorted(inside.glob("*.arrow"))
        builder = datasets.load_dataset_builder(where, self.config, data_files=list(self.data_files) or None)
        return sorted(Path(path) for path in builder.config.data_files[self.split])


@functools.cache
def _commit(dataset: str, revision: str | None) -> str:
    """The commit that a revision of a data set on the hub stands for now.

    Raises:
        DataError: there is no such data set, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    unreachable: tuple[type[BaseException], ...] = (*HfHubHTTPError.__bases__, OSError)  # its HTTP library has varied
    try:
        found = HfApi().dataset_info(dataset, revision=revision, timeout=20)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise DataError(
            f"{dataset} (revision {revision or 'main'}) does not exist on the hub, or is private",
            hint="check the id; for a private data set log in with `hf auth login`; a folder begins with ./ or /",
        ) from error
    except unreachable as error:
        raise DataError(
            f"{dataset}: the hub cannot be reached: {error}",
            hint=f"download it where there is network (hf download {dataset} --repo-type dataset --local-dir FOLDER), "
            "copy the folder here and name it: dataset: ./FOLDER",
        ) from error
    return str(found.sha)
