"""The ops: one small file per family; a shape rule, a forward, a gradient and a cost side by side.

Importing this registers them all; `OPS` maps names to classes. The functions here are what `Tensor`'s methods,
`gpunn.*` and `gpunn.nn.functional` are made of.
"""

from types import FunctionType

from gpunn.argument_names import with_other_names

from .activation import activate, elu, gelu, leaky_relu, relu, silu, softplus
from .adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from .all_reduce import all_reduce
from .arithmetic import (
    Add,
    abs,
    add,
    addcdiv,
    addcmul,
    div,
    floor_divide,
    fmod,
    lerp,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    reciprocal,
    remainder,
    sign,
    square,
    sub,
)
from .avg_pool import avg_pool1d, avg_pool2d, avg_pool3d
from .base import OPS, Cost, Op
from .batch_norm import batch_norm, instance_norm
from .cast import cast, cpu, cuda, to, transfer, type_as
from .chain import Chain
from .comparison import (
    allclose,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    clamp,
    clamp_max,
    clamp_min,
    eq,
    equal,
    ge,
    gt,
    isclose,
    isfinite,
    isinf,
    isnan,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    nan_to_num,
    ne,
    where,
)
from .composed.attention import *
from .composed.channels import *
from .composed.losses import *
from .composed.numbers import *
from .composed.products import *
from .composed.sets import *
from .composed.shapes import *
from .composed.statistics import *
from .composed.synonyms import *
from .composed_activation import (
    celu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    logsigmoid,
    mish,
    prelu,
    relu6,
    selu,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from .construct import as_tensor, from_dlpack, from_numpy, tensor
from .conv import conv1d, conv2d, conv2d_activation, conv_tbc
from .conv3d import conv3d, conv_transpose3d
from .conv_transpose import conv_transpose1d, conv_transpose2d
from .creation import arange, empty, empty_like, eye, full, full_like, linspace, ones, ones_like, zeros, zeros_like
from .cross_entropy import cross_entropy, nll_loss
from .diagonal import diag, diag_embed, diagonal, tril, triu
from .dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from .einsum import einsum
from .embedding import embedding, one_hot
from .gather import gather, scatter, scatter_add, take_along_dim
from .images import gather_images
from .indexing import getitem, setitem
from .join import cat, concat, concatenate, hstack, stack, vstack
from .linear import linear, linear_activation
from .loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    cosine_similarity,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from .math import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    cosh,
    erf,
    exp,
    exp2,
    expm1,
    log,
    log1p,
    log2,
    log10,
    rsqrt,
    sigmoid,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)
from .matmul import addmm, bmm, dot, matmul, mm, mv, outer
from .norm import group_norm, layer_norm, normalize, rms_norm
from .order import argmax, argmin, argsort, max, min, sort, topk
from .pad import pad
from .pool import max_pool1d, max_pool2d, max_pool3d
from .promote import result_type
from .rearrange import flip, meshgrid, repeat, repeat_interleave, roll, tile
from .reduction import all, amax, amin, any, count_nonzero, cumsum, logsumexp, mean, prod, std, sum, sum_to, var
from .rounding import ceil, floor, round, trunc
from .selection import index_add, index_select, masked_fill, masked_select, nonzero, take
from .slicing import chunk, narrow, select, split, tensor_split, unbind
from .softmax import log_softmax, softmax, softmin
from .unfold import fold, unfold
from .vector_norm import norm, vector_norm
from .view import (
    broadcast_to,
    clone,
    contiguous,
    expand,
    expand_as,
    flatten,
    identity,
    movedim,
    permute,
    reshape,
    squeeze,
    t,
    transpose,
    unflatten,
    unsqueeze,
    view,
)

for _name, _function in list(globals().items()):
    if isinstance(_function, FunctionType) and _function.__module__.startswith(__name__):
        globals()[_name] = with_other_names(_function)
del _name, _function
