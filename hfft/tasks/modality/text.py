"""One text a row, or a pair of them. Needs no torch."""

from hfft.tasks.modality.base import Modality

TEXT = Modality(
    name="text",
    columns={"text": "text", "text_pair": None},
    input_name="input_ids",
    auto_processor="AutoTokenizer",
    inputs_class="hfft.data.modality.text:TextInputs",
    tokens=True,
    edits_refused={
        "image_size": "image_size is for images; the task reads texts",
        "channels": "channels is for images; the task reads texts",
        "squeeze_excite": "squeeze_excite averages over positions, padding too: it is for images",
        "conv": "conv reads neighbouring positions, padding too: it is for images",
        "prompt": "prompt puts in tokens that the attention mask knows nothing of: it is for images",
    },
    pipeline_options={"truncation": True},
)
