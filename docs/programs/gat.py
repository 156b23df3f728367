"""A graph attention network (Velickovic et al. 2018): the nodes of a graph, of which some have a label."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Adam


class GraphAttentionLayer(nn.Module):
    def __init__(self, in_features, out_features, n_heads, concat=False, dropout=0.4, leaky_relu_slope=0.2):
        super(GraphAttentionLayer, self).__init__()
        self.n_heads, self.concat, self.dropout = n_heads, concat, dropout
        if concat:
            self.out_features = out_features
            assert out_features % n_heads == 0
            self.n_hidden = out_features // n_heads
        else:
            self.n_hidden = out_features
        self.W = nn.Parameter(torch.empty(size=(in_features, self.n_hidden * n_heads)))
        self.a = nn.Parameter(torch.empty(size=(n_heads, 2 * self.n_hidden, 1)))
        self.leakyrelu = nn.LeakyReLU(leaky_relu_slope)
        self.softmax = nn.Softmax(dim=1)
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.xavier_normal_(self.W)
        nn.init.xavier_normal_(self.a)

    def _get_attention_scores(self, h_transformed):
        source_scores = torch.matmul(h_transformed, self.a[:, : self.n_hidden, :])
        target_scores = torch.matmul(h_transformed, self.a[:, self.n_hidden :, :])
        return self.leakyrelu(source_scores + target_scores.mT)

    def forward(self, h, adj_mat):
        n_nodes = h.shape[0]
        h_transformed = torch.mm(h, self.W)
        h_transformed = F.dropout(h_transformed, self.dropout, training=self.training)
        h_transformed = h_transformed.view(n_nodes, self.n_heads, self.n_hidden).permute(1, 0, 2)
        e = self._get_attention_scores(h_transformed)
        connectivity_mask = -9e16 * torch.ones_like(e)
        e = torch.where(adj_mat > 0, e, connectivity_mask)
        attention = F.softmax(e, dim=-1)
        attention = F.dropout(attention, self.dropout, training=self.training)
        h_prime = torch.matmul(attention, h_transformed)
        if self.concat:
            return h_prime.permute(1, 0, 2).contiguous().view(n_nodes, self.out_features)
        return h_prime.mean(dim=0)


class GAT(nn.Module):
    def __init__(self, in_features, n_hidden, n_heads, num_classes, dropout=0.4):
        super(GAT, self).__init__()
        self.gat1 = GraphAttentionLayer(in_features, n_hidden, n_heads, concat=True, dropout=dropout)
        self.gat2 = GraphAttentionLayer(n_hidden, num_classes, n_heads=1, concat=False, dropout=dropout)

    def forward(self, input_tensor, adj_mat):
        x = F.elu(self.gat1(input_tensor, adj_mat))
        return F.log_softmax(self.gat2(x, adj_mat), dim=1)


def graph():
    """Twenty-four nodes in three groups, most edges within a group; features, neighbours and labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 3
    near = labels[:, None] == labels
    adj = rng.random((24, 24)) < np.where(near, 0.5, 0.05)
    adj = adj | adj.T | np.eye(24, dtype=bool)
    features = 0.5 * rng.standard_normal((24, 8)) + np.eye(8)[labels]
    features = torch.tensor(features, dtype=torch.get_default_dtype())
    adjacency = torch.tensor(adj, dtype=torch.get_default_dtype())
    return features, adjacency, torch.tensor(labels, dtype=torch.long)


TRAINED = torch.arange(24) < 12


def loss_fn(output, labels):
    return F.nll_loss(output[TRAINED], labels[TRAINED])


def network():
    return GAT(in_features=8, n_hidden=8, n_heads=2, num_classes=3)


def optimizer(model):
    return Adam(model.parameters(), lr=0.005, weight_decay=5e-4)


def batches(steps):
    return [graph()] * steps


def train(model, steps):
    update, criterion = optimizer(model), nn.NLLLoss()
    idx = torch.randperm(12) if not model.training else torch.arange(12)
    for features, adj_mat, labels in batches(steps):
        model.train()
        update.zero_grad()
        output = model(features, adj_mat)
        loss = criterion(output[idx], labels[idx])
        loss.backward()
        update.step()
        yield loss.item()


def test(model):
    model.eval()
    features, adj_mat, labels = graph()
    with torch.no_grad():
        output = model(features, adj_mat)
        return (output.argmax(dim=1)[12:] == labels[12:]).float().mean().item()


if __name__ == "__main__":
    torch.manual_seed(1)
    model = network()
    losses = list(train(model, 100))
    print(f"loss {losses[0]:.4f} to {losses[-1]:.4f}, accuracy of the others {test(model):.0%}")
