"""Loops over elements stride by the grid, so any grid is right: tests of kernels once more, in one block of a warp.

The host launches enough threads for all elements, unless there are more than a grid holds; so the second turn of a loop
is never taken where arrays are small.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from gpunn.backend import launch
from gpunn.backend.kernel_texts import kernel_names, kernel_text
from gpunn.backend.signature import signatures

from . import (
    test_activation,
    test_conv,
    test_dropout,
    test_elementwise,
    test_embedding,
    test_im2col,
    test_indexing,
    test_linear,
    test_loss,
    test_matmul,
    test_memory,
    test_order,
    test_pool,
    test_pool_channels_last,
    test_rearrange,
)

CALLS: dict[str, tuple[str, Callable[[], object]]] = {
    "activation": (
        "activation_backward activation_forward",
        lambda: (test_activation.test_forward("elu"), test_activation.test_backward("elu", False)),
    ),
    "arange": ("arange", lambda: test_memory.test_arange("float64")),
    "avg_pool": (
        "avg_pool avg_pool_backward",
        lambda: test_pool.test_avg_pool_of_any_windows(test_pool.UNDILATED["overlapping"], True, None),
    ),
    "max_pool, channels last": (
        "max_pool_backward_channels_last max_pool_channels_last max_pool_slope_channels_last",
        lambda: (
            test_pool_channels_last.test_any_windows(test_pool.ALL["overlapping"]),
            test_pool_channels_last.test_behind_an_activation("halves"),
        ),
    ),
    "adaptive_avg_pool": ("adaptive_avg_pool_backward", lambda: test_pool.test_adaptive_avg_pool((5, 7), (2, 3))),
    "binary": ("binary", lambda: test_elementwise.test_two_floats("subtract")),
    "binary, by rows": (
        "binary_rows compare_rows has_property copy_strided unary where_rows",
        lambda: test_elementwise.test_views(),
    ),
    "binary cross entropy": (
        "binary_cross_entropy binary_cross_entropy_with_logits",
        lambda: test_loss.test_binary_cross_entropy((70, 70), "float32"),
    ),
    "compare": ("compare", lambda: test_elementwise.test_relations("less")),
    "where": ("where", lambda: test_elementwise.test_where()),
    "clip": ("clip", lambda: test_elementwise.test_clip((-0.5, 0.5))),
    "conv2d": (
        "col2im_steps conv2d_add_parts conv2d_forward_naive conv2d_input_grad_naive conv2d_weight_grad_naive "
        "im2col_patches add_parts",
        lambda: test_conv.test_any_windows(test_conv.WINDOWS["padding"]),
    ),
    "im2col, col2im": (
        "col2im_naive col2im_windows im2col_naive",
        lambda: test_im2col.test_any_windows(test_im2col.WINDOWS["padding"]),
    ),
    "copy": (
        "copy_vectors",
        lambda: (
            test_memory.test_copies_of_views(lambda x: x),
            test_memory.test_copies_of_views(lambda x: x[:, 1::2, ::3]),
        ),
    ),
    "dropout": ("dropout_naive dropout_octets", lambda: test_dropout.test_shapes_and_types((8, 64), "float32")),
    "embedding_backward": (
        "embedding_backward_naive embedding_backward_sorted gather index_keys",
        lambda: test_embedding.test_rows_and_their_gradients((70,), 1, 5),
    ),
    "full, eye": ("eye fill", lambda: test_memory.test_arrays_made_of_nothing("float32")),
    "gather_images": ("gather_images_naive gather_images_vectorised", lambda: test_embedding.test_many_images()),
    "one_hot": ("one_hot", lambda: test_embedding.test_one_hot("int64")),
    "index": ("put_naive put_sorted sum_naive sum_sorted join_indices", lambda: test_indexing.test_any_axes((0, 2))),
    "linear": (
        "linear_input_grad_naive linear_weight_grad_naive",
        lambda: test_linear.test_backward((37, 19, 23), (True, True, True)),
    ),
    "linear, forward": ("linear_forward_naive", lambda: test_linear.test_forward((37, 19, 23))),
    "matmul": ("matmul_naive", lambda: test_matmul.test_batches_are_broadcast((2, 3, 4), (2, 4, 5))),
    "max_pool": (
        "max_pool_backward_naive max_pool_gather max_pool_indices max_pool_naive",
        lambda: test_pool.test_max_pool_of_any_windows(test_pool.ALL["overlapping"]),
    ),
    "max_pool, in pairs": (
        "max_pool_backward_pairs max_pool_pairs",
        lambda: test_pool.test_max_pool_of_any_windows(test_pool.ALL["halves"]),
    ),
    "max_pool, and what is before": (
        "max_pool_slope",
        lambda: test_pool.test_an_activation_in_front_of_max_pooling(("tanh", 0.0), "halves"),
    ),
    "sort": ("order_keys order_results", lambda: test_order.test_any_axis((3, 300), 1)),
    "order": ("sort_step", lambda: test_order.test_rows_of_more_than_a_tile()),
    "triangle": ("triangle", lambda: test_rearrange.test_triangles_of_other_types("float64")),
}
"""Tests, and the kernels that each is here for."""


@cache
def strides(text: str, kernel: str) -> bool:
    """Whether a kernel goes over elements by the grid, and its threads have nothing to do with one another."""
    body = re.search(rf"__global__[^{{;]*\b{kernel}\(.*?\n\}}", kernel_text(text), re.DOTALL)
    assert body, f"{text} has no {kernel}"
    by_grid = re.search(r"\b(index|quad|row)_stride\(\)", body[0])
    return bool(by_grid) and not re.search(r"__shared__|__sync|threadIdx|blockDim|blockIdx", body[0])


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The kernels that were launched in one warp."""
    call, names = launch._Kernel.__call__, set()

    def in_one_warp(self: Any, grid: Any, block: Any, args: Any, shared_mem: int) -> None:
        if self.text in kernel_names() and strides(self.text, self.signature.name):
            names.add(self.signature.name)
            grid, block = (1, 1, 1), (32, 1, 1)
        call(self, grid, block, args, shared_mem)

    monkeypatch.setattr(launch._Kernel, "__call__", in_one_warp)
    return names


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_one_warp_does_all(name: str, launched: set[str]) -> None:
    kernels, call = CALLS[name]
    call()
    assert set(kernels.split()) <= launched


def test_all_such_kernels_are_tried() -> None:
    texts = [text for text in kernel_names() if text.endswith(".cu")]
    such = {name for text in texts for name in signatures(kernel_text(text)) if strides(text, name)}
    assert such == {name for kernels, _ in CALLS.values() for name in kernels.split()}
