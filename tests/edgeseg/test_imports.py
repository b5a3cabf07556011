"""What importing costs, and that the device runtime does without torch."""

from __future__ import annotations

import pytest

import edgeseg
from edgeseg.installing import pip_install

DEVICE_SET = [
    "edgeseg",
    "edgeseg.types",
    "edgeseg.spec",
    "edgeseg.data.dataset",
    "edgeseg.evaluation.metrics",
    "edgeseg.evaluation.evaluate",
    "edgeseg.runtime.preprocess",
    "edgeseg.runtime.postprocess",
    "edgeseg.refine.crf",
    "edgeseg.refine.guided",
    "edgeseg.refine.base",
    "edgeseg.segmenter",
    "edgeseg.run_config",
    "edgeseg.evaluation.tune_crf",
    "edgeseg.weights",
    "edgeseg.runtime.registry",
    "edgeseg.runtime.ort.backend",
    "edgeseg.synthetic.street",
    "edgeseg.video.sources.registry",
    "edgeseg.video.sinks.base",
    "edgeseg.video.stage",
    "edgeseg.video.pipeline",
    "edgeseg.video.assembly",
    "edgeseg.video.running",
    "edgeseg.video.streaming",
    "edgeseg.video.web.sink",
    "edgeseg.refine.temporal",
    "edgeseg.video.sources.reconnecting",
    "edgeseg.runtime.choose",
    "edgeseg.runtime.tensorrt.backend",
    "edgeseg.cli",
    "edgeseg.cli.run",
    "edgeseg.cli.models",
    "edgeseg.cli.eval",
    "edgeseg.cli.tune_crf",
    "edgeseg.cli.export",
    "edgeseg.cli.quantize",
    "edgeseg.cli.compare",
    "edgeseg.cli.train",
    "edgeseg.cli.doctor",
]

WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, NoTorch())
"""


def test_the_block_that_the_next_tests_rely_on_holds(run_python):
    done = run_python(WITHOUT_TORCH + "import torch")
    assert done.rc == 1
    assert "torch is blocked" in done.stderr


def test_device_runtime_imports_without_torch(run_python):
    done = run_python(f"""{WITHOUT_TORCH}
from importlib import import_module
for module in {DEVICE_SET!r}:
    try:
        import_module(module)
    except ImportError as error:
        print(module, error)
""")
    assert done == (0, "", "")


def test_device_runtime_labels_an_image_without_torch(run_python, tiny_onnx):
    code = f"""
import numpy as np, edgeseg
segmentation = edgeseg.Segmenter.open({str(tiny_onnx)!r})(np.full((20, 30, 3), (0, 200, 0), np.uint8))
assert (segmentation.labels == 1).all()
"""
    done = run_python(WITHOUT_TORCH + code)
    assert done.rc == 0, done.stderr


def test_a_checkpoint_without_torch_names_the_remedy(run_python, tmp_path):
    (tmp_path / "model.pt").write_bytes(b"")
    code = f"""
from edgeseg.errors import MissingDependencyError
from edgeseg.runtime.registry import open_backend
try:
    open_backend({str(tmp_path / "model.pt")!r})
except MissingDependencyError as error:
    print(error)
"""
    assert pip_install("edgeseg[train]") in run_python(WITHOUT_TORCH + code).stdout


@pytest.mark.parametrize(
    "statement",
    ["import edgeseg", "import edgeseg; edgeseg.EdgesegError", "import edgeseg; edgeseg.RunConfig(source='a.mp4')"],
)
def test_importing_edgeseg_is_cheap(run_python, statement):
    done = run_python(f"import sys; {statement}; print(*sorted(m.split('.')[0] for m in sys.modules))")
    assert not {"numpy", "cv2", "onnxruntime", "av", "torch", "rich"} & set(done.stdout.split())


def test_public_names_are_listed_and_others_refused(run_python):
    done = run_python("""
import edgeseg
print(*(getattr(edgeseg, name).__name__ for name in edgeseg.__all__))
edgeseg.nothing
""")
    assert done.stdout.split() == [
        "CrfParams",
        "EdgesegError",
        "Frame",
        "ModelSpec",
        "Overlay",
        "Pipeline",
        "Result",
        "RunConfig",
        "Segment",
        "Segmentation",
        "Segmenter",
        "WebSink",
        "open_source",
        "run",
        "stream",
    ]
    assert "module 'edgeseg' has no attribute 'nothing'" in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "CrfParams",
        "crf.refine",
        "crf.DenseCrf",
        "video.sources.registry.open_source",
        "video.web.sink.WebSink",
        "runtime.registry",
        "evaluation.metrics",
    ],
)
def test_documented_names_need_no_import_of_their_own(run_python, name):
    assert run_python(f"import edgeseg; edgeseg.{name}") == (0, "", "")


@pytest.mark.parametrize("name", ["nothing", "crf.refine", "", "no such", "_nothing", "__path_hooks__"])
def test_what_is_no_name_of_edgesegs_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match="module 'edgeseg' has no attribute"):
        getattr(edgeseg, name)


def test_a_verb_that_needs_torch_says_which_extra_brings_it(run_python):
    done = run_python(
        f"{WITHOUT_TORCH}\nsys.argv = ['edgeseg', 'export', 'model.pt']\nfrom edgeseg.cli import main\nmain()"
    )
    assert done.rc == 2
    assert done.stderr == f"edgeseg: error: the package torch is not installed. Run: {pip_install('edgeseg[train]')}.\n"
