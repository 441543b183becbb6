"""One series of numbers per row, such as a window of several sensors. Needs no torch."""

from hfft.tasks.modality.base import Modality

_IMAGES = "is for images, but the task takes series"
SERIES = Modality(
    name="series",
    columns={"series": "series"},
    input_name="past_values",
    auto_processor="AutoFeatureExtractor",
    inputs_class="hfft.data.modality.series:SeriesInputs",
    continuous=True,
    processor_made=True,
    edits_refused={
        "image_size": f"image_size {_IMAGES}",
        "channels": f"channels {_IMAGES}; set backbone.config.num_input_channels",
        "tokens": "tokens are for texts, but the task takes series",
    },
)
