"""What ``--model`` and ``--backend`` open, and how often it is asked what that is."""

from __future__ import annotations

from contextlib import closing

import pytest
from counting import calls_of

from edgeseg.cli.open_model import open_model
from edgeseg.runtime.choose import choose


@pytest.mark.parametrize("backend", ["auto", "ort"])
def test_a_start_chooses_once(tiny_onnx, capsys, backend):
    with calls_of(choose) as called, closing(open_model(str(tiny_onnx), backend, 1, "none")):
        pass
    assert called == ["choose"]
    assert ("model tiny, backend ort: " in capsys.readouterr().err) == (backend == "auto")
