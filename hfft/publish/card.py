"""The model card: what the model is, what it scored on which rows, how to use it and how it was made. Nothing else.

The generated text stands between two markers; what a hand wrote outside them, and metadata it added, survive every push.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hfft.recipe import Recipe, load_recipe, yaml_lines
from hfft.runs.folder import RunFolder, write
from hfft.tasks.measure import metric_names
from hfft.tasks.problem import PROBLEMS

BEGIN, END = "<!-- hfft: generated from here -->", "<!-- hfft: to here; text outside is kept -->"
MOST_CLASSES = 100  # in the table of the card
_REPO = re.compile(r"^[\w][\w.-]*(/[\w][\w.-]*)?$")
_TITLES = {"ece": "expected calibration error", "rmse": "root mean squared error", "mse": "mean squared error",
           "mae": "mean absolute error", "r2": "R²"}  # fmt: skip


def write_card(folder: RunFolder, figures: dict[str, Any]) -> None:
    """Write README.md, recipe.yaml and metrics.json into the model folder: what a reader of the model needs."""
    write(folder.model / "README.md", card(load_recipe(folder.recipe), figures))
    values = public(yaml_lines.parse(folder.recipe.read_text(encoding="utf-8"))[0])
    values["training"].pop("output_dir", None)
    write(folder.model / "recipe.yaml", yaml_lines.dump(values))
    write(folder.model / "metrics.json", folder.json_text(public(figures)))


def public(value: Any) -> Any:
    """The value with local paths cut to their last part: a published file tells nothing about the machine it came from."""
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
    """The name, if it is one that a hub would know."""
    return name if _REPO.fullmatch(name) and "/" in name and not is_local(name) else None


def card(recipe: Recipe, figures: dict[str, Any], repo: str | None = None, kept: str | None = None) -> str:
    """The text of README.md.

    Args:
        repo: id under which the snippet loads the model (default: the recipe's `publish.hub_model_id`, or a local folder).
        kept: an earlier README.md, whose hand-written text and metadata are kept.
    """
    repo = repo or recipe.publish.hub_model_id or f"path/to/{recipe.name}"
    made = Card(recipe, figures, repo)
    head = made.metadata().to_dict()
    text = f"{BEGIN}\n{made.body()}\n{END}"
    before = after = ""
    if kept is not None:
        meta = re.match(r"\A---\s*\n.*?\n---\s*\n", kept, re.S)
        written = kept[meta.end() :] if meta else kept
        if BEGIN in written and END in written:
            before, rest = written.split(BEGIN, 1)
            after = rest.split(END, 1)[1]
        else:
            before = f"{written.rstrip()}\n\n" if written.strip() else ""
        head = {**_metadata_of(kept), **head}
    return f"---\n{yaml_lines.dump(head)}---\n{before}{text}{after.rstrip()}\n"


def _metadata_of(text: str) -> dict[str, Any]:
    found = re.match(r"\A---\s*\n(.*?)\n---\s*\n", text, re.S)
    try:
        values = yaml_lines.parse(found.group(1))[0] if found else {}
    except yaml_lines.DocumentError:  # what cannot be read cannot be kept
        return {}
    return values if isinstance(values, dict) else {}


@dataclass(frozen=True)
class Card:
    """What README.md says of a finished run.

    Attributes:
        figures: what metrics.json holds.
        repo: id under which the snippet loads the model.
    """

    recipe: Recipe
    figures: dict[str, Any]
    repo: str

    def metadata(self) -> ModelCardData:
        """The card's metadata, with one result per scored split and metric."""
        base, data = hub_id(self.recipe.backbone.name), hub_id(self.recipe.data.path)
        extra: dict[str, Any] = {}
        if base and self.recipe.backbone.init == "pretrained":
            extra = {"base_model": base, "base_model_relation": "adapter" if self.as_adapter() else "finetune"}
        results = [
            EvalResult(
                task_type=self.recipe.task,
                dataset_type=data or Path(self.recipe.data.path).name,
                dataset_name=data or Path(self.recipe.data.path).name,
                dataset_config=self.recipe.data.name,
                dataset_split=self.figures["data"]["origin"].get(split, split).split(",")[0].rpartition(" of ")[2],
                dataset_revision=self.figures["data"]["revision"] if data else None,
                dataset_args={
                    "rows": self.figures[split]["n"],
                    "rows_from": self.figures["data"]["origin"].get(split, split),
                },
                metric_type=name.partition("_")[0] if name.startswith(("f1", "precision", "recall")) else name,
                metric_name=f"{title(name)} ({split}, n={self.figures[split]['n']})",
                metric_value=self.figures[split][name],
            )
            for split in ("test", "validation")
            if split in self.figures
            for name in metric_names(self.figures[split])
        ]
        return ModelCardData(
            library_name="peft" if self.as_adapter() else "transformers",
            pipeline_tag=self.recipe.the_task.pipeline,
            license=self.recipe.publish.license,
            datasets=[data] if data else None,
            metrics=sorted({r.metric_type for r in results}),
            tags=["hfft", self.recipe.task],
            model_name=self.repo.rpartition("/")[2],
            eval_results=results or None,
            **extra,
        )

    def body(self) -> str:
        """The generated part of the card's text, from the template `card.md.j2`."""
        split = "test" if "test" in self.figures else "validation"
        return _templates().get_template("card.md.j2").render(
            name=self.repo.rpartition("/")[2],
            repo=self.repo,
            base=public(self.recipe.backbone.name),
            init=self.recipe.backbone.init,
            data=public(self.recipe.data.path),
            only=self.recipe.data.classes,
            task=self.recipe.task,
            metrics=self.figures,
            results=self.results(),
            chosen=self.recipe.training.get("load_best_model_at_end", False),
            classes={
                "split": split,
                "n": self.figures.get(split, {}).get("n"),
                "rows": self.figures["classes"].get(split, {}).get("classes") or [],
            },
            most_classes=MOST_CLASSES,
            stock_loads=self.figures.get("stock_loads", True),
            pipeline=self.recipe.the_task.pipeline,
            example=self.example(),
            multi_label=PROBLEMS[self.recipe.problem].multi_label,
            adapter=self.as_adapter(),
            auto_class=self.recipe.the_task.auto_class,
            code=self.figures.get("own_code"),
            channels=next((edit["channels"] for edit in self.recipe.backbone.edit if edit.get("channels", 3) != 3), None),
            edits=[{**row, "moved": moved(row["moved"])} for row in self.figures.get("edits", [])],
        )  # fmt: skip

    def results(self) -> list[dict[str, Any]]:
        """Every figure with its split and rows; beside it the same recipe's from random weights where it was run."""
        return [
            {
                "split": split,
                "origin": self.figures["data"]["origin"].get(split, split),
                "n": self.figures[split]["n"],
                "metric": title(name),
                "value": self.figures[split][name],
                "scratch": self.figures.get("from_scratch", {}).get(split, {}).get(name),
            }
            for split in ("test", "validation")
            if split in self.figures
            for name in ("loss", *metric_names(self.figures[split]))
        ]

    def as_adapter(self) -> bool:
        """Whether what is published is an adapter."""
        return self.recipe.published_as == "adapter"

    def example(self) -> str:
        """What the snippet calls the pipeline with, as Python."""
        if "text_pair" in self.recipe.data.columns.model_fields_set:
            return '{"text": "a text", "text_pair": "another"}'
        return self.recipe.the_task.example


def title(metric: str) -> str:
    """A metric's name for people."""
    return _TITLES.get(metric, metric.replace("_", " "))


def moved(share: float | None) -> str:
    """How far an edit moved the outputs of the backbone before training."""
    return "not compared" if share is None else f"{share:.2%}" if share > 1e-6 else "nothing"


@functools.cache
def _templates() -> Environment:
    """The templates of this package. Markdown is not escaped as HTML is; the cells of tables go through `cell`."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["cell"] = cell
    return made


def cell(value: Any) -> str:
    """A text that stays within its cell of a Markdown table."""
    return re.sub(r"\s*\n\s*", " ", str(value)).replace("|", "\\|")
