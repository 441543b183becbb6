"""Rows that stay with their owners: rounds in which each client trains the global model on its rows, and weights are averaged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, field_validator, model_validator

from hfft.data.spec import NONE
from hfft.recipe.uses import DEFAULT
from hfft.scenarios.federated.continued import constant_rate, continued
from hfft.scenarios.federated.divisions import Division
from hfft.studies.study import CHILDREN, Child, Done, Figures, Study, as_items, ascending
from hfft.studies.table import Table

Way = Literal["fedavg", "fedprox", "fedbn"]
START, POOLED, ALONE = "start", "pooled", "alone"
_CLIENTS = "hfft.scenarios.federated.divisions:clients_of"
_AVERAGED = "hfft.scenarios.federated.average:averaged"
_DRAW = 31  # of the clients of a round, and of the seeds of their runs
Alphas = Annotated[
    list[Annotated[float, Field(gt=0)]], BeforeValidator(as_items), Field(min_length=1), ascending("numbers")
]


class Federated(Study):
    """Federated rounds beside one run on all rows (`pooled`) and beside each client alone.

    In a round each client is an ordinary run on its own rows (`data.client`) that begins with the global model and a fresh
    optimiser; the average of their models by training rows is the next global model, which is scored on the whole test split.
    With `layers.adapter` the adapter and the head alone are trained, sent and averaged. All runs have a constant learning rate.

    Attributes:
        clients: how many clients the training rows are divided among, class by class; default: 10, or with `by` its values.
        alpha: how alike the clients are, one number or several: shares of a class are drawn from Dirichlet(alpha).
        by: the column whose values are the clients, in place of a drawn division.
        min_rows: draw divisions again until each client has so many training rows.
        rounds: how many rounds.
        local_epochs: epochs of a client in a round.
        local_steps: optimiser steps of a client in a round, in place of epochs.
        participation: share of the clients that train in a round, drawn anew for each.
        methods: of `fedavg`, `fedprox` (a pull to the global model) and `fedbn` (norms stay the client's own).
        mu: the strength of FedProx's pull.
        alone: whether each client is also trained by itself, for as long.
        keep_models: keep the models of all clients and rounds, not those of the last round alone.
    """

    name: ClassVar[str] = "federated"
    question: str = "What is lost if rows stay with their owners, and weights are exchanged in place of them?"
    seeds: int | list[int] = 1
    clients: int | None = Field(default=None, ge=1)
    alpha: Alphas = Field(default=[0.5])
    by: str | None = Field(default=None, min_length=1)
    min_rows: int | None = Field(default=None, ge=1)
    rounds: int = Field(default=20, ge=1)
    local_epochs: float = Field(default=1.0, gt=0)
    local_steps: int | None = Field(default=None, ge=1)
    participation: float = Field(default=1.0, gt=0, le=1)
    methods: Annotated[list[Way], BeforeValidator(as_items), Field(min_length=1)] = Field(default=["fedavg"])
    mu: float = Field(default=0.01, ge=0)
    alone: bool = True
    keep_models: bool = False

    @field_validator("alpha", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        return [float(one) if type(one) is int else one for one in as_items(value)]

    @field_validator("local_epochs", "participation", "mu", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return float(value) if type(value) is int else value

    @field_validator("methods")
    @classmethod
    def _once(cls, value: list[Way]) -> list[Way]:
        if len(set(value)) < len(value):
            raise ValueError(f"is {value}; name each method once")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Federated:
        data = self.recipe.data
        if self.by is not None and (self.clients is not None or self.min_rows is not None):
            raise ValueError(
                f"has by={self.by}, whose values are the clients, and clients or min_rows; leave one of them out"
            )
        if self.recipe.use != DEFAULT or self.recipe.problem != "single_label_classification":
            raise ValueError(
                f"needs a fine-tune with one class for each row, but the recipe has use={self.recipe.use} and "
                f"{self.recipe.problem}"
            )
        for key, is_set in (("streaming", data.streaming), ("client", data.client), ("fold", data.fold)):
            if is_set:
                raise ValueError(f"sets the rows of each client, so that data.{key} should be left out")
        if self.recipe.training_keys.early_stopping is not None:
            raise ValueError("trains each client for as long as rounds say; set training.early_stopping=null")
        return self

    def check(self) -> None:
        """Divide the rows for each seed.

        Raises:
            BadInput: a client has no rows, or there is no test split.
        """
        from hfft.scenarios.federated.divisions import clients_of
        from hfft.studies.study import recipe_of

        for child in self.plan({}):
            clients_of(recipe_of(self, child, self.recipe.output_dir), **child.options)

    # --- names

    def divisions(self, seed: int) -> dict[str, Division]:
        """Name -> how the rows are divided."""
        if self.by is not None:
            return {f"by {self.by}": {"by": self.by}}
        shared = {"of": self.clients or 10, "seed": seed}
        shared |= {} if self.min_rows is None else {"min_rows": self.min_rows}
        return {f"alpha {alpha:g}": {"alpha": alpha, **shared} for alpha in self.alpha}

    @property
    def division_names(self) -> list[str]:
        """The names of the divisions, which are those of any seed."""
        return list(self.divisions(0))

    def arm(self, way: str, division: str) -> str:
        """The arm of a method on a division: `fedavg-alpha-0.5`."""
        return f"{way}-{re.sub(r'[^A-Za-z0-9.]+', '-', division)}"

    def average_arm(self, way: str, division: str, round_: int) -> str:
        """The arm of the global model after a round; `start` before the first one."""
        return START if round_ == 0 else f"{self.arm(way, division)}-round-{round_}"

    def client_arm(self, way: str, division: str, round_: int, number: int) -> str:
        """The arm of a client's run in a round."""
        return f"{self.arm(way, division)}-round-{round_}-client-{number}"

    def alone_arm(self, division: str, number: int) -> str:
        """The arm of a client that trains by itself."""
        return f"{self.arm(ALONE, division)}-client-{number}"

    def number_of_clients(self, division: str, seed: int, done: Done) -> int:
        """How many clients a division has; 0 until the data was looked at."""
        found = done.get(f"clients-{seed}", Figures()).metrics.get("divisions", {})
        return len(found.get(division, {}).get("names", ()))

    def taking_part(self, seed: int, round_: int, clients: int) -> list[int]:
        """The numbers of the clients that train in a round, from 1."""
        draws = np.random.default_rng((seed, _DRAW, round_))
        count = max(1, round(self.participation * clients))
        return sorted((draws.permutation(clients)[:count] + 1).tolist())

    # --- runs

    def plan(self, done: Done) -> list[Child]:
        """The divisions, the runs on all rows and alone, and of each sequence all rounds up to the one that is next."""
        children: list[Child] = []
        for seed in self.all_seeds:
            children.append(
                Child("clients", seed, self.shared(seed), None, _CLIENTS, {"divisions": self.divisions(seed)})
            )
        if not all(child.name in done and done[child.name].failed is None for child in children):
            return children
        for seed in self.all_seeds:
            children.append(Child(START, seed, {**self.shared(seed), **self.budget(0)}))
            children.append(Child(POOLED, seed, {**self.shared(seed), **self.budget(self.rounds)}))
            for division in self.division_names:
                numbers = range(1, self.number_of_clients(division, seed, done) + 1)
                for number in numbers if self.alone else ():
                    overrides = {
                        **self.shared(seed),
                        **self.budget(self.rounds),
                        **self.rows(division, number, seed, done),
                    }
                    children.append(Child(self.alone_arm(division, number), seed, overrides))
                for way in self.methods:
                    children += self.sequence(way, division, seed, done)
        return children

    def shared(self, seed: int) -> dict[str, Any]:
        """What all runs of a seed have: its rows, the column of domains, and the accuracy as their first figure."""
        found: dict[str, Any] = {"score.scorecard": "off", "score.metrics": list(self.metrics)}
        if self.recipe.data.seed is None:
            found["data.seed"] = seed
        if self.by is not None:
            found["data.columns.domain"] = self.by
        return found

    @property
    def metrics(self) -> list[str]:
        """The recipe's metrics, the accuracy first."""
        return ["accuracy", *(name for name in self.recipe.metrics if name != "accuracy")]

    def budget(self, rounds: int) -> dict[str, Any]:
        """The length of a run of so many rounds, at a constant rate, without evaluations and checkpoints on the way."""
        found = constant_rate(self.recipe)
        if self.local_steps is not None and rounds:
            found["training.max_steps"] = rounds * self.local_steps
        else:
            found["training.max_steps"] = -1
            found["training.num_train_epochs"] = rounds * self.local_epochs
        return found

    def rows(self, division: str, number: int, seed: int, done: Done) -> dict[str, Any]:
        """The rows of one client."""
        if self.by is not None:
            names = done[f"clients-{seed}"].metrics["divisions"][division]["names"]
            return {"data.client": {"domain": names[number - 1]}}
        return {"data.client": {**self.divisions(seed)[division], "number": number}}

    def sequence(self, way: str, division: str, seed: int, done: Done) -> list[Child]:
        """The runs of a method on a division, round by round, as far as they are known."""
        found: list[Child] = []
        clients = self.number_of_clients(division, seed, done)
        for round_ in range(1, self.rounds + 1):
            before = f"{self.average_arm(way, division, round_ - 1)}-{seed}"
            if not _finished(done, before):
                break
            names = {}
            for number in self.taking_part(seed, round_, clients):
                child = self.client(way, division, round_, number, seed, done)
                names[number] = child.name
                found.append(child)
            if not all(_finished(done, name) for name in names.values()):
                break
            found.append(self.average(way, division, round_, names, seed, clients))
        return found

    def client(self, way: str, division: str, round_: int, number: int, seed: int, done: Done) -> Child:
        """A client's run in a round."""
        before = f"{CHILDREN}/{self.average_arm(way, division, round_ - 1)}-{seed}"
        test = self.recipe.data.test
        overrides = {**self.shared(seed), **self.budget(1), **self.rows(division, number, seed, done)}
        overrides |= {} if isinstance(test, float) else {"data.test": NONE}  # the global model is scored on it
        own = way == "fedbn" and round_ > 1 and self.recipe.layers.adapter is None
        overrides |= continued(self.recipe, f"{before}/clients/{number}" if own else f"{before}/model")
        if way == "fedprox":
            overrides["strategy.l2_sp"] = {"weight": self.mu, "whole": True}
        run_seed = int(np.random.SeedSequence((seed, _DRAW, round_, number)).generate_state(1)[0])
        return Child(self.client_arm(way, division, round_, number), seed, overrides, run_seed=run_seed)

    def average(self, way: str, division: str, round_: int, names: Mapping[int, str], seed: int, clients: int) -> Child:
        """The global model after a round.

        Args:
            names: number of each client of the round -> the child that it trained.
            clients: how many there are in all.
        """
        finished: list[str] = []
        if not self.keep_models and round_ > 1:
            earlier = self.taking_part(seed, round_ - 1, clients)
            finished = [f"{self.client_arm(way, division, round_ - 1, k)}-{seed}" for k in earlier]
            finished += [f"{self.average_arm(way, division, round_ - 2)}-{seed}"] if round_ > 2 else []
        options: dict[str, Any] = {
            "before": f"{self.average_arm(way, division, round_ - 1)}-{seed}",
            "clients": {str(number): name for number, name in names.items()},
            "division": division,
            "seed": seed,
            "own_norms": way == "fedbn",
            "finished": finished,
        }
        return Child(
            self.average_arm(way, division, round_), seed, self.shared(seed), measure=_AVERAGED, options=options
        )

    def table(self, done: Done) -> Table:
        """The accuracy of the global models, of the run on all rows and of clients alone, and what was sent."""
        from hfft.scenarios.federated.page import page

        return page(self, done)


def _finished(done: Done, name: str) -> bool:
    return name in done and done[name].failed is None
