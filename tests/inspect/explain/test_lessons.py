"""The lessons' networks, beside the formulas of the textbooks, written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn.inspect.explain import Derivation, Formula, Table
from gpunn.inspect.explain.lessons import LESSONS, convolution, layers, lesson, norm, penalty, pooling, softmax
from gpunn.inspect.explain.markdown import as_markdown
from gpunn.inspect.explain.text import as_text


def values(name: str) -> dict[str, np.ndarray]:
    """What the first network of a lesson has, by name."""
    return {v.name: v.value for v in lesson(name).derivation.variables}


def close(found, expected) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def table_of(name: str) -> list[list[float]]:
    (table,) = (part for part in lesson(name).parts if isinstance(part, Table))
    return [[float(cell) for cell in row] for row in table.rows]


def test_scalar() -> None:
    """J = (w1 max(w0 x, 0) - y)^2 at x = 2, y = 1, with pencil and paper: see tests/textbook/test_networks.py."""
    v = values("scalar")
    assert (v["z1"], v["a1"], v["z2"], v["L"]) == (1, 1, 3, 4)
    assert (v["dz2"], v["dw1"], v["da1"], v["dz1"], v["dw0"]) == (4, 4, 12, 12, 24)
    assert table_of("scalar") == [[0.5, 3, 4, 24, 4], [-0.5, 3, 1, 0, 0], [1, -1, 9, 12, -12]]


def test_softmax() -> None:
    """grad W2 = s(X W1)^T (S - I_y), grad W1 = X^T ((S - I_y) W2^T o s'(X W1)) (Kolter, Chen, lecture 3)."""
    v = values("softmax")
    x, w1, w2 = (np.array(a) for a in (softmax.X, softmax.W1, softmax.W2))
    w1, w2 = w1.T, w2.T  # in the lecture's notation
    hidden = np.maximum(x @ w1, 0)
    s = np.exp(hidden @ w2)
    s /= s.sum(1, keepdims=True)
    error = s - np.eye(2)[softmax.Y]
    close(v["L"], -np.log(s[range(3), softmax.Y]).sum())
    close(v["dZ2"], error)
    close(v["dW2"].T, hidden.T @ error)
    close(v["dW1"].T, x.T @ (error @ w2.T * (hidden > 0)))


def test_layers() -> None:
    """G_i = (G_(i+1) o s'(Z_i W_i)) W_i^T, grad W_i = Z_i^T (G_(i+1) o s'(Z_i W_i)) (Kolter, Chen, lecture 3)."""
    v = values("layers")
    (x, y), n = (t.numpy() for t in layers.data()), len(layers.SIZES) - 1
    weights = [(v[f"W{i}"].T, v[f"b{i}"]) for i in range(1, n + 1)]
    a = [x]
    for w, b in weights:
        a.append(np.tanh(a[-1] @ w + b))
    close(v["L"], 0.5 * ((a[-1] - y) ** 2).sum())
    g = a[-1] - y
    for i in range(n, 0, -1):
        close(v[f"dA{i}"], g)
        e = g * (1 - a[i] ** 2)
        close(v[f"dW{i}"].T, a[i - 1].T @ e)
        close(v[f"db{i}"], e.sum(0))
        g = e @ weights[i - 1][0].T


def test_l2() -> None:
    """dJ/dW2 = dJ/do h^T + l W2, dJ/dz = (W2^T dJ/do) o f'(z), dJ/dW1 = dJ/dz x^T + l W1 (D2L, 5.3)."""
    v = values("l2")
    x, y, w1, w2 = np.array(penalty.X).T, np.array(penalty.Y).T, np.array(penalty.W1), np.array(penalty.W2)
    h = np.tanh(w1 @ x)
    do = w2 @ h - y
    dz = w2.T @ do * (1 - h**2)
    close(v["J"], 0.5 * (do**2).sum() + penalty.L2 / 2 * ((w1**2).sum() + (w2**2).sum()))
    close(v["s"], penalty.L2 / 2 * ((w1**2).sum() + (w2**2).sum()))
    close(v["dW2"], do @ h.T + penalty.L2 * w2)
    close(v["dW1"], dz @ x.T + penalty.L2 * w1)


def test_convolution() -> None:
    """z = w C with the patches as columns; dw = dz C^T, dC = w^T dz, dT = fold(dC), loops over patches (Wu 2017, 6)."""
    v = values("convolution")
    image, kernel = convolution.SCALE * np.array(convolution.IMAGE), np.array(convolution.KERNEL)
    places = [(r, q) for r in range(2) for q in range(2)]
    columns = np.array([image[r : r + 3, q : q + 3].ravel() for r, q in places]).T
    z = np.array([(image[r : r + 3, q : q + 3] * kernel).sum() for r, q in places])
    dz = z - np.array(convolution.TARGET).ravel()
    d_columns = np.outer(kernel.ravel(), dz)
    d_image = np.zeros((4, 4))
    for k, (r, q) in enumerate(places):
        d_image[r : r + 3, q : q + 3] += d_columns[:, k].reshape(3, 3)
    close(v["C0"][0], columns)
    close(v["Z1"].ravel(), z)
    close(v["dw"].ravel(), columns @ dz)
    close(v["dC0"][0], d_columns)
    close(v["dZ0"][0, 0], d_image)
    close(v["dg"], (d_image * np.array(convolution.IMAGE)).sum())

    second = [p for p in lesson("convolution").parts if isinstance(p, Derivation)][1]
    step = second.steps[second["Z1"].written_by - 1]
    matrix = next(j.value for j in step.jacobians if second.variables[j.input].name == "Z0")
    expected = np.zeros((4, 16))  # Dumoulin, Visin 2016, section 4.1
    for k, (r, q) in enumerate(places):
        for i in range(3):
            for j in range(3):
                expected[k, 4 * (r + i) + q + j] = kernel[i, j]
    np.testing.assert_array_equal(matrix, expected)
    close(matrix.T @ dz, d_image.ravel())


def test_max_pooling() -> None:
    """The gradient goes to the largest element of each window (Wu 2017, 7)."""
    v = values("max-pooling")
    image = pooling.SCALE * np.array(pooling.IMAGE)
    windows = image.reshape(2, 2, 2, 2).swapaxes(1, 2).reshape(2, 2, 4)
    close(v["P0"][0, 0], windows.max(-1))
    np.testing.assert_array_equal(v["K0"][0, 0], windows.argmax(-1))
    dp = windows.max(-1) - np.array(pooling.TARGET)
    d_image = ((windows == windows.max(-1, keepdims=True)) * dp[..., None]).reshape(2, 2, 2, 2).swapaxes(1, 2)
    close(v["dZ0"][0, 0], d_image.reshape(4, 4))


def test_batch_norm() -> None:
    """The six equations of Ioffe and Szegedy 2015, section 3, one by one."""
    v = values("batch-norm")
    x, m = np.array(norm.X) @ np.array(norm.W).T, len(norm.X)
    gamma, beta = np.array(norm.GAMMA), np.array(norm.BETA)
    mean, var = x.mean(0), x.var(0)
    root = np.sqrt(var + 1e-5)
    hat = (x - mean) / root
    y = gamma * hat + beta
    dy = y - np.array(norm.Y)
    dhat = dy * gamma
    dvar = (dhat * (x - mean) * -0.5 * root**-3).sum(0)
    dmean = (-dhat / root).sum(0) + dvar * (-2 * (x - mean)).mean(0)
    dx = dhat / root + dvar * 2 * (x - mean) / m + dmean / m
    close(v["N1"], y)
    close(v["dgamma1"], (dy * hat).sum(0))
    close(v["dbeta1"], dy.sum(0))
    close(v["dZ1"], dx)
    close(v["dZ1"].sum(0), 0)  # what the lesson says of it


def test_strategies() -> None:
    """L = mean (w x + b - y)^2 at w = b = 0: dW = -2 mean y x; the error of a mean of k of n falls with k."""
    from gpunn.inspect.explain.lessons import strategies

    x, y = strategies.data()
    each = -2 * y * x
    v = values("strategies")
    close(v["dW1"][0], each[: strategies.PART].mean(0))
    (table,) = (p for p in lesson("strategies").parts if isinstance(p, Table))
    whole = each.mean(0)
    for row, size in zip(table.rows, (1, 4, 8)):
        steps = each.reshape(-1, size, 2).mean(1)
        assert row[1] == str(8 // size)
        close(np.array(eval(row[2])), steps.mean(0).round(4))
        assert float(row[3]) == round(float(np.sqrt(((steps - whole) ** 2).sum(1).mean())), 4)


def test_vanishing() -> None:
    """The recursion in NumPy, by depth: the first layer's gradient over the last layer's."""
    from gpunn.inspect.explain.lessons import vanishing

    for row, depth in zip(table_of("vanishing"), vanishing.DEPTHS):
        found = []
        for kind in ("sigmoid", "relu"):
            rng = np.random.default_rng(6)
            weights = [
                rng.standard_normal((16, 16)) * np.sqrt((2 if kind == "relu" else 1) / 16) for _ in range(depth + 1)
            ]
            rng = np.random.default_rng(7)
            x, y = rng.standard_normal((8, 16)), rng.standard_normal((8, 16))
            a, slopes = x, []
            for w in weights[:-1]:
                z = a @ w.T
                a = np.maximum(z, 0) if kind == "relu" else 1 / (1 + np.exp(-z))
                slopes.append(z > 0 if kind == "relu" else a * (1 - a))
            last = g = a @ weights[-1].T - y
            for w, slope in zip(weights[:0:-1], slopes[::-1]):
                g = (g @ w) * slope
            found.append(np.sqrt((g**2).mean() / (last**2).mean()))
        assert row == [depth, *(pytest.approx(n, rel=5e-3) for n in found), pytest.approx(0.25**depth, rel=5e-3)]
    (finding,) = lesson("vanishing").derivation.findings
    assert finding.kind == "vanishing" and "Glorot" in finding.sentence


@pytest.mark.parametrize("name", LESSONS)
def test_lessons_are_told(name: str) -> None:
    before = gpunn.get_rng_state()
    made = lesson(name)
    assert gpunn.get_rng_state() == before
    assert made.name == name and made.title == LESSONS[name][0]
    assert sum(isinstance(p, Formula) for p in made.parts) >= 2
    assert made.derivation.remarks
    text, markdown = as_text(made), as_markdown(made)
    assert made.derivation.remarks.keys() <= {s.number for s in made.derivation.steps}
    for part in made.parts:
        if isinstance(part, Formula):
            assert part.text in text and part.latex in markdown
    assert as_text(lesson(name)) == text


def test_lessons_that_there_are_not() -> None:
    with pytest.raises(
        KeyError, match=r"there is no lesson 'sofmax'; did you mean softmax.; there are scalar, softmax"
    ):
        lesson("sofmax")
