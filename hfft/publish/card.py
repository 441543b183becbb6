"""The model card: what the model is, its scores and the rows behind them, how to use it and how it was trained.

The generated text stands between two markers. Hand-written text outside them, and hand-written metadata, survive a push.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hfft.data.spec import NONE
from hfft.publish.figures import Scored, pictures, scored
from hfft.recipe import Recipe, load_recipe, yaml_lines
from hfft.runs.folder import RunFolder, write
from hfft.strategy.describe import in_words
from hfft.tasks.measure import metric_names
from hfft.tasks.problem import PROBLEMS

BEGIN, END = "<!-- hfft: generated from here -->", "<!-- hfft: to here; text outside is kept -->"
MOST_CLASSES = 100  # in the table of the card
_REPO = re.compile(r"^[\w][\w.-]*(/[\w][\w.-]*)?$")
_TITLES = {"ece": "expected calibration error", "rmse": "root mean squared error", "mse": "mean squared error",
           "mae": "mean absolute error", "r2": "R²"}  # fmt: skip


def write_card(folder: RunFolder, metrics: dict[str, Any]) -> None:
    """Write README.md with its pictures, recipe.yaml and metrics.json into the model folder."""
    blocks = blocks_of(folder)
    write_pictures(folder, metrics, blocks)
    write(folder.model / "README.md", card(load_recipe(folder.recipe), metrics, blocks=blocks))
    values = public(yaml_lines.parse(folder.recipe.read_text(encoding="utf-8"))[0])
    values["training"].pop("output_dir", None)
    write(folder.model / "recipe.yaml", yaml_lines.dump(values))
    write(folder.model / "metrics.json", folder.json_text(public(metrics)))


def blocks_of(folder: RunFolder) -> dict[str, Any]:
    """The blocks of the run's scorecard; empty where there is none."""
    return json.loads(folder.scorecard.read_text(encoding="utf-8"))["blocks"] if folder.scorecard.is_file() else {}


def write_pictures(folder: RunFolder, metrics: dict[str, Any], blocks: dict[str, Any]) -> None:
    """Write the pictures of the card beside it."""
    for name, (_, svg) in pictures(metrics, blocks).items():
        write(folder.model / name, svg)


def public(value: Any) -> Any:
    """Cut local paths in a value to their last part, so that published files reveal nothing about this machine."""
    if isinstance(value, dict):
        return {key: public(item) for key, item in value.items()}
    if isinstance(value, list):
        return [public(item) for item in value]
    return Path(value).name if isinstance(value, str) and is_local(value) else value


def is_local(name: str) -> bool:
    """Whether a name is a path on this machine rather than a hub id, a built-in name or a /pattern/."""
    if re.fullmatch("/.+/", name) and not Path(name).exists():
        return False
    return Path(name).is_absolute() or name.startswith((".", "~")) or ("/" in name and Path(name).exists())


def hub_id(name: str) -> str | None:
    """The name if it is a hub id; otherwise None."""
    return name if _REPO.fullmatch(name) and "/" in name and not is_local(name) else None


def card(
    recipe: Recipe,
    metrics: dict[str, Any],
    repo: str | None = None,
    earlier: str | None = None,
    blocks: dict[str, Any] | None = None,
) -> str:
    """The text of README.md.

    Args:
        repo: id under which the snippet loads the model (default: the recipe's `publish.hub_model_id`, or a local folder).
        earlier: an earlier README.md, whose hand-written text and metadata are preserved.
        blocks: the blocks of the run's scorecard.
    """
    repo = repo or recipe.publish.hub_model_id or f"path/to/{recipe.name}"
    made = Card(recipe, metrics, repo, blocks or {})
    head = made.metadata().to_dict()
    text = f"{BEGIN}\n{made.body()}\n{END}"
    before = after = ""
    if earlier is not None:
        meta = re.match(r"\A---\s*\n.*?\n---\s*\n", earlier, re.S)
        written = earlier[meta.end() :] if meta else earlier
        if BEGIN in written and END in written:
            before, rest = written.split(BEGIN, 1)
            after = rest.split(END, 1)[1]
        else:
            before = f"{written.rstrip()}\n\n" if written.strip() else ""
        head = {**_metadata_of(earlier), **head}
    return f"---\n{yaml_lines.dump(head)}---\n{before}{text}{after.rstrip()}\n"


def _metadata_of(text: str) -> dict[str, Any]:
    found = re.match(r"\A---\s*\n(.*?)\n---\s*\n", text, re.S)
    try:
        values = yaml_lines.parse(found.group(1))[0] if found else {}
    except yaml_lines.DocumentError:  # unreadable metadata cannot be preserved
        return {}
    return values if isinstance(values, dict) else {}


@dataclass(frozen=True)
class Card:
    """The content of README.md for a finished run.

    Attributes:
        metrics: the content of metrics.json.
        repo: id under which the snippet loads the model.
        blocks: the blocks of the run's scorecard.
    """

    recipe: Recipe
    metrics: dict[str, Any]
    repo: str
    blocks: dict[str, Any] = field(default_factory=dict)

    def metadata(self) -> ModelCardData:
        """The card's metadata, with one result per scored split and metric."""
        base, data = hub_id(self.recipe.backbone.name), hub_id(self.recipe.data.path)
        extra: dict[str, Any] = {}
        if base and self.recipe.backbone.init == "pretrained":
            extra = {"base_model": base}
            # the hub has no word for a model that is as it was, nor for one that has only its word vectors
            if "use" not in self.metrics and self.recipe.backbone.rnn is None:
                extra["base_model_relation"] = "adapter" if self.as_adapter() else "finetune"
        results = [
            self.result(split, name.partition("_")[0] if name.startswith(("f1", "precision", "recall")) else name,
                        f"{title(name)} ({split}, n={self.metrics[split]['n']})", self.metrics[split][name])
            for split in ("test", "validation")
            if split in self.metrics
            for name in metric_names(self.metrics[split])
        ]  # fmt: skip
        results += [
            self.result(
                one.split, one.kind, f"{title(one.name)} ({one.split}, n={one.n})", one.found["value"], one.interval
            )
            for one in self.scored()
            if one.name.replace(" ", "_") not in self.metrics.get(one.split, {})
        ]
        return ModelCardData(
            library_name="peft" if self.as_adapter() else "transformers",
            pipeline_tag=self.recipe.the_task.pipeline or None,
            license=self.recipe.publish.license,
            datasets=[data] if data else None,
            metrics=sorted({r.metric_type for r in results}),
            tags=["hfft", self.recipe.task],
            model_name=self.repo.rpartition("/")[2],
            eval_results=results or None,
            **extra,
        )

    def result(
        self, split: str, kind: str, name: str, value: float, interval: Sequence[float] | None = None
    ) -> EvalResult:
        """An entry of `model-index`, with its rows and, if there is one, its interval of 95 %."""
        data = hub_id(self.recipe.data.path)
        origin = self.metrics["data"]["origin"].get(split, split)
        return EvalResult(
            task_type=self.recipe.task,
            dataset_type=data or Path(self.recipe.data.path).name,
            dataset_name=data or Path(self.recipe.data.path).name,
            dataset_config=self.recipe.data.name,
            dataset_split=origin.split(",")[0].rpartition(" of ")[2],
            dataset_revision=self.metrics["data"]["revision"] if data else None,
            dataset_args={"rows": self.metrics[split]["n"], "rows_from": origin},
            metric_type=kind,
            metric_name=name,
            metric_value=value,
            metric_args={"interval_95": [round(end, 6) for end in interval]} if interval else None,
        )

    def scored(self) -> list[Scored]:
        """The figures of the scorecard for splits that the run was scored on."""
        return [one for one in scored(self.blocks) if one.split in self.metrics]

    def body(self) -> str:
        """The generated part of the card's text, from the template `card.md.j2`."""
        split = "test" if "test" in self.metrics else "validation"
        return _templates().get_template("card.md.j2").render(
            name=self.repo.rpartition("/")[2],
            repo=self.repo,
            base=public(self.recipe.backbone.name),
            init=self.recipe.backbone.init,
            rnn=self.recipe.backbone.rnn,
            data=public(self.recipe.data.path),
            only=self.recipe.data.classes,
            rows_from=self.rows_from(),
            task=self.recipe.task,
            metrics=self.metrics,
            results=self.results(),
            scored=self.scored(),
            pictures=[(name, said) for name, (said, _) in pictures(self.metrics, self.blocks).items()],
            chosen=self.recipe.training.get("load_best_model_at_end", False),
            classes={
                "split": split,
                "n": self.metrics.get(split, {}).get("n"),
                "rows": self.metrics["classes"].get(split, {}).get("classes") or [],
            },
            most_classes=MOST_CLASSES,
            stock_loads=self.metrics.get("stock_loads", True),
            pipeline=self.recipe.the_task.pipeline,
            example=self.example(),
            multi_label=PROBLEMS[self.recipe.problem].multi_label,
            adapter=self.as_adapter(),
            auto_class=self.recipe.the_task.auto_class,
            encoder=self.metrics.get("encoder"),
            auto_processor=self.recipe.the_task.modality.auto_processor,
            code=self.metrics.get("own_code"),
            channels=next((edit["channels"] for edit in self.recipe.backbone.edit if edit.get("channels", 3) != 3), None),
            render=self.recipe.data.render,
            calibrated=self.metrics.get("calibrated"),
            rejection=self.metrics.get("rejection"),
            soup=self.soup(),
            use=self.metrics.get("use"),
            strategy=in_words(public(self.metrics.get("strategy", []))),
            edits=[{**row, "moved": moved(row["moved"])} for row in self.metrics.get("edits", [])],
        )  # fmt: skip

    def rows_from(self) -> str | None:
        """How the training rows were chosen, and whether their labels were read, where that is not plain."""
        data = self.recipe.data
        asked = data.chosen_by_class or data.labels == NONE
        return self.metrics["data"]["origin"].get("train") if asked else None

    def results(self) -> list[dict[str, Any]]:
        """Every metric with its split and rows, and its value from random weights if that run exists."""
        return [
            {
                "split": split,
                "origin": self.metrics["data"]["origin"].get(split, split),
                "n": self.metrics[split]["n"],
                "metric": title(name),
                "value": self.metrics[split][name],
                "scratch": self.metrics.get("from_scratch", {}).get(split, {}).get(name),
            }
            for split in ("test", "validation")
            if split in self.metrics
            for name in ("loss", *metric_names(self.metrics[split]))
        ]

    def soup(self) -> dict[str, Any] | None:
        """The table of the weights that were averaged or interpolated, in words; None for a run that was trained."""
        soup = self.metrics.get("soup")
        if soup is None:
            return None
        names = ["loss", *metric_names(soup["table"][0]["validation"])]
        return {
            **soup,
            "said": averaged(public(soup["chosen"]), soup["alpha"]),
            "names": names,
            "rows": [{**row, "values": [row["validation"][name] for name in names]} for row in soup["table"]],
        }

    def as_adapter(self) -> bool:
        """Whether the published model is an adapter."""
        return self.recipe.published_as == "adapter"

    def example(self) -> str:
        """The argument of the pipeline in the snippet, as Python code."""
        if "text_pair" in self.recipe.data.columns.model_fields_set:
            return '{"text": "a text", "text_pair": "another"}'
        return self.recipe.the_task.example


def averaged(runs: list[str], alpha: float | None) -> str:
    """A sentence: which runs' weights were averaged, or how far a run's were taken from its start to its end."""
    named = ", ".join(f"`{run}`" for run in runs)
    if alpha is not None:
        return f"The weights of the run {named} at {alpha:g} of the way from its start to its end; the head is that of its end."
    return (
        f"The mean of the weights of {len(runs)} runs from one start: {named}."
        if len(runs) > 1
        else f"The run {named}."
    )


def title(metric: str) -> str:
    """The display name of a metric."""
    return _TITLES.get(metric, metric.replace("_", " "))


def moved(share: float | None) -> str:
    """How far an edit moved the backbone's outputs before training."""
    return "not compared" if share is None else f"{share:.2%}" if share > 1e-6 else "nothing"


@functools.cache
def _templates() -> Environment:
    """The templates of this package. Unlike HTML, Markdown is not escaped; table cells go through the filter `cell`."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["cell"] = cell
    return made


def cell(value: Any) -> str:
    """Escape a text for a cell of a Markdown table."""
    return re.sub(r"\s*\n\s*", " ", str(value)).replace("|", "\\|")
