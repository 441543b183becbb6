"""What the options of each method may be, what they are by default, and where a method is left out."""

import typing

import pytest

from hfft.strategy.method import MethodSpec
from hfft.strategy.spec import Strategy
from tests.training import methods_of

# Method -> option -> values at the edge of what it may be, values just outside, and its default (None: there is none).
OPTIONS = {
    "balanced": {"after": ([0, 1], [-1, 0.5], 0)},
    "mcc": {"on": (["x"], [3], None), "temperature": ([1e-6], [0, -1], 2.5), "weight": ([0, 1e-6], [-1, -1e-6], 1.0)},
    "mixup": {"alpha": ([0, 1e-6, 9], [-1e-6, -0.5], 0.2)},
    "cutmix": {"alpha": ([0, 1e-6, 9], [-1e-6, -0.5], 1.0)},
    "sam": {"rho": ([0, 1e-6, 9], [-1e-6, -0.5], 0.05)},
    "distillation": {
        "teacher": (["x"], ["", 3], None),
        "temperature": ([1e-6, 9], [0, -0.5], 2.0),
        "weight": ([0, 1], [-1e-6, 1 + 1e-6, 1.5], 0.5),
    },
    "focal": {"gamma": ([0, 0.5, 9], [-1e-6, -0.5], 2.0)},
    "poly": {"epsilon": ([-1, 0, 9], ["x"], 1.0)},
    "logit_adjustment": {"tau": ([0, 0.5, 9], [-1e-6, -0.5], 1.0)},
    "class_weights": {"weights": (["balanced", {"a": 0}], ["balance", {"a": -1e-6}, {"a": -0.5}], None)},
    "l2_sp": {"weight": ([0, 0.5, 9], [-1e-6, -0.5], None)},
    "bss": {"weight": ([0, 0.5, 9], [-1e-6, -0.5], 1e-3), "smallest": ([1, 2], [0, -1], 1)},
    "r_drop": {"weight": ([0, 0.5, 9], [-1e-6, -0.5], 1.0)},
    "agc": {"clip_factor": ([0, 1e-6, 9], [-1e-6, -0.5], 0.01), "eps": ([1e-9, 1], [0, -1], 1e-3)},
    "clip_value": {"value": ([0, 1e-6, 9], [-1e-6, -0.5], None)},
    "lr_by_gap": {
        "factor": ([1e-6, 0.5, 1], [0, -0.5, 1 + 1e-6], 0.5),
        "threshold": ([0, 1e-6, 9], [-1e-6, -1], 0.0),
        "low": ([1e-6, 0.5, 1], [0, -0.5, 1 + 1e-6], 0.01),
    },
    "ema": {"decay": ([0, 0.5, 1 - 1e-6], [1, 1.5, -1e-6, -0.5], 0.999)},
    "non_finite": {"skip": ([0, 1], [-1, 0.5], 0)},
}
NEEDED = {
    "mcc": {"on": "x"},
    "distillation": {"teacher": "x"},
    "l2_sp": {"weight": 1},
    "clip_value": {"value": 1},
    "class_weights": {},
}
# The options that make a run the same as without the method.
NEUTRAL = [
    {"mcc": {"on": "x", "weight": 0}},
    {"mixup": 0},
    {"cutmix": 0},
    {"sam": 0},
    {"distillation": {"teacher": "x", "weight": 0}},
    {"focal": 0},
    {"poly": 0},
    {"logit_adjustment": 0},
    {"class_weights": {}},
    {"l2_sp": 0},
    {"bss": 0},
    {"r_drop": 0},
    {"agc": 0},
    {"clip_value": 0},
    {"lr_by_gap": 1},
    {"ema": 0},
    {"non_finite": {"skip": 0}},
    {"non_finite": "stop"},
]


def spec_of(name):
    annotation = Strategy.model_fields[name].annotation
    kinds = (annotation, *typing.get_args(annotation))
    return next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, MethodSpec))


def given(name, option, value):
    return {name: value if name == "class_weights" else {**NEEDED.get(name, {}), option: value}}


def test_every_option_of_every_method_is_here():
    assert {name: set(options) for name, options in OPTIONS.items()} == {
        name: set(spec_of(name).model_fields) for name in Strategy.model_fields
    }


@pytest.mark.parametrize(("name", "option"), [(name, option) for name in OPTIONS for option in OPTIONS[name]])
def test_an_option_takes_what_lies_within_its_bounds_and_nothing_else(name, option):
    right, wrong, default = OPTIONS[name][option]
    for value in right:
        assert getattr(getattr(Strategy.model_validate(given(name, option, value)), name), option) == value
    for value in wrong:
        with pytest.raises(ValueError, match=name):
            Strategy.model_validate(given(name, option, value))
    field = spec_of(name).model_fields[option]
    assert (None if field.is_required() else field.default) == default


@pytest.mark.parametrize("strategy", NEUTRAL, ids=str)
def test_what_would_change_nothing_is_left_out(strategy):
    assert methods_of(**strategy) == []


BUILT = {"mcc": "x", "distillation": "x", "class_weights": "balanced", "balanced": 1, "non_finite": {"skip": 1}}


@pytest.mark.parametrize("name", OPTIONS)
def test_what_changes_something_is_built_under_its_name(name):
    [method] = methods_of(**{name: BUILT.get(name, 0.5)})
    assert method.name == name


def test_only_stop_stands_for_a_number_of_steps():
    with pytest.raises(ValueError, match=r"is 'skip'; expected stop, or \{skip: 5\}"):
        Strategy.model_validate({"non_finite": "skip"})
    assert Strategy.model_validate({"non_finite": {"skip": 2}}).non_finite.plain() == {"skip": 2}
    assert Strategy.model_validate({"non_finite": "stop"}).non_finite.plain() == "stop"
