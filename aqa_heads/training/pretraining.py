"""An encoder taught to describe its clips before it is taught to score them: the LSTM as an autoencoder."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from ..errors import TrainingError
from ..networks.encoders.recurrent import RecurrentEncoder
from ..networks.encoders.seam import padding_of


class Reconstruction(nn.Module):
    """An RNN that says a sample's clips in reverse, from nothing but the encoder's final states, which are
    copied.

    The decoder is unconditional: it never gets the clips that it has given, so all that it gives must come
    through the states. Cell, size and depth are the encoder's; on top is one linear layer.

    Args:
        encoder: `lstm` or `gru`.
        dim: size of one clip feature.

    Shape:
        - features: `(batch, clips, dim)`; lengths: `(batch,)`, at least 1.
        - Output: `(batch, clips, dim)`, the last real clip first; anything where padded.

    Source: Srivastava et al. 2015, arXiv:1502.04681, section 2.1, its unconditional decoder.
    """

    def __init__(self, encoder: RecurrentEncoder, dim: int):
        super().__init__()
        self.encoder, rnn = encoder, encoder.rnn
        # One input, always 0: torch's RNNs have no form without input.
        self.decoder = type(rnn)(1, rnn.hidden_size, rnn.num_layers, batch_first=True, dropout=rnn.dropout)
        self.output = nn.Linear(rnn.hidden_size, dim)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        # Packed: the final states of every layer are wanted, and those after a sample's own last clip.
        packed = pack_padded_sequence(features, lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, states = self.encoder.rnn(packed)
        outputs, _ = self.decoder(features.new_zeros(*features.shape[:2], 1), states)
        return self.output(outputs)

    def loss(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Squared error, the mean over all real clips and their dimensions."""
        padding = padding_of(features, lengths)
        difference = (self(features, lengths) - reverse(features, lengths)).masked_fill(
            padding.unsqueeze(2), 0
        )
        return difference.square().sum() / (lengths.sum() * features.shape[2])


def reverse(features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """A sample's clips in reverse, `(batch, clips, dim)`; where padded, its first clip again."""
    places = (lengths.unsqueeze(1) - 1 - torch.arange(features.shape[1], device=features.device)).clamp(min=0)
    return features.gather(1, places.unsqueeze(2).expand_as(features))


def pretrain(
    encoder: RecurrentEncoder,
    clips: Sequence[torch.Tensor],
    epochs: int,
    lr: float,
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> list[float]:
    """Train `encoder` in place to reconstruct `clips`, with Adam; the decoder is thrown away.

    On the CPU the same input gives the same bits, for the same number of threads. The caller's random numbers
    are left as they were, and so is the mode of the encoder.

    Args:
        encoder: `lstm` or `gru`; is on `device` afterwards.
        clips: of the training samples and of no others, each `(clips, dim)`, standardised as the encoder will
            see them.
        epochs: passes over all of them.
        seed: of the decoder's initial weights, dropout and the order of samples.

    Returns:
        Per epoch the squared error, the mean over all clips and dimensions: about 1 where the mean of
        standardised clips is all that is known.

    Raises:
        TrainingError: the loss is no longer finite.
    """
    device = torch.device(device)
    was_training, losses = encoder.training, []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = Reconstruction(encoder, clips[0].shape[1]).to(device).train()
        optimiser = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
        for epoch in range(1, epochs + 1):
            total = torch.zeros((), dtype=torch.float64, device=device)
            for chosen in torch.randperm(len(clips)).split(batch_size):
                batch = [clips[index] for index in chosen.tolist()]
                lengths = torch.tensor([len(sample) for sample in batch], device=device)
                loss = model.loss(pad_sequence(batch, batch_first=True).to(device), lengths)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                total += loss.detach() * lengths.sum()
            losses.append(float(total) / sum(map(len, clips)))
            if not total.isfinite():
                raise TrainingError(
                    f"pre-training of the encoder diverged in epoch {epoch} (the loss is not finite); "
                    f"try an --lr below {lr:g}"
                )
    encoder.train(was_training)
    return losses
