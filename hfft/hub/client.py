"""The line to a hub: every request bounded in time, reading tried again, and what arrived compared with its digest."""

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
from hfft.wording import listing

T = TypeVar("T")
BUSY = (429, 500, 502, 503, 504)
ATTEMPTS, FIRST_WAIT, LONGEST_WAIT = 4, 0.5, 20.0
SILENCE = float(os.environ.get("HFFT_HUB_TIMEOUT", "60"))  # seconds without a byte; the clients wait for ever
AGAIN = 60.0  # seconds in which a host that could not be reached is tried once per request

_AWAY: dict[str, float] = {}  # host -> when it could not be reached, last
_HEADS: dict[str, int] = {}  # path -> the status that was last answered; the clients may take 503 for "not there"


class _Patient(httpx.BaseTransport):
    """Asks again where asking twice does no harm: a request to read, which was answered by `BUSY` or by nothing."""

    def __init__(self, inner: httpx.BaseTransport):
        self._inner = inner

    def close(self) -> None:
        """Let go of all connections."""
        self._inner.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The first usable answer, or the last."""
        away = time.monotonic() - _AWAY.get(request.url.host, -AGAIN) < AGAIN  # the clients, too, ask several times
        attempts = ATTEMPTS if request.method in ("GET", "HEAD") and not away else 1
        for attempt in range(attempts):
            last = attempt == attempts - 1
            wait = FIRST_WAIT * 2**attempt
            try:
                answer = self._inner.handle_request(request)
            except httpx.TimeoutException:
                raise
            except httpx.TransportError as error:
                if last:
                    if isinstance(error, httpx.ConnectError) and (away or attempts > 1):
                        _AWAY[request.url.host] = time.monotonic()
                    raise
            else:
                _AWAY.pop(request.url.host, None)
                if request.method == "HEAD":
                    _HEADS[request.url.path] = answer.status_code
                if last or request.method == "HEAD" or answer.status_code not in BUSY:  # heads the clients ask again
                    answer.stream = _Body(answer.stream)
                    return answer
                with contextlib.suppress(ValueError):
                    wait = min(float(answer.headers.get("Retry-After", wait)), LONGEST_WAIT)
                answer.close()
            time.sleep(wait)
        raise AssertionError("unreachable")


class _Body(httpx.SyncByteStream):
    """A body whose reset line is told as one that was cut off, which makes the client fetch the rest."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except httpx.ReadError as error:
            raise httpx.RemoteProtocolError(str(error) or "the line was cut") from error

    def close(self) -> None:
        """Let go of the connection."""
        self._stream.close()


def client() -> httpx.Client:
    """The client of `huggingface_hub`, proxies included, with patience and a limit on silence."""
    usual = default_client_factory()
    usual.timeout = httpx.Timeout(SILENCE, connect=10)
    usual._transport = _Patient(usual._transport)
    usual._mounts = {pattern: inner and _Patient(inner) for pattern, inner in usual._mounts.items()}
    return usual


def refused(name: str) -> int | None:
    """The status by which a busy hub last refused to tell of a file of a repository; None if it told."""
    return next((status for path, status in _HEADS.items() if f"/{name}/" in path and status in BUSY), None)


def use() -> None:
    """Let transformers, datasets and huggingface_hub talk to the hub through it."""
    set_client_factory(client)


# --- what arrived


def arrived(kind: str, name: str, load: Callable[[bool], T]) -> T:
    """What `load` makes of a repository of the hub, once every file that it fetched is what the hub says it is.

    The clients compare sizes alone. A file of the cache is named by its sha256 or git id, so it can be checked without
    asking; that is done once per file and machine. Damaged files are removed and fetched again, once.

    Args:
        kind: `model` or `dataset`.
        load: called with False, and with True where what it made of damaged files must not be used again.

    Raises:
        HubError: they arrive damaged again.
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
    raise HubError(f"{kind} {name}: {listing(damaged)} arrived damaged twice; try later, or ask the hub's owner")


def remove_damaged(kind: str, name: str) -> list[str]:
    """Take files whose content is not what their name says out of the hub's cache; returns what they were called."""
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
    """The finished files of a folder of the cache, by the kind of name that tells their content."""
    return [p.resolve() for p in folder.glob("*") if len(p.name) in (40, 64) and set(p.name) <= set("0123456789abcdef")]


def _verified(blob: Path, note: Path) -> bool:
    """Whether a file holds what its name says: known from before, or by reading it."""
    try:
        stamp = f"{blob.stat().st_size} {blob.stat().st_mtime_ns}"
        with contextlib.suppress(OSError):
            if note.read_text() == stamp:
                return True
        digest = hashlib.sha256() if len(blob.name) == 64 else hashlib.sha1(b"blob %d\0" % blob.stat().st_size)
        with blob.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    except FileNotFoundError:  # another process took it away
        return True
    if digest.hexdigest() != blob.name:
        return False
    with contextlib.suppress(OSError):  # a cache that cannot be written is read each time
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(stamp)
    return True
