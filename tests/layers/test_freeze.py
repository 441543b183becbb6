"""What is frozen stands still to the last bit, what is adapted merges, and the head always learns."""

import copy

import pytest
import torch

from hfft import layers
from hfft.errors import ModelError
from tests.examples import ALL, EVERY, SINGLE, head_and_depths, tiny
from tests.training import arguments, collate, examples, finetuner, labels_of

every = pytest.mark.parametrize("name", EVERY)
LORA = {"type": "lora", "r": 2, "lora_alpha": 16}


def adapted(name, train="all", adapter=None, **changes):
    """A tiny model with its depths, frozen or wrapped as a run does it."""
    model = tiny(name, **changes)
    head_names, depths = head_and_depths(model)
    return layers.adapt(model, train, adapter, depths, head_names), depths


def learning(model):
    return {key for key, parameter in model.named_parameters() if parameter.requires_grad}


def logits(model, name):
    batch = collate(examples(ALL[name].modality, SINGLE, 4))
    with torch.no_grad():
        return model.eval()(**{key: value for key, value in batch.items() if key != "labels"}).logits


def steps(model, depths, name, folder, **settings):
    """A few real training steps."""
    settings = arguments(folder, per_device_train_batch_size=4, **settings)
    trainer = finetuner(model, labels_of(SINGLE), examples(ALL[name].modality, SINGLE, 8), settings, depths=depths)
    trainer.train()
    return trainer


# --- freezing


@every
def test_all_lets_everything_learn(name):
    model, _ = adapted(name, "all")
    assert learning(model) == {key for key, _ in model.named_parameters()}


@every
def test_head_leaves_only_the_head(name):
    model, _ = adapted(name, "head")
    assert learning(model) == set(ALL[name].head)


@every
def test_the_last_blocks_learn_with_the_head_and_exactly_the_rest_is_frozen(name):
    for count in range(1, len(ALL[name].blocks) + 1):
        model, depths = adapted(name, f"last-{count}")
        first = len(ALL[name].blocks) - count + 1
        assert learning(model) == {key for key, _ in model.named_parameters() if depths.of(key) >= first}
        frozen = ALL[name].blocks[:-count]
        assert not any(key.startswith(f"{path}.") for path in frozen for key in learning(model))


@every
def test_more_blocks_than_there_are_is_an_error_with_the_most(name):
    most = len(ALL[name].blocks)
    with pytest.raises(
        ModelError, match=rf"layers\.train: last-30, but the model has {most} blocks; use at most last-{most}"
    ):
        adapted(name, "last-30")


def test_what_the_architecture_keeps_fixed_is_not_made_to_learn():
    model = tiny("bert")
    head_names, depths = head_and_depths(model)
    model.bert.embeddings.position_embeddings.weight.requires_grad = False  # as RoFormer's sinusoids
    layers.adapt(model, "all", None, depths, head_names)
    assert not model.bert.embeddings.position_embeddings.weight.requires_grad


@pytest.mark.slow_but("bert-last-1")
@pytest.mark.parametrize("train", ["head", "last-1"])
@every
def test_frozen_parameters_and_statistics_are_bit_identical_after_training(name, train, tmp_path):
    model, depths = adapted(name, train, dropout=0.1)
    before, free = copy.deepcopy(model.state_dict()), learning(model)
    steps(model, depths, name, tmp_path)
    after = model.state_dict()
    first = depths.head if train == "head" else depths.blocks
    frozen = [key for key in before if key not in free and depths.of(key) < first]
    assert {key for key, _ in model.named_parameters()} - free <= set(frozen)
    assert [key for key in frozen if not torch.equal(before[key], after[key])] == []
    assert any(not torch.equal(before[key], after[key]) for key in free)


@pytest.mark.slow
def test_statistics_move_where_their_block_learns(tmp_path):
    model, depths = adapted("resnet", "last-1")
    key = f"{ALL['resnet'].blocks[-1]}.layer.0.normalization.running_mean"
    before = model.state_dict()[key].clone()
    steps(model, depths, "resnet", tmp_path)
    assert not torch.equal(before, model.state_dict()[key])


@pytest.mark.parametrize(
    "name", ["bert", "roberta", "distilbert", "electra", "modernbert", "gpt2", "vit", "swin", "beit"]
)
def test_dropout_is_silent_in_what_is_frozen(name):
    model, _ = adapted(name, "last-1", dropout=0.5)
    last = model.get_submodule(ALL[name].blocks[-1])
    seen = []
    last.register_forward_pre_hook(lambda _, args, kwargs: seen.append((*args, *kwargs.values())[0]), with_kwargs=True)
    batch = {k: v for k, v in collate(examples(ALL[name].modality, SINGLE, 4)).items() if k != "labels"}
    for _ in range(2):
        model.train()
        for module in layers.frozen_modules(model):
            module.eval()
        model(**batch)
    assert torch.equal(*seen)
    model.train()
    model(**batch)
    assert not torch.equal(seen[0], seen[2]), "without it there is dropout"


@pytest.mark.parametrize("train", ["head", "last-1", "all"])
def test_dropout_of_the_head_and_of_learning_blocks_stays(train):
    model, _ = adapted("bert", train, dropout=0.5)
    model.train()
    for module in layers.frozen_modules(model):
        module.eval()
    assert model.dropout.training
    assert model.bert.encoder.layer[-1].output.dropout.training is (train != "head")
    assert model.bert.encoder.layer[0].output.dropout.training is (train == "all")


@every
def test_nothing_is_held_where_everything_learns(name):
    model, _ = adapted(name, "all")
    assert layers.frozen_modules(model) == []


# --- adapters


@every
def test_lora_goes_into_the_blocks_and_the_head_learns_whole(name):
    model, depths = adapted(name, "head", LORA)
    adapters = {key for key in learning(model) if "lora_" in key}
    assert adapters
    assert {depths.of(key) for key in adapters} == set(range(1, depths.blocks + 1))
    rest = {
        key.replace(".modules_to_save.default", "").removeprefix("base_model.model.")
        for key in learning(model) - adapters
    }
    assert rest == set(ALL[name].head)


@every
def test_every_parameter_of_an_adapted_model_has_a_depth(name):
    plain = head_and_depths(tiny(name))[1]
    model, depths = adapted(name, "head", LORA)
    names = [key for key, _ in model.named_parameters()]
    assert {depths.of(key) for key in names} == set(range(depths.blocks + 2))
    originals = {
        key.removeprefix("base_model.model.").replace(".base_layer", "").replace(".original_module", ""): key
        for key in names
    }
    assert all(depths.of(originals[key]) == plain.of(key) for key in plain.tensors)


@pytest.mark.slow
@every
def test_an_adapter_starts_without_effect_and_merges_into_the_same_outputs(name, tmp_path):
    before = logits(tiny(name), name)
    model, depths = adapted(name, "head", LORA)
    torch.testing.assert_close(logits(model, name), before, rtol=1e-6, atol=1e-6)
    steps(model, depths, name, tmp_path, num_train_epochs=3, learning_rate=0.1)
    trained = logits(model, name)
    assert not torch.allclose(trained, before, atol=1e-4)
    merged = model.merge_and_unload()
    assert type(merged) is type(tiny(name))
    assert {key for key, _ in merged.named_parameters()} == {key for key, _ in tiny(name).named_parameters()}
    torch.testing.assert_close(logits(merged, name), trained, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet", "efficientnet"])
def test_networks_of_convolutions_get_the_adapter_on_their_convolutions(name):
    model = tiny(name)
    targets = layers.adapt(model, "head", LORA, *reversed(head_and_depths(model))).peft_config["default"].target_modules
    assert targets
    assert all(isinstance(tiny(name).get_submodule(path), torch.nn.Conv2d) for path in targets)


@pytest.mark.slow
def test_batch_statistics_stand_still_beside_an_adapter(tmp_path):
    model, depths = adapted("resnet", "head", LORA)
    before = {key: value.clone() for key, value in model.named_buffers()}
    steps(model, depths, "resnet", tmp_path)
    assert all(torch.equal(before[key], value) for key, value in model.named_buffers())


def test_dropout_of_an_adapter_stays():
    model, _ = adapted("bert", "head", {**LORA, "lora_dropout": 0.5})
    model.train()
    for module in layers.frozen_modules(model):
        module.eval()
    rates = [module.training for key, module in model.named_modules() if "lora_dropout." in key]
    assert rates
    assert all(rates)


def test_modules_named_by_the_recipe_are_saved_beside_the_head():
    model, _ = adapted("bert", "head", {**LORA, "modules_to_save": ["pooler"]})
    trained = {key for key in learning(model) if "lora_" not in key}
    assert {key.split(".modules_to_save")[0].removeprefix("base_model.model.") for key in trained} == {
        "bert.pooler",
        "classifier",
    }


def test_targets_named_by_the_recipe_are_kept():
    model, _ = adapted("bert", "head", {**LORA, "target_modules": ["query"]})
    assert all(".query." in key for key in learning(model) if "lora_" in key)


def test_an_adapter_that_does_not_fit_is_an_error_with_the_reason():
    with pytest.raises(
        ModelError, match=r"layers\.adapter: bert cannot take this adapter: Target module .* is not supported"
    ):
        adapted("bert", "head", {**LORA, "target_modules": ["LayerNorm"]})
