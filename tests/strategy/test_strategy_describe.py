"""Methods are described by their options, needs and costs."""

import torch

from hfft.strategy.describe import describe, held_bytes, in_words
from hfft.strategy.method import Method
from tests import training


class Holder(Method):
    """Holds tensors in every way that a method may."""

    name = "holder"

    def __init__(self, model):
        self.model, self.own = model, model.weight
        self.plain = torch.zeros(3, dtype=torch.float64)
        self.same = self.plain
        self.named = {"a": torch.zeros(2), "deep": [torch.zeros(1), (torch.zeros(4),)]}
        self.module = torch.nn.Linear(2, 1)


def test_a_method_is_its_name_and_its_options():
    methods = training.methods_of(sam=0.1, class_weights="balanced", bss={"weight": 0.5, "smallest": 2})
    described = describe(methods, torch.nn.Linear(1, 1))
    assert in_words(described) == "sam (rho 0.1), class_weights (weights balanced), bss (weight 0.5, smallest 2)"
    assert [entry["passes"] for entry in described] == [2, 1, 1]
    assert described[1]["needs"] == ["the number of rows of each class"]
    assert in_words([]) == ""
    assert in_words([{"name": "orthogonality", "options": {}}]) == "orthogonality"


def test_the_bytes_that_a_method_holds_leave_out_the_model_and_count_each_tensor_once():
    model = torch.nn.Linear(5, 5)
    assert held_bytes([Holder(model)], model) == 3 * 8 + (2 + 1 + 4) * 4 + 3 * 4
    assert held_bytes([], model) == 0
