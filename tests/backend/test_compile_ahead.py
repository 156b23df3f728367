"""What a step launches is compiled before it, side by side; results are kept, and need not be writable."""

from __future__ import annotations

import io
import os
import shutil
import sys

import pytest

import gpunn
from gpunn import TrainStep, nn, optim
from gpunn.backend import nvrtc
from gpunn.backend.compile_ahead import compile_ahead
from gpunn.backend.nvrtc import CompileError, Job

DOUBLE = (("scalar_t", "float64"),)


@pytest.fixture
def compiled(cuda_compiler, monkeypatch, tmp_path):
    """The texts that were compiled, not found; none yet, and none is kept."""
    monkeypatch.setenv("GPUNN_CACHE", str(tmp_path / "cache"))
    texts, original = [], nvrtc._Nvrtc.compile

    def compile(self, name, code, options):
        texts.append(name)
        return original(self, name, code, options)

    monkeypatch.setattr(nvrtc._Nvrtc, "compile", compile)
    texts.clear()  # of the program that tries the compiler
    return texts


def wanted_on(*archs):
    return [Job(name, types, arch) for name, types in (("arange.cu", DOUBLE), ("sort.cu", ())) for arch in archs]


def test_what_is_kept_is_not_compiled_again(compiled) -> None:
    wanted, notes = wanted_on("sm_80", "sm_90"), []
    made = compile_ahead(wanted[:2], note=notes.append)
    assert list(made) == wanted[:2]
    assert compiled == ["arange.cu"] * 2
    again = compile_ahead(wanted, note=notes.append)
    assert compiled[2:] == ["sort.cu"] * 2
    assert again[wanted[0]] == made[wanted[0]]
    assert compile_ahead(wanted, note=notes.append) == again
    assert len(compiled) == 4
    assert [note.split(" of")[0] for note in notes] == ["compiling CUDA kernels, 2"] * 2


def test_results_may_be_carried_to_another_machine(compiled, monkeypatch, tmp_path) -> None:
    made = compile_ahead(wanted_on("sm_90"))
    shutil.copytree(tmp_path / "cache", tmp_path / "elsewhere")
    copied = shutil.copytree(nvrtc.kernel_folder(), tmp_path / "another" / "kernels")
    monkeypatch.setattr("gpunn.backend.kernel_texts._folder", lambda package: copied)
    monkeypatch.setenv("GPUNN_CACHE", str(tmp_path / "elsewhere"))
    compiled.clear()
    assert compile_ahead(wanted_on("sm_90")) == made
    assert compiled == []


def test_results_that_cannot_be_written_are_read(compiled, monkeypatch) -> None:
    made = compile_ahead(wanted_on("sm_90"))

    def fail(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    for function in ("utime", "replace", "mkdir"):
        monkeypatch.setattr(os, function, fail)
    compiled.clear()
    assert compile_ahead(wanted_on("sm_90")) == made
    assert compiled == []
    compile_ahead(wanted_on("sm_80"))
    assert sorted(compiled) == ["arange.cu", "sort.cu"]


def test_the_first_text_that_does_not_compile_is_an_error(compiled, monkeypatch, tmp_path) -> None:
    (tmp_path / "bad.cu").write_text('extern "C" __global__ void f(int* x) { x[0] = y; }\n')
    monkeypatch.setattr("gpunn.backend.kernel_texts._folder", lambda package: tmp_path)
    with pytest.raises(CompileError, match=r'bad\.cu:1: error: identifier "y" is undefined'):
        compile_ahead([Job("bad.cu", (), "sm_90")])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_told_how_far_it_is(compiled, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    compile_ahead(wanted_on("sm_90"))
    start, *steps, end = sys.stderr.getvalue().split("\r")
    assert (start, end) == ("", "\x1b[K")
    assert steps == [f"compiling CUDA kernels: {done} of 2" for done in (0, 1, 2)]
    compile_ahead(wanted_on("sm_90"))
    assert sys.stderr.getvalue().endswith("\r\x1b[K")
    assert sys.stderr.getvalue().count("\x1b[K") == 1


def test_a_pipe_is_not(compiled, capsys) -> None:
    compile_ahead(wanted_on("sm_90"))
    assert capsys.readouterr() == ("", "")


def test_a_plan_compiles_what_it_launches_before_it_does(machine, monkeypatch) -> None:
    model = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Dropout(0.5), nn.Linear(20, 10)).to("cuda")
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    batch = gpunn.ones(4, 12, device="cuda"), gpunn.tensor([1, 2, 3, 4], device="cuda")
    launcher = gpunn.device("cuda").backend.launcher
    one_by_one, notes, original = [], [], launcher.compile

    def compile(text, source):
        one_by_one.append(text)
        return original(text, source)

    monkeypatch.setattr(launcher, "compile", compile)
    step.note = notes.append
    for _ in range(3):
        step(*batch)
    # All but this one, with which parameters move to the optimizer's memory before the plan is made.
    assert [(text.name, text.types) for text in one_by_one] == [("copy.cu", (("element_t", "int32"),))]
    assert set(launcher._modules) >= set(step.texts(*batch))
    assert len(notes) == 1
    step(*(x[:2] for x in batch))  # another plan, of kernels that are there
    assert (len(notes), len(one_by_one)) == (1, 1)
