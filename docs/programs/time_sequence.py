"""Learns sine waves by two LSTM cells and L-BFGS, and goes on from there by what it says itself."""

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim


class Sequence(nn.Module):
    def __init__(self):
        super(Sequence, self).__init__()
        self.lstm1 = nn.LSTMCell(1, 8)
        self.lstm2 = nn.LSTMCell(8, 8)
        self.linear = nn.Linear(8, 1)

    def forward(self, input, future=0):
        outputs = []
        h_t = torch.zeros(input.size(0), 8, dtype=torch.double)
        c_t = torch.zeros(input.size(0), 8, dtype=torch.double)
        h_t2 = torch.zeros(input.size(0), 8, dtype=torch.double)
        c_t2 = torch.zeros(input.size(0), 8, dtype=torch.double)
        for input_t in input.split(1, dim=1):
            h_t, c_t = self.lstm1(input_t, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        for _ in range(future):
            h_t, c_t = self.lstm1(output, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        return torch.cat(outputs, dim=1)


loss_fn = nn.MSELoss()


def network():
    return Sequence().double()


def optimizer(model):
    return optim.LBFGS(model.parameters(), lr=0.8, max_iter=3)


def waves():
    start = np.random.default_rng(2).integers(-8, 8, 6)[:, None]
    return np.sin((np.arange(10) + start) / 3.0).astype("float64")


def batches(steps):
    data = waves()
    return [(torch.from_numpy(data[:, :-1]), torch.from_numpy(data[:, 1:]))] * steps


def train(seq, steps):
    criterion = nn.MSELoss()
    update = optimizer(seq)
    for input, target in batches(steps):

        def closure():
            update.zero_grad()
            loss = criterion(seq(input), target)
            loss.backward()
            return loss

        yield update.step(closure).item()


if __name__ == "__main__":
    torch.manual_seed(0)
    seq = network()
    for step, loss in enumerate(train(seq, 15)):
        print(f"step {step}: loss {loss:.6f}")
    with torch.no_grad():
        print(seq(torch.from_numpy(waves()[:1, :-1]), future=10).numpy().round(2))
