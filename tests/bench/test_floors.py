"""What a step takes at least on a GPU, against sums by hand."""

import pytest

from gpunn.bench.floors import floor, known_gpu, step_bytes
from gpunn.bench.protocol import Effort, compare
from gpunn.bench.workloads import WORKLOADS
from gpunn.inspect.profile.gpus import gpu

W1, W4 = WORKLOADS["W1"], WORKLOADS["W4"]


def test_arithmetic_of_an_mlp():
    # 2 (3 (784 512 + 512 512 + 512 10) - 784 512) of a sample, at 66.9 TFLOP/s
    assert floor(W1, 4096, "sgd", gpu("H200")).arithmetic == pytest.approx(3_209_216 * 4096 / 66.9e6)


def test_bytes_of_an_mlp():
    parameters = 785 * 512 + 513 * 512 + 513 * 10
    sample = 784 + 2 * (512 + 512 + 10)
    assert step_bytes(W1, 7, "sgd") == 4 * (7 * sample + 4 * parameters)  # weights and momentum, read and written
    assert step_bytes(W1, 7, "adam") == 4 * (7 * sample + 6 * parameters)


def test_bytes_of_a_convolutional_network():
    maps = [6 * 28 * 28, 6 * 14 * 14, 16 * 10 * 10, 16 * 5 * 5, 120, 84, 10]
    assert step_bytes(W4, 1, "sgd") == 4 * (28 * 28 + 2 * sum(maps) + 4 * 61_706)


def test_what_stays_in_the_cache_comes_from_there():
    h200 = gpu("H200")
    small, large = (step_bytes(W1, batch, "sgd") for batch in (1024, 65536))
    assert small < 60 << 20 < large
    assert floor(W1, 1024, "sgd", h200).memory == pytest.approx(small / (4900 * 1980))
    assert floor(W1, 65536, "sgd", h200).memory == pytest.approx(large / 4.8e6)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("NVIDIA H200", "H200"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("Tesla T4", "T4"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA RTX A6000", "RTX A6000"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", None),
        ("NVIDIA GeForce GTX 1080", None),
        ("Simulated GPU", None),
    ],
)
def test_names_that_drivers_give(name, known):
    found = known_gpu(name)
    assert (found and found.name) == known


def test_rows_have_the_floor_of_a_gpu():
    effort = Effort(rounds=1, blocks=1, block_seconds=0.001, budget_seconds=0.1)
    (row,) = compare("W3", [4], ["gpunn"], effort=effort, gpu=gpu("T4"))
    # 4 (4 (64 + 2 5 64) + 4 (5 65 64)) bytes at 884 a clock of 1,590 MHz; 2 (3 5 - 1) 64^2 4 FLOP at 8.1 TFLOP/s
    assert row["floor"] == "memory"
    assert row["floor_microseconds"] == pytest.approx(4 * (4 * 704 + 4 * 20_800) / (884 * 1590))
    assert row["share_of_floor"] == pytest.approx(row["floor_microseconds"] / row["microseconds"])
    assert floor(WORKLOADS["W3"], 4, "sgd", gpu("T4")).arithmetic == pytest.approx(2 * 14 * 64**2 * 4 / 8.1e6)
