"""finfo and iinfo, against PyTorch's."""

import pytest

import gpunn


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_finfo(torch, name):
    ours, theirs = gpunn.finfo(getattr(gpunn, name)), torch.finfo(getattr(torch, name))
    for attribute in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution", "dtype"):
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute
    assert str(ours) == str(theirs)


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64"])
def test_iinfo(torch, name):
    ours, theirs = gpunn.iinfo(getattr(gpunn, name)), torch.iinfo(getattr(torch, name))
    for attribute in ("bits", "max", "min", "dtype"):
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute


def test_other_types():
    assert gpunn.finfo().dtype == "float32"
    with pytest.raises(TypeError, match=r"gpunn\.iinfo"):
        gpunn.finfo(gpunn.int64)
    with pytest.raises(TypeError, match="requires an integer"):
        gpunn.iinfo(gpunn.float32)


def test_limits_of_one_type_are_equal():
    assert gpunn.finfo(gpunn.float32) == gpunn.finfo() != gpunn.finfo(gpunn.float64)
    assert gpunn.iinfo(gpunn.int8) == gpunn.iinfo(gpunn.int8) != gpunn.iinfo(gpunn.uint8)
