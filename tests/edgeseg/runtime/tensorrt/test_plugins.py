"""How a TensorRT comes to know edgeseg's plugins; the library itself is tested in tests/kernels/test_trt.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgeseg.errors import InputError, MissingDependencyError
from edgeseg.runtime.tensorrt import plugins as tensorrt_plugins
from edgeseg.runtime.tensorrt.plugins import load_plugins


class Registry:
    """A plugin registry that knows what it has loaded."""

    def __init__(self, loads=True):
        self.loads, self.loaded = loads, []

    def get_creator(self, *name):
        return name if self.loaded else None

    def load_library(self, path):
        if not self.loads:
            return None
        self.loaded.append(path)
        return path


def tensorrt(registry, is_rtx=False):
    return SimpleNamespace(is_rtx=is_rtx, module=SimpleNamespace(get_plugin_registry=lambda: registry))


def test_the_library_is_loaded_once(monkeypatch, tmp_path):
    monkeypatch.setattr(tensorrt_plugins, "plugin_library", lambda: tmp_path / "lib.so")
    registry = Registry()
    for _ in range(2):
        load_plugins(tensorrt(registry))
    assert registry.loaded == [str(tmp_path / "lib.so")]


def test_what_hinders_loading_is_said(monkeypatch, tmp_path):
    with pytest.raises(InputError, match="takes no plugins"):
        load_plugins(tensorrt(Registry(), is_rtx=True))
    monkeypatch.setattr(tensorrt_plugins, "plugin_library", lambda: None)
    with pytest.raises(MissingDependencyError, match="EDGESEG_TENSORRT=ON"):
        load_plugins(tensorrt(Registry()))
    monkeypatch.setattr(tensorrt_plugins, "plugin_library", lambda: tmp_path / "lib.so")
    with pytest.raises(MissingDependencyError, match=r"lib\.so"):
        load_plugins(tensorrt(Registry(loads=False)))
