"""The primitives of layers; `gpunn.backend.base` has the contract that they keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

Array = Any
"""Whatever the backend computes on."""
Shape = tuple[int, ...]
Axes = tuple[int, ...]
Pair = tuple[int, int]
PAIRS: tuple[Pair, Pair, Pair, Pair] = ((2, 2), (2, 2), (0, 0), (1, 1))
"""Size, stride, corner and dilation of windows of 2 x 2 that lie side by side."""
Wanted = tuple[bool, bool, bool]
"""Which of three gradients are computed; the others are not among the results."""


class LayerPrimitives(Protocol):
    """What networks need beyond arithmetic."""

    # Elements by indices, and elements in other places ----------------------------------------------------------------

    def index(self, x: Array, indices: tuple[Array, ...], axes: Axes, wrap: bool, out: Any = None) -> Array:
        """x[..., i, ..., j, ...] for the indices i, j, ... of the given axes."""

    def index_put(self, x: Array, v: Array, indices: tuple[Array, ...], axes: Axes, out: Any = None) -> Array:
        """A copy of x with v at the indices, the last one where they repeat; `out` may be x."""

    def index_sum(
        self, v: Array, indices: tuple[Array, ...], axes: Axes, size: Shape, wrap: bool, out: Any = None
    ) -> Array:
        """Zeros of the given size, plus each element of v at its index, in the row-major order of v."""

    def gather(self, x: Array, index: Array, axis: int, wrap: bool, out: Any = None) -> Array:
        """y[i][j] = x[index[i][j]][j] for axis 0, and so on."""

    def scatter(self, x: Array, v: Array, index: Array, axis: int, out: Any = None) -> Array:
        """A copy of x with y[index[i][j]][j] = v[i][j] for axis 0, ..., the last one where indices repeat."""

    def scatter_sum(self, v: Array, index: Array, axis: int, size: Shape, wrap: bool, out: Any = None) -> Array:
        """Zeros of that size with y[index[i][j]][j] += v[i][j] for axis 0, ..., in the row-major order of v."""

    def place(self, x: Array, key: tuple[Any, ...], size: Shape, value: float, out: Any = None) -> Array:
        """An array of the given size with x at key and `value` elsewhere."""

    def slice_scatter(self, x: Array, v: Array, key: tuple[Any, ...], out: Any = None) -> Array:
        """A copy of x with v at key; `out` may be x."""

    def tril(self, x: Array, k: int, out: Any = None) -> Array:
        """The lower triangles of matrices up to diagonal k."""

    def triu(self, x: Array, k: int, out: Any = None) -> Array:
        """The upper triangles of matrices from diagonal k on."""

    def diagonal_place(self, x: Array, offset: int, axis1: int, axis2: int, size: Shape, out: Any = None) -> Array:
        """Zeros of the given size with x as that diagonal."""

    def flip(self, x: Array, axes: Axes, out: Any = None) -> Array:
        """The elements in reverse order along the axes, as a copy."""

    def roll(self, x: Array, shifts: Shape, axes: Axes, out: Any = None) -> Array:
        """The elements moved along the axes, round and round."""

    def tile(self, x: Array, repeats: Shape, out: Any = None) -> Array:
        """The array so many times along each axis."""

    # Convolution, on images (n, c, h, w); `corner` is the padding above and to the left -------------------------------

    def im2col(
        self, x: Array, positions: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
    ) -> Array:
        """The patches of x under the kernel at every position, as columns (n, c kh kw, positions)."""

    def col2im(
        self,
        columns: Array,
        size: Pair,
        positions: Pair,
        kernel: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        out: Any = None,
    ) -> Array:
        """The sum of all patches, each at its place in an image of zeros: the adjoint of `im2col`."""

    def conv2d_forward(
        self,
        x: Array,
        w: Array,
        b: Array | None,
        positions: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        groups: int,
        kind: str = "none",
        parameter: float = 0.0,
        out: Any = None,
    ) -> Array:
        """f(x * w + b) for x (n, c, h, w), w (o, c / groups, kh, kw), b (o,) or None -> (n, o, *positions)."""

    def conv2d_input_grad(
        self, dz: Array, w: Array, size: Pair, stride: Pair, corner: Pair, dilation: Pair, groups: int, out: Any = None
    ) -> Array:
        """dx (n, c, *size) for dz (n, o, oh, ow), w (o, c / groups, kh, kw)."""

    def conv2d_weight_grad(
        self,
        x: Array,
        dz: Array,
        kernel: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        groups: int,
        bias: bool,
        out: Any = None,
    ) -> Array:
        """dw (o, c / groups, kh, kw); and db (o,), the sum of dz, if `bias`."""

    # Pooling ----------------------------------------------------------------------------------------------------------

    def max_pool2d(
        self, x: Array, positions: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
    ) -> tuple[Array, Array]:
        """The largest element of each window, and which element of the kernel it is: i kw + j."""

    def conv2d_max_pool(
        self,
        x: Array,
        w: Array,
        b: Array | None,
        positions: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        groups: int,
        kind: str,
        parameter: float,
        out: Any = None,
    ) -> tuple[Array, Array]:
        """`max_pool2d` of `conv2d_forward` by windows of 2 x 2 that lie side by side and cover the result."""

    def conv2d_max_pool_weight_grad(
        self,
        x: Array,
        dp: Array,
        p: Array,
        which: Array,
        kernel: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        groups: int,
        bias: bool,
        kind: str,
        parameter: float,
        out: Any = None,
    ) -> Any:
        """`conv2d_weight_grad` of `max_pool2d_activation_backward`, for what `conv2d_max_pool` gave."""

    def max_pool2d_backward(
        self,
        dy: Array,
        which: Array,
        size: Pair,
        kernel: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        out: Any = None,
    ) -> Array:
        """dx (n, c, *size): each dy is added to the element that its window chose, in order."""

    def max_pool2d_activation_backward(
        self,
        dy: Array,
        y: Array,
        which: Array,
        size: Pair,
        kernel: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        kind: str,
        parameter: float,
        out: Any = None,
    ) -> Array:
        """`max_pool2d_backward` of dy f', where f' follows from y, the result of the pooling."""

    def max_pool2d_gather(
        self, x: Array, which: Array, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
    ) -> Array:
        """The element of each window that `which` names. The adjoint of `max_pool2d_backward`."""

    def max_pool2d_indices(
        self, which: Array, width: int, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
    ) -> Array:
        """Where in its image (h, width) each chosen element lies: row width + column, in int64."""

    def avg_pool2d(
        self,
        x: Array,
        positions: Pair,
        kernel: Pair,
        stride: Pair,
        corner: Pair,
        count_padding: bool,
        divisor: int | None,
        out: Any = None,
    ) -> Array:
        """The sum of each window over `divisor`, or over its number of elements."""

    def avg_pool2d_backward(
        self,
        dy: Array,
        size: Pair,
        kernel: Pair,
        stride: Pair,
        corner: Pair,
        count_padding: bool,
        divisor: int | None,
        out: Any = None,
    ) -> Array:
        """dx (n, c, *size): each dy over its divisor, added to all elements of its window."""

    def adaptive_avg_pool2d(self, x: Array, positions: Pair, out: Any = None) -> Array:
        """The mean of each of `positions` windows that cover the image evenly."""

    def adaptive_avg_pool2d_backward(self, dy: Array, size: Pair, out: Any = None) -> Array:
        """dx (n, c, *size): the adjoint of `adaptive_avg_pool2d`."""

    # Recurrent layers -------------------------------------------------------------------------------------------------

    def recurrent_forward(
        self,
        mode: str,
        x: Array,
        weight: Array,
        bias: Array | None,
        h: Array,
        c: Array | None,
        reverse: bool,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """All states from x, the input's part of the gates (length, batch, gates size), and the first states.

        Modes and results: "tanh" and "relu" (h,), "lstm" (h, c, kept), "gru" (h, kept).
        """

    def recurrent_backward(
        self,
        mode: str,
        dh: Array | None,
        dc: Array | None,
        dkept: Array | None,
        h: Array,
        c: Array | None,
        kept: Array | None,
        weight: Array,
        h0: Array,
        c0: Array | None,
        reverse: bool,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """The gradients of x, of a "gru" that of W h + b too, of h0, and of an "lstm" of c0."""

    # Embedding, images and random numbers -----------------------------------------------------------------------------

    def embedding(self, indices: Array, weight: Array, out: Any = None) -> Array:
        """The row of weight (rows, d) for each index: (...) -> (..., d)."""

    def embedding_backward(
        self, dy: Array, indices: Array, rows: int, skip: int, by_frequency: bool, out: Any = None
    ) -> Array:
        """dy (..., d) added up in the rows of its indices; over the count of each index if `by_frequency`."""

    def one_hot(self, target: Array, classes: int, axis: int, dtype: Any, strict: bool, out: Any = None) -> Array:
        """1 where the place along the new axis is the label, else 0."""

    def gather_images(
        self, images: Array, index: Array, scale: Array, shift: Array, dtype: Any, out: Any = None
    ) -> Array:
        """images[index] scale + shift in another type, for bytes (n, c, ...), with scale and shift (c,), or (1,)."""

    def draw(
        self,
        sample: Callable[..., Any],
        options: tuple[Any, ...],
        shape: Shape,
        dtype: Any,
        seed: int,
        stream: int,
        call: int,
        out: Any = None,
    ) -> Array:
        """``sample(rng, shape, *options)`` for NumPy's generator at (seed, stream, call), in the type `dtype`."""

    def of_arrays(
        self, function: Callable[..., Any], arrays: Sequence[Any], dtypes: Sequence[Any], out: Any = None
    ) -> Any:
        """What ``function(xp, *arrays)`` gives in these types, where xp is the array module: one array, or a tuple."""

    def dropout(self, x: Array, p: float, seed: int, call: int, offset: int, out: Any = None) -> Array:
        """x / (1 - p) where a uniform number is at least p, else 0."""
