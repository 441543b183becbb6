"""What is read of a model's card."""

import pytest

from hfft.rank.card import Card, read_card

INDEX = """
license: [mit]
date: 2024-05-06
model-index:
- name: a
  results:
  - task: {type: image-classification}
    dataset: {name: ImageNet-1k, type: imagenet-1k}
    metrics:
    - {type: loss, value: 0.4}
    - {type: accuracy, value: VALUE}
"""


@pytest.mark.parametrize(
    ("value", "accuracy"), [("0.813", 0.813), ("81.3", 0.813), ("-3", None), ("'?'", None), ("200", None)]
)
def test_the_first_accuracy_of_the_model_index_is_its_own(tmp_path, value, accuracy):
    (tmp_path / "README.md").write_text(f"---{INDEX.replace('VALUE', value)}---\n# a\n")
    on = None if accuracy is None else "ImageNet-1k"
    assert read_card(str(tmp_path)) == Card("mit", "2024-05-06", accuracy, on)


@pytest.mark.parametrize(
    "text", ["", "# no front matter", "---\n: [\n---\n", "---\nmodel-index: 3\n---\n", "---\n- a\n---\n"]
)
def test_a_card_that_says_nothing_is_empty(tmp_path, text):
    (tmp_path / "README.md").write_text(text)
    assert read_card(str(tmp_path)) == Card()


def test_a_folder_without_a_card_has_none(tmp_path):
    assert read_card(str(tmp_path)) == Card()
