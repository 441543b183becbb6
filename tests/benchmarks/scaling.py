"""What a second process brings: `python -m tests.benchmarks.scaling` measures one process against two on this machine's CPUs.

Each process has one thread and a batch of its own (weak scaling). Every other step leaves its gradients unreduced, so that
the two kinds of step differ by the communication alone. Eight and 64 GPUs follow on paper; the table is written beside this.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
import transformers
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from transformers import TrainerCallback

from hfft import layers
from hfft.train import distributed
from tests import training
from tests.benchmarks import gpu
from tests.benchmarks.table import processor, versions
from tests.examples import head_and_depths

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
ROWS, TOKENS, WARM = 8, 64, 2
LORA = {"type": "lora", "r": 8}
CHOICES: dict[str, dict[str, Any]] = {"all": {}, "last-2": {}, "LoRA, r 8": {"adapter": LORA}}
MIB = 2**20
IDLE = 0.5  # a load up to here is that of no other work


def adapted(model: Any, choice: str) -> tuple[nn.Module, Any]:
    """A model whose layers learn as the choice says, and its depths."""
    names, depths = head_and_depths(model)
    return layers.adapt(model, choice, CHOICES.get(choice, {}).get("adapter"), depths, names), depths


def minilm() -> Any:
    """A BERT of the shape of all-MiniLM-L6-v2 (22.7 million parameters) with random weights, on which time does not depend."""
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    return transformers.BertForSequenceClassification(transformers.BertConfig(**sizes, num_labels=6))


class Every(TrainerCallback):
    """Times steps, and lets every other one go without reducing its gradients."""

    def __init__(self) -> None:
        self.trainer: Any = None
        self.reduces, self.buckets, self.began = True, [], 0.0
        self.steps: list[tuple[bool, float]] = []

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Stand between the gradients and their reduction."""
        if isinstance(self.trainer.model_wrapped, nn.parallel.DistributedDataParallel):
            self.trainer.model_wrapped.register_comm_hook(None, lambda _, bucket: self.reduce(bucket))

    def reduce(self, bucket: Any) -> torch.futures.Future[Any]:
        """DDP's own reduction, or none."""
        if self.reduces:
            self.buckets.append(bucket.buffer().numel())
            return allreduce_hook(dist.group.WORLD, bucket)
        untouched: torch.futures.Future[Any] = torch.futures.Future()
        untouched.set_result(bucket.buffer())
        return untouched

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Whether the step that begins reduces."""
        self.reduces = state.global_step % 2 == 0
        if self.reduces:
            self.buckets = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A step, from the end of the one before it."""
        now = time.perf_counter()
        if state.global_step > WARM:
            self.steps.append((self.reduces, now - self.began))
        self.began = now


def alone(buckets: Sequence[int]) -> float:
    """Seconds that reducing such buckets takes when nothing else runs."""
    buffers, times = [torch.zeros(numel) for numel in buckets], []
    for _ in range(5):
        dist.barrier()
        began = time.perf_counter()
        for work in [dist.all_reduce(buffer, async_op=True) for buffer in buffers]:
            work.wait()
        times.append(time.perf_counter() - began)
    return median(times)


def inside(folder: Path, steps: int, rows: int) -> None:
    """Train each choice in this process, one of those that a launch started; the first one writes what it saw."""
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    distributed.join(True, 300)
    draw = torch.Generator().manual_seed(0)
    examples = [{"input_ids": torch.randint(5, 30000, (TOKENS,), generator=draw), "labels": i % 6} for i in range(512)]
    found = {}
    for choice in CHOICES:
        torch.manual_seed(0)
        model, depths = adapted(minilm(), choice)
        every = Every()
        settings = training.arguments(
            folder / "run",
            max_steps=steps + WARM,
            per_device_train_batch_size=rows,
            optim="adamw_torch_fused",
            learning_rate=1e-5,
            logging_steps=10**6,
        )
        labels = training.labels_of("single_label_classification", 6)
        every.trainer = training.finetuner(model, labels, examples, settings, depths=depths, callbacks=[every])
        every.trainer.train()
        found[choice] = {
            "reduced": [seconds for reduced, seconds in every.steps if reduced],
            "unreduced": [seconds for reduced, seconds in every.steps if not reduced],
            "bytes": 4 * sum(every.buckets),
            "learning": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "alone": alone(every.buckets) if every.buckets else 0.0,
        }
    if int(os.environ.get("RANK", "0")) == 0:
        (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)  # Gloo's threads may abort a process that tears them down


def launch(processes: int, steps: int, rows: int) -> dict[str, Any]:
    """What a launch of so many processes of one thread measured."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
        listener.close()
        words = ["-m", "tests.benchmarks.scaling", "--inside", folder, "--steps", str(steps), "--rows", str(rows)]
        if processes > 1:
            words = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--master-port", port, *words]
        ours = {
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run([sys.executable, *words], env={**os.environ, **ours}, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{processes} processes ended with {done.returncode}: {done.stderr[-2000:]}")
        return json.loads((Path(folder) / "found.json").read_text(encoding="utf-8"))


Round = Mapping[str, Any]  # {1: what one process measured, 2: what two did}, each by choice


def spread(values: Sequence[float], form: str) -> str:
    """A median with the lowest and the highest."""
    return f"{median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


def measured(rounds: Sequence[dict[int, Round]], choice: str, rows: int) -> list[str]:
    """A row of the table: how two processes did against one, and what of it was communication."""
    rates, gains, shares, together, lone = [], [], [], [], []
    for found in rounds:
        one, two = found[1][choice], found[2][choice]
        single = rows / median(one["reduced"] + one["unreduced"])
        double = 2 * rows / median(two["reduced"])
        added = max(median(a - b for a, b in zip(two["reduced"], two["unreduced"], strict=False)), 0.0)
        rates.append((single, double))
        gains.append(double / single)
        shares.append(added / median(two["reduced"]))
        together.append(added)
        lone.append(two["alone"])
    learning, size = rounds[0][2][choice]["learning"], rounds[0][2][choice]["bytes"]
    return [
        choice,
        f"{learning / 1e6:.2f}",
        f"{size / MIB:.1f}",
        f"{median(r[0] for r in rates):.1f}",
        f"{median(r[1] for r in rates):.1f}",
        spread(gains, ".2f"),
        spread(shares, ".1%"),
        f"{1e3 * median(together):.0f} / {1e3 * median(lone):.0f}",
    ]


@dataclass(frozen=True)
class Paper:
    """What the estimate assumes. Bandwidths are those that a ring sees at its slowest link, in bytes a second.

    Attributes:
        flops: operations a second that one GPU reaches in training.
        rows: images of a step on each GPU.
        hidden: share of the backward pass behind which DDP can reduce, from the first bucket that is ready on.
    """

    flops: float = 150e12
    rows: int = 64
    inside: float = 150e9
    between: Sequence[float] = (12.5e9, 50e9)
    latency: float = 10e-6
    hidden: float = 0.8


def ring(size: float, processes: int, bandwidth: float, latency: float, buckets: int = 1) -> float:
    """Seconds of a ring all-reduce: 2 (N - 1) / N of the bytes over the slowest link, in 2 (N - 1) messages a bucket
    (Patarasuk and Yuan, doi:10.1016/j.jpdc.2008.09.002)."""  # fmt: skip
    return 2 * (processes - 1) / processes * size / bandwidth + 2 * (processes - 1) * latency * buckets


def estimate(paper: Paper) -> list[list[str]]:
    """Rows for ViT-B/16: what 8 GPUs of one machine and 64 of eight reach of as many times one GPU's throughput."""
    found = []
    forward = paper.rows * gpu.flops(gpu.WHOLE, "all", 197) / 3 / paper.flops
    for choice in ("all", "last-4", "LoRA, r 8"):
        with torch.device("meta"):
            model, _ = adapted(transformers.ViTForImageClassification(transformers.ViTConfig(num_labels=10)), choice)
        size = 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)
        # through frozen weights a gradient only passes: half the backward pass
        step = (
            2 * forward
            if choice not in ("all", "last-4")
            else paper.rows * gpu.flops(gpu.WHOLE, choice, 197) / paper.flops
        )
        backward = step - forward
        for processes, bandwidth in [(8, paper.inside), *((64, b) for b in paper.between)]:
            reduce = ring(size, processes, bandwidth, paper.latency, max(round(size / (25 * MIB)), 1))
            hidden = max(reduce - paper.hidden * backward, 0.0)
            found.append(
                [
                    choice,
                    f"{size / MIB:.2f}",
                    f"{processes}",
                    f"{bandwidth / 1e9:g}",
                    f"{1e3 * step:.1f}",
                    f"{1e3 * reduce:.2f}",
                    f"{reduce / (step + reduce):.1%} / {hidden / (step + hidden):.1%}",
                    f"{step / (step + reduce):.0%} / {step / (step + hidden):.0%}",
                ]
            )
    return found


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *("| " + " | ".join(row) + " |" for row in rows)]


def page(rounds: Sequence[dict[int, Round]], rows: int, paper: Paper, load: float) -> str:
    """Both tables, with what they were made on and what they assume."""
    head = [
        "what learns", "million parameters that learn", "MiB reduced a step", "rows/s, 1 process", "rows/s, 2 processes",
        "2 over 1", "share of a step that is reduction", "ms it adds / takes alone",
    ]  # fmt: skip
    columns = [
        "what learns", "MiB reduced", "GPUs", "GB/s", "ms a step of one", "ms of reduction", "share, open / hidden",
        "efficiency, open / hidden",
    ]  # fmt: skip
    lines = [
        "# Scaling",
        "",
        f"Written by `python -m tests.benchmarks.scaling`, {time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores of "
        f"{processor()}, {versions()}. Load of the machine before the first round: {load:.1f}"
        f"{'; others computed on it, measure again' if load > IDLE else ''}.",
        "",
        "## Measured: one process and two, one thread each",
        "",
        f"A BERT of all-MiniLM-L6-v2's shape with random weights, {rows} rows of {TOKENS} tokens to each process and step, "
        f"float32, the package's Trainer, Gloo on the loopback. {len(rounds)} rounds, one process and two in turn; medians, "
        "with the lowest and highest round. Of two processes every other step leaves its gradients unreduced: what the "
        "others take more is the reduction, the median over pairs of neighbouring steps. What is missing to 2 beside it is "
        "what two processes on one chip take from each other. The bytes reduced are counted as they pass.",
        "",
        *table(head, [measured(rounds, choice, rows) for choice in CHOICES]),
        "",
        "## On paper: 8 and 64 GPUs",
        "",
        f"Not measured. ViT-B/16 at 224 pixels, {paper.rows} images to each GPU and step; a GPU computes at "
        f"{paper.flops / 1e12:g} TFLOP/s; gradients are reduced in float32 by a ring, 2 (N - 1) / N of their bytes over the "
        f"slowest link and 2 (N - 1) messages of {1e6 * paper.latency:g} µs for every 25 MiB: {paper.inside / 1e9:g} GB/s within "
        f"a machine of eight, {' or '.join(f'{b / 1e9:g}' for b in paper.between)} GB/s between machines. Shares and efficiency "
        f"are given twice: with no reduction hidden, and with what fits behind {paper.hidden:.0%} of the backward pass "
        "hidden, as DDP does it. Reading data, stragglers and evaluation are not in it.",
        "",
        *table(columns, estimate(paper)),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure, and write the page."""
    top = argparse.ArgumentParser(prog="python -m tests.benchmarks.scaling", description=__doc__)
    top.add_argument("--rounds", type=int, default=3)
    top.add_argument("--steps", type=int, default=16, help="timed steps of each choice, half of them unreduced")
    top.add_argument("--rows", type=int, default=ROWS, help="rows of a step, on each process")
    top.add_argument("--folder", type=Path, default=HERE, help="where scaling.md is written")
    top.add_argument("--tflops", type=float, default=Paper.flops / 1e12, help="of one GPU, for the estimate")
    top.add_argument("--images", type=int, default=Paper.rows, help="images of a step on each GPU, for the estimate")
    top.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = top.parse_args(arguments)
    if given.inside:
        inside(given.inside, given.steps, given.rows)
    load = os.getloadavg()[0]
    rounds: list[dict[int, Round]] = []
    for _ in range(given.rounds):
        rounds.append({processes: launch(processes, given.steps, given.rows) for processes in (1, 2)})
        print("; ".join(" | ".join(measured(rounds[-1:], choice, given.rows)) for choice in CHOICES), flush=True)
    written = page(rounds, given.rows, Paper(flops=given.tflops * 1e12, rows=given.images), load)
    (given.folder / "scaling.md").write_text(written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
