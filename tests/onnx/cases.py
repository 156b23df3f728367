"""The ONNX project's own tests of each operator, and what became of them."""

from __future__ import annotations

import re
import warnings
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx.backend.test.loader import load_model_tests

import gpunn
from gpunn.io import FileFormatError
from gpunn.onnx.operators import FROM_ONNX

TABLE = Path(__file__).parents[2] / "docs" / "onnx.md"
RANDOM = {
    "test_bernoulli", "test_bernoulli_double", "test_bernoulli_seed", "test_bernoulli_double_expanded",
    "test_bernoulli_expanded", "test_bernoulli_seed_expanded", "test_training_dropout", "test_training_dropout_mask",
    "test_training_dropout_default", "test_training_dropout_default_mask",
}  # fmt: skip
"""They have the numbers that NumPy's generator draws; of those that are drawn here, shapes and types are compared."""
WHY = {
    "ImageDecoder": "reads files of images",
    "StringConcat": "text", "StringNormalizer": "text", "StringSplit": "text", "RegexFullMatch": "text",
    "TfIdfVectorizer": "counts of words",
    "DeformConv": "gpunn has no deformable convolution",
    "RoiAlign": "gpunn has no pooling of regions",
    "GridSample": "gpunn has no grid_sample",
    "FlexAttention": "a preview: its definition is not settled",
    "Adagrad": "an optimizer: `gpunn.optim` has it", "Adam": "an optimizer: `gpunn.optim` has it",
    "Momentum": "an optimizer: `gpunn.optim` has it",
    "ArrayFeatureExtractor": "no network", "Binarizer": "no network", "LabelEncoder": "no network",
    "TreeEnsemble": "no network",
}  # fmt: skip
"""Why gpunn does not compute an operator."""


NO_TYPE = "gpunn has no tensors of "


class Outcome(NamedTuple):
    """What became of a test: `reason` says why it can't be run, and is empty where it passed."""

    name: str
    operator: str
    reason: str


@cache
def cases() -> list[Any]:
    """All tests of single operators."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(load_model_tests(kind="node"))


def operator_of(case: Any) -> str:
    """The operator that a test is of: where that is written out in others, the one that these make."""
    if "_expanded" in case.name and "_function_" in str(case.model.graph):
        return re.search(r"(\w+?)_test_\w+?_expanded\w*_function_", str(case.model.graph))[1]
    return str(case.model.graph.node[-1].op_type)


def run(case: Any) -> Outcome:
    """Run a test.

    Raises:
        AssertionError: a result is another one. Or what gpunn raises.
    """
    operator = operator_of(case)
    try:
        network = gpunn.onnx.load(case.model)
        for inputs, outputs in case.data_sets:
            found = network(*(_value(x) for x in inputs))
            found = found if isinstance(found, tuple) else (found,)
            assert len(found) >= len(outputs)
            for y, expected in zip(found, outputs):
                _check(case, y, expected)
    except FileFormatError as error:
        if missing := re.search(r"the operator (\w+)", str(error)):
            return Outcome(case.name, operator, WHY[missing[1]])
        return Outcome(case.name, operator, re.sub(r"^.*?gpunn has ", "gpunn has ", str(error)))
    return Outcome(case.name, operator, "")


def _value(x: Any) -> Any:
    """What a test is called with, for gpunn."""
    if isinstance(x, onnx.TensorProto):
        x = onnx.numpy_helper.to_array(x)
    if x is None or isinstance(x, list):
        return x if x is None else [_value(v) for v in x]
    array = np.asarray(x)
    if array.dtype.name not in {d.name for d in gpunn.backend.dtypes.DTYPES}:
        kind = "text" if array.dtype.kind in "OUS" else array.dtype.name
        raise FileFormatError(NO_TYPE + kind)
    return gpunn.tensor(array)


def _check(case: Any, found: Any, expected: Any) -> None:
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for y, e in zip(found, expected):
            _check(case, y, e)
        return
    if isinstance(expected, onnx.TensorProto):
        expected = onnx.numpy_helper.to_array(expected)
    if expected is None:
        assert found is None
        return
    found = np.asarray(found.detach() if isinstance(found, gpunn.Tensor) else found)
    expected = np.asarray(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if case.name in RANDOM:
        return
    if found.dtype.kind in "biu":
        np.testing.assert_array_equal(found, expected)
        return
    unit = float(gpunn.finfo(gpunn.backend.dtypes.as_dtype(found.dtype)).eps)
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    # The reference rounds too, in half precision after each operation: by a unit in the last place of the largest.
    np.testing.assert_allclose(found, expected, rtol=max(case.rtol, unit), atol=max(case.atol, unit * largest))


@cache
def versions() -> dict[str, set[int]]:
    """The versions at which each operator changed."""
    found: dict[str, set[int]] = defaultdict(set)
    for schema in onnx.defs.get_all_schemas_with_history():
        found[schema.name].add(schema.since_version)
    return found


def row(operator: str, outcomes: list[Outcome]) -> str:
    """A row of the table."""
    since = ", ".join(map(str, sorted(versions()[operator])))
    reasons = Counter(o.reason for o in outcomes if o.reason and not o.reason.startswith(NO_TYPE))
    why = [f"{n}: {reason}" for reason, n in reasons.most_common()]
    if types := Counter(o.reason.removeprefix(NO_TYPE) for o in outcomes if o.reason.startswith(NO_TYPE)):
        why.append(f"{types.total()}: {NO_TYPE}{', '.join(sorted(types))}")
    count = f"{sum(not o.reason for o in outcomes)} of {len(outcomes)}" if outcomes else "no tests"
    return f"| {operator} | {since} | {count} | {'; '.join(why)} |"


def table(outcomes: list[Outcome]) -> str:
    """The page of the docs."""
    of: dict[str, list[Outcome]] = {name: [] for name in FROM_ONNX}
    for outcome in outcomes:
        of.setdefault(outcome.operator, []).append(outcome)
    passed = sum(not o.reason for o in outcomes)
    lines = [row(name, of[name]) for name in sorted(of, key=str.lower)]
    return HEAD.format(version=onnx.__version__, passed=passed, all=len(outcomes)) + "\n".join(lines) + "\n"


HEAD = """\
# ONNX

`pip install 'gpunn[onnx]'` brings the library onnx, and with it

```python
import gpunn
from gpunn import nn

model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
gpunn.onnx.export(model, gpunn.ones(1, 8), "model.onnx", input_names=["x"], dynamic_axes={{"x": {{0: "batch"}}}})

network = gpunn.onnx.load("model.onnx")  # also what PyTorch or another library has exported
print(network(gpunn.ones(5, 8)).shape, list(network.state_dict()))
network.train()  # and on with TrainStep, Trainer or a loop of your own
```

`gpunn export RUN` writes the network of a run, from inputs as they are in the data to results in their own units. For a
file in the command line a function of two lines does: `def make(input_shape, outputs): return
gpunn.onnx.load("model.onnx")` in `net.py`, and `gpunn train --model net.py:make`. That is for
networks of standardised inputs, which `gpunn train` gives them.

`export` writes a network in evaluation mode, traced on tensors like those that it is given; `gpunn.onnx.load` makes a
module of a file. Parameters keep their keys both ways. A result that is random, or a loop over an open size, has no
place in the file: the error names it.

What is computed of the operators of ONNX {version}, by the ONNX project's own tests of single operators (kind `node`):
**{passed:,} of {all:,} pass**, and each of the others has its reason here. The versions are those at which an operator
changed. Operators that are made of others count for both spellings. Tests that draw random numbers have the shapes and
types compared; others are equal within the tests' own tolerance, or one unit in the last place of the largest element.
The table is written by `python -m tests.onnx`, and a test compares it.

| operator | versions | tests that pass | the others |
|---|---|---|---|
"""
