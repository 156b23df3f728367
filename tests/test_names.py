"""What gpunn shows that it has."""

import subprocess
import sys

import pytest

import gpunn


def test_dir_has_what_is_loaded_later_and_no_more():
    code = "import gpunn; print(*dir(gpunn))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    later = {"Trainer", "TrainStep", "EvalStep", "cuda", "datasets", "inspect", "io", "nn", "optim", "plan", "train"}
    assert later <= set(names)
    assert {"Tensor", "tensor", "matmul", "float32", "no_grad", "device", "save", "manual_seed"} <= set(names)
    assert not {"Any", "ops", "backend", "interchange", "printing"} & set(names)
    assert not [name for name in names if name.startswith("_")]
    assert names == sorted(names)


def test_all_of_it_is_there():
    for name in dir(gpunn):
        assert name == "newaxis" or getattr(gpunn, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = gpunn.no_such_name


@pytest.mark.parametrize(
    "size, text",
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (2**20 - 1, "1.0 MiB"),
        (3 * 2**29, "1.5 GiB"),
    ],
)
def test_sizes_in_binary_units(size, text):
    from gpunn.printing import bytes_text

    assert bytes_text(size) == text
    assert bytes_text(5 * 2**40) == "5.0 TiB"
