"""Functions that are made of ops, where they break first: ties, kinks, nothing at all, shapes and types that differ."""

import itertools

import numpy as np
import pytest

import gpunn

torch = pytest.importorskip("torch")

INF, NAN = float("inf"), float("nan")
EQUAL = [1.0, -2.0, 3.0, 0.0]


@pytest.mark.parametrize("name", ["logaddexp", "logaddexp2", "hypot", "fmax", "fmin"])
def test_derivatives_where_both_are_equal_or_one_is_0(name):
    found = []
    for library in (torch, gpunn):
        x = library.tensor([*EQUAL, 2.0, 0.0], dtype=library.float64, requires_grad=True)
        y = library.tensor([*EQUAL[:3], 5.0, -2.0, -3.0], dtype=library.float64, requires_grad=True)
        first = library.autograd.grad(getattr(library, name)(x, y).sum(), (x, y), create_graph=True)
        both = (first[0] * 1.5 + first[1] * 0.5).sum()
        second = library.autograd.grad(both, (x, y)) if both.requires_grad else ()
        found.append([v.detach().numpy() for v in (*first, *second)])
    for theirs, ours in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


CALLS = {
    "attention in half": lambda t: t.nn.functional.scaled_dot_product_attention(
        *(t.ones(2, 3, dtype=t.bfloat16) for _ in range(3)), attn_mask=t.eye(2)
    ).float(),
    "attention of nothing": lambda t: t.nn.functional.scaled_dot_product_attention(
        t.ones(2, 0), t.ones(3, 0), t.ones(3, 1)
    ),
    "addbmm of int8": lambda t: t.addbmm(*(t.ones(s, dtype=t.int8) for s in ((2, 2), (3, 2, 2), (3, 2, 2)))),
    "attention, keys for all of a batch": lambda t: t.nn.functional.scaled_dot_product_attention(
        t.arange(24.0).reshape(2, 3, 4) / 24, t.arange(20.0).reshape(1, 5, 4) % 7, t.arange(10.0).reshape(1, 5, 2)
    ),
    "block_diag": lambda t: t.block_diag(),
    "broadcast_shapes": lambda t: t.zeros(t.broadcast_shapes()),
    "cdist of empty rows": lambda t: t.cdist(t.ones(2, 0), t.ones(3, 0), float("inf")),
    "channel_shuffle of one group": lambda t: t.channel_shuffle(t.arange(12.0).reshape(1, 3, 4), 1),
    "copysign": lambda t: t.copysign(t.ones(2, dtype=t.int32), t.tensor([-1.0, 0.0], dtype=t.float64)),
    "corrcoef of a row": lambda t: t.corrcoef(t.tensor([[1.0, 2.0]])),
    "cov of a row": lambda t: t.cov(t.tensor([[1.0, 2.0, 4.0]])),
    "cov, correction": lambda t: t.cov(t.eye(2), correction=9, fweights=t.tensor([1, 2])),
    "cov, weights": lambda t: t.cov(t.eye(2), aweights=t.tensor([1.0, 2.0], dtype=t.float64)),
    "diff of order 0": lambda t: t.diff(t.ones(2), 0, append=t.ones(1)),
    "embedding_bag of nothing": lambda t: t.nn.functional.embedding_bag(
        t.arange(0), t.ones(3, 2), t.tensor([0, 0]), mode="max", padding_idx=0
    ),
    "float_power of a number": lambda t: t.float_power(2, t.tensor([1, 3])),
    "empty_like of integers": lambda t: t.empty_like(t.ones(0, dtype=t.int32)),
    "empty_like in another type": lambda t: t.empty_like(t.ones(0, dtype=t.int32), dtype=t.float64),
    "gaussian_nll, a variance for each column": lambda t: t.nn.functional.gaussian_nll_loss(
        t.ones(4, 3), t.zeros(4, 3), t.tensor([[1.0, 2.0, 3.0]])
    ),
    "gaussian_nll, a variance for each row": lambda t: t.nn.functional.gaussian_nll_loss(
        t.ones(2, 3, 4), t.zeros(2, 3, 4), t.arange(1.0, 7.0).reshape(2, 3)
    ),
    "gradient": lambda t: t.gradient(t.tensor([1.0, 4.0, 9.0]), spacing=None)[0],
    "hinge": lambda t: t.nn.functional.hinge_embedding_loss(t.tensor([-3.0]), t.tensor([2.0])),
    "isclose by the absolute bound alone": lambda t: t.isclose(t.tensor([1.0, 1.1]), t.ones(2), rtol=0.0, atol=0.05),
    "linspace of integers": lambda t: t.linspace(4.3, -3, 50, dtype=t.int64),
    "masked_scatter": lambda t: t.masked_scatter(
        t.tensor([1.0, 2.0]), t.tensor([[True, False], [True, True]]), t.tensor([5.0, 6.0, 7.0])
    ),
    "matrix_power": lambda t: t.matrix_power(t.tensor([[1.0, 2.0], [3.0, 4.0]]), 5),
    "matrix_power 0 of a batch": lambda t: t.matrix_power(t.ones(2, 3, 2, 2), 0),
    "logaddexp": lambda t: t.logaddexp(t.tensor([True]), t.tensor([2.0])),
    "matmul": lambda t: t.tensor([[0.0], [float("inf")], [float("nan")]]) @ t.zeros(1),
    "median": lambda t: t.median(t.zeros(0)),
    "median, one is no number": lambda t: t.median(t.tensor([1.0, float("nan"), 2.0])),
    "multi_margin": lambda t: t.nn.functional.multi_margin_loss(t.ones(3), t.tensor([1]), reduction="none"),
    "multilabel": lambda t: t.nn.functional.multilabel_margin_loss(t.tensor(2.0), t.tensor(0)),
    "multi_margin of one class": lambda t: t.nn.functional.multi_margin_loss(t.tensor(3.0), t.tensor(0)),
    "nanquantile": lambda t: t.nanquantile(t.tensor([-1.5, 1.0, -float("inf")]), 0.3),
    "norm": lambda t: t.norm(t.tensor([[1.0, 2.0], [3.0, 4.0]]), "nuc"),
    "quantile of a number": lambda t: t.quantile(t.tensor(3.0), t.tensor([0.2, 0.5]), 0, True),
    "rrelu of one slope": lambda t: t.nn.functional.rrelu(t.tensor([-1.0, 2.0]), 0.25, 0.25, training=True),
    "tensor_split": lambda t: t.tensor_split(t.tensor([3.0, 1.0, 4.0]), t.tensor(2))[0],
    "tensordot": lambda t: t.tensordot(t.ones(1, 1, 1), t.arange(4.0).reshape(2, 1, 2), ([0, 1], [2, 0])),
    "tensordot, the other way": lambda t: t.tensordot(
        t.arange(4.0).reshape(2, 1, 2), t.ones(1, 1, 1), ([2, 0], [0, 1])
    ),
    "trapezoid of nothing": lambda t: t.trapezoid(t.ones(2, 0), t.ones(2, 0)),
    "trapezoid over a matrix": lambda t: t.trapezoid(t.ones(2, 3, 4), t.arange(12.0).reshape(3, 4), dim=1),
    "vander": lambda t: t.vander(t.tensor([100, 2], dtype=t.uint8), 4),
    "triplet with the distance left out": lambda t: t.nn.functional.triplet_margin_with_distance_loss(
        t.tensor([[1.0, 2.0]]), t.tensor([[1.5, 0.0]]), t.tensor([[2.0, 2.5]])
    ),
    "vander of no columns": lambda t: t.vander(t.ones(3), 0),
    "var_mean": lambda t: t.var_mean(t.tensor([1.0, 2.0, 4.0]), False)[0],
    "view of nothing by type": lambda t: t.ones(0, 8).view(t.uint8),
    "xlogy": lambda t: t.xlogy(t.tensor([0.5], dtype=t.float64), t.tensor([0.7], dtype=t.bfloat16)),
    "zeta": lambda t: t.special.zeta(
        t.tensor([0.5, 1.0, 0.0, float("nan"), 2.0]), t.tensor([-1.0, -1.5, -2.0, 2.0, -1.0])
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore:cov")
def test_values_shapes_and_types_are_those_of_torch(name):
    theirs, ours = CALLS[name](torch), CALLS[name](gpunn)
    assert tuple(ours.shape) == tuple(theirs.shape) and str(ours.dtype)[6:] == str(theirs.dtype)[6:]
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)


GRADIENTS = {
    "index_fill": (lambda t, x: (t.index_fill(t.ones(3, 4), 1, t.tensor([0, 2, 0]), x) ** 2).sum(), 2.0),
    "logit": (lambda t, x: t.logit(x).sum(), [0.0, 0.2, 0.5, 1.0]),
    "median": (lambda t, x: t.median(x), [2.0, 1.0, 2.0, 3.0]),
    "multi_margin": (lambda t, x: t.nn.functional.multi_margin_loss(x, t.tensor(1)), [1.0, 2.0, 1.0]),
    "multilabel": (lambda t, x: t.nn.functional.multilabel_margin_loss(x, t.tensor([1, -1, 0])), [1.0, 2.0, 1.0]),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_at_ties_are_those_of_torch(name):
    f, x = GRADIENTS[name]
    theirs, ours = torch.tensor(x, requires_grad=True), gpunn.tensor(x, requires_grad=True)
    f(torch, theirs).backward()
    f(gpunn, ours).backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy())


WRONG = {
    "adjoint": lambda t: t.adjoint(t.ones(3)),
    "amin": lambda t: t.amin(t.ones(2, 2), (0, 0)),
    "view": lambda t: t.ones(1).view(),
    "reshape": lambda t: t.ones(1).reshape(),
    "addr": lambda t: t.addr(*(t.ones(n, dtype=t.int64) for n in (2, 2, 2)), alpha=0.5),
    "block_diag": lambda t: t.block_diag(t.ones(1, 1, 1)),
    "broadcast_shapes": lambda t: t.broadcast_shapes((-1,), (2,)),
    "bucketize": lambda t: t.bucketize(t.ones(2, 2), t.ones(2, 2)),
    "cartesian_prod": lambda t: t.cartesian_prod(t.ones(2, 2)),
    "combinations": lambda t: t.combinations(t.ones(2, 2)),
    "channel_shuffle": lambda t: t.channel_shuffle(t.ones(1, 3, 4), 0),
    "channel_shuffle of a matrix": lambda t: t.channel_shuffle(t.ones(1, 3), 3),
    "cov": lambda t: t.cov(t.ones(2, 3), fweights=t.ones(3)),
    "cov weights": lambda t: t.cov(t.ones(2, 3), aweights=t.ones(2, 3)),
    "cross": lambda t: t.cross(t.ones(3, 3), t.ones(3), dim=0),
    "cross of 3 and 2": lambda t: t.cross(t.ones(3, 3), t.ones(3, 2), dim=1),
    "diff": lambda t: t.diff(t.ones(3), -1),
    "gradient": lambda t: t.gradient(t.ones(3, 3), dim=(1, 1)),
    "float_power": lambda t: t.float_power(2, 3),
    "hsplit": lambda t: t.hsplit(t.ones(2, 3), 2),
    "isclose": lambda t: t.isclose(t.ones(1), t.ones(1), rtol=-0.4),
    "histc": lambda t: t.histc(t.ones(3), bins=0),
    "kthvalue": lambda t: t.kthvalue(t.zeros(2, 0), 1),
    "quantile": lambda t: t.quantile(t.ones(3), t.ones(2, 2)),
    "searchsorted": lambda t: t.searchsorted(t.ones(2, 3), 2.0),
    "trapezoid": lambda t: t.trapezoid(t.ones(3, 2), t.ones(3)),
    "triplet": lambda t: t.nn.functional.triplet_margin_loss(t.ones(2, 3), t.ones(2, 3), t.ones(3)),
    "vander": lambda t: t.vander(t.ones(3), N=-1),
    "max": lambda t: t.max(2, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_of_the_kind_of_torch(name):
    with pytest.raises(Exception) as theirs:
        WRONG[name](torch)
    with pytest.raises(theirs.type, match=name.partition(" ")[0] if name != "addr" else "addmm"):
        WRONG[name](gpunn)


def test_derivatives_of_the_deviation_of_equal_numbers():
    for library in (torch, gpunn):
        x = library.tensor([[2.0, 1.0], [2.0, 3.0]], requires_grad=True)
        (first,) = library.autograd.grad(x.std(0).sum(), x, create_graph=True)
        (second,) = library.autograd.grad((first**2)[0].sum() + first[0, 0], x)
        assert first[:, 0].tolist() == second[:, 0].tolist() == [0, 0]


def test_a_product_scattered_onto_one_0_has_second_derivatives():
    found = []
    for scattered in (True, False):
        x = gpunn.tensor([0.0, 2.0], dtype=gpunn.float64, requires_grad=True)
        v = gpunn.tensor([3.0, 5.0, 0.0], dtype=gpunn.float64, requires_grad=True)
        by_hand = gpunn.stack([x[0] * v[0] * v[1], x[1] * v[2]])
        y = x.scatter_reduce(0, gpunn.tensor([0, 0, 1]), v, "prod") if scattered else by_hand
        first = gpunn.autograd.grad(y.sum(), (x, v), create_graph=True)
        found.append([g.tolist() for g in gpunn.autograd.grad((first[0] ** 2).sum() + first[1].sum(), (x, v))])
    assert found[0] == found[1] == [[8.0, 1.0], [150.0, 90.0, 0.0]]


def test_the_largest_of_bags_without_numbers():
    bags = gpunn.zeros(3, 0, dtype=gpunn.int64)
    assert gpunn.nn.functional.embedding_bag(bags, gpunn.ones(4, 2), mode="max").tolist() == [[0, 0]] * 3


@pytest.mark.parametrize(("theta", "size"), [((2, 2, 3), (1, 1, 2, 2)), ((1, 2, 3), (1, 1, 0, 2)), ((1, 3), (1, 1, 2))])
def test_grids_that_do_not_fit_their_matrices(theta, size):
    with pytest.raises(RuntimeError, match=r"affine_grid: takes theta"):
        gpunn.nn.functional.affine_grid(gpunn.ones(theta), size)


def test_what_is_wrong_with_windows_has_its_name():
    x = gpunn.ones(1, 1, 2, 2)
    with pytest.raises((RuntimeError, ValueError), match="max_unpool2d: kernel_size"):
        gpunn.nn.functional.max_unpool2d(x, gpunn.zeros(1, 1, 2, 2, dtype=gpunn.int64), 0)


@pytest.mark.parametrize("lengths", [[5], [[5, 5]], [5.0, 5.0]])
def test_lengths_that_are_not_one_for_each_sample(lengths):
    x, targets = gpunn.zeros(5, 2, 3), gpunn.ones(2, 2, dtype=gpunn.int64)
    with pytest.raises(RuntimeError, match="ctc_loss: input_lengths are integers, one for each of 2 samples"):
        gpunn.nn.functional.ctc_loss(x, targets, gpunn.tensor(lengths), (2, 2))


def test_the_second_derivatives_of_an_angle_that_is_none():
    """At (0, 0), where PyTorch's are no numbers, 0; at (1, 1) d^2 y / da^2 = -2 a b / (a^2 + b^2)^2."""
    a, b = (gpunn.tensor([0.0, 1.0], dtype=gpunn.float64, requires_grad=True) for _ in range(2))
    first = gpunn.autograd.grad(gpunn.atan2(a, b).sum(), (a, b), create_graph=True)
    of_a, of_b = gpunn.autograd.grad(first[0].sum(), (a, b))
    assert of_a.tolist() == [0, -0.5] and of_b.tolist() == [0, 0]


def test_the_derivative_of_the_binary_cross_entropy_in_the_target_where_the_logarithms_of_its_value_are_bounded():
    for library in (torch, gpunn):
        y = library.tensor([0.25, 0.5], requires_grad=True)
        loss = library.nn.functional.binary_cross_entropy(library.tensor([1.0, 0.0]), y, reduction="sum")
        loss.backward()
        assert loss.item() == 75 + 50 and y.grad.tolist() == [-INF, INF]


def test_indices_that_count_from_the_end_without_a_dimension():
    x = gpunn.tensor([[1, 2], [3, 4]])
    assert (
        gpunn.take_along_dim(x, gpunn.tensor([-1, 0])).tolist()
        == np.take_along_axis(x.numpy(), np.array([-1, 0]), None).tolist()
    )


@pytest.mark.parametrize("decimals", [-1, 0, 1])
def test_whole_numbers_are_round(decimals):
    y = gpunn.round(gpunn.tensor([15, 25]), decimals=decimals)
    assert y.tolist() == [15, 25] and y.dtype is gpunn.int64


TYPES = ["uint8", "int8", "int16", "int64", "bool", "float16", "float32", "float64"]
OF_MIXED = ["div", "atan2", "xlogy", "copysign", "float_power", "special.xlog1py", "special.zeta"]


def named(library, name):
    for part in name.split("."):
        library = getattr(library, part)
    return library


@pytest.mark.parametrize("name", OF_MIXED)
def test_floats_of_integers_are_of_their_values(name):
    # -1 has no place in uint8, which is the type of a uint8 with an int8 that has no dimensions.
    for a, b in itertools.product(TYPES, TYPES):
        for shapes in (((3,), ()), ((), (3,)), ((3,), (3,))):
            found = []
            for library in (torch, gpunn):
                function = named(library, name)
                x, y = (
                    library.tensor(np.resize([1, 2, 3] if t in ("bool", "uint8") else [-1, 2, -3], shape)).to(
                        getattr(library, t)
                    )
                    for t, shape in zip((a, b), shapes)
                )
                try:
                    found.append(function(x, y))
                except RuntimeError:
                    assert library is torch  # which lacks some for halves
                    break
            else:
                theirs, ours = found
                assert str(ours.dtype)[6:] == str(theirs.dtype)[6:]
                np.testing.assert_allclose(ours.double().numpy(), theirs.double().numpy(), rtol=2e-3, err_msg=(a, b))


@pytest.mark.parametrize("name", ["div", "xlogy", "float_power", "copysign", "special.xlog1py"])
def test_floats_of_integers_and_numbers(name):
    for t, number in itertools.product(TYPES, (-1, 0, 2, 2.5)):
        theirs, ours = (
            named(library, name)(library.tensor([3, 1, 2]).to(getattr(library, t)), number)
            for library in (torch, gpunn)
        )
        assert str(ours.dtype)[6:] == str(theirs.dtype)[6:]
        np.testing.assert_allclose(ours.double().numpy(), theirs.double().numpy(), rtol=2e-3, err_msg=(t, number))
    assert (-1 / gpunn.tensor([5, 2], dtype=gpunn.uint8)).tolist() == pytest.approx([-0.2, -0.5])


@pytest.mark.parametrize("number", [NAN, INF, -1.5, -0.5, 255.5, 127.9, 2.7, -1.0, -1, 300, -129, True])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "float32"])
def test_numbers_that_a_type_does_not_hold(number, dtype):
    for fill in (
        lambda library, t: library.full((2,), number, dtype=t),
        lambda library, t: library.full_like(library.zeros(2, dtype=t), number),
        lambda library, t: library.zeros(2, dtype=t).fill_(number),
    ):
        try:
            expected = fill(torch, getattr(torch, dtype))
        except RuntimeError:
            with pytest.raises(RuntimeError, match=f"value {number} cannot be converted to type gpunn.{dtype}"):
                fill(gpunn, getattr(gpunn, dtype))
        else:
            np.testing.assert_array_equal(fill(gpunn, getattr(gpunn, dtype)).numpy(), expected.numpy())


def test_the_mode_beside_nan():
    rows = [[1, 0, 0, NAN, 0.5], [NAN, 2, NAN, INF], [NAN, INF, INF, 3], [NAN, NAN, NAN, NAN]]
    values, places = zip(*(gpunn.mode(gpunn.tensor(row)) for row in rows))
    np.testing.assert_array_equal([v.item() for v in values], [0, 2, INF, NAN])
    assert [i.item() for i in places] == [2, 1, 2, 3]


def test_sums_of_small_integers_in_a_product_keep_their_type():
    theirs, ours = (
        library.tensordot(library.full((2, 3), 100).to(library.uint8), library.ones(1, 2, dtype=library.uint8), 1)
        for library in (torch, gpunn)
    )
    assert ours.dtype is gpunn.uint8 and ours.tolist() == theirs.tolist() == [[44, 44], [44, 44]]  # 300 - 256
