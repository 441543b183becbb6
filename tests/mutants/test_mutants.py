"""A bug that is planted is noticed, and nothing of it stays."""

import ast

import pytest

from tests.mutants.__main__ import ROOT, files_below, mirrors, planted, run_tests
from tests.mutants.plant import mutants

TOY = '''"""Toy."""


def clip(x: int, low: int = 1) -> int:
    """At least low."""
    if not isinstance(x, int):
        raise TypeError("é", x)
    return f"{x + 1}" and True and max(x, low) if x < low or x > 9 else x - 1
'''


def test_each_kind_of_bug_is_planted_alone():
    found = mutants(TOY, 99, 0)
    assert {(m.before, m.after) for m in found} >= {
        ("x < low", "x <= low"),
        ("x > 9", "x >= 9"),
        ("max", "min"),
        ("x - 1", "x + 1"),
        ("True", "False"),
        ("9", "10"),
        ("9", "8"),
        ("1", "2"),
        ("1", "0"),
        ("not isinstance(x, int)", "isinstance(x, int)"),
        ("x < low or x > 9", "x < low and x > 9"),
        ("raise TypeError('é', x)", "pass"),
    }
    for mutant in found:
        assert ast.unparse(ast.parse(mutant.source)) != ast.unparse(ast.parse(TOY))
        apart = [
            i for i, (a, b) in enumerate(zip(TOY.splitlines(), mutant.source.splitlines(), strict=True), 1) if a != b
        ]
        assert apart == [mutant.line]


def test_a_seed_draws_the_same_again_and_at_most_as_many_as_asked_for():
    assert mutants(TOY, 3, 5) == mutants(TOY, 3, 5)
    assert len(mutants(TOY, 3, 5)) == 3
    assert mutants(TOY, 3, 5) != mutants(TOY, 3, 6)
    assert mutants('"""Nothing."""\n\nx: int = None\n', 3, 0) == []


@pytest.mark.slow
def test_a_planted_bug_is_noticed_and_the_file_restored(tmp_path):
    (tmp_path / "toy.py").write_text("def least(a, b):\n    return min(a, b)\n")
    (tmp_path / "test_toy.py").write_text("from toy import least\n\n\ndef test_least():\n    assert least(1, 2) == 1\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    before = (tmp_path / "toy.py").read_bytes()
    (mutant,) = mutants(before.decode(), 1, 0)
    assert run_tests(tmp_path, ["test_toy.py"], 60) == "survived"
    with planted(tmp_path / "toy.py", mutant):
        assert run_tests(tmp_path, ["test_toy.py"], 60) == "noticed"
        assert run_tests(tmp_path, ["test_toy.py"], 0.01) == "timeout"
    assert (tmp_path / "toy.py").read_bytes() == before
    assert run_tests(tmp_path, ["test_toy.py"], 60) == "survived"


@pytest.mark.slow
def test_every_file_that_can_hold_a_bug_has_tests():
    files = files_below(["hfft"])
    bare = [f for f in files if not mirrors(f) and mutants((ROOT / f).read_text(), 1, 0)]
    assert len(files) > 150
    assert bare == []
    assert mirrors("hfft/frozen_cache/store.py") == ["tests/frozen_cache/test_store.py"]
    assert mirrors("hfft/backbone/edit/spec.py") == ["tests/backbone/edit/test_edit_spec.py", "tests/recipe"]
    assert mirrors("hfft/strategy/loss/poly.py") == [
        "tests/strategy/loss/test_poly.py",
        "tests/strategy/test_options.py",
    ]
