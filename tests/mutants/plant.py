"""One small bug in a source text: where one can be planted, and the text with it."""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
_NAMES = {"min": "max", "max": "min"}
_SUMS = {ast.Add: ast.Sub, ast.Sub: ast.Add}


@dataclass(frozen=True)
class Mutant:
    """A source text with one bug.

    Attributes:
        before, after: the part that changed, on one line.
    """

    source: str
    line: int
    before: str
    after: str


def mutants(source: str, count: int, seed: object) -> list[Mutant]:
    """At most `count` mutants of a source text, drawn by `seed`."""
    tree = ast.parse(source)
    sites = list(_sites(tree))
    random.Random(str(seed)).shuffle(sites)
    found: list[Mutant] = []
    for node, changed in sites:
        if len(found) == count:
            break
        if mutant := _planted(source, tree, node, changed):
            found.append(mutant)
    return found


def _sites(tree: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Each node that a bug can take the place of, with what replaces it."""
    for node in _running(tree):
        changed = copy.deepcopy(node)
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
            changed.ops[0] = _COMPARISONS[type(node.ops[0])]()
        elif isinstance(node, ast.BoolOp):
            changed.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        elif isinstance(node, ast.BinOp) and type(node.op) in _SUMS:
            changed.op = _SUMS[type(node.op)]()
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            changed = changed.operand
        elif isinstance(node, ast.Name) and node.id in _NAMES and isinstance(node.ctx, ast.Load):
            changed.id = _NAMES[node.id]
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            changed.value = not node.value
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            yield node, ast.copy_location(ast.Constant(node.value - 1), node)
            changed.value = node.value + 1
        elif isinstance(node, ast.Raise):
            changed = ast.copy_location(ast.Pass(), node)
        else:
            continue
        yield node, changed


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below one but annotations and what only type checkers read."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.AST):
                yield child
                yield from _running(child)


def _planted(source: str, tree: ast.AST, node: ast.AST, changed: ast.AST) -> Mutant | None:
    """The text with the node replaced; None where it would not parse as exactly that (inside an old f-string)."""
    lines = source.encode().splitlines(keepends=True)
    begin = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    text = ast.unparse(changed)
    put = text if isinstance(changed, ast.Pass | ast.Name | ast.Constant) else f"({text})"
    planted = (source.encode()[:begin] + put.encode() + source.encode()[end:]).decode()

    class Replace(ast.NodeTransformer):
        def visit(self, inner: ast.AST) -> ast.AST:
            return copy.deepcopy(changed) if inner is expected_of[id(node)] else self.generic_visit(inner)

    expected = copy.deepcopy(tree)
    expected_of = dict(zip(map(id, ast.walk(tree)), ast.walk(expected), strict=True))
    try:
        parsed = ast.parse(planted)
    except SyntaxError:
        return None
    if _shape(parsed) != _shape(Replace().visit(expected)):
        return None
    return Mutant(planted, node.lineno, " ".join(ast.unparse(node).split()), " ".join(text.split()))


def _shape(tree: ast.AST) -> str:
    """The tree as text; -1 is a constant to one who plants it and a minus before 1 to one who reads it."""
    return ast.unparse(ast.parse(ast.unparse(tree)))
