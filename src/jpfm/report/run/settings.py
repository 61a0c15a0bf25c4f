"""The settings of a run beside this version's defaults, and those in which runs differ.

for row in setting_rows(run):
    print(row.name, row.value, row.default, row.differs)

What a word stands for (`model.size`, `optimizer.kind`) is no difference: a size is one choice, not eight.
"""

import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pydantic

from jpfm.core import artifact as artifacts
from jpfm.core.config import Settings
from jpfm.report.run.read import Row, Run
from jpfm.train.config import TrainConfig

_MISSING = object()


class Setting(NamedTuple):
    """One setting: dotted name, value, default (None where there is none), and whether the two differ."""

    name: str
    value: str
    default: str | None
    differs: bool
    decides: bool
    """Whether it decides the result; else how the run runs: speed, memory, what is kept."""


def setting_rows(run: Run) -> list[Setting]:
    """Every setting beside this version's default: first what decides the result, then how the run runs. No places."""
    rows = list(_compare(run.config, _defaults(TrainConfig, run.config), "", True))
    decided = {row.name for row in rows}
    others = _compare(run.settings, _defaults(TrainConfig, run.settings), "", False)
    return [*rows, *(row for row in others if row.name not in decided and not _is_place(row.name))]


def _is_place(name: str) -> bool:
    """Whether a setting is a path: what lies there is in the lineage, and a page names no machine's folders."""
    annotation: Any = TrainConfig
    for part in name.split("."):
        models = [one for one in _parts(annotation) if isinstance(one, type) and issubclass(one, Settings)]
        field = next((one.model_fields[part] for one in models if part in one.model_fields), None)
        if field is None:
            return False
        annotation = field.annotation
    extra = field.json_schema_extra if field is not None else None
    return isinstance(extra, dict) and bool(extra.get("jpfm_place")) and str in _parts(annotation)


def _compare(value: Any, default: Any, name: str, decides: bool) -> Iterator[Setting]:
    if isinstance(value, Mapping) and value:
        inner = default if isinstance(default, Mapping) else {}
        for key in sorted(value):
            yield from _compare(value[key], inner.get(key, _MISSING), f"{name}.{key}" if name else str(key), decides)
        return
    known = default is not _MISSING
    differs = known and _plain(value) != _plain(default)
    yield Setting(name, _written(value), _written(default) if known else None, differs, decides)


def _written(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True)


def _plain(value: Any) -> Any:
    """As JSON gives it back: tuples are lists."""
    return json.loads(artifacts.canonical_json(value))


def _defaults(model: type[Settings], value: Mapping[str, Any]) -> Row:
    """Defaults of a settings model as a tree; of a part with a `kind` or `size`, what that word stands for."""
    tree: Row = {}
    for name, field in model.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        given = value.get(name)
        chosen = _chosen(field.annotation, given) if isinstance(given, Mapping) else None
        if chosen is not None and isinstance(given, Mapping):
            own = _whole(default) if isinstance(default, Settings) else {}
            tree[name] = own if type(default) is chosen else _of_kind(chosen, given, own)
        elif isinstance(default, Settings):
            tree[name] = _whole(default)
        elif not field.is_required():
            tree[name] = default
    return tree


def _of_kind(chosen: type[Settings], given: Mapping[str, Any], default: Row) -> Row:
    """What the settings would be, had only the word that chooses them been given; the word itself is compared too."""
    words = {name: given[name] for name in ("kind", "size") if given.get(name) is not None}
    try:
        tree = _whole(chosen.model_validate(words))
    except pydantic.ValidationError:
        tree = _defaults(chosen, given)  # the word alone is not enough
    return tree | {name: default.get(name) for name in words}


def _whole(settings: Settings) -> Row:
    """All fields; those that decide the result as the identity spells them (a model's size written out)."""
    return json.loads(settings.model_dump_json()) | _plain(settings.identity())


def _chosen(annotation: Any, given: Mapping[str, Any]) -> type[Settings] | None:
    """The settings model that a mapping is of; in a union, that whose `kind` it names."""
    models = [one for one in _parts(annotation) if isinstance(one, type) and issubclass(one, Settings)]
    if len(models) > 1:
        kind = given.get("kind")
        models = [one for one in models if kind in typing.get_args(one.model_fields["kind"].annotation)]
    return models[0] if models else None


def _parts(annotation: Any) -> Sequence[Any]:
    inner = typing.get_args(annotation)
    return [part for one in inner for part in _parts(one)] if inner else [annotation]


def differing(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Settings in which runs differ: name, and the value of each run; an en dash where a run has no such setting."""
    flat = [{row.name: row.value for row in _compare(run.config, _MISSING, "", True)} for run in runs]
    names = sorted({name for one in flat for name in one})
    rows = [(name, [one.get(name, "–") for one in flat]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]
