"""``gpunn export``: a trained network as a file for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gpunn
from gpunn import nn

from .common import RUN_HELP, add_command
from .errors import UsageError

EXAMPLE = """\
  gpunn export runs/digits-cnn-1                      as runs/digits-cnn-1/model.onnx
  gpunn export runs/digits-cnn-1 --out digits.onnx
  gpunn export runs/digits-cnn-1 --out digits.pt      its weights alone, for torch.load"""
WEIGHTS = (".pt", ".pth", ".safetensors", ".npz")


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help=RUN_HELP)
    out = f".onnx for the network, from inputs as they are in the data; {', '.join(WEIGHTS)} for its weights alone"
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"{out} (default: RUN/model.onnx)")
    parser.add_argument("--opset", type=int, metavar="N", help="version of ONNX's operators, from 18 on (default: 18)")


def run(options: argparse.Namespace) -> None:
    """Read the run, and write the file."""
    from .trained import load_trained

    out = options.run_folder / "model.onnx" if options.out is None else options.out
    suffix = out.suffix.lower()
    if suffix not in (".onnx", *WEIGHTS):
        raise UsageError(f"--out {out}: expected the name of a file that ends in .onnx, {', '.join(WEIGHTS)}")
    trained = load_trained(options.run_folder, gpunn.device("cpu"))
    if suffix != ".onnx":
        gpunn.save(trained.model.state_dict(), out)
        print(f"{out}: {sum(p.numel() for p in trained.model.parameters()):,} parameters")
        return
    from gpunn import onnx
    from gpunn.models import reconstructs

    result = "y" if trained.classes is None or reconstructs(trained.model) else "scores"
    try:
        made = onnx.export(
            Whole(trained),
            gpunn.zeros(1, *trained.input_shape),
            out,
            input_names=["x"],
            output_names=[result],
            opset_version=options.opset,
            dynamic_axes={"x": {0: "batch"}},
        )
    except ValueError as error:
        raise UsageError(f"--opset: {error}") from None
    shape = ", ".join(map(str, ("batch", *trained.input_shape)))
    print(f"{out}: x ({shape}) -> {result}, {len(made.graph.node)} operators")


class Whole(nn.Module):
    """A trained network from inputs as they are in the data to results in their own units, or scores of classes."""

    def __init__(self, trained: Any):
        super().__init__()
        self.model = trained.model
        self.register_buffer("mean", gpunn.tensor(trained.mean, dtype=gpunn.float32))
        self.register_buffer("std", gpunn.tensor(trained.std, dtype=gpunn.float32))
        self.units = trained.units
        if trained.units is not None:
            self.register_buffer("target_mean", gpunn.tensor(trained.units[0], dtype=gpunn.float32))
            self.register_buffer("target_std", gpunn.tensor(trained.units[1], dtype=gpunn.float32))

    def forward(self, x: Any) -> Any:
        """Standardise, compute, and give results back in their units."""
        y = self.model((x - self.mean) / self.std)
        y = y[0] if isinstance(y, tuple) else y  # what a VAE gives besides is for its loss
        return y if self.units is None else y * self.target_std + self.target_mean
