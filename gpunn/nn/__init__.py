"""Layers, networks and losses, with PyTorch's names and meanings."""

from . import functional, init, utils
from .activation import ELU, GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from .container import ModuleDict, ModuleList, Sequential
from .flatten import Flatten, Unflatten
from .linear import Identity, Linear, LinearActivation
from .module import Module
from .parameter import Parameter
from .parameter_container import ParameterDict, ParameterList
