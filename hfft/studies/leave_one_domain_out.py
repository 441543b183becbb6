"""How good is a recipe on a domain that it never saw: every domain is left out in turn (Gulrajani and Lopez-Paz 2021).

In Search of Lost Domain Generalization, ICLR 2021 (arXiv:2007.01434): few methods beat plain training where models are chosen
without a look at the domain that is left out, so that plain training is always among the arms.
"""

from __future__ import annotations

import re
from statistics import fmean
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, field_validator, model_validator

from hfft.data.spec import NONE
from hfft.studies.arms import Arms, in_points, merged, plus_minus, seeds_in_words
from hfft.studies.study import Child, Done, Figures, Study, against, as_items
from hfft.studies.table import Cell, Row, Table
from hfft.wording import listing

ERM = "erm"  # empirical risk minimisation: the recipe as it is
MEAN = "mean"
HEADS = "heads"  # the name of children that measure votes
POOLED, EQUAL, WEIGHTED = "one classifier", "a vote each", "votes by likeness"
VOTES = (POOLED, EQUAL, WEIGHTED)


class LeaveOneDomainOut(Study):
    """Each domain's training rows are the test split of a run that learns from all others (`data.held_out_domain`).

    Nothing of the domain that is left out takes part in a choice: rates, epochs and weights are chosen on validation rows of the
    training domains, which are set aside from them by `data.validation`.

    Attributes:
        domains: the values of `data.columns.domain`.
        arms: name of an arm -> `section.key` -> value; `erm`, the recipe as it is, is always there.
        votes: also fit classifiers on the features of `erm`'s models: one on all rows, and one for each training domain, which
            vote with equal weights and with weights by likeness (`scenarios.adaptation.source_heads`).
    """

    name: ClassVar[str] = "leave-one-domain-out"
    question: str = "How good is it on a domain that it never saw?"
    seeds: int | list[int] = 3
    domains: Annotated[list[str], BeforeValidator(as_items)] = Field(min_length=2)
    arms: dict[str, dict[str, Any]] = Field(default={})
    votes: bool = False

    @field_validator("domains")
    @classmethod
    def _different(cls, value: list[str]) -> list[str]:
        slugs = [slug(name) for name in value]
        if len(set(slugs)) < len(slugs):
            raise ValueError(f"are {listing(value)}; expected different names")
        return value

    @model_validator(mode="after")
    def _named(self) -> LeaveOneDomainOut:
        data = self.recipe.data
        if data.columns.domain is None:
            raise ValueError("needs the domain of each row; name the column in data.columns.domain")
        if data.validation == NONE or (isinstance(data.validation, str) and data.validation):
            raise ValueError(
                f"data.validation is {data.validation}; expected a share, since models are chosen on rows of the training domains"
            )
        if self.votes and self.recipe.problem != "single_label_classification":
            raise ValueError(f"votes are of classes, but the problem is {self.recipe.problem}; leave votes out")
        for arm in self.arms:
            if self.votes and arm == HEADS:
                raise ValueError(f"arms names {arm!r}, which is what the votes' runs are called; choose another name")
            Child(arm, 0)  # raises ValueError if the name cannot be a folder's
        return self

    def plan(self, done: Done) -> list[Child]:
        """A child for each seed, arm and domain."""
        children = []
        for seed in self.all_seeds:
            for arm, overrides in self._arms().items():
                for domain in self.domains:
                    held_out = {"data.test": None, "data.held_out_domain": domain}
                    children.append(Child(child_arm(arm, domain), seed, {**held_out, **overrides}))
            for domain in self.domains if self.votes else ():
                held_out = {"data.test": None, "data.held_out_domain": domain}
                begins = f"{child_arm(ERM, domain)}-{seed}"
                measure = "hfft.studies.source_votes:votes"
                children.append(Child(child_arm(HEADS, domain), seed, held_out, begins, measure))
        return children

    def _arms(self) -> dict[str, dict[str, Any]]:
        return {ERM: {}, **self.arms}

    def table(self, done: Done) -> Table:
        """The score of each arm on each domain that was left out, their mean, and its difference to plain training."""
        arms = Arms.of(done, self.all_seeds)
        found = []
        for arm in self._arms():
            names = {domain: child_arm(arm, domain) for domain in self.domains}
            cells = {domain: arms.cell(name) for domain, name in names.items()}
            cells[MEAN] = mean(list(cells.values()))
            cells["seconds"] = mean([arms.cell(name, lambda figures: figures.seconds, 1) for name in names.values()], 1)
            found.append(Row(arm, cells, merged(*(arms.failed(name) for name in names.values()))))
        found += self._votes(arms)
        found = against(found, MEAN, ERM)
        columns = (*self.domains, MEAN, f"minus {ERM}", "seconds")
        note = "models were chosen on validation rows of the training domains alone; no row of the domain left out took part"
        return Table(
            self._answer(arms, found), columns, tuple(found), notes=(note,) if found[0].cells[MEAN].values else ()
        )

    def _votes(self, arms: Arms) -> list[Row]:
        """A row for each way to use classifiers on the features of plain training."""
        found = []
        names = {domain: child_arm(HEADS, domain) for domain in self.domains}
        failed = merged(*(arms.failed(name) for name in names.values()))
        for way in VOTES if self.votes else ():

            def measured(figures: Figures, way: str = way) -> float | None:
                return figures.metrics.get("votes", {}).get(way)

            cells = {domain: arms.cell(name, measured) for domain, name in names.items()}
            found.append(Row(way, {**cells, MEAN: mean(list(cells.values()))}, failed))
        return found

    def _answer(self, arms: Arms, found: list[Row]) -> str:
        plain = found[0].cells[MEAN].summary()
        if plain is None:
            return f"{self.recipe.name}: no arm has run on all domains yet."
        said = f"mean {arms.metric} on a domain that was left out is {plain.mean:.3f} by plain training"
        others = []
        for row in found[1:]:
            difference = row.cells.get(f"minus {ERM}", Cell())
            summary = difference.summary()
            if summary is not None:
                doubt = "" if summary.differs else ", which may be nothing"
                by = in_points(difference) if arms.sign > 0 else plus_minus(difference, 1, 3)
                others.append(f"{row.arm} {by}{doubt}")
        beside = f"; {'; '.join(others)}" if others else ""
        return f"{self.recipe.name}: {said}{beside} ({len(self.domains)} domains, {seeds_in_words(plain.n)})."


def mean(cells: list[Cell], digits: int = 4) -> Cell:
    """The mean of cells, seed by seed, for the seeds that all of them have."""
    seeds = set.intersection(*({*cell.values} for cell in cells))
    return Cell({seed: fmean(cell.values[seed] for cell in cells) for seed in sorted(seeds)}, digits=digits)


def child_arm(arm: str, domain: str) -> str:
    """The name of the runs of an arm without a domain."""
    return f"{arm}-without-{slug(domain)}"


def slug(name: str) -> str:
    """A domain's name as part of a folder's: `art painting` -> `art_painting`."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", name)
