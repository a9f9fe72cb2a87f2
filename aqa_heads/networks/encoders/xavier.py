"""Where transformers of older papers start."""

import torch
from torch import nn


@torch.no_grad()
def start_as_xavier(module: nn.Module) -> None:
    """Draw all matrices of a module anew, as Glorot & Bengio 2010 do."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
