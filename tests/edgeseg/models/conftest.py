from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the networks need torch; pip install 'edgeseg[train]'")
torch.set_num_threads(1)  # more only fight over cores at the sizes of these tests
