"""A model as operators of ONNX: a product with the weights, and what makes predictions of it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from scipy import sparse

from lrcore._utils.version import __version__
from lrcore.export.coefficients import Coefficients

#: The first set of operators in which sums, squeezes and softmax are what they are here.
FIRST_OPSET = 13

#: The set of operators by default, and the version of the format that knows it.
OPSET, IR_VERSION = 17, 8

#: Types of elements by the numbers that ONNX has for them.
FLOAT, INT64, STRING = 1, 7, 8

#: Bytes of the weights up to which they fit into a file, which has 2 GB at most.
MOST_BYTES = 2**31 - 2**20


class Graph(Protocol):
    """Something that operators are added to; results have names."""

    def constant(self, values: Any) -> str:
        """The name of an array, or of a COO matrix of scipy.sparse."""

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """The name of what an operator makes of its inputs."""


def classifier_outputs(
    graph: Graph, model: Coefficients, X: str, dtype: Any, *, scores: bool = False
) -> tuple[str, str]:
    """The label of each row, and the probability of each class or label; where the loss has none,
    or with `scores`, raw predictions, of two classes -z and z."""
    raw = _raw(graph, model, X, dtype)
    if model.link == "none" or scores:
        two = model.n_outputs == 1 and not model.multilabel
        values = graph.add("Concat", graph.add("Neg", raw), raw, axis=1) if two else raw
    else:
        values = _probabilities(graph, model, raw, dtype)
    return _labels(graph, model, raw, dtype), values


def regressor_output(graph: Graph, model: Coefficients, X: str, dtype: Any) -> str:
    """Predictions, (n_rows, n_outputs)."""
    raw = _raw(graph, model, X, dtype)
    return graph.add("Exp", raw) if model.loss.log_link else raw


def label_values(model: Coefficients) -> np.ndarray:
    """The classes as ONNX has them: int64 or strings.

    Raises
    ------
    TypeError
        If they are neither numbers nor strings.
    """
    classes = model.classes
    assert classes is not None
    if classes.dtype.kind in "biuf":  # floats are whole numbers
        return classes.astype(np.int64)
    if classes.dtype.kind not in "UO":
        raise TypeError(
            f"classes of ONNX are numbers or strings, got {classes.dtype}; fit to strings of them"
        )
    return np.array([str(label) for label in classes], object)


def _raw(graph: Graph, model: Coefficients, X: str, dtype: Any) -> str:
    """Raw predictions, (n_rows, n_outputs), by a dense or a sparse matrix, whichever is smaller."""
    weights = np.ascontiguousarray(model.weights.T, dtype)
    if weights.nbytes > MOST_BYTES:
        raise ValueError(
            f"weights of {weights.nbytes:,} bytes do not fit into a file of ONNX, which has 2 GB "
            "at most; to_numpy_scorer and lrcore.save(compact=True) take more"
        )
    n_kept = np.count_nonzero(weights)
    if n_kept * (8 + weights.itemsize) < weights.nbytes:
        product = graph.add("MatMul", X, graph.constant(sparse.coo_matrix(weights)))
    else:
        product = graph.add("MatMul", X, graph.constant(weights))
    return graph.add("Add", product, graph.constant(model.intercepts.astype(dtype)))


def _labels(graph: Graph, model: Coefficients, raw: str, dtype: Any) -> str:
    if model.multilabel:
        return _is_positive(graph, raw, dtype)
    if model.n_outputs > 1:
        codes = graph.add("ArgMax", raw, axis=1, keepdims=0)
    else:
        one = graph.add("Squeeze", raw, graph.constant(np.array([1])))
        codes = _is_positive(graph, one, dtype)
    return graph.add("Gather", graph.constant(label_values(model)), codes, axis=0)


def _is_positive(graph: Graph, raw: str, dtype: Any) -> str:
    """1 or 0, int64."""
    return graph.add(
        "Cast", graph.add("Greater", raw, graph.constant(np.zeros(1, dtype))), to=INT64
    )


def _probabilities(graph: Graph, model: Coefficients, raw: str, dtype: Any) -> str:
    def number(value: float) -> str:
        return graph.constant(np.array(value, dtype))

    if model.link == "softmax":
        return graph.add("Softmax", raw, axis=1)
    if model.link == "logistic":
        p = graph.add("Sigmoid", raw)
    else:
        clipped = graph.add("Clip", raw, number(-1.0), number(1.0))
        p = graph.add("Div", graph.add("Add", clipped, number(1.0)), number(2.0))
    if model.multilabel:
        return p
    if model.n_outputs == 1:
        return graph.add("Concat", graph.add("Sub", number(1.0), p), p, axis=1)
    total = graph.add("ReduceSum", p, graph.constant(np.array([1])), keepdims=1)
    some = graph.add("Greater", total, number(0.0))
    shares = graph.add("Div", p, total)
    if model.link == "logistic":  # of probabilities too small for a float, by their logarithms
        lost = graph.add("Softmax", raw, axis=1)
    else:
        lost = number(1.0 / model.n_outputs)
    return graph.add("Where", some, shares, lost)


class OnnxGraph:
    """A graph of its own, by the package onnx."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._dense: list[Any] = []
        self._sparse: list[Any] = []

    def _name(self) -> str:
        return f"v{len(self._nodes) + len(self._dense) + len(self._sparse)}"

    def constant(self, values: Any) -> str:
        """See `Graph`."""
        from onnx import helper, numpy_helper

        name = self._name()
        if not sparse.issparse(values):
            self._dense.append(numpy_helper.from_array(values, name))
            return name
        order = np.lexsort((values.col, values.row))
        places = values.row.astype(np.int64) * values.shape[1] + values.col
        kept = numpy_helper.from_array(values.data[order], name)
        at = numpy_helper.from_array(places[order], f"{name}_places")
        self._sparse.append(helper.make_sparse_tensor(kept, at, list(values.shape)))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """See `Graph`."""
        name = self._name()
        self.add_named(operator, inputs, name, **attributes)
        return name

    def add_named(self, operator: str, inputs: Any, name: str, **attributes: Any) -> None:
        """Add an operator whose result has this name."""
        from onnx import helper

        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))

    def model(self, inputs: list[Any], outputs: list[Any], opset: int) -> Any:
        """The whole as a ModelProto, checked."""
        from onnx import checker, helper

        graph = helper.make_graph(
            self._nodes, "lrcore", inputs, outputs, self._dense, sparse_initializer=self._sparse
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION,
            producer_name="lrcore", producer_version=__version__,
        )  # fmt: skip
        checker.check_model(model)
        return model


def onnx_model(model: Coefficients, dtype: np.dtype[Any], opset: int) -> Any:
    """A ModelProto whose input is ``X`` and whose outputs are ``label`` and ``probabilities``, or
    ``scores``, or of a regressor ``variable``."""
    from onnx import helper

    graph, number = OnnxGraph(), helper.np_dtype_to_tensor_dtype(dtype)
    X = helper.make_tensor_value_info("X", number, ["n_rows", model.n_features])
    if model.loss.classifies:
        found: tuple[str, ...] = classifier_outputs(graph, model, "X", dtype)
        n_columns = model.n_outputs if model.n_outputs > 1 or model.multilabel else 2
        texts = not model.multilabel and label_values(model).dtype == object
        label = helper.make_tensor_value_info(
            "label", STRING if texts else INT64, ["n_rows", model.n_outputs][: 1 + model.multilabel]
        )
        name = "scores" if model.link == "none" else "probabilities"
        outputs = [label, helper.make_tensor_value_info(name, number, ["n_rows", n_columns])]
    else:
        found = (regressor_output(graph, model, "X", dtype),)
        shape = ["n_rows", model.n_outputs]
        outputs = [helper.make_tensor_value_info("variable", number, shape)]
    for name, output in zip(found, outputs):
        graph.add_named("Identity", [name], output.name)
    return graph.model([X], outputs, opset)
