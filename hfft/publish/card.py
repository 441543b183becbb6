"""The model card: what the model is, what it scored on which rows, how to use it and how it was made. Nothing else.

The generated text stands between two markers; what a hand wrote outside them, and metadata it added, survive every push.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from hfft.recipe import Recipe, yaml_lines
from hfft.runs.folder import RunFolder, write

BEGIN, END = "<!-- hfft: generated from here -->", "<!-- hfft: to here; text outside is kept -->"
_REPO = re.compile(r"^[\w][\w.-]*(/[\w][\w.-]*)?$")
_TITLES = {"ece": "expected calibration error", "rmse": "root mean squared error", "mse": "mean squared error",
           "mae": "mean absolute error", "r2": "R²"}  # fmt: skip


def write_card(folder: RunFolder, recipe: Recipe, figures: dict[str, Any]) -> None:
    """Write README.md, recipe.yaml and metrics.json into the model folder: what a reader of the model needs."""
    write(folder.model / "README.md", card(recipe, figures))
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
    head = metadata(recipe, figures, repo).to_dict()
    text = f"{BEGIN}\n{body(recipe, figures, repo)}\n{END}"
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


def metadata(recipe: Recipe, figures: dict[str, Any], repo: str) -> ModelCardData:
    """The card's metadata, with one result per scored split and metric."""
    base, data = hub_id(recipe.backbone.name), hub_id(recipe.data.path)
    extra: dict[str, Any] = {}
    if base and recipe.backbone.init == "pretrained":
        extra = {"base_model": base, "base_model_relation": "adapter" if as_adapter(recipe) else "finetune"}
    results = [
        EvalResult(
            task_type=recipe.task,
            dataset_type=data or Path(recipe.data.path).name,
            dataset_name=data or Path(recipe.data.path).name,
            dataset_config=recipe.data.name,
            dataset_split=figures["data"]["origin"].get(split, split).split(",")[0].rpartition(" of ")[2],
            dataset_revision=figures["data"]["revision"] if data else None,
            dataset_args={"rows": figures[split]["n"], "rows_from": figures["data"]["origin"].get(split, split)},
            metric_type=name.partition("_")[0] if name.startswith(("f1", "precision", "recall")) else name,
            metric_name=f"{title(name)} ({split}, n={figures[split]['n']})",
            metric_value=figures[split][name],
        )
        for split in ("test", "validation")
        if split in figures
        for name in recipe.metrics
    ]
    return ModelCardData(
        library_name="peft" if as_adapter(recipe) else "transformers",
        pipeline_tag=recipe.the_task.pipeline,
        license=recipe.publish.license,
        datasets=[data] if data else None,
        metrics=sorted({r.metric_type for r in results}),
        tags=["hfft", recipe.task],
        model_name=repo.rpartition("/")[2],
        eval_results=results or None,
        **extra,
    )


def title(metric: str) -> str:
    """A metric's name for people."""
    return _TITLES.get(metric, metric.replace("_", " "))


def body(recipe: Recipe, figures: dict[str, Any], repo: str) -> str:
    """The generated part of the card's text."""
    base, data = public(recipe.backbone.name), public(recipe.data.path)
    trained = "trained from random weights" if recipe.backbone.init == "random" else "fine-tuned"
    parts = [f"# {repo.rpartition('/')[2]}", ""]
    only = f", classes {', '.join(recipe.data.classes)}" if recipe.data.classes else ""
    parts += [f"`{base}` {trained} on `{data}`{only} for {recipe.task}."]
    parts += ["", "## Results", "", *results_table(recipe, figures)]
    split = "test" if "test" in figures else "validation"
    classes = figures["classes"].get(split, {}).get("classes")
    if classes:
        parts += ["", f"## Per class ({split}, n={figures[split]['n']})", "", *class_table(classes)]
    parts += ["", "## Use", ""]
    code = figures.get("own_code")
    if figures.get("stock_loads", True):
        parts += ["```python", *snippet(recipe, repo, bool(code)), "```", ""]
    if as_adapter(recipe):
        parts += [f"An adapter of `{base}`; PEFT puts it onto that model:", ""]
        parts += ["```python", *peft_snippet(recipe, repo), "```", ""]
    if code:
        parts += [
            f"`trust_remote_code=True` lets transformers run [`{code}`]({code}) of this repository: the structure was "
            f"edited as no class of transformers is. The file needs torch and transformers alone; read it first.",
            "",
        ]
    if grey_or_rgba := next((e["channels"] for e in recipe.backbone.edit if e.get("channels", 3) != 3), None):
        parts += [f"The model takes images of {grey_or_rgba} channel(s); `pipeline` makes every image RGB: call the image "
                  "processor and the model themselves, or `hfft predict`.", ""]  # fmt: skip
    parts += ["## How it was made", ""]
    parts += [*edits_table(figures["edits"]), ""] if figures.get("edits") else []
    parts += [
        "With [`recipe.yaml`](recipe.yaml) of this repository:",
        "",
        "```bash",
        "accelerate launch hfft/run.py --recipe recipe.yaml",
        "```",
        "",
        f"Backbone `{base}`{_at(figures['backbone']['revision'])}; data `{data}`{_at(figures['data']['revision'])}; "
        f"{figures['train']['steps']} steps, {figures['train']['epochs']:.3g} epochs over {figures['train']['n'] or '?'} rows; "
        f"seed {figures['seed']}; {figures['world_size']} process(es); "
        + ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
        + ".",
    ]
    return "\n".join(parts)


def _at(revision: str | None) -> str:
    return f" at `{revision[:12]}`" if revision else ""


def results_table(recipe: Recipe, figures: dict[str, Any]) -> list[str]:
    """Every figure with its split, rows and seed; beside it the same recipe's from random weights where it was run."""
    lines = ["| split | rows | metric | value | from random weights |", "|---|---|---|---|---|"]
    for split in ("test", "validation"):
        for name in ("loss", *recipe.metrics) if split in figures else ():
            scratch = figures.get("from_scratch", {}).get(split, {}).get(name)
            origin = figures["data"]["origin"].get(split, split)
            beside = "" if scratch is None else f"{scratch:.4f}"
            lines.append(
                f"| {split} ({origin}) | {figures[split]['n']} | {title(name)} | {figures[split][name]:.4f} | {beside} |"
            )
    lines += ["", f"One run, seed {figures['seed']}."]
    if recipe.training.get("load_best_model_at_end"):
        lines += ["The checkpoint was chosen by the validation rows, so its figures on them are flattering."]
    return lines


def class_table(classes: list[dict[str, Any]], limit: int = 100) -> list[str]:
    """Precision, recall and F1 of each class; of very many the first ones."""
    lines = ["| class | precision | recall | F1 | rows |", "|---|---|---|---|---|"]
    for row in classes[:limit]:
        name = row["class"].replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {name} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['n']} |")
    return [*lines, *([f"| … {len(classes) - limit} more in metrics.json | | | | |"] if len(classes) > limit else [])]


def as_adapter(recipe: Recipe) -> bool:
    """Whether what is published is an adapter."""
    return recipe.published_as == "adapter"


def peft_snippet(recipe: Recipe, repo: str) -> list[str]:
    """Code that puts a published adapter onto its backbone, whose classes its own config names."""
    auto = recipe.the_task.auto_class
    return [
        "from peft import PeftModel",
        f"from transformers import AutoConfig, {auto}",
        "",
        f'config = AutoConfig.from_pretrained("{repo}")',
        f'model = {auto}.from_pretrained("{public(recipe.backbone.name)}", config=config, ignore_mismatched_sizes=True)',
        f'model = PeftModel.from_pretrained(model, "{repo}").eval()',
    ]


def edits_table(edits: list[dict[str, Any]]) -> list[str]:
    """What was done to the backbone's structure, and what that did to its outputs before training."""
    lines = ["| edit | places | backbone's outputs moved by |", "|---|---|---|"]
    for row in edits:
        said = "not compared" if row["moved"] is None else f"{row['moved']:.2%}" if row["moved"] > 1e-6 else "nothing"
        lines.append(f"| {row['edit'].replace('|', chr(92) + '|')} | {row['places']} | {said} |")
    return lines


def snippet(recipe: Recipe, repo: str, code: bool = False) -> list[str]:
    """Code that loads the model with plain transformers and uses it once."""
    example = {
        "image-classification": '"image.png"',
        "text-classification": '"a text"' if "text_pair" not in recipe.data.columns.model_fields_set
        else '{"text": "a text", "text_pair": "another"}',
        "fill-mask": 'f"a {model.tokenizer.mask_token} text"',
    }  # fmt: skip
    many = ", top_k=None" if recipe.problem == "multi_label_classification" else ""
    return [
        "from transformers import pipeline",
        "",
        f'model = pipeline("{recipe.the_task.pipeline}", model="{repo}"{", trust_remote_code=True" if code else ""})',
        f"print(model({example[recipe.task]}{many}))",
    ]
