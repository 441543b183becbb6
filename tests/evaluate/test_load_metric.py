"""A user's own metric: a file that is imported from where it lies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from hfft import finetune
from hfft.errors import BadInput, RecipeError
from hfft.evaluate import Metrics, check_files
from hfft.recipe.build import build
from tests.evaluate.cases import MULTI, OWN, REGRESSION, SINGLE, example
from tests.torture.runs import RECIPE


def metric(compute: str, features: str = "Value('int32')", more: str = "") -> str:
    """The text of a file that holds a metric."""
    return textwrap.dedent(f"""
        import evaluate
        import numpy as np
        from datasets import Features, List, Value

        class Own(evaluate.Metric):
            def _info(self):
                kind = {features}
                features = Features({{"predictions": kind, "references": kind}})
                return evaluate.MetricInfo(description="", citation="", features=features)

            def _compute(self, predictions, references):
                return {compute}
        """) + textwrap.dedent(more)


def figures(path, problem=SINGLE, rows=203, size=7):
    """What the file scores of a random split that is fed in pieces, and the split."""
    logits, target, labels = example(problem, rows, size)
    metrics = Metrics(labels, [str(path)])
    for i in range(0, rows, 16):
        metrics.update(logits[i : i + 16], target[i : i + 16])
    return metrics.compute(), logits, target


@pytest.fixture
def own(tmp_path):
    def write(text, name="own.py"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_what_it_returns_enters_the_scores_with_a_key_per_entry(own):
    found, logits, target = figures(own(OWN))
    assert list(found) == ["loss", "wrong", "rows", "n"]
    assert found["wrong"] == (logits.argmax(1) != target).sum()
    assert found["rows"] == found["n"] == 203
    assert all(type(found[name]) is float for name in ("wrong", "rows"))


def test_it_is_fed_numbers_of_a_regression_and_vectors_of_many_labels(own):
    compute = "{'apart': np.abs(np.array(predictions) - np.array(references)).mean(), 'shape': np.ndim(predictions)}"
    found, logits, target = figures(own(metric(compute, "Value('float32')")), REGRESSION, size=1)
    assert (found["apart"], found["shape"]) == (pytest.approx((logits - target).abs().mean().item(), rel=1e-6), 1)
    found, logits, target = figures(own(metric(compute, "List(Value('float32'))"), "several.py"), REGRESSION, size=3)
    assert (found["apart"], found["shape"]) == (pytest.approx((logits - target).abs().mean().item(), rel=1e-6), 2)
    for kind in ("int32", "float32", "bool"):
        compute = "{'apart': (np.array(predictions) != np.array(references)).mean(), 'shape': np.ndim(predictions)}"
        path = own(metric(compute, f"List(Value('{kind}'))"), f"{kind}.py")
        found, logits, target = figures(path, MULTI)
        assert (found["apart"], found["shape"]) == (pytest.approx(((logits >= 0) != target).float().mean().item()), 2)


def test_it_may_ask_for_what_the_metrics_of_the_package_ask_for(own):
    text = metric("{'sure': np.mean(confidences)}").replace('"references": kind', '"confidences": Value("float32")')
    found, logits, _ = figures(own(text.replace("predictions, references)", "predictions, confidences)")))
    assert found["sure"] == pytest.approx(logits.softmax(1).max(1).values.mean().item(), rel=1e-6)


def test_it_may_import_a_class_and_define_helpers(own):
    more = "def helper(): return 1\nfrom hfft.evaluate.metrics.accuracy import Accuracy\n"
    assert figures(own(metric("{'one': helper()}", more=more)))[0]["one"] == 1


@pytest.mark.parametrize("value", ["1", "np.float32(1)", "np.array(1)", "np.int64(1)", "True"])
def test_any_number_is_one(value, own):
    assert figures(own(metric(f"{{'one': {value}}}")))[0]["one"] == 1.0


def test_a_figure_that_is_undefined_does_not_end_a_run(own):
    assert np.isnan(figures(own(metric("{'x': float('nan')}")))[0]["x"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "must define exactly one subclass of evaluate.Metric, but defines none"),
        ("from evaluate import Metric", "defines none"),
        (OWN + OWN.replace("Wrong", "Right"), "defines Wrong, Right; leave one"),
        ("import no_such_module", "cannot be imported: No module named 'no_such_module'"),
        ("def (", "cannot be imported: "),
        (OWN.replace("def _info", "def _other"), "cannot be instantiated: "),
    ],
)
def test_a_file_without_one_metric_is_told_before_data_are_fetched(text, said, own):
    with pytest.raises(BadInput, match=r"^score\.metrics: .*own\.py ") as caught:
        check_files([str(own(text))])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match=r"no_such\.py does not exist; name a \.py file that defines"):
        check_files(["accuracy", "no_such.py"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (metric("3"), "returned int; _compute must return a dict of numbers"),
        (metric("{}"), "returned dict; "),
        (metric("None"), "returned NoneType; "),
        (metric("{'x': 'good'}"), "returned 'good' as x; return one number"),
        (metric("{'x': np.ones(3)}"), "as x; return one number"),
        (metric("{'x': None}"), "returned None as x"),
        (metric("{'loss': 1.0}"), "returned 'loss', which cannot be the name of a metric"),
        (metric("{3: 1.0}"), "returned 3, which cannot be the name"),
        (metric("1 / 0"), "failed: division by zero; fix its _compute"),
        (
            metric("{'x': 1}", "List(Value('int32'))"),
            "does not accept predictions int32 (203,), references int32 (203,): ",
        ),
        (
            metric("{'x': 1}").replace('"references"', '"sources"'),
            "needs sources, but single_label_classification has",
        ),
    ],
)
def test_what_does_not_return_numbers_is_told_in_one_line(text, said, own):
    with pytest.raises(BadInput, match=r"^score\.metrics: .*own\.py ") as caught:
        figures(own(text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_metrics_that_return_the_same_name_are_refused(own):
    logits, target, labels = example(SINGLE)
    metrics = Metrics(labels, ["accuracy", str(own(metric("{'accuracy': 1.0}")))])
    metrics.update(logits, target)
    with pytest.raises(BadInput, match=r"own\.py returns accuracy, as another metric does"):
        metrics.compute()


def test_a_file_that_was_changed_is_read_anew_by_the_next_run(own):
    for value in (1, 2):
        path = own(metric(f"{{'x': {value}, 'more': {'0' * value}}}"))  # of another size: Python compares seconds
        check_files([str(path)])
        assert figures(path)[0]["x"] == value


def test_a_recipe_names_a_file_as_it_names_a_metric():
    def made(*overrides):
        return build(RECIPE, "test.yaml", "test", ("score.metrics=[accuracy, mine.py]", *overrides))

    assert made().metrics == ("accuracy", "mine.py")
    assert made().resolved()["score"]["metrics"] == ["accuracy", "mine.py"]
    best = ("training.metric_for_best_model=mine", "training.load_best_model_at_end=true")
    assert made(*best).training["metric_for_best_model"] == "mine"
    with pytest.raises(RecipeError, match="unknown metric 'mine'"):
        build(RECIPE, "test.yaml", "test", ("score.metrics=[mine]",))


@pytest.mark.slow
def test_a_run_is_scored_and_chosen_by_it_and_records_it(own, tmp_path, capsys):
    path, folder = own(OWN), tmp_path / "run"
    more = [f"score.metrics=[accuracy, {path}]", f"training.output_dir={folder}", "training.eval_strategy=epoch"]
    more += ["training.save_strategy=epoch", "training.load_best_model_at_end=true", "training.greater_is_better=false"]
    result = finetune(build(RECIPE, "test.yaml", "test", (*more, "training.metric_for_best_model=wrong")))
    for split in {"validation", "test"} & set(result.metrics):
        found = result.metrics[split]
        assert list(found) == ["loss", "accuracy", "wrong", "rows", "n"]
        assert found["wrong"] == pytest.approx((1 - found["accuracy"]) * found["n"])
    assert str(path) in (folder / "recipe.yaml").read_text()
    wrong = [
        row["eval_wrong"]
        for row in json.loads((folder / "trainer_state.json").read_text())["log_history"]
        if "eval_wrong" in row
    ]
    assert len(wrong) > 1
    assert result.metrics["validation"]["wrong"] == min(wrong)
    said = capsys.readouterr().out
    assert "validation loss" in said
    assert f"wrong {min(wrong):.4f}" in said
    for file in ("report.html", "model/README.md"):
        assert "wrong" in (folder / file).read_text()


@pytest.mark.slow
def test_nothing_is_copied_and_nothing_left_behind(own, tmp_path):
    path, home = own(OWN), tmp_path / "home"
    home.mkdir()
    script = f"""
import gc
gc.disable()
from tests.evaluate.test_load_metric import figures
assert figures({str(path)!r})[0]["n"] == 203
"""
    env = {**os.environ, "HF_HOME": str(home), "HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-B", "-c", script], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
