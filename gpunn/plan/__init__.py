"""Training steps as graphs: traced once, laid out in memory, and replayed."""

from .arena import Arena as Arena
from .report import MemoryReport as MemoryReport
from .separable import obstacle as obstacle
from .step import EvalStep as EvalStep
from .step import Step as Step
from .step import StepFailed as StepFailed
from .step import TrainStep as TrainStep
from .trace import TraceError as TraceError
from .trace import trace as trace
