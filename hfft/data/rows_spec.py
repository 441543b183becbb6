"""Sections of `data` that choose or change rows: label noise, one fold of a cross-validation, one client of several."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hfft.spec import Spec

Share = Annotated[float, Field(ge=0, le=1)]


class LabelNoise(Spec):
    """Wrong labels on purpose, to see how a way of learning bears them; one of the first three.

    Attributes:
        symmetric: share of the rows that get another class, each of the others with the same probability.
        pair: share of the rows that get the next class in order; the last class gets the first.
        asymmetric: class -> other class -> share of its rows that get it.
        splits: the splits whose labels are changed; figures on wrong labels are rarely wanted.
    """

    symmetric: Share | None = None
    pair: Share | None = None
    asymmetric: dict[str, dict[str, Share]] | None = None
    splits: list[Literal["train", "validation", "test"]] = Field(default=["train"])

    @model_validator(mode="after")
    def _one(self) -> LabelNoise:
        given = [name for name in ("symmetric", "pair", "asymmetric") if getattr(self, name) is not None]
        if len(given) != 1:
            what = " and ".join(given) or "no kind of noise"
            raise ValueError(f"has {what}; set one of symmetric, pair and asymmetric")
        for name, others in (self.asymmetric or {}).items():
            if name in others or sum(others.values()) > 1 + 1e-9:
                raise ValueError(f"of class {name!r} should name other classes, with shares of 1 together at most")
        return self


class Fold(Spec):
    """One fold of a cross-validation: its rows leave train and are the test split.

    Attributes:
        of: number of folds.
        number: which of them, from 1.
        seed: the draw of the folds, which is apart from the seed of the run.
    """

    of: int = Field(ge=2)
    number: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _one_of_them(self) -> Fold:
        if self.number > self.of:
            raise ValueError(f"number is {self.number}; expected at most {self.of}, the number of folds")
        return self


class Client(Spec):
    """One of several owners of data, as in federated learning: train on its rows alone (`hfft.data.clients`).

    Attributes:
        of: number of clients among whom the training rows are divided, class by class.
        number: which of them, from 1.
        alpha: how alike they are: the shares of a class are drawn from Dirichlet(alpha); large values give equal shares.
        min_rows: draw the shares again until each client has so many training rows; by default any draw counts.
        seed: the draw of the division, which is apart from the seed of the run.
        domain: the client whose rows have this value in `columns.domain`, in place of the keys above.
    """

    of: int | None = Field(default=None, ge=1)
    number: int | None = Field(default=None, ge=1)
    alpha: float = Field(default=0.5, gt=0)
    min_rows: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    domain: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_of_them(self) -> Client:
        if self.domain is not None:
            if more := [name for name in self.changed() if name != "domain"]:
                raise ValueError(f"has a domain, whose rows are the client's, and {more[0]}; leave one of them out")
            return self
        if self.of is None or self.number is None:
            raise ValueError("needs of and number, such as {of: 10, number: 3}, or the domain of its rows")
        if self.number > self.of:
            raise ValueError(f"number is {self.number}; expected at most {self.of}, the number of clients")
        return self
