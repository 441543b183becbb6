"""What answers rest on: gradient times input against exact contributions, rollout against its definition."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from hfft.errors import BadInput
from hfft.predict import saliency
from hfft.predict.saliency import gradient_times_input, pieces, rollout


class Linear(nn.Module):
    """A linear model of the sum of its embeddings, so that each token's contribution to a logit is known."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(20, 6), nn.Linear(6, 3)

    def get_input_embeddings(self):
        return self.embedding

    def forward(self, input_ids):
        return {"logits": self.head(self.embedding(input_ids).sum(1))}


def test_for_a_linear_model_the_weights_are_the_contributions():
    model, ids = Linear(), torch.tensor([[3, 7, 7, 11]])
    chosen = int(model(ids)["logits"].argmax())
    exact = (model.embedding(ids)[0] @ model.head.weight[chosen]).detach().double()
    found = gradient_times_input(model, {"input_ids": ids})
    assert torch.allclose(found, exact / exact.abs().max(), atol=1e-6)
    assert found.abs().max() == pytest.approx(1)
    assert model.embedding._forward_hooks == {}


def test_frozen_weights_have_the_same_gradients():
    model, batch = Linear(), {"input_ids": torch.tensor([[1, 2, 3]])}
    before = gradient_times_input(model, batch)
    model.requires_grad_(False)
    with torch.no_grad():
        assert torch.equal(gradient_times_input(model, batch), before)


def test_a_model_without_embeddings_is_told():
    with pytest.raises(BadInput, match="Linear has no input embedding"):
        gradient_times_input(nn.Linear(2, 2), {})


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("a text, and more", [(0, 0), (0, 1), (2, 6), (6, 7), (8, 11), (12, 16), (0, 0)]),
        ("a text that was cut", [(0, 1), (1, 6)]),
        ("", [(0, 0), (0, 0)]),
        ("犬 naïve", [(0, 1), (0, 1), (1, 7)]),
    ],
)
def test_pieces_are_the_whole_text(text, places):
    found = pieces(text, places, [0.5] * len(places))
    assert "".join(piece for piece, _ in found) == text
    assert {weight for _, weight in found} <= {0.0, 0.5}


def test_rollout_is_the_product_of_its_layers():
    torch.manual_seed(0)
    layers = [torch.rand(3, 5, 5).softmax(-1) for _ in range(4)]
    expected = np.eye(5)
    for layer in layers:
        expected = (0.5 * layer.double().mean(0).numpy() + 0.5 * np.eye(5)) @ expected
    found = rollout(layers)
    assert np.allclose(found.numpy(), expected, atol=1e-6)
    assert torch.allclose(found.sum(-1), torch.ones(5, dtype=torch.float64), atol=1e-6)
    assert torch.equal(rollout([torch.eye(5)[None]] * 3), torch.eye(5, dtype=torch.float64))


def predictor(**changes):
    given = {"modality": SimpleNamespace(name="text"), "hypotheses": (), "processor": object(), "model": Linear()}
    return SimpleNamespace(**{**given, **changes})


def test_what_cannot_be_explained_is_told():
    explain = saliency.explainer(predictor())
    with pytest.raises(BadInput, match="pairs of texts"):
        explain(("one", "two"))
    predictor_model = predictor()
    predictor_model.model.device = "cpu"
    with pytest.raises(BadInput, match="does not say where its tokens stand"):
        saliency.explainer(predictor_model)("a text")
    assert saliency.explainer(predictor(hypotheses=("this is about cats",))) is None
    assert saliency.explainer(predictor(modality=SimpleNamespace(name="sound"))) is None
