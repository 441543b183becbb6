"""DELTA: distances without padding, attention by masked channels, and which blocks."""

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.strategy.regularise.delta import channel_attention, classifier, delta, evenly, without
from hfft.tasks.problem import PROBLEMS
from tests.examples import REGRESSION, SINGLE, tiny
from tests.training import arguments, examples, finetuner, labels_of, methods_of


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def test_it_is_half_the_squared_distance_per_position_weighted_by_channel():
    now, then = normal(2, 3, 4, 5), normal(2, 3, 4, 5, seed=1)  # rows, channels, height, width
    attention = torch.tensor([0.5, 2.0, 0.5], dtype=torch.float64)
    expected = [
        sum(a * np.linalg.norm(now[i, c] - then[i, c]) ** 2 / 20 for c, a in enumerate(attention.tolist())) / 2
        for i in range(2)
    ]
    np.testing.assert_allclose(delta(now, then, attention=attention).numpy(), expected, rtol=1e-10)


def test_padding_does_not_count():
    now, then, mask = normal(2, 4, 3), normal(2, 4, 3, seed=1), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    found = delta(now, then, mask)
    torch.testing.assert_close(found[1:], delta(now[1:, :2], then[1:, :2]))
    torch.testing.assert_close(found[:1], delta(now[:1], then[:1]))


def test_tokens_maps_and_vectors_have_their_channels_where_they_are():
    maps, other = normal(2, 3, 2, 2), normal(2, 3, 2, 2, seed=1)
    tokens = [tensor.flatten(2).transpose(1, 2) for tensor in (maps, other)]
    attention = torch.tensor([0.2, 0.3, 2.5], dtype=torch.float64)
    torch.testing.assert_close(delta(maps, other, attention=attention), delta(*tokens, attention=attention))
    torch.testing.assert_close(
        delta(maps[:, :, 0, 0], other[:, :, 0, 0]), (maps - other)[:, :, 0, 0].square().sum(1) / 2
    )


def test_attention_is_the_softmax_of_how_much_the_loss_rises_with_mean_one():
    rises = np.array([0.3, -0.1, 1.2])
    standard = (rises - rises.mean()) / rises.std()
    expected = 3 * np.exp(standard / 5) / np.exp(standard / 5).sum()
    for scale in (1.0, 1e-6):  # of the loss
        np.testing.assert_allclose(channel_attention(torch.from_numpy(rises * scale)).numpy(), expected, rtol=1e-7)
    torch.testing.assert_close(channel_attention(torch.full((4,), 0.2)), torch.ones(4))


def test_the_classifier_has_no_gradient_left():
    features, labels = normal(30, 4), torch.from_numpy(np.random.default_rng(2).integers(0, 3, 30))
    weight = classifier(PROBLEMS[SINGLE], features, labels, 3).numpy()
    rows = np.concatenate([features.numpy(), np.ones((30, 1))], 1)
    p = np.exp(rows @ weight) / np.exp(rows @ weight).sum(1, keepdims=True)
    gradient = rows.T @ (p - np.eye(3)[labels.numpy()]) / 30 + 2e-3 * weight
    assert np.abs(gradient).max() < 1e-4


def trainer_of(folder, kind="bert", problem=SINGLE, **options):
    return finetuner(
        tiny(kind, dropout=0.0),
        labels_of(problem),
        examples("text" if kind == "bert" else "image", problem, 12),
        arguments(folder, num_train_epochs=1),
        methods=methods_of(delta={"weight": 1.0, **options}),
    )


def test_a_hook_sets_one_channel_to_zero(tmp_path):
    model = tiny("resnet")
    block = model.resnet.encoder.stages[0].layers[0]
    rows = torch.randn(2, 3, 32, 32)
    seen = []
    handles = [block.register_forward_hook(without(1)), block.register_forward_hook(lambda *hook: seen.append(hook[2]))]
    model.eval()(pixel_values=rows)
    assert not seen[0][:, 1].any()
    assert seen[0][:, 0].any()
    for handle in handles:
        handle.remove()


@pytest.mark.slow_but("bert-single_label_classification")
@pytest.mark.parametrize(("kind", "problem"), [("bert", SINGLE), ("resnet", SINGLE), ("vit", REGRESSION)])
def test_attention_is_measured_once_on_the_pretrained_model(kind, problem, tmp_path):
    trainer = trainer_of(tmp_path, kind, problem, attention=True, rows=5, blocks=[1, -1])
    [method] = trainer.methods
    assert method.states == (1, -1)
    assert method.attention == {}
    trainer.train()
    assert set(method.attention) == {1, -1}
    for factors in method.attention.values():
        assert factors.mean().item() == pytest.approx(1)
        assert factors.std() > 0
    first = dict(method.attention)
    method.attention = {}
    method.epoch(trainer.model, trainer.outputs_of, trainer.at())  # the model has learned since, its copy has not
    assert all(torch.equal(first[depth], factors) for depth, factors in method.attention.items())
    logs = [log["delta"] for log in trainer.state.log_history if "loss" in log]
    if kind != "resnet":  # its norms read statistics of the batch in training, and the copy's do not
        assert logs[0] == pytest.approx(0, abs=1e-8)
    assert logs[1] > 0


def test_a_channel_the_loss_depends_on_gets_more_attention(tmp_path):
    trainer = trainer_of(tmp_path, "vit", attention=True, rows=12, blocks=[-1])
    [method] = trainer.methods
    norm = method.before.vit.layernorm
    with torch.no_grad():
        norm.weight[3:].zero_()  # of the last block's channels the head reads three, and the others only in the norm
    method.epoch(trainer.model, trainer.outputs_of, trainer.at())
    factors = method.attention[-1]
    assert factors[:3].mean() > factors[3:].mean()


def test_by_default_four_blocks_are_compared_up_to_the_last(tmp_path):
    [method] = trainer_of(tmp_path).methods
    assert method.states == (1, 2, 3)  # of three blocks
    assert (evenly(12), evenly(5), evenly(0)) == ([3, 6, 9, 12], [2, 3, 4, 5], [])


def test_a_block_that_is_not_there_is_refused(tmp_path):
    for depth in (4, 0, -4):
        with pytest.raises(
            BadInput, match=rf"strategy\.delta\.blocks: {depth}, but the model has 3 blocks; choose from"
        ):
            trainer_of(tmp_path, blocks=[depth])
