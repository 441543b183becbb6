"""Copies of blocks leave the function as it is, learn, and make a stock model."""

import pytest
import torch

from hfft import layers
from hfft.backbone.edit.reshape import on_meta
from hfft.errors import ModelError
from tests.backbone.edit.test_edit import done, logits
from tests.examples import ALL, SINGLE, head_and_depths, tiny
from tests.training import arguments, examples, finetuner, labels_of

# Architecture -> ends of the names of the tensors that are zero in a copy, weights alone.
ZERO = {
    "vit": {"attention.o_proj.weight", "mlp.fc2.weight"},
    "dinov2": {"attention.o_proj.weight", "mlp.fc2.weight"},
    "llama": {"self_attn.o_proj.weight", "mlp.down_proj.weight"},
    "gpt2": {"attn.c_proj.weight", "mlp.c_proj.weight"},
    "modernbert": {"attn.Wo.weight", "mlp.Wo.weight"},
    "resnet": {"layer.1.normalization.weight"},
    "convnext": {"pwconv2.weight"},
    "swin": {"attention.o_proj.weight", "mlp.fc2.weight"},
}
POST = ("bert", "roberta", "distilbert", "electra", "deberta-v2")


def stirred(name):
    """A tiny model with statistics and scales that a pretrained one could have."""
    model, draw = tiny(name, dropout=0.0), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor += 0.1 * (torch.rand(tensor.shape, generator=draw) - (0.0 if "var" in key else 0.5))
    return model


def copies_of(name, which="last-1"):
    """The model with copies, its blocks, and the numbers of the blocks that are copies, from 1."""
    model = stirred(name)
    count = len(layers.block_paths(model))
    larger, rows = done(model, {"expand": which})
    copies = {"last-1": [count + 1], "last-2": [count, count + 2], "first-1": [2]}[which]
    return larger, layers.block_paths(larger), copies, rows


@pytest.mark.slow_but("vit", "llama", "resnet")
@pytest.mark.parametrize("name", ZERO)
def test_the_function_stays_to_the_bit_and_only_the_last_layers_are_zero(name):
    before = logits(stirred(name), name)
    larger, blocks, (copy,), rows = copies_of(name)
    assert torch.equal(logits(larger, name), before)
    assert rows == [{"edit": "expand last-1", "places": 1, "moved": 0.0}]
    new, old = larger.get_submodule(blocks[copy - 1][0]), larger.get_submodule(blocks[copy - 2][0])
    theirs, zero = dict(old.named_parameters()), set()
    for key, parameter in new.named_parameters():
        if parameter.abs().sum() == 0:
            zero.add(key.replace("bias", "weight"))
        else:
            assert torch.equal(parameter, theirs[key])
    assert zero == {key for key in theirs if key.endswith(tuple(ZERO[name]))}
    assert all(torch.equal(b, dict(old.named_buffers())[key]) for key, b in new.named_buffers())


@pytest.mark.slow_but("vit")
@pytest.mark.parametrize("name", ZERO)
def test_a_copy_learns_alone_and_the_saved_model_is_stock(name, tmp_path):
    larger, blocks, (copy,), _ = copies_of(name)
    _, depths = head_and_depths(larger)
    assert depths.blocks == len(blocks) == len(layers.block_paths(tiny(name))) + 1
    layers.adapt(larger, f"blocks-{copy}", None, depths, head_and_depths(larger)[0])
    start = {key: p.detach().clone() for key, p in larger.named_parameters()}
    inside = {key for key in start if depths.of(key) == copy}
    rows = examples(ALL[name].modality, SINGLE, 16)
    finetuner(
        larger,
        labels_of(SINGLE),
        rows,
        arguments(tmp_path / "run", num_train_epochs=2, max_grad_norm=0.0),
        depths=depths,
    ).train()
    moved = {key for key, p in larger.named_parameters() if not torch.equal(p, start[key])}
    assert {key for key in inside if key.endswith(tuple(ZERO[name]))} <= moved
    assert len(moved & inside) > len(inside) / 2
    assert all(depths.of(key) in (copy, depths.head) for key in moved)
    larger.save_pretrained(tmp_path / "model")
    again = type(tiny(name)).from_pretrained(tmp_path / "model").eval()
    assert torch.equal(logits(again, name), logits(larger.eval(), name))


@pytest.mark.parametrize(("name", "which"), [("vit", "last-2"), ("llama", "first-1")])
def test_each_copy_is_behind_its_block(name, which):
    larger, blocks, copies, rows = copies_of(name, which)
    assert torch.equal(logits(larger, name), logits(stirred(name), name))
    assert rows[0]["places"] == len(copies)
    assert larger.config.num_hidden_layers == len(blocks)
    for copy in copies:
        pair = [dict(larger.get_submodule(blocks[i][0]).named_parameters()) for i in (copy - 2, copy - 1)]
        same = [key for key in pair[0] if torch.equal(pair[0][key], pair[1][key])]
        assert len(same) > len(pair[0]) / 2


def test_without_weights_the_shapes_are_found():
    model = tiny("vit")
    larger, rows = done(on_meta(model, model.config), {"expand": [1, 3]})
    assert larger.device.type == "meta"
    assert larger.config.num_hidden_layers == 5
    assert rows[0]["moved"] is None


@pytest.mark.slow_but("bert")
@pytest.mark.parametrize("name", POST)
def test_norms_behind_the_sum_are_refused(name):
    with pytest.raises(
        ModelError, match=r"backbone.edit.0: expand last-1: a block of .* \(post-norm\); a copy cannot start"
    ):
        done(tiny(name), {"expand": "last-1"})


@pytest.mark.parametrize(
    ("name", "edits", "said"),
    [
        ("vit", [{"expand": "last-9"}], "expand: last-9, but the model has 3 blocks; use at most last-3"),
        ("vit", [{"expand": [2, 7]}], "expand 2, 7, but vit has 3 blocks"),
        ("resnet", [{"expand": [3]}], "no config of resnet describes"),
        (
            "vit",
            [{"insert": "vit.layers.0", "module": {"type": "linear"}}, {"expand": "last-1"}],
            "modules have been inserted or replaced before; put expand first",
        ),
    ],
)
def test_what_cannot_be_copied_is_refused(name, edits, said):
    with pytest.raises(ModelError, match=said):
        done(tiny(name), *edits)


def test_a_block_whose_function_depends_on_its_number_is_refused():
    model = stirred("swin")
    stage = [path for (path,) in layers.block_paths(model) if path.startswith("swin.encoder.layers.1.")]
    assert len(stage) == 2  # the second shifts its windows
    number = [path for (path,) in layers.block_paths(model)].index(stage[0]) + 1
    with pytest.raises(ModelError, match="because what a block does depends on its number"):
        done(model, {"expand": [number]})
