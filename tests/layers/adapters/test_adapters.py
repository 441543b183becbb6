"""Every type of PEFT works without naming a target: it starts, learns, merges, and is put back by plain PEFT."""

import copy
import warnings
from types import SimpleNamespace

import pytest
import torch
from peft import PeftModel

from hfft import layers
from hfft.errors import ModelError
from hfft.layers.adapters import rank_allocation
from hfft.layers.adapters.arguments import PROMPTS, REFUSED, UNMERGEABLE, adapter_problems, arguments, plain, types
from hfft.strategy.regularise.orthogonality import orthogonality
from hfft.train.device import lay_out
from tests.examples import ALL, SINGLE, head_and_depths, tiny
from tests.training import arguments as settings_in
from tests.training import collate, examples, finetuner, labels_of

# What a fresh adapter of these changes: they start at random, as their papers or PEFT say.
NO_IDENTITY = {"c3a", "fourierft", "unilora", "vblora", *PROMPTS}
CONVOLUTIONS = ("adalora", "boft", "dora", "hira", "hra", "ia3", "ln_tuning", "loha", "lokr", "lora")
CONV1D = ("adalora", "deft", "dora", "fourierft", "frod", "gralora", "hira", "ia3", "ln_tuning", "lora", "pvera",
          "randlora", "tinylora", "unilora", "vblora", "vera", "waveft", *PROMPTS)  # fmt: skip
PREFIXES = ("cartridge", "prefix_tuning")
CASES = [
    *(("bert", kind) for kind in types() if kind not in PREFIXES),
    *(("resnet", kind) for kind in CONVOLUTIONS),
    *(("gpt2", kind) for kind in CONV1D),
    *((name, kind) for name in ("vit", "swin") for kind in ("adalora", "ia3", "oft", "vera", "lokr", "ln_tuning")),
    *((name, "prompt_tuning") for name in ("distilbert", "electra", "modernbert")),
]


def adapter_of(kind, **changes):
    return {"type": kind, **({"num_virtual_tokens": 4} if kind in PROMPTS else {}), **changes}


def adapted(name, adapter):
    model = tiny(name)
    head_names, depths = head_and_depths(model)
    torch.manual_seed(0)
    return layers.adapt(model, "head", adapter, depths, head_names).eval(), depths


def batch_of(name):
    batch = collate(examples(ALL[name].modality, SINGLE, 4))
    return {key: value for key, value in batch.items() if key != "labels"}, batch["labels"]


def logits(model, name):
    with torch.no_grad():
        return model.eval()(**batch_of(name)[0]).logits


def learn(model, name, steps=3):
    inputs, labels = batch_of(name)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(**inputs).logits, labels).backward()
        optimizer.step()


@pytest.mark.sampled(40)
@pytest.mark.slow_but("bert-p_tuning")
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_type_starts_learns_merges_and_is_put_back_by_peft(name, kind, tmp_path):
    before = logits(tiny(name), name)
    model, depths = adapted(name, adapter_of(kind))
    start = logits(model, name)
    assert torch.allclose(start, before, rtol=1e-5, atol=1e-5) is (kind not in NO_IDENTITY)
    learning = {key: p.detach().clone() for key, p in model.named_parameters() if p.requires_grad}
    assert {depths.of(key) for key, _ in model.named_parameters()} <= set(range(depths.head + 1))
    head = {
        key.split(".modules_to_save")[0].rpartition("odel.")[2] for key in learning if depths.of(key) == depths.head
    }
    assert head >= {head_path(path) for path in ALL[name].head}, "the head learns, whole"
    assert not any(depths.of(key) == depths.head for key in learning if "modules_to_save" not in key), (
        "no adapter on it"
    )
    learn(model, name)
    beside = [key for key in learning if "modules_to_save" not in key]
    assert any(not torch.equal(learning[key], dict(model.named_parameters())[key]) for key in beside)
    trained = logits(model, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(tmp_path, save_embedding_layers=False)
        again = PeftModel.from_pretrained(tiny(name), str(tmp_path))
    torch.testing.assert_close(logits(again, name), trained, rtol=1e-6, atol=1e-6)
    if kind in UNMERGEABLE:
        return
    merged = layers.merged(model)
    assert {key for key, _ in merged.named_parameters()} == {key for key, _ in tiny(name).named_parameters()}
    torch.testing.assert_close(logits(merged, name), trained, rtol=1e-5, atol=1e-5)


@pytest.mark.slow_but("ia3")
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_convolutions_that_are_kept_channels_last_learn_and_merge_too(kind):
    model, _ = adapted("resnet", adapter_of(kind))
    start = logits(model, "resnet")
    assert lay_out(model)
    assert torch.allclose(logits(model, "resnet"), start, atol=1e-5)
    learn(model, "resnet")
    trained = logits(model, "resnet")
    assert not torch.allclose(trained, start, atol=1e-4)
    assert torch.allclose(logits(layers.merged(model), "resnet"), trained, atol=1e-5)


def head_path(parameter):
    """The outermost part of a head's parameter, which PEFT copies whole."""
    return parameter.partition(".")[0] if not parameter.startswith("classifier.1") else "classifier"


@pytest.mark.parametrize("kind", ["c3a", "osf", "oft", "tinylora", "vera", "lily"])
def test_what_an_architecture_cannot_take_is_one_clear_error(kind):
    with pytest.raises(ModelError, match=r"layers\.adapter: resnet cannot take this adapter: .+") as error:
        adapted("resnet", adapter_of(kind))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", PREFIXES)
def test_a_prefix_needs_keys_and_values(kind):
    with pytest.raises(ModelError, match="bert cannot take this adapter: its forward pass takes no past_key_values"):
        adapted("bert", adapter_of(kind))


def test_ia3_scales_the_inputs_of_what_leads_back():
    model, _ = adapted("bert", {"type": "ia3"})
    feedforward = model.peft_config["default"].feedforward_modules
    assert all(tiny("bert").get_submodule(path).in_features == 24 for path in feedforward)
    assert len(feedforward) == 3


def test_targets_named_all_linear_leave_the_head_out():
    model, depths = adapted("vit", {"type": "lora", "target_modules": "all-linear"})
    places = {depths.of(key) for key, _ in model.named_parameters() if "lora_" in key}
    assert places == set(range(1, depths.blocks + 1))


def test_layers_to_transform_holds_without_naming_targets():
    model, depths = adapted("bert", {"type": "lora", "layers_to_transform": [2]})
    assert {depths.of(key) for key, _ in model.named_parameters() if "lora_" in key} == {3}


# --- AdaLoRA


@pytest.mark.slow
def test_adalora_shares_its_ranks_out_over_the_steps_of_the_run(tmp_path):
    model, depths = adapted("bert", {"type": "adalora", "init_r": 4, "target_r": 1})
    rows = examples("text", SINGLE, 8)
    settings = settings_in(tmp_path, per_device_train_batch_size=4, num_train_epochs=5, optim="adamw_torch")
    trainer = finetuner(model, labels_of(SINGLE), rows, settings, depths=depths)
    trainer.train()
    config = model.peft_config["default"]
    assert (config.total_step, config.tinit, config.tfinal) == (10, 1, 3)
    kept = sum(map(sum, config.rank_pattern.values()))
    assert kept == 1 * len(config.rank_pattern), "target_r for each layer on average"
    alive = sum(int((p != 0).sum()) for key, p in model.named_parameters() if "lora_E." in key)
    assert alive <= kept


@pytest.mark.parametrize(
    ("given", "steps", "found"),
    [((0, 0), 100, (10, 30)), ((0, 0), 19, (1, 5)), ((5, 0), 100, (5, 0)), ((0, 5), 100, (0, 5))],
)
def test_ranks_are_whole_for_a_tenth_of_the_run_and_settled_for_three_unless_said(given, steps, found):
    config = SimpleNamespace(tinit=given[0], tfinal=given[1])
    model = SimpleNamespace(peft_config={"default": config})
    rank_allocation.AllocateRanks().on_train_begin(None, SimpleNamespace(max_steps=steps), None, model=model)
    assert (config.total_step, config.tinit, config.tfinal) == (steps, *found)


def test_adaloras_own_term_is_in_the_loss():
    from hfft.strategy.build import implied_methods

    model, _ = adapted("bert", {"type": "adalora"})
    [term] = implied_methods(None, model)
    assert (term.name, term.weight.spec) == ("orthogonality", 0.5)
    inputs, labels = batch_of("bert")
    model.train()
    outputs = model.base_model(**inputs, labels=labels)  # PEFT adds it where the model computes the loss itself
    plain_loss = torch.nn.functional.cross_entropy(outputs.logits, labels)
    torch.testing.assert_close(outputs.loss - plain_loss, 0.5 * orthogonality(model))


def test_a_schedule_that_leaves_no_step_is_an_error(tmp_path):
    from hfft.errors import BadInput

    model, depths = adapted("bert", {"type": "adalora", "tinit": 3, "tfinal": 3})
    trainer = finetuner(
        model, labels_of(SINGLE), examples("text", SINGLE, 8), settings_in(tmp_path, max_steps=4), depths=depths
    )
    with pytest.raises(BadInput, match=r"layers\.adapter\.tinit: 3 and tfinal 3 leave none of the run's 4 steps"):
        trainer.train()


def test_state_of_an_adapter_comes_back_whole(tmp_path):
    model, _ = adapted("vit", {"type": "lokr"})
    learn(model, "vit")
    rank_allocation.save_state(model, str(tmp_path))
    other, _ = adapted("vit", {"type": "lokr"})
    assert rank_allocation.load_state(other, str(tmp_path))
    expected = {key: p for key, p in model.named_parameters() if p.requires_grad}
    found = dict(other.named_parameters())
    assert all(torch.equal(found[key], p) for key, p in expected.items())
    assert not rank_allocation.load_state(copy.copy(other), str(tmp_path / "nowhere"))


# --- new tokens

NEW = [38, 39]  # rows of the table, as if they were new


def with_new_tokens(adapter, train="head"):
    model = tiny("bert")
    head_names, depths = head_and_depths(model)
    torch.manual_seed(0)
    return layers.adapt(model, train, adapter, depths, head_names, new_tokens=NEW)


@pytest.mark.parametrize("more", [{}, {"use_dora": True}, {"target_modules": ["query"]}])
def test_rows_of_new_tokens_learn_beside_lora_and_are_merged(more):
    model = with_new_tokens({"type": "lora", **more})
    assert layers.tokens_that_stay(model, NEW) == []
    before = tiny("bert").get_input_embeddings().weight
    rows = torch.tensor([[1, *NEW, 5], [2, 6, NEW[1], 7]])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(input_ids=rows).logits, torch.tensor([0, 1])).backward()
        optimizer.step()
    expected = model.eval()(input_ids=rows).logits
    plain = layers.merged(model)
    table = plain.get_input_embeddings().weight
    moved = {i for i in range(len(table)) if not torch.equal(table[i], before[i])}
    assert moved == set(NEW)
    assert torch.allclose(plain(input_ids=rows).logits, expected, atol=1e-5)
    assert {name for name, _ in plain.named_parameters()} == {name for name, _ in tiny("bert").named_parameters()}


@pytest.mark.parametrize(
    ("adapter", "train", "said"),
    [
        ({"type": "loha"}, "head", "use layers.adapter type lora"),
        (None, "last-1", "add embeddings to layers.train"),
        (None, ["last-1", "embeddings"], None),
        ({"type": "loha", "modules_to_save": ["word_embeddings"]}, "head", None),
        ({"type": "lora", "trainable_token_indices": [38]}, "head", None),
    ],
)
def test_new_tokens_that_would_not_learn_are_told(adapter, train, said):
    model = with_new_tokens(adapter, train)
    told = layers.tokens_that_stay(model, NEW)
    assert told == ([] if said is None else told[:1])
    assert said is None or said in told[0]
    assert layers.tokens_that_stay(model, []) == []


# --- grammar


def test_the_types_are_those_of_peft():
    from peft import PeftType

    assert {kind for kind in types() if kind != "dora"} | set(REFUSED) == {kind.value.lower() for kind in PeftType}


@pytest.mark.parametrize("kind", types())
def test_the_arguments_of_a_type_are_the_fields_of_its_config(kind):
    import dataclasses

    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    name, _ = plain({"type": kind})
    fields = {field.name for field in dataclasses.fields(PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(name.upper())])}
    assert set(arguments(name)) == fields
    assert adapter_problems({"type": kind}) == []


@pytest.mark.parametrize("kind", REFUSED)
def test_a_type_that_cannot_serve_is_refused_with_the_reason(kind):
    [(key, problem)] = adapter_problems({"type": kind})
    assert key == "type"
    assert problem.startswith(f"is {kind}, which ")
    assert "; use " in problem


@pytest.mark.parametrize(
    ("adapter", "key", "said"),
    [
        ({"type": "bone"}, "type", "use miss"),
        ({"type": "loro"}, "type", "did you mean 'lora'"),
        ({"type": "prefix_tuning"}, "type", "prepends learned tokens to a text"),
        ({"type": "oft", "oft_block_sise": 4}, "oft_block_sise", "did you mean 'oft_block_size'"),
        ({"type": "vera", "r": 0}, "r", "at least 1"),
        ({"type": "boft", "boft_dropout": 1.0}, "boft_dropout", "below 1"),
        ({"type": "loha", "alpha": "x"}, "alpha", "expected int"),
        ({"type": "lora", "target_modules": [1]}, "target_modules", "expected Optional[Union[list[str], str]]"),
        ({"type": "lora", "init_lora_weights": "eva"}, "init_lora_weights", "a pass over the data"),
        ({"type": "lora", "init_lora_weights": "pisa"}, "init_lora_weights", "expected bool | Literal"),
        ({"type": "adalora", "total_step": 10}, "total_step", "number of steps of the run"),
        ({"type": "adalora", "init_r": 4}, "target_r", "is 8; expected fewer than init_r (4)"),
        ({"type": "adalora", "init_r": 8}, "target_r", "is 8; expected fewer than init_r (8)"),
        ({"type": "adalora", "target_r": 12}, "target_r", "is 12; expected fewer than init_r (12)"),
        ({"from": "a/b", "r": 4}, "r", "comes from the published adapter"),
        ({"from": 3}, "from", "expected a string"),
    ],
)
def test_a_mistake_is_answered(adapter, key, said):
    [(found, problem)] = adapter_problems(adapter, prompts=False)
    assert found == key
    assert said in problem


@pytest.mark.parametrize("adapter", [{"target_r": 11}, {"init_r": 9}, {"target_r": 3, "init_r": 4}])
def test_fewer_ranks_in_the_end_than_in_the_beginning_are_accepted(adapter):
    assert adapter_problems({"type": "adalora", **adapter}) == []
