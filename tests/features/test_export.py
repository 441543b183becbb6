"""Exported features are those of the recipe, in every format; what cannot be written leaves nothing behind."""

import errno

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import hfft
from hfft import cli
from hfft.data import builtin
from hfft.errors import BadInput
from hfft.features import export as exporting
from hfft.features import of_recipe, write
from hfft.features.source import open_source
from hfft.recipe import load_recipe


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def table(tmp_path):
    """A table of texts of many lengths, with ids and labels."""
    path = tmp_path / "rows.csv"
    lines = [f"n{i},{'word ' * (i % 7 + 1)}{i},{'yes' if i % 3 else 'no'}" for i in range(23)]
    path.write_text("\n".join(["name,text,label", *lines]) + "\n")
    return str(path)


def digits():
    return load_recipe("digits", "data.max_train_samples=60")


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ""])
def test_every_format_has_the_recipes_features(suffix, tmp_path, capsys):
    wanted = of_recipe(digits(), ["test"])["test"]
    output = tmp_path / f"features{suffix}"
    assert cli.main(["features", "nano-vit", "--data", "digits", "--output", str(output)]) == 0
    assert "500 rows of split test; pooling: cls, as vit reads images" in capsys.readouterr().err
    if suffix == ".parquet":
        found = datasets.load_dataset("parquet", data_files=str(output), cache_dir=str(tmp_path / "hf"))["train"]
    elif suffix == "":
        found = datasets.load_from_disk(str(output))
    else:
        with np.load(output) as arrays:
            np.testing.assert_array_equal(arrays["features"], wanted.values)
            np.testing.assert_array_equal(arrays["labels"], wanted.labels)
            np.testing.assert_array_equal(arrays["ids"], np.arange(500))
            assert arrays["names"].tolist() == list(wanted.names)
        return
    assert found.features["label"].names == list(wanted.names)
    found = found.with_format("numpy")[:]
    np.testing.assert_array_equal(found["features"], wanted.values)
    np.testing.assert_array_equal(found["label"], wanted.labels)
    np.testing.assert_array_equal(found["id"], np.arange(500))


def test_in_python_it_is_a_dataset_in_the_format_asked_for(table, monkeypatch):
    monkeypatch.setattr(exporting, "SLICE", 10)
    found = hfft.features("nano-bert", table, columns={"id": "name"}, format="torch")
    assert found.column_names == ["id", "label", "features"]
    assert found["id"][:3] == ["n0", "n1", "n2"]
    assert found["label"][:2] == ["no", "yes"]
    features = found["features"][:]
    assert isinstance(features, torch.Tensor)
    assert features.shape == (23, 128)
    monkeypatch.setattr(exporting, "SLICE", 4096)
    whole = hfft.features("nano-bert", table, pooling="max", layer=1)
    assert whole["features"][:].shape == (23, 128)
    one = hfft.features("nano-bert", table)  # stored by the first
    np.testing.assert_array_equal(one["features"][:], features.numpy())


def test_rows_without_labels_have_none(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text\nA TEXT\nANOTHER\n")
    assert hfft.features("nano-bert", str(path)).column_names == ["id", "features"]


def test_features_of_a_slice_come_from_the_cache_of_recipes(monkeypatch):
    of_recipe(digits(), ["test"])
    monkeypatch.setattr("hfft.features.model.FeatureModel.loaded", lambda self: pytest.fail("computed again"))
    assert len(hfft.features("nano-vit", "digits", split="test")) == 500


@pytest.mark.slow
@pytest.mark.parametrize(
    "head", ["head.kind=mlp", "backbone.edit=[{insert: blocks, module: {type: bottleneck, size: 4}}]"]
)
def test_a_run_is_a_source_with_its_edits_and_head(head, tmp_path):
    folder = str(tmp_path / "run")
    few = ["data.max_train_samples=40", "data.max_eval_samples=20", "training.max_steps=2"]
    hfft.finetune(load_recipe("digits", head, *few, f"training.output_dir={folder}"))
    found = hfft.features(folder, "digits", split="test")["features"][:]
    source = open_source(folder)
    model, processor = source.loaded(), source.processor
    images = builtin.load("digits")["test"]["image"][:4]
    with torch.no_grad():
        want = model.base_model(**processor(images, return_tensors="pt"))[0][:, 0]
    np.testing.assert_allclose(found[:4], want, atol=1e-5)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("x.csv", "expected a name that ends in .parquet or .npz"),
        ("no/x.npz", "there is no folder"),
        ("taken", "exists and is no folder of datasets; give a new name"),
        ("taken.npz", "is a folder; give a file"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_loaded(output, said, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken.npz").mkdir()
    with pytest.raises(BadInput) as caught:
        write.checked(str(tmp_path / output))
    assert said in str(caught.value)


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ""])
def test_a_full_disk_leaves_what_was_there(suffix, table, tmp_path, capsys, monkeypatch):
    output = tmp_path / "out" / f"features{suffix}"
    output.parent.mkdir()
    command = ["features", "nano-bert", "--data", table, "--output", str(output)]
    assert cli.main(command) == 0
    before = sorted((path.relative_to(output.parent), path.stat().st_size) for path in output.parent.rglob("*"))
    monkeypatch.setattr(exporting, "SLICE", 10)
    slices = exporting.Export.slices

    def full(self):
        yield from list(slices(self))[:2]
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(exporting.Export, "slices", full)
    capsys.readouterr()
    assert cli.main(command) == 1
    assert "cannot be written (No space left on device); nothing was written there" in capsys.readouterr().err
    assert sorted((p.relative_to(output.parent), p.stat().st_size) for p in output.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--column", "txt"], "--column: no column 'txt'; did you mean 'text'?"),
        (["--label", "labl"], "--label: no column 'labl'; did you mean 'label'?"),
        (["--split", "tost"], "--split: no split 'tost'"),
        (["--layer", "30"], "layer: is 30, but bert has the states"),
        (["--pooling", "pooler"], "nano-bert has no trained pooler; use mean"),
        (["--batch-size", "0"], "--batch-size 0: must be at least 1"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, said, table, tmp_path, capsys):
    assert cli.main(["features", "nano-bert", "--data", table, "--output", str(tmp_path / "x.npz"), *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert said in lines[-1]
    assert not (tmp_path / "x.npz").exists()


def test_a_row_without_text_is_named(tmp_path, capsys):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nA TEXT,a\n,b\n")
    assert cli.main(["features", "nano-bert", "--data", str(path), "--output", str(tmp_path / "x.npz")]) == 2
    assert "row 1: column 'text' holds no text" in capsys.readouterr().err


def test_parquet_has_vectors_of_fixed_length(table, tmp_path):
    cli.main(["features", "nano-bert", "--data", table, "--output", str(tmp_path / "x.parquet")])
    assert pq.read_schema(tmp_path / "x.parquet").field("features").type.list_size == 128
