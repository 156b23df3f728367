"""What ends up in the wheel and in the source distribution."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


def build(target: str, source: Path, folder: Path) -> Path:
    """Build a ``"wheel"`` or ``"sdist"`` of the tree `source` into `folder`, without the network."""
    builder = pytest.importorskip(f"hatchling.builders.{target}", reason="hatchling, which builds it, is not installed")
    made = {"wheel": "WheelBuilder", "sdist": "SdistBuilder"}[target]
    (archive,) = getattr(builder, made)(str(source)).build(directory=str(folder), versions=["standard"])
    return Path(archive)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def expected_in_wheel() -> set[str]:
    """Every file of the package, and every kernel text at its place inside the package."""
    files = {path for path in (ROOT / "gpunn").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    package = {path.relative_to(ROOT).as_posix() for path in files}
    kernels = {f"gpunn/kernels/{path.name}" for path in (ROOT / "kernels").iterdir() if path.suffix in {".cu", ".cuh"}}
    return package | kernels


def test_wheel_holds_the_package_and_the_kernel_texts(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert expected_in_wheel() <= names
    assert "gpunn/kernels/linear.cu" in names
    assert not [name for name in names if name.startswith(("tests/", "kernels/", "benchmarks/"))]


def test_kernel_texts_are_found_in_the_wheel(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    zipfile.ZipFile(wheel).extractall(site)
    program = "from gpunn.backend.kernel_texts import kernel_path; print(kernel_path('linear.cu'))"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert Path(found.stdout.strip()) == site / "gpunn" / "kernels" / "linear.cu"


def test_a_wheel_built_from_the_sdist_is_the_same(wheel: Path, tmp_path: Path) -> None:
    sdist = build("sdist", ROOT, tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    rebuilt = build("wheel", tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path)
    assert rebuilt.read_bytes() == wheel.read_bytes()


@pytest.mark.promise("what is built twice from one tree is equal to the byte")
def test_what_is_built_again_has_the_same_bytes(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever and wherever that is: files have the time of SOURCE_DATE_EPOCH, or one that never changes."""
    (tmp_path / "elsewhere").mkdir()
    for name in ("gpunn", "kernels", "pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy  # with other times than those of the files
        copy(ROOT / name, tmp_path / "elsewhere" / name)
    assert build("wheel", tmp_path / "elsewhere", tmp_path / "again").read_bytes() == wheel.read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first, second = (build("sdist", ROOT, tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == second
    later = build("wheel", ROOT, tmp_path / "later")
    assert {member.date_time for member in zipfile.ZipFile(later).infolist()} == {(2023, 11, 14, 22, 13, 20)}
