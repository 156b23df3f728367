"""The host side of the CUDA kernels: every primitive over kernels, a file per family.

`gpunn.backend.cuda` and `gpunn.backend.sim` share it: only the array module and who launches differ, so that the host
code too is tested on machines without a GPU.
"""

from __future__ import annotations

from .activation import Activation
from .array_module import ArrayModule
from .attention import Attention
from .batch_norm_pool import BatchNormPool
from .chain import Chain
from .collective import CollectiveKernels
from .conv_pooled import ConvPooled
from .conv_statistics import ConvStatistics
from .draw import Draw
from .dropout import Dropout
from .elementwise import Elementwise
from .embedding import Embedding
from .im2col import Im2col
from .images import Images
from .indexing import Indexing
from .linear_loss import LinearLoss
from .linear_update import LinearUpdate
from .memory import Memory
from .norm import Norm
from .optimizer_further import OptimizerFurther
from .order import Order
from .pool import Pool
from .rearrange import Rearrange
from .recurrent import Recurrent
from .reduction import Reduction
from .slicing import Slicing
from .softmax import Softmax


class KernelBackend(
    Rearrange,
    Slicing,
    Elementwise,
    Activation,
    Reduction,
    Chain,
    Order,
    Embedding,
    Images,
    Indexing,
    LinearLoss,
    LinearUpdate,
    Im2col,
    ConvPooled,
    ConvStatistics,
    Pool,
    BatchNormPool,
    Norm,
    Recurrent,
    Softmax,
    Attention,
    Dropout,
    Draw,
    ArrayModule,
    OptimizerFurther,
    CollectiveKernels,
    Memory,
):
    """All primitives of `gpunn.backend.base`, over an array module and a launcher that a subclass brings."""

    writes_images = ConvPooled.convolutions_last | Pool.pooling_last
