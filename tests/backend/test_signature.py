"""What a kernel is called with is read from its text."""

import pytest

from gpunn.backend.kernel_texts import kernel_names, kernel_text
from gpunn.backend.nvrtc import compile_job, compile_text
from gpunn.backend.signature import (
    Parameter,
    alone,
    enumeration,
    signature,
    signatures,
    type_choices,
    type_combinations,
)

TEXT = """
// Sums, in a text of every kind of parameter. It is no kernel: extern "C" __global__ in a sentence.
// compiled for scalar_t = float32, float64
// compiled for index_type = int32,int64
#include "layout.cuh"

constexpr int TILE = 8;
constexpr int THREADS = TILE * (TILE / 2);

__device__ float helper(float x, int n) { return x * n; }

extern "C" __global__ void __launch_bounds__(THREADS * 2, 3) sums(
    const scalar_t* __restrict__ x,
    const float* __restrict__ bias,  // null: no bias (one of out_features)
    int *counts,
    float* __restrict__ y, const Layout layout,  // neither of them may be missing
    unsigned long long n, long  long rows, index_t k,  // sizes, in elements
    acc_t scale) {
    if (n) helper(scale, 3);
}

extern "C" __global__ void __launch_bounds__(32) one(float* __restrict__ a, int* b) {}
extern "C" __global__ void nothing() {}
"""


def test_parameters() -> None:
    assert signatures(TEXT)["sums"].parameters == (
        Parameter("x", "scalar_t", pointer=True, const=True),
        Parameter("bias", "float", pointer=True, const=True, nullable=True),
        Parameter("counts", "int", pointer=True),
        Parameter("y", "float", pointer=True),
        Parameter("layout", "Layout"),
        Parameter("n", "unsigned long long"),
        Parameter("rows", "long long"),
        Parameter("k", "index_t"),
        Parameter("scale", "acc_t"),
    )


def test_kernels_and_their_bounds() -> None:
    assert {name: s.bound for name, s in signatures(TEXT).items()} == {"sums": 64, "one": 32, "nothing": None}
    assert signatures(TEXT)["nothing"].parameters == ()
    assert str(signatures(TEXT)["one"]) == "one(float* a, int* b)"


def test_words_that_do_not_change_what_is_passed() -> None:
    text = """extern "C" __global__ __launch_bounds__(64, 2) void f(
    float const* __restrict x, volatile float* const y, const int n) {}"""
    found = signatures(text)["f"]
    assert found.parameters == (
        Parameter("x", "float", pointer=True, const=True),
        Parameter("y", "float", pointer=True),
        Parameter("n", "int"),
    )
    assert found.bound == 64


def test_one_kernel_is_read_whatever_the_others_are_like() -> None:
    text = 'extern "C" __global__ void f(float** x) {} extern "C" __global__ void g(int n) {} __global__ void h() {}'
    assert signature(text, "g", "t.cu").parameters == (Parameter("n", "int"),)
    with pytest.raises(ValueError, match="can't read its parameter"):
        signature(text, "f", "t.cu")
    with pytest.raises(ValueError, match=r"t.cu has no kernel 'h' that is extern .C.; it has f, g"):
        signature(text, "h", "t.cu")


def test_null_holds_for_the_pointers_of_its_line_alone() -> None:
    text = """extern "C" __global__ void f(
    const float* a, const float* b, int n,  // null: not there
    const float* nullable, int c,
    const float* last  // null: zeros
) {}"""
    assert [p.name for p in signatures(text)["f"].parameters if p.nullable] == ["a", "b", "last"]


def test_choices_of_types_and_their_combinations() -> None:
    assert type_choices(TEXT) == {"scalar_t": ("float32", "float64"), "index_type": ("int32", "int64")}
    assert type_combinations(TEXT) == [
        {"scalar_t": s, "index_type": i} for s in ("float32", "float64") for i in ("int32", "int64")
    ]
    assert type_combinations("// compiled for nothing in particular") == [{}]


@pytest.mark.parametrize(
    "parameter", ["float", "float*", "float* __restrict__", "float** x", "float& x", "float x[3]", "int x /* n */"]
)
def test_a_parameter_that_cannot_be_read_is_named(parameter: str) -> None:
    with pytest.raises(ValueError, match=r"kernel f: can't read its parameter") as error:
        signatures(f'extern "C" __global__ void f(int n, {parameter}) {{}}')
    assert repr(parameter) in str(error.value)


@pytest.mark.parametrize("bound", ["THREADS", "sizeof(float)", "f(3)"])
def test_a_bound_that_cannot_be_read_is_named(bound: str) -> None:
    with pytest.raises(ValueError, match=r"kernel f: can't read its launch bound"):
        signatures(f'extern "C" __global__ void __launch_bounds__({bound}) f(int n) {{}}')


# Enumerations -----------------------------------------------------------------------------------------------------


def test_the_numbers_of_an_enumeration() -> None:
    text = "enum First { A, B = 5, C, // D\n  E, };\nenum Second { F };"
    assert enumeration(text, "First") == {"A": 0, "B": 5, "C": 6, "E": 7}
    assert enumeration(text, "Second") == {"F": 0}
    with pytest.raises(ValueError, match="no enumeration 'Third'"):
        enumeration(text, "Third")


# One kernel by itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in kernel_names() if name.endswith(".cu")])
def test_the_other_kernels_of_a_text_are_left_out(name: str) -> None:
    text = kernel_text(name)
    for kernel, declared in signatures(text).items():
        left = alone(text, kernel)
        assert signatures(left) == {kernel: declared}
        assert left.count("\n") == text.count("\n")
        # Of what is no kernel each line is where it was.
        outside = [
            (n, line) for n, line in enumerate(text.splitlines()) if line.startswith(("#include", "template", "struct"))
        ]
        assert [(n, left.splitlines()[n]) for n, _ in outside] == outside


def test_what_looks_like_the_end_of_a_kernel() -> None:
    text = """
extern "C" __global__ void first(char* x) { x[0] = '}'; /* } */ } // }
__device__ int between() {
    return 1;
}
extern "C" __global__ void second(char* x) {
    if (x[0] == '{') {  // {
        x[0] = "}\\"}"[1];
    }
} __device__ int behind() { return 2; }
"""
    first, second = alone(text, "first"), alone(text, "second")
    assert first.splitlines()[:5] == text.splitlines()[:5]
    assert first.splitlines()[5:] == ["", "", "", "", " __device__ int behind() { return 2; }"]
    assert second == text.replace(text.splitlines()[1], " // }")


@pytest.mark.parametrize(
    "other",
    [
        "#ifdef BOTH\n    if (x[0]) {\n#else\n    {\n#endif\n    }\n}",
        "{\n#undef N\n#define N 2\n    x[0] = N;\n}",
        "; struct More { int n; };",
        "; template <> struct Size<float> { static constexpr int v = 2; };",
        "/* of nothing */ BODY struct More { int n; };",
    ],
)
def test_what_may_be_more_than_a_kernel_stays(other: str) -> None:
    wanted, head = (
        'extern "C" __global__ void wanted(int* x) { x[0] = 1; }\n',
        'extern "C" __global__ void other(int* x) ',
    )
    text = f"{wanted}{head}{other}\n"
    assert alone(text, "wanted") == text
    assert alone(text, "other") == f"\n{head}{other}\n"


@pytest.mark.parametrize("around", ["// {} is made below.", "/* as {} */", '__device__ const char* s = R"({})";'])
def test_what_is_told_of_a_kernel_stays(around: str) -> None:
    told = around.format('extern "C" __global__ void other(int n)')
    text = f'{told}\nstruct S {{ int n; }};\nextern "C" __global__ void wanted(int* x) {{ x[0] = 1; }}\n'
    assert alone(text, "wanted") == text


def test_numbers_with_apostrophes() -> None:
    loop = "{ for (int i = 0; i < 1'000; ++i) { x[i] = '{'; } }"
    first, second = (f'extern "C" __global__ void {name}(char* x) {loop}' for name in ("first", "second"))
    assert alone(f"{first}\n{second}\n", "second") == f"\n{second}\n"


def test_a_kernel_by_itself_is_compiled_to_the_same(nvdisasm: None) -> None:
    from gpunn.inspect.profile.disassembler import disassemble

    types = {"scalar_t": "float32"}
    whole = compile_text("max_pool.cu", types, "sm_90")
    assert len(whole.kernels) > 3
    for kernel, usage in whole.kernels.items():
        made = compile_job(whole.job._replace(kernel=kernel))
        assert made.kernels == {kernel: usage}
        # Operands name the functions behind it, slow paths of division, by their numbers in the text.
        by_itself, of_all = ([i.opcode for i in disassemble(m.cubin)[kernel].instructions] for m in (made, whole))
        assert by_itself == of_all
