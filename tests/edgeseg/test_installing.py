"""What people are told to type where a package is missing: it must install what is missing where they are."""

from __future__ import annotations

import json
import os
import shlex
import sys

import pytest

from edgeseg.installing import pip_install

DIST = "edgeseg-9.9.dist-info"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """``installed(direct_url)``: an edgeseg that was installed so, found before this one."""

    def install(direct_url):
        folder = tmp_path / "site" / DIST
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: edgeseg\nVersion: 9.9\n")
        if direct_url is not None:
            (folder / "direct_url.json").write_text(json.dumps(direct_url))
        monkeypatch.syspath_prepend(str(folder.parent))

    return install


@pytest.fixture
def clone(tmp_path):
    folder = tmp_path / "a clone"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("")
    (folder / "constraints.txt").write_text("")
    return folder


def test_from_an_index_it_is_the_name(installed):
    installed(None)
    assert pip_install("edgeseg[web]").endswith("install 'edgeseg[web]'")


@pytest.mark.parametrize("editable", [True, False])
def test_from_a_clone_it_is_the_folder_with_its_pins(installed, clone, editable):
    installed({"url": clone.as_uri(), "dir_info": {"editable": editable}})
    words = shlex.split(pip_install("edgeseg[train]"))
    expected = ["-c", f"{clone}/constraints.txt", *(["-e"] if editable else []), f"{clone}[train]"]
    assert words[words.index("install") + 1 :] == expected


def test_a_clone_that_is_gone_is_not_named(installed, clone):
    installed({"url": (clone / "gone").as_uri(), "dir_info": {}})
    assert pip_install("edgeseg[web]").endswith("install 'edgeseg[web]'")


def test_it_is_the_pip_of_this_python(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shlex.split(pip_install("onnxruntime"))[:4] == [sys.executable, "-m", "pip", "install"]
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable))
    (words,) = {pip_install("numpy>=2", "pillow").partition("install ")[2]}
    assert words == "'numpy>=2' pillow"
