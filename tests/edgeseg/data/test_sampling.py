"""Which images of many are looked at."""

from __future__ import annotations

import numpy as np

from edgeseg.data.sampling import spread


def test_the_first_and_the_last_are_among_them():
    assert spread(list(range(10)), 4) == [0, 3, 6, 9]
    assert spread([1, 2], 5) == [1, 2]


def test_a_seed_moves_where_they_begin():
    chosen = spread(range(100), 8, seed=3)
    assert len(set(chosen)) == 8
    assert set(np.diff(chosen)) <= {12, 13}
    assert chosen == spread(range(100), 8, seed=3)
    assert chosen != spread(range(100), 8, seed=4)
    assert spread(range(5), 8, seed=0) == [0, 1, 2, 3, 4]
