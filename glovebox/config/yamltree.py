"""YAML as a tree that still knows file and line of each value, and how it was written.

The values stay text with YAML's reading of it beside: `country: NO` is the text "NO" that YAML
takes for false, so the reader above can tell what its author meant.
No text of the file enters a message here: it could be a passphrase with a quote missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

import yaml

from glovebox.config.problem import Problem

_TAG = "tag:yaml.org,2002:"

# What PyYAML says, by a piece of it, and what a person can do about it.
_SENTENCES = {
    "could not find expected ':'": ("a key has no colon and space after it", "write key: value"),
    "mapping values are not allowed": (
        "a colon too many stands here, or the line above lacks its own",
        "put the value in quotes, write key: value, and line keys up with their neighbours",
    ),
    "'\\t' that cannot start": ("a tab stands where spaces belong", "indent with spaces"),
    "cannot start any token": (
        "a value starts with a character that YAML keeps for itself",
        "put the value in quotes",
    ),
    "while scanning a quoted scalar": ("a quote is opened and not closed", "close the quote"),
    "expected ',' or": ("a bracket is opened and not closed", "close it, or add the comma"),
    "expected <block end>": ("this line is indented unlike its neighbours", "line it up with them"),
    "found unknown escape": ("an unknown escape stands in double quotes", "use single quotes"),
    "expected a single document": ("a second document starts here", "remove the line ---"),
    "alias": ("anchors and aliases are not used here", "write the value out, or quote the * or &"),
}


# No key of ours needs a tenth of it.
DEEPEST = 40
_UNKNOWN = ("this is not YAML", "compare the line with docs/configuration.md")


class Kind(StrEnum):
    """What YAML takes a scalar for."""

    NULL = "nothing"
    BOOL = "true or false"
    INT = "a number"
    FLOAT = "a decimal number"
    TEXT = "text"
    OTHER = "a date or another special value"


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """A value as it was written, and what YAML takes it for."""

    text: str
    kind: Kind
    quoted: bool = False


@dataclass(frozen=True, kw_only=True)
class Node:
    """A value and where it was given."""

    value: Scalar | tuple[Node, ...] | dict[str, Node]
    source: str
    line: int = 0

    @property
    def origin(self) -> str:
        """Give the file and line, or the source alone where it has no lines."""
        return f"{self.source}:{self.line}" if self.line else self.source

    @property
    def is_null(self) -> bool:
        """Tell an empty value."""
        return isinstance(self.value, Scalar) and self.value.kind is Kind.NULL


@dataclass(kw_only=True)
class Parsed:
    """What came out of a text, and what was wrong with it; `broken` means that parts are lost."""

    node: Node
    problems: list[Problem] = field(default_factory=list)
    broken: bool = False


class _AliasError(yaml.YAMLError):
    """An alias was met: refused, since it can name its own parent or multiply without end."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


class _Loader(yaml.SafeLoader):
    """PyYAML's, which for each open bracket looks at all the others: so they are counted."""

    def add_indent(self, column: int) -> bool:
        if len(self.indents) > DEEPEST:
            raise RecursionError
        return bool(super().add_indent(column))

    def fetch_flow_collection_start(self, TokenClass: object) -> None:  # noqa: N803  its name there
        if self.flow_level > DEEPEST:
            raise RecursionError
        super().fetch_flow_collection_start(TokenClass)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
            raise _AliasError(event.start_mark.line + 1)
        return super().compose_node(parent, index)


def parse(data: str | bytes, *, source: str, numbered: bool = True) -> Parsed:
    """Read one YAML document; mistakes of its writing are returned, not raised."""
    parsed = Parsed(node=Node(value={}, source=source))
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        root = _Loader(text).get_single_node()
        if root is not None:
            convert = _Converter(source=source, numbered=numbered, problems=parsed.problems)
            parsed.node = convert.node(root, root)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        what, cure, line, column = _plain(error, data)
        problem = Problem(path="", what=what, cure=cure, source=source)
        if numbered:
            problem = replace(problem, line=line, column=column)
        parsed.problems.append(problem)
        parsed.broken = True
    return parsed


def merge(below: Node, above: Node) -> Node:
    """Lay one tree over another: mappings merge, everything else replaces."""
    if isinstance(below.value, dict) and above.is_null:
        return below  # a section whose lines are all commented out says nothing
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    merged = dict(below.value)
    for key, node in above.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return Node(value=merged, source=above.source, line=above.line)


@dataclass(kw_only=True)
class _Converter:
    source: str
    numbered: bool
    problems: list[Problem]

    def node(self, raw: yaml.Node, at: yaml.Node) -> Node:
        """Convert a node; its line is that of its key."""
        line = at.start_mark.line + 1 if self.numbered else 0
        value: Scalar | tuple[Node, ...] | dict[str, Node]
        if isinstance(raw, yaml.MappingNode):
            value = self._mapping(raw)
        elif isinstance(raw, yaml.SequenceNode):
            value = tuple(self.node(item, item) for item in raw.value)
        else:
            value = self._scalar(raw)
        return Node(value=value, source=self.source, line=line)

    def _mapping(self, raw: yaml.MappingNode) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, value in raw.value:
            if not isinstance(key, yaml.ScalarNode):
                self._note(key, "a key is a list or a mapping", "a key is one word")
                continue
            name = self._scalar(key).text
            if name in found:
                self._note(
                    key,
                    f"a key stands twice, first in line {found[name].line}",
                    "keep one of the two",
                )
            found[name] = self.node(value, key)
        return found

    def _scalar(self, raw: yaml.Node) -> Scalar:
        text = raw.value if isinstance(raw.value, str) else ""
        kinds = {"null": Kind.NULL, "bool": Kind.BOOL, "int": Kind.INT, "float": Kind.FLOAT}
        kinds["str"] = Kind.TEXT
        kind = kinds.get(raw.tag.removeprefix(_TAG), Kind.OTHER)
        quoted = isinstance(raw, yaml.ScalarNode) and raw.style in {"'", '"'}
        return Scalar(text=text, kind=kind, quoted=quoted)

    def _note(self, at: yaml.Node, what: str, cure: str) -> None:
        line = at.start_mark.line + 1 if self.numbered else 0
        where = Problem(path="", what=what, cure=cure, source=self.source, line=line)
        self.problems.append(where)


def _plain(error: Exception, data: str | bytes) -> tuple[str, str, int, int]:
    """Say in plain words what the parser stumbled over, the cure, and the line and column."""
    if isinstance(error, UnicodeDecodeError):
        line = error.object[: error.start].count(b"\n") + 1
        return "a character is not UTF-8", "save the file as UTF-8", line, 0
    if isinstance(error, yaml.reader.ReaderError):
        text = data if isinstance(data, str) else data.decode("utf-8-sig", errors="replace")
        line = text[: error.position].count("\n") + 1
        return "a control character stands here", "remove it", line, 0
    if isinstance(error, _AliasError):
        return *_SENTENCES["alias"], error.line, 0
    if isinstance(error, RecursionError):
        return (
            "sections are nested too deep",
            "no key needs more than four levels",
            0,
            0,
        )
    if isinstance(error, yaml.MarkedYAMLError):
        said = f"{error.context} {error.problem}"
        found = (told for piece, told in _SENTENCES.items() if piece in said)
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        return *next(found, _UNKNOWN), line, column
    return *_UNKNOWN, 0, 0
