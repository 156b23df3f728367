"""gpunn.distributions: formulas against PyTorch's in float64, samples by their moments and their distribution."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn import distributions as D

A, B = np.array([0.3, -1.2, 2.0]), np.array([0.5, 2.0, 1.3])
P = np.array([0.2, 0.5, 0.9])
ROWS = np.array([[0.2, 0.3, 0.5], [1.0, 2.0, 1.0]])
TRIL = np.array([[1.2, 0.0], [0.4, 0.7]])
INSIDE = {"Beta": P, "Uniform": A + 0.3, "Bernoulli": np.array([0.0, 1.0, 1.0]), "Categorical": np.array([2, 0])}
INSIDE |= dict.fromkeys(("LogNormal", "Exponential", "Gamma"), B + 0.1)
INSIDE |= dict.fromkeys(("Geometric", "Poisson", "Binomial"), np.array([0.0, 3.0, 2.0]))
INSIDE |= {"OneHotCategorical": np.eye(3)[[2, 0]], "MultivariateNormal": A[:2], "Independent": A}

# For each distribution how it is made of a library and its `distributions`, and of parameters, twice
MADE = {
    "Normal": (lambda t, d, a, b: d.Normal(a, b), A, B),
    "LogNormal": (lambda t, d, a, b: d.LogNormal(a, b), A, B),
    "Laplace": (lambda t, d, a, b: d.Laplace(a, b), A, B),
    "Cauchy": (lambda t, d, a, b: d.Cauchy(a, b), A, B),
    "Uniform": (lambda t, d, a, b: d.Uniform(a, a + b), A, B),
    "Exponential": (lambda t, d, b: d.Exponential(b), B),
    "Gamma": (lambda t, d, a, b: d.Gamma(a, b), B + 1, B),
    "Beta": (lambda t, d, a, b: d.Beta(a, b), B + 1, B),
    "Bernoulli": (lambda t, d, p: d.Bernoulli(p), P),
    "Bernoulli logits": (lambda t, d, a: d.Bernoulli(logits=a), A),
    "Geometric": (lambda t, d, p: d.Geometric(p), P),
    "Poisson": (lambda t, d, b: d.Poisson(b), B),
    "Binomial": (lambda t, d, p: d.Binomial(5, p), P),
    "Categorical": (lambda t, d, p: d.Categorical(p), ROWS),
    "Categorical logits": (lambda t, d, p: d.Categorical(logits=p), ROWS),
    "OneHotCategorical": (lambda t, d, p: d.OneHotCategorical(p), ROWS),
    "MultivariateNormal": (lambda t, d, m, s: d.MultivariateNormal(m, scale_tril=s), A[:2], TRIL),
    "MultivariateNormal of a covariance": (lambda t, d, m, s: d.MultivariateNormal(m, s @ s.mT), A[:2], TRIL),
    "Independent": (lambda t, d, a, b: d.Independent(d.Normal(a, b), 1), A, B),
}
MADE |= {
    "HalfNormal": (lambda t, d, b: d.HalfNormal(b), B),
    "HalfCauchy": (lambda t, d, b: d.HalfCauchy(b), B),
    "Gumbel": (lambda t, d, a, b: d.Gumbel(a, b), A, B),
    "Weibull": (lambda t, d, a, b: d.Weibull(a, b), B, B + 1),
    "Pareto": (lambda t, d, a, b: d.Pareto(a, b), B, B + 9),
    "Kumaraswamy": (lambda t, d, a, b: d.Kumaraswamy(a, b), B + 1, B + 2),
    "Chi2": (lambda t, d, b: d.Chi2(b), B + 2),
    "InverseGamma": (lambda t, d, a, b: d.InverseGamma(a, b), B + 6, B),
    "StudentT": (lambda t, d, n, a, b: d.StudentT(n, a, b), B + 6, A, B),
    "FisherSnedecor": (lambda t, d, a, b: d.FisherSnedecor(a, b), B + 3, B + 15),
    "Dirichlet": (lambda t, d, p: d.Dirichlet(p), ROWS + 1),
    "TransformedDistribution": (
        lambda t, d, a, b: d.TransformedDistribution(
            d.Normal(a, b), [d.AffineTransform(0.3, -0.5), d.TanhTransform(), d.AffineTransform(1.0, 0.4)]
        ),
        *(A, B),
    ),
    "TransformedDistribution of vectors": (
        lambda t, d, m, s: d.TransformedDistribution(d.MultivariateNormal(m, scale_tril=s), d.ExpTransform()),
        *(A[:2], TRIL),
    ),
}
INSIDE |= dict.fromkeys(("HalfNormal", "HalfCauchy", "Weibull", "Chi2", "InverseGamma", "FisherSnedecor"), B + 0.1)
INSIDE |= {"Kumaraswamy": P, "Pareto": B * 1.3, "Dirichlet": ROWS / ROWS.sum(1, keepdims=True)}
INSIDE |= {"TransformedDistribution": np.array([0.7, 1.2, 1.1]), "TransformedDistribution of vectors": B[:2]}
COUNTS = np.array([[2.0, 0.0, 3.0], [0.0, 4.0, 1.0]])
NEAR_HALF = np.array([0.2, 0.5, 0.4995])
FACTOR, SYMMETRIC = np.array([[0.5], [-1.0]]), np.array([[2.0, 0.3], [0.3, 1.1]])
MADE |= {
    "NegativeBinomial": (lambda t, d, a, p: d.NegativeBinomial(a, p), B + 1, P * 0.7),
    "NegativeBinomial logits": (lambda t, d, a, b: d.NegativeBinomial(4, logits=a), A - 1, B),
    "Multinomial": (lambda t, d, p: d.Multinomial(5, p), ROWS),
    "VonMises": (lambda t, d, a, b: d.VonMises(a, b), A, B),
    "MixtureSameFamily": (
        lambda t, d, p, a, b: d.MixtureSameFamily(d.Categorical(p), d.Normal(a, b)),
        *(ROWS[0], A, B),
    ),
    "MixtureSameFamily of vectors": (
        lambda t, d, p, a: d.MixtureSameFamily(
            d.Categorical(p), d.Independent(d.Normal(t.stack([a, a + 1], -1), t.stack([a * a + 1, a * a + 2], -1)), 1)
        ),
        *(ROWS[0], A),
    ),
    "GeneralizedPareto": (lambda t, d, a, b, c: d.GeneralizedPareto(a, b, c), A, B, np.array([0.2, 0.1, -0.3])),
    "LowRankMultivariateNormal": (
        lambda t, d, m, w, s: d.LowRankMultivariateNormal(m, w, s),
        *(A[:2], FACTOR, B[:2]),
    ),
    "Wishart": (lambda t, d, n, s: d.Wishart(n, s @ s.mT), np.array(4.5), TRIL),
    "LKJCholesky": (lambda t, d, a: d.LKJCholesky(3, a), np.array([0.7, 2.0])),
    "ContinuousBernoulli": (lambda t, d, p: d.ContinuousBernoulli(p), NEAR_HALF),
    "RelaxedBernoulli": (lambda t, d, p: d.RelaxedBernoulli(t.tensor(0.7, dtype=t.float64), p), P),
    "RelaxedOneHotCategorical": (lambda t, d, p: d.RelaxedOneHotCategorical(t.tensor(0.7, dtype=t.float64), p), ROWS),
    "OneHotCategoricalStraightThrough": (lambda t, d, p: d.OneHotCategoricalStraightThrough(p), ROWS),
    "LogisticNormal": (lambda t, d, a, b: d.LogisticNormal(a, b), A, B),
}
INSIDE |= {"NegativeBinomial": np.array([0.0, 3.0, 2.0]), "Multinomial": COUNTS, "MixtureSameFamily": A[0]}
INSIDE |= {"MixtureSameFamily of vectors": A[:2], "GeneralizedPareto": A + 0.7, "LowRankMultivariateNormal": B[:2]}
INSIDE |= {
    "Wishart": SYMMETRIC,
    "ContinuousBernoulli": NEAR_HALF,
    "RelaxedBernoulli": P,
    "LogisticNormal": COUNTS.mean(),
}
INSIDE |= {
    "RelaxedOneHotCategorical": ROWS / ROWS.sum(1, keepdims=True),
    "OneHotCategoricalStraightThrough": np.eye(3)[:2],
}
INSIDE |= {"OneHotCategoricalStraightThrough": np.eye(3)[:2], "LogisticNormal": np.array([0.1, 0.3, 0.2, 0.4])}
INSIDE |= {"LKJCholesky": np.array([[1, 0, 0], [0.6, 0.8, 0], [0.48, 0.64, 0.6]])}
WITHOUT_DIVERGENCE = (
    "Cauchy",
    "Half",
    "Gumbel",
    "Weibull",
    "Pareto",
    "Kumaraswamy",
    "Chi2",
    "InverseGamma",
    "StudentT",
)
WITHOUT_DIVERGENCE += ("FisherSnedecor", "Dirichlet", "TransformedDistribution", "NegativeBinomial", "Multinomial")
WITHOUT_DIVERGENCE += ("VonMises", "MixtureSameFamily", "GeneralizedPareto", "LowRank", "Wishart", "LKJ", "Continuous")
WITHOUT_DIVERGENCE += ("Relaxed", "LogisticNormal")
NO_MOMENTS = ("Cauchy", "HalfCauchy", "TransformedDistribution", "Relaxed", "LogisticNormal", "LKJCholesky")
PARTS = {
    "log_prob": lambda p, x: p.log_prob(x),
    "entropy": lambda p, x: p.entropy(),
    "mean": lambda p, x: p.mean,
    "mode": lambda p, x: p.mode,
    "variance": lambda p, x: p.variance,
    "stddev": lambda p, x: p.stddev,
    "cdf": lambda p, x: p.cdf(x),
    "icdf": lambda p, x: p.icdf(p.cdf(x)),
    "enumerate_support": lambda p, x: p.enumerate_support(),
}


def parts(library, d, name, tensor):
    make, *arrays = MADE[name]
    inputs = [tensor(a).requires_grad_() for a in arrays]
    p = make(library, d, *inputs)
    x = tensor(INSIDE.get(name, INSIDE.get(name.split()[0], A)))
    found = {}
    for part, function in PARTS.items():
        try:
            y = function(p, x)
        except (NotImplementedError, AttributeError):
            continue
        gradients = None
        if y.requires_grad and not (
            name in ("Gamma", "Chi2", "InverseGamma") and part == "cdf"
        ):  # which PyTorch has none of
            gradients = library.autograd.grad(y.sum(), inputs, retain_graph=True, allow_unused=True)
        found[part] = (y.detach(), gradients)
    return p, found


@pytest.mark.parametrize("name", MADE)
def test_as_torch(torch, name):
    ours, found = parts(gpunn, D, name, gpunn.tensor)
    torch.set_default_dtype(torch.float64)  # GeneralizedPareto takes no other type
    try:
        theirs, wanted = parts(torch, torch.distributions, name, torch.tensor)
    finally:
        torch.set_default_dtype(torch.float32)
    assert tuple(ours.batch_shape) == tuple(theirs.batch_shape)
    assert tuple(ours.event_shape) == tuple(theirs.event_shape)
    assert {"log_prob", *(() if name.startswith(NO_MOMENTS[2:]) else ("mean", "variance", "stddev"))} <= set(found)
    for part, (y, gradients) in found.items():
        if part not in wanted or (name, part) == ("Kumaraswamy", "mode"):  # which PyTorch finds to be NaN
            continue
        expected, slopes = wanted[part]
        assert tuple(y.shape) == tuple(expected.shape), part
        # PyTorch has Bessel functions to seven digits (A&S 9.8.1), and the logarithm of n! in float32.
        to_seven_digits = name == "VonMises" or (name, part) == ("Multinomial", "entropy")
        rtol, atol = (1e-6, 1e-6) if to_seven_digits else (1e-9, 1e-12)
        np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=rtol, atol=atol, err_msg=part)
        for g, slope in zip(gradients or (), slopes or ()):
            g = np.zeros(()) if g is None else g.numpy()
            slope = np.zeros(()) if slope is None else slope.numpy()
            np.testing.assert_allclose(
                g, slope, rtol=max(rtol, 1e-8), atol=1e-5 if to_seven_digits else 1e-11, err_msg=f"gradient of {part}"
            )


@pytest.mark.parametrize("name", [name for name in MADE if not name.startswith(WITHOUT_DIVERGENCE)])
def test_divergences_as_torch(torch, name):
    def between(library, d, tensor):
        make, *arrays = MADE[name]
        moved = [a * 0.9 + 0.05 if a is not TRIL else a * 0.9 for a in arrays]
        p, q = (make(library, d, *map(tensor, values)) for values in (arrays, moved))
        return [d.kl_divergence(p, q), d.kl_divergence(q, p), d.kl_divergence(p, p)]

    for ours, theirs in zip(between(gpunn, D, gpunn.tensor), between(torch, torch.distributions, torch.tensor)):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-9, atol=1e-12)


N = 4000


@pytest.mark.parametrize("name", MADE)
def test_samples(name):
    make, *arrays = MADE[name]
    gpunn.manual_seed(3)
    p = make(gpunn, D, *map(gpunn.tensor, arrays))
    x = p.sample((N,))
    assert x.shape == (N, *p.batch_shape, *p.event_shape) and not x.requires_grad
    gpunn.manual_seed(3)
    assert (p.sample((N,)) == x).all()
    if not name.startswith((*NO_MOMENTS, "Categorical", "VonMises")):
        deviation = p.stddev.numpy() / np.sqrt(N)
        assert (np.abs(x.numpy().mean(0) - p.mean.numpy()) < 5 * deviation + 1e-12).all()
        np.testing.assert_allclose(x.numpy().var(0), p.variance.numpy(), rtol=0.5 if name == "LogNormal" else 0.15)
    if name.startswith("Categorical"):
        share = (x.numpy()[..., None] == np.arange(3)).mean(0)
        np.testing.assert_allclose(share, p.probs.numpy(), atol=0.04)
    try:  # Kolmogorov and Smirnov: above 1.95 / sqrt(n) once in a thousand
        u = np.sort(p.cdf(x).numpy().reshape(N, -1), 0)
    except NotImplementedError:
        return
    place = np.arange(1, N + 1)[:, None] / N
    assert np.maximum(np.abs(u - place), np.abs(u - place + 1 / N)).max() < 1.95 / np.sqrt(N)


RSAMPLED = ["Normal", "LogNormal", "Laplace", "Uniform", "Exponential", "MultivariateNormal", "GeneralizedPareto"]
RSAMPLED += ["LowRankMultivariateNormal", "ContinuousBernoulli", "RelaxedBernoulli", "LogisticNormal"]


@pytest.mark.parametrize("name", RSAMPLED)
def test_rsample_has_the_gradient_of_its_parameters(name):
    make, *arrays = MADE[name]

    def drawn(*parameters):
        gpunn.manual_seed(1)
        return make(gpunn, D, *parameters).rsample((2,))

    assert make(gpunn, D, *map(gpunn.tensor, arrays)).has_rsample
    assert gpunn.autograd.gradcheck(drawn, [gpunn.tensor(a, requires_grad=True) for a in arrays])


def test_the_same_samples_on_the_simulator():
    for make, *arrays in (MADE["Normal"], MADE["Categorical"], MADE["Gamma"]):
        found = []
        for device in ("cpu", "sim"):
            gpunn.manual_seed(5)
            found.append(make(gpunn, D, *(gpunn.tensor(a, device=device) for a in arrays)).sample((3,)))
        assert found[1].device.type == "sim"
        np.testing.assert_allclose(found[1].cpu().numpy(), found[0].numpy(), rtol=1e-14)


def test_what_is_refused():
    with pytest.raises(ValueError, match="parameter scale of distribution Normal to be positive"):
        D.Normal(0.0, -1.0)
    with pytest.raises(ValueError, match="but not both"):
        D.Bernoulli(0.5, logits=0.0)
    with pytest.raises(ValueError, match="to be a probability"):
        D.Bernoulli(1.5)
    with pytest.raises(ValueError, match="within the support, 0 or 1"):
        D.Bernoulli(0.5).log_prob(gpunn.tensor(2.0))
    with pytest.raises(ValueError, match="must be a Tensor"):
        D.Normal(0, 1).log_prob(0.5)
    with pytest.raises(NotImplementedError, match=r"p type Normal and q type Gamma"):
        D.kl_divergence(D.Normal(0, 1), D.Gamma(1, 1))
    with pytest.raises(NotImplementedError, match="Poisson has no rsample"):
        D.Poisson(1.0).rsample()
    with pytest.raises(ValueError, match="Exactly one of"):
        D.MultivariateNormal(gpunn.zeros(2))
    assert repr(D.Normal(0, 2)) == "Normal(loc: 0, scale: 2)"
    assert D.Normal(0, 1).expand((2, 3)).sample().shape == (2, 3)


TRANSFORMS = {
    "ExpTransform": lambda d: d.ExpTransform(),
    "PowerTransform": lambda d: d.PowerTransform(2.5),
    "SigmoidTransform": lambda d: d.SigmoidTransform(),
    "TanhTransform": lambda d: d.TanhTransform(),
    "SoftplusTransform": lambda d: d.SoftplusTransform(),
    "AffineTransform": lambda d: d.AffineTransform(0.5, -2.0),
    "an event": lambda d: d.AffineTransform(0.5, -2.0, event_dim=1),
    "ComposeTransform": lambda d: d.ComposeTransform([d.TanhTransform(), d.AffineTransform(1.0, 3.0)]),
    "inverse": lambda d: d.ExpTransform().inv,
    "identity": lambda d: d.identity_transform,
    "SoftmaxTransform": lambda d: d.SoftmaxTransform(),
    "StickBreakingTransform": lambda d: d.StickBreakingTransform(),
    "CorrCholeskyTransform": lambda d: d.CorrCholeskyTransform(),
    "ReshapeTransform": lambda d: d.ReshapeTransform((3,), (3, 1)),
    "IndependentTransform": lambda d: d.IndependentTransform(d.ExpTransform(), 1),
    "CatTransform": lambda d: d.CatTransform([d.ExpTransform(), d.TanhTransform()], 0, [1, 2]),
    "StackTransform": lambda d: d.StackTransform([d.ExpTransform(), d.TanhTransform(), d.ExpTransform()]),
    "CumulativeDistributionTransform": lambda d: d.CumulativeDistributionTransform(d.Normal(0.5, 2.0)),
    "of vectors and elements": lambda d: d.ComposeTransform([d.ExpTransform(), d.StickBreakingTransform()]),
}
ELEMENTWISE = list(TRANSFORMS)[:10]
WITHOUT_JACOBIAN = ("SoftmaxTransform",)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_as_torch(torch, name):
    found = []
    for t, d in ((gpunn, D), (torch, torch.distributions)):
        x, f = t.tensor(B), TRANSFORMS[name](d)
        y = f(x)
        slope = () if name in WITHOUT_JACOBIAN else (f.log_abs_det_jacobian(x, y),)
        sign = t.ones(3) * f.sign if name in ELEMENTWISE else t.ones(1)
        shapes = t.tensor([*f.forward_shape(x.shape), -1, *f.inverse_shape(y.shape)])
        found.append((y, f.inv(y), f.inv.inv(x), *slope, sign, shapes))
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours.numpy(), theirs.expand(ours.shape).numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["LowerCholeskyTransform", "PositiveDefiniteTransform"])
def test_transforms_of_matrices_as_torch(torch, name):
    found = []
    for t, d in ((gpunn, D), (torch, torch.distributions)):
        f = getattr(d, name)()
        y = f(t.tensor(SYMMETRIC))
        found.append((y, f.inv(y)))
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-12)


def test_samples_of_matrices_and_angles():
    """Correlations by their beta distribution (Lewandowski et al. 2009), angles by their mean cosine."""
    gpunn.manual_seed(1)
    factor = D.LKJCholesky(3, 2.0).sample((N,)).numpy()
    c = factor @ factor.swapaxes(1, 2)
    np.testing.assert_allclose(np.diagonal(c, 0, 1, 2), 1, rtol=1e-5)
    # (c + 1) / 2 is of Beta(b, b), b = concentration + (dim - 2) / 2, of variance 1 / (4 (2 b + 1)).
    np.testing.assert_allclose(c[:, [1, 2, 2], [0, 0, 1]].var(0), 1 / 6, rtol=0.1)
    angles = D.VonMises(0.5, 2.0).sample((N,)).numpy()
    np.testing.assert_allclose(np.cos(angles - 0.5).mean(), 0.6977746579640079, atol=0.03)  # I1(2) / I0(2)


def test_a_continuous_bernoulli_of_extreme_logits():
    """With logit z the density is z e^(z x) / (e^z - 1), from 0 to 1."""
    z = gpunn.tensor([-200.0, -40.0, 40.0, 200.0], requires_grad=True)
    d = gpunn.distributions.ContinuousBernoulli(logits=z)
    at_the_end = d.log_prob(gpunn.tensor([0.0, 0.0, 1.0, 1.0])).detach().numpy()
    np.testing.assert_allclose(at_the_end, np.log([200, 40, 40, 200]), rtol=1e-5)
    np.testing.assert_allclose(d.mean.detach().numpy(), [1 / 200, 1 / 40, 1 - 1 / 40, 1 - 1 / 200], rtol=1e-5)
    np.testing.assert_allclose(d.entropy().detach().numpy(), 1 - np.log([200, 40, 40, 200]), rtol=1e-5)
    np.testing.assert_allclose(d.cdf(d.icdf(gpunn.tensor(0.3))).detach().numpy(), 0.3, rtol=1e-4)
    (d.rsample((20,)).sum() + d.log_prob(d.sample()).sum()).backward()
    assert np.isfinite(z.grad.numpy()).all()


def test_outside_of_what_is_possible_where_nothing_is_checked():
    half = [d(1.0, validate_args=False) for d in (gpunn.distributions.HalfNormal, gpunn.distributions.HalfCauchy)]
    assert [d.log_prob(gpunn.tensor(-1.0)).item() for d in half] == [-np.inf, -np.inf]
    bounded = gpunn.distributions.Kumaraswamy(2.0, 3.0)
    np.testing.assert_array_equal(bounded.cdf(gpunn.tensor([-1.0, 2.0])).numpy(), [0, 1])


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("RelaxedBernoulli", (0.5, 0.3)),
        ("RelaxedOneHotCategorical", (0.5, [0.2, 0.8])),
        ("ContinuousBernoulli", (0.3, None, (0.2, 0.4))),
        ("LKJCholesky", (3, 2.0)),
        ("Multinomial", (4, [0.2, 0.8])),
    ],
)
def test_expanded_it_is_the_same(name, arguments):
    tensors = [gpunn.tensor(a, dtype=gpunn.float64) if isinstance(a, (float, list)) else a for a in arguments]
    one = getattr(gpunn.distributions, name)(*tensors)
    more = one.expand((5,))
    assert type(more) is type(one) and more.batch_shape == (5,) and more.event_shape == one.event_shape
    gpunn.manual_seed(0)
    x = more.sample()
    assert more.log_prob(x).tolist() == pytest.approx([one.log_prob(each).item() for each in x], rel=1e-12)


def test_what_has_no_parameters_of_its_own_is_not_expanded():
    mixture = gpunn.distributions.MixtureSameFamily(
        gpunn.distributions.Categorical(gpunn.ones(2)), gpunn.distributions.Normal(gpunn.zeros(2), gpunn.ones(2))
    )
    with pytest.raises(NotImplementedError, match="MixtureSameFamily can't be expanded"):
        mixture.expand((3,))
