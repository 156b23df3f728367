"""A GPU does with the wrappers of inline PTX, and the rest, what the simulator does. `pytest -m gpu` runs these."""

import numpy as np
import pytest

from gpunn.backend.simulator import RawModule

from .texts import CODE, KERNELS

pytestmark = pytest.mark.gpu

F, I, U = np.float32, np.int32, np.uint32
OPTIONS = ("-std=c++17", f"-I{KERNELS}")


@pytest.fixture(scope="module")
def both():
    cupy = pytest.importorskip("cupy")
    on_gpu, simulated = cupy.RawModule(code=CODE, options=OPTIONS), RawModule(code=CODE, options=OPTIONS)

    def run(name, grid, block, *args, shared_mem=0):
        """Launch on the GPU and on the simulator; the arrays that came out of each."""
        here = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
        there = [cupy.asarray(a) if isinstance(a, np.ndarray) else a for a in args]
        simulated.get_function(name)(grid, block, here, shared_mem=shared_mem)
        on_gpu.get_function(name)(grid, block, tuple(there), shared_mem=shared_mem)
        arrays = [i for i, a in enumerate(args) if isinstance(a, np.ndarray)]
        return [(cupy.asnumpy(there[i]), here[i]) for i in arrays]

    return run


def random_bits(n, seed=1):
    return np.random.default_rng(seed).integers(0, 2**32, n, dtype=U)


CASES = {
    "reversed": ((3,), (128,), lambda: (np.arange(384, dtype=F),), 0),
    "prefix_sum": ((1,), (256,), lambda: (np.arange(256, dtype=I),), 1024),
    "predicates": ((1,), (70,), lambda: (np.arange(70, dtype=I) % 2, np.zeros(70, I)), 0),
    "shuffles": ((1,), (32,), lambda: (np.arange(32, dtype=I), np.zeros(256, I), np.zeros(96, U)), 0),
    "last_block": ((5,), (32,), lambda: (np.ones(5, F), np.zeros(5, F), np.zeros(1, U), np.zeros(1, F)), 0),
    "two_phases": ((5,), (32,), lambda: (np.zeros(160, F), np.zeros(160, F), np.zeros(1, U)), 0),
    "half_values": ((64,), (1024,), lambda: (np.arange(65536, dtype=np.uint16), np.zeros(65536, F)), 0),
    "matrices": ((1,), (32,), lambda: (np.arange(256, dtype=np.uint16), np.zeros(256, U)), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_bits(both, name):
    grid, block, args, shared_mem = CASES[name]
    for there, here in both(name, grid, block, *args(), shared_mem=shared_mem):
        # The top bit of a grid barrier's counter turns with every barrier, and means nothing by itself.
        if name != "two_phases" or there.dtype != U:
            np.testing.assert_array_equal(there, here)


def test_rounding_to_half_precision(both):
    x = np.concatenate([random_bits(100_000).view(F), np.array([65519.996, 65520, 2**-25, 1e-45, np.inf], F)])
    h, b, t = np.zeros(x.size, np.uint16), np.zeros(x.size, np.uint16), np.zeros(x.size, U)
    _, halves, bfloats, tf32 = both("halves", (1,), (256,), x, h, b, t, I(x.size))
    finite = np.isfinite(x)
    np.testing.assert_array_equal(bfloats[0], bfloats[1])
    np.testing.assert_array_equal(halves[0][~np.isnan(x)], halves[1][~np.isnan(x)])
    np.testing.assert_array_equal(tf32[0][finite], tf32[1][finite])
    assert np.isnan(halves[0].view(np.float16)[np.isnan(x)]).all()


def test_products_of_tensor_cores(both):
    # Sixteen bits of small integers in each half are exact in all three formats, and so are their sums.
    values = np.random.default_rng(2).integers(-4, 5, (192, 2)).astype(np.float16)
    as_half = np.ascontiguousarray(values).view(U).reshape(-1)
    as_bfloat = (values.astype(F).view(U) >> 16).astype(np.uint16).reshape(192, 2).view(U).reshape(-1)
    as_tf32 = values[:, 0].astype(F).view(U)
    for part, bits in enumerate((as_bfloat, as_half, as_tf32)):
        products = both("products", (1,), (32,), bits[:128], bits[128:], np.zeros(384, F))[2]
        np.testing.assert_array_equal(products[0][128 * part :][:128], products[1][128 * part :][:128])
