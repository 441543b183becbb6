"""Predict with a finished run or a published model: for files, texts, or a whole data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer

from hfft.backbone import published_code
from hfft.data.batch_transform import Pixels, learn
from hfft.data.inputs import ImageStep, image_batch
from hfft.data.texts import TextCollate, longest_first
from hfft.errors import BadInput, DataError
from hfft.hub.client import arrived
from hfft.hub.errors import reading
from hfft.layers import mend_convolutions
from hfft.predict.adapted import is_apart, load_adapted, share
from hfft.strategy import logits_of

WINDOW = 50  # batches of texts that are sorted by length at once: no more than these are held
IMAGE_FILES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"}


@dataclass(frozen=True)
class Predictor:
    """A model with its processor, ready to predict.

    Attributes:
        modality: `image` or `text`.
    """

    model: Any
    processor: Any
    modality: str

    def logits(self, inputs: list[Any], batch_size: int = 32) -> torch.Tensor:
        """Outputs `(N, C)` of the model for images (PIL) or texts (str, or pairs of them), on the CPU in float32."""
        batches = self._images(inputs, batch_size) if self.modality == "image" else self._texts(inputs, batch_size)
        found: list[torch.Tensor] = [torch.empty(0)] * len(inputs)
        for places, batch in batches:
            for place, row in zip(places, self._outputs(batch), strict=True):
                found[place] = row
        return torch.stack(found)

    @torch.no_grad()
    def _outputs(self, batch: dict[str, Any]) -> torch.Tensor:
        device = self.model.device
        batch = {k: v.to(device, non_blocking=True) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
        if self._pixels is not None:
            batch = self._pixels(batch)
        return logits_of(self.model(**batch)).float().cpu()

    @cached_property
    def _pixels(self) -> Pixels | None:
        return learn(self.processor) if self.modality == "image" else None

    def _images(self, images: list[Any], size: int) -> Iterator[tuple[range, dict[str, Any]]]:
        step = ImageStep(self.processor, "", "", None, 0, self._pixels)
        for start in range(0, len(images), size):
            rows = [step(image, 0) for image in images[start : start + size]]
            yield range(start, start + len(rows)), image_batch(rows)

    def _texts(self, texts: list[Any], size: int) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """Texts of like length together, so that little is padded."""
        firsts = [x[0] if isinstance(x, tuple) else x for x in texts]
        seconds = [x[1] for x in texts] if isinstance(texts[0], tuple) else None
        limit = self.processor.model_max_length < 100_000
        tokens = self.processor(firsts, seconds, truncation=limit, return_attention_mask=False)
        order = longest_first(np.array([len(ids) for ids in tokens["input_ids"]]))
        collate = TextCollate(self.processor, "")
        for start in range(0, len(order), size):
            places = order[start : start + size]
            yield places, collate([{name: column[i] for name, column in tokens.items()} for i in places])

    def __call__(self, inputs: list[Any], batch_size: int = 32) -> torch.Tensor:
        """Probabilities `(N, C)` of the classes; for regression the values `(N, D)`."""
        logits, problem = self.logits(inputs, batch_size), self.model.config.problem_type
        if problem == "regression":
            return logits
        return logits.sigmoid() if problem == "multi_label_classification" else logits.softmax(1)

    def table(self, inputs: Iterable[tuple[str, Any]], batch_size: int = 32) -> Iterator[dict[str, Any]]:
        """One row per (id, input), in their order: `id`, `label`, `probability` (or `value`); labels are joined by `|`."""
        names = self.model.config.id2label
        problem = self.model.config.problem_type
        at_once = batch_size * (WINDOW if self.modality == "text" else 1)
        for chunk in _batched(inputs, at_once):
            for (name, _), row in zip(chunk, self([x for _, x in chunk], batch_size), strict=True):
                if problem == "regression":
                    yield {"id": name, "value": "|".join(f"{v:.6g}" for v in row.tolist())}
                    continue
                chosen = (
                    torch.nonzero(row >= 0.5).flatten().tolist()
                    if problem == "multi_label_classification"
                    else [int(row.argmax())]
                )
                yield {
                    "id": name,
                    "label": "|".join(names[i] for i in chosen),
                    "probability": "|".join(f"{row[i]:.6f}" for i in chosen),
                }


def _batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def load_predictor(source: str, revision: str | None = None, device: str | None = None) -> Predictor:
    """The predictor of a run folder, a model folder or a hub id; of an adapter on the backbone it belongs to.

    Raises:
        BadInput: there is no such model, or it classifies neither images nor texts.
    """
    folder = Path(source)
    where = str(folder / "model") if (folder / "model").is_dir() else source
    kinds = ("config.json", "adapter_config.json")
    if folder.is_dir() and not any((Path(where) / name).is_file() for name in kinds):
        raise BadInput(
            f"{source} holds no finished model (no {Path(where) / 'config.json'}); train it to its end first"
        )
    safe: dict[str, Any] = {"revision": revision, "trust_remote_code": False}

    def fetched(load: Callable[[], Any]) -> Any:
        return load() if Path(where).exists() else arrived("model", where, lambda again: load())

    with reading(f"model {source}"):
        apart = is_apart(where, revision)
        rebuilt = None if apart else fetched(lambda: published_code.stock_config(where, revision))
        if apart:
            model, config = fetched(lambda: load_adapted(where, revision))
        else:
            config = rebuilt or fetched(lambda: AutoConfig.from_pretrained(where, **safe))
        kind = published_code.task_class(config) if rebuilt else (config.architectures or [""])[0]
        if "ImageClassification" in kind:
            modality, auto, processor = "image", transformers.AutoModelForImageClassification, AutoImageProcessor
        elif "SequenceClassification" in kind:
            modality, auto, processor = "text", transformers.AutoModelForSequenceClassification, AutoTokenizer
        else:
            raise BadInput(f"{source} is a {kind or 'model without a task'}; hfft predicts classes of images and texts")
        how: dict[str, Any] = {"dtype": torch.float32, "use_safetensors": True, **safe}
        if rebuilt:
            model = fetched(lambda: published_code.load(where, config, auto.__name__, **how))
        elif not apart:
            model = fetched(lambda: auto.from_pretrained(where, **how))
            mend_convolutions(model)
        model.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        return Predictor(model, fetched(lambda: processor.from_pretrained(where, config=config, **safe)), modality)


def load_predictors(sources: Mapping[str, str], device: str | None = None) -> dict[str, Predictor]:
    """A predictor for each task, name -> source as in `load_predictor`; what models have in common is in memory once.

    Adapters trained one after another on one backbone are so switched by taking another predictor; none is ever
    changed, so that they may be called in any order and from several threads.
    """
    pool: dict[tuple[Any, ...], torch.nn.Parameter] = {}
    found = {}
    for name, source in sources.items():
        found[name] = load_predictor(source, device=device)
        share(found[name].model, pool)
    return found


def read_inputs(arguments: list[str], modality: str) -> Iterator[tuple[str, Any]]:
    """(id, input) of command-line arguments: image files and folders of them, or texts and files with a text per line.

    Raises:
        DataError: a file that is not there, or is no image.
    """
    from PIL import Image, ImageOps

    for argument in arguments:
        path = Path(argument)
        if modality == "text":
            if len(argument) < 1000 and path.is_file():
                lines = path.read_text(encoding="utf-8").splitlines()
                yield from ((f"{argument}:{i}", line) for i, line in enumerate(lines, 1) if line.strip())
            else:
                yield argument, argument
            continue
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_FILES) if path.is_dir() else [path]
        if not files:
            raise DataError(f"folder {argument} holds no image; expected files such as .png or .jpg")
        for file in files:
            try:
                with Image.open(file) as image:
                    yield str(file), ImageOps.exif_transpose(image).convert("RGBA" if "A" in image.mode else "RGB")
            except (OSError, SyntaxError, Image.DecompressionBombError) as error:
                raise DataError(f"{file} is no readable image ({type(error).__name__})") from None
