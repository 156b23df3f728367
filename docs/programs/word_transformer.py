"""A language model of words, with a Transformer: positions as sines, a mask that hides what is to come."""

import math
import re

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

TEXT = """the cat sat on the mat . the dog sat on the log . the cat saw the dog . the dog saw the cat . a cat on a mat
is a cat that sat . a dog on a log is a dog that sat . the mat and the log are where the cat and the dog sat ."""
BATCH, BPTT = 4, 6


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, dropout=0.1, max_len=50):
        super(PositionalEncoding, self).__init__()
        self.dropout = nn.Dropout(p=dropout)
        pe = torch.zeros(max_len, d_model)
        position = torch.arange(0, max_len, dtype=torch.get_default_dtype()).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2).to(pe.dtype) * (-math.log(10000.0) / d_model))
        pe[:, 0::2] = torch.sin(position * div_term)
        pe[:, 1::2] = torch.cos(position * div_term)
        pe = pe.unsqueeze(0).transpose(0, 1)
        self.register_buffer("pe", pe)

    def forward(self, x):
        x = x + self.pe[: x.size(0), :]
        return self.dropout(x)


class TransformerModel(nn.Transformer):
    """An encoder of words, a Transformer's encoder, and a decoder to words."""

    def __init__(self, ntoken, ninp, nhead, nhid, nlayers, dropout=0.5):
        super(TransformerModel, self).__init__(
            d_model=ninp, nhead=nhead, dim_feedforward=nhid, num_encoder_layers=nlayers, dropout=dropout
        )
        self.model_type = "Transformer"
        self.src_mask = None
        self.pos_encoder = PositionalEncoding(ninp, dropout)
        self.input_emb = nn.Embedding(ntoken, ninp)
        self.ninp = ninp
        self.decoder = nn.Linear(ninp, ntoken)
        self.init_weights()

    def _generate_square_subsequent_mask(self, sz):
        return torch.log(torch.tril(torch.ones(sz, sz)))

    def init_weights(self):
        initrange = 0.1
        nn.init.uniform_(self.input_emb.weight, -initrange, initrange)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -initrange, initrange)

    def forward(self, src, has_mask=True):
        if has_mask:
            if self.src_mask is None or self.src_mask.size(0) != len(src):
                self.src_mask = self._generate_square_subsequent_mask(len(src)).to(src.device)
        else:
            self.src_mask = None
        src = self.input_emb(src) * math.sqrt(self.ninp)
        src = self.pos_encoder(src)
        output = self.encoder(src, mask=self.src_mask)
        return F.log_softmax(self.decoder(output), dim=-1)


def loss_fn(output, targets):
    return F.nll_loss(output.view(-1, output.size(-1)), targets)


def corpus():
    words = re.findall(r"\S+", TEXT)
    word2idx = {word: i for i, word in enumerate(sorted(set(words)))}
    ids = torch.tensor([word2idx[word] for word in words], dtype=torch.long)
    return ids[: len(ids) // BATCH * BATCH].view(BATCH, -1).t().contiguous(), len(word2idx)


def network():
    return TransformerModel(corpus()[1], 8, 2, 16, 2, dropout=0.2)


def optimizer(model):
    return optim.AdamW([p for n, p in model.named_parameters() if not n.startswith("decoder.layers")], lr=3e-3)


def batches(steps):
    source, _ = corpus()
    starts = [i * BPTT % (len(source) - BPTT) for i in range(steps)]
    return [(source[i : i + BPTT], source[i + 1 : i + 1 + BPTT].reshape(-1)) for i in starts]


def train(model, steps):
    model.train()
    update = optimizer(model)
    for data, targets in batches(steps):
        update.zero_grad()
        loss = loss_fn(model(data), targets)
        loss.backward()
        update.step()
        yield loss.item()


if __name__ == "__main__":
    torch.manual_seed(1)
    losses = list(train(network(), 200))
    print(f"perplexity {math.exp(losses[0]):.1f} to {math.exp(losses[-1]):.1f}")
