"""Domains as tasks: their order, the task of each row, what cannot be a sequence, and sums that grow by domain."""

import numpy as np
import pytest

from hfft.data.builtin.printed_digits import PENS
from hfft.data.load import load_splits
from hfft.errors import BadInput
from hfft.evaluate.outputs import Outputs
from hfft.features import of_recipe
from hfft.scenarios.incremental.domains import domain_tasks, domains_of_split, order_of, task_of_test_rows
from hfft.scenarios.incremental.frozen import class_sums
from hfft.scenarios.incremental.measures import domain_accuracies
from hfft.scenarios.incremental.sequence import TaskSequence
from hfft.tasks.labels import Labels
from tests.examples import SINGLE
from tests.studies.fake_runs import tiny

PRINTED = ("data.path=printed_digits", "data.columns.domain=domain", "data.validation=none")
TEXTS = (
    "task=text-classification",
    "backbone.name=nano-bert",
    "data.validation=none",
    "data.columns.domain=source",
    "data.max_train_samples=null",
    "data.max_eval_samples=null",
)


def texts(path, train, test="a,one\na,two\n"):
    """Texts of two classes, each line of a source; the classes alternate."""
    for name, lines in (("train", train), ("test", test)):
        rows = [f"words {i},{'xy'[i % 2]},{line.split(',')[-1]}" for i, line in enumerate(lines.splitlines())]
        (path / f"{name}.csv").write_text("text,label,source\n" + "\n".join(rows) + "\n")
    return path


def test_the_order_is_that_named_or_drawn_by_the_seed():
    assert order_of(["a", "b", "c"], ["c", "a", "b"], "source", 1) == ["c", "a", "b"]
    drawn = [tuple(order_of(["c", "b", "a"], None, "source", seed)) for seed in range(30)]
    assert drawn == [tuple(order_of(["a", "b", "c"], None, "source", seed)) for seed in range(30)]
    assert len(set(drawn)) == 6


@pytest.mark.parametrize(
    ("known", "wanted", "message"),
    [
        (
            ["a"],
            None,
            "tasks: column 'source' has the one domain 'a' in train, and a sequence needs two or more; name another",
        ),
        (["a", "b"], ["a", "bb"], r"tasks: no domain 'bb' in column 'source'.*\(it has: a, b\)"),
        (
            ["a", "b", "c"],
            ["b", "a"],
            "tasks: domain 'c' of column 'source' is not named; name every domain, or leave its rows",
        ),
    ],
)
def test_what_is_no_sequence_of_domains_is_refused(known, wanted, message):
    with pytest.raises(BadInput, match=message):
        order_of(known, wanted, "source", 1)


def test_a_domain_without_rows_or_with_one_is_refused(tmp_path):
    path = texts(tmp_path, "one\n" * 8 + "two\n")
    with pytest.raises(
        BadInput, match=r"tasks: domain 'two' has a single row among the 9 of train; raise data.max_train"
    ):
        domain_tasks(tiny(*TEXTS, f"data.path={path}"), ["one", "two"], write=False)
    path = texts(tmp_path, "one\n" * 40 + "two\n" * 3)
    drawn = tiny(*TEXTS, f"data.path={path}", "data.max_train_samples=2")
    with pytest.raises(BadInput, match=r"tasks: domain '\w+' has (no row|a single row) among the 2 of train"):
        domain_tasks(drawn, write=False)
    texts(tmp_path, "one\n" * 8)
    with pytest.raises(BadInput, match=r"column 'source' has the one domain 'one' in train"):
        domain_tasks(tiny(*TEXTS, f"data.path={path}"), write=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("data.columns.domain=null",),
            "tasks: are domains; name the column of each row's domain in data.columns.domain",
        ),
        (
            ("data.client={domain: bold}",),
            "data.client: chooses rows by their domain, as the tasks of the sequence do; leave",
        ),
        (("data.held_out_domain=bold",), "data.held_out_domain: chooses rows by their domain"),
        (("data.test=none",), "data.test: there is no test split"),
    ],
)
def test_a_recipe_that_does_not_suit_is_refused(words, message):
    with pytest.raises(BadInput, match=message):
        domain_tasks(tiny(*PRINTED, *words), write=False)


@pytest.mark.slow
def test_the_task_of_each_test_row_is_written_in_the_order_of_the_outputs(tmp_path):
    recipe = tiny(*PRINTED, f"training.output_dir={tmp_path}", "data.max_train_samples=200", "data.max_eval_samples=90")
    found = domain_tasks(recipe, list(PENS))
    assert found["domains"] == list(PENS)
    assert found["tasks"] == [[str(i) for i in range(10)]] * 5
    assert (sum(found["rows"]["train"]), sum(found["rows"]["test"])) == (200, 90)
    loaded, _ = load_splits(recipe.data, recipe.the_task, recipe.seed)
    tasks = task_of_test_rows(tmp_path)
    assert tasks.tolist() == [
        row // 10 % 5 for row in loaded.test["row"]
    ]  # ten digits of a pen, then those of the next
    again = tiny(*PRINTED, "data.client={domain: italic}", "data.max_train_samples=200", "data.max_eval_samples=90")
    assert load_splits(again.data, again.the_task, again.seed)[0].test["row"] == loaded.test["row"]


def test_test_rows_of_a_domain_that_is_not_learned_have_no_task(tmp_path):
    path = texts(tmp_path, "one\ntwo\n" * 6, "one\nthree\ntwo\none\n")
    recipe = tiny(*TEXTS, f"data.path={path}", f"training.output_dir={tmp_path / 'run'}")
    assert domain_tasks(recipe, ["two", "one"])["rows"]["test"] == [1, 2]
    assert task_of_test_rows(tmp_path / "run").tolist() == [1, -1, 0, 1]


@pytest.mark.slow
def test_a_share_of_train_as_test_has_the_domains_of_its_rows():
    recipe = tiny(*PRINTED, "data.test=0.3", "data.max_train_samples=null", "data.max_eval_samples=null")
    loaded, _ = load_splits(recipe.data, recipe.the_task, recipe.seed)
    assert domains_of_split(recipe, loaded, "test").tolist() == [PENS[row // 10 % 5] for row in loaded.test["row"]]


def test_accuracy_by_domain_is_by_hand_and_of_the_domains_so_far():
    zeros, logits = np.zeros(5, np.float32), np.array([[1, 0], [0, 1], [1, 0], [1, 0], [0, 1]], np.float32)
    outputs = Outputs("test", "given", Labels.of(SINGLE, ["a", "b"]), zeros, zeros, logits, np.array([0, 0, 1, 0, 1]))
    of = np.array([0, 1, 0, 0, -1])
    assert domain_accuracies(outputs, of, 2) == ([pytest.approx(2 / 3), 0.0], [3, 1])
    assert domain_accuracies(outputs, of, 1) == ([pytest.approx(2 / 3)], [3])
    found, counts = domain_accuracies(outputs, of, 3)
    assert np.isnan(found[2])
    assert counts[2] == 0
    with pytest.raises(ValueError, match="5 rows of outputs, but the domains of 4"):
        domain_accuracies(outputs, of[:4], 2)


@pytest.mark.slow
def test_sums_grow_by_the_rows_of_a_domain(tmp_path):
    recipe = tiny(*PRINTED, f"training.output_dir={tmp_path}", "data.max_train_samples=300", "data.max_eval_samples=50")
    names = [str(i) for i in range(10)]
    class_sums(recipe, [names] * 5, list(PENS))
    train, test = (of_recipe(recipe, (split,))[split] for split in ("train", "test"))
    for t in (1, 5):
        seen = np.isin(train.ids // 10 % 5, range(t))
        means = np.stack([train.values[seen & (train.labels == k)].astype(float).mean(0) for k in range(10)])
        apart = np.square(test.values[:, None] - means).sum(2)
        outputs = Outputs.read(tmp_path / "outputs" / f"ncm-{t}.safetensors")
        assert outputs.labels.names == tuple(names)
        np.testing.assert_allclose(outputs.logits, -apart, rtol=1e-3, atol=1e-3)


def test_a_class_that_no_domain_had_so_far_is_below_all_others(tmp_path):
    train = "\n".join(["one"] * 4 + ["two"] * 6)
    path = texts(tmp_path, train, "one\ntwo\n")
    lines = (path / "train.csv").read_text().splitlines()
    lines[1:5] = [line.replace(",y,", ",x,") for line in lines[1:5]]  # the first domain has one class alone
    (path / "train.csv").write_text("\n".join(lines) + "\n")
    recipe = tiny(*TEXTS, f"data.path={path}", f"training.output_dir={tmp_path / 'run'}")
    class_sums(recipe, [["x", "y"]] * 2, ["one", "two"])
    first = Outputs.read(tmp_path / "run/outputs/lda-1.safetensors").logits
    assert np.isfinite(first).all()
    assert (first.argmax(1) == 0).all()


def test_the_head_keeps_its_size_and_a_share_of_all_domains_is_not_set_aside():
    tasks = TaskSequence([["a", "b"]] * 3, ["ink", "chalk", "pen"])
    for t, domain in enumerate(tasks.domains, 1):
        rows = tasks.rows(t)
        assert rows == {"data.classes": ["a", "b"], "data.validation": "none", "data.client": {"domain": domain}}
        assert tasks.alone(t) == rows
        assert tasks.share(t, 40) == {}
    assert tasks.all() == {"data.classes": ["a", "b"], "data.validation": "none"}
    assert tasks.names == ["ink", "chalk", "pen"]
    classes = TaskSequence([["a", "b"], ["c"]])
    assert classes.rows(2) == {"data.classes": ["a", "b", "c"], "data.train_classes": ["c"]}
    assert (classes.alone(1), classes.share(2, 30)) == ({"data.classes": ["a", "b"]}, {"data.max_train_samples": 10})
    assert classes.names == ["a, b", "c"]
