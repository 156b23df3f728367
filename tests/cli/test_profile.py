"""`gpunn profile`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from gpunn.inspect.profile import DisassemblerMissing, disassembler

KERNELS = Path(__file__).parents[1] / "inspect" / "profile" / "kernels"
LAUNCH = ["--kernel", f"{KERNELS / 'copy.cu'}:copy", "--gpu", "l4", "--grid", "2", "--threads", "32"]


def test_a_kernel_of_ones_own(gpunn_command, nvdisasm) -> None:
    result = gpunn_command("profile", "--kernel", f"{KERNELS / 'copy.cu'}:copy")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].startswith("copy (copy.cu) on sm_90, by NVRTC ")
    assert lines[4].split()[:2] == ["innermost", "loop"]
    assert lines[5].startswith("copy.cu:3 ")
    assert "LDG.128 1" in lines[5]


def test_how_many_blocks_fit(gpunn_command, nvdisasm) -> None:
    command = ["profile", "--kernel", f"{KERNELS / 'tile.cu'}:tile", "--threads", "256", "--shared", "200000"]
    last = gpunn_command(*command).out.splitlines()[-1]
    assert last == "blocks of 256 threads: a multiprocessor runs 1 at once, 8 of 64 warps, limited by shared memory"
    answer = gpunn_command(*command, "--json").json["occupancy"]
    assert answer == {"blocks": 1, "warps": 8, "most_warps": 64, "limited_by": "shared memory"}


def test_json(gpunn_command, nvdisasm) -> None:
    command = [
        "profile",
        "--kernel",
        "split_k.cu:add_parts",
        "--types",
        "scalar_t=float16",
        "--arch",
        "sm_75",
        "--json",
    ]
    answer = gpunn_command(*command).json
    assert (answer["kernel"], answer["arch"], answer["types"]) == ("add_parts", "sm_75", {"scalar_t": "float16"})
    assert sum(answer["kinds"].values()) == answer["instructions"]
    assert {"file", "lines", "instructions", "stall_cycles", "kinds"} == answer["innermost"][0].keys()
    assert answer["usage"]["registers"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "one of the arguments --kernel --model is required"),
        (["--model", "linear", "--arch", "sm_90"], "--arch is for --kernel; it has no meaning with --model"),
        (["--kernel", "softmax.cu:f", "--shared", "8"], "give their --threads too"),
        (["--kernel", "softmax.cu"], "--kernel is FILE:NAME"),
        (["--kernel", "nothing.cu:f"], "no file 'nothing.cu'"),
        (["--kernel", "split_k.cu:add_parts", "--types", "float16"], "--types is NAME=TYPE"),
        (["--kernel", "split_k.cu:add_parts", "--types", "scalar_t=int8"], "compiled for scalar_t = float32"),
        (["--model", "linear", "--gpu", "h10"], "there are no figures of a GPU 'h10', only of T4, "),
        (["--model", "linear", "--plot", "x.png"], "name a GPU by --gpu too"),
        (["--model", "linear", "--gpu", "l4", "--plot", "x.txt"], "FILE.png or FILE.svg, got 'x.txt'"),
        (["--model", "linear", "--gpu", "l4", "--plot", "nowhere/x.png"], "in a folder that is there"),
        (["--kernel", "softmax.cu:f", "--gpu", "h100"], "give its --grid, --threads and --args too"),
        (["--kernel", "softmax.cu:f", "--grid", "4"], "name a GPU by --gpu too"),
        (["--kernel", "softmax.cu:f", "--plot", "x.png"], "--plot is for --model"),
        (["--kernel", "softmax.cu:f", "--threads", "0"], "--threads is one to three numbers above 0, such as 64,8"),
        ([*LAUNCH, "--args", "64"], "copy(const float4* x, float4* y, int n) takes 3 arguments, got 1"),
        ([*LAUNCH, "--args", "64,64,many"], "int n: a value of int32 is expected, got 'many'"),
        ([*LAUNCH, "--args", "64,-1,64"], "float4* y: a number of elements, of up to 4.0 GiB, is expected, got '-1'"),
        ([*LAUNCH, "--args", "64,999999999999,64"], "of up to 4.0 GiB, is expected, got '999999999999'"),
        ([*LAUNCH, "--args", "64,64,3000000000"], "int n: a value of int32 is expected, got '3000000000'"),
        (LAUNCH, "takes 3 arguments, got 0"),
        (["--model", "nothing", "--gpu", "h100"], "there is no model 'nothing'; there are "),
        ([*LAUNCH, "--args", "64,64,64", "--arch", "sm_75"], "--arch sm_75: L4 is sm_89"),
        (["--kernel", "split_k.cu:add_parts", "--arch", "sm_1"], "does not know the architecture 'sm_1'"),
    ],
)
def test_a_call_that_is_wrong(gpunn_command, nvdisasm, options, message) -> None:
    result = gpunn_command("profile", *options)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_a_text_that_is_not_utf8(gpunn_command, nvdisasm, tmp_path) -> None:
    (tmp_path / "latin.cu").write_bytes(b"// caf\xe9\n")
    result = gpunn_command("profile", "--kernel", f"{tmp_path / 'latin.cu'}:f")
    assert (result.code, result.out) == (2, "")
    assert "latin.cu is no text in UTF-8 (byte 6)" in result.err


def test_without_the_disassembler(gpunn_command, nvdisasm, monkeypatch) -> None:
    def missing() -> str:
        raise DisassemblerMissing(f"nvdisasm was not found; {disassembler.INSTALL}")

    monkeypatch.setattr(disassembler, "path", missing)
    result = gpunn_command("profile", "--kernel", f"{KERNELS / 'copy.cu'}:copy")
    assert result.code == 1
    assert "pip install nvidia-cuda-nvdisasm" in result.err


def test_the_launches_of_a_step(gpunn_command) -> None:
    result = gpunn_command("profile", "--model", "linear", "--batch-size", "8")
    assert result.code == 0
    title, columns, *rows, _, last = result.out.splitlines()
    assert title == "linear, batches of 8, adam: counted on the device sim, nothing is measured"
    assert columns.split() == [
        *("kernel", "blocks", "threads", "touched", "in", "sectors", "sectors/request"),
        *("shared", "cycles", "in", "conflict"),
    ]
    kernels = [row.split()[0] for row in rows]
    assert (kernels[0][:20], kernels[-1]) == ("linear_cross_entropy", "adam_step")
    # 650 parameters, their gradients and two moments are read, all but the gradients written: 7 x 4 x 650 bytes.
    assert rows[-1].split()[3:5] == ["17.8", "KiB"]
    assert last.startswith(f"{len(rows)} launches, that touch ")


def test_the_launches_of_a_step_as_json(gpunn_command) -> None:
    launches = gpunn_command("profile", "--model", "linear", "--batch-size", "8", "--json").json["launches"]
    assert launches[-1]["kernel"] == "adam_step"
    counts = {"run_blocks", "counted_blocks", "lines", "accesses", "arrays", "reuse", "contention"}
    assert launches[-1].keys() == {"kernel", "grid", "block", "shared"} | counts
    assert {a["memory"] for a in launches[0]["accesses"]} == {"global", "shared"}


def test_what_a_launch_of_a_kernel_of_ones_own_would_take(gpunn_command, nvdisasm) -> None:
    command = ["profile", *LAUNCH, "--args", "64,64,64"]
    lines = gpunn_command(*command).out.splitlines()
    assert lines[0].startswith("copy (copy.cu) on sm_89, ")
    assert any(line.startswith("a launch of 2 blocks on L4, predicted: ") for line in lines)
    assert lines[-1].startswith("what would help most: its work is less than what a launch costs (0.6 us)")
    answer = gpunn_command(*command, "--json").json["prediction"]
    # A warp of each of two blocks loads and stores 16 bytes a thread, once.
    assert (answer["kinds"]["LDG.128"], answer["kinds"]["STG.128"]) == (2, 2)
    assert answer["dram_bytes"] == 2 * 64 * 16


@pytest.mark.parametrize(
    ("kernel", "options", "written"),
    [
        ("nothing", [], 0),  # no parameters, and a mark of the byte order before the text
        ("much_shared", ["--args", "32", "--shared", "100000"], 32 * 4),  # more than 48 KiB
    ],
)
def test_launches_of_uncommon_kernels(gpunn_command, nvdisasm, tmp_path, kernel, options, written) -> None:
    text = """\ufeffextern "C" __global__ void unreadable(float** x) {}
extern "C" __global__ void nothing() {}
extern "C" __global__ void much_shared(float* y) {
    extern __shared__ float s[];
    s[24000 + threadIdx.x] = threadIdx.x;
    y[threadIdx.x] = s[24000 + threadIdx.x];
}
"""
    (tmp_path / "own.cu").write_text(text, encoding="utf-8")
    command = ["profile", "--kernel", f"{tmp_path / 'own.cu'}:{kernel}", "--gpu", "h100", "--grid", "1", "--threads"]
    answer = gpunn_command(*command, "32", *options, "--json")
    assert answer.code == 0
    assert answer.json["prediction"]["dram_bytes"] == written


# Predicted ------------------------------------------------------------------------------------------------------------


def test_what_a_step_would_take(gpunn_command, nvdisasm, tmp_path) -> None:
    command = ["profile", "--model", "linear", "--batch-size", "8", "--gpu", "h100"]
    result = gpunn_command(*command, "--plot", str(tmp_path / "step.png"))
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "linear, batches of 8, adam, on H100 (sm_90): predicted, nothing is measured"
    assert lines[1].split()[:6] == ["phase", "layer", "kernel", "blocks", "threads", "us"]
    rows = lines[2 : lines.index("")]
    assert rows[-1].split()[:4] == ["update", "Adam", "step", "adam_step"]
    assert lines[lines.index("") + 1].startswith(f"{len(rows)} launches in one graph, 0.84 us each beside their work: ")
    assert "what would help most:" in lines
    assert (tmp_path / "step.png").read_bytes().startswith(b"\x89PNG")

    answer = gpunn_command(*command, "--json").json
    assert (answer["gpu"], answer["samples"], len(answer["launches"])) == ("H100", 8, len(rows))
    work = sum(launch["microseconds"] + 0.84 for launch in answer["launches"])
    assert answer["microseconds"] == pytest.approx(work)


@pytest.mark.parametrize(
    ("module", "name", "error", "command"),
    [
        ("gpunn.inspect.profile.disassembler", "path", "DisassemblerMissing", "pip install nvidia-cuda-nvdisasm"),
        ("gpunn.backend.nvrtc", "version", "NvrtcMissing", "pip install nvidia-cuda-nvrtc-cu12"),
    ],
)
def test_a_prediction_without_what_it_needs(gpunn_command, nvdisasm, monkeypatch, module, name, error, command) -> None:
    home = importlib.import_module(module)

    def missing(*_: object) -> str:
        raise getattr(home, error)(f"it was not found; {home.INSTALL}")

    monkeypatch.setattr(home, name, missing)
    result = gpunn_command("profile", "--model", "linear", "--gpu", "h100")
    assert (result.code, result.out) == (1, "")
    assert command in result.err


def test_a_picture_without_matplotlib(gpunn_command, nvdisasm, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = gpunn_command("profile", "--model", "linear", "--gpu", "h100", "--plot", "step.png")
    assert (result.code, result.out) == (1, "")
    assert result.err == "gpunn profile: --plot needs matplotlib: pip install matplotlib\n"
