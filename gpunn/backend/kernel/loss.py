"""Losses on class labels, and binary cross entropy.

Labels are checked in the forward pass, with the errors of the CPU; in the backward pass they are those of the forward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from gpunn.backend.errors import Complain
from gpunn.backend.numpy import loss as on_the_cpu

from .counting import Counting
from .family import MAX_RANK, Array, accumulator, ceil_div, collapse, element_strides, layout, prod
from .ladder import Ladder
from .team import THREADS, grid_and_block, team_for

CROSS_ENTROPY = Ladder("cross_entropy", ("naive", "warp", "block"))
"""The threads that share a row of classes: 1, 32 or 256."""

_REDUCTIONS = {"none": 0, "sum": 1, "mean": 2}
_ONE_BLOCK = 512
"""Threads of the most rows that one block makes and adds up in one launch."""
_ADDED_IN_EACH_BLOCK = 1 << 12
"""Up to so many labels each block of a backward pass adds up their weights by itself, which saves a launch."""
ADDED_BY_ONE_BLOCK = 1 << 16
"""Up to so many losses one block adds up in the launch that makes them and their gradient."""
_ADDED_AS_THEY_ARE = 1 << 13
"""Up to so many sums of a block's losses one block adds up; more go through sums of parts."""
_MOST_PARTS = 1024
_MOST_CHECKING = 64
"""Blocks that look for what is no probability."""


class Loss(Counting):
    """Losses."""

    refuse: Any  # from another family
    refuse_indices: Any

    def softmax_cross_entropy(
        self,
        x: Array,
        target: Array,
        weight: Array | None,
        reduction: str,
        ignore_index: int,
        label_smoothing: float,
        out: Any = None,
    ) -> tuple[Array, Array, Array]:
        """The loss of logits x (n, classes, ...) for labels (n, ...), m = max x and s = sum of e^(x - m).

        Raises:
            IndexError: a label is no class.
        """
        rows, classes, inner = _folded(x)
        labels = self._labels(target, classes, ignore_index, "cross_entropy")
        loss, m, s = out or (None, None, None)
        m, s = (self.result(a, target.shape, accumulator(x.dtype)) for a in (m, s))
        team = _team(classes, inner)
        smoothing = 1 - label_smoothing, label_smoothing / classes

        def launch(grid: Any, block: Any, *outputs: Any) -> None:
            args = (self.contiguous(x), labels, self.converted(weight, x.dtype), *outputs, m, s, rows, classes, inner)
            args += (_REDUCTIONS[reduction], ignore_index, *smoothing)
            self.launch("loss.cu", f"cross_entropy_forward_{team}", grid, block, args, scalar_t=x.dtype)

        return self._loss_of_rows(launch, team, rows, reduction, target.shape, x.dtype, loss), m, s

    def softmax_cross_entropy_backward(
        self,
        dy: Array,
        x: Array,
        target: Array,
        weight: Array | None,
        m: Array,
        s: Array,
        reduction: str,
        ignore_index: int,
        label_smoothing: float,
        out: Any = None,
    ) -> Array:
        """The gradient of `softmax_cross_entropy` in x; (S - I_y) dy / n for a plain mean, S = e^(x - m) / s."""
        rows, classes, inner = _folded(x)
        dx = self.result(out, x.shape, x.dtype)
        if rows:
            labels, weight = self._as_labels(target), self.converted(weight, x.dtype)
            parts, part_count = self._label_weights(labels, weight, classes, reduction, ignore_index, x.dtype)
            team = _team(classes, inner)
            args: tuple[Any, ...] = (*map(self.contiguous, (dy, x)), labels, weight)
            args += (*map(self.contiguous, (m, s)), parts, dx)
            args += (part_count, rows, classes, inner, _REDUCTIONS[reduction], ignore_index)
            args += (1 - label_smoothing, label_smoothing / classes)
            grid, block = grid_and_block(team, rows)
            self.launch("loss.cu", f"cross_entropy_backward_{team}", grid, block, args, scalar_t=x.dtype)
        return dx

    def softmax_cross_entropy_gradient(
        self,
        dy: Array,
        x: Array,
        target: Array,
        weight: Array | None,
        reduction: str,
        ignore_index: int,
        label_smoothing: float,
        out: Any = None,
    ) -> tuple[Array, Array]:
        """The sum or mean of `softmax_cross_entropy`, and its gradient in x for the gradient dy in it, in one launch.

        Raises:
            IndexError: a label is no class.
        """
        how = reduction, ignore_index, label_smoothing
        rows, classes, inner = _folded(x)
        loss, dx = out or (None, None)
        if not 0 < rows <= ADDED_BY_ONE_BLOCK:
            statistics = (self.empty(target.shape, accumulator(x.dtype)) for _ in range(2))
            into = (self.result(loss, (), x.dtype), *statistics)
            loss, m, s = self.softmax_cross_entropy(x, target, weight, *how, out=into)
            return loss, self.softmax_cross_entropy_backward(dy, x, target, weight, m, s, *how, out=dx)
        loss, dx = self.result(loss, (), x.dtype), self.result(dx, x.shape, x.dtype)
        team = _team(classes, inner)
        one_block = _one_block(team, rows)
        grid, block = ((1,), one_block) if one_block else grid_and_block(team, rows)

        def launch(of_labels: tuple[Any, ...], options: tuple[Any, ...]) -> None:
            args = (*map(self.contiguous, (dy, x)), dx, *of_labels, rows, classes, inner, *options)
            self.launch("loss.cu", f"cross_entropy_gradient_{team}", grid, block, args, scalar_t=x.dtype)

        self.loss_in_one_launch(launch, loss, target, weight, classes, *how)
        return loss, dx

    def loss_in_one_launch(
        self,
        launch: Callable[[tuple[Any, ...], tuple[Any, ...]], None],
        loss: Array,
        target: Array,
        weight: Array | None,
        classes: int,
        reduction: str,
        ignore_index: int,
        label_smoothing: float,
    ) -> None:
        """Call ``launch(of_labels, options)``, which launches a kernel that makes a loss and its gradient.

        What it is given are arguments of the kernel: all that has to do with labels and the loss, and how it is made.
        """
        labels, weight = self._as_labels(target), self.converted(weight, loss.dtype)
        weights, weight_count = self._label_weights(labels, weight, classes, reduction, ignore_index, loss.dtype)
        parts = self.empty((3, labels.size), accumulator(loss.dtype))
        options = _REDUCTIONS[reduction], ignore_index, 1 - label_smoothing, label_smoothing / classes

        def look(found: Array) -> None:
            launch((labels, weight, parts, weights, self.counters(1), loss, found, weight_count), options)

        self.refuse(look, 1, _no_class(target.shape, classes, ignore_index, "cross_entropy"))

    def nll_loss(
        self, x: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int, out: Any = None
    ) -> Array:
        """-x_y for each label y of logarithms x (n, classes, ...), weighted and reduced.

        Raises:
            IndexError: a label is no class.
        """
        rows, classes, inner = _folded(x)
        labels = self._labels(target, classes, ignore_index, "nll_loss")

        def launch(grid: Any, block: Any, *outputs: Any) -> None:
            args = (self.contiguous(x), labels, self.converted(weight, x.dtype), *outputs, rows, classes, inner)
            args += (_REDUCTIONS[reduction], ignore_index)
            self.launch("loss.cu", "nll_forward", grid, block, args, scalar_t=x.dtype)

        return self._loss_of_rows(launch, "naive", rows, reduction, target.shape, x.dtype, out)

    def nll_loss_backward(
        self,
        dy: Array,
        target: Array,
        weight: Array | None,
        classes: int,
        reduction: str,
        ignore_index: int,
        out: Any = None,
    ) -> Array:
        """The gradient of `nll_loss` in x: at the labels -dy times weight, over the sum of the weights for a mean."""
        axis = min(target.ndim, 1)
        dx = self.result(out, (*target.shape[:axis], classes, *target.shape[axis:]), dy.dtype)
        rows, classes, inner = _folded(dx)
        if rows:
            labels, weight = self._as_labels(target), self.converted(weight, dy.dtype)
            parts, part_count = self._label_weights(labels, weight, classes, reduction, ignore_index, dy.dtype)
            team = "naive" if inner > 1 else "warp"
            sizes = part_count, rows, classes, inner
            args = (self.contiguous(dy), labels, weight, parts, dx, *sizes, _REDUCTIONS[reduction], ignore_index)
            grid, block = grid_and_block(team, rows)
            self.launch("loss.cu", f"nll_backward_{team}", grid, block, args, scalar_t=dy.dtype)
        return dx

    def binary_cross_entropy(self, x: Array, target: Array, out: Any = None) -> Array:
        """-(t ln x + (1 - t) ln(1 - x)), logarithms not below -100, for probabilities x.

        Raises:
            RuntimeError: an x is not in [0, 1].
        """
        loss = self.result(out, x.shape, x.dtype)
        if x.size:
            x, target = self.contiguous(x), self.contiguous(target)
            self._refuse_improbable(x)
            args = (x, target, loss, x.size)
            self.launch_elements("binary_cross_entropy.cu", "binary_cross_entropy", x.size, args, scalar_t=x.dtype)
        return loss

    def binary_cross_entropy_with_logits(
        self, x: Array, target: Array, pos_weight: Array | None, out: Any = None
    ) -> Array:
        """p t ln(1 + e^-x) + (1 - t) ln(1 + e^x), broadcast."""
        given = [self.contiguous(a) for a in (x, target, pos_weight) if a is not None]
        shape = np.broadcast_shapes(*(a.shape for a in given))
        loss = self.result(out, shape, x.dtype)
        sizes, strides = collapse(shape, *(element_strides(self.xp.broadcast_to(a, shape)) for a in given))
        if len(sizes) > MAX_RANK:  # when nothing is broadcast any more, all axes become one
            given = [self.copy(self.xp.broadcast_to(a, shape)) for a in given]
            sizes, strides = collapse(shape, *map(element_strides, given))
        layouts = [layout(sizes, s) for s in strides]
        if pos_weight is None:
            given, layouts = [*given, None], [*layouts, layouts[0]]
        args = (*given, loss, *layouts, loss.size)
        self.launch_elements(
            "binary_cross_entropy.cu", "binary_cross_entropy_with_logits", loss.size, args, scalar_t=x.dtype
        )
        return loss

    # Labels and sums --------------------------------------------------------------------------------------------------

    def _labels(self, target: Array, classes: int, ignore_index: int, name: str) -> Array:
        """The labels for the kernels, when they are known to be classes."""
        self.refuse_indices(target, 0, classes, _no_class(target.shape, classes, ignore_index, name), ignore_index)
        return self._as_labels(target)

    def _refuse_improbable(self, x: Array) -> None:
        """Raise the error of the CPU if an element is not from 0 to 1."""
        shape, dtype = x.shape, x.dtype
        blocks = min(ceil_div(x.size, 8 * THREADS), _MOST_CHECKING)

        def look(found: Array) -> None:
            args = (x, found, x.size, ceil_div(x.size, blocks))
            self.launch("binary_cross_entropy.cu", "first_improbable", (blocks,), (THREADS,), args, scalar_t=dtype)

        def complain(value: int, place: int) -> NoReturn:
            given = _with_one_element(shape, dtype, np.int64(value).view(np.float64), place)
            on_the_cpu.binary_cross_entropy(given, given)
            raise AssertionError("a probability was refused")

        self.refuse(look, blocks, complain)

    def _as_labels(self, target: Array) -> Array:
        return self.converted(target, np.int64)

    def _loss_of_rows(
        self, launch: Any, team: str, rows: int, reduction: str, shape: tuple[int, ...], dtype: Any, out: Any
    ) -> Array:
        """The loss of each row, or the sum or mean over them. `launch` takes grid, block, and where to write what."""
        result = self.result(out, shape if reduction == "none" else (), dtype)
        if reduction == "none":
            if rows:
                launch(*grid_and_block(team, rows), result, None, None)
            return result
        one_block = _one_block(team, rows)
        if one_block:
            launch((1,), one_block, None, None, result)
            return result
        grid, block = grid_and_block(team, rows)
        (count,) = grid
        parts = self.empty((2, count), accumulator(dtype))
        if rows:
            launch(grid, block, None, parts, None)
        if count > _ADDED_AS_THEY_ARE:
            blocks = min(ceil_div(count, 8 * THREADS), _MOST_PARTS)
            sums = self.empty((2, blocks), parts.dtype)
            self.launch("loss.cu", "loss_partial", (blocks,), (THREADS,), (parts, sums, count), scalar_t=dtype)
            parts, count = sums, blocks
        args = (parts, result, count, _REDUCTIONS[reduction])
        self.launch("loss.cu", "loss_total", (1,), (_ONE_BLOCK,), args, scalar_t=dtype)
        return result

    def _label_weights(
        self, labels: Array, weight: Array | None, classes: int, reduction: str, ignore_index: int, dtype: Any
    ) -> tuple[Array | None, int]:
        """Sums of the labels' weights, which a mean is over, and their number; None where each block makes them."""
        if reduction != "mean" or labels.size <= _ADDED_IN_EACH_BLOCK:
            return None, 0
        blocks = min(ceil_div(labels.size, 8 * THREADS), _MOST_PARTS)
        sums = self.empty((blocks,), accumulator(dtype))
        args = (labels, weight, sums, labels.size, classes, ignore_index)
        self.launch("loss.cu", "label_weights", (blocks,), (THREADS,), args, scalar_t=dtype)
        return sums, blocks


def _no_class(shape: tuple[int, ...], classes: int, ignore_index: int, name: str) -> Complain:
    """Raises the error of the CPU about a label."""

    def complain(value: int, place: int) -> NoReturn:
        given = _with_one_element(shape, np.int64, value, place)
        on_the_cpu._labels(given, classes, ignore_index, (given.size, 1), name)
        raise AssertionError("a label that is a class was refused")

    return complain


def _with_one_element(shape: tuple[int, ...], dtype: Any, value: Any, place: int) -> Any:
    """A NumPy array of zeros with one element set."""
    array = np.zeros(shape, dtype)
    array.reshape(-1)[place] = value
    return array


def _folded(x: Array) -> tuple[int, int, int]:
    """Rows, classes, and the distance of the elements of a row, for logits (n, classes, ...) or (classes,)."""
    axis = min(x.ndim - 1, 1)
    classes, inner = x.shape[axis], prod(x.shape[axis + 1 :])
    return prod(x.shape[:axis]) * inner, classes, inner


def _team(classes: int, inner: int) -> str:
    return CROSS_ENTROPY.pick("naive" if inner > 1 else team_for(classes))


def _one_block(team: str, rows: int) -> tuple[int, ...] | None:
    """The block that holds the teams of all rows, if it is no larger than a block may be."""
    if team == "naive" and 0 < rows <= _ONE_BLOCK:
        return (ceil_div(rows, 32) * 32,)
    if team == "warp" and 0 < rows <= _ONE_BLOCK // 32:
        return (32, rows)
    return (THREADS,) if team == "block" and rows == 1 else None
