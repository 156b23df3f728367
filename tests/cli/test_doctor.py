"""`gpunn doctor`."""

from __future__ import annotations

import pytest

from gpunn.backend import nvrtc
from gpunn.inspect import doctor
from gpunn.inspect.doctor import ABSENT, WRONG, Diagnosis, Finding


@pytest.fixture
def found(monkeypatch):
    """What doctor finds, to be filled."""
    findings = [Finding("NumPy", "2.4.6", needed=True), Finding("CuPy", "not installed", ABSENT, "pip install cupy")]
    monkeypatch.setattr(doctor, "doctor", lambda: Diagnosis(findings))
    return findings


def test_lines_for_a_pipe(gpunn_command, found) -> None:
    result = gpunn_command("doctor")
    assert result.code == 0
    assert [line.split() for line in result.out.splitlines()] == [
        ["ok", "NumPy", "2.4.6"],
        ["absent", "CuPy", "not", "installed", "->", "pip", "install", "cupy"],
    ]


def test_a_table_on_a_terminal(gpunn_command, found, monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = gpunn_command("doctor").out
    assert "│" in out
    assert "pip install cupy" in out


def test_json(gpunn_command, found) -> None:
    answer = gpunn_command("doctor", "--json").json
    assert answer["works"] is True
    assert answer["findings"][1] == {
        "what": "CuPy", "found": "not installed", "state": "absent", "remedy": "pip install cupy", "needed": False,
    }  # fmt: skip


def test_it_fails_where_the_cpu_path_does(gpunn_command, found) -> None:
    found.append(Finding("GPU 0", "too old", WRONG))
    assert gpunn_command("doctor").code == 0
    found.append(Finding("device cpu", "computes something else", WRONG, needed=True))
    assert gpunn_command("doctor").code == 1
    assert gpunn_command("doctor", "--json").json["works"] is False


def test_this_machine(gpunn_command) -> None:
    answer = gpunn_command("doctor", "--json").json
    states = {f["what"]: f["state"] for f in answer["findings"]}
    assert answer["works"]
    assert states["device cpu"] == "ok"
    assert {"Python", "NumPy", "BLAS", "CuPy", "NVIDIA driver", "NVRTC", "cuBLAS", "CUDA runtime"} <= set(states)


def test_ops(gpunn_command) -> None:
    lines = [line.split() for line in gpunn_command("doctor", "--ops").out.splitlines()]
    assert lines[0] == ["op", "primitive", "on", "a", "GPU", "kernel", "texts"]
    assert ["Softmax", "softmax", "kernel", "softmax.cu"] in lines
    rows = gpunn_command("doctor", "--ops", "--json").json
    assert {"op": "Softmax", "primitive": "softmax", "path": "kernel", "texts": ["softmax.cu"]} in rows


@pytest.fixture
def one_text(cuda_compiler, monkeypatch, tmp_path):
    """A folder with one kernel text of one's own."""
    folder = tmp_path / "kernels"
    folder.mkdir()
    monkeypatch.setattr("gpunn.backend.kernel_texts._folder", lambda package: folder)
    monkeypatch.setenv("GPUNN_CACHE", str(tmp_path / "cache"))
    text = folder / "t.cu"
    text.write_text(
        "// compiled for scalar_t = float32, float64, int32\n"
        'extern "C" __global__ void f(scalar_t* x) { x[threadIdx.x] = x[threadIdx.x] + 1; }\n'
        'extern "C" __global__ void g(scalar_t* x) { __shared__ char s[4]; x[0] = s[threadIdx.x]; }\n'
    )
    return text


def test_kernels_of_one_architecture(gpunn_command, one_text) -> None:
    result = gpunn_command("doctor", "--kernels", "--arch", "sm_80")
    assert result.code == 0, result.err
    title, head, *rows = [line.split() for line in result.out.splitlines()]
    assert title[:3] == ["sm_80,", "by", "NVRTC"]
    assert head == ["text", "kernel", "types", "registers", "stack", "spills", "shared"]
    assert {row[1] for row in rows} == {"f", "g"}
    assert [row[-1] for row in rows if row[1] == "g"] == ["4"] * sum(row[1] == "g" for row in rows)
    (kernel,) = [
        k
        for k in gpunn_command("doctor", "--kernels", "--json").json["kernels"]
        if k["kernel"] == "g" and k["types"] == {"scalar_t": "float32"}
    ]
    assert (kernel["arch"], kernel["shared"], kernel["spill_stores"]) == ("sm_90", 4, 0)


def test_kernels_of_several_architectures(gpunn_command, one_text) -> None:
    result = gpunn_command("doctor", "--kernels", "--arch", "sm_75,sm_90")
    assert result.code == 0, result.err
    _, head, row = [line.split() for line in result.out.splitlines()]
    assert head == ["text", "sm_75", "sm_90"]
    assert row[0] == "t.cu"
    assert all(cell.isdigit() for cell in row[1:])


def test_kernels_that_do_not_compile_or_spill(gpunn_command, one_text) -> None:
    one_text.with_name("bad.cu").write_text('extern "C" __global__ void f(int* x) { x[0] = y; }\n')
    one_text.with_name("big.cu").write_text(
        'extern "C" __global__ void __launch_bounds__(1024, 2) f(float* x) {\n'
        "    float a[64];\n"
        "    for (int i = 0; i < 64; ++i) a[i] = x[i * threadIdx.x];\n"
        "    for (int k = 0; k < 9; ++k)\n"
        "        for (int i = 0; i < 64; ++i) a[i] = a[i] * a[(i + 7) % 64] + x[k];\n"
        "    for (int i = 0; i < 64; ++i) x[i] = a[i];\n"
        "}\n"
    )
    result = gpunn_command("doctor", "--kernels", "--arch", "sm_80,sm_90")
    assert result.code == 1
    cells = {line.split()[0]: line.split()[1:] for line in result.out.splitlines()[2:]}
    assert cells["bad.cu"] == ["error", "error"]
    assert cells["big.cu"] == ["32", "spills", "32", "spills"]
    assert 'bad.cu:1: error: identifier "y" is undefined' in result.err
    assert "f (big.cu sm_90): " in result.err
    assert "2 errors, 2 kernels that spill registers" in result.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--arch", "sm_90"], "say how --kernels and --compile compile"),
        (["--cuda", "12"], "say how --kernels and --compile compile"),
        (["--kernels", "--ops"], "not allowed with"),
        (["--kernels", "--arch", "sm_1"], "does not know the architecture 'sm_1'; it knows"),
    ],
)
def test_wrong_calls(gpunn_command, one_text, arguments, words) -> None:
    result = gpunn_command("doctor", *arguments)
    assert result.code == 2
    assert words in result.err


def test_without_nvrtc_it_says_what_to_install(gpunn_command, monkeypatch) -> None:
    def missing(major):
        raise nvrtc.NvrtcMissing("NVRTC was not found; pip install nvidia-cuda-nvrtc-cu12")

    monkeypatch.setattr(nvrtc, "version", missing)
    result = gpunn_command("doctor", "--kernels")
    assert result.code == 1
    assert "pip install nvidia-cuda-nvrtc-cu12" in result.err


def test_help_has_examples(gpunn_command) -> None:
    result = gpunn_command("doctor", "--help")
    assert result.code == 0
    assert "gpunn doctor --kernels --arch all" in result.out
