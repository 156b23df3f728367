"""A variational autoencoder: the reparametrisation trick, a loss of two parts, samples of what it learned."""

import numpy as np
import torch
from torch import nn, optim
from torch.nn import functional as F


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 32)
        self.fc21 = nn.Linear(32, 4)
        self.fc22 = nn.Linear(32, 4)
        self.fc3 = nn.Linear(4, 32)
        self.fc4 = nn.Linear(32, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 64))
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


def loss_fn(output, x):
    """Reconstruction, and the divergence from a normal distribution (Kingma and Welling 2014, appendix B)."""
    recon_x, mu, logvar = output
    bce = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce + kld


def network():
    return VAE()


def optimizer(model):
    return optim.Adam(model.parameters(), lr=1e-3)


def batches(steps):
    rng = np.random.default_rng(0)
    centre = rng.uniform(2, 6, (16, 2, 1, 1))
    row, column = np.mgrid[:8, :8]
    blobs = np.exp(-((row - centre[:, 0]) ** 2 + (column - centre[:, 1]) ** 2) / 4)
    x = torch.tensor(blobs, dtype=torch.get_default_dtype()).unsqueeze(1)
    return [(x, x)] * steps


def train(model, steps):
    model.train()
    update = optimizer(model)
    for x, _ in batches(steps):
        update.zero_grad()
        loss = loss_fn(model(x), x)
        loss.backward()
        update.step()
        yield loss.item()


if __name__ == "__main__":
    torch.manual_seed(1)
    model = network()
    for step, loss in enumerate(train(model, 300)):
        if step % 50 == 0:
            print(f"step {step}: loss {loss:.2f}")
    with torch.no_grad():
        print(model.decode(torch.randn(2, 4)).view(2, 8, 8))
