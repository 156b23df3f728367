"""Cases of `gpunn.ops.all_reduce`: with one rank the sum is the tensor itself; `tests/parallel` has several."""

from gpunn.ops import all_reduce

from ..harness import add, normal

EVERY = ("float16", "bfloat16", "float32", "float64")

add("all_reduce", all_reduce, normal(3, 4), torch=lambda x: x.clone(), dtypes=EVERY)
add("all_reduce-strided", lambda x: all_reduce(x.T), normal(3, 4), torch=lambda x: x.T.clone())
