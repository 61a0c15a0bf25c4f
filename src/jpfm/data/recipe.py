"""A recipe: which sources, on what terms, and the steps they pass."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import pydantic

from jpfm.core.config import Settings, place
from jpfm.core.errors import UsageError
from jpfm.data.document import schema_with
from jpfm.data.forget import Forget
from jpfm.data.sources import AnySource
from jpfm.data.sources.corpus import CorpusSource
from jpfm.data.steps import AnyStep
from jpfm.data.steps.base import CorpusStep, Step

PACKAGE = "package:"
_Placed = TypeVar("_Placed", bound=Settings)


def provider(column: str) -> str:
    """The step that adds a column, by its name in a recipe; columns named by settings are known by their beginning."""
    if column.startswith("words_"):
        return "word_lists"
    for kind in get_args(get_args(AnyStep)[0]):
        if column in kind.adds:
            return str(get_args(kind.model_fields["step"].annotation)[0])
    return "quality"  # the only other step whose settings name its column


class Recipe(Settings):
    """Settings of `jpfm data build`."""

    stage: Literal["data"]
    """Which command the file is for."""
    name: str
    """How the corpus is called in reports."""
    root: str = place(".")
    """Folder that the sources' paths start from, relative to the current folder. `package:` begins a path in jpfm."""
    sources: Annotated[tuple[AnySource, ...], pydantic.Field(min_length=1)]
    """Where the text comes from. The order counts: of duplicates the first is kept."""
    steps: tuple[AnyStep, ...]
    """What happens to the documents, in order."""
    slice_bytes: Annotated[int, pydantic.Field(ge=1)] = 64_000_000
    """Input files are grouped, and large ones cut, to about this size: one shard, the unit of work and of resume."""
    forget: Forget = Forget()
    """Documents to leave out as if they had never been there; `jpfm forget` writes it."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Recipe":
        names = [source.name for source in self.sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"sources: two are called '{name}'; ids would clash, rename one")
        if not any(isinstance(source, CorpusSource) for source in self.sources):  # its columns are known at run time
            self.check_columns([])
            for position, step in enumerate(self.steps):
                for name in step.named_sources:
                    if name not in names:
                        raise ValueError(
                            f"steps.{position} ({step.name}) names source '{name}'; sources: {', '.join(names)}"
                        )
        return self

    def check_columns(self, there: Sequence[str]) -> None:
        """Every column a step needs is there when it runs, and none is added twice.

        Args:
            there: columns that the sources bring besides those of every document.
        Raises:
            ValueError: one is missing or added twice; the sentence names the step that adds it.
        """
        known = {*schema_with(self.columns).names, *there}
        for position, step in enumerate(self.steps):
            for column in step.needs:
                if column not in known:
                    mend = f"put `- step: {provider(column)}` before it"
                    raise ValueError(f"steps.{position} ({step.name}) needs column '{column}'; {mend}")
            for column in step.adds:
                if column in known:
                    raise ValueError(f"steps.{position} ({step.name}) adds '{column}' a second time; remove one")
                known.add(column)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the sources lift out of `meta`; every shard of the corpus has them."""
        return tuple(dict.fromkeys(column for source in self.sources for column in source.columns))

    @property
    def is_packaged(self) -> bool:
        """True when the root lies in jpfm itself."""
        return self.root.startswith(PACKAGE)

    @property
    def root_path(self) -> Path:
        """The root as a path on this machine."""
        if self.is_packaged:
            return Path(__file__).resolve().parents[1] / self.root.removeprefix(PACKAGE)
        return Path(self.root)

    def passes(self) -> list[tuple[CorpusStep | None, list[Step]]]:
        """The steps cut at corpus steps: (the decision applied first, the shard steps that follow)."""
        parts: list[tuple[CorpusStep | None, list[Step]]] = [(None, [])]
        for step in self.steps:
            if isinstance(step, CorpusStep):
                parts.append((step, []))
            else:
                parts[-1][1].append(step)
        return parts


def check_root(recipe: Recipe) -> Path:
    """The recipe's root folder.

    Raises:
        UsageError: it does not exist.
    """
    root = recipe.root_path
    if not root.is_dir():
        raise UsageError(
            f"recipe '{recipe.name}': its root {root} is no folder",
            hint="set root=FOLDER on the command line (it is relative to the current folder)",
        )
    return root


def absolute_places(settings: _Placed) -> _Placed:
    """The same settings with every place as an absolute path, so that they hold in any folder.

    >>> class One(Settings):
    ...     path: str = place()
    ...     against: tuple[str, ...] = place()
    >>> one = absolute_places(One(path="/data/../bench/*.json", against=("/a/./b",)))
    >>> one.path, one.against
    ('/bench/*.json', ('/a/b',))
    """
    changed: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value, extra = getattr(settings, name), field.json_schema_extra
        is_place = isinstance(extra, dict) and bool(extra.get("jpfm_place"))
        many = tuple(_absolute(one, is_place) for one in (value if isinstance(value, tuple) else (value,)))
        changed[name] = many if isinstance(value, tuple) else many[0]
    return settings.model_copy(update=changed)


def _absolute(value: Any, is_place: bool) -> Any:
    if isinstance(value, Settings):
        return absolute_places(value)
    return os.path.abspath(value) if is_place and isinstance(value, str) and value else value
