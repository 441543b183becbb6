"""The recipe section `classifier`: what is fitted on the features of a pretrained network. Needs no torch, no scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hfft.spec import Spec
from hfft.wording import listing, nearest

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
_CLASSES, _LABELS, _ALL = (SINGLE,), (SINGLE, MULTI), (SINGLE, MULTI, REGRESSION)
# Which problems each type solves, and which arguments it takes.
TYPES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "logistic-regression": (_LABELS, ("C", "class_weight", "max_iter", "tol", "refit")),
    "linear-svm": (_LABELS, ("C", "loss", "class_weight", "max_iter", "tol", "refit")),
    "svm": (_ALL, ("C", "kernel", "gamma", "degree", "coef0", "epsilon", "class_weight", "break_ties", "tol", "refit")),
    "knn": (_ALL, ("n_neighbors", "weights", "metric", "refit")),
    "lda": (_CLASSES, ("solver", "shrinkage")),
    "nearest-centroid": (_CLASSES, ("metric", "shrink_threshold")),
    "prototype": (_CLASSES, ("metric", "temperature")),
    "easytl": (_CLASSES, ("metric",)),
    "ridge": (_ALL, ("alpha", "class_weight", "refit")),
    "gradient-boosting": (
        _ALL,
        ("learning_rate", "max_iter", "max_leaf_nodes", "max_depth", "min_samples_leaf", "l2_regularization"),
    ),
}
METRICS = {
    "knn": ("euclidean", "manhattan", "cosine"),
    "nearest-centroid": ("euclidean", "manhattan"),
    "prototype": ("euclidean", "cosine"),
    "easytl": ("euclidean", "sqeuclidean", "cosine"),
}
TRANSFORMS = ("standardise", "l2", "pca", "coral", "tca", "whiten")
TCA_COMPONENTS = 30  # of `tca` alone, as in the authors' experiments' reference code

_Positive = Annotated[float, Field(gt=0)]
_Count = Annotated[int, Field(ge=1)]


class ClassifierSpec(Spec):
    """A classifier on the features of the pretrained network, under `use: classifier`. Each key but `type` and `transform`
    belongs to some types only, and is scikit-learn's argument of that name. A list of values is a grid to choose from.

    Attributes:
        type: `logistic-regression`, `linear-svm`, `lda`, `ridge`, `nearest-centroid` and `prototype` become the head of the
            saved model if their map is linear; the other types are saved beside the features model.
        transform: what is done to the features before, in this order: `standardise` (or `{standardise: per-domain}`, where
            the target rows have statistics of their own), `l2`, `{pca: 128}`, `whiten`, `coral`, `tca` (or `{tca: 30}`).
        C: inverse strength of regularisation; default: the best of a grid on the validation rows, for
            logistic-regression 45 values from 1e-6 to 1e5 (Kornblith et al. 2019, arXiv:1805.08974), for linear-svm 11
            from 1e-4 to 10, for svm 0.1, 1, 10 and 100.
        alpha: strength of regularisation of ridge; default: the best of 19 values from 1e-4 to 1e5.
        n_neighbors: rows that vote in knn; default 5.
        weights: of the votes in knn; default `uniform`.
        metric: distance of knn (`euclidean`, `manhattan`, `cosine`), nearest-centroid (`euclidean`, `manhattan`), prototype
            (`euclidean`, squared as in arXiv:1703.05175, or `cosine`), easytl (`euclidean`, `sqeuclidean`, `cosine`).
        temperature: of prototype: the negative distances, or the cosines, are divided by it; default 1.
        shrink_threshold: of nearest-centroid; default none.
        loss: of linear-svm; default `squared_hinge`.
        kernel, gamma, degree, coef0: of svm; default `rbf`, `scale`, 3 and 0.
        epsilon: width of the tube of svm for regression, in which errors cost nothing; default 0.1.
        break_ties: whether svm breaks ties of votes between its pairs of classes by their confidence; default false.
        solver: of lda; default `svd`, or `lsqr` with shrinkage.
        shrinkage: of lda: `auto` (Ledoit-Wolf) or a number from 0 to 1; default none.
        class_weight: `balanced` weighs each class inversely to its rows.
        learning_rate, max_leaf_nodes, max_depth, min_samples_leaf, l2_regularization: of gradient-boosting, scikit-learn's
            HistGradientBoosting; default 0.1, 31, none, 20 and 0.
        max_iter: iterations at most; default 1,000, for gradient-boosting 100.
        tol: at which the optimiser stops; default scikit-learn's.
        refit: fit once more on training and validation rows together when a value is chosen, as Kornblith et al. do; the
            validation scores are then those of training rows.
    """

    type: Literal[
        "logistic-regression",
        "linear-svm",
        "svm",
        "knn",
        "lda",
        "nearest-centroid",
        "prototype",
        "easytl",
        "ridge",
        "gradient-boosting",
    ]
    transform: list[str | dict[str, int | str]] = []
    C: _Positive | Annotated[list[_Positive], Field(min_length=1)] | None = None
    alpha: _Positive | Annotated[list[_Positive], Field(min_length=1)] | None = None
    n_neighbors: _Count | Annotated[list[_Count], Field(min_length=1)] | None = None
    weights: Literal["uniform", "distance"] | None = None
    metric: Literal["euclidean", "sqeuclidean", "manhattan", "cosine"] | None = None
    temperature: _Positive | None = None
    shrink_threshold: Annotated[float, Field(ge=0)] | None = None
    loss: Literal["hinge", "squared_hinge"] | None = None
    kernel: Literal["linear", "poly", "rbf", "sigmoid"] | None = None
    gamma: Literal["scale", "auto"] | _Positive | None = None
    degree: Annotated[int, Field(ge=0)] | None = None
    coef0: float | None = None
    epsilon: Annotated[float, Field(ge=0)] | None = None
    break_ties: bool | None = None
    solver: Literal["svd", "lsqr", "eigen"] | None = None
    shrinkage: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] | None = None
    class_weight: Literal["balanced"] | None = None
    learning_rate: _Positive | None = None
    max_leaf_nodes: Annotated[int, Field(ge=2)] | None = None
    max_depth: _Count | None = None
    min_samples_leaf: _Count | None = None
    l2_regularization: Annotated[float, Field(ge=0)] | None = None
    max_iter: _Count | None = None
    tol: _Positive | None = None
    refit: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_the_type(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and isinstance(given.get("type"), str) and given["type"] in TYPES:
            kind = given["type"]
            takes = (*TYPES[kind][1], "transform")
            for key in given:
                if key != "type" and key not in takes:
                    raise ValueError(
                        f"{kind} does not take {key!r}{nearest(str(key), takes)} (it takes {listing(takes)})"
                    )
        return given

    @field_validator("transform")
    @classmethod
    def _known_steps(cls, value: list[str | dict[str, int | str]]) -> list[str | dict[str, int | str]]:
        for entry in value:
            _check_step(entry)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> ClassifierSpec:
        if self.metric is not None and self.metric not in METRICS[self.type]:
            raise ValueError(f"metric is {self.metric!r}, but {self.type} takes {listing(METRICS[self.type])}")
        if self.shrinkage is not None and self.solver == "svd":
            raise ValueError("solver is svd, which has no shrinkage; use lsqr or eigen, or leave shrinkage out")
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the type that the recipe sets."""
        return {key: value for key in TYPES[self.type][1] if (value := getattr(self, key)) is not None}

    @property
    def steps(self) -> list[tuple[str, int | str | None]]:
        """The transforms in order, each a name and its option."""
        return [(entry, None) if isinstance(entry, str) else next(iter(entry.items())) for entry in self.transform]

    @property
    def wants_target(self) -> bool:
        """Whether unlabelled rows of the target domain take part: EasyTL, CORAL, TCA, statistics per domain."""
        return self.type == "easytl" or any(
            name in ("coral", "tca") or option == "per-domain" for name, option in self.steps
        )


def _check_step(entry: str | dict[str, int | str]) -> None:
    if isinstance(entry, dict) and len(entry) != 1:
        raise ValueError(f"{entry!r} is not one transform; write each as its own entry")
    name, option = (entry, None) if isinstance(entry, str) else next(iter(entry.items()))
    if name not in TRANSFORMS:
        raise ValueError(f"{name!r} is not a transform{nearest(name, TRANSFORMS)}; expected {listing(TRANSFORMS)}")
    if name == "standardise":
        if option not in (None, "per-domain"):
            raise ValueError(f"standardise is {option!r}; expected no option, or per-domain")
    elif name in ("pca", "tca"):
        if option is None and name == "pca":
            raise ValueError("pca needs the number of its components; write {pca: 128}")
        if option is not None and (not isinstance(option, int) or option < 1):
            raise ValueError(f"{name} is {option!r}; expected the number of its components, at least 1")
    elif option is not None:
        raise ValueError(f"{name} takes no option; write {name} alone")
