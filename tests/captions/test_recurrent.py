import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aqa_heads.captions import recurrent
from aqa_heads.captions.recurrent import Given, RecurrentStack, Timeline

DIM, HIDDEN = 7, 5
LENGTHS = [3, 6, 1, 6]
LIBRARY = {"gru": nn.GRU, "lstm": nn.LSTM}


def stack(kind, layers, dtype=torch.float64, residual=False) -> RecurrentStack:
    torch.manual_seed(0)
    return RecurrentStack(kind, DIM, HIDDEN, layers, residual).to(dtype).eval()


def inputs(dtype=torch.float64, lengths=LENGTHS) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, DIM, generator=generator, dtype=dtype) for length in lengths]


def first_state(kind, layers, dtype=torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [
        torch.randn(layers, len(LENGTHS), HIDDEN, generator=generator, dtype=dtype)
        for _ in ("gru", "lstm")[: 1 + (kind == "lstm")]
    ]


def packed(timeline: Timeline, sequences: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(
        [sequences[n][t] for n, t in zip(timeline.sequence.tolist(), timeline.time.tolist(), strict=True)]
    )


def assert_all_close(mine, theirs, tolerance: float) -> None:
    for number, (one, other) in enumerate(zip(mine, theirs, strict=True)):
        torch.testing.assert_close(
            one, other, atol=tolerance, rtol=tolerance, msg=lambda text, number=number: f"{number}: {text}"
        )


def test_a_timeline_finds_every_row():
    timeline = Timeline.of(torch.tensor(LENGTHS))
    assert timeline.sizes == [4, 3, 3, 2, 2, 2]
    rows = torch.arange(sum(LENGTHS))
    assert torch.equal(timeline.row(timeline.sequence, timeline.time), rows)
    assert sorted(zip(timeline.sequence.tolist(), timeline.time.tolist(), strict=True)) == [
        (sequence, time) for sequence, length in enumerate(LENGTHS) for time in range(length)
    ]


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=str)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", LIBRARY)
@pytest.mark.parametrize("lengths", [LENGTHS, [1], [1, 1], [4, 4]], ids=str)
def test_layers_equal_the_librarys_run_on_each_sequence_alone(kind, layers, lengths, dtype, tolerance):
    mine = stack(kind, layers, dtype)
    theirs = copy.deepcopy(mine.rnns[0])
    sequences, state = (
        inputs(dtype, lengths),
        [part[:, : len(lengths)] for part in first_state(kind, layers, dtype)],
    )
    given, their_given = (
        packed(Timeline.of(torch.tensor(lengths)), sequences).requires_grad_(),
        [sequence.clone().requires_grad_() for sequence in sequences],
    )
    my_state, their_state = ([part.clone().requires_grad_() for part in state] for _ in range(2))
    timeline = Timeline.of(torch.tensor(lengths))

    outputs, last = mine([Given(given)], timeline, state=tuple(my_state))
    runs = []
    for number, sequence in enumerate(their_given):
        start = tuple(part[:, number].contiguous() for part in their_state)
        runs.append(theirs(sequence, start if kind == "lstm" else start[0]))
    expected = packed(timeline, [run[0] for run in runs])
    their_last = [run[1] if kind == "lstm" else (run[1],) for run in runs]
    expected_last = [torch.stack(parts, 1) for parts in zip(*their_last, strict=True)]
    assert_all_close([outputs, *last], [expected, *expected_last], tolerance)

    # Everything that comes out matters: outputs and the last states.
    for results in ([outputs, *last], [expected, *expected_last]):
        generator = torch.Generator().manual_seed(3)
        weights = [torch.randn(result.shape, generator=generator, dtype=dtype) for result in results]
        sum((result * weight).sum() for result, weight in zip(results, weights, strict=True)).backward()
    grads = [given.grad, *(part.grad for part in my_state), *(weight.grad for weight in mine.parameters())]
    their_grads = packed(timeline, [sequence.grad for sequence in their_given])
    assert_all_close(
        grads,
        [their_grads, *(part.grad for part in their_state), *(weight.grad for weight in theirs.parameters())],
        tolerance,
    )


# Columns 0 to 2 in some rows, one value each; 3 to 6 in others, with values that come more than once.
SOME, OTHERS, WHICH = torch.tensor([5, 0, 1, 8]), torch.tensor([2, 15, 3]), torch.tensor([1, 0, 1])


def parts(everywhere: bool, dtype=torch.float64) -> tuple[list[Given], torch.Tensor]:
    """Inputs given in two parts, and the same written out, `(rows, inputs)`; both with gradients to the same
    leaves.
    """
    generator = torch.Generator().manual_seed(3)
    left = torch.randn(
        sum(LENGTHS) if everywhere else 4, 3, generator=generator, dtype=dtype
    ).requires_grad_()
    right = torch.randn(2, 4, generator=generator, dtype=dtype).requires_grad_()
    zeros = torch.zeros(sum(LENGTHS), DIM, dtype=dtype)
    written = torch.cat(
        [
            left if everywhere else zeros[:, :3].index_copy(0, SOME, left),
            zeros[:, 3:].index_copy(0, OTHERS, right[WHICH]),
        ],
        1,
    )
    return [Given(left, None if everywhere else SOME), Given(right, OTHERS, WHICH)], written


@pytest.mark.parametrize("everywhere", [True, False])
@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("kind", LIBRARY)
def test_what_is_given_in_parts_is_as_if_it_were_written_out(kind, framed, everywhere):
    module, timeline = stack(kind, 2), Timeline.of(torch.tensor(LENGTHS))
    given, written = parts(everywhere)
    frame = torch.linspace(-1, 1, DIM, dtype=torch.float64).requires_grad_()
    outputs, _ = module(given, timeline, frame if framed else None)
    expected, _ = module([Given(written + frame if framed else written)], timeline)
    assert_all_close([outputs], [expected], 1e-10)
    wanted = [given[0].values, given[1].values, *([frame] if framed else []), *module.parameters()]
    grads, their_grads = (torch.autograd.grad(out.square().sum(), wanted) for out in (outputs, expected))
    assert_all_close(grads, their_grads, 1e-10)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("kind", LIBRARY)
def test_the_way_taken_on_a_gpu_gives_the_same(kind, residual, monkeypatch):
    module, timeline = stack(kind, 3, residual=residual), Timeline.of(torch.tensor(LENGTHS))
    given, frame, state = parts(False)[0], torch.randn(DIM, dtype=torch.float64), tuple(first_state(kind, 3))
    outputs, last = module(given, timeline, frame, state)
    # cuDNN's way runs on a CPU as well, only slowly.
    monkeypatch.setattr(recurrent, "run_layers", recurrent._run_cudnn)
    expected, expected_last = module(given, timeline, frame, state)
    assert_all_close([outputs, *last], [expected, *expected_last], 1e-10)


@pytest.mark.gpu
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("kind", LIBRARY)
def test_a_gpu_gives_the_same(cuda, kind, residual, monkeypatch):
    # In training, as cuDNN has no backward pass otherwise, but without dropout.
    monkeypatch.setattr(recurrent, "DROPOUT", 0.0)
    module, timeline = stack(kind, 3, torch.float32, residual), Timeline.of(torch.tensor(LENGTHS))
    given, frame = parts(False, torch.float32)[0], torch.randn(DIM)
    there = copy.deepcopy(module).to(cuda).train()
    expected, _ = module(given, timeline, frame)
    moved = [
        Given(*(None if each is None else each.to(cuda) for each in (g.values, g.rows, g.which)))
        for g in given
    ]
    outputs, _ = there(moved, Timeline.of(torch.tensor(LENGTHS).to(cuda)), frame.to(cuda))
    expected.square().sum().backward()
    outputs.square().sum().backward()
    assert_all_close([outputs.cpu()], [expected], 1e-4)
    for mine, theirs in zip(there.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(mine.grad.cpu(), theirs.grad, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("kind", LIBRARY)
def test_a_step_goes_on_where_a_sequence_ended(kind, residual):
    module, sequences = stack(kind, 3, residual=residual), inputs(lengths=[6, 6])
    full = Timeline.of(torch.tensor([6, 6]))
    with torch.no_grad():
        whole, last = module([Given(packed(full, sequences))], full)
        half = Timeline.of(torch.tensor([3, 3]))
        outputs, state = module([Given(packed(half, sequences))], half)
        for time in range(3, 6):
            outputs, state = module.step(torch.stack([sequence[time] for sequence in sequences]), state)
    assert_all_close([outputs, *state], [whole[-2:], *last], 1e-10)


@pytest.mark.parametrize("kind", LIBRARY)
def test_dropout_lies_between_layers_only_while_training_and_is_scaled(kind):
    module, timeline = stack(kind, 2), Timeline.of(torch.tensor(LENGTHS))
    given = packed(timeline, inputs())
    quiet = module([Given(given)], timeline)[0]
    assert torch.equal(module([Given(given)], timeline)[0], quiet)
    module.train()
    torch.manual_seed(5)
    outputs = module([Given(given)], timeline)[0]
    torch.manual_seed(5)
    assert torch.equal(module([Given(given)], timeline)[0], outputs)
    assert not torch.allclose(outputs, quiet)

    lower, upper = stack(kind, 1), RecurrentStack(kind, HIDDEN, HIDDEN, 1).double()
    lower.rnns[0].load_state_dict({f"{n}_l0": getattr(module.rnns[0], f"{n}_l0") for n in NAMES})
    upper.rnns[0].load_state_dict({f"{n}_l0": getattr(module.rnns[0], f"{n}_l1") for n in NAMES})
    torch.manual_seed(5)
    expected = upper([Given(F.dropout(lower([Given(given)], timeline)[0], 0.5))], timeline)[0]
    assert_all_close([outputs], [expected], 1e-10)


NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@pytest.mark.parametrize("kind", LIBRARY)
def test_a_residual_layer_adds_to_what_it_is_given(kind):
    module, timeline = stack(kind, 3, residual=True), Timeline.of(torch.tensor(LENGTHS))
    for norm in module.norms:
        nn.init.normal_(norm.weight)
    sequences = inputs()
    outputs = module([Given(packed(timeline, sequences))], timeline)[0]
    expected = []
    for sequence in sequences:
        values = module.rnns[0](sequence)[0]
        for rnn, norm in zip(module.rnns[1:], module.norms, strict=True):
            values = values + rnn(norm(values))[0]
        expected.append(values)
    assert_all_close([outputs], [packed(timeline, expected)], 1e-10)
