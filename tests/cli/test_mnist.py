"""Real MNIST, one epoch; README's numbers come from the full commands."""

import pytest


@pytest.mark.slow
def test_an_epoch_of_mnist(gpunn_command, mnist_folder):
    result = gpunn_command(
        "train", "--data", "mnist", "--data-root", mnist_folder, "--model", "mlp:128", "--epochs", 1, "--json"
    )
    assert result.code == 0, result.err
    assert result.json["test_accuracy"] >= 0.95
    assert result.json["parameters"] == 785 * 128 + 129 * 10
