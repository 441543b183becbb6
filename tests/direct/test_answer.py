"""How a pretrained model answers for the classes of the data, against what plain transformers computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from hfft.direct import Answering, answering
from hfft.direct.nearest import SCALE
from hfft.errors import ModelError
from hfft.head.spec import Head
from hfft.predict import Predictor, load_predictor
from hfft.tasks.labels import Labels
from hfft.tasks.table import TASKS
from tests import stand_ins
from tests.direct import tiny_models

IMAGE, TEXT = TASKS["image-classification"], TASKS["text-classification"]
SINGLE, MULTI = "single_label_classification", "multi_label_classification"
WORDS = ["good film", "long", "bad"]
TEXTS = ["the film was good", "what is it", "a long and not very fine film is not good", "who", "dull"]


def pictures(count: int = 5) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)) for _ in range(count)]


def predictor(made: Answering, task: transformers.Pipeline) -> Predictor:
    return Predictor(made.model, made.processor, task.modality, made.hypotheses)


def saved(made: Answering, folder) -> Predictor:
    """What was saved, loaded again as `hfft predict` does."""
    folder.mkdir()
    made.save(folder)
    return load_predictor(str(folder), device="cpu")


def scores(found: list, names: list[str]) -> torch.Tensor:
    """The scores of an image or text pipeline, in the order of the classes."""
    rows = [{item["label"]: item["score"] for item in row} for row in found]
    return torch.tensor([[row[name] for name in names] for row in rows])


# --- a head of its own


def test_a_head_is_narrowed_to_the_data_as_a_plain_model(tmp_path):
    labels = Labels.of(SINGLE, ["truck", "Tabby_cat", "beagle"])
    made = answering(tiny_models.resnet(tmp_path / "m"), Head(), IMAGE, labels)
    images = pictures()
    whole = transformers.pipeline(IMAGE.pipeline, str(tmp_path / "m"), top_k=5)(images)
    expected = scores(whole, ["truck", "tabby, tabby cat", "beagle"])
    expected /= expected.sum(1, keepdim=True)
    assert made.plain
    assert torch.allclose(predictor(made, IMAGE)(images), expected, atol=1e-6)
    assert torch.allclose(saved(made, tmp_path / "s")(images), expected, atol=1e-6)
    again = transformers.pipeline(IMAGE.pipeline, str(tmp_path / "s"), top_k=3)(images)
    assert torch.allclose(scores(again, list(labels.names)), expected, atol=1e-6)
    assert made.notes == [
        "Tabby_cat: tabby, tabby cat",
        "2 of the model's 5 classes are none of the data's: Persian cat, Yorkshire terrier",
    ]


def test_classes_are_summed_into_those_of_the_data(tmp_path):
    head = Head(map={"cat": ["tabby", "Persian cat"], "dog": ["/terrier/", "beagle"]})
    made = answering(tiny_models.resnet(tmp_path / "m"), head, IMAGE, Labels.of(SINGLE, ["cat", "dog"]))
    images = pictures()
    whole = scores(transformers.pipeline(IMAGE.pipeline, str(tmp_path / "m"), top_k=5)(images), tiny_models.ANIMALS)
    expected = torch.stack([whole[:, :2].sum(1), whole[:, 2:4].sum(1)], 1)
    expected /= expected.sum(1, keepdim=True)
    assert not made.plain
    assert torch.allclose(predictor(made, IMAGE)(images), expected, atol=1e-6)
    assert torch.allclose(saved(made, tmp_path / "s")(images), expected, atol=1e-6)
    untouched = transformers.pipeline(IMAGE.pipeline, str(tmp_path / "s"), top_k=5)(images)
    assert torch.equal(scores(untouched, tiny_models.ANIMALS), whole), "what is saved is the published model"


def test_a_map_of_one_to_one_is_a_narrowed_head(tmp_path):
    head = Head(map={"cat": "tabby", "dog": "/beagle/"})
    made = answering(tiny_models.resnet(tmp_path / "m"), head, IMAGE, Labels.of(SINGLE, ["dog", "cat"]))
    assert made.plain
    assert made.model.config.id2label == {0: "dog", 1: "cat"}
    assert made.model.classifier[1].weight.shape[0] == made.model.config.num_labels == 2


def test_a_head_of_several_labels_is_narrowed_and_its_classes_are_not_summed(tmp_path):
    spec = tiny_models.resnet(tmp_path / "m")
    images = pictures()
    made = answering(spec, Head(), IMAGE, Labels.of(MULTI, ["beagle", "truck"]))
    model = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "m")
    logits = Predictor(model.eval(), made.processor, IMAGE.modality).logits(images)
    assert torch.allclose(predictor(made, IMAGE)(images), logits[:, [2, 4]].sigmoid(), atol=1e-6)
    with pytest.raises(
        ModelError, match=r"head.map.cat: names several classes, whose probabilities add up only where one"
    ):
        answering(spec, Head(map={"cat": "/cat/"}), IMAGE, Labels.of(MULTI, ["cat", "truck"]))


def test_a_model_of_numbers_answers_as_it_is_if_there_are_as_many(tmp_path):
    spec = tiny_models.inference(tmp_path / "m", ["LABEL_0"])
    made = answering(spec, Head(), TEXT, Labels("regression", size=1))
    assert made.plain
    assert saved(made, tmp_path / "s")(TEXTS).shape == (5, 1)
    with pytest.raises(ModelError, match="has 1 outputs, but the data 2 numbers a row"):
        answering(spec, Head(), TEXT, Labels("regression", size=2))


# --- zero-shot


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_images_are_compared_with_texts_as_by_the_pipeline(kind, tmp_path):
    spec = getattr(tiny_models, kind)(tmp_path / "m")
    made = answering(spec, Head(prompts="the film is {}"), IMAGE, Labels.of(SINGLE, WORDS))
    images = pictures()
    pipe = transformers.pipeline("zero-shot-image-classification", str(tmp_path / "m"))
    expected = scores(pipe(images, candidate_labels=WORDS, hypothesis_template="the film is {}"), WORDS)
    assert expected.std(0).min() > 1e-3, "the images are told apart"
    logits = predictor(made, IMAGE).logits(images)
    found = logits.sigmoid() if kind == "siglip" else logits.softmax(1)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(saved(made, tmp_path / "s").logits(images), logits, atol=1e-5)
    again = transformers.pipeline("zero-shot-image-classification", str(tmp_path / "s"))
    found = scores(again(images, candidate_labels=WORDS, hypothesis_template="the film is {}"), WORDS)
    assert torch.allclose(found, expected, atol=1e-5)


def test_embeddings_of_several_prompts_are_averaged_and_normalised(tmp_path):
    spec = tiny_models.clip(tmp_path / "m")
    head = Head(prompts=["the film is {}", "a {}", "{}"], descriptions={"bad": "not fine"})
    made = answering(spec, head, IMAGE, Labels.of(SINGLE, WORDS))
    model = transformers.CLIPModel.from_pretrained(tmp_path / "m").eval()
    tokenizer = stand_ins.tokenizer()
    images = made.processor(pictures(), return_tensors="pt")
    with torch.no_grad():
        pixels = torch.nn.functional.normalize(model.get_image_features(**images).pooler_output, dim=1).numpy()
        rows = []
        for word in ["good film", "long", "not fine"]:
            texts = tokenizer([p.format(word) for p in head.prompts], padding=True, return_tensors="pt")
            texts.pop("token_type_ids", None)
            own = model.get_text_features(**texts).pooler_output.numpy()
            mean = (own / np.linalg.norm(own, axis=1, keepdims=True)).mean(0)
            rows.append(mean / np.linalg.norm(mean))
    expected = np.exp(model.logit_scale.item()) * pixels @ np.stack(rows).T
    assert np.abs(predictor(made, IMAGE).logits(pictures()).numpy() - expected).max() < 1e-4


@pytest.mark.parametrize("problem", [SINGLE, MULTI])
@pytest.mark.parametrize("order", [tiny_models.INFERENCE, ["ENTAILMENT", "NEUTRAL", "CONTRADICTION"]])
def test_texts_entail_sentences_about_classes_as_by_the_pipeline(problem, order, tmp_path):
    spec = tiny_models.inference(tmp_path / "m", order)
    made = answering(spec, Head(hypothesis="it is {}"), TEXT, Labels.of(problem, WORDS))
    pipe = transformers.pipeline("zero-shot-classification", str(tmp_path / "m"))
    several = problem == MULTI
    rows = pipe(TEXTS, candidate_labels=WORDS, hypothesis_template="it is {}", multi_label=several)
    expected = torch.tensor([[row["scores"][row["labels"].index(word)] for word in WORDS] for row in rows])
    assert expected.std(0).min() > 1e-3
    if several and order != tiny_models.INFERENCE:  # the pipeline takes the last output for contradiction then, as here
        assert pipe.entailment_id == 0
    assert torch.allclose(predictor(made, TEXT)(TEXTS, 2), expected, atol=1e-5)
    assert torch.allclose(saved(made, tmp_path / "s")(TEXTS), expected, atol=1e-5)


def test_a_model_for_inference_keeps_its_own_classes_where_the_data_has_them(tmp_path):
    spec = tiny_models.inference(tmp_path / "m")
    own = answering(spec, Head(), TEXT, Labels.of(SINGLE, ["Entailment", "contradiction"]))
    assert not own.hypotheses
    assert own.plain
    assert answering(spec, Head(), TEXT, Labels.of(SINGLE, ["a_b", "c"])).hypotheses == (
        "This example is a b.",
        "This example is c.",
    )


def test_a_text_gets_the_class_whose_description_is_nearest(tmp_path):
    spec = tiny_models.encoder(tmp_path / "m")
    head = Head(pooling="mean", descriptions={"bad": "not very fine"})
    made = answering(spec, head, TEXT, Labels.of(SINGLE, WORDS))
    model, tokenizer = transformers.BertModel.from_pretrained(tmp_path / "m").eval(), stand_ins.tokenizer()

    def embedded(text: str) -> np.ndarray:
        with torch.no_grad():
            state = model(**tokenizer(text, return_tensors="pt"))[0][0].mean(0).numpy()
        return state / np.linalg.norm(state)

    classes = np.stack([embedded(text) for text in ("good film", "long", "not very fine")])
    expected = SCALE * np.stack([embedded(text) for text in TEXTS]) @ classes.T
    assert np.abs(predictor(made, TEXT).logits(TEXTS).numpy() - expected).max() < 1e-4
    assert np.abs(saved(made, tmp_path / "s").logits(TEXTS).numpy() - expected).max() < 1e-4


def test_the_pooling_is_the_one_that_an_encoder_was_trained_with(tmp_path):
    spec, labels = tiny_models.encoder(tmp_path / "m"), Labels.of(SINGLE, WORDS)
    found = answering(spec, Head(), TEXT, labels)
    assert found.notes == [f"pooling: mean; {spec.name} was not trained as a sentence encoder"]
    (tmp_path / "m" / "1_Pooling").mkdir()
    (tmp_path / "m" / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    found = answering(spec, Head(), TEXT, labels)
    assert found.model.head.pooling == "cls"
    assert found.notes == [f"pooling: cls, as {spec.name} was trained"]


def test_texts_of_classes_are_embedded_once(tmp_path, monkeypatch):
    calls = []
    own = transformers.CLIPModel.get_text_features
    monkeypatch.setattr(
        transformers.CLIPModel, "get_text_features", lambda *a, **k: calls.append(len(k["input_ids"])) or own(*a, **k)
    )
    made = answering(tiny_models.clip(tmp_path / "m"), Head(prompts=["a {}", "{}"]), IMAGE, Labels.of(SINGLE, WORDS))
    calls.clear()
    predictor(made, IMAGE)(pictures(), 2)
    assert calls == []


# --- refusals


@pytest.mark.parametrize(
    ("kind", "task", "head", "message"),
    [
        ("resnet", IMAGE, {"prompts": "a {}"}, "head.prompts: is for an image-text model such as CLIP, but .* has a head of"),
        ("resnet", IMAGE, {"descriptions": {"a": "b"}}, "head.descriptions: is for a model that reads classes as texts"),
        ("clip", IMAGE, {"map": {"long": "x"}}, "head.map: is for a model with classes of its own, but .* compares images"),
        ("clip", IMAGE, {"hypothesis": "{}"}, "head.hypothesis: is for a model for natural-language inference"),
        ("encoder", TEXT, {"hypothesis": "{}"}, "head.hypothesis: is for .*, but .* is an encoder without a head"),
        ("inference", TEXT, {"pooling": "cls"}, "head.pooling: is for a text encoder"),
        ("clip", TEXT, {}, "use: directly needs a model with a head for text-classification, or a sentence encoder, but .*CLIP"),
        ("clip", IMAGE, {"descriptions": {"lng": "x"}}, "head.descriptions.lng: the data has no class 'lng'; did you"),
        ("encoder", TEXT, {"descriptions": {"x": "y"}}, r"no class 'x' .*it has: good film, long"),
    ],
)  # fmt: skip
def test_what_is_for_another_kind_of_model_is_refused(kind, task, head, message, tmp_path):
    spec = getattr(tiny_models, kind)(tmp_path / "m")
    with pytest.raises(ModelError, match=message):
        answering(spec, Head(**head), task, Labels.of(SINGLE, WORDS))


def test_a_bare_encoder_of_images_is_refused_with_the_uses_that_can_take_it(tmp_path):
    folder = stand_ins.model("google/vit-base-patch16-224-in21k", tmp_path / "m")
    spec = tiny_models.Backbone(name=str(folder))
    with pytest.raises(
        ModelError, match=r"but .* is a ViTModel; train a head on it \(use=fine-tune\) or .*use=classifier"
    ):
        answering(spec, Head(), IMAGE, Labels.of(SINGLE, WORDS))


def test_a_head_that_the_checkpoint_lacks_is_refused(tmp_path):
    spec = tiny_models.resnet(tmp_path / "m")
    model = transformers.ResNetModel.from_pretrained(tmp_path / "m")
    config = transformers.ResNetForImageClassification.from_pretrained(tmp_path / "m").config
    model.save_pretrained(tmp_path / "m")
    config.save_pretrained(tmp_path / "m")
    with pytest.raises(
        ModelError, match=r"the head of .* is not in its checkpoint \(missing: classifier.1.bias, classifier"
    ):
        answering(spec, Head(), IMAGE, Labels.of(SINGLE, ["beagle", "truck"]))


def test_a_hypothesis_needs_an_output_of_entailment(tmp_path):
    spec = tiny_models.inference(tmp_path / "m", ["no", "yes"])
    with pytest.raises(ModelError, match="one output of entailment; this one's are no, yes"):
        answering(spec, Head(hypothesis="it is {}"), TEXT, Labels.of(SINGLE, WORDS))


@pytest.mark.parametrize("kind", ["clip", "encoder"])
def test_only_inference_tells_several_labels_zero_shot(kind, tmp_path):
    spec = getattr(tiny_models, kind)(tmp_path / "m")
    task = IMAGE if kind == "clip" else TEXT
    with pytest.raises(
        ModelError, match="problem_type: is multi_label_classification, for which the model needs a head"
    ):
        answering(spec, Head(), task, Labels.of(MULTI, WORDS))


def test_a_note_in_a_config_that_cannot_be_read_is_refused(tmp_path):
    spec = tiny_models.resnet(tmp_path / "m")
    config = transformers.AutoConfig.from_pretrained(spec.name)
    for note, message in (
        ({"kind": "sum"}, "entry 'direct' cannot be read"),
        ({"kind": "x", "problem": SINGLE, "classes": []}, "answers by 'x'"),
    ):
        config.direct = note
        config.save_pretrained(tmp_path / "m")
        with pytest.raises(ModelError, match=message):
            load_predictor(spec.name)
