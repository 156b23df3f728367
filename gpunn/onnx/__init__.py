"""ONNX in and out, through the library onnx (``pip install 'gpunn[onnx]'``).

`export` writes a network as a graph of ONNX operators; `load` reads such a file as a module that can be trained.
"""

from gpunn.onnx.export import export
from gpunn.onnx.graph import UnsupportedOperator
from gpunn.onnx.module import OnnxModule, load
from gpunn.onnx.writer import ExportError

__all__ = ["export", "load", "ExportError", "OnnxModule", "UnsupportedOperator"]
