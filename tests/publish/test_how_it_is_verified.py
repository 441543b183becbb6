"""How a pushed model is compared: by plain transformers where that loads it, else as hfft loads it."""

from types import SimpleNamespace

import pytest

from hfft.backbone import published_code
from hfft.publish import push


class Reached(Exception):
    """Plain transformers is asked."""


@pytest.mark.parametrize(
    ("adapter", "alone", "edits", "code", "plain"),
    [
        (None, False, [], False, True),
        (None, False, [{"remove": "last-1"}], False, True),
        ({"peft_type": "LORA"}, True, [], False, True),
        ({"peft_type": "LILY"}, False, [], False, False),
        (None, False, [{"remove": "last-1"}, {"channels": 1}], False, False),
        (None, False, [], True, False),
        ({"peft_type": "LORA"}, True, [], True, False),
    ],
)
def test_plain_transformers_is_asked_where_it_alone_loads_the_model(
    adapter, alone, edits, code, plain, tmp_path, monkeypatch
):
    def retried(action):
        raise Reached

    asked = []
    recipe = SimpleNamespace(backbone=SimpleNamespace(edit=edits))
    monkeypatch.setattr(push, "load_recipe", lambda path: recipe)
    monkeypatch.setattr(push, "adapter_config", lambda folder: adapter)
    monkeypatch.setattr(push, "stands_alone", lambda config: alone)
    monkeypatch.setattr(push, "verify_by_predictors", lambda *given: asked.append(given))
    monkeypatch.setattr(push, "retried", retried)
    if code:
        (tmp_path / f"{published_code.FILE}.py").touch()
    folder = SimpleNamespace(recipe=tmp_path / "recipe.yaml", model=tmp_path)
    if plain:
        with pytest.raises(Reached):
            push.verify(folder, "me/x", "c")
    else:
        push.verify(folder, "me/x", "c")
    assert asked == ([] if plain else [(folder, "me/x", "c")])


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass in sleep alone, and how long each was."""
    now, slept = [0.0], []
    monkeypatch.setattr(push.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(
        push.time, "sleep", lambda seconds: (slept.append(seconds), now.__setitem__(0, now[0] + seconds))
    )
    return slept


def fails(error, times):
    """An action that fails so often; how often it was tried."""
    tried = []

    def action():
        tried.append(1)
        if len(tried) <= times:
            raise error
        return "done"

    return action, tried


def answered(status):
    error = RuntimeError("refused")
    error.response = SimpleNamespace(status_code=status)
    return error


class TimeoutException(ConnectionError):
    """Silence, by the name that httpx gives it."""


@pytest.mark.parametrize("error", [ConnectionError("down"), answered(412), answered(503)])
def test_a_busy_hub_is_asked_again_with_growing_pauses(error, clock):
    action, tried = fails(error, 2)
    assert push.retried(action) == "done"
    assert (len(tried), clock) == (3, [push.FIRST_WAIT, 2 * push.FIRST_WAIT])
    clock.clear()
    action, tried = fails(error, 99)
    with pytest.raises(type(error)):
        push.retried(action)
    assert len(tried) == push.ATTEMPTS
    assert clock == [push.FIRST_WAIT * 2**i for i in range(push.ATTEMPTS - 1)]


def test_silence_is_waited_for_twice_and_what_will_not_change_once(clock):
    for error, times in ((TimeoutException(), 2), (answered(403), 1), (ValueError("a bug"), 1)):
        action, tried = fails(error, 99)
        with pytest.raises(type(error)):
            push.retried(action)
        assert len(tried) == times
