"""Training steps as graphs: traced once, laid out in memory, and replayed."""

from .step import EvalStep, StepFailed, TrainStep
from .trace import TraceError
