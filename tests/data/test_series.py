"""Series of numbers: read from columns and files, standardised by the training rows alone, and learned as sequences."""

import json
import os
import subprocess
import sys

import datasets
import numpy as np
import pytest
import torch
import transformers
from datasets import Array2D, ClassLabel, Dataset, Features, List, Value

from hfft import finetune, load_recipe
from hfft.backbone import load_processor
from hfft.data.load import load_splits
from hfft.data.modality.series import SeriesInputs, read_file
from hfft.data.row_keys import keys_of
from hfft.data.spec import Data
from hfft.errors import DataError, RecipeError
from hfft.feature_extraction_series import SeriesFeatureExtractor
from hfft.modeling_inputs import Patches
from hfft.predict import load_predictor
from hfft.recipe import Recipe
from hfft.tasks.table import TASKS
from tests import stand_ins
from tests.examples import SINGLE, tiny
from tests.parts import model_of
from tests.training import labels_of

TASK = TASKS["time-series-classification"]
NAMES = ClassLabel(names=["a", "b"])


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """Each test in a folder of its own, caches included."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


def drawn(rows=12, length=8, channels=3, seed=0):
    """Series `(rows, length, channels)` with an offset and a scale of each channel."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, length, channels)) * (1 + np.arange(channels)) + 5).astype("f4")


def saved(values, folder, feature=None):
    """A folder of Parquet with train and test rows."""
    feature = feature or List(List(Value("float32")))
    for split, rows in (("train", values[:8]), ("test", values[8:])):
        given = {"series": [row.tolist() for row in rows], "label": [i % 2 for i in range(len(rows))]}
        Dataset.from_dict(given, Features(series=feature, label=NAMES)).to_parquet(folder / f"{split}.parquet")
    return Data(path=str(folder), test="test", validation="none")


def patchtst(folder, length=8, channels=3, **more):
    """A tiny PatchTST, pretrained on nothing."""
    sizes = {"d_model": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 16, "patch_length": 4}
    config = transformers.PatchTSTConfig(
        context_length=length, num_input_channels=channels, patch_stride=2, do_mask_input=False, **{**sizes, **more}
    )
    transformers.PatchTSTForPretraining(config).save_pretrained(folder)
    return config


def recipe(name, **changes):
    """A recipe for series."""
    backbone = {"name": str(name), **changes.pop("backbone", {})}
    parts = {"name": "r", "task": TASK.name, "backbone": backbone, "data": {"path": "none"}}
    return Recipe(**{**parts, **changes})


# --- reading


@pytest.mark.parametrize("feature", [None, Array2D((8, 3), "float32"), List(List(Value("int64")))])
def test_arrays_of_a_column_are_read_as_they_are(tmp_path, feature):
    values = drawn().round() if feature is not None and hasattr(feature, "feature") else drawn()
    if isinstance(feature, List):
        values = values.astype("i8")
    splits, labels = load_splits(saved(values, tmp_path, feature), TASK)
    assert labels.names == ("a", "b")
    np.testing.assert_array_equal(np.array(splits.train["series"]), values[:8])


def test_a_list_of_numbers_is_a_series_of_one_channel(tmp_path):
    values = drawn(channels=1)
    data = saved(values[..., 0], tmp_path, List(Value("float32")))
    data = data.model_copy(update={"columns": data.columns.model_copy(update={"series": "series"})})
    splits, _ = load_splits(data, TASK)
    np.testing.assert_array_equal(np.array(splits.train["series"]), values[:8])


def test_files_that_a_table_names_are_read_from_its_folder(tmp_path):
    values = drawn(4)
    for i, one in enumerate(values):
        np.save(tmp_path / f"{i}.npy", one)
        header = "x,y,z\n" if i % 2 else ""
        text = header + "\n".join(",".join(f"{x:.9g}" for x in step) for step in one)
        (tmp_path / f"{i}.csv").write_text(text, encoding="utf-8")
    for ending in ("npy", "csv"):
        lines = [f"{i}.{ending},{'ab'[i % 2]},p{i // 2}" for i in range(4)]
        (tmp_path / "table.csv").write_text("\n".join(["series,label,subject", *lines]), encoding="utf-8")
        data = Data(path=str(tmp_path / "table.csv"), columns={"series": "series", "label": "label"}, test="none",
                    validation="none")  # fmt: skip
        splits, _ = load_splits(data, TASK)
        np.testing.assert_allclose(np.array(splits.train["series"]), values, rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "said"),
    [("a,b\n1,x\n", "is no series of numbers"), ("1,2\n3\n", "is no series"), ("x,y\n", "shape .0,.; expected")],
)
def test_a_file_of_something_else_is_refused_by_name(tmp_path, content, said):
    (tmp_path / "odd.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=rf"odd\.csv: .*{said}"):
        read_file(tmp_path / "odd.csv")


def test_a_pickled_array_is_refused(tmp_path):
    np.save(tmp_path / "odd.npy", np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"odd\.npy: is no series of numbers"):
        read_file(tmp_path / "odd.npy")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([[1.0, float("nan"), 2.0]], "missing or not finite"),
        ([], "no series in column"),
        ([[1.0], [1.0, 2.0]], "different"),
    ],
)
def test_a_row_that_is_no_series_is_told_before_training(tmp_path, row, said):
    values = [one.tolist() for one in drawn()]
    values[3] = row
    given = {"series": values, "label": [i % 2 for i in range(12)]}
    Dataset.from_dict(given, Features(series=List(List(Value("float32"))), label=NAMES)).to_parquet(
        tmp_path / "train.parquet"
    )
    with pytest.raises(DataError, match=f"split train, row 3.*{said}"):
        load_splits(Data(path=str(tmp_path), validation="none", test="none"), TASK)


# --- standardised


def test_each_channel_is_standardised_by_the_training_rows_alone(tmp_path):
    values = drawn()
    splits, _ = load_splits(saved(values, tmp_path), TASK)
    processor, inputs = SeriesFeatureExtractor(8, 3), SeriesInputs()
    inputs.fit(processor, {"": (dict(splits.items()), splits.columns)})
    flat = values[:8].reshape(-1, 3)
    np.testing.assert_allclose(processor.mean, flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(processor.std, flat.std(0), rtol=1e-4)
    made = inputs.batch(list(values), processor)["past_values"].numpy()
    np.testing.assert_allclose(made, (values - flat.mean(0)) / flat.std(0), atol=1e-4)
    before = list(processor.mean)
    inputs.fit(processor, {"": ({"train": splits.test}, splits.columns)})  # a fitted one stays
    assert processor.mean == before


def test_several_tasks_are_standardised_by_the_training_rows_of_all(tmp_path):
    found = {}
    for seed, task in enumerate(("one", "two")):
        found[task], _ = load_splits(saved(drawn(seed=seed) + seed, tmp_path / task), TASK)
    processor = SeriesFeatureExtractor(8, 3)
    parts = {task: (dict(splits.items()), splits.columns) for task, splits in found.items()}
    SeriesInputs().fit(processor, parts)
    flat = np.concatenate([drawn(seed=seed)[:8] + seed for seed in (0, 1)]).reshape(-1, 3)
    np.testing.assert_allclose(processor.mean, flat.mean(0), rtol=1e-5)
    with pytest.raises(DataError, match="task one, split train, row 0: has 8 time steps"):
        SeriesInputs().fit(SeriesFeatureExtractor(9, 3), parts)


def test_rows_are_known_by_their_content_with_or_without_the_audit(tmp_path):
    splits, _ = load_splits(saved(drawn(), tmp_path), TASK)
    inputs, processor = SeriesInputs(), SeriesFeatureExtractor(8, 3)
    step = inputs.step(processor, splits.columns, "train")
    audited, alone = (inputs.rows(splits.train, step, "", one) for one in (splits.content["train"], None))
    np.testing.assert_array_equal(keys_of(audited), keys_of(alone))
    assert len(set(keys_of(alone).tolist())) == 8
    assert audited.identity() == alone.identity()


def test_a_channel_that_never_changes_becomes_zero(tmp_path):
    values = drawn()
    values[..., 1] = 7
    splits, _ = load_splits(saved(values, tmp_path), TASK)
    processor, inputs = SeriesFeatureExtractor(8, 3), SeriesInputs()
    inputs.fit(processor, {"": (dict(splits.items()), splits.columns)})
    assert torch.isfinite(inputs.batch(list(values), processor)["past_values"]).all()
    assert not inputs.batch(list(values), processor)["past_values"][..., 1].abs().max() > 1e-5


def test_rows_of_unequal_length_are_refused_in_one_line(tmp_path):
    values = [one.tolist() for one in drawn()]
    values[10] = values[10][:5]
    for split, rows in (("train", values[:8]), ("test", values[8:])):
        given = {"series": rows, "label": [i % 2 for i in range(len(rows))]}
        Dataset.from_dict(given, Features(series=List(List(Value("float32"))), label=NAMES)).to_parquet(
            tmp_path / f"{split}.parquet"
        )
    splits, _ = load_splits(Data(path=str(tmp_path), test="test", validation="none"), TASK)
    said = "split test, row 2: has 5 time steps of 3 channels, but the model reads 8 of 3; cut the series into windows"
    with pytest.raises(DataError, match=said) as error:
        SeriesInputs().fit(SeriesFeatureExtractor(8, 3), {"": (dict(splits.items()), splits.columns)})
    assert "\n" not in str(error.value)


def test_the_extractor_reads_one_series_or_several():
    one = SeriesFeatureExtractor(8, 3, mean=[1, 2, 3], std=[2, 2, 2])
    values = drawn(2)
    expected = (values - np.array([1, 2, 3], "f4")) / 2
    np.testing.assert_allclose(one(values[0])["past_values"], expected[:1], rtol=1e-6)
    np.testing.assert_allclose(one(values[0].tolist())["past_values"], expected[:1], rtol=1e-6)
    np.testing.assert_allclose(one(list(values))["past_values"], expected, rtol=1e-6)
    np.testing.assert_allclose(one(values)["past_values"], expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"shape \(5, 3\), but the model reads \(8, 3\)"):
        one(values[0][:5])
    with pytest.raises(DataError, match=r"shape \(5, 3\), but the model reads \(8, 3\); cut or resample it"):
        SeriesInputs().batch([values[0][:5]], one)


# --- the model


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_the_head_on_the_states_is_that_of_transformers(tmp_path, pooling):
    config = patchtst(tmp_path / "model", pooling_type=pooling, scaling=None)
    made = recipe(tmp_path / "model", head={"pooling": pooling})
    model = model_of(made, labels_of(SINGLE), load_processor(made.backbone, TASK)).eval()
    config.num_targets = 3
    stock = transformers.PatchTSTForClassification(config).eval()
    stock.model.load_state_dict(model.base_model.state_dict())
    stock.head.linear.load_state_dict(model.head.out.state_dict())
    values = torch.randn(2, 8, 3)
    with torch.no_grad():
        torch.testing.assert_close(model(past_values=values).logits, stock(past_values=values).prediction_logits)


def test_a_mixer_is_read_alike(tmp_path):
    sizes = {"d_model": 8, "num_layers": 1, "patch_length": 4, "patch_stride": 4}
    config = transformers.PatchTSMixerConfig(context_length=8, num_input_channels=3, **sizes)
    transformers.PatchTSMixerModel(config).save_pretrained(tmp_path / "model")
    made = recipe(tmp_path / "model")
    model = model_of(made, labels_of(SINGLE), load_processor(made.backbone, TASK)).eval()
    assert model(past_values=torch.randn(2, 8, 3)).logits.shape == (2, 3)


def test_sizes_that_the_recipe_sets_are_those_of_model_and_extractor(tmp_path):
    patchtst(tmp_path / "model", length=32, channels=1)
    made = recipe(
        tmp_path / "model", backbone={"init": "random", "config": {"context_length": 8, "num_input_channels": 3}}
    )
    processor = load_processor(made.backbone, TASK)
    assert (processor.length, processor.channels) == (8, 3)
    assert model_of(made, labels_of(SINGLE), processor)(past_values=torch.randn(2, 8, 3)).logits.shape == (2, 3)


def test_a_text_transformer_reads_pieces_of_a_series(tmp_path):
    tiny("bert").save_pretrained(tmp_path / "bert")
    made = recipe(tmp_path / "bert", backbone={"cross_modal": {"patch": 2, "length": 8, "channels": 3}})
    processor = load_processor(made.backbone, TASK)
    model = model_of(made, labels_of(SINGLE), processor).eval()
    assert any(isinstance(module, Patches) for module in model.modules())
    values = torch.randn(2, 8, 3)
    embedded = model.base_model.get_input_embeddings()(values)
    stock = transformers.AutoModel.from_pretrained(tmp_path / "bert").eval()
    with torch.no_grad():
        expected = model.head.out(stock(inputs_embeds=embedded)[0].mean(1))
        torch.testing.assert_close(model(past_values=values).logits, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("cross", "said"),
    [
        ({"patch": 2}, "length: is not set; give the time steps"),
        ({"patch": 2, "length": 8, "size": 3}, "size: unknown"),
    ],
)
def test_a_text_transformer_of_series_needs_their_length(tmp_path, cross, said):
    with pytest.raises(RecipeError, match=said):
        recipe(tmp_path, backbone={"cross_modal": cross})


@pytest.mark.parametrize("method", ["cutmix", "pgd", "augmix", "fixmatch"])
def test_methods_for_images_are_refused_before_training(tmp_path, method):
    given = {"cutmix": 1.0, "pgd": 0.1, "augmix": 12.0, "fixmatch": {"on": "more"}}[method]
    data = {"path": "none", "sets": {"more": {"path": "none"}}} if method == "fixmatch" else {"path": "none"}
    with pytest.raises(RecipeError, match=f"strategy.{method}: .*(is for images|attacks pixels|draws augmented views)"):
        recipe(tmp_path, strategy={method: given}, data=data)
    assert recipe(tmp_path, strategy={"mixup": 0.2}).strategy.mixup is not None


@pytest.mark.parametrize("augment", ["horizontal_flip", "word_swap"])
def test_augmentations_of_other_inputs_are_refused(tmp_path, augment):
    with pytest.raises(RecipeError, match=r"data\.augment: .* takes series"):
        recipe(tmp_path, data={"path": "none", "augment": [augment]})


# --- whole runs


@pytest.mark.slow
def test_a_text_transformer_trains_on_series_and_is_loaded_again(tmp_path):
    tiny("bert").save_pretrained(tmp_path / "bert")
    saved(drawn(), tmp_path)
    made = recipe(
        tmp_path / "bert",
        backbone={"cross_modal": {"patch": 2, "length": 8, "channels": 3}},
        data={"path": str(tmp_path / "*.parquet"), "validation": "none", "test": 0.3},
        training={"output_dir": str(tmp_path / "run"), "max_steps": 2, "use_cpu": True},
        score={"scorecard": "off"},
    )
    result = finetune(made)
    found = load_predictor(str(result.folder), device="cpu")
    assert found.modality is TASK.modality
    assert found.processor.mean is not None
    assert found([drawn()[0]]).shape == (1, 2)


ALONE = """
import json, sys
sys.modules["hfft"] = None  # importing it fails
import numpy, torch, transformers
folder, values = sys.argv[1], numpy.load(sys.argv[2])
extractor = transformers.AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True).eval()
with torch.no_grad():
    print(json.dumps(model(**extractor(values, return_tensors="pt")).logits.softmax(-1).tolist()))
"""


@pytest.mark.slow
def test_a_run_learns_is_scored_on_another_person_and_loads_without_hfft(tmp_path):
    stand_ins.data("uci_har", tmp_path / "data")
    stand_ins.model("ibm-granite/granite-timeseries-patchtst", tmp_path / "model")
    overrides = [f"backbone.name={tmp_path / 'model'}", f"data.path={tmp_path / 'data'}", "data.validation=none"]
    overrides += [f"training.output_dir={tmp_path / 'run'}", "training.num_train_epochs=30", "score.scorecard=off"]
    overrides += ["training.per_device_train_batch_size=16", "training.learning_rate=1e-2", "training.use_cpu=true"]
    result = finetune(load_recipe("har_patchtst", *overrides))
    assert result.metrics["test"]["n"] == 18
    assert result.metrics["test"]["accuracy"] > 0.8
    values = np.array(stand_ins.series(6, "activity", stand_ins.ACTIVITIES)["series"], "f4")
    np.save(tmp_path / "values.npy", values)
    predictor = load_predictor(str(result.folder), device="cpu")
    found = predictor(list(values))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", ALONE, str(result.model), str(tmp_path / "values.npy")]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    np.testing.assert_allclose(json.loads(ran.stdout.splitlines()[-1]), found.numpy(), atol=1e-5)
    np.save(tmp_path / "one.npy", values[0])
    rows = list(predictor.table(SeriesInputs().open(str(tmp_path / "one.npy"), print)))
    assert rows[0]["label"] == stand_ins.ACTIVITIES[int(found[0].argmax())]
    again = "import sys; from hfft import load_predictor; print(type(load_predictor(sys.argv[1]).processor).__name__)"
    fresh = subprocess.run([sys.executable, "-c", again, str(result.folder)], capture_output=True, text=True)
    assert fresh.stdout.strip() == "SeriesFeatureExtractor", fresh.stderr[-3000:]
    card = (result.model / "README.md").read_text(encoding="utf-8")
    assert "AutoFeatureExtractor.from_pretrained(name, trust_remote_code=True)" in card
    assert "pipeline(" not in card
