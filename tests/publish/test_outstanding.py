"""A finished run that was to be published and was not: the same command does what is left, and no more."""

from __future__ import annotations

import pytest

from hfft import cli
from hfft.errors import HubError
from hfft.runs import RunFolder
from tests.torture import runs

pytestmark = pytest.mark.slow

URL = "http://hub/me/model/tree/0123"


@pytest.fixture
def hub(monkeypatch):
    """A hub that is away; what it was asked for."""
    asked = []

    def push(folder, wanted, force=False):
        asked.append(wanted.hub_model_id)
        if len(asked) == 1:
            raise HubError(f"me/model was not published: busy; push it later with `hfft publish {folder.path}`")
        folder.note_published("me/model", URL)
        return URL

    monkeypatch.setattr("hfft.publish.check_permission", lambda wanted: "me/model")
    monkeypatch.setattr("hfft.publish.publish", push)
    return asked


@pytest.mark.parametrize("name", ["me/model", "model"])
def test_the_same_command_pushes_what_was_not_pushed_and_only_that(tmp_path, hub, capsys, name):
    run = tmp_path / "run"
    words = ["train", str(runs.write_recipe(tmp_path)), f"training.output_dir={run}", f"publish.hub_model_id={name}"]
    words += ["training.max_steps=1", "data.max_train_samples=20", "data.max_eval_samples=20"]
    assert cli.main(words) == 1
    assert capsys.readouterr().err.startswith("me/model was not published")
    trained = (run / "model" / "model.safetensors").stat()
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert f"{run} is finished; " in said
    assert f"publishing to {name}, which is outstanding" in said
    assert said.endswith(f"published: {URL}\n")
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert "done now" not in said
    assert said.endswith(f"published: {URL}\n")
    assert hub == [name] * 2
    assert (run / "model" / "model.safetensors").stat() == trained


@pytest.mark.parametrize("noted", ["", "[]", '{"repo": 1}', '{"repo": "me/other", "url": "x"}', "\0"])
def test_a_note_that_is_none_says_nothing(tmp_path, noted):
    (tmp_path / "published.json").write_text(noted)
    assert RunFolder(tmp_path).published_at("me/model") is None
