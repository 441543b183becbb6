"""What no classifier can be fitted on is refused in one line; so are arguments of other types."""

import numpy as np
import pytest
from pydantic import ValidationError

from hfft.classifier import ClassifierSpec, fit, load, save
from hfft.classifier.spec import MULTI, REGRESSION
from hfft.errors import BadInput

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4))
Y = np.arange(12) % 3


def refusal(spec, x=X, y=Y, **more):
    with pytest.raises(BadInput) as caught:
        fit(ClassifierSpec(**spec), x, y, **more)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_class_with_one_row_for_five_neighbours():
    assert "n_neighbors: is 5, but class 'b' has 1 training row" in refusal(
        {"type": "knn"}, y=np.array([0] * 11 + [1]), names=("a", "b")
    )


def test_one_row_of_a_class_suffices_where_the_nearest_decides():
    y = np.array([0] * 11 + [1])
    for arguments in ({"n_neighbors": 1}, {"weights": "distance"}):
        found = fit(ClassifierSpec(type="knn", **arguments), X, y).probabilities(X)
        assert found.argmax(axis=1)[-1] == 1


def test_a_class_with_few_rows_is_told():
    fitted = fit(ClassifierSpec(type="knn"), X, np.array([0] * 10 + [1] * 2))
    assert "fewer training rows than half of n_neighbors 5: '1'" in fitted.notes


def test_more_neighbours_than_rows():
    assert "n_neighbors: is 13, but there are 12 training rows" in refusal({"type": "knn", "n_neighbors": 13})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite(value):
    x = X.copy()
    x[[3, 7], 1] = value
    assert "features of 2 of 12 rows of train are not finite (rows 3, 7)" in refusal({"type": "lda"}, x=x)
    assert "rows of validation are not finite" in refusal({"type": "ridge"}, validation=(x, Y))
    assert "rows of data.sets.target are not finite" in refusal({"type": "easytl"}, target=x)


def test_constant_features():
    assert "all 12 training rows have the same features" in refusal({"type": "ridge"}, x=np.ones((12, 4)))
    x = X.copy()
    x[:, 2] = 5
    assert "1 of 4 features are the same in all training rows" in fit(ClassifierSpec(type="lda"), x, Y).notes


def test_one_class():
    assert "all training rows are of class 'dog'" in refusal({"type": "lda"}, y=np.ones(12, int), names=("cat", "dog"))


def test_more_classes_than_rows():
    names = tuple(f"c{i}" for i in range(20))
    assert "20 classes are more than the 12 training rows" in refusal({"type": "ridge"}, y=np.arange(12), names=names)


def test_a_class_without_rows():
    assert "no training row is of class 'c'" in refusal({"type": "ridge"}, y=Y % 2, names=("a", "b", "c"))


def test_as_many_classes_as_rows_for_lda():
    assert "lda needs more rows than classes" in refusal({"type": "lda"}, y=np.arange(12))


def test_no_rows_and_rows_of_another_width():
    assert "train has no rows" in refusal({"type": "lda"}, x=X[:0], y=Y[:0])
    assert "12 rows of features, but 11 labels" in refusal({"type": "lda"}, y=Y[:11])
    fitted = fit(ClassifierSpec(type="lda"), X, Y)
    with pytest.raises(BadInput, match="fitted on 4 features"):
        fitted.probabilities(X[:, :3])


@pytest.mark.parametrize("kind", ["lda", "nearest-centroid", "prototype", "easytl", "logistic-regression"])
def test_a_regression_is_refused_naming_the_types_that_can(kind):
    text = refusal({"type": kind}, y=RNG.normal(size=12), problem=REGRESSION)
    assert text.endswith("does not solve regression; use svm, knn, ridge, gradient-boosting")


def test_several_labels_are_refused_naming_the_types_that_can():
    text = refusal({"type": "lda"}, y=RNG.integers(0, 2, (12, 3)), problem=MULTI)
    assert "use logistic-regression, linear-svm, svm, knn, ridge, gradient-boosting" in text


def test_a_value_that_is_not_finite():
    assert "a target of train is not finite" in refusal({"type": "ridge"}, y=np.full(12, np.nan), problem=REGRESSION)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"type": "lda", "n_neighbors": 3}, "lda does not take 'n_neighbors' (it takes solver, shrinkage, transform)"),
        ({"type": "knn", "n_neighbours": 3}, "knn does not take 'n_neighbours'; did you mean 'n_neighbors'? (it takes"),
        (
            {"type": "knn", "metric": "sqeuclidean"},
            "metric is 'sqeuclidean', but knn takes euclidean, manhattan, cosine",
        ),
        ({"type": "lda", "solver": "svd", "shrinkage": "auto"}, "solver is svd, which has no shrinkage"),
        ({"type": "lda", "transform": ["standardize"]}, "did you mean 'standardise'?"),
        ({"type": "lda", "transform": ["pca"]}, "write {pca: 128}"),
        ({"type": "lda", "transform": [{"pca": 0}]}, "pca is 0; expected the number of its components"),
        ({"type": "lda", "transform": [{"l2": 3}]}, "l2 takes no option"),
        ({"type": "lda", "transform": [{"standardise": "each"}]}, "standardise is 'each'"),
        ({"type": "lda", "transform": [{"pca": 3, "tca": 3}]}, "is not one transform"),
    ],
)
def test_the_section_is_checked(given, told):
    with pytest.raises(ValidationError) as caught:
        ClassifierSpec(**given)
    assert told in str(caught.value)


def test_a_damaged_classifier_is_one_line(tmp_path):
    save(fit(ClassifierSpec(type="knn", n_neighbors=1), X, Y), tmp_path)
    whole = (tmp_path / "classifier.safetensors").read_bytes()
    (tmp_path / "classifier.safetensors").write_bytes(whole[:-8])
    with pytest.raises(BadInput, match="holds no classifier that can be read"):
        load(tmp_path)
    (tmp_path / "classifier.json").write_text('{"version": 2}')
    with pytest.raises(BadInput, match="is of version 2; this hfft reads 1"):
        load(tmp_path)
