"""Which keys each use of a pretrained model reads: others are refused, and a recipe that is resolved is read again."""

import pytest

from hfft.errors import RecipeError
from hfft.recipe import Recipe, load_recipe, shipped, uses
from hfft.recipe.build import build
from hfft.recipe.training_arguments import training_arguments
from hfft.recipe.training_keys import TrainingKeys
from hfft.runs import RunFolder
from hfft.spec import Spec

DIRECTLY = """\
task: image-classification
use: directly
backbone: {name: a/b}
data: {path: p}
"""


def problems(text: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as refused:
        build(text, source="r.yaml", name="r", overrides=overrides)
    return list(refused.value.args)


def test_every_key_of_the_table_is_one_of_the_grammar():
    for use, sections in uses.READS.items():
        for section, keys in sections.items():
            if section not in Recipe.model_fields:
                assert (use, section) == ("classifier", "classifier")
                continue
            kind = Recipe.model_fields[section].annotation
            if section == "training":
                known = {*training_arguments(), *TrainingKeys.model_fields}
            elif isinstance(kind, type) and issubclass(kind, Spec):
                known = {field.alias or name for name, field in kind.model_fields.items()}
            else:
                known = set()
            assert keys.names <= known, (use, section)


def test_what_a_use_does_not_read_is_refused_with_its_line_the_use_and_the_remedy():
    text = f"{DIRECTLY}layers: {{train: head}}\ntraining:\n  seed: 1\n  learning_rate: 1.0e-4\nhead:\n  kind: mlp\n"
    remedy = "is not read by use=directly; leave it out, or set use=fine-tune"
    assert problems(text) == [
        f"r.yaml:5  layers: {remedy}",
        f"r.yaml:8  training.learning_rate: {remedy}",
        f"r.yaml:10  head.kind: {remedy}",
    ]
    assert problems(DIRECTLY, "data.augment=[horizontal_flip]") == [f"command line  data.augment: {remedy}"]


def test_a_fine_tune_does_not_read_how_a_model_answers_directly():
    text = DIRECTLY.replace("use: directly\n", "head: {map: {cat: tabby}, hypothesis: 'It is {}.'}\n")
    remedy = "is not read by use=fine-tune; leave it out, or set use=directly"
    assert problems(text) == [f"r.yaml:2  head.map: {remedy}", f"r.yaml:2  head.hypothesis: {remedy}"]


def test_a_key_that_does_not_exist_is_told_once_and_not_as_one_of_another_use():
    found = problems(DIRECTLY.replace("path: p", "path: p, augmnt: []"))
    assert len(found) == 1
    assert "did you mean 'augment'?" in found[0]


def test_an_unknown_use_is_answered_with_the_nearest():
    (found,) = problems(DIRECTLY.replace("directly", "direct"))
    assert found.startswith("r.yaml:2  use: is 'direct'")
    assert "did you mean 'directly'?" in found


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("prompts: a photo", "head.prompts: is 'a photo'; expected one {} in place of the class"),
        ("prompts: ['a {}', 'a {} {}']", "head.prompts.1: is 'a {} {}'; expected one {} in place of the class"),
        ("hypothesis: 'About {0}.'", "head.hypothesis: is 'About {0}.'; expected one {} in place of the class"),
        ("map: {}", "head.map: is {}; expected"),
        ("map: {cat: []}", "head.map.cat: is []; expected"),
        ("map: {cat: '/tab(/'}", "head.map.cat: /tab(/ is not a regular expression"),
        ("descriptions: {cat: ' '}", "head.descriptions.cat: is empty; describe the class in words"),
    ],
)
def test_an_answer_that_cannot_be_read_is_refused(entry, line):
    (found,) = problems(f"{DIRECTLY}head: {{{entry}}}\n")
    assert found.startswith(f"r.yaml:5  {line}")


def test_a_resolved_recipe_says_what_its_use_reads_and_is_the_same_recipe():
    recipe = build(f"{DIRECTLY}head: {{map: {{cat: [tabby, /cat$/], dog: beagle}}}}\n", source="r.yaml", name="r")
    values = recipe.resolved()
    assert not {"layers", "strategy", "classifier"} & set(values)
    assert set(values["training"]) == {"output_dir"}
    assert values["head"] == {"map": {"cat": ["tabby", "/cat$/"], "dog": "beagle"}}
    assert build(values, source="r", name="r").resolved() == values


def test_a_use_that_is_no_word_is_refused_in_one_line():
    assert len(problems(DIRECTLY.replace("use: directly", "use: [directly]"))) == 1


def test_a_task_without_classes_has_only_one_use():
    text = DIRECTLY.replace("image-classification", "fill-mask")
    assert problems(text) == [
        "r.yaml:2  use: is directly, which answers with classes, but task fill-mask has none; use fine-tune"
    ]


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_recipe_is_of_a_use_that_reads_all_it_says(name):
    recipe = load_recipe(name)
    assert build(recipe.resolved(), source=name, name=name).resolved() == recipe.resolved()


def test_a_run_that_began_before_there_were_uses_is_still_the_same_run(tmp_path):
    recipe = build(DIRECTLY.replace("use: directly\n", ""), source="r.yaml", name="r")
    folder, values = RunFolder(tmp_path), recipe.resolved()
    assert values["use"] == "fine-tune"
    folder.write_recipe({key: value for key, value in values.items() if key != "use"})
    assert folder.changed(values) == []
    assert folder.open(values, fresh=False) == "unfinished"
    assert folder.changed({**values, "use": "directly"}) == ["use: fine-tune, now directly"]
