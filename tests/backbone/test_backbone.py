"""A loaded backbone is the pretrained one to the last weight, or the run does not begin."""

import builtins
import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from hfft import backbone, head
from hfft.backbone.locate import source
from hfft.backbone.spec import Backbone
from hfft.data.spec import Data
from hfft.errors import BadInput, DataError, ModelError
from hfft.head.spec import Head
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels
from hfft.tasks.table import TASKS
from tests import stand_ins
from tests.architectures.tiny import tiny_model
from tests.examples import ALL, EVERY, MULTI, REGRESSION, SINGLE, tiny, tiny_config
from tests.parts import model_of

LABELS = Labels.of(SINGLE, ["red", "green"])


def recipe(folder: Path | str, task: str = "text-classification", **sections) -> Recipe:
    """A recipe that names the model in a folder; `config` and `init` are those of its backbone."""
    own = {key: sections.pop(key) for key in ("config", "init", "dtype") if key in sections}
    given = {"backbone": Backbone(name=str(folder), **own), "data": Data(path="none"), **sections}
    return Recipe(name="x", task=task, **given)


def edit(folder: Path, change) -> None:
    """Change the tensors of a saved model."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture
def bert(tmp_path):
    """A saved classifier of three classes."""
    tiny("bert").save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


@pytest.fixture
def masked(tmp_path):
    """A saved masked language model: it has no pooler."""
    torch.manual_seed(0)
    transformers.BertForMaskedLM(tiny_config("bert")).save_pretrained(tmp_path / "masked")
    return tmp_path / "masked"


# --- whole, or not at all


@pytest.mark.parametrize("name", EVERY)
def test_the_backbone_is_the_pretrained_one_and_the_head_fits_the_task(name, tmp_path):
    pretrained = tiny(name, labels=5)
    pretrained.save_pretrained(tmp_path)
    model = model_of(recipe(tmp_path, ALL[name].task), LABELS)
    before, after = pretrained.state_dict(), model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before if key not in ALL[name].head)
    assert all(2 in after[key].shape for key in ALL[name].last)


@pytest.mark.parametrize("name", EVERY)
def test_any_missing_tensor_of_the_backbone_is_an_error_that_names_it(name, tmp_path):
    tiny(name).save_pretrained(tmp_path)
    parameters = [key for key in load_file(tmp_path / "model.safetensors") if key not in ALL[name].head]
    gone = parameters[len(parameters) // 2]
    edit(tmp_path, lambda tensors: tensors.pop(gone))
    with pytest.raises(ModelError, match="does not have all weights of the backbone") as caught:
        model_of(recipe(tmp_path, ALL[name].task), LABELS)
    # The file may spell it otherwise than the model (an older name of the same module): the last part is the same.
    assert f".{gone.split('.')[-1]};" in str(caught.value)
    assert "head.new=[" in str(caught.value)


def test_a_tensor_of_another_shape_is_an_error_with_both_shapes(bert):
    key = "bert.embeddings.position_embeddings.weight"
    edit(bert, lambda tensors: tensors.update({key: torch.zeros(5, 16)}))
    with pytest.raises(ModelError, match=r"of another shape: .*position_embeddings.*\(5, 16\).*\(24, 16\)"):
        model_of(recipe(bert), LABELS)


def test_blocks_beyond_the_pretrained_ones_are_an_error_and_fewer_are_not(bert):
    with pytest.raises(ModelError, match=r"missing: bert\.encoder\.layer\.3\..* more\)"):
        model_of(recipe(bert, config={"num_hidden_layers": 5}), LABELS)
    model = model_of(recipe(bert, config={"num_hidden_layers": 2}), LABELS)
    assert len(model.bert.encoder.layer) == 2


def test_a_pooler_that_was_never_pretrained_must_be_named(masked):
    with pytest.raises(ModelError, match=r"missing: bert\.pooler\.dense\.bias.*head\.new=\[bert\.pooler\.dense\]"):
        model_of(recipe(masked), LABELS)


@pytest.mark.parametrize("module", ["pooler", "bert.pooler", "bert.pooler.dense"])
def test_a_pooler_that_is_named_starts_untrained(masked, module):
    model = model_of(recipe(masked, head=Head(new=[module])), LABELS)
    pretrained = load_file(masked / "model.safetensors")
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in pretrained.items() if "cls." not in key)
    assert torch.isfinite(model.bert.pooler.dense.weight).all()


def test_damaged_weights_are_an_error(bert):
    file = bert / "model.safetensors"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ModelError, match=r"the weights of .* are damaged"):
        model_of(recipe(bert), LABELS)


# --- what is not read


def test_pickled_weights_are_refused(bert):
    torch.save(tiny("bert").state_dict(), bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no safetensors weights"):
        model_of(recipe(bert), LABELS)


def test_remote_code_is_refused_without_asking_and_never_run(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(builtins, "input", lambda *question: asked.append(question) or "n")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    maps = {"AutoConfig": "own.Config", "AutoModelForSequenceClassification": "own.Model"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": maps}))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError, match="code from its own repository, which hfft does not run"):
        model_of(recipe(tmp_path), LABELS)
    assert not (tmp_path / "ran").exists()
    assert asked == []


@pytest.mark.parametrize("place", ["{}/nothing", "./nothing", "a/b/c"])
def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path, place):
    place = place.format(tmp_path)
    with pytest.raises(ModelError, match="there is no folder"):
        model_of(recipe(place), LABELS)
    with pytest.raises(ModelError, match="there is no folder"):
        backbone.load_processor(Backbone(name=place), TASKS["text-classification"])


def test_a_name_longer_than_any_file_is_refused_before_it_is_looked_for():
    assert source("x" * 255) == "x" * 255
    for name in ("x" * 256, "me/" + "é" * 128):
        with pytest.raises(ModelError, match="… is too long to be a model's name or folder"):
            source(name)


def test_a_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(BadInput, match="cannot be used"):
        model_of(recipe(tmp_path), LABELS)


@pytest.mark.parametrize(("name", "task"), [("bert", "image-classification"), ("vit", "text-classification")])
def test_a_model_without_a_class_for_the_task_is_an_error(name, task, tmp_path):
    tiny(name).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"is a {name}, for which transformers has no AutoModelFor"):
        model_of(recipe(tmp_path, task), LABELS)


# --- as the recipe says


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_weights_are_float32_whatever_the_checkpoint_holds(stored, bert):
    tiny("bert").to(stored).save_pretrained(bert)
    model = model_of(recipe(bert), LABELS)
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}
    halved = model_of(recipe(bert, dtype="bfloat16"), LABELS)
    assert {tensor.dtype for tensor in halved.parameters()} == {torch.bfloat16}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "llama", "vit", "resnet", "clip"])
def test_random_weights_are_of_the_same_architecture_and_others(name, tmp_path):
    tiny(name).save_pretrained(tmp_path)
    pretrained = model_of(recipe(tmp_path, ALL[name].task), LABELS)
    torch.manual_seed(1)
    random = model_of(recipe(tmp_path, ALL[name].task, init="random"), LABELS)
    assert type(random) is type(pretrained)
    assert {k: v.shape for k, v in random.state_dict().items()} == {
        k: v.shape for k, v in pretrained.state_dict().items()
    }
    matrices = [key for key, tensor in pretrained.named_parameters() if tensor.ndim > 1]
    assert all(not torch.equal(pretrained.get_parameter(k), random.get_parameter(k)) for k in matrices)
    assert {tensor.dtype for tensor in random.parameters()} == {torch.float32}


def test_entries_of_the_config_can_be_overridden(bert):
    model = model_of(recipe(bert, config={"hidden_dropout_prob": 0.25}), LABELS)
    assert model.config.hidden_dropout_prob == 0.25
    assert model.bert.embeddings.dropout.p == 0.25


def test_an_unknown_entry_of_the_config_is_answered_with_the_nearest(bert):
    with pytest.raises(ModelError, match=r"config\.hidden_dropout_prop: bert .* did you mean 'hidden_dropout_prob'"):
        model_of(recipe(bert, config={"hidden_dropout_prop": 0.25}), LABELS)


def test_a_value_the_config_cannot_hold_is_an_error_with_its_name(bert):
    with pytest.raises(ModelError, match=r"backbone\.config\.hidden_dropout_prob: .*expected float"):
        model_of(recipe(bert, config={"hidden_dropout_prob": "much"}), LABELS)


@pytest.mark.parametrize("name", EVERY)
def test_dropout_of_the_head_reaches_the_model_or_is_refused(name, tmp_path):
    tiny(name).save_pretrained(tmp_path)
    wanted = recipe(tmp_path, ALL[name].task, head=Head(dropout=0.37))
    if name in ("gpt2", "llama", "vit", "dinov2", "beit", "convnext", "swin", "resnet", "clip", "siglip"):
        with pytest.raises(ModelError, match=r"head\.dropout: the head of .* has no dropout of its own; leave it out"):
            model_of(wanted, LABELS)
        return
    model = model_of(wanted, LABELS)
    inside = set(model.base_model.modules())
    rates = {True: [], False: []}
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            rates[module in inside].append(module.p)
    assert 0.37 in rates[False]
    assert 0.37 not in rates[True]


def test_dropout_that_the_config_states_and_the_head_does_not_use_is_refused(tmp_path):
    config = transformers.SegformerConfig(
        depths=[1, 1], hidden_sizes=[8, 16], num_encoder_blocks=2, num_attention_heads=[1, 2], sr_ratios=[1, 1]
    )
    transformers.SegformerForImageClassification(config).save_pretrained(tmp_path)
    for init in ("pretrained", "random"):
        with pytest.raises(ModelError, match=r"head\.dropout: the head of segformer has no dropout of its own"):
            model_of(recipe(tmp_path, "image-classification", init=init, head=Head(dropout=0.37)), LABELS)


# --- labels


def test_names_of_classes_are_ints_and_strings_and_survive_saving(bert, tmp_path):
    model = model_of(recipe(bert), Labels.of(SINGLE, ["10", "2", "red"]))
    assert model.config.id2label == {0: "10", 1: "2", 2: "red"}
    assert model.config.label2id == {"10": 0, "2": 1, "red": 2}
    assert model.config.problem_type == SINGLE
    model.save_pretrained(tmp_path / "saved")
    config = transformers.AutoConfig.from_pretrained(tmp_path / "saved")
    assert (config.id2label, config.label2id) == (model.config.id2label, model.config.label2id)
    assert config.num_labels == 3


@pytest.mark.slow_but("labels1-None")
@pytest.mark.parametrize("published", [SINGLE, MULTI, REGRESSION, None])
@pytest.mark.parametrize(
    "labels",
    [Labels.of(SINGLE, ["a", "b"]), Labels.of(MULTI, ["a"]), Labels(REGRESSION, (), 1), Labels(REGRESSION, (), 3)],
)
def test_the_problem_of_the_new_task_replaces_the_published_one(published, labels, tmp_path):
    pretrained = tiny("bert", labels=3)
    pretrained.config.id2label = {0: "cat", 1: "dog", 2: "bird"}
    pretrained.config.problem_type = published
    pretrained.save_pretrained(tmp_path)
    model = model_of(recipe(tmp_path, problem_type=labels.problem), labels)
    assert model.config.problem_type == labels.problem
    assert model.config.num_labels == model.classifier.out_features == labels.size
    assert not {"cat", "dog", "bird"} & {*model.config.id2label.values(), *model.config.label2id}
    model.save_pretrained(tmp_path / "saved")
    assert transformers.AutoConfig.from_pretrained(tmp_path / "saved").problem_type == labels.problem


def test_a_regression_of_one_number_has_one_output(bert):
    model = model_of(recipe(bert, problem_type=REGRESSION), Labels(REGRESSION, (), 1))
    assert model(torch.tensor([[1, 5, 2]])).logits.shape == (1, 1)


def test_a_decoder_without_a_padding_token_pads_with_its_end(tmp_path):
    from tokenizers import Tokenizer, models

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "<end>": 1, "word": 2}, unk_token="[UNK]"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", unk_token="[UNK]")
    tiny("gpt2", pad_token_id=None).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    processor = backbone.load_processor(Backbone(name=str(tmp_path)), TASKS["text-classification"])
    assert processor.pad_token == "<end>"
    model = model_of(recipe(tmp_path), LABELS, processor)
    assert model.config.pad_token_id == processor.pad_token_id == 1


@pytest.mark.parametrize("stated", [None, -1, 2])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_decoder_finds_the_last_token_whatever_padding_its_config_states(name, stated, tmp_path):
    tokenizer = stand_ins.tokenizer()
    tiny(name, vocab_size=len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "pad_token_id": stated}))
    task = TASKS["text-classification"]
    processor = backbone.load_processor(Backbone(name=str(tmp_path)), task)
    model = model_of(recipe(tmp_path), LABELS, processor).eval()
    alone, padded = (
        dict(task.modality.inputs.batch(texts, processor)) for texts in (["a film"], ["a film", "a long film"])
    )
    assert torch.allclose(model(**alone).logits[0], model(**padded).logits[0], atol=1e-6)


def test_a_tokenizer_without_padding_and_end_is_refused_with_the_tokens_that_could_pad(tmp_path):
    from tokenizers import Tokenizer, models

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "word": 1}, unk_token="[UNK]"))
    named = Backbone(name=str(tmp_path))
    transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path)
    with pytest.raises(
        DataError, match=r"processor\.pad_token: .*neither a padding nor an end token.*tokens: \[<pad>\]"
    ):
        backbone.load_processor(named, TASKS["text-classification"])
    words.add_special_tokens(["<|end|>"])
    transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path)
    with pytest.raises(DataError, match=r"name one of its tokens, such as <\|end\|>"):
        backbone.load_processor(named, TASKS["text-classification"])
    remedied = named.model_copy(update={"processor": {"pad_token": "<|end|>"}})
    assert backbone.load_processor(remedied, TASKS["text-classification"]).pad_token_id == 2


def test_a_number_of_classes_beside_the_names_follows_them(tmp_path):
    pretrained = tiny_model("image", "pvt", labels=5)  # its config has a field of its own
    pretrained.save_pretrained(tmp_path)
    model = model_of(recipe(tmp_path, "image-classification"), LABELS)
    assert model(torch.zeros(1, 3, 64, 64)).logits.shape == (1, 2)
    model.save_pretrained(tmp_path / "again")
    again = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "again")
    assert again.config.id2label == {0: "red", 1: "green"}
    assert again(torch.zeros(1, 3, 64, 64)).logits.shape == (1, 2)


@pytest.mark.parametrize(("new", "kind"), [([], None), (["bert.pooler"], None), ([], "linear")])
def test_the_nano_bert_needs_no_word_about_its_pooler(new, kind):
    given = recipe("nano-bert", head=Head(new=new, kind=kind))
    model = model_of(given, LABELS)
    found = {name for name in head.parameter_names(model, given.head.new) if "pooler" in name}
    assert found == (set() if kind else {"bert.pooler.dense.weight", "bert.pooler.dense.bias"})
    assert Recipe.model_validate(given.resolved()).head == given.head


def test_the_nano_bert_masked_has_no_pooler_to_speak_of():
    assert recipe("nano-bert", "fill-mask").head.new == []


# --- run folders


def test_a_run_folder_stands_for_its_model(bert):
    run = bert.parent / "run"
    (run / "checkpoint-3").mkdir(parents=True)
    (run / "recipe.yaml").write_text("name: x")
    with pytest.raises(ModelError, match=r"the run .*run has no finished model; finish its training first"):
        backbone.source(str(run))
    bert.rename(run / "model")
    assert backbone.source(str(run)) == backbone.source(str(run / "model")) == str(run / "model")
    found, expected = (model_of(recipe(name), LABELS).bert.state_dict() for name in (run, run / "model"))
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    (run / "model" / "recipe.yaml").write_text("name: x")  # as in a published folder
    assert backbone.source(str(run / "model")) == str(run / "model")


@pytest.mark.parametrize("inside", ["model", "."])
def test_an_adapter_is_no_backbone_and_the_line_says_where_it_goes(inside, tmp_path):
    folder = tmp_path / inside
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "some/bert"}')
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(
        ModelError, match=r"is an adapter; use layers\.adapter=\{from: .*\} with backbone\.name=some/bert"
    ):
        model_of(recipe(tmp_path), LABELS)


# --- without weights, and processors


def built(bert):
    """The model on the meta device, for a recipe that names a saved one."""
    given = recipe(bert)
    return backbone.build_meta_model(given.backbone, given.head, given.the_task)


def test_without_weights_the_model_has_no_data_and_as_few_outputs_as_can_be(bert):
    model = built(bert)
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert model.config.num_labels == 2


def test_without_weights_no_remote_code_is_asked_for(bert, monkeypatch):
    asked, from_config = [], transformers.AutoModelForSequenceClassification.from_config
    monkeypatch.setattr(
        transformers.AutoModelForSequenceClassification,
        "from_config",
        lambda *given, **options: asked.append(options) or from_config(*given, **options),
    )
    built(bert)
    assert asked == [{"trust_remote_code": False}]


def test_a_config_that_cannot_be_built_is_left_to_the_loading_and_our_own_errors_are_not(bert, monkeypatch):
    errors = [ValueError("needs values"), ModelError("ours"), ImportError("\nDinat requires the natten library")]

    def fails(*given, **options):
        raise errors.pop(0)

    monkeypatch.setattr(transformers.AutoModelForSequenceClassification, "from_config", fails)
    assert built(bert) is None
    with pytest.raises(ModelError, match="ours"):
        built(bert)
    with pytest.raises(
        ModelError, match=r"needs a library that is not installed \(Dinat requires the natten library\)"
    ):
        built(bert)


def test_an_entry_that_the_processor_does_not_have_is_answered_with_the_nearest(tmp_path):
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    task = TASKS["image-classification"]
    given = Backbone(name=str(tmp_path), processor={"image_mean": [0.1, 0.2, 0.3], "do_resize": False})
    processor = backbone.load_processor(given, task)
    assert (list(processor.image_mean), processor.do_resize) == ([0.1, 0.2, 0.3], False)
    wrong = Backbone(name=str(tmp_path), processor={"image_men": [0.1]})
    with pytest.raises(
        ModelError, match=r"backbone\.processor\.image_men: \w+ has no such entry; did you mean 'image_mean'\?"
    ):
        backbone.load_processor(wrong, task)
