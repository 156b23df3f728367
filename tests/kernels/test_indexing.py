"""Elements by indices, and elements put or added up at indices, over kernels."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.recording import Recorder

from .harness import FAST, compare, simulator

SIM, CHECKED = simulator("fast", "forward"), simulator("check", "forward")
RNG = np.random.default_rng(0)
AXES = [(0,), (2,), (3,), (1, 2), (0, 3), (1, 3), (0, 1, 3), (0, 1, 2, 3)]


def numbers(*shape, dtype="float32"):
    return RNG.integers(0, 100, shape).astype(dtype)


def indices_of(size, axes):
    """Repeated ones and negative ones, which have to be broadcast where there are several."""
    shapes = ((2, 7),) if len(axes) == 1 else ((4, 1), (3,), (4, 3), (1,))
    return tuple(RNG.integers(-size[a], size[a], shape) for a, shape in zip(axes, shapes))


def compare_all(x, indices, axes, modes=None):
    options = {"exact": True} if modes is None else {"exact": True, "modes": modes}
    compare("index", x, indices, axes, True, **options)
    v = numbers(*numpy_backend.index(x, indices, axes, True).shape, dtype=x.dtype)
    compare("index_put", x, v, indices, axes, ladder="index_put", **options)
    compare("index_put", x, 1, indices, axes, ladder="index_put", **options)
    compare("index_sum", v, indices, axes, x.shape, True, ladder="index_sum", **options)


@pytest.mark.parametrize("axes", AXES, ids=str)
def test_any_axes(axes):
    x = numbers(3, 4, 5, 2)
    compare_all(x, indices_of(x.shape, axes), axes)
    positive = tuple(i % x.shape[a] for i, a in zip(indices_of(x.shape, axes), axes))
    compare("index", x, positive, axes, False, exact=True)


def test_as_many_indices_as_a_power_of_two():
    x = numbers(5, 3)
    compare_all(x, (np.array([4, 0, 4, 1]),), (0,))


def test_long_axes():
    indices = RNG.integers(-300, 300, 200), RNG.integers(-3, 3, 200)
    compare_all(numbers(300, 3), indices, (0, 1), modes=FAST)


@pytest.mark.parametrize("axes", [(1,), (0, 2)], ids=str)
def test_strided_inputs(axes):
    x = numbers(6, 3, 8)[::2, :, ::-3].transpose(2, 0, 1)
    indices = tuple(np.repeat(i, 2, -1)[..., ::2] for i in indices_of(x.shape, axes))
    compare_all(x, indices, axes)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "float16", bfloat16, "float64"])
def test_types(dtype):
    x = numbers(5, 6, dtype=dtype)
    compare_all(x, indices_of(x.shape, (0,)), (0,), modes=FAST)


def test_nothing_to_index():
    none = np.zeros(0, int)
    compare_all(numbers(3, 4), (none,), (0,))
    compare_all(numbers(3, 0), (np.array([2, 2]),), (0,))
    compare_all(numbers(0, 3), (none,), (0,))


def test_by_hand():
    x = np.arange(6.0).reshape(2, 3)
    i = np.array([2, 0, 2])
    np.testing.assert_array_equal(SIM.index(x, (i,), (1,), True), [[2, 0, 2], [5, 3, 5]])
    for name in ("naive", "sorted"):
        with rung("index_put", name), rung("index_sum", name):
            v = np.array([[1.0, 2, 3], [4, 5, 6]])
            np.testing.assert_array_equal(SIM.index_put(x, v, (i,), (1,)), [[2, 1, 3], [5, 4, 6]])
            np.testing.assert_array_equal(SIM.index_sum(v, (i,), (1,), (2, 3), True), [[2, 0, 4], [5, 0, 10]])


def places(index, axis):
    at = list(np.indices(index.shape))
    at[axis] = index
    return tuple(at)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("size", ["equal", "smaller", "longer", "none"])
def test_an_index_for_each_element(axis, size):
    x = numbers(4, 3, 5)
    other = {"equal": 0, "smaller": -1, "longer": 0, "none": 0}[size]
    along = {"equal": 0, "smaller": -1, "longer": 3, "none": -x.shape[axis]}[size]
    shape = tuple(n + (along if a == axis else other) for a, n in enumerate(x.shape))
    index, v = RNG.integers(0, x.shape[axis], shape), numbers(*shape)
    compare("gather", x, index, axis, False, exact=True)
    compare("gather", x[::-1], index - x.shape[axis], axis, True, exact=True)
    compare("scatter", x, v, index, axis, ladder="index_put", exact=True)
    compare("scatter", x, 1, index, axis, ladder="index_put", exact=True)
    compare("scatter_sum", v, index, axis, x.shape, True, ladder="index_sum", exact=True)
    expected = np.zeros(x.shape)
    for at, value in zip(zip(*(p.ravel() for p in places(index, axis))), v.ravel()):
        expected[at] += value
    np.testing.assert_array_equal(SIM.scatter_sum(v, index, axis, x.shape, False), expected)
    np.testing.assert_array_equal(SIM.gather(x, index, axis, False), x[places(index, axis)])


def test_an_index_for_each_element_of_many_rows():
    """Their numbers take more than 8 bits."""
    index, v, expected = RNG.integers(0, 4, (200, 2, 3)), numbers(200, 2, 3), np.zeros((200, 4, 3))
    np.add.at(expected, places(index, 1), v)
    for name in ("naive", "sorted"):
        with rung("index_sum", name):
            np.testing.assert_array_equal(SIM.scatter_sum(v, index, 1, (200, 4, 3), False), expected)


def test_more_indices_than_a_tile_sorts():
    x, i, v = numbers(40, 3), RNG.integers(0, 40, 3000), RNG.standard_normal((3000, 3)).astype("float32")
    for mode in ("forward", "reverse", "random"):
        backend = simulator("fast", mode)
        with rung("index_sum", "sorted"), rung("index_put", "sorted"):
            expected = np.zeros((40, 3), np.float32)
            np.add.at(expected, i, v)  # in the order of v: the same bits
            assert backend.index_sum(v, (i,), (0,), (40, 3), True).tobytes() == expected.tobytes()
            expected = x.copy()
            for at, row in zip(i, v):
                expected[at] = row
            assert backend.index_put(x, v, (i,), (0,)).tobytes() == expected.tobytes()


def test_the_rung_that_the_size_asks_for():
    x, i, v = numbers(3000, 2), RNG.integers(0, 3000, 1000), numbers(1000, 2)
    np.testing.assert_array_equal(SIM.index_sum(v, (i,), (0,), x.shape, True), sum_at(i, v, x.shape))
    np.testing.assert_array_equal(SIM.index_put(x, v, (i,), (0,)), numpy_backend.index_put(x, v, (i,), (0,)))


def sum_at(i, v, size):
    y = np.zeros(size, v.dtype)
    np.add.at(y, i, v)
    return y


def test_half_precision_is_summed_in_float32():
    v = np.full(4000, 0.1, np.float16)  # in float16 the sum stops at 256
    for name in ("naive", "sorted"):
        with rung("index_sum", name):
            y = SIM.index_sum(v, (np.zeros(4000, int),), (0,), (2,), True)
            np.testing.assert_array_equal(y, np.array([v.astype(np.float64).sum(), 0]).astype(np.float16))


def test_writes_over_the_argument_of_any_strides():
    for name in ("naive", "sorted"):
        with rung("index_put", name):
            big = numbers(6, 8)
            expected, x = big.copy(), big[::2, ::-1]
            expected[::2, ::-1][:, [1, 1, 5]] = expected[::2, ::-1][:, [2, 3, 4]]
            v = x[:, 2:5]  # lies in the memory that is written
            assert SIM.index_put(x, v, (np.array([1, 1, 5]),), (1,), out=x) is x
            np.testing.assert_array_equal(big, expected)
            x = np.zeros((3, 2))
            assert SIM.scatter(x, 1.0, np.array([[1, 2]]), 0, out=x) is x
            np.testing.assert_array_equal(x, [[0, 0], [1, 0], [0, 1]])


BAD = {
    "index": lambda b, x, y: b.index(x, (np.array([0, 1]), np.array([-5, 9])), (0, 1), True, out=y[0, :2]),
    "no wrap": lambda b, x, y: b.index(x, (np.array([0, -1]),), (0,), False, out=y[:2]),
    "index_put": lambda b, x, y: b.index_put(x, 1, (np.array([[7], [3]]),), (0,), out=y),
    "index_sum": lambda b, x, y: b.index_sum(x, (np.array([0, 1, -4]),), (0,), (3, 4), True, out=y),
    "gather": lambda b, x, y: b.gather(x, np.array([[0, 4]]), 1, True, out=y[:1, :2]),
    "scatter": lambda b, x, y: b.scatter(x, 1, np.array([[0, -1]]), 1, out=y),
    "scatter_sum": lambda b, x, y: b.scatter_sum(x[:1, :2], np.array([[0, 5]]), 1, (3, 4), False, out=y),
}


@pytest.mark.parametrize("call", BAD.values(), ids=BAD)
def test_bad_indices_are_the_errors_of_the_cpu(call):
    x, messages = numbers(3, 4), []
    for backend in (numpy_backend, SIM):
        y = np.full((3, 4), -1, np.float32)
        with pytest.raises(IndexError) as error:
            call(backend, x, y)
            backend.synchronize()
        messages.append(str(error.value))
    assert messages[0] == messages[1]


IN_PLACE = {
    "index_put": lambda b, y: b.index_put(y, 1, (np.array([[2], [3]]),), (0,), out=y),
    "two axes": lambda b, y: b.index_put(y, 1, (np.array([0, 1]), np.array([3, 4])), (0, 1), out=y),
    "from the end": lambda b, y: b.index_put(y, np.ones((2, 4), np.float32), (np.array([0, -4]),), (0,), out=y),
    "scatter": lambda b, y: b.scatter(y, 1, np.array([[0, -1]]), 1, out=y),
    "scatter along the first axis": lambda b, y: b.scatter(y, 1, np.array([[0, 1, 3]]), 0, out=y),
}


@pytest.mark.parametrize("call", IN_PLACE.values(), ids=IN_PLACE)
def test_bad_indices_change_nothing_in_place(call):
    for backend in (numpy_backend, SIM):
        y = np.full((3, 4), -1, np.float32)
        with pytest.raises(IndexError):
            call(backend, y)
        assert (y == -1).all()


class Refused(Exception):
    """What a check found: the value and its place."""


def found(backend, *args):
    def complain(value, place):
        raise Refused(value, place)

    try:
        backend.refuse_indices(args[0], *args[1:3], complain, *args[3:])
        backend.look()
    except Refused as refused:
        return refused.args
    return None


def test_checks():
    for backend in (SIM, CHECKED):
        for dtype in ("int64", "int32", "int16", "int8", "uint8"):
            x = np.zeros((40, 30), dtype)
            assert found(backend, x, 0, 1) is None
            assert found(backend, x, 1, 5) == (0, 0)
            assert found(backend, x, 1, 5, 0) is None
            x[7, 3], x[9, 1] = 9, 8
            assert found(backend, x, 0, 1) == (9, 7 * 30 + 3)
            assert found(backend, x.T, 0, 1) == (8, 1 * 40 + 9)
            assert found(backend, x[:0], 0, 1) is None
    x = np.zeros(100_000, int)
    x[99_999], x[50_001] = -5, 7
    bounds = (0, 1), (-9, 1), (0, 8), (-5, 8)
    assert [found(SIM, x, *b) for b in bounds] == [(7, 50_001), (7, 50_001), (-5, 99_999), None]


def test_a_check_of_more_than_127():
    x = np.zeros(300, int)
    x[200] = 9
    assert found(CHECKED, x, 0, 1) == (9, 200)


def test_what_a_check_has_found_stays():
    """Until the host looks: a later check, of a block of its own or after it, finds nothing and changes nothing."""
    found = np.full(4, -1)
    for index in ([0] * 256 + [9] * 3, [0] * 300, [7] * 300, [8] * 300):
        args = (np.array(index), found, len(index), 0, 5, 0, 0)
        CHECKED.launch("check.cu", "first_outside", (2,), (256,), args, integer_t=np.dtype("int64"))
    np.testing.assert_array_equal(found, [0, 7, 256, 9])


def test_several_indices_of_which_one_is_bad_name_no_place():
    place = np.full(4, 99)
    for first, index, n in ((1, [1, 2, 0, -1], 2), (0, [0, 0, 3, -1], 3)):
        CHECKED.launch_elements("indices.cu", "join_indices", 4, (np.array(index), place, n, 1, first, 4))
    np.testing.assert_array_equal(place, [3, -1, -1, 5])


@pytest.mark.parametrize("backend", [SIM, CHECKED], ids=["fast", "check"])
def test_checks_that_are_read_later_touch_no_memory_outside(backend):
    x, i = numbers(3, 4), np.array([1, 99, -99, 0])
    recorder = Recorder(backend)

    def later(primitive, *args):
        with recorder.call() as launches:
            y = primitive(*args)
        for launch in launches:
            launch.run()
        with pytest.raises(IndexError, match=r"index -?99 is out of bounds for dimension 0 with size 3"):
            recorder.errors.look()
        recorder.errors.look()
        return y

    np.testing.assert_array_equal(later(backend.index, x, (i,), (0,), True), [x[1], 0 * x[0], 0 * x[0], x[0]])
    picked = later(backend.index, x, (i, np.array([0, 1, 2, 3])), (0, 1), True)
    np.testing.assert_array_equal(picked, [x[1, 0], 0, 0, x[0, 3]])
    for name in ("naive", "sorted"):
        with rung("index_put", name), rung("index_sum", name):
            put = later(backend.index_put, x, 7, (i,), (0,))
            np.testing.assert_array_equal(put, [[7] * 4, [7] * 4, x[2]])
            summed = later(backend.index_sum, np.ones((4, 4)), (i,), (0,), (3, 4), True)
            np.testing.assert_array_equal(summed, [[1] * 4, [1] * 4, [0] * 4])
