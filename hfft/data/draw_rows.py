"""Draw the rows of each split, step by step: fold, shares of train, shots, caps, imbalance, a client, labels wrong on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from hfft.data import groups, shots, splits
from hfft.data.clients import client_name, rows_of_client
from hfft.data.imbalance import cut, imbalance_note
from hfft.data.label_noise import noise_note, with_noise
from hfft.data.named_domains import held_out_apart
from hfft.data.rows_spec import Fold
from hfft.data.spec import Data
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS


@dataclass
class DrawnRows:
    """The splits while their rows are drawn. Each step changes `rows`, and says so in `origin` and `notes`.

    Attributes:
        rows: split -> its rows, with labels encoded.
        origin: split -> its origin in words.
        notes: remarks for the user, one line each.
        whole: the split of the data that train is drawn from.
        groups: number of the group of each training row, `(N,)`, as they were read.
    """

    data: Data
    meaning: Labels
    seed: int
    rows: dict[str, Dataset]
    origin: dict[str, str]
    notes: list[str]
    whole: Dataset | None = None
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Remember the numbers of the training rows as they were read."""
        self.numbers = splits.column(self.rows["train"], "row").to_numpy()

    def divide(self, shares: Mapping[str, float]) -> None:
        """Make held-out splits of train's rows: a fold or a domain as test, shares of the others; then leave train its shots.

        Raises:
            DataError: a split would be empty, or a class has too few rows.
        """
        data, whole, held_out = self.data, self.rows["train"], dict[str, Dataset]()
        if data.fold is not None:
            whole, held_out["test"] = self._fold(whole, data.fold)
        if data.held_out_domain is not None:
            assert self.whole is not None
            whole, held_out["test"] = held_out_apart(whole, self.whole, data)
        self.rows |= self._shares(whole, dict(shares))
        if data.shots is not None:
            # of a speaker who is in a held-out split no row may be chosen
            few = shots.chosen(whole if self.groups is None else self.rows["train"], data, self.meaning)
            self.rows |= {"train": few, **shots.without(few, {name: self.rows[name] for name in shares})}
        self.rows |= held_out
        self._tell_division(shares, len(whole))

    def _fold(self, whole: Dataset, fold: Fold) -> tuple[Dataset, Dataset]:
        if self.groups is None:
            return splits.fold_apart(whole, fold, self.meaning)
        return groups.fold_of_groups(whole, fold, self._groups(whole), self.meaning)

    def _shares(self, whole: Dataset, shares: dict[str, float]) -> dict[str, Dataset]:
        if self.groups is None or not shares:
            return splits.set_aside(whole, shares, self.meaning, self.seed)
        return groups.set_groups_aside(whole, shares, self._groups(whole), self.meaning, self.seed)

    def _groups(self, rows: Dataset) -> np.ndarray:
        """The group of each of some training rows, `(N,)`."""
        assert self.groups is not None
        return self.groups[np.searchsorted(self.numbers, splits.column(rows, "row").to_numpy())]

    def _tell_division(self, shares: Mapping[str, float], whole: int) -> None:
        data = self.data
        if data.validation is None and "validation" in shares:
            self.notes.append(splits.default_note(len(self.rows["validation"]), whole))
        stratified = ", stratified" if PROBLEMS[self.meaning.problem].classes else ""
        stratified += "" if self.groups is None else f", by {data.columns.group}"
        for name, share in shares.items():
            self.origin[name] = f"{share:.3g} of {data.train}{stratified}, seed {self.seed}"
        if data.fold is not None:
            self.origin |= splits.fold_origin(data.fold, data.train, self.meaning)
        if data.held_out_domain is not None:
            domain = f"domain {data.held_out_domain}"
            self.origin |= {"train": f"{data.train} without {domain}", "test": f"{domain} of {data.train}"}
        if data.shots is not None:
            self.notes.append(shots.shots_note(data.shots, data.shots_seed, self.meaning.size, whole))
            self.origin["train"] += f", {data.shots} rows of each class, shots_seed {data.shots_seed}"

    def cap(self) -> None:
        """Draw as many rows as `data.max_train_samples` and `data.max_eval_samples` allow."""
        for name, rows in self.rows.items():
            most = cap_of(name, self.data)
            if most is not None and most < len(rows):
                self.rows[name] = splits.sample(rows, most, name, self.meaning, self.seed)
                self.origin[name] += f", {most} of {len(rows)} rows"

    def unbalance(self) -> None:
        """Cut the classes of train to the profile of `data.imbalance`."""
        ratio, before = self.data.imbalance, len(self.rows["train"])
        self.rows["train"], per_class = cut(self.rows["train"], ratio, self.meaning, self.seed)
        if ratio is not None and per_class:
            self.origin["train"] += f", {len(self.rows['train'])} of {before} rows with imbalance {ratio:g}"
            self.notes.append(imbalance_note(ratio, per_class))

    def of_client(self) -> None:
        """Leave train the rows of `data.client`; held-out splits stay whole, so that all clients are scored on the same rows."""
        if self.data.client is None:
            return
        assert self.whole is not None
        before = len(self.rows["train"])
        self.rows["train"] = rows_of_client(self.rows["train"], self.whole, self.data, self.meaning)
        self.origin["train"] += f", {client_name(self.data.client)}, {len(self.rows['train'])} of {before} rows"

    def mislabel(self) -> dict[str, int]:
        """Change labels as `data.label_noise` says; returns split -> number of rows whose label was changed."""
        self.rows, changed = with_noise(self.rows, self.data.label_noise, self.meaning, self.seed)
        for name, count in changed.items():
            self.origin[name] += f", {count} labels wrong on purpose"
            self.notes.append(noise_note(name, count, len(self.rows[name])))
        return changed


def cap_of(split: str, data: Data) -> int | None:
    """The most rows that a split may have."""
    return data.max_train_samples if split == "train" else data.max_eval_samples
