"""Packed sequences: what moves with them, and their other types."""

import numpy as np
import pytest

import gpunn
from gpunn.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_sequence

torch = pytest.importorskip("torch")


def test_the_order_moves_to_the_device_of_the_elements():
    gpunn.manual_seed(0)
    packed = pack_padded_sequence(gpunn.randn(3, 2, 2), [1, 3], enforce_sorted=False)
    layer = gpunn.nn.LSTM(2, 2)
    here = layer(packed)
    there = layer.to("sim")(packed.to("sim"))
    assert there[0].sorted_indices.device.type == "sim" and there[0].batch_sizes.device.type == "cpu"
    np.testing.assert_allclose(there[1][0].detach().cpu().numpy(), here[1][0].detach().numpy(), rtol=1e-5)


def test_other_types_and_the_inverse_order_are_those_of_torch():
    found = []
    for library in (torch, gpunn):
        order, counts = library.tensor([1, 2, 0]), library.tensor([3, 1])
        packed = library.nn.utils.rnn.PackedSequence(library.ones(4), counts, order)
        found.append([packed.unsorted_indices.tolist(), *(str(getattr(packed, m)().data.dtype)[6:] for m in TYPES)])
    assert found[0] == found[1]
    assert isinstance(packed.double()._replace(data=packed.data), PackedSequence)


TYPES = ("double", "float", "half", "cpu")


@pytest.mark.parametrize("function", [pad_sequence, pack_sequence])
def test_no_sequences(function):
    with pytest.raises(RuntimeError, match="empty list of sequences"):
        function([])
