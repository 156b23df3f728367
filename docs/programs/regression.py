"""Fits a polynomial of degree 4 by one linear layer, and writes it out beside the true one."""

from itertools import count

import torch
import torch.nn.functional as F

POLY_DEGREE = 4
W_TARGET = [[1.5], [-0.7], [0.4], [2.0]]
b_target = [0.3]


def make_features(x):
    """A matrix of x, x^2, x^3 and x^4."""
    x = x.unsqueeze(1)
    return torch.cat([x**i for i in range(1, POLY_DEGREE + 1)], 1)


def f(x):
    return x.mm(torch.tensor(W_TARGET)) + torch.tensor(b_target).item()


def poly_desc(W, b):
    result = "y = "
    for i, w in enumerate(W):
        result += f"{w:+.2f} x^{i + 1} "
    return result + f"{b[0]:+.2f}"


loss_fn = F.smooth_l1_loss


def network():
    return torch.nn.Linear(POLY_DEGREE, 1)


def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def batches(steps):
    found = []
    for step in range(steps):
        random = torch.linspace(-1, 1, 32) * (1 - step % 7 / 10)
        x = make_features(random)
        found.append((x, f(x)))
    return found


def train(fc, steps):
    for batch_idx, (batch_x, batch_y) in zip(count(1), batches(steps)):
        fc.zero_grad()
        output = F.smooth_l1_loss(fc(batch_x), batch_y)
        loss = output.item()
        output.backward()
        for param in fc.parameters():
            param.data.add_(-0.1 * param.grad)
        yield loss


if __name__ == "__main__":
    fc = network()
    for loss in train(fc, 3000):
        if loss < 1e-4:
            break
    print(f"Loss: {loss:.6f}")
    print("==> Learned function:\t" + poly_desc(fc.weight.view(-1), fc.bias))
    print("==> Actual function:\t" + poly_desc(torch.tensor(W_TARGET).view(-1), b_target))
