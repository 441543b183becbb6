"""Which outputs of a classifier stand for which class of the data."""

import pytest

from hfft.direct.class_names import describe, found_by, in_words, plain, sources
from hfft.errors import ModelError

IMAGENET = [
    "tabby, tabby cat", "Persian cat", "beagle", "Yorkshire terrier", "Airedale, Airedale terrier", "crane", "crane",
    "maillot", "maillot, tank suit",
]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [("Golden_Retriever", "golden retriever"), ("t-shirt", "T Shirt"), ("  a   b", "a_b"), ("Straße", "STRASSE")],
)
def test_spelling_is_forgiven(one, other):
    assert plain(one) == plain(other)
    assert sources([one], [other, "x"], None, "m") == {one: [0]}


def test_members_of_a_list_of_synonyms_are_names_of_its_class():
    assert found_by("tabby", IMAGENET) == [0]
    assert found_by("Tabby_cat", IMAGENET) == [0]
    assert found_by("tabby, tabby cat", IMAGENET) == [0]
    assert found_by("cat", IMAGENET) == []
    assert found_by("Airedale terrier, waterside terrier", IMAGENET) == [4], "the data may name synonyms as well"


def test_a_whole_name_comes_before_a_synonym():
    assert found_by("maillot", IMAGENET) == [7]
    assert found_by("tank suit", IMAGENET) == [8]


def test_classes_are_in_the_order_of_the_data():
    assert sources(["beagle", "tabby"], IMAGENET, None, "m") == {"beagle": [2], "tabby": [0]}


def test_a_map_names_classes_by_name_by_synonym_and_by_pattern():
    mapping = {"Cat": ["tabby", "Persian cat"], "dog": ["/terrier/", "beagle"]}
    assert sources(["cat", "dog"], IMAGENET, mapping, "m") == {"cat": [0, 1], "dog": [2, 3, 4]}
    assert sources(["dog", "beagle"], IMAGENET, {"dog": "/terrier$/"}, "m") == {"dog": [3, 4], "beagle": [2]}
    assert sources(["bird"], IMAGENET, {"bird": "crane"}, "m") == {"bird": [5, 6]}


@pytest.mark.parametrize(
    ("classes", "mapping", "message"),
    [
        (["cat", "dog"], None, r"m has no classes cat, dog \(its 9: tabby, tabby cat, .*head.map=\{cat: \[…\]\}.*fine-tune"),
        (["tabbi"], None, r"m has no class tabbi; did you mean 'tabby'\?"),
        (["crane"], None, r"'crane' may be each of 'crane' \(output 5\), 'crane' \(output 6\) of m; choose by head.map"),
        (["cat"], {"cat": ["tabby", "Persan cat"]}, r"head.map.cat: 'Persan cat' matches none of the model's 9 .* 'Persian cat'"),
        (["cat"], {"cat": "/panther/"}, r"head.map.cat: '/panther/' matches none of the model's 9 classes"),
        (["cat"], {"cats": "tabby"}, r"head.map.cats: the data has no class 'cats'; did you mean 'cat'\?.*it has: cat"),
        (["cat"], {"cat": "tabby", "Cat": "tabby"}, r"head.map.Cat: is given twice"),
        (["cat", "dog"], {"cat": "/e/", "dog": "beagle"}, r"head.map: 'beagle' of m is in both 'cat' and 'dog'"),
        (["tabby", "tabby cat"], None, r"'tabby, tabby cat' of m is in both 'tabby' and 'tabby cat'"),
    ],
)  # fmt: skip
def test_what_cannot_be_matched_is_refused(classes, mapping, message):
    with pytest.raises(ModelError, match=message):
        sources(classes, IMAGENET, mapping, "m")


def test_a_model_without_names_is_told_by_its_numbers():
    with pytest.raises(ModelError, match=r"m does not name its 2 classes .*head.map=\{no: LABEL_0, …\}"):
        sources(["no", "yes"], ["LABEL_0", "LABEL_1"], None, "m")
    numbers = {"no": "LABEL_0", "yes": "LABEL_1"}
    assert sources(["yes", "no"], ["LABEL_0", "LABEL_1"], numbers, "m") == {"yes": [1], "no": [0]}


def test_what_a_user_should_know_is_one_line_a_class_and_one_for_the_rest():
    found = sources(["cat", "beagle"], IMAGENET, {"cat": ["tabby", "Persian cat"]}, "m")
    assert describe(found, IMAGENET) == [
        "cat: sum of tabby, tabby cat, Persian cat",
        "6 of the model's 9 classes are none of the data's: Yorkshire terrier, Airedale, Airedale terrier, crane, crane, "
        "maillot, maillot, tank suit",
    ]
    assert describe({"a": [0], "b": [1]}, ["a", "b"]) == []


def test_a_name_as_words_keeps_its_case_and_hyphens():
    assert in_words("A_t-shirt  x") == "A t-shirt x"
