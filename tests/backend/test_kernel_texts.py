"""The kernel texts are found in a checkout and in an installed package, and keep the rules that they are written by."""

import re
from pathlib import Path

import pytest

from gpunn.backend import kernel_texts
from gpunn.backend.kernel_texts import kernel_names, kernel_path, kernel_text


def make_package(folder: Path, *, inside: bool, beside: bool, checkout: bool) -> Path:
    """A package folder with kernel texts inside it, beside it, in a checkout or not."""
    package = folder / "gpunn"
    package.mkdir()
    if inside:
        (package / "kernels").mkdir()
    if beside:
        (folder / "kernels").mkdir()
    if checkout:
        (folder / "pyproject.toml").touch()
    return package


def test_texts_of_a_checkout_lie_beside_the_package(tmp_path: Path) -> None:
    package = make_package(tmp_path, inside=False, beside=True, checkout=True)
    assert kernel_texts._folder(package) == tmp_path / "kernels"


def test_texts_of_an_installed_package_lie_inside_it(tmp_path: Path) -> None:
    package = make_package(tmp_path, inside=True, beside=True, checkout=False)
    assert kernel_texts._folder(package) == package / "kernels"


def test_a_strangers_folder_named_kernels_is_not_taken(tmp_path: Path) -> None:
    package = make_package(tmp_path, inside=False, beside=True, checkout=False)
    with pytest.raises(FileNotFoundError, match=r"kernel texts are missing.*install gpunn again"):
        kernel_texts._folder(package)


def test_path_and_text_belong_together() -> None:
    assert kernel_path("linear.cu").name == "linear.cu"
    assert kernel_text("linear.cu") == kernel_path("linear.cu").read_text(encoding="utf-8")
    assert "linear_forward" in kernel_text("linear.cu")


@pytest.mark.parametrize("name", ["linaer.cu", "linear", "../pyproject.toml", ""])
def test_an_unknown_name_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(ValueError, match=r"no kernel text .*; there are: .*linear\.cu") as error:
        kernel_path(name)
    assert repr(name) in str(error.value)


# Each of the rules of kernels/README.md that can be read off the text.


def code(name: str) -> str:
    """The text without its comments."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", kernel_text(name), flags=re.DOTALL)


@pytest.mark.parametrize("name", kernel_names())
def test_a_text_includes_only_the_projects_headers(name: str) -> None:
    includes = re.findall(r"#\s*include\s*(.*)", code(name))
    assert all(re.fullmatch(r'"\w+\.cuh"', included) for included in includes), includes
    assert {included.strip('"') for included in includes} <= set(kernel_names())


@pytest.mark.parametrize("name", kernel_names())
def test_kernels_have_c_names_and_headers_have_none(name: str) -> None:
    kernels = code(name).count("__global__")
    assert code(name).count('extern "C" __global__ void') == kernels
    assert (kernels > 0) == name.endswith(".cu")


@pytest.mark.parametrize("name", kernel_names())
def test_no_atomics_and_one_barrier_a_line(name: str) -> None:
    assert "atomic" not in code(name)
    assert all(line.count("__syncthreads") <= 1 for line in code(name).splitlines())
