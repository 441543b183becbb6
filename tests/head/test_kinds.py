"""An own head reads what the bare model gives, without padding, learns, and saves so that transformers alone loads it."""

import pytest
import torch
import transformers

from hfft import head, layers
from hfft.backbone import published_code
from hfft.backbone.spec import Backbone
from hfft.data.spec import Data
from hfft.errors import BadInput, ModelError
from hfft.head.spec import Head
from hfft.modeling import OwnHead, pool
from hfft.recipe import Recipe, load_recipe
from hfft.tasks.labels import Labels
from tests import stand_ins
from tests.examples import ALL, MULTI, REGRESSION, SINGLE, tiny, tiny_config
from tests.parts import model_of
from tests.training import arguments, collate, examples, finetuner, labels_of

KINDS = ("linear", "mlp", "cosine", "attention-pool")
NAMES = ("bert", "distilbert", "gpt2", "llama", "modernbert", "vit", "dinov2", "swin", "resnet", "convnext")


def recipe(folder, task, **given) -> Recipe:
    """A recipe that names the model in a folder, with the head given."""
    return Recipe(name="x", task=task, backbone=Backbone(name=str(folder)), data=Data(path="none"), head=Head(**given))


def loaded(name, folder, size=3, problem=SINGLE, **given):
    """The saved tiny model with an own head, as a run begins with it."""
    made = recipe(folder, ALL[name].task, **given)
    model = model_of(made, labels_of(problem, size))
    head.replace(model, made.head)
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Architecture -> folder of its tiny pretrained model."""
    root = tmp_path_factory.mktemp("saved")
    for name in NAMES:
        tiny(name, labels=5).save_pretrained(root / name)
    return root


def batch(name, count=4):
    """Inputs of a few examples."""
    made = collate(examples(ALL[name].modality, SINGLE, count))
    made.pop("labels")
    return made


@pytest.mark.slow_but("attention-pool-vit")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_an_own_head_stands_on_the_pretrained_backbone_and_alone_learns(name, kind, saved, tmp_path):
    model, before = loaded(name, saved / name, kind=kind), tiny(name, labels=5).base_model.state_dict()
    after = model.base_model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in after)
    assert {key for key in before if key not in after} <= {key for key in before if "pool" in key}
    names = head.parameter_names(model)
    assert names == {key for key in model.state_dict() if key.startswith("head.")}
    assert set(head.output_parameters(model)) <= {"head.out.weight", "head.out.bias"}
    depths = layers.depths(model, names)
    assert depths.blocks == len(ALL[name].blocks)
    layers.adapt(model, "head", None, depths, names)
    digests = layers.frozen_digests(model)
    start = {key: p.detach().clone() for key, p in model.named_parameters() if p.requires_grad}
    rows = examples(ALL[name].modality, SINGLE, 8)
    finetuner(model, labels_of(SINGLE), rows, arguments(tmp_path, num_train_epochs=1), depths=depths).train()
    assert layers.moved(model, digests) == []
    assert [key for key, p in start.items() if torch.equal(p, model.get_parameter(key))] == []


@pytest.mark.slow_but("linear-llama-last")
@pytest.mark.parametrize(("name", "pooling"), [("bert", "mean"), ("llama", "last"), ("vit", "cls"), ("resnet", "max")])
@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_it_answers_as_before(name, pooling, kind, saved, tmp_path):
    given = {} if kind == "attention-pool" else {"pooling": pooling}
    model = loaded(name, saved / name, kind=kind, dropout=0.1, **given).eval()
    published_code.save(
        model, tmp_path, f"AutoModelFor{'Image' if ALL[name].modality == 'image' else 'Sequence'}Classification"
    )
    config = published_code.stock_config(str(tmp_path))
    again = published_code.load(str(tmp_path), config, published_code.task_class(config)).eval()
    with torch.no_grad():
        assert torch.equal(again(**batch(name)).logits, model(**batch(name)).logits)


@pytest.mark.parametrize(("name", "key"), [("bert", "input_ids"), ("vit", "pixel_values"), ("resnet", "pixel_values")])
def test_inputs_may_be_given_by_position_as_to_the_stock_classes(name, key, saved):
    model, inputs = loaded(name, saved / name, kind="linear").eval(), batch(name)
    with torch.no_grad():
        assert torch.equal(model(inputs[key]).logits, model(**{key: inputs[key]}).logits)


def test_classes_stay_in_order_where_there_are_more_than_ten(saved, tmp_path):
    model = loaded("bert", saved / "bert", size=12, pooling="mean")
    names = {i: f"class {i}" for i in range(12)}
    model.config.id2label, model.config.label2id = names, {name: i for i, name in names.items()}
    published_code.save(model, tmp_path, "AutoModelForSequenceClassification")
    config = published_code.stock_config(str(tmp_path))
    again = published_code.load(str(tmp_path), config, published_code.task_class(config))
    assert list(again.config.id2label.items()) == list(names.items())


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "last"])
def test_pooling_leaves_padding_out_on_either_side(pooling):
    states = torch.randn(2, 3, 4)
    padding = torch.full((2, 2, 4), 9.0)
    mask, none = torch.ones(2, 3), torch.zeros(2, 2)
    want = pool(states, None, pooling)
    right = pool(torch.cat([states, padding], 1), torch.cat([mask, none], 1), pooling)
    left = pool(torch.cat([padding, states], 1), torch.cat([none, mask], 1), pooling)
    assert torch.allclose(right, want)
    assert torch.allclose(left, want)
    by_hand = {"cls": states[:, 0], "mean": states.mean(1), "max": states.amax(1), "last": states[:, -1]}
    assert torch.allclose(want, by_hand[pooling])


def test_attention_pooling_leaves_padding_out():
    one = OwnHead(3, 4, "attention-pool", "mean")
    states = torch.randn(2, 3, 4)
    padded = torch.cat([states, torch.full((2, 2, 4), 9.0)], 1)
    mask = torch.tensor([[1, 1, 1, 0, 0]] * 2)
    assert torch.allclose(one(padded, mask), one(states), atol=1e-6)


def test_a_cosine_head_does_not_see_how_long_features_are():
    one, states = OwnHead(3, 4, "cosine", "mean"), torch.randn(5, 4)
    assert torch.allclose(one(states), one(7 * states), atol=1e-5)
    assert one(states).abs().max() <= 10.0 + 1e-5


def test_each_kind_is_its_equation():
    torch.manual_seed(0)
    states, rows = torch.randn(2, 5, 4), torch.randn(2, 4)
    head = OwnHead(3, 4, "cosine", "mean")
    expected = 10 * torch.nn.functional.cosine_similarity(rows[:, None], head.out.weight[None], dim=-1)
    torch.testing.assert_close(head(rows), expected)
    head = OwnHead(3, 4, "attention-pool", "mean")
    expected = []
    for row in states:
        scores = torch.stack([head.key(state) @ head.query / 2 for state in row]).softmax(0)
        expected.append(head.out(sum(score * state for score, state in zip(scores, row, strict=True))))
    torch.testing.assert_close(head(states), torch.stack(expected))
    assert head.query.std() < 0.1
    head = OwnHead(3, 4, "mlp", "max", hidden=7)
    torch.testing.assert_close(head(states), head.out(torch.nn.functional.gelu(head.dense(states.amax(1)))))
    assert (head.dense.out_features, OwnHead(3, 4, "mlp", "max").dense.out_features) == (7, 4)
    head = OwnHead(3, 4, "linear", "mean")
    torch.testing.assert_close(head(states), head.out(states.mean(1)))
    torch.testing.assert_close(head(states.mT.reshape(2, 4, 5, 1)), head(states))  # a map is its positions


ACTIVATIONS = {
    "gelu": torch.nn.functional.gelu,
    "relu": torch.relu,
    "silu": torch.nn.functional.silu,
    "tanh": torch.tanh,
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", [None, "layer", "batch"])
@pytest.mark.parametrize("hidden", [6, [6], [6, 5], [6, 5, 2]])
def test_hidden_layers_are_their_equation(hidden, norm, activation):
    torch.manual_seed(1)
    one, rows = OwnHead(3, 4, "mlp", "mean", hidden=hidden, activation=activation, norm=norm), torch.randn(9, 4)
    states = rows
    for i, width in enumerate(hidden if isinstance(hidden, list) else [hidden]):
        dense = one.get_submodule(f"dense{i or ''}")
        assert dense.weight.shape == (width, states.shape[1])
        states = states @ dense.weight.T + dense.bias
        if norm is not None:
            dim = 1 if norm == "layer" else 0
            mean, variance = states.mean(dim, keepdim=True), states.var(dim, unbiased=False, keepdim=True)
            states = (states - mean) / (variance + 1e-5).sqrt()
        states = ACTIVATIONS[activation](states)
    torch.testing.assert_close(one(rows), states @ one.out.weight.T + one.out.bias)


def test_dropout_follows_each_hidden_layer():
    one = OwnHead(3, 4, "mlp", "mean", dropout=0.5, hidden=[8, 8])
    dropped = []
    one.dropout.register_forward_hook(lambda module, inputs, output: dropped.append(output.shape))
    one(torch.randn(5, 4))
    assert dropped == [(5, 8), (5, 8)]


def test_a_batch_of_one_row_has_the_running_statistics():
    one = OwnHead(3, 4, "mlp", "mean", norm="batch")
    one(torch.randn(9, 4))
    row, before = torch.randn(1, 4), {name: b.clone() for name, b in one.named_buffers()}
    trained = one(row)
    assert all(torch.equal(before[name], b) for name, b in one.named_buffers())
    torch.testing.assert_close(trained, one.eval()(row))
    assert one.train()(torch.randn(0, 4)).shape == (0, 3)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("vit", {"hidden": [12, 7], "activation": "relu", "norm": "batch"}),
        pytest.param("bert", {"hidden": [12, 7, 5], "activation": "tanh", "norm": "layer"}, marks=pytest.mark.slow),
        pytest.param("resnet", {"hidden": [12], "activation": "silu"}, marks=pytest.mark.slow),
    ],
)
def test_hidden_layers_learn_and_plain_transformers_loads_them(name, given, saved, tmp_path):
    model = loaded(name, saved / name, kind="mlp", **given)
    names = head.parameter_names(model)
    assert names == {key for key in model.state_dict() if key.startswith("head.")}
    assert set(head.output_parameters(model)) == {"head.out.weight", "head.out.bias"}
    depths, start = layers.depths(model, names), {key: value.clone() for key, value in model.state_dict().items()}
    rows = examples(ALL[name].modality, SINGLE, 9)  # the last batch has one row
    layers.adapt(model, "head", None, depths, names)
    finetuner(model, labels_of(SINGLE), rows, arguments(tmp_path / "run", num_train_epochs=1), depths=depths).train()
    assert {key for key in start if not torch.equal(start[key], model.state_dict()[key])} == names
    image = ALL[name].modality == "image"
    auto = f"AutoModelFor{'Image' if image else 'Sequence'}Classification"
    published_code.save(model.eval(), tmp_path / "model", auto)
    again = getattr(transformers, auto).from_pretrained(tmp_path / "model", trust_remote_code=True).eval()
    assert type(again).__module__ != type(model).__module__
    with torch.no_grad():
        assert torch.equal(again(**batch(name)).logits, model(**batch(name)).logits)
    ours = published_code.load(
        str(tmp_path / "model"), published_code.stock_config(str(tmp_path / "model")), auto
    ).eval()
    with torch.no_grad():
        assert torch.equal(ours(**batch(name)).logits, model(**batch(name)).logits)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("kind: linear, activation: relu", "head.activation: is the activation of an mlp head; add kind: mlp"),
        ("kind: cosine, norm: layer", "head.norm: is the norm of an mlp head; add kind: mlp"),
        ("hidden: [3]", "head.hidden: is the width of an mlp head; add kind: mlp"),
        ("kind: mlp, hidden: []", "head.hidden: is []; expected"),
        ("kind: mlp, hidden: [8, 0]", "head.hidden.1: is 0; expected greater than or equal to 1"),
        ("kind: mlp, activation: rellu", "head.activation: is 'rellu'; expected 'gelu', 'relu', 'silu' or 'tanh'"),
        ("kind: mlp, norm: group", "head.norm: is 'group'; expected 'layer' or 'batch'"),
    ],
)
def test_hidden_layers_that_cannot_be_are_refused(given, said):
    with pytest.raises(BadInput) as caught:
        load_recipe("digits", f"head={{{given}}}")
    assert said in str(caught.value)


@pytest.mark.parametrize("problem", [SINGLE, MULTI, REGRESSION])
def test_the_loss_is_that_of_the_stock_class(problem, saved):
    stock, model = tiny("bert"), loaded("bert", saved / "bert", problem=problem, kind="linear").eval()
    stock.config.problem_type = problem
    with torch.no_grad():
        stock.bert.load_state_dict(model.bert.state_dict(), strict=False)
        model.head.out.weight.copy_(stock.classifier.weight)
        rows = collate(examples("text", problem, 4))
        own = model(**rows)
        if problem == REGRESSION:
            want = torch.nn.functional.mse_loss(own.logits, rows["labels"])
        elif problem == MULTI:
            want = torch.nn.functional.binary_cross_entropy_with_logits(own.logits, rows["labels"])
        else:
            want = torch.nn.functional.cross_entropy(own.logits, rows["labels"])
    assert torch.allclose(own.loss, want)


def test_where_transformers_has_no_class_for_the_task_the_head_is_an_own_one(tmp_path):
    """A vision model without an image classifier, and a text model without one for sequences."""
    torch.manual_seed(0)
    vision = transformers.AutoModel.from_config(tiny_config("clip").vision_config)
    vision.save_pretrained(tmp_path / "vision")
    made = recipe(tmp_path / "vision", "image-classification")
    model = model_of(made, labels_of(SINGLE))
    assert type(model).__name__ == "EditedCLIPVisionModelWithHead"
    assert model(**batch("vit")).logits.shape == (4, 3)
    text = transformers.AutoModel.from_config(tiny_config("clip").text_config)
    text.save_pretrained(tmp_path / "text")
    stand_ins.tokenizer().save_pretrained(tmp_path / "text")
    model = model_of(recipe(tmp_path / "text", "text-classification", pooling="mean"), labels_of(SINGLE))
    assert model(**batch("bert")).logits.shape == (4, 3)


def test_zeros_is_a_uniform_guess_for_an_own_head_too(saved):
    model = loaded("vit", saved / "vit", kind="mlp", init="zeros")
    assert torch.equal(model(**batch("vit")).logits, torch.zeros(4, 3))


@pytest.mark.parametrize("pooling", ["cls", "last"])
def test_a_map_has_no_first_or_last_position(pooling, saved):
    with pytest.raises(ModelError, match=f"has no {pooling} position; use mean or max"):
        loaded("resnet", saved / "resnet", pooling=pooling)


def test_what_the_bare_model_cannot_read_is_an_error(tmp_path):
    tiny("clip").save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="needs other inputs than images"):
        model_of(recipe(tmp_path, "image-classification", kind="mlp"), Labels.of(SINGLE, ["a", "b"]))
