"""The data set that faults are planted in."""

from __future__ import annotations

import pytest
from planted_faults import Data


@pytest.fixture
def data(tmp_path):
    """Nothing is wrong with it."""
    return Data(tmp_path / "data")
