"""Distributions of probability, as torch.distributions: samples, densities, entropies and divergences.

Samples come from gpunn's generator (`gpunn.manual_seed`): the same seed gives the same numbers on every device.
"""

from .continuous import Beta, Cauchy, Exponential, Gamma, Gumbel, Laplace, LogNormal, Normal, Uniform, VonMises
from .counts import MixtureSameFamily, Multinomial, NegativeBinomial
from .discrete import Bernoulli, Binomial, Categorical, Geometric, OneHotCategorical, Poisson
from .distribution import Distribution, ExponentialFamily
from .divergence import kl_divergence, register_kl
from .from_gamma import Chi2, Dirichlet, FisherSnedecor, InverseGamma, StudentT
from .matrices import LKJCholesky, LowRankMultivariateNormal, Wishart
from .positive import GeneralizedPareto, HalfCauchy, HalfNormal, Kumaraswamy, Pareto, Weibull
from .relaxed import (
    ContinuousBernoulli,
    LogisticNormal,
    OneHotCategoricalStraightThrough,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
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
from .vector_transforms import (
    CatTransform,
    CorrCholeskyTransform,
    CumulativeDistributionTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    ReshapeTransform,
    SoftmaxTransform,
    StackTransform,
    StickBreakingTransform,
)
from .vectors import Independent, MultivariateNormal

__all__ = [
    *("Bernoulli", "Beta", "Binomial", "Categorical", "Cauchy", "Distribution", "Exponential", "Gamma", "Geometric"),
    *("Independent", "Laplace", "LogNormal", "MultivariateNormal", "Normal", "OneHotCategorical", "Poisson"),
    *("Uniform", "kl_divergence", "register_kl"),
    *("Chi2", "Dirichlet", "ExponentialFamily", "FisherSnedecor", "Gumbel", "HalfCauchy", "HalfNormal", "InverseGamma"),
    *("Kumaraswamy", "Pareto", "StudentT", "Weibull", "AbsTransform", "AffineTransform", "ComposeTransform"),
    *("ExpTransform", "PowerTransform", "SigmoidTransform", "SoftplusTransform", "TanhTransform", "Transform"),
    *("TransformedDistribution", "identity_transform", "VonMises", "MixtureSameFamily", "Multinomial"),
    *("NegativeBinomial", "GeneralizedPareto", "LKJCholesky", "LowRankMultivariateNormal", "Wishart"),
    *("ContinuousBernoulli", "LogisticNormal", "OneHotCategoricalStraightThrough", "RelaxedBernoulli"),
    *("RelaxedOneHotCategorical", "CatTransform", "CorrCholeskyTransform", "CumulativeDistributionTransform"),
    *("IndependentTransform", "LowerCholeskyTransform", "PositiveDefiniteTransform", "ReshapeTransform"),
    *("SoftmaxTransform", "StackTransform", "StickBreakingTransform"),
]
