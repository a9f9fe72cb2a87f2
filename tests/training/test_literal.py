"""`--literal`: each row of Table 1 equals the original's equations, written out here one sample, clip and
word at a time.
"""

import pytest
import torch
from synthetic_cache import small_models
from torch.nn import functional as F

from aqa_heads.data.batches import Batch
from aqa_heads.networks.architecture import Architecture
from aqa_heads.networks.model import AqaModel
from aqa_heads.settings.experiments import EXPERIMENTS
from aqa_heads.settings.naming import run_label
from aqa_heads.settings.resolved import LITERAL
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.losses import multitask_loss

DIM, WORDS, COUNTS = 10, 13, (3, 1, 4)
CLASSES = {"position": ["free", "pike", "tuck"], "armstand": ["0", "1"]}
SCORES = torch.tensor([71.4, 38.0, 94.05])
CAPTIONS = ([1, 4, 5, 6, 0], [1, 7, 0], [1, 3, 3, 9, 12, 2, 0])


@pytest.fixture(params=EXPERIMENTS)
def literal(request, monkeypatch):
    """The model of a row at a few units' width, and the same numbers for the equations to use."""
    monkeypatch.setattr("aqa_heads.settings.resolved.LITERAL_HIDDEN", 9)
    monkeypatch.setattr("aqa_heads.settings.resolved.LITERAL_S3D_DIM", 11)
    config = TrainingConfig("feats.h5", request.param, literal=True).resolve()
    record = {
        "tasks": config.tasks,
        "classes": CLASSES,
        "score_scale": config.score_scale,
        "score_centre": 0.0,
        "head": "fc6",
        "residual": config.residual,
        "encoder_hidden": config.encoder_hidden,
        "encoder_layers": config.encoder_layers,
        "projection": config.projection(config.row.backbone),
        "dropout": config.dropout,
        "direct": config.ridge_start,
        "features": {"dim": DIM},
        **config.columns,
    }
    with small_models():
        torch.manual_seed(3)
        # Without dropout: the original's falls on other places.
        model = AqaModel(Architecture.from_record(record, WORDS)).eval()
    # Larger than at the start of training, so that an equation that is a little wrong shows.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.4)
    return (
        config,
        model,
        {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()},
    )


def gru_cell(seen, state, w_ih, w_hh, b_ih, b_hh):
    (hidden,) = state
    r, z, n = (w_ih @ seen + b_ih).chunk(3)
    hr, hz, hn = (w_hh @ hidden + b_hh).chunk(3)
    update = torch.sigmoid(z + hz)
    return ((1 - update) * torch.tanh(n + torch.sigmoid(r + hr) * hn) + update * hidden,)


def lstm_cell(seen, state, w_ih, w_hh, b_ih, b_hh):
    hidden, cell = state
    i, f, g, o = (w_ih @ seen + b_ih + w_hh @ hidden + b_hh).chunk(4)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


CELLS = {"gru": (gru_cell, 1), "lstm": (lstm_cell, 2)}


class Stack:
    """Cells on top of each other, step by step, from zeros."""

    def __init__(self, weights, prefix, kind, layers):
        self.cell, states = CELLS[kind]
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        self.weights = [[weights[f"{prefix}.{name}_l{layer}"] for name in names] for layer in range(layers)]
        self.states = [[torch.zeros(own[1].shape[1])] * states for own in self.weights]

    def __call__(self, seen):
        for layer, own in enumerate(self.weights):
            self.states[layer] = self.cell(seen, self.states[layer], *own)
            seen = self.states[layer][0]
        return seen


def original_loss(config, weights, samples):
    """The loss of Parmar & Morris 2019 and of the paper's variants for samples of (clips, score, classes,
    caption).
    """
    row = config.row

    def linear(name, value):
        return weights[f"{name}.weight"] @ value + weights[f"{name}.bias"]

    squared, absolute, told = [], [], []
    entropy = {name: [] for name in CLASSES}
    for clips, score, classes, caption in samples:
        if row.backbone == "s3d":
            clips = [linear("projection", clip) for clip in clips]
        if row.encoder == "average":
            encoded = sum(clips) / len(clips)
        else:
            encoder = Stack(weights, "encoder.lstm", "lstm", 2)
            for clip in clips:
                encoded = encoder(clip)
        shared = torch.relu(linear("heads.fc6", encoded))
        off = linear("heads.score", shared)[0] - score / 17
        squared.append(off**2)
        absolute.append(off.abs())
        for place, (name, number) in enumerate(classes.items()):
            entropy[name].append(-F.log_softmax(linear(f"heads.classes.{place}", shared), 0)[number])

        watch = linear if row.attention == "linear" else (lambda _, value: value)
        first, second = (
            Stack(weights, f"captioner.{name}.rnns.0", row.rnn, row.layers) for name in ("rnn1", "rnn2")
        )
        embedding = weights["captioner.embedding.weight"]
        for clip in clips:
            second(torch.cat([first(watch("captioner.projection", clip)), torch.zeros(embedding.shape[1])]))
        for inputs, said in zip(caption, caption[1:], strict=False):
            seen = first(watch("captioner.projection", torch.zeros_like(clips[0])))
            spoken = second(torch.cat([seen, embedding[inputs]]))
            told.append(-F.log_softmax(linear("captioner.output", spoken), 0)[said])
    n = len(samples)
    return (
        sum(squared) / n
        + sum(absolute) / n
        + sum(sum(own) / n for own in entropy.values())
        + 0.01 * sum(told) / n
    )


def test_a_row_equals_the_originals_equations_with_all_gradients(literal):
    config, model, weights = literal
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(len(COUNTS), max(COUNTS), DIM, generator=generator)
    lengths = torch.tensor(COUNTS)
    features *= (torch.arange(max(COUNTS)) < lengths[:, None])[..., None]
    classes = {"position": torch.tensor([2, 0, 1]), "armstand": torch.tensor([0, 1, 1])}
    everyone = torch.arange(len(COUNTS))
    steps = max(map(len, CAPTIONS)) - 1
    inputs = torch.tensor([[*caption[:-1], *[0] * (steps + 1 - len(caption))] for caption in CAPTIONS])
    positions = [
        row * steps + place for row, caption in enumerate(CAPTIONS) for place in range(len(caption) - 1)
    ]
    targets = [word for caption in CAPTIONS for word in caption[1:]]
    batch = Batch(
        features,
        lengths,
        SCORES,
        everyone,
        classes,
        dict.fromkeys(classes, everyone),
        inputs,
        torch.tensor(targets),
        torch.tensor(positions),
        len(CAPTIONS),
    )

    mine = multitask_loss(model, batch).total
    theirs = original_loss(
        config,
        weights,
        [
            (list(sample[:n]), score, {name: int(column[place]) for name, column in classes.items()}, caption)
            for place, (sample, n, score, caption) in enumerate(
                zip(features, COUNTS, SCORES, CAPTIONS, strict=True)
            )
        ],
    )
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    mine.backward()
    theirs.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(
            parameter.grad,
            weights[name].grad,
            atol=1e-5,
            rtol=1e-5,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def test_literal_is_the_originals_settings():
    config = TrainingConfig("feats.h5", "7", literal=True).resolve()
    assert {name: getattr(config, name) for name in LITERAL} == {
        "batch_size": 3,
        "lr": 1e-4,
        "caption_lr": 1e-4,
        "weight_decay": 0.0,
        "dropout": 0.0,
        "standardise": False,
        "centre": False,
        "score_scale": 17.0,
        "residual": False,
        "ridge_start": False,
    }
    assert (config.encoder_hidden, config.encoder_layers) == (8192, 2)
    assert TrainingConfig("feats.h5", "2", literal=True).resolve().projection("s3d") == 8192
    assert TrainingConfig("feats.h5", "2").resolve().projection("s3d") is None


@pytest.mark.parametrize("row", ["4", "5", "7"])
def test_rows_that_differ_from_the_original_say_so(row):
    backbone = EXPERIMENTS[row].backbone
    ours, literal = (TrainingConfig("feats.h5", row, literal=literal).resolve() for literal in (False, True))
    assert run_label(ours, backbone) != f"Exp {row}"
    assert run_label(literal, backbone) == f"Exp {row} (literal)"
