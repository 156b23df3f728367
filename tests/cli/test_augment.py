"""``gpunn train --augment``."""

import pytest


def test_images_are_changed_while_the_network_learns(gpunn_command):
    arguments = ("train", "--model", "linear", "--epochs", "1", "--json")
    plain = gpunn_command(*arguments, "--out", "plain").json
    found = [
        gpunn_command(*arguments, "--augment", "flip,crop:1,cutout:2,mixup:0.4", "--out", name).json
        for name in ("first", "second")
    ]
    assert found[0]["train_loss"] == found[1]["train_loss"] > plain["train_loss"]
    assert gpunn_command("train", "--resume", "first", "--epochs", "2").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("flop",), "'flop' is none of flip, crop, cutout, affine, mixup; did you mean flip?"),
        (("flip:2",), "flip takes no number, got 'flip:2'"),
        (("crop:0.5",), "'0.5' is not a whole number above 0"),
        (("mixup", "--loss", "mse"), "--augment mixup makes probabilities of the classes"),
        (("flip", "--model", "vae"), "--augment: vae reconstructs its inputs"),
        (("flip", "--data", "table.csv"), "--augment changes images, and the samples of table.csv are (1,)"),
    ],
)
def test_what_does_not_fit(gpunn_command, tmp_path, arguments, message):
    (tmp_path / "table.csv").write_text("x,class\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(40)))
    done = gpunn_command("train", "--augment", *arguments)
    assert done.code == 2 and message in done.err
