"""Whether a network fits the shape of a sample."""

from __future__ import annotations

from .errors import ModelError


def image_shape(name: str, shape: tuple[int, ...], smallest: int) -> tuple[int, int, int]:
    """The three numbers of the shape of an image.

    Args:
        name: of the network, for the error.
        shape: of a sample.
        smallest: the pixels that an image has at least along each side.

    Raises:
        ModelError: the sample is no image, or smaller.
    """
    if len(shape) != 3:
        raise ModelError(f"{name} takes images (channels, height, width), the data is {shape}; mlp takes any shape")
    if min(shape[1:]) < smallest:
        raise ModelError(
            f"{name} takes images of at least {smallest} x {smallest}, the data is {shape}; mlp takes any shape"
        )
    return shape[0], shape[1], shape[2]


def sequence_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Length and features of a sequence (length, features); an image is the sequence of its rows, with all channels.

    Raises:
        ModelError: the sample is neither.
    """
    if len(shape) == 2:
        return shape[0], shape[1]
    if len(shape) == 3:
        return shape[1], shape[0] * shape[2]
    raise ModelError(
        f"{name} takes sequences (length, features) and images, row by row, the data is {shape}; mlp takes any shape"
    )
