"""Distributions of probability, as torch.distributions: samples, densities, entropies and divergences.

Samples come from gpunn's generator (`gpunn.manual_seed`): the same seed gives the same numbers on every device.
"""

from .continuous import Beta, Cauchy, Exponential, Gamma, Gumbel, Laplace, LogNormal, Normal, Uniform
from .discrete import Bernoulli, Binomial, Categorical, Geometric, OneHotCategorical, Poisson
from .distribution import Distribution, ExponentialFamily
from .divergence import kl_divergence, register_kl
from .from_gamma import Chi2, Dirichlet, FisherSnedecor, InverseGamma, StudentT
from .positive import HalfCauchy, HalfNormal, Kumaraswamy, Pareto, Weibull
from .transforms import (
    AbsTransform,
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    PowerTransform,
    SigmoidTransform,
    SoftplusTransform,
    TanhTransform,
    Transform,
    TransformedDistribution,
    identity_transform,
)
from .vectors import Independent, MultivariateNormal

__all__ = [
    *("Bernoulli", "Beta", "Binomial", "Categorical", "Cauchy", "Distribution", "Exponential", "Gamma", "Geometric"),
    *("Independent", "Laplace", "LogNormal", "MultivariateNormal", "Normal", "OneHotCategorical", "Poisson"),
    *("Uniform", "kl_divergence", "register_kl"),
    *("Chi2", "Dirichlet", "ExponentialFamily", "FisherSnedecor", "Gumbel", "HalfCauchy", "HalfNormal", "InverseGamma"),
    *("Kumaraswamy", "Pareto", "StudentT", "Weibull", "AbsTransform", "AffineTransform", "ComposeTransform"),
    *("ExpTransform", "PowerTransform", "SigmoidTransform", "SoftplusTransform", "TanhTransform", "Transform"),
    *("TransformedDistribution", "identity_transform"),
]
