"""Grades that look for their clips: the grade-decoupled Likert transformer."""

import torch
from torch import nn
from torch.nn import functional as F

from ..score_heads.seam import Encoded
from .rows import RowNorm, Rows
from .seam import Encoder, padding_of
from .xavier import start_as_xavier

_DROPOUT = 0.3
_MARGIN = 1.0
GRADES = 4


class GdltEncoder(Encoder):
    """What each of four learned grades finds in the clips, and the mean of the four.

    A transformer over the clips, whose order it does not know, and a decoder from the grades, both post-norm
    with one attention head. `parts` are the grades from the lowest to the highest, which the score head
    `likert` reads.

    Args:
        dim: size of one clip feature.
        hidden: size of the output and of each part.
        layers: of the decoder; the encoder before it has one.
        triplet: weight of a loss that keeps the grades apart: a grade is to be nearer to itself in other
            samples than to other grades, by a margin of 1 in cosine. 0: there is none.

    Shape:
        - features: `(batch, clips, dim)`; lengths: `(batch,)`, at least 1; padding changes nothing.
        - Output: pooled `(batch, hidden)`, parts `(batch, 4, hidden)`; a loss in training, of two samples or
          more.

    Source: Xu et al. 2022, CVPR, "Likert Scoring with Grade Decoupling for Long-term Action Assessment"
    (github.com/xuangch/CVPR22_GDLT). Differs: padding is masked and does not count in batch norm, where the
    original has rows of zeros that count as clips; the first layer is half as wide as an odd `dim`, rounded
    down; the mean of the parts for heads that read no parts; one sample alone gives no triplet.
    """

    parts = GRADES

    def __init__(self, dim: int, hidden: int = 256, layers: int = 2, triplet: float = 1.0):
        super().__init__()
        self.out_dim, self.triplet = hidden, triplet
        half = max(1, dim // 2)
        self.embed = nn.Sequential(
            nn.Linear(dim, half), RowNorm(half), nn.ReLU(), nn.Linear(half, hidden), RowNorm(hidden)
        )
        sizes = (hidden, 1, 3 * hidden, _DROPOUT)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(*sizes, batch_first=True),
            1,
            nn.LayerNorm(hidden),
            enable_nested_tensor=False,
        )
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(*sizes, batch_first=True), layers, nn.LayerNorm(hidden)
        )
        self.grades = nn.Parameter(torch.empty(GRADES, hidden))
        start_as_xavier(self)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> Encoded:
        which, padding = Rows(lengths), padding_of(features, lengths)
        clips = which.padded(self.embed(which.of(features)))
        padding = padding[:, : clips.shape[1]]
        clips = self.encoder(clips, src_key_padding_mask=padding)
        grades = self.grades.expand(len(lengths), -1, -1)
        found = self.decoder(grades, clips, memory_key_padding_mask=padding)
        loss = None
        if self.training and self.triplet and len(lengths) > 1:
            loss = self.triplet * triplet_loss(found)
        return Encoded(found.mean(1), parts=found, loss=loss)


def triplet_loss(parts: torch.Tensor) -> torch.Tensor:
    """Hardest triplets of `(batch, parts, dim)`, a part's place its label: by how much a part is farther from
    itself in another sample than from another part, plus a margin, in cosine; the mean over all.
    """
    samples, number = parts.shape[:2]
    flat = F.normalize(parts.flatten(0, 1), dim=1)
    distance = 1 - flat @ flat.T
    label = torch.arange(number, device=parts.device).repeat(samples)
    same = label.unsqueeze(1) == label
    # Its distance to itself is 0, the smallest there is, so it is never the hardest of its own kind.
    positive = distance.masked_fill(~same, 0).amax(1)
    negative = distance.masked_fill(same, torch.inf).amin(1)
    return torch.relu(positive - negative + _MARGIN).mean()
