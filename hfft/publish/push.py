"""Push the model folder in one commit, and prove that what was pushed is what was trained."""

from __future__ import annotations

import contextlib
import filecmp
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from huggingface_hub import HfApi, constants
from huggingface_hub.utils import filter_repo_objects

from hfft.backbone import published_code
from hfft.data import load_splits
from hfft.errors import BadInput, HfftError, HubError, RunError
from hfft.hub.client import BUSY, arrived, failure
from hfft.hub.errors import explain
from hfft.predict.predictor import load_predictor
from hfft.processes import by_first_process
from hfft.publish.adapter import adapter_config, named
from hfft.publish.card import blocks_of, card, write_pictures
from hfft.publish.reload import (
    TOLERANCE,
    Sample,
    answers_difference,
    different_tensors,
    loads_plainly,
    sample_inputs,
    sampled_split,
    whole_model,
)
from hfft.publish.spec import Publish
from hfft.recipe import load_recipe
from hfft.runs.folder import RunFolder, write
from hfft.wording import first_line

T = TypeVar("T")
ATTEMPTS, FIRST_WAIT, PATIENCE = 4, 1.0, 20.0  # the last two in seconds; the client itself retries some calls
CODE = (*(f"{name}.py" for name in published_code.FILES), "feature_extraction_series.py")
PUSHED = ["*.safetensors", "*.json", "*.txt", "*.model", *CODE, "README.md", "recipe.yaml"]
PUSHED += ["confusion.svg", "reliability.svg"]


class Hub(HfApi):
    """The hub's client, which also works with a hub that cannot validate cards."""

    def _validate_yaml(self, *args: Any, **kwargs: Any) -> None:
        # If the route does not exist, the client parses the answer before it checks the status.
        with contextlib.suppress(json.JSONDecodeError):
            super()._validate_yaml(*args, **kwargs)


@by_first_process
def check_permission(wanted: Publish) -> str:
    """The full id of the repository to publish to, after asking the hub whether this token may write there.

    Raises:
        BadInput: there is no token, the hub refuses it, or it may not write there.
        HubError: the hub cannot be reached.
    """
    repo = wanted.hub_model_id
    assert repo is not None
    remedy = "or turn publishing off with publish=null"
    if constants.is_offline_mode():
        raise HubError(f"publish.hub_model_id: HF_HUB_OFFLINE is set, so {repo} cannot be pushed; unset it, {remedy}")
    try:
        who = retried(Hub().whoami)
    except Exception as error:
        if type(error).__name__ == "LocalTokenNotFoundError":
            raise BadInput(
                f"publish.hub_model_id: no token to push {repo} with; set HF_TOKEN or run `hf auth login`, {remedy}"
            ) from None
        if getattr(getattr(error, "response", None), "status_code", None) == 401:
            raise BadInput(
                f"publish.hub_model_id: the hub refuses the token; set HF_TOKEN to a valid one with write access, {remedy}"
            ) from None
        raise explain(error, f"the hub, asked for permission to push {repo},") from error
    role = ((who.get("auth") or {}).get("accessToken") or {}).get("role")
    if role == "read":
        raise BadInput(f"publish.hub_model_id: the token may only read; {repo} needs one with write access, {remedy}")
    spaces = [who["name"], *(org["name"] for org in who.get("orgs") or [])]
    space, slash, _ = repo.partition("/")
    if slash and space not in spaces:
        raise BadInput(
            f"publish.hub_model_id: the token of {who['name']} may write to {', '.join(spaces)}, not to {space}; name a "
            f"repository of yours, {remedy}"
        )
    return repo if slash else f"{who['name']}/{repo}"


@by_first_process
def publish(folder: RunFolder, wanted: Publish, force: bool = False) -> str:
    """Push a finished run's model folder in one commit, reload it, compare the outputs, and return its URL.

    Args:
        force: push the model even if its training had faults.

    Raises:
        RunError: the training had faults.
        HubError: the push failed, or the reloaded model differs; the run folder keeps everything, and `hfft publish`
            tries again.
    """
    faults = json.loads(folder.metrics.read_text(encoding="utf-8")).get("faults")
    if faults and not force:
        raise RunError(
            f"not published: {'; '.join(faults)}. The model is kept in {folder.model}; if it is what you want, push it "
            f"with `hfft publish {folder.path} --force`"
        )
    repo, hub = check_permission(wanted), Hub()
    if adapter_config(folder.model) is not None:
        prove_adapter(folder)
    started, done = time.monotonic(), "was not published"
    try:
        retried(lambda: hub.create_repo(repo_id=repo, private=wanted.private, exist_ok=True))
        recipe = load_recipe(folder.recipe)
        metrics = json.loads(folder.metrics.read_text(encoding="utf-8"))
        blocks = blocks_of(folder)
        write_pictures(folder, metrics, blocks)
        made = "fine-tuned with hfft" if "use" not in metrics else "with hfft, no network trained"
        what = f"{recipe.name}: {recipe.backbone.name.rpartition('/')[2]} {made}"

        def push() -> Any:
            # If the answer to a commit was lost, asking again finds the commit; then nothing has changed, and none is made.
            parent, earlier = _there(hub, repo)
            write(folder.model / "README.md", card(recipe, metrics, repo, earlier, blocks))
            return hub.upload_folder(
                repo_id=repo,
                folder_path=folder.model,
                commit_message=what,
                allow_patterns=PUSHED,
                delete_patterns=PUSHED,  # files of an earlier model, such as shards, must not outlive it
                parent_commit=parent,
            )

        with named(folder.model, repo):
            commit = retried(push)
            done = f"was pushed{at(commit.oid)}, but could not be loaded back"
            compare(hub, folder, repo, commit.oid)
        verify(folder, repo, commit.oid)
        url = f"{hub.endpoint}/{repo}/tree/{commit.oid}"
        folder.note_published(repo, url)
        return url
    except HfftError:
        raise
    except Exception as error:
        how, said = failure(repo, started), first_line(error)
        raise HubError(
            f"{repo} {done}: {f'{how} ({said})' if how else said}; the model is kept in {folder.model}; push it later with "
            f"`hfft publish {folder.path}`"
        ) from error


def compare(hub: Hub, folder: RunFolder, repo: str, commit: str) -> None:
    """Download every pushed file and compare it with the local one, since small files are uploaded without a digest.

    Later loads find the files in the cache and do not need to ask a busy hub again.

    Raises:
        HubError: a file differs.
    """

    def fetched(name: str) -> str:
        return retried(lambda: arrived("model", repo, lambda again: hub.hf_hub_download(repo, name, revision=commit)))

    paths = [path.relative_to(folder.model).as_posix() for path in folder.model.rglob("*") if path.is_file()]
    for name in sorted(filter_repo_objects(paths, allow_patterns=PUSHED)):
        if not filecmp.cmp(fetched(name), folder.model / name, shallow=False):
            raise HubError(
                f"{name} of {repo}{at(commit)} differs from the file that was pushed; push it again with "
                f"`hfft publish {folder.path}`"
            )


def prove_adapter(folder: RunFolder) -> None:
    """Before anything is pushed, check that the adapter gives the same outputs in plain transformers as in hfft.

    Raises:
        BadInput: the outputs differ.
    """
    try:
        verify(folder, str(folder.model))
    except (HubError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise BadInput(
            f"publish.as: transformers does not load this adapter onto its model as it was trained ({first_line(error)}); "
            f"train with publish.as=merged"
        ) from error


def _there(hub: Hub, repo: str) -> tuple[str | None, str | None]:
    """The current commit and README.md of the repository."""
    info = hub.model_info(repo)
    if "README.md" not in {s.rfilename for s in info.siblings or ()}:
        return info.sha, None
    path = arrived("model", repo, lambda again: hub.hf_hub_download(repo, "README.md", revision=info.sha))
    with open(path, encoding="utf-8") as file:
        return info.sha, file.read()


def retried(action: Callable[[], T]) -> T:
    """The result of the action, retried with growing pauses if the hub is busy, the line is down or another commit came first.

    A silent hub is tried only twice, since each try may take `client.SILENCE` seconds. No try starts after `PATIENCE`.
    """
    started = time.monotonic()
    for attempt in range(ATTEMPTS):
        try:
            return action()
        except Exception as error:
            kinds = {base.__name__ for base in type(error).__mro__}
            status = getattr(getattr(error, "response", None), "status_code", None)
            again = kinds & {"TransportError", "ConnectionError"} or status in (412, *BUSY)
            last = attempt >= (1 if "TimeoutException" in kinds else ATTEMPTS - 1)
            if last or not again or time.monotonic() - started > PATIENCE:
                raise
            time.sleep(FIRST_WAIT * 2**attempt)
    raise AssertionError("unreachable")


def verify(folder: RunFolder, repo: str, commit: str | None = None) -> None:
    """Load the pushed revision with plain transformers and compare its outputs on a sample with those of the local model.

    Raises:
        HubError: the outputs differ.
    """
    recipe = load_recipe(folder.recipe)
    task, again = recipe.the_task, f"push it again with `hfft publish {folder.path}`"
    if not task.labelled:
        local = whole_model(str(folder.model), task)
        if found := retried(lambda: different_tensors(repo, task, local, commit)):
            raise HubError(f"{repo}{at(commit)} differs from {folder.model} in {len(found)} tensors; {again}")
        return
    splits, _ = load_splits(recipe.data, task, recipe.seed)
    inputs = sample_inputs(splits, task, sampled_split(splits))
    predictor, plainly = load_predictor(str(folder.model), device="cpu"), loads_plainly(folder.model, recipe.backbone)
    sample = Sample(inputs, torch.cat([predictor([x]) for x in inputs]))
    worst = retried(lambda: answers_difference(repo, sample, task, plainly, commit))
    if worst > TOLERANCE:
        raise HubError(
            f"the outputs of {repo}{at(commit)} differ from those of {folder.model} (by {worst:.2g}); {again}"
        )


def at(commit: str | None) -> str:
    """The words ` at <commit>`."""
    return f" at {commit[:12]}" if commit else ""
