"""Gates of two hosts: what must hold when a run spans machines, and when one of them is lost."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from tests.torture.network import ADDRESSES, Cable, Host, finish, possible, two_hosts, wait_for

STEPS = 120
RUN = (f"training.max_steps={STEPS}", "training.save_steps=20", "training.per_device_train_batch_size=8")


# AdamW makes steps of a whole rate out of gradients that are zero but for rounding, as those of key biases.
SGD = ("training.optim=sgd", "training.learning_rate=0.1")
COUNT = 90
ROWS = ("data.path=json", "data.data_files=train-*.jsonl", "data.columns={text: text, label: label}", "data.test=0.2")


def write_rows(*hosts: Host) -> None:
    """The same two files of rows on each host's disk."""
    rows = [{"text": f"{i} " * (1 + i % 3) + "rows of a file", "label": str(i % 3)} for i in range(COUNT)]
    for host in hosts:
        for part in range(2):
            lines = "\n".join(json.dumps(row) for row in rows[part::2])
            (host.disk / f"train-{part}.jsonl").write_text(lines)


def weights(folder: Path) -> dict[str, Any]:
    """The tensors of a saved model."""
    return load_file(folder / "model.safetensors")


def apart(first: dict[str, Any], second: dict[str, Any]) -> float:
    """The largest difference between two sets of tensors."""
    if first.keys() != second.keys():
        return float("inf")
    return max((first[name].double() - second[name].double()).abs().max().item() for name in first)


def together(a: Host, b: Host, *overrides: str, **more: Any) -> list[str]:
    """One run on both hosts, to its end.

    Raises:
        AssertionError: it failed on one of them.
    """
    first, second = a.launch(*overrides, **more), b.launch(*overrides, **more)
    said = finish(first, second)
    assert first.returncode == 0 == second.returncode, "\n".join(text[-1500:] for text in said)
    return said


def alone(host: Host, *overrides: str) -> str:
    """The same run by one process on one host, in a folder of its own."""
    process = host.single("training.output_dir=" + str(host.disk / "alone"), *overrides)
    (said,) = finish(process)
    assert process.returncode == 0, said[-1500:]
    return said


def figures(run: Path) -> dict[str, float]:
    """The figures of each split."""
    found = json.loads((run / "metrics.json").read_text())
    return {f"{split} {k}": v for split in ("validation", "test") for k, v in found[split].items()}


def one_run(folder: Path) -> list[str]:
    """Two hosts with two processes each train what one process does; both disks hold the same; maps once per host."""
    with two_hosts(folder) as (a, b, _):
        write_rows(a, b)
        for host in (a, b):
            (host.disk / "maps").mkdir()
        few = ("training.max_steps=10", "training.save_steps=10", *SGD, *ROWS)
        notes = [{"NOTE_MAPS": str(host.disk / "maps")} for host in (a, b)]
        first, second = (
            host.launch(*few, "training.per_device_train_batch_size=4", processes=4, **note)
            for host, note in zip((a, b), notes, strict=True)
        )
        said = finish(first, second)
        if first.returncode or second.returncode:
            return ["failed: " + " | ".join(text[-600:] for text in said)]
        alone(a, *few, "training.per_device_train_batch_size=16")
        failed = []
        if (off := apart(weights(a.run / "model"), weights(a.disk / "alone/model"))) > 1e-6:
            failed.append(f"after ten steps the weights differ by {off:.1e} from one process's")
        if apart(weights(a.run / "checkpoint-10"), weights(b.run / "checkpoint-10")):
            failed.append("the two hosts hold other weights")
        mine, other = figures(a.run), figures(a.disk / "alone")
        failed += [f"{name}: {mine[name]} and {other[name]}" for name in mine if abs(mine[name] - other[name]) > 1e-6]
        for host in (a, b):
            makers = list((host.disk / "maps").iterdir())
            if len(makers) != 1:
                failed.append(f"host {host.rank}: {len(makers)} processes mapped the data")
        return failed


def stream(folder: Path) -> list[str]:
    """Every row of a stream counts once per epoch, in one process of the two, whether it states its size or not."""
    with two_hosts(folder) as (a, b, _):
        write_rows(a, b)
        for host in (a, b):
            (host.disk / "recipe.yaml").write_text(
                "task: text-classification\nbackbone: {name: nano-bert}\nhead: {new: [bert.pooler]}\n"
                "data: {path: json, data_files: 'train-*.jsonl', streaming: true, columns: {label: label},"
                " classes: ['0', '1', '2']}\n"
                "training: {max_steps: 4, per_device_train_batch_size: 4, output_dir: run}\n"
            )
        script, failed = Path(__file__).with_name("seen.py"), []
        for kind, more in (("of unknown size", ()), ("that states its size", (f"data.max_train_samples={COUNT}",))):
            started = [host.launch(script=(script, "recipe.yaml", host.disk, COUNT, *more)) for host in (a, b)]
            said = finish(*started)
            if any(process.returncode for process in started):
                return ["failed: " + " | ".join(text[-800:] for text in said)]
            ranks = [json.loads((host.disk / f"seen-{host.rank}.json").read_text()) for host in (a, b)]
            drawn = [tuple(row) for batches in zip(*ranks, strict=True) for batch in batches for row in batch]
            for epoch in (0, 1):
                counts = Counter(drawn[epoch * COUNT : (epoch + 1) * COUNT])
                if len(counts) != COUNT:
                    failed.append(f"{kind}, epoch {epoch}: {len(counts)} of {COUNT} rows")
        return failed


def _lost(folder: Path, lose: Callable[[Host, Cable], None], mend: Callable[[Cable], None], bound: float) -> list[str]:
    """One host is lost in mid-training; the other ends in time with a line, and both go on to the same weights."""
    with two_hosts(folder / "whole") as (a, b, _):
        together(a, b, *RUN)
        expected = weights(a.run / "model")
    with two_hosts(folder / "broken") as (a, b, cable):
        timeout = ("training.ddp_timeout=15",)
        first, second = a.launch(*RUN, *timeout), b.launch(*RUN, *timeout)
        wait_for(lambda: (b.run / "checkpoint-40/seal.json").is_file(), 120, first)
        lose(b, cable)
        lost = time.monotonic()
        (said,) = finish(first, seconds=bound)
        took = time.monotonic() - lost
        failed = []
        lines = [line for line in said.splitlines() if "lost the others" in line]
        if first.returncode == 0 or len(lines) != 1:
            failed.append(f"the other host ended with {first.returncode} and {len(lines)} lines: {said[-600:]}")
        mend(cable)
        finish(second, seconds=bound)
        try:
            together(a, b, *RUN)
        except AssertionError as error:
            return [*failed, f"did not go on: {error}"]
        if off := apart(weights(a.run / "model"), expected):
            failed.append(f"the weights differ by {off:.1e} from the run that was not broken")
        if apart(weights(a.run / f"checkpoint-{STEPS}"), weights(b.run / f"checkpoint-{STEPS}")):
            failed.append("the two hosts hold other weights")
        print(f"  the other host ended {took:.1f} s after")
        return failed


def killed(folder: Path) -> list[str]:
    """A host dies."""
    return _lost(folder, lambda host, cable: host.kill(), lambda cable: None, bound=30)


def unplugged(folder: Path) -> list[str]:
    """The cable is pulled: nobody is told, and `training.ddp_timeout` is what bounds the wait."""
    return _lost(folder, lambda host, cable: cable.pull(), lambda cable: cable.plug(), bound=75)


def too_few(folder: Path) -> list[str]:
    """One of two hosts is never started: the launcher gives up, and so does a process that was started by itself."""
    failed = []
    with two_hosts(folder) as (a, _, _):
        launcher = a.launch(*RUN, options=("--rdzv_conf", "timeout=10"))
        world = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": ADDRESSES[0], "MASTER_PORT": "29512"}
        process = a.single(*RUN, "training.ddp_timeout=10", **world)
        said = finish(launcher, process, seconds=60)
        if launcher.returncode in (0, -9):
            failed.append(f"the launcher ended with {launcher.returncode}: {said[0][-600:]}")
        if process.returncode != 1 or "the others have not started" not in said[1]:
            failed.append(f"ended with {process.returncode}: {said[1][-600:]}")
    return failed


def elastic(folder: Path) -> list[str]:
    """A run of two hosts goes on with one process: the same order of rows, the same weights but for rounding."""
    with two_hosts(folder) as (a, b, _):
        together(a, b, *RUN, *SGD, "training.save_total_limit=9")
        expected = weights(a.run / "model")
        for host in (a, b):  # as if it had ended after a third of the way
            (host.run / "metrics.json").unlink(missing_ok=True)
            for step in range(60, STEPS + 1, 20):
                path = host.run / f"checkpoint-{step}"
                if path.is_dir():
                    path.rename(host.disk / path.name)
        one = (*RUN, *SGD, "training.per_device_train_batch_size=16")
        (said,) = finish(host_one := a.single(f"training.output_dir={a.run}", *one, "--force"))
        if host_one.returncode or "continuing from" not in said:
            return [f"ended with {host_one.returncode}: {said[-600:]}"]
        off = apart(weights(a.run / "model"), expected)
        return [f"the weights differ by {off:.1e}"] if off > 1e-5 else []


GATES = {
    "hosts-one-run": ("two hosts train what one process does, map once per host, hold the same", one_run),
    "hosts-stream": ("each row of a stream drawn once per epoch", stream),
    "hosts-killed": ("a host dies: the other ends with a line, both go on to the same weights", killed),
    "hosts-unplugged": ("a cable is pulled: both end in time, and go on to the same weights", unplugged),
    "hosts-too-few": ("a host that is never started is an error", too_few),
    "hosts-elastic": ("two hosts' run goes on with one process", elastic),
}


def gate(trial: Callable[[Path], list[str]]) -> Callable[[Path], list[str]]:
    """A trial that says why where two hosts cannot be made."""

    def run(folder: Path) -> list[str]:
        why = possible()
        return [f"not run: {why}"] if why else trial(folder / trial.__name__)

    return run
