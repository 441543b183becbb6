"""Divide rows among clients, as in federated learning: each class by shares from a Dirichlet distribution, or by a column.

The shares of each class are drawn over the clients (Yurochkin et al. 2019, arXiv:1905.12022; Li et al. 2022, arXiv:2102.02079).
"""

from __future__ import annotations

import numpy as np
from datasets import Dataset

from hfft.data.named_domains import domains_of
from hfft.data.rows_spec import Client
from hfft.data.spec import Data
from hfft.data.splits import column
from hfft.errors import DataError
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.wording import listing, nearest

_SHARES, _ORDER = 17, 18  # other draws than those of `splits`, `shots` and `label_noise` under the same seed
MOST_DRAWS = 10_000


def class_shares(counts: np.ndarray, of: int, alpha: float, seed: int, min_rows: int | None = None) -> np.ndarray:
    """The share of each class that each client has, `(C, of)`; each row adds up to 1.

    Args:
        counts: training rows of each class, `(C,)`.
        min_rows: draw again until each client has so many rows.

    Raises:
        DataError: no draw gives every client `min_rows`.
    """
    draws = np.random.default_rng((seed, _SHARES))
    for _ in range(1 if min_rows is None else MOST_DRAWS):
        shares = draws.dirichlet([alpha] * of, size=len(counts))
        sizes = np.diff(_ends(shares, counts), axis=1).sum(0)
        if min_rows is None or sizes.min() >= min_rows:
            return shares
    raise DataError(
        f"data.client: none of {MOST_DRAWS:,} draws of {int(counts.sum())} rows gives each of {of} clients {min_rows} with "
        f"alpha {alpha:g}; raise alpha, lower min_rows, or use fewer clients"
    )


def _ends(shares: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Where the rows of each class begin and end for each client, `(C, of + 1)`."""
    ends = np.rint(np.cumsum(shares, axis=1) * counts[:, None]).astype(int)
    ends[:, -1] = counts
    return np.concatenate([np.zeros((len(counts), 1), int), np.maximum.accumulate(ends, axis=1)], axis=1)


def divided(labels: np.ndarray, numbers: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """The client of each row, `(N,)`, counted from 0; which rows of a class it gets depends on the seed and their numbers.

    Args:
        labels, numbers: class and row number of each row, `(N,)`.
        shares: `(C, of)`, as from `class_shares`.
    """
    found = np.zeros(len(labels), int)
    rank = np.random.default_rng((seed, _ORDER)).random(int(numbers.max(initial=-1)) + 1)[numbers]
    counts = np.bincount(labels, minlength=len(shares))
    ends = _ends(shares, counts)
    for k in np.flatnonzero(counts):
        rows = np.flatnonzero(labels == k)
        found[rows[np.argsort(rank[rows], kind="stable")]] = np.repeat(np.arange(shares.shape[1]), np.diff(ends[k]))
    return found


def owners(rows: Dataset, client: Client, meaning: Labels, held_out: Dataset | None = None) -> np.ndarray:
    """The client of each row, `(N,)`, counted from 0, of a division by class.

    Args:
        rows: the training rows, with labels encoded.
        held_out: other rows that are divided by the same shares, and answered for in place of the training rows.

    Raises:
        DataError: rows have no single class, or a client has no training rows.
    """
    if not PROBLEMS[meaning.problem].classes:
        raise DataError(
            f"data.client: {meaning.problem} has no single class for each row to divide by; name the client's domain, and "
            f"the column in data.columns.domain"
        )
    assert client.of is not None
    labels = column(rows, "labels").to_numpy()
    counts = np.bincount(labels, minlength=meaning.size)
    shares = class_shares(counts, client.of, client.alpha, client.seed, client.min_rows)
    found = divided(labels, column(rows, "row").to_numpy(), shares, client.seed)
    sizes = np.bincount(found, minlength=client.of)
    if not sizes.all():
        empty = [str(i + 1) for i in np.flatnonzero(sizes == 0)]
        raise DataError(
            f"data.client: client {listing(empty)} of {client.of} has no rows with alpha {client.alpha:g} and seed "
            f"{client.seed}; raise alpha, use fewer clients, or set min_rows to draw again until each has as many"
        )
    if held_out is None:
        return found
    return divided(column(held_out, "labels").to_numpy(), column(held_out, "row").to_numpy(), shares, client.seed)


def rows_of_client(rows: Dataset, whole: Dataset, data: Data, meaning: Labels) -> Dataset:
    """The training rows of `data.client`, in their order.

    Args:
        rows: all that would be trained on, whose column `row` counts those of `whole`.
        whole: the split of the data.

    Raises:
        DataError: the client does not exist, or has no rows.
    """
    client = data.client
    assert client is not None
    if client.domain is None:
        assert client.number is not None
        return rows.select(np.flatnonzero(owners(rows, client, meaning) == client.number - 1))
    domains = domains_of(whole, data)
    known = sorted(set(domains.tolist()))
    if client.domain not in known:
        raise DataError(
            f"data.client.domain: is {client.domain!r}{nearest(client.domain, known)}, but column {data.columns.domain!r} has: "
            f"{listing(known)}"
        )
    mine = np.flatnonzero(domains[column(rows, "row").to_numpy()] == client.domain)
    if not len(mine):
        raise DataError(
            f"data.client.domain: none of the {len(rows)} training rows is of {client.domain!r}; raise data.max_train_samples, "
            f"or leave this client out"
        )
    return rows.select(mine)


def client_name(client: Client) -> str:
    """`client 3 of 10, alpha 0.5, seed 0`, or `client with domain ink`."""
    if client.domain is not None:
        return f"client with domain {client.domain}"
    least = "" if client.min_rows is None else f", {client.min_rows} rows or more each"
    return f"client {client.number} of {client.of}, alpha {client.alpha:g}{least}, seed {client.seed}"
