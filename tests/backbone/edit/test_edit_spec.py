"""The grammar of edits: what is wrong is told without torch, with a suggestion."""

import pytest

from hfft.backbone.edit import spec
from hfft.errors import RecipeError
from hfft.recipe.build import build

RIGHT = (
    {"remove": "last-2"},
    {"remove": "first-1"},
    {"remove": [3, 5]},
    {"expand": "last-2"},
    {"expand": "middle-2"},
    {"expand": "blocks-3-8"},
    {"expand": [3, 5]},
    {"replace": "all", "with": {"activation": "gelu", "dropout": 0.1}},
    {"replace": r"/layer\.\d+/", "with": {"norm": "none"}},
    {"insert": "vit.layers.0", "module": {"type": "bottleneck", "reduction": 8}},
    {"insert": "vit.embeddings", "module": {"type": "prompt", "tokens": 10, "deep": True}},
    {"image_size": 96},
    {"image_size": [96, 128]},
    {"channels": 1},
    {"tokens": ["[X]"]},
)
WRONG = (
    ({"remov": "last-2"}, "did you mean 'remove'"),
    ({}, "expected one of remove"),
    ({"remove": "last"}, "expected last-N or first-N"),
    ({"remove": [0]}, "block numbers"),
    ({"expand": [0]}, "block numbers"),
    ({"expand": "last"}, "expected last-N, first-N, middle-N or blocks-A-B such as last-2"),
    ({"expand": "all"}, "expand is 'all'; expected last-N"),
    ({"expend": "last-2"}, "did you mean 'expand'"),
    ({"remove": "last-0"}, "expected last-N"),
    ({"remove": "last-1", "with": {}}, "remove has no option 'with'"),
    ({"replace": "all"}, "replace needs with"),
    ({"replace": "all", "with": {}}, "with is empty"),
    ({"replace": "all", "with": {"activaton": "gelu"}}, "did you mean 'activation'"),
    ({"replace": "all", "with": {"dropout": 1.5}}, "below 1"),
    ({"replace": "all", "with": {"norm": "layernorm"}}, "did you mean 'layer_norm'"),
    ({"replace": "/(/", "with": {"dropout": 0.1}}, "not a regular expression"),
    ({"insert": "x"}, "insert needs module"),
    ({"insert": "", "module": {"type": "conv"}}, "expected the path of a module"),
    ({"insert": "x", "module": {"type": "botleneck"}}, "did you mean 'bottleneck'"),
    ({"insert": "x", "module": {"size": 3}}, "module.type is None"),
    ({"insert": "x", "module": {"type": "conv", "kernel": 3}}, "did you mean 'kernel_size'"),
    ({"insert": "x", "module": {"type": "conv", "kernel_size": 4}}, "odd"),
    ({"insert": "x", "module": {"type": "linear", "size": 4}}, "it has no options"),
    ({"insert": "x", "module": {"type": "bottleneck", "size": 4, "reduction": 2}}, "not both"),
    ({"image_size": 96.5}, "a side in pixels"),
    ({"channels": 2}, r"expected 1 \(grey\)"),
    ({"tokens": "x"}, "expected a list"),
)


@pytest.mark.parametrize("edit", RIGHT, ids=str)
def test_an_edit_is_taken_as_it_is(edit):
    assert spec.check_edit(edit) == edit
    assert spec.describe(edit).startswith(next(iter(edit)))


@pytest.mark.parametrize(("edit", "said"), WRONG, ids=[str(e) for e, _ in WRONG])
def test_what_is_no_edit_is_an_error_that_says_why(edit, said):
    with pytest.raises(ValueError, match=said):
        spec.check_edit(edit)


@pytest.mark.parametrize(
    ("task", "edit", "said"),
    [
        ("text-classification", "{insert: x, module: {type: squeeze_excite}}", "averages over positions"),
        ("text-classification", "{insert: x, module: {type: conv}}", "neighbouring positions"),
        ("text-classification", "{image_size: 96}", "image_size is for images"),
        ("image-classification", '{tokens: ["[X]"]}', "tokens are for texts"),
        ("image-classification", "{insert: x, module: {type: lineer}}", "did you mean 'linear'"),
    ],
)
def test_the_mistake_is_told_with_its_line(task, edit, said):
    text = f"task: {task}\nbackbone:\n  name: a/b\n  edit:\n    - {{remove: last-1}}\n    - {edit}\ndata: {{path: x}}\n"
    with pytest.raises(RecipeError, match=said) as caught:
        build(text, "r.yaml", "r")
    assert caught.value.problems[0].startswith("r.yaml:6  backbone.edit.1: ")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("{kind: mpl}", "did you mean 'mlp'"),
        ("{kind: attention-pool, pooling: mean}", "does its own pooling"),
        ("{kind: linear, hidden: 8}", "the width of an mlp"),
        ("{kind: cosine, init: zeros}", "is undefined"),
        ("{kind: linear, keep_known: true}", "architecture's own head"),
    ],
)
def test_heads_that_do_not_go_together_are_told(head, said):
    with pytest.raises(RecipeError, match=said):
        build(f"task: image-classification\nbackbone: {{name: a/b}}\nhead: {head}\ndata: {{path: x}}\n", "r.yaml", "r")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("layers: {adapter: {type: lora}}\npublish: {as: adapter}", "use publish.as=merged"),
        ("layers: {adapter: {type: prompt_tuning}}", "prompt_tuning cannot be merged: use lora"),
        ("layers: {adapter: {type: lora}}", None),
    ],
)
@pytest.mark.parametrize("changed", ["backbone.edit=[{remove: last-1}]", "head.kind=mlp"])
def test_an_adapter_on_a_changed_backbone_leaves_merged(changed, more, said):
    text = f"task: text-classification\nbackbone: {{name: a/b}}\ndata: {{path: x}}\n{more}\n"
    if said is None:
        assert build(text, "r.yaml", "r", (changed,)).published_as == "merged"
        return
    build(text, "r.yaml", "r")
    with pytest.raises(RecipeError, match=said) as caught:
        build(text, "r.yaml", "r", (changed,))
    assert f"{changed.partition('=')[0]} changes it" in caught.value.problems[0]


def test_what_is_inserted_is_left_to_begin_after_a_head_alone():
    text = "task: text-classification\nbackbone: {name: a/b}\ndata: {path: x}\n"
    given = ("layers.train=head", "layers.schedule={type: head-then-all}")
    with pytest.raises(RecipeError, match="no layers could start later"):
        build(text, "r.yaml", "r", given)
    edit = "backbone.edit=[{insert: /x/, module: {type: bottleneck}}]"
    assert build(text, "r.yaml", "r", (*given, edit)).layers.schedule.type == "head-then-all"
