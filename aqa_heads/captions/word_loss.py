"""How improbable the words of captions are, without ever holding the probabilities of all words at once."""

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# Rows whose probabilities exist at one time: few enough to stay in a processor's cache, enough for a product
# at full speed.
ROWS = 256


def word_loss(states: torch.Tensor, output: nn.Linear, words: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of `words`, summed, in nats.

    Equal to `cross_entropy(output(states), words, reduction="sum")`. The gradient is made in the forward
    pass, a few rows at a time, where their probabilities still are in the cache; it can be taken once.

    Shape:
        - states: `(rows, hidden)`; output: maps them to the logits of the vocabulary; words: `(rows,)` int64.
        - Output: a scalar.
    """
    return _WordLoss.apply(states, output.weight, output.bias, words, torch.is_grad_enabled())


class _WordLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, states, weight, bias, words, wanted):
        loss = states.new_zeros(())
        ctx.grads = (
            [torch.empty_like(states), torch.empty_like(weight), torch.zeros_like(bias)] if wanted else None
        )
        for start in range(0, len(words), ROWS):
            some, word = states[start : start + ROWS], words[start : start + ROWS].unsqueeze(0)
            # One column for each predicted word: a product is made in two thirds of the time when what it
            # writes is as wide as a power of two and not as the vocabulary.
            log_probability = F.log_softmax(torch.addmm(bias.unsqueeze(1), weight, some.t()), 0)
            loss -= log_probability.gather(0, word).sum()
            if wanted:
                grad_states, grad_weight, grad_bias = ctx.grads
                difference = log_probability.exp_()
                difference[word, torch.arange(word.shape[1], device=word.device)] -= 1
                torch.mm(difference.t(), weight, out=grad_states[start : start + ROWS])
                grad_weight.addmm_(difference, some, beta=float(start > 0))
                grad_bias += difference.sum(1)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        grads, ctx.grads = ctx.grads, None
        assert grads is not None, "the gradient of a word loss can be taken once"
        return *(each.mul_(grad) for each in grads), None, None
