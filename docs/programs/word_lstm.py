"""A language model of words, with an LSTM: its state goes on from batch to batch, gradients are clipped."""

import math
import re

import torch
import torch.nn as nn
import torch.nn.functional as F

TEXT = """the cat sat on the mat . the dog sat on the log . the cat saw the dog . the dog saw the cat . a cat on a mat
is a cat that sat . a dog on a log is a dog that sat . the mat and the log are where the cat and the dog sat ."""
BATCH, BPTT = 4, 5


class Corpus:
    """Words as numbers."""

    def __init__(self, text):
        words = re.findall(r"\S+", text)
        self.idx2word = sorted(set(words))
        word2idx = {word: i for i, word in enumerate(self.idx2word)}
        self.ids = torch.tensor([word2idx[word] for word in words]).type(torch.int64)


class RNNModel(nn.Module):
    """An encoder, a recurrent module, and a decoder that may share the encoder's weights."""

    def __init__(self, ntoken, ninp, nhid, nlayers, dropout=0.5, tie_weights=False):
        super(RNNModel, self).__init__()
        self.ntoken = ntoken
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(ntoken, ninp)
        self.rnn = nn.LSTM(ninp, nhid, nlayers, dropout=dropout)
        self.decoder = nn.Linear(nhid, ntoken)
        if tie_weights:
            self.decoder.weight = self.encoder.weight
        self.init_weights()
        self.nhid, self.nlayers = nhid, nlayers

    def init_weights(self):
        initrange = 0.1
        nn.init.uniform_(self.encoder.weight, -initrange, initrange)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -initrange, initrange)

    def forward(self, input, hidden):
        emb = self.drop(self.encoder(input))
        output, hidden = self.rnn(emb, hidden)
        decoded = self.decoder(self.drop(output))
        decoded = decoded.view(-1, self.ntoken)
        return F.log_softmax(decoded, dim=1), hidden

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        return (weight.new_zeros(self.nlayers, bsz, self.nhid), weight.new_zeros(self.nlayers, bsz, self.nhid))


def repackage_hidden(h):
    """The state without its history."""
    if isinstance(h, torch.Tensor):
        return h.detach()
    return tuple(repackage_hidden(v) for v in h)


def batchify(data, bsz):
    """Columns of text that go on side by side."""
    nbatch = data.size(0) // bsz
    data = data.narrow(0, 0, nbatch * bsz)
    return data.view(bsz, -1).t().contiguous()


def get_batch(source, i):
    seq_len = min(BPTT, len(source) - 1 - i)
    return source[i : i + seq_len], source[i + 1 : i + 1 + seq_len].view(-1)


def network():
    return RNNModel(len(Corpus(TEXT).idx2word), 12, 12, 2, dropout=0.2, tie_weights=True)


def train(model, steps, lr=2.0):
    model.train()
    source = batchify(Corpus(TEXT).ids, BATCH)
    criterion, hidden = nn.NLLLoss(), model.init_hidden(BATCH)
    for step in range(steps):
        data, targets = get_batch(source, BPTT * step % (source.size(0) - 1))
        model.zero_grad()
        hidden = repackage_hidden(hidden)
        output, hidden = model(data, hidden)
        loss = criterion(output, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-lr)
        yield loss.item()


def generate(model, words):
    corpus = Corpus(TEXT)
    model.eval()
    hidden, said = model.init_hidden(1), []
    input = torch.randint(len(corpus.idx2word), (1, 1), dtype=torch.long)
    with torch.no_grad():
        for _ in range(words):
            output, hidden = model(input, hidden)
            input.fill_(torch.multinomial(output.squeeze().exp(), 1)[0])
            said.append(corpus.idx2word[input])
    return " ".join(said)


if __name__ == "__main__":
    torch.manual_seed(1)
    model = network()
    losses = list(train(model, 400))
    print(f"perplexity {math.exp(losses[0]):.1f} to {math.exp(losses[-1]):.1f}")
    print(generate(model, 20))
