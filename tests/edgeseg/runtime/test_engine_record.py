"""The JSON beside an engine, whether an engine fits a machine, and the cache's key. Needs no TensorRT."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgeseg.errors import EdgesegError, InputError, ModelError
from edgeseg.runtime.engine_record import (
    BuildOptions,
    EngineRecord,
    TensorInfo,
    cache_key,
    check_fits,
    file_sha256,
    read_record,
    record_path,
)
from edgeseg.runtime.gpu import Gpu
from edgeseg.runtime.tensorrt_module import TensorRT

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
