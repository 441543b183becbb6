"""One sound per row. Needs no torch."""

from hfft.tasks.modality.base import Modality

_IMAGES_ONLY = "is for images, but the task takes sounds"
AUDIO = Modality(
    name="audio",
    noun="sound",
    columns={"audio": "audio"},
    input_name="input_values",
    other_input_names=("input_features",),  # of Whisper and Wav2Vec2-BERT
    auto_processor="AutoFeatureExtractor",
    inputs_class="hfft.data.modality.audio:AudioInputs",
    continuous=True,
    augmented=True,
    edits_refused={
        "image_size": f"image_size {_IMAGES_ONLY}",
        "channels": f"channels {_IMAGES_ONLY}",
        "tokens": "tokens are for texts, but the task takes sounds",
        "squeeze_excite": f"squeeze_excite averages over positions including padding; it {_IMAGES_ONLY}",
        "conv": f"conv reads neighbouring positions including padding; it {_IMAGES_ONLY}",
        "prompt": f"prompt inserts tokens that the attention mask does not cover; it {_IMAGES_ONLY}",
    },
)
