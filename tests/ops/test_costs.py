"""What ops cost, counted by hand: arithmetic, and bytes read and written."""

import pytest

import gpunn
from gpunn.ops.avg_pool import AvgPool2d
from gpunn.ops.images import GatherImages
from gpunn.ops.pool import MaxPool2d


def spec(*shape, dtype=gpunn.float32):
    return gpunn.zeros(*shape, dtype=dtype)._spec


COSTS = [
    # 5 of 10 images of 48 bytes; their numbers, scale and shift; 240 floats, a product and a sum each
    (
        GatherImages(gpunn.float32),
        (spec(10, 3, 4, 4, dtype=gpunn.uint8), spec(5, dtype=gpunn.int64), spec(3), spec(3)),
        2 * 240,
        5 * 48 + 5 * 8 + 12 + 12 + 240 * 4,
    ),
    # 8 windows of 4 elements; 32 floats in, 8 out, and 8 bytes that say which was the largest
    (MaxPool2d((2, 2), (2, 2)), (spec(1, 2, 4, 4),), 8 * 4, 32 * 4 + 8 * 4 + 8),
    # The same windows, of which one number comes
    (AvgPool2d((2, 2), (2, 2)), (spec(1, 2, 4, 4),), 8 * 4, 32 * 4 + 8 * 4),
]


@pytest.mark.parametrize(("op", "inputs", "flop", "moved"), COSTS, ids=lambda value: getattr(value, "name", ""))
def test_costs(op, inputs, flop, moved):
    cost = op.cost(*inputs)
    assert (cost.flop, cost.bytes) == (flop, moved)
