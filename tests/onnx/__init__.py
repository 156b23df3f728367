"""ONNX in and out.

``python -m tests.onnx`` writes `docs/onnx.md` anew: what gpunn computes of ONNX's operators, by the tests of the ONNX
project.
"""
