"""The benchmark's scripts walked on tiny models, and the arithmetic of their tables, so that neither rots."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
from pathlib import Path

import pytest
import transformers

from hfft.pipeline import fit, record
from tests import stand_ins
from tests.benchmarks import gpu, growth, meter, prepare, run, scaling, start, table
from tests.benchmarks.cases import CASES, MINILM, Case
from tests.benchmarks.plot import plot

HERE = Path(__file__).parent


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Every run in this process, which has torch loaded already; returns the modules that were run."""
    found = []
    for module, name in ((fit, "fit"), (record, "score_splits")):  # what a run wraps is put back
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(prepare, "STREAM_ROWS", 20_000)
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path / "kept"))

    def start(module, spec, environment):
        found.append(module)
        monkeypatch.setattr(transformers.trainer, "DEFAULT_CALLBACKS", [transformers.trainer.DefaultFlowCallback])
        importlib.import_module(f"tests.benchmarks.{module}").main(spec)

    monkeypatch.setattr(run, "start", start)
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Tiny models and data sets under the names that the cases have."""
    root = tmp_path_factory.mktemp("bench")
    stand_ins.model("google-bert/bert-base-uncased", root / "models" / MINILM)
    prepare.vit(root / "models" / "hfft/vit-6", hidden=32, blocks=2, size=32)
    for name in ("CogComp/trec", "stanfordnlp/sst2", "uoft-cs/cifar10"):
        stand_ins.data(name, root / "data" / name)
    return root


def bench(folders: Path, work: Path, *arguments: str) -> tuple[int, str]:
    """The benchmark's status and page."""
    given = ["--models", str(folders / "models"), "--data", str(folders / "data"), "--work", str(work)]
    status = run.main([*given, "--table", str(work / "table.md"), "--repeats", "1", *arguments])
    return status, (work / "table.md").read_text()


@pytest.mark.slow
def test_a_case_is_measured_on_all_sides_and_an_interrupted_benchmark_goes_on(folders, tmp_path, started):
    status, page = bench(folders, tmp_path, "--only", "trec-last-2", "--only", "vit-last-1", "--rows", "16")
    assert started == ["prepare", "ours", "rivals", "rivals"] * 2
    results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    for case in ("trec-last-2", "vit-last-1"):
        sides = {r["side"]: r for r in results if r["case"] == case}
        assert set(sides) == {"ours", "tuned", "stock"}
        assert len({r["learning"] for r in sides.values()}) == 1, "the same parameters learn"
        assert len({r["n"] for r in sides.values()}) == 1
        assert all(0 < r["train_s"] < r["process_s"] for r in sides.values())
        assert all(r["peak_mib"] > 50 for r in sides.values())
    assert status == ("FAILED" in page)
    assert "last-2, 5 epochs" in page
    assert "ViT" in page

    started.clear()
    (tmp_path / "results.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in results[:-1]))
    bench(folders, tmp_path, "--only", "trec-last-2", "--only", "vit-last-1", "--rows", "16")
    assert started == ["rivals"], "the one that is missing"


@pytest.mark.slow
def test_evaluation_and_stream_say_whether_memory_is_flat(folders, tmp_path, started):
    status, page = bench(folders, tmp_path, "--only", "evaluation", "--rows", "32")
    assert started == ["prepare", "ours", "rivals", "rivals", "prepare", "ours"], "the last with ten times the rows"
    assert "MiB at a tenth of and at 320 rows; " in page
    started.clear()
    status, page = bench(folders, tmp_path, "--only", "stream", "--rows", "2560")
    assert started == ["prepare", "ours"]
    assert "of 2,560 rows" in page
    assert status == ("FAILED" in page)


@pytest.mark.slow
def test_the_gpu_script_walks_on_a_cpu(started, tmp_path, capsys):
    assert gpu.main(["--tiny", "--table", str(tmp_path / "gpu.md")]) == 0
    page = (tmp_path / "gpu.md").read_text()
    assert started == ["ours", "rivals", "rivals"] * 3
    assert "failed" not in page
    assert page.count("images/s") == 6
    assert page.count("tokens/s") == 3
    assert page.rstrip() in capsys.readouterr().out


def test_operations_of_vit_base_are_those_of_its_paper():
    """17.6 billion multiplications for an image of 224 pixels (arXiv:2106.10270), of which 0.12 embed the patches."""
    forward = gpu.flops(gpu.WHOLE, "all", 197) / 3
    assert forward == pytest.approx(2 * 17.45e9, rel=0.01)
    assert gpu.flops(gpu.WHOLE, "last-4", 197) == pytest.approx(forward * (12 + 8) / 12)


@pytest.mark.slow
def test_growth_writes_its_table_and_plot(tmp_path):
    for only in ("report", "blocks", "metrics"):
        growth.main(["--only", only, "--most", "8" if only == "blocks" else "100", "--folder", str(tmp_path)])
        assert "linear or better" in (page := (tmp_path / "growth.md").read_text()) or "too short" in page
        assert (tmp_path / "growth.svg").read_text().count("<path") > 5
    assert {curve.axis for curve in growth.CURVES} == {"rows", "classes", "tokens", "blocks"}


@pytest.mark.parametrize(("power", "said"), [(1.0, "linear or better"), (2.0, "WORSE THAN LINEAR")])
def test_an_exponent_is_the_slope_of_the_upper_half(power, said):
    points = [growth.Point(n, 1.0 + 1e-3 * n**power, n) for n in (10, 100, 10_000, 100_000, 1_000_000)]
    curve = growth.Curve("rows", "test", [], lambda n, folder: lambda: None)
    slope = growth.exponent(points, "seconds")
    assert slope == pytest.approx(power, abs=0.05)
    assert growth.verdict(curve, [slope, growth.exponent(points, "bytes")]).startswith(said)
    assert growth.exponent([growth.Point(n, 1e-4, n) for n in (1, 2, 4)], "seconds") is None, "too short"
    assert growth.exponent([growth.Point(1, 1.0, 1)], "seconds") is None, "one point has no slope"


def outcome(side: str, seconds: float, accuracy: float = 0.8, **changes: object) -> dict[str, object]:
    """A run's figures."""
    figures = {
        "side": side,
        "role": "main",
        "rows": 100,
        "train_s": seconds,
        "accuracy": accuracy,
        "n": 400,
        "learning": 7,
    }
    return {**figures, "peak_mib": 100.0, **changes}


CASE = Case("x", "X", MINILM, "CogComp/trec", "coarse_label")


def test_ratios_are_of_the_same_round_and_a_single_round_of_stock_goes_with_all():
    runs = [outcome("ours", 1), outcome("tuned", 2), outcome("stock", 10), outcome("ours", 2), outcome("tuned", 6)]
    assert table.ratios(runs, "tuned", "train_s") == [2, 3]
    assert table.ratios(runs, "stock", "train_s") == [10, 5]
    few = [*runs[:2], outcome("stock", 10, rows=10)]
    assert table.ratios(few, "stock", "train_s") == [pytest.approx(100)], "of the time a row"


def test_results_that_differ_beyond_noise_fail_the_case():
    near = [outcome("ours", 1, 0.80), outcome("tuned", 1, 0.84)]
    assert table.apart(near, "tuned")[0] == pytest.approx(-0.04)
    assert table.apart(near, "tuned")[1] == pytest.approx(1.96 * (0.8 * 0.2 / 400 + 0.84 * 0.16 / 400) ** 0.5)
    assert table.failures(CASE, near) == []
    (reason,) = table.failures(CASE, [outcome("ours", 1, 0.80), outcome("tuned", 1, 0.90)])
    assert "accuracy differs from tuned's by -0.100" in reason
    pair = [outcome("ours", 1, 0.9), outcome("ours", 1, 0.5, role="pair"), outcome("stock", 1, 0.5)]
    assert table.failures(CASE, pair) == [], "stock is compared with ours on its own rows"
    (reason,) = table.failures(CASE, [outcome("ours", 1), outcome("stock", 1, learning=8)])
    assert "other parameters learn" in reason


def test_memory_that_grows_with_the_rows_fails_the_case():
    import dataclasses

    case = dataclasses.replace(CASE, what="evaluate")
    runs = [outcome("ours", 1), outcome("ours", 10, rows=1000, role="more", peak_mib=104.0)]
    assert table.failures(case, runs) == []
    assert "memory grows" in table.failures(case, [runs[0], {**runs[1], "peak_mib": 120.0}])[0]


def test_the_cases_are_those_of_the_floors():
    assert len({case.name for case in CASES}) == len(CASES)
    floors = {case.name: (case.above_stock, case.above_tuned) for case in CASES}
    assert floors["trec-all"] == (10, 1.0)
    assert floors["resnet-head"] == (8, 6)
    given = run.parser().parse_args([])
    sides = [f"{side} {role} {rows}" for side, role, _, rows in run.plan(CASES[0], given)]
    assert sides[:4] == ["ours main 5452", "tuned main 5452", "stock main 256", "ours pair 256"]
    assert sides[4:] == ["ours main 5452", "tuned main 5452"] * 2
    given = run.parser().parse_args(["--full", "--repeats", "1"])
    assert [rows for *_, rows in run.plan(CASES[0], given)] == [5452] * 3


def test_the_rivals_import_nothing_of_ours():
    for name in ("rivals", "pace", "meter"):
        for node in ast.walk(ast.parse((HERE / f"{name}.py").read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [n for n in names if n.partition(".")[0] == "hfft"]


def test_a_run_that_fails_says_how_it_ended(tmp_path):
    with pytest.raises(SystemExit, match="No module named"):
        run.start("missing", {"result": str(tmp_path / "result.json")}, run.environment_of(tmp_path))


def test_the_peak_is_this_process_s_own():
    before = meter.peak()
    block = bytearray(200 * 2**20)
    assert meter.peak() >= before or block
    assert meter.resident() <= meter.peak()


def test_a_plot_holds_every_line():
    drawn = plot([("a <b>", [(1, 1), (10, 100)]), ("c", [(1, 0.1)])], "size", "seconds")
    assert "a &lt;b&gt;" in drawn
    assert drawn.count('stroke-width="2"') == 4


# --- start


@pytest.mark.slow
def test_a_start_is_told_in_parts(tmp_path):
    given = argparse.Namespace(models=None, data=None)
    run = start.measure(start.CASES[0], "ours", given, tmp_path)
    assert {"python", "imports", "model", "data", "rows", "first batch", "other"} <= set(run["parts"])
    for i, total in enumerate((run["wall"], run["cpu"])):
        assert sum(part[i] for part in run["parts"].values()) == pytest.approx(total)
        assert 0 <= run["parts"]["other"][i] < 0.3 * total, "the parts are most of it"
    assert 0 < run["parts"]["imports"][1] < run["cpu"]


@pytest.mark.parametrize(("seconds", "status"), [(5.9, 0), (6.1, 1)])
def test_a_start_may_take_two_seconds_above_the_floor(seconds, status, monkeypatch, capsys):
    took = {"floor": 4.0, "plain": 5.0, "ours": seconds}
    monkeypatch.setattr(
        start, "measure", lambda case, side, *_: {"wall": 9.0, "cpu": took[side], "parts": {"all": (9.0, took[side])}}
    )
    assert start.main(["--only", "digits", "--repeats", "1"]) == status
    assert f"digits again: +0.00 s above the floor, CPU +{seconds - 4:.2f} s" in capsys.readouterr().out


# --- scaling


def test_a_ring_moves_each_byte_nearly_twice_whatever_its_size():
    assert scaling.ring(100.0, 1, 10.0, 1.0) == 0.0
    assert scaling.ring(100.0, 2, 10.0, 0.0) == pytest.approx(10.0)
    assert scaling.ring(100.0, 10**6, 10.0, 0.0) == pytest.approx(20.0, rel=1e-3)


def test_the_share_of_reduction_is_what_steps_that_reduce_take_more():
    one = {"reduced": [1.0], "unreduced": [1.0], "learning": 4, "bytes": 0, "alone": 0.0}
    two = {"reduced": [1.25, 2.25], "unreduced": [1.0, 2.0], "learning": 2**20, "bytes": 2**22, "alone": 0.2}
    rounds = [{1: {"all": one}, 2: {"all": two}}]
    row = scaling.measured(rounds, "all", 8)
    assert row[2:5] == ["4.0", "8.0", f"{16 / 1.75:.1f}"]
    assert row[6].startswith(f"{0.25 / 1.75:.1%}")
    assert row[7] == "250 / 200"


def test_less_is_reduced_the_less_learns():
    rows = scaling.estimate(scaling.Paper())
    sizes = [float(row[1]) for row in rows if row[2] == "8"]
    assert sizes[0] == pytest.approx(4 * 85.8e6 / 2**20, rel=0.01)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < sizes[0] / 50
