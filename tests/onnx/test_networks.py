"""Networks that are exported: onnxruntime and gpunn compute of the file what they compute; and what can't be."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest

import gpunn
from gpunn import nn

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from ..documents import programs  # noqa: E402
from .networks import Ops, samples  # noqa: E402

SAMPLES = samples()


def flat(result):
    if isinstance(result, gpunn.Tensor):
        return [result]
    return [t for part in (result.values() if isinstance(result, dict) else result) for t in flat(part)]


def exported(name, opset=None):
    sample = SAMPLES[name]
    return gpunn.onnx.export(sample.model, sample.args, dynamic_axes=sample.dynamic, opset_version=opset)


def expected(name, args):
    with gpunn.no_grad():
        return [t.numpy() for t in flat(SAMPLES[name].model.eval()(*args))]


def compare(found, wanted):
    assert len(found) == len(wanted)
    for i, (y, e) in enumerate(zip(found, wanted)):
        assert (y.dtype, y.shape) == (e.dtype, e.shape), i
        np.testing.assert_allclose(y, e, rtol=2e-5, atol=2e-5, err_msg=str(i))


@pytest.mark.parametrize("name", SAMPLES)
def test_in_onnxruntime(name):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    for opset in (18, 21):
        session = runtime.InferenceSession(exported(name, opset).SerializeToString())
        names = [i.name for i in session.get_inputs()]
        for args in (SAMPLES[name].args, *SAMPLES[name].others):
            compare(session.run(None, {n: x.numpy() for n, x in zip(names, args)}), expected(name, args))


@pytest.mark.parametrize("name", SAMPLES)
def test_back_in_gpunn(name):
    model = SAMPLES[name].model
    network = gpunn.onnx.load(exported(name, 20))
    keys = [k for k in model.state_dict() if not k.endswith("num_batches_tracked")]
    assert sorted(network.state_dict()) == sorted(keys)
    assert {k for k, _ in network.named_parameters()} == {k for k, _ in model.named_parameters()}
    for args in (SAMPLES[name].args, *SAMPLES[name].others):
        with gpunn.no_grad():
            compare([y.numpy() for y in flat(network(*args))], expected(name, args))


def test_a_loaded_network_trains_as_the_one_that_was_exported():
    x, y = gpunn.randn(6, 3, 8, 8), gpunn.randint(10, (6,))
    ours = SAMPLES["resnet"].model
    theirs = gpunn.onnx.load(exported("resnet"))
    losses = []
    for model in (ours, theirs):
        step = gpunn.TrainStep(model.train(), nn.CrossEntropyLoss(), gpunn.optim.SGD(model.parameters(), lr=0.1))
        losses.append([step(x, y).item() for _ in range(4)])
        assert len(step.plans_made) == 1  # shapes are no reason to work op by op
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)  # a pooling of one window is a mean in the file
    assert losses[0][-1] < losses[0][0]
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(value.numpy(), ours.state_dict()[key].numpy(), rtol=1e-4, atol=1e-6, err_msg=key)


def test_what_pytorch_exported(torch, tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Hardswish(), torch.nn.Flatten()
    )
    model = torch.nn.Sequential(model, torch.nn.Linear(64, 3)).train()
    model(torch.randn(4, 2, 6, 6))
    x = torch.randn(2, 2, 6, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
        torch.onnx.export(model.eval(), x, tmp_path / "model.onnx", dynamo=False, **options)
    network = gpunn.onnx.load(tmp_path / "model.onnx")
    keys = {k for k in model.state_dict() if not k.endswith("num_batches_tracked")}
    assert set(network.state_dict()) == keys
    compare([network(gpunn.tensor(x.numpy())).detach().numpy()], [model(x).detach().numpy()])


def test_arguments_and_results():
    file = io.BytesIO()
    step = gpunn.EvalStep(SAMPLES["mlp"].model)
    made = gpunn.onnx.export(
        step, gpunn.ones(2, 8), file, input_names=["x"], output_names=["y"], dynamic_shapes=({0: "n"},)
    )
    assert file.getvalue() == made.SerializeToString()
    assert onnx.helper.printable_value_info(made.graph.input[0]) == "%x[FLOAT, nx8]"
    assert onnx.helper.printable_value_info(made.graph.output[0]) == "%y[FLOAT, y_0x4]"
    network = gpunn.onnx.load(io.BytesIO(file.getvalue()))
    assert network(x=gpunn.ones(3, 8)).shape == (3, 4)
    with pytest.raises(TypeError, match="missing: x"):
        network()
    with pytest.raises(TypeError, match="input x is ndarray"):
        network(np.ones((1, 8), np.float32))
    ops = SAMPLES["ops"]
    named = gpunn.onnx.export(ops.model, ops.args[:1], kwargs={"x": ops.args[1], "flag": False})
    assert [i.name for i in named.graph.input] == ["index", "x"]


class Loop(nn.Module):
    def forward(self, x):
        return sum(x[i] for i in range(x.shape[0]))


class Read(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Random(nn.Module):
    def forward(self, x):
        return x + gpunn.rand(3)


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (Loop(), {"dynamic_axes": {"x": [0]}}, gpunn.onnx.ExportError, "does something else where the sizes x_0"),
        (Read(), {}, gpunn.onnx.ExportError, "has no graph: .* reads the elements"),
        (Random(), {}, gpunn.onnx.ExportError, "Draw .*no ONNX operator"),
        (Loop(), {"dynamic_axes": {"x": {5: "n"}}}, ValueError, "no axis 5"),
        (Loop(), {"dynamic_shapes": {"z": {0: "n"}}}, ValueError, "got z"),
        (Loop(), {"input_names": ["a", "b"]}, ValueError, "1 different names"),
        (Loop(), {"output_names": ["a", "b"]}, ValueError, "1 results, got 2"),
        (Loop(), {"output_names": ["x"]}, ValueError, "name 'x' of another one"),
        (Loop(), {"opset_version": 9}, ValueError, "expected 18 to"),
    ],
)
def test_what_can_not_be_exported(model, options, error, message):
    with pytest.raises(error, match=message):
        gpunn.onnx.export(model, gpunn.ones(3), **options)


def test_a_model_is_left_as_it_is():
    model = Ops().train()
    model.layer.eval()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    gpunn.onnx.export(model, SAMPLES["ops"].args)
    assert model.training
    assert not model.layer.training
    assert all((v == state[k]).all() for k, v in model.state_dict().items())


def test_files_that_are_not_whole(tmp_path):
    content = exported("mlp").SerializeToString()
    for damaged in (b"", content[:-100], b"\xff" * 50, content.replace(b"Gemm", b"Gemn")):
        (tmp_path / "model.onnx").write_bytes(damaged)
        with pytest.raises(gpunn.io.FileFormatError, match=r"model\.onnx"):
            gpunn.onnx.load(tmp_path / "model.onnx")
    with pytest.raises(FileNotFoundError):
        gpunn.onnx.load(tmp_path / "none.onnx")
    network = gpunn.onnx.load(exported("lenet"))
    with pytest.raises(RuntimeError, match="in the node '0/Conv', Conv"):
        network(gpunn.ones(1, 2, 28, 28))


def test_names_that_are_no_text():
    model = gpunn.onnx.export(nn.Sequential(nn.Linear(3, 2)), gpunn.ones(1, 3))
    content = model.SerializeToString()
    assert b"0.weight" in content
    with pytest.raises(gpunn.io.FileFormatError, match=r"it has the name b'\\xff.weight', which is no text in UTF-8"):
        gpunn.onnx.load(io.BytesIO(content.replace(b"0.weight", b"\xff.weight")))


def test_names_that_are_in_the_way():
    """Of initializers that are called like methods, like paths of one another, or like nothing."""
    helper, arrays = onnx.helper, {"forward": 1.0, "a": 2.0, "a.b": 4.0, "x.": 8.0, "training": 16.0, "x..y": 32.0}
    tensors = [onnx.numpy_helper.from_array(np.float32([v]), n) for n, v in arrays.items()]
    graph = helper.make_graph(
        [helper.make_node("Sum", ["input", *arrays], ["y"])],
        "sum",
        [helper.make_tensor_value_info("input", 1, [1])],
        [helper.make_tensor_value_info("y", 1, [1])],
        tensors,
    )
    network = gpunn.onnx.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    assert len(list(network.parameters())) == len(set(network.state_dict())) == 6
    network.load_state_dict(network.state_dict())
    y = network(gpunn.zeros(1))
    y.backward()
    assert y.item() == 63
    assert all(p.grad.item() == 1 for p in network.parameters())
    assert not network.training


def test_the_program_of_the_docs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(programs((Path(__file__).parents[2] / "docs" / "onnx.md").read_text())[0].text, {})
    assert capsys.readouterr().out == "(5, 3) ['0.weight', '0.bias', '3.weight', '3.bias']\n"


def test_a_border_around_an_open_batch():
    class Bordered(nn.Module):
        def forward(self, x):
            return nn.functional.pad(x, (1, 2), value=3.0)

    made = gpunn.onnx.export(Bordered(), gpunn.ones(2, 3), dynamic_axes={"x": [0, 1]})
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    wanted = np.pad(x, ((0, 0), (1, 2)), constant_values=3)
    np.testing.assert_array_equal(gpunn.onnx.load(made)(gpunn.tensor(x)).numpy(), wanted)
