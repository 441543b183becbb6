"""Reading from a hub or a folder: what its clients raise, as one line with a remedy."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from hfft.errors import BadInput, HfftError, HubError
from hfft.wording import listing

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
    "TimeoutError",
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
    names = _names(error)
    texts = " ".join(str(link) for link in _chain(error))
    if "GatedRepoError" in names or re.search("(is|access) a gated (repo|dataset|model)", texts):
        return BadInput(f"{what} is gated; accept its terms on the hub and set HF_TOKEN to a token of that account")
    if "RevisionNotFoundError" in names or "is not a valid git identifier" in texts:
        return BadInput(f"{what} has no such revision; name a branch, tag or commit that exists")
    if names & {"RepositoryNotFoundError", "DatasetNotFoundError"} or "is not a valid model identifier" in texts:
        return BadInput(
            f"{what} is neither a local folder nor found on the hub; check the spelling, or set HF_TOKEN if it is "
            f"private"
        )
    if re.search(r"OfflineModeIsEnabled|outgoing traffic has been disabled", " ".join([texts, *names])):
        return HubError(f"{what} is not in the cache and HF_HUB_OFFLINE is set; unset it to fetch {what} once")
    if "RemoteEntryNotFoundError" in names:  # the hub answered: a file is not there
        return BadInput(f"{what} cannot be used: {_said(error)}")
    if names & _NETWORK or "couldn't connect" in texts.lower():
        return HubError(
            f"{what} could not be read: {_said(error)} (no network? HF_HUB_OFFLINE=1 uses only what is cached)"
        )
    if "MemoryError" in names:
        return BadInput(
            f"{what} takes more memory than there is to read it ({_said(error)}); write it in smaller pieces (row groups), "
            f"if it is what it should be"
        )
    for link in _chain(error):
        odd = set(getattr(link, "table_column_names", ())) ^ set(getattr(link, "requested_column_names", ()))
        if odd:
            columns = listing(sorted(odd))
            return BadInput(
                f"{what} cannot be used: not every file has the columns {columns}; mend them or name others"
            )
    if empty := re.search(r'Instruction "(.+?)" corresponds to no data', texts):
        return BadInput(f"{what} has no rows in its split {empty[1]}; name data that has")
    return BadInput(f"{what} cannot be used: {_said(error)}")


def _names(error: BaseException) -> set[str]:
    """The classes of the error and of what it was raised from: the clients' own trees share no base."""
    return {base.__name__ for link in _chain(error) for base in type(link).__mro__}


def _said(error: BaseException, limit: int = 300) -> str:
    """The first line that says what is wrong, which may stand in what the error was raised from."""
    links = list(_chain(error))
    lines = [line.strip() for link in links for line in str(link).splitlines()]
    telling = [line for line in lines if line and not line.startswith("An error occurred while generating the dataset")]
    return telling[0][:limit] if telling else type(links[-1]).__name__


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
        if _names(error) & (_NETWORK | {"DatasetsError", "MemoryError"}):
            raise explain(error, what) from error
        raise


def commit_of(kind: str, name: str, revision: str | None) -> str | None:
    """The commit a repository of the hub stands at, so that a run can be repeated; None where nobody knows.

    It is noted in the hub's cache as the clients note it, and read from there where the hub cannot be asked: what was
    fetched by commit is then found by its branch.

    Args:
        kind: `model` or `dataset`.
    """
    from huggingface_hub import HfApi, constants

    folder = Path(constants.HF_HUB_CACHE) / f"{kind}s--{name.replace('/', '--')}"
    note = folder / "refs" / (revision or "main")
    try:
        commit = HfApi().repo_info(name, repo_type=kind, revision=revision, timeout=10).sha
    except Exception as error:  # a warm cache needs no hub; what is missing is reported by the load that follows
        if not (_names(error) & _NETWORK and note.is_file()):
            return None
        commit = note.read_text(encoding="utf-8").strip()
        return commit if (folder / "snapshots" / commit).is_dir() else None
    if commit and commit != revision:
        with contextlib.suppress(OSError):  # a cache that cannot be written
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(commit, encoding="utf-8")
    return commit
