"""Networks as estimators of scikit-learn, by its own checks."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import gpunn
from gpunn.sklearn import GpunnClassifier, GpunnRegressor

SMALL: dict[str, Any] = {"model": "mlp:16", "epochs": 12, "learning_rate": 0.03}
NOT_HERE = {
    "check_array_api_input": "SCIPY_ARRAY_API",
    "check_classifier_data_not_an_array": "pandas is not installed",
    "check_regressor_data_not_an_array": "pandas is not installed",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", [GpunnClassifier, GpunnRegressor])
def test_it_is_an_estimator(estimator: Any) -> None:
    found = check_estimator(estimator(**SMALL), on_fail=None)
    bad = {r["check_name"]: str(r["exception"]) for r in found if r["status"] != "passed"}
    assert all(NOT_HERE.get(name, "-") in reason for name, reason in bad.items()), bad
    assert len(found) - len(bad) >= 40


def test_in_a_pipeline_and_a_search() -> None:
    data = gpunn.datasets.digits()
    x, y = data.x_train.reshape(-1, 64)[:300], np.array(data.classes)[data.y_train[:300]]
    pipeline = make_pipeline(StandardScaler(), GpunnClassifier("mlp:16", epochs=3, random_state=0))
    search = GridSearchCV(pipeline, {"gpunnclassifier__learning_rate": [1e-6, 1e-2]}, cv=2).fit(x, y)
    assert search.best_params_ == {"gpunnclassifier__learning_rate": 1e-2} and search.best_score_ > 0.7
    assert set(search.predict(x)) <= set(data.classes or ())


def test_images_and_the_end_of_training() -> None:
    data = gpunn.datasets.digits()
    x, y = data.x_train.reshape(-1, 64)[:200] / 16, data.y_train[:200]
    model = GpunnClassifier(
        "cnn", input_shape=(1, 8, 8), epochs=9, learning_rate=1e-8, patience=2, validation_fraction=0.2,
        dtype="float32", random_state=1,
    )  # fmt: skip
    before = gpunn.get_rng_state()
    proba = model.fit(x, y).predict_proba(x)
    assert gpunn.get_rng_state() == before
    assert model.module_[0].weight.dtype is gpunn.float32 and model.n_iter_ == len(model.history_["val_loss"])
    np.testing.assert_allclose(proba.sum(1), 1)
    np.testing.assert_allclose(np.log(proba), model.predict_log_proba(x), atol=1e-5)
    np.testing.assert_array_equal(proba, model.fit(x, y).predict_proba(x))  # random_state is an int
    with pytest.raises(ValueError, match=r"input_shape is \(3, 8, 8\), 192 numbers; the samples have 64 features"):
        model.set_params(input_shape=(3, 8, 8)).fit(x, y)


def test_a_regression_finds_a_line() -> None:
    x = np.random.default_rng(0).standard_normal((100, 3))
    y = x @ np.array([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]]) + np.array([0.1, -0.2])
    model = GpunnRegressor("linear", epochs=60, learning_rate=0.05, random_state=0).fit(x, y)
    np.testing.assert_allclose(model.predict(x), y, atol=1e-3)
    assert model.fit(x, y[:, 0]).predict(x).shape == (100,)
    with pytest.raises(ValueError, match="there is no optimizer 'adm'; did you mean adam"):
        GpunnRegressor(optimizer="adm").fit(x, y)


def test_networks_that_give_their_input_back() -> None:
    x = np.random.default_rng(0).standard_normal((20, 4))
    for name in ("vae:8,2", "autoencoder:8,2"):
        assert GpunnRegressor(name, epochs=1).fit(x, x).predict(x).shape == (20, 4)
        with pytest.raises(ValueError, match="gives its input back and tells no classes"):
            GpunnClassifier(name, epochs=1).fit(x, np.arange(20) % 2)
    with pytest.raises(TypeError, match="model is 3; expected a name or a function"):
        GpunnClassifier(3).fit(x, np.arange(20) % 2)


def test_without_scikit_learn() -> None:
    program = "import sys\nsys.modules['sklearn'] = None\nimport gpunn.sklearn"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert "gpunn.sklearn needs scikit-learn 1.6 or newer: pip install 'gpunn[sklearn]'" in done.stderr
