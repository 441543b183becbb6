"""Every recipe that is shipped is walked: trained, scored and loaded back, on a tiny model and a few rows of its kind."""

from __future__ import annotations

import json

import pytest
import transformers

from hfft import finetune, load_recipe
from hfft.data import builtin
from hfft.direct.class_names import sources
from hfft.predict import load_predictor
from hfft.recipe import shipped
from hfft.strategy import build_methods
from tests import imagenet_names, stand_ins

TRAINED = [name for name in shipped() if load_recipe(name).use == "fine-tune" and not load_recipe(name).tasks]
TOGETHER = [name for name in shipped() if load_recipe(name).tasks]
DIRECTLY = [name for name in shipped() if load_recipe(name).use == "directly"]


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_the_recipe_runs_to_its_end(name, tmp_path, capsys):
    as_shipped = load_recipe(name)
    overrides = [f"training.output_dir={tmp_path / 'run'}", "training.max_steps=2", "training.dataloader_num_workers=0"]
    overrides += ["training.per_device_train_batch_size=8", "training.per_device_eval_batch_size=8", "publish=null"]
    overrides += ["training.gradient_accumulation_steps=1", "score.from_scratch=false"]
    if not as_shipped.backbone.name.startswith("nano-"):
        removed = {"blocks": 12} if any("remove" in edit for edit in as_shipped.backbone.edit) else {}
        removed |= {"depth": 2} if "first-7" in as_shipped.layers.freeze else {}  # eight blocks
        overrides.append(f"backbone.name={stand_ins.model(as_shipped.backbone.name, tmp_path / 'model', **removed)}")
    if as_shipped.backbone.rnn is not None:
        overrides.append("backbone.rnn.hidden_size=8")
    for method in build_methods(as_shipped.strategy):
        if "teacher" in method.needs:  # its classes in another order than the data's
            names = stand_ins.CLASSES[as_shipped.data.path][::-1]
            classes = (as_shipped.backbone.name, as_shipped.the_task.auto_class, names)
            overrides.append(f"strategy.{method.name}.teacher={stand_ins.teacher(*classes, tmp_path / method.name)}")
    if as_shipped.data.path in builtin.BUILTIN:
        overrides += ["data.max_train_samples=150", "data.max_eval_samples=60"]
    else:
        overrides.append(f"data.path={stand_ins.data(as_shipped.data.path, tmp_path / 'data')}")
    overrides += [
        f"data.sets.{key}.path={tmp_path / 'data'}"
        for key, spec in as_shipped.data.sets.items()
        if spec.path == as_shipped.data.path and spec.path not in builtin.BUILTIN
    ]
    result = finetune(load_recipe(name, *overrides))

    figures = json.loads((result.folder / "metrics.json").read_text())
    assert figures["train"]["steps"] == 2
    scored = figures.get("test") or figures["validation"]
    assert scored["n"] > 0
    assert set(as_shipped.metrics) <= set(scored)
    assert {"recipe.yaml", "layers.json", "report.html", "trainer_state.json", "model"} <= {
        p.name for p in result.folder.iterdir()
    }
    taught = {method.name for method in build_methods(as_shipped.strategy) if "teacher" in method.needs}
    assert set(figures.get("compared", {})) == taught
    for found in figures.get("compared", {}).values():
        assert 0 <= found["agreement"] <= 1
        assert found["n"] == scored["n"]
        assert found["model"]["milliseconds"] > 0
        assert found["model"]["parameters"] < found["reference"]["parameters"] * 2
    assert not [p for p in result.model.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".pkl")]
    code = (result.model / "modeling_hfft.py").is_file()  # an edited model comes with the file that builds it
    task = as_shipped.the_task
    if task.pipeline:
        model = transformers.pipeline(task.pipeline, model=str(result.model), trust_remote_code=code).model
    else:
        auto_class = task.auto_class_of(transformers.AutoConfig.from_pretrained(result.model, trust_remote_code=code))
        model = getattr(transformers, auto_class).from_pretrained(result.model, trust_remote_code=code)
    assert set(figures["labels"]) <= set(model.config.label2id) or not task.labelled
    assert "parameters learn" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", TOGETHER)
def test_the_recipe_of_several_tasks_runs_to_its_end(name, tmp_path):
    as_shipped = load_recipe(name)
    overrides = [f"training.output_dir={tmp_path / 'run'}", "training.max_steps=2", "score.single_task=false"]
    overrides += ["training.per_device_train_batch_size=8", "training.per_device_eval_batch_size=8"]
    if not as_shipped.backbone.name.startswith("nano-"):
        overrides.append(f"backbone.name={stand_ins.model(as_shipped.backbone.name, tmp_path / 'model')}")
    for task in as_shipped.tasks:
        here = f"tasks.{task.name}.data"
        if task.data.path in builtin.BUILTIN:
            overrides += [f"{here}.max_train_samples=50", f"{here}.max_eval_samples=20"]
        else:
            overrides += [f"{here}.path={stand_ins.rows_of_task(task, tmp_path / task.name)}", f"{here}.name=null"]
    result = finetune(load_recipe(name, *overrides))

    for task in as_shipped.tasks:
        figures = json.loads((result.folder / "tasks" / task.name / "metrics.json").read_text())
        scored = figures.get("test") or figures["validation"]
        assert scored["n"] > 0
        assert set(task.metrics) <= set(scored)
        code = (result.model / task.name / "modeling_hfft.py").is_file()
        model = transformers.pipeline(
            as_shipped.the_task.pipeline, model=str(result.model / task.name), trust_remote_code=code
        )
        assert set(figures["labels"]) <= set(model.model.config.label2id)


@pytest.mark.slow
@pytest.mark.parametrize("name", DIRECTLY)
def test_the_recipe_that_trains_nothing_runs_to_its_end(name, tmp_path, capsys):
    as_shipped = load_recipe(name)
    overrides = [f"training.output_dir={tmp_path / 'run'}", "training.per_device_eval_batch_size=8", "publish=null"]
    overrides.append(f"backbone.name={stand_ins.model(as_shipped.backbone.name, tmp_path / 'model')}")
    overrides.append(f"data.path={stand_ins.data(as_shipped.data.path, tmp_path / 'data')}")
    result = finetune(load_recipe(name, *overrides))

    scored = result.metrics.get("test") or result.metrics["validation"]
    assert scored["n"] > 0
    assert set(as_shipped.metrics) <= set(scored)
    assert result.metrics["train"]["steps"] == 0
    assert {"recipe.yaml", "report.html", "outputs", "model"} <= {p.name for p in result.folder.iterdir()}
    assert "nothing is trained" in capsys.readouterr().out
    assert len(load_predictor(str(result.folder)).model.config.id2label) == len(result.metrics["labels"])


def test_the_map_of_cats_and_dogs_names_all_of_imagenet_and_nothing_else():
    mapping = load_recipe("cats_vs_dogs_directly").head.map
    outputs = imagenet_names.PETS
    found = sources(["cat", "dog"], outputs, mapping, "resnet-50")
    assert [outputs[i] for i in found["cat"]] == imagenet_names.CATS
    assert [outputs[i] for i in found["dog"]] == imagenet_names.DOGS
    assert len(imagenet_names.DOGS) == 118
