"""Whole runs with rows without labels: texts in two views, and a column of translations."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from hfft import finetune, load_recipe
from hfft.data import load_sets
from hfft.data.spec import DataSet
from hfft.errors import RecipeError
from hfft.strategy import build_methods, further_views
from hfft.tasks.labels import Labels
from hfft.tasks.table import TASKS
from tests import stand_ins

ON = "data.sets={unlabelled: {path: docstrings}}"
SMALL = ["data.shots=2", "data.validation=none", "data.max_eval_samples=20", "training.max_steps=2", "publish=null"]
SMALL += ["training.per_device_train_batch_size=8", "training.eval_strategy=no", "score.from_scratch=false"]


@pytest.mark.slow
def test_texts_are_learned_in_two_views(tmp_path):
    found = finetune(
        load_recipe(
            "docstrings", *SMALL, ON, "strategy.freematch={on: unlabelled, ratio: 2}", f"training.output_dir={tmp_path}"
        )
    )
    assert found.metrics["test"]["n"] == 20
    logs = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    assert {"freematch", "fairness"} <= set().union(*logs)


def test_a_view_reads_a_column_of_translations(tmp_path):
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["text", "back"], *(["the film was good", "how many"] for _ in range(6))])
    words = ["data.sets={unlabelled: {path: docstrings}}"]
    strong = "[{back_translation: {column: back, p: 1.0}}]"
    recipe = load_recipe("docstrings", *words, f"strategy.fixmatch={{on: unlabelled, strong: {strong}}}")
    views = further_views(build_methods(recipe.strategy))
    tokenizer, task = stand_ins.tokenizer(), TASKS["text-classification"]
    labels = Labels.of("single_label_classification", ["a", "b"])
    sets = {"unlabelled": DataSet(path=str(path), columns={"text": "text"})}
    rows = load_sets(sets, task, labels, tokenizer, [], 0, views=views)["unlabelled"]
    seen = rows.in_draw(1, views["unlabelled"])
    assert {tuple(row["input_ids"]) for row in seen} == {tuple(tokenizer("how many")["input_ids"])}
    np.testing.assert_array_equal(rows[0]["input_ids"], tokenizer("the film was good")["input_ids"])


def test_a_set_without_the_method_s_name_is_refused_before_anything_is_read():
    with pytest.raises(
        RecipeError, match=r"strategy.fixmatch: on is 'rest', which is not in data.sets \(known: unlabelled\)"
    ):
        load_recipe("docstrings", ON, "strategy.fixmatch=rest")
