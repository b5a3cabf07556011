"""ONNX Runtime writes no device id and opens no connection: real processes with a home folder of their own."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[4]

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <stdlib.h>

static void note(const char* what) {
    int file = open(getenv("CALLS"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    write(file, what, strlen(what));
    write(file, "\n", 1);
    close(file);
}
int connect(int socket, const struct sockaddr* to, socklen_t size) {
    if (to->sa_family == AF_INET || to->sa_family == AF_INET6) note("connect");
    return ((int (*)(int, const struct sockaddr*, socklen_t))dlsym(RTLD_NEXT, "connect"))(socket, to, size);
}
int getaddrinfo(const char* host, const char* port, const struct addrinfo* hints, struct addrinfo** found) {
    note(host ? host : "getaddrinfo");
    return EAI_NONAME;
}
"""

OPEN = """
from edgeseg.segmenter import Segmenter
import numpy as np
with Segmenter.open("fast_scnn-camvid", threads=1) as segmenter:
    segmenter(np.zeros((36, 48, 3), np.uint8))
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """``start(*words)``: a Python process with an empty home folder, and its (home, file of network calls)."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler, to record what a process connects to")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    library = folder / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-w", folder / "shim.c", "-o", library, "-ldl"], check=True)

    def run(*words, **environment):
        home = tmp_path_factory.mktemp("home")
        calls = home.with_name(f"{home.name}.calls")
        calls.touch()
        inherited = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY" and not k.startswith("XDG_")}
        own = {"HOME": str(home), "LD_PRELOAD": str(library), "CALLS": str(calls), "TMPDIR": str(home.parent)}
        process = subprocess.Popen(
            [sys.executable, *words],
            env={**inherited, **own, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=home.parent,
        )
        return process, home, calls

    return run


@pytest.fixture(scope="module", autouse=True)
def long_run(request):
    """A process that outlives the time after which ONNX Runtime first sends what it has gathered, some 10 s.

    It starts before the other tests of this file, so that they run meanwhile.
    """
    return request.getfixturevalue("start")("-c", f"{OPEN}\nimport time; time.sleep(13)")


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def assert_quiet(process, home: Path, calls: Path) -> None:
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert (files_in(home), calls.read_text()) == ([], "")


def test_the_shim_that_these_tests_rely_on_sees_a_connection(start):
    code = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    process, _, calls = start("-c", code)
    process.communicate(timeout=120)
    assert calls.read_text() == "connect\n"


def test_the_command_writes_no_device_id(start):
    model = ("--model", "fast_scnn-camvid")
    assert_quiet(*start("-m", "edgeseg", "run", "synthetic:?live=1&size=64x48", "--max-frames", "3", *model))


def test_without_a_model_it_writes_how_long_some_take_here_and_nothing_else(start):
    process, home, calls = start("-m", "edgeseg", "run", "synthetic:?live=1&size=64x48", "--max-frames", "3")
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert calls.read_text() == ""
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {path.parent.relative_to(home).as_posix() for path in files} == {".cache/edgeseg/times"}
    assert all(json.loads(path.read_text()).keys() == {"ms"} for path in files)


@pytest.mark.parametrize(
    "code", [OPEN, "import onnx, edgeseg.quantize.ptq", "from edgeseg.runtime.ort.info import CPU; CPU.doctor()"]
)
def test_no_way_to_it_from_python_writes_a_device_id(start, code):
    if "onnx," in code:
        pytest.importorskip("onnx", reason="pip install 'edgeseg[quantize]'")
    assert_quiet(*start("-c", code))


@pytest.mark.parametrize("value", ["", "1", "yes"])
def test_only_the_users_own_word_turns_it_on(start, value):
    """Empty, ONNX Runtime takes it for a yes."""
    assert_quiet(*start("-c", OPEN, ORT_DISABLE_TELEMETRY=value))


def test_the_users_own_word_is_kept(run_python):
    code = f"import os; os.environ['ORT_DISABLE_TELEMETRY'] = '0'\n{OPEN}\nprint(os.environ['ORT_DISABLE_TELEMETRY'])"
    home = "import os, tempfile; os.environ['HOME'] = tempfile.mkdtemp()\n"
    assert run_python(home + code).stdout == "0\n"


def test_events_are_turned_off_where_the_program_has_imported_it_before(run_python):
    code = """
import os, tempfile
os.environ["HOME"] = tempfile.mkdtemp()
import onnxruntime
asked = []
onnxruntime.disable_telemetry_events = lambda: asked.append(True)
import edgeseg.runtime.ort.backend
print(asked)
"""
    assert run_python(code).stdout == "[True]\n"


def test_one_file_alone_imports_it():
    found = []
    for path in sorted([*REPOSITORY.glob("edgeseg/**/*.py"), *REPOSITORY.glob("export/**/*.py")]):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for_types = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [node.args[0].value] if _imports_by_name(node) else []
            if any(name.partition(".")[0] == "onnxruntime" for name in names) and id(node) not in for_types:
                found.append(path.relative_to(REPOSITORY).as_posix())
    assert found == ["edgeseg/runtime/ort/module.py"]


def _imports_by_name(node: ast.AST) -> bool:
    function = node.func if isinstance(node, ast.Call) else None
    name = getattr(function, "id", getattr(function, "attr", ""))
    return name == "import_module" and isinstance(node.args[0], ast.Constant)


def test_it_opens_no_connection(long_run):
    assert_quiet(*long_run)
