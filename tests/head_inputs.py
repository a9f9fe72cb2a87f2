"""What a score head is given, without a model around it."""

import torch

from aqa_heads.networks.score_heads.seam import Encoded, Known, Sizes

WIDTH = 6


def encoded(samples, parts=None, seed=0):
    """Random features of so many samples."""
    random = torch.Generator().manual_seed(seed)
    pooled = torch.randn(samples, WIDTH, generator=random)
    graded = None if parts is None else torch.randn(samples, parts, WIDTH, generator=random)
    return Encoded(pooled, parts=graded)


def scores(samples, seed=0):
    """Points, no two of which are equal."""
    return 60 + 15 * torch.randn(samples, generator=torch.Generator().manual_seed(seed + 100))


def known(samples, **others):
    """All of them have a score."""
    return Known(labelled=torch.arange(samples), **others)


def prepared(head_class, points, *, given=None, parts=None, **options):
    """A head that has seen training samples of these points."""
    torch.manual_seed(0)
    scale, centre = float(points.std(correction=0)) or 1.0, float(points.mean())
    head = head_class(Sizes(WIDTH, WIDTH, parts), scale=scale, centre=centre, **options)
    training = encoded(len(points), parts), given or known(len(points)), points
    head.notes = head.prepare(*training)
    head.remember(*training)
    return head.eval()
