"""Tiny models and data sets in the place of those that the shipped recipes name: same architecture, same columns."""

from __future__ import annotations

import functools
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers
from datasets import ClassLabel, Dataset, Features, Image, Value

from tests import imagenet_names, sounds

PACS = ["dog", "elephant", "giraffe", "guitar", "horse", "house", "person"]
ACTIVITIES = ["walking", "walking upstairs", "walking downstairs", "sitting", "standing", "laying"]
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TREC = ["ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"]
SENTENCE = "a the film was good bad fine dull long short who where when what how many is it not very"
WORDS = SENTENCE.split(" ")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def picture(rng: np.random.Generator, label: int, size: int = 32) -> dict[str, Any]:
    """A PNG whose brightness tells the class."""
    from PIL import Image as Pillow

    pixels = rng.integers(0, 60, (size, size, 3), dtype=np.uint8) + np.uint8(label * 18)
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "png")
    return {"bytes": file.getvalue(), "path": None}


def images(rows: int, column: str, label: str, names: list[str], seed: int = 0) -> Dataset:
    """Images in `column`, classes in `label`, balanced."""
    rng, labels = np.random.default_rng(seed), [i % len(names) for i in range(rows)]
    features = Features({column: Image(), label: ClassLabel(names=names)})
    return Dataset.from_dict({column: [picture(rng, y) for y in labels], label: labels}, features=features)


def texts(rows: int, column: str, label: str, names: list[str] | int, seed: int = 0) -> Dataset:
    """Sentences in `column` whose first word tells the class, classes in `label`."""
    rng = np.random.default_rng(seed)
    count = names if isinstance(names, int) else len(names)
    labels = [i % count for i in range(rows)]
    values = [" ".join([WORDS[y], *rng.choice(WORDS, rng.integers(2, 12))]) for y in labels]
    feature = Value("int64") if isinstance(names, int) else ClassLabel(names=names)
    return Dataset.from_dict(
        {column: values, label: labels}, features=Features({column: Value("string"), label: feature})
    )


def save_splits(folder: Path, **splits: Dataset) -> Path:
    """A folder in the hub's layout, which `load_dataset` reads."""
    folder.mkdir(parents=True)
    for name, rows in splits.items():
        rows.to_parquet(folder / f"{name}-00000-of-00001.parquet")
    return folder


def save_domains(folder: Path, *domains: str, names: tuple[str, ...] = ("bike", "mug", "pen")) -> Path:
    """A folder of images for each domain, in it one for each class."""
    rng = np.random.default_rng(0)
    for domain in domains:
        for label, name in enumerate(names):
            (folder / domain / name).mkdir(parents=True)
            for i in range(10):
                (folder / domain / name / f"{i}.png").write_bytes(picture(rng, label)["bytes"])
    return folder


def save_arrays(file: Path, channels: int = 3, classes: int = 9, **rows: int) -> Path:
    """Images whose brightness tells the class, as MedMNIST writes them: so many rows for each prefix of the arrays."""
    rng, made = np.random.default_rng(0), dict[str, np.ndarray]()
    for prefix, count in rows.items():
        labels = np.arange(count, dtype=np.uint8)[:, None] % classes
        noise = rng.integers(0, 40, (count, 28, 28, channels), dtype=np.uint8)
        images = noise + (labels * 20)[:, :, None, None].astype(np.uint8)
        made |= {f"{prefix}_images": images if channels > 1 else images[..., 0], f"{prefix}_labels": labels}
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, **made)
    return file


def series(rows: int, label: str, names: list[str], length: int = 128, channels: int = 9, subjects: int = 6) -> Dataset:
    """Waves whose frequency tells the class, of subjects that move with another strength and phase each."""
    rng, labels = np.random.default_rng(0), [i % len(names) for i in range(rows)]
    people = [i // len(names) % subjects + 1 for i in range(rows)]
    times = np.arange(length)[:, None] + 2 * np.arange(channels)
    strength, phase = rng.uniform(0.5, 1.5, subjects + 1), rng.uniform(0, 6, rows)
    made = [
        strength[who] * np.sin(times * (0.05 + 0.07 * y) + start) + rng.normal(0, 0.2, times.shape)
        for y, who, start in zip(labels, people, phase, strict=True)
    ]
    numbers = datasets.List(datasets.List(Value("float32")))
    features = Features({"series": numbers, label: ClassLabel(names=names), "subject": Value("int64")})
    return Dataset.from_dict({"series": made, label: labels, "subject": people}, features=features)


def _patchtst(folder: Path) -> None:
    sizes = {"d_model": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 32}
    config = transformers.PatchTSTConfig(num_input_channels=7, context_length=64, **sizes)
    transformers.PatchTSTForPretraining(config).save_pretrained(folder)


DATA: dict[str, Callable[[Path], Path]] = {
    "uoft-cs/cifar10": lambda folder: save_splits(
        folder, train=images(100, "img", "label", CIFAR10), test=images(20, "img", "label", CIFAR10, 1)
    ),
    "microsoft/cats_vs_dogs": lambda folder: save_splits(folder, train=images(60, "image", "labels", ["cat", "dog"])),
    "flwrlabs/pacs": lambda folder: save_splits(
        folder, train=in_domains(images(120, "image", "label", PACS), ["photo", "art_painting", "cartoon", "sketch"])
    ),
    "stanfordnlp/sst2": lambda folder: save_splits(
        folder,
        train=texts(64, "sentence", "label", ["negative", "positive"]),
        validation=texts(16, "sentence", "label", ["negative", "positive"], 1),
        test=texts(16, "sentence", "label", ["negative", "positive"], 2).map(lambda row: {"label": -1}),
    ),
    "office31": lambda folder: save_domains(folder, "amazon", "webcam"),
    "office_home": lambda folder: save_domains(folder, "Art", "Clipart"),
    "visda": lambda folder: save_domains(folder, "train", "validation"),
    "superb_ks": sounds.folder,
    "speech_commands": sounds.folder,
    "pathmnist.npz": lambda folder: save_arrays(folder / "pathmnist.npz", train=80, val=20, test=20),
    "uci_har": lambda folder: save_splits(folder, train=series(96, "activity", ACTIVITIES)),
    "CogComp/trec": lambda folder: save_splits(
        folder,
        train=texts(120, "text", "coarse_label", TREC),
        test=texts(24, "text", "coarse_label", TREC, 1),
    ),
}


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    """A word-level tokenizer of two dozen words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=64, **names)


def small(**changes: Any) -> dict[str, Any]:
    """Sizes of a tiny text encoder that still learns in a few dozen steps."""
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    return {
        "vocab_size": 32,
        "max_position_embeddings": 130,
        "pad_token_id": 0,
        "initializer_range": 0.05,
        **sizes,
        **changes,
    }


def _vit(folder: Path, blocks: int = 4) -> None:
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 32, "patch_size": 8}
    config = transformers.ViTConfig(num_hidden_layers=blocks, **sizes)
    transformers.ViTModel(config).save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


def vit_mae(folder: Path) -> None:
    """A tiny masked autoencoder."""
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
    }
    decoder = {f"decoder_{key}": value for key, value in sizes.items()}
    config = transformers.ViTMAEConfig(image_size=32, patch_size=8, **sizes, **decoder)
    transformers.ViTMAEForPreTraining(config).save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


def _resnet(
    folder: Path, depth: int = 1, layer_type: str = "bottleneck", names: list[str] = imagenet_names.PETS
) -> None:
    sizes: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [16, 32, 32, 64], "depths": [depth] * 4}
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    config = transformers.ResNetConfig(layer_type=layer_type, **sizes, **labels)
    transformers.ResNetForImageClassification(config).save_pretrained(folder)
    transformers.ConvNextImageProcessorPil(size={"shortest_edge": 64}).save_pretrained(folder)


def dinov2(folder: Path) -> None:
    """A tiny DINOv2."""
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.Dinov2Config(image_size=28, patch_size=14, **sizes)
    transformers.Dinov2Model(config).save_pretrained(folder)
    size = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    transformers.BitImageProcessorPil(**size).save_pretrained(folder)


def _clip(folder: Path) -> None:
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    text = {"vocab_size": 32, "max_position_embeddings": 64, "eos_token_id": 3, "bos_token_id": 2, **sizes}
    vision = {"image_size": 32, "patch_size": 8, **sizes}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    transformers.CLIPModel(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)


def _text(model: type, config: transformers.PretrainedConfig) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        model(config).save_pretrained(folder)
        tokenizer().save_pretrained(folder)

    return save


def _vectors(file: Path) -> None:
    """An archive of a file in GloVe's format."""
    rng = np.random.default_rng(0)
    lines = [f"{word} {' '.join(f'{x:.3f}' for x in rng.normal(0, 0.4, 12))}\n" for word in WORDS]
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("vectors.txt", "".join(lines))


MODELS: dict[str, Callable[..., None]] = {
    "glove.840B.300d.zip": _vectors,
    "google/vit-base-patch16-224-in21k": _vit,
    "runs/office31_source/model": functools.partial(_resnet, names=["bike", "mug", "pen"]),
    "facebook/wav2vec2-base": sounds.wave_model,
    "MIT/ast-finetuned-audioset-10-10-0.4593": sounds.ast,
    "microsoft/resnet-50": _resnet,
    "microsoft/resnet-101": _resnet,
    "microsoft/resnet-18": functools.partial(_resnet, layer_type="basic"),
    "ibm-granite/granite-timeseries-patchtst": _patchtst,
    "google-bert/bert-base-uncased": _text(transformers.BertModel, transformers.BertConfig(**small())),
    "sentence-transformers/all-MiniLM-L6-v2": _text(transformers.BertModel, transformers.BertConfig(**small())),
    "openai-community/gpt2": _text(
        transformers.GPT2Model, transformers.GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2, n_positions=130)
    ),
    "distilbert/distilbert-base-uncased": _text(
        transformers.DistilBertModel,
        transformers.DistilBertConfig(
            vocab_size=32, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=130, pad_token_id=0
        ),
    ),
    "hfft/resnet-cifar8": lambda folder: _resnet(
        folder, layer_type="basic", names=[name for name in CIFAR10 if name not in ("cat", "dog")]
    ),
    "openai/clip-vit-base-patch32": _clip,
    "facebook/dinov2-small": dinov2,
    "facebook/vit-mae-base": vit_mae,
    "FacebookAI/roberta-large-mnli": _text(
        transformers.RobertaForSequenceClassification,
        transformers.RobertaConfig(**small(), id2label={0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}),
    ),
    "FacebookAI/roberta-base": _text(transformers.RobertaForMaskedLM, transformers.RobertaConfig(**small())),
}


def model(name: str, folder: Path, **sizes: Any) -> Path:
    """A tiny pretrained model of the architecture that the hub's `name` has, or a file of word vectors."""
    torch.manual_seed(0)
    folder = folder.with_suffix(Path(name).suffix) if name.endswith(".zip") else folder
    MODELS[name](folder, **sizes)
    return folder


def teacher(name: str, auto_class: str, classes: list[str], folder: Path) -> Path:
    """A finished model of these classes, with the processor of `model`."""
    backbone = model(name, folder)
    labels = {"id2label": dict(enumerate(classes)), "label2id": {label: i for i, label in enumerate(classes)}}
    getattr(transformers, auto_class).from_pretrained(backbone, **labels).save_pretrained(folder)
    return folder


CLASSES = {"uoft-cs/cifar10": CIFAR10, "CogComp/trec": TREC}


def in_domains(rows: Dataset, names: list[str]) -> Dataset:
    """The rows with a column `domain`, which does not go with their labels."""
    return rows.add_column("domain", [names[i // 7 % len(names)] for i in range(len(rows))])


def rows_of_task(task: Any, folder: Path) -> Path:
    """A few rows with the columns that one of several tasks names, in the splits that it reads."""
    columns, rng = task.data.columns, np.random.default_rng(0)
    label = str(columns.label or "label")

    def rows(count: int) -> Dataset:
        found = texts(count, columns.text or "text", label, ["no", "yes"])
        if columns.text_pair:
            found = found.add_column(columns.text_pair, rng.choice(WORDS, count).tolist())
        if task.problem_type == "regression":
            found = found.remove_columns(label).add_column(label, rng.random(count).tolist())
        return found

    datasets.disable_progress_bars()
    return save_splits(folder, train=rows(40), validation=rows(16), test=rows(16))


def data(name: str, folder: Path) -> Path:
    """A few rows with the columns that the hub's `name` has."""
    datasets.disable_progress_bars()
    return DATA[name](folder)
