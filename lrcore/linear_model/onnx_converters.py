"""How skl2onnx converts our estimators, as the last step of a pipeline or by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrcore.export.coefficients import Coefficients
from lrcore.export.onnx_graph import (
    FIRST_OPSET,
    FLOAT,
    STRING,
    classifier_outputs,
    label_values,
    regressor_output,
)
from lrcore.linear_model.classifier import LinearClassifier
from lrcore.linear_model.exports import coefficients_of
from lrcore.linear_model.regressor import LinearRegressor


class ContainerGraph:
    """The graph of a pipeline that skl2onnx is converting."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope, self._container = scope, container

    def constant(self, values: Any) -> str:
        """See `lrcore.export.onnx_graph.Graph`."""
        from onnx import helper, numpy_helper

        name: str = self._scope.get_unique_variable_name("lrcore")
        if isinstance(values, np.ndarray) and values.dtype == object:
            texts = [text.encode() for text in values]
            self._container.add_initializer(name, STRING, values.shape, texts)
        elif isinstance(values, np.ndarray):
            tensor = numpy_helper.from_array(values)
            self._container.add_initializer(name, tensor.data_type, values.shape, tensor)
        else:
            number = helper.np_dtype_to_tensor_dtype(values.dtype)
            self._container.add_initializer(name, number, values.shape, values)
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """See `lrcore.export.onnx_graph.Graph`."""
        name: str = self._scope.get_unique_variable_name("lrcore")
        node = self._scope.get_unique_operator_name(operator)
        self._container.add_node(operator, list(inputs), [name], name=node, **attributes)
        return name


def register_skl2onnx() -> None:
    """Let skl2onnx convert `LinearClassifier` and `LinearRegressor`, in pipelines too.

    Its options are those of scikit-learn's linear classifiers: ``zipmap``, ``raw_scores`` and
    ``output_class_labels``. `LinearClassifier.to_onnx` needs no registration.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Examples
    --------
    >>> import lrcore
    >>> lrcore.register_skl2onnx()  # doctest: +SKIP
    >>> from skl2onnx import to_onnx  # doctest: +SKIP
    >>> onx = to_onnx(pipeline, X[:1], options={"zipmap": False})  # doctest: +SKIP
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError:
        raise ImportError('register_skl2onnx needs skl2onnx: pip install "lrcore[onnx]"') from None
    options = {
        "zipmap": [True, False, "columns"], "raw_scores": [True, False],
        "output_class_labels": [False, True], "nocl": [False],
    }  # fmt: skip
    update_registered_converter(
        LinearClassifier, "LrcoreLinearClassifier", _classifier_shapes, _convert_classifier,
        options=options,
    )  # fmt: skip
    update_registered_converter(
        LinearRegressor, "LrcoreLinearRegressor", _regressor_shapes, _convert_regressor
    )


def _classifier_shapes(operator: Any) -> None:
    from skl2onnx.common.data_types import Int64TensorType, StringTensorType

    model = coefficients_of(operator.raw_operator)
    n_rows = operator.inputs[0].get_first_dimension()
    n_columns = model.n_outputs if model.n_outputs > 1 or model.multilabel else 2
    texts = not model.multilabel and label_values(model).dtype == object
    kind = StringTensorType if texts else Int64TensorType
    operator.outputs[0].set_type(kind([n_rows, n_columns] if model.multilabel else [n_rows]))
    operator.outputs[1].type.shape = [n_rows, n_columns]


def _regressor_shapes(operator: Any) -> None:
    n_rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type.shape = [n_rows, coefficients_of(operator.raw_operator).n_outputs]


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    graph, model, X, dtype = _begin(scope, operator, container)
    options = container.get_options(operator.raw_operator, {"raw_scores": False})
    found = classifier_outputs(graph, model, X, dtype, scores=bool(options["raw_scores"]))
    _end(scope, operator, container, found)


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    found = regressor_output(*_begin(scope, operator, container))
    _end(scope, operator, container, (found,))


def _begin(
    scope: Any, operator: Any, container: Any
) -> tuple[ContainerGraph, Coefficients, str, type]:
    """The graph, the model, its input as floats, and their dtype."""
    from skl2onnx.common.data_types import guess_numpy_type

    if container.target_opset < FIRST_OPSET:
        raise ValueError(f"target_opset must be >= {FIRST_OPSET}, got {container.target_opset}")
    graph, X = ContainerGraph(scope, container), operator.inputs[0]
    given = guess_numpy_type(X.type)
    model = coefficients_of(operator.raw_operator)
    if given in (np.float32, np.float64):
        return graph, model, X.full_name, given
    return graph, model, graph.add("Cast", X.full_name, to=FLOAT), np.float32


def _end(scope: Any, operator: Any, container: Any, found: tuple[str, ...]) -> None:
    for name, output in zip(found, operator.outputs):
        node = scope.get_unique_operator_name("Identity")
        container.add_node("Identity", [name], [output.full_name], name=node)
