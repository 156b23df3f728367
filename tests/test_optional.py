"""With nothing but NumPy and ml_dtypes, and CuPy for a GPU: what is missing is missed where it is used, by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gpunn.optional import needed

ROOT = Path(__file__).parents[1]
BLOCK = """
import sys
for name in ("platformdirs", "rich", "safetensors", "hatchling", "tomli", "tomllib", "matplotlib", "PIL"):
    sys.modules[name] = None
import gpunn
from gpunn import nn, optim
from gpunn.utils.data import DataLoader, TensorDataset
"""
STEP = """
model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).to(DEVICE)
step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.1))
x, y = gpunn.eye(4, device=DEVICE), gpunn.tensor([0, 1, 0, 1], device=DEVICE)
losses = [step(x, y).item() for _ in range(9)]
assert losses[-1] < losses[0], losses
"""
CUDA = """
from tests.backend import fake_cupy
with fake_cupy.installed():
"""
DIGITS = "assert gpunn.datasets.load('digits').x_train.shape == (1438, 1, 8, 8)\n"
TRAINER = """
model = nn.Linear(4, 2)
data = DataLoader(TensorDataset(gpunn.eye(4), gpunn.tensor([0, 1, 0, 1])), batch_size=2)
trainer = gpunn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
assert len(trainer.fit(data, epochs=2)["loss"]) == 2
"""
COMPILE = """
from gpunn.backend import nvrtc
print(nvrtc.compile_text("sort.cu", {}, "sm_90").kernels)
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_training_needs_none_of_them() -> None:
    on_a_gpu = CUDA + STEP.replace("DEVICE", "'cuda'").replace("\n", "\n    ")
    done = run(BLOCK + STEP.replace("DEVICE", "'cpu'") + TRAINER + DIGITS + STEP.replace("DEVICE", "'sim'") + on_a_gpu)
    assert done.returncode == 0, done.stderr


USES = """
from gpunn import inspect, train
uses = (
    lambda: gpunn.save({"x": gpunn.ones(2)}, "never.safetensors"),
    lambda: gpunn.load(train.__file__),
    lambda: str(inspect.summary(nn.Linear(3, 4), (3,))),
    lambda: train.toml.from_toml("a = 1"),
)
for use in uses:
    try:
        use()
    except ImportError as error:
        print(error)
"""


def test_the_error_names_the_wheel() -> None:
    toml = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    assert run(BLOCK + USES).stdout.splitlines() == [
        "gpunn.save needs safetensors: pip install safetensors",
        "gpunn.load needs safetensors: pip install safetensors",
        "a summary as text needs rich: pip install rich",
        f"reading TOML needs {toml}: pip install {toml}",
    ]
    assert not (ROOT / "never.safetensors").exists()


def test_the_command_names_its_wheel() -> None:
    done = run(BLOCK + "from gpunn.cli import main\nsys.exit(main(['memory']))")
    assert (done.returncode, done.stderr) == (1, "gpunn: the command gpunn needs rich: pip install rich\n")


def test_a_kernel_compiles_without_them(cuda_compiler, tmp_path) -> None:
    done = run(f"import os\nos.environ['GPUNN_CACHE'] = {str(tmp_path)!r}\n{BLOCK}{COMPILE}")
    assert done.returncode == 0, done.stderr
    assert "sort_tiles" in done.stdout


def test_what_is_there_is_given() -> None:
    assert needed("json", "this") is sys.modules["json"]
    with pytest.raises(ImportError, match="this needs no_such_wheel: pip install no_such_wheel") as error:
        needed("no_such_wheel.part", "this")
    assert error.value.name == "no_such_wheel"
