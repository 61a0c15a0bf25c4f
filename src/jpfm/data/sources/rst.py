"""reStructuredText as plain text: docutils' parser alone, with any Sphinx role and directive understood.

docutils knows its own roles and directives by global tables, and says an error for every other one. Here the parser's
states and its inline parser are subclasses that never look there: a directive shows its content (tables say which ones
show code, a title, or nothing), a role shows its title. Nothing is registered, no file is read (`include`, `raw`,
`csv-table :file:` show nothing) and nothing is printed.

Transforms do not run: footnotes, links and substitutions are resolved as far as text needs it, and a substitution that
repeats itself a million times cannot. A per-document Python parser, 0.9 MB/s on manual pages.
"""

import copy
import csv
import functools
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Literal

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources import prose
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Source
from jpfm.text.decode import decode

_MAX_BYTES = 2 << 20
_MAX_LINES = 50_000  # docutils copies the rest of the lines at every block: 10 s for these at worst
_MAX_MARKS = 2_000  # inline marks in one paragraph; unclosed ones make docutils search to its end again and again
_MAX_SUBSTITUTION = 100  # characters
_WIDE_GRID = re.compile(r"(?:\+[-=]+){200}")  # docutils tries every pair of corners
_CODING = re.compile(r"\.\. -\*- coding:.*\n")
_TITLED_TARGET = re.compile(r"(.+?)\s*<[^<>]*>\Z", re.DOTALL)
_FIRST_WORD = re.compile(r"\A\S+\s*")
_NOTE_NUMBER = re.compile(r" ?\x01")
_MARK = re.compile(r"[*`|_]")

_CODE = frozenset(("code", "code-block", "sourcecode", "prompt", "ipython", "testcode", "testoutput", "doctest"))
_HIDDEN = frozenset(
    ("include", "literalinclude", "raw", "toctree", "index", "contents", "sectnum", "highlight", "meta", "date", "role",
     "default-role", "header", "footer", "title", "currentmodule", "module", "tabularcolumns", "graphviz", "uml",
     "automodule", "autoclass", "autofunction", "automethod", "autodata", "autosummary", "program", "target-notes",
     "testsetup", "testcleanup", "plantuml", "mermaid", "restructuredtext-test-directive")
)  # fmt: skip
_ARGUMENT_IS_TEXT = frozenset(
    ("note", "warning", "tip", "hint", "important", "caution", "danger", "attention", "error", "seealso", "todo",
     "epigraph", "highlights", "pull-quote", "impl-detail", "versionadded", "versionchanged", "versionremoved",
     "deprecated", "parsed-literal", "math", "replace")
)  # fmt: skip
_ARGUMENT_IS_TITLE = frozenset(
    ("admonition", "topic", "sidebar", "rubric", "centered", "tab", "tab-item", "dropdown", "card", "grid-item-card",
     "table", "list-table", "csv-table", "function", "class", "method", "attribute", "data", "exception", "option",
     "envvar", "describe", "object", "confval", "cmdoption", "classmethod", "staticmethod", "decorator", "type",
     "macro", "opcode", "pdbcommand", "2to3fixer", "productionlist")
)  # fmt: skip
_VERSIONS = frozenset(("versionadded", "versionchanged", "versionremoved", "deprecated"))


class RstSource(Source):
    """reStructuredText files (Sphinx too) as plain text; code stays between fences.

    The fields above the text (`:date:`, `:lang:`, `:licence:`, `:author:` ...) become facts of the document.
    """

    format: Literal["rst"]

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a file; its first heading is the title.

        Raises:
            DataError: it is larger than 2 MiB or 50,000 lines, has a grid table of 200 columns, or is nested too deep.
        """
        decoded = decode(member.read(_MAX_BYTES))
        if (lines := decoded.text.count("\n")) > _MAX_LINES:
            raise DataError(f"{member.name}: {lines} lines", hint=f"split it into files of {_MAX_LINES} lines")
        if _WIDE_GRID.search(decoded.text):
            raise DataError(f"{member.name}: a grid table of 200 columns", hint="is it a table? use format: csv")
        try:
            tree = _parse(_CODING.sub("", decoded.text, count=1))
            writer = _Writer(tree)
            text = "\n\n".join(block for block in writer.blocks(tree) if block.strip())
        except RecursionError as error:
            raise DataError(f"{member.name}: nested too deep", hint="is it reStructuredText?") from error
        fields = writer.fields
        facts = {name: fields[name] for name in ("lang", "date") if name in fields}
        licence = fields.get("licence", fields.get("license", ""))
        yield Document(
            identity, text, title=writer.title, licence=licence, encoding=decoded.encoding,
            confidence=decoded.confidence, meta={"fields": fields} if fields else {}, **facts,
        )  # fmt: skip


def _parse(text: str) -> Any:
    """docutils' tree of the text, before any transform."""
    from docutils import utils

    parser = _classes()
    document = utils.new_document("text", copy.copy(_settings()))
    parser.parser(inliner=parser.inliner()).parse(text, document)
    return document


@functools.cache
def _settings() -> Any:
    from docutils.frontend import get_default_settings
    from docutils.parsers.rst import Parser

    settings = get_default_settings(Parser)
    settings.file_insertion_enabled = settings.raw_enabled = False
    settings.report_level = settings.halt_level = 5  # nothing is printed, nothing raised
    settings.warning_stream = False
    settings.line_length_limit = _MAX_BYTES
    settings.smart_quotes = False
    settings.syntax_highlight = "none"
    return settings


@functools.cache
def _classes() -> SimpleNamespace:
    """The parser's classes with our directives and roles. Made once, when the first file is read."""
    from docutils import nodes
    from docutils.parsers.rst import Directive, Parser, directives, states
    from docutils.utils import unescape

    class AnyOption(dict[str, Any]):
        """Every option is known."""

        def __getitem__(self, name: str) -> Any:
            return directives.unchanged

        def __bool__(self) -> bool:
            return True

    class Shown(Directive):
        optional_arguments = 1
        final_argument_whitespace = True
        option_spec = AnyOption()
        has_content = True

        def run(self) -> list[Any]:
            name = self.name.lower().rpartition(":")[2]
            argument = self.arguments[0] if self.arguments else ""
            if name in _HIDDEN:
                return []
            if name in _CODE or name == "productionlist":
                return [nodes.literal_block("", "\n".join(self.content), language=argument)]
            if name == "math":
                return [nodes.math_block("", "\n".join([argument, *self.content]).strip())]
            if name == "unicode":
                return [nodes.Text("".join(_character(word, directives) for word in argument.split()))]
            if name == "replace":
                return list(self.state.inline_text(argument, self.lineno)[0])
            if name == "image":
                return [nodes.inline("", self.options.get("alt", ""))]
            if name in _VERSIONS:
                argument = _FIRST_WORD.sub("", argument)  # 3.8 alone says nothing
            found: list[Any] = []
            if argument and (name in _ARGUMENT_IS_TEXT or name in _ARGUMENT_IS_TITLE or ":" in self.name):
                paragraph = nodes.paragraph("", "")
                paragraph += self.state.inline_text(argument, self.lineno)[0]
                found.append(paragraph)
            if name == "csv-table":
                header = [line for line in self.options.get("header", "").splitlines() if line.strip()]
                return [*found, _csv_rows([*header, *self.content])]
            inside = nodes.container(kind=name)
            self.state.nested_parse(self.content, self.content_offset, inside, match_titles=False)
            return [*found, inside]

    def directive(state: Any, match: Any, **presets: Any) -> Any:
        return state.run_directive(Shown, match, match.group(1), presets)

    explicit = copy.copy(states.Body.explicit)
    explicit.constructs = [
        (directive if method is states.Body.directive else method, pattern)
        for method, pattern in states.Body.explicit.constructs
    ]

    class Mixin:
        nested_sm_cache: list[Any] = []

        def __init__(self, state_machine: Any, debug: bool = False) -> None:
            self.nested_sm_kwargs = {"state_classes": ours, "initial_state": "Body"}
            states.StateWS.__init__(self, state_machine, debug)

    class Inliner(states.Inliner):
        def parse(self, text: str, lineno: int, memo: Any, parent: Any) -> Any:
            if len(_MARK.findall(text)) > _MAX_MARKS:
                return [nodes.Text(unescape(text))], []
            return super().parse(text, lineno, memo, parent)

        def implicit_inline(self, text: str, lineno: int) -> list[Any]:
            return [nodes.Text(text)] if text else []  # addresses need no link, and docutils recurses for each

        def interpreted(self, rawsource: str, text: str, role: str, lineno: int) -> Any:
            return [nodes.inline(rawsource, _shown(unescape(text), rawsource, role))], []

    for name, value in vars(states.Inliner).items():  # it makes its patterns of the strings of its very own class
        if isinstance(value, str) and not name.startswith("__"):
            setattr(Inliner, name, value)

    class OurParser(Parser):
        def __init__(self, inliner: Any) -> None:
            super().__init__(inliner=inliner)
            self.state_classes = ours

    own = {"explicit": explicit, "directive": directive}
    ours = tuple(type(state.__name__, (Mixin, state), own) for state in states.state_classes)
    return SimpleNamespace(parser=OurParser, inliner=Inliner)


def _shown(text: str, source: str, role: str) -> str:
    """What a reader sees of :role:`text`.

    >>> [_shown(text, f"`{text}`", "py:func") for text in ("読み込み <json.load>", "~json.load", "!load")]
    ['読み込み', 'load', 'load']
    """
    name = (role or "").rpartition(":")[2].lower()
    if name.startswith("raw") or name == "index":
        return ""
    if name == "math":
        return f"${source.partition('`')[2].rpartition('`')[0]}$"
    if titled := _TITLED_TARGET.match(text):
        return titled.group(1)
    if text.startswith("~"):
        return text[1:].rpartition(".")[2]
    return text.replace("-->", "→") if name == "menuselection" else text.removeprefix("!" if role else "")


def _character(word: str, directives: Any) -> str:
    try:
        return str(directives.unicode_code(word))
    except ValueError:
        return word


def _csv_rows(lines: list[str]) -> Any:
    from docutils import nodes

    table = nodes.container(kind="rows")
    try:
        table["rows"] = [[cell.strip() for cell in cells] for cells in csv.reader(lines, skipinitialspace=True)]
    except csv.Error:
        table["rows"] = [[line] for line in lines]
    return table


class _Writer:
    """Walks a tree and gives its text in blocks."""

    def __init__(self, tree: Any) -> None:
        from docutils import nodes

        self.nodes = nodes
        self.title = ""
        self.fields: dict[str, str] = {}
        self.substitutions = {
            name: text for name, node in tree.substitution_defs.items()
            if len(text := self.text(node)) <= _MAX_SUBSTITUTION
        }  # fmt: skip
        self._started = False

    def text(self, node: Any) -> str:
        """The words inside a paragraph, on one line."""
        return prose.join_lines(_NOTE_NUMBER.sub("", self._words(node)))

    def _words(self, node: Any) -> str:
        nodes = self.nodes
        if isinstance(node, nodes.Text):
            return str(node.astext())
        if isinstance(node, nodes.substitution_reference):
            name = node.get("refname", "")
            known = getattr(self, "substitutions", {})
            return known.get(name) or known.get(name.lower()) or str(node.astext())
        if isinstance(node, nodes.footnote_reference):
            return "\x01"
        if isinstance(node, nodes.system_message | nodes.raw):
            return ""
        if isinstance(node, nodes.citation_reference):
            return f"[{node.astext()}]"
        return "".join(self._words(child) for child in node.children)

    def blocks(self, node: Any) -> Iterator[str]:
        """Text of everything below a node, a block at a time; lists and tables are one block."""
        nodes = self.nodes
        for child in node.children:
            if isinstance(child, nodes.system_message) and "Malformed table" in child.astext():
                yield from (prose.fence(block.astext()) for block in child.findall(nodes.literal_block))
            if isinstance(child, nodes.Invisible | nodes.system_message | nodes.docinfo | nodes.raw | nodes.label):
                continue
            if isinstance(child, nodes.title | nodes.subtitle):
                text = self.text(child)
                self.title = self.title or text
                yield text
            elif isinstance(child, nodes.literal_block | nodes.doctest_block):
                yield prose.fence(child.astext(), child.get("language", ""))
            elif isinstance(child, nodes.math_block):
                yield f"$$\n{child.astext()}\n$$"
            elif isinstance(child, nodes.field_list) and not self._started:
                self.fields |= dict(self._fields(child))
            elif isinstance(child, nodes.line_block):
                yield "\n".join(self._lines(child))
            elif isinstance(child, nodes.Sequential | nodes.table) or child.get("kind") in ("list-table", "rows"):
                self._started = True
                yield "\n".join(line for line in self._lines(child) if line.strip())
            elif isinstance(child, nodes.TextElement | nodes.Inline):
                self._started = True
                yield self.text(child)
            elif isinstance(child, nodes.citation):
                yield f"[{child[0].astext()}] " + "\n".join(self.blocks(child))
            else:
                yield from self.blocks(child)

    def _fields(self, field_list: Any) -> Iterator[tuple[str, str]]:
        for field in field_list.children:
            yield field[0].astext().lower(), " ".join(self.blocks(field[1]))

    def _lines(self, node: Any) -> Iterator[str]:
        """Lines of a list, a table or a block of lines."""
        nodes = self.nodes
        if isinstance(node, nodes.table):
            for row in node.findall(nodes.row):
                yield prose.row([" ".join(self.blocks(entry)) for entry in row.children])
        elif node.get("kind") == "rows":
            yield from (prose.row(cells) for cells in node["rows"])
        elif node.get("kind") == "list-table":
            for item in (item for rows in node.children for item in rows.children):
                cells = item.children[0].children if item.children else []
                yield prose.row([" ".join(self.blocks(cell)) for cell in cells])
        elif isinstance(node, nodes.line_block):
            for child in node.children:
                yield from self._lines(child) if isinstance(child, nodes.line_block) else [self.text(child)]
        elif isinstance(node, nodes.field_list):
            yield from (f"{name}: {text}" for name, text in self._fields(node))
        elif isinstance(node, nodes.definition_list | nodes.option_list):
            for item in node.children:
                *head, body = item.children
                options = [option.astext().replace("\n\n", " ") for group in head for option in group.children]
                words = ", ".join(options) if isinstance(node, nodes.option_list) else " : ".join(map(self.text, head))
                yield words
                yield from self.blocks(body)
        else:
            for position, item in enumerate(node.children):
                first, *rest = [*self.blocks(item)] or [""]
                yield _number(node, position) + first
                yield from rest


def _number(node: Any, position: int) -> str:
    kind = node.get("enumtype")
    if kind is None:
        return ""
    number = node.get("start", 1) + position
    letter = chr(96 + (number - 1) % 26 + 1)
    word = letter.upper() if kind == "upperalpha" else letter if kind == "loweralpha" else str(number)
    return f"{node.get('prefix', '')}{word}{node.get('suffix', '.')} "
