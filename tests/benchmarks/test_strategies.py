"""The table of methods: its recipes are ones, its statistics are right, it goes on, and rows stand as they land."""

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import strategies, strategy_claims, strategy_page
from tests.benchmarks.strategies import Failed, Job, Refused
from tests.benchmarks.strategy_claims import CLAIMS, SETTINGS, cases, recipe
from tests.benchmarks.strategy_methods import METHODS, is_there
from tests.benchmarks.strategy_run import by_size, typos

# --- claims


def test_every_method_of_the_package_is_tried_somewhere():
    tried = {method for claim in CLAIMS.values() for method in claim.methods}
    parts = {key.split(".")[1] for method in tried for key in METHODS[method] if key.startswith("strategy.")}
    # unlabelled rows of another domain and several losses are other claims; what follows a fault is none
    shift = {"mcc", "dan", "coral", "dann", "cdan", "mdd", "mcd", "bsp", "afn"}
    elsewhere = {*shift, "non_finite", "poly"}
    assert set(METHODS) >= tried
    assert {"l2_sp", "bss", "r_drop", "mixup", "ema", "sam", "distillation", "focal", "class_weights"} <= parts
    assert not elsewhere & parts


@pytest.mark.parametrize("method", [method for method in METHODS if is_there(method)])
def test_a_run_is_a_recipe_or_is_left_out_for_a_reason_of_its_own(method):
    whys = {setting: strategies.refused(setting, method) for setting, other in cases(CLAIMS) if other == method}
    of_images, of_texts = "averages inputs", "is for texts|which images do not have"
    allowed = dict.fromkeys(("mixup", "cutmix", "AugMix"), of_images) | dict.fromkeys(
        ("FreeLB", "FGM", "embedding mixup", "word dropout", "token cutoff"), of_texts
    )
    allowed["drop path"] = "is for images"
    for setting, why in whys.items():
        assert why is None or re.search(allowed.get(method, "no reason"), why), (setting, method, why)


def test_no_setting_with_few_or_wrong_labels_uses_the_eight_classes_of_the_pretraining():
    for name, setting in SETTINGS.items():
        if "resnet" in recipe(name, "plain", 1)["backbone"]["name"]:
            assert recipe(name, "plain", 1)["data"]["classes"] == ["cat", "dog"], setting


def test_a_dollar_is_a_value_of_the_setting():
    forward = recipe("digits-noise-40", "forward, true matrix", 3)
    assert forward["strategy"] == {"forward_correction": 0.4}
    assert forward["data"]["label_noise"] == {"symmetric": 0.4}
    attack = recipe("cats-attack", "PGD-AT", 1)["strategy"]["pgd"]
    assert attack == {"epsilon": 2 / 255, "step": 0.5 / 255, "steps": 7}
    assert recipe("digits-20", "plain", 1, 2.5)["training"]["num_train_epochs"] == 100
    assert recipe("digits-20", "plain", 1)["training"]["num_train_epochs"] == 40


def test_a_method_that_the_package_lacks_is_left_out(monkeypatch):
    monkeypatch.setitem(METHODS, "new", {"strategy.unheard_of": 1})
    assert strategies.refused("digits-20", "new") == "not in this version"
    assert strategies.refused("digits-20", "distillation") == "the setting has no teacher"
    monkeypatch.setitem(METHODS, "new", {"strategy.focal": -1.0})
    assert strategies.refused("digits-20", "new").startswith("strategy.focal")
    monkeypatch.setitem(METHODS, "new", {"strategy.focal": "$late"})
    assert "late" in strategies.refused("digits-20", "new")


# --- statistics


def test_equal_time_is_rounded():
    ratios = (0.7, 1.1, 1.13, 1.9, 2.2, 2.3, 3.7, 4.4, 8.6)
    assert [strategy_page.rounded(ratio) for ratio in ratios] == [1, 1, 1.25, 2, 2, 2.5, 3.5, 4, 9]


def test_classes_by_their_training_rows():
    rows = [{"class": c, "recall": r, "n": n} for c, r, n in (("a", 1, 9), ("b", 0.5, 9), ("c", 0.1, 9), ("d", 0, 0))]
    rows += [{"class": "e", "recall": 0.3, "n": 1}]
    counts = {"a": 101, "b": 100, "c": 19, "d": 1, "e": 2}
    assert by_size(rows, counts) == {"many": 1, "medium": 0.5, "few": pytest.approx(0.2)}


def test_typos_leave_the_length_and_other_signs():
    text = "Who wrote, in 1984, this?" * 8
    found = typos(text, np.random.default_rng(0))
    changed = [(a, b) for a, b in zip(text, found, strict=True) if a != b]
    assert 5 < len(changed) < 30
    assert all(a.isalpha() and b.isalpha() for a, b in changed)


# --- the command


class Stub:
    """Runs nothing, and remembers what it was asked."""

    def __init__(self, fails=(), stops=None, refuses=()):
        self.asked, self.fails, self.stops, self.refuses = [], fails, stops, refuses

    def __call__(self, job, values):
        if self.stops is not None and len(self.asked) == self.stops:
            raise KeyboardInterrupt
        self.asked.append(job)
        if job.method in self.refuses:
            raise Refused("strategy.sam: no")
        if job.method in self.fails:
            raise Failed("ended with 1: boom")
        assert values == recipe(job.setting, job.method, job.seed, job.stretch)
        better = {"R-Drop": 0.05, "plain": 0.01 * (job.stretch - 1)}.get(job.method, 0.0)
        figure = 0.8 + 0.01 * job.seed + better + 0.001 * (job.seed % 2)
        figures = dict.fromkeys(("accuracy", "balanced", "many", "medium", "few", "robust", "shifted"), figure)
        cost = {"R-Drop": 2.1, "SAM": 2.0}.get(job.method, 1.02) * job.stretch
        return {"figures": figures, "n": 500, "train_n": 100, "train_s": 10 * cost, "memory_mib": 100.0 * cost}


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The command with a stub; returns its status and the page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(strategies, "versions", lambda: {"torch": "2"})
    few = ("R-Drop", "SAM", "mixup")
    monkeypatch.setitem(CLAIMS, "little-data", strategy_claims.Claim("Little data", ("digits-20", "digits-100"), few))

    def run(stub, *arguments):
        given = [
            "--only",
            "little-data",
            "--settings",
            "digits-20",
            "--out",
            "figures.md",
            "--results",
            "results.jsonl",
            *arguments,
        ]
        status = strategies.main(given, stub)
        return status, (tmp_path / "figures.md").read_text()

    return run


def cells(page, method, heading="### digits, 20 rows"):
    """The cells of a method's row in a table."""
    table = page[page.index(heading) :]
    line = next(line for line in table.splitlines() if line.startswith(f"| {method} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_methods_stand_beside_plain_at_equal_epochs_and_in_equal_time(command):
    stub = Stub()
    status, page = command(stub, "--seeds", "5")
    assert status == 0
    assert [job.method for job in stub.asked[:4]] == ["plain", "R-Drop", "SAM", "mixup"]
    # both dear methods take twice as long, so the longer plain run is one
    assert stub.asked[20:] == [Job("digits-20", "plain", seed, 2) for seed in range(1, 6)]
    assert cells(page, "plain")[2:] == ["5", "0.831 ± 0.016", "", "", "", "1", "1"]
    shown = cells(page, "R-Drop")
    assert shown[0:4] == ["R-Drop", "`strategy.r_drop: 1.0, head.dropout: 0.1`", "5", "0.881 ± 0.016"]
    assert shown[4:] == ["**+0.050 ± 0.000**", "2 x epochs: 0.841 ± 0.016", "**+0.040 ± 0.000**", "2.06", "2.06"]
    assert cells(page, "mixup")[4:] == ["+0.000 ± 0.000", "the same epochs", "", "1.00", "1.00"]
    assert "100 training rows, 40 epochs in batches of 16 at 0.0005; n = 500 test rows." in page
    assert "digits, 100 rows" not in page


@pytest.mark.slow
def test_an_interrupted_table_goes_on_and_says_how_many_seeds_a_row_has(command, capsys):
    with pytest.raises(KeyboardInterrupt):
        command(Stub(stops=6), "--seeds", "3")
    again = Stub()
    page = Path("figures.md").read_text()
    assert cells(page, "plain")[2] == "2", "rows stand as they land"
    assert cells(page, "SAM")[2:5] == ["1", "0.811", "+0.000 (1 pair)"]
    _, page = command(again, "--seeds", "3")
    assert len(again.asked) == 12 - 6 + 3
    assert "6 to measure" in capsys.readouterr().out
    assert cells(page, "SAM")[2] == "3"
    idle = Stub()
    assert command(idle, "--seeds", "3") == (0, page)
    assert idle.asked == []


@pytest.mark.slow
def test_other_versions_and_other_recipes_are_other_measurements(command, monkeypatch):
    command(Stub(), "--seeds", "2", "--methods", "mixup")
    monkeypatch.setattr(strategies, "versions", lambda: {"torch": "3"})
    again = Stub()
    command(again, "--seeds", "1", "--methods", "mixup")
    assert again.asked == [Job("digits-20", "plain", 1), Job("digits-20", "mixup", 1)]
    monkeypatch.setitem(METHODS, "mixup", {"strategy.mixup": 0.4})
    again = Stub()
    _, page = command(again, "--seeds", "1", "--methods", "mixup")
    assert again.asked == [Job("digits-20", "mixup", 1)]
    assert cells(page, "mixup")[1:3] == ["`strategy.mixup: 0.4`", "1"], "what another recipe came to is not shown"


def test_a_run_that_fails_is_told_and_the_others_go_on(command, capsys):
    status, page = command(Stub(fails=("SAM",)), "--seeds", "2")
    assert status == 1
    said = capsys.readouterr().out
    assert "FAILED digits-20, SAM, seed 2: ended with 1: boom" in said
    assert cells(page, "mixup")[2] == "2"
    assert "| SAM |" not in page
    again = Stub()
    assert command(again, "--seeds", "2")[0] == 0
    assert again.asked[:2] == [Job("digits-20", "SAM", 1), Job("digits-20", "SAM", 2)]


def test_what_the_package_refuses_is_tried_once_and_told(command, capsys):
    stub = Stub(refuses=("SAM",))
    assert command(stub, "--seeds", "3")[0] == 0
    assert [job.method for job in stub.asked].count("SAM") == 1
    assert "left out: strategy.sam: no" in capsys.readouterr().out


def test_a_page_says_that_it_is_unfinished(command, monkeypatch):
    few = {"digits-20": ["plain", "SAM"], "trec-10": ["plain"]}
    planned = [(setting, method) for setting, methods in few.items() for method in methods]
    monkeypatch.setattr(strategies, "cases", lambda claims: planned)
    _, page = command(Stub(refuses=("SAM",)), "--seeds", "5")
    assert "**Unfinished**: 1 rows have 5 seeds, 0 fewer and 1 none. The same command goes on." in page
    planned.pop()
    _, page = command(Stub(), "--seeds", "4")
    assert "**Unfinished**: 1 rows have 5 seeds, 1 fewer and 0 none" in page
    _, page = command(Stub(), "--seeds", "5")
    assert "Unfinished" not in page


def test_a_teacher_is_trained_before_its_students(command):
    stub = Stub()
    status, page = command(stub, "--only", "student", "--settings", "trec-student", "--seeds", "2")
    assert status == 0
    assert stub.asked[:2] == [Job("trec-10", "plain", seed) for seed in (1, 2)]
    assert [job.setting for job in stub.asked[2:]] == ["trec-student"] * (len(stub.asked) - 2)
    assert "distillation" in page


def test_the_plan_is_told_and_runs_nothing(command, capsys, tmp_path):
    (tmp_path / "figures.md").write_text("")
    stub = Stub()
    assert command(stub, "--plan", "--at-once", "2", "--seeds", "5")[0] == 0
    assert stub.asked == []
    assert "20 runs of 4 rows, 20 to measure and 0 teachers before: about 0:0" in capsys.readouterr().out


def test_places_are_put_into_a_copy_of_the_recipe(tmp_path):
    for name in ("sentence-transformers/all-MiniLM-L6-v2", "CogComp/trec"):
        (tmp_path / name).mkdir(parents=True)
    runner = strategies.Runner(tmp_path, tmp_path)
    job = Job("trec-student", "distillation", 3)
    values = runner.placed(job, copy.deepcopy(job.recipe()))
    assert values["backbone"]["name"] == str(tmp_path / "sentence-transformers/all-MiniLM-L6-v2")
    assert values["training"]["output_dir"] == str(job.folder())
    assert values["strategy"]["distillation"]["teacher"].endswith("runs/strategies/trec-10-plain-1-3/run")
    assert str(tmp_path) not in json.dumps(job.under())
