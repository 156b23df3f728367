"""The NumPy backend: the readable reference of every primitive, and the fast path of the CPU; a file per family."""

from .activation import *
from .array_module import *
from .attention import *
from .batch_norm import *
from .batch_norm_parts import *
from .chain import *
from .collective import *
from .conv import *
from .conv_pooled import *
from .draw import *
from .dropout import *
from .elementwise import *
from .embedding import *
from .erf import *
from .im2col import *
from .images import *
from .indexing import *
from .linear import *
from .linear_loss import *
from .loss import *
from .memory import *
from .norm import *
from .optimizer import *
from .optimizer_further import *
from .order import *
from .pool import *
from .rearrange import *
from .recurrent import *
from .reduction import *
from .slicing import *
from .softmax import *

name = "numpy"
writes_images: frozenset[str] = frozenset()
updates_by_product = False
