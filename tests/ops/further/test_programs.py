"""What programs ask of tensors and of the library, and functions under PyTorch's other names, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn.later import IN_PLACE

X = np.array([[0.5, -1.25, 2.0], [3.0, 0.25, -0.5]])


def tensor(t, x=X):
    return t.tensor(x)


ASKED = {
    "is_tensor": lambda t: [t.is_tensor(tensor(t)), t.is_tensor(3)],
    "types": lambda t: [t.is_floating_point(tensor(t)), t.is_complex(tensor(t)), tensor(t).is_signed()],
    "unsigned": lambda t: [t.is_signed(t.zeros(2, dtype=t.uint8)), tensor(t).is_conj(), t.is_neg(tensor(t))],
    "type": lambda t: [tensor(t).type().split(".")[-1], tensor(t).type(t.int64).tolist(), t.typename(3)],
    "type by name": lambda t: [
        str(tensor(t).type(f"{t.__name__}.IntTensor").dtype)[6:],
        tensor(t).type(t.FloatTensor).tolist(),
    ],
    "casts": lambda t: [str(f(tensor(t)).dtype)[6:] for f in (t.Tensor.byte, t.Tensor.char, t.Tensor.short)],
    "sizes": lambda t: [t.numel(tensor(t)), tensor(t).ndimension(), tensor(t).dense_dim(), tensor(t).sparse_dim()],
    "where": lambda t: [tensor(t).where(tensor(t) > 0, t.zeros(1, dtype=t.float64)).tolist(), t.get_device(tensor(t))],
    "memory": lambda t: [tensor(t)[1, 1:].storage_offset(), tensor(t).is_set_to(tensor(t)), tensor(t).t().dim_order()],
    "is_distributed": lambda t: [t.is_distributed(tensor(t)), tensor(t).type().count(".")],
    "amax of booleans": lambda t: (
        t.tensor([True, False, True])
        .scatter_reduce(0, t.tensor([0, 1]), t.tensor([False, False]), "amax", include_self=False)
        .tolist()
    ),
    "no orders": lambda t: t.special.hermite_polynomial_h(t.ones(0), t.ones(0)).tolist(),
    "can_cast": lambda t: [t.can_cast(t.float64, t.int32), t.can_cast(t.int32, t.float16), t.can_cast(t.int64, t.int8)],
    "is_nonzero": lambda t: [t.is_nonzero(t.tensor(2)), tensor(t).is_same_size(t.zeros(2, 3)), tensor(t).is_cpu],
    "H": lambda t: [tensor(t).H.tolist(), tensor(t).mH.shape == (3, 2), tensor(t).is_sparse, tensor(t).is_meta],
    "resize_": lambda t: [
        tensor(t).resize_(3).tolist(),
        tensor(t).resize_(2, 2).tolist(),
        tensor(t).resize_as_(t.zeros(1)).tolist(),
    ],
    "apply_": lambda t: [
        tensor(t).apply_(lambda v: v * 2).tolist(),
        tensor(t).map_(tensor(t), lambda a, b: a - b).tolist(),
    ],
    "in place": lambda t: [
        tensor(t).squeeze_().unsqueeze_(0).transpose_(0, 2).shape == (3, 2, 1),
        t.zero_(tensor(t)).tolist(),
    ],
    "shapes": lambda t: [list(tensor(t).t_().swapaxes_(0, 1).shape), list(tensor(t).as_strided_((2,), (1,)).shape)],
    "set_": lambda t: [tensor(t).set_(t.zeros(2, dtype=t.float64)).tolist()],
    "new": lambda t: [list(tensor(t).new_empty_strided((2, 3), (1, 2)).stride())],
    "layer_norm": lambda t: [t.layer_norm(tensor(t), (3,)).tolist(), t.rms_norm(tensor(t), (3,), None, 1e-5).tolist()],
    "batch_norm": lambda t: [t.batch_norm(tensor(t), None, None, None, None, True, 0.1, 1e-5, False).tolist()],
    "instance_norm": lambda t: [
        t.instance_norm(tensor(t)[None], None, None, None, None, True, 0.1, 1e-5, False).tolist()
    ],
    "group_norm": lambda t: [t.group_norm(tensor(t), 1).tolist(), t.dropout(tensor(t), 0.5, False).tolist()],
    "embedding": lambda t: [
        t.embedding(tensor(t), t.tensor([1, 0])).tolist(),
        t.constant_pad_nd(tensor(t), (1, 0), 2.0).tolist(),
    ],
    "losses": lambda t: [
        t.binary_cross_entropy_with_logits(tensor(t), tensor(t) * 0 + 0.3, None, None, 2).item(),
        t.kl_div(tensor(t), tensor(t).abs(), 0).tolist(),
        t.cosine_embedding_loss(tensor(t), tensor(t) + 1, t.ones(2), 0.0, 1).item(),
        t.hinge_embedding_loss(tensor(t), t.ones(2, 3)).tolist(),
        t.margin_ranking_loss(tensor(t), tensor(t) + 1, t.ones(2, 3)).tolist(),
        t.poisson_nll_loss(tensor(t), tensor(t).abs(), True, False, 1e-8, 1).item(),
        t.triplet_margin_loss(tensor(t), tensor(t) + 1, tensor(t) - 2).tolist(),
    ],
    "cells": lambda t: [
        t.rnn_tanh_cell(tensor(t), tensor(t), *weights(t, 1)).tolist(),
        t.rnn_relu_cell(tensor(t), tensor(t), *weights(t, 1)).tolist(),
        t.gru_cell(tensor(t), tensor(t), *weights(t, 3)).tolist(),
        *(v.tolist() for v in t.lstm_cell(tensor(t), (tensor(t), tensor(t)), *weights(t, 4))),
    ],
    "fill": lambda t: [t.fill(tensor(t), t.tensor(2.0)).tolist(), t.rsub(tensor(t), tensor(t)).tolist()],
    "settings": lambda t: [t.get_float32_matmul_precision(), t.get_num_interop_threads() >= 1, t.is_anomaly_enabled()],
}


def weights(t, gates):
    w = np.cos(np.arange(9.0 * gates)).reshape(3 * gates, 3)
    return t.tensor(w), t.tensor(w * 0.5), t.tensor(w[:, 0].copy()), t.tensor(w[:, 1].copy())


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.filterwarnings("ignore")
def test_as_torch(torch, name):
    for found, wanted in zip(ASKED[name](gpunn), ASKED[name](torch), strict=True):
        if isinstance(wanted, (list, float)) and not isinstance(wanted, bool):
            np.testing.assert_allclose(found, wanted, rtol=1e-10) if not isinstance(wanted, str) else None
        else:
            assert found == wanted


@pytest.mark.parametrize("name", IN_PLACE)
def test_functions_that_change_their_argument(torch, name):
    others = {"addmv": [X, X[0]], "clamp": [0.1, 0.5], "clamp_max": [0.5], "clamp_min": [0.1], "clip": [0.1, 0.5]}
    others |= {"fill": [2.0], "gcd": [3], "ldexp": [X], "xlogy": [np.abs(X)], "lcm": [3], "resize_as": [X[0]]}
    others |= {"as_strided": [(2,), (1,)], "addmv": [X, X[0]]}
    values = np.array([0.3, 0.6]) if name == "addmv_" else np.array([[0.2, 0.4, 0.9], [0.5, 0.3, 0.6]])
    results = []
    for t in (torch, gpunn):
        x = t.tensor(
            np.array([4, 6]) if name in ("gcd_", "lcm_") else values + (name == "acosh_") + (name == "arccosh_")
        )
        args = [t.tensor(a) if isinstance(a, np.ndarray) else a for a in others.get(name[:-1], [])]
        if name in ("gcd_", "lcm_"):
            args = [t.tensor(3)]
        if name == "index_put_":
            args = [(t.tensor([0]),), t.tensor(5.0, dtype=t.float64)]
        function = getattr(t, name, None) or getattr(t.Tensor, name)
        assert function(x, *args) is x
        results.append(x.detach().numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


def test_printing():
    x = gpunn.tensor([1.23456789, 1000.0])
    try:
        gpunn.set_printoptions(precision=2)
        assert repr(x) == "tensor([   1.23, 1000.  ])"
        gpunn.set_printoptions(sci_mode=True)
        assert "1.23e+00" in repr(x)
        gpunn.set_printoptions(profile="default")
        assert repr(x) == "tensor([   1.2346, 1000.    ])"
        gpunn.set_printoptions(threshold=3, edgeitems=1)
        assert repr(gpunn.arange(9)) == "tensor([0, ..., 8])"
    finally:
        gpunn.set_printoptions(profile="default")
    with pytest.raises(ValueError, match="a profile is one of default, short, full"):
        gpunn.set_printoptions(profile="tiny")


def test_settings():
    threads = gpunn.get_num_threads()
    gpunn.set_num_threads(1)
    assert gpunn.get_num_threads() == 1
    gpunn.set_num_threads(threads)
    with pytest.raises(RuntimeError, match="positive integer"):
        gpunn.set_num_threads(0)
    assert gpunn.seed() != gpunn.seed()
    gpunn.set_float32_matmul_precision("high")
    assert gpunn.get_float32_matmul_precision() == "high"
    gpunn.set_float32_matmul_precision("highest")
    with pytest.raises(RuntimeError, match="takes highest, high, medium"):
        gpunn.set_float32_matmul_precision("low")
    gpunn.set_default_tensor_type(gpunn.DoubleTensor)
    assert gpunn.get_default_dtype() is gpunn.float64
    gpunn.set_default_tensor_type("gpunn.FloatTensor")
    assert gpunn.get_default_dtype() is gpunn.float32
    gpunn.set_deterministic_debug_mode("warn")
    with pytest.warns(UserWarning, match="no nondeterministic algorithms"):
        gpunn.set_deterministic_debug_mode(0)
    with pytest.raises(RuntimeError, match="takes 0, 1, 2 or default"):
        gpunn.set_deterministic_debug_mode(7)
    assert gpunn.get_deterministic_debug_mode() == 2
    assert not gpunn.set_flush_denormal(True) and gpunn.compile(tensor) is tensor and gpunn.compile()(tensor) is tensor
    gpunn.set_anomaly_enabled(True)
    assert gpunn.is_anomaly_enabled() and gpunn.is_anomaly_check_nan_enabled()
    gpunn.set_anomaly_enabled(False)


def test_hooks_behind_the_accumulation(torch):
    seen = []
    for t in (gpunn, torch):
        x = t.tensor(X, requires_grad=True)
        found = []
        handle = x.register_post_accumulate_grad_hook(lambda p, found=found: found.append(p.grad.tolist()))
        (x * 2).sum().backward()
        (x * 2).sum().backward()
        handle.remove()
        (x * 2).sum().backward()
        y = (x * 3).tanh()
        y.retain_grad()
        seen.append((found, y.retains_grad, x.retains_grad, y.output_nr))
        with pytest.raises(RuntimeError, match="non-leaf"):
            y.register_post_accumulate_grad_hook(print)
    assert seen[0] == seen[1]


def test_what_is_refused():
    x = gpunn.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="cannot resize variables that require grad"):
        x.resize_(3)
    with pytest.raises(RuntimeError, match="takes a tensor of one element"):
        x.is_nonzero()
    with pytest.raises(RuntimeError, match="leaf Variable"):
        x.unsqueeze_(0)
    with pytest.raises(RuntimeError, match=r"use \.mT"):
        _ = gpunn.ones(2, 2, 2).H
    with pytest.raises(TypeError, match="only implemented on CPU tensors"):
        gpunn.ones(2, device="sim").apply_(abs)
    with pytest.raises(ValueError, match="which copy=False forbids"):
        gpunn.asarray([1.0], copy=False)
    with pytest.raises(RuntimeError, match="reach beyond 2 elements"):
        x.as_strided((3,), (1,))
    with pytest.raises(RuntimeError, match="leave gaps, or overlap"):
        gpunn.empty_strided((2, 2), (5, 1))
    with pytest.raises(ValueError, match=r"a reduction is 0 \(none\)"):
        gpunn.kl_div(x, x, 7)
    with pytest.raises(RuntimeError, match="reduces by sum, prod"):
        gpunn.scatter_reduce(x, 0, gpunn.tensor([0]), x, "median")
    with pytest.raises(RuntimeError, match="takes integers"):
        gpunn.gcd(x, x)
    with pytest.raises(RuntimeError, match="does not support negative n"):
        gpunn.polygamma(-1, x)
    with pytest.raises(RuntimeError, match="add or multiply"):
        gpunn.scatter(x, 0, gpunn.tensor([0]), x, reduce="max")


def test_functions_in_a_plan():
    def loss(p, y):
        mixed = gpunn.erfc(p) * gpunn.lgamma(y + 1) + p.cumprod(1) + gpunn.linalg.inv(p @ p.mT + gpunn.eye(3))
        return gpunn.scatter_reduce(mixed, 0, gpunn.tensor([[0, 1, 1]]), y[:1], "amax").sum()

    losses = []
    for planned in (False, True):
        gpunn.manual_seed(0)
        model = gpunn.nn.Linear(3, 3)
        optimizer = gpunn.optim.SGD(model.parameters(), lr=0.1)
        step = gpunn.TrainStep(model, loss, optimizer, fuse=False)
        x, y = gpunn.rand(3, 3), gpunn.rand(3, 3)
        found = []
        for _ in range(2):
            if planned:
                found.append(step(x, y).item())
            else:
                value = loss(model(x), y)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                found.append(value.item())
        losses.append(found)
    assert losses[0] == losses[1]


def test_an_index_out_of_range():
    x = gpunn.ones(2)
    for index in (-1, 2):
        with pytest.raises(IndexError, match="out of range"):
            gpunn.scatter_reduce(x, 0, gpunn.tensor([index]), x[:1], "prod")
