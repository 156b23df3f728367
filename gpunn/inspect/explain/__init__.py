"""The derivation of a model's gradient, step by step."""

from .derivation import Derivation as Derivation
from .derivation import Finding as Finding
from .derivation import Formula as Formula
from .derivation import Statistics as Statistics
from .derivation import Step as Step
from .derivation import Variable as Variable
from .explain import explain as explain
from .tracing import NotExplained as NotExplained
