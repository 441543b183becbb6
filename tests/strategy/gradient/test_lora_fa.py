"""LoRA-FA takes the steps of PEFT's optimiser, holds A, and is the same for every split of a batch."""

import numpy as np
import pytest
import torch
from peft.optimizers import lorafa

from hfft import layers
from hfft.errors import BadInput, ModelError
from hfft.recipe import load_recipe
from hfft.strategy.gradient.lora_fa import lora_fa, pairs
from tests.examples import SINGLE, head_and_depths, tiny
from tests.torture.runs import equal
from tests.train.test_resume import Stop, outcome
from tests.training import Gradients, arguments, difference, examples, finetuner, labels_of

LORA = {"type": "lora", "r": 3, "lora_alpha": 12}


def adapted(adapter=LORA, fa=True, dropout=0.0, dtype=torch.float64):
    model = tiny("bert", dropout=dropout, seed=0)
    head_names, depths = head_and_depths(model)
    torch.manual_seed(3)
    return layers.adapt(model, "head", adapter, depths, head_names, lora_fa=fa).to(dtype), depths


def trainer_of(
    folder, batch=8, accumulation=1, callbacks=(), dropout=0.0, dtype=torch.float64, fa=True, rules=None, **changes
):
    model, depths = adapted(fa=fa, dropout=dropout, dtype=dtype)
    settings = {
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": accumulation,
        "learning_rate": 0.01,
    }
    settings |= {"optim": "adamw_torch", "weight_decay": 0.0, "adam_epsilon": 1e-30, "max_grad_norm": 0.0, **changes}
    rows = examples("text", SINGLE, 20)
    more = {"depths": depths, "callbacks": list(callbacks), "lr_rules": rules}
    return finetuner(model, labels_of(SINGLE), rows, arguments(folder, **settings), **more)


def test_it_is_the_least_squares_solution():
    rng = np.random.default_rng(0)
    whole, a = rng.normal(size=(6, 9)), rng.normal(size=(3, 9))
    expected = np.linalg.lstsq(a.T * 4.0, whole.T, rcond=None)[0].T  # scaling X A = G
    found = lora_fa(torch.tensor(4.0 * whole @ a.T), torch.tensor(a), 4.0)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_the_steps_are_those_of_pefts_optimiser(tmp_path, monkeypatch):
    monkeypatch.setattr(lorafa, "is_bf16_available", lambda: False)  # it would compute in half precision
    trainer = trainer_of(tmp_path, max_steps=3)
    other, _ = adapted()
    start = {name: p.detach().clone() for name, p in other.named_parameters()}
    assert equal(start, dict(trainer.model.named_parameters()))
    optimiser = lorafa.create_lorafa_optimizer(other, r=3, lora_alpha=12, lr=0.01)
    for group in optimiser.param_groups:
        group["eps"] = 1e-30
    batches = []
    trainer.compute_loss = keep_inputs(trainer.compute_loss, batches)
    trainer.train()
    for inputs in batches:
        loss = torch.nn.functional.cross_entropy(
            other(**{k: v for k, v in inputs.items() if k != "labels"}).logits, inputs["labels"]
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = dict(trainer.model.named_parameters())
    assert len(batches) == 3
    for name, parameter in other.named_parameters():
        torch.testing.assert_close(found[name], parameter, rtol=1e-5, atol=1e-8)
    assert any(not torch.equal(found[name], start[name]) for name in found if "lora_B" in name)


def keep_inputs(compute, kept):
    def computed(model, inputs, *args, **kwargs):
        kept.append({key: value.clone() for key, value in inputs.items()})
        return compute(model, inputs, *args, **kwargs)

    return computed


def test_a_is_held_and_b_learns(tmp_path):
    trainer = trainer_of(tmp_path)
    start = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    moved = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, start[name])}
    assert not [name for name in moved if "lora_A" in name]
    assert {name for name in start if "lora_B" in name} <= moved


def test_any_split_of_a_batch_is_the_same_step(tmp_path):
    found = []
    for batch, accumulation in ((8, 1), (2, 4)):
        seen = Gradients()
        trainer_of(tmp_path / str(batch), batch, accumulation, callbacks=[seen], optim="sgd").train()
        found.append(seen.steps)
    assert max(difference(left, right) for left, right in zip(*found, strict=True)) < 1e-12


@pytest.mark.slow_but("False-rules1")
@pytest.mark.parametrize(
    ("fa", "rules"), [(True, {"layer_decay": 0.7}), (False, {"layer_decay": 0.7, "loraplus_lr_ratio": 16.0})]
)
def test_a_resumed_run_ends_with_the_same_bits(fa, rules, tmp_path):
    changes = {
        "fa": fa,
        "rules": rules,
        "save_strategy": "steps",
        "save_steps": 4,
        "dropout": 0.1,
        "dtype": torch.float32,
        "num_train_epochs": 3,
    }
    straight = trainer_of(tmp_path / "straight", **changes)
    straight.train()
    with pytest.raises(KeyboardInterrupt):
        trainer_of(tmp_path / "broken", callbacks=[Stop(4)], **changes).train()
    resumed = trainer_of(tmp_path / "broken", **changes)
    resumed.train(str(tmp_path / "broken" / "checkpoint-4"))
    assert equal(outcome(straight), outcome(resumed))


def test_without_it_no_gradient_is_changed():
    assert pairs(adapted(fa=False)[0]) == []
    assert len(pairs(adapted()[0])) > 1


def test_an_adapter_without_matrices_is_refused():
    for name, adapter, said in (("resnet", LORA, "convolutions"), ("bert", {"type": "ia3"}, "no LoRA layers")):
        model = tiny(name)
        head_names, depths = head_and_depths(model)
        with pytest.raises(ModelError, match=f"layers.lora_fa: .*{said}"):
            layers.adapt(model, "head", adapter, depths, head_names, lora_fa=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["lora_fa=true"], "lora_fa: is for LoRA, but there is no adapter; use layers.adapter={type: lora}"),
        (["lora_fa=true", "adapter={type: dora}"], "lora_fa: is for LoRA, but the adapter is dora"),
        (["loraplus_lr_ratio=16"], "loraplus_lr_ratio: is for LoRA, but there is no adapter"),
        (["loraplus_lr_ratio=16", "adapter={type: ia3}"], "loraplus_lr_ratio: is for LoRA, but the adapter is ia3"),
        (["loraplus_lr_ratio=0.5", "adapter={type: lora}"], "loraplus_lr_ratio: is 0.5; expected greater"),
        (["loraplus_lr_ratio=16", "lora_fa=true", "adapter={type: lora}"], "loraplus_lr_ratio: is the rate of B as a"),
    ],
)
def test_what_makes_no_sense_is_refused(given, said):
    with pytest.raises(BadInput) as caught:
        load_recipe("digits", *(f"layers.{one}" for one in given))
    assert f"layers.{said}" in str(caught.value)
