from __future__ import annotations

import pytest

from edgeseg import errors


def test_message_is_one_line_with_the_remedy_last():
    error = errors.ModelError("x.onnx is damaged.", "Export it again.")
    assert str(error) == "x.onnx is damaged. Export it again."
    assert (error.what, error.remedy) == ("x.onnx is damaged", "Export it again")


def test_remedy_may_be_plain_from_what_happened():
    assert str(errors.SourceError("camera 7 is not there")) == "camera 7 is not there."


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.InputError, ValueError),
        (errors.SpecError, ValueError),
        (errors.MissingDependencyError, ImportError),
    ],
)
def test_errors_are_also_what_python_programmers_expect(error, builtin):
    with pytest.raises(builtin):
        raise error("what")
    assert issubclass(error, errors.EdgesegError)
