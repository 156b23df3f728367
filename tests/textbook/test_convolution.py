"""Textbook facts about convolution and pooling, each with its source.

Wu 2017: J. Wu, "Introduction to Convolutional Neural Networks", Nanjing University.
Dumoulin and Visin 2016: "A guide to convolution arithmetic for deep learning", arXiv 1603.07285.
Goodfellow et al. 2016: "Deep Learning", chapter 9.
CS231n: Stanford's course notes, "Convolutional Neural Networks".
"""

import numpy as np
import pytest

import gpunn
from gpunn import ops
from gpunn.autograd import grad

rng = np.random.default_rng(0)

GEOMETRIES = [
    {},
    {"padding": 1},
    {"stride": 2},
    {"stride": (1, 2), "padding": (2, 1)},
    {"dilation": 2, "padding": 1},
]


def tensor(*shape):
    return gpunn.tensor(rng.normal(size=shape), requires_grad=True)


def inner(a, b):
    return float((a.detach().numpy() * b.detach().numpy()).sum())


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_convolution_is_a_product_with_unfolded_patches(geometry):
    """z = X w, one row of X for each patch of T; dQ/dw = X^T dQ/dz, dQ/dX = dQ/dz w^T, dQ/dT = fold(dQ/dX).

    (Wu 2017, "The convolution layer", where unfold is im2row and fold is row2im.)
    """
    image, kernel = tensor(1, 3, 7, 6), tensor(4, 3, 3, 2)
    z = ops.conv2d(image, kernel, **geometry)
    dz = rng.normal(size=z.shape)
    d_image, d_kernel = grad(z, [image, kernel], gpunn.tensor(dz))

    patches = ops.unfold(image, (3, 2), **geometry).detach().numpy()[0].T
    w = kernel.detach().numpy().reshape(4, -1).T
    dz_rows = dz.reshape(4, -1).T
    np.testing.assert_allclose(z.detach().numpy().reshape(4, -1).T, patches @ w, atol=1e-13)
    np.testing.assert_allclose(d_kernel.numpy().reshape(4, -1).T, patches.T @ dz_rows, atol=1e-13)
    d_patches = gpunn.tensor((dz_rows @ w.T).T[None])
    np.testing.assert_allclose(d_image.numpy(), ops.fold(d_patches, (7, 6), (3, 2), **geometry).numpy(), atol=1e-13)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_fold_is_the_adjoint_of_unfold(geometry):
    """<unfold(x), y> = <x, fold(y)>: where one is the matrix M, the other is M^T (Wu 2017, "The convolution layer")."""
    x = tensor(2, 3, 7, 6)
    columns = ops.unfold(x, (3, 2), **geometry)
    y = tensor(*columns.shape)
    assert inner(columns, y) == pytest.approx(inner(x, ops.fold(y, (7, 6), (3, 2), **geometry)), rel=1e-12)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_transposed_convolution_is_the_adjoint_of_convolution(geometry):
    """<C x, y> = <x, C^T y> (Dumoulin and Visin 2016, section 4.1)."""
    x, kernel = tensor(2, 3, 7, 6), tensor(4, 3, 3, 2)
    z = ops.conv2d(x, kernel, **geometry)
    y = tensor(*z.shape)
    back = ops.conv_transpose2d(y, kernel, **geometry)
    left = [n - m for n, m in zip(x.shape[2:], back.shape[2:])]  # rows and columns that the stride did not reach
    back = ops.conv_transpose2d(y, kernel, **geometry, output_padding=left)
    assert inner(z, y) == pytest.approx(inner(x, back), rel=1e-12)


def test_convolution_as_a_sparse_matrix():
    """A 3 x 3 kernel on a 4 x 4 image, without padding, is the 4 x 16 matrix C; its transposed convolution is C^T.

    (Dumoulin and Visin 2016, section 4.1.)
    """
    w = rng.normal(size=(3, 3))
    matrix = np.zeros((4, 16))
    for r, q in np.ndindex(2, 2):
        for i, j in np.ndindex(3, 3):
            matrix[2 * r + q, 4 * (r + i) + q + j] = w[i, j]
    kernel, image, small = gpunn.tensor(w[None, None]), tensor(1, 1, 4, 4), tensor(1, 1, 2, 2)
    z = ops.conv2d(image, kernel).detach().numpy()
    np.testing.assert_allclose(z.ravel(), matrix @ image.detach().numpy().ravel(), atol=1e-13)
    back = ops.conv_transpose2d(small, kernel).detach().numpy()
    np.testing.assert_allclose(back.ravel(), matrix.T @ small.detach().numpy().ravel(), atol=1e-13)


@pytest.mark.parametrize("size", [5, 6, 7, 11])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_output_size(size, kernel, padding, stride):
    """floor((W - F + 2 P) / S) + 1 (CS231n, "Spatial arrangement"; Dumoulin and Visin 2016, section 2)."""
    positions = len(range(-padding, size + padding - kernel + 1, stride))
    assert (size - kernel + 2 * padding) // stride + 1 == positions
    image = gpunn.zeros(1, 1, size, size + 1)
    z = ops.conv2d(image, gpunn.zeros(1, 1, kernel, kernel), stride=stride, padding=padding)
    assert z.shape == (1, 1, positions, (size + 1 - kernel + 2 * padding) // stride + 1)


def test_output_size_of_an_example():
    """[227 x 227 x 3] with 96 kernels of 11, stride 4, no padding: [55 x 55 x 96] (CS231n, "Real-world example")."""
    z = ops.conv2d(gpunn.zeros(1, 3, 227, 227), gpunn.zeros(96, 3, 11, 11), stride=4)
    assert z.shape == (1, 96, 55, 55)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_half_padding_keeps_the_size(kernel):
    """P = (F - 1) / 2 with stride 1 (CS231n, "Use of zero-padding"; Dumoulin and Visin 2016, section 2)."""
    x, w = tensor(1, 2, 6, 7), tensor(3, 2, kernel, kernel)
    z = ops.conv2d(x, w, padding=(kernel - 1) // 2)
    assert z.shape == (1, 3, 6, 7)
    np.testing.assert_array_equal(z.detach().numpy(), ops.conv2d(x, w, padding="same").detach().numpy())


@pytest.mark.parametrize("size", [(5, 4), (9, 8)])
def test_one_by_one_convolution_is_a_linear_layer_over_channels(size):
    """Each pixel's channels times one matrix (Lin et al. 2014, "Network in network"; CS231n, "1x1 convolution")."""
    x, w, b = tensor(2, 3, *size), tensor(4, 3, 1, 1), tensor(4)
    z = ops.conv2d(x, w, b)
    pixels = ops.linear(x.permute(0, 2, 3, 1), w.reshape(4, 3), b).permute(0, 3, 1, 2)
    np.testing.assert_allclose(z.detach().numpy(), pixels.detach().numpy(), atol=1e-13)
    g = gpunn.tensor(rng.normal(size=z.shape))
    for ours, linear in zip(grad(z, [x, w, b], g), grad(pixels, [x, w, b], g)):
        np.testing.assert_allclose(ours.numpy(), linear.numpy(), atol=1e-12)


def test_kernel_as_large_as_the_image_is_a_fully_connected_layer():
    """A convolution whose kernel covers the image computes W vec(x) + b (CS231n, "Converting FC layers to CONV")."""
    x, w, b = tensor(2, 3, 5, 4), tensor(6, 3, 5, 4), tensor(6)
    z = ops.conv2d(x, w, b).reshape(2, 6)
    np.testing.assert_allclose(
        z.detach().numpy(), ops.linear(x.flatten(1), w.flatten(1), b).detach().numpy(), atol=1e-13
    )


def test_convolution_is_equivariant_to_translation():
    """f(g(x)) = g(f(x)) for a shift g, away from the borders (Goodfellow et al. 2016, section 9.2)."""
    x, w = rng.normal(size=(1, 2, 8, 8)), tensor(3, 2, 3, 3)
    z = ops.conv2d(gpunn.tensor(x), w).detach().numpy()
    shifted = ops.conv2d(gpunn.tensor(np.roll(x, (1, 2), axis=(2, 3))), w).detach().numpy()
    np.testing.assert_allclose(shifted[:, :, 1:, 2:], z[:, :, :-1, :-2], atol=1e-13)


def test_it_is_the_cross_correlation():
    """S(i, j) = sum of I(i + m, j + n) K(m, n), the kernel not flipped (Goodfellow et al. 2016, eq. 9.6)."""
    image = np.arange(9.0).reshape(1, 1, 3, 3)
    kernel = np.array([[[[1.0, 10.0], [100.0, 1000.0]]]])
    z = ops.conv2d(gpunn.tensor(image), gpunn.tensor(kernel)).numpy()
    np.testing.assert_array_equal(z, [[[[4310, 5421], [7643, 8754]]]])


@pytest.mark.parametrize("function", [ops.max_pool2d, ops.avg_pool2d])
def test_pooling_keeps_the_channels(function):
    """W1 x H1 x D1 becomes (W1 - F)/S + 1 x (H1 - F)/S + 1 x D1 (CS231n, "Pooling layer").

    It treats every channel by itself, so pooling one channel gives what pooling all gives there.
    """
    x = tensor(2, 5, 8, 6)
    y = function(x, 2)
    assert y.shape == (2, 5, 4, 3)
    for c in range(5):
        np.testing.assert_array_equal(y[:, c].detach().numpy(), function(x[:, c : c + 1], 2)[:, 0].detach().numpy())


def test_max_pooling_of_an_example():
    """2 x 2 filters with stride 2 on the 4 x 4 slice of CS231n, "Pooling layer"."""
    x = np.array([[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]], dtype=np.float64)
    np.testing.assert_array_equal(ops.max_pool2d(gpunn.tensor(x[None, None]), 2).numpy(), [[[[6, 8], [3, 4]]]])


def test_max_pooling_routes_the_gradient_to_the_largest():
    """dQ/dx = S^T dQ/dy, with the 0-1 matrix S that selects each window's largest (Wu 2017, "The pooling layer")."""
    x = tensor(1, 1, 4, 6)
    y, where = ops.max_pool2d(x, 2, return_indices=True)
    select = np.zeros((6, 24))
    select[np.arange(6), where.numpy().ravel()] = 1
    np.testing.assert_array_equal(select @ x.detach().numpy().ravel(), y.detach().numpy().ravel())
    g = rng.normal(size=y.shape)
    (dx,) = grad(y, x, gpunn.tensor(g))
    np.testing.assert_array_equal(dx.numpy().ravel(), select.T @ g.ravel())


def test_average_pooling_is_a_convolution_with_a_constant_kernel():
    """Every weight 1 / (F F), each channel by itself (Dumoulin and Visin 2016, section 3)."""
    x = tensor(2, 3, 7, 6)
    kernel = gpunn.full((3, 1, 3, 3), 1 / 9, dtype=gpunn.float64)
    expected = ops.conv2d(x, kernel, stride=2, padding=1, groups=3)
    np.testing.assert_allclose(ops.avg_pool2d(x, 3, 2, 1).detach().numpy(), expected.detach().numpy(), atol=1e-15)


def test_parameter_count():
    """(k k c_in + 1) c_out: a bias for each kernel (CS231n, "Summary": F F D1 weights per filter, and K biases)."""
    layer = gpunn.nn.Conv2d(3, 96, 11)
    assert sum(p.numel() for p in layer.parameters()) == (11 * 11 * 3 + 1) * 96 == 34_944
    assert list(gpunn.nn.MaxPool2d(2).parameters()) == []
