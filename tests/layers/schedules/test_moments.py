"""What learns when: by depth and progress, without any training; and relative gradients."""

import pytest
import torch

from hfft import layers
from hfft.errors import ModelError
from hfft.layers.schedules.moments import Moment, begins, check_begins
from hfft.layers.schedules.surgical import largest, relative_gradients, shares
from hfft.layers.spec import Schedule
from tests.examples import ALL, SINGLE, head_and_depths, tiny
from tests.training import collate, examples


def learns(schedule: Schedule, blocks: int, epoch: float = 0.0, step: int = 0) -> list[int]:
    """The depths that learn at a point of a run."""
    return sorted(depth for depth, start in begins(schedule, blocks).items() if start.reached(epoch, step))


# --- when


def test_the_head_learns_alone_and_then_everything_does():
    by_epoch = Schedule(type="head-then-all", head_epochs=1.5)
    assert learns(by_epoch, 3) == learns(by_epoch, 3, 1.49, 999) == [4]
    assert learns(by_epoch, 3, 1.5) == learns(by_epoch, 3, 2) == [0, 1, 2, 3, 4]
    by_step = Schedule(type="head-then-all", head_steps=7)
    assert learns(by_step, 3, 50.0, 6) == [4]
    assert learns(by_step, 3, 0.1, 7) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, [[4], [3, 4], [2, 3, 4], [1, 2, 3, 4], [0, 1, 2, 3, 4]]),
        ({"blocks": 2}, [[4], [2, 3, 4], [1, 2, 3, 4], [0, 1, 2, 3, 4]]),
        ({"blocks": 9}, [[4], [1, 2, 3, 4], [0, 1, 2, 3, 4]]),
    ],
)
def test_gradual_goes_from_the_top_down_and_ends_with_the_embeddings(options, steps):
    by_epoch = Schedule(type="gradual", every=0.1, **options)
    by_step = Schedule(type="gradual", every_steps=3, **options)
    for stretch, expected in enumerate(steps):
        # Ten steps an epoch: what an epoch is at after n of them is n / 10, which no sum of tenths always equals.
        assert learns(by_epoch, 3, stretch / 10, 999) == expected
        assert learns(by_step, 3, 999.0, 3 * stretch) == learns(by_step, 3, 0.0, 3 * stretch + 2) == expected


def test_without_options_a_stretch_is_an_epoch():
    assert begins(Schedule(type="head-then-all"), 1) == {0: Moment(1.0), 1: Moment(1.0), 2: Moment()}
    assert begins(Schedule(type="gradual"), 1) == {0: Moment(2.0), 1: Moment(1.0), 2: Moment()}


@pytest.mark.parametrize("blocks", [0, 1, 7])
@pytest.mark.parametrize("kind", ["head-then-all", "gradual", "surgical"])
def test_every_depth_begins_once_and_the_head_at_the_start(kind, blocks):
    starts = begins(Schedule(type=kind), blocks)
    assert sorted(starts) == list(range(blocks + 2))
    assert starts[blocks + 1] == Moment()


def test_moments_are_told_as_they_were_given():
    assert [str(Moment()), str(Moment(1.0)), str(Moment(0.25)), str(Moment(steps=40))] == [
        "start",
        "epoch 1",
        "epoch 0.25",
        "step 40",
    ]


def prepared(name, train="all"):
    model = tiny(name)
    names, depths = head_and_depths(model)
    return layers.adapt(model, train, None, depths, names), depths


def test_what_would_never_begin_is_refused():
    model, depths = prepared("bert")
    starts = begins(Schedule(type="gradual", every=1), depths.blocks)
    check_begins(model, depths, starts, 4.5, None)
    check_begins(model, depths, starts, None, 2)  # how many epochs that is, is not known
    with pytest.raises(
        ModelError, match=r"the embeddings would start at epoch 4 of a run of 4 epochs.*sooner \(every\)"
    ):
        check_begins(model, depths, starts, 4, None)
    with pytest.raises(ModelError, match="block 2 of 3 would start at epoch 2 of a run of 2 epochs"):
        check_begins(model, depths, starts, 2, None)
    by_step = begins(Schedule(type="gradual", every_steps=10), depths.blocks)
    with pytest.raises(ModelError, match="block 1 of 3 would start at step 30 of a run of 30 steps"):
        check_begins(model, depths, by_step, None, 30)


def test_what_does_not_learn_need_not_begin_before_the_end():
    model, depths = prepared("bert", "last-1")
    check_begins(model, depths, begins(Schedule(type="gradual"), depths.blocks), 2, None)


def test_a_run_in_which_nothing_learns_at_first_is_refused():
    model, depths = prepared("bert")
    for name in ALL["bert"].head:
        model.get_parameter(name).requires_grad = False
    with pytest.raises(ModelError, match="nothing learns from the first step on"):
        check_begins(model, depths, begins(Schedule(type="head-then-all"), depths.blocks), 3, None)


# --- relative gradients


def losses(model, name, parts):
    """The mean loss of eight examples, in parts."""
    rows = examples(ALL[name].modality, SINGLE, 8)
    for part in range(parts):
        batch = collate(rows[part * 8 // parts : (part + 1) * 8 // parts], next(model.parameters()).dtype)
        labels = batch.pop("labels")
        yield torch.nn.functional.cross_entropy(model(**batch).logits, labels, reduction="sum") / 8


@pytest.mark.parametrize("name", ["bert", "gpt2", "vit", "resnet", "swin"])
def test_relative_gradients_are_those_of_a_backward_pass(name):
    model, depths = prepared(name)
    model.double()
    found = relative_gradients(model, depths, losses(model, name, 4))
    assert all(parameter.grad is None for parameter in model.parameters())
    next(losses(model, name, 1)).backward()
    assert sorted(found) == list(range(depths.blocks + 1)), "the head is left out"
    for depth, value in found.items():
        inside = [p for n, p in model.named_parameters() if depths.of(n) == depth]
        pull = sum(p.grad.square().sum() for p in inside if p.grad is not None) ** 0.5
        assert value == pytest.approx(float(pull / sum(p.detach().square().sum() for p in inside) ** 0.5), rel=1e-6)


def test_only_what_learns_is_measured():
    model, depths = prepared("bert", "last-2")
    assert sorted(relative_gradients(model, depths, losses(model, "bert", 1))) == [2, 3]


def test_what_the_loss_does_not_depend_on_has_no_relative_gradient():
    model, depths = prepared("bert")
    model.bert.encoder.layer[0].requires_grad_(True)
    loss = model.bert.encoder.layer[2].output.dense.weight.square().sum()
    found = relative_gradients(model, depths, [loss])
    assert sorted(found) == list(range(depths.blocks + 1))
    assert {depth for depth, value in found.items() if value} == {3}


def test_shares_are_of_the_largest_and_the_largest_are_chosen():
    relative = {0: 0.5, 1: 2.0, 2: 1.0, 3: 0.25}
    assert shares(relative) == {0: 0.25, 1: 1.0, 2: 0.5, 3: 0.125}
    assert largest(relative, 2) == {1, 2}
    with pytest.raises(ModelError, match="blocks is 5; expected at most 4, the depths below the head"):
        largest(relative, 5)


# --- the table


def test_the_table_says_when_each_depth_begins_where_there_is_a_schedule():
    model, depths = prepared("bert", ["last-2", "norms"])
    groups = layers.param_groups(model, depths, 0.1, 0.0)
    starts = begins(Schedule(type="gradual"), depths.blocks)
    rows = layers.table(model, depths, groups, starts)
    assert [row["begins"] for row in rows] == ["epoch 4", "epoch 3", "epoch 2", "epoch 1", "start"]
    text = layers.format_table(rows)
    assert text[0].split()[3] == "begins"
    at = text[0].index("modules")  # the last column, which is as wide as it needs to be
    assert all(line[at - 1] == " " != line[at] for line in text[:-1])
    plain = layers.table(model, depths, groups)
    assert not any("begins" in row or "relative_gradient" in row for row in plain)
    assert "begins" not in "\n".join(layers.format_table(plain))


def test_the_table_shows_relative_gradients():
    model, depths = prepared("bert", "last-2")
    rows = layers.table(model, depths, layers.param_groups(model, depths, 0.1, 0.0), relative={2: 0.5, 3: 0.125})
    assert [row["relative_gradient"] for row in rows] == [None, None, 0.5, 0.125, None]
    assert "rel. grad." in "\n".join(layers.format_table(rows))
    assert "1.25e-01" in "\n".join(layers.format_table(rows))
