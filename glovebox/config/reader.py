"""Reads a YAML tree into dataclasses, and collects all that is wrong with it.

It works by the type hints and field metadata of any dataclass, in our own few lines rather
than with pydantic: a build that has nothing to do must not pay for its import, and the board,
which checks its settings by the same metadata, does not have it.
A value with a mistake is replaced by its default and reading goes on, so nothing hides behind it.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, cast

from glovebox.config.problem import Problem, WrongValueError
from glovebox.config.rules import Place, nearest, variable
from glovebox.config.schema import Config, Secret
from glovebox.config.yamltree import Kind, Node, Scalar, parse
from telematics.settings import TogetherError

SET = "--set"
DEFAULT = "default"

_NAMES: Mapping[object, str] = {
    str: "text",
    Secret: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
_T = TypeVar("_T")
_WRONG = object()
_QUOTE_IT = "put it in quotes"
_MAX_SHOWN = 60
_MAX_UNKNOWN = 20


@dataclass(kw_only=True)
class Reader:
    """Reads trees into dataclasses, and collects what it finds wrong on the way."""

    place: Place
    problems: list[Problem] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)  # path -> file
    broken: bool = False  # parts of a file are lost, so "it is missing" cannot be said

    def parse_file(self, path: Path) -> Node:
        """Read one file into a tree."""
        try:
            data = path.read_bytes()
        except OSError as error:
            what = (error.strerror or "cannot be read").lower()
            cure = "start from the image.yaml of the checkout" if not path.exists() else ""
            self.problems.append(Problem(path="", what=what, cure=cure, source=str(path)))
            self.broken = True
            return Node(value={}, source=path.name)
        return self.parse_text(data, source=path.name)

    def parse_text(self, data: bytes, *, source: str) -> Node:
        """Read the bytes of a file into a tree."""
        return self._parse(data, source=source, numbered=True)

    def parse_override(self, override: str) -> Node:
        """Read `a.b=value` into a tree of that one value."""
        dotted, equals, text = override.partition("=")
        names = dotted.strip().split(".")
        if not equals or not all(names):
            cure = f"write {SET} key=value, or {SET} section.key=value"
            what = "a value is given without its key"
            self.problems.append(Problem(path="", what=what, cure=cure, source=SET))
            return Node(value={}, source=SET)
        node = Node(value=Scalar(text="", kind=Kind.NULL), source=SET)
        if text.strip():
            node = self._parse(text, source=SET, numbered=False)
        if self.broken and node.value == {}:
            return node
        for name in reversed(names):
            node = Node(value={name: node}, source=SET)
        return node

    def _parse(self, data: bytes | str, *, source: str, numbered: bool) -> Node:
        parsed = parse(data, source=source, numbered=numbered)
        self.problems.extend(parsed.problems)
        self.broken = self.broken or parsed.broken
        return parsed.node

    def read(self, node: Node, kind: type[_T]) -> _T | None:
        """Read a whole tree; None when a value without a default is wrong."""
        value = self._value("", kind, node, {})
        return None if value is _WRONG else cast("_T", value)

    def _value(self, path: str, hint: object, node: Node, meta: Mapping[str, Any]) -> object:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            if node.is_null or _text(node) == meta.get("none", node):
                self.origins[path] = node.origin
                return None
            inner = next(argument for argument in arguments if argument is not types.NoneType)
            return self._value(path, inner, node, meta)
        if isinstance(hint, type) and is_dataclass(hint):
            return self._section(path, hint, node)
        if origin is tuple:
            return self._list(path, arguments[0], node, meta)
        if origin is Mapping:
            return self._variables(path, node)
        return self._scalar(path, cast("type", hint), node, meta)

    def _section(self, path: str, kind: type, node: Node) -> object:
        if node.is_null:
            node = Node(value={}, source=node.source, line=node.line)
        alone = [one for one in dataclasses.fields(kind) if one.metadata.get("alone")]
        if alone and isinstance(node.value, Scalar):
            # One word stands for the section: what is wrong with it is told of the section's place.
            hint = typing.get_type_hints(kind)[alone[0].name]
            value = self._value(path, hint, node, alone[0].metadata)
            return _WRONG if value is _WRONG else kind(**{alone[0].name: value})
        if not isinstance(node.value, dict):
            shown = _show(node, hidden=_holds_secret(kind))
            keys_ = ", ".join(known.name for known in dataclasses.fields(kind))
            self._note(path, node, f"{shown} is not a section", f"it has the keys {keys_}")
            return _WRONG
        hints = typing.get_type_hints(kind)
        known = {one.name: one for one in dataclasses.fields(kind)}
        unknown = [name for name in node.value if name not in known]
        for name in unknown[:_MAX_UNKNOWN]:
            self._unknown(path, name, node.value[name], kind)
        if len(unknown) > _MAX_UNKNOWN:
            # Finding what each was meant to be takes a small board long, and helps nobody.
            below = node.value[unknown[_MAX_UNKNOWN]]
            count = len(unknown) - _MAX_UNKNOWN
            self._note(path, below, f"{count} more keys are not known", "start from the example")
        values = {}
        for name, one in known.items():
            given = node.value.get(name)
            values[name] = self._field(_join(path, name), one, hints[name], given, node)
            self._check_needs(path, one, node)
        if _WRONG in values.values():
            return _WRONG
        try:
            return kind(**values)
        except TogetherError as error:
            given = node.value.get(error.field, node)
            what = f"{_show(given, hidden=False)} {error.what}"
            self._note(_join(path, error.field), given, what, error.cure)
            return _WRONG
        except ValueError as error:
            what = "these values do not go together" if _holds_secret(kind) else str(error)
            self._note(path, node, what, "")
            return _WRONG

    def _field(
        self, path: str, one: Field[Any], hint: object, given: Node | None, parent: Node
    ) -> object:
        """Read a field; where that fails fall back on its default and go on."""
        is_section = isinstance(hint, type) and is_dataclass(hint)
        is_list = typing.get_origin(hint) in (tuple, Mapping)
        if given is None or (is_list and given.is_null):
            if is_section:
                return self._value(path, hint, Node(value={}, source=DEFAULT), one.metadata)
            value = _default(one)
            if value is _WRONG:
                self._note(path, parent, "is missing", one.metadata.get("help", ""))
            self.origins[path] = DEFAULT
            return value
        value = self._value(path, hint, given, one.metadata)
        return _default(one) if value is _WRONG else value

    def _check_needs(self, path: str, one: Field[Any], node: Node) -> None:
        values = cast("dict[str, Node]", node.value)
        given = values.get(one.name)
        if self.broken or "needs" not in one.metadata or given is None or not given.value:
            return
        needed, reason = one.metadata["needs"]
        if given.is_null or (needed in values and not values[needed].is_null):
            return
        self._note(f"{path}.{needed}", given, f"is missing, {path}.{one.name} needs it", reason)

    def _list(self, path: str, hint: object, node: Node, meta: Mapping[str, Any]) -> object:
        self.origins[path] = node.origin
        if not isinstance(node.value, tuple):
            shown = _show(node, hidden=bool(meta.get("hidden")) or _holds_secret(hint))
            example = path.rpartition(".")[2]
            self._note(path, node, f"{shown} is not a list", f"write {example}: [first, second]")
            return _WRONG
        items = [
            self._value(f"{path}[{index}]", hint, item, meta)
            for index, item in enumerate(node.value)
        ]
        return tuple(item for item in items if item is not _WRONG)

    def _variables(self, path: str, node: Node) -> object:
        if not isinstance(node.value, dict):
            self._note(path, node, "this is not a list of variables", "write NAME: value below it")
            return _WRONG
        self.origins[path] = node.origin
        found = {}
        for name, value in node.value.items():
            below = f"{path}.{name}"
            try:
                variable(name)
            except WrongValueError as wrong:
                self._note(path, value, f"{_quote(name)} {wrong.what}", wrong.cure)
            found[name] = self._scalar(below, str, value, {"hidden": True})
        return found

    def _scalar(self, path: str, kind: type, node: Node, meta: Mapping[str, Any]) -> object:
        self.origins[path] = node.origin
        secret = kind is Secret or bool(meta.get("secret"))
        if secret:
            self.secrets[path] = node.source
        try:
            if not isinstance(node.value, Scalar):
                what = f"is not {_NAMES.get(kind, 'one word')}"
                raise WrongValueError(what)  # noqa: TRY301  one place adds path and value
            value = self._checked(kind, node.value, meta, node)
        except OSError as error:
            # Longer than any file's name, for one.
            said = (error.strerror or str(error)).lower()
            self._note(path, node, f"it cannot be looked for: {said}", "write a shorter value")
            return _WRONG
        except WrongValueError as wrong:
            hidden = secret or bool(meta.get("hidden"))
            shown = _show(node, hidden=hidden)
            cure = wrong.cure
            if cure == _QUOTE_IT and not hidden and not shown.startswith(("'", '"')):
                cure = f'{cure}: "{shown}"'
            self._note(path, node, f"{shown} {wrong.what}", cure)
            return _WRONG
        return value

    def _checked(self, kind: type, scalar: Scalar, meta: Mapping[str, Any], node: Node) -> object:
        """Turn a scalar into its type, then keep to the field's rules."""
        rule: Callable[[str], object] | None = meta.get("rule")
        value: object
        if kind is int and rule is not None and scalar.kind is not Kind.NULL:
            value = rule(scalar.text)
        else:
            value = _convert(kind, scalar)
            if isinstance(value, str) and not isinstance(value, StrEnum):
                if "resolve" in meta:
                    value = meta["resolve"](value, self.place_of(node))
                elif rule is not None:
                    value = rule(value)
                _check_text(cast("str", value), meta)
        if isinstance(value, int | float) and not isinstance(value, bool):
            _check_bounds(value, meta)
        return Secret(cast("str", value)) if kind is Secret else value

    def place_of(self, node: Node) -> Place:
        """Look paths up where their author stands: beside the file, or in the shell's folder."""
        if node.source == SET:
            return dataclasses.replace(self.place, folder=Path.cwd())
        return self.place

    def _unknown(self, path: str, name: str, node: Node, kind: type) -> None:
        """Say that a key does not exist; what is below it stays unsaid, it could be a secret."""
        known = [one.name for one in dataclasses.fields(kind)]
        elsewhere = _places(Config).get(name)
        cure = nearest(name, known, otherwise=f"it has {', '.join(known)}")
        if cure.startswith("it has") and elsewhere:
            cure = f"it belongs in {elsewhere}"
        shown = name
        if node.is_null and name.partition(":")[0] in known:
            shown, cure = f"{name.partition(':')[0]}:…", "put a space after the colon"
        elif node.is_null and cure.startswith("it has"):
            shown = "…"  # it may be a value whose key went missing
        elif "[" in name:
            cure = f"a list is given whole: {name.partition('[')[0]}=[first, second]"
        below = _join(path, shown)
        self._note(below if below.isprintable() else repr(below), node, "is no known key", cure)

    def _note(self, path: str, node: Node, what: str, cure: str) -> None:
        found = Problem(path=path, what=what, cure=cure, source=node.source, line=node.line)
        self.problems.append(found)


def _convert(kind: type, scalar: Scalar) -> object:
    """Turn text into a bool, number, choice or text, as YAML and the eye both read it."""
    text = scalar.text
    if scalar.kind is Kind.NULL:
        what = "is empty"
        raise WrongValueError(what, "give a value, or remove the line")
    if issubclass(kind, StrEnum):
        if text not in list(kind):
            what = f"is not one of {', '.join(kind)}"
            raise WrongValueError(what, nearest(text, [str(member) for member in kind]))
        return kind(text)
    if kind is bool:
        if scalar.kind is not Kind.BOOL:
            what = "is not true or false"
            raise WrongValueError(what, "write true or false, without quotes")
        return text.lower() in {"true", "yes", "on"}
    if kind in (int, float):
        return _number(kind, scalar)
    if scalar.kind is not Kind.TEXT:
        what = f"is read by YAML as {scalar.kind}, not as text"
        raise WrongValueError(what, _QUOTE_IT)
    text = text.rstrip("\n")  # a block of text ends with one
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", text):
        what = "holds a control character, half a character or a second line"
        raise WrongValueError(what, "remove it")
    return text


def _number(kind: type, scalar: Scalar) -> int | float:
    """Read plain decimals only: YAML takes 017 for 15 and 1:30 for 90."""
    shape = r"[-+]?(0|[1-9][0-9]{0,17})" + (r"(\.[0-9]{1,17})?" if kind is float else "")
    if scalar.quoted or not re.fullmatch(shape, scalar.text):
        what = f"is not {_NAMES[kind]}"
        cure = "take the quotes away" if scalar.quoted else "write it in plain decimal digits"
        raise WrongValueError(what, cure)
    return int(scalar.text) if kind is int else float(scalar.text)


def _check_bounds(value: float, meta: Mapping[str, Any]) -> None:
    low, high = meta.get("minimum", -math.inf), meta.get("maximum", math.inf)
    unit = meta.get("unit", "")
    if value < low:
        what = "is too small"
        raise WrongValueError(what, f"at least {amount(low, unit)}")
    if value > high:
        what = "is too large"
        raise WrongValueError(what, f"at most {amount(high, unit)}")


def _check_text(value: str, meta: Mapping[str, Any]) -> None:
    if "pattern" in meta and not re.fullmatch(meta["pattern"], value):
        what = f"does not have the shape {meta['pattern']}"
        raise WrongValueError(what, meta.get("help", ""))
    wrong = meta["check"](value) if "check" in meta else None
    if wrong is not None:
        raise WrongValueError(*wrong)


def amount(value: float, unit: str) -> str:
    """Write a number with its unit, sizes as the configuration has them."""
    if unit == "bytes":
        for name, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value and value % size == 0:
                return f"{value // size:.0f}{name}"
    return f"{value} {unit}".strip()


def _default(one: Field[Any]) -> object:
    if one.default is not MISSING:
        return one.default
    return one.default_factory() if one.default_factory is not MISSING else _WRONG


def _holds_secret(hint: object) -> bool:
    """Tell whether a secret can stand anywhere in a value of this type."""
    if hint is Secret:
        return True
    if isinstance(hint, type) and is_dataclass(hint):
        marked = any(
            one.metadata.get("secret") or one.metadata.get("hidden")
            for one in dataclasses.fields(hint)
        )
        return marked or any(map(_holds_secret, typing.get_type_hints(hint).values()))
    return any(map(_holds_secret, typing.get_args(hint)))


def _places(kind: type, path: str = "") -> dict[str, str]:
    """Map each key to the section it stands in."""
    found: dict[str, str] = {}
    for name, hint in typing.get_type_hints(kind).items():
        found.setdefault(name, path or "the top level")
        for inner in (hint, *typing.get_args(hint)):
            if isinstance(inner, type) and is_dataclass(inner):
                found = _places(inner, _join(path, name)) | found
    return found


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _text(node: Node) -> str | None:
    return node.value.text if isinstance(node.value, Scalar) else None


def _quote(text: str) -> str:
    """Show text on one line, cut where it is long, without a login in an address."""
    text = re.sub(r"//[^/@]*@", "//…@", text)
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")


def _show(node: Node, *, hidden: bool) -> str:
    """Name a value in a message; one that is or could be a secret only by its kind."""
    if isinstance(node.value, dict):
        return "a section"
    if isinstance(node.value, tuple):
        return "a list"
    if node.value.kind is Kind.NULL:
        return "this"
    if hidden:
        return "the value (not shown)"
    text = node.value.text
    bare = node.value.kind in {Kind.BOOL, Kind.INT, Kind.FLOAT} and not node.value.quoted
    return text if bare and re.fullmatch(r"[\w.:+-]{1,40}", text) else _quote(text)
