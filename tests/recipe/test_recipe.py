"""The grammar of recipes: what is accepted, what each mistake is answered with, and where it is said to stand."""

import copy
import math
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hfft
from hfft.backbone.spec import Backbone
from hfft.errors import BadInput, RecipeError
from hfft.recipe import Recipe, load_recipe, shipped, yaml_lines
from hfft.recipe.build import build
from hfft.recipe.find import find_recipe
from hfft.spec import Spec
from hfft.tasks.problem import PROBLEMS
from hfft.tasks.table import TASKS

METRICS = {name: tuple(problem.metrics) for name, problem in PROBLEMS.items() if problem.metrics}
ROOT = Path(__file__).parents[2]
IMAGE = """\
task: image-classification
backbone: {name: a/b}
data: {path: p}
"""
TEXT = IMAGE.replace("image-", "text-")
MASKED = IMAGE.replace("image-classification", "fill-mask")
FULL = """\
name: full
task: image-classification
problem_type: single_label_classification
backbone:
  name: google/vit-base-patch16-224-in21k
  revision: main
  init: pretrained
  dtype: bfloat16
  config: {drop_path_rate: 0.1, pad_token_id: null, id2label: {0: a}}
head: {init: zeros, dropout: 0.1, keep_known: true, new: [pooler]}
layers:
  layer_decay: 0.75
  head_lr_scale: 10
  adapter: {type: lora, r: 8, lora_alpha: 16, target_modules: null}
data:
  path: uoft-cs/cifar10
  name: plain_text
  data_files: {train: [a.csv, b.csv], test: c.csv}
  data_dir: images
  revision: abc
  columns: {image: img, label: label}
  train: train
  validation: 0.02
  test: test
  classes: [cat, dog]
  max_train_samples: 100
  max_eval_samples: 50
  shuffle_buffer: 10
  augment: [random_crop, {color_jitter: {brightness: 0.4}}, {horizontal_flip: null}]
strategy:
  ema: {decay: 0.99}
  class_weights: {cat: 1, dog: 2.5}
training:
  num_train_epochs: 3
  learning_rate: 3e-4
  bf16: auto
  warmup_steps: 0.1
  load_best_model_at_end: true
  metric_for_best_model: eval_ece
  greater_is_better: false
score: {metrics: [accuracy, ece], from_scratch: true}
publish: {hub_model_id: your-name/vit, private: true, license: mit}
"""
SENTENCES = """\
task: text-classification
problem_type: regression
backbone: {name: bert-base-uncased, init: random}
data:
  path: glue
  name: stsb
  columns: {text: sentence1, text_pair: sentence2, label: score}
  streaming: true
  validation: validation
  max_length: 128
training: {max_steps: 100, per_device_train_batch_size: 16, report_to: [tensorboard], lr_scheduler_type: cosine}
score: {metrics: [pearson, rmse]}
"""
TOKENS = """\
task: fill-mask
backbone: {name: roberta-base}
layers: {train: last-2}
data: {path: wikitext, mlm_probability: 0.3, test: 0.1}
training:
  output_dir: somewhere/else
"""
LINE = re.compile(r"^(.+:\d+|command line)  .+")


def made(text: str, *overrides: str) -> Recipe:
    """The recipe of a text."""
    return build(text, source="r.yaml", name="r", overrides=overrides)


def problems(text: str, *overrides: str) -> list[str]:
    """The lines with which a text is refused."""
    with pytest.raises(RecipeError) as caught:
        made(text, *overrides)
    assert str(caught.value).splitlines() == caught.value.problems
    assert all(LINE.match(line) for line in caught.value.problems)
    return caught.value.problems


# --- what is accepted


def test_a_recipe_needs_a_task_a_backbone_and_data_and_fills_in_the_rest():
    recipe = made(IMAGE)
    assert (recipe.name, recipe.task, recipe.backbone.name, recipe.data.path) == (
        "r",
        "image-classification",
        "a/b",
        "p",
    )
    assert recipe.the_task == TASKS["image-classification"]
    assert recipe.problem == "single_label_classification"
    assert recipe.metrics == PROBLEMS["single_label_classification"].default_metrics
    assert recipe.output_dir == Path("runs/r")
    assert recipe.train_layers == ["all"]
    assert (recipe.column("image"), recipe.column("label"), recipe.column("text")) == ("image", "label", None)


def test_a_recipe_says_what_differs_from_the_defaults():
    recipe = made(FULL)
    assert recipe.metrics == ("accuracy", "ece")
    assert recipe.train_layers == ["head"]
    assert recipe.column("image") == "img"
    assert recipe.backbone.config == {"drop_path_rate": 0.1, "pad_token_id": None, "id2label": {"0": "a"}}
    assert recipe.training["learning_rate"] == 3e-4
    assert recipe.publish.license == "mit"
    assert made(TOKENS).output_dir == Path("somewhere/else")
    assert (made(TOKENS).problem, made(TOKENS).metrics) == ("masked_language_modelling", ("perplexity",))
    assert made(SENTENCES).problem == "regression"


@pytest.mark.parametrize(
    ("layers", "publish", "form"),
    [
        ("{}", "{}", None),
        ("{adapter: {type: lora}}", "{}", "merged"),
        ("{adapter: {type: lora}}", "{as: adapter}", "adapter"),
        ("{adapter: {type: lora}}", "{as: merged}", "merged"),
        ("{adapter: {type: lily}}", "{}", "adapter"),
        ("{adapter: {from: a/b}}", "{}", "merged"),
    ],
)
def test_an_adapter_is_merged_unless_it_cannot_be_or_shall_not(layers, publish, form):
    assert made(f"{IMAGE}layers: {layers}\npublish: {publish}\n").published_as == form


def test_the_seed_is_that_of_transformers_unless_one_is_given():
    from transformers import TrainingArguments

    assert made(IMAGE).seed == TrainingArguments.seed
    assert made(IMAGE, "training.seed=0").seed == 0


def test_a_recipe_cannot_be_changed():
    recipe = made(IMAGE)
    with pytest.raises(ValueError, match="frozen"):
        recipe.task = "fill-mask"
    with pytest.raises(ValueError, match="frozen"):
        recipe.data.path = "q"


SECTIONS = ["head", "layers", "strategy", "training", "score", "publish", "problem_type", "name"]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_left_empty_has_its_defaults(section):
    assert made(f"{IMAGE}{section}:\n") == made(IMAGE)


@pytest.mark.parametrize("section", ["task", "backbone", "data"])
def test_a_section_that_every_recipe_needs_is_missed_when_left_empty(section):
    text = re.sub(f"(?m)^{section}:.*", f"{section}:", IMAGE)
    assert problems(text) == [
        f"r.yaml:{1 + IMAGE[: IMAGE.index(section)].count(chr(10))}  {section}: missing; every recipe needs it"
    ]


# --- what is refused


def test_all_mistakes_are_told_at_once_each_with_its_line_and_a_suggestion():
    text = """\
task: image-clasification
backbone:
  name: a/b
  dtpye: float32
head: {dropout: 1.5}
layers:
  train: last
data:
  path: p
  columns: {imgae: img}
  augment:
    - random_crop
    - horizontal_filp
training:
  learing_rate: 3e-4
  warmup_ratio: 0.1
  num_train_epochs: three
score:
  metrics:
    - acuracy
    - accuracy
    - ecee
publsh: {}
"""
    found = problems(text)
    expected = {
        1: "task: is 'image-clasification'; expected .*; did you mean 'image-classification'",
        4: "backbone.dtpye: unknown key; did you mean 'dtype'",
        5: "head.dropout: is 1.5; expected less than 1",
        7: "layers.train: is 'last'; expected all, head, embeddings, norms, biases, last-N, first-N or middle-N such as last-4, ",
        10: "data.columns.imgae: unknown key; did you mean 'image'",
        13: "data.augment.1: unknown augmentation 'horizontal_filp'; did you mean 'horizontal_flip'",
        15: "training.learing_rate: unknown key; did you mean 'learning_rate'",
        16: "training.warmup_ratio: unknown to the installed transformers; use warmup_steps",
        17: r"training.num_train_epochs: is 'three' \(str\); expected float",
        20: "score.metrics.0: unknown metric 'acuracy'; did you mean 'accuracy'",
        22: "score.metrics.2: unknown metric 'ecee'; did you mean 'ece'",
        23: "publsh: unknown key; did you mean 'publish'",
    }
    assert {int(line.partition("  ")[0].removeprefix("r.yaml:")) for line in found} == set(expected)
    assert len(found) == len(expected)
    for number, text in expected.items():
        assert any(re.match(rf"r\.yaml:{number}  {text}", line) for line in found), (number, found)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "r.yaml:1  expected sections such as task, backbone and data, not nothing"),
        ("# nothing\n", "r.yaml:1  expected sections such as task, backbone and data, not nothing"),
        ("- task\n- data\n", "r.yaml:1  expected sections such as task, backbone and data, not list"),
        ("task", "r.yaml:1  expected sections such as task, backbone and data, not str"),
        (
            "# arms\nrecipe: digits\nstudy: seeds\n",
            "r.yaml:3  study: this file describes a study of several runs; use hfft study r.yaml",
        ),
        (f"{IMAGE}task: x\n", "r.yaml:4  task: given twice (first on line 1); keep one"),
        (f"{IMAGE}head: !!x/y:z\n", "r.yaml:4  head: tag tag:yaml.org,2002:x/y:z is not allowed; use a plain value"),
        (
            f"{IMAGE}head: &a [*a]\n",
            "r.yaml:4  more than 20000 values, counting anchors wherever they are used, or 50 levels",
        ),
        (
            f"{IMAGE}---\n",
            "r.yaml:4  not valid YAML: expected a single document in the stream: but found another document",
        ),
    ],
)
def test_what_is_no_recipe_is_refused(text, line):
    assert problems(text) == [line]


def test_a_key_that_no_text_should_hold_stays_on_its_line():
    (line,) = problems(f'{IMAGE}training: {{"a\\nb\\e": 1}}\n')
    assert line == r"r.yaml:4  training.a\nb\x1b: unknown key"
    (line,) = problems(f'"a b.c": 1\n{IMAGE}')
    assert line.startswith("r.yaml:1  a b.c: unknown key (known: name, task, ")


BALANCED = "'balanced'; did you mean 'balanced'?"


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("name: a b", r"name: is 'a b'; expected pattern '^[\w][\w.-]*$'"),
        ("name: ../a", r"name: is '../a'; expected pattern '^[\w][\w.-]*$'"),
        ("name: 3", "name: is 3; expected a valid string"),
        ("head: 3", "head: is 3; expected a section with keys such as kind, pooling, hidden, … (11 more)"),
        ("head: {dropout: .nan}", "head.dropout: is nan; expected a finite number"),
        ("head: {keep_known: yes}", "head.keep_known: is 'yes'; expected a valid boolean"),
        ("head: {new: pooler}", "head.new: is 'pooler'; expected a valid list"),
        ("layers: {layer_decay: 0}", "layers.layer_decay: is 0; expected greater than 0"),
        ("layers: {layer_decay: 1.1}", "layers.layer_decay: is 1.1; expected less than or equal to 1"),
        ("layers: {head_lr_scale: .inf}", "layers.head_lr_scale: is inf; expected a finite number"),
        ("layers: {head_lr_scale: 0}", "layers.head_lr_scale: is 0; expected greater than 0"),
        ("layers: {cache: {views: 0}}", "layers.cache.views: is 0; expected greater than or equal to 1"),
        (
            "layers: {cache: {limit: 20 potatoes}}",
            "layers.cache.limit: is '20 potatoes'; expected a size such as 20GB or 500MB",
        ),
        (
            "layers: {train: last-0}",
            "layers.train: is 'last-0'; expected all, head, embeddings, norms, biases, last-N, first-N or middle-N such as "
            "last-4, blocks-A-B such as blocks-3-8, or /regex/",
        ),
        (
            "layers: {freeze: blocks-8-3}",
            "layers.freeze: is 'blocks-8-3', from the higher block to the lower; write blocks-3-8",
        ),
        ("layers: {adapter: lora}", "layers.adapter: is 'lora'; expected a valid dictionary"),
        ("strategy: {l2_sp: {weight: .inf}}", "strategy.l2_sp.weight: is inf; expected a finite number"),
        ("strategy: {l2_sp: {weight: -1}}", "strategy.l2_sp.weight: is -1; expected greater than or equal to 0"),
        ("strategy: {l2_sp: {weight: 1, a: 1}}", "strategy.l2_sp.a: unknown key (known: weight, whole)"),
        ("strategy: {l2_sp: {}}", "strategy.l2_sp.weight: missing; every recipe needs it"),
        ("strategy: {class_weights: x}", "strategy.class_weights: is 'x'; expected 'balanced' or a valid dictionary"),
        ("strategy: {class_weights: 3}", "strategy.class_weights: is 3; expected 'balanced' or a valid dictionary"),
        ("strategy: {class_weights: balaced}", f"strategy.class_weights: is 'balaced'; expected {BALANCED}"),
        (
            "strategy: {class_weights: {New York: x}}",
            "strategy.class_weights.New York: is 'x'; expected a valid number",
        ),
        ("strategy: {class_weights: {a: -1}}", "strategy.class_weights.a: is -1; expected greater than or equal to 0"),
        ("training: []", "training: is []; expected a valid dictionary"),
        ("training: {1: 2}", "training.1: unknown key"),
        (f"training: {{seed: 0x{'f' * 5000}}}", f"training.seed: is '0x{'f' * 77} (str); expected int"),
        ("score: {metrics: accuracy}", "score.metrics: is 'accuracy'; expected a valid list"),
        ("score: {attack: {norm: l1}}", "score.attack.norm: is 'l1'; expected 'linf' or 'l2'"),
        ("score: {attack: {radius: 0}}", "score.attack.radius: is 0; expected greater than 0"),
        ("score: {attack: {steps: 0}}", "score.attack.steps: is 0; expected greater than or equal to 1"),
        ("score: {corruption: {rows: 0}}", "score.corruption.rows: is 0; expected greater than or equal to 1"),
        (
            "head: {init: zeroes}",
            "head.init: is 'zeroes'; expected 'default', 'zeros', 'logistic-regression', 'lda' or 'centroid'; did you mean "
            "'zeros'?",
        ),
    ],
)
def test_a_value_that_does_not_fit_its_section_is_refused_in_one_line(section, line):
    assert problems(f"{IMAGE}{section}\n") == [f"r.yaml:4  {line}"]


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("validation: 2", "data.validation: is 2.0; expected a split's name or a share between 0 and 1, or none"),
        ("test: 0", "data.test: is 0.0; expected a split's name or a share between 0 and 1, or none"),
        ("validation: []", "data.validation: is []; expected a valid string or a valid number"),
        ("data_files: 3", "data.data_files: is 3; expected a valid string or a valid list or a valid dictionary"),
        ("data_files: {a: [b, 1]}", "data.data_files.a.1: is 1; expected a valid string"),
        ("classes: [a]", "data.classes: is ['a']; expected at least 2 items after validation, not 1"),
        ("max_length: 1", "data.max_length: is 1; expected greater than or equal to 2"),
        (
            "columns: [image]",
            "data.columns: is ['image']; expected a section with keys such as image, audio, text, … (6 more)",
        ),
        ("augment: flip", "data.augment: is 'flip'; expected a valid list"),
        ("augment: [3]", "data.augment.0: is 3; expected a valid string or a valid dictionary"),
        ("augment: [{random_crop: 3}]", "data.augment.0.random_crop: is 3; expected a valid dictionary"),
        ("augment: [{horizontal_flip: {p: 2}}]", "data.augment.0: horizontal_flip: p = 2; must be a number in [0, 1]"),
    ],
)
def test_an_entry_of_the_data_that_does_not_fit_is_refused_in_one_line(entry, line):
    assert problems(IMAGE.replace("path: p", f"path: p, {entry}")) == [f"r.yaml:3  {line}"]


def places(model: type[Spec] = Recipe, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every key of the grammar."""
    found = []
    for name, field in model.model_fields.items():
        here = (*path, field.alias or name)
        below = (*here, "one") if getattr(field.annotation, "__origin__", None) is dict else here
        inner = [o for o in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(o, type)]
        listed = getattr(field.annotation, "__origin__", None) is list  # entries of a list: tests of `tasks`
        found += [here, *(p for o in inner if issubclass(o, Spec) and not listed for p in places(o, below))]
    return found


WEIGHTS = {"class_weights", "positive_weights"}  # any key of them is a class


@pytest.mark.parametrize("path", [p for p in places() if not WEIGHTS & set(p[:-1])], ids=".".join)
def test_every_key_misspelt_is_answered_with_its_line_and_itself(path):
    wrong = path[-1][0] + path[-1]
    text = "".join(f"{'  ' * depth}{key}:\n" for depth, key in enumerate([*path[:-1], wrong]))
    line = next(line for line in problems(text) if "unknown key" in line)
    assert line.startswith(
        f"r.yaml:{len(path)}  {'.'.join([*path[:-1], wrong])}: unknown key; did you mean '{path[-1]}'?"
    )


# --- sections that must agree

STREAM = "data.streaming=true"
NOISE = "data.label_noise={symmetric: 0.4}"
BEST = "training.load_best_model_at_end=true"
BY_ECE = ("score.metrics=[ece]", "training.metric_for_best_model=ece")
LORA = "layers.adapter={type: lora}"
LP_FT = "layers.schedule=head-then-all"
MANY = "problem_type=multi_label_classification"


@pytest.mark.parametrize(
    ("text", "overrides", "path", "said"),
    [
        (IMAGE, ["training.lr=1"], "training.lr", "use learning_rate"),
        (IMAGE, ["layers.adapter={r: 4}"], "layers.adapter.type", "expected a PEFT adapter type"),
        (IMAGE, ["layers.adapter={type: lora, r: 0}"], "layers.adapter.r", "at least 1"),
        (IMAGE, [LORA, "layers.freeze=norms"], "layers.freeze", "leave it out"),
        (IMAGE, [LORA, "layers.norms=live"], "layers.norms", "adapters do not save statistics of norms"),
        (IMAGE, [LORA, "layers.train=all"], "layers.train", "with an adapter only head is possible"),
        (IMAGE, [LORA, "layers.train=last-2"], "layers.train", "with an adapter only head is possible"),
        (
            IMAGE,
            ["layers.schedule=gradul"],
            "layers.schedule",
            "expected 'head-then-all', 'gradual' or 'surgical'; did you",
        ),
        (
            IMAGE,
            ["layers.schedule={type: gradual, evry: 1}"],
            "layers.schedule.evry",
            "unknown key; did you mean 'every'?",
        ),
        (IMAGE, ["layers.schedule={every: 1}"], "layers.schedule.type", "missing"),
        (
            IMAGE,
            ["layers.schedule={type: gradual, every: 0}"],
            "layers.schedule.every",
            "is 0; expected greater than 0",
        ),
        (
            IMAGE,
            ["layers.schedule={type: gradual, every_steps: -1}"],
            "layers.schedule.every_steps",
            "expected greater",
        ),
        (
            IMAGE,
            ["layers.schedule={type: gradual, every: 1, every_steps: 5}"],
            "layers.schedule.every_steps",
            "keep one",
        ),
        (
            IMAGE,
            ["layers.schedule={type: gradual, head_steps: 5}"],
            "layers.schedule.head_steps",
            "does not apply to gradual",
        ),
        (IMAGE, ["layers.schedule={type: surgical, every: 1}"], "layers.schedule.every", "which takes blocks, batches"),
        (
            IMAGE,
            ["layers.schedule={type: head-then-all, head_epochs: 2}", "training.num_train_epochs=2"],
            "layers.schedule.head_epochs",
            "only the head would learn for 2 of 2 num_train_epochs",
        ),
        (IMAGE, [LP_FT, "training.num_train_epochs=1"], "layers.schedule.head_epochs", "1 of 1 num_train_epochs"),
        (
            IMAGE,
            ["layers.schedule={type: head-then-all, head_steps: 9}", "training.max_steps=9"],
            "layers.schedule.head_steps",
            "for 9 of 9 max_steps",
        ),
        (IMAGE, [LP_FT, "layers.train=head"], "layers.schedule", "no layers could start later"),
        (IMAGE, ["layers.train=[]"], "layers.train", "names no layers; write head to train only the head"),
        (IMAGE, ["backbone.name=''"], "backbone.name", "is ''; expected at least 1 character"),
        (IMAGE, ["backbone.processor={size: [.nan]}"], "backbone.processor", "has the number nan, which is not finite"),
        (IMAGE, ["data.path=''"], "data.path", "is ''; expected at least 1 character"),
        (IMAGE, ["data.sets={x: {path: ''}}"], "data.sets.x.path", "is ''; expected at least 1 character"),
        (IMAGE, ["data.sets={x: {path: p, max_samples: 0}}"], "data.sets.x.max_samples", "expected greater"),
        (IMAGE, ["head={kind: cosine, hidden: 8}"], "head.hidden", "add kind: mlp"),
        (IMAGE, ["head={kind: attention-pool, pooling: mean}"], "head.pooling", "does its own pooling"),
        (IMAGE, ["head={kind: cosine, init: zeros}"], "head.init", "use default"),
        (IMAGE, ["head={kind: mlp, keep_known: true}"], "head.keep_known", "leave out kind and pooling"),
        (IMAGE, [LORA, "layers.schedule=gradual"], "layers.schedule", "use head-then-all"),
        (IMAGE, [LORA, "layers.schedule=surgical"], "layers.schedule", "use head-then-all"),
        (
            IMAGE,
            [LP_FT, "layers.freeze=[head, norms]"],
            "layers.freeze",
            "freezes the head, but head-then-all starts with it",
        ),
        (IMAGE, ["layers.schedule=surgical", "head.init=zeros"], "head.init", "use head.init=default"),
        (IMAGE, ["layers.schedule=surgical", STREAM], "layers.schedule", "use data.streaming=false"),
        (
            TEXT,
            ["data.augment=[random_crop]"],
            "data.augment",
            "is for images, but task text-classification takes text",
        ),
        (IMAGE, ["data.columns.text=x"], "data.columns.text", "task image-classification, which takes image, label"),
        (TEXT, ["data.columns.image=x"], "data.columns.image", "takes text, text_pair, label"),
        (MASKED, ["data.columns.label=x"], "data.columns.label", "task fill-mask, which takes text"),
        (IMAGE, ["score.metrics=[accuracy, rmse]"], "score.metrics.1", "'rmse' does not measure single_label"),
        (IMAGE, ["score.metrics=[accuracy]", MANY], "score.metrics.0", "choose from f1_micro"),
        (IMAGE, ["score.attack.radius=8"], "score.attack.radius", "is 8, but pixels are in [0, 1]; use at most 1"),
        (TEXT, ["score.attack.norm=linf"], "score.attack.norm", "embeddings are bounded by l2; leave it out"),
        (IMAGE, ["backbone.init=random", "layers.train=head"], "backbone.init", "use layers.train=all"),
        (IMAGE, ["backbone.init=random", LORA], "backbone.init", "use layers.train=all"),
        (TEXT, ["head.keep_known=true", "problem_type=regression"], "head.keep_known", "needs named classes"),
        (MASKED, ["head.keep_known=true"], "head.keep_known", "needs named classes"),
        (IMAGE, ["strategy.class_weights=balanced", MANY], "strategy.class_weights", "needs classes"),
        (IMAGE, [STREAM, "data.imbalance=10"], "data.imbalance", "use data.streaming=false"),
        (IMAGE, [STREAM, NOISE], "data.label_noise", "use data.streaming=false"),
        (TEXT, [MANY, NOISE], "data.label_noise", "needs one class a row"),
        (MASKED, ["data.imbalance=10"], "data.imbalance", "needs one class a row"),
        (IMAGE, ["data.label_noise={}"], "data.label_noise", "has no kind of noise; set one of"),
        (
            IMAGE,
            ["data.label_noise={symmetric: 0.1, pair: 0.1}"],
            "data.label_noise",
            "has symmetric and pair; set one",
        ),
        (
            IMAGE,
            ["data.label_noise={symmetric: 1.5}"],
            "data.label_noise.symmetric",
            "expected less than or equal to 1",
        ),
        (IMAGE, ["data.label_noise={asymmetric: {a: {a: 0.1}}}"], "data.label_noise", "should name other classes"),
        (IMAGE, ["data.imbalance=0.5"], "data.imbalance", "expected greater than or equal to 1"),
        (IMAGE, [STREAM, "data.validation=0.1"], "data.validation", "name a split"),
        (IMAGE, [STREAM, "data.test=0.1"], "data.test", "name a split"),
        (IMAGE, ["training.metric_for_best_model=ece"], "training.metric_for_best_model", "add it to score.metrics"),
        (
            IMAGE,
            ["training.metric_for_best_model=eval_x"],
            "training.metric_for_best_model",
            "is 'x', which is not scored",
        ),
        (IMAGE, [BEST, "training.eval_strategy=steps"], "training.load_best_model_at_end", "(steps)"),
        (IMAGE, [BEST, "training.save_strategy=no"], "training.load_best_model_at_end", "to be the same"),
        (IMAGE, ["training.label_smoothing_factor=0.1", MANY], "training.label_smoothing_factor", "smooths classes"),
        (MASKED, ["training.label_smoothing_factor=0.1"], "training.label_smoothing_factor", "smooths classes"),
        (IMAGE, [*BY_ECE, "training.greater_is_better=true"], "training.greater_is_better", "wrong direction for ece"),
        (
            IMAGE,
            ["training.metric_for_best_model=eval_accuracy", "training.greater_is_better=false"],
            "training.greater_is_better",
            "wrong direction for accuracy",
        ),
    ],
)
def test_sections_that_disagree_are_refused(text, overrides, path, said):
    (line,) = problems(text, *overrides)
    assert line.startswith(f"command line  {path}: ")
    assert said in line


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        (IMAGE, ["training.learning_rate=1"]),
        (IMAGE, ["layers.adapter={type: lora, r: 4}"]),
        (IMAGE, [LORA, "layers.train=head"]),
        (IMAGE, [LORA, LP_FT]),
        (IMAGE, [LP_FT, "training.num_train_epochs=1", "training.max_steps=2"]),
        (IMAGE, ["layers.schedule={type: head-then-all, head_steps: 9}", "training.max_steps=0"]),
        (IMAGE, ["layers.schedule={type: head-then-all, head_steps: 9}", "training.max_steps=10"]),
        (IMAGE, ["backbone.name=a"]),
        (IMAGE, ["data.sets={x: {path: p, max_samples: 1}}", "strategy.mcc=x"]),
        (IMAGE, ["head={kind: mlp, hidden: 8, init: zeros}"]),
        (IMAGE, ["head={kind: cosine, pooling: mean}"]),
        (
            IMAGE,
            ["layers.schedule={type: head-then-all, head_epochs: 0.5, head_learning_rate: 0.01}", "head.init=zeros"],
        ),
        (IMAGE, ["layers.schedule={type: gradual, every: 0.25, blocks: 2}", "layers.train=last-2"]),
        (IMAGE, ["layers.schedule={type: surgical, blocks: 2, batches: 3}", "layers.freeze=head"]),
        (IMAGE, ["data.augment=[random_crop]"]),
        (TEXT, ["data.augment=[]"]),
        (IMAGE, ["data.columns={image: x, label: y}"]),
        (TEXT, ["data.columns={text: x, text_pair: y, label: z}"]),
        (MASKED, ["data.columns.text=x"]),
        (IMAGE, ["score.metrics=[accuracy, ece]"]),
        (IMAGE, ["score.attack={norm: linf, radius: 4/255, steps: 5}"]),
        (IMAGE, ["score.attack={norm: l2, radius: 3}"]),
        (TEXT, ["score.attack={norm: l2, radius: 2}"]),
        (IMAGE, ["score.metrics=[f1_micro]", MANY]),
        (IMAGE, ["backbone.init=random", "layers.train=all"]),
        (IMAGE, ["backbone.init=random"]),
        (IMAGE, ["layers.train=[last-2, norms, /pooler/]", "layers.freeze=embeddings", "layers.lr={/pooler/: 1e-4}"]),
        (IMAGE, ["layers.train=head"]),
        (TEXT, ["head.keep_known=true"]),
        (TEXT, ["head.keep_known=false", "problem_type=regression"]),
        (IMAGE, ["strategy.class_weights=balanced"]),
        (IMAGE, ["strategy.class_weights={a: 1, b: 0}"]),
        (IMAGE, [STREAM, "data.validation=dev", "data.test=held"]),
        (IMAGE, ["data.validation=0.1", "data.test=0.1"]),
        (IMAGE, BY_ECE),
        (IMAGE, ["training.metric_for_best_model=loss"]),
        (IMAGE, ["training.metric_for_best_model=eval_f1_macro"]),
        (IMAGE, ["training.metric_for_best_model=null"]),
        (IMAGE, [BEST]),
        (IMAGE, [BEST, "training.eval_strategy=steps", "training.save_strategy=steps"]),
        (IMAGE, [BEST, "training.eval_strategy=steps", "training.save_strategy=best"]),
        (IMAGE, ["training.eval_strategy=steps"]),
        (IMAGE, ["training.label_smoothing_factor=0.1"]),
        (MASKED, ["training.label_smoothing_factor=0"]),
        (IMAGE, [*BY_ECE, "training.greater_is_better=false"]),
        (IMAGE, ["training.metric_for_best_model=accuracy", "training.greater_is_better=true"]),
        (IMAGE, ["training.greater_is_better=true"]),
    ],
)
def test_sections_that_agree_are_accepted(text, overrides):
    assert isinstance(made(text, *overrides), Recipe)


def test_sections_that_disagree_are_told_with_the_line_in_the_file():
    text = f"{TEXT}head: {{keep_known: true}}\nproblem_type: regression\nscore:\n  metrics:\n    - rmse\n    - ece\n"
    assert [line.partition(": ")[0] for line in problems(text)] == [
        "r.yaml:4  head.keep_known",
        "r.yaml:9  score.metrics.1",
    ]


@pytest.mark.parametrize("problem", [p for p in METRICS if not p.startswith("masked")])
def test_every_metric_of_a_problem_is_accepted_for_it(problem):
    recipe = made(TEXT, f"problem_type={problem}", f"score.metrics=[{', '.join(METRICS[problem])}]")
    assert recipe.metrics == METRICS[problem]


# --- overrides


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("training.learning_rate=3e-4", ("training", "learning_rate"), 3e-4),
        ("training.eval_strategy=no", ("training", "eval_strategy"), "no"),
        ("training.report_to=[tensorboard]", ("training", "report_to"), ["tensorboard"]),
        ("training.optim_args=a=1,b=2", ("training", "optim_args"), "a=1,b=2"),
        ("training.metric_for_best_model=", ("training", "metric_for_best_model"), None),
        ("head.keep_known=true", ("head", "keep_known"), True),
        ("head={init: zeros}", ("head", "init"), "zeros"),
        ("data.columns.image=img", ("data", "columns", "image"), "img"),
        ("data.augment=[random_crop]", ("data", "augment"), ["random_crop"]),
        ("strategy.l2_sp.weight=0.1", ("strategy", "l2_sp", "weight"), 0.1),
        ("strategy.class_weights.0=2", ("strategy", "class_weights", "weights"), {"0": 2}),
        ("backbone.config.a.b=1", ("backbone", "config"), {"a": {"b": 1}}),
        (" backbone.name =c/d", ("backbone", "name"), "c/d"),
        ("name=other", ("name",), "other"),
    ],
)
def test_an_override_sets_a_value_read_as_yaml_and_makes_the_sections_on_its_way(override, path, value):
    found = made(f"{IMAGE}head:\nscore:\n", override)
    for part in path:
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value


def test_overrides_apply_in_order():
    recipe = made(IMAGE, "head={init: zeros, dropout: 0.1}", "head.dropout=0.2", "name=a", "name=b")
    assert (recipe.head.init, recipe.head.dropout, recipe.name) == ("zeros", 0.2, "b")


def test_an_override_mends_a_mistake_of_the_file():
    assert made(f"{IMAGE}head: {{dropout: 3}}\n", "head.dropout=0.3").head.dropout == 0.3


def test_an_override_changes_one_of_several_sections_that_share_an_anchor():
    recipe = made(f"{IMAGE}strategy: {{class_weights: &w {{a: 1, b: 2}}}}\n".replace("a/b", "a/b, config: {w: 1}"))
    assert recipe.strategy.class_weights.weights == {"a": 1, "b": 2}
    text = IMAGE.replace("a/b}", "a/b, config: &x {k: 1}, processor: *x}")
    recipe = made(text, "backbone.config.k=2")
    assert (recipe.backbone.config, recipe.backbone.processor) == ({"k": 2}, {"k": 1})


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("task", "'task' is not an override; write section.key=value"),
        ("=3", "'=3' is not an override; write section.key=value"),
        ("", "'' is not an override; write section.key=value"),
        ("a..b=1", "'a..b=1' is not an override; write section.key=value"),
        (".a=1", "'.a=1' is not an override; write section.key=value"),
        ("task.x=1", "task.x: task is a plain value, not a section"),
        ("data.path.x.y=1", "data.path.x.y: path is a plain value, not a section"),
        ("data.augment.0=x", "data.augment.0: there is no entry '0' in data.augment"),
        ("training.seed={a: 1, a: 2}", "training.seed: given twice (first on line 1); keep one"),
        ("head=!!x/y:z", "head: tag tag:yaml.org,2002:x/y:z is not allowed; use a plain value"),
        ("task=", "task: missing; every recipe needs it"),
        ("name=../x", r"name: is '../x'; expected pattern '^[\w][\w.-]*$'"),
        ("training.seed=abc", "training.seed: is 'abc' (str); expected int"),
        ("training.sede=1", "training.sede: unknown key; did you mean 'seed'?"),
        (
            "data.columns={a: x}",
            "data.columns.a: unknown key (known: image, audio, text, text_pair, series, label, id, group, domain)",
        ),
        ("layers.train=5", "layers.train: is 5; expected a valid string or a valid list"),
        ("head=zeros", "head: is 'zeros'; expected a section with keys such as kind, pooling, hidden, … (11 more)"),
    ],
)
def test_a_mistake_in_an_override_is_said_to_be_on_the_command_line(override, line):
    assert problems(IMAGE.replace("path: p", "path: p, augment: []"), override) == [f"command line  {line}"]


@pytest.mark.parametrize("override", ["trainign.seed=1", "trainign={seed: 1}", "trainign.a.b.c=1"])
def test_an_unknown_section_in_an_override_is_answered_with_the_nearest(override):
    (line,) = problems(IMAGE, override)
    assert line.startswith("command line  trainign: unknown key; did you mean 'training'?")


def test_an_override_that_is_no_yaml_leaves_the_file_to_its_own_mistakes():
    found = problems(f"{IMAGE}training: {{seed: x}}\n", "training.seed=[")
    assert found[1].startswith("command line  training.seed: not valid YAML")
    assert found[0] == "r.yaml:4  training.seed: is 'x' (str); expected int"


def test_mistakes_of_file_and_command_line_are_told_together():
    found = problems(f"{IMAGE}head: {{dropuot: 1}}\n", "layers.trian=all", "nonsense")
    assert [line.partition(": ")[0] for line in found] == [
        "r.yaml:4  head.dropuot",
        "command line  'nonsense' is not an override; write section.key=value",
        "command line  layers.trian",
    ]


# --- from files


def test_shipped_recipes_are_found_by_name():
    assert set(shipped()) == {path.stem for path in (ROOT / "recipes").glob("*.yaml")}
    assert shipped()
    for name, path in shipped().items():
        assert find_recipe(name) == path
        assert path.is_file()


def test_a_recipe_is_found_by_its_path_and_in_a_run_folder(tmp_path):
    (tmp_path / "recipe.yaml").write_text(IMAGE)
    assert find_recipe(tmp_path) == find_recipe(tmp_path / "recipe.yaml") == tmp_path / "recipe.yaml"


@pytest.mark.parametrize("name", ["nothing-like-it", "x" * 5000, "a\0b", "/", "~/x.yaml", "a\nb", ""])
def test_a_recipe_that_is_not_there_is_refused_in_one_line(name):
    with pytest.raises(BadInput, match="is neither a shipped recipe nor a file") as caught:
        load_recipe(name)
    assert len(str(caught.value).splitlines()) == 1


def test_the_name_of_a_study_is_told_to_be_one():
    with pytest.raises(
        BadInput, match="recipe 'digits_robustness' is a study of several runs; use hfft study digits_rob"
    ):
        load_recipe("digits_robustness")


def test_a_shipped_name_misspelt_is_answered_with_the_nearest():
    name = next(iter(shipped()))
    with pytest.raises(BadInput, match=f"; did you mean '{name}'"):
        find_recipe(f"{name[:2]}{name[3:]}")


def test_a_folder_without_a_recipe_is_refused(tmp_path):
    with pytest.raises(BadInput, match="is neither a shipped recipe nor a file"):
        load_recipe(tmp_path)


def test_mistakes_name_the_file_as_seen_from_here(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "my.yaml"
    path.write_text(f"{IMAGE}haed:\n")
    for cwd, shown in ((tmp_path, "deep/my.yaml"), (tmp_path / "deep", "my.yaml"), (ROOT, str(path))):
        monkeypatch.chdir(cwd)
        with pytest.raises(RecipeError) as caught:
            load_recipe(path)
        assert str(caught.value).startswith(f"{shown}:4  haed: unknown key; did you mean 'head'?")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my.yaml", "my"),
        ("my recipe (2).yaml", "my-recipe-2"),
        (".yaml", "yaml"),
        ("-.yaml", "recipe"),
        ("é.v1.yml", "é.v1"),
    ],
)
def test_a_recipe_without_a_name_is_called_like_its_file(tmp_path, file, name):
    (tmp_path / file).write_text(IMAGE)
    assert load_recipe(tmp_path / file).name == name


def test_a_file_that_is_no_text_is_refused_with_the_line(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(IMAGE.encode() + "name: é\n".encode("latin-1"))
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert caught.value.problems == [f"{path}:4  byte 0xe9 is not UTF-8; save the file as UTF-8 text"]


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + IMAGE.replace("\n", "\r\n").encode())
    assert load_recipe(path) == made(IMAGE, "name=x")


def test_a_huge_file_is_refused_in_one_line(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(IMAGE + "# comment\n" * 500_000)
    with pytest.raises(RecipeError, match=rf"^{re.escape(str(path))}:1  \d+ characters; a recipe has at most"):
        load_recipe(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "x.yaml"
    path.write_text(IMAGE)

    def deny(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", deny)
    with pytest.raises(BadInput, match=r"cannot be read: Permission denied$"):
        load_recipe(path)


# --- the resolved recipe


def again(recipe: Recipe) -> Recipe:
    """The recipe that the resolved text of another gives."""
    return build(yaml_lines.dump(recipe.resolved()), source="again.yaml", name="another")


@pytest.mark.parametrize("text", [IMAGE, TEXT, MASKED, FULL, SENTENCES, TOKENS])
def test_the_resolved_recipe_gives_the_recipe_again(text):
    recipe = made(text)
    found = again(recipe)
    assert found == recipe.model_copy(update={"training": {**recipe.training, "output_dir": str(recipe.output_dir)}})
    assert again(found) == found
    assert found.resolved() == recipe.resolved()


def test_the_resolved_recipe_says_every_default_and_leaves_out_what_is_not_set():
    values = made(IMAGE).resolved()
    assert list(values) == [name for name in Recipe.model_fields if name not in ("classifier", "tasks")]
    assert values["publish"] == {"private": False}
    assert values["strategy"] == {"non_finite": "stop"}
    assert values["training"] == {"output_dir": "runs/r"}


shares = st.floats(0.01, 0.99)
words = st.text("abcXYZ019 _-.:#é\n", min_size=1, max_size=8) | st.sampled_from(["no", "1", "1e5", "null", "true", "~"])
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
names = st.text("abcXYZ019_-.", min_size=1, max_size=8).map(lambda text: f"r{text}")


def section(**entries: st.SearchStrategy) -> st.SearchStrategy:
    """A section in which any of the entries may be left out."""
    return st.fixed_dictionaries({}, optional=entries)


SCHEDULES = [
    "head-then-all",
    {"type": "head-then-all", "head_epochs": 0.5},
    "gradual",
    {"type": "surgical", "blocks": 2},
]


@st.composite
def recipes(draw: st.DrawFn) -> dict:
    """The values of a valid recipe."""
    task = TASKS[draw(st.sampled_from(sorted(TASKS)))]
    problem = draw(st.sampled_from([p for p in METRICS if not p.startswith("masked")]))
    scored = METRICS[problem if task.labelled else task.problem]
    single = task.labelled and problem == "single_label_classification"
    adapter = draw(st.booleans())
    jitter = st.fixed_dictionaries({"color_jitter": st.none() | section(brightness=shares, hue=st.floats(0, 0.5))})
    augment = st.lists(st.sampled_from(["random_crop", "horizontal_flip"]) | jitter, max_size=3)
    weights = st.just("balanced") | st.dictionaries(words, st.floats(0, 10) | st.integers(0, 3), max_size=3)
    files = (
        words | st.lists(words, max_size=2) | st.dictionaries(words, words | st.lists(words, max_size=2), max_size=2)
    )
    data = section(
        name=words,
        data_files=files,
        revision=st.none() | words,
        columns=section(**dict.fromkeys(task.columns, words)),
        validation=shares | words,
        test=words,
        **({} if task.name == "masked-image-modeling" else {"classes": st.lists(words, min_size=2, max_size=3)}),
        max_train_samples=st.integers(1, 10**9),
        augment=augment if task.modality.name == "image" else st.just([]),
        max_length=st.none() | st.integers(2, 512),
    )
    lora = section(r=st.integers(1, 64), lora_dropout=shares, target_modules=st.none() | st.lists(words, max_size=2))
    layers = section(
        schedule=st.sampled_from(SCHEDULES[:2] if adapter else SCHEDULES),
        layer_decay=shares,
        head_lr_scale=st.floats(0.1, 100),
        train=st.just("head") if adapter else st.just("last-3"),
    )
    training = section(
        learning_rate=shares | st.integers(0, 1),
        bf16=st.sampled_from(["auto", True, False]),
        eval_strategy=st.sampled_from(["no", "epoch"]),
        output_dir=words.filter(lambda word: word.isprintable() and "$" not in word and word[0] != "~"),
        report_to=st.sampled_from(["none", "all", "wandb", [], ["tensorboard", "mlflow"]]),
        lr_scheduler_kwargs=st.none() | st.dictionaries(words, plain, max_size=2),
    )
    backbone = section(config=st.dictionaries(words, plain, max_size=3), revision=words)
    strategy = {} if adapter else {"l2_sp": st.fixed_dictionaries({"weight": st.floats(0, 10)})}
    publish = {"hub_model_id": st.just("a/b"), "license": words}
    values = {
        "task": task.name,
        "problem_type": problem,
        "backbone": {"name": draw(words), **draw(backbone)},
        "data": {"path": draw(words), **draw(data)},
        "layers": {**draw(layers), **({"adapter": {"type": "lora", **draw(lora)}} if adapter else {})},
        "strategy": draw(section(**strategy, **({"class_weights": weights} if single else {}))),
        "head": draw(section(dropout=st.none() | shares, new=st.lists(words, max_size=2))),
        "training": draw(training),
        "score": draw(section(metrics=st.lists(st.sampled_from(scored), max_size=3), from_scratch=st.booleans())),
        "publish": draw(section(**publish)),
    }
    return {**draw(section(name=names)), **values}


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(recipes())
def test_any_resolved_recipe_gives_the_recipe_again(values):
    recipe = made(yaml_lines.dump(values))
    found = again(recipe)
    assert found == recipe.model_copy(update={"training": {**recipe.training, "output_dir": str(recipe.output_dir)}})
    assert again(found) == found


# --- anything else

ODD = [
    None,
    True,
    -1,
    0,
    1.5,
    10**30,
    math.nan,
    math.inf,
    -math.inf,
    "",
    "x",
    "a\nb",
    "é",
    [],
    [None],
    [[1]],
    {},
    {"x": {"y": 1}},
]


def containers(values: object, path: tuple = ()) -> list[tuple]:
    """The path of everything inside a value."""
    pairs = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    return [found for key, value in pairs for found in [(*path, key), *containers(value, (*path, key))]]


def at(values: dict, path: tuple) -> object:
    """What stands at a path."""
    for part in path:
        values = values[part]
    return values


def changed_values(text: str, rng: random.Random) -> str:
    """A recipe one of whose values, keys or places is another."""
    values = copy.deepcopy(yaml_lines.parse(text)[0])
    path = rng.choice(containers(values))
    parent, key = at(values, path[:-1]), path[-1]
    kind = rng.choice(["drop", "odd", "typo", "wrap", "move", "text"])
    value = parent[key]
    if kind == "drop":
        del parent[key]
    elif kind == "odd":
        parent[key] = rng.choice(ODD)
    elif kind == "wrap":
        parent[key] = rng.choice([[value], {str(key): value}, [value, value]])
    elif kind == "text":
        parent[key] = str(value)
    elif kind == "move":
        rng.choice([v for p in containers(values) if isinstance(v := at(values, p), dict)] or [values])[str(key)] = (
            value
        )
    elif isinstance(parent, dict):
        word = list(str(key))
        word[rng.randrange(len(word))] = rng.choice(["", "x", "_", "ee", " ", "\n", "\0"])
        parent["".join(word)] = parent.pop(key)
    else:
        parent[key] = f"{value}x"
    return yaml_lines.dump(values)


def changed_text(text: str, rng: random.Random) -> str:
    """A recipe whose text is damaged."""
    lines = text.split("\n")
    i = rng.randrange(len(lines))
    kind = rng.choice(["twice", "drop", "tab", "indent", "cut", "insert", "swap", "outdent"])
    if kind == "twice":
        lines.insert(rng.randrange(len(lines)), lines[i])
    elif kind == "drop":
        del lines[i]
    elif kind == "tab":
        lines[i] = "\t" + lines[i]
    elif kind == "indent":
        lines[i] = "  " + lines[i]
    elif kind == "outdent":
        lines[i] = lines[i].lstrip()
    elif kind == "cut":
        return text[: rng.randrange(len(text))]
    elif kind == "swap":
        j = rng.randrange(len(lines))
        lines[i], lines[j] = lines[j], lines[i]
    else:
        spot = rng.randrange(len(text))
        return text[:spot] + rng.choice(_INSERTED) + text[spot:]
    return "\n".join(lines)


_INSERTED = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    "- ",
    "&a ",
    "*a",
    "!!python/object:x ",
    "!x ",
    '"',
    "'",
    "|",
    "#",
    ",",
    "\ufeff",
]
_INSERTED += [
    "\x00",
    "\x1b",
    "\ud800",
    "\u2028",
    "\n---\n",
    "\n...\n",
    "%",
    "@",
    "?",
    "!!int ",
    "!!bool ",
    "<<: ",
    "\n\n",
    "\\",
]


def changed_whole(text: str, rng: random.Random) -> str:
    """A text that is no recipe, or one that is large or strange."""
    bomb = "\n".join(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 9) if i else '1'}]" for i in range(12))
    return rng.choice(
        [
            "",
            "- " + text.replace("\n", "\n  "),
            text + text,
            f"{text}\n---\n{text}",
            "\ufeff" + text,
            text.replace("\n", "\r\n"),
            text.encode("utf-16").decode("latin-1"),
            f"{text}\n{bomb}",
            text + "#" * 1_000_001,
            f"{text}\nextra: {'[' * 100}{']' * 100}",
            f"{text}\ntraining: {{learning_rate: {'9' * 5000}}}",
            str(rng.random()),
        ]
    )


def mutants(count: int) -> list[tuple[str, str]]:
    """(how it came about, text) of damaged recipes; the same ones every time."""
    rng = random.Random(20)
    valid = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "recipes").glob("*.yaml"))}
    valid |= {"full": FULL, "sentences": SENTENCES, "tokens": TOKENS, "image": IMAGE}
    found = []
    for i in range(count):
        name = rng.choice(sorted(valid))
        change = rng.choices([changed_values, changed_text, changed_whole], [6, 5, 1])[0]
        found.append((f"{i} {change.__name__} of {name}", change(valid[name], rng)))
    return found


def refusal(call: Callable[[], Recipe]) -> str | Recipe:
    """The message with which a recipe is refused, or the recipe; any other exception is a failure."""
    try:
        return call()
    except BadInput as error:
        return str(error)


def clear(message: str) -> bool:
    """Whether every line says where and what."""
    return all(LINE.match(line) and line.isprintable() for line in message.split("\n"))


@pytest.mark.slow
def test_a_damaged_recipe_is_accepted_or_refused_line_by_line():
    accepted = refused = 0
    for origin, text in mutants(320):
        found = refusal(lambda text=text: made(text))
        if isinstance(found, Recipe):
            accepted += 1
            assert repr(again(found).resolved()) == repr(found.resolved()), (
                origin
            )  # as text: a NaN is not equal to itself
        else:
            refused += 1
            assert clear(found), (origin, found)
    assert refused > 120
    assert accepted > 40


def test_a_damaged_file_is_accepted_or_refused_line_by_line(tmp_path):
    rng = random.Random(21)
    overrides = ["name=x", "training.seed=1", "head.init=zeors", "x", "data=", "data.path.x=1"]
    messages = []
    for i in range(60):
        content = bytearray(FULL.encode())
        content[rng.randrange(len(content))] = rng.randrange(256)
        path = tmp_path / f"{i}.yaml"
        path.write_bytes(content)
        found = refusal(lambda path=path: load_recipe(path, rng.choice(overrides)))
        if isinstance(found, str):
            messages.append(found)
    assert len(messages) > 20
    assert [message for message in messages if not clear(message)] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{i}.yaml" for i in range(60))


SECTIONS = {"task": "image-classification", "backbone": {"name": "nano-vit"}, "data": {"path": "digits"}}


def test_a_dictionary_is_checked_as_a_file_is():
    found = load_recipe({**SECTIONS, "training": {"learning_rate": 1e-3}}, "training.max_steps=3")
    assert found.training == {"learning_rate": 1e-3, "max_steps": 3}
    assert found.name == "recipe"
    place = Path("runs") / "here"
    assert load_recipe({**SECTIONS, "training": {"output_dir": place}}).output_dir == place
    wrong = {**SECTIONS, "training": {"learing_rate": 1, "learning_rate": "fast"}, "hed": {}}
    with pytest.raises(RecipeError) as caught:
        load_recipe(wrong, "data.colums=x")
    said = [line.partition(" (known: ")[0] for line in str(caught.value).splitlines()]
    assert said == [
        "recipe  hed: unknown key; did you mean 'head'?",
        "recipe  training.learing_rate: unknown key; did you mean 'learning_rate'?",
        "recipe  training.learning_rate: is 'fast' (str); expected float",
        "command line  data.colums: unknown key; did you mean 'columns'?",
    ]
    assert wrong["data"] == {"path": "digits"}, "the dictionary is not changed"


def test_the_package_shows_its_public_names():
    assert {"Recipe", "finetune", "load_predictor", "load_recipe"} <= set(dir(hfft))
    assert "importlib" not in dir(hfft)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("learning_rate=1e-3", "learning_rate: unknown key; did you mean training.learning_rate?"),
        ("epochs=3", "epochs: unknown key; did you mean training.num_train_epochs?"),
        ("lr=1e-3", "lr: unknown key; did you mean layers.lr or training.learning_rate?"),
        ("sam=0.1", "sam: unknown key; did you mean strategy.sam?"),
        ("nonsense=1", "nonsense: unknown key (known: name, "),
        ("layers=last-4", "layers: is 'last-4'; expected a section with keys such as train, freeze, schedule, "),
        ("layers.train=last4", "or /regex/; did you mean 'last-4'?"),
        ("layers.train=first_2", "or /regex/; did you mean 'first-2'?"),
    ],
)
def test_a_key_at_the_wrong_place_is_answered_with_its_place(override, said):
    with pytest.raises(RecipeError) as caught:
        load_recipe(SECTIONS, override)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"training": {"learing_rate": 1}}, "training.learing_rate: unknown key; did you mean 'learning_rate'"),
        ({"training": {"learning_rate": "1e-3"}}, "training.learning_rate: is '1e-3'"),
        ({"layers": {"train": "last4"}}, "layers.train"),
        ({"publish": {"as": "adapter"}}, "publish.as: is for adapters"),
        ({"publish": {"hub_model_id": "me/a--b"}}, "publish.hub_model_id"),
        ({"bacbone": {}}, "bacbone: unknown key"),
    ],
)
def test_a_recipe_made_in_python_gets_every_check(sections, said):
    whole = {"task": "image-classification", "backbone": {"name": "nano-vit"}, "data": {"path": "digits"}}
    with pytest.raises(RecipeError, match=said):
        Recipe(**whole, **sections)
    assert Recipe(**whole).resolved() == load_recipe({**whole, "name": "recipe"}).resolved()
    specs = {**whole, "backbone": Backbone(name="nano-vit"), "training": {"output_dir": Path("x")}}
    assert Recipe(**specs).output_dir == Path("x")


@pytest.mark.parametrize(
    "given",
    [
        "load_best_model_at_end=true",
        "metric_for_best_model=accuracy",
        "eval_strategy=steps",
        "eval_on_start=true",
        "save_strategy=best",
        "lr_scheduler_type=reduce_lr_on_plateau",
    ],
)
def test_what_needs_a_validation_split_is_refused_where_the_recipe_leaves_it_off(given):
    key = f"training.{given.partition('=')[0]}"
    with pytest.raises(BadInput) as caught:
        load_recipe("digits", "data.validation=none", f"training.{given}")
    lines = [line for line in str(caught.value).splitlines() if "leaves off" in line]
    assert len(lines) == 1
    assert f"{key}: needs a validation split, which data.validation=none leaves off; leave it out, or name" in lines[0]
    load_recipe("digits", "data.validation=none", "training.eval_strategy=no", "training.save_strategy=epoch")
