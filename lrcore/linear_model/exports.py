"""The estimators' methods that give a fitted model to other libraries, and take one from them."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from lrcore._utils.replacing import replacing
from lrcore._utils.validation import check_integer, check_positive, shown
from lrcore.export.coefficients import Coefficients
from lrcore.export.from_sklearn import Imported, read_classifier, read_regressor
from lrcore.export.numpy_scorer import numpy_scorer
from lrcore.export.onnx_graph import FIRST_OPSET, OPSET, onnx_model
from lrcore.export.to_sklearn import Fitted, to_sklearn
from lrcore.export.vw_model import read_vw_model, vw_model
from lrcore.linear_model.checks import check_model
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.engine.layout import ModelState, aligned_zeros, n_lanes, slot_width
from lrcore.linear_model.problem import Objective
from lrcore.linear_model.result import FitResult, TrainedModel
from lrcore.linear_model.solvers.select import IMPORTED

if TYPE_CHECKING:
    from typing_extensions import Self


def coefficients_of(model: Any) -> Coefficients:
    """The weights of a fitted estimator, and what its predictions follow from."""
    check_is_fitted(model, "n_iter_")
    weights, intercepts = model._weights()
    return Coefficients(
        weights, intercepts, model._trained.objective.loss, getattr(model, "classes_", None),
        getattr(model, "_multilabel", False), getattr(model, "_single", True),
        getattr(model, "feature_names_in_", None),
    )  # fmt: skip


def trained_from(
    weights: np.ndarray, intercepts: np.ndarray, objective: Objective, t: int = 0
) -> TrainedModel:
    """Weights, (n_outputs, n_features), as a model that a solver without an update rule has left
    after t steps.

    `partial_fit` goes on from them with the state of a rule that has made no step.
    """
    n_outputs, n_features = weights.shape
    if not objective.loss.joint:
        both = np.column_stack([weights, intercepts])
        states = [ModelState(row[None].copy(), 1, by_feature=False, base=t) for row in both]
        return TrainedModel(states, objective)
    width = n_lanes(n_outputs)
    array = aligned_zeros((n_features + 1, slot_width(width)), weights.dtype)
    state = ModelState(array, width, by_feature=True, n_outputs=n_outputs, base=t)
    state.weights[:, :-1], state.weights[:, -1] = weights, intercepts
    return TrainedModel([state], objective)


class ExportMixin:
    """Conversion to and from estimators of scikit-learn."""

    def to_sklearn(self, n_rows: float | None = None) -> Any:
        """A fitted estimator of scikit-learn with the same predictions.

        The coefficients are copied, for the columns of X as they are. The loss and the penalty say
        which estimator it is:

        ===================================  =======================================================
        loss                                 estimator
        ===================================  =======================================================
        log_loss                             LogisticRegression; SGDClassifier of several classes
                                             with ``multi_class="ovr"``
        hinge, squared_hinge                 LinearSVC; SGDClassifier with l1 or without a penalty
        modified_huber, perceptron           SGDClassifier, Perceptron
        squared_error                        Ridge, Lasso, ElasticNet, LinearRegression
        huber                                HuberRegressor; SGDRegressor with l1
        absolute_error, quantile             QuantileRegressor
        epsilon_insensitive and its square   LinearSVR; SGDRegressor with l1 or without a penalty
        poisson, gamma, tweedie              PoissonRegressor, GammaRegressor, TweedieRegressor
        ===================================  =======================================================

        Several labels a row are a OneVsRestClassifier, several targets of estimators that take one
        a MultiOutputRegressor. What a model has beside coefficients is left out: the offset of
        rows, factors of penalties, what turns raw tables into columns.

        Parameters
        ----------
        n_rows : float, optional
            The number of rows, or the sum of their weights, that was fitted: with it the estimator
            gets ``C = 1 / (alpha_ * n_rows)``, or of Ridge ``alpha = alpha_ * n_rows``, so that a
            clone minimises the same objective. Without it they keep scikit-learn's defaults.

        Returns
        -------
        estimator
            With ``coef_``, ``intercept_``, ``classes_``, ``n_features_in_``,
            ``feature_names_in_`` and ``n_iter_``, as its own ``fit`` leaves them.

        Raises
        ------
        NotFittedError

        Examples
        --------
        >>> import lrcore
        >>> from sklearn.datasets import load_breast_cancer
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> clf = lrcore.LinearClassifier(alpha=0.01).fit(X, y)
        >>> other = clf.to_sklearn(n_rows=len(X))
        >>> other
        LogisticRegression(C=0.1757...)
        >>> bool((other.predict(X) == clf.predict(X)).all())
        True
        """
        if n_rows is not None:
            check_positive("n_rows", n_rows)
        model: Any = self
        coefficients = coefficients_of(model)
        objective = model._trained.objective
        l1, l2 = objective.penalty.strengths
        fitted = Fitted(
            l1, l2, objective.fit_intercept, positive=model.positive is True,
            n_iter=model.n_iter_, t=model.t_, n_rows=n_rows,
        )  # fmt: skip
        return to_sklearn(coefficients, fitted)

    @classmethod
    def from_sklearn(cls, estimator: Any, n_rows: float | None = None) -> Self:
        """A model with the coefficients of a fitted estimator of scikit-learn.

        It predicts the same, and ``partial_fit`` goes on from these coefficients, by a rule that
        has made no step yet.

        Parameters
        ----------
        estimator
            Fitted. For classes LogisticRegression, LogisticRegressionCV, LinearSVC, SGDClassifier,
            Perceptron, or a OneVsRestClassifier of such; for numbers LinearRegression, Ridge,
            Lasso, ElasticNet and their versions with cross-validation, HuberRegressor,
            QuantileRegressor, LinearSVR, SGDRegressor, PoissonRegressor, GammaRegressor,
            TweedieRegressor, or a MultiOutputRegressor of such.
        n_rows : float, optional
            The rows that it was fitted to: C of LogisticRegression and LinearSVC becomes ``alpha =
            1 / (C * n_rows)``, Ridge's alpha ``alpha / n_rows``. Without it alpha is ``"auto"``
            there; other estimators have an alpha that means what ours does.

        Returns
        -------
        model
            Its parameters are the loss, the penalty, alpha and the intercept of the estimator, and
            our defaults. ``solver_`` is ``"imported"``, and ``n_iter_`` 0.

        Raises
        ------
        TypeError
            If it is another estimator.
        NotFittedError
        ValueError
            If its loss has no counterpart, or its coefficients are not finite.

        Examples
        --------
        >>> import lrcore
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.linear_model import SGDClassifier
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> sgd = SGDClassifier(loss="log_loss", random_state=0).fit(X, y)
        >>> clf = lrcore.LinearClassifier.from_sklearn(sgd)
        >>> bool((clf.predict(X) == sgd.predict(X)).all()), clf.alpha
        (True, 0.0001)
        """
        if n_rows is not None:
            check_positive("n_rows", n_rows)
        read = read_classifier if issubclass(cls, ClassifierMixin) else read_regressor
        imported = read(estimator, n_rows)
        model: Any = cls(**imported.params)
        model._check_params()
        _take(model, imported)
        names = getattr(estimator, "feature_names_in_", None)
        if names is not None:
            model.feature_names_in_ = np.array(names, dtype=object)
        return model

    def to_numpy_scorer(self, path: str | os.PathLike[str] | None = None) -> str:
        """The source of a Python file of a page that predicts by NumPy alone, without lrcore.

        It has ``predict(X)``, of classifiers ``decision_function(X)`` and, where the loss has
        probabilities, ``predict_proba(X)``, of regressors ``linear_predictor(X)`` and
        ``predict(X, offset)``. X is an array or a matrix of scipy.sparse. The weights of features
        that have any are in the file, compressed, with all their bits; predictions are equal but
        for the order in which NumPy adds numbers up.

        Parameters
        ----------
        path : str or path, optional
            A file to write, which is replaced in one piece or not at all.

        Returns
        -------
        source : str

        Raises
        ------
        NotFittedError
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import lrcore
        >>> from sklearn.datasets import load_breast_cancer
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> clf = lrcore.LinearClassifier(alpha=0.01).fit(X, y)
        >>> scorer = {}
        >>> exec(clf.to_numpy_scorer(), scorer)  # or write it to scorer.py, and import it
        >>> bool((scorer["predict"](X) == clf.predict(X)).all())
        True
        """
        source = numpy_scorer(coefficients_of(self))
        if path is not None:
            with replacing(path) as file:
                file.write(source.encode())
        return source

    def to_onnx(self, *, dtype: Any = None, target_opset: int = OPSET) -> Any:
        """The model as a graph of ONNX, for onnxruntime and others.

        Its input is ``X``, a dense array of shape (n_rows, n_features). Classifiers have the
        outputs ``label``, int64 or strings, and ``probabilities``, or ``scores`` where the loss has
        none: raw predictions, of two classes -z and z. Regressors have ``variable``, (n_rows,
        n_targets). Where most weights are 0 they are a sparse tensor, which takes less room in the
        file. Pipelines are converted by skl2onnx, see `register_skl2onnx`.

        Parameters
        ----------
        dtype : {"float32", "float64"}, optional
            Of X and of the weights; by default that of the model.
        target_opset : int >= 13
            The version of the operators; 17 is known to runtimes since 2022.

        Returns
        -------
        onnx.ModelProto

        Raises
        ------
        NotFittedError
        ImportError
            If onnx is not installed: ``pip install "lrcore[onnx]"``.
        TypeError
            If the classes are neither numbers nor strings.
        ValueError
            If an argument is not what it may be, or the weights take more than 2 GB.

        Examples
        --------
        >>> import lrcore
        >>> from sklearn.datasets import load_breast_cancer
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> clf = lrcore.LinearClassifier(alpha=0.01).fit(X, y)
        >>> onx = clf.to_onnx(dtype="float32")  # doctest: +SKIP
        >>> import onnxruntime  # doctest: +SKIP
        >>> session = onnxruntime.InferenceSession(onx.SerializeToString())  # doctest: +SKIP
        >>> label, probabilities = session.run(None, {"X": X.astype("f4")})  # doctest: +SKIP
        """
        coefficients = coefficients_of(self)
        check_integer("target_opset", target_opset, FIRST_OPSET)
        number = coefficients.weights.dtype if dtype is None else dtype
        if number not in ("float32", "float64", np.float32, np.float64):
            raise ValueError(f"dtype must be 'float32', 'float64' or None, got {shown(dtype)}")
        if importlib.util.find_spec("onnx") is None:
            raise ImportError('to_onnx needs onnx: pip install "lrcore[onnx]"')
        return onnx_model(coefficients, np.dtype(number), target_opset)

    @classmethod
    def from_vw(cls, path: Any, loss: str | None = None) -> Self:
        """A model with the weights of Vowpal Wabbit's readable model.

        Its columns are those of `lrcore.io.read_vw` and `~lrcore.io.scan_vw` with the same bits.
        The file has six digits of each weight. Predictions are not clipped to the labels that
        Vowpal Wabbit has seen.

        Parameters
        ----------
        path : path or binary file
            What ``vw --readable_model`` or ``--invert_hash`` wrote. Of options there may be
            ``--noconstant``, ``--link``, and of a classifier ``--oaa``; others, such as
            ``--quadratic``, make features that lrcore's readers do not.
        loss : str, optional
            The loss that it was fitted with, which the file does not have; by default that of the
            estimator.

        Returns
        -------
        model
            The classes are -1 and 1, or those of ``--oaa`` from 1 on. ``solver_`` is
            ``"imported"``.

        Raises
        ------
        lrcore.io.DataError
            If it is no readable model, or has other options. (A ValueError.)
        OSError
            If it cannot be read.

        Examples
        --------
        >>> import io, lrcore
        >>> text = b"Version 9.11.9\\nId \\nbits:4\\noptions:\\n:0\\n3:0.5\\n12:-0.25\\n"
        >>> clf = lrcore.LinearClassifier.from_vw(io.BytesIO(text))
        >>> clf.coef_.shape, float(clf.coef_[0, 3]), clf.intercept_
        ((1, 16), 0.5, array([-0.25], dtype=float32))
        """
        found = read_vw_model(path)
        n_outputs, params = len(found.weights), {"fit_intercept": found.has_constant}
        learnt: dict[str, Any] = {"_single": True}
        if issubclass(cls, ClassifierMixin):
            classes = np.array([-1.0, 1.0]) if n_outputs == 1 else 1.0 + np.arange(n_outputs)
            learnt = {"classes_": classes, "_multilabel": False}
        elif n_outputs > 1:
            raise ValueError(f"a model of {n_outputs} classes is for LinearClassifier.from_vw")
        several = {"multi_class": "ovr"} if n_outputs > 1 else {}
        make: Any = cls
        model = make(loss, **params, **several)
        model._check_params()
        _take(model, Imported({}, found.weights, found.intercepts, learnt))
        return model

    def to_vw(self, path: str | os.PathLike[str] | None = None) -> str:
        """The weights as a readable model of Vowpal Wabbit, which `from_vw` reads again.

        It has a line with each column and its weight, of all digits. Vowpal Wabbit writes such
        files, but does not read them.

        Parameters
        ----------
        path : str or path, optional
            A file to write, which is replaced in one piece or not at all.

        Returns
        -------
        text : str

        Raises
        ------
        NotFittedError
        ValueError
            If the model has several outputs, or columns that are not ``2**bits``.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import io, lrcore
        >>> data = lrcore.io.read_vw(io.BytesIO(b"1 |n a b\\n-1 |n c\\n"), bits=10)
        >>> clf = lrcore.LinearClassifier(alpha=0.1).fit(data.X, data.y)
        >>> clf.to_vw().splitlines()[4]
        'bits:10'
        >>> again = lrcore.LinearClassifier.from_vw(io.BytesIO(clf.to_vw().encode()))
        >>> bool((again.decision_function(data.X) == clf.decision_function(data.X)).all())
        True
        """
        model: Any = self
        coefficients = coefficients_of(model)
        text = vw_model(coefficients, has_constant=model._trained.objective.fit_intercept)
        if path is not None:
            with replacing(path) as file:
                file.write(text.encode())
        return text


def _take(model: Any, imported: Imported) -> None:
    """Give an estimator that is not fitted what another one has learnt."""
    for name, value in imported.learnt.items():
        setattr(model, name, value)
    weights = imported.weights
    together = model._n_outputs(model._labels) if hasattr(model, "classes_") else 1
    model.n_features_in_ = n_features = weights.shape[1]
    no_rows = DesignMatrix((0, n_features), np.empty((0, n_features), weights.dtype))
    trained = trained_from(weights, imported.intercepts, model._objective(no_rows, together))
    check_model(trained, n_features)
    model._finish(FitResult(trained, [], solver=IMPORTED, alpha=model._alpha_of_stream))
