"""gpunn's modules in PyTorch, and PyTorch's in gpunn: one memory, gradients of both orders, training by either."""

import importlib.util
import pickle
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.interop.torch import from_torch, to_torch


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(2, 3))


def address(array):
    return array.__array_interface__["data"][0]


def test_tensors_share_their_memory(torch):
    for dtype in gpunn.backend.dtypes.DTYPES:
        ours = gpunn.ones(3, dtype=dtype)
        theirs = to_torch(ours)
        back = from_torch(theirs)
        assert str(theirs.dtype) == f"torch.{dtype.name}"
        assert back.dtype is dtype
        assert theirs.data_ptr() == address(ours._data) == address(back._data)


def test_our_module_in_pytorch(torch, x):
    ours = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    module = to_torch(ours)
    assert list(module.state_dict()) == list(ours.state_dict())
    t = torch.tensor(x, requires_grad=True)
    assert torch.autograd.gradcheck(module, t)
    assert torch.autograd.gradgradcheck(module, t)
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)).double()
    theirs.load_state_dict(module.state_dict())

    def penalty(network):  # the gradient's gradient with respect to the parameters
        (slope,) = torch.autograd.grad(network(t).sum(), t, create_graph=True)
        return network(t).square().sum() + slope.square().sum()

    for network in (module, theirs):
        for _ in range(2):
            parameters = list(network.parameters())
            slopes = torch.autograd.grad(penalty(network), parameters)
            with torch.no_grad():
                for p, slope in zip(parameters, slopes):
                    p -= 0.05 * slope
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-12, atol=1e-13, err_msg=name)


def test_their_module_in_gpunn(torch, x):
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Softplus(), torch.nn.Linear(5, 2)).double()
    module = from_torch(theirs)
    assert list(module.state_dict()) == list(theirs.state_dict())
    t = gpunn.tensor(x, requires_grad=True)
    assert gpunn.autograd.gradcheck(module, t)
    assert gpunn.autograd.gradgradcheck(module, t)
    ours = nn.Sequential(nn.Linear(3, 5), nn.Softplus(), nn.Linear(5, 2)).double()
    ours.load_state_dict(module.state_dict())
    for network in (module, ours):
        optimizer = gpunn.optim.Adam(network.parameters(), lr=0.05)
        for _ in range(2):
            optimizer.zero_grad()
            network(t).square().sum().backward()
            optimizer.step()
    for p, q in zip(theirs.parameters(), ours.parameters()):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-12, atol=1e-13)


def test_buffers_modes_and_types_follow(torch, x):
    ours, theirs = nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    module, t = to_torch(ours), torch.tensor(x, dtype=torch.float32)
    for network in (module, theirs):
        network(t)
        network.eval()
    np.testing.assert_allclose(ours.running_var.numpy(), theirs.running_var.numpy(), rtol=1e-6)
    torch.testing.assert_close(module(t), theirs(t))
    assert not ours.training
    module.double()
    assert module(t.double()).dtype == torch.float64
    assert ours.weight.dtype is gpunn.float64

    theirs = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5))
    module = from_torch(theirs)
    module(gpunn.tensor(x).float())
    assert module.get_buffer("0.running_mean").tolist() == theirs[0].running_mean.tolist() != [0, 0, 0]
    assert not module.eval().torch_module[1].training
    assert module.double()(gpunn.tensor(x)).dtype is gpunn.float64


def test_networks_and_functions_of_both(torch, x):
    ours = gpunn.tensor(x, requires_grad=True)
    mixed = nn.Sequential(nn.Linear(3, 3).double(), from_torch(torch.nn.Linear(3, 2).double()))
    assert gpunn.autograd.gradcheck(mixed, ours)
    assert gpunn.autograd.gradgradcheck(from_torch(torch.nn.functional.softplus), ours)
    theirs = torch.tensor(x, requires_grad=True)
    mixed = torch.nn.Sequential(torch.nn.Linear(3, 3).double(), to_torch(nn.Linear(3, 2).double()))
    assert torch.autograd.gradcheck(mixed, theirs)
    product = to_torch(lambda a, b, scale: {"sum": (a * b).sum(0) * scale, "largest": a.argmax()})
    assert torch.autograd.gradgradcheck(lambda a, b: product(a, b, scale=2)["sum"], (theirs, theirs.detach() + 1))
    assert product(theirs, theirs, 1)["largest"].item() == x.argmax()
    with torch.no_grad():
        assert not product(theirs, theirs, 1)["sum"].requires_grad


def test_what_has_several_names_stays_one(torch, x):
    """Weights and layers that are used twice: PyTorch's own state_dict and gradients are what is expected."""

    def tied(library):
        model = library.Sequential(library.Linear(3, 3), library.BatchNorm1d(3), library.Linear(3, 3))
        model[2].weight = model[0].weight
        return model.append(model[1]).double()

    theirs = tied(torch.nn)
    ours, back = from_torch(theirs), to_torch(tied(nn))
    back.load_state_dict(theirs.state_dict())
    assert [*ours.state_dict()] == [*back.state_dict()] == [*theirs.state_dict()]
    batch = torch.arange(15.0).double().reshape(5, 3).sin()
    losses = [m(batch).square().mean() for m in (theirs, back)] + [ours(from_torch(batch)).square().mean()]
    for loss in losses:
        loss.backward()
    for model in (back, ours):
        assert len(list(model.parameters())) == len(list(theirs.parameters()))
        for p, q in zip(model.parameters(), theirs.parameters()):
            np.testing.assert_allclose(p.grad.tolist(), q.grad.tolist(), rtol=1e-12, atol=1e-13)
    assert pickle.loads(pickle.dumps(back))(batch).shape == (5, 3)


def test_names_of_any_kind(torch):
    class Two(NamedTuple):
        a: object
        b: object

    assert from_torch(lambda x: Two(x * 2, x))(gpunn.ones(1)).a.item() == 2
    parallel = torch.nn.Module()  # as DataParallel does
    parallel.module = torch.nn.Linear(3, 2)
    assert [*from_torch(parallel).state_dict()] == ["module.weight", "module.bias"]


def test_a_step_with_their_module_is_done_op_by_op(torch, x):
    module = from_torch(torch.nn.Linear(3, 2).double())
    step = gpunn.TrainStep(module, lambda y, t: (y - t).square().sum(), gpunn.optim.SGD(module.parameters(), lr=0.1))
    with pytest.warns(UserWarning, match="Linear is PyTorch's, so steps are done op by op"):
        step(gpunn.tensor(x), gpunn.zeros(2, 2).double())


def test_what_is_no_tensor_or_module(torch):
    for function in (to_torch, from_torch):
        with pytest.raises(TypeError, match="a tensor, a module or a function"):
            function(3)


def test_jax_shares_memory():
    """In a process of its own: JAX starts threads, and what forks behind that is warned of."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed")
    script = "from tests.interop.test_torch import share_memory_with_jax; share_memory_with_jax()"
    subprocess.run([sys.executable, "-c", script], check=True)


def share_memory_with_jax():
    import jax

    array = jax.numpy.arange(4.0)
    ours = gpunn.from_dlpack(array)
    assert ours.tolist() == [0, 1, 2, 3]
    assert ours.dtype is gpunn.float32
    assert address(ours._data) == array.unsafe_buffer_pointer()
    raw = np.ones(80, np.float32)  # JAX takes no memory over that does not lie at a multiple of 64 bytes
    aligned = gpunn.from_numpy(raw[-address(raw) % 64 // 4 :][:4])
    theirs = jax.dlpack.from_dlpack(aligned)
    assert theirs.tolist() == [1, 1, 1, 1]
    assert theirs.unsafe_buffer_pointer() == address(aligned._data)
