"""Errors when reading from a hub or a folder: what the clients raise, turned into one line with a remedy."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants

from hfft.errors import BadInput, HfftError, HubError
from hfft.hub.client import failure
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


_MISSING = re.compile(  # what the clients say of a file that they did not get, whatever the reason
    r"can't load|couldn't (find|connect)|could not (find|locate)|cannot find|does not appear to have|no file named|"
    r"not found|doesn't exist|does not exist|no such file|unrecognized model|error happened while trying to locate",
    re.IGNORECASE,
)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that it was raised from, outermost first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def explain(error: BaseException, what: str) -> HfftError:
    """The hfft exception for `error`, which was raised while reading `what` (such as `model google/vit`)."""
    names = _names(error)
    texts = " ".join(str(link) for link in _chain(error))
    if "GatedRepoError" in names or re.search("(is|access) a gated (repo|dataset|model)", texts):
        return BadInput(f"{what} is gated; accept its terms on the hub and set HF_TOKEN to a token of the same account")
    if "RevisionNotFoundError" in names or "is not a valid git identifier" in texts:
        return BadInput(f"{what} has no such revision; use an existing branch, tag or commit")
    if names & {"RepositoryNotFoundError", "DatasetNotFoundError"} or "is not a valid model identifier" in texts:
        return BadInput(
            f"{what} is neither a local folder nor found on the hub; check the spelling, or set HF_TOKEN if it is "
            f"private"
        )
    if "HFValidationError" in names:
        return BadInput(
            f"{what} is neither a local folder nor a repository's name (name or owner/name); check the spelling"
        )
    if re.search(r"OfflineModeIsEnabled|outgoing traffic has been disabled", " ".join([texts, *names])):
        return _offline(what)
    if "RemoteEntryNotFoundError" in names:  # the hub answered: a file is not there
        return BadInput(f"{what} cannot be used: {_said(error)}")
    if names & _NETWORK or "couldn't connect" in texts.lower():
        return HubError(
            f"{what} could not be read: {_said(error)} (no network? HF_HUB_OFFLINE=1 uses only what is cached)"
        )
    if "MemoryError" in names:
        return BadInput(
            f"{what} needs more memory than there is to read it ({_said(error)}); if its size is right, "
            f"write it in smaller pieces (row groups)"
        )
    for link in _chain(error):
        odd = set(getattr(link, "table_column_names", ())) ^ set(getattr(link, "requested_column_names", ()))
        if odd:
            columns = listing(sorted(odd))
            return BadInput(f"{what} cannot be used: not every file has the columns {columns}; fix them or use others")
    if empty := re.search(r'Instruction "(.+?)" corresponds to no data', texts):
        return BadInput(f"{what} has no rows in its split {empty[1]}; use data that has some")
    if "instantiate the backend tokenizer" in texts:
        return BadInput(
            f"{what} cannot be used: it has no tokenizer.json and no vocabulary that can be read; name a model of texts, or "
            f"install sentencepiece or tiktoken if its tokenizer needs one"
        )
    return BadInput(f"{what} cannot be used: {_said(error)}")


def _offline(what: str) -> HubError:
    return HubError(f"{what} is not in the cache and HF_HUB_OFFLINE is set; unset it to fetch {what} once")


def _names(error: BaseException) -> set[str]:
    """The class names of the error and of those it was raised from: the clients' exceptions share no base class."""
    return {base.__name__ for link in _chain(error) for base in type(link).__mro__}


def _said(error: BaseException, limit: int = 300) -> str:
    """The first line that says what is wrong, which may be in an error that this one was raised from."""
    links = list(_chain(error))
    lines = [line.strip() for link in links for line in str(link).splitlines()]
    telling = [line for line in lines if line and not line.startswith("An error occurred while generating the dataset")]
    return telling[0][:limit] if telling else type(links[-1]).__name__


@contextlib.contextmanager
def reading(what: str, name: str | None = None) -> Iterator[None]:
    """Turn any error that a hub client raises inside the block into one clear error about `what`.

    Args:
        name: the hub repository that is read, or a local path. The clients say of files that they could not ask for that
            these do not exist; given the name, the true cause is told.
    """
    started = time.monotonic()
    try:
        with _explained(what):
            yield
    except BadInput as error:
        if error.__cause__ is None or name is None or Path(name).exists() or not _MISSING.search(str(error.__cause__)):
            raise
        if constants.is_offline_mode():
            raise _offline(what) from error.__cause__
        if how := failure(name, started):
            raise HubError(f"{what} could not be read: {how}; try again later") from error.__cause__
        raise


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except HfftError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError) as error:
        raise explain(error, what) from error
    except Exception as error:  # httpx and datasets have exception classes of their own
        if _names(error) & (_NETWORK | {"DatasetsError", "MemoryError"}):
            raise explain(error, what) from error
        raise


def commit_of(kind: str, name: str, revision: str | None) -> str | None:
    """The commit at which a hub repository is now, so that a run can be repeated; None if it cannot be determined.

    It is recorded in the hub's cache as the clients do it, and read from there if the hub cannot be reached, so that
    files downloaded by commit are found by branch name too.

    Args:
        kind: `model` or `dataset`.
    """
    from huggingface_hub import HfApi, constants

    folder = Path(constants.HF_HUB_CACHE) / f"{kind}s--{name.replace('/', '--')}"
    note = folder / "refs" / (revision or "main")
    try:
        commit = HfApi().repo_info(name, repo_type=kind, revision=revision, timeout=10).sha
    except Exception as error:  # not needed if all is cached; the load that follows reports what is missing
        if not (_names(error) & _NETWORK and note.is_file()):
            return None
        commit = note.read_text(encoding="utf-8").strip()
        return commit if (folder / "snapshots" / commit).is_dir() else None
    if commit and commit != revision:
        with contextlib.suppress(OSError):  # the cache may not be writable
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(commit, encoding="utf-8")
    return commit
