"""Every launch is checked: what CUDA would read as garbage is an error that says what came and what is expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
import pytest

import gpunn
from gpunn.backend import launch
from gpunn.backend.kernel.family import layout
from gpunn.backend.launch import Launcher, LaunchError, compile_options

TEXT = """
// compiled for scalar_t = float32, float16, bfloat16
extern "C" __global__ void __launch_bounds__(256) f(
    const float* __restrict__ x,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    Layout layout, int n, long long count, bool flag, acc_t scale) {}
extern "C" __global__ void strange(float4* __restrict__ x) {}
extern "C" __global__ void also_strange(Layout* __restrict__ x) {}
"""
PLAIN = 'extern "C" __global__ void plain(float* __restrict__ x, unsigned char* __restrict__ bits) {}'


class Module:
    """A compiled module that notes how it is made and called."""

    made: ClassVar[list[Module]] = []

    def __init__(self, code: str, options: tuple[str, ...]) -> None:
        self.code, self.options, self.calls = code, options, []
        Module.made.append(self)

    def get_function(self, name: str) -> Any:
        return lambda grid, block, args, shared_mem: self.calls.append((name, grid, block, args, shared_mem))


@pytest.fixture
def launcher(monkeypatch) -> Launcher:
    texts = {"t.cu": TEXT, "plain.cu": PLAIN}
    monkeypatch.setattr(launch, "kernel_text", texts.__getitem__)
    monkeypatch.setattr(launch, "kernel_folder", lambda: Path("/kernels"))
    Module.made.clear()
    return Launcher(Module, np.ndarray)


X = np.zeros((2, 3), np.float32)
LAYOUT = layout((2, 3), (3, 1))
ARGUMENTS = {"x": X, "bias": None, "y": X.copy(), "layout": LAYOUT, "n": 3, "count": 2**40, "flag": True, "scale": 0.5}


def call(launcher: Launcher, grid=(1,), block=(32,), scalar_t: Any = np.float32, **changed: Any) -> None:
    launcher("t.cu", "f", grid, block, tuple((ARGUMENTS | changed).values()), scalar_t=scalar_t)


def test_a_right_call_arrives_converted(launcher: Launcher) -> None:
    call(launcher, grid=[4, 2], n=np.int64(3), scale=1)
    (module,) = Module.made
    assert module.code.startswith('#line 1 "t.cu"\n\n// compiled for')
    assert module.options == ("-std=c++17", "-Dscalar_t=float", "-I/kernels")
    ((name, grid, block, args, shared_mem),) = module.calls
    assert (name, grid, block, shared_mem) == ("f", (4, 2), (32,), 0)
    assert [type(a) for a in args[4:]] == [np.int32, np.int64, np.bool_, np.float32]
    assert args[0] is X
    assert args[1] is None


def test_a_module_is_made_once_for_each_choice_of_types(launcher: Launcher) -> None:
    for scalar_t in (np.float32, np.dtype("float32"), gpunn.float32, "float32"):
        call(launcher, scalar_t=scalar_t)
    assert len(Module.made) == 1
    half = np.zeros((2, 3), ml_dtypes.bfloat16)
    call(launcher, scalar_t=gpunn.bfloat16, bias=half, y=half)
    assert [m.options[1] for m in Module.made] == ["-Dscalar_t=float", "-Dscalar_t=bfloat16_t"]
    assert type(Module.made[1].calls[0][3][-1]) is np.float32  # acc_t of half precision
    assert compile_options({"b": "float64", "a": "bool"}) == ("-std=c++17", "-Da=bool", "-Db=double")


READ_ONLY = X.copy()
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("parameter", "given", "message"),
    [
        ("x", X.astype(np.float64), r"argument 1, 'const float\* x', takes an array of float32, got one of float64"),
        ("x", X.T, r"'const float\* x', takes a row-major array without gaps, got a view with strides \(4, 12\)"),
        ("x", X[:, ::2], "a view with strides .*; copy it first"),
        ("x", None, r"'const float\* x', takes an array of float32, got None"),
        ("x", gpunn.zeros(2), "takes an array of float32, got a gpunn.tensor.Tensor of gpunn.float32 and shape"),
        ("x", 3.0, r"takes an array of float32, got 3.0 \(float\)"),
        (
            "bias",
            X.astype(np.int32),
            r"argument 2, 'const scalar_t\* bias', takes an array of float32, got one of int32",
        ),
        ("bias", [1.0], "takes an array of float32 or None, got"),
        ("y", READ_ONLY, r"'scalar_t\* y', takes an array to write to, got one that is read-only"),
        ("layout", None, "'Layout layout', takes a Layout as a NumPy array of one element, got None"),
        ("layout", np.zeros(2, launch.STRUCTS["Layout"]), "takes a Layout as a NumPy array of one element"),
        (
            "layout",
            np.zeros(1, np.int64),
            "takes a Layout as a NumPy array of one element, got a numpy.ndarray of int64",
        ),
        ("n", 2**31, "an integer from -2147483648 to 2147483647 .int32., got 2147483648; sizes beyond 32 bits"),
        ("n", -(2**40), "sizes beyond 32 bits are not for this kernel"),
        ("n", 3.0, r"'int n', takes an integer \(int32\), got 3.0 \(float\)"),
        ("n", None, "takes an integer"),
        ("n", np.zeros(1, np.int32), "takes an integer"),
        (
            "count",
            2**63,
            "takes an integer from -9223372036854775808 to 9223372036854775807 .int64., got 9223372036854775808$",
        ),
        ("flag", 2, "takes an integer from 0 to 1 .bool., got 2"),
        ("scale", True, r"argument 8, 'acc_t scale', takes a number \(float32\), got True \(bool\)"),
        ("scale", "1", "takes a number .float32., got '1' .str."),
        ("scale", None, "takes a number"),
        ("scale", X, "takes a number .float32., got a numpy.ndarray of float32 and shape"),
    ],
)
def test_a_wrong_argument(launcher: Launcher, parameter: str, given: Any, message: str) -> None:
    with pytest.raises(LaunchError, match=message) as error:
        call(launcher, **{parameter: given})
    assert str(error.value).startswith("kernel f (t.cu): argument ")
    assert Module.made[0].calls == []


def test_a_wrong_number_of_arguments(launcher: Launcher) -> None:
    with pytest.raises(
        LaunchError, match=r"kernel f \(t.cu\): takes 8 arguments, got 2: f\(const float\* x, const scalar_t"
    ):
        launcher("t.cu", "f", (1,), (1,), (X, None), scalar_t=np.float32)


def test_arrays_of_another_kind_or_device(launcher: Launcher) -> None:
    class Array(np.ndarray):
        device = 0

    of_a_device = Launcher(Module, Array, lambda a: a.device, 0)
    mine, bits = X.view(Array), np.zeros(2, np.uint8).view(Array)
    of_a_device("plain.cu", "plain", (1,), (1,), (mine, bits))
    with pytest.raises(LaunchError, match=r"'float\* x', takes an array of float32, got a numpy.ndarray of float32"):
        of_a_device("plain.cu", "plain", (1,), (1,), (X, bits))
    mine.device = 1
    with pytest.raises(LaunchError, match="takes an array on device 0, got one on device 1"):
        of_a_device("plain.cu", "plain", (1,), (1,), (mine, bits))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"grid": (0,)}, r"kernel f \(t.cu\): a grid of \(0,\) blocks of \(32,\) threads; sizes are from 1 to"),
        ({"grid": (2**31,)}, "a grid of .2147483648,. blocks"),
        ({"grid": (1, 65536)}, "a grid of .1, 65536. blocks"),
        ({"grid": (1, 1, 65536)}, "a grid of .1, 1, 65536. blocks"),
        ({"grid": (1, 1, 1, 1)}, "a grid of .1, 1, 1, 1. blocks"),
        ({"block": (0,)}, "of .0,. threads"),
        ({"block": (1, 1, 65)}, "of .1, 1, 65. threads"),
        ({"block": (257,)}, r"kernel f \(t.cu\): a block of \(257,\) threads; it may have 256"),
        ({"block": (16, 17)}, "a block of .16, 17. threads; it may have 256$"),
    ],
)
def test_sizes_beyond_what_a_device_takes(launcher: Launcher, sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(launcher, **sizes)
    assert Module.made[0].calls == []


def test_a_block_without_a_bound_of_its_own(launcher: Launcher) -> None:
    args = (X, np.zeros(2, np.uint8))
    launcher("plain.cu", "plain", (2**31 - 1, 65535, 65535), (256,), args)
    with pytest.raises(
        ValueError, match=r"of \(257,\) threads; it may have 256, and more if the text had __launch_bounds__"
    ):
        launcher("plain.cu", "plain", (1,), (257,), args)


def test_more_shared_memory_than_usual_is_asked_for_once() -> None:
    asked: list[int] = []

    class Function:
        max_dynamic_shared_size_bytes = property(fset=lambda self, size: asked.append(size))

        def __call__(self, grid: Any, block: Any, args: Any, shared_mem: int) -> None:
            assert shared_mem <= max([49152, *asked])

    class Compiled:
        def get_function(self, name: str) -> Function:
            return Function()

    launcher = Launcher(lambda code, options: Compiled(), np.ndarray)
    for size in (0, 49152, 50000, 50000, 60000, 49152):
        launcher("fill.cu", "fill", (1,), (1,), (X.view(np.int32), 1, X.size), size, element_t=np.int32)
    assert asked == [50000, 60000]


@pytest.mark.parametrize("size", [-1, 227 * 1024 + 1])
def test_more_shared_memory_than_there_is(launcher: Launcher, size: int) -> None:
    args = (X, np.zeros(2, np.uint8))
    launcher("plain.cu", "plain", (1,), (1,), args, 49152)
    with pytest.raises(
        ValueError, match=rf"kernel plain .plain.cu.: {size} bytes of shared memory; there are from 0 to"
    ):
        launcher("plain.cu", "plain", (1,), (1,), args, size)


@pytest.mark.parametrize(
    ("text", "name", "types", "message"),
    [
        (
            "t.cu",
            "g",
            {"scalar_t": "float32"},
            "has no kernel 'g' that is extern \"C\"; it has f, strange, also_strange",
        ),
        ("t.cu", "f", {}, "t.cu is compiled for scalar_t, got none"),
        ("t.cu", "f", {"element_t": "float32"}, "t.cu is compiled for scalar_t, got element_t"),
        (
            "t.cu",
            "f",
            {"scalar_t": "float64"},
            "t.cu is compiled for scalar_t = float32, float16, bfloat16, not float64",
        ),
        ("plain.cu", "plain", {"scalar_t": "float32"}, "plain.cu is compiled for no type, got scalar_t"),
    ],
)
def test_an_unknown_kernel_or_type(launcher: Launcher, text: str, name: str, types: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        launcher(text, name, (1,), (1,), (), **types)
    assert Module.made == []


def test_an_unknown_text() -> None:
    with pytest.raises(ValueError, match=r"no kernel text 'linaer\.cu'; there are: .*linear\.cu"):
        Launcher(Module, np.ndarray)("linaer.cu", "f", (1,), (1,), ())


@pytest.mark.parametrize("name", ["strange", "also_strange"])
def test_a_parameter_of_a_type_that_the_host_does_not_know(launcher: Launcher, name: str) -> None:
    with pytest.raises(LaunchError, match=rf"kernel {name} \(t.cu\): the type of '\w+\* x' is not known here"):
        launcher("t.cu", name, (1,), (1,), (X,), scalar_t="float32")
