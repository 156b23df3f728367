"""Random numbers, against the algorithm of the paper and PyTorch's conventions."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn.random import DROPOUT, SHUFFLE, VALUES, philox

MASK = 2**64 - 1


def philox4x64(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Philox 4x64 of 10 rounds: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p, q = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = (q >> 64) ^ c1 ^ k0, q & MASK, (p >> 64) ^ c3 ^ k1, p & MASK
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return c0, c1, c2, c3


# The answers for philox4x64-10 in Random123's file of known answers: (counter, key, result).
KNOWN = [
    (
        "0000000000000000 0000000000000000 0000000000000000 0000000000000000",
        "0000000000000000 0000000000000000",
        "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b",
    ),
    (
        "ffffffffffffffff ffffffffffffffff ffffffffffffffff ffffffffffffffff",
        "ffffffffffffffff ffffffffffffffff",
        "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0",
    ),
    (
        "243f6a8885a308d3 13198a2e03707344 a4093822299f31d0 082efa98ec4e6c89",
        "452821e638d01377 be5466cf34e90c6c",
        "a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6",
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), [[[int(w, 16) for w in s.split()] for s in k] for k in KNOWN])
def test_the_reference_gives_the_known_answers(counter, key, expected) -> None:
    assert list(philox4x64(counter, key)) == expected


def words(seed: int, stream: int, call: int, blocks: int, first: int = 0) -> list[int]:
    """The 64-bit words of a draw, block after block."""
    return [w for b in range(first, first + blocks) for w in philox4x64((b + 1, call, 0, 0), (seed, stream))]


def halves(seed: int, stream: int, call: int, blocks: int, first: int = 0) -> np.ndarray:
    """The same as 32-bit words, the lower half first."""
    return np.array([h for w in words(seed, stream, call, blocks, first) for h in (w & 0xFFFFFFFF, w >> 32)])


@pytest.mark.parametrize("seed", [0, 1, 2**63 + 5])
def test_uniform_float32_are_24_bits_of_each_half_word(seed: int) -> None:
    gpunn.manual_seed(seed)
    for call in range(3):
        x = gpunn.rand(5, 7)
        expected = (halves(seed, VALUES, call, 5)[:35] >> 8) * 2.0**-24
        np.testing.assert_array_equal(x.numpy().ravel(), expected.astype(np.float32))


def test_uniform_float64_are_53_bits_of_each_word() -> None:
    gpunn.manual_seed(3)
    expected = [(w >> 11) * 2.0**-53 for w in words(3, VALUES, 0, 2)]
    assert gpunn.rand(8, dtype=gpunn.float64).tolist() == expected


@pytest.mark.parametrize(("name", "bits"), [("float16", 11), ("bfloat16", 8)])
def test_uniform_half_precision_never_reaches_1(name: str, bits: int) -> None:
    gpunn.manual_seed(4)
    x = gpunn.rand(4000, dtype=getattr(gpunn, name)).float().numpy()
    np.testing.assert_array_equal(x, (halves(4, VALUES, 0, 500) >> (32 - bits)) * 2.0**-bits)
    assert 0.99 < x.max() < 1


def test_a_draw_can_be_continued_at_any_block() -> None:
    whole = philox(7, DROPOUT, 5).random(64, dtype=np.float32)
    np.testing.assert_array_equal(philox(7, DROPOUT, 5, block=3).random(40, dtype=np.float32), whole[24:])
    np.testing.assert_array_equal(
        whole[24:32], ((halves(7, DROPOUT, 5, 1, first=3) >> 8) * 2.0**-24).astype(np.float32)
    )


def test_draws_are_independent_of_one_another_s_size() -> None:
    gpunn.manual_seed(0)
    gpunn.rand(3)
    second = gpunn.rand(5)
    gpunn.manual_seed(0)
    gpunn.rand(300)
    assert gpunn.rand(5).tolist() == second.tolist()


def test_streams_are_counted_apart() -> None:
    generator = gpunn.Generator(9)
    assert [generator.next_call(VALUES), generator.next_call(SHUFFLE), generator.next_call(VALUES)] == [0, 0, 1]


@pytest.mark.parametrize(
    "draw",
    [
        lambda **o: gpunn.rand(2, 3, **o),
        lambda **o: gpunn.randn((2, 3), **o),
        lambda **o: gpunn.randint(0, 100, (50,), **o),
        lambda **o: gpunn.randint(100, (50,), **o),
        lambda **o: gpunn.randperm(50, **o),
        lambda **o: gpunn.zeros(20).normal_(**o),
        lambda **o: gpunn.zeros(20).uniform_(**o),
        lambda **o: gpunn.zeros(20).random_(100, **o),
        lambda **o: gpunn.zeros(40).bernoulli_(**o),
    ],
)
def test_the_same_seed_gives_the_same_bits(draw) -> None:
    gpunn.manual_seed(5)
    first, second = draw().tolist(), draw().tolist()
    assert first != second
    gpunn.manual_seed(5)
    assert draw().tolist() == first
    state = gpunn.get_rng_state()
    third = draw().tolist()
    assert third == second
    gpunn.set_rng_state(state)
    assert draw().tolist() == third
    assert draw(generator=gpunn.Generator(5)).tolist() == first  # which leaves the default one alone
    assert gpunn.initial_seed() == 5
    gpunn.manual_seed(6)
    assert draw().tolist() != first


def test_negative_seeds_count_from_2_to_the_64_down() -> None:
    assert gpunn.Generator(-1).initial_seed() == 2**64 - 1


def test_distributions() -> None:
    """Mean and standard deviation of n numbers are off by about 1 and 1/sqrt(2) of the latter over sqrt(n)."""
    gpunn.manual_seed(1)
    n = 40_000
    near = 5 / n**0.5
    for x, mean, std in (
        (gpunn.rand(n), 0.5, 12**-0.5),
        (gpunn.randn(n), 0.0, 1.0),
        (gpunn.zeros(n).normal_(3, 2), 3.0, 2.0),
        (gpunn.zeros(n).uniform_(-2, 4), 1.0, 6 * 12**-0.5),
        (gpunn.zeros(n).bernoulli_(0.3), 0.3, (0.3 * 0.7) ** 0.5),
        (gpunn.randint(-3, 4, (n,)).float(), 0.0, 2.0),
        (gpunn.randn(n, dtype=gpunn.float16).float(), 0.0, 1.0),
        (gpunn.randn_like(gpunn.zeros(n, dtype=gpunn.float64)), 0.0, 1.0),
    ):
        assert abs(x.mean().item() - mean) < near * std
        assert abs(x.std().item() - std) < near * std


def test_what_is_certain_and_what_is_impossible() -> None:
    assert gpunn.zeros(100).bernoulli_(1.0).sum().item() == 100
    assert gpunn.ones(100).bernoulli_(0.0).sum().item() == 0


def test_integers_cover_their_range() -> None:
    gpunn.manual_seed(2)
    assert sorted(set(gpunn.randint(-2, 3, (200,)).tolist())) == [-2, -1, 0, 1, 2]
    assert sorted(set(gpunn.zeros(200).random_(-2, 3).tolist())) == [-2, -1, 0, 1, 2]
    assert sorted(gpunn.randperm(20).tolist()) == list(range(20))
    assert set(gpunn.zeros(50, dtype=gpunn.bool).random_().tolist()) == {True, False}


@pytest.mark.parametrize(
    ("name", "largest"),
    [("int8", 127), ("uint8", 255), ("int16", 2**15 - 1), ("float16", 2**11), ("bfloat16", 2**8), ("float32", 2**24)],
)
def test_random_without_bounds_fills_what_the_type_holds(name: str, largest: int) -> None:
    gpunn.manual_seed(2)
    x = gpunn.zeros(200_000, dtype=getattr(gpunn, name)).random_().double()
    assert 0 <= x.min().item() < largest / 100
    assert largest * 0.99 < x.max().item() <= largest


def test_types_shapes_and_devices() -> None:
    assert gpunn.randint(5, (2, 3)).dtype is gpunn.int64
    assert gpunn.randint(5, (2,), dtype=gpunn.uint8).dtype is gpunn.uint8
    assert gpunn.randperm(3, dtype=gpunn.int32).dtype is gpunn.int32
    assert gpunn.rand(2, requires_grad=True).requires_grad
    assert gpunn.rand(()).shape == ()
    assert gpunn.randn(2, 0).shape == (2, 0)
    like = gpunn.rand_like(gpunn.zeros(2, 3, dtype=gpunn.float64))
    assert (like.shape, like.dtype) == ((2, 3), gpunn.float64)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gpunn.rand(2, dtype=gpunn.int64), RuntimeError, "can't be gpunn.int64"),
        (lambda: gpunn.randn(2, dtype="bool"), RuntimeError, "can't be gpunn.bool"),
        (lambda: gpunn.randint(3, 3, (2,)), RuntimeError, "from 3 up to 3"),
        (lambda: gpunn.randint(3), TypeError, r"\(high, size\) or \(low, high, size\)"),
        (lambda: gpunn.randint(0, 3, 2), TypeError, "the size is a tuple"),
        (
            lambda: gpunn.randint(0, 300, (2,), dtype=gpunn.uint8),
            RuntimeError,
            "gpunn.uint8 does not hold all from 0 to 299",
        ),
        (lambda: gpunn.zeros(2, dtype=gpunn.int8).random_(-200, 3), RuntimeError, "does not hold all from -200"),
        (lambda: gpunn.randperm(-1), RuntimeError, "no -1 integers"),
        (lambda: gpunn.rand(2, dtpye=gpunn.float64), TypeError, "dtpye"),
        (lambda: gpunn.rand(2.5), TypeError, "integer"),
    ],
)
def test_errors(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()


def test_bernoulli_at_its_ends():
    assert gpunn.zeros(40).bernoulli_(0.0).sum().item() == 0
    assert gpunn.zeros(40).bernoulli_(1.0).sum().item() == 40
