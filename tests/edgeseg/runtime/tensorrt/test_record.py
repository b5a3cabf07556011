"""The JSON beside an engine, whether an engine fits a machine, and the cache's key. Needs no TensorRT."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
import subprocess
import sys
from dataclasses import replace

import pytest

from edgeseg.artifact.record import record_path
from edgeseg.errors import EdgesegError, InputError, ModelError, SpecError
from edgeseg.files.cache_folder import cache_folder
from edgeseg.runtime.cuda.gpu import Gpu
from edgeseg.runtime.tensorrt.module import TensorRT
from edgeseg.runtime.tensorrt.record import (
    BuildOptions,
    EngineRecord,
    TensorInfo,
    cache_key,
    check_fits,
    file_sha256,
    read_fitting,
    read_record,
)
from edgeseg.runtime.tensorrt.trust import note_built, was_built_here

ORIN = Gpu("Orin", "sm87")
RTX3090 = Gpu("NVIDIA GeForce RTX 3090", "sm86")
RTX3060 = Gpu("NVIDIA GeForce RTX 3060", "sm86")
T4 = Gpu("Tesla T4", "sm75")
JETPACK62 = TensorRT(None, "TensorRT", (10, 3, 0, 30))
JETPACK72 = TensorRT(None, "TensorRT", (10, 16, 0, 12))
RTX = TensorRT(None, "TensorRT-RTX", (1, 7, 1, 116))


@pytest.fixture
def write(tmp_path, tiny_spec):
    """``write(options=…, gpu=…)``: an engine of made-up bytes with a true record beside it."""

    def make(**changes):
        engine = tmp_path / "street.engine"
        engine.write_bytes(b"engine" * 100)
        record = EngineRecord(
            spec=tiny_spec,
            onnx="street.onnx",
            onnx_sha256="0" * 64,
            engine_sha256=file_sha256(engine),
            flavour="TensorRT",
            version=JETPACK62.version,
            gpu=ORIN,
            options=BuildOptions(),
            plugins=False,
            inputs=(TensorInfo("images", "uint8", (-1, 32, 48, 3)),),
            outputs=(TensorInfo("logits", "float32", (-1, 3, 4, 6)),),
        )
        record = replace(record, **changes)
        record_path(engine).write_text(record.to_json())
        return engine, record

    return make


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gpu": None, "options": BuildOptions("fp16", (1, 2, 8), ("sm86", "sm89"), workspace_mib=64)},
        {"options": BuildOptions("int8", dla=1, version_compatible=True, hardware_compatibility="ampere_plus")},
    ],
)
def test_what_is_written_is_read_again(write, changes):
    engine, record = write(**changes)
    assert read_record(engine) == record


def test_what_a_newer_edgeseg_has_put_there_is_read_over_and_passed_on(write):
    engine, record = write()
    raw = json.loads(record_path(engine).read_text())
    newer = {**raw, "sparsity": {"kept": [1, 2]}, "options": {**raw["options"], "refit": True}}
    record_path(engine).write_text(json.dumps(newer))
    found = check_fits(engine, JETPACK62, ORIN)
    assert replace(found, extra={}, options=BuildOptions()) == record
    assert json.loads(found.to_json()) == newer


def test_a_record_of_before_there_were_other_backends(write):
    """As version 0.1.0 first wrote it: without the name of the backend and the versions."""
    engine, record = write()
    raw = json.loads(record_path(engine).read_text())
    record_path(engine).write_text(json.dumps({k: v for k, v in raw.items() if k not in ("backend", "versions")}))
    assert read_record(engine) == record


def test_an_engine_of_another_backend(write):
    engine, _ = write()
    raw = json.loads(record_path(engine).read_text())
    record_path(engine).write_text(json.dumps({**raw, "backend": "openvino"}))
    with pytest.raises(ModelError, match=r"street\.engine is for the backend openvino, as street\.engine\.json says"):
        read_record(engine)


@pytest.mark.parametrize(
    ("changes", "tensorrt", "gpu"),
    [
        ({}, JETPACK62, ORIN),
        ({"options": BuildOptions(version_compatible=True)}, JETPACK72, ORIN),
        (
            {"gpu": RTX3090, "options": BuildOptions(hardware_compatibility="same_compute_capability")},
            JETPACK62,
            RTX3060,
        ),
        ({"gpu": RTX3090, "options": BuildOptions(hardware_compatibility="ampere_plus")}, JETPACK62, ORIN),
        (
            {
                "gpu": None,
                "flavour": RTX.flavour,
                "version": RTX.version,
                "options": BuildOptions(target=("sm75", "sm86")),
            },
            RTX,
            RTX3060,
        ),
    ],
)
def test_an_engine_that_fits(write, changes, tensorrt, gpu):
    engine, record = write(**changes)
    assert check_fits(engine, tensorrt, gpu) == record


@pytest.mark.parametrize(
    ("changes", "tensorrt", "gpu", "reason"),
    [
        ({}, JETPACK72, ORIN, "was built by TensorRT 10.3.0.30; this is TensorRT 10.16.0.12"),
        ({}, RTX, ORIN, "was built by TensorRT 10.3.0.30; this is TensorRT-RTX 1.7.1.116"),
        ({}, JETPACK62, RTX3060, "was built on Orin (sm87); this is NVIDIA GeForce RTX 3060 (sm86)"),
        ({"gpu": RTX3090}, JETPACK62, RTX3060, "was built on NVIDIA GeForce RTX 3090 (sm86); this is"),
        (
            {"gpu": RTX3090, "options": BuildOptions(hardware_compatibility="ampere_plus")},
            JETPACK62,
            T4,
            "this is Tesla T4 (sm75)",
        ),
        (
            {"version": JETPACK72.version, "options": BuildOptions(version_compatible=True)},
            JETPACK62,
            ORIN,
            "was built by TensorRT 10.16.0.12; this is TensorRT 10.3.0.30",
        ),
        (
            {"gpu": None, "flavour": RTX.flavour, "version": RTX.version, "options": BuildOptions(target=("sm89",))},
            RTX,
            RTX3060,
            "was built for sm89; this is NVIDIA GeForce RTX 3060 (sm86)",
        ),
    ],
)
def test_an_engine_that_does_not_fit_says_why_and_how_to_rebuild_it(write, changes, tensorrt, gpu, reason):
    engine, record = write(**changes)
    with pytest.raises(ModelError) as caught:
        check_fits(engine, tensorrt, gpu)
    message = str(caught.value)
    assert message.startswith(f"{engine} ")
    assert reason in message
    assert f"Rebuild: edgeseg export street.onnx --format tensorrt{record.options.flags()} --output {engine}" in message
    assert "\n" not in message


def test_a_truncated_engine(write):
    engine, _ = write()
    engine.write_bytes(engine.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"truncated, or of another build\. Copy both files again\. Rebuild: edgeseg"):
        check_fits(engine, JETPACK62, ORIN)


@pytest.mark.parametrize("missing", ["street.engine", "street.engine.json"])
def test_one_file_without_the_other(write, missing):
    engine, _ = write()
    engine.with_name(missing).unlink()
    with pytest.raises(ModelError, match=r"there is no model file|street\.engine\.json is not beside"):
        read_record(engine)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 2}',
        '{"format": 1}',
        "change:version=null",
        "change:options={}",
        'change:options={"batch": [1], "target": []}',
        "change:spec=3",
        "change:inputs=7",
        'change:gpu={"brand": "x"}',
    ],
)
def test_a_damaged_record_is_one_line(write, content):
    engine, _ = write()
    if content.startswith("change:"):
        key, value = content.removeprefix("change:").split("=", 1)
        content = json.dumps({**json.loads(record_path(engine).read_text()), key: json.loads(value)})
    record_path(engine).write_text(content)
    with pytest.raises(EdgesegError, match=r"street\.engine\.json") as caught:
        read_record(engine)
    assert "\n" not in str(caught.value)


EVIL = "\x1b[2J"
HOSTILE = {
    "format": [None, 2, [], EVIL],
    "spec": [None, [], "x", {}],
    "onnx": [None, 3, EVIL, "", "x" * 5000, "a\u202eb", "a\nb"],
    "onnx_sha256": [None, 3, "0" * 63, EVIL],
    "engine_sha256": [None, 3, "", "Z" * 64],
    "flavour": [None, EVIL, ["TensorRT"]],
    "version": [None, [], "10", [10.5], ["10"], [True], list(range(100))],
    "gpu": [
        3,
        [],
        {},
        {"name": "x"},
        {"name": EVIL, "compute_capability": "sm87"},
        {"name": "x", "compute_capability": "87"},
        {"name": "x", "compute_capability": 87},
        {"name": "x", "compute_capability": "sm" + "9" * 5000},
        {"name": "x", "compute_capability": "sm87", "more": 1},
    ],
    "plugins": [None, 1, "yes"],
    "inputs": [
        None,
        7,
        {},
        [3],
        [{}],
        [{"name": EVIL, "dtype": "uint8", "shape": [1]}],
        [{"name": "x", "dtype": ["uint8"], "shape": [1]}],
        [{"name": "x", "dtype": "uint8", "shape": 1}],
        [{"name": "x", "dtype": "uint8", "shape": ["1"]}],
        [{"name": "x", "dtype": "uint8", "shape": [1] * 99}],
        [{"name": "x", "dtype": "uint8", "shape": [1]}] * 99,
    ],
}
HOSTILE_OPTIONS = {
    "precision": [None, EVIL, ["fp32"], {}],
    "batch": [None, 1, [1], [1, 1], [1, 2, 1], ["1", "1", "1"], [1.0, 1.0, 1.0], [True, True, True], [1, 1, 10**9]],
    "target": [None, "sm86", [86], ["sm86; rm -rf /"], [EVIL], ["$(reboot)"]],
    "workspace_mib": [0, "1", 1.5, True, 10**18],
    "dla": [-1, "0", True, 10**18],
    "version_compatible": [None, 1, "yes"],
    "hardware_compatibility": [None, EVIL, ["none"]],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in HOSTILE.items() for value in values])
def test_a_hostile_record_is_one_line_that_can_be_shown(write, key, value):
    engine, _ = write()
    raw = json.loads(record_path(engine).read_text())
    assert_one_line(engine, json.dumps({**raw, key: value}))
    assert_one_line(engine, json.dumps({k: v for k, v in raw.items() if k != key}))


@pytest.mark.parametrize(("key", "value"), [(k, value) for k, values in HOSTILE_OPTIONS.items() for value in values])
def test_hostile_options_are_one_line_that_can_be_shown(write, key, value):
    engine, _ = write()
    raw = json.loads(record_path(engine).read_text())
    assert_one_line(engine, json.dumps({**raw, "options": {**raw["options"], key: value}}))


@pytest.mark.parametrize("content", [b"\xff", b"[" * 100_000, b"\0" * 100, b'{"format": 1e999}', b" " * (5 << 20)])
def test_hostile_json_is_one_line(write, content):
    engine, _ = write()
    assert_one_line(engine, content)


def assert_one_line(engine, content):
    record_path(engine).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises((ModelError, SpecError), match=r"street\.engine") as caught:
        check_fits(engine, JETPACK62, ORIN)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 900


def test_a_record_without_a_gpu_or_a_target_fits_nowhere(write):
    engine, _ = write(gpu=None)
    with pytest.raises(ModelError, match="was built for no GPU that its record names"):
        check_fits(engine, JETPACK62, ORIN)


def test_the_line_to_rebuild_an_engine_can_be_pasted(write, tmp_path):
    """It quotes what comes from the record, and shows nothing that would steer the terminal."""
    engine, record = write(onnx="$(reboot) `x`; 'street'.onnx", options=BuildOptions(target=("sm86",)))
    words = shlex.split(record.rebuild(tmp_path / "my engine.engine").removeprefix("Rebuild: "))
    assert words == [
        *("edgeseg", "export", "$(reboot) `x`; 'street'.onnx", "--format", "tensorrt", "--target", "sm86"),
        *("--output", str(tmp_path / "my engine.engine")),
    ]
    assert record.rebuild(tmp_path / "a\x1b[2Jb.engine").endswith("--output ENGINE")
    assert engine.is_file()


def test_folders_and_pipes_are_no_engines(tmp_path):
    (tmp_path / "a.engine").mkdir()
    os.mkfifo(tmp_path / "b.engine")
    (tmp_path / "c.engine").touch()
    os.mkfifo(tmp_path / "c.engine.json")
    for name in ("a", "b", "c"):
        with pytest.raises(ModelError, match="not a model"):
            check_fits(tmp_path / f"{name}.engine", JETPACK62, ORIN)


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from edgeseg.files.whole import written_whole
from edgeseg.artifact.record import record_path
from edgeseg.runtime.tensorrt.record import file_sha256, pair_locked, read_record
engine, rounds = Path(sys.argv[1]), int(sys.argv[3])
record = read_record(engine)
for index in range(rounds):
    with pair_locked(engine):
        for path in (record_path(engine), engine):  # with time between them, in which the two do not fit
            with written_whole(path) as part:
                content = f"{sys.argv[2]} {index}".encode() * 1000
                if path is engine:
                    part.write_bytes(content)
                else:
                    import hashlib
                    new = replace(record, engine_sha256=hashlib.sha256(content).hexdigest())
                    part.write_text(new.to_json())
"""


def test_an_engine_and_its_record_fit_while_others_write_them(write, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    engine, _ = write()
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, engine, name, "100"]) for name in ("a", "b")]
    reads = 0
    while any(writer.poll() is None for writer in writers):
        record, content = read_fitting(engine, JETPACK62, ORIN)
        assert hashlib.sha256(content).hexdigest() == record.engine_sha256
        reads += 1
    assert [writer.wait() for writer in writers] == [0, 0]
    assert reads
    read_fitting(engine, JETPACK62, ORIN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "street.engine", "street.engine.json"]


def test_the_cache_folder_is_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "edgeseg").mkdir(mode=0o777)
    (tmp_path / "edgeseg").chmod(0o777)
    assert note_built("0" * 64)
    assert was_built_here("0" * 64)
    assert not was_built_here("1" * 64)
    for path in (tmp_path / "edgeseg", tmp_path / "edgeseg" / "engines"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    notes = tmp_path / "edgeseg" / "engines" / "built-here"
    assert stat.S_IMODE(notes.stat().st_mode) == 0o600
    notes.chmod(0o666)
    assert not was_built_here("0" * 64), "anybody could have written that"


def test_a_cache_folder_that_is_a_link_or_anothers_is_not_believed(tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    (theirs / "engines").mkdir(parents=True)
    (theirs / "engines" / "built-here").write_text("0" * 64)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "edgeseg").symlink_to(theirs)
    monkeypatch.setenv("XDG_CACHE_HOME", str(mine))
    assert not was_built_here("0" * 64)
    with pytest.raises(EdgesegError, match=r"is a link, or belongs to another user.*XDG_CACHE_HOME"):
        cache_folder("engines")
    (mine / "edgeseg").unlink()
    if os.getuid() == 0:
        (mine / "edgeseg").mkdir()
        os.chown(mine / "edgeseg", 12345, 12345)
        with pytest.raises(EdgesegError, match="belongs to another user"):
            cache_folder("engines")


def test_the_cache_key_is_of_all_that_makes_an_engine():
    base = {"onnx_sha256": "0" * 64, "options": BuildOptions(), "tensorrt": JETPACK62, "gpu": ORIN}
    others = [
        {"onnx_sha256": "1" * 64},
        {"options": BuildOptions(precision="fp16")},
        {"options": BuildOptions(batch=(1, 1, 2))},
        {"options": BuildOptions(target=("sm86",)), "gpu": None},
        {"options": BuildOptions(workspace_mib=64)},
        {"options": BuildOptions(version_compatible=True)},
        {"options": BuildOptions(hardware_compatibility="ampere_plus")},
        {"tensorrt": JETPACK72},
        {"tensorrt": RTX},
        {"gpu": RTX3090},
        {"gpu": RTX3060},
    ]
    keys = [cache_key(**{**base, **change}) for change in ({}, *others)]
    assert len(set(keys)) == len(keys)
    assert cache_key(**base) == keys[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, "precision is 'int4'"),
        ({"batch": (2, 1, 4)}, "smallest, best and largest"),
        ({"batch": (0, 1, 1)}, "smallest, best and largest"),
        ({"workspace_mib": 0}, "workspace_mib is 0"),
        ({"dla": 0}, "FP16 or INT8 only"),
        ({"dla": 0, "precision": "fp16", "batch": (1, 1, 2)}, "one batch size"),
        ({"hardware_compatibility": "all"}, "hardware_compatibility is 'all'"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(InputError, match=message):
        BuildOptions(**options)
