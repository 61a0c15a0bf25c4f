"""YAML files into frozen settings models, with every problem told at once.

    loaded = load(Path("configs/train/japanese-open.yaml"), TrainConfig, ["steps=100"])
    loaded.config.steps, loaded.origins["steps"]         # 100, "command line"
    print(loaded.show())                                 # YAML again; loads back to an equal config

Any mapping may hold `extends: FILE` (path relative to the file that says it): mappings merge, lists are replaced. One
level: a file that is extended may not extend another, so a value has at most two places to look for.
Validation runs in pydantic's strict JSON mode: no string becomes a number in silence. Refused: OmegaConf/Hydra
(interpolation and composition a reader must execute in the head).
"""

import dataclasses
import difflib
import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import pydantic

from jpfm.core import yaml12
from jpfm.core.errors import UsageError
from jpfm.core.yaml12 import Node

COMMAND_LINE = "command line"
DEFAULT = "default"


class Settings(pydantic.BaseModel):
    """A frozen model of settings: unknown fields are refused, equal settings compare equal."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="constants"
    )

    def identity(self) -> dict[str, Any]:
        """The settings that decide the result: everything but the places of inputs."""
        kept = {}
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            if not (isinstance(extra, dict) and extra.get("jpfm_place")):
                kept[name] = _without_places(getattr(self, name))
        return kept


def place(default: Any = None) -> Any:
    """A field for a path to read from: not part of an artifact's identity, because what it holds is (parents' ids)."""
    return pydantic.Field(default, json_schema_extra={"jpfm_place": True})


def how(default: Any) -> Any:
    """A field that decides speed, memory or what is kept, not what is learned: it may change when a run resumes."""
    return pydantic.Field(default, json_schema_extra={"jpfm_place": True})


T = TypeVar("T", bound=Settings)


def _without_places(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.identity()
    if isinstance(value, pydantic.BaseModel):
        return {name: _without_places(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, (list, tuple)):
        return [_without_places(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_places(item) for key, item in value.items()}
    if isinstance(value, Path):
        return value.as_posix()
    return value


@dataclasses.dataclass(frozen=True)
class Loaded(Generic[T]):
    """A config and the origin of each of its values (dotted path -> 'file:line', 'default', 'command line')."""

    config: T
    origins: dict[str, str]

    def show(self) -> str:
        """The resolved file as YAML with the origin of every value; it loads back to an equal config."""
        lines: list[str] = []
        plain = json.loads(self.config.model_dump_json())
        _emit(plain, "", 0, self.origins, lines)
        return "\n".join(lines) + "\n"


def read_file(path: Path) -> Node:
    """Parse a config file and resolve its `extends`."""
    node = _read_one(path)
    return _resolve_extends(node, path, may_extend=True)


def load(path: Path, model: type[T], overrides: Sequence[str] = ()) -> Loaded[T]:
    """Read, extend, override and validate a config file.

    Raises:
        UsageError: with one line for each problem, `file:line: field: what; did you mean 'x'?`.
    """
    return validate(apply_overrides(read_file(path), overrides), model)


def validate(root: Node, model: type[T]) -> Loaded[T]:
    """Validate a parsed tree against a settings model, all problems at once."""
    if not isinstance(root.value, dict):
        raise UsageError(f"{root.origin}: expected a mapping of settings", hint="write `field: value` lines")
    try:
        config = model.model_validate_json(json.dumps(root.plain()), strict=True)
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False)
        told = {_explain(root, model, detail) for detail in details if not _follows(detail, details)}
        problems = sorted(told, key=_reading_order)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise UsageError(
            f"{count} in the settings\n" + "\n".join(problems), hint=_where_fields_are_listed(model)
        ) from error
    origins = {}
    for dotted, _ in _leaves(json.loads(config.model_dump_json()), ""):
        found = _find(root, dotted.split(".") if dotted else [])
        origins[dotted] = found.origin if found is not None else DEFAULT
    return Loaded(config, origins)


def apply_overrides(root: Node, overrides: Sequence[str]) -> Node:
    """Set `a.b.0.c=value` pairs from the command line; values are YAML."""
    for text in overrides:
        key, equals, value_text = text.partition("=")
        if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", key):
            raise UsageError(f"override '{text}' is not of the form field.name=value", hint="e.g. train.steps=100")
        value = yaml12.parse(value_text, COMMAND_LINE) if value_text.strip() else Node(value_text or None, COMMAND_LINE)
        root = _set(root, key.split("."), _with_origin(value, COMMAND_LINE), key)
    return root


def _with_origin(node: Node, origin: str) -> Node:
    if isinstance(node.value, dict):
        return Node({k: _with_origin(v, origin) for k, v in node.value.items()}, origin)
    if isinstance(node.value, list):
        return Node([_with_origin(v, origin) for v in node.value], origin)
    return Node(node.value, origin)


def _set(node: Node, parts: list[str], value: Node, full: str) -> Node:
    if not parts:
        return value
    head, rest = parts[0], parts[1:]
    if isinstance(node.value, list):
        if not head.isdigit() or int(head) >= len(node.value):
            raise UsageError(
                f"{COMMAND_LINE}: {full}: the list has {len(node.value)} entries, '{head}' is none of them",
                hint=f"use a number from 0 to {len(node.value) - 1}",
            )
        items = list(node.value)
        items[int(head)] = _set(items[int(head)], rest, value, full)
        return Node(items, node.origin)
    children = dict(node.value) if isinstance(node.value, dict) else {}
    children[head] = _set(children.get(head, Node({}, COMMAND_LINE)), rest, value, full)
    return Node(children, node.origin)


def _read_one(path: Path) -> Node:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        near = difflib.get_close_matches(path.name, _siblings(path), n=1)
        hint = f"did you mean '{path.parent / near[0]}'?" if near else "check the path"
        raise UsageError(f"{path}: no such file", hint=hint) from error
    except IsADirectoryError as error:
        raise UsageError(f"{path}: is a folder, not a config file", hint="name a .yaml file") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}", hint="save the file as UTF-8") from error
    return yaml12.parse(text, str(path))


def _siblings(path: Path) -> list[str]:
    return [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []


def _resolve_extends(node: Node, path: Path, *, may_extend: bool) -> Node:
    if isinstance(node.value, list):
        return Node([_resolve_extends(item, path, may_extend=may_extend) for item in node.value], node.origin)
    if not isinstance(node.value, dict):
        return node
    children = {
        key: _resolve_extends(child, path, may_extend=may_extend)
        for key, child in node.value.items()
        if key != "extends"
    }
    own = Node(children, node.origin)
    base_name = node.value.get("extends")
    if base_name is None:
        return own
    if not may_extend:
        raise UsageError(
            f"{base_name.origin}: extends: a file that is itself extended may not extend another",
            hint="copy the values you need from the second file; one level keeps every value findable",
        )
    if not isinstance(base_name.value, str):
        raise UsageError(f"{base_name.origin}: extends: expected one file name", hint="extends: base.yaml")
    base_path = path.parent / base_name.value
    return _merge(_resolve_extends(_read_one(base_path), base_path, may_extend=False), own)


def _merge(base: Node, own: Node) -> Node:
    if not (isinstance(base.value, dict) and isinstance(own.value, dict)):
        return own
    merged = dict(base.value)
    for key, child in own.value.items():
        merged[key] = _merge(merged[key], child) if key in merged else child
    return Node(merged, own.origin)


def _find(root: Node, parts: Sequence[str]) -> Node | None:
    node: Node | None = root
    for part in parts:
        if node is None:
            return None
        if isinstance(node.value, dict):
            node = node.value.get(part)
        elif isinstance(node.value, list) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
        else:
            return None
    return node


def _leaves(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _leaves(child, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list) and value:
        for index, child in enumerate(value):
            yield from _leaves(child, f"{prefix}.{index}" if prefix else str(index))
    else:
        yield prefix, value


def _follows(detail: Any, details: Sequence[Any]) -> bool:
    """True for 'too few items' where an item itself has a problem: pydantic counts the good ones only."""
    at = detail["loc"]
    return detail["type"] == "too_short" and any(len(d["loc"]) > len(at) and d["loc"][: len(at)] == at for d in details)


def _explain(root: Node, model: type[Settings], detail: Any) -> str:
    """One line for one pydantic error."""
    schema = model.model_json_schema()
    parts, origin, fields = [], root.origin, _fields(schema, schema)
    node: Node | None = root
    here: Any = schema
    for part in detail["loc"]:
        here, is_tag = _step(schema, here, part)
        if is_tag:
            fields = _fields(schema, here)
            continue
        parts.append(str(part))
        below = _find(node, [str(part)]) if node is not None else None
        if below is not None:
            origin = below.origin
        node = below
        if detail["type"] != "extra_forbidden" or part != detail["loc"][-1]:
            fields = _fields(schema, here)
    dotted = ".".join(parts) or "(file)"
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"{origin}: {dotted}: unknown field{_did_you_mean(parts[-1], fields)}"
    if kind == "missing":
        example = here.get("jpfm_example") if isinstance(here, dict) else None
        return f"{origin}: {dotted}: this field is required{f'; add a line such as `{example}`' if example else ''}"
    found = (
        ""
        if isinstance(detail["input"], (dict, list))
        else f", found {json.dumps(detail['input'], ensure_ascii=False, default=str)}"
    )
    choices = re.findall(r"'([^']*)'", str(context.get("expected", context.get("expected_tags", ""))))
    guess = _did_you_mean(str(detail["input"] if kind == "literal_error" else context.get("tag", "")), choices)
    message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "expected").rstrip(".")
    if kind == "value_error":  # a check over several fields: its sentence begins with the field to look at
        named = _find(node, message.split(" ")[0].split(".")) if node is not None else None
        origin = named.origin if named is not None else origin
        return f"{origin}: {'.'.join(parts) + ': ' if parts else ''}{message}"
    return f"{origin}: {dotted}: {message}{found}{guess}"


def _reading_order(problem: str) -> tuple[str, int, str]:
    """Sort key: file, line, text; the command line comes last."""
    place = re.match(r"(.*?):(\d+): ", problem)
    return (place.group(1), int(place.group(2)), problem) if place else ("\uffff", 0, problem)


def _where_fields_are_listed(model: type[Settings]) -> str:
    stage = model.model_fields.get("stage")
    name = str(stage.annotation).split("'")[1] if stage is not None else "NAME"
    return f"`jpfm config schema {name}` lists every field"


def _did_you_mean(word: str, candidates: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, candidates, n=1, cutoff=0.5)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; fields here: {', '.join(candidates)}" if 0 < len(candidates) <= 24 else ""


def _resolve(schema: dict[str, Any], here: Any) -> Any:
    while isinstance(here, dict) and "$ref" in here:
        here = schema["$defs"][here["$ref"].rsplit("/", 1)[-1]]
    return here


def _variants(schema: dict[str, Any], here: Any) -> list[Any]:
    here = _resolve(schema, here)
    if not isinstance(here, dict):
        return []
    options = here.get("anyOf") or here.get("oneOf") or here.get("allOf")
    return [v for option in options for v in _variants(schema, option)] if options else [here]


def _fields(schema: dict[str, Any], here: Any) -> list[str]:
    return [name for variant in _variants(schema, here) for name in variant.get("properties", {})]


def _step(schema: dict[str, Any], here: Any, part: str | int) -> tuple[Any, bool]:
    """Follow one element of a pydantic location; True when it is the tag of a union, not a field."""
    resolved = _resolve(schema, here)
    if isinstance(resolved, dict):
        mapping = resolved.get("discriminator", {}).get("mapping", {})
        if part in mapping:
            return {"$ref": mapping[part]}, True
    for variant in _variants(schema, here):
        if isinstance(part, int):
            if "prefixItems" in variant and part < len(variant["prefixItems"]):
                return variant["prefixItems"][part], False
            if "items" in variant:
                return variant["items"], False
        elif part in variant.get("properties", {}):
            return variant["properties"][part], False
        elif isinstance(variant.get("additionalProperties"), dict):
            return variant["additionalProperties"], False
    return {}, False


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")  # line ends for YAML, or not allowed in it


def _scalar_text(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and isinstance(yaml12.scalar(value), str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            return ".nan" if math.isnan(value) else (".inf" if value > 0 else "-.inf")
        return repr(value)
    text = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def _emit(value: Any, prefix: str, depth: int, origins: dict[str, str], lines: list[str]) -> None:
    pad = "  " * depth
    items: Iterator[tuple[str, Any]]
    if isinstance(value, dict):
        items = ((f"{_scalar_text(str(key))}:", (str(key), child)) for key, child in value.items())
    else:
        items = (("-", (str(index), child)) for index, child in enumerate(value))
    for label, (key, child) in items:
        dotted = f"{prefix}.{key}" if prefix else key
        if isinstance(child, (dict, list)) and child:
            lines.append(f"{pad}{label}")
            _emit(child, dotted, depth + 1, origins, lines)
        else:
            text = (
                _scalar_text(child)
                if not isinstance(child, (dict, list))
                else ("{}" if isinstance(child, dict) else "[]")
            )
            lines.append(f"{pad}{label} {text}  # {origins.get(dotted, DEFAULT)}")
