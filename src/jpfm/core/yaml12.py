"""YAML 1.2 text to plain values that remember their line.

    node = parse(Path("a.yaml").read_text(), "a.yaml")
    node.plain()                      # {"lr": 0.0003, "country": "no"}

PyYAML scans and parses; the scalars are resolved here with the YAML 1.2 core schema, because PyYAML's own resolver is
YAML 1.1 (`no` is False, `12:30` is 750, `3e-4` is a string). Duplicate keys and merge keys (`<<`) are refused.
"""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from jpfm.core.errors import UsageError

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCT = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")
_MAX_NODES = 100_000


@dataclass(frozen=True)
class Node:
    """A value and where it was written. `value` is a scalar, a dict[str, Node] or a list[Node]."""

    value: Any
    origin: str

    def plain(self) -> Any:
        """The value without origins."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value


def scalar(text: str) -> Any:
    """Resolve a plain scalar with the YAML 1.2 core schema.

    >>> [scalar(s) for s in ("3e-4", "no", "12:30", "0x1F", "~", "true", "007")]
    [0.0003, 'no', '12:30', 31, None, True, 7]
    """
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text)
    if _OCT.fullmatch(text):
        return int(text[2:], 8)
    if _HEX.fullmatch(text):
        return int(text[2:], 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    if match := _INF.fullmatch(text):
        return float(match.group(1) + "inf")
    if _NAN.fullmatch(text):
        return float("nan")
    return text


def parse(text: str, name: str, *, first_line: int = 1) -> Node:
    """Parse one YAML document.

    Raises:
        UsageError: bad syntax, a duplicate key, a tag, a merge key, or a document that aliases blow up.
    """
    try:
        for token in yaml.scan(text, Loader=yaml.BaseLoader):
            if isinstance(token, yaml.TagToken):
                where = f"{name}:{token.start_mark.line + first_line}"
                raise UsageError(f"{where}: tags (!name) are not read", hint="write the plain value; quote a string")
        root = yaml.compose(text, Loader=yaml.BaseLoader)
        return Node({}, f"{name}:{first_line}") if root is None else _Converter(name, first_line).convert(root)
    except RecursionError as error:
        raise UsageError(
            f"{name}: values nested too deep, or an alias inside itself", hint="write a flatter file"
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + first_line if mark else first_line
        raise UsageError(
            f"{name}:{line}: not valid YAML: {error.problem}", hint="mend the syntax on that line"
        ) from error
    except yaml.YAMLError as error:
        raise UsageError(f"{name}: not valid YAML: {error}", hint="save the file as plain UTF-8 text") from error


class _Converter:
    def __init__(self, name: str, first_line: int) -> None:
        self.name, self.first_line, self.seen = name, first_line, 0

    def fail(self, node: yaml.Node, what: str, hint: str) -> UsageError:
        return UsageError(f"{self.name}:{node.start_mark.line + self.first_line}: {what}", hint=hint)

    def convert(self, node: yaml.Node) -> Node:
        self.seen += 1
        if self.seen > _MAX_NODES:
            raise self.fail(node, f"more than {_MAX_NODES} values", "aliases repeat too much; write a smaller file")
        origin = f"{self.name}:{node.start_mark.line + self.first_line}"
        if isinstance(node, yaml.ScalarNode):
            if node.style is not None:
                return Node(node.value, origin)
            try:
                return Node(scalar(node.value), origin)
            except ValueError as error:  # Python reads integers of at most 4300 digits
                raise self.fail(node, "a number of too many digits", "quote it if it is a string") from error
        if isinstance(node, yaml.SequenceNode):
            return Node([self.convert(child) for child in node.value], origin)
        children: dict[str, Node] = {}
        lines: dict[str, str] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.fail(key_node, "a key must be one word", "quote the key or write it on one line")
            key = key_node.value
            if key == "<<" and key_node.style is None:
                raise self.fail(key_node, "merge keys (<<) are not YAML 1.2", "use `extends: FILE`")
            if key in children:
                raise self.fail(key_node, f"key '{key}' is written twice (first at {lines[key]})", "keep one of them")
            lines[key] = f"{self.name}:{key_node.start_mark.line + self.first_line}"
            child = self.convert(value_node)
            children[key] = Node(child.value, lines[key])
        return Node(children, origin)
