"""How long a hub is waited for: a host that answers by failures is asked again, one that is away is not asked at length twice."""

import hashlib

import datasets
import pytest
from huggingface_hub.utils import httpx

from hfft.console import quiet_libraries
from hfft.hub import client


class Line(httpx.BaseTransport):
    """Answers as it is told, one after the other, and counts."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

    def handle_request(self, request):
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, stream=httpx.ByteStream(b""))


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass in sleep alone; no host is known to be away."""
    now = [1000.0]
    monkeypatch.setattr(client.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(client.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(client, "_AWAY", {})
    return now


def ask(line, method="GET", url="http://hub/api"):
    return client._Patient(line).handle_request(httpx.Request(method, url))


@pytest.mark.parametrize("first", [httpx.ConnectError("refused"), httpx.ReadError("reset"), 503])
def test_reading_is_tried_again_and_writing_is_not(first, clock):
    assert ask(Line(first, first, 200)).status_code == 200
    if isinstance(first, Exception):
        with pytest.raises(httpx.TransportError):
            ask(Line(first, 200), "POST")
    else:
        assert ask(Line(first, 200), "POST").status_code == 503


def test_a_host_that_is_away_is_waited_for_once_and_again_after_a_minute(clock):
    away = Line(httpx.ConnectError("refused"))
    for asked in (4, 5, 6):  # each request of the clients, which ask several times themselves
        with pytest.raises(httpx.ConnectError):
            ask(away)
        assert away.asked == asked
    assert clock[0] == 1000 + 0.5 + 1 + 2
    assert ask(Line(httpx.ConnectError("refused"), 200), url="http://other/api").status_code == 200
    clock[0] += client.AGAIN
    with pytest.raises(httpx.ConnectError):
        ask(away)
    assert away.asked == 6 + 4


def test_a_host_that_is_back_is_waited_for_as_before(clock):
    with pytest.raises(httpx.ConnectError):
        ask(Line(httpx.ConnectError("refused")))
    assert ask(Line(200)).status_code == 200
    assert ask(Line(httpx.ConnectError("refused"), 200)).status_code == 200


def test_local_files_are_told_to_nobody(tmp_path, monkeypatch):
    quiet_libraries()
    asked = []
    monkeypatch.setattr(client._Patient, "handle_request", lambda self, request: asked.append(request) or 1 / 0)
    (tmp_path / "rows.csv").write_text("text,label\na,0\n")
    datasets.load_dataset("csv", data_files=str(tmp_path / "rows.csv"), cache_dir=str(tmp_path / "cache"))
    assert asked == []


def test_a_host_has_ten_seconds_to_take_a_call_and_then_may_be_silent_for_a_while():
    assert client.client().timeout == httpx.Timeout(client.SILENCE, connect=10)


def test_only_what_is_named_by_its_content_is_held_against_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(client.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(client.constants, "HF_HOME", str(tmp_path))
    blobs, snapshot = (
        tmp_path / "hub" / "models--me--x" / "blobs",
        tmp_path / "hub" / "models--me--x" / "snapshots" / "a",
    )
    for folder in (blobs, snapshot):
        folder.mkdir(parents=True)
    empty = {hashlib.sha256().hexdigest(), hashlib.sha1(b"blob 0\0").hexdigest()}
    others = {"abc", "x" * 40, "g" * 64, "0" * 41, "0" * 64 + ".incomplete"}
    for name in (*empty, *others, "0" * 40, "f" * 64):
        (blobs / name).touch()
    for name, blob in (("whole", min(empty)), ("other", "abc"), ("broken", "f" * 64)):
        (snapshot / name).symlink_to(blobs / blob)
    assert client.remove_damaged("model", "me/x") == ["broken"]
    assert {p.name for p in blobs.iterdir()} == empty | others
    assert {p.name for p in snapshot.iterdir()} == {"whole", "other"}
    assert {p.name for p in (tmp_path / "hfft" / "verified" / "models--me--x").iterdir()} == empty
    assert client.remove_damaged("model", "me/x") == []
