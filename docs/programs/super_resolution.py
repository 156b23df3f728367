"""Images of twice the size by sub-pixel convolution (Shi et al. 2016)."""

from math import log10

import numpy as np
import torch
import torch.nn as nn
import torch.nn.init as init
import torch.optim as optim


class Net(nn.Module):
    def __init__(self, upscale_factor):
        super(Net, self).__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(1, 16, (5, 5), (1, 1), (2, 2))
        self.conv2 = nn.Conv2d(16, 16, (3, 3), (1, 1), (1, 1))
        self.conv3 = nn.Conv2d(16, 8, (3, 3), (1, 1), (1, 1))
        self.conv4 = nn.Conv2d(8, upscale_factor**2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
        self._initialize_weights()

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        x = self.relu(self.conv3(x))
        return self.pixel_shuffle(self.conv4(x))

    def _initialize_weights(self):
        init.orthogonal_(self.conv1.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv2.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv3.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv4.weight)


loss_fn = nn.MSELoss()


def network():
    return Net(upscale_factor=2)


def optimizer(model):
    return optim.Adam(model.parameters(), lr=0.01)


def batches(steps):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(steps):
        phase = rng.uniform(0, 6, (4, 1, 1, 1))
        large = np.sin(np.linspace(0, 6, 16) + phase) * np.cos(np.linspace(0, 4, 16) + phase).swapaxes(2, 3)
        small = large.reshape(4, 1, 8, 2, 8, 2).mean((3, 5))
        found.append(tuple(torch.tensor(x, dtype=torch.get_default_dtype()) for x in (small, large)))
    return found


def train(model, steps):
    criterion, update = nn.MSELoss(), optimizer(model)
    for input, target in batches(steps):
        update.zero_grad()
        loss = criterion(model(input), target)
        loss.backward()
        update.step()
        yield loss.item()


def psnr(model):
    avg_psnr = 0
    with torch.no_grad():
        for input, target in batches(4):
            avg_psnr += 10 * log10(1 / nn.functional.mse_loss(model(input), target).item())
    return avg_psnr / 4


if __name__ == "__main__":
    torch.manual_seed(1)
    model = network()
    for step, loss in enumerate(train(model, 60)):
        print(f"step {step}: loss {loss:.4f}")
    print(f"average PSNR: {psnr(model):.2f} dB")
