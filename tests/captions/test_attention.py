import math

import pytest
import torch

from aqa_heads.captions.attention import ClipAttention

KINDS = ("additive", "dot")


def make(kind) -> ClipAttention:
    torch.manual_seed(0)
    return ClipAttention(kind, 6).double()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_formula(kind):
    attention, lengths = make(kind), torch.tensor([3, 1])
    queries, clips = torch.randn(2, 4, 6, dtype=torch.float64), torch.randn(2, 3, 6, dtype=torch.float64)
    joined, weights = attention(queries, clips, lengths)
    W, join = attention.of_query.weight, attention.join
    for sample in range(2):
        for word in range(4):
            q, scores = queries[sample, word], []
            for k in clips[sample, : lengths[sample]]:
                if kind == "dot":
                    scores.append((W @ q) @ k / math.sqrt(6))
                else:
                    U, b, v = attention.of_clip.weight, attention.of_clip.bias, attention.score.weight[0]
                    scores.append(v @ torch.tanh(W @ q + U @ k + b))
            exponentials = torch.stack(scores).exp()
            expected = exponentials / exponentials.sum()
            torch.testing.assert_close(weights[sample, word, : lengths[sample]], expected)
            context = sum(weight * clip for weight, clip in zip(expected, clips[sample], strict=False))
            torch.testing.assert_close(joined[sample, word], q + join.weight @ context + join.bias)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing_and_weighs_nothing(kind):
    attention, lengths = make(kind), torch.tensor([2, 1])
    queries, clips = torch.randn(2, 4, 6, dtype=torch.float64), torch.randn(2, 3, 6, dtype=torch.float64)
    joined, weights = attention(queries, clips, lengths)
    clips[0, 2:], clips[1, 1:] = 1e6, -1e6
    changed, _ = attention(queries, clips, lengths)
    assert torch.equal(joined, changed)
    assert not weights[0, :, 2:].any() and not weights[1, :, 1:].any()
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 4).double())
    assert torch.equal(weights[1, :, 0], torch.ones(4).double())
