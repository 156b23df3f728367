"""Making, moving and viewing arrays over kernels."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.dtypes import DTYPES
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.kernel.memory import has_view

from .harness import FAST, compare, simulator

SIM, CHECKED = simulator("fast", "forward"), simulator("check", "forward")
RNG = np.random.default_rng(0)


def numbers(*shape, dtype="float32"):
    return RNG.integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["bool", "int16", "float32", "float64", bfloat16])
def test_arrays_made_of_nothing(dtype):
    compare("full", (3, 5), 1, np.dtype(dtype), exact=True, modes=FAST)
    compare("full", (), 0, np.dtype(dtype), exact=True, modes=FAST)
    compare("eye", 3, 5, np.dtype(dtype), exact=True, modes=FAST)
    compare("eye", 5, 3, np.dtype(dtype), exact=True, modes=FAST)
    compare("full", (0, 4), 1, np.dtype(dtype), modes=FAST)


def test_more_blocks_than_a_byte_counts():
    y = np.zeros(1000, np.float32)
    CHECKED.launch("fill.cu", "fill", (200,), (2,), (y.view("i4"), 7, 1000), element_t=np.dtype("int32"))
    np.testing.assert_array_equal(y.view("i4"), 7)


def test_a_value_that_does_not_fit_is_an_error():
    with pytest.raises(OverflowError):
        SIM.full((2,), 300, np.dtype("uint8"))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "int64", "uint8"])
def test_arange(dtype):
    compare("arange", 3, 2, 50, np.dtype(dtype), exact=True)
    compare("arange", 0, 1, 0, np.dtype(dtype), exact=True)
    if dtype.startswith("float"):  # not fused: bit by bit what the CPU has
        compare("arange", 0.1, 0.3, 1000, np.dtype(dtype), exact=True)


VIEWS = {
    "all": lambda x: x,
    "transposed": lambda x: x.transpose(2, 1, 0),
    "channels last": lambda x: x.transpose(0, 2, 1),
    "turned around": lambda x: x[::-1, :, ::-1],
    "with gaps": lambda x: x[:, 1::2, ::3],
    "one row": lambda x: x[1:2, 3, :],
    "one column": lambda x: x[:, :, 4:5],
    "broadcast": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "none": lambda x: x[:, 2:2],
    "a number": lambda x: x[1, 2, 3, ...],
    "misaligned": lambda x: x.reshape(-1)[1:],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_copies_of_views(view):
    compare("copy", view(numbers(3, 19, 37)), ladder="copy", exact=True)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64"])
def test_copies_of_every_size_of_element(dtype):
    x = numbers(2, 33, 40, dtype=dtype)
    for view in (x, x.transpose(0, 2, 1), x[:, ::-1, 1:]):
        compare("copy", view, ladder="copy", exact=True, modes=FAST)


@pytest.mark.parametrize("x", [numbers(300, 2)[::-1], numbers(40, 300).T], ids=["turned around", "transposed"])
def test_copies_of_many_rows(x):
    compare("copy", x, ladder="copy", exact=True, modes=FAST)


def test_a_copy_of_more_tiles_than_a_byte_counts():
    compare("copy", numbers(129 * 32, 8).T, ladder="copy", exact=True, modes=FAST)


def test_copies_into_views():
    for backend in (SIM, CHECKED):
        for name in ("naive", "tiled"):
            with rung("copy", name):
                big = np.full((40, 3, 50), -1.0, np.float32)
                x = numbers(25, 3, 20)
                target = big[::2, :, :50:2].transpose(2, 1, 0)
                assert backend.copy(x, out=target) is target
                np.testing.assert_array_equal(big[::2, :, :50:2].transpose(2, 1, 0), x)
                assert (big[1::2] == -1).all() and (big[:, :, 1::2] == -1).all()


def test_a_copy_is_broadcast_and_converted_and_may_overlap():
    target = np.zeros((4, 3), np.float32)
    SIM.copy(np.arange(3), out=target)
    np.testing.assert_array_equal(target, np.broadcast_to(np.arange(3), (4, 3)))
    x = np.arange(10)
    SIM.copy(x[:-1], out=x[1:])
    np.testing.assert_array_equal(x, [0, *range(9)])


def test_more_axes_than_a_layout_has():
    x = numbers(*(2,) * 9).transpose(2, 0, 4, 1, 3, 8, 6, 7, 5)[..., ::-1]
    compare("copy", x, ladder="copy", exact=True)


def test_expanded_memory_is_not_written_to():
    with pytest.raises(RuntimeError, match="can't be written to"):
        SIM.copy(np.zeros((3, 2)), out=np.broadcast_to(np.zeros(2), (3, 2)))


def values_of(dtype):
    """Of every kind that the type has, but nothing that is undefined in C when it is converted."""
    if dtype.name == "bool":
        return np.arange(1001) % 3 == 0
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        x = RNG.integers(info.min, info.max, 1001, dtype=dtype, endpoint=True)
        x[:4] = 0, 1, info.min, info.max
        return x
    x = (50 * RNG.standard_normal(1001)).astype(dtype)
    x[:4] = 0, -0.0, 0.5, -0.99
    return x


@pytest.mark.parametrize("source", DTYPES, ids=[d.name for d in DTYPES])
@pytest.mark.filterwarnings("ignore:overflow")
def test_casts_between_all_types(source):
    x = values_of(source.numpy)
    for target in DTYPES:
        expected = numpy_backend.cast(x, target.numpy)
        got = SIM.cast(x, target.numpy)
        assert (got.dtype, got.tobytes()) == (expected.dtype, expected.tobytes()), target
    compare("cast", x.reshape(7, 11, 13)[::-1, ::2].transpose(2, 0, 1), np.dtype("float32"), exact=True, modes=FAST)


def test_doubles_that_only_integers_of_64_bits_hold():
    x = np.array([2.0**40 + 1, -(2.0**40), 3e9, -3e9, 2.0**62])
    compare("cast", x, np.dtype("int64"), exact=True, modes=FAST)
    np.testing.assert_array_equal(SIM.cast(x, np.dtype("int64")), [2**40 + 1, -(2**40), 3 * 10**9, -3 * 10**9, 2**62])


def test_a_double_is_rounded_to_half_precision_once():
    ties = RNG.standard_normal(3000).astype(np.float16).astype(np.float64)
    ties += np.spacing(ties.astype(np.float16)) / 2
    # Nearer to a tie than float32 can tell: rounded to it first, they would go to the even neighbour.
    x = np.concatenate([ties, ties * (1 + 2.0**-40), ties * (1 - 2.0**-40), [65519.99999, 2.0**-25 * (1 + 2.0**-40)]])
    for sign in (1, -1):
        assert SIM.cast(sign * x, np.float16).tobytes() == (sign * x).astype(np.float16).tobytes()
    special = np.array([np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-300])
    with np.errstate(over="ignore"):
        expected = special.astype(np.float16)
    np.testing.assert_array_equal(SIM.cast(special, np.float16), expected)
    np.testing.assert_array_equal(CHECKED.cast(x, np.float16), SIM.cast(x, np.float16))


def test_what_fits_no_integer_is_the_nearest_one():
    x = np.array([3e9, -3e9, np.inf, 2.5], np.float32)
    np.testing.assert_array_equal(SIM.cast(x, np.int32), [2**31 - 1, -(2**31), 2**31 - 1, 2])
    np.testing.assert_array_equal(SIM.cast(x[:2], np.int64), [3_000_000_000, -3_000_000_000])


def test_reshape_is_a_view_where_numpys_is():
    x = numbers(4, 6, 5)
    sources = (x, x[:, ::2], x.transpose(1, 0, 2), x[::-1], x[:, :3, :2], x[:2, :0], x[:, :, :1], x[:1, :, 1:])
    for source in sources:
        n = source.size
        for shape in ((n,), (1, n), (*source.shape, 1), (source.shape[0], -1), (-1, source.shape[-1]), (2, -1, 2)):
            if (n == 0 and -1 in shape) or (n % 4 and shape[0] == 2):
                continue
            whole = tuple(n // -int(np.prod(shape)) if s == -1 else s for s in shape)
            expected = source.reshape(whole)
            got = SIM.reshape(source, whole)
            np.testing.assert_array_equal(got, expected)
            assert has_view(source, whole) == np.may_share_memory(source, expected) or n == 0
            assert SIM.is_view(source, got) == (np.may_share_memory(source, got) or n == 0)


def test_views_and_what_is_known_of_them():
    x = numbers(4, 6, 5)
    assert SIM.transpose(x, (2, 0, 1)).shape == (5, 4, 6)
    assert SIM.broadcast_to(x, (2, 4, 6, 5)).shape == (2, 4, 6, 5)
    assert SIM.strides(x[:, ::-2]) == (30, -10, 1)
    assert SIM.is_contiguous(x) and not SIM.is_contiguous(x.transpose(1, 0, 2))
    assert SIM.address(x[1:]) == SIM.address(x) + 4 * 30
    SIM.synchronize()


def test_the_host_has_arrays_of_its_own():
    x = numbers(3, 4)
    there = SIM.from_numpy(x.T)
    assert there.flags.c_contiguous and not np.may_share_memory(there, x)
    assert not np.may_share_memory(SIM.to_numpy(there), there)
    assert SIM.asarray(there) is there
    assert SIM.asarray(2.5).shape == () and SIM.asarray(np.float32(2)).dtype == np.float32


def test_the_span_of_a_view_is_the_memory_that_it_lies_in():
    x = numbers(4, 6, 5)
    for view in (x, x[1:3, ::-2, ::2], x.T, x[::-1, 2], x[:, :, 0]):
        memory, start = SIM.span(view)
        places = sum(i * s for i, s in zip(np.indices(view.shape, sparse=True), SIM.strides(view))) + start
        np.testing.assert_array_equal(memory.reshape(-1)[places], view)
        assert memory.flags.c_contiguous
