"""A YAML document with the line of every key: YAML 1.2's scalars, duplicate keys refused, sizes bounded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[str | int, ...]
MAX_CHARACTERS = 1_000_000
MAX_NODES = 20_000  # counted with every alias written out, so that nested anchors cannot explode


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
    """PyYAML's safe loader with the scalars of YAML 1.2: `3e-4` is a number, `no` and `on` are words."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: _integer(loader.construct_scalar(node)))


def _integer(text: str) -> int:
    return int(text, 0) if text[:2] in ("0x", "0o") else int(text)


def parse(text: str) -> tuple[Any, dict[Path, int]]:
    """The values of a YAML text, and the 1-based line on which each key or list item stands.

    Raises:
        DocumentError: no YAML, several documents, a tag that asks for an object, a key given twice, or too large.
    """
    if len(text) > MAX_CHARACTERS:
        raise DocumentError([Problem(None, (), f"{len(text)} characters; a recipe has at most {MAX_CHARACTERS}")])
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, {}
        lines: dict[Path, int] = {}
        problems: list[Problem] = []
        _walk(node, (), lines, problems, [0])
        if problems:
            raise DocumentError(problems)
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        raise DocumentError([Problem(line, (), f"no valid YAML: {error.problem or error.context}")]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DocumentError([Problem(None, (), f"no valid YAML: {what}")]) from None


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int], problems: list[Problem], count: list[int]) -> None:
    count[0] += 1
    if count[0] > MAX_NODES:
        raise DocumentError([Problem(None, (), f"more than {MAX_NODES} values; anchors that multiply are refused")])
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                problems.append(Problem(line, path, "a key must be a plain word"))
                continue
            if name in seen:
                problems.append(Problem(line, (*path, name), f"given twice (first on line {seen[name]}); keep one"))
            seen[name] = line
            lines[(*path, name)] = line
            _walk(value, (*path, name), lines, problems, count)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            lines[(*path, i)] = value.start_mark.line + 1
            _walk(value, (*path, i), lines, problems, count)
    elif node.tag not in _PLAIN:
        problems.append(Problem(node.start_mark.line + 1, path, f"tag {node.tag} is refused; use a plain value"))


_PLAIN = {f"tag:yaml.org,2002:{t}" for t in ("bool", "null", "int", "float", "str")}


def dump(value: Any) -> str:
    """A value as YAML text, keys in their order; `parse(dump(x))` gives `x` again."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads: a string that would read as a number or truth is quoted."""


_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers
_Dumper.add_representer(float, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:float", _float(value)))


def _float(value: float) -> str:
    if value != value:
        return ".nan"
    return repr(value) if abs(value) != float("inf") else ("-.inf" if value < 0 else ".inf")
