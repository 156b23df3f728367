"""Ways to change something between the steps of a training, or inside them."""

from . import inside, of_arguments, of_models, of_optimizers, refused_or_listed
from .holders import HELD, held
from .table import LISTED, REFUSED, SEEN
from .world import World

__all__ = ["HELD", "LISTED", "REFUSED", "SEEN", "World", "held"]
