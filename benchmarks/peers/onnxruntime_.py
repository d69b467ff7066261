"""ONNX Runtime: the network as Gemm nodes, with all of its graph optimizations."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..jobs import Job, Outcome
from ..workloads import Data, Workload, layers

NODES = {"relu": "Relu", "tanh": "Tanh", "softmax": "Softmax", "sigmoid": "Sigmoid"}
# Any runtime of the last years reads these.
OPSET, IR_VERSION = 17, 8


def make_model(workload: Workload, params: NDArray) -> bytes:
    """Return the network as an ONNX file's content."""
    nodes, constants, value = [], [], "x"
    last = len(workload.widths) - 2
    for layer, (weights, bias) in enumerate(layers(workload, params)):
        constants += [numpy_helper.from_array(weights, f"w{layer}"), numpy_helper.from_array(bias, f"b{layer}")]
        nodes.append(helper.make_node("Gemm", [value, f"w{layer}", f"b{layer}"], [f"z{layer}"]))
        value = f"z{layer}"
        function = NODES.get(workload.activation if layer < last else workload.output)
        if function:
            nodes.append(helper.make_node(function, [value], [f"a{layer}"]))
            value = f"a{layer}"
    kind = TensorProto.FLOAT if workload.dtype == "float32" else TensorProto.DOUBLE
    x = helper.make_tensor_value_info("x", kind, [None, workload.widths[0]])
    y = helper.make_tensor_value_info(value, kind, [None, workload.widths[-1]])
    graph = helper.make_graph(nodes, "mlp", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model.SerializeToString()


class Prediction(Job):
    """One call of the session on a NumPy array."""

    def __init__(self, workload: Workload, data: Data, params: NDArray, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(make_model(workload, params), options, providers=["CPUExecutionProvider"])
        self.feed = {"x": data.x}

    def run(self) -> list[Any]:
        """Return the outputs."""
        return self.session.run(None, self.feed)

    def outcome(self, returned: list[Any]) -> Outcome:
        """Return the outputs."""
        return Outcome.of(0.0, returned[0])


class BoundPrediction(Prediction):
    """One call of the session on arrays that were bound to it before, as other libraries have theirs on the device."""

    def __init__(self, workload: Workload, data: Data, params: NDArray, threads: int) -> None:
        super().__init__(workload, data, params, threads)
        self.outputs = np.empty((len(data.x), workload.widths[-1]), workload.dtype)
        self.binding = self.session.io_binding()
        self.binding.bind_cpu_input("x", data.x)
        name, place = self.session.get_outputs()[0].name, self.outputs.ctypes.data
        self.binding.bind_output(name, "cpu", 0, self.outputs.dtype, self.outputs.shape, place)

    def run(self) -> list[Any]:
        """Return the outputs, which the next call overwrites."""
        self.session.run_with_iobinding(self.binding)
        return [self.outputs]


def prepare(workload: Workload, data: Data, params: NDArray, threads: int = 1, bound: bool = False) -> Job:
    """Return the job; `bound` is whether its arrays are bound to the session once instead of passed at each call."""
    return (BoundPrediction if bound else Prediction)(workload, data, params, threads)
