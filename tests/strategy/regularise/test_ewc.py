"""EWC: the Fisher information of a small model by hand, and the penalty."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hfft.errors import BadInput
from hfft.strategy.regularise.ewc import draw, ewc, fisher
from tests.examples import MULTI, SINGLE, head_and_depths, tiny
from tests.training import arguments, examples, finetuner, labels_of, methods_of


def test_the_penalty_is_half_the_distance_weighted_by_the_information():
    model = torch.nn.Linear(2, 1, bias=False)
    start = {"weight": model.weight.detach() - torch.tensor([[3.0, 4.0]])}
    value = ewc(model, start, {"weight": torch.tensor([[2.0, 0.5]])})
    assert value.item() == pytest.approx((2 * 9 + 0.5 * 16) / 2)
    value.backward()
    torch.testing.assert_close(model.weight.grad, torch.tensor([[6.0, 2.0]]))


def test_the_information_is_the_mean_squared_gradient_of_a_logistic_regression():
    draws = np.random.default_rng(0)
    rows, labels = draws.normal(size=(6, 3)), draws.integers(0, 2, 6)
    layer = torch.nn.Linear(3, 2, bias=False, dtype=torch.float64)
    weight = layer.weight.detach().numpy()
    expected = np.zeros((2, 3))
    for row, label in zip(rows, labels, strict=True):
        p = np.exp(weight @ row) / np.exp(weight @ row).sum()
        expected += np.outer(p - np.eye(2)[label], row) ** 2 / 6  # by hand: the gradient is (p - y) x

    def losses():
        for row, label in zip(rows, labels, strict=True):
            yield torch.nn.functional.cross_entropy(layer(torch.from_numpy(row)), torch.tensor(label))

    found = fisher(losses(), {"weight": layer.weight})
    np.testing.assert_allclose(found["weight"].numpy(), expected, rtol=1e-10)
    assert layer.weight.grad is None


def test_labels_are_drawn_as_the_model_predicts():
    logits = torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64).log()
    for uniform, label in ((0.0, 0), (0.19, 0), (0.21, 1), (0.69, 1), (0.71, 2), (1 - 1e-16, 2)):
        assert draw(logits, torch.tensor([[uniform, 0.0, 0.0]], dtype=torch.float64)).tolist() == [label]
    uniform = torch.tensor([[0.1, 0.9, 0.4]], dtype=torch.float64)
    assert draw(torch.zeros(1, 3), uniform, multi_label=True).tolist() == [[1, 0, 1]]


def trainer_of(model, folder, problem=SINGLE, rows=10, sets=None, **options):
    return finetuner(
        model,
        labels_of(problem),
        examples("text", problem, rows),
        arguments(folder),
        methods=methods_of(ewc={"weight": 1.0, **options}),
        sets=sets,
    )


@pytest.mark.parametrize("problem", [SINGLE, MULTI])
def test_the_information_is_that_of_the_models_own_labels_whatever_the_rows_have(problem, tmp_path):
    model = tiny("bert")
    modes = [module.training for module in model.modules()]
    [method] = trainer_of(model, tmp_path, problem).methods
    assert [module.training for module in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    head_names, _ = head_and_depths(model)
    assert set(method.information) == {n for n, _ in model.named_parameters()} - head_names
    assert any(value.any() for value in method.information.values())
    other = examples("text", problem, 10)
    for row in other:
        row["labels"] = row["labels"] * 0
    again = trainer_of(tiny("bert"), tmp_path, problem, sets={"other": other}, on="other").methods[0]
    assert all(torch.equal(value, again.information[name]) for name, value in method.information.items())


def test_fewer_rows_are_drawn_and_another_set_gives_other_information(tmp_path):
    [method] = trainer_of(tiny("bert"), tmp_path, rows=4).methods
    sets = {"old": examples("text", SINGLE, 7, seed=9)}
    [other] = trainer_of(tiny("bert"), tmp_path, rows=4, sets=sets, on="old").methods
    [few] = trainer_of(tiny("bert"), tmp_path, **{"rows": 4}).methods
    name = "bert.encoder.layer.0.output.dense.weight"
    assert torch.equal(few.information[name], method.information[name])
    assert not torch.allclose(other.information[name], method.information[name])


def test_a_head_of_zeros_has_no_information_of_the_backbone(tmp_path):
    model = tiny("bert")
    torch.nn.init.zeros_(model.classifier.weight)
    with pytest.raises(
        BadInput, match=r"strategy\.ewc: .* is 0 at the start, as the head is 0; use head\.init=default"
    ):
        trainer_of(model, tmp_path)


def test_information_of_earlier_tasks_is_read_from_a_file(tmp_path):
    model = tiny("bert", dropout=0.0)
    head_names, _ = head_and_depths(model)
    own = {n: torch.full_like(p, 0.5) for n, p in model.named_parameters() if n not in head_names}
    save_file(own, tmp_path / "fisher.safetensors")
    trainer = trainer_of(model, tmp_path, information=str(tmp_path / "fisher.safetensors"))
    [method] = trainer.methods
    trainer.train()
    assert all(value.eq(0.5).all() for value in method.information.values())
    logs = [log["ewc"] for log in trainer.state.log_history if "loss" in log]
    assert logs[0] == 0
    assert logs[1] > 0


def test_information_of_another_model_is_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "fisher.safetensors")
    [method] = methods_of(ewc={"weight": 1.0, "information": str(tmp_path / "fisher.safetensors")})
    trainer = trainer_of(tiny("bert"), tmp_path)
    with pytest.raises(BadInput, match=r"strategy.ewc.information: .* it is of another model"):
        method.start(trainer.setting)
    [method] = methods_of(ewc={"weight": 1.0, "information": str(tmp_path / "no.safetensors")})
    with pytest.raises(BadInput, match=r"strategy.ewc.information: .* cannot be read"):
        method.start(trainer.setting)
