"""`hfft soup`: average finished runs, or a run's start and end, choose on validation, and write an ordinary run folder."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor
from transformers import set_seed

from hfft import backbone, data, head, publish, report
from hfft.backbone.edit import edit
from hfft.console import quiet_libraries
from hfft.errors import BadInput, RunError
from hfft.evaluate.findings import findings
from hfft.evaluate.seen import seen_line
from hfft.pipeline.build import first_batch
from hfft.pipeline.finetune import own_code
from hfft.pipeline.fit import VERSIONS
from hfft.pipeline.head_start import with_pooling
from hfft.pipeline.save import save_whole, write_folder
from hfft.pipeline.soup import weights
from hfft.pipeline.soup.bench import Bench
from hfft.pipeline.soup.members import Member, open_members
from hfft.pipeline.vocabulary import with_vocabulary
from hfft.predict import rejection
from hfft.publish import reload
from hfft.recipe import Recipe, load_recipe
from hfft.runs.data_note import note_data
from hfft.runs.folder import RunFolder
from hfft.runs.lock import lock_folder
from hfft.tasks.measure import metric_names
from hfft.wording import first_line, listing

Say = Callable[[str], None]
# What metrics.json of a member says of its own weights.
NOT_OF_A_SOUP = ("validation", "test", "from_scratch", "stock_loads", "calibrated", rejection.KEY)


@dataclass
class Candidate:
    """Weights that are scored on the validation rows.

    Attributes:
        kind: `run`, `uniform`, `greedy` or `interpolated`.
        runs: numbers of the members that are averaged.
        alpha: of an interpolation, from 0 at the start to 1 at the end.
    """

    kind: str
    runs: list[int]
    alpha: float | None = None
    validation: dict[str, float] = field(default_factory=dict)

    def name(self, members: Sequence[Member]) -> str:
        """What it is called in a table, without paths of this machine."""
        names = [members[i].name for i in self.runs]
        if self.alpha is not None:
            return f"{names[0]}, alpha {self.alpha:g}"
        return names[0] if self.kind == "run" else f"{self.kind} soup of {listing(names)}"


def soup(
    sources: Sequence[str],
    overrides: Sequence[str] = (),
    with_start: str | None = None,
    output: Path | None = None,
    fresh: bool = False,
    say: Say = print,
) -> Path:
    """Average runs, or with `with_start` interpolate one, and write the best on validation as a run; returns its folder.

    Args:
        sources: run folders; the first one's recipe says which data is scored.
        overrides: `section.key=value` for `data` and `score`.
        with_start: shares of the way from the start to the end, as `weights.alphas` reads them.
        output: the folder; default: beside the first run.
        fresh: replace what an earlier run wrote there.

    Raises:
        BadInput: the runs cannot be averaged, or the folder is another run's.
        RunError: the model cannot be written, or does not load.
    """
    quiet_libraries()
    shares = None if with_start is None else weights.alphas(with_start)
    if (shares is None) == (len(sources) < 2):
        raise BadInput("hfft soup takes several runs, or one with --with-start 0:1:0.1")
    if len({Path(source).resolve() for source in sources}) < len(sources):
        raise BadInput(f"a run is given twice among {listing(sources)}; leave one out")
    first = Path(sources[0])
    ending = "soup" if shares is None else "with-start"
    path = first.parent / f"{first.name}-{ending}" if output is None else output
    folder = RunFolder(path)
    if path.resolve() in {Path(source).resolve() for source in sources}:
        raise BadInput(f"--output {path}: is one of the runs; use another folder")
    members, predictor = open_members(sources)
    folder.writable()
    with lock_folder(path):
        if folder.state() != "new":
            if not fresh:
                raise BadInput(f"{path} contains a run; add --fresh to replace it, or use another --output")
            folder.clear()
        recipe = _recipe(members[0], path, overrides)
        bench = Bench(recipe, members, predictor)
        for note in bench.notes:
            say(note)
        choose = _averages if shares is None else lambda b, m: _interpolations(b, m[0], shares)
        candidates, best, chosen = choose(bench, members)
        for line in _table(candidates, best, members, len(bench.validation)):
            say(line)
        bench.model.load_state_dict(chosen)
        _write(folder, bench, members, recipe, candidates, best)
        for line in _last_lines(folder, bench):
            say(line)
    return path


Found = tuple[list[Candidate], Candidate, dict[str, Tensor]]


def _averages(bench: Bench, members: Sequence[Member]) -> Found:
    """Each run, the uniform and the greedy soup; the best, at equal scores the greedy soup and then the uniform one."""
    for member in members[1:]:
        bench.moves(members[0].weights, member.weights)
    runs = [_scored(bench, Candidate("run", [i]), member.weights, True) for i, member in enumerate(members)]
    metric, smaller = bench.better_is_smaller(runs[0].validation)
    tried: dict[tuple[int, ...], dict[str, float]] = {(i,): run.validation for i, run in enumerate(runs)}

    def validated(chosen: list[int]) -> dict[str, float]:
        key = tuple(sorted(chosen))
        if key not in tried:
            bench.load(weights.average([members[i].weights for i in key]))
            tried[key] = bench.validate()
        return tried[key]

    everyone = list(range(len(members)))
    single = [run.validation[metric] for run in runs]
    picked = weights.greedy(len(members), single, lambda chosen: validated(chosen)[metric], smaller)
    uniform = Candidate("uniform", everyone, validation=validated(everyone))
    greedy = Candidate("greedy", picked, validation=validated(picked))
    best = _best([greedy, uniform, *runs], metric, smaller)
    key = sorted(best.runs)
    bench.load(weights.average([members[i].weights for i in key]), own_statistics=len(key) == 1)
    return [*runs, uniform, greedy], best, bench.weights()


def _interpolations(bench: Bench, member: Member, shares: Sequence[float]) -> Found:
    """The run between its start and its end; the best share, at equal scores the one nearest to the end."""
    begun, new = _start(bench, member)
    bench.moves(begun, member.weights)
    found = []
    for share in shares:
        mixed = weights.interpolate(begun, member.weights, share, new)
        found.append(_scored(bench, Candidate("interpolated", [0], share), mixed, share == 1))
    metric, smaller = bench.better_is_smaller(found[0].validation)
    best = _best(sorted(found, key=lambda candidate: -(candidate.alpha or 0)), metric, smaller)
    alpha = best.alpha or 0.0
    bench.load(weights.interpolate(begun, member.weights, alpha, new), own_statistics=alpha == 1)
    return found, best, bench.weights()


def _start(bench: Bench, member: Member) -> tuple[dict[str, Tensor], set[str]]:
    """The weights that a run began with, and the names of the head's, which were new."""
    recipe, task = with_pooling(member.recipe, download=True)[0], member.recipe.the_task
    recipe, _ = with_vocabulary(recipe, bench.splits)
    processor = backbone.load_processor(recipe.backbone, task)
    set_seed(recipe.seed)  # as in the run
    model = backbone.load_model(recipe.backbone, recipe.head, task, bench.held.labels, processor)
    model, _ = edit.edit(model, recipe.backbone.edit, processor, first_batch(task, bench.splits))
    begun = dict(model.state_dict())
    new = {name for name in head.parameter_names(model, recipe.head.new) if name in begun}
    if missing := [name for name, tensor in member.weights.items() if name not in new and name not in begun]:
        raise BadInput(f"{member.source} has {listing(missing, 3)}, which its start has not; it cannot be interpolated")
    return begun, new


def _scored(bench: Bench, candidate: Candidate, found: Mapping[str, Tensor], own_statistics: bool) -> Candidate:
    bench.load(found, own_statistics)
    candidate.validation = bench.validate()
    return candidate


def _best(candidates: Sequence[Candidate], metric: str, smaller: bool) -> Candidate:
    """The first of those with the best score."""
    sign = -1.0 if smaller else 1.0
    return max(candidates, key=lambda candidate: sign * candidate.validation[metric])


def _recipe(member: Member, path: Path, overrides: Sequence[str]) -> Recipe:
    """The first run's recipe under the name of the new folder; nothing of it is published by itself.

    Raises:
        BadInput: an override concerns anything but data and scores.
    """
    for text in overrides:
        if not text.startswith(("data.", "score.")):
            raise BadInput(f"{text}: the runs are trained; only data.… and score.… can be given")
    values = load_recipe(RunFolder(Path(member.source)).recipe, *overrides).resolved()
    values["name"] = path.resolve().name
    values["training"]["output_dir"] = str(path)
    values["score"] |= {"from_scratch": False, "calibrate": "none"}  # the members may be calibrated
    values["publish"] = {**values["publish"], "hub_model_id": None}
    if member.recipe.layers.adapter is not None:
        values["publish"]["as"] = "merged"
    return Recipe.model_validate(values)


def _table(candidates: Sequence[Candidate], best: Candidate, members: Sequence[Member], n: int) -> list[str]:
    """The metrics of all candidates on the validation rows, one line each."""
    names = [candidate.name(members) for candidate in candidates]
    figures = ["loss", *metric_names(candidates[0].validation)]
    width = max(map(len, [*names, f"validation (n={n})"]))
    lines = [f"{f'validation (n={n})':{width}}  " + "  ".join(f"{figure:>10}" for figure in figures)]
    for name, candidate in zip(names, candidates, strict=True):
        shown = "  ".join(f"{candidate.validation[figure]:10.4f}" for figure in figures)
        lines.append(f"{name:{width}}  {shown}{'  chosen' if candidate is best else ''}")
    return lines


def _write(
    folder: RunFolder,
    bench: Bench,
    members: Sequence[Member],
    recipe: Recipe,
    candidates: Sequence[Candidate],
    best: Candidate,
) -> None:
    """Write the model, prove that it loads, score it, and write the rest of the folder; metrics.json comes last."""
    splits, task, known = bench.splits, recipe.the_task, members[0].metrics
    try:
        write_folder(folder.model, lambda temp: save_whole(bench.model, bench.predictor.processor, task, temp))
    except (OSError, SafetensorError) as error:
        raise RunError(f"the model could not be written to {folder.model}: {first_line(error)}") from error
    _prove(folder, bench, recipe)
    scores = {
        name: bench.score(name, folder.outputs) for name in ("validation", "test") if bench.rows(name) is not None
    }
    counts = splits.classes.get("train", {})
    same = [member for member in members if member.metrics.get("strategy") == known.get("strategy")]
    metrics = {
        **{key: value for key, value in known.items() if key not in NOT_OF_A_SOUP},
        **{name: score["metrics"] for name, score in scores.items()},
        "train": {
            **known["train"],
            "loss": None,
            "steps": sum(member.metrics["train"]["steps"] for member in members),
            "epochs": sum(member.metrics["train"]["epochs"] for member in members),
            "seconds": round(sum(member.metrics["train"]["seconds"] for member in members), 2),
        },
        "classes": {name: {k: v for k, v in score.items() if k != "metrics"} for name, score in scores.items()},
        "findings": findings(scores, recipe.problem, counts, recipe.strategy.class_weights is not None),
        "recipe": recipe.name,
        "labels": list(bench.held.labels.names),
        "data": {
            **known["data"],
            "path": recipe.data.path,
            "revision": splits.revision,
            "origin": splits.origin,
            "sizes": splits.sizes,
            "leaked": bench.leaked,
            "classes": splits.classes,
            "columns": splits.columns,
        },
        "strategy": known.get("strategy", []) if len(same) == len(members) else [],
        "faults": [fault for member in members for fault in member.metrics.get("faults", [])],
        "cache": {},
        "frozen": {},
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        "soup": {
            "runs": [member.source for member in members],
            "kind": best.kind,
            "chosen": [members[i].source for i in best.runs],
            "alpha": best.alpha,
            "metric": bench.better_is_smaller(best.validation)[0],
            "statistics": "BatchNorm statistics estimated again on the training rows" if bench.moving else None,
            "table": [
                {
                    "name": candidate.name(members),
                    "kind": candidate.kind,
                    "runs": [members[i].source for i in candidate.runs],
                    "alpha": candidate.alpha,
                    "validation": candidate.validation,
                    "chosen": candidate is best,
                }
                for candidate in candidates
            ],
        },
    }  # fmt: skip
    folder.write_recipe(recipe.resolved())
    named = data.names_files(splits.train, recipe.data)
    note_data(folder, data.file_state(recipe.data), data.fingerprints(splits), bench.trained, named)
    metrics |= own_code(folder) | rejection.store(folder)
    report.write_rows(folder, recipe, splits)
    publish.write_card(folder, metrics)
    report.write_report(folder, metrics)
    folder.write_json("metrics.json", metrics)


def _prove(folder: RunFolder, bench: Bench, recipe: Recipe) -> None:
    """Raise RunError if the saved model does not load, or answers otherwise."""
    task, source = recipe.the_task, str(folder.model)
    inputs = reload.sample_inputs(bench.splits, task, reload.sampled_split(bench.splits))
    sample = reload.Sample(inputs, bench.predictor(inputs))
    plainly = reload.loads_plainly(folder.model, recipe.backbone)
    try:
        worst = reload.answers_difference(source, sample, task, plainly, device="cpu", dtype="auto")
    except (AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise RunError(f"{source} was saved but cannot be loaded: {first_line(error)}") from error
    limit = reload.TOLERANCE if bench.model.device.type == "cpu" else 5e-3  # other devices round products of float32
    if worst > limit:
        raise RunError(f"the outputs of {source}, reloaded, differ from those that were scored (by {worst:.2g})")


def _last_lines(folder: RunFolder, bench: Bench) -> list[str]:
    """The chosen model's test metrics, and its folder."""
    metrics, lines = folder.metrics_of_run(), []
    if "test" in metrics:
        shown = " ".join(f"{name} {metrics['test'][name]:.4f}" for name in metric_names(metrics["test"]))
        lines.append(f"test {shown}  (n={metrics['test']['n']}, the chosen one)")
    lines += [seen_line(split, count, metrics[split]["n"]) for split, count in bench.leaked.items()]
    return [*lines, f"run folder: {folder.path}"]
