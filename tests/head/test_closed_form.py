"""A head that starts from a classifier predicts as scikit-learn does on what its last layer reads."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hfft.errors import BadInput, ModelError
from hfft.head.closed_form import check_linear, closed_form, write
from hfft.recipe import load_recipe

ORACLES = {
    "logistic-regression": lambda: make_pipeline(
        StandardScaler(), LogisticRegression(C=1.0, max_iter=10_000, tol=1e-10)
    ),
    "lda": LinearDiscriminantAnalysis,
    "centroid": NearestCentroid,
}


def blobs(classes, rows=90, width=5):
    rng = np.random.default_rng(classes)
    y = np.arange(rows) % classes
    return rng.normal(size=(classes, width))[y] * 1.5 + rng.normal(size=(rows, width)) * np.arange(1, width + 1), y


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("init", ORACLES)
def test_the_layer_is_scikit_learns_classifier(init, classes):
    x, y = blobs(classes)
    weight, bias = closed_form(init, x, y, [f"c{i}" for i in range(classes)])
    assert (weight.shape, bias.shape) == ((classes, 5), (classes,))
    oracle, logits = ORACLES[init]().fit(x, y), x @ weight.T + bias
    np.testing.assert_array_equal(logits.argmax(1), oracle.predict(x))
    if init != "centroid":
        np.testing.assert_allclose(softmax(logits, 1), oracle.predict_proba(x), atol=1e-3 if init[0] == "l" else 1e-9)


def test_a_class_without_rows_is_named():
    x, y = blobs(2)
    with pytest.raises(BadInput, match=r"head\.init: is lda, but train has no row of c2; use default"):
        closed_form("lda", x, y, ["c0", "c1", "c2"])


def test_features_that_are_not_finite_are_refused():
    x, y = blobs(2)
    x[3, 1] = np.nan
    with pytest.raises(BadInput, match="the features of a training row are not finite"):
        closed_form("centroid", x, y, ["a", "b"])


def test_a_layer_without_a_bias_takes_only_solutions_without_one():
    last = torch.nn.Linear(2, 3, bias=False)
    write(last, np.ones((3, 2)), np.full(3, 4.0))  # the same for all classes
    assert torch.equal(last.weight, torch.ones(3, 2))
    with pytest.raises(ModelError, match="has no bias, which the solution needs"):
        write(last, np.ones((3, 2)), np.arange(3.0))
    with pytest.raises(ModelError, match="does not end with one linear layer"):
        check_linear(torch.nn.Conv2d(2, 3, 1), 3, "x")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["problem_type=multi_label_classification"], "head.init: is lda, which needs one class a row"),
        (["head.kind=cosine"], "head.init: is lda, which is a linear layer, but the last layer of kind cosine"),
        (["head.keep_known=true"], "head.init: is lda, but keep_known starts from the checkpoint's own head"),
        (["data.streaming=true"], "head.init: is lda, which is fitted on all rows"),
        (["head.init=ldaa"], "head.init: is 'ldaa'; expected"),
    ],
)
def test_what_cannot_start_from_a_classifier_is_refused(overrides, said):
    with pytest.raises(BadInput) as caught:
        load_recipe("digits", "head.init=lda", *overrides)
    assert said in str(caught.value)
