"""How a model was trained, from its run folder or its published files: the columns that predictions read."""

import json

import pytest
from huggingface_hub.errors import RemoteEntryNotFoundError

from hfft.errors import BadInput, HubError
from hfft.predict import trained
from hfft.predict.trained import reading_of
from hfft.recipe import yaml_lines


def put(folder, columns=None, found=None, **data):
    folder.mkdir(exist_ok=True)
    values = {"data": {"path": "x.csv", "columns": columns or {}, "validation": 0.2, **data}}
    (folder / "recipe.yaml").write_text(yaml_lines.dump(values))
    (folder / "metrics.json").write_text(json.dumps({"data": {"columns": found or {}}}))
    return reading_of(str(folder))


def test_columns_are_those_of_the_recipe_else_those_that_the_run_found(tmp_path):
    columns = {"text": "a", "text_pair": None, "id": "uid"}
    assert put(tmp_path, columns).columns == {"text": "a", "id": "uid"}
    found = put(tmp_path, columns, {"text": "b", "text_pair": "row_", "label": ["x", "y"]})
    assert found.columns == {"text": "a", "text_pair": "row", "id": "uid"}
    assert set(found.options) == {"columns"}, "splits and caps are not read"
    assert found.data("new.csv").path == "new.csv"


def test_without_a_recipe_nothing_is_known(tmp_path):
    assert reading_of(str(tmp_path)).columns == {}
    (tmp_path / "metrics.json").write_text("{")
    assert reading_of(str(tmp_path)).columns == {}


@pytest.mark.parametrize("text", ["{", "task: x", "data: 3", "data: {columns: {text: [a]}}"])
def test_a_damaged_recipe_is_one_line(tmp_path, text):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(BadInput, match=r"recipe\.yaml is not a recipe"):
        reading_of(str(tmp_path))


def test_a_recipe_of_the_hub_that_is_not_there_or_not_reached(monkeypatch, capsys):
    class Response:
        headers, request, status_code = {}, None, 404

    def missing(*given):
        raise RemoteEntryNotFoundError("404", response=Response())

    def away(*given):
        raise HubError("the recipe of me/x could not be read")

    monkeypatch.setattr(trained, "arrived", missing)
    assert reading_of("me/x").columns == {}
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(trained, "arrived", away)
    assert reading_of("me/x").columns == {}
    assert capsys.readouterr().err == ("the recipe of me/x could not be read; columns are found by their usual names\n")
