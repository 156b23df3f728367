"""Networks that are often wanted, and networks by name."""

from gpunn.models.activations import ACTIVATIONS
from gpunn.models.autoencoder import VAE, Autoencoder, VAELoss
from gpunn.models.by_name import MODELS, build, recompute, reconstructs
from gpunn.models.errors import ModelError
from gpunn.models.images import cnn, lenet, mlp, vgg_small
from gpunn.models.resnet import BasicBlock, ResNet, resnet9, resnet18, resnet34
from gpunn.models.sequence import LSTMClassifier, TransformerClassifier, TransformerLM

__all__ = [
    "build", "MODELS", "ACTIVATIONS", "ModelError", "reconstructs", "recompute",
    "mlp", "lenet", "cnn", "vgg_small", "ResNet", "BasicBlock", "resnet9", "resnet18", "resnet34",
    "Autoencoder", "VAE", "VAELoss", "TransformerClassifier", "TransformerLM", "LSTMClassifier",
]  # fmt: skip
