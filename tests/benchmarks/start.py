"""From the command to the first training step: `python -m tests.benchmarks.start` times it, and prints the parts.

Three sides take turns, each in a process of its own that ends where its first training step begins:

* floor: torch and transformers imported, the weights loaded by the Auto class, and nothing else;
* plain: a Trainer as the official example scripts set it up, on the same rows;
* ours: the recipe, as `hfft train` runs it.

CPU seconds stand beside those of the clock, which other work on the same cores makes longer.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SIDES = ("floor", "plain", "ours")
ABOVE = 2.0  # seconds that ours may take above the floor


@dataclass(frozen=True)
class Case:
    """What is started: a model and data by folder or hub id; both may come with the package."""

    name: str
    modality: str
    model: str
    data: str
    column: str
    label: str
    validation: float | str | None = None


MINILM, CIFAR8 = "sentence-transformers/all-MiniLM-L6-v2", "hfft/resnet-cifar8"
CASES = [
    Case("digits", "image", "nano-vit", "digits", "image", "label", 0.1),
    Case("trec", "text", MINILM, "CogComp/trec", "text", "coarse_label", "test"),
    Case("cifar10", "image", CIFAR8, "uoft-cs/cifar10", "img", "label", "test"),
]


class Clock:
    """Seconds of each part, by the clock and of the CPU, from the start of the process on."""

    def __init__(self) -> None:
        self.began = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + _started()
        self.parts: dict[str, tuple[float, float]] = {"python": self.now()}

    def now(self) -> tuple[float, float]:
        """(seconds, CPU seconds) of this process."""
        return time.time() - self.began, time.process_time()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add what runs inside to a part."""
        wall, cpu = self.now()
        try:
            yield
        finally:
            before, (wall_now, cpu_now) = self.parts.get(name, (0.0, 0.0)), self.now()
            self.parts[name] = before[0] + wall_now - wall, before[1] + cpu_now - cpu

    def watch(self, holder: Any, name: str, part: str) -> None:
        """Let a function of a module or class add up under a part."""
        function: Callable[..., Any] = getattr(holder, name)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.part(part):
                return function(*args, **kwargs)

        setattr(holder, name, wrapped)

    def leave(self, result: str) -> None:
        """Write what was measured, and end the process as it stands."""
        wall, cpu = self.now()
        told = sum(w for w, _ in self.parts.values()), sum(c for _, c in self.parts.values())
        self.parts["other"] = wall - told[0], cpu - told[1]
        Path(result).write_text(json.dumps({"wall": wall, "cpu": cpu, "parts": self.parts}), encoding="utf-8")
        sys.stdout.flush()
        os._exit(0)


def _started() -> float:
    """When this process was started, in seconds since the machine was."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def auto_class(spec: dict[str, Any]) -> Any:
    """The Auto class of the case's task."""
    import transformers

    return getattr(transformers, f"AutoModelFor{'Image' if spec['modality'] == 'image' else 'Sequence'}Classification")


def floor(spec: dict[str, Any], clock: Clock) -> None:
    """What nobody can do without."""
    with clock.part("import torch"):
        import torch  # noqa: F401
    with clock.part("import transformers"):
        import transformers  # noqa: F401
    with clock.part("model"):
        auto_class(spec).from_pretrained(spec["model"], use_safetensors=True)
    clock.leave(spec["result"])


def plain(spec: dict[str, Any], clock: Clock) -> None:
    """A Trainer on the same rows: tokenised by `map`, images preprocessed when they are read."""
    with clock.part("import torch"):
        import torch
    with clock.part("import transformers"):
        import transformers
        from transformers import Trainer, TrainingArguments
    with clock.part("import datasets"):
        import datasets
    with clock.part("data"):
        if spec["data"] == "digits":
            from hfft.data.builtin import load  # hfft's, since no hub has it

            raw = load("digits")["train"]
        else:
            raw = datasets.load_dataset(spec["data"])["train"]
        classes = len(raw.features[spec["label"]].names)
    with clock.part("processor"):
        text = spec["modality"] == "text"
        auto = transformers.AutoTokenizer if text else transformers.AutoImageProcessor
        processor = auto.from_pretrained(spec["model"])
    with clock.part("model"):
        cls = auto_class(spec)
        model = cls.from_pretrained(spec["model"], num_labels=classes, ignore_mismatched_sizes=True)
    with clock.part("rows"):
        if text:
            rows = raw.map(lambda r: processor(r[spec["column"]], truncation=True, max_length=128), batched=True)
            rows = rows.rename_column(spec["label"], "labels").select_columns(["input_ids", "attention_mask", "labels"])
            collate: Any = transformers.DataCollatorWithPadding(processor)
        else:
            rows = raw.with_transform(lambda r: {**processor(r[spec["column"]]), "labels": r[spec["label"]]})

            def collate(batch: list[Any]) -> dict[str, Any]:
                pixels = torch.stack([torch.as_tensor(r["pixel_values"]) for r in batch])
                return {"pixel_values": pixels, "labels": torch.tensor([r["labels"] for r in batch])}

    with clock.part("trainer"):
        settings = TrainingArguments(spec["output"], use_cpu=True, report_to="none", remove_unused_columns=False)
        trainer = Trainer(model, settings, data_collator=collate, train_dataset=rows)
    trainer.training_step = lambda *args, **kwargs: clock.leave(spec["result"])
    with clock.part("first batch"):
        trainer.train()


def ours(spec: dict[str, Any], clock: Clock) -> None:
    """The recipe, imported and run in the order of `hfft train`."""
    with clock.part("recipe"):
        from hfft.recipe import load_recipe
        from hfft.run import importing

        recipe = load_recipe(spec["recipe"])
    with clock.part("imports"), importing():  # as `hfft train` does
        from hfft import backbone, data, layers
        from hfft.pipeline import build, finetune, fit
        from hfft.runs import RunFolder
        from hfft.train import FineTuner
        from hfft.train.distributed import together
    for holder, name, part in (
        (finetune, "training_arguments", "arguments"),
        (build, "dry_build", "outline"),
        (backbone, "load_processor", "processor"),
        (data, "load_splits", "data"),
        (backbone, "load_model", "model"),
        (build.head, "replace", "head and layers"),
        (layers, "depths", "head and layers"),
        (layers, "adapt", "head and layers"),
        (data, "prepare", "rows"),
        (build, "prove", "rows"),
        (build, "FineTuner", "trainer"),
        (build, "planned", "head and layers"),
        (fit, "began_with", "fingerprints"),
        (layers, "frozen_digests", "digests"),
        (RunFolder, "write_recipe", "run folder"),
        (RunFolder, "write_json", "run folder"),
        (finetune.Training, "finish", "first batch"),
    ):
        clock.watch(holder, name, part)

    def stop(*args: Any, **kwargs: Any) -> None:
        wall, cpu = clock.now()
        clock.parts["first batch"] = wall - begun[0], cpu - begun[1]
        clock.leave(spec["result"])

    begun = (0.0, 0.0)
    train = FineTuner.train

    def noted(*args: Any, **kwargs: Any) -> Any:
        nonlocal begun
        begun = clock.now()
        return train(*args, **kwargs)

    FineTuner.train, FineTuner.training_step = noted, stop  # type: ignore[method-assign]
    with together():
        finetune.finetune(recipe)


def recipe_of(case: Case, spec: dict[str, Any]) -> dict[str, Any]:
    """What a user would write."""
    data = {"path": spec["data"], "columns": {case.modality: case.column, "label": case.label}}
    if case.validation is not None:
        data["validation"] = case.validation
    return {
        "task": f"{case.modality}-classification",
        "backbone": {"name": spec["model"]},
        "data": data,
        "training": {"use_cpu": True, "output_dir": spec["output"]},
    }


def found(name: str, folder: str | None) -> str:
    """A folder of that name where there is one, else the name."""
    return str(Path(folder) / name) if folder and (Path(folder) / name).is_dir() else name


def measure(case: Case, side: str, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One start in a process of its own, in an environment where what datasets keeps lies in `folder`."""
    with tempfile.TemporaryDirectory() as own:
        from hfft.backbone.locate import source

        model = found(case.model, given.models)
        spec = {
            **asdict(case),
            "model": source(model) if side != "ours" else model,
            "data": found(case.data, given.data),
            "output": f"{own}/run",
            "result": f"{own}/result.json",
            "recipe": f"{own}/recipe.yaml",
        }
        Path(spec["recipe"]).write_text(json.dumps(recipe_of(case, spec)), encoding="utf-8")
        environment = {
            "OMP_WAIT_POLICY": "PASSIVE",
            "TOKENIZERS_PARALLELISM": "false",
            **os.environ,
            "HF_DATASETS_CACHE": str(folder / side),
            "HFFT_CACHE": str(folder / "kept"),
        }
        command = [sys.executable, "-m", "tests.benchmarks.start", "--child", side, json.dumps(spec)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if not Path(spec["result"]).is_file():
            sys.exit(f"{case.name} {side} ended with {done.returncode}:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
        return json.loads(Path(spec["result"]).read_text(encoding="utf-8"))


def told(runs: list[dict[str, Any]]) -> str:
    """The parts of a side, medians over its runs: seconds by the clock, in brackets of the CPU."""
    cells = []
    for name in runs[0]["parts"]:
        wall, cpu = (statistics.median(r["parts"][name][i] for r in runs) for i in (0, 1))
        if max(wall, cpu) >= 0.05:
            cells.append(f"{name} {wall:.2f} ({cpu:.2f})")
    return ", ".join(cells)


def main(arguments: list[str] | None = None) -> int:
    """Measure every case; 1 where ours takes more CPU seconds above the floor than it may."""
    top = argparse.ArgumentParser(prog="python -m tests.benchmarks.start", description=__doc__)
    top.add_argument("--only", action="append", choices=[case.name for case in CASES], help="this case (repeatable)")
    top.add_argument("--repeats", type=int, default=3, help="rounds, behind a first one of which caches are empty")
    top.add_argument("--models", default=os.environ.get("BENCH_MODELS"), help="folder of models named as on the hub")
    top.add_argument("--data", default=os.environ.get("BENCH_DATA"), help="folder of data sets named as on the hub")
    given = top.parse_args(arguments)
    late = False
    for case in CASES:
        if given.only and case.name not in given.only:
            continue
        with tempfile.TemporaryDirectory() as name:
            rounds = [
                {side: measure(case, side, given, Path(name)) for side in SIDES} for _ in range(given.repeats + 1)
            ]
        for kind, some in (("first", rounds[:1]), ("again", rounds[1:])):
            for side in SIDES:
                runs = [r[side] for r in some]
                wall, cpu = (statistics.median(r[key] for r in runs) for key in ("wall", "cpu"))
                print(f"{case.name} {kind}, {side}: {wall:.2f} s, CPU {cpu:.2f} s: {told(runs)}", flush=True)
            above = {key: statistics.median(r["ours"][key] - r["floor"][key] for r in some) for key in ("wall", "cpu")}
            beside = statistics.median(r["ours"]["cpu"] - r["plain"]["cpu"] for r in some)
            print(
                f"{case.name} {kind}: {above['wall']:+.2f} s above the floor, CPU {above['cpu']:+.2f} s; "
                f"CPU {beside:+.2f} s beside a plain Trainer\n",
                flush=True,
            )
            late = late or (kind == "again" and above["cpu"] > ABOVE)
    return 1 if late else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        {"floor": floor, "plain": plain, "ours": ours}[sys.argv[2]](json.loads(sys.argv[3]), Clock())
    raise SystemExit(main())
