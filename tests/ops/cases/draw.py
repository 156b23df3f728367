"""Cases of `gpunn.ops.draw`: the numbers are NumPy's at that place of Philox."""

import numpy as np

from gpunn.autograd.tape import apply
from gpunn.backend.device import get_default_device
from gpunn.backend.dtypes import as_dtype
from gpunn.ops.draw import Draw
from gpunn.random import integers, normal, permutation, uniform

from ..harness import add


def place(call):
    bits = np.random.Philox(key=np.array([7, 0], np.uint64), counter=np.array([0, call, 0, 0], np.uint64))
    return np.random.Generator(bits)


def drawn(sample, options, size, dtype, call=3):
    return lambda: apply(Draw(size, as_dtype(dtype), get_default_device(), sample, options, 7), call)


f32, f64 = as_dtype("float32"), as_dtype("float64")
add("draw-uniform", drawn(uniform, (f32,), (3, 4), f32), reference=lambda: place(3).random((3, 4), np.float32))
add("draw-uniform64", drawn(uniform, (f64,), (5,), f64), reference=lambda: place(3).random(5))
add("draw-normal", drawn(normal, (f32,), (9,), f32), reference=lambda: place(3).standard_normal(9, np.float32))
add("draw-empty", drawn(normal, (f32,), (0, 3), f32), reference=lambda: np.zeros((0, 3)))
add("draw-integers", drawn(integers, (-3, 8), (20,), "int32", 0), reference=lambda: place(0).integers(-3, 8, 20))
add("draw-integers-as-floats", drawn(integers, (0, 9), (), f32), reference=lambda: place(3).integers(0, 9))
add("draw-permutation", drawn(permutation, (), (11,), "int64"), reference=lambda: place(3).permutation(11))
