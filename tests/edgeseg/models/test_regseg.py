"""What RegSeg averages where the size is odd."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edgeseg.models.regseg import halved


@pytest.mark.parametrize("size", [(4, 6), (5, 6), (4, 7), (5, 7), (1, 1)])
def test_the_border_of_an_odd_size_is_averaged_over_what_there_is(size):
    features = torch.rand(2, 3, *size)
    torch.testing.assert_close(halved(features), F.avg_pool2d(features, 2, ceil_mode=True))
