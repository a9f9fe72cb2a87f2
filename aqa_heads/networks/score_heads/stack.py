"""The layers that most heads consist of."""

from torch import nn

_WIDTHS = (256, 128)


def stack(width: int, outputs: int, dropout: float = 0.0) -> nn.Sequential:
    """Linear to 256, ReLU, linear to 128, ReLU, linear to `outputs`; dropout after each ReLU.

    Source: Tang et al. 2020, arXiv:2006.07665, USDL, which has no dropout.
    """
    first, second = _WIDTHS
    return nn.Sequential(
        *(nn.Linear(width, first), nn.ReLU(), nn.Dropout(dropout)),
        *(nn.Linear(first, second), nn.ReLU(), nn.Dropout(dropout)),
        nn.Linear(second, outputs),
    )
