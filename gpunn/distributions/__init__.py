"""Distributions of probability, as torch.distributions: samples, densities, entropies and divergences.

Samples come from gpunn's generator (`gpunn.manual_seed`): the same seed gives the same numbers on every device.
"""

from .continuous import Beta, Cauchy, Exponential, Gamma, Laplace, LogNormal, Normal, Uniform
from .discrete import Bernoulli, Binomial, Categorical, Geometric, OneHotCategorical, Poisson
from .distribution import Distribution
from .divergence import kl_divergence, register_kl
from .further import (
    Chi2,
    Dirichlet,
    ExponentialFamily,
    FisherSnedecor,
    Gumbel,
    HalfCauchy,
    HalfNormal,
    InverseGamma,
    Kumaraswamy,
    Pareto,
    StudentT,
    Weibull,
)
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
