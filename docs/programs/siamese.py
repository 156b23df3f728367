"""A Siamese network: one network sees both images, and says whether they are of one class."""

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim
from torch.utils.data import DataLoader, Dataset


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d((1, 1)),
        )
        self.fc = nn.Sequential(nn.Linear(32, 16), nn.ReLU(inplace=True), nn.Linear(16, 1))
        self.sigmoid = nn.Sigmoid()
        self.features.apply(self.init_weights)
        self.fc.apply(self.init_weights)

    def init_weights(self, m):
        if isinstance(m, nn.Linear):
            torch.nn.init.xavier_uniform_(m.weight)
            m.bias.data.fill_(0.01)

    def forward_once(self, x):
        output = self.features(x)
        return output.view(output.size()[0], -1)

    def forward(self, input1, input2):
        output = torch.cat((self.forward_once(input1), self.forward_once(input2)), 1)
        return self.sigmoid(self.fc(output))


class Pairs(Dataset):
    """Pairs of images of stripes, with 1 where the stripes have one direction."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        kinds = rng.integers(0, 2, 2)
        stripes = np.indices((12, 12))[kinds] // 2 % 2 + 0.2 * rng.standard_normal((2, 12, 12))
        first, second = torch.tensor(stripes, dtype=torch.get_default_dtype()).unsqueeze(1)
        return first, second, torch.tensor(kinds[0] == kinds[1], dtype=torch.get_default_dtype())


def loss_fn(outputs, targets):
    return nn.BCELoss()(outputs.squeeze(), targets)


def network():
    return SiameseNetwork()


def optimizer(model):
    return optim.Adadelta(model.parameters(), lr=1.0)


def batches(steps):
    return list(DataLoader(Pairs(8 * steps), batch_size=8))


def train(model, steps):
    model.train()
    criterion, update = nn.BCELoss(), optimizer(model)
    for images_1, images_2, targets in batches(steps):
        update.zero_grad()
        outputs = model(images_1, images_2).squeeze()
        loss = criterion(outputs, targets)
        loss.backward()
        update.step()
        yield loss.item()


def test(model):
    model.eval()
    correct = 0
    with torch.no_grad():
        for images_1, images_2, targets in DataLoader(Pairs(100), batch_size=50):
            outputs = model(images_1, images_2).squeeze()
            pred = torch.where(outputs > 0.5, 1, 0)
            correct += pred.eq(targets.view_as(pred)).sum().item()
    return correct / 100


if __name__ == "__main__":
    torch.manual_seed(1)
    model = network()
    for step, loss in enumerate(train(model, 40)):
        print(f"step {step}: loss {loss:.4f}")
    print(f"accuracy {test(model):.0%}")
