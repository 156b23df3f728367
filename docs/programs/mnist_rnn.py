"""An LSTM that reads an image row by row, with batch normalisation and dropout behind it."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.rnn = nn.LSTM(input_size=28, hidden_size=16, batch_first=True)
        self.batchnorm = nn.BatchNorm1d(16)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.25)
        self.fc1 = nn.Linear(16, 16)
        self.fc2 = nn.Linear(16, 10)

    def forward(self, input):
        input = input.reshape(-1, 28, 28)
        output, hidden = self.rnn(input)
        output = output[:, -1, :]
        output = self.batchnorm(output)
        output = self.dropout1(output)
        output = F.relu(self.fc1(output))
        output = self.dropout2(output)
        return F.log_softmax(self.fc2(output), dim=1)


loss_fn = F.nll_loss


def network():
    return Net()


def optimizer(model):
    return optim.Adadelta(model.parameters(), lr=1.0)


def batches(steps):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(steps):
        target = rng.integers(0, 10, 8)
        x = 0.3 * rng.standard_normal((8, 1, 28, 28))
        x[np.arange(8), 0, :, 2 * target] += 2
        found.append((torch.tensor(x, dtype=torch.get_default_dtype()), torch.from_numpy(target)))
    return found


def train(model, steps):
    model.train()
    update = optimizer(model)
    for data, target in batches(steps):
        update.zero_grad()
        loss = F.nll_loss(model(data), target)
        loss.backward()
        update.step()
        yield loss.item()


if __name__ == "__main__":
    torch.manual_seed(1)
    for step, loss in enumerate(train(network(), 100)):
        print(f"step {step}: loss {loss:.4f}")
