"""A YAML document with the line of every key: YAML 1.2's scalars, duplicate keys refused, sizes bounded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[str | int, ...]
MAX_CHARACTERS = 1_000_000
MAX_NODES = 20_000  # counted with every alias written out, so that nested anchors cannot explode
MAX_DEPTH = 50  # met by an anchor that holds itself, too
MAX_DIGITS = 100


@dataclass(frozen=True)
class Problem:
    """One mistake: where it stands (1-based line, or None), which key, and what is wrong."""

    line: int | None
    path: Path
    text: str


class DocumentError(Exception):
    """The text is no usable YAML document; `problems` says why."""

    def __init__(self, problems: list[Problem]):
        self.problems = problems
        super().__init__("; ".join(p.text for p in problems))


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2: `3e-4` is a number, `no` and `on` are words; keys are text."""

    nodes = depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node, refused here where there are too many or they nest too deep: composing all would take long."""
        self.nodes, self.depth = self.nodes + 1, self.depth + 1
        _check_size(self.nodes, self.depth, self.peek_event().start_mark.line + 1)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping with its keys as written: a class may be called `1` or `null`."""
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}


_TAG = "tag:yaml.org,2002:"
_SCALARS = {
    f"{_TAG}bool": r"true|True|TRUE|false|False|FALSE",
    f"{_TAG}null": r"~|null|Null|NULL|",
    f"{_TAG}int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    f"{_TAG}float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    ),
    f"{_TAG}str": r"(?s:.*)",
}
_FIRST = {"bool": "tTfF", "null": ["~", "n", "N", ""], "int": "-+0123456789", "float": "-+.0123456789"}
_Loader.yaml_implicit_resolvers = {}
for _kind, _first in _FIRST.items():
    _pattern = re.compile(rf"(?:{_SCALARS[_TAG + _kind]})\Z")
    _Loader.add_implicit_resolver(_TAG + _kind, _pattern, list(_first))
_Loader.add_constructor(f"{_TAG}int", lambda loader, node: _integer(str(node.value)))


def _integer(text: str) -> int:
    return int(text, 0) if text[:2] in ("0x", "0o") else int(text)


def parse(text: str) -> tuple[Any, dict[Path, int]]:
    """The values of a YAML text, and the 1-based line on which each key or list item stands.

    Raises:
        DocumentError: no YAML, several documents, a tag that asks for an object, a key given twice, or too large.
    """
    if len(text) > MAX_CHARACTERS:
        raise DocumentError([Problem(None, (), f"{len(text)} characters; a recipe has at most {MAX_CHARACTERS}")])
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise DocumentError([Problem(line, (), f"no valid YAML: character #x{error.character:04x}")]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ": ".join(filter(None, (error.context, error.problem)))
        raise DocumentError([Problem(mark.line + 1 if mark else None, (), f"no valid YAML: {what}")]) from None
    except (ValueError, OverflowError):  # "\UFFFFFFFF"
        raise DocumentError(
            [Problem(loader.line + 1 if loader else None, (), "no valid YAML: an escape that names no character")]
        ) from None
    if node is None:
        return None, {}
    lines: dict[Path, int] = {}
    problems: list[Problem] = []
    _walk(node, (), lines, problems, [0])
    if problems:
        raise DocumentError(problems)
    return loader.construct_document(node), lines


def _check_size(nodes: int, depth: int, line: int) -> None:
    if nodes > MAX_NODES:
        text = f"more than {MAX_NODES} values, those of anchors counted wherever they are used"
        raise DocumentError([Problem(line, (), text)])
    if depth > MAX_DEPTH:
        raise DocumentError([Problem(line, (), f"nested deeper than {MAX_DEPTH} levels")])


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int], problems: list[Problem], count: list[int]) -> None:
    """Note the line of everything below `node`, and every problem."""
    count[0] += 1
    at = node.start_mark.line + 1
    _check_size(count[0], len(path) + 1, at)
    if fault := _fault(node):
        problems.append(Problem(at, path, fault))
    elif isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            fault = _fault(key) if isinstance(key, yaml.ScalarNode) else "a key must be a plain word"
            if fault:
                problems.append(Problem(line, path, fault))
                continue
            here = (*path, key.value)
            if key.value in first:
                problems.append(Problem(line, here, f"given twice (first on line {first[key.value]}); keep one"))
            first.setdefault(key.value, line)
            lines[here] = line
            _walk(value, here, lines, problems, count)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            lines[(*path, i)] = value.start_mark.line + 1
            _walk(value, (*path, i), lines, problems, count)


def _fault(node: yaml.Node) -> str | None:
    """What keeps a node from being a plain value, or None."""
    if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
        if not re.fullmatch(_SCALARS[node.tag], node.value):
            return f"is {node.value!r:.80} with the tag {node.tag}, which it does not fit"
        if node.tag == f"{_TAG}int" and len(node.value) > MAX_DIGITS:
            return f"is a number of {len(node.value)} digits; at most {MAX_DIGITS} are read"
        if any("\ud800" <= c <= "\udfff" for c in node.value):
            return "holds half of a character (a surrogate); write the character itself"
    elif node.tag != _TAG + ("map" if isinstance(node, yaml.MappingNode) else "seq"):
        return f"tag {node.tag} is refused; use a plain value"
    return None


def dump(value: Any) -> str:
    """A value as YAML text, keys in their order; `parse(dump(x))` gives `x` again."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads: a string that would read as a number or truth is quoted."""


_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers
_Dumper.add_representer(
    str,  # PyYAML writes these three line ends bare between single quotes, where reading folds them into blanks
    lambda dumper, text: dumper.represent_scalar(
        f"{_TAG}str", text, '"' if set("\x85\u2028\u2029") & {*text} else None
    ),
)
_Dumper.add_representer(float, lambda dumper, value: dumper.represent_scalar(f"{_TAG}float", _float(value)))


def _float(value: float) -> str:
    if value != value:
        return ".nan"
    return repr(value) if abs(value) != float("inf") else ("-.inf" if value < 0 else ".inf")
