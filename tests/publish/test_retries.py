"""Which models plain transformers can load, and how often a busy hub is asked."""

import json
from types import SimpleNamespace

import pytest

from hfft.backbone import published_code
from hfft.backbone.spec import Backbone
from hfft.publish import push, reload


@pytest.mark.parametrize(
    ("adapter", "edits", "code", "plain"),
    [
        (None, [], False, True),
        (None, [{"remove": "last-1"}], False, True),
        ({"peft_type": "LORA"}, [], False, True),
        ({"peft_type": "LORA", "use_dora": True}, [], False, False),
        (None, [{"remove": "last-1"}, {"channels": 1}], False, False),
        (None, [], True, False),
        ({"peft_type": "LORA"}, [], True, False),
    ],
)
def test_plain_transformers_is_asked_where_it_alone_loads_the_model(adapter, edits, code, plain, tmp_path):
    if adapter is not None:
        (tmp_path / "adapter_config.json").write_text(json.dumps(adapter))
    if code:
        (tmp_path / f"{published_code.FILE}.py").touch()
    assert reload.loads_plainly(tmp_path, Backbone(name="a/b", edit=edits)) == plain


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
