"""The recipe section `score`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from hfft.data.spec import Data, FurtherRows
from hfft.spec import Spec
from hfft.strategy.adversarial.pixels import fraction
from hfft.tasks.measure import is_file
from hfft.tasks.problem import known_metrics
from hfft.wording import listing, nearest, size_in_bytes


def metric(value: str) -> str:
    """The name of a metric, or a file that defines one; ValueError if it is neither."""
    known = known_metrics()
    if value not in known and not is_file(value):
        raise ValueError(f"unknown metric {value!r}{nearest(value, known)} (known: {listing(known, 30)})")
    return value


class OutputsSpec(Spec):
    """How much of the model's outputs the run folder stores.

    Attributes:
        limit: maximum size of the stored outputs of one split, such as `500MB`.
    """

    limit: str = "2GB"

    @field_validator("limit")
    @classmethod
    def _size(cls, value: str) -> str:
        size_in_bytes(value)
        return value


class OutsideRows(FurtherRows):
    """Rows that belong to none of the classes, to measure how well the model's scores tell them from the task's.

    Attributes:
        path, name, data_files, data_dir, revision: as in `data`.
        sep, encoding, quoting, missing, field: as in `data`.
        split: the split whose rows are read.
        max_samples: at most so many rows, the first ones.
        near: whether they resemble the task's own rows, as other classes of the same kind do; said beside the figures.
    """

    near: bool | None = None


class CorruptionSpec(Spec):
    """How the scorecard measures corruptions.

    Attributes:
        rows: maximum number of rows, which are drawn by the seed; each is answered 75 times as an image, 25 times as a text.
    """

    rows: int = Field(default=1000, ge=1)


STEPS = 20  # of PGD on pixels


class AttackSpec(Spec):
    """How the scorecard attacks inputs.

    Attributes:
        norm: `linf` bounds the change of each pixel, `l2` the Euclidean length of an image's change; texts have `l2` alone.
        radius: largest change of pixels in [0, 1], where a fraction may be written (8/255); of a text's embeddings. Default:
            for images 8/255 up to 64 pixels and 4/255 above, or 0.5 for `l2`; for texts a tenth of the mean length of the
            model's embeddings, as `strategy.fgm`.
        steps: steps of PGD; default: 20 on pixels, 10 on embeddings.
        rows: maximum number of rows: images 1,000, texts 200.
    """

    norm: Literal["linf", "l2"] | None = None
    radius: Annotated[float, BeforeValidator(fraction), Field(gt=0)] | None = None
    steps: int | None = Field(default=None, ge=1, le=1000)
    rows: int | None = Field(default=None, ge=1)


class Score(Spec):
    """How the result is measured.

    Attributes:
        metrics: metrics of the problem, or .py files that define one each.
        scorecard: `quick`: the figures that stored outputs give, at the end of the run; `full`: also those that run the model
            again; `off`: neither.
        old_task: labelled rows of the task that the backbone was pretrained for, to measure what it forgot.
        outputs: whether the run folder stores the model's outputs for the held-out rows (`auto`: up to 2 GB per split).
        ood: name -> rows that belong to none of the classes; without any, the scorecard makes some.
        shift: name -> another split with labels, such as one of another year or place.
        groups: columns of the data whose values divide the scored rows into subgroups.
        corruption: the scorecard's corruptions.
        attack: the scorecard's attacks.
        from_scratch: also train the same recipe from random weights.
        single_task: also train each of several `tasks` by itself, to see whether sharing the backbone helps it.
        calibrate: after training, scale the logits so that the validation rows are most likely, by one `temperature`, which
            changes no answer, or by a scale and a shift per class (`vector`); it becomes part of the model's last layer.
    """

    metrics: list[Annotated[str, AfterValidator(metric)]] = []
    scorecard: Literal["quick", "full", "off"] = "quick"
    old_task: Data | None = None
    outputs: Literal["auto", "off"] | OutputsSpec = "auto"
    ood: dict[str, OutsideRows] = {}
    shift: dict[str, FurtherRows] = {}
    groups: list[Annotated[str, Field(min_length=1)]] = []
    corruption: CorruptionSpec = CorruptionSpec()
    attack: AttackSpec = AttackSpec()
    from_scratch: bool = False
    single_task: bool = False
    calibrate: Literal["temperature", "vector", "none"] = "none"

    @property
    def outputs_limit(self) -> int:
        """Maximum bytes of the stored outputs of one split; 0 if none are stored."""
        if self.outputs == "off":
            return 0
        return size_in_bytes((OutputsSpec() if self.outputs == "auto" else self.outputs).limit)
