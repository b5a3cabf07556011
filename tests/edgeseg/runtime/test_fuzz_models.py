"""Models, specs and records damaged at random: each is run, or told of in one line; nothing else may happen.

Seeded, so that every run sees the same inputs. ``EDGESEG_FUZZ_ROUNDS`` makes more of them.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("onnx", reason="onnx writes the test models; pip install 'edgeseg[export]'")

ROUNDS = int(os.environ.get("EDGESEG_FUZZ_ROUNDS", "1"))

CODE = r"""
import faulthandler, json, os, sys
from pathlib import Path
import numpy as np
import onnx
from edgeseg.errors import EdgesegError
from edgeseg.crf_params import CrfParams
from edgeseg.runtime.engine_record import read_record, record_path
from edgeseg.runtime.gpu import Gpu
from edgeseg.runtime.onnx_file import load_model, read_spec
from edgeseg.runtime.ort import OrtBackend
from edgeseg.spec import METADATA_KEY, ModelSpec
faulthandler.enable()

VALUES = [
    None, True, False, 0, -1, 1, 3, 255, 256, 300, 2**31, 2**63, 10**30, 1.5, -0.0, float("nan"), float("inf"), 1e308,
    "", "x", "logits", "labels", "\ud800", "\x1b[2J", "a\nb", "\u202e", "x" * 300, "sm86", "../../etc/passwd",
    [], [1], [1, 2], [1, 2, 3], ["a"], [[1, 2, 3]], [None], {}, {"a": 1}, {"name": "x"}, [[]] * 300, [1.5] * 3,
]

def mutate_bytes(rng, content):
    content = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(0, len(content)))
        kind = rng.integers(0, 5)
        if kind == 0:
            content[at] = int(rng.integers(0, 256))
        elif kind == 1:
            content[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 2:
            del content[at : at + int(rng.integers(1, 40))]
        elif kind == 3:
            content[at:at] = rng.integers(0, 256, int(rng.integers(1, 20)), dtype=np.uint8).tobytes()
        else:
            content[at:at] = content[at : at + int(rng.integers(1, 60))]
        content = content or bytearray(b"x")
    return bytes(content)

def paths_of(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths_of(inner, (*path, key))

def mutate_json(rng, value):
    value = json.loads(json.dumps(value))
    for _ in range(rng.integers(1, 3)):
        paths = [path for path in paths_of(value) if path]
        *way, last = paths[int(rng.integers(0, len(paths)))]
        owner = value
        for key in way:
            owner = owner[key]
        kind = rng.integers(0, 4)
        if kind == 0 and isinstance(owner, dict):
            owner[str(VALUES[int(rng.integers(18, 28))])] = owner.pop(last)
        elif kind == 1:
            del owner[last]
        else:
            owner[last] = VALUES[int(rng.integers(0, len(VALUES)))]
        if not value:
            break
    text = json.dumps(value)
    return text if rng.integers(0, 4) else mutate_bytes(rng, text.encode("utf-8", "replace")).decode("utf-8", "replace")

def attempt(what, index, function, *arguments):
    print(what, index, file=sys.stderr, flush=True)
    try:
        function(*arguments)
        return 1
    except EdgesegError as error:
        line = str(error)
        assert "\n" not in line and len(line) < 1500 and line.isprintable(), repr(line)
        return 0

def run(path):
    backend = OrtBackend(path, threads=1)
    try:
        backend.infer(np.zeros((1, *backend.spec.input_size, 3), np.uint8))
    finally:
        backend.close()

kind, folder, rounds, *sources = sys.argv[1:]
os.chdir(folder)
rng = np.random.default_rng(0)
fine = tried = 0
for round in range(int(rounds)):
    for source in sources:
        source = Path(source)
        if kind == "onnx":
            whole = source.read_bytes()
            spec_at = whole.find(b"edgeseg.spec")
            for index in range(60):
                path = Path("model.onnx")
                # The graph, which comes before the metadata, is damaged more often than not.
                rest = whole[spec_at - 6 :] if rng.integers(0, 3) else b""
                path.write_bytes(mutate_bytes(rng, whole[: len(whole) - len(rest)]) + rest)
                for function in (read_spec, load_model, run):
                    tried += 1
                    fine += attempt(f"{source.name} {function.__name__}", (round, index), function, path)
        elif kind == "spec":
            spec = ModelSpec("n", ("a", "b"), metrics={"val_miou": 0.5}, crf=CrfParams(compatibility=((0, 1), (1, 0))))
            for index in range(1500):
                tried += 1
                text = mutate_json(rng, json.loads(spec.to_json()))
                fine += attempt("spec", (round, index), ModelSpec.from_json, text, "x.onnx")
        else:
            path = Path("x.engine")
            path.write_bytes(b"engine")
            for index in range(800):
                text = mutate_json(rng, json.loads(source.read_text()))
                record_path(path).write_bytes(text.encode("utf-8", "surrogatepass"))
                tried += 1
                fine += attempt("record", (round, index), lambda: read_record(path).rebuild(path))
print(tried, fine)
"""


def fuzz(kind, folder, *sources, timeout_s=240):
    done = subprocess.run(
        [sys.executable, "-c", CODE, kind, folder, str(ROUNDS), *sources],
        capture_output=True,
        text=True,
        timeout=timeout_s * ROUNDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    tried, fine = map(int, done.stdout.split())
    assert 0 < fine < tried  # it does damage something, and not everything
    return tried


def test_damaged_models(tiny_onnx, convnet, tmp_path):
    assert fuzz("onnx", tmp_path, tiny_onnx, convnet) == 360 * ROUNDS


def test_damaged_specs(tmp_path):
    assert fuzz("spec", tmp_path, "spec") == 1500 * ROUNDS


def test_damaged_records(tiny_spec, tmp_path):
    from edgeseg.runtime.engine_record import BuildOptions, EngineRecord, TensorInfo
    from edgeseg.runtime.gpu import Gpu

    record = EngineRecord(
        spec=tiny_spec,
        onnx="street.onnx",
        onnx_sha256="0" * 64,
        engine_sha256="1" * 64,
        flavour="TensorRT",
        version=(10, 3, 0),
        gpu=Gpu("Orin", "sm87"),
        options=BuildOptions("fp16", (1, 2, 4), ("sm87",), 64),
        plugins=False,
        inputs=(TensorInfo("images", "uint8", (-1, 32, 48, 3)),),
        outputs=(TensorInfo("logits", "float32", (-1, 3, 4, 6)),),
    )
    (tmp_path / "record.json").write_text(record.to_json())
    assert fuzz("record", tmp_path, tmp_path / "record.json") == 800 * ROUNDS
