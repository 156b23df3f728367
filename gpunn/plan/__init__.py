"""Training steps as graphs: traced once, laid out in memory, and replayed."""

from .arena import Arena as Arena
from .report import MemoryReport as MemoryReport
from .separable import obstacle as obstacle
from .step import Step as Step
from .step import StepFailed as StepFailed
from .trace import NotPlanned as NotPlanned
from .trace import TraceError as TraceError
from .trace import trace as trace
from .train_step import EvalStep as EvalStep
from .train_step import TrainStep as TrainStep
from .watch import FROZEN as FROZEN
