"""The losses of single examples add up to the means that torch and transformers compute."""

import numpy as np
import pytest
import torch
from transformers.trainer_pt_utils import LabelSmoother

from hfft.errors import BadInput, DataError
from hfft.strategy import balanced_weights, logits_of, per_example
from hfft.strategy.loss.class_weights import ClassWeights, Weighed
from hfft.strategy.loss.label_smoothing import Smoothed
from hfft.strategy.loss_chain import chain
from hfft.strategy.method import At, Setting
from hfft.tasks.problem import PROBLEMS as OBJECTS
from tests.examples import ALL, EVERY, MULTI, PROBLEMS, REGRESSION, SINGLE, tiny
from tests.training import collate, examples

MASKED = "masked_language_modelling"


def logits_and_labels(problem, rows=6, classes=4):
    torch.manual_seed(0)
    logits = torch.randn(rows, classes)
    if problem == SINGLE:
        return logits, torch.randint(classes, (rows,))
    if problem == MULTI:
        return logits, torch.randint(2, (rows, classes)).float()
    if problem == REGRESSION:
        return logits, torch.randn(rows, classes)
    labels = torch.randint(9, (rows, 5))
    labels[torch.rand(rows, 5) < 0.6] = -100
    return torch.randn(rows, 5, 9), labels


def mean(logits, labels, problem):
    sums, counts = per_example(logits, labels, problem)
    return sums.sum() / counts.sum()


def losses(logits, labels, smoothing=0.0, weights=None):
    """The loss of each row with label smoothing and class weights, as a Trainer chains them."""
    methods = [Smoothed(smoothing)] if smoothing else []
    if weights is not None:
        weighed = Weighed(ClassWeights(weights={"a": 1.0}))
        weighed.factors = weights
        methods.insert(0, weighed)
    return chain(methods, OBJECTS[SINGLE].loss)(logits, labels, At(0, 0, 0.0, 0))


@pytest.mark.parametrize("problem", [*PROBLEMS, MASKED])
def test_any_split_adds_up_to_the_whole(problem):
    logits, labels = logits_and_labels(problem)
    whole = per_example(logits, labels, problem)
    parts = [per_example(logits[i:j], labels[i:j], problem) for i, j in ((0, 1), (1, 4), (4, 6))]
    for i in range(2):
        torch.testing.assert_close(torch.cat([part[i] for part in parts]), whole[i])
    assert whole[1].sum() == OBJECTS[problem].count(labels)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", EVERY)
def test_the_mean_is_that_of_the_architectures_own_head(name, problem):
    model = tiny(name)
    model.config.problem_type = problem
    batch = collate(examples(ALL[name].modality, problem, 4))
    with torch.no_grad():
        stock = model(**batch)
    torch.testing.assert_close(mean(stock.logits, batch["labels"], problem), stock.loss)


@pytest.mark.parametrize("name", ["bert", "vit"])
def test_a_regression_of_one_number_takes_its_labels_with_and_without_a_dimension(name):
    model = tiny(name, labels=1)
    model.config.problem_type = REGRESSION
    batch = collate(examples(ALL[name].modality, REGRESSION, 4, size=1))
    with torch.no_grad():
        stock = model(**batch)
    for labels in (batch["labels"], batch["labels"].squeeze(1)):
        torch.testing.assert_close(mean(stock.logits, labels, REGRESSION), stock.loss)


def test_the_mean_of_masked_tokens_is_that_of_torch():
    logits, labels = logits_and_labels(MASKED)
    torch.testing.assert_close(
        mean(logits, labels, MASKED), torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_smoothing_is_that_of_torch_and_of_transformers(smoothing):
    logits, labels = logits_and_labels(SINGLE)
    ours = losses(logits, labels, smoothing).mean()
    torch.testing.assert_close(ours, torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing))
    torch.testing.assert_close(ours, LabelSmoother(smoothing)({"logits": logits}, labels))


def test_weights_are_those_of_torch_but_for_its_division_by_their_sum():
    logits, labels = logits_and_labels(SINGLE)
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0])
    sums = losses(logits, labels, weights=weights)
    stock = torch.nn.functional.cross_entropy(logits, labels, weights)
    torch.testing.assert_close(sums.sum() / weights[labels].sum(), stock)


def test_equal_weights_change_nothing():
    logits, labels = logits_and_labels(SINGLE)
    plain, weighed = (losses(logits, labels, 0.1, w) for w in (None, torch.ones(4)))
    torch.testing.assert_close(plain, weighed)


def test_weights_and_smoothing_together_are_those_of_torch():
    logits, labels = logits_and_labels(SINGLE)
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0])
    stock = torch.nn.functional.cross_entropy(logits, labels, weights, reduction="none", label_smoothing=0.3)
    torch.testing.assert_close(losses(logits, labels, 0.3, weights), stock)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("problem", [*PROBLEMS, MASKED])
def test_losses_of_half_precision_logits_are_in_float32(problem, dtype):
    logits, labels = logits_and_labels(problem)
    sums, counts = per_example(logits.to(dtype), labels, problem)
    assert sums.dtype == counts.dtype == torch.float32
    torch.testing.assert_close(sums, per_example(logits.to(dtype).float(), labels, problem)[0])


def test_an_example_without_targets_costs_nothing():
    logits, labels = logits_and_labels(MASKED)
    labels[2] = -100
    sums, counts = per_example(logits, labels, MASKED)
    assert sums[2] == counts[2] == 0


def test_an_unknown_problem_is_an_error():
    with pytest.raises(ValueError, match="unknown problem 'ranking'"):
        per_example(torch.zeros(1, 1), torch.zeros(1), "ranking")


@pytest.mark.parametrize("counts", [[1, 1], [30, 10, 5], [999, 1]])
def test_balanced_weights_make_classes_count_alike_and_average_to_one(counts):
    weights = balanced_weights(counts)
    shares = [n * weight for n, weight in zip(counts, weights, strict=True)]
    assert shares == pytest.approx([shares[0]] * len(counts))
    assert sum(shares) == pytest.approx(sum(counts))


def test_a_class_without_examples_cannot_be_balanced():
    with pytest.raises(ValueError, match="class 1 has no example"):
        balanced_weights([3, 0, 2])


def test_the_scores_of_a_model_that_names_no_logits_are_its_matrix():
    scores, maps = torch.randn(2, 3), torch.randn(2, 8, 4, 4)
    assert logits_of({"logits": maps, "last_hidden_state": scores}) is maps
    assert logits_of({"hidden_states": (scores,), "feature_maps": maps, "last_hidden_state": scores}) is scores
    assert logits_of((maps, scores)) is maps


def weighed(weights, class_ids=(0, 0, 0, 1)):
    """The factors of two classes, settled."""
    method = Weighed(ClassWeights(weights=weights))
    names, ids = ("a", "b"), np.array(class_ids)
    method.start(Setting(None, set(), OBJECTS[SINGLE], 2, 0, torch.device("cpu"), class_names=names, class_ids=ids))
    return method.factors.tolist()


def test_weights_of_classes_are_those_of_their_names_or_make_all_alike():
    assert weighed({"b": 3.0, "a": 0.5}) == [0.5, 3.0]
    assert weighed("balanced") == pytest.approx([4 / 6, 2.0])
    assert Weighed(ClassWeights(weights="balanced")).needs == {"counts"}
    assert not Weighed(ClassWeights(weights={"a": 1})).needs
    for wrong in ({"a": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}):
        with pytest.raises(BadInput, match=r"strategy\.class_weights: expected one weight for each of a, b"):
            weighed(wrong)
    with pytest.raises(DataError, match=r"strategy\.class_weights: class 1 has no example"):
        weighed("balanced", (0, 0))
