"""As much of TensorRT's Python interface as running an engine takes, for the driver on the CPU (cpu_driver.cpp).

An engine is JSON that says what it is to do. What it computes is put into the stream as a host function, so that it
runs when TensorRT's kernels would, on the bytes that the copies before it have brought.
"""

import ctypes
import json
import math

import numpy as np

__version__ = "10.3.0"

_HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_alive = []  # functions that a stream may still call


class ILogger:
    class Severity:
        ERROR = 1
        INFO = 3

    def log(self, severity, message):
        raise NotImplementedError


class Runtime:
    def __init__(self, logger):
        self.logger = logger
        self.DLA_core = -1
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, content):
        try:
            return Engine(self.logger, json.loads(content))
        except ValueError:
            self.logger.log(ILogger.Severity.INFO, "reading")
            self.logger.log(ILogger.Severity.ERROR, "Serialization assertion failed")
            return None


class Engine:
    def __init__(self, logger, plan):
        self.logger, self.plan = logger, plan

    def create_execution_context(self):
        if self.plan.get("out_of_memory"):
            self.logger.log(ILogger.Severity.ERROR, "Requested 4 GiB but there is OutOfMemory")
            return None
        return ExecutionContext(self.logger, self.plan)


class ExecutionContext:
    def __init__(self, logger, plan):
        self.logger, self.plan = logger, plan
        self.addresses, self.shape, self.runs = {}, None, 0

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def set_input_shape(self, name, shape):
        self.shape = tuple(shape)
        return self.plan["least"] <= shape[0] <= self.plan["most"]

    def execute_async_v3(self, handle):
        self.runs += 1
        if self.runs == self.plan.get("fails_at"):
            self.logger.log(ILogger.Severity.ERROR, "CUBLAS_STATUS_EXECUTION_FAILED")
            return False
        shape = self.shape
        source, target = self.addresses["images"], self.addresses[self.plan["output"]]

        @_HOST_FUNCTION
        def compute(_):
            pixels = (ctypes.c_uint8 * math.prod(shape)).from_address(source)
            result = self._compute(np.ctypeslib.as_array(pixels).reshape(shape))
            ctypes.memmove(target, np.ascontiguousarray(result).ctypes.data, result.nbytes)

        _alive.append(compute)
        return ctypes.CDLL("libcuda.so.1").cuLaunchHostFunc(ctypes.c_void_p(handle), compute, None) == 0

    def _compute(self, images):
        """The ONNX file's own answer where the plan names one; else a label for every third of the reds."""
        if "onnx" not in self.plan:
            return images[..., 0] // 86
        import onnxruntime

        session = onnxruntime.InferenceSession(self.plan["onnx"], providers=["CPUExecutionProvider"])
        return session.run(None, {"images": images})[0]
