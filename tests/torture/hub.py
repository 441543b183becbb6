"""Every step of an upload and of a download, each with everything that can go wrong with it, against a hub on loopback.

The trials run in a process of their own, whose only hub is ours:
`python -m tests.torture.hub FOLDER '{GATE: [EVERY, START], …}'`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.hub_server import Fault, Hub

ROOT = Path(__file__).parents[2]
TOKEN = "hf_canary_write_token"
SILENCE = 1.5  # seconds without a byte that the clients wait for here
LIMIT = 60.0  # seconds for one command, whatever goes wrong
KINDS: dict[str, dict[str, Any]] = {
    "503": {"status": 503},
    "503 three times": {"status": 503, "times": 3},
    "429": {"status": 429, "headers": {"Retry-After": "1"}},
    "dropped": {"drop": True},
    "answer lost": {"lost": True},
    "silent": {"hang": 10**5},  # longer than any limit
    "silent for ever": {"hang": 10**5, "times": 10**6},
    "cut half-way": {"cut": True},
    "one flipped byte": {"corrupt": True},
    "503 for ever": {"status": 503, "times": 10**6},
}
UPLOAD = {
    "whoami": ("GET", "/api/whoami-v2$"),
    "create the repository": ("POST", "/api/repos/create$"),
    "ask what is there": ("GET", "^/api/models/alice/[^/]+$"),
    "validate the card": ("POST", "/api/validate-yaml$"),
    "ask what to send": ("POST", "/preupload/"),
    "ask where to": ("POST", "/objects/batch$"),
    "send": ("PUT", "^/lfs/"),
    "ask whether it arrived": ("POST", "/verify$"),
    "commit": ("POST", "/commit/"),
    "head of what was pushed": ("HEAD", "/alice/.*/resolve/.*model.safetensors"),
    "get what was pushed": ("GET", "/alice/.*/resolve/.*model.safetensors"),
}
DOWNLOAD = {
    "the model's commit": ("GET", "^/api/models/google/"),
    "head of the config": ("HEAD", "^/google/.*/config.json"),
    "get the config": ("GET", "^/google/.*/config.json"),
    "get the processor": ("GET", "^/google/.*/preprocessor_config.json"),
    "head of the weights": ("HEAD", "^/google/.*/model.safetensors"),
    "get the weights": ("GET", "^/google/.*/model.safetensors"),
    "the data's commit": ("GET", "^/api/datasets/uoft-cs/cifar10$"),
    "the data's tree": ("GET", "^/api/datasets/uoft-cs/cifar10/tree"),
    "get the data's card": ("GET", "^/datasets/.*/README.md"),
    "head of the rows": ("HEAD", "^/datasets/.*train.*parquet"),
    "get the rows": ("GET", "^/datasets/.*train.*parquet"),
}


def cases(steps: dict[str, tuple[str, str]], every: int = 1, start: int = 0) -> list[tuple[str, Fault]]:
    """Each step with each fault that can meet it; only the answer to HEAD has no body to be cut or flipped.

    Of GET it is the answer that is cut or flipped, of POST and PUT what they bring.
    """
    found = []
    for step, (method, path) in steps.items():
        for kind, fault in KINDS.items():
            if not (method == "HEAD" and kind in ("cut half-way", "one flipped byte")):
                found.append((f"{step}: {kind}", Fault(path, method=method, **fault)))
    return found[start::every]


def hasten(factor: int = 20) -> None:
    """Let this process sleep so many times shorter, and let its clock tell the time that it would have been."""
    sleep, clock, skipped = time.sleep, time.monotonic, [0.0]

    def shorter(seconds: float) -> None:
        sleep(seconds / factor)
        skipped[0] += seconds * (1 - 1 / factor)

    time.sleep, time.monotonic = shorter, lambda: clock() + skipped[0]


def command(*words: str) -> tuple[int, str, float]:
    """A command of hfft in this process: status, what it says as error, seconds."""
    from hfft import cli

    error, started = io.StringIO(), time.monotonic()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        status = cli.main(list(words))
    return status, error.getvalue().strip(), time.monotonic() - started


def refusal(status: int, said: str, took: float) -> str | None:
    """What is wrong with how a command ended: not in time, or not in one line with a status."""
    if took > LIMIT:
        return f"{took:.0f} s"
    if status and (len(said.splitlines()) != 1 or "Traceback" in said):
        return f"status {status}: {said[-600:]!r}"
    return None


def push(hub: Hub, folder: Path, every: int, start: int) -> Iterator[str]:
    """Publish one run to a new repository for each fault; a line for each that did not end well."""
    from safetensors.torch import load_file, save_file

    from hfft.publish.push import PUSHED

    run = str(folder / "run")
    status, said, _ = command(
        "train", "digits", f"training.output_dir={run}", "training.max_steps=2", "score.from_scratch=false"
    )
    assert status == 0, said
    weights = Path(run) / "model" / "model.safetensors"
    for i, (case, fault) in enumerate(cases(UPLOAD, every, start)):
        repo, tensors = f"alice/model-{i}", load_file(weights)
        next(iter(tensors.values())).view(-1)[0] = i / 1000  # bytes that the hub has not seen
        save_file(tensors, weights, {"format": "pt"})
        local = {p.name: digest(p.read_bytes()) for p in weights.parent.iterdir() if any(p.match(x) for x in PUSHED)}
        hub.faults[:] = [fault]
        status, said, took = command("publish", run, f"publish.hub_model_id={repo}")
        struck = fault.times < KINDS[case.partition(": ")[2]].get("times", 1)
        hub.faults.clear()
        print(f"{case}: status {status}, {took:.1f} s {said[:400]}", file=sys.stderr, flush=True)
        wrong = refusal(status, said, took) or (None if struck else "the fault met nothing")
        if status and not wrong:
            wrong = None if f"hfft publish {run}" in said or "whoami" in case else f"no remedy: {said}"
            status, said, _ = command("publish", run, f"publish.hub_model_id={repo}")
        if status:
            wrong = wrong or f"cannot be finished later: {said}"
        elif not wrong:
            there = {name: digest(content) for name, content in hub.files("models", repo).items()}
            there = {name: value for name, value in there.items() if name != ".gitattributes"}
            commits = len(hub.commits("models", repo)) - 1
            commits -= commits == 2 and "commit: one flipped byte" in case  # and one that puts it right
            here = {p.name: digest(p.read_bytes()) for p in weights.parent.iterdir() if p.name in there}
            if commits != 1 or here != there or set(local) - set(there):
                wrong = f"{commits} commits; differing files: {sorted(set(here.items()) ^ set(there.items()))}"
        if wrong:
            yield f"{case}: {wrong}"


def fetch(hub: Hub, folder: Path, every: int, start: int) -> Iterator[str]:
    """Assemble a run from an empty cache for each fault; a line for each that did not end well."""
    import datasets
    from huggingface_hub import HfFileSystem, constants

    from hfft.hub import client

    for case, fault in cases(DOWNLOAD, every, start):
        for cache in (constants.HF_HUB_CACHE, datasets.config.HF_DATASETS_CACHE, Path(constants.HF_HOME) / "hfft"):
            shutil.rmtree(cache, ignore_errors=True)
        HfFileSystem.clear_instance_cache()  # which remembers listings
        hub.faults[:] = [fault]
        status, said, took = command("show", "vit_cifar10", "publish=null")
        struck = fault.times < KINDS[case.partition(": ")[2]].get("times", 1)
        hub.faults.clear()
        print(f"{case}: status {status}, {took:.1f} s {said[:400]}", file=sys.stderr, flush=True)
        wrong = refusal(status, said, took) or (None if struck else "the fault met nothing")
        if status == 2 and "for ever" in case:
            wrong = f"the hub's fault is laid on the recipe: {said}"
        if status and not wrong:
            status, said, _ = command("show", "vit_cifar10", "publish=null")
        if status:
            wrong = wrong or f"cannot be done later: {said}"
        shutil.rmtree(Path(constants.HF_HOME) / "hfft", ignore_errors=True)
        damaged = [
            *client.remove_damaged("model", "google/vit-base-patch16-224-in21k"),
            *client.remove_damaged("dataset", "uoft-cs/cifar10"),
        ]
        if damaged:
            wrong = wrong or f"damaged files in the cache: {damaged}"
        if wrong:
            yield f"{case}: {wrong}"


# Where an uploader is killed: the request is never carried out, carried out with nobody left to hear of it, or carried
# out late, once the next push has begun. What only reads is the same in all three.
KILLED = {"before": {"drop": True, "hang": 60.0}, "after": {"held": 60.0}, "late": {"hang": 2.0}}
WRITING = ("create the repository", "send", "ask whether it arrived", "commit")
POINTS = [(step, when) for step in UPLOAD for when in KILLED if step in WRITING or when == "before"]


def killed(hub: Hub, folder: Path, every: int, start: int) -> Iterator[str]:
    """kill -9 while a request is under way, of `hfft publish` and, every second time, of `hfft train` that pushes.

    At each moment the repository holds the old model or the new one, whole; the trained model is never lost; the next
    `hfft publish` finishes it with one commit. A line for each that did not end so.
    """
    from tests.torture import runs

    words = [
        "training.max_steps=2",
        "score.from_scratch=false",
        "data.max_train_samples=40",
        "data.max_eval_samples=20",
    ]
    old = folder / "old"
    old.mkdir()
    (old / "model.safetensors").write_bytes(b"an older model")
    for i, (step, when) in list(enumerate(POINTS))[start::every]:
        case, run, repo = f"{step}, {when}", folder / f"run-{i}", f"alice/killed-{i}"
        train = ["train", "digits", f"training.output_dir={run}", f"training.seed={i}", *words]
        push, trains = [f"publish.hub_model_id={repo}"], i % 2 and step != "whoami"  # asked before training, too
        if not trains:
            status, said, _ = command(*train, *push, "publish=null")
            assert status == 0, said
        if i % 3:
            hub.add("models", repo, old)
        method, path = UPLOAD[step]
        fault = Fault(path, method=method, **KILLED[when])
        before = len(hub.commits("models", repo)) if i % 3 else 1  # the first commit of a new repository
        hub.faults[:] = [fault]
        child = runs.Child([*train, *push] if trains else ["publish", run, *push], run.with_suffix(".log"))
        if not child.until(lambda fault=fault: fault.times == 0):
            yield f"{case}: it ended before: {child.log.read_text()[-500:]}"
            continue
        child.signal(9)
        child.wait()
        hub.faults.clear()
        local = pushed_files(run)
        wrong = None if "model.safetensors" in local else f"the trained model is lost: {sorted(local)}"
        time.sleep(2 if when == "after" else 0)
        wrong = wrong or in_part(hub, repo, before, local)
        again = [*train, *push] if i % 4 == 1 else ["publish", str(run), *push]
        status, said, took = command(*again)
        wrong = wrong or refusal(status, said, took) or in_part(hub, repo, before, pushed_files(run))
        commits = len(hub.commits("models", repo)) - before
        if not wrong and (
            status or commits != 1 or pushed_files(run)["model.safetensors"] != local["model.safetensors"]
        ):
            wrong = f"status {status} {said}, {commits} commits"
        print(f"{case}: {wrong or 'well'}", file=sys.stderr, flush=True)
        if wrong:
            yield f"{case}: {wrong}"


def pushed_files(run: Path) -> dict[str, str]:
    """What of a run's model is pushed: name -> digest."""
    from hfft.publish.push import PUSHED

    found = (run / "model").iterdir() if (run / "model").is_dir() else ()
    return {path.name: digest(path.read_bytes()) for path in found if any(path.match(each) for each in PUSHED)}


def in_part(hub: Hub, repo: str, before: int, local: dict[str, str]) -> str | None:
    """What is wrong with the commits that were added to a repository: each holds the whole model, its card aside."""
    if ("models", repo) not in hub._repos:
        return None
    for commit in hub.commits("models", repo)[:-before]:
        there = {name: digest(content) for name, content in hub.files("models", repo, commit.id).items()}
        odd = {name for name, value in set(there.items()) ^ set(local.items())} - {".gitattributes", "README.md"}
        if odd or "README.md" not in there:
            return f"commit {commit.id[:8]} holds a part: {sorted(odd)}"
    return None


def digest(content: bytes) -> str:
    """A name for bytes."""
    return hashlib.sha256(content).hexdigest()[:16]


GATES: dict[str, Callable[[Hub, Path, int, int], Iterator[str]]] = {"push": push, "fetch": fetch, "push-killed": killed}
COUNTS = {"push": len(cases(UPLOAD)), "fetch": len(cases(DOWNLOAD)), "push-killed": len(POINTS)}


def main(folder: Path, wanted: dict[str, tuple[int, int]]) -> None:
    """The trials of some gates, of each every so many from the one at a start; the failed ones as JSON, by gate."""
    hasten()
    with Hub(folder / "store", tokens={TOKEN: "alice"}) as hub:
        os.environ.update(hub.env(folder / "home", TOKEN))
        quick = ("HFFT_HUB_TIMEOUT", "HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT")
        os.environ.update(dict.fromkeys(quick, str(SILENCE)))
        os.environ["HF_HUB_ETAG_TIMEOUT"] = os.environ["HF_HUB_DOWNLOAD_TIMEOUT"] = "2"
        from tests.publish.test_push import cifar, vit

        hub.add("models", "google/vit-base-patch16-224-in21k", vit(folder / "vit"))
        hub.add("datasets", "uoft-cs/cifar10", cifar(folder / "cifar10"))
        failed = {}
        for gate, (every, start) in wanted.items():
            (folder / gate).mkdir()
            failed[gate] = list(GATES[gate](hub, folder / gate, every, start))
        print(json.dumps(failed))


def faults(folder: Path, wanted: dict[str, tuple[int, int]]) -> dict[str, list[str]]:
    """By gate, a line for each of its trials that did not end as promised; `wanted` is as in `main`."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture.hub", str(folder), json.dumps(wanted)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return {gate: [f"{gate}: the trials broke off: {done.stderr[-1500:]}"] for gate in wanted}
    return json.loads(done.stdout.splitlines()[-1])


def every_fault(gate: str) -> Callable[[Path], list[str]]:
    """All trials of a gate."""
    return lambda folder: faults(folder / gate, {gate: (1, 0)})[gate]


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
