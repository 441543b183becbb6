"""`use: classifier`: features of a pretrained model, a classifier fitted on them, in a run folder like any other."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest
import torch
import transformers
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hfft import features, finetune
from hfft.classifier import store
from hfft.cli import main
from hfft.errors import BadInput, RecipeError, RunError
from hfft.evaluate.outputs import Outputs
from hfft.evaluate.spec import Score
from hfft.pipeline.uses import classifier as use
from hfft.predict import load_predictor
from hfft.recipe import Recipe, load_recipe
from hfft.runs import RunFolder

FILES = {"recipe.yaml", "metrics.json", "report.html", "model", "outputs", "data.json", "trained_rows.safetensors"}
FILES |= {"scorecard.json", "rows.json"}


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HFFT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def digits(folder, *, data=None, **classifier) -> Recipe:
    sections = {
        "task": "image-classification",
        "use": "classifier",
        "backbone": {"name": "nano-vit"},
        "classifier": classifier,
        "data": {"path": "digits", "max_train_samples": 80, "max_eval_samples": 40, "validation": 0.1, **(data or {})},
        "training": {"output_dir": str(folder)},
    }
    return Recipe(name="digits", **sections)


WORDS = {"good": ["fine", "good", "great"], "bad": ["poor", "bad", "dull"], "odd": ["weird", "odd", "strange"]}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Texts with a class, two labels and a number each."""
    path = tmp_path_factory.mktemp("texts") / "texts.csv"
    rng = np.random.default_rng(0)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "kind", "bad", "long", "stars"])
        for i in range(90):
            kind = list(WORDS)[i % 3]
            words = rng.choice(WORDS[kind], 3 + 5 * (i % 2))
            writer.writerow(
                [f"this film is {' '.join(words)} {i}", kind, int(kind == "bad"), i % 2, (i % 3) + 0.5 * (i % 2)]
            )
    return path


def texts(folder, table, label, problem="single_label_classification", **classifier) -> Recipe:
    return Recipe(
        name="texts",
        task="text-classification",
        problem_type=problem,
        use="classifier",
        backbone={"name": "nano-bert"},
        classifier=classifier,
        data={"path": str(table), "columns": {"label": label}, "test": 0.2, "validation": 0.1},
        training={"output_dir": str(folder)},
    )


@pytest.mark.slow
def test_a_linear_classifier_is_the_head_of_a_plain_model_with_scikit_learns_probabilities(tmp_path, capsys):
    recipe = digits(tmp_path / "run", type="logistic-regression", C=0.1, transform=["standardise"])
    result = finetune(recipe)
    assert {path.name for path in result.folder.iterdir()} == FILES
    found = features.of_recipe(recipe)
    own = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    own.fit(found["train"].values.astype(float), found["train"].labels)
    expected = own.predict_proba(found["test"].values.astype(float))
    stored = Outputs.read(result.folder / "outputs" / "test.safetensors")
    np.testing.assert_allclose(torch.from_numpy(stored.logits.copy()).softmax(1), expected, atol=1e-5)
    model = transformers.AutoModelForImageClassification.from_pretrained(result.model)
    assert type(model).__name__ == "ViTForImageClassification"
    rows = use.Setting.of(recipe).splits.test
    processor = transformers.AutoImageProcessor.from_pretrained(result.model)
    with torch.no_grad():
        plain = model(**processor([row["image"] for row in rows], return_tensors="pt")).logits.softmax(1)
    np.testing.assert_allclose(plain, expected, atol=1e-5)
    accuracy = own.score(found["test"].values.astype(float), found["test"].labels)
    assert result.metrics["test"] == pytest.approx({**result.metrics["test"], "accuracy": accuracy, "n": 40})
    card = (result.model / "README.md").read_text()
    assert "as it is, with a classifier fitted on its features of `digits`" in card
    width = found["test"].values.shape[1]
    assert f"by logistic-regression, C 0.1 behind standardise, on {width} features (pooling cls), its head." in card
    assert 'pipeline("image-classification"' in card
    assert "logistic-regression on features of nano-vit" in capsys.readouterr().out


@pytest.mark.slow
def test_another_classifier_stands_beside_a_features_model_and_is_served(tmp_path, capsys):
    recipe = digits(tmp_path / "run", type="knn", n_neighbors=3)
    result = finetune(recipe)
    found = features.of_recipe(recipe)
    own = KNeighborsClassifier(3).fit(found["train"].values.astype(float), found["train"].labels)
    expected = own.predict_proba(found["test"].values.astype(float))
    assert {store.ARRAYS, store.REST, "model.safetensors"} <= {path.name for path in result.model.iterdir()}
    plain = transformers.AutoModel.from_pretrained(result.model)
    assert type(plain).__name__ == "ViTModel"
    rows = [row["image"] for row in use.Setting.of(recipe).splits.test]
    predictor = load_predictor(str(result.folder), device="cpu")
    np.testing.assert_allclose(predictor(rows), expected, atol=1e-5)
    capsys.readouterr()
    assert main(["predict", str(result.folder), "--data", "digits", "--split", "test"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(table) == 500
    assert main(["score", str(result.folder), "--fresh"]) == 0
    assert f"accuracy {result.metrics['test']['accuracy']:.4f}" in capsys.readouterr().out
    card = (result.model / "README.md").read_text()
    assert "the classifier stands beside it in `classifier.json`" in card
    assert "from transformers import pipeline" not in card
    assert "by knn, n_neighbors 3" in (result.folder / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "problem", "kind"),
    [
        ("kind", "single_label_classification", "lda"),
        (["bad", "long"], "multi_label_classification", "logistic-regression"),
        ("stars", "regression", "ridge"),
        ("stars", "regression", "gradient-boosting"),
        (["bad", "long"], "multi_label_classification", "knn"),
    ],
)
def test_each_problem_on_texts(label, problem, kind, tmp_path, table):
    recipe = texts(tmp_path / "run", table, label, problem, type=kind)
    result = finetune(recipe)
    linear = kind in ("lda", "logistic-regression", "ridge")
    assert result.metrics["classifier"]["stored"] == ("head" if linear else "beside")
    splits = use.Setting.of(recipe).splits
    predictor = load_predictor(str(result.folder), device="cpu")
    stored = Outputs.read(result.folder / "outputs" / "test.safetensors")
    logits = torch.from_numpy(stored.logits.copy())
    expected = {"single_label_classification": logits.softmax(1), "regression": logits}.get(problem, logits.sigmoid())
    np.testing.assert_allclose(predictor([row["text"] for row in splits.test]), expected, atol=1e-5)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_a_finished_one_says_so(tmp_path, monkeypatch, capsys):
    recipe = digits(tmp_path / "run", type="nearest-centroid")
    with monkeypatch.context() as patch:
        patch.setattr(use, "score", lambda *_: (_ for _ in ()).throw(RunError("killed")))
        with pytest.raises(RunError, match="killed"):
            finetune(recipe)
    assert not (tmp_path / "run" / "metrics.json").exists()
    first = finetune(recipe).metrics
    finetune(recipe)
    assert "is finished; add --fresh to run it again" in capsys.readouterr().out
    with pytest.raises(BadInput, match=r"classifier\.type: nearest-centroid, now knn"):
        finetune(digits(tmp_path / "run", type="knn"))
    again = finetune(digits(tmp_path / "run", type="knn"), fresh=True).metrics
    assert first["test"] != again["test"]
    assert load_recipe(tmp_path / "run" / "recipe.yaml").resolved() == digits(tmp_path / "run", type="knn").resolved()


@pytest.mark.slow
@pytest.mark.parametrize("given", [True, False], ids=["target", "test"])
def test_rows_of_the_target_domain_take_part(given, tmp_path, capsys):
    sets = {"sets": {"target": {"path": "digits", "split": "test", "max_samples": 30}}} if given else {}
    recipe = digits(tmp_path / "run", data=sets, type="easytl", transform=["coral"])
    result = finetune(recipe)
    said = "30 rows of data.sets.target" if given else "the 40 test rows, without their labels"
    assert f"target domain: {said}" in capsys.readouterr().out
    assert result.metrics["classifier"]["target"].startswith(said)
    assert result.metrics["test"]["accuracy"] > 0.5


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"classifier": None}, "classifier: missing; use=classifier needs its type, one of logistic-regression"),
        (
            {"problem_type": "regression"},
            "classifier.type: is lda, which does not solve regression; use svm, knn, ridge",
        ),
        (
            {"classifier": {"type": "lda", "C": 1.0}},
            "classifier: lda does not take 'C' (it takes solver, shrinkage, transform)",
        ),
        (
            {"data": {"path": "digits", "sets": {"target": {"path": "digits"}}}},
            "data.sets.target: is for easytl, coral, tca and standardise: per-domain",
        ),
        (
            {"data": {"path": "digits", "sets": {"more": {"path": "digits"}}}},
            "data.sets.more: is not read by use=classifier",
        ),
        ({"use": "fine-tune"}, "classifier: is not read by use=fine-tune; leave it out, or set use=classifier"),
        ({"strategy": {"mixup": 0.2}}, "strategy: is not read by use=classifier"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_a_recipe_cannot_say(sections, said):
    whole = {
        "name": "r",
        "task": "image-classification",
        "use": "classifier",
        "backbone": {"name": "nano-vit"},
        "classifier": {"type": "lda"},
        "data": {"path": "digits"},
        **sections,
    }
    with pytest.raises(RecipeError) as caught:
        Recipe(**{key: value for key, value in whole.items() if value is not None})
    assert said in str(caught.value)


@pytest.mark.slow
def test_a_class_with_one_row_is_one_line_and_nothing_is_saved(tmp_path, table, capsys):
    rows = table.read_text().splitlines()
    few = tmp_path / "few.csv"
    few.write_text("\n".join([rows[0], *[row for row in rows[1:] if ",odd," not in row], rows[3]]))
    file = tmp_path / "r.yaml"
    file.write_text(
        f"{{task: text-classification, use: classifier, backbone: {{name: nano-bert}}, classifier: {{type: knn}}, "
        f"data: {{path: {few}, columns: {{label: kind}}, validation: none}}, training: {{output_dir: {tmp_path / 'run'}}}}}"
    )
    assert main(["train", str(file)]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert "n_neighbors: is 5, but class 'odd' has 1 training row" in error[0]
    assert not (tmp_path / "run" / "model").exists()
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_deep_check_fits_nothing(capsys):
    lines = list(use.check(digits("unused", type="knn")))
    assert lines[-1] == "a knn is fitted on features of 80 rows"


@pytest.mark.slow
def test_the_note_of_the_run_holds_how_the_argument_was_chosen(tmp_path):
    result = finetune(digits(tmp_path / "run", type="ridge", alpha=[10.0, 1.0]))
    chosen = json.loads(result.folder.joinpath("metrics.json").read_text())["classifier"]["chosen"]
    assert chosen["name"] == "alpha"
    assert len(chosen["scores"]) == 2
    assert "validation rows" in chosen["on"]


@pytest.mark.slow
@pytest.mark.parametrize("transform", [[], ["standardise"]])
def test_a_linear_classifier_can_be_calibrated(transform, tmp_path):
    noisy = {"validation": 0.3, "max_train_samples": 300, "label_noise": {"symmetric": 0.2}}
    plain, run = (
        finetune(
            digits(tmp_path / way, data=noisy, type="logistic-regression", C=100.0, transform=transform).model_copy(
                update={"score": Score(calibrate=way)}
            )
        )
        for way in ("none", "temperature")
    )
    said = run.metrics["calibrated"]
    logits = [Outputs.read(one.folder / "outputs" / "test.safetensors").logits for one in (plain, run)]
    np.testing.assert_allclose(logits[1] * said["temperature"], logits[0], rtol=1e-4, atol=1e-4)
    assert (logits[1].argmax(1) == logits[0].argmax(1)).all()
    assert said["splits"]["test"]["after"]["nll"] == pytest.approx(run.metrics["test"]["loss"], abs=1e-5)
    assert said["splits"]["validation"]["after"]["nll"] < said["splits"]["validation"]["before"]["nll"]


def test_a_classifier_that_is_not_linear_is_not_calibrated(tmp_path):
    recipe = digits(tmp_path / "knn", type="knn").model_copy(update={"score": Score(calibrate="temperature")})
    with pytest.raises(
        BadInput, match=r"score\.calibrate: is temperature, .* but a knn has none; use none, or classifier"
    ):
        finetune(recipe)


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [("lda", "fewer directions, as by classifier.transform: [{pca: 8}],"), ("linear-svm", "a smaller classifier.C")],
)
def test_a_model_that_rounds_otherwise_is_an_error_with_a_remedy_that_the_type_has(kind, remedy, tmp_path, monkeypatch):
    monkeypatch.setattr(use.reload, "answers_difference", lambda *args, **rest: 0.5)
    monkeypatch.setattr(use.reload, "loads_plainly", lambda *args: True)
    said = f"differ from the classifier's by 0.5, since its weights are large; {remedy} may make it less sensitive to rounding"
    with pytest.raises(RunError, match=re.escape(said)):
        use.prove(RunFolder(tmp_path), digits(tmp_path, type=kind), None, 1e-5)
