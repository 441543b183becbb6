"""Every parameter has a depth that follows the way of the data through the model."""

import pytest
import torch

from hfft import layers
from hfft.layers.depth import Depths
from tests.architectures.case import Case
from tests.examples import ALL, EVERY, SINGLE, head_and_depths, tiny
from tests.training import collate, examples

every = pytest.mark.parametrize("name", EVERY)
BLOCKS = {name: architecture.blocks for name, architecture in ALL.items()}
# The first parameters the input meets, and what stands between the last block and the head.
FIRST = {
    "bert": "bert.embeddings.word_embeddings.weight",
    "deberta-v2": "deberta.encoder.rel_embeddings.weight",
    "gpt2": "transformer.wpe.weight",
    "vit": "vit.embeddings.cls_token",
    "resnet": "resnet.embedder.embedder.convolution.weight",
    "clip": "vision_model.pre_layrnorm.weight",
}
LAST = {
    "bert": "bert.pooler.dense.weight",
    "gpt2": "transformer.ln_f.weight",
    "llama": "model.norm.weight",
    "vit": "vit.layernorm.weight",
    "efficientnet": "efficientnet.encoder.top_conv.weight",
    "siglip": "vision_model.head.probe",
}


@every
def test_every_parameter_has_a_depth_from_embeddings_to_head(name):
    model = tiny(name)
    _, depths = head_and_depths(model)
    found = {key: depths.of(key) for key, _ in model.named_parameters()}
    assert set(found.values()) == set(range(depths.blocks + 2))
    assert {key for key, depth in found.items() if depth == depths.head} == set(ALL[name].head)
    assert layers.depths(model) == depths, "the head is found here where it is not given"


@every
def test_blocks_are_as_many_as_the_config_says_and_each_is_one_depth(name):
    model = tiny(name)
    depths = head_and_depths(model)[1]
    assert depths.blocks == len(BLOCKS[name])
    for number, path in enumerate(BLOCKS[name], 1):
        assert {depths.of(f"{path}.{key}") for key, _ in model.get_submodule(path).named_parameters()} == {number}


@every
def test_blocks_are_numbered_in_the_order_the_data_meets_them(name):
    model = tiny(name)
    met = []
    for path in BLOCKS[name]:
        model.get_submodule(path).register_forward_pre_hook(lambda *_, path=path: met.append(path))
    batch = collate(examples(ALL[name].modality, SINGLE, 2))
    with torch.no_grad():
        model(**{key: value for key, value in batch.items() if key != "labels"})
    assert tuple(met) == BLOCKS[name]


@pytest.mark.parametrize("name", ["convnext", "swin", "resnet"])
def test_what_joins_two_stages_lies_between_their_depths(name):
    model = tiny(name)
    depths = head_and_depths(model)[1]
    in_order = [depths.of(key) for key, _ in model.named_parameters()]
    assert in_order == sorted(in_order)


@pytest.mark.parametrize("name", FIRST)
def test_embeddings_stem_and_tables_are_depth_zero(name):
    assert head_and_depths(tiny(name))[1].of(FIRST[name]) == 0


def test_the_norm_of_a_table_that_serves_all_blocks_goes_with_the_table():
    assert head_and_depths(tiny("deberta-v2"))[1].of("deberta.encoder.LayerNorm.weight") == 0


@pytest.mark.parametrize("name", LAST)
def test_what_stands_behind_the_last_block_goes_with_it(name):
    depths = head_and_depths(tiny(name))[1]
    assert depths.of(LAST[name]) == depths.blocks


@pytest.mark.parametrize("name", ["bert", "distilbert", "vit", "swin", "convnext"])
def test_more_blocks_only_shift_the_head(name):
    deeper = {"depths": [2, 2, 2, 2]} if name == "convnext" else {"depths": [2, 4]} if name == "swin" else {}
    key = "n_layers" if name == "distilbert" else "num_hidden_layers"
    model = tiny(name, **(deeper or {key: 7}))
    assert head_and_depths(model)[1].blocks == (sum(deeper["depths"]) if deeper else 7)


def test_names_that_a_wrapper_changed_are_known():
    depths = Depths(2, {"classifier": 3, "block.0.q": 1}, {"classifier.weight": 3, "block.0.q.weight": 1})
    for name in (
        "block.0.q.weight",
        "base_model.model.block.0.q.base_layer.weight",
        "base_model.model.block.0.q.lora_A.default.weight",
    ):
        assert depths.of(name) == 1
    for name in (
        "base_model.model.classifier.original_module.weight",
        "base_model.model.classifier.modules_to_save.default.weight",
    ):
        assert depths.of(name) == 3


@every
def test_what_a_wrapper_adds_to_a_module_has_the_depth_of_the_module(name):
    model = tiny(name)
    depths = head_and_depths(model)[1]
    for path, module in model.named_modules():
        if own := [depths.of(f"{path}.{key}") for key, _ in module.named_parameters(recurse=False)]:
            assert depths.of(f"base_model.model.{path}.lora_A.default.weight") == max(own)


def test_a_module_whose_parameters_differ_in_depth_has_the_greatest():
    depths = layers.depths(tiny("vit"), {"classifier.weight"})
    assert depths.of("classifier.bias") == depths.blocks < depths.of("classifier.weight") == depths.head
    assert depths.of("classifier.lora_A.default.weight") == depths.head
    depths = layers.depths(tiny("vit"), {"classifier.bias"})
    assert depths.of("classifier.lora_A.default.weight") == depths.head


def test_a_parameter_of_no_module_is_an_error():
    with pytest.raises(KeyError, match=r"'elsewhere\.weight' belongs to no depth"):
        head_and_depths(tiny("vit"))[1].of("elsewhere.weight")


def test_a_model_without_a_stack_of_blocks_has_only_body_and_head():
    model = tiny("vit")
    model.vit.layers = torch.nn.ModuleList()
    depths = head_and_depths(model)[1]
    assert depths.blocks == 0
    assert {depths.of(key) for key, _ in model.named_parameters()} == {0, 1}
    assert {key for key, _ in model.named_parameters() if depths.of(key) == 1} == set(ALL["vit"].head)


def test_what_joins_two_stages_goes_with_the_second_and_a_stage_may_end_in_another_kind():
    found = Case("image", "swiftformer").depths
    assert found.blocks == 3 + 3 + 4 + 3
    assert {found.of(f"swiftformer.encoder.network.0.blocks.{i}.depth_wise_conv.weight") for i in (0, 1)} == {1, 2}
    assert found.of("swiftformer.encoder.network.0.blocks.2.attn.proj.weight") == 3
    assert found.of("swiftformer.encoder.network.1.proj.weight") == 4


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("bart", ["model.encoder.layernorm_embedding", "model.decoder.layernorm_embedding"]),
        ("layoutlmv3", [f"layoutlmv3.encoder.rel_pos_{axis}bias" for axis in ("", "x_", "y_")]),
    ],
)
def test_what_is_registered_behind_the_blocks_but_runs_in_front_of_them_is_depth_zero(name, parts):
    depths = Case("text", name).depths
    assert {depths.of(f"{part}.weight") for part in parts} == {0}
    assert depths.blocks >= 3
