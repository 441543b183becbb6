"""The card as a text: its tables hold with any name, and what a hand wrote around it is kept."""

import re

import pytest

from hfft import load_recipe
from hfft.publish.card import BEGIN, END, MOST_CLASSES, card, cell

ROWS = [{"class": f"c{i}", "precision": 0.5, "recall": 0.25, "f1": 0.125, "n": 10 + i} for i in range(3)]


def metrics(**changes):
    """What metrics.json holds for a run of the recipe `digits`."""
    return {
        "test": {"loss": 0.5, "accuracy": 0.75, "ece": 0.125, "n": 500},
        "train": {"n": 300, "epochs": 2.0, "steps": 38},
        "classes": {"test": {"classes": ROWS}},
        "seed": 97,
        "backbone": {"name": "nano-vit", "revision": None},
        "data": {"path": "digits", "revision": "0123456789abcdef", "origin": {"test": "0.1 of train"}},
        "world_size": 2,
        "versions": {"hfft": "0.1.0", "torch": "2.13.0"},
        **changes,
    }


def text(found=None, *overrides, **given):
    """The card of such a run."""
    return card(load_recipe("digits", *overrides), found or metrics(), **given)


def tables(found):
    """The tables of a card, each a list of rows, each a list of cells."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", found, re.M)
    return [[re.split(r"(?<!\\)\|", row)[1:-1] for row in block.splitlines()] for block in blocks]


def test_the_card_says_what_was_trained_scored_and_how():
    found = text()
    for needed in (
        "# digits\n\n`nano-vit` fine-tuned on `digits` for image-classification.\n\n## Results\n",
        "| test (0.1 of train) | 500 | expected calibration error | 0.1250 |  |\n\nOne run, seed 97.\n",
        "## Per class (test, n=500)\n",
        "| c2 | 0.500 | 0.250 | 0.125 | 12 |\n\n## Use\n\n```python\nfrom transformers import pipeline\n",
        'print(model("image.png"))\n```\n\n## How it was made\n\nWith [`recipe.yaml`]',
        "Backbone `nano-vit`; data `digits` at `0123456789ab`; 38 steps, 2 epochs over 300 rows; seed 97; 2 process(es); "
        f"hfft 0.1.0, torch 2.13.0.\n{END}\n",
    ):
        assert needed in found
    assert "\n\n\n" not in found


def test_data_that_is_worse_on_purpose_is_told():
    found = metrics()
    found["data"]["origin"]["train"] = "train, 120 labels wrong on purpose"
    assert "over 300 rows (train, 120 labels wrong on purpose); seed 97" in text(found, "data.label_noise={pair: 0.4}")
    assert "over 300 rows; seed 97" in text(found)


def test_random_weights_stand_beside_the_figures():
    found = text(metrics(from_scratch={"test": {"accuracy": 0.0625}}))
    assert "| accuracy | 0.7500 | 0.0625 |" in found
    assert "| loss | 0.5000 |  |" in found


@pytest.mark.parametrize(
    ("value", "shown"), [("a|b", r"a\|b"), ("a\nb", "a b"), ("a \r\n b|", r"a b\|"), ("<b>&", "<b>&"), (7, "7")]
)
def test_a_cell_stays_a_cell(value, shown):
    assert cell(value) == shown


def test_tables_hold_with_any_name():
    hostile = "a|b\n| c | <i>"
    rows = [{**ROWS[0], "class": hostile}, *ROWS[1:]]
    found = metrics(classes={"test": {"classes": rows}}, edits=[{"edit": hostile, "places": 2, "moved": 0.25}])
    found["data"]["origin"]["test"] = hostile
    results, classes, edits = tables(text(found))
    assert [len(row) for row in results] == [5] * 5
    assert [len(row) for row in classes] == [5] * 5
    assert [len(row) for row in edits] == [3] * 3
    assert classes[2][0] == r" a\|b \| c \| <i> "


@pytest.mark.parametrize(("moved", "said"), [(None, "not compared"), (0.0, "nothing"), (0.25, "25.00%")])
def test_an_edit_says_what_it_moved(moved, said):
    assert f"| remove last-1 | 2 | {said} |" in text(
        metrics(edits=[{"edit": "remove last-1", "places": 2, "moved": moved}])
    )


@pytest.mark.parametrize(("count", "more"), [(MOST_CLASSES, None), (MOST_CLASSES + 7, "… 7 more in metrics.json")])
def test_of_very_many_classes_the_first_are_shown(count, more):
    _, classes = tables(text(metrics(classes={"test": {"classes": [ROWS[0]] * count}})))
    assert len(classes) == 2 + MOST_CLASSES + (more is not None)
    assert more is None or classes[-1][0].strip() == more


def test_code_of_its_own_is_named_and_a_model_that_peft_alone_loads_has_no_pipeline():
    found = text(metrics(own_code="modeling_hfft.py"))
    assert 'model="path/to/digits", trust_remote_code=True)' in found
    assert "run [`modeling_hfft.py`](modeling_hfft.py) of this repository" in found
    assert "pipeline(" not in text(metrics(stock_loads=False))


def test_the_strategy_stands_with_its_options_and_no_local_path(tmp_path):
    teacher = {"name": "distillation", "options": {"teacher": str(tmp_path), "weight": 0.5}}
    found = text(metrics(strategy=[{"name": "ema", "options": {"decay": 0.9}}, teacher]))
    assert f"Strategy: ema (decay 0.9), distillation (teacher {tmp_path.name}, weight 0.5).\n\nWith [" in found


def test_what_a_hand_wrote_is_kept():
    first = text(repo="alice/model")
    assert "# model\n" in first
    written = first.replace("---\n", "---\nlanguage: en\n", 1).replace(BEGIN, f"Before.\n\n{BEGIN}") + "\nAfter.\n"
    again = text(metrics(seed=98), repo="alice/model", earlier=written)
    assert "language: en" in again
    assert f"---\nBefore.\n\n{BEGIN}\n# model" in again
    assert again.endswith(f"{END}\n\nAfter.\n")
    assert "seed 97" not in again
    assert again.count("## Results") == 1
    foreign = text(earlier="---\nlicense: mit\n---\nA card of another kind.\n")
    assert f"A card of another kind.\n\n{BEGIN}" in foreign
    assert "license: mit" in foreign


@pytest.mark.parametrize(
    ("render", "said"),
    [
        ("{kind: spectrogram}", "The images are spectrograms of sounds: `hfft predict me/net new.wav` draws a file as"),
        (
            "{}",
            "The images are texts drawn as lines of pixels: `hfft predict me/net new.csv` draws the texts of a table as",
        ),
        ("null", None),
    ],
)
def test_drawn_inputs_are_told_with_what_draws_them(render, said):
    found = text(None, f"data.render={render}", "publish.hub_model_id=me/net", "data.path=rows", "data.columns.image=a")
    assert (said in found) if said else ("The images are" not in found)
    assert "\n\n\n" not in found
