"""What methods may ask: rows, outputs, blocks and learning rates are those of the training."""

import pytest
import torch

from hfft.strategy.method import Method
from tests.examples import SINGLE, head_and_depths, tiny
from tests.training import arguments, collate, examples, finetuner, labels_of


class Asking(Method):
    """Keeps the rates after each step."""

    name = "asking"

    def start(self, setting):
        self.inspector, self.rates = setting.inspector, []

    def updated(self, model, at):
        self.rates.append(dict(self.inspector.rates()))


def trainer_of(folder, rows, **changes):
    sets = {"other": examples("text", SINGLE, 5, seed=5)}
    method = Asking()
    settings = arguments(folder, num_train_epochs=1, per_device_train_batch_size=4, lr_scheduler_type="linear")
    return finetuner(tiny("bert"), labels_of(SINGLE), rows, settings, methods=[method], sets=sets, **changes), method


def test_rows_and_outputs_are_those_of_the_data(tmp_path):
    rows = examples("text", SINGLE, 8)
    trainer, method = trainer_of(tmp_path, rows)
    found, expected = method.inspector.inputs_of([5, 2]), collate([rows[5], rows[2]])
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    found = method.inspector.inputs_of([4], "other")
    assert torch.equal(found["input_ids"][0], trainer.sets["other"][4]["input_ids"])
    outputs, model = method.inspector.outputs_of(trainer.model), trainer.model.eval()
    with torch.no_grad():
        torch.testing.assert_close(outputs.logits[3:4], model(**{**collate(rows[3:4]), "labels": None}).logits)
    assert outputs.features.shape == (8, 16)
    assert outputs.labels.tolist() == [row["labels"] for row in rows]


def test_blocks_are_counted_from_the_input_or_from_the_head(tmp_path):
    trainer, method = trainer_of(tmp_path, examples("text", SINGLE, 8))
    layers = trainer.model.bert.encoder.layer
    assert method.inspector.blocks_of(trainer.model) == list(layers)


def test_rates_are_those_of_the_step_that_was_taken(tmp_path):
    rules = {"layer_decay": 0.5, "head_lr_scale": 3.0}
    trainer, method = trainer_of(tmp_path, examples("text", SINGLE, 8), lr_rules=rules)
    trainer.train()
    _, depths = head_and_depths(trainer.model)
    assert len(method.rates) == 2
    for step, rates in enumerate(method.rates):
        assert rates.keys() == {name for name, _ in trainer.model.named_parameters()}
        for name, rate in rates.items():
            depth = depths.of(name)
            scale = 3.0 if depth == depths.head else 0.5 ** (depths.head - depth)
            assert rate == pytest.approx(0.1 * scale * (1 - step / 2))
