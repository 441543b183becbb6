"""How long a hub is waited for: a host that answers by failures is asked again, one that is away is not asked at length twice."""

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
