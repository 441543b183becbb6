"""Methods with stored outputs of frozen layers train as they do without."""

import pytest
import torch

from hfft.data.modality.image import ImageCollate
from hfft.frozen_cache.frozen_cache import FrozenCacheSettings
from hfft.layers.freeze import adapt
from hfft.train.steps import Steps
from tests.examples import SINGLE, head_and_depths, tiny
from tests.strategy.cases import source_head
from tests.train.test_resume import images
from tests.training import arguments, difference, examples, finetuner, labels_of, methods_of


def trained(folder, strategy, cached, kind="bert", rows=None, views=0, sets=None, **settings):
    model = tiny(kind, dropout=0.0)
    head_names, depths = head_and_depths(model)
    adapt(model, "last-1", None, depths, head_names)
    trainer = finetuner(
        model,
        labels_of(SINGLE),
        rows or examples("text", SINGLE, 12),
        arguments(folder, per_device_train_batch_size=4, **settings),
        methods=methods_of(**strategy),
        sets=sets,
        cache_settings=FrozenCacheSettings(folder / "kept", 10**9, views) if cached else None,
        source_head=lambda: source_head(next(model.parameters()).dtype),
    )
    trainer.train()
    return trainer


STRATEGIES = ({"decay_to_start": 5.0}, {"ewc": 100.0}, {"co_tuning": 2.3}, {"lwf": 1.0}, {"confidence_penalty": 0.5})


@pytest.mark.slow_but("lwf")
@pytest.mark.parametrize("strategy", STRATEGIES, ids=" ".join)
def test_a_term_is_the_same_with_stored_outputs(strategy, tmp_path):
    plain, cached = (trained(tmp_path / str(how), strategy, how) for how in (False, True))
    assert cached.cache_report.get("cut")
    weights = [{name: p.detach() for name, p in t.model.named_parameters()} for t in (plain, cached)]
    assert difference(*weights) < 1e-6
    [name] = strategy
    logs = [[log.get(name, log["loss"]) for log in t.state.log_history if "loss" in log] for t in (plain, cached)]
    assert logs[1] == pytest.approx(logs[0], rel=1e-4, abs=1e-6)


def test_blocks_after_the_stored_ones_are_skipped_as_without_a_cache(tmp_path):
    rows = examples("image", SINGLE, 12)
    plain, cached = (trained(tmp_path / str(how), {"drop_path": 0.5}, how, "vit", rows) for how in (False, True))
    assert cached.cache_report.get("cut")
    assert difference(*[{name: p.detach() for name, p in t.model.named_parameters()} for t in (plain, cached)]) < 1e-6
    none = trained(tmp_path / "none", {}, False, "vit", rows)
    assert difference(*[{name: p.detach() for name, p in t.model.named_parameters()} for t in (plain, none)]) > 1e-4


SHIFT = {
    "mcc": {"mcc": {"on": "target", "ratio": 2, "weight": 3.0}},
    "dan": {"dan": {"on": "target", "weight": 3.0}, "entropy": {"on": "target"}},
    "cdan": {"cdan": {"on": "target", "hidden": 8}, "coral": {"on": "target", "of": "features"}},
}


@pytest.mark.slow_but("mcc-bert")
@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", ["bert", "vit"])
@pytest.mark.parametrize("name", SHIFT)
def test_rows_of_another_set_are_stored_as_well(name, kind, tmp_path):
    modality = "text" if kind == "bert" else "image"
    rows, target = examples(modality, SINGLE, 12), examples(modality, SINGLE, 7, seed=5)
    given = {"kind": kind, "rows": rows, "sets": {"target": target}, "num_train_epochs": 4}
    plain, cached = (trained(tmp_path / str(how), SHIFT[name], how, **given) for how in (False, True))
    assert cached.cache_report.get("cut")
    assert cached.cache_report["rows"] == cached.cache_report["of"] == 12 + 7
    weights = [{n: p.detach() for n, p in t.model.named_parameters()} for t in (plain, cached)]
    assert difference(*weights) < 1e-5
    logs = [[log[name] for log in t.state.log_history if "loss" in log] for t in (plain, cached)]
    assert logs[1] == pytest.approx(logs[0], rel=1e-4, abs=1e-6)
    assert len(set(logs[0])) > 2


def test_a_row_of_a_set_keeps_its_own_label(tmp_path):
    """What is stored of a row is its own, whatever rows of the task it was read beside."""
    target = [{**row, "labels": 2} for row in examples("text", SINGLE, 7, seed=5)]
    seen = []
    before = Steps.prepared

    def prepared(self, inputs):
        batch = before(self, inputs)
        seen.append(batch.part_labels["target"].tolist())
        return batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Steps, "prepared", prepared)
        trained(tmp_path, {"mcc": "target"}, True, sets={"target": target}, num_train_epochs=4)
    assert len(seen) == 12
    assert {label for labels in seen for label in labels} == {2}


def test_methods_that_draw_rows_anew_still_turn_the_cache_off(tmp_path):
    strategy = {"mcc": "target", "pseudo_label": "target"}
    trainer = trained(tmp_path, strategy, True, sets={"target": examples("text", SINGLE, 7, seed=5)})
    assert trainer.cache_report["why"] == "strategy.pseudo_label needs the inputs themselves"


@pytest.mark.parametrize(("views", "kept"), [(2, True), (0, False)])
def test_the_starts_answers_are_those_to_the_view_that_is_shown(views, kept, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.training.collate", lambda rows, dtype: ImageCollate(SINGLE)(rows))
    still = {"learning_rate": 0.0, "num_train_epochs": 4}
    trainer = trained(tmp_path, {"lwf": 1.0}, cached=True, kind="vit", rows=images(), views=views, **still)
    [method] = trainer.methods
    assert (method.kept is not None) == kept
    if kept:
        assert len(method.kept) == 20
        assert not torch.allclose(method.kept[:10], method.kept[10:])  # the views differ
    logs = [log["lwf"] for log in trainer.state.log_history if "loss" in log]
    assert len(logs) == 12
    assert logs == pytest.approx([0] * 12, abs=1e-6)  # the model is the start in every step
