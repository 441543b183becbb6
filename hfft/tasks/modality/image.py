"""One image per row. Needs no torch."""

from hfft.tasks.modality.base import Modality

IMAGE = Modality(
    name="image",
    columns={"image": "image"},
    input_name="pixel_values",
    auto_processor="AutoImageProcessor",
    inputs_class="hfft.data.modality.image:ImageInputs",
    continuous=True,
    augmented=True,
    edits_refused={"tokens": "tokens are for texts, but the task takes images"},
)
