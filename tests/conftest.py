"""Fixtures of all tests."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

# Before NumPy is imported, and inherited by the programs that tests start: the arrays are small, and more threads than
# two cost more than they bring; more than one, where a test process runs on each core already.
for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ[_variable] = "1"  # not what the process that starts the others has set for itself
    else:
        os.environ.setdefault(_variable, "2")
# What kernels do in tests takes less time than to compile them does. None may write through a pointer that its
# signature has as const, since launches that only read the same memory run side by side.
os.environ.setdefault("GPUNN_SIMULATOR_FLAGS", "-O1 -Werror=cast-qual")
# The programs that tests start would each compile all of gpunn's text anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# The same device everywhere: where there is a GPU the command would take it.
os.environ.setdefault("GPUNN_DEVICE", "cpu")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

import gpunn  # noqa: E402

from . import trust  # noqa: E402

_COUNTS = trust.Counts()


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same ones for every test and every run."""
    return np.random.default_rng(20260101)


@pytest.fixture(autouse=True)
def _numbers_of_its_own(request: pytest.FixtureRequest) -> None:
    """Generators begin anew for each test, which so has the same numbers in any order of tests."""
    gpunn.manual_seed(0)
    if "torch" in sys.modules:  # not its `manual_seed`, which looks for devices every time
        sys.modules["torch"].default_generator.manual_seed(0)
    if isinstance(getattr(request.module, "RNG", None), np.random.Generator):
        request.module.RNG = np.random.default_rng(0)


@pytest.fixture
def replan(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[ModuleType, str, Any], None]]:
    """Sets an attribute of a module that kernels are planned by; no plan stays that was made by another value."""

    def set_attribute(module: ModuleType, name: str, value: Any) -> None:
        monkeypatch.setattr(module, name, value)
        _forget_plans()

    yield set_attribute
    _forget_plans()


def _forget_plans() -> None:
    for name, module in list(sys.modules.items()):
        for value in vars(module).values() if name.startswith("gpunn.backend.kernel.") else ():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def _no_curves() -> Iterator[None]:
    """Runs leave curves.png out: drawing takes longer than small runs do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpunn.train.results.write_curves", lambda path, history: None)
        yield


@pytest.fixture
def curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that asks for it has curves.png drawn."""
    from gpunn.train.curves import write_curves

    monkeypatch.setattr("gpunn.train.results.write_curves", write_curves)


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """PyTorch as the reference; a test that asks for it is skipped where it is not installed."""
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="session")
def cuda_compiler() -> None:
    """NVRTC; a test that asks for it is skipped where it is not installed."""
    from gpunn.backend.nvrtc import NvrtcMissing, version

    try:
        version()
    except NvrtcMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def nvdisasm(cuda_compiler: None) -> str:
    """NVIDIA's disassembler, and SciPy, which predictions need too."""
    from gpunn.inspect.profile import DisassemblerMissing, disassembler

    pytest.importorskip("scipy", reason="SciPy is not installed")
    try:
        return disassembler.path()
    except DisassemblerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium; a test that asks for it is skipped where it, or websocket-client, is not installed."""
    from tests.browser import Browser

    started = Browser()
    yield started
    started.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A page in the browser, see `tests.browser.Tab`."""
    opened = browser.tab()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The folder with the real MNIST: $GPUNN_TEST_MNIST, else ../shared/data/mnist beside the checkout."""
    checkout = Path(__file__).parents[1]
    folder = Path(os.environ.get("GPUNN_TEST_MNIST") or checkout.parent / "shared" / "data" / "mnist")
    if not folder.is_dir():
        pytest.skip(f"MNIST is not at {folder}; name its folder in GPUNN_TEST_MNIST")
    return folder


@cache
def no_gpu() -> str:
    """Why there is no GPU to test on; empty if there is one."""
    import gpunn

    return gpunn.cuda.why_unavailable()


@pytest.fixture
def cuda() -> Any:
    """The device ``cuda``, for tests marked ``gpu``."""
    import gpunn

    return gpunn.device("cuda")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none; skipped tests are counted at the end."""
    if (promise := item.get_closest_marker("promise")) is not None:
        item.user_properties.append(("promise", promise.args[0]))
    if item.get_closest_marker("gpu") and no_gpu():
        pytest.skip(f"no GPU: {no_gpu()}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--op-cases N`: of the tests of every op on a GPU, N that are spread over all of them."""
    parser.addoption("--op-cases", type=int, metavar="N", help="of the tests of every op on a GPU, run about N")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what compares with PyTorch or compiles for GPUs; leave out what `--op-cases` does not take."""
    if wanted := config.getoption("--op-cases"):
        cases = [item for item in items if item.path.name == "test_cases.py" and item.get_closest_marker("gpu")]
        left_out = set(cases) - set(cases[:: max(1, len(cases) // wanted)])
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "torch" in fixtures:
            item.add_marker("torch")
        if "cuda_compiler" in fixtures:
            item.add_marker("compiler")


def pytest_collection_finish() -> None:
    """Thousands of tests, and their modules, stay to the end: collecting garbage need not look at them."""
    gc.collect()
    gc.freeze()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count what is tried of each promise, in the process that starts the others."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        _COUNTS.add(report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the counts of a campaign down."""
    if (models := os.environ.get("GPUNN_TRUST")) and "PYTEST_XDIST_WORKER" not in os.environ:
        for promise, entry in _COUNTS.found.items():
            trust.record(promise, **entry, command=f"make trust MODELS={models}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was skipped, and why: a run without PyTorch should not look like one with it."""
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        terminalreporter.section(f"{reasons.total()} skipped (a whole module counts as one)")
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count:6d}  {reason}")
