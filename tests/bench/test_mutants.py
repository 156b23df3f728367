"""The changes that mutation testing makes, and what is recorded of them."""

import os
import signal
import time

import pytest

from benchmarks.mutants import report, session
from benchmarks.mutants.cuda_text import Mutant, mutants
from benchmarks.mutants.session import Failure, confirm, in_a_child
from benchmarks.mutants.simulated import kernels_at
from gpunn.backend.kernel_texts import kernel_names, kernel_text

TEXT = """// if (a < b) c = 1;
template <class T> __device__ T half(T x) { return x * 0.5; }

__global__ void __launch_bounds__(256) f(float* y, const float* x, int n) {
    __shared__ float tile[32];
    int i = blockIdx.x * 32 + threadIdx.x;
    if (i < n) tile[threadIdx.x] = x[i];
    __syncthreads();
#ifdef GPUNN_SIMULATOR
    y[i] += max(tile[i & 31], half(2.0f));
#else
    y[i] = 7;
#endif
}
"""
CHANGES = {
    "2: * -> /", "2: 0.5 -> 0.75", "2: 0.5 -> 0.0",
    "5: 32 -> 33", "5: 32 -> 31", "5: float -> half_t",
    "6: x -> y", "6: * -> /", "6: + -> -", "6: 32 -> 33", "6: 32 -> 31",
    "7: i < n -> !(i < n)", "7: < -> <=", "7: threadIdx.x -> (threadIdx.x) + 1", "7: x -> y",
    "7: i -> (i) + 1", "7: tile[threadIdx.x] = x[i] -> ",
    "8: __syncthreads() -> ",
    "10: i -> (i) + 1", "10: += -> -=", "10: max -> min", "10: i & 31 -> (i & 31) + 1", "10: & -> |", "10: 31 -> 32",
    "10: 31 -> 30", "10: 2.0f -> 3.0f", "10: 2.0f -> 0.0f", "10: y[i] += max(tile[i & 31], half(2.0f)) -> ",
}  # fmt: skip


def test_changes_of_a_text() -> None:
    """One in each place that g++ compiles; nothing in comments, bounds of launches, or what is for NVRTC alone."""
    assert {f"{m.line}: {m.before} -> {m.after}" for m in mutants("f.cu", TEXT)} == CHANGES


def test_a_change_is_made_in_its_place() -> None:
    for mutant in mutants("f.cu", TEXT):
        before, after = TEXT.splitlines(), mutant.applied(TEXT).splitlines()
        assert [i for i, (a, b) in enumerate(zip(before, after), 1) if a != b] == [mutant.line]
    with pytest.raises(AssertionError):
        Mutant("f.cu", 1, 1, "bound", "<", "<=").applied(TEXT)


def test_the_kernels_that_a_line_belongs_to() -> None:
    line = next(i for i, line in enumerate(kernel_text("softmax.cu").splitlines(), 1) if "share = 1 / s" in line)
    forward = {f"softmax_forward_{rung}" for rung in ("naive", "columns", "lanes", "warp", "block")}
    assert kernels_at("softmax.cu", line) == {"softmax.cu": forward}
    line = next(i for i, line in enumerate(kernel_text("philox.cuh").splitlines(), 1) if "PHILOX_WEYL_0;" in line)
    assert set(kernels_at("philox.cuh", line)) == {"attention.cu", "dropout.cu"}


def test_every_text_was_tried() -> None:
    assert set(kernel_names()) <= {row["text"] for row in report.rows("kernels")}


@pytest.mark.parametrize(("what", "least"), [("kernels", 0.97), ("python", 0.9)])
def test_what_is_not_caught_is_explained(what: str, least: float) -> None:
    """Of the changes that compute something else nearly all are caught."""
    count = report.counts(what)
    assert count["caught"] / (count["caught"] + len(report.unexplained(what))) >= least


def test_what_fails_without_a_change_has_caught_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "failure", lambda item: item)
    caught = Failure("test_a", "5 is not 6")
    confirm(caught, {"test_a": None}, 0)
    with pytest.raises(SystemExit, match=r"^test_a fails without any change too \(no module a\)"):
        confirm(caught, {"test_a": Failure("test_a", "no module a")}, 0)


def test_time_in_a_child_is_its_own() -> None:
    """One that computes or sleeps for too long is ended."""
    assert in_a_child(lambda: 7, 5)[0] == 7
    assert in_a_child(lambda: time.sleep(60), 0.1)[0] == "out of time"
    assert in_a_child(lambda: os.kill(os.getpid(), signal.SIGKILL), 5)[0] == "died of SIGKILL"
