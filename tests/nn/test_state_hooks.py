"""Hooks around a module's state, its extra state, and hooks that see more: the same program in PyTorch."""

from __future__ import annotations

import pytest

import gpunn
from gpunn import nn

BOTH = pytest.mark.parametrize("name", ["saving", "loading", "forgiven", "assigned", "backward", "always", "parts"])


def counting(t):
    class Counting(t.nn.Linear):
        seen = 0

        def get_extra_state(self):
            return {"seen": self.seen}

        def set_extra_state(self, state):
            self.seen = state["seen"]

    model = t.nn.Sequential(Counting(2, 2), t.nn.Linear(2, 1))
    model[0].seen = 7
    return model


def saving(t):
    model, calls = counting(t), []
    model[1].register_state_dict_pre_hook(lambda m, prefix, keep: calls.append((m is model[1], prefix, keep)))
    model.register_state_dict_post_hook(lambda m, state, prefix, _: state.update({prefix + "more": 1}))
    state = model.state_dict(prefix="net.")
    return list(state), state["net.0._extra_state"], calls


def loading(t):
    model, calls, seen = counting(t), [], []

    def before(m, state, prefix, _, strict, missing, unexpected, errors):
        calls.append((prefix, strict, len(state)))
        state[prefix + "bias"] = state.pop(prefix + "old")

    state = model.state_dict()
    state["1.old"] = state.pop("1.bias")
    state["0._extra_state"] = {"seen": 9}
    model[1].register_load_state_dict_pre_hook(before)
    model.register_load_state_dict_post_hook(lambda m, keys: seen.append((m is model, list(keys.missing_keys))))
    found = model.load_state_dict(state)
    return calls, seen, model[0].seen, found.missing_keys, found.unexpected_keys, "1.old" in state


def forgiven(t):
    model = counting(t)
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "0._extra_state"'):
        model.load_state_dict({k: v for k, v in model.state_dict().items() if "extra" not in k})
    handle = model.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    found = model.load_state_dict({})
    handle.remove()
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict({})
    return found.missing_keys, found.unexpected_keys


def assigned(t):
    model, before = t.nn.BatchNorm1d(2), t.nn.BatchNorm1d(2).double().state_dict()
    model.weight.requires_grad_(False)
    model.load_state_dict(before, assign=True)
    state = model.state_dict()
    shared = state["running_mean"].data_ptr() == before["running_mean"].data_ptr()
    flags = model.weight.requires_grad, model.bias.requires_grad, isinstance(model.weight, t.nn.Parameter)
    return [str(v.dtype).split(".")[1] for v in state.values()], shared, flags


def backward(t):
    model, calls = t.nn.Linear(2, 2, dtype=t.float64), []
    model.register_full_backward_pre_hook(lambda m, grads: (grads[0] * 2,))
    model.register_full_backward_pre_hook(lambda m, grads: calls.append(("first", grads[0].tolist())), prepend=True)
    model.register_full_backward_hook(lambda m, grad_in, grad_out: calls.append(grad_out[0].tolist()))
    model(t.ones(1, 2, dtype=t.float64, requires_grad=True)).sum().backward()
    return calls, model.bias.grad.tolist()


def always(t):
    class Fails(t.nn.Module):
        def forward(self, x):
            raise KeyError("no")

    model, calls = Fails(), []
    model.register_forward_hook(lambda m, args, out: calls.append(out), always_call=True)
    model.register_forward_hook(lambda m, args, kw, out: calls.append(1 / 0), always_call=True, with_kwargs=True)
    model.register_forward_hook(lambda m, args, out: calls.append("not this"))
    with pytest.warns(UserWarning, match="always_call=True"), pytest.raises(KeyError):
        model(1)
    return calls


def parts(t):
    model = t.nn.Sequential(t.nn.Sequential(t.nn.Linear(2, 2)))
    model.set_submodule("0.0", t.nn.ReLU())
    model.set_submodule("0.new", t.nn.Tanh())
    for path, what, error in (("0.7", model, AttributeError), ("", model, ValueError), ("0.0", 1, ValueError)):
        with pytest.raises(error):
            model.set_submodule(path, what, strict=True)
    moved = t.nn.BatchNorm1d(1).type(t.float64)
    empty = t.nn.Sequential(t.nn.Linear(1, 1)).to_empty(device="meta", recurse=False)
    return (
        str(model),
        str(moved.num_batches_tracked.dtype)[-7:],
        str(empty[0].weight.device),
        model.share_memory() is model,
    )


@BOTH
def test_as_torch(torch, name):
    assert globals()[name](gpunn) == globals()[name](torch)


def test_nothing_is_written_where_shapes_differ():
    model = nn.Linear(2, 1)
    model.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    before = model.bias.item()
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        model.load_state_dict({"bias": gpunn.tensor([9.0]), "weight": gpunn.ones(3, 3)})
    assert model.bias.item() == before
    with pytest.raises(RuntimeError, match="no get_extra_state"):
        model.get_extra_state()
