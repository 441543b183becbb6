"""Model inputs: what the model's own processor gives, padded per batch, prepared once, augmented by seed, epoch and row."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import transformers
from datasets import ClassLabel, Dataset, Features
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.utils.data import DataLoader
from transformers import AutoImageProcessor, ByT5Tokenizer, PreTrainedTokenizerFast, T5Config

from hfft.data.columns import RowError
from hfft.data.modality.base import Inputs
from hfft.data.modality.text import TextInputs, TextStep, max_length
from hfft.data.stream import Stream, StreamOrder
from hfft.errors import DataError
from hfft.recipe.build import build
from tests.parts import prepared_of, splits_of

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
WORDS = [f"w{i}" for i in range(40)]


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """Each test in a folder of its own, caches included."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


def recipe(path, task="text-classification", problem=SINGLE, seed=42, **data):
    values = {"task": task, "problem_type": problem, "backbone": {"name": "-"}, "training": {"seed": seed}}
    return build(json.dumps({**values, "data": {"path": str(path), **data}}), "test.yaml", "test")


def ready(path, processor, **settings):
    """(prepared, splits) of a recipe."""
    given = recipe(path, **settings)
    splits, labels = splits_of(given)
    return prepared_of(splits, given, labels, processor), splits


def words(limit=16):
    """A tokenizer of whole words."""
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=limit, mask_token="[MASK]", **names)
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    return tokenizer


def table(path, rows, features=None):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict({name: [row[name] for row in rows] for name in rows[0]}, features=features).to_parquet(path)
    return path


def sentence(i, length=None):
    return " ".join(WORDS[(i + j) % len(WORDS)] for j in range(1 + i % 7 if length is None else length))


TEXTS = [{"text": sentence(i), "label": i % 2, "labels": "?", "row": -1, "length": 9} for i in range(20)]


# --- text


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("pair", [False, True])
def test_a_batch_of_texts_is_what_the_tokenizer_gives_for_it(streaming, pair):
    rows = [{**row, "second": sentence(i + 3)} for i, row in enumerate(TEXTS)]
    columns = {"text_pair": "second"} if pair else {}
    settings = {"columns": columns, "streaming": streaming, "classes": ["0", "1"], "validation": "train"}
    prepared, _ = ready(table("x.parquet", rows), words(), **settings)
    inputs = list(prepared.validation)
    for start in (0, 5):
        chosen = rows[start : start + 5]
        batch = prepared.collate(inputs[start : start + 5])
        seconds = [row["second"] for row in chosen] if pair else None
        expected = words()(
            [row["text"] for row in chosen], seconds, padding="longest", truncation=True, return_tensors="pt"
        )
        assert set(batch) == {"input_ids", "token_type_ids", "attention_mask", "labels"}
        for name, tensor in expected.items():
            assert torch.equal(batch[name], tensor)
        assert batch["labels"].tolist() == [row["label"] for row in chosen]
        assert batch["labels"].dtype == torch.long


def test_rows_hold_only_model_inputs_and_labels_and_keep_their_own_length():
    prepared, splits = ready(table("x.parquet", TEXTS), words())
    assert set(prepared.train[0]) == {"input_ids", "token_type_ids", "labels"}
    lengths = [len(row["input_ids"]) for row in prepared.train]
    assert lengths == [3 + row % 7 for row in splits.train["row"]]
    assert prepared.train.lengths.tolist() == lengths


def test_long_texts_are_cut_at_the_tokenizers_length():
    rows = [{"text": sentence(i, 30), "second": sentence(i, 3), "label": i % 2} for i in range(4)]
    prepared, _ = ready(table("x.parquet", rows), words(limit=10), validation=0.5)
    assert [len(row["input_ids"]) for row in prepared.train] == [10, 10]
    prepared, _ = ready("x.parquet", words(limit=10), validation=0.5, columns={"text_pair": "second"})
    for row in prepared.train:
        assert len(row["input_ids"]) == 10
        assert sum(row["token_type_ids"]) == 4  # the longer text is cut, the shorter one is whole with its end


class NoEnd(torch.nn.Module):
    """A model whose positions have no end, or as many as it states."""

    def __init__(self, stated=None):
        super().__init__()
        self.config = T5Config()
        if stated is not None:
            self.config.max_position_embeddings = stated


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("fast", [True, False])
def test_texts_longer_than_the_limit_are_counted_and_no_text_is_tokenised_twice_for_it(fast, pair, monkeypatch):
    lengths = [6, 7, 8, 9, 30, 200, 1, 7]
    space = 5 if pair else 2
    rows = [{"text": sentence(i, n), "second": "w1 w2", "label": i % 2} for i, n in enumerate(lengths)]
    tokenizer, columns = words(8 + space), {"text_pair": "second"} if pair else {}
    if not fast:  # ByT5: a byte is a token, and one token ends a text
        rows = [{**row, "text": "x" * n, "second": "y" * 2} for row, n in zip(rows, lengths, strict=True)]
        space = 4 if pair else 1
        tokenizer = ByT5Tokenizer(model_max_length=8 + space)
    seen, call = [], type(tokenizer).__call__

    def counted(self, *texts, **settings):
        seen.extend(texts[0])
        return call(self, *texts, **settings)

    monkeypatch.setattr(type(tokenizer), "__call__", counted)
    prepared, _ = ready(table("x.parquet", rows), tokenizer, validation="train", columns=columns)
    assert (prepared.train.cut, len(prepared.train)) == (3, 8)
    at_limit = [n for n in lengths if n >= 8]
    assert len(seen) == len(lengths) + (0 if fast else len(at_limit))
    note = f"3 of 8 texts are longer than {8 + space} tokens and are cut; data.max_length=64, the model's limit, keeps more"
    found = notes_of(prepared, tokenizer, NoEnd(64))
    assert found == [f"split {name}: {note} of them" for name in ("train", "validation")]
    again, _ = ready("x.parquet", tokenizer, validation="train", columns=columns)
    assert again.train.cut == 3, "known from the cache too"
    assert len(seen) == len(lengths) + (0 if fast else len(at_limit))


def notes_of(prepared, tokenizer, model, taken=0):
    """The notes on texts that were cut."""
    return TextInputs().limit_notes({"train": prepared.train, **dict(prepared.items())}, tokenizer, model, taken)


@pytest.mark.parametrize(
    ("stated", "taken", "remedy"),
    [
        (None, 0, "a larger data.max_length keeps more of them"),
        (8, 0, "the model takes no more: shorten or divide them"),
        (12, 4, "the model takes no more: shorten or divide them"),
        (13, 4, "data.max_length=13, the model's limit, keeps more of them"),
    ],
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_remedy_for_long_texts_is_one_that_works(stated, taken, remedy, side):
    tokenizer = words(8)
    tokenizer.truncation_side = side
    rows = [{"text": sentence(i, 3 + 4 * i), "label": i % 2} for i in range(4)]
    prepared, _ = ready(table("x.parquet", rows), tokenizer, validation="train")
    line = f"split train: 3 of 4 texts are longer than 8 tokens and are cut; {remedy}"
    assert notes_of(prepared, tokenizer, NoEnd(stated), taken)[0] == line


def test_texts_that_fit_and_streams_are_not_told():
    prepared, _ = ready(table("x.parquet", TEXTS), words())
    assert (prepared.train.cut, notes_of(prepared, words(), NoEnd(8))) == (0, [])
    prepared, _ = ready("x.parquet", words(4), streaming=True, classes=["0", "1"])
    assert notes_of(prepared, words(4), NoEnd(8)) == []


@pytest.mark.parametrize(
    ("stated", "positions", "wanted", "length"),
    [
        (512, 128, None, 128),
        (64, 128, None, 64),
        (int(1e30), 128, None, 128),
        (512, 128, 32, 32),
        (int(1e30), None, None, 512),
        (int(1e30), None, 2000, 2000),
    ],
)
def test_the_longest_input_is_the_recipes_or_the_smaller_limit_of_tokenizer_and_model(
    stated, positions, wanted, length
):
    assert max_length(words(stated), with_positions(positions), wanted) == length


@pytest.mark.parametrize("stated", [-1, 0, None])
def test_a_model_that_states_no_number_of_positions_takes_any_length(stated):
    model = with_positions(None)
    model.config.max_position_embeddings = stated  # XLNet states -1
    assert max_length(words(64), model, None) == 64
    assert max_length(words(int(1e30)), model, None) == 512


def with_positions(count: int | None, kind: str = "Bert") -> torch.nn.Module:
    """A model with a table of so many positions, or one that computes them."""
    if count is None:
        config = T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, vocab_size=32)
        return transformers.T5EncoderModel(config)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = getattr(transformers, f"{kind}Config")(max_position_embeddings=count, vocab_size=32, **sizes)
    return getattr(transformers, f"{kind}Model")(config)


def test_more_tokens_than_the_model_has_positions_for_are_refused_before_training():
    with pytest.raises(DataError, match="is 129, but the model has 128 positions"):
        max_length(words(512), with_positions(128), 129)
    assert max_length(words(int(1e30)), with_positions(130, "Roberta"), None) == 128, (
        "RoBERTa's first two are padding's"
    )


@pytest.mark.slow_but("  \\n-second-True")
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("column", ["text", "second"])
@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_a_missing_text_is_named_with_split_and_row(value, column, streaming):
    rows = [{"text": "w1", "second": "w2", "label": i % 2} for i in range(6)]
    for split in ("train", "test"):
        table(f"d/{split}.parquet", rows if split == "train" else [*rows[:4], {**rows[4], column: value}, rows[5]])
    settings = {"columns": {"text_pair": "second"}, "streaming": streaming, "classes": ["0", "1"]}
    with pytest.raises(DataError) as caught:
        list(ready("d", words(), **settings, validation="train")[0].test)
    remedy = "fix or drop it" if streaming else "fix it, or set data.on_bad_rows=skip"
    assert str(caught.value) == f"split test, row 4: column {column!r} holds no text ({value!r}); {remedy}"


def test_a_row_set_aside_is_named_by_its_number_in_train():
    rows = [{"text": f"w{i % 40}", "label": i % 2} for i in range(40)]
    _, splits = ready(table("x.parquet", rows), words(), validation=0.2)
    number = splits.validation["row"][3]
    rows[number]["text"] = ""
    with pytest.raises(DataError, match=f"split train, row {number}: column 'text' holds no text"):
        ready(table("y.parquet", rows), words(), validation=0.2)


def test_words_are_masked_where_the_task_is_to_fill_them_in():
    table("x.parquet", TEXTS)
    for streaming in (False, True):
        prepared, _ = ready("x.parquet", words(), task="fill-mask", streaming=streaming, mlm_probability=0.5)
        rows = list(prepared.train)[:8]
        assert all(set(row) == {"input_ids", "token_type_ids", "draw"} for row in rows)
        batch = prepared.collate(rows)
        assert set(batch) == {"input_ids", "token_type_ids", "attention_mask", "labels"}
        chosen = batch["labels"] != -100
        assert 0 < chosen.sum() < batch["attention_mask"].sum()
        assert not chosen[batch["labels"] <= 3].any()


@pytest.mark.parametrize(
    ("problem", "values", "classes"),
    [(MULTI, [["a"], ["b", "a"], [], ["b"]], ["b", "a"]), (REGRESSION, [0.5, -1.0, 3.0, 2.0], None)],
)
def test_targets_that_are_no_class_are_float_rows(problem, values, classes):
    rows = [{"text": sentence(i), "label": value} for i, value in enumerate(values)]
    settings = {"problem": problem, "classes": classes, "validation": "train"}
    prepared, _ = ready(table("x.parquet", rows), words(), **settings)
    labels = prepared.collate(list(prepared.train))["labels"]
    assert labels.dtype == torch.float32
    expected = [[float(c in value) for c in classes] for value in values] if classes else [[v] for v in values]
    assert labels.tolist() == expected


# --- once per machine

AGAIN = """
import json, os, sys
sys.path[:0] = [sys.argv[1], os.path.dirname(os.path.dirname(sys.argv[1]))]
from test_inputs import ready, words
prepared, _ = ready("d", words())
print(json.dumps([rows.rows.cache_files for rows in (prepared.train, prepared.validation, prepared.test)]))
"""


@pytest.mark.slow
def test_texts_are_tokenised_once_per_machine_and_not_once_per_process(tmp_path):
    for split in ("train", "test"):
        table(f"d/{split}.parquet", TEXTS)
    prepared, _ = ready("d", words())
    used = [rows.rows.cache_files for rows in (prepared.train, prepared.validation, prepared.test)]
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.arrow")}
    assert {Path(file["filename"]) for files_of in used for file in files_of} < set(files)

    env = {**os.environ, "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", AGAIN, str(Path(__file__).parent)]
    answer = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert json.loads(answer.splitlines()[-1]) == used
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.arrow")} == files


def test_what_a_tokenizer_did_before_does_not_make_it_another():
    used = words()
    used(["w1 w2", "w3"], padding="max_length", truncation=True, max_length=5, return_tensors="pt")
    fresh, _ = ready(table("x.parquet", TEXTS), words())
    again, _ = ready("x.parquet", used)
    assert again.train.rows._fingerprint == fresh.train.rows._fingerprint
    assert again.train.rows.cache_files == fresh.train.rows.cache_files


@pytest.mark.parametrize("change", ["limit", "text", "seed"])
def test_other_texts_or_another_tokenizer_are_tokenised_anew(change):
    first, _ = ready(table("x.parquet", TEXTS), words())
    if change == "text":
        table("x.parquet", [*TEXTS[:-1], {**TEXTS[-1], "text": "w9"}])
    again, _ = ready("x.parquet", words(8 if change == "limit" else 16), seed=1 if change == "seed" else 42)
    assert again.train.rows._fingerprint != first.train.rows._fingerprint


# --- images


@pytest.fixture
def processor(tmp_path):
    settings = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 8, "width": 8},
        "image_mean": [0.2, 0.5, 0.7],
    }
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(settings))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoImageProcessor.from_pretrained(tmp_path / "vit")


def noise(i, mode="RGB", size=(11, 7)):
    """A picture with many colours; of mode P with a palette of its own, of mode RGBA half transparent."""
    pixels = np.random.default_rng(i).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    picture = Image.fromarray(pixels, "RGBA") if mode == "RGBA" else Image.fromarray(pixels[..., :3], "RGB")
    return picture.quantize(16) if mode == "P" else picture.convert(mode)


def save(path, picture, **options):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)


def folder(count=8, splits=("train", "test"), **options):
    """An image folder whose rows are 0, 2, 4, … of class a and 1, 3, 5, … of class b."""
    for split in splits:
        for i in range(count):
            save(f"pictures/{split}/{'ab'[i % 2]}/{i:03}.png", noise(i), **options)
    return "pictures"


def number(row, count=8):
    """Which picture a row of the folder is."""
    return 2 * row if row < count / 2 else 2 * row - count + 1


@pytest.mark.slow_but("1-True")
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "LA", "CMYK"])
def test_an_image_is_what_the_models_own_processor_gives(mode, streaming, processor):
    suffix = "jpg" if mode == "CMYK" else "png"
    for i in range(4):
        save(f"pictures/train/{'ab'[i % 2]}/{i}.{suffix}", noise(i, mode, (11 + i, 7)))
    settings = {"task": "image-classification", "validation": "train", "streaming": streaming}
    prepared, _ = ready("pictures", processor, **settings)
    rows = list(prepared.validation)
    batch = prepared.on_device(prepared.collate(rows))
    assert set(batch) == {"pixel_values", "labels"}
    assert batch["labels"].tolist() == [0, 0, 1, 1]
    for i, name in enumerate(("a/0", "a/2", "b/1", "b/3")):
        with Image.open(f"pictures/train/{name}.{suffix}") as picture:
            white = Image.new("RGBA", picture.size, "white")
            opaque = Image.alpha_composite(white, picture.convert("RGBA")) if mode in ("RGBA", "LA") else picture
            expected = processor(opaque.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        assert (batch["pixel_values"][i] - expected).abs().max() < 1.01 / 127.5, "a level, of rounding"


@pytest.mark.parametrize("streaming", [False, True])
def test_a_photograph_is_turned_upright_as_its_exif_says(streaming, processor):
    for i, orientation in enumerate([1, 3, 6, 8]):
        exif = Image.Exif()
        exif[Image.ExifTags.Base.Orientation] = orientation
        save(f"pictures/train/{'ab'[i % 2]}/{orientation}.png", noise(0), exif=exif)
    settings = {"task": "image-classification", "validation": "train", "streaming": streaming}
    prepared, _ = ready("pictures", processor, **settings)
    turns = {1: None, 6: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180, 8: Image.Transpose.ROTATE_90}
    for row, turn in zip(list(prepared.validation), turns.values(), strict=True):
        upright = noise(0) if turn is None else noise(0).transpose(turn)
        assert np.array_equal(row["pixel_values"], upright)


def broken(kind):
    """The stored bytes of an image that cannot be used, and how its row is called."""
    folder(1, ["train"])
    whole = Path("pictures/train/a/000.png").read_bytes()
    return {
        "no image": (None, "no image in column 'image'"),
        "empty": (b"", "the image cannot be decoded (UnidentifiedImageError)"),
        "text": (b"not an image", "the image cannot be decoded (UnidentifiedImageError)"),
        "cut off": (whole[: len(whole) // 2], "the image cannot be decoded (OSError)"),
        "damaged": (whole[:60] + b"\0" * 40 + whole[100:], "the image cannot be decoded ("),
    }[kind]


@pytest.mark.slow_but("cut off-True")
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("kind", ["no image", "empty", "text", "cut off", "damaged"])
def test_an_image_that_cannot_be_used_is_named_with_split_and_row(kind, streaming, processor):
    stored, message = broken(kind)
    good = Path("pictures/train/a/000.png").read_bytes()
    features = Features(image=datasets.Image(decode=False), label=ClassLabel(names=["a", "b"]))
    for split in ("train", "test"):
        images = [{"bytes": good, "path": None}] * 6
        if split == "test":
            images[4] = stored if stored is None else {"bytes": stored, "path": None}
        table(f"d/{split}.parquet", [{"image": image, "label": i % 2} for i, image in enumerate(images)], features)
    settings = {"task": "image-classification", "streaming": streaming, "validation": "train"}
    with pytest.raises(DataError) as caught:
        list(ready("d", processor, **settings)[0].test)
    assert str(caught.value).startswith(f"split test, row 4: {message}")
    assert str(caught.value).endswith("; fix or drop it" if streaming else "; fix it, or set data.on_bad_rows=skip")


def refusal(prepared, **options):
    """How a DataLoader of the validation split fails; its error is not kept, for it would keep the loader."""
    try:
        list(DataLoader(prepared.validation, batch_size=2, collate_fn=prepared.collate, **options))
    except DataError as error:
        return str(error)


def test_an_image_set_aside_is_named_by_its_number_in_train_also_from_a_worker(processor):
    folder(8, ["train"])
    settings = {"task": "image-classification", "validation": 0.5}
    prepared, splits = ready("pictures", processor, **settings)
    row = splits.validation["row"][2]
    path = Path(f"pictures/train/{'ab'[number(row) % 2]}/{number(row):03}.png").resolve()
    path.write_bytes(b"no image")
    message = f"split train, row {row}: the image cannot be decoded (UnidentifiedImageError): {path}; fix or drop it"
    for workers in (0, 2):
        assert refusal(prepared, num_workers=workers) == message


@pytest.mark.slow
def test_nothing_is_written_and_nothing_decoded_before_it_is_read(processor, tmp_path, monkeypatch):
    decoded = []
    decode = datasets.Image.decode_example
    monkeypatch.setattr(datasets.Image, "decode_example", lambda *a, **k: decoded.append(1) or decode(*a, **k))
    folder()
    given = recipe("pictures", task="image-classification", classes=["b", "a"], max_train_samples=4)
    splits, labels = splits_of(given)
    before = sorted((tmp_path / "cache").rglob("*"))
    prepared = prepared_of(splits, given, labels, processor)
    assert (sorted((tmp_path / "cache").rglob("*")), decoded) == (before, [])
    verdicts = [path for path in before if path.name.startswith("cache-")]
    assert sum(path.stat().st_size for path in verdicts) < 5000, "no image is among them"
    assert len(prepared.train) == 4
    prepared.train[0]
    assert decoded == [1]


# --- augmentation

AUGMENT = ["random_resized_crop", "horizontal_flip", {"color_jitter": {"brightness": 0.5, "hue": 0.1}}]
WORKERS = [{"num_workers": 0}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}]


def augmented(processor, streaming=False, **settings):
    settings = {"task": "image-classification", "augment": AUGMENT, "streaming": streaming, **settings}
    return ready(folder(), processor, validation="train", **settings)[0]


def epochs(prepared, workers, count=3):
    """The inputs of some epochs, read in the data's order."""
    order = StreamOrder(prepared.train, training=True) if isinstance(prepared.train, Stream) else None
    loader = DataLoader(prepared.train, batch_size=3, sampler=order, collate_fn=prepared.collate, **workers)
    found = []
    for epoch in range(count):
        prepared.train.set_epoch(epoch)
        found.append(torch.cat([prepared.on_device(batch)["pixel_values"] for batch in loader]))
    return torch.stack(found)


@pytest.mark.slow
def test_augmentation_depends_on_seed_epoch_and_row_and_on_nothing_else(processor):
    prepared = augmented(processor)
    alone = epochs(prepared, WORKERS[0])
    for workers in WORKERS[1:]:
        torch.manual_seed(7)
        np.random.seed(7)
        assert torch.equal(epochs(augmented(processor), workers), alone)
    for row in (5, 0, 3):  # in any order, and one of many
        prepared.train.set_epoch(1)
        batch = prepared.on_device(prepared.collate([prepared.train[row]]))
        assert torch.equal(batch["pixel_values"][0], alone[1, row])
    assert torch.equal(epochs(augmented(processor, max_train_samples=8), WORKERS[0]), alone)
    other = epochs(augmented(processor, seed=43), WORKERS[0])
    for one, two in ((alone[0], alone[1]), (alone[1], alone[2]), (alone[0], other[0])):
        assert not any(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_the_same_picture_in_two_rows_is_augmented_in_two_ways(processor):
    for i in range(4):
        save(f"same/train/{'ab'[i % 2]}/{i}.png", noise(0))
    settings = {"task": "image-classification", "augment": AUGMENT, "validation": "train"}
    prepared, _ = ready("same", processor, **settings)
    rows = [prepared.train[i]["pixel_values"] for i in range(4)]
    assert not any(np.array_equal(rows[i], rows[j]) for i in range(4) for j in range(i))


@pytest.mark.slow_but("True")
@pytest.mark.parametrize("streaming", [False, True])
def test_what_is_scored_is_never_augmented(streaming, processor):
    prepared = augmented(processor, streaming)
    plain = augmented(processor, streaming, augment=[])
    for epoch in range(2):
        for split in ("train", "validation", "test"):
            if hasattr(getattr(prepared, split), "set_epoch"):
                getattr(prepared, split).set_epoch(epoch)
        for split in ("validation", "test"):
            for row, same in zip(getattr(prepared, split), getattr(plain, split), strict=True):
                assert np.array_equal(row["pixel_values"], same["pixel_values"])


def test_an_augmentation_that_an_image_is_too_small_for_is_told_with_its_row(processor):
    prepared = augmented(processor, augment=[{"random_crop": {"size": 100}}])
    with pytest.raises(DataError) as caught:
        prepared.train[6]
    assert str(caught.value).startswith("split train, row 6: random_crop: size = 100 exceeds the padded image")


# --- streams


def test_a_stream_gives_what_the_whole_set_gives_in_another_order_each_epoch(processor):
    settings = {"task": "image-classification", "validation": "train"}
    whole, _ = ready(folder(), processor, **settings)
    prepared, _ = ready("pictures", processor, **settings, streaming=True)
    key = lambda row: (row["labels"], row["pixel_values"].tolist())  # noqa: E731
    expected = sorted((whole.train[i] for i in range(8)), key=key)
    orders = []
    for epoch in range(3):
        prepared.train.set_epoch(epoch)
        rows = list(prepared.train)
        orders.append([row["pixel_values"].sum().item() for row in rows])
        for row, other in zip(sorted(rows, key=key), expected, strict=True):
            assert set(row) == {"pixel_values", "labels"}
            assert np.array_equal(row["pixel_values"], other["pixel_values"])
    assert len(set(map(tuple, orders))) == 3


@pytest.mark.slow_but("workers0")
@pytest.mark.parametrize("workers", WORKERS)
def test_a_stream_is_read_whole_by_any_number_of_workers_and_augmented_for_its_epoch(workers, processor):
    found = epochs(augmented(processor, streaming=True, max_train_samples=8), workers)
    assert found.shape == (3, 8, 3, 8, 8)
    alone = epochs(augmented(processor, streaming=True, max_train_samples=8), WORKERS[0])
    assert torch.equal(found, alone), "in the same order, too"
    seen = [set(map(str, epoch.tolist())) for epoch in found]
    assert not seen[0] & seen[1]


def test_a_stream_knows_its_length_only_where_its_source_states_it():
    table("x.parquet", TEXTS)
    prepared, _ = ready("x.parquet", words(), streaming=True, classes=["0", "1"])
    with pytest.raises(TypeError, match="does not state its size"):
        len(prepared.train)
    prepared, _ = ready("x.parquet", words(), streaming=True, classes=["0", "1"], max_train_samples=7)
    assert len(prepared.train) == len(list(prepared.train)) == 7


def test_columns_called_like_model_inputs_do_no_harm():
    rows = [{"input_ids": sentence(i), "attention_mask": sentence(i + 1), "label": i % 2} for i in range(6)]
    columns = {"text": "input_ids", "text_pair": "attention_mask"}
    for streaming in (False, True):
        settings = {"columns": columns, "streaming": streaming, "classes": ["0", "1"], "validation": "train"}
        prepared, _ = ready(table("x.parquet", rows), words(), **settings)
        for i, row in enumerate(prepared.validation):
            tokens = words()(sentence(i), sentence(i + 1), return_attention_mask=False)
            assert row == {**tokens, "labels": i % 2}


def test_the_held_out_inputs_are_those_that_are_there():
    prepared, _ = ready(table("x.parquet", TEXTS), words())
    assert [name for name, _ in prepared.items()] == ["validation"]
    assert prepared.test is None


@pytest.mark.parametrize(
    ("count", "size", "places"), [(5, 2, [[0, 1], [2, 3], [4]]), (4, 2, [[0, 1], [2, 3]]), (0, 3, [])]
)
def test_inputs_that_a_user_passes_are_batched_in_their_order(count, size, places):
    class Plain(Inputs):
        def batch(self, inputs, processor):
            return {"inputs": inputs, "processor": processor}

    batches = list(Plain().batches([f"x{i}" for i in range(count)], size, "p", None))
    assert [list(where) for where, _ in batches] == places
    assert [batch for _, batch in batches] == [
        {"inputs": [f"x{i}" for i in where], "processor": "p"} for where in places
    ]


@pytest.mark.parametrize("value", [None, 3, "", "  \n"])
def test_a_row_without_text_is_told_with_its_number(value):
    step = TextStep(None, {"text": "text"}, "train")
    with pytest.raises(RowError, match="split train, row 7: column 'text' holds no text"):
        step({"row": [3, 7], "text": ["a", value]})
