# make         .venv with the package and its native extension
# make run     a labelled video in runs/demo.mp4 and its latency report; SOURCE=street.mp4 labels another one
# make test    the whole suite, kernel-tests first; tests that want more (TEST_APT) are skipped without it
# make test-core  what of it needs no PyTorch and hangs on versions, by PYTHON=python3.13, or at the LOWEST=1 allowed
# make lint    style, types, layers
# make docs    the site with the API reference, in build/site
# make bench   times the kernels
# make kernel-tests  the kernels without Python; the dense CRF's CUDA driver on the CPU among them
# make sanitize  the same under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer
# make clean   removes .venv, build and caches; runs/ stays

PYTHON ?= python3
VENV ?= .venv
SOURCE ?= synthetic:
APT := python3-venv python3-dev g++ make libgl1 libglib2.0-0
TEST_APT := python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly chromium xvfb openssl

BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet
export PIP_DISABLE_PIP_VERSION_CHECK := 1
PACKAGE := $(VENV)/.package
DEV := $(VENV)/.dev
DOCS := $(VENV)/.docs
TENSORRT_RTX := $(VENV)/.tensorrt-rtx
SANITIZE ?=
TEST_PROCESSES ?= 3
PYTEST = -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
CORE := build/core
CORE_NATIVE := build/core_native
CORE_TESTS := tests/contracts tests/kernels $(wildcard tests/edgeseg/test_*.py) \
  $(addprefix tests/edgeseg/,artifact cli data evaluation files quantize refine runtime spec video)
LOWEST ?=
KERNEL_TESTS = build/kernel_tests$(addprefix -,$(SANITIZE))
NATIVE_SOURCES := CMakeLists.txt $(shell find kernels -type f -not -path 'kernels/tests/*' -not -path 'kernels/bench/*')
CXX_SOURCES := $(shell find kernels -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')

# $(call need,COMMAND,WHAT IS MISSING): one line with the remedy where the command fails.
need = @$(1) >/dev/null 2>&1 || { echo "edgeseg: $(2). Run: sudo apt install $(APT)" >&2; exit 1; }

.PHONY: all run test test-core lint docs bench kernel-tests built-kernel-tests sanitize clean system
.DELETE_ON_ERROR:

all: $(PACKAGE)

run: $(PACKAGE)
	@mkdir -p runs
	$(BIN)/edgeseg run '$(SOURCE)' --save runs/demo.mp4

test: kernel-tests $(TENSORRT_RTX)
	$(BIN)/python $(PYTEST)

# In an environment of its own, with a native extension of its own; what of that knows no Python is compiled once for all.
# Most tests wait, and none has PyTorch in memory: more of them at a time than of make test.
test-core: TEST_PROCESSES = 4
test-core: $(DEV)
	$(PYTHON) -m venv --clear $(CORE)
	$(if $(LOWEST),$(BIN)/python tests/support/lowest.py,true) > $(CORE)/constraints.txt
	$(CORE)/bin/pip install --quiet --constraint $(CORE)/constraints.txt \
	  --config-settings=build-dir=$(CORE_NATIVE) --config-settings=cmake.define.EDGESEG_CUDA=OFF \
	  --editable '.[quantize]' pytest pytest-timeout pytest-xdist jsonschema
	$(CORE)/bin/python $(PYTEST) -m 'not (any_version$(if $(LOWEST),, or any_python))' $(CORE_TESTS)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/clang-format --dry-run --Werror $(CXX_SOURCES)

# It reads the code without running it. A link that leads nowhere ends it, in a docstring too.
docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file docs/site/mkdocs.yml

bench: $(PACKAGE)
	$(BIN)/python benchmarks/kernels.py

# What tests the kernels without Python. SANITIZE=address,undefined (or thread) compiles all of it with -fsanitize=.
kernel-tests: built-kernel-tests
	$(BIN)/ctest --test-dir $(KERNEL_TESTS) --output-on-failure

built-kernel-tests: $(DEV)
	$(BIN)/cmake -S . -B $(KERNEL_TESTS) -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
	  -DCMAKE_CXX_FLAGS_RELEASE=-O1 -DEDGESEG_SANITIZE=$(SANITIZE) -DEDGESEG_KERNEL_TESTS=ON -DEDGESEG_CUDA=OFF \
	  -DPython_EXECUTABLE=$(abspath $(BIN))/python -Dnanobind_DIR="$$($(BIN)/python -m nanobind --cmake_dir)" $(CMAKE_ARGS)
	$(BIN)/cmake --build $(KERNEL_TESTS) --target kernels/tests/all

sanitize:
	$(MAKE) kernel-tests SANITIZE=address,undefined
	$(MAKE) kernel-tests SANITIZE=thread

clean:
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find edgeseg export tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# What pip cannot bring.
system:
	$(call need,$(PYTHON) -c 'import sys; sys.exit(sys.hexversion < 0x030A0000)',$(PYTHON) is not Python 3.10 or later)
	$(call need,$(PYTHON) -c 'import ensurepip',Python lacks its module venv)
	$(call need,test -f "$$($(PYTHON) -c 'import sysconfig as s; print(s.get_path("include"))')/Python.h",no Python.h)
	$(call need,command -v $${CXX:-c++},there is no C++ compiler)
	$(call need,$(PYTHON) -c 'from ctypes import CDLL; CDLL("libGL.so.1")',OpenCV needs libGL)
	$(call need,$(PYTHON) -c 'from ctypes import CDLL; CDLL("libgthread-2.0.so.0")',OpenCV needs GLib)

$(BIN)/python:
	@$(MAKE) --no-print-directory system
	$(PYTHON) -m venv $(VENV)

# Editable, so that Python files are used where they lie; compiled again only when one of these changes.
$(PACKAGE): pyproject.toml $(NATIVE_SOURCES) | $(BIN)/python
	@echo "installing edgeseg and compiling its native extension: a minute or two"
	$(PIP) --editable .
	@touch $@

# The package is there already: this adds what its extra asks for, and what builds the kernel tests.
$(DEV): constraints.txt $(PACKAGE)
	@echo "installing what the tests need, PyTorch among it: some minutes"
	$(PIP) --constraint constraints.txt 'edgeseg[dev]' cmake ninja nanobind
	@touch $@

$(DOCS): constraints.txt $(PACKAGE)
	$(PIP) --constraint constraints.txt 'edgeseg[docs]'
	@touch $@

# Builds engines without a GPU. Where it cannot be had, as on Arm, the tests that need it are skipped, and say so.
$(TENSORRT_RTX): | $(DEV)
	@echo "installing TensorRT-RTX, which the tests of engines need: 100 MB"
	@if $(PIP) --only-binary :all: 'edgeseg[tensorrt-rtx]'; then touch $@; \
	else echo "edgeseg: no TensorRT-RTX here: the tests that build engines are skipped" >&2; fi
