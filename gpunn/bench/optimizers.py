"""The optimizers of the benchmarks, with the settings that every implementation uses."""

from typing import Any

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.01, "momentum": 0.9},
    "adam": {"lr": 1e-4, "betas": (0.9, 0.999), "eps": 1e-8},
}
