"""Reading from a hub or a folder: what its clients raise, as one line with a remedy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hfft.errors import BadInput, HfftError, HubError, first_line

_NETWORK = {
    "ConnectionError",
    "ConnectError",
    "ConnectTimeout",
    "ReadTimeout",
    "ReadError",
    "RemoteProtocolError",
    "TimeoutException",
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "HfHubHTTPError",
    "HTTPError",
    "HTTPStatusError",
    "NetworkError",
    "TransportError",
}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from, outermost first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def explain(error: BaseException, what: str) -> HfftError:
    """The exception hfft raises for `error`, which was met while reading `what` (such as `model google/vit`)."""
    names = {base.__name__ for link in _chain(error) for base in type(link).__mro__}
    texts = " ".join(str(link) for link in _chain(error))
    if "GatedRepoError" in names or "gated" in texts.lower():
        return BadInput(f"{what} is gated; accept its terms on the hub and set HF_TOKEN to a token of that account")
    if names & {"RepositoryNotFoundError", "DatasetNotFoundError"} or "is not a valid model identifier" in texts:
        return BadInput(
            f"{what} is neither a local folder nor found on the hub; check the spelling, or set HF_TOKEN if it is private"
        )
    if "RevisionNotFoundError" in names or "is not a valid git identifier" in texts:
        return BadInput(f"{what} has no such revision; name a branch, tag or commit that exists")
    if names & _NETWORK or "couldn't connect" in texts.lower() or "we couldn't connect" in texts.lower():
        return HubError(
            f"{what} could not be read: {first_line(error)} (no network? HF_HUB_OFFLINE=1 uses only what is cached)"
        )
    return BadInput(f"{what} cannot be used: {first_line(error)}")


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever a hub's client raises inside into one clear error about `what`."""
    try:
        yield
    except HfftError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError) as error:
        raise explain(error, what) from error
    except Exception as error:  # the clients' own trees stand apart: httpx, datasets
        if {base.__name__ for link in _chain(error) for base in type(link).__mro__} & (_NETWORK | {"DatasetsError"}):
            raise explain(error, what) from error
        raise
