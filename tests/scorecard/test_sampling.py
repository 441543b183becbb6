"""Which rows are drawn."""

import numpy as np

from hfft.scorecard.sampling import steady


def test_a_steady_draw_takes_most_of_the_same_rows_of_nearly_the_same_set():
    rng = np.random.default_rng(1)
    one, other = (np.sort(rng.choice(5000, 4500, replace=False)) for _ in range(2))
    drawn = [ids[steady(ids, 1000)] for ids in (one, other)]
    assert [len(set(ids.tolist())) for ids in drawn] == [1000, 1000]
    assert all((np.diff(ids) > 0).all() for ids in drawn)
    assert len(np.intersect1d(*drawn)) > 850, "of two draws by other seeds 222 would be the same"
    assert abs(drawn[0].mean() - 2500) < 150, "from everywhere"


def test_a_steady_draw_of_few_takes_all():
    assert steady(np.array([7, 3, 9]), 3).tolist() == [0, 1, 2]
    assert steady(np.array([7, 3, 9]), 2).tolist() in ([0, 1], [0, 2], [1, 2])
