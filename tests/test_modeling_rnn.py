"""A recurrent net: padding changes nothing, its layers are torch's, and it learns the same however a batch is split."""

import copy

import pytest
import torch

from hfft import layers
from hfft.frozen_cache.find import find
from hfft.frozen_cache.trace import NotCuttable
from hfft.modeling_rnn import RnnConfig, RnnForSequenceClassification, RnnModel, pooled
from hfft.strategy import logits_of
from tests.examples import SINGLE, VOCABULARY, head_and_depths
from tests.training import arguments, collate, difference, examples, finetuner, labels_of

KINDS = [
    {"rnn_type": "lstm", "bidirectional": True, "num_layers": 2, "pooling": "max"},
    {"rnn_type": "gru", "bidirectional": True, "num_layers": 1, "pooling": "last"},
    {"rnn_type": "lstm", "bidirectional": False, "num_layers": 1, "pooling": "mean"},
    {"rnn_type": "gru", "bidirectional": False, "num_layers": 2, "pooling": "last"},
]


def net(dropout=0.0, **options):
    """A small net with three outputs."""
    torch.manual_seed(0)
    config = RnnConfig(VOCABULARY, embedding_size=6, hidden_size=5, num_labels=3, dropout=dropout, **options)
    return RnnForSequenceClassification(config)


def texts(count=5):
    """A padded batch of texts that differ in length."""
    batch = collate(examples("text", SINGLE, count))
    batch.pop("labels")
    return batch


def alone(batch, row):
    """One text of a batch without its padding."""
    real = batch["attention_mask"][row].bool()
    return {name: values[row, real][None] for name, values in batch.items()}


@pytest.mark.parametrize("options", KINDS)
def test_a_text_has_the_same_logits_alone_and_in_a_batch_padded_on_either_side(options):
    model, batch = net(**options).double().eval(), texts()
    left = {name: torch.zeros_like(values) for name, values in batch.items()}
    for row, length in enumerate(batch["attention_mask"].sum(1)):
        for name, values in batch.items():
            left[name][row, values.shape[1] - length :] = values[row, :length]
    expected = torch.cat([model(**alone(batch, row)).logits for row in range(len(batch["input_ids"]))])
    torch.testing.assert_close(model(**batch).logits, expected)
    torch.testing.assert_close(model(**left).logits, expected)
    first, second = model.model(**batch)[0], model.model(**left)[0]
    torch.testing.assert_close(first[batch["attention_mask"].bool()], second[left["attention_mask"].bool()])
    assert second[~left["attention_mask"].bool()].abs().max() == 0


@pytest.mark.parametrize("options", KINDS)
def test_without_padding_its_layers_are_those_of_torch(options):
    model = net(**options).double().eval()
    ids = torch.randint(1, VOCABULARY, (3, 7))
    states = model.model.embeddings(ids)
    for layer in model.model.layers:
        states, _ = layer.rnn(states)
    torch.testing.assert_close(model.model(ids)[0], states)
    found = model.model(ids, output_hidden_states=True).hidden_states
    assert len(found) == 1 + options["num_layers"]
    torch.testing.assert_close(model.model(inputs_embeds=found[0])[0], found[-1])


def test_the_poolings_are_what_they_are_called():
    states = torch.tensor([[[1.0, -2.0], [3.0, -4.0], [9.0, 9.0]], [[5.0, 6.0], [-7.0, -8.0], [-9.0, -1.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]]).bool()
    assert pooled(states, mask, "max", True).tolist() == [[3.0, -2.0], [5.0, 6.0]]
    torch.testing.assert_close(pooled(states, mask, "mean", True), torch.tensor([[2.0, -3.0], [-11 / 3, -1.0]]))
    assert pooled(states, mask, "last", False).tolist() == [[3.0, -4.0], [-9.0, -1.0]]
    assert pooled(states, mask, "last", True).tolist() == [[3.0, -2.0], [-9.0, 6.0]]  # backwards ends at the first word


@pytest.mark.parametrize("pooling", ["max", "mean", "last"])
def test_a_text_without_words_has_finite_logits_and_changes_no_other(pooling):
    model, batch = net(pooling=pooling).eval(), texts()
    expected = model(**batch).logits[1:]
    batch["attention_mask"][0] = 0
    found = model(**batch).logits
    assert found.isfinite().all()
    torch.testing.assert_close(found[1:], expected)


@pytest.mark.parametrize("options", KINDS[:2])
def test_an_update_is_the_same_however_its_batch_is_split(options, tmp_path):
    rows, found = examples("text", SINGLE, 8), []
    for size, steps in ((8, 1), (4, 2), (2, 4)):
        model = net(**options).double()
        settings = arguments(tmp_path, per_device_train_batch_size=size, gradient_accumulation_steps=steps, max_steps=2)
        finetuner(model, labels_of(SINGLE), rows, settings).train()
        found.append(model.state_dict())
    assert max(difference(found[0], other) for other in found[1:]) < 1e-12


def test_a_resumed_training_ends_with_the_same_bits(tmp_path):
    def run(folder, stop=None):
        settings = arguments(folder, save_strategy="epoch", learning_rate=0.05, seed=1, data_seed=1)
        trainer = finetuner(net(dropout=0.5), labels_of(SINGLE), examples("text", SINGLE, 16), settings)
        trainer.train(resume_from_checkpoint=stop)
        return trainer.model.state_dict()

    whole = run(tmp_path / "a")
    resumed = run(tmp_path / "b", stop=str(tmp_path / "a" / "checkpoint-2"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_its_depths_are_the_table_the_layers_and_the_head():
    model = net(num_layers=2)
    _, depths = head_and_depths(model)
    assert {name: depths.of(name) for name in ("model.embeddings.weight", "classifier.bias")} == {
        "model.embeddings.weight": 0,
        "classifier.bias": 3,
    }
    assert {depths.of(name) for name, _ in model.named_parameters() if ".layers.1." in name} == {2}
    assert layers.block_paths(model) == [("model.layers.0",), ("model.layers.1",)]


def test_frozen_layers_are_cut_off_and_a_frozen_table_alone_is_not_worth_it():
    model, batch = net(num_layers=2).train(), texts()
    model.model.embeddings.requires_grad_(False)
    with pytest.raises(NotCuttable, match=r"before the first that learns are only 0\.0% of the work"):
        find(model, batch, logits_of)
    model.model.layers[0].requires_grad_(False)
    cut = find(model, batch, logits_of)
    assert 0.1 < cut.share < 0.9
    states = cut.record(model, batch)
    with torch.no_grad(), cut.handing(model, states, batch):
        found = model(**batch).logits
    torch.testing.assert_close(found, model(**batch).logits)


def test_a_new_table_and_new_layers_are_spread_as_the_config_says():
    torch.manual_seed(0)
    model = RnnModel(RnnConfig(2000, embedding_size=50, hidden_size=25, initializer_range=0.3))
    assert float(model.embeddings.weight.detach().std()) == pytest.approx(0.3, rel=0.05)
    weights = model.layers[0].rnn.weight_ih_l0.detach()
    assert float(weights.abs().max()) <= 0.2
    assert float(weights.std()) == pytest.approx(0.2 / 3**0.5, rel=0.05)
    assert copy.deepcopy(model.config).num_hidden_layers == 1
