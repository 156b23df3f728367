"""A convolutional network that tells digits apart: dropout, a schedule of learning rates, accuracy on a test set."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, 1)
        self.conv2 = nn.Conv2d(4, 8, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.25)
        self.fc1 = nn.Linear(8 * 12 * 12, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = self.dropout1(F.max_pool2d(x, 2))
        x = torch.flatten(x, 1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


loss_fn = F.nll_loss


def network():
    return Net()


def optimizer(model):
    return optim.Adadelta(model.parameters(), lr=1.0)


def schedule(update):
    return StepLR(update, step_size=3, gamma=0.9)


def images(n, seed):
    """Bars of a place and a direction for each class, with noise."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 10, n)
    x = 0.3 * rng.standard_normal((n, 1, 28, 28))
    for image, label in zip(x, target):
        at = 4 + 4 * (label % 5)
        image[0, at : at + 3, :] += 2 * (label < 5)
        image[0, :, at : at + 3] += 2 * (label >= 5)
    return TensorDataset(torch.tensor(x, dtype=torch.get_default_dtype()), torch.from_numpy(target))


def batches(steps):
    return list(DataLoader(images(8 * steps, seed=0), batch_size=8))


def train(model, steps):
    model.train()
    update = optimizer(model)
    scheduler = schedule(update)
    for data, target in batches(steps):
        update.zero_grad()
        loss = F.nll_loss(model(data), target)
        loss.backward()
        update.step()
        scheduler.step()
        yield loss.item()


def test(model):
    model.eval()
    test_loss, correct, loader = 0.0, 0, DataLoader(images(64, seed=1), batch_size=32)
    with torch.no_grad():
        for data, target in loader:
            output = model(data)
            test_loss += F.nll_loss(output, target, reduction="sum").item()
            pred = output.argmax(dim=1, keepdim=True)
            correct += pred.eq(target.view_as(pred)).sum().item()
    return test_loss / len(loader.dataset), correct / len(loader.dataset)


if __name__ == "__main__":
    torch.manual_seed(1)
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    model = network().to(device)
    for step, loss in enumerate(train(model, 60)):
        print(f"step {step}: loss {loss:.4f}")
    print("test: loss {:.4f}, accuracy {:.0%}".format(*test(model)))
    torch.save(model.state_dict(), "mnist_cnn.pt")
