"""Activation functions and their derivatives."""

from __future__ import annotations

from collections.abc import Callable

from gpunn.backend.kernel_texts import kernel_text
from gpunn.backend.signature import enumeration

from .family import Array, ceil_div
from .rows import Walk

_PREFIX = "ACTIVATION_"
KINDS = {
    word.removeprefix(_PREFIX).lower(): code
    for word, code in enumeration(kernel_text("activation.cuh"), "ActivationKind").items()
}
"""The number of each activation, as `kernels/activation.cuh` has it."""


class Activation(Walk):
    """Activation functions and their derivatives."""

    maximum: Callable[..., Array]
    each: Callable[..., Array]

    def activation(self, x: Array, kind: str, parameter: float, out: Array | None = None) -> Array:
        """f(x). `out` may be x."""
        if x.dtype.kind in "iu":  # of which only the ReLU takes any
            return self.maximum(x, 0, out=out)
        return self.each("activation.cu", "activation_forward", x, x.dtype, out, KINDS[kind], parameter)

    def activation_backward(
        self, dy: Array, s: Array, kind: str, parameter: float, from_output: bool, out: Array | None = None
    ) -> Array:
        """dy f'(s), where s is f's result if `from_output`, else its argument. `out` may be dy."""
        dy, s = self.contiguous(dy), self.contiguous(s)
        dx = self.result(out, dy.shape, dy.dtype)
        args = (dy, s, dx, dy.size, KINDS[kind], parameter, from_output, self.aligned(dy, s, dx))
        self.launch_elements("activation.cu", "activation_backward", ceil_div(dy.size, 4), args, scalar_t=dy.dtype)
        return dx
