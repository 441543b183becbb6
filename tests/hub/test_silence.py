"""A hub that takes a connection and stays silent, met by every kind of call that commands make: none waits without a limit."""

import itertools
import socket
import threading
import time

import datasets
import huggingface_hub
import pytest
import transformers
from huggingface_hub import HfApi, HfFileSystem, errors, hf_hub_download, set_client_factory
from huggingface_hub.utils import _http, httpx
from huggingface_hub.utils._http import default_client_factory

from hfft.console import quiet_libraries
from hfft.hub import client

COMMIT = "0" * 40


def stream(url, folder):
    files = HfFileSystem(endpoint=url, token=False, skip_instance_cache=True, use_listings_cache=False)
    files.open(f"datasets/a/b@{COMMIT}/x.parquet").read(1)


CALLS = {
    "whoami": lambda url, folder: HfApi(url, token="hf_x").whoami(),
    "create a repository": lambda url, folder: HfApi(url, token="hf_x").create_repo("a/b", exist_ok=True),
    "information on a model": lambda url, folder: HfApi(url).model_info("a/b"),
    "information on a data set": lambda url, folder: HfApi(url).dataset_info("a/b", revision="main"),
    "the files of a model": lambda url, folder: list(HfApi(url).list_repo_tree("a/b")),
    "some files of a model": lambda url, folder: HfApi(url).get_paths_info("a/b", ["x"]),
    "a file": lambda url, folder: hf_hub_download("a/b", "x", endpoint=url, cache_dir=folder),
    "a file of a commit": lambda url, folder: hf_hub_download(
        "a/b", "x", revision=COMMIT, endpoint=url, cache_dir=folder
    ),
    "a stream": stream,
    "an upload": lambda url, folder: HfApi(url, token="hf_x").upload_folder(repo_id="a/b", folder_path=folder),
}


@pytest.fixture
def quick(monkeypatch):
    """Clients that sleep for no time between their tries, on a machine where no host is known to be silent."""
    sleep = time.sleep
    monkeypatch.setattr(_http.time, "sleep", lambda seconds: sleep(0))
    monkeypatch.setattr(client, "_SILENT", {})
    monkeypatch.setattr(client, "_AWAY", {})
    monkeypatch.setattr(client, "_FAILED", {})
    yield
    quiet_libraries()


@pytest.fixture
def silent():
    """The address of a server that accepts every connection and never says a word."""
    held = []
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:

        def accept():
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()


@pytest.mark.slow_but("information on a model")
@pytest.mark.parametrize("call", CALLS)
def test_each_call_ends_when_the_hub_stays_silent(call, silent, quick, monkeypatch, tmp_path):
    (tmp_path / "x.json").write_text("{}")
    monkeypatch.setattr(client, "SILENCE", 0.6)
    quiet_libraries()
    started, ended = time.monotonic(), []

    def run():
        try:
            CALLS[call](silent, tmp_path)
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert ended, "it still waits"
    assert time.monotonic() - started < 0.6 + 12 * 0.6 * client.HURRY + 2, "only the first try is waited for at length"
    assert client.failure("a/b") == (
        None if call in ("whoami", "create a repository") else "the hub did not answer in time"
    )


class Spy(httpx.BaseTransport):
    """Notes the limits that requests really have."""

    def __init__(self):
        self.limits = []

    def handle_request(self, request):
        self.limits.append(request.extensions["timeout"])
        raise httpx.ReadTimeout("silent")


@pytest.mark.parametrize("call", CALLS)
def test_each_call_has_its_limit_where_nothing_is_set(call, quick, monkeypatch, tmp_path):
    """The true default, without waiting for it: what the connection is told to wait for at most."""
    (tmp_path / "x.json").write_text("{}")
    spy = Spy()

    def factory():
        made = default_client_factory()
        made._transport, made._mounts = spy, {}
        return made

    monkeypatch.setattr(client, "default_client_factory", factory)
    set_client_factory(client.client)
    with pytest.raises((httpx.HTTPError, OSError, errors.HfHubHTTPError)):
        CALLS[call]("http://hub.test", tmp_path)
    first, *more = spy.limits
    assert max(first.values()) <= 60
    assert first["connect"] <= 10
    assert all(max(limits.values()) <= 5 for limits in more), "a silent host is not waited for at length twice"


def test_transformers_and_datasets_use_this_client():
    """If they had clients of their own, the calls above would not be theirs."""
    quiet_libraries()
    assert huggingface_hub.utils.get_session()._transport.__class__ is client._Patient
    assert transformers.utils.hub.hf_hub_download is hf_hub_download
    assert datasets.data_files.HfFileSystem is HfFileSystem


# --- limits, without a hub


def limits(url="http://hub.test/api", **asked):
    return client._limits(httpx.Request("GET", url, extensions={"timeout": asked}))


@pytest.fixture
def clock(quick, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(client.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("silence", [60.0, 3.0])
def test_no_limit_and_a_longer_one_become_ours_and_a_shorter_one_stays(silence, clock, monkeypatch):
    monkeypatch.setattr(client, "SILENCE", silence)
    longest = {"connect": min(10.0, silence), "read": silence, "write": silence, "pool": silence}
    assert limits() == limits(connect=None, read=None, write=None, pool=None) == longest
    assert limits(connect=999, read=999, write=999, pool=999) == longest
    assert limits(connect=1, read=2, write=1.5, pool=0.5) == {"connect": 1, "read": 2, "write": 1.5, "pool": 0.5}


def answered(request, *parts):
    """Read an answer to its end."""
    line = type("Line", (httpx.BaseTransport,), {"handle_request": lambda self, request: answer(*parts)})
    for _ in client._Patient(line()).handle_request(request).stream:
        pass


def answer(*parts):
    class Parts(httpx.SyncByteStream):
        def __iter__(self):
            for part in parts:
                if isinstance(part, Exception):
                    raise part
                yield part

    return httpx.Response(200, stream=Parts())


def test_silence_in_the_middle_of_an_answer_counts_until_the_route_answers_whole(clock):
    request, other = httpx.Request("GET", "http://hub.test/a/b/x"), httpx.Request("GET", "http://hub.test/a/b/y")
    with pytest.raises(httpx.ReadTimeout):
        answered(request, b"half", httpx.ReadTimeout("silent"))
    assert client.failure("a/b") == "the hub did not answer in time"
    assert client.failure("a/b", since=1001) is client.failure("a/other") is None
    assert limits("http://hub.test/a/b/x")["read"] == limits("http://hub.test/a/b/y")["read"] == 5
    assert limits("http://other.test/a/b/x")["read"] == 60
    answered(other, b"whole")
    assert (limits("http://hub.test/a/b/x")["read"], limits("http://hub.test/a/b/y")["read"]) == (5, 60)
    answered(request, b"whole")
    assert limits("http://hub.test/a/b/x")["read"] == 60
    assert client.failure("a/b") is None


def test_silence_is_forgotten_after_a_while(clock):
    for path, seconds in zip("xy", itertools.count(), strict=False):
        with pytest.raises(httpx.ReadTimeout):
            answered(httpx.Request("GET", f"http://hub.test/{path}"), httpx.ReadTimeout("silent"))
        clock[0] += client.AGAIN - seconds
        assert limits()["read"] == (60 if seconds == 0 else 5)
