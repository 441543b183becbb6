"""A model is run once on a blank input: what cannot be trained or served is told before data is prepared."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers

from hfft import cli, layers
from hfft.errors import ModelError
from hfft.pipeline import model_check
from hfft.tasks.table import TASKS
from tests import stand_ins
from tests.architectures.case import Case
from tests.architectures.serving import processor
from tests.architectures.tiny import tiny_model
from tests.architectures.whole import end_to_end

TASK = {modality: TASKS[f"{modality}-classification"] for modality in ("image", "text")}


def answers(modality: str, name: str) -> set[str] | None:
    """What the check finds about a tiny instance with a processor as its own."""
    case = Case(modality, name)
    model_check.check_inputs(case.tiny.model, processor(case, ends=True), TASK[modality])
    return model_check.check_answers(case.fresh(), processor(case, ends=True), TASK[modality], 8)


@pytest.mark.parametrize(
    ("modality", "name", "said"),
    [
        ("image", "imagegpt", "makes input_ids of images, not pixel_values"),
        ("image", "shieldgemma2", "cannot be run on what its processor makes"),
        ("image", "pp_lcnet", "returns no logits"),
        ("text", "tapas", "token_type_ids with several numbers for a token"),
        (
            "text",
            "fnet",
            "per_device_eval_batch_size: is 8, but the outputs of fnet for a text change with the padding",
        ),
        pytest.param("text", "canine", "change with the padding of its batch", marks=pytest.mark.slow),
        ("text", "reformer", "reformer cannot be run in training .* multiple of least common multiple"),
    ],
)
def test_what_cannot_be_trained_or_served_is_one_line(modality, name, said):
    with pytest.raises(ModelError, match=said):
        answers(modality, name)


def test_outputs_that_change_with_padding_are_scored_one_by_one():
    case = Case("text", "fnet")
    assert model_check.check_answers(case.fresh(), processor(case), TASK["text"], 1) is not None


def test_outputs_of_another_size_than_the_classes_are_refused():
    case = Case("image", "vit")
    model = case.fresh()
    model.config.num_labels = 7
    with pytest.raises(ModelError, match=r"outputs of shape \(1, 3\) for 7 classes"):
        model_check.check_answers(model, processor(case), TASK["image"], 8)


@pytest.mark.parametrize("name", ["vit", "resnet", "bert", "gpt2", "ibert"])
def test_the_check_leaves_weights_buffers_mode_and_random_numbers_as_they_were(name):
    modality = "image" if name in ("vit", "resnet") else "text"
    case = Case(modality, name)
    model = case.fresh().train()
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    read = model_check.check_answers(model, processor(case), TASK[modality], 8)
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(3))
    assert model.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert read is not None
    assert model_check.never_read(model, case.depths, read) == {}


@pytest.mark.parametrize("name", ["mixtral", "jetmoe", "phimoe"])
def test_an_expert_that_one_text_does_not_take_still_learns(name):
    case = Case("text", name)
    read = model_check.check_answers(case.fresh(), processor(case), TASK["text"], 8)
    assert model_check.never_read(case.tiny.model, case.depths, read) == {}


@pytest.mark.parametrize(
    ("name", "unread_modules"),
    [
        pytest.param("canine", {"canine.final_char_encoder", "canine.projection"}, marks=pytest.mark.slow),
        ("gemma3", {"model.vision_tower", "model.multi_modal_projector"}),
        ("big_bird", {"bert.pooler"}),
    ],
)
def test_what_the_task_never_reads_does_not_count_as_learning(name, unread_modules):
    case = Case("text", name)
    model = case.fresh()
    read = model_check.check_answers(model, processor(case, ends=True), TASK["text"], 1)
    unread = model_check.never_read(model, case.depths, read)
    assert set(unread) == unread_modules
    model = layers.adapt(model, "all", None, case.depths, case.head_names)
    (said,) = model_check.leave_out(model, case.depths, unread, ["all"])
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {name for name in set().union(*unread.values()) if name in case.depths.tensors}
    assert f"({sum(p.numel() for p in model.parameters() if not p.requires_grad):,} parameters)" in said
    assert case.reached.isdisjoint(frozen)


def test_a_choice_of_blocks_none_of_which_is_read_is_refused():
    case = Case("text", "gemma3")
    model = case.fresh()
    read = model_check.check_answers(model, processor(case), TASK["text"], 8)
    unread = model_check.never_read(model, case.depths, read)
    model = layers.adapt(model, "first-2", None, case.depths, case.head_names)
    with pytest.raises(ModelError, match=r"first-2 names only what this task does not read \(model\."):
        model_check.leave_out(model, case.depths, unread, ["first-2"])


@pytest.mark.parametrize("count", [-1, 0, 1])
def test_a_tokenizer_may_not_be_longer_than_the_table(count):
    case = Case("text", "bert")
    letters = processor(case)
    model = transformers.BertForSequenceClassification(tiny_model("text", "bert").config)
    model.resize_token_embeddings(len(letters) - count, mean_resizing=False)
    if count <= 0:
        return model_check.check_table(model, letters)
    said = rf"has {len(letters)} tokens, the embedding table {len(letters) - 1} rows; add rows with backbone\.edit="
    with pytest.raises(ModelError, match=said):
        model_check.check_table(model, letters)


@pytest.mark.slow_but("image-pvt")
@pytest.mark.parametrize(
    ("modality", "name"),
    [("image", "pvt"), ("image", "siglip2"), ("text", "xlnet"), ("text", "bart"), ("text", "gpt2")],
)
def test_files_go_in_and_plain_transformers_gives_the_scored_logits(modality, name):
    assert end_to_end(Case(modality, name)) is None


@pytest.mark.parametrize(("modality", "name"), [("image", "imagegpt"), ("text", "tapas"), ("text", "reformer")])
def test_a_refusal_comes_before_data_is_prepared(modality, name, monkeypatch):
    monkeypatch.setattr("hfft.data.prepare", lambda *_: pytest.fail("data was prepared"))
    assert end_to_end(Case(modality, name)).startswith("refused: ")


def test_a_model_that_cannot_compute_activations_again_is_refused_before_data_is_read(tmp_path, capsys):
    model = stand_ins.model("microsoft/resnet-50", tmp_path / "resnet")
    (tmp_path / "r.yaml").write_text(
        f"task: image-classification\nbackbone: {{name: {model}}}\ndata: {{path: digits}}\n"
        f"training: {{output_dir: {tmp_path / 'run'}, gradient_checkpointing: true, use_cpu: true}}\n"
    )
    capsys.readouterr()
    assert cli.main(["train", str(tmp_path / "r.yaml")]) == 2
    error = capsys.readouterr().err
    assert "training.gradient_checkpointing: transformers does not support it for resnet; leave it out, or use" in error
    assert len(error.splitlines()) == 1
