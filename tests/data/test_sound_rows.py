"""Rows of sounds: each is what a pipeline makes of it alone, with draws that depend on seed, epoch and row."""

import datasets
import numpy as np
import pytest
import torch
import transformers
from datasets import Dataset

from hfft.data.identity import identity
from hfft.data.modality.audio import AudioInputs
from hfft.data.sound_batch import LENGTHS, AudioCollate, sound_batch, unpadded, without_lengths
from hfft.data.sound_rows import AudioRows, whole_seconds
from hfft.data.stored_files import FILE
from hfft.errors import DataError
from tests.sounds import WAVES, file, tone

INPUTS = AudioInputs()
SECONDS = (0.3, 0.5, 0.4, 0.5)
PROCESSORS = {
    "waves": lambda: transformers.Wav2Vec2FeatureExtractor(),
    "waves with a mask": lambda: transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True),
    "AST": lambda: transformers.ASTFeatureExtractor(num_mel_bins=32, max_length=40),
    "Whisper": lambda: transformers.WhisperFeatureExtractor(feature_size=40, chunk_length=1),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def made(processor, augment=(), seconds=SECONDS, rate=16000, seed=0):
    cells = [{"bytes": file(tone(300 + 100 * i, s, rate), rate), "path": None} for i, s in enumerate(seconds)]
    features = datasets.Features(audio=FILE, labels=datasets.Value("int64"), row=datasets.Value("int64"))
    columns = {"audio": cells, "labels": [i % 2 for i in range(len(cells))], "row": list(range(len(cells)))}
    rows = Dataset.from_dict(columns, features=features)
    return INPUTS.rows(rows, INPUTS.step(processor, {"audio": "audio"}, "train", seed, augment), "")


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left if name != "labels")


@pytest.mark.parametrize("kind", PROCESSORS)
@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_row_is_what_the_processor_gives_for_its_sound(kind, rate):
    processor = PROCESSORS[kind]()
    for i, row in enumerate(made(processor, rate=rate)):
        wave = INPUTS.served({"array": tone(300 + 100 * i, SECONDS[i], rate), "sampling_rate": rate}, Pipe(processor))
        expected = processor(wave["array"], sampling_rate=16000, return_tensors="pt")
        assert set(row) == {*expected, "labels"}
        for name, value in expected.items():
            assert row[name].shape == value[0].shape
            assert torch.allclose(row[name].float(), value[0].float(), atol=0.02)  # 16 bits in the file


class Pipe:
    """The part of a pipeline that is read."""

    def __init__(self, processor):
        self.feature_extractor = processor


AUGMENT = ["gain", "time_shift", "add_noise"]


@pytest.mark.parametrize("kind", PROCESSORS)
def test_draws_depend_on_seed_epoch_and_row_alone(kind):
    masks = [] if kind.startswith("waves") else ["time_mask", "frequency_mask"]
    rows, again = (made(PROCESSORS[kind](), [*AUGMENT, *masks]) for _ in range(2))
    first = rows[1]
    assert same(rows[1], first)
    assert same(again.__getitems__([3, 1])[1], first)
    assert not same(made(PROCESSORS[kind](), AUGMENT, seed=1)[1], first)
    rows.set_epoch(1)
    assert not same(rows[1], first)
    assert same(rows.in_epoch(0)[1], first)
    assert not same(again.in_draw(1)[1], first)
    assert same(again.in_draw(0)[1], first)


def test_a_mask_is_drawn_apart_from_what_is_done_to_the_wave():
    processor = PROCESSORS["AST"]()
    plain, masked = made(processor), made(processor, [{"frequency_mask": {"width": 8}}])
    found = [masked.in_epoch(epoch)[1]["input_values"] for epoch in range(8)]
    hidden = [int((one == one.mean()).sum()) or int((one != plain[1]["input_values"]).all(0).sum()) for one in found]
    assert len(set(hidden)) > 2
    assert max(hidden) <= 8


def test_cutting_is_left_out_where_no_sound_is_longer():
    processor, cut = PROCESSORS["waves"](), [{"random_segment": {"seconds": 0.45}}]
    short, long = made(processor, cut, seconds=(0.3, 0.4)), made(processor, cut)
    assert short.step.augmentation is None
    assert [len(row["input_values"]) for row in long] == [4800, 7200, 6400, 7200]
    notes = INPUTS.limit_notes({"train": long, "test": short}, processor, None)
    assert notes == [
        "split train: 2 of 4 sounds are longer than 0.45 s (data.max_length_seconds): in each epoch a part is drawn anew"
    ]


def test_what_a_processor_does_not_read_is_told():
    rows = made(PROCESSORS["AST"]())
    assert whole_seconds(rows.step.processor) == pytest.approx(0.415)
    assert INPUTS.limit_notes({"test": rows}, rows.step.processor, None) == [
        "split test: 2 of 4 sounds are longer than 0.415 s, all that ASTFeatureExtractor reads: the beginning counts"
    ]


def test_sounds_that_are_shorter_than_the_models_mask_are_told():
    processor = PROCESSORS["waves"]()
    model = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**WAVES | {"mask_time_length": 20}))  # of 20 ms each
    notes = INPUTS.limit_notes({"train": made(processor), "test": made(processor)}, processor, model)
    assert len(notes) == 1
    assert notes[0].startswith("split train: 1 of 4 sounds are shorter than the spans of 0.4 s that the model masks")
    model.config.mask_time_length = 40
    with pytest.raises(DataError, match="4 of 4 sounds are shorter"):
        INPUTS.limit_notes({"train": made(processor)}, processor, model)
    model.config.apply_spec_augment = False
    assert INPUTS.limit_notes({"train": made(processor)}, processor, model) == []


def test_rows_of_one_size_can_be_stored_and_others_not():
    waves = PROCESSORS["waves"]()
    assert made(waves).varied == "sounds of different lengths are padded to their batch"
    assert made(waves, seconds=(0.5, 0.5)).varied is None
    assert made(waves, [{"random_segment": {"seconds": 0.2}}]).varied is None
    assert made(PROCESSORS["AST"]()).varied is None
    assert made(PROCESSORS["Whisper"]()).varied is None


def test_the_identity_is_that_of_the_files_and_the_processor():
    rows = made(PROCESSORS["waves"]())
    assert identity(rows) == identity(made(PROCESSORS["waves"](), AUGMENT))
    assert identity(rows) != identity(made(PROCESSORS["AST"]()))
    assert identity(rows) != identity(made(PROCESSORS["waves"](), seconds=(0.3, 0.5, 0.4, 0.4)))


@pytest.mark.parametrize("kind", PROCESSORS)
def test_a_padded_batch_falls_apart_into_the_rows_alone(kind):
    rows = list(made(PROCESSORS[kind]()))
    batch = AudioCollate("single_label_classification")(rows)
    assert (LENGTHS in batch) == kind.startswith("waves")
    assert LENGTHS not in without_lengths(batch)
    parts = unpadded(batch) if LENGTHS in batch else [batch]
    found = [{name: value[i] for name, value in part.items()} for part in parts for i in range(len(part["labels"]))]
    assert [int(row["labels"]) for row in found] == [row["labels"] for row in rows]
    assert all(map(same, found, rows))


def test_a_padded_batch_is_the_processors():
    processor = PROCESSORS["waves with a mask"]()
    waves = [tone(seconds=s) for s in SECONDS]
    expected = processor(waves, sampling_rate=16000, padding=True, return_tensors="pt")
    found = INPUTS.batch([{"array": wave, "sampling_rate": 16000} for wave in waves], processor)
    assert set(found) == set(expected)
    assert torch.allclose(found["input_values"], expected["input_values"], atol=1e-5)
    assert torch.equal(found["attention_mask"], expected["attention_mask"])


def test_neighbours_of_one_length_stay_together_up_to_a_limit(monkeypatch):
    rows = [{"input_values": torch.full((n,), float(i)), "labels": i} for i, n in enumerate((3, 3, 5, 5, 5, 3))]
    batch = AudioCollate("single_label_classification")(rows)
    assert [part["labels"].tolist() for part in unpadded(batch)] == [[0, 1], [2, 3, 4], [5]]
    monkeypatch.setattr("hfft.data.sound_batch.MOST", 10)
    assert [part["labels"].tolist() for part in unpadded(batch)] == [[0, 1], [2, 3], [4], [5]]
    assert LENGTHS not in sound_batch(rows[:2])


@pytest.mark.parametrize("size", [1, 3, 8])
def test_sounds_that_a_user_passes_are_batched_without_padding_and_each_once(size):
    processor = PROCESSORS["waves"]()
    given = [{"array": tone(seconds=s), "sampling_rate": 16000} for s in (*SECONDS, 0.3)]
    places = []
    for at, batch in INPUTS.batches(given, size, processor, None):
        assert len({len(given[i]["array"]) for i in at}) == 1
        assert batch["input_values"].shape == (len(at), len(given[at[0]]["array"]))
        places += list(at)
    assert sorted(places) == [0, 1, 2, 3, 4]


def test_operations_on_spectrograms_are_refused_for_waves():
    with pytest.raises(
        DataError, match=r"time_mask hides parts of a spectrogram, but Wav2Vec2FeatureExtractor gives waves"
    ):
        made(PROCESSORS["waves"](), ["time_mask"])


def test_one_sound_is_told_from_several():
    wave = tone()
    for one in (wave, torch.tensor(wave), {"array": wave}, "a.wav", b"x"):
        assert INPUTS.is_one(one)
    for several in ([wave, wave], ["a.wav"], [{"array": wave}], np.zeros((2, 9000))):
        assert not INPUTS.is_one(several)


def test_rows_are_a_kind_of_file_rows():
    assert isinstance(made(PROCESSORS["waves"]()), AudioRows)
