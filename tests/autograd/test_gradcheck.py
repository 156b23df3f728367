"""gradcheck finds what is wrong, at first and at second order."""

from __future__ import annotations

import pytest

import gpunn
from gpunn.autograd import Function, GradcheckError, gradcheck, gradgradcheck
from gpunn.autograd.tape import apply
from gpunn.ops.elementwise import Elementwise


@pytest.fixture
def x() -> gpunn.Tensor:
    return gpunn.tensor([[0.5, -1.5], [2.0, 0.3]], dtype=gpunn.float64, requires_grad=True)


def planted(gradient, second=None):
    """Sine, with the given gradient (and the gradient of that)."""

    class Inner(Function):
        @staticmethod
        def forward(ctx, x, dy):
            ctx.save_for_backward(x, dy)
            return gradient(x, dy)

        @staticmethod
        def backward(ctx, g):
            x, dy = ctx.saved_tensors
            return g * dy * (second or (lambda x: -x.sin()))(x), g * x.cos()

    class Sine(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, dy):
            return Inner.apply(ctx.saved_tensors[0], dy)

    return Sine.apply


def test_what_is_right_passes(x) -> None:
    right = planted(lambda x, dy: dy * x.cos())
    for fast in (False, True):
        assert gradcheck(right, x, fast_mode=fast)
        assert gradgradcheck(right, x, fast_mode=fast)
    assert gradcheck(lambda x, y: (x @ y, x.sum()), (x, x.detach().clone().requires_grad_()))


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, dy: dy * x.sin(),
        lambda x, dy: -dy * x.cos(),
        lambda x, dy: dy * x.cos() * 1.01,
        lambda x, dy: dy * x.cos().t(),
        lambda x, dy: dy * x.cos() + (x > 1) * 0.1,
        lambda x, dy: gpunn.ones_like(dy) * x.cos(),  # forgets the cotangent
        lambda x, dy: dy * x.cos() * float("nan"),
    ],
)
def test_a_wrong_gradient_is_found(wrong, fast, x) -> None:
    with pytest.raises(GradcheckError, match=r"gradient of output 0 with respect to input 0 \(float64\[2, 2\]\)"):
        gradcheck(planted(wrong), x, fast_mode=fast)
    assert not gradcheck(planted(wrong), x, fast_mode=fast, raise_exception=False)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("wrong", [lambda x: x.sin(), lambda x: -x.sin() * 1.01, lambda x: x * 0])
def test_a_wrong_second_derivative_is_found(wrong, fast, x) -> None:
    function = planted(lambda x, dy: dy * x.cos(), wrong)
    assert gradcheck(function, x)
    with pytest.raises(GradcheckError):
        gradgradcheck(function, x, fast_mode=fast)


def test_a_gradient_that_was_cut_off_is_found(x) -> None:
    with pytest.raises(GradcheckError, match=r"is 0, the central difference"):
        gradcheck(lambda x: x.detach() * 2 + x * 0, x)


def test_a_wrong_op_is_found(x) -> None:
    class WrongSquare(Elementwise, abstract=True):
        saved = (0,)
        primitive = "square"

        def vjp(self, needs, dy, y, x):
            return dy * x

    with pytest.raises(GradcheckError, match=r"at element \(0, 0\)"):
        gradcheck(lambda x: apply(WrongSquare(), x), x)


def test_what_cannot_be_checked_is_an_error(x) -> None:
    with pytest.raises(ValueError, match="no input requires grad"):
        gradcheck(lambda x: x, x.detach())
    with pytest.raises(ValueError, match=r"input 0 is gpunn.float32; differences need float64"):
        gradcheck(lambda x: x, x.detach().float().requires_grad_())
    with pytest.raises(GradcheckError, match="no output requires grad"):
        gradcheck(lambda x: x.detach(), x)


def test_given_cotangents(x) -> None:
    v = gpunn.ones(2, 2, dtype=gpunn.float64, requires_grad=True)
    assert gradgradcheck(lambda x: x.exp(), x, v)
