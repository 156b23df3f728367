"""Pictures of models: the computational graph, the gradients beside it, the layers, the planned step."""

from .drawing import VIEWS as VIEWS
from .drawing import draw as draw
from .picture import Arrow as Arrow
from .picture import Block as Block
from .picture import Box as Box
from .picture import Picture as Picture
