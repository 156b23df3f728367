"""The derivation of a model's gradient, step by step."""

from .derivation import Derivation as Derivation
from .derivation import Finding as Finding
from .derivation import Flow as Flow
from .derivation import Formula as Formula
from .derivation import Jacobian as Jacobian
from .derivation import Lesson as Lesson
from .derivation import NotExplained as NotExplained
from .derivation import Path as Path
from .derivation import Statistics as Statistics
from .derivation import Step as Step
from .derivation import Table as Table
from .derivation import Variable as Variable
from .explain import explain as explain
