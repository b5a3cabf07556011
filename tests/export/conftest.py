from __future__ import annotations

import pytest
from exported import artifact_of, checkpoint_of, made  # noqa: F401 - fixtures

torch = pytest.importorskip("torch", reason="the export needs torch; pip install 'edgeseg[export]'")
pytest.importorskip("onnxscript", reason="the export needs onnxscript; pip install 'edgeseg[export]'")
torch.set_num_threads(1)  # more only fight over cores at the sizes of these tests


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own cache is left alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
