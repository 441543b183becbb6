"""What is inserted changes nothing until it learns; what the config can say is the stock architecture; the rest saves whole."""

import copy

import pytest
import torch
import transformers

from hfft import head, layers
from hfft.backbone import published_code
from hfft.backbone.edit import edit
from hfft.backbone.edit.insert import output_shapes
from hfft.backbone.edit.places import matching
from hfft.backbone.edit.reshape import on_meta
from hfft.errors import ModelError
from hfft.modeling import INSERTED
from hfft.tasks.table import TASKS
from tests.examples import ALL, IMAGE, SINGLE, tiny
from tests.training import arguments, collate, examples, finetuner, labels_of

NAMES = ("bert", "distilbert", "gpt2", "llama", "deberta-v2", "vit", "dinov2", "swin", "resnet", "convnext", "clip")
MODULES = (
    {"type": "bottleneck", "size": 4},
    {"type": "squeeze_excite", "reduction": 4},
    {"type": "conv", "kernel_size": 5},
    {"type": "linear"},
    {"type": "dropout", "p": 0.5},
)


def batch(name: str) -> dict[str, torch.Tensor]:
    """Inputs of four examples."""
    made = collate(examples(ALL[name].modality, SINGLE, 4))
    return {key: value for key, value in made.items() if key != "labels"}


def done(model, *edits):
    """The model with the edits done."""
    name = model.config.model_type
    return edit.edit(model, list(edits), None, lambda _: batch(name))


def block(name: str, i: int = 1) -> str:
    """The path of a block."""
    return layers.block_paths(tiny(name))[i][0]


def logits(model, name: str) -> torch.Tensor:
    """Logits of the four examples."""
    with torch.no_grad():
        return model.eval()(**batch(name)).logits


def stir(model) -> None:
    """Move every parameter a little, as learning would."""
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=draw)


# --- insert


@pytest.mark.slow_but("vit")
@pytest.mark.parametrize("name", NAMES)
def test_what_is_inserted_passes_on_what_it_is_given_until_it_learns(name):
    before, inserted = logits(tiny(name), name), set()
    for module in MODULES:
        model, rows = done(tiny(name), {"insert": block(name), "module": module})
        assert torch.equal(logits(model, name), before)
        assert rows == [{"edit": rows[0]["edit"], "places": 1, "moved": 0.0}]
        new = {key for key, _ in model.named_parameters()} - {key for key, _ in tiny(name).named_parameters()}
        assert bool(new) == (module["type"] != "dropout")
        assert all(f".{INSERTED}." in key and layers.depths(model).of(key) == 2 for key in new)
        stir(model)
        assert module["type"] == "dropout" or not torch.equal(logits(copy.deepcopy(model), name), before)
        inserted |= new
    assert len(inserted) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_edited_model_saved_and_loaded_answers_as_before(name, tmp_path):
    places = [block(name, 0), block(name)]
    model, _ = done(
        tiny(name),
        {"insert": places[0], "module": MODULES[0]},
        {"insert": places[1], "module": MODULES[3]},
        {"insert": places[1], "module": MODULES[1]},
        {"replace": places[1], "with": {"activation": "tanh"}},
    )
    stir(model)
    published_code.save(model, tmp_path, TASKS[ALL[name].task].auto_class)
    config = published_code.stock_config(str(tmp_path))
    again = published_code.load(str(tmp_path), config, published_code.task_class(config))
    assert torch.equal(logits(again, name), logits(model, name))
    assert again.state_dict().keys() == model.state_dict().keys()
    with pytest.raises(
        ValueError, match="trust_remote_code"
    ):  # never, unasked, as the stock model without what was added
        transformers.AutoConfig.from_pretrained(tmp_path, trust_remote_code=False)


@pytest.mark.parametrize("name", ["bert", "gpt2", "vit", "swin", "resnet"])
def test_a_regex_inserts_behind_the_outermost_modules_that_it_matches(name):
    place = {"bert": r"/layer\.\d+\.(attention\.)?output/", "gpt2": r"/h\.\d+\.mlp/", "vit": "/mlp/"}.get(
        name, r"/blocks\.\d+$|stages\.\d+\.layers\.\d+$/"
    )
    model, rows = done(tiny(name), {"insert": place, "module": {"type": "bottleneck"}})
    places = [path for path, _ in model.named_modules() if path.endswith(f".{INSERTED}")]
    assert rows[0]["places"] == len(places) >= 3
    assert not [path for path in places if path.count(INSERTED) > 1]


def test_behind_a_sequence_what_is_inserted_runs_once():
    place = "resnet.encoder.stages.0.layers.1.layer"
    assert isinstance(tiny("resnet").get_submodule(place), torch.nn.Sequential)
    model, _ = done(tiny("resnet"), {"insert": place, "module": MODULES[0]})
    assert torch.equal(logits(model, "resnet"), logits(tiny("resnet"), "resnet"))
    assert layers.depths(model).blocks == 5
    runs = []
    model.get_submodule(f"{place}.{INSERTED}").register_forward_hook(lambda *_: runs.append(1))
    logits(model, "resnet")
    assert runs == [1]


@pytest.mark.slow_but("head-vit")
@pytest.mark.parametrize("name", ["bert", "vit", "resnet"])
@pytest.mark.parametrize("train", ["head", "last-1"])
def test_what_is_inserted_learns_and_the_frozen_rest_stays(name, train, tmp_path):
    module = MODULES[1] if name == "resnet" else MODULES[0]
    place = r"/normalization$/" if name == "resnet" else r"/(layer|layers)\.\d+$/"
    model, _ = done(tiny(name), {"insert": place, "module": module})
    names = head.parameter_names(model)
    depths = layers.depths(model, names)
    layers.adapt(model, train, None, depths, names)
    before = copy.deepcopy(model.state_dict())
    frozen = layers.frozen_digests(model)
    rows = examples(ALL[name].modality, SINGLE, 16)
    finetuner(model, labels_of(SINGLE), rows, arguments(tmp_path), depths=depths).train()
    assert layers.moved(model, frozen) == []
    stayed = {key for key, value in model.state_dict().items() if torch.equal(value, before[key])}
    block_learns = lambda key: train == "last-1" and depths.of(key) == depths.blocks  # noqa: E731
    for key, _ in model.named_parameters():
        learns = key in names or INSERTED in key or block_learns(key)
        assert learns or key in stayed
    assert any(key.endswith("up.weight") and INSERTED in key and key not in stayed for key in before)
    if train == "head":  # statistics of frozen norms stand still, also with something inserted right behind them
        assert {key for key, _ in model.named_buffers() if key in before} <= stayed


@pytest.mark.slow_but("vit-adapter7")
@pytest.mark.parametrize(
    ("name", "adapter"),
    [
        *((name, {"type": "lora", "r": 2, "lora_alpha": 4}) for name in ("bert", "vit", "resnet")),
        ("bert", {"type": "lora", "r": 2, "target_modules": "all-linear"}),
        ("bert", {"type": "ia3"}),
        ("gpt2", {"type": "lora", "r": 2}),
        ("vit", {"type": "boft"}),
        ("vit", {"type": "ln_tuning"}),
    ],
)
def test_beside_an_adapter_what_is_inserted_learns_whole_and_merges(name, adapter, tmp_path):
    inside = next(f"{block(name)}.{path}" for path, m in tiny(name).get_submodule(block(name)).named_modules()
                  if path and not list(m.children()) and list(m.parameters()))  # fmt: skip
    model, _ = done(tiny(name), *({"insert": place, "module": MODULES[0]} for place in (block(name), inside)))
    names = head.parameter_names(model)
    depths = layers.depths(model, names)
    adapted = layers.adapt(model, "head", adapter, depths, names)
    learning = [key for key, p in adapted.named_parameters() if p.requires_grad]
    assert any(INSERTED in key for key in learning)
    assert not any(INSERTED in key and "lora_" in key for key in learning)
    stir(adapted)
    want = logits(adapted, name)
    merged = layers.merged(adapted)
    assert torch.allclose(logits(merged, name), want, atol=1e-4)
    published_code.save(merged, tmp_path, TASKS[ALL[name].task].auto_class)
    config = published_code.stock_config(str(tmp_path))
    assert torch.equal(
        logits(published_code.load(str(tmp_path), config, published_code.task_class(config)), name),
        logits(merged, name),
    )


@pytest.mark.slow_but("vit")
@pytest.mark.parametrize("name", ["distilbert", "vit", "resnet"])
def test_a_run_that_is_resumed_ends_as_one_that_is_not(name, tmp_path):
    def run(folder, stop=None):
        model, _ = done(
            tiny(name),
            {"insert": block(name), "module": MODULES[0]},
            {"replace": block(name), "with": {"activation": "tanh"}},
        )
        rows = examples(ALL[name].modality, SINGLE, 16)
        settings = arguments(folder, save_strategy="epoch", learning_rate=0.05, seed=1, data_seed=1)
        trainer = finetuner(model, labels_of(SINGLE), rows, settings)
        trainer.train(resume_from_checkpoint=stop)
        return trainer.model.state_dict()

    whole = run(tmp_path / "a")
    resumed = run(tmp_path / "b", stop=str(tmp_path / "a" / "checkpoint-2"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_gradient_checkpointing_gives_the_same_gradients():
    model, _ = done(tiny("vit"), {"insert": r"/layers\.\d+$/", "module": MODULES[0]})
    stir(model)
    found = []
    for on in (False, True):
        one = copy.deepcopy(model).train()
        if on:
            one.gradient_checkpointing_enable({"use_reentrant": False})
        one(**batch("vit"), labels=torch.tensor([0, 1, 2, 0])).loss.backward()
        found.append({key: p.grad for key, p in one.named_parameters()})
    assert all(torch.allclose(found[0][key], found[1][key], atol=1e-7) for key in found[0])


@pytest.mark.parametrize(("deep", "places"), [(False, 1), (True, 3)])
@pytest.mark.parametrize(("name", "place"), [("vit", "vit.embeddings"), ("dinov2", "dinov2.embeddings")])
def test_prompts_are_put_in_behind_the_first_token(name, place, deep, places, tmp_path):
    model, rows = done(tiny(name), {"insert": place, "module": {"type": "prompt", "tokens": 5, "deep": deep}})
    assert rows[0]["places"] == places
    assert rows[0]["moved"] > 0  # said before training: prompts cannot be the identity
    states = model.base_model(**batch(name))[0]
    assert states.shape[1] == tiny(name).base_model(**batch(name))[0].shape[1] + 5
    model(**batch(name)).logits.sum().backward()
    assert all(p.grad.abs().sum() > 0 for key, p in model.named_parameters() if key.endswith(".prompt"))
    published_code.save(model, tmp_path, "AutoModelForImageClassification")
    config = published_code.stock_config(str(tmp_path))
    assert torch.equal(
        logits(published_code.load(str(tmp_path), config, published_code.task_class(config)), name), logits(model, name)
    )


# --- remove


@pytest.mark.slow_but("vit-first-1")
@pytest.mark.parametrize("which", ["last-1", "first-1", [2]])
@pytest.mark.parametrize("name", ["bert", "distilbert", "deberta-v2", "gpt2", "llama", "vit", "dinov2", "siglip"])
def test_fewer_blocks_are_the_stock_model_of_fewer_layers(name, which, tmp_path):
    at = {"last-1": 2, "first-1": 0}.get(str(which), 1)
    model, rows = done(tiny(name), {"remove": which})
    container = block(name, 0).rpartition(".")[0]
    by_hand = tiny(name)
    del by_hand.get_submodule(container)[at]
    for i, one in enumerate(by_hand.get_submodule(container)):  # caches are kept by number
        for module in one.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = i
    assert torch.equal(logits(model, name), logits(by_hand, name))
    assert type(model) is type(tiny(name))
    assert rows[0]["moved"] > 0
    published_code.save(model, tmp_path, TASKS[ALL[name].task].auto_class)
    again = getattr(transformers, TASKS[ALL[name].task].auto_class).from_pretrained(tmp_path)
    assert torch.equal(logits(again, name), logits(model, name))


@pytest.mark.parametrize(("name", "entry"), [("resnet", [2, 1, 1]), ("swin", [1, 1])])
def test_blocks_of_stages_are_taken_from_the_lists_of_the_config(name, entry):
    model, _ = done(tiny(name), {"remove": "last-1"})
    assert list(model.config.depths) == entry
    assert model.state_dict().keys() == on_meta(tiny(name), model.config).state_dict().keys()


def test_what_was_inserted_before_blocks_go_moves_with_its_block():
    model, _ = done(tiny("bert"), {"insert": block("bert", 2), "module": MODULES[0]}, {"remove": "first-1"})
    assert [one["insert"] for one in model.config.edits] == ["bert.encoder.layer.1"]
    model, _ = done(tiny("bert"), {"insert": block("bert", 2), "module": MODULES[0]}, {"remove": "last-1"})
    assert model.config.edits == []


# --- replace


@pytest.mark.parametrize("name", ["bert", "gpt2", "vit", "dinov2", "clip"])
def test_activations_of_the_whole_model_and_dropout_are_said_by_the_config(name, tmp_path):
    place = "vision_model" if name == "clip" else tiny(name).base_model_prefix
    model, rows = done(tiny(name), {"replace": place, "with": {"activation": "relu"}})
    assert rows[0]["places"] >= 3
    assert rows[0]["moved"] > 0
    wanted = tiny(name)
    for module in list(wanted.modules()):
        for key, child in list(module.named_children()):
            if type(child).__module__ == "transformers.activations" and "Tanh" not in type(child).__name__:
                setattr(module, key, torch.nn.ReLU())
    if name != "bert":  # whose pooler has an activation that no entry states
        assert type(model) is type(wanted)
        assert torch.equal(logits(model, name), logits(wanted, name))


def test_dropout_of_the_whole_model_is_stock():
    model, _ = done(tiny("bert"), {"replace": "all", "with": {"dropout": 0.25}})
    assert type(model) is type(tiny("bert"))
    assert model.config.attention_probs_dropout_prob == model.config.hidden_dropout_prob == 0.25
    model, rows = done(tiny("bert"), {"replace": "bert.encoder.layer.0.output", "with": {"dropout": 0.25}})
    assert rows[0]["places"] == 1
    assert [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)].count(0.25) == 1


def test_norms_and_pooling_are_replaced_with_what_they_had_learned():
    model, _ = done(tiny("resnet"), {"replace": "resnet", "with": {"norm": "group_norm"}})
    assert not [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    stirred = tiny("vit")
    stir(stirred)
    kept = stirred.vit.layers[0].layernorm_before.weight.clone()
    model, _ = done(stirred, {"replace": "vit.layers.0.layernorm_before", "with": {"norm": "rms_norm"}})
    assert torch.equal(model.vit.layers[0].layernorm_before.weight, kept)
    model, _rows = done(tiny("resnet"), {"replace": "resnet.pooler", "with": {"pooling": "max"}})
    assert isinstance(model.resnet.pooler, torch.nn.AdaptiveMaxPool2d)


def test_another_implementation_of_attention_answers_the_same():
    model, rows = done(tiny("vit"), {"replace": "all", "with": {"attn_implementation": "eager"}})
    assert model.config._attn_implementation == "eager"
    assert rows[0]["places"] == 1
    assert rows[0]["moved"] < 1e-6


# --- what cannot be done, found without data


def test_a_model_that_cannot_be_run_is_an_error_and_without_data_left_open():
    paths, wrong = ["vit.layernorm"], {"pixel_values": torch.zeros(1, 7, 8, 8)}
    shapes = output_shapes(tiny("vit").train(), paths, batch("vit"))
    assert shapes == {"vit.layernorm": [(4, 17, 16)]}
    with pytest.raises(ModelError, match=r"backbone\.edit: vit cannot be run: "):
        output_shapes(tiny("vit"), paths, wrong)
    assert output_shapes(on_meta(tiny("vit"), tiny("vit").config), paths, wrong) is None


def test_what_holds_nothing_of_the_kind_is_an_error():
    for name, kind, value in (("resnet", "dropout", 0.1), ("resnet", "pooling", "max"), ("bert", "norm", "none")):
        place = "all" if kind == "dropout" else block(name)
        if kind == "norm":
            place = "bert.embeddings.word_embeddings"
        with pytest.raises(ModelError, match=f"has no {kind} to replace"):
            done(tiny(name), {"replace": place, "with": {kind: value}})


def test_an_edit_of_the_whole_model_is_at_one_place():
    batches = iter((3, 1))
    model, rows = edit.edit(
        tiny("vit"), [{"channels": 1}], None, lambda _: {"pixel_values": torch.zeros(1, next(batches), 32, 32)}
    )
    assert rows == [{"edit": "channels 1", "places": 1, "moved": 0.0}]
    assert model.config.num_channels == 1


def test_of_a_place_that_is_named_in_part_two_are_told_whole():
    with pytest.raises(
        ModelError, match=r"did you mean bert\.encoder\.layer\.0\.\S+, bert\.encoder\.layer\.0\.\S+, … \(\d+ more\)\?"
    ):
        matching(tiny("bert"), "dense")


@pytest.mark.slow_but("False-bert-one0-did you mean 'bert.encoder.layer.1'")
@pytest.mark.parametrize(
    ("name", "one", "said"),
    [
        ("bert", {"insert": "bert.encoder.layr.1", "module": {"type": "linear"}}, "did you mean 'bert.encoder.layer.1'"),
        ("bert", {"insert": "layer.1", "module": {"type": "linear"}}, "did you mean bert.encoder.layer.1"),
        ("vit", {"insert": r"/layers\.\d+\.mpl/", "module": {"type": "linear"}}, "matches no module; did you mean"),
        ("vit", {"insert": "vit.layers", "module": {"type": "linear"}}, "is a container that is not called itself"),
        ("resnet", {"insert": "resnet.encoder.stages.1.layers", "module": {"type": "linear"}}, "is not called"),
        ("bert", {"remove": "last-30"}, "last-30 of 3 blocks; from bert you can remove at most 2"),
        ("bert", {"remove": "last-3"}, "of 3 blocks"),
        ("resnet", {"remove": [4]}, "no config of resnet describes"),
        ("resnet", {"remove": "last-2"}, r"removes a whole stage \(stages of 2, 1, 2 blocks\); keep at least one block of each"),
        ("swin", {"remove": "first-1"}, "removes a whole stage"),
        ("vit", {"replace": "all", "with": {"activation": "geluu"}}, "did you mean 'gelu'"),
        ("resnet", {"replace": "all", "with": {"dropout": 0.1}}, "has no dropout"),
        ("resnet", {"replace": "all", "with": {"norm": "rms_norm"}}, "batch_norm or group_norm"),
        ("vit", {"replace": "all", "with": {"attn_implementation": "none"}}, "no attn_implementation 'none'"),
        ("swin", {"insert": "swin.embeddings", "module": {"type": "prompt"}}, "cannot be run"),
        ("resnet", {"insert": "resnet.embedder", "module": {"type": "prompt"}}, r"returns tokens \(B, N, C\)"),
        ("vit", {"image_size": 33}, "image_size does not fit|cannot be run|cannot be determined"),
        ("vit", {"image_size": [32, 64]}, "takes square images only"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("meta", [False, True])
def test_an_edit_that_does_not_fit_is_an_error_that_says_why(name, one, said, meta):
    model = on_meta(tiny(name), tiny(name).config) if meta else tiny(name)
    with pytest.raises(ModelError, match=said) as caught:
        done(model, one)
    assert str(caught.value).startswith("backbone.edit.0: ")


@pytest.mark.slow
def test_hooks_and_edits_are_the_same_on_a_model_without_data():
    for name in IMAGE:
        one = {"insert": block(name), "module": MODULES[0]}
        meta, _ = done(on_meta(tiny(name), tiny(name).config), one)
        assert meta.config.edits == done(tiny(name), one)[0].config.edits
