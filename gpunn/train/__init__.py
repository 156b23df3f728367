"""Training: Trainer, and what it is made of."""

from gpunn.train.batch import Batch
from gpunn.train.callbacks import BestModel, Callback, EarlyStopping, LambdaCallback
from gpunn.train.checkpoint import load_checkpoint
from gpunn.train.errors import TrainingError, TrainingInterrupted
from gpunn.train.fingerprint import fingerprint
from gpunn.train.gradient_flow import GradientFlow
from gpunn.train.history import History
from gpunn.train.keras import KerasCallback
from gpunn.train.loggers import CSVLogger, MLflowLogger, TensorBoardLogger, WandbLogger
from gpunn.train.metric import Metric
from gpunn.train.metrics import Accuracy, Average, PerClass, TopK
from gpunn.train.progress import Bar, Lines, Progress
from gpunn.train.regression_metrics import R2, MeanAbsoluteError, MeanSquaredError, PerTarget, RootMeanSquaredError
from gpunn.train.run_folder import RunFolder
from gpunn.train.schedule import ScheduleCallback
from gpunn.train.step import EagerStep, PlannedStep
from gpunn.train.trainer import Trainer

__all__ = [
    "Trainer", "History", "RunFolder", "TrainingError", "TrainingInterrupted", "load_checkpoint", "fingerprint",
    "Callback", "KerasCallback", "EarlyStopping", "BestModel", "ScheduleCallback", "LambdaCallback", "GradientFlow",
    "CSVLogger", "TensorBoardLogger", "WandbLogger", "MLflowLogger",
    "Metric", "Accuracy", "TopK", "PerClass", "Average",
    "MeanSquaredError", "RootMeanSquaredError", "MeanAbsoluteError", "R2", "PerTarget",
    "Progress", "Bar", "Lines", "EagerStep", "PlannedStep", "Batch",
]  # fmt: skip
