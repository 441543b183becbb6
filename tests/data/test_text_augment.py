"""Augmentations of texts: what each does, and rows whose draws know only seed, epoch and row."""

import inspect
import re

import datasets
import numpy as np
import pytest
from torch.utils.data import DataLoader

from hfft.data.augment import grammar
from hfft.data.augment.text_ops import NEIGHBOURS
from hfft.data.augmented_texts import AugmentedTexts, PlainTexts
from hfft.data.modality.text import TextInputs
from hfft.data.spec import Data
from hfft.data.stream import Stream
from hfft.data.texts import TextCollate
from hfft.frozen_cache.cached_dataset import CachedDataset
from tests import stand_ins
from tests.examples import SINGLE

WORDS = [f"w{i}" for i in range(20)]
TEXT = " ".join(WORDS)
OF_WORDS = ["word_drop", "word_swap", "random_insertion", "random_case", "span_cutoff"]
ODD = ["a", " a ", "a b", "\ta\n b  c ", "日本語のテキスト", "é ß", "...", "x" * 500, "\u00a0a"]


def run(name, text, seed=0, **arguments):
    extra = [arguments.pop("row")] if "row" in arguments else []
    return grammar.TEXT_OPS[name](text, np.random.default_rng(seed), *extra, **arguments)


# --- operations


@pytest.mark.parametrize("name", [name for name in grammar.TEXT_OPS if name != "back_translation"])
def test_the_same_seed_gives_the_same_text_and_others_differ(name):
    found = [run(name, TEXT, seed) for seed in range(20)]
    assert found == [run(name, TEXT, seed) for seed in range(20)]
    assert len(set(found)) > 5


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("name", [name for name in grammar.TEXT_OPS if name != "back_translation"])
def test_no_text_becomes_empty(name, text):
    [argument] = {"p", "share"} & set(inspect.signature(grammar.TEXT_OPS[name]).parameters)
    for value in (0.0, 0.5, 1.0):
        for seed in range(20):
            assert run(name, text, seed, **{argument: value}).strip()
    assert run(name, text, **{argument: 0.0}).split() == text.split()


@pytest.mark.parametrize("name", OF_WORDS)
def test_the_whitespace_between_words_that_stay_is_kept(name):
    text = "one\n\ntwo\tthree  four five\nsix"
    for seed in range(30):
        found = run(name, text, seed)
        assert found == found.strip()
        if name == "random_case":
            assert found.lower() == text
        elif name == "word_swap":
            assert sorted(found.split()) == sorted(text.split())
            assert found.count("\n") == text.count("\n")


def test_words_are_left_out_at_the_rate_and_the_rest_keeps_its_order():
    found = [run("word_drop", TEXT, seed, p=0.3).split() for seed in range(500)]
    assert np.mean([len(words) for words in found]) == pytest.approx(14, abs=0.3)
    assert all(words == [word for word in WORDS if word in words] for words in found)
    assert {len(run("word_drop", TEXT, seed, p=1.0).split()) for seed in range(20)} == {1}


def test_a_swap_exchanges_two_words():
    for seed in range(50):
        found = run("word_swap", TEXT, seed, share=0.05).split()
        assert sorted(found) == sorted(WORDS)
        assert sum(a != b for a, b in zip(found, WORDS, strict=True)) == 2


def test_words_that_are_inserted_are_the_rows_own():
    places = set()
    for seed in range(200):
        found = run("random_insertion", TEXT, seed, share=0.1).split()
        assert len(found) == 22
        assert set(found) == set(WORDS)
        places |= {i for i, word in enumerate(found) if i >= len(WORDS) or word != WORDS[i]}
    assert 0 in places
    assert 21 in places


def test_a_typo_is_a_neighbouring_key_in_the_same_case():
    assert {key: set(NEIGHBOURS[key]) for key in "qas"} == {
        "q": set("wa"),
        "a": set("qwsz"),
        "s": set("wedaxz"),
    }
    text = "The Quick brown fox, 42 Füße!" * 40
    found = run("keyboard_typos", text, p=0.2)
    pairs = [(a, b) for a, b in zip(text, found, strict=True) if a != b]
    letters = sum(c.lower() in NEIGHBOURS for c in text)
    assert len(pairs) / letters == pytest.approx(0.2, abs=0.05)
    assert all(b.lower() in NEIGHBOURS[a.lower()] and a.isupper() == b.isupper() for a, b in pairs)


def test_a_span_is_cut_whole_anywhere():
    starts = set()
    for seed in range(200):
        found = run("span_cutoff", TEXT, seed, share=0.2).split()
        start = next((i for i, word in enumerate(found) if word != WORDS[i]), 16)
        assert found == [*WORDS[:start], *WORDS[start + 4 :]]
        starts.add(start)
    assert starts == set(range(17))


def test_another_wording_comes_from_its_column_where_there_is_one():
    row = {"fr": "another wording", "blank": " ", "none": None}
    found = [run("back_translation", "a text", seed, row=row, column="fr", p=0.3) for seed in range(500)]
    assert set(found) == {"a text", "another wording"}
    assert found.count("another wording") / 500 == pytest.approx(0.3, abs=0.06)
    for column in ("blank", "none", "missing"):
        assert run("back_translation", "a text", row=row, column=column, p=1.0) == "a text"


# --- the grammar


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("word_dropp", "unknown augmentation 'word_dropp'; did you mean 'word_drop'? known: "),
        ({"word_drop": {"q": 1}}, "word_drop: unknown argument 'q'; known: p"),
        ({"word_drop": {"p": 2}}, "word_drop: p = 2; must be a number in [0, 1]"),
        ("back_translation", "back_translation: missing 'column', it must be the name of a column"),
        (
            {"back_translation": {"column": "x", "row": 1}},
            "back_translation: unknown argument 'row'; known: column, p, of",
        ),
        (
            {"back_translation": {"column": "x", "of": "label"}},
            "back_translation: of = 'label'; must be 'text' or 'text_pair'",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(item, message):
    with pytest.raises(ValueError, match=rf"\A{re.escape(message)}"):
        grammar.parse([item])


def test_texts_of_a_pair_are_augmented_each_and_another_wording_is_of_one():
    steps = grammar.compose_texts([{"back_translation": {"column": "other", "p": 1.0, "of": "text_pair"}}])
    row = {"other": "another wording"}
    pair = {"text": TEXT, "text_pair": TEXT}
    assert steps(pair, np.random.default_rng(0), row) == {"text": TEXT, "text_pair": "another wording"}
    both = grammar.compose_texts([{"word_drop": {"p": 0.5}}])(pair, np.random.default_rng(0), row)
    assert both["text"] != both["text_pair"]
    assert grammar.columns_read(["word_drop", {"back_translation": {"column": "other"}}]) == ["other"]


# --- rows

AUGMENT = [{"word_drop": {"p": 0.3}}, "word_swap"]


def dataset(count=40, **more):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(stand_ins.WORDS, rng.integers(3, 12))) for _ in range(count)]
    columns = {"text": texts, "labels": [i % 3 for i in range(count)], "row": list(range(count)), **more}
    return datasets.Dataset.from_dict(columns)


def rows_of(augment=AUGMENT, rows=None, seed=42, **roles):
    rows = dataset() if rows is None else rows
    words = stand_ins.tokenizer()
    step = TextInputs().step(words, {"text": "text", **roles}, "train", seed, augment)
    return TextInputs().rows(rows, step, f"{seed} {augment}"), words


def batches(rows, words, workers=0):
    loader = DataLoader(rows, 8, collate_fn=TextCollate(words, SINGLE), num_workers=workers)
    return [{name: value.tolist() for name, value in batch.items()} for batch in loader]


def test_rows_differ_between_epochs_and_are_the_same_again():
    rows, words = rows_of()
    assert isinstance(rows, AugmentedTexts)
    first = batches(rows, words)
    assert batches(rows, words) == first
    rows.set_epoch(1)
    other = batches(rows, words)
    assert other != first
    assert [batch["labels"] for batch in other] == [batch["labels"] for batch in first], "labels are untouched"
    rows.set_epoch(0)
    assert batches(rows, words) == first
    assert batches(rows_of(seed=1)[0], words) != first


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_reads_the_same(workers):
    rows, words = rows_of()
    for epoch in (0, 1):
        rows.set_epoch(epoch)
        assert batches(rows, words, workers) == batches(rows, words)


def test_a_row_is_drawn_by_its_number_whatever_stands_beside_it():
    rows, _ = rows_of()
    whole = rows.__getitems__(list(range(40)))["input_ids"]
    ends = np.cumsum(whole[1])
    for i in (0, 7, 39):
        assert rows[i]["input_ids"] == whole[0][ends[i] - whole[1][i] : ends[i]].tolist()
        assert rows[i]["labels"] == i % 3


def test_what_is_not_trained_on_is_tokenised_as_it_is():
    rows, words = rows_of(augment=())
    assert type(rows) is PlainTexts
    assert rows.in_draw(1) is rows
    assert [row["input_ids"] for row in rows] == words(dataset()["text"][:])["input_ids"]


@pytest.mark.parametrize("own", [(), AUGMENT])
def test_further_operations_follow_the_rows_own_augmentation(own):
    rows, words = rows_of(own)
    everything = [{"word_drop": {"p": 1.0}}]
    one_word = batches(rows.in_draw(1, everything), words)
    assert one_word != batches(rows.in_draw(2, everything), words)  # another word stays
    assert max(map(len, (row["input_ids"] for row in rows.in_draw(1, everything)))) == 3
    neutral = [{"word_drop": {"p": 0.0}}]
    assert batches(rows.in_draw(1, neutral), words) == batches(rows, words)
    rows.set_epoch(1)
    assert batches(rows.in_draw(1, everything), words) != one_word


def test_draws_and_epochs_can_be_asked_for():
    rows, words = rows_of()
    first = batches(rows, words)
    assert batches(rows.in_draw(0), words) == first
    assert batches(rows.in_draw(1), words) not in (first, batches(rows.in_draw(2), words))
    later = batches(rows.in_epoch(3), words)
    assert batches(rows, words) == first
    rows.set_epoch(3)
    assert batches(rows, words) == later


def test_both_texts_of_a_pair_change_and_another_column_is_read():
    more = {"pair": ["the film was not good"] * 40, "fr": ["how many"] * 40}
    both = dataset(**more)
    plain, _ = rows_of((), both, text_pair="pair")
    changed, _ = rows_of(AUGMENT, both, text_pair="pair")
    assert [row["input_ids"] for row in plain] != [row["input_ids"] for row in changed]
    other, words = rows_of([{"back_translation": {"column": "fr", "p": 1.0}}], both)
    assert {tuple(row["input_ids"]) for row in other} == {tuple(words("how many")["input_ids"])}


def test_a_stream_is_augmented_by_pass_and_place():
    rows, words = dataset(12), stand_ins.tokenizer()
    step = TextInputs().step(words, {"text": "text"}, "train", 42, AUGMENT)

    def read(epoch):
        stream = Stream(rows.to_iterable_dataset(), 12, step.of_cells, buffer=4, seed=42)
        stream.set_epoch(epoch)
        return [(row["input_ids"], row["labels"]) for row in stream]

    assert read(0) == read(0)
    assert sorted(label for _, label in read(0)) == sorted(label for _, label in read(1))
    assert read(0) != read(1)


def test_views_are_stored_by_their_own_lengths():
    rows, words = rows_of()
    split = CachedDataset(rows, TextCollate(words, SINGLE), dict, 0, 2, 0)
    assert split.count == 80
    expected = [len(row["input_ids"]) for view in range(2) for row in rows.in_epoch(view)]
    assert split.tokens.tolist() == expected
    assert split.tokens[:40].tolist() != split.tokens[40:].tolist()
    assert rows.identity() != rows_of(rows=dataset(39))[0].identity()


def test_a_column_that_is_not_there_is_told(tmp_path):
    from hfft.data.load import load_splits
    from hfft.errors import DataError
    from hfft.tasks.table import TASKS

    (tmp_path / "train.csv").write_text("text,label,fr\n" + "".join(f"a b {i},{i % 2},c d\n" for i in range(20)))
    task = TASKS["text-classification"]

    def load(column):
        augment = [{"back_translation": {"column": column}}]
        columns = {"text": "text"}
        return load_splits(Data.model_validate({"path": str(tmp_path), "augment": augment, "columns": columns}), task)

    splits, _ = load("fr")
    assert "fr" in splits.train.column_names
    with pytest.raises(DataError, match=r"data\.augment: back_translation: no column 'f' in split train"):
        load("f")
    with pytest.raises(DataError, match=r"column 'label' has type .*, not text"):
        load("label")
