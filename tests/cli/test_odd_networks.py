"""The commands that look at a network say what is odd about it."""

from __future__ import annotations

import pytest

NETWORKS = """
import gpunn
from gpunn import nn

def none(shape, outputs):
    return nn.Flatten()

def frozen(shape, outputs):
    return nn.Linear(4, outputs).requires_grad_(False)

class Two(nn.Linear):
    def forward(self, x):
        return super().forward(x), x

def two(shape, outputs):
    return Two(4, outputs)

class Detached(nn.Linear):
    def forward(self, x):
        return super().forward(x).detach()

def detached(shape, outputs):
    return Detached(4, outputs)

class Zero(nn.Linear):
    def forward(self, x):
        return super().forward(x).sum()

def zero(shape, outputs):
    return Zero(4, outputs)

def double(shape, outputs):
    return nn.Linear(4, outputs).double()

def words(shape, outputs):
    return nn.Sequential(nn.Embedding(5, 8), nn.Flatten(), nn.Linear(8 * shape[0], outputs))

def normed(shape, outputs):
    return nn.Sequential(nn.Linear(4, outputs), nn.BatchNorm1d(outputs))
"""


@pytest.fixture
def told(gpunn_command, tmp_path):
    (tmp_path / "net.py").write_text(NETWORKS)

    def call(command, network, *more):
        return gpunn_command(command, "--model", f"net.py:{network}", "--input", "4", "--classes", "3", *more)

    return call


@pytest.mark.parametrize("command", ["explain", "draw", "memory", "compare"])
@pytest.mark.parametrize("network", ["none", "frozen"])
def test_nothing_to_train(told, command, network) -> None:
    found = told(command, network)
    assert found.code != 0
    assert "no parameter" in found.err
    assert "requires a gradient" in found.err


@pytest.mark.parametrize("command", ["explain", "draw", "memory"])
def test_several_results(told, command) -> None:
    found = told(command, "two")
    assert found.code == 1
    assert "CrossEntropyLoss takes a tensor, got a tuple with 2 entries; pick one, as y[0]" in found.err


def test_no_way_from_the_loss(told) -> None:
    assert "the loss depends on no parameter" in told("explain", "detached").err


def test_a_result_without_dimensions(told) -> None:
    found = told("gradcheck", "zero")
    assert found.code == 2
    assert "the network gives float32[]; cross_entropy takes (batch, classes, ...)" in found.err


@pytest.mark.parametrize("command", ["gradcheck", "compare", "memory", "explain", "draw"])
def test_float64(told, command) -> None:
    assert told(command, "double").code == 0


def test_float64_takes_twice_as_much(told, tmp_path) -> None:
    found = told("memory", "double", "--batch-size", "5", "--json").json
    assert found["batch"] == 5 * 4 * 8 + 5 * 8
    assert found["parameters"] == 128 + 64  # W (3, 4) and b (3), at multiples of 64


def test_sizes_that_batch_norm_does_not_take_are_left_out(told) -> None:
    assert list(told("memory", "normed", "--batch-size", "4", "--json").json["by_batch_size"]) == ["4", "16", "64"]
    found = told("memory", "normed", "--batch-size", "1")
    assert found.code == 1
    assert "expected more than 1 value per channel" in found.err


def test_gradcheck_of_an_op_outside_of_its_domain(gpunn_command) -> None:
    """sqrt of numbers below 0 is no mistake in its gradient."""
    assert "--op sqrt is infinite or NaN" in gpunn_command("gradcheck", "--op", "sqrt", "--input", "5").err
    assert "did you mean" not in gpunn_command("gradcheck", "--op", "float32", "--input", "5").err


def test_the_way_of_a_weight_is_no_page(gpunn_command) -> None:
    found = gpunn_command("explain", "--weight", "W1[0,0]", "--html", "way.html")
    assert found.code == 2
    assert "leave out --html and --markdown, or --weight" in found.err


def test_each_variable_has_a_name_of_its_own(gpunn_command, tmp_path) -> None:
    """The weights of the second attention are views of one parameter too, which itself has a number: weight(2)."""
    (tmp_path / "net.py").write_text(
        "from gpunn import nn\n"
        "def make(shape, outputs):\n"
        "    attention = [nn.TransformerEncoderLayer(4, 2, 8, batch_first=True) for _ in range(3)]\n"
        "    return nn.Sequential(*attention, nn.Flatten(), nn.Linear(8, outputs))\n"
    )
    found = gpunn_command("explain", "--model", "net.py:make", "--input", "2,4", "--batch-size", "2", "--json").json
    names = [v["name"] for v in found["variables"]]
    assert len(names) == len(set(names))


def test_gradcheck_of_what_is_no_op(gpunn_command) -> None:
    assert "gpunn has no function ''" in gpunn_command("gradcheck", "--op", "", "--input", "3").err
    assert "no result is a tensor of floats" in gpunn_command("gradcheck", "--op", "no_grad", "--input", "3").err
    assert gpunn_command("gradcheck", "--op", "atleast_1d", "--input", "3").code == 0


@pytest.mark.parametrize("command", ["summary", "gradcheck", "compare", "memory", "explain", "draw"])
def test_whole_numbers(gpunn_command, tmp_path, command) -> None:
    (tmp_path / "net.py").write_text(NETWORKS)
    assert gpunn_command(command, "--model", "net.py:words", "--input", "int:6").code == 0
