"""The head of an architecture is found from its structure, and made new without touching the backbone."""

import copy
import math

import pytest
import torch

from hfft import backbone, head
from hfft.backbone.spec import Backbone
from hfft.data.spec import Data
from hfft.errors import ModelError
from hfft.head.replace_head import rows
from hfft.head.spec import Head
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels
from tests.examples import ALL, EVERY, REGRESSION, SINGLE, tiny
from tests.parts import model_of
from tests.training import collate, examples

every = pytest.mark.parametrize("name", EVERY)


def in_order(model, names):
    return tuple(name for name, _ in model.named_parameters() if name in names)


def logits(model, name):
    batch = collate(examples(ALL[name].modality, SINGLE, 4))
    with torch.no_grad():
        return model.eval()(**{key: value for key, value in batch.items() if key != "labels"}).logits


# --- finding it


@every
def test_the_last_layer_is_exactly_what_depends_on_the_number_of_outputs(name):
    assert tuple(head.output_parameters(tiny(name))) == ALL[name].last


@every
@pytest.mark.parametrize("labels", [1, 2, 7])
def test_the_last_layer_is_found_for_any_number_of_outputs(name, labels):
    model = tiny(name, labels)
    found = head.output_parameters(model)
    sizes = dict(model.named_parameters())
    assert tuple(found) == ALL[name].last
    assert all(sizes[tensor].shape[dim] == labels for tensor, dim in found.items())


@every
def test_the_head_is_all_outside_the_backbone_and_nothing_of_it(name):
    model = tiny(name)
    assert in_order(model, head.parameter_names(model)) == ALL[name].head


@every
def test_looking_for_the_head_changes_nothing(name):
    model = tiny(name)
    model.config.problem_type = "single_label_classification"
    before, config, state = copy.deepcopy(model.state_dict()), model.config.to_dict(), torch.get_rng_state()
    head.parameter_names(model)
    assert model.config.to_dict() == config
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


@every
def test_the_top_modules_hold_the_head_whole_and_nothing_else(name):
    model = tiny(name)
    names = head.parameter_names(model)
    modules = head.top_modules(model, names)
    held = {f"{path}.{leaf}" for path in modules for leaf, _ in model.get_submodule(path).named_parameters()}
    assert held == set(ALL[name].head)
    assert not any(a != b and a.startswith(f"{b}.") for a in modules for b in modules)


@pytest.mark.parametrize("module", ["pooler", "bert.pooler", "bert.pooler.dense"])
def test_modules_named_beside_the_head_belong_to_it(module):
    model = tiny("bert")
    extra = ("bert.pooler.dense.weight", "bert.pooler.dense.bias")
    assert in_order(model, head.parameter_names(model, [module])) == (*extra, *ALL["bert"].head)


def test_a_module_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(ModelError, match=r"head\.new: bert has no module 'bert\.poler'; did you mean 'bert\.pooler'"):
        head.parameter_names(tiny("bert"), ["bert.poler"])


# --- making it new


@every
def test_a_new_head_leaves_the_backbone_as_it_is_bit_by_bit(name):
    model = tiny(name)
    before = copy.deepcopy(model.state_dict())
    assert head.replace(model, Head()) == 0, "no row of the head is kept"
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before if key not in ALL[name].head)
    assert not any(hasattr(tensor, "_is_hf_initialized") for tensor in model.state_dict(keep_vars=True).values())


@every
def test_a_new_head_is_drawn_as_the_architecture_draws_it(name):
    fresh = [tiny(name, labels=200, seed=seed) for seed in range(2)]
    model = tiny(name, labels=200, seed=5)
    with torch.no_grad():
        for tensor in ALL[name].head:
            model.get_parameter(tensor).fill_(7.0)  # as if pretrained
    head.replace(model, Head())
    for tensor in ALL[name].head:
        new, (one, other) = model.get_parameter(tensor), (f.get_parameter(tensor) for f in fresh)
        if torch.equal(one, other):  # a constant: zeros of a bias, ones of a norm
            assert torch.equal(new, one)
        else:
            assert not torch.equal(new, torch.full_like(new, 7.0))
            assert new.std().item() == pytest.approx(one.std().item(), rel=0.15)
            assert new.mean().item() == pytest.approx(0, abs=4 * one.std().item() / math.sqrt(one.numel()))


@every
def test_the_same_seed_gives_the_same_head_and_another_seed_another(name):
    heads = []
    for seed, start in ((3, 0), (3, 1), (4, 0)):
        model = tiny(name, seed=start)
        torch.manual_seed(seed)
        head.replace(model, Head())
        heads.append([model.get_parameter(tensor) for tensor in ALL[name].head])
    first, same, other = heads
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first, other, strict=True))


@every
def test_a_head_of_zeros_guesses_all_classes_alike(name):
    model = tiny(name, labels=5)
    head.replace(model, Head(init="zeros"))
    found = logits(model, name)
    assert torch.equal(found, torch.zeros_like(found))
    loss = torch.nn.functional.cross_entropy(found, torch.zeros(len(found), dtype=torch.long))
    assert loss.item() == pytest.approx(math.log(5))


def test_modules_named_beside_the_head_start_anew_with_it():
    model = tiny("bert")
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(9)
    head.replace(model, Head(new=["pooler"]))
    changed = {key for key, tensor in model.state_dict().items() if not torch.equal(before[key], tensor)}
    assert changed == {"bert.pooler.dense.weight", "classifier.weight"}  # biases are zero before and after


# --- keeping what both tasks know


def recipe(folder, task, **sections):
    given = {"backbone": Backbone(name=str(folder)), "data": Data(path="none"), **sections}
    return Recipe(name="x", task=task, **given)


@pytest.mark.slow_but("bert", "vit")
@pytest.mark.parametrize(
    "name", ["bert", "roberta", "distilbert", "modernbert", "gpt2", "vit", "resnet", "clip", "swin"]
)
def test_shared_classes_answer_as_before_whatever_their_order(name, tmp_path):
    pretrained = tiny(name, labels=4)
    pretrained.config.id2label = dict(enumerate(["cat", "dog", "bird", "fish"]))
    with torch.no_grad():
        for tensor in ALL[name].head:
            pretrained.get_parameter(tensor).normal_()
    pretrained.save_pretrained(tmp_path)
    keep = recipe(tmp_path, ALL[name].task, head=Head(keep_known=True))
    labels = Labels.of(SINGLE, ["bird", "horse", "cat"])
    config = backbone.load_published_config(keep.backbone)
    known = rows(model_of(keep, Labels.of(SINGLE, config.id2label.values())))
    model = model_of(keep, labels)
    assert head.replace(model, keep.head, known) == 2
    before, after = logits(pretrained, name), logits(model, name)
    torch.testing.assert_close(after[:, [0, 2]], before[:, [2, 0]])
    for tensor, dim in head.output_parameters(model).items():
        new, old = model.get_parameter(tensor), pretrained.get_parameter(tensor)
        assert torch.equal(new.select(dim, 0), old.select(dim, 2))
        assert torch.equal(new.select(dim, 2), old.select(dim, 0))
        assert not any(torch.equal(new.select(dim, 1), old.select(dim, i)) for i in range(4))


def test_new_classes_beside_kept_ones_may_start_at_zero(tmp_path):
    model = tiny("vit", labels=2)
    known = {"LABEL_1": {tensor: torch.full_like(model.get_parameter(tensor)[0], 2.0) for tensor in ALL["vit"].last}}
    assert head.replace(model, Head(init="zeros", keep_known=True), known) == 1
    assert (model.classifier.weight[0] == 0).all()
    assert (model.classifier.weight[1] == 2).all()


@pytest.mark.parametrize("known", [None, {}, {"cat": {}}])
def test_nothing_shared_is_an_error_with_both_lists(known):
    with pytest.raises(ModelError, match=r"keep_known: .* no class is shared; leave keep_known out"):
        head.replace(tiny("vit"), Head(keep_known=True), known)


def test_a_regression_head_is_renewed_as_well():
    model = tiny("bert", labels=1)
    model.config.problem_type = REGRESSION
    assert tuple(head.output_parameters(model)) == ALL["bert"].last
    head.replace(model, Head(init="zeros"))
    assert (logits(model, "bert") == 0).all()
