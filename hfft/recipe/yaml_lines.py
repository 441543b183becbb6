"""Parse YAML and record the line of every key: YAML 1.2 scalars, no duplicate keys, bounded sizes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[str | int, ...]
MAX_CHARACTERS = 100_000
MAX_NODES = 20_000  # counted with every alias expanded, so that nested anchors cannot explode
MAX_DEPTH = 50  # also stops an anchor that contains itself
TOO_LARGE = f"more than {MAX_NODES} values, counting anchors wherever they are used, or {MAX_DEPTH} levels"


@dataclass(frozen=True)
class Problem:
    """One mistake: its line (1-based, or None), its key, and what is wrong."""

    line: int | None
    path: Path
    text: str


class DocumentError(Exception):
    """The text is not usable YAML; `problems` says why."""

    def __init__(self, *problems: Problem):
        self.problems = list(problems)
        super().__init__("; ".join(p.text for p in problems))


_TAG = "tag:yaml.org,2002:"
_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]{1,100}(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
# Tag -> pattern of YAML 1.2, possible first characters, and conversion. A number of more than 100 digits stays a string.
_SCALARS: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    f"{_TAG}bool": ("true|True|TRUE|false|False|FALSE", "tTfF", lambda text: text.lower() == "true"),
    f"{_TAG}null": ("~|null|Null|NULL|", "~nN", lambda text: None),
    f"{_TAG}int": (
        "[-+]?[0-9]{1,100}|0o[0-7]{1,100}|0x[0-9a-fA-F]{1,100}",
        "-+0123456789",
        lambda text: int(text, 0 if text[1:2] in ("x", "o") else 10),
    ),
    f"{_TAG}float": (_FLOAT, "-+.0123456789", lambda text: float(re.sub(r"\.(?=[iInN])", "", text))),
    f"{_TAG}str": ("(?s:.*)", "", lambda text: text.encode().decode()),  # an unpaired surrogate is an error
}


class _Loader(yaml.SafeLoader):
    """Reads YAML 1.2 scalars: `3e-4` is a number, `no` and `on` are strings."""


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads: a string that would parse as a number or boolean is quoted."""


_Loader.yaml_implicit_resolvers = _Dumper.yaml_implicit_resolvers = {}
for _tag, (_pattern, _first, _) in _SCALARS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), [*_first, *([""] if "null" in _tag else [])])
_Dumper.add_representer(
    str,  # PyYAML writes these three line breaks unescaped in single quotes, and reading would fold them into spaces
    lambda dumper, text: dumper.represent_scalar(f"{_TAG}str", text, '"' if {*"\x85\u2028\u2029"} & {*text} else None),
)


def dump(value: Any) -> str:
    """A value as YAML text, with keys in their order; `parse(dump(x))` gives `x` again."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def parse(text: str) -> tuple[Any, dict[Path, int]]:
    """The values of a YAML text, with keys as written, and the 1-based line of each key and list item.

    Raises:
        DocumentError: not YAML, several documents, a tag for an object, a duplicate key, or too large.
    """
    if len(text) > MAX_CHARACTERS:
        raise DocumentError(Problem(None, (), f"{len(text)} characters; a recipe has at most {MAX_CHARACTERS}"))
    lines: dict[Path, int] = {}
    problems: list[Problem] = []
    nodes, wrong = 0, ""
    line: int | None = None

    def read(node: Any, path: Path) -> Any:
        nonlocal nodes
        nodes, at = nodes + 1, node.start_mark.line + 1
        if nodes > MAX_NODES or len(path) >= MAX_DEPTH:
            raise DocumentError(Problem(at, (), TOO_LARGE))
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            pattern, _, value_of = _SCALARS[node.tag]
            try:
                if re.fullmatch(pattern, node.value):
                    return value_of(node.value)
                what = f"is {node.value!r:.80} and does not fit its tag {node.tag}"
            except UnicodeError:
                what = "contains half a character (a surrogate); write the character itself"
            problems.append(Problem(at, path, what))
        elif isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            lines.update({(*path, i): item.start_mark.line + 1 for i, item in enumerate(node.value)})
            return [read(item, (*path, i)) for i, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return {key.value: read(item, (*path, key.value)) for key, item in node.value if new(key, path)}
        else:
            problems.append(Problem(at, path, f"tag {node.tag} is not allowed; use a plain value"))

    def new(key: Any, path: Path) -> bool:
        before, line = len(problems), key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            problems.append(Problem(line, path, "a key must be a plain string"))
        elif (here := (*path, key.value)) in lines:
            problems.append(Problem(line, here, f"given twice (first on line {lines[here]}); keep one"))
        else:
            read(key, path)
            lines[here] = line
        return len(problems) == before

    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        value = None if root is None else read(root, ())
    except yaml.reader.ReaderError as error:
        line, wrong = text.count("\n", 0, error.position) + 1, f"not valid YAML: character #x{error.character:04x}"
    except yaml.MarkedYAMLError as error:
        mark, wrong = error.problem_mark or error.context_mark, f"not valid YAML: {error.context or error.problem}"
        wrong += f": {error.problem}" if error.context and error.problem else ""
        line = mark.line + 1 if mark else None
    except (ValueError, OverflowError):  # "\UFFFFFFFF"
        line, wrong = loader.line + 1, "not valid YAML: an escape that is no character"
    except RecursionError:
        wrong = TOO_LARGE
    if wrong or problems:
        raise DocumentError(*([Problem(line, (), wrong)] if wrong else problems))
    return value, lines
