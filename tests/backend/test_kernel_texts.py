"""The kernel texts are found in a checkout and in an installed package, and keep the rules that they are written by."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from gpunn.backend import kernel_texts
from gpunn.backend.kernel.ladder import LADDERS
from gpunn.backend.kernel_texts import included_headers, kernel_names, kernel_path, kernel_text
from gpunn.backend.launch import C_TYPES, NUMPY_TYPES, STRUCTS
from gpunn.backend.signature import signatures, type_choices


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


def test_a_text_that_the_host_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_texts, "_written", {})
    kernel_texts.write_text("written.cu", '#include "common.cuh"')
    assert kernel_text("written.cu") == '#include "common.cuh"'
    assert included_headers("written.cu") == ("common.cuh",)
    assert "written.cu" not in kernel_names()


def test_headers_are_found_through_headers() -> None:
    assert "common.cuh" in included_headers("linear.cu")
    assert {"scalar.cuh", "ptx.cuh"} <= set(included_headers("softmax.cu"))
    assert included_headers("common.cuh") == ()


# Each of the rules of kernels/README.md that can be read off the text.

NAMES = kernel_names()
TEXTS = [name for name in NAMES if name.endswith(".cu")]


def code(name: str) -> str:
    """The text without its comments."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", kernel_text(name), flags=re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
def test_a_text_begins_with_what_it_computes(name: str) -> None:
    comment = re.match(r"(//.*\n)+", kernel_text(name))
    assert comment is not None
    assert len(comment[0].split()) > 8


@pytest.mark.parametrize("name", NAMES)
def test_a_text_includes_only_the_projects_headers(name: str) -> None:
    includes = re.findall(r"#\s*include\s*(.*)", code(name))
    assert all(re.fullmatch(r'"\w+\.cuh"', included) for included in includes), includes
    assert {included.strip('"') for included in includes} <= set(NAMES)
    assert ("#pragma once" in code(name)) == name.endswith(".cuh")


@pytest.mark.parametrize("name", NAMES)
def test_kernels_have_c_names_and_headers_have_none(name: str) -> None:
    kernels = code(name).count("__global__")
    assert code(name).count('extern "C" __global__ void') == kernels
    assert (kernels > 0) == name.endswith(".cu")


@pytest.mark.parametrize("name", NAMES)
def test_one_barrier_a_line(name: str) -> None:
    assert all(line.count("__syncthreads") <= 1 for line in code(name).splitlines())


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("ptx")])
def test_atomics_and_inline_ptx_stand_in_two_headers(name: str) -> None:
    assert not re.search(r"atomic|\basm\b", code(name))


@pytest.mark.parametrize("name", NAMES)
def test_no_state_outside_the_arguments_and_no_library(name: str) -> None:
    assert not re.search(r"\b(wmma|cooperative_groups)\b", code(name))
    variables = re.findall(r"^[ \t]*((?:__device__|__managed__)[^(;={]*)[;={]", code(name), re.MULTILINE)
    assert [v for v in variables if "const" not in v] == []


@pytest.mark.parametrize("name", NAMES)
def test_types_that_a_text_is_compiled_for(name: str) -> None:
    choices = type_choices(kernel_text(name))
    assert kernel_text(name).count("// compiled for ") == len(choices) * name.endswith(".cu")
    for variable, types in choices.items():
        assert set(types) <= set(C_TYPES)
        assert len(set(types)) == len(types)
        assert re.search(rf"\b({variable}{'|acc_t' if variable == 'scalar_t' else ''})\b", code(name))


@pytest.mark.parametrize("name", TEXTS)
def test_the_host_can_read_every_kernels_signature(name: str) -> None:
    found = signatures(kernel_text(name))
    assert len(found) == code(name).count("__global__")
    known = {*NUMPY_TYPES, *STRUCTS, *type_choices(kernel_text(name)), "acc_t"}
    for signature in found.values():
        assert {p.type for p in signature.parameters} <= known


# No kernel is dead -------------------------------------------------------------------------------------------------

HOST = Path(kernel_texts.__file__).parent / "kernel"


@pytest.fixture(scope="module")
def host_names() -> re.Pattern[str]:
    """Matches the strings of the host side, and what its f-strings make with strings in the place of their values."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in HOST.glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    words = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    word = "|".join(sorted(filter(str.isidentifier, words)))
    made = {
        "".join(re.escape(p.value) if isinstance(p, ast.Constant) else f"(?:{word})" for p in node.values)
        for node in nodes
        if isinstance(node, ast.JoinedStr)
    }
    return re.compile("|".join([*map(re.escape, words), *made]))


@pytest.mark.parametrize("name", TEXTS)
def test_the_host_names_every_kernel(name: str, host_names: re.Pattern[str]) -> None:
    kernels = signatures(kernel_text(name))
    assert [n for n in (name, *kernels) if not host_names.fullmatch(n)] == []


def test_the_readme_lists_every_text_and_every_ladder() -> None:
    readme = kernel_path("linear.cu").with_name("README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}`" not in readme] == []
    importlib.import_module("gpunn.backend.kernel")
    rows = [f"| `{name}` | {', '.join(ladder.rungs)} |" for name, ladder in LADDERS.items()]
    assert [row for row in rows if row not in readme] == []
