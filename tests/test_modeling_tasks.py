"""A head with layers of each task's own is, for each task, the head that this task alone would have."""

import pytest
import torch

from hfft.modeling import OwnHead
from hfft.modeling_tasks import TaskHeads, TaskOutputs, of_one

SIZES, STARTS = (3, 2, 1), [0, 3, 5]
HEADS = [
    {"kind": "mlp", "pooling": "mean", "hidden": [7, 4], "activation": "relu", "norm": "layer"},
    {"kind": "mlp", "pooling": "cls", "hidden": None, "norm": "batch"},
    {"kind": "attention-pool", "pooling": "mean"},
]


def single(together: TaskHeads, task: int, head: dict) -> OwnHead:
    """The head of one task, with its tensors from the head of all."""
    alone, span = OwnHead(SIZES[task], 5, **head), slice(STARTS[task], STARTS[task] + SIZES[task])
    state = {}
    for name, tensor in together.state_dict(prefix="head.").items():
        if (own := of_one(name, task)) is not None:
            state[own.removeprefix("head.")] = tensor[span] if own.startswith("head.out.") else tensor
    alone.load_state_dict(state)
    return alone.train(together.training)


@pytest.mark.parametrize("head", HEADS)
def test_each_tasks_outputs_and_gradients_are_those_of_its_own_head(head):
    torch.manual_seed(0)
    together, states = TaskHeads(6, 5, STARTS, **head).eval(), torch.randn(4, 3, 5)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]])
    for task, size in enumerate(SIZES):
        alone, span = single(together, task, head), slice(STARTS[task], STARTS[task] + size)
        assert torch.allclose(together(states, mask)[:, span], alone(states, mask), atol=1e-6)
        together.zero_grad()
        together(states, mask)[:, span].square().sum().backward()
        alone(states, mask).square().sum().backward()
        theirs = {f"head.{name}": tensor.grad for name, tensor in alone.named_parameters()}
        for name, tensor in together.named_parameters():
            own = of_one(f"head.{name}", task)
            if own is None:  # a task leaves the layers of the others alone
                assert tensor.grad is None or not tensor.grad.any()
            else:
                grad = tensor.grad[span] if own.startswith("head.out.") else tensor.grad
                assert torch.allclose(grad, theirs[own], atol=1e-5), name


def test_outputs_are_those_of_a_linear_layer_for_each_task():
    torch.manual_seed(0)
    layer, x = TaskOutputs(4, 6, STARTS), torch.randn(2, 12)
    weight = layer.weight.detach().numpy()
    expected = [
        x[:, 4 * task : 4 * task + 4].numpy() @ weight[start : start + size].T
        for task, (start, size) in enumerate(zip(STARTS, SIZES, strict=True))
    ]
    found = (layer(x) - layer.bias).detach()
    assert torch.allclose(found, torch.cat([torch.from_numpy(part) for part in expected], 1), atol=1e-6)


def test_names_of_other_heads_are_left_as_they_are():
    assert of_one("classifier.weight", 1) == "classifier.weight"
    assert of_one("head.dense.weight", 1) == "head.dense.weight"
    assert of_one("head.task1.dense.weight", 1) == "head.dense.weight"
    assert of_one("head.task10.dense.weight", 1) is None
