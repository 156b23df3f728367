"""Two convolutional networks that train one another: one draws images, one tells drawn from true."""

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim

nz, ngf, ndf, nc = 8, 4, 4, 1


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        torch.nn.init.normal_(m.weight, 0.0, 0.02)
    elif classname.find("BatchNorm") != -1:
        torch.nn.init.normal_(m.weight, 1.0, 0.02)
        torch.nn.init.zeros_(m.bias)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 2, 4, 1, 0, bias=False),
            nn.BatchNorm2d(ngf * 2),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ngf),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, input):
        return self.main(input)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(nc, ndf, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ndf * 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 2, 1, 4, 1, 0, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, input):
        return self.main(input).view(-1, 1).squeeze(1)


def network():
    both = nn.ModuleDict({"generator": Generator(), "discriminator": Discriminator()})
    both.apply(weights_init)
    return both


def optimizer(model):
    return optim.Adam(model.parameters(), lr=0.002, betas=(0.5, 0.999))


def batches(steps):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(steps):
        at = rng.uniform(4, 12, (8, 1, 1, 1))
        x = np.tanh(3 - np.abs(np.arange(16) - at)) * np.ones((1, 1, 16, 1))
        found.append(torch.tensor(x, dtype=torch.get_default_dtype()))
    return found


def train(networks, steps):
    netG, netD = networks["generator"], networks["discriminator"]
    criterion = nn.BCELoss()
    optimizerD, optimizerG = optimizer(netD), optimizer(netG)
    real_label, fake_label = 1, 0
    for real in batches(steps):
        # Update D: maximise log(D(x)) + log(1 - D(G(z))).
        netD.zero_grad()
        batch_size = real.size(0)
        label = torch.full((batch_size,), real_label, dtype=real.dtype, device=real.device)
        errD_real = criterion(netD(real), label)
        errD_real.backward()
        noise = torch.randn(batch_size, nz, 1, 1, device=real.device)
        fake = netG(noise)
        label.fill_(fake_label)
        errD_fake = criterion(netD(fake.detach()), label)
        errD_fake.backward()
        optimizerD.step()
        yield (errD_real + errD_fake).item()
        # Update G: maximise log(D(G(z))).
        netG.zero_grad()
        label.fill_(real_label)
        errG = criterion(netD(fake), label)
        errG.backward()
        optimizerG.step()
        yield errG.item()


if __name__ == "__main__":
    torch.manual_seed(1)
    losses = list(train(network(), 50))
    for step in range(0, 50, 10):
        print(f"step {step}: loss of D {losses[2 * step]:.4f}, of G {losses[2 * step + 1]:.4f}")
