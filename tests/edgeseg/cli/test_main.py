"""The frame all verbs share: help, version, errors, exit codes, a fast start."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

import edgeseg
from edgeseg.cli import VERBS

HEAVY = {"numpy", "cv2", "onnxruntime", "av", "torch", "PIL", "yaml"}


def test_help_lists_every_verb(run_cli):
    done = run_cli("--help")
    assert done.rc == 0
    assert all(f" {verb} " in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_ends_with_examples_on_lines_of_their_own(run_cli, verb):
    done = run_cli(verb, "--help")
    assert done.rc == 0
    last_lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    examples = [line for line in last_lines if line.startswith(f"edgeseg {verb}")]
    assert examples
    assert all(line.count("edgeseg ") == 1 for line in examples)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)])
def test_help_loads_nothing_heavy(run_python, arguments):
    done = run_python(f"""
import sys
from edgeseg.cli import main
sys.argv = ["edgeseg", *{arguments!r}]
try:
    main()
finally:
    print(*sorted(m.split(".")[0] for m in sys.modules), file=sys.stderr)
""")
    assert done.rc == 0
    assert "edgeseg" in done.stderr.split()
    assert not HEAVY & set(done.stderr.split())


def test_version(run_cli):
    assert run_cli("--version") == (0, f"edgeseg {edgeseg.__version__}\n", "")


def test_no_verb_shows_the_help(run_cli):
    done = run_cli()
    assert done.rc == 2
    assert "Usage: edgeseg" in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["fly"], ["eval", "--wings"], ["eval", "--threads", "many"]])
def test_wrong_usage_exits_2(run_cli, arguments):
    done = run_cli(*arguments)
    assert done.rc == 2
    assert "Usage: edgeseg" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_is_one_line_and_exit_code_2(run_cli, tmp_path):
    done = run_cli("eval", "x.onnx", "--data", tmp_path / "nowhere")
    assert done.rc == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"edgeseg: error: no dataset at {tmp_path / 'nowhere'}. Pass a dataset.yaml or the folder that holds one."
    ]


def test_debug_shows_the_traceback(run_cli, tmp_path):
    done = run_cli("--debug", "eval", "x.onnx", "--data", tmp_path / "nowhere")
    assert done.rc != 0
    assert "Traceback" in done.stderr
    assert "DatasetError: no dataset at" in done.stderr


def run_with_verb(body):
    """A process whose verb ``doctor`` is the given code."""
    code = f"""
import signal, sys
import edgeseg.cli.doctor
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have background jobs ignore it
def doctor():
{body}
edgeseg.cli.doctor.doctor = doctor
sys.argv = ["edgeseg", "doctor"]
edgeseg.cli.main()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code], **pipes, text=True)


def test_ctrl_c_exits_130_without_a_traceback():
    process = run_with_verb("    import time\n    print('ready', flush=True)\n    time.sleep(60)")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in stderr


def test_a_bug_keeps_its_traceback():
    process = run_with_verb("    1 / 0")
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "ZeroDivisionError" in stderr


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_goes_away_is_no_error(lines):
    process = run_with_verb(f"    sys.stdin.read()\n    for i in range({lines}): print(i)")
    process.stdout.close()
    process.stdin.close()
    stderr = process.stderr.read()
    process.wait(timeout=120)
    assert process.returncode == 1
    assert stderr == ""


STARTING = """
import importlib.abc, signal, sys, time
moment = sys.argv.pop(1)

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            print("there", flush=True)
            time.sleep(60)
        return None

sys.meta_path.insert(0, Watch())
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have background jobs ignore it
from edgeseg.__main__ import main
main()
"""


@pytest.mark.parametrize("moment", ["edgeseg.cli", "typer", "rich", "yaml", "numpy", "cv2", "onnxruntime"])
def test_ctrl_c_while_modules_are_imported_is_one_line(moment, tmp_path):
    command = [sys.executable, "-c", STARTING, moment, "eval", "fast_scnn-camvid", "--data", str(tmp_path)]
    (tmp_path / "dataset.yaml").write_text("names: [a, b]\nsplits: {val: {images: i, labels: l}}")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if process.stdout.readline() != "there\n":
        assert process.wait(120) == 2
        pytest.skip(f"{moment} is not imported before the error")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert (process.returncode, stderr) == (130, "edgeseg: interrupted\n")


def test_ctrl_c_that_was_swallowed_is_heard_at_the_end():
    body = "    import time\n    print('ready', flush=True)\n    try: time.sleep(60)\n    except BaseException: pass"
    process = run_with_verb(body)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert (process.returncode, stderr) == (130, "edgeseg: interrupted\n")


def test_names_can_neither_break_the_line_nor_steer_the_terminal(run_cli):
    done = run_cli("eval", "fast_scnn-camvid", "--data", "no\x1b]0;title\x07\nsuch\udce9")
    assert done.rc == 2
    assert "no\\x1b]0;title\\x07\\nsuch\\xe9" in done.stderr
    assert done.stderr.count("\n") == 1


def test_too_little_memory_is_one_line():
    process = run_with_verb("    raise MemoryError")
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 2
    assert stderr.startswith("edgeseg: error: there is not enough memory")
