"""`gpunn doctor --compile`."""

from __future__ import annotations

import argparse

import pytest

from gpunn.backend import nvrtc
from gpunn.cli.abstract import texts_of
from gpunn.inspect.doctor import here
from gpunn.inspect.doctor.nvidia import Driver, Gpu


@pytest.fixture
def cache(cuda_compiler, monkeypatch, tmp_path):
    """An empty cache, and one kernel text, in two types."""
    kernels, folder = tmp_path / "kernels", tmp_path / "cache"
    kernels.mkdir()
    (kernels / "t.cu").write_text(
        "// compiled for scalar_t = float32, int32\n"
        'extern "C" __global__ void f(scalar_t* x) { x[threadIdx.x] = x[threadIdx.x] + 1; }\n'
    )
    monkeypatch.setattr("gpunn.backend.kernel_texts._folder", lambda package: kernels)
    monkeypatch.setenv("GPUNN_CACHE", str(folder))
    return folder / "nvrtc"


def test_everything_once(gpunn_command, cache) -> None:
    found = gpunn_command("doctor", "--compile", "--all", "--arch", "sm_75,sm_90", "--json").json
    assert (found["kernels"], found["compiled"], found["archs"]) == (4, 4, ["sm_75", "sm_90"])
    assert (found["folder"], found["bytes"]) == (str(cache), sum(path.stat().st_size for path in cache.iterdir()))
    lines = gpunn_command("doctor", "--compile", "--all", "--arch", "sm_75,sm_80").out.splitlines()
    assert lines[0].startswith("4 kernels for sm_75, sm_80 by NVRTC ")
    assert lines[0].endswith(": 2 compiled now")
    assert lines[1].startswith(f"kept in {cache}, ")


def test_for_a_device_that_this_compiler_does_not_know(gpunn_command, cache) -> None:
    assert gpunn_command("doctor", "--compile", "--all", "--arch", "compute_90", "--json").json["compiled"] == 2
    result = gpunn_command("doctor", "--compile", "--all", "--arch", "sm_1")
    assert result.code == 2
    assert "does not know 'sm_1'; it knows sm_" in result.err


def test_a_text_that_does_not_compile(gpunn_command, cache) -> None:
    (cache.parents[1] / "kernels" / "bad.cu").write_text('extern "C" __global__ void f(int* x) { x[0] = y; }\n')
    result = gpunn_command("doctor", "--compile", "--all")
    assert result.code == 1
    assert 'bad.cu:1: error: identifier "y" is undefined' in result.err


def test_a_cache_that_cannot_be_written(gpunn_command, cache, monkeypatch) -> None:
    cache.parent.write_text("no folder")
    result = gpunn_command("doctor", "--compile", "--all")
    assert result.code == 1
    assert f"2 could not be kept: {cache} can't be written; GPUNN_CACHE names another folder" in result.err


def test_arch_alone_is_an_error(gpunn_command) -> None:
    assert "--kernels and --compile" in gpunn_command("doctor", "--arch", "sm_90").err


def options(**given) -> argparse.Namespace:
    defaults = {"activation": "relu", "classes": 10, "batch_size": 64, "optimizer": "adam"}
    return argparse.Namespace(**(defaults | given))


def test_the_texts_of_a_network() -> None:
    names = {text.name for text in texts_of(options(model="mlp:32"), (784,))}
    assert {"linear_forward.cu", "linear_backward.cu", "linear_cross_entropy.cu", "optimizer.cu", "fill.cu"} <= names
    assert not {name for name in names if name.startswith(("conv", "max_pool", "batch_norm"))}
    assert {"conv_sliding.cu", "conv_pooled.cu"} <= {
        text.name for text in texts_of(options(model="lenet"), (1, 28, 28))
    }


def test_a_network_that_needs_its_elements_has_the_same_texts(tmp_path) -> None:
    (tmp_path / "net.py").write_text(
        "import gpunn\n"
        "def network(shape, classes):\n"
        "    layers = gpunn.nn.Flatten(), gpunn.nn.Linear(64, 32), gpunn.nn.ReLU(), gpunn.nn.Linear(32, 10)\n"
        "    layers[1].weight.data.sum().item()\n"
        "    return gpunn.nn.Sequential(*layers)\n"
    )
    own = texts_of(options(model=f"{tmp_path}/net.py:network"), (1, 8, 8))
    assert set(own) == set(texts_of(options(model="mlp:32"), (1, 8, 8)))


@pytest.mark.parametrize(
    ("capabilities", "archs"),
    [([], ["sm_90"]), ([(8, 6), (8, 6)], ["sm_86"]), ([(12, 0), (7, 5)], ["sm_75", "sm_120"]), ([(10, 3)], None)],
)
def test_what_is_compiled_for_here(monkeypatch, capabilities, archs) -> None:
    gpus = [Gpu("a GPU", capability, 1 << 30, None) for capability in capabilities]
    monkeypatch.setattr(here, "driver", lambda: Driver((13, 0), "580.1", gpus) if gpus else None)
    monkeypatch.setattr(nvrtc, "known_architectures", lambda major: ("sm_75", "sm_86", "sm_90", "sm_100", "sm_120"))
    assert here.architectures_here(None) == (archs or ["compute_100"])


@pytest.mark.parametrize(
    ("installed", "major"),
    [([], None), ([("cupy-cuda12x", "14.2.0")], 12), ([("cupy-cuda13x", "14.2.0")], 13), ([("cupy", "14.0.0")], None)],
)
def test_whose_compiler_the_device_takes(monkeypatch, installed, major) -> None:
    monkeypatch.setattr(here, "installed_cupy", lambda: installed)
    assert here.cuda_here() == major
