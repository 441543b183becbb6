"""A name that is neither a folder nor reached on the hub is told as both."""

import datasets
import pytest

from hfft.data.source import load_raw
from hfft.data.spec import Data
from hfft.errors import HubError


@pytest.mark.parametrize("path", ["runs/x", "tabels"])
def test_a_hub_that_cannot_be_reached_is_not_all_that_is_said_of_a_name(path, monkeypatch, tmp_path):
    def unreachable(**arguments):
        raise ConnectionError("no route")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    monkeypatch.setattr("hfft.data.source.hub.commit_of", lambda *arguments: None)
    with pytest.raises(HubError, match=rf"no route.*; there is no folder '{path}' here either$"):
        load_raw(Data(path=path))
