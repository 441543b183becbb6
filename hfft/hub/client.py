"""The connection to a hub: every request has a timeout, reads are retried, and downloads are compared with their digests."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils import httpx
from huggingface_hub.utils._http import default_client_factory

from hfft.errors import HubError
from hfft.wording import first_line, listing

T = TypeVar("T")
BUSY = (429, 500, 502, 503, 504)
ATTEMPTS, FIRST_WAIT, LONGEST_WAIT = 4, 0.5, 20.0
SILENCE = float(os.environ.get("HFFT_HUB_TIMEOUT", "60"))  # seconds without a byte; the clients by default wait forever
CONNECT = 10.0  # seconds to accept a connection
HURRY = 1 / 12  # share of `SILENCE` for which a host or route that was silent is waited for again
AGAIN = 60.0  # seconds during which an unreachable host is tried only once per request, and a silent one is hurried

_AWAY: dict[str, float] = {}  # host -> when it was last unreachable
_SILENT: dict[str, float] = {}  # host, or host and path -> when it was last waited for in vain
_FAILED: dict[
    str, tuple[float, str]
] = {}  # path -> when and how it last got no answer; the clients may say "not there"


def _limits(request: httpx.Request) -> dict[str, float]:
    """The time limits of a request: those that its caller set, never above ours; short if host or route were just silent.

    The clients pass `timeout=None` in some calls, which replaces the limits of the whole client by none.
    """
    now = time.monotonic()
    silent = any(now - _SILENT.get(key, -AGAIN) < AGAIN for key in _route(request))
    longest = {"connect": min(CONNECT, SILENCE), "read": SILENCE, "write": SILENCE, "pool": SILENCE}
    asked = request.extensions.get("timeout") or {}
    limits = {kind: min(longest[kind], asked.get(kind) or SILENCE) for kind in longest}
    return {kind: min(limit, SILENCE * HURRY) if silent else limit for kind, limit in limits.items()}


def _route(request: httpx.Request) -> tuple[str, str]:
    """The two keys of `_SILENT`: one route may be silent while others answer."""
    return request.url.host, f"{request.url.host}{request.url.path}"


def _note_silence(request: httpx.Request) -> None:
    now = time.monotonic()
    _SILENT.update(dict.fromkeys(_route(request), now))
    _FAILED[request.url.path] = now, "the hub did not answer in time"


class _Patient(httpx.BaseTransport):
    """Retries where repeating is safe: read requests that were answered by a status in `BUSY` or not at all.

    No request lacks a limit. The clients repeat some that were not answered up to twenty times; these repetitions are short.
    """

    def __init__(self, inner: httpx.BaseTransport):
        self._inner = inner

    def close(self) -> None:
        """Close all connections."""
        self._inner.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The first usable response, or the last one."""
        away = time.monotonic() - _AWAY.get(request.url.host, -AGAIN) < AGAIN  # the clients retry too
        attempts = ATTEMPTS if request.method in ("GET", "HEAD") and not away else 1
        for attempt in range(attempts):
            last = attempt == attempts - 1
            wait = FIRST_WAIT * 2**attempt
            request.extensions = {**request.extensions, "timeout": _limits(request)}
            try:
                answer = self._inner.handle_request(request)
            except httpx.TimeoutException:
                _note_silence(request)
                raise
            except httpx.TransportError as error:
                if last:
                    _FAILED[request.url.path] = time.monotonic(), first_line(error)
                    if isinstance(error, httpx.ConnectError) and (away or attempts > 1):
                        _AWAY[request.url.host] = time.monotonic()
                    raise
            else:
                _AWAY.pop(request.url.host, None)
                busy = answer.status_code in BUSY
                if last or request.method == "HEAD" or not busy:  # clients retry HEAD themselves
                    if busy:
                        _FAILED[request.url.path] = time.monotonic(), f"the hub returned status {answer.status_code}"
                    else:
                        _FAILED.pop(request.url.path, None)
                    answer.stream = _Body(answer.stream, request)
                    return answer
                with contextlib.suppress(ValueError):
                    wait = min(float(answer.headers.get("Retry-After", wait)), LONGEST_WAIT)
                answer.close()
            time.sleep(wait)
        raise AssertionError("unreachable")


class _Body(httpx.SyncByteStream):
    """A response body that reports a connection reset as a cut-off transfer, which makes the client fetch the rest."""

    def __init__(self, stream: Any, request: httpx.Request):
        self._stream, self._request = stream, request

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
            for key in _route(self._request):
                _SILENT.pop(key, None)
        except httpx.TimeoutException:
            _note_silence(self._request)
            raise
        except httpx.ReadError as error:
            _FAILED[self._request.url.path] = time.monotonic(), "the connection was cut"
            raise httpx.RemoteProtocolError(str(error) or "the connection was cut") from error

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()


def client() -> httpx.Client:
    """The client of `huggingface_hub`, with its proxies, plus retries and a timeout on silence."""
    usual = default_client_factory()
    usual.timeout = httpx.Timeout(SILENCE, connect=CONNECT)
    usual._transport = _Patient(usual._transport)
    usual._mounts = {pattern: inner and _Patient(inner) for pattern, inner in usual._mounts.items()}
    return usual


def failure(name: str, since: float = 0.0) -> str | None:
    """How the hub last failed to answer a request about a repository; None if it answered all of them.

    Args:
        since: failures before this time (`time.monotonic`) do not count.
    """
    asked = [(when, how) for path, (when, how) in _FAILED.items() if f"/{name}/" in f"{path}/" and when >= since]
    return max(asked)[1] if asked else None


def use() -> None:
    """Make transformers, datasets and huggingface_hub use this client."""
    set_client_factory(client)


# --- verifying downloads


def arrived(kind: str, name: str, load: Callable[[bool], T]) -> T:
    """The result of `load` for a hub repository, once every file that it downloaded matches its digest.

    The clients compare only sizes. A file in the cache is named by its sha256 or git id, so it can be checked without a
    request; this is done once per file and machine. Damaged files are removed and downloaded again, once.

    Args:
        kind: `model` or `dataset`.
        load: called with False; then, if files were damaged, with True: results made from them must not be reused.

    Raises:
        HubError: the files are damaged again.
    """
    for again in (False, True):
        found: list[Any] = []
        error: Exception | None = None
        try:
            found = [load(again)]
        except Exception as raised:
            error = raised
        damaged = remove_damaged(kind, name)
        if not damaged and error is not None:
            raise error
        if not damaged:
            return found[0]
    raise HubError(f"{kind} {name}: {listing(damaged)} arrived damaged twice; try again later, or ask the hub's owner")


def remove_damaged(kind: str, name: str) -> list[str]:
    """Remove files whose content does not match their name from the hub's cache; returns their original names."""
    folder = Path(constants.HF_HUB_CACHE) / f"{kind}s--{name.replace('/', '--')}"
    notes = Path(constants.HF_HOME) / "hfft" / "verified" / folder.name
    damaged = [blob for blob in _files(folder / "blobs") if not _verified(blob, notes / blob.name)]
    called = []
    for link in (folder / "snapshots").rglob("*") if damaged else ():
        if link.is_symlink() and link.resolve() in damaged:
            called.append(link.name)
            link.unlink(missing_ok=True)
    for blob in damaged:
        blob.unlink(missing_ok=True)
    return sorted({*called}) or [blob.name[:12] for blob in damaged]


def _files(folder: Path) -> list[Path]:
    """The complete files in a cache folder whose names are digests of their content."""
    return [p.resolve() for p in folder.glob("*") if len(p.name) in (40, 64) and set(p.name) <= set("0123456789abcdef")]


def _verified(blob: Path, note: Path) -> bool:
    """Whether a file matches its name: known from an earlier check, or found by reading it."""
    try:
        stamp = f"{blob.stat().st_size} {blob.stat().st_mtime_ns}"
        with contextlib.suppress(OSError):
            if note.read_text() == stamp:
                return True
        digest = hashlib.sha256() if len(blob.name) == 64 else hashlib.sha1(b"blob %d\0" % blob.stat().st_size)
        with blob.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    except FileNotFoundError:  # another process removed it
        return True
    if digest.hexdigest() != blob.name:
        return False
    with contextlib.suppress(OSError):  # if the cache is not writable, files are checked each time
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(stamp)
    return True
