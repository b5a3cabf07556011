from __future__ import annotations

from importlib import metadata

import onnxruntime
import pytest

import edgeseg
from edgeseg import _native as native
from edgeseg.installing import pip_install

PIP = pip_install("edgeseg").removesuffix("edgeseg")


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


@pytest.fixture
def doctor_for(tmp_path, run_python):
    """``doctor_for(requirement, …)``: what the doctor says of packages, by line, where edgeseg asks for these."""

    def run(*requirements):
        folder = tmp_path / "edgeseg-9.9.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", "Name: edgeseg", "Version: 9.9", "Provides-Extra: one", "Provides-Extra: two"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requirements]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
        done = run_python(f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from edgeseg.cli.doctor import _packages
for line in _packages():
    print(*line, sep="|")
""")
        assert done.rc == 0, done.stderr
        return done.stdout.splitlines()

    return run


def test_missing_extras_come_with_the_line_that_installs_them(doctor_for):
    assert doctor_for("numpy", 'no-such-package>=1; extra == "one"', 'numpy; extra == "two"') == [
        "packages|complete|True",
        f"extra one|lacks no-such-package. Run: {PIP}'edgeseg[one]'|True",
        "extra two|complete|True",
    ]


def test_what_is_too_old_is_told_and_breaks_where_every_run_needs_it(doctor_for):
    numpy = metadata.version("numpy")
    assert doctor_for("numpy>=99", 'pillow<2; extra == "one"', 'edgeseg[one]; extra == "two"') == [
        f"packages|numpy {numpy} is not >=99. Run: {pip_install('numpy>=99')}|False",
        f"extra one|pillow {metadata.version('pillow')} is not <2. Run: {PIP}'edgeseg[one]'|True",
        f"extra two|pillow {metadata.version('pillow')} is not <2. Run: {PIP}'edgeseg[two]'|True",
    ]


def test_what_other_systems_need_is_not_asked_for(doctor_for):
    assert doctor_for('no-such-package; sys_platform == "plan9"')[0] == "packages|complete|True"


def test_the_instructions_that_run_are_told(run_cli):
    isa = native.dense_crf_isa()
    told = native.build_info()["simd"] if isa == "portable" else isa
    assert f"simd {told}" in " ".join(run_cli("doctor").stdout.split())


def test_torch_is_not_imported(run_python):
    done = run_python("""
import sys
from edgeseg.cli.doctor import doctor
doctor()
print("torch" in sys.modules)
""")
    assert done.stdout.splitlines()[-1] == "False"
