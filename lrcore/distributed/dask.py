"""`lrcore.LinearClassifier` and `lrcore.LinearRegressor` for rows on a Dask cluster.

The model is that of all rows, whatever the number of workers and threads, whichever of them have
which rows, and in whatever order they answer: its bits are the same. See docs/clusters.rst.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from lrcore._backend.rounding import rounded_to_nearest
from lrcore._utils.validation import shown
from lrcore.distributed.fit import DistributedFit, Targets
from lrcore.distributed.rows import summarise
from lrcore.distributed.scores import n_right, r_squared, squared_sums
from lrcore.distributed.targets import (
    check_classes,
    check_numbers,
    classifier_targets,
    regressor_targets,
)
from lrcore.distributed.totals import Totals
from lrcore.io import Dataset
from lrcore.linear_model import classifier, regressor
from lrcore.linear_model.base import LinearModel
from lrcore.linear_model.classifier import has_probabilities
from lrcore.linear_model.solvers.select import steps_wanted

try:
    from distributed import Client, Future, default_client
except ImportError:
    raise ImportError(
        "lrcore.distributed.dask needs Dask: pip install 'lrcore[dask]', or dask[distributed]"
    ) from None

from lrcore.distributed.dask_collections import featurizer_for, in_memory, load_all, sources_of
from lrcore.distributed.dask_rounds import ClusterError, DaskRounds
from lrcore.distributed.lazy import predictions
from lrcore.distributed.streams import learn_partitions

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LinearClassifier", "LinearRegressor"]

#: Parameters that estimators of one machine do not have.
OWN = ("client", "features", "workers")

#: Parameters that a fit by exact sums cannot do with, and their defaults.
ONE_MACHINE = {"early_stopping": False, "warm_start": False, "positive": False}


def with_local_parameters(cls: Any) -> Any:
    """A class whose signature, from which scikit-learn reads the parameters, has those of the
    estimator of one machine in the place of ``**parameters``."""
    own = inspect.signature(cls.__init__)
    local = inspect.signature(cls._local_class.__init__)
    merged = {**local.parameters, **own.parameters}
    del merged["parameters"]
    cls.__init__.__signature__ = own.replace(parameters=list(merged.values()))
    return cls


class OnDask(LinearModel):
    """What both estimators have in common."""

    client: Client | None
    features: Any
    workers: Sequence[str] | None
    _local_class: ClassVar[Any]

    def __sklearn_clone__(self) -> Self:
        # A client can be shared, and not be copied.
        params = self.get_params(deep=False)
        client = params.pop("client")
        copies = {name: clone(value, safe=False) for name, value in params.items()}
        return type(self)(**copies, client=client)

    def __getstate__(self) -> dict[str, Any]:
        # A client is a connection of this process.
        state: dict[str, Any] = super().__getstate__()
        return {**state, "client": None}

    def _check_y(self) -> Callable[[Any], np.ndarray]:
        """What checks y on the workers."""
        raise NotImplementedError

    def _targets_of(self, totals: Totals) -> tuple[Targets, dict[str, Any]]:
        """What y is, and what is known of it once the fit is done."""
        raise NotImplementedError

    def _connected(self) -> Client:
        """The client that was given, or that of the process."""
        client = self.client
        if client is None:
            try:
                client = default_client()
            except ValueError:
                raise ValueError(
                    "there is no Dask client: give client=dask.distributed.Client(), or make one "
                    "before the fit"
                ) from None
        if not isinstance(client, Client):
            raise TypeError(f"client must be a dask.distributed.Client, got {shown(client)}")
        if client.status != "running":
            raise ClusterError(
                f"the client's connection to the scheduler is {client.status}; make a new Client"
            )
        if not client.scheduler_info()["workers"]:
            raise ClusterError(
                "the cluster has no workers: start some, or client.wait_for_workers(1) until they "
                "are there"
            )
        return client

    def _takes_steps(self) -> bool:
        """Whether a fit goes over the partitions one after another."""
        wanted = self.solver == "auto" and steps_wanted(self) is not None
        return wanted or self.solver == "stochastic"

    def _check_for_sums(self) -> None:
        """Raise unless a fit by exact sums can do what the parameters ask for."""
        for name, default in ONE_MACHINE.items():
            value = getattr(self, name)
            if value is not default and value != default:
                raise ValueError(
                    f"{name}={shown(value)} is for fits on one machine; leave it at {default!r}"
                )
        if self.scale == "max":
            raise ValueError("scale='max' is for fits on one machine; use 'auto', 'std' or None")
        if not self._make_loss().convex:
            raise ValueError(
                f"loss={shown(self._loss)} is not convex with these parameters, so that there is "
                "no bound to end a fit by; optimizer='adagrad' learns from one partition after "
                "another"
            )

    def _loaded(
        self, X: Any, y: Any, sample_weight: Any, offset: Any
    ) -> tuple[DaskRounds, list[Future], Totals, Any]:
        """Who runs the rounds, the rows of all partitions, what is in them, and what made their
        features, if that is known."""
        client = self._connected()
        sources = sources_of(X, y, sample_weight, offset)
        if self.workers is not None and len(self.workers) != len(sources):
            raise ValueError(
                f"workers must name one worker for each of the {len(sources)} partitions, got "
                f"{len(self.workers)}"
            )
        if isinstance(X, Dataset):
            features, makes = X.features, None
        else:
            features = makes = featurizer_for(X, self.features)
        rows = load_all(client, sources, makes, self._check_y(), self.workers)
        rounds = DaskRounds(client, self.workers)
        summaries = rounds.each(partial(summarise, classifies=is_classifier(self)), rows)
        return rounds, rows, Totals.of(summaries), features

    def _check_fit(self) -> None:
        """Raise unless a fit on a cluster can do what the parameters ask for."""
        self._check_params()
        if not self._takes_steps():
            self._check_for_sums()

    def _fit_partitions(self, X: Any, y: Any, sample_weight: Any, offset: Any = None) -> Self:
        """Fit from scratch; the estimator is as it was if it is refused."""
        self._check_fit()
        rounds, rows, totals, features = self._loaded(X, y, sample_weight, offset)
        targets, learnt = self._targets_of(totals)
        learnt |= {**named(X, features), "_n_rows": totals.n_rows}
        if self._takes_steps():
            n_epochs = self.max_iter or 1
            self._learn(self._plain(), rounds, rows, learnt, n_epochs)
            return self
        result = DistributedFit(
            self, rounds, rows, totals, targets, samples=self.workers is None
        ).run()
        n_rounds = int(result.history["epoch"][-1])
        stale = {"feature_names_in_", "features_"} & self.__dict__.keys()
        self._finish(result, None, n_features_in_=totals.n_features, **learnt)
        for name in stale - learnt.keys():
            del self.__dict__[name]
        self.n_iter_ = n_rounds
        return self

    def _partial_fit_partitions(
        self, X: Any, y: Any, sample_weight: Any, classes: Any = None, offset: Any = None
    ) -> Self:
        """One more pass over partitions, in their order."""
        self._check_params()
        rounds, rows, totals, features = self._loaded(X, y, sample_weight, offset)
        learnt = named(X, features)
        begun = hasattr(self, "_trained")
        if is_classifier(self) and not begun:
            learnt["classes_"] = totals.labels if classes is None else np.unique(classes)
        local = self.to_local() if begun else self._plain()
        self._learn(local, rounds, rows, learnt, 1)
        return self

    def _learn(
        self, local: Any, rounds: DaskRounds, rows: Sequence[Future], learnt: dict[str, Any],
        n_epochs: int,
    ) -> None:  # fmt: skip
        """Take over what an estimator of one machine has learnt from the partitions."""
        classes = learnt.get("classes_")
        fitted = learn_partitions(local, rounds.client, rows, classes, n_epochs)
        params = self.get_params(deep=False)
        known = {name: value for name, value in fitted.__dict__.items() if name not in params}
        self.__dict__ = {name: self.__dict__[name] for name in params} | known | learnt

    def _plain(self) -> Any:
        """The estimator of one machine with the same parameters."""
        params = self.get_params(deep=False)
        return self._local_class(**{k: v for k, v in params.items() if k not in OWN})

    def to_local(self) -> Any:
        """The estimator of one machine, with these parameters and all that was learnt.

        Returns
        -------
        lrcore.LinearClassifier or lrcore.LinearRegressor

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self, "n_iter_")
        local, params = self._plain(), self.get_params(deep=False)
        local.__dict__ |= {k: v for k, v in self.__dict__.items() if k not in params}
        return local


def named(X: Any, features: Any) -> dict[str, Any]:
    """What made the features, or the names of the columns."""
    if features is not None:
        return {"features_": features}
    columns = getattr(X, "columns", None)
    if columns is None or not all(isinstance(name, str) for name in columns):
        return {}
    return {"feature_names_in_": np.array(list(columns), object)}


@with_local_parameters
class LinearClassifier(OnDask, classifier.LinearClassifier):
    """`lrcore.LinearClassifier` for rows on a Dask cluster.

    Parameters
    ----------
    client : dask.distributed.Client, optional
        The connection to the cluster; by default that of the process.
    features : TableHasher, HashingVectorizer or FeatureHasher, optional
        Makes X of frames or texts, on the workers, and goes with the model.
    workers : list of str, optional
        The address of a worker for each partition, where rows are to stay where they are. By
        default Dask decides.
    **parameters
        Those of `lrcore.LinearClassifier`. ``tol`` is the duality gap over the objective at which
        a fit ends, 1e-3 by default, and ``max_iter`` are rounds, 500 by default. With
        ``solver="stochastic"``, or if an optimizer, a rate or ``max_iter=1`` is given, ``fit``
        makes ``max_iter`` passes over the partitions, one by default, each learnt from after the
        one before. ``early_stopping``, ``warm_start``, ``positive`` and ``scale="max"`` are for
        one machine.

    Attributes
    ----------
    coef_, intercept_, alpha_, alphas_, alpha_losses_, dual_gap_, n_features_in_
        As in `lrcore.LinearClassifier`, on the client.
    n_iter_ : int
        Rounds.
    history_ : History
        A record for each round: ``loss``, ``objective`` and ``gap``, ``bytes`` that were sent to
        and from a worker that has all partitions, and ``seconds``.

    Examples
    --------
    >>> import dask.array as da, numpy as np
    >>> from dask.distributed import Client
    >>> from lrcore.distributed.dask import LinearClassifier
    >>> client = Client(processes=False, dashboard_address=None)  # doctest: +SKIP
    >>> X = da.random.default_rng(0).normal(size=(100_000, 20), chunks=(20_000, 20))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> clf = LinearClassifier(client=client).fit(X, y)  # doctest: +SKIP
    >>> clf.predict(X).compute()  # doctest: +SKIP
    """

    _local_class = classifier.LinearClassifier

    def __init__(
        self, loss: str | None = "log_loss", *, client: Client | None = None, features: Any = None,
        workers: Sequence[str] | None = None, **parameters: Any,
    ) -> None:  # fmt: skip
        super().__init__(loss, **parameters)
        self.client, self.features, self.workers = client, features, workers

    def _check_y(self) -> Callable[[Any], np.ndarray]:
        return check_classes

    def _targets_of(self, totals: Totals) -> tuple[Targets, dict[str, Any]]:
        targets, classes = classifier_targets(self, totals)
        return targets, {"classes_": classes.values, "_multilabel": False}

    @rounded_to_nearest
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> LinearClassifier:
        """Fit from scratch.

        Parameters
        ----------
        X : dask array, DataFrame or bag, list, or lrcore.io.Dataset
            Arrays have dense blocks or sparse ones of SciPy's; frames and bags of texts need
            `features`, unless all columns are numbers. A list holds a partition in each entry:
            a future or delayed object of ``(X, y)``, ``(X, y, sample_weight)``, or a tuple of
            such. Of a dataset of several files each is a partition, which a worker reads.
        y : dask array, Series or bag with the partitions of X, or array
            None beside a list or a dataset.
        sample_weight : as y, optional

        Raises
        ------
        ValueError, TypeError
            If an argument or a partition cannot be used: the message names it. The estimator is as
            it was.
        RuntimeError
            If the connection to the cluster is lost, or workers with rows that cannot be loaded
            again.
        ConvergenceWarning
            A warning: the gap is above ``tol`` after ``max_iter`` rounds.
        """
        return self._fit_partitions(X, y, sample_weight)

    @rounded_to_nearest
    def partial_fit(
        self, X: Any, y: Any = None, classes: Any = None, sample_weight: Any = None
    ) -> LinearClassifier:
        """One more pass over partitions, each learnt from after the one before: it has the bits of
        `lrcore.LinearClassifier.partial_fit` with the same rows in the same order.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array, optional
            All classes there will be; by default, in the first call, those of these partitions.
        """
        return self._partial_fit_partitions(X, y, sample_weight, classes)

    def decision_function(self, X: Any) -> Any:
        """Raw predictions, lazily: see `predict`."""
        return predictions(self.to_local(), "decision_function", X)

    def predict(self, X: Any) -> Any:
        """The class of each row.

        Parameters
        ----------
        X : dask array, DataFrame or bag, or rows in memory

        Returns
        -------
        dask array, bag of a bag, or array of rows in memory
        """
        return predictions(self.to_local(), "predict", X)

    @available_if(has_probabilities)
    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes, lazily: see `predict`."""
        return predictions(self.to_local(), "predict_proba", X)

    @available_if(has_probabilities)
    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of the probabilities, lazily: see `predict`."""
        return predictions(self.to_local(), "predict_log_proba", X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """The share of the rows whose class is predicted; arguments as in `fit`, or in memory."""
        if in_memory(X):
            return float(self.to_local().score(X, y, sample_weight))
        rows, local = self._loaded(X, y, sample_weight, None)[:2], self.to_local()
        right, total = map(sum, zip(*rows[0].each(n_right, rows[1], shared=(local,))))
        return right / total


@with_local_parameters
class LinearRegressor(OnDask, regressor.LinearRegressor):
    """`lrcore.LinearRegressor` for rows on a Dask cluster.

    Parameters
    ----------
    client, features, workers
        As of `LinearClassifier`.
    **parameters
        Those of `lrcore.LinearRegressor`; see `LinearClassifier` for what means something else.

    Attributes
    ----------
    coef_, intercept_, alpha_, alphas_, alpha_losses_, dual_gap_, n_features_in_, n_iter_, history_
        As of `LinearClassifier`.

    Examples
    --------
    >>> import dask.array as da
    >>> from lrcore.distributed.dask import LinearRegressor
    >>> X = da.random.default_rng(0).normal(size=(100_000, 20), chunks=(20_000, 20))
    >>> reg = LinearRegressor().fit(X, X[:, 0])  # doctest: +SKIP
    """

    _local_class = regressor.LinearRegressor

    def __init__(
        self, loss: str | None = "squared_error", *, client: Client | None = None,
        features: Any = None, workers: Sequence[str] | None = None, **parameters: Any,
    ) -> None:  # fmt: skip
        super().__init__(loss, **parameters)
        self.client, self.features, self.workers = client, features, workers

    def _check_y(self) -> Callable[[Any], np.ndarray]:
        return partial(check_numbers, name=self._loss, loss=self._make_loss())

    def _targets_of(self, totals: Totals) -> tuple[Targets, dict[str, Any]]:
        return regressor_targets(totals), {"_single": totals.y_columns == 0}

    @rounded_to_nearest
    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, offset: Any = None
    ) -> LinearRegressor:
        """Fit from scratch: see `LinearClassifier.fit`; y are numbers, or columns of them.

        The offset has the partitions of X; lists have it in the fourth place.
        """
        return self._fit_partitions(X, y, sample_weight, offset)

    @rounded_to_nearest
    def partial_fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, offset: Any = None
    ) -> LinearRegressor:
        """One more pass over partitions, each learnt from after the one before."""
        return self._partial_fit_partitions(X, y, sample_weight, offset=offset)

    def predict(self, X: Any, offset: Any = None) -> Any:
        """The prediction for each row: see `LinearClassifier.predict`; the offset is for rows in
        memory."""
        if in_memory(X):
            return self.to_local().predict(X, offset)
        if offset is not None:
            raise ValueError("offset must be None beside a dask collection: add it to the result")
        return predictions(self.to_local(), "predict", X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, offset: Any = None) -> float:
        """The coefficient of determination, R squared; arguments as in `fit`, or in memory."""
        if in_memory(X):
            return self.to_local().score(X, y, sample_weight, offset)
        rows, local = self._loaded(X, y, sample_weight, offset)[:2], self.to_local()
        return r_squared(rows[0].each(squared_sums, rows[1], shared=(local,)))
