"""The forward-forward algorithm (Hinton 2022): each layer learns alone, to have large outputs for true data."""

import numpy as np
import torch
import torch.nn as nn
from torch.optim import Adam


def overlay_y_on_x(x, y, classes=10):
    """The label, one-hot, in place of the first pixels."""
    x_ = x.clone()
    x_[:, :classes] *= 0.0
    x_[range(x.shape[0]), y] = x.max()
    return x_


class Layer(nn.Linear):
    def __init__(self, in_features, out_features, threshold=2.0):
        super().__init__(in_features, out_features)
        self.relu = nn.ReLU()
        self.threshold = threshold

    def forward(self, x):
        x_direction = x / (x.norm(2, 1, keepdim=True) + 1e-4)
        return self.relu(torch.mm(x_direction, self.weight.T) + self.bias.unsqueeze(0))

    def loss(self, x_pos, x_neg):
        g_pos = self.forward(x_pos).pow(2).mean(1)
        g_neg = self.forward(x_neg).pow(2).mean(1)
        return torch.log(1 + torch.exp(torch.cat([-g_pos + self.threshold, g_neg - self.threshold]))).mean()

    def train_layer(self, x_pos, x_neg, steps):
        opt = Adam(self.parameters(), lr=0.03)
        for _ in range(steps):
            loss = self.loss(x_pos, x_neg)
            opt.zero_grad()
            loss.backward()
            opt.step()
            yield loss.item()


class Net(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.layers = nn.ModuleList([Layer(dims[d], dims[d + 1]) for d in range(len(dims) - 1)])

    def predict(self, x):
        goodness_per_label = []
        for label in range(10):
            h = overlay_y_on_x(x, torch.full((x.shape[0],), label, dtype=torch.int64))
            goodness = []
            for layer in self.layers:
                h = layer(h)
                goodness += [h.pow(2).mean(1)]
            goodness_per_label += [sum(goodness).unsqueeze(1)]
        return torch.cat(goodness_per_label, 1).argmax(1)


def network():
    return Net([64, 32, 32])


def data():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 40)
    x = 0.2 * rng.random((40, 64))
    x[np.arange(40), 20 + 4 * y] += 1
    x, y = torch.tensor(x, dtype=torch.get_default_dtype()), torch.from_numpy(y)
    wrong = (y + torch.from_numpy(rng.integers(1, 10, 40))) % 10
    return x, y, overlay_y_on_x(x, y), overlay_y_on_x(x, wrong)


def train(net, steps):
    _, _, h_pos, h_neg = data()
    for layer in net.layers:
        yield from layer.train_layer(h_pos, h_neg, steps)
        h_pos, h_neg = layer(h_pos).detach(), layer(h_neg).detach()


if __name__ == "__main__":
    torch.manual_seed(1)
    net = network()
    losses = list(train(net, 300))
    x, y, _, _ = data()
    print(f"loss {losses[0]:.3f} to {losses[-1]:.3f}")
    print(f"train error: {1.0 - net.predict(x).eq(y).double().mean().item():.3f}")
