"""Users' own functions."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import gpunn
from gpunn.autograd import Function, grad, gradcheck, gradgradcheck


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return dy * 3 * x * x


class Exp(Function):
    """Saves its result."""

    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        return dy * y


class SumAndProduct(Function):
    """Several arguments and results, and a number."""

    @staticmethod
    def forward(ctx, x, y, scale):
        ctx.save_for_backward(x, y)
        ctx.scale = scale
        return (x + y) * scale, x * y

    @staticmethod
    def backward(ctx, ds, dp):
        x, y = ctx.saved_tensors
        return ds * ctx.scale + dp * y, ds * ctx.scale + dp * x, None


@pytest.fixture
def x() -> gpunn.Tensor:
    return gpunn.tensor([0.5, -1.5, 2.0], dtype=gpunn.float64, requires_grad=True)


def test_forward_and_backward(x) -> None:
    y = Cube.apply(x)
    np.testing.assert_allclose(y.detach().numpy(), np.array([0.5, -1.5, 2.0]) ** 3)
    assert repr(y.grad_fn) == "<CubeBackward>"
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 3 * np.array([0.5, -1.5, 2.0]) ** 2)


@pytest.mark.parametrize("function", [Cube.apply, Exp.apply, lambda x: Cube.apply(Exp.apply(x))])
def test_first_and_second_derivative(function, x) -> None:
    assert gradcheck(function, x)
    assert gradgradcheck(function, x)


def test_several_arguments_and_results(x) -> None:
    y = gpunn.tensor([1.0, 2.0, 3.0], dtype=gpunn.float64, requires_grad=True)
    assert gradcheck(lambda a, b: SumAndProduct.apply(a, b, 2.5), (x, y))
    assert gradgradcheck(lambda a, b: SumAndProduct.apply(a, b, 2.5), (x, y))
    _, p = SumAndProduct.apply(x, y, 2.5)
    p.sum().backward()  # the sum gets zeros
    assert x.grad.tolist() == [1, 2, 3]


def test_nothing_is_recorded_without_need(x) -> None:
    assert Cube.apply(x.detach()).grad_fn is None
    with gpunn.no_grad():
        assert Cube.apply(x).grad_fn is None


def test_forward_runs_under_no_grad(x) -> None:
    class Look(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.seen = gpunn.is_grad_enabled(), ctx.needs_input_grad
            Look.seen = ctx.seen
            return x * 1

    Look.apply(x)
    assert Look.seen == (False, (True,))


def test_results_without_gradient(x) -> None:
    class Parts(Function):
        @staticmethod
        def forward(ctx, x):
            sign, size, places = x.sign(), x.abs(), gpunn.arange(3)
            ctx.save_for_backward(sign)
            ctx.mark_non_differentiable(sign)
            return sign, size, places

        @staticmethod
        def backward(ctx, dsign, dsize, dplaces):
            Parts.got = dsign, dplaces
            return dsize * ctx.saved_tensors[0]

    sign, size, places = Parts.apply(x)
    assert (sign.requires_grad, size.requires_grad, places.requires_grad) == (False, True, False)
    size.sum().backward()
    assert x.grad.tolist() == [1, -1, 1]
    assert [g.tolist() for g in Parts.got] == [[0, 0, 0], [0, 0, 0]]


def test_gradients_that_are_missing_are_none_if_asked_for(x) -> None:
    class Twice(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, da, db):
            assert da is None
            return db * 2

    Twice.apply(x)[1].sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_setup_context(x) -> None:
    class Square(Function):
        @staticmethod
        def forward(x, scale):
            return x * x * scale

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.scale = inputs
            ctx.save_for_backward(x)

        @staticmethod
        def backward(ctx, dy):
            return dy * 2 * ctx.saved_tensors[0] * ctx.scale, None

    assert gradcheck(lambda x: Square.apply(x, 3.0), x)


def returning(*gradients):
    class Returns(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, dz):
            return tuple(g(dz) if callable(g) else g for g in gradients)

    return Returns


@pytest.mark.parametrize(
    ("gradients", "error", "message"),
    [
        ((lambda g: g,), RuntimeError, "incorrect number of gradients: 1 for 2 arguments"),
        ((lambda g: g, None, lambda g: g), RuntimeError, "incorrect number of gradients: 3 for 2 arguments"),
        ((lambda g: g.sum(), None), RuntimeError, r"gradient float64\[\] for argument 0, which is float64\[3\]"),
        ((1.0, None), TypeError, "returned float for argument 0"),
    ],
)
def test_wrong_gradients(gradients, error, message, x) -> None:
    with pytest.raises(error, match=message):
        returning(*gradients).apply(x, x.detach()).sum().backward()


def test_more_gradients_than_arguments_are_fine_if_none(x) -> None:
    returning(lambda g: g, None, None).apply(x, x.detach()).sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


def test_a_gradient_of_another_type_is_converted(x) -> None:
    returning(lambda g: g.float(), None).apply(x, x.detach()).sum().backward()
    assert x.grad.dtype is gpunn.float64


def test_forward_returns_tensors(x) -> None:
    class Number(Function):
        @staticmethod
        def forward(ctx, x):
            return 1.0

    with pytest.raises(TypeError, match=r"Number\.forward must return tensors, got float"):
        Number.apply(x)


def test_only_tensors_are_saved(x) -> None:
    class Saves(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 2.0)

    with pytest.raises(TypeError, match="got float; keep other things as attributes"):
        Saves.apply(x)


def test_none_is_saved_too(x) -> None:
    class Optional(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, None)
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            assert ctx.saved_tensors[1] is None
            return dy

    Optional.apply(x).sum().backward()


def test_saved_tensors_are_checked_and_freed(x) -> None:
    h = x * 1
    y = Cube.apply(h)
    with gpunn.no_grad():
        h += 1
    with pytest.raises(RuntimeError, match=r"saved tensor 0 \(float64\[3\]\) was modified by an inplace operation"):
        y.sum().backward()
    y = Cube.apply(x)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.sum().backward()
    y = Exp.apply(x)
    with gpunn.no_grad():
        y.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_what_was_saved_dies_with_the_graph() -> None:
    gc.disable()
    try:
        for function, freed_by_backward in ((Cube, True), (Exp, True), (Exp, False)):
            x = gpunn.rand(3, requires_grad=True)
            h = x * 1
            y = function.apply(h)
            refs = [weakref.ref(h), weakref.ref(y)]
            del h
            if freed_by_backward:
                y.sum().backward()
                assert refs[0]() is None
            del y
            assert [ref() for ref in refs] == [None, None]
    finally:
        gc.enable()


def test_a_returned_input_is_another_tensor(x) -> None:
    class Pass(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x

        @staticmethod
        def backward(ctx, dy):
            return dy * ctx.saved_tensors[0]

    y = Pass.apply(x)
    assert y is not x
    assert y.data_ptr() == x.data_ptr()
    (first,) = grad(y.sum(), x, create_graph=True)
    assert first.tolist() == x.tolist()
    assert grad(first.sum(), x)[0].tolist() == [1, 1, 1]


def test_a_gradient_that_the_user_holds_is_copied(x) -> None:
    held = gpunn.ones(3, dtype=gpunn.float64)
    function = returning(lambda g: held, None)
    for n in (1, 2):
        function.apply(x, x.detach()).sum().backward()
        assert x.grad.tolist() == [n, n, n]
    assert held.tolist() == [1, 1, 1]


def test_the_methods_must_be_written(x) -> None:
    class Nothing(Function):
        pass

    with pytest.raises(NotImplementedError, match="static method forward"):
        Nothing.apply(x)

    class OneWay(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

    with pytest.raises(NotImplementedError, match="static method backward"):
        OneWay.apply(x).sum().backward()
