"""The page about all keys of a recipe is that of the specs, and says something about each."""

from pathlib import Path

import pytest

from hfft.recipe import keys
from hfft.recipe.recipe import Recipe
from hfft.spec import Spec

PAGE = Path(__file__).parents[2] / "recipes" / "README.md"


def specs(spec=Recipe):
    yield spec
    for field in spec.model_fields.values():
        for inner in keys._specs(field.annotation):
            yield from specs(inner)


def test_the_page_is_made_from_the_specs():
    assert PAGE.read_text() == keys.page(), "run `python -m hfft.recipe.keys > recipes/README.md`"


def test_every_key_of_a_recipe_is_on_the_page():
    recipe = Recipe(task="image-classification", backbone={"name": "nano-vit"}, data={"path": "digits"})
    page = keys.page()
    for section, values in recipe.resolved().items():
        for key in values if isinstance(values, dict) and section != "training" else ():
            assert f"| `{section}.{key}` |" in page
    assert "| `publish.as` |" in page, "by its name in YAML"


@pytest.mark.parametrize("spec", sorted(set(specs()), key=lambda spec: spec.__name__), ids=lambda spec: spec.__name__)
def test_every_key_is_described(spec):
    described = keys._described(spec)
    named = {name for name, field in spec.model_fields.items() if not keys._specs(field.annotation)}
    assert set(described) <= set(spec.model_fields), "the docstring names keys that do not exist"
    if len(spec.model_fields) == 1:  # the line about the section is about its key
        assert described or keys._summary(spec)
    else:
        assert named <= set(described)


def test_a_type_is_told_in_the_words_of_yaml():
    class Inner(Spec):
        """An inner section."""

        x: int = 3

    class Outer(Spec):
        """An outer section.

        Attributes:
            a, b: two keys,
                on two lines.
        """

        a: str | None = None
        b: list[int] | None = None
        c: dict[str, Inner] | None = None
        d: bool = True

    page = "\n".join(keys._section("s", Outer, {}))
    assert "| `s.a` | text |  | two keys, on two lines. |" in page
    assert "| `s.b` | list of whole number |  | two keys, on two lines. |" in page
    assert "| `s.d` | `true`, `false` | `true` |  |" in page
    assert "| `s.c.NAME.x` | whole number | `3` |  |" in page
