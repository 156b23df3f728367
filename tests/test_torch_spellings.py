"""What programs for PyTorch write, and what it means here."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim


def test_subpackages_are_there_behind_a_bare_import():
    code = """
import gpunn
print(gpunn.utils.data.DataLoader.__name__, gpunn.utils.checkpoint.checkpoint.__name__, gpunn.nn.utils.clip_grad_norm_)
print(gpunn.optim.lr_scheduler.StepLR.__name__, gpunn.optim.swa_utils.SWALR.__name__, gpunn.nn.functional.relu)
print(gpunn.backends.cudnn.benchmark, gpunn.accelerator.is_available(), gpunn.FloatTensor.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("DataLoader checkpoint") and "False" in done.stdout and not done.stderr


def test_old_constructors(torch):
    for name, data in (("FloatTensor", [1, 2.5]), ("LongTensor", [1, 2]), ("ByteTensor", [1]), ("BoolTensor", [True])):
        ours, theirs = getattr(gpunn, name)(data), getattr(torch, name)(data)
        assert ours.tolist() == theirs.tolist() and str(ours.dtype)[6:] == str(theirs.dtype)[6:]
        assert getattr(gpunn, name)(2, 3).shape == getattr(torch, name)(2, 3).shape
        assert getattr(gpunn, name)(np.int64(2), 3).shape == getattr(torch, name)(np.int64(2), 3).shape
    assert gpunn.Tensor(2, 3).shape == torch.Tensor(2, 3).shape and gpunn.Tensor().shape == torch.Tensor().shape
    for name in ("FloatTensor", "LongTensor", "Tensor"):
        ours, theirs = (getattr(t, name)(t.zeros(2, 0, 3).shape).shape for t in (gpunn, torch))
        assert ours == tuple(theirs) and isinstance(ours, gpunn.Size) and ours.numel() == 0
        assert getattr(gpunn, name)(gpunn.tensor(1.0).size()).shape == ()
        with pytest.raises(TypeError, match=r"write \w+\(\[2, 3\]\) for elements, \w+\(2, 3\) for a size"):
            getattr(gpunn, name)((2, 3))
    assert gpunn.Tensor([2, 3]).tolist() == torch.Tensor([2, 3]).tolist()
    with pytest.raises(TypeError, match="elements, as a list, or a size"):
        gpunn.Tensor([1], [2])
    with pytest.raises(TypeError, match="LongTensor takes elements"):
        gpunn.LongTensor([1], [2])
    with pytest.raises(TypeError, match="FloatTensor takes elements"):
        gpunn.FloatTensor(2.5)


def test_saving_into_an_open_file(tmp_path):
    model = nn.Linear(2, 3)
    file = io.BytesIO()
    gpunn.save({"model": model.state_dict(), "epoch": 3}, file)
    file.seek(0)
    found = gpunn.load(file, weights_only=False)
    assert found["epoch"] == 3 and found["model"]["weight"].tolist() == model.weight.tolist()
    with open(tmp_path / "x.pt", "wb") as f:
        gpunn.save(model.state_dict(), f)
    assert list(gpunn.load(tmp_path / "x.pt")) == ["weight", "bias"]
    with open(tmp_path / "x.pt", encoding="latin-1") as f, pytest.raises(TypeError, match="mode 'rb'"):
        gpunn.load(f)
    with pytest.raises(TypeError, match="a path or a file that is open for bytes, got int"):
        gpunn.save({}, 3)
    gpunn.save({"shape": model.weight.shape}, file := io.BytesIO())
    file.seek(0)
    assert gpunn.load(file) == {"shape": (3, 2)}
    for place, said in (
        (model, r"the object is a .*Linear, whose.*save\(model\.state_dict\(\), f\).*model\.load_state_dict"),
        ({"net": [model]}, r"net\.0 is a .*Linear, whose class a file can't hold"),
        (optim.SGD(model.parameters(), 0.1), r"the object is a .*SGD, .*optimizer\.load_state_dict"),
    ):
        with pytest.raises(TypeError, match=said):
            gpunn.save(place, io.BytesIO())


def test_hints_for_implementations_change_nothing():
    p = gpunn.ones(2, requires_grad=True)
    for cls in (optim.SGD, optim.Adam, optim.AdamW, optim.Adagrad, optim.RMSprop, optim.NAdam):
        assert cls([p], foreach=True, fused=None, capturable=True, differentiable=False).defaults == cls([p]).defaults
    with pytest.raises(RuntimeError, match="differentiable=True"):
        optim.Adam([p], differentiable=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'fussed'"):
        optim.Adam([p], fussed=True)


def test_allow_tf32_is_the_precision_of_products():
    """As in PyTorch 2.13, whose two ways to say it are one setting."""
    products = gpunn.backends.cuda.matmul
    for allowed, precision in ((True, "high"), (False, "highest")):
        products.allow_tf32 = allowed
        assert (products.allow_tf32, gpunn.get_float32_matmul_precision()) == (allowed, precision)
    gpunn.set_float32_matmul_precision("medium")
    try:
        assert products.allow_tf32
    finally:
        gpunn.set_float32_matmul_precision("highest")


def test_switches_of_libraries_that_are_not_used():
    gpunn.backends.cudnn.benchmark = True
    gpunn.backends.cudnn.benchmark = False
    with pytest.raises(AttributeError, match="no switch 'allow_tf16'"):
        gpunn.backends.cuda.matmul.allow_tf16 = True
    assert gpunn.backends.cuda.is_available() == gpunn.cuda.is_available()
    assert not gpunn.backends.mps.is_available() and gpunn.backends.cudnn.version() is None
    with pytest.raises(AttributeError, match="no switch 'benchmrk'; it has enabled, benchmark"):
        gpunn.backends.cudnn.benchmrk = True


def test_accelerator_without_a_gpu():
    if gpunn.cuda.is_available():
        pytest.skip("there is a GPU")
    assert gpunn.accelerator.current_accelerator() is None and gpunn.accelerator.device_count() == 0
    gpunn.accelerator.synchronize()
    gpunn.accelerator.empty_cache()
    with pytest.raises((RuntimeError, ImportError), match=r"CuPy|GPU|CUDA"):
        gpunn.accelerator.current_device_index()


def test_marks_for_the_compilers_of_torch_change_nothing():
    def f(x):
        return x + 1

    for mark in (gpunn.jit.unused, gpunn.jit.ignore, gpunn.jit.ignore(drop=True), gpunn.jit.export, gpunn.fx.wrap):
        assert mark(f) is f
    assert not gpunn.jit.is_scripting() and not gpunn.jit.is_tracing() and gpunn.jit.annotate(int, 3) == 3
    gpunn._assert(True, "")
    with pytest.raises(AssertionError, match="a picture has 3 channels"):
        gpunn._assert(False, "a picture has 3 channels")
    with pytest.raises(NotImplementedError, match=r"jit\.script: gpunn has no TorchScript"):
        gpunn.jit.script(f)
