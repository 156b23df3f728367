"""What ops cost, counted by hand: arithmetic, and bytes read and written."""

import pytest

import gpunn
from gpunn.ops.attention import AttentionBackward
from gpunn.ops.avg_pool import AvgPool2d
from gpunn.ops.further.factor import Inverse
from gpunn.ops.gather import ScatterSum
from gpunn.ops.images import GatherImages
from gpunn.ops.pool import MaxPool2d


def spec(*shape, dtype=gpunn.float32):
    return gpunn.zeros(*shape, dtype=dtype)._spec


ATTENTION = (
    *(spec(2, 3, 6), spec(2, 3, 4), spec(2, 5, 4), spec(2, 5, 6)),
    *(spec(3, 5), spec(2, 3, 6), spec(2, 3), None),
)

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
    # 6 numbers of 4 bytes, added up in the places of 6 of 8 bytes, among 10
    (ScatterSum(0, (5, 2)), (spec(3, 2), spec(3, 2, dtype=gpunn.int64)), 6, 6 * 4 + 6 * 8 + 10 * 4),
    # 2 matrices of 3 x 3: 3^3 each; read, and their inverses written
    (Inverse(), (spec(2, 3, 3),), 2 * 27, 2 * 18 * 4),
    # The same windows, of which one number comes
    (AvgPool2d((2, 2), (2, 2)), (spec(1, 2, 4, 4),), 8 * 4, 32 * 4 + 8 * 4),
    # 2 x 3 queries of size 4 on 5 keys, values of size 6: products over 4, 6, 4, 4 and 6, and 5 operations a score more
    (AttentionBackward(0.5, False, (True, True, True)), ATTENTION, (2 * 24 + 5) * 30, 4 * (36 + 2 * 124 + 15 + 36 + 6)),
    # Query i looks at i + 1 keys, and the gradient of the keys alone is wanted: over 4, 6, and 4
    (
        AttentionBackward(0.5, True, (False, True, False)),
        ATTENTION,
        (2 * 14 + 5) * 12,
        4 * (36 + 124 + 15 + 36 + 6 + 40),
    ),
]


@pytest.mark.parametrize(("op", "inputs", "flop", "moved"), COSTS, ids=lambda value: getattr(value, "name", ""))
def test_costs(op, inputs, flop, moved):
    cost = op.cost(*inputs)
    assert (cost.flop, cost.bytes) == (flop, moved)
