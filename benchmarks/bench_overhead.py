"""What an eager operation costs beyond the NumPy call it makes: ``pytest benchmarks/bench_overhead.py``.

The arrays are 8 x 8, so the arithmetic is next to nothing. The tensors require gradients, so every call is recorded.
The overhead is the difference of the two medians of a pair.
"""

from __future__ import annotations

import numpy as np
import pytest

import gpunn

RNG = np.random.default_rng(0)
PAIRS = {
    "add": (lambda x, y: x + y, np.add),
    "mul": (lambda x, y: x * y, np.multiply),
    "relu": (lambda x, y: x.relu(), lambda x, y: np.maximum(x, 0)),
}


@pytest.mark.parametrize("who", ["numpy", "gpunn"])
@pytest.mark.parametrize("name", PAIRS)
def bench_overhead(benchmark, name, who):
    benchmark.group = name
    a, b = (RNG.standard_normal((8, 8), dtype=np.float32) for _ in range(2))
    ours, numpys = PAIRS[name]
    if who == "numpy":
        benchmark(numpys, a, b)
    else:
        benchmark(ours, gpunn.tensor(a, requires_grad=True), gpunn.tensor(b, requires_grad=True))
