"""L2-SP: what it pulls at, and that it is logged as it is."""

import pytest
import torch

from hfft.layers.freeze import adapt
from hfft.strategy.method import At, Setting
from hfft.strategy.needs import Situation, refusals
from hfft.strategy.regularise.l2_sp import l2_sp
from hfft.tasks.problem import PROBLEMS
from tests.examples import SINGLE, head_and_depths, tiny
from tests.training import Pull, arguments, examples, finetuner, labels_of, methods_of

AT = At(0, 0, 0.0, 0)


def built(weight, model):
    """The method, told of a model; None where it is neutral."""
    head_names, _ = head_and_depths(model)
    methods = methods_of(l2_sp=weight)
    for method in methods:
        method.start(Setting(model, head_names, PROBLEMS[SINGLE], 3, 0, torch.device("cpu")))
    return methods[0] if methods else None


def value(method, model):
    return method.weights(model, AT)["l2_sp"]


def test_it_pulls_by_its_weight_times_the_distance_and_leaves_the_head_free():
    model = tiny("bert")
    method = built(0.3, model)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p))
    value(method, model).backward()
    head_names, _ = head_and_depths(model)
    for name, p in model.named_parameters():
        if name in head_names:
            assert p.grad is None
        else:
            torch.testing.assert_close(p.grad, 0.3 * (p.detach() - start[name]))


def test_it_is_half_the_squared_distance():
    model = torch.nn.Linear(2, 1, bias=False)
    start = {"weight": model.weight.detach() - torch.tensor([[3.0, 4.0]])}
    assert l2_sp(model, start).item() == pytest.approx(12.5)
    assert l2_sp(model, {}).item() == 0


def test_it_begins_at_zero_and_keeps_its_start():
    model = tiny("bert")
    method = built(1.0, model)
    assert value(method, model).item() == 0
    with torch.no_grad():
        model.bert.pooler.dense.weight.add_(1)
    assert value(method, model).item() == pytest.approx(0.5 * 16 * 16)


def test_it_pulls_only_at_what_learns():
    model = tiny("bert")
    head_names, depths = head_and_depths(model)
    adapt(model, "last-1", None, depths, head_names)
    method = built(1.0, model)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.add_(1)
    assert value(method, model).item() == 0


def test_no_weight_is_no_method():
    assert built(0.0, tiny("bert")) is None
    assert methods_of() == []


def test_beside_an_adapter_it_is_refused_since_no_pretrained_weight_moves():
    found = refusals(methods_of(l2_sp=1.0), Situation(SINGLE, adapter=True))
    assert found == [("l2_sp", "the pretrained weights are frozen beside an adapter; leave it out")]
    assert refusals(methods_of(l2_sp=0.0), Situation(SINGLE, adapter=True)) == []
    assert refusals(methods_of(l2_sp={"weight": 1.0, "whole": True}), Situation(SINGLE, adapter=True)) == []


def test_the_whole_model_is_pulled_with_its_head_to_where_the_run_begins():
    model = tiny("bert")
    method = built({"weight": 0.3, "whole": True}, model)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p))
    value(method, model).backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, 0.3 * (p.detach() - start[name]))


def training(folder, weight, batch=8, accumulation=1, **settings):
    """Logs and weights of four steps over 16 examples."""
    model = tiny("bert")
    settings = arguments(
        folder, per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation, **settings
    )
    methods = methods_of(l2_sp=weight)
    trainer = finetuner(model, labels_of(SINGLE), examples("text", SINGLE, 16), settings, methods=methods)
    trainer.train()
    return [log for log in trainer.state.log_history if "loss" in log], model.state_dict()


def test_a_term_of_no_weight_trains_bit_by_bit_as_none(tmp_path):
    _, with_zero = training(tmp_path, 0.0)
    model = tiny("bert")
    finetuner(model, labels_of(SINGLE), examples("text", SINGLE, 16), arguments(tmp_path)).train()
    assert all(torch.equal(with_zero[key], value) for key, value in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "accumulation"), [(4, 2), (2, 4), (1, 8)])
def test_a_term_is_logged_under_its_name_alike_for_any_accumulation(batch, accumulation, tmp_path):
    whole, _ = training(tmp_path, 5.0)
    split, _ = training(tmp_path, 5.0, batch, accumulation)
    assert whole[0]["l2_sp"] == split[0]["l2_sp"] == 0
    assert whole[1]["l2_sp"] > 0
    for key in ("l2_sp", "loss", "grad_norm"):
        assert [log[key] for log in split] == pytest.approx([log[key] for log in whole], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 2, 4])
def test_what_is_logged_is_the_mean_of_the_term_over_the_steps_since(every, tmp_path):
    each, _ = training(tmp_path, 5.0)
    some, _ = training(tmp_path, 5.0, logging_steps=every)
    values = [log["l2_sp"] for log in each]
    means = [sum(values[i : i + every]) / every for i in range(0, 4, every)]
    assert [log["l2_sp"] for log in some] == pytest.approx(means)


@pytest.mark.slow
def test_the_loss_that_is_logged_holds_the_term(tmp_path):
    plain, _ = training(tmp_path, 0.0, learning_rate=0.0)
    model = tiny("bert")
    start = {name: p.detach() + 0.1 for name, p in model.named_parameters()}
    settings = arguments(tmp_path, learning_rate=0.0)
    trainer = finetuner(model, labels_of(SINGLE), examples("text", SINGLE, 16), settings, methods=[Pull(2.0, start)])
    trainer.train()
    logs = [log for log in trainer.state.log_history if "loss" in log]
    expected = 2.0 * l2_sp(model, start).item()
    assert [log["l2_sp"] for log in logs] == pytest.approx([expected] * 4)
    assert [log["loss"] - log["l2_sp"] for log in logs] == pytest.approx([log["loss"] for log in plain], rel=1e-5)
