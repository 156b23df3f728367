"""Networks as estimators of scikit-learn: in pipelines, in cross-validation and in searches for parameters.

Needs scikit-learn: ``pip install 'gpunn[sklearn]'``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, Literal

import numpy as np

import gpunn
from gpunn import nn, optim
from gpunn.models import build, reconstructs
from gpunn.train import Callback, EarlyStopping, Trainer
from gpunn.train.optimizers import OPTIMIZERS, as_optimizer
from gpunn.train.results import softmax

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "gpunn.sklearn needs scikit-learn 1.6 or newer: pip install 'gpunn[sklearn]'", name="sklearn"
    ) from error

__all__ = ["GpunnClassifier", "GpunnRegressor"]

Array = np.ndarray[Any, Any]
Model = str | Callable[[tuple[int, ...], int], nn.Module]


class _Estimator(BaseEstimator):
    """What both estimators share: parameters, training, and the network's outputs."""

    loss: str | None
    _outputs: int

    def __init__(
        self,
        model: Model = "mlp:128,128",
        *,
        optimizer: str = "adam",
        learning_rate: float | None = None,
        loss: str | None = None,
        epochs: int = 100,
        batch_size: int = 32,
        l2: float = 0.0,
        clip_norm: float | None = None,
        validation_fraction: float = 0.0,
        patience: int | None = None,
        input_shape: Sequence[int] | None = None,
        dtype: Literal["float32", "float64"] = "float64",
        device: str | None = None,
        callbacks: Sequence[Callback] = (),
        random_state: Any = None,
        verbose: bool = False,
    ):
        self.model = model
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.loss = loss
        self.epochs = epochs
        self.batch_size = batch_size
        self.l2 = l2
        self.clip_norm = clip_norm
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.input_shape = input_shape
        self.dtype = dtype
        self.device = device
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    def _fit(self, x: Array, y: Array, outputs: int, default_loss: str) -> None:
        """Train on x (n, features) and targets y (n,) or (n, targets)."""
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype is {self.dtype!r}; expected 'float32' or 'float64'")
        shape = (x.shape[1],) if self.input_shape is None else tuple(self.input_shape)
        if prod(shape) != x.shape[1]:
            raise ValueError(f"input_shape is {shape}, {prod(shape)} numbers; the samples have {x.shape[1]} features")
        self._shape, self._outputs = shape, outputs
        if not isinstance(self.model, str) and not callable(self.model):
            raise TypeError(f"model is {self.model!r}; expected a name or a function of (input shape, outputs)")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with _seeded(seed):
            made = build(self.model, shape, outputs) if isinstance(self.model, str) else self.model(shape, outputs)
            model = made.to(getattr(gpunn, self.dtype))
            self._trained_with = self._loss_of(model, default_loss)
            trainer = Trainer(
                model,
                self._trained_with,
                self._optimizer(model),
                l2=self.l2,
                clip_norm=self.clip_norm,
                device=self.device,
                callbacks=[
                    *self.callbacks,
                    *([] if self.patience is None else [EarlyStopping(patience=self.patience)]),
                ],
                seed=seed,
                progress=self.verbose,
            )
            history = trainer.fit(
                (self._as_input(x), y), self.epochs, self.validation_fraction or None, min(self.batch_size, len(x))
            )
        self.module_, self.history_, self.n_iter_ = model, history.history, history.epochs

    def _loss_of(self, model: nn.Module, default: str) -> Any:
        """What is asked for, or what fits the network."""
        if not reconstructs(model):
            return self.loss or default
        if default == "cross_entropy":
            raise ValueError(
                f"{self.model} gives its input back and tells no classes; GpunnRegressor takes it, with y = x"
            )
        return self.loss or model.training_loss()

    def _optimizer(self, model: nn.Module) -> Any:
        optimizer = as_optimizer(self.optimizer, model)  # says what is wrong with the name
        if self.learning_rate is None:
            return optimizer
        return getattr(optim, OPTIMIZERS[self.optimizer.lower()])(model.parameters(), lr=self.learning_rate)

    def _as_input(self, x: Array) -> Array:
        return x.reshape(len(x), *self._shape).astype(self.dtype)

    def _predicted(self, x: Any) -> Array:
        """What the network gives for x (n, features)."""
        check_is_fitted(self)
        x = validate_data(self, x, reset=False, dtype=(np.float64, np.float32))
        trainer = Trainer(self.module_, self._trained_with, "sgd", progress=False)
        return trainer.predict(self._as_input(x)).cpu().numpy()


class GpunnClassifier(ClassifierMixin, _Estimator):
    """A network that tells classes, as an estimator of scikit-learn::

        from sklearn.model_selection import GridSearchCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        pipeline = make_pipeline(StandardScaler(), GpunnClassifier("mlp:64", random_state=0))
        search = GridSearchCV(pipeline, {"gpunnclassifier__learning_rate": [1e-3, 1e-2]}).fit(x, y)

    model:               a name of `gpunn.models.MODELS`, such as "mlp:128,128", or a function of
                         (input shape, outputs) that returns a module
    optimizer:           its name, see `gpunn.train.optimizers.OPTIMIZERS`
    learning_rate:       that of the optimizer's default if not given
    loss:                its name, see `gpunn.train.objective.LOSSES`; "cross_entropy", or of a regression "mse", if not
                         given
    epochs:              how often all samples are learned from
    batch_size:          samples of a training step
    l2, clip_norm:       see `gpunn.Trainer`
    validation_fraction: of the samples, held out to measure with
    patience:            epochs without a better loss, of the samples held out if there are some, after which training
                         ends; None for no such end
    input_shape:         of a sample, as (1, 28, 28) for images; its features alone if not given
    dtype:               of the network's numbers
    device:              where it is trained; see `gpunn.device`
    callbacks:           see `gpunn.train.Callback`
    random_state:        the seed, an int; a RandomState; or None, for another network at each call of `fit`
    verbose:             whether progress is shown

    After `fit`: classes_, the classes; module_, the network; history_, what was measured, by epoch; n_iter_, the
    number of epochs; n_features_in_.
    """

    def fit(self, x: Any, y: Any) -> GpunnClassifier:
        """Train on x (n, features) and classes y (n,), of any kind.

        Raises ValueError where there is but one class, or x holds something else than finite numbers.
        """
        x, y = validate_data(self, x, y, dtype=(np.float64, np.float32))
        check_classification_targets(y)
        self.classes_, indices = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"GpunnClassifier: y has one class, {self.classes_[0]!r}; expected two or more to tell")
        self._fit(x, indices.astype(np.int64), len(self.classes_), "cross_entropy")
        return self

    def predict(self, x: Any) -> Array:
        """The class of each sample of x (n, features): (n,)."""
        best = self._predicted(x).argmax(1)
        return np.asarray(self.classes_)[best]

    def predict_proba(self, x: Any) -> Array:
        """The probability of each class, in the order of classes_: (n, classes), by the softmax of the outputs."""
        return np.asarray(softmax(self._predicted(x)))

    def predict_log_proba(self, x: Any) -> Array:
        """The logarithms of the probabilities."""
        outputs = self._predicted(x).astype(np.float64)
        outputs -= outputs.max(1, keepdims=True)
        return np.asarray(outputs - np.log(np.exp(outputs).sum(1, keepdims=True)))


class GpunnRegressor(RegressorMixin, MultiOutputMixin, _Estimator):
    """A network that tells amounts, as an estimator of scikit-learn; its parameters are those of `GpunnClassifier`.

    It learns best where features and targets have a deviation of about 1: put a StandardScaler before it, and a
    TransformedTargetRegressor around it.

    After `fit`: module_, the network; history_, what was measured, by epoch; n_iter_, the number of epochs;
    n_features_in_.
    """

    def fit(self, x: Any, y: Any) -> GpunnRegressor:
        """Train on x (n, features) and amounts y (n,) or (n, targets).

        Raises ValueError where one of them holds something else than finite numbers.
        """
        x, y = validate_data(self, x, y, dtype=(np.float64, np.float32), multi_output=True, y_numeric=True)
        self._flat = y.ndim == 1
        y = y.reshape(len(y), -1).astype(self.dtype)
        self._fit(x, y, y.shape[1], "mse")
        return self

    def predict(self, x: Any) -> Array:
        """What is predicted for x (n, features): (n,), or (n, targets) where y was such."""
        outputs = self._predicted(x)
        return outputs.ravel() if self._flat else outputs


@contextmanager
def _seeded(seed: int) -> Any:
    """Inside, random numbers are those of the seed; behind it they go on where they were."""
    before = gpunn.get_rng_state()
    gpunn.manual_seed(seed)
    try:
        yield
    finally:
        gpunn.set_rng_state(before)
