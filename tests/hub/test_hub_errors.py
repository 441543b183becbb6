"""What the hub's and the data sets' own clients raise, told in one line with a remedy and the right exit status."""

import builtins
import time

import httpx2
import pytest
from datasets.exceptions import DataFilesNotFoundError, DatasetGenerationError, DatasetNotFoundError
from datasets.table import CastError
from huggingface_hub import errors
from huggingface_hub.utils import hf_raise_for_status

from hfft.errors import BadInput, DataError, HubError
from hfft.hub import client
from hfft.hub import errors as errors_of_hfft
from hfft.hub.errors import explain, reading

WHAT = "model me/net"


def answer(status, **headers):
    request = httpx2.Request("GET", "https://huggingface.co/api/models/me/net/revision/main")
    return httpx2.Response(status, headers=headers, request=request)


def raised(error, cause=None):
    """The error as it comes out of a client, with its cause."""
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def by_the_client(status, **headers):
    """What the hub's client makes of an answer."""
    try:
        hf_raise_for_status(answer(status, **headers))
    except errors.HfHubHTTPError as error:
        return error
    raise AssertionError(f"{status} is no error")


NOT_FOUND = (
    f"{WHAT} is neither a local folder nor found on the hub; check the spelling, or set HF_TOKEN if it is private"
)
GATED = f"{WHAT} is gated; accept its terms on the hub and set HF_TOKEN to a token of the same account"
NO_REVISION = f"{WHAT} has no such revision; use an existing branch, tag or commit"
OFFLINE = f"{WHAT} is not in the cache and HF_HUB_OFFLINE is set; unset it to fetch {WHAT} once"
UNREACHED = f"{WHAT} could not be read: "
NO_NETWORK = " (no network? HF_HUB_OFFLINE=1 uses only what is cached)"

ERRORS = {
    "no repository": (by_the_client(404, **{"X-Error-Code": "RepoNotFound"}), BadInput, NOT_FOUND),
    "no token": (errors.RepositoryNotFoundError("401 Client Error.\nlong", response=answer(401)), BadInput, NOT_FOUND),
    "gated": (by_the_client(403, **{"X-Error-Code": "GatedRepo"}), BadInput, GATED),
    "no revision": (by_the_client(404, **{"X-Error-Code": "RevisionNotFound"}), BadInput, NO_REVISION),
    "a path that is not there": (
        errors.HFValidationError("Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/no/where'."),
        BadInput,
        f"{WHAT} is neither a local folder nor a repository's name (name or owner/name); check the spelling",
    ),
    "no file": (
        errors.RemoteEntryNotFoundError("404 Client Error: a.json is not there\nmore", response=answer(404)),
        BadInput,
        f"{WHAT} cannot be used: 404 Client Error: a.json is not there",
    ),
    "server down": (by_the_client(503), HubError, UNREACHED),
    "nothing cached": (
        errors.LocalEntryNotFoundError("no file found\nmore"),
        HubError,
        f"{UNREACHED}no file found{NO_NETWORK}",
    ),
    "offline": (errors.OfflineModeIsEnabled("Cannot reach https://x: offline mode is enabled."), HubError, OFFLINE),
    "offline and nothing cached": (
        errors.LocalEntryNotFoundError("not in the disk cache and outgoing traffic has been disabled."),
        HubError,
        OFFLINE,
    ),
    "offline, of a data set": (
        builtins.ConnectionError("Couldn't reach 'me/net' on the Hub (OfflineModeIsEnabled)"),
        HubError,
        OFFLINE,
    ),
    "no network": (
        httpx2.ConnectError("[Errno -2] Name or service not known"),
        HubError,
        f"{UNREACHED}[Errno -2] Name or service not known{NO_NETWORK}",
    ),
    "timeout": (httpx2.ReadTimeout("timed out"), HubError, f"{UNREACHED}timed out{NO_NETWORK}"),
    "socket timeout": (TimeoutError(), HubError, f"{UNREACHED}TimeoutError{NO_NETWORK}"),
    "refused": (ConnectionRefusedError(111, "Connection refused"), HubError, UNREACHED),
    "no data set": (DatasetNotFoundError("Dataset 'me/net' doesn't exist on the Hub."), BadInput, NOT_FOUND),
    "gated data set": (
        DatasetNotFoundError("Dataset 'me/net' is a gated dataset on the Hub. You must be authenticated."),
        BadInput,
        GATED,
    ),
    "no revision of a data set": (
        raised(
            DatasetNotFoundError("Revision 'v9' doesn't exist for dataset 'me/net' on the Hub."),
            by_the_client(404, **{"X-Error-Code": "RevisionNotFound"}),
        ),
        BadInput,
        NO_REVISION,
    ),
    "no data files": (
        DataFilesNotFoundError("No (supported) data files found in d"),
        BadInput,
        f"{WHAT} cannot be used: No (supported) data files found in d",
    ),
    "a file that cannot be parsed": (
        raised(DatasetGenerationError("An error occurred while generating the dataset"), ValueError("line 3\nmore")),
        BadInput,
        f"{WHAT} cannot be used: line 3",
    ),
    "files with other columns": (
        raised(
            DatasetGenerationError("An error occurred while generating the dataset"),
            CastError("Couldn't cast", table_column_names=["a", "b"], requested_column_names=["a", "c"]),
        ),
        BadInput,
        f"{WHAT} cannot be used: not every file has the columns b, c; fix them or use others",
    ),
    "an empty split": (
        ValueError('Instruction "test" corresponds to no data!'),
        BadInput,
        f"{WHAT} has no rows in its split test; use data that has some",
    ),
    "transformers, not found": (
        raised(
            OSError(
                "me/net is not a local folder and is not a valid model identifier listed on 'https://…'\nIf this is"
            ),
            by_the_client(404, **{"X-Error-Code": "RepoNotFound"}),
        ),
        BadInput,
        NOT_FOUND,
    ),
    "transformers, no revision": (
        OSError("v9 is not a valid git identifier (branch name, tag name or commit id) that exists\nCheck"),
        BadInput,
        NO_REVISION,
    ),
    "transformers, gated": (
        OSError("You are trying to access a gated repo.\nMake sure to have access"),
        BadInput,
        GATED,
    ),
    "transformers, no network": (
        raised(
            OSError("We couldn't connect to 'https://huggingface.co' to load the files.\nCheck your connection"),
            errors.LocalEntryNotFoundError("no connection"),
        ),
        HubError,
        f"{UNREACHED}We couldn't connect to 'https://huggingface.co' to load the files.{NO_NETWORK}",
    ),
    "a file that is damaged": (ValueError("bad header\nat byte 3"), BadInput, f"{WHAT} cannot be used: bad header"),
    "transformers, no tokenizer": (
        ValueError("Couldn't instantiate the backend tokenizer from one of: \n(1) a `tokenizers` library file"),
        BadInput,
        f"{WHAT} cannot be used: it has no tokenizer.json and no vocabulary that can be read; name a model of texts, or "
        "install sentencepiece or tiktoken if its tokenizer needs one",
    ),
    "nothing said": (RuntimeError(), BadInput, f"{WHAT} cannot be used: RuntimeError"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_a_client_raises_becomes_one_line_with_a_remedy_and_a_status(case):
    error, kind, message = ERRORS[case]
    told = explain(error, WHAT)
    assert type(told) is kind
    assert told.exit_code == (2 if kind is BadInput else 1)
    if message == UNREACHED:
        assert str(told).startswith(UNREACHED)
        assert str(told).endswith(NO_NETWORK)
    else:
        assert str(told) == message
    assert "\n" not in str(told)


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_around_it_tells_the_same_when_it_says_nothing_itself(case):
    error, kind, _ = ERRORS[case]
    told = explain(raised(OSError(""), error), WHAT)
    assert (type(told), str(told)) == (kind, str(explain(error, WHAT)))


@pytest.mark.parametrize("case", ERRORS)
def test_reading_turns_it_into_that_error_and_keeps_its_cause(case):
    error, kind, _ = ERRORS[case]
    with pytest.raises(kind) as caught, reading(WHAT):
        raise error
    assert str(caught.value) == str(explain(error, WHAT))
    assert caught.value.__cause__ is error


def test_a_name_with_gated_in_it_is_not_gated():
    told = explain(FileNotFoundError("no file aggregated/delegated.csv"), "data set aggregated")
    assert str(told) == "data set aggregated cannot be used: no file aggregated/delegated.csv"


@pytest.mark.parametrize("error", [DataError("split train is empty"), KeyboardInterrupt(), AssertionError("a bug")])
def test_errors_of_hfft_interruptions_and_bugs_pass_unchanged(error):
    with pytest.raises(type(error)) as caught, reading(WHAT):
        raise error
    assert caught.value is error


def test_a_long_message_is_cut():
    assert len(str(explain(ValueError("x" * 10_000), WHAT))) < 400


# --- what a client takes for a missing file

SAID = {
    "head of the weights": OSError("me/net does not appear to have a file named model.safetensors or …\nmore"),
    "the processor": OSError("Can't load image processor for 'me/net'. If you were trying to load it from …"),
    "a data set": DataFilesNotFoundError("Couldn't find any data file at me/net"),
    "the config": ValueError("Unrecognized model in me/net. Should have a `model_type` key"),
}


@pytest.mark.parametrize("case", SAID)
@pytest.mark.parametrize(
    "how", ["the hub returned status 503", "the hub did not answer in time", "the connection was cut"]
)
def test_a_file_that_the_hub_did_not_answer_for_is_not_told_as_missing(case, how, monkeypatch):
    monkeypatch.setattr(client, "_FAILED", {"/me/net/resolve/main/x": (time.monotonic() + 1, how)})
    with pytest.raises(HubError) as caught, reading(WHAT, "me/net"):
        raise SAID[case]
    assert str(caught.value) == f"{WHAT} could not be read: {how}; try again later"
    assert caught.value.__cause__ is SAID[case]
    with pytest.raises(BadInput, match="cannot be used"), reading(WHAT, "me/other"):
        raise SAID[case]


@pytest.mark.parametrize("case", SAID)
def test_offline_nobody_knows_whether_a_file_is_missing(case, tmp_path, monkeypatch):
    monkeypatch.setattr(errors_of_hfft.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError) as caught, reading(WHAT, "me/net"):
        raise SAID[case]
    assert str(caught.value) == OFFLINE
    for name in (str(tmp_path), None):  # a folder is read without a hub
        with pytest.raises(BadInput, match="cannot be used"), reading(WHAT, name):
            raise SAID[case]


def test_what_failed_earlier_or_is_no_missing_file_is_told_as_it_is(monkeypatch):
    monkeypatch.setattr(client, "_FAILED", {"/me/net/resolve/main/x": (time.monotonic() - 1, "silence")})
    with pytest.raises(BadInput, match="cannot be used"), reading(WHAT, "me/net"):
        raise SAID["the processor"]
    monkeypatch.setattr(client, "_FAILED", {"/me/net/resolve/main/x": (time.monotonic() + 1, "silence")})
    with pytest.raises(BadInput, match="bad header"), reading(WHAT, "me/net"):
        raise ValueError("bad header")
    with pytest.raises(DataError, match="split x is not found"), reading(WHAT, "me/net"):
        raise DataError("split x is not found")
