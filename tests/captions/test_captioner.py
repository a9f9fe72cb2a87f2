import copy
import math

import pytest
import torch
from torch.nn import functional as F

from aqa_heads.captions.captioner import Captioner

ROWS = [
    *(
        (rnn, layers, attention, False)
        for rnn in ("gru", "lstm")
        for layers in (2, 8)
        for attention in ("none", "linear", "additive", "dot")
    ),
    ("gru", 1, "linear", False),
    ("lstm", 3, "additive", True),
    ("gru", 3, "none", True),
]
DIM, HIDDEN, WORD_DIM, WORDS = 10, 6, 5, 13
COUNT = torch.tensor([3, 1, 4])


def make(rnn, layers, attention, residual=False) -> Captioner:
    torch.manual_seed(0)
    return Captioner(
        DIM, WORDS, rnn, layers, attention, hidden=HIDDEN, word_dim=WORD_DIM, residual=residual
    ).eval()


def clips() -> torch.Tensor:
    features = torch.randn(3, 4, DIM, generator=torch.Generator().manual_seed(1))
    return features * (torch.arange(4) < COUNT[:, None])[..., None]


def run(stack, inputs: torch.Tensor, states=None):
    """A stack of recurrent layers over one sequence, by PyTorch's own modules; states: one per module."""
    made, ends = inputs, []
    for number, rnn in enumerate(stack.rnns):
        given = stack.norms[number - 1](made) if stack.residual and number else made
        more, end = rnn(given, None if states is None else states[number])
        made = made + more if stack.residual and number else more
        ends.append(end)
    return made, ends


def look(attention, query: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """One query `(hidden,)`, the projected clips `(clips, hidden)`."""
    asked = attention.of_query(query)
    if attention.score is None:
        scores = seen @ asked / math.sqrt(len(query))
    else:
        scores = attention.score(torch.tanh(asked + attention.of_clip(seen)))[:, 0]
    return query + attention.join(scores.softmax(0) @ seen)


def word_loop(captioner: Captioner, features: torch.Tensor, choose) -> list[torch.Tensor]:
    """The original's way, one sample and one word at a time: logits after each word that `choose(step,
    logits)` gives.
    """
    project = captioner.projection if captioner.projection is not None else lambda frame: frame
    clip_frames = project(features)
    seen, state1 = run(captioner.rnn1, clip_frames)
    _, state2 = run(captioner.rnn2, torch.cat([seen, torch.zeros(len(features), WORD_DIM)], 1))
    logits, said = None, []
    while (word := choose(len(said), logits)) is not None:
        seen, state1 = run(captioner.rnn1, project(torch.zeros(1, DIM)), state1)
        spoken, state2 = run(
            captioner.rnn2, torch.cat([seen, captioner.embedding(torch.tensor([word]))], 1), state2
        )
        spoken = (
            spoken[0] if captioner.attention is None else look(captioner.attention, spoken[0], clip_frames)
        )
        logits = captioner.output(spoken)
        said.append(logits)
    return said


def looped(captioner: Captioner, inputs: torch.Tensor) -> torch.Tensor:
    """Logits of the word loop, `(batch, words, vocabulary)`."""
    steps = inputs.shape[1]
    return torch.stack(
        [
            torch.stack(
                word_loop(
                    captioner,
                    features[:lengths],
                    lambda step, _, words=words: words[step] if step < steps else None,
                )
            )
            for features, lengths, words in zip(clips(), COUNT, inputs.tolist(), strict=True)
        ]
    )


def assert_same_gradients(fast: Captioner, plain: Captioner) -> None:
    for (name, mine), theirs in zip(fast.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(
            mine.grad, theirs.grad, atol=1e-5, rtol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_whole_sequence_equals_the_word_loop_with_its_gradients(row):
    fast = make(*row)
    plain = copy.deepcopy(fast)
    inputs = torch.randint(0, WORDS, (3, 7), generator=torch.Generator().manual_seed(2))
    weight = torch.randn(3, 7, WORDS, generator=torch.Generator().manual_seed(3))

    logits, expected = fast(clips(), COUNT, inputs), looped(plain, inputs)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)

    (logits * weight).sum().backward()
    (expected * weight).sum().backward()
    assert_same_gradients(fast, plain)


@pytest.mark.parametrize("words", [[7, 2, 4], [1, 0, 1]], ids=str)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_loss_is_the_word_loops_over_real_words_with_its_gradients(row, words):
    fast = make(*row)
    plain = copy.deepcopy(fast)
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randint(0, WORDS, (3, max(words)), generator=generator)
    real = torch.arange(max(words)) < torch.tensor(words)[:, None]
    positions = real.flatten().nonzero().squeeze(1)
    targets = torch.randint(0, WORDS, (len(positions),), generator=generator)

    loss = fast.loss(clips(), COUNT, inputs, targets, positions)
    expected = F.cross_entropy(looped(plain, inputs)[real], targets, reduction="sum")
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-6)
    loss.backward()
    expected.backward()
    assert_same_gradients(fast, plain)


def test_nothing_behind_a_samples_clips_or_words_changes_the_loss():
    captioner, inputs = make("gru", 2, "dot"), torch.ones(3, 4, dtype=torch.int64)
    positions, targets = torch.tensor([0, 4, 5]), torch.tensor([3, 4, 0])
    loss = captioner.loss(clips(), COUNT, inputs, targets, positions)
    features, noisy = clips(), inputs.clone()
    features[1, 1:], noisy[0, 1:], noisy[2] = 7.0, 9, 8
    assert torch.equal(captioner.loss(features, COUNT, noisy, targets, positions), loss)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_speaking_is_the_greedy_word_loop_cut_at_eos(row):
    captioner = make(*row)
    with torch.no_grad():
        captioner.output.bias[0] = 0.3
        said = captioner.generate(clips(), COUNT, steps=9).words
        for features, lengths, mine in zip(clips(), COUNT, said.tolist(), strict=True):
            never_sos = torch.zeros(WORDS).index_fill(0, torch.tensor([1]), -math.inf)
            logits = word_loop(
                captioner,
                features[:lengths],
                lambda step, last, never=never_sos: (
                    None if step == 9 else 1 if last is None else int((last + never).argmax())
                ),
            )
            words = [int((each + never_sos).argmax()) for each in logits]
            end = words.index(0) if 0 in words else len(words)
            assert mine == words[:end] + [0] * (9 - end)


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_is_spoken_has_the_probability_and_the_attention_of_teacher_forcing(row, beam):
    captioner = make(*row)
    with torch.no_grad():
        captioner.output.bias[0] = 0.3
        spoken = captioner.generate(clips(), COUNT, steps=9, beam=beam)
        inputs = torch.cat([torch.ones(3, 1, dtype=torch.int64), spoken.words[:, :-1]], 1)
        of_words = (
            captioner(clips(), COUNT, inputs).log_softmax(2).gather(2, spoken.words.unsqueeze(2)).squeeze(2)
        )
        real = (spoken.words == 0).cumsum(1) - (spoken.words == 0).long() == 0
        torch.testing.assert_close(spoken.log_probability, (of_words * real).sum(1), atol=1e-5, rtol=0)
        if captioner.attention is None:
            assert spoken.attention is None and captioner.weights(clips(), COUNT, inputs) is None
        else:
            expected = captioner.weights(clips(), COUNT, inputs) * real.unsqueeze(2)
            torch.testing.assert_close(spoken.attention, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "rnn, layers, attention, parameters",
    [
        ("gru", 2, "none", 24_810_131),
        ("gru", 2, "linear", 17_208_467),
        ("gru", 8, "linear", 36_119_699),
        ("lstm", 8, "linear", 44_786_835),
        ("lstm", 2, "linear", 19_571_859),
    ],
)
def test_parameter_counts_are_the_originals(rnn, layers, attention, parameters):
    with torch.device("meta"):
        captioner = Captioner(8192, 5779, rnn, layers, attention)
    assert sum(parameter.numel() for parameter in captioner.parameters()) == parameters


def test_dropout_is_on_only_while_training_and_the_same_seed_gives_the_same():
    captioner = make("gru", 2, "linear")
    inputs = torch.ones(3, 5, dtype=torch.int64)
    quiet = captioner(clips(), COUNT, inputs)
    assert torch.equal(captioner(clips(), COUNT, inputs), quiet)
    captioner.train()
    torch.manual_seed(4)
    noisy = captioner(clips(), COUNT, inputs)
    assert not torch.equal(noisy, quiet)
    torch.manual_seed(4)
    assert torch.equal(captioner(clips(), COUNT, inputs), noisy)
    assert all(rnn.dropout == 0.5 for stack in (captioner.rnn1, captioner.rnn2) for rnn in stack.rnns)


@pytest.mark.slow
@pytest.mark.parametrize("rnn", ["gru", "lstm"])
def test_eight_residual_layers_learn_what_the_clips_say(rnn):
    """Four bits that can be seen in the clips, each told twice by one of two words.

    Who knows how often each word occurs loses 2.19 nats a token, and who knows its place and the bits told
    before 4 ln 2 / 9 = .31; less needs the clips. Eight plain layers lose 1.3 to 1.7 after as many steps.
    """
    torch.manual_seed(0)
    features = torch.randn(256, 3, 16)
    bits = (features.mean(1) @ torch.randn(16, 4) > 0).long()
    words = torch.cat([3 + 2 * torch.arange(4) + bits] * 2, 1)
    inputs = torch.cat([torch.ones(256, 1, dtype=torch.int64), words], 1)
    targets = torch.cat([words, torch.zeros(256, 1, dtype=torch.int64)], 1)

    captioner = Captioner(16, 11, rnn, 8, "linear", hidden=48, word_dim=48, residual=True)
    optimiser = torch.optim.Adam(captioner.parameters(), lr=2e-3)

    def loss_per_token(chosen):
        tokens, lengths = targets[chosen].flatten(), torch.full((len(chosen),), 3)
        told = captioner.loss(features[chosen], lengths, inputs[chosen], tokens, torch.arange(len(tokens)))
        return told / len(tokens)

    for _ in range(80):
        optimiser.zero_grad()
        loss_per_token(torch.randint(0, 256, (32,))).backward()
        optimiser.step()
    captioner.eval()
    with torch.no_grad():
        assert loss_per_token(torch.arange(256)) < 0.2
