"""What picks elements by their values: in Python, since how many there are depends on them."""

from __future__ import annotations

from typing import Any

import numpy as np

import gpunn

from .table import from_onnx


@from_onnx("Unique", host=(0,))
def _unique(node: Any, x: Any) -> Any:
    """The different elements, or slices; where each is first, which of them each element is, how many there are."""
    found, first, which, counts = np.unique(x, True, True, True, axis=node.get("axis"))
    which = which.reshape(-1)
    if not node.get("sorted", 1):  # in the order in which they come
        order = np.argsort(first)
        axis = node.get("axis") or 0
        found, first, counts = np.take(found, order, axis), first[order], counts[order]
        which = np.argsort(order)[which]
    return found, first.astype(np.int64), which.astype(np.int64), counts.astype(np.int64)


@from_onnx("NonZero")
def _non_zero(node: Any, x: Any) -> Any:
    return gpunn.nonzero(x).T


@from_onnx("Compress", host=(1,))
def _compress(node: Any, x: Any, condition: Any) -> Any:
    axis = node.get("axis")
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    where = np.flatnonzero(condition)
    return gpunn.index_select(x, axis, gpunn.tensor(where, dtype=gpunn.int64, device=x.device))


def _overlap(box: Any, others: Any) -> Any:
    """The area that boxes (low, low, high, high) share with others, over that of both together."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return shared / np.where(areas - shared > 0, areas - shared, np.inf)


@from_onnx("NonMaxSuppression", host=(0, 1, 2, 3, 4))
def _non_max_suppression(
    node: Any, boxes: Any, scores: Any, most: Any = None, near: Any = None, least: Any = None
) -> Any:
    """Of boxes that overlap the one with the highest score: rows (sample, class, box)."""
    count, limit = (default if v is None or not v.size else v.item() for v, default in ((most, 0), (near, 0.0)))
    if node.get("center_point_box", 0):
        boxes = np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)
    corners = np.concatenate(
        [np.minimum(boxes[..., :2], boxes[..., 2:]), np.maximum(boxes[..., :2], boxes[..., 2:])], -1
    )
    rows = []
    for sample, kind in np.ndindex(*scores.shape[:2]):
        values = scores[sample, kind]
        left = np.argsort(-values, kind="stable")
        left = left if least is None or not least.size else left[values[left] > least.item()]
        chosen = 0
        while left.size and chosen < count:
            rows.append((sample, kind, left[0]))
            own = corners[sample]
            left, chosen = left[1:][_overlap(own[left[0]], own[left[1:]]) <= limit], chosen + 1
    return np.asarray(rows, np.int64).reshape(-1, 3)
