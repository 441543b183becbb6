"""One text per row, or a pair of texts. Needs no torch."""

from hfft.tasks.modality.base import Modality

TEXT = Modality(
    name="text",
    columns={"text": "text", "text_pair": None},
    input_name="input_ids",
    auto_processor="AutoTokenizer",
    inputs_class="hfft.data.modality.text:TextInputs",
    tokens=True,
    augmented=True,
    edits_refused={
        "image_size": "image_size is for images, but the task takes texts",
        "channels": "channels is for images, but the task takes texts",
        "squeeze_excite": "squeeze_excite averages over positions including padding; it is for images only",
        "conv": "conv reads neighbouring positions including padding; it is for images only",
        "prompt": "prompt inserts tokens that the attention mask does not cover; it is for images only",
    },
    pipeline_options={"truncation": True},
)
