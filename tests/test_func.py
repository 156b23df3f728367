"""gpunn.func against torch.func, in float64."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn import func, nn

X = np.array([0.3, -1.2, 2.0])
M = np.array([[1.0, 2.0, -0.5], [0.2, 0.7, 1.1]])

# f(library, functions, x, m): everything that they give, as a list
PROGRAMS = {
    "grad": lambda t, f, x, m: [f.grad(lambda v: (v.sin() * v).sum())(x)],
    "grad of grad": lambda t, f, x, m: [f.grad(lambda v: f.grad(lambda w: (w**3).sum())(v).sum())(x)],
    "grad of several": lambda t, f, x, m: [*f.grad(lambda a, b: (b @ a).exp().sum(), argnums=(0, 1))(x, m)],
    "grad of a dictionary": lambda t, f, x, m: [f.grad(lambda d: (d["m"] @ d["x"]).sum())({"x": x, "m": m})["m"]],
    "grad with aux": lambda t, f, x, m: [*f.grad(lambda v: ((v * v).sum(), v * 2), has_aux=True)(x)],
    "grad_and_value": lambda t, f, x, m: [*f.grad_and_value(lambda v: (v**2).sum())(x)],
    "vjp": lambda t, f, x, m: (lambda y, g: [y, *g(t.ones_like(y))])(*f.vjp(lambda a, b: b @ a.sin(), x, m)),
    "vjp of nothing": lambda t, f, x, m: [*f.vjp(lambda a, b: a * 2, x, m)[1](x)],
    "jvp": lambda t, f, x, m: [*f.jvp(lambda a, b: (b @ a).tanh(), (x, m), (t.ones_like(x), m))],
    "jacrev": lambda t, f, x, m: [f.jacrev(lambda v: (m @ v).sin())(x), f.jacrev(lambda v: v.sum())(m)],
    "jacrev of several": lambda t, f, x, m: [
        j for row in f.jacrev(lambda a, b: (b @ a, (a * a).sum()), argnums=(0, 1))(x, m) for j in row
    ],
    "jacfwd": lambda t, f, x, m: [f.jacfwd(lambda v: v * v.sum())(x)],
    "hessian": lambda t, f, x, m: [f.hessian(lambda v: (v.exp() * v.sum()).sum())(x)],
    "hessian of several": lambda t, f, x, m: [
        h for row in f.hessian(lambda a, b: ((b @ a) ** 2).sum(), argnums=(0, 1))(x, m) for h in row
    ],
    "vmap": lambda t, f, x, m: [f.vmap(lambda a, b: a @ b)(m, m), f.vmap(lambda a: a * 2, 1, 1)(m)],
    "vmap with one for all": lambda t, f, x, m: [f.vmap(lambda a, b: (a * b, a.sum()), (0, None))(m, x)[1]],
    "gradients of samples": lambda t, f, x, m: [f.vmap(f.grad(lambda w, v: (w * v).sin().sum()), (None, 0))(x, m)],
    "through what is around": lambda t, f, x, m: (
        lambda w: [t.autograd.grad(f.grad(lambda v: (v * v * w).sum())(x).sum(), w)[0]]
    )((x + 1).requires_grad_()),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_as_torch(torch, name):
    ours = PROGRAMS[name](gpunn, func, gpunn.tensor(X), gpunn.tensor(M))
    theirs = PROGRAMS[name](torch, torch.func, torch.tensor(X), torch.tensor(M))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert not a.requires_grad
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_a_module_with_other_parameters():
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2, bias=False))
    own = {k: gpunn.tensor(np.full(v.shape, 0.1, "f")) for k, v in model.named_parameters()}
    before = model.state_dict()
    x = gpunn.tensor(X).float()
    found = func.functional_call(model, own, x)
    h = np.tanh(0.1 * X.sum() + 0.1)
    np.testing.assert_allclose(found.numpy(), [0.2 * h, 0.2 * h], rtol=1e-6)
    assert all((model.state_dict()[k] == v).all() for k, v in before.items())
    g = func.grad(lambda p: func.functional_call(model, (p,), (x,)).sum())(own)
    assert {k: v.shape for k, v in g.items()} == {k: v.shape for k, v in own.items()}
    with pytest.raises(KeyError, match=r"unknown names \['no'\]"):
        func.functional_call(model, {"no": x}, x)
    with pytest.raises(KeyError, match=r"missing names \['0.bias'"):
        func.functional_call(model, {"0.weight": own["0.weight"]}, x, strict=True)


def test_an_ensemble():
    models = [nn.Linear(3, 2) for _ in range(3)]
    parameters, buffers = func.stack_module_state(models)
    x = gpunn.rand(5, 3)
    found = func.vmap(lambda p, b: func.functional_call(models[0], (p, b), (x,)))(parameters, buffers)
    expected = gpunn.stack([m(x) for m in models])
    np.testing.assert_array_equal(found.detach().numpy(), expected.detach().numpy())


def test_what_is_refused():
    x = gpunn.tensor(X)
    with pytest.raises(RuntimeError, match=r"without dimensions.*jacrev"):
        func.grad(lambda v: v)(x)
    with pytest.raises(RuntimeError, match="argnums=2 names argument 2, and there are 1"):
        func.grad(lambda v: v.sum(), argnums=2)(x)
    with pytest.raises(RuntimeError, match="only floats"):
        func.grad(lambda v: v.sum())(gpunn.tensor([1]))
    with pytest.raises(RuntimeError, match=r"takes tensors.*got float"):
        func.grad(lambda v: v.sum())(2.0)
    with pytest.raises(RuntimeError, match="primals and tangents are tuples"):
        func.jvp(lambda v: v, x, x)
    with pytest.raises(RuntimeError, match="a cotangent for each output"):
        func.vjp(lambda v: v, x)[1](x[:2])
    with pytest.raises(ValueError, match="one size"):
        func.vmap(lambda a, b: a)(x, gpunn.zeros(2))


def test_what_vmap_does_with_names_and_random_numbers(torch):
    found = []
    for library in (torch, gpunn):
        x = library.tensor(X)
        f = library.func.vmap
        named = f(lambda a, k: a * k)(library.stack([x, x]), k=library.arange(x.shape[-1]))
        same = f(lambda a, rand=library.rand: a + rand(()), randomness="same")(library.zeros(3))
        found.append((named.tolist(), bool((same == same[0]).all())))
        with pytest.raises(Exception, match="randomness"):
            f(lambda a: a, randomness="none")(x)
    assert found[0] == found[1] and found[1][1]


def test_batch_norms_that_keep_nothing():
    model = gpunn.nn.Sequential(gpunn.nn.Linear(2, 3), gpunn.nn.BatchNorm1d(3))
    x = gpunn.randn(5, 2)
    wanted = model(x)
    assert gpunn.func.replace_all_batch_norm_modules_(model) is model
    np.testing.assert_array_equal(model.eval()(x).detach().numpy(), wanted.detach().numpy())
    assert [*model.state_dict()] == ["0.weight", "0.bias", "1.weight", "1.bias"]
