"""How fast each parameter learns and whether it decays: by depth and by what it is."""

import pytest
import torch

from hfft import layers
from hfft.errors import ModelError
from tests.examples import ALL, EVERY, head_and_depths, tiny

every = pytest.mark.parametrize("name", EVERY)
# Tensors that must decay, and tensors of two dimensions and more that must not.
MATRICES = {
    "bert": ["bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.output.dense.weight", "classifier.weight"],
    "electra": ["electra.embeddings_project.weight"],
    "modernbert": ["model.embeddings.tok_embeddings.weight"],
    "gpt2": ["transformer.wte.weight", "transformer.h.0.attn.c_attn.weight"],
    "llama": ["model.embed_tokens.weight", "score.weight"],
    "vit": ["vit.embeddings.patch_embeddings.projection.weight"],
    "convnext": ["convnext.encoder.stages.0.layers.0.dwconv.weight"],
    "resnet": ["resnet.embedder.embedder.convolution.weight", "classifier.1.weight"],
}
TABLES = {
    "bert": ["bert.embeddings.position_embeddings.weight", "bert.embeddings.token_type_embeddings.weight"],
    "deberta-v2": ["deberta.encoder.rel_embeddings.weight"],
    "gpt2": ["transformer.wpe.weight"],
    "vit": ["vit.embeddings.cls_token", "vit.embeddings.position_embeddings"],
    "dinov2": ["dinov2.embeddings.cls_token", "dinov2.embeddings.mask_token", "dinov2.embeddings.position_embeddings"],
    "swin": ["swin.encoder.layers.0.blocks.0.attention.relative_position_bias.relative_position_bias_table"],
    "clip": ["vision_model.embeddings.position_embedding.weight"],
    "siglip": ["vision_model.head.probe", "vision_model.embeddings.position_embedding.weight"],
}


def groups_of(name, train="all", adapter=None, **pace):
    model = tiny(name)
    head_names, depths = head_and_depths(model)
    model = layers.adapt(model, train, adapter, depths, head_names)
    return model, depths, layers.param_groups(model, depths, 0.1, 0.02, **pace)


@every
@pytest.mark.parametrize(("train", "adapter"), [("all", None), ("last-1", None), ("head", {"type": "lora"})])
def test_every_learning_parameter_is_in_exactly_one_group(name, train, adapter):
    model, _, groups = groups_of(name, train, adapter, layer_decay=0.5)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}


@every
def test_the_head_comes_first_and_then_the_blocks_from_the_top_down(name):
    _, depths, groups = groups_of(name)
    found = [group["depth"] for group in groups]
    assert found[0] == depths.head
    assert found == sorted(found, reverse=True)


@every
def test_the_rate_falls_by_the_decay_with_each_block_and_the_head_has_its_own_scale(name):
    _, depths, groups = groups_of(name, layer_decay=0.5, head_lr_scale=7)
    for group in groups:
        away = depths.head - group["depth"]
        assert group["lr"] == pytest.approx(0.7 if away == 0 else 0.1 * 0.5**away)


@every
def test_without_a_pace_all_learn_at_the_same_rate(name):
    assert {group["lr"] for group in groups_of(name)[2]} == {0.1}


@every
def test_biases_norms_and_scales_never_decay_and_matrices_do(name):
    model, _, groups = groups_of(name)
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    for path, module in model.named_modules():
        for leaf, parameter in module.named_parameters(recurse=False):
            norm = "norm" in type(module).__name__.lower()
            if norm or parameter.ndim == 1 or "bias" in leaf:
                assert decay[id(parameter)] == 0, f"{path}.{leaf}"
            elif isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
                assert decay[id(parameter)] == 0.02, f"{path}.{leaf}"


@pytest.mark.parametrize("name", MATRICES)
def test_word_embeddings_and_matrices_decay(name):
    model = tiny(name)
    assert all(layers.decays(key, model.get_parameter(key)) for key in MATRICES[name])


@pytest.mark.parametrize("name", TABLES)
def test_tokens_and_tables_of_positions_do_not_decay(name):
    model = tiny(name)
    assert not any(layers.decays(key, model.get_parameter(key)) for key in TABLES[name])


@every
def test_the_head_of_a_single_output_decays_as_that_of_many(name):
    one, many = tiny(name, labels=1), tiny(name, labels=5)
    for key in ALL[name].last:
        assert layers.decays(key, one.get_parameter(key)) == layers.decays(key, many.get_parameter(key))


def test_adapters_of_rank_one_decay_as_those_of_rank_two():
    decayed = []
    for rank in (1, 2):
        model, _, _ = groups_of("bert", "head", {"type": "lora", "r": rank})
        decayed.append({key for key, p in model.named_parameters() if "lora" in key and layers.decays(key, p)})
    assert decayed[0] == decayed[1] != set()


# --- the table


@every
@pytest.mark.parametrize("train", ["all", "last-2", "head"])
def test_the_table_holds_every_parameter_once_and_its_shares_add_up(name, train):
    model, depths, groups = groups_of(name, train, layer_decay=0.5)
    rows = layers.table(model, depths, groups)
    assert [row["depth"] for row in rows] == list(range(depths.blocks + 2))
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert sum(row["parameters"] for row in rows) == sum(p.numel() for p in model.parameters())
    assert sum(row["learning"] for row in rows) == sum(p.numel() for p in model.parameters() if p.requires_grad)
    rates = {group["depth"]: group["lr"] for group in groups}
    assert {row["depth"]: row["lr"] for row in rows if row["learns"]} == rates
    assert all(row["lr"] is None and row["weight_decay"] is None for row in rows if not row["learns"])


def test_the_head_beside_an_adapter_is_counted_once():
    model, depths, groups = groups_of("bert", "head", {"type": "lora"})
    head = layers.table(model, depths, groups)[-1]
    assert (
        head["parameters"] == head["learning"] == sum(tiny("bert").get_parameter(k).numel() for k in ALL["bert"].head)
    )


def test_the_table_as_text():
    model, depths, groups = groups_of("bert", "last-2", layer_decay=0.5, head_lr_scale=10)
    assert layers.format_table(layers.table(model, depths, groups)) == [
        "  depth  layer          learns         lr   decay  tensors   parameters   share  modules",
        "      0  embeddings     no              -       -        5        1,088   14.9%  bert.embeddings",
        "      1  block 1        no              -       -       16        1,960   26.9%  bert.encoder.layer.0",
        "      2  block 2        yes      2.50e-02    0.02       16        1,960   26.9%  bert.encoder.layer.1",
        "      3  block 3        yes      5.00e-02    0.02       18        2,232   30.6%  bert.encoder.layer.2, bert.pooler",
        "      4  head           yes      1.00e+00    0.02        2           51    0.7%  classifier",
        "4,243 of 7,291 parameters learn (58.20%)",
    ]


def test_blocks_that_are_alike_share_a_line():
    model, depths, groups = groups_of("llama")
    text = layers.format_table(layers.table(model, depths, groups))
    alike = "    1-2  blocks 1-2     yes      1.00e-01    0.02       18        3,904   59.5%  model.layers.0 … model.layers.1"
    assert alike in text


@every
def test_the_modules_of_the_rows_hold_every_parameter_once(name):
    model, depths, groups = groups_of(name)
    held = [
        (parameter, row["depth"])
        for row in layers.table(model, depths, groups)
        for path in row["modules"]
        for parameter in depths.tensors
        if f"{parameter}.".startswith(f"{path}.")
    ]
    assert dict(held) == depths.tensors
    assert len(held) == len(depths.tensors)


def test_the_table_tells_the_rates_that_patterns_give():
    model, depths, groups = groups_of("bert", "last-1", lr_of={"/query/": 0.5})
    rows = layers.table(model, depths, groups)
    assert [(row.get("lr_lowest"), row["lr"]) for row in rows if row["learns"]] == [(0.1, 0.5), (None, 0.1)]
    assert "1.00e-01–5.00e-01    0.02" in "\n".join(layers.format_table(rows))


def test_what_learns_in_part_is_neither_none_nor_all():
    model, depths, groups = groups_of("bert", "biases")
    rows = layers.table(model, depths, groups)
    rows[0] |= {"parameters": 10**7, "learning": 1}
    rows[1] |= {"parameters": 10**7, "learning": 10**7 - 1}
    told = layers.format_table(rows)
    assert "<0.1%" in told[1]
    assert ">99.9%" in told[2]


@pytest.mark.parametrize("name", ["bert", "vit", "gpt2", "resnet"])
def test_loraplus_multiplies_the_rate_of_b_at_each_depth_and_nothing_else(name):
    adapter = {"type": "lora", "r": 2}
    plain, depths, groups = groups_of(name, "head", adapter, layer_decay=0.5, head_lr_scale=3)
    model, _, faster = groups_of(name, "head", adapter, layer_decay=0.5, head_lr_scale=3, loraplus_lr_ratio=16.0)
    before, after = rates_of(plain, groups), rates_of(model, faster)
    assert any("lora_B" in n for n in before)
    for n, rate in before.items():
        assert after[n] == pytest.approx(rate * (16 if "lora_B" in n else 1))
    assert faster[0]["depth"] == depths.head


def rates_of(model, groups):
    of = {id(p): group["lr"] for group in groups for p in group["params"]}
    return {name: of[id(p)] for name, p in model.named_parameters() if id(p) in of}


def test_loraplus_has_the_groups_of_pefts_optimiser():
    from peft.optimizers import create_loraplus_optimizer

    model, _, groups = groups_of("bert", "head", {"type": "lora", "r": 2}, loraplus_lr_ratio=16.0)
    theirs = create_loraplus_optimizer(model, torch.optim.AdamW, lr=0.1, loraplus_lr_ratio=16.0)
    ours, other = rates_of(model, groups), rates_of(model, theirs.param_groups)
    lora = {name for name in ours if "lora_" in name}
    assert lora
    assert {name: ours[name] for name in lora} == pytest.approx({name: other[name] for name in lora})


def test_a_pattern_overrides_the_ratio_and_without_lora_it_is_refused():
    model, _, groups = groups_of(
        "bert", "head", {"type": "lora", "r": 2}, loraplus_lr_ratio=16.0, lr_of={"/lora_B/": 0.3}
    )
    assert {rate for name, rate in rates_of(model, groups).items() if "lora_B" in name} == {0.3}
    with pytest.raises(ModelError, match=r"layers.loraplus_lr_ratio: the adapter has no LoRA layers"):
        groups_of("bert", "head", {"type": "ia3"}, loraplus_lr_ratio=16.0)
