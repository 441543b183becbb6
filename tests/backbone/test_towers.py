"""Of a model of pairs of images and texts, either tower can be fine-tuned, with every weight of it."""

import pytest
import torch
import transformers

from hfft import finetune
from hfft.backbone import load_model, load_processor
from hfft.backbone.spec import Backbone
from hfft.head.spec import Head
from hfft.recipe import load_recipe
from hfft.tasks.labels import Labels
from hfft.tasks.table import TASKS
from tests import stand_ins

LABELS = Labels.of("single_label_classification", ["a", "b", "c"])


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return str(stand_ins.model("openai/clip-vit-base-patch32", tmp_path_factory.mktemp("clip") / "model"))


def test_texts_are_classified_by_the_text_tower_at_the_token_that_clip_reads(clip):
    task, backbone = TASKS["text-classification"], Backbone(name=clip)
    tokenizer = load_processor(backbone, task)
    model = load_model(backbone, Head(), task, LABELS, tokenizer).eval()
    tower = transformers.CLIPTextModel.from_pretrained(clip).eval()
    assert model.config.own_head["pooling"] == "last"
    batch = tokenizer(["a good film", "what is it"], padding=True, return_tensors="pt")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        states = tower(**inputs).last_hidden_state
        last = inputs["attention_mask"].sum(1) - 1
        assert torch.allclose(model(**inputs).logits, model.head.out(states[torch.arange(2), last]), atol=1e-6)


def test_images_are_classified_by_the_stock_class(clip):
    task, backbone = TASKS["image-classification"], Backbone(name=clip)
    model = load_model(backbone, Head(), task, LABELS, load_processor(backbone, task))
    assert type(model).__name__ == "CLIPForImageClassification"


@pytest.mark.slow
@pytest.mark.parametrize(("task", "path"), [("image-classification", "digits"), ("text-classification", "docstrings")])
def test_each_tower_learns_its_head_first(clip, task, path, tmp_path):
    training = {"max_steps": 8, "per_device_train_batch_size": 8, "use_cpu": True, "output_dir": str(tmp_path / "run")}
    data = {"path": path, "max_train_samples": 40, "max_eval_samples": 20}
    sections = {"name": "x", "task": task, "backbone": {"name": clip}, "data": data, "score": {"scorecard": "off"}}
    made = finetune(load_recipe({**sections, "layers": {"schedule": "head-then-all"}, "training": training}))
    assert made.metrics["test"]["n"] == 20
    assert made.metrics["frozen"]["moved"] == []
