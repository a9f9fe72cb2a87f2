import copy

import pytest
import torch
from torch import nn

from aqa_heads.captioner import Captioner, run_on_constant

ROWS = [("gru", 2, "none"), ("gru", 2, "linear"), ("gru", 1, "linear"), ("lstm", 2, "none"), ("lstm", 3, "linear")]
DIM, HIDDEN, WORD_DIM, WORDS = 10, 6, 5, 13
COUNT = torch.tensor([3, 1, 4])


def make(rnn, layers, attention) -> Captioner:
    torch.manual_seed(0)
    return Captioner(DIM, WORDS, rnn, layers, attention, hidden=HIDDEN, word_dim=WORD_DIM).eval()


def clips() -> torch.Tensor:
    features = torch.randn(3, 4, DIM, generator=torch.Generator().manual_seed(1))
    return features * (torch.arange(4) < COUNT[:, None])[..., None]


def word_loop(captioner: Captioner, features: torch.Tensor, choose) -> list[torch.Tensor]:
    """The original's way, one sample and one word at a time: logits after each word that `choose(step, logits)` gives."""
    project = captioner.attention if captioner.attention is not None else lambda frame: frame
    seen, state1 = captioner.rnn1(project(features[None]))
    _, state2 = captioner.rnn2(torch.cat([seen, torch.zeros(1, len(features), WORD_DIM)], 2))
    logits, said = None, []
    while (word := choose(len(said), logits)) is not None:
        seen, state1 = captioner.rnn1(project(torch.zeros(1, 1, DIM)), state1)
        spoken, state2 = captioner.rnn2(torch.cat([seen, captioner.embedding(torch.tensor([[word]]))], 2), state2)
        logits = captioner.output(spoken[0, 0])
        said.append(logits)
    return said


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_whole_sequence_equals_the_word_loop_with_its_gradients(row):
    fast = make(*row)
    plain = copy.deepcopy(fast)
    heard = torch.randint(0, WORDS, (3, 7), generator=torch.Generator().manual_seed(2))
    weight = torch.randn(3, 7, WORDS, generator=torch.Generator().manual_seed(3))

    logits = fast(clips(), COUNT, heard)
    expected = torch.stack([
        torch.stack(word_loop(plain, features[:count], lambda step, _, words=words: words[step] if step < 7 else None))
        for features, count, words in zip(clips(), COUNT, heard.tolist(), strict=True)
    ])  # fmt: skip
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)

    (logits * weight).sum().backward()
    (expected * weight).sum().backward()
    for (name, mine), theirs in zip(fast.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(
            mine.grad, theirs.grad, atol=1e-5, rtol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_speaking_is_the_greedy_word_loop_cut_at_eos(row):
    captioner = make(*row)
    with torch.no_grad():
        captioner.output.bias[0] = 0.3
        said = captioner.speak(clips(), COUNT, steps=9)
        for features, count, mine in zip(clips(), COUNT, said.tolist(), strict=True):
            logits = word_loop(
                captioner,
                features[:count],
                lambda step, last: None if step == 9 else 1 if last is None else int(last.argmax()),
            )
            words = [int(each.argmax()) for each in logits]
            end = words.index(0) if 0 in words else len(words)
            assert mine == words[:end] + [0] * (9 - end)


@pytest.mark.parametrize("rnn", [nn.GRU, nn.LSTM])
@pytest.mark.parametrize("given", [True, False])
def test_a_constant_input_is_run_as_if_it_were_written_out(rnn, given):
    torch.manual_seed(0)
    plain = rnn(5, 4, 3, batch_first=True)
    fast = copy.deepcopy(plain)
    frame = torch.randn(5) if given else None
    _, state = plain(torch.randn(2, 3, 5))
    state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()

    expected = plain((torch.zeros(5) if frame is None else frame).expand(2, 6, 5), state)[0]
    outputs = run_on_constant(fast, frame, 2, 6, state)
    torch.testing.assert_close(outputs, expected, atol=1e-6, rtol=0)
    expected.square().sum().backward()
    outputs.square().sum().backward()
    for mine, theirs in zip(fast.parameters(), plain.parameters(), strict=True):
        mine = torch.zeros_like(theirs) if mine.grad is None else mine.grad
        torch.testing.assert_close(mine, theirs.grad, atol=1e-5, rtol=1e-5)


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


def test_dropout_lies_between_layers_only_while_training():
    captioner = make("gru", 2, "linear")
    heard = torch.ones(3, 5, dtype=torch.int64)
    assert torch.equal(captioner(clips(), COUNT, heard), captioner(clips(), COUNT, heard))
    captioner.train()
    assert not torch.equal(captioner(clips(), COUNT, heard), captioner(clips(), COUNT, heard))
    assert (captioner.rnn1.dropout, captioner.rnn2.dropout) == (0.5, 0.5)
