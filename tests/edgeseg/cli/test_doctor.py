from __future__ import annotations

import onnxruntime
import pytest

import edgeseg
from edgeseg.installing import pip_install


def test_all_parts_are_told(run_cli):
    done = run_cli("doctor")
    assert done.rc == 0, done.stdout
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert edgeseg.__version__ in lines["edgeseg"]
    assert "compiler" in lines["native"]
    assert onnxruntime.__version__ in lines["onnxruntime"]
    assert "CPUExecutionProvider" in lines["onnxruntime"]
    assert {"libraries", "torch", "models", "cameras", "display"} <= lines.keys()


@pytest.mark.parametrize(
    ("module", "remedy"), [("onnxruntime", pip_install("onnxruntime")), ("edgeseg._native", "pip install .")]
)
def test_a_broken_part_names_the_remedy_and_exits_1(run_python, module, remedy):
    done = run_python(f"""
import sys
sys.modules[{module!r}] = None  # importing it fails
sys.argv = ["edgeseg", "doctor"]
from edgeseg.cli import main
main()
""")
    assert done.rc == 1
    assert "cannot be loaded" in done.stdout
    assert remedy in " ".join(done.stdout.split())


def test_missing_extras_come_with_the_line_that_installs_them(run_python):
    done = run_python("""
from importlib import metadata
requirements = ['numpy', 'no-such-package>=1; extra == "web"', 'numpy; extra == "dev"']
metadata.requires = lambda name: requirements
from edgeseg.cli.doctor import _extras
for line in _extras():
    print(*line, sep="|")
""")
    assert done.stdout.splitlines() == [
        f"extra web|lacks no-such-package. Run: {pip_install('edgeseg[web]')}|True",
        "extra dev|complete|True",
    ]


def test_torch_is_not_imported(run_python):
    done = run_python("""
import sys
from edgeseg.cli.doctor import doctor
doctor()
print("torch" in sys.modules)
""")
    assert done.stdout.splitlines()[-1] == "False"
