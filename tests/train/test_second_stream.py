"""The second stream of rows: its share of each batch, and the same rows for any workers and for a resumed run."""

import numpy as np
import pytest
import torch

from hfft.train.companions import ROW_NUMBERS, AccompaniedRows
from tests.examples import SINGLE, tiny
from tests.strategy.cases import Case, trainer_of
from tests.torture.runs import equal
from tests.train.test_resume import Stop, outcome
from tests.training import arguments, examples, finetuner, labels_of, methods_of


def collate(rows):
    return {"labels": torch.tensor([row["labels"] for row in rows]), "row": torch.tensor([row["row"] for row in rows])}


def read(n, size, ratio, epoch=0, batches=(range(0, 4), range(4, 8))):
    """The rows of each batch, `(parts, B)`, task first: 0, 1, … and those of the set 100, 101, …"""
    [method] = methods_of(mcc={"on": "target", "ratio": ratio})
    method.size, method.rows = size, n
    train = [{"labels": 0, "row": i} for i in range(n)]
    target = [{"labels": 0, "row": 100 + i} for i in range(size)]
    rows = AccompaniedRows(train, collate, [method], {"target": target}, seed=0)
    rows.set_epoch(epoch)
    found = []
    for batch in batches:
        got = rows.collate(rows.__getitems__(list(batch)))
        parts = ("task", *got[ROW_NUMBERS].parts)
        found.append(got["row"].view(len(parts), -1))
    return found


@pytest.mark.parametrize("ratio", [1, 2, 7])
@pytest.mark.parametrize("size", [3, 8, 50])
def test_each_batch_holds_rows_of_both_in_the_stated_share(size, ratio):
    for batch in read(8, size, ratio):
        assert batch.shape == (1 + ratio, 4)
        assert (batch[0] < 100).all()
        assert (batch[1:] >= 100).all()


def test_a_longer_set_is_gone_through_over_several_epochs():
    seen = torch.cat([batch[1] for epoch in range(3) for batch in read(8, 24, 1, epoch)])
    assert sorted(seen.tolist()) == list(range(100, 124))


def weights_of(folder, model, size, n=12, **settings):
    """The weights after two epochs with a set of `size` rows, and the trainer."""
    modality = "image" if model == "vit" else "text"
    rows, target = examples(modality, SINGLE, n), examples(modality, SINGLE, size, seed=5)
    trainer = finetuner(
        tiny(model),
        labels_of(SINGLE),
        rows,
        arguments(folder, per_device_train_batch_size=4, num_train_epochs=2, **settings),
        methods=methods_of(dan="target", dann={"on": "target", "hidden": 8, "ratio": 2}),
        sets={"target": target},
    )
    trainer.train()
    return {name: p.detach() for name, p in trainer.model.named_parameters()}


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.parametrize(("model", "size"), [("bert", 5), ("vit", 30)])
def test_the_rows_are_the_same_for_any_number_of_workers(model, size, tmp_path):
    alone = weights_of(tmp_path / "0", model, size)
    both = weights_of(tmp_path / "2", model, size, dataloader_num_workers=2, dataloader_persistent_workers=True)
    assert equal(alone, both)


@pytest.mark.slow
def test_a_run_with_workers_that_is_killed_goes_on_with_the_row_that_was_next(tmp_path):
    case = Case({"mcc": {"on": "target", "ratio": 2}, "dann": {"on": "target", "hidden": 8}}, model="vit")

    def trainer(name, callbacks=()):
        settings = {"save_strategy": "steps", "save_steps": 4, "num_train_epochs": 3, "optim": "adamw_torch"}
        return trainer_of(
            case, tmp_path / name, 4, 2, dtype=torch.float32, callbacks=callbacks, dataloader_num_workers=2, **settings
        )

    straight = trainer("straight")
    straight.train()
    with pytest.raises(KeyboardInterrupt):
        trainer("broken", (Stop(4),)).train()
    resumed = trainer("broken")
    resumed.train(str(tmp_path / "broken" / "checkpoint-4"))
    assert equal(outcome(straight), outcome(resumed))
    assert equal(straight.steps.state(), resumed.steps.state())
    assert np.isfinite(resumed.state.log_history[-1]["train_loss"])
