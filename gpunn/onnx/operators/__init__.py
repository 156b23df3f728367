"""One file for a family: its ops as ONNX operators, and ONNX operators as calls of gpunn, side by side.

What operators compute is defined in https://onnx.ai/onnx/operators/, which is the source of the formulas here.
"""

from . import (
    activation,
    attention,
    boxes,
    elementwise,
    flow,
    indexing,
    layers,
    logic,
    loss,
    norm,
    pool,
    products,
    quantized,
    recurrent,
    reduction,
    sequence,
    shapes,
    signals,
)
from .table import FROM_ONNX as FROM_ONNX
from .table import TO_ONNX as TO_ONNX
from .table import Operator as Operator
