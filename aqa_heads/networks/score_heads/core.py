"""The difference to exemplars by a tree of groups: CoRe."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from aqa_cache.annotations import Sample

from ...errors import TrainingError
from ...settings.experiments import PAIR_BY_NOTHING
from .groups import LEAVES, differences, group_edges, place_in_group
from .seam import Encoded, Known, ScoreHead, ScorePrediction, Sizes

_HIDDEN = 256
_EXEMPLARS = 10  # of every key


class CoreHead(ScoreHead):
    """How far a sample's score lies from those of exemplars, training samples of its key.

    The tree sees the features of both and the exemplar's score. Its leaves are groups of differences
    (`groups`): it says how likely each is, and where in the group the difference lies. A pair is the
    difference of its most likely leaf; a sample the mean over its exemplars, at most ten, and its spread
    their standard deviation, which says how well they agree and not how far off they are.

    loss = -log P(leaf) + sum over the leaves of the mean of (place - true place)^2 over the pairs of the
    leaf, both ways of every pair.

    The exemplars lie in the model's file, features and scores. They are chosen once, evenly over the sorted
    training scores of their key, so that neither chance nor the order of samples decides; their features
    follow the encoder.

    Args:
        pair_by: the key: `difficulty`, a class column, or `none`: every sample has the same.
        names: the classes of that column.

    Source: Yu et al. 2021, arXiv:2108.07797, CoRe. Differs: the range of scores is that of the training
    scores, from the lowest; the last group has no end, so that every difference lies in one (there, beyond
    the range, it fell into the most negative); exemplars are not drawn at random when scores are predicted;
    in training a sample is compared with an exemplar and with another of its batch, of the same key, not with
    one of all training samples; a key that training does not have falls back to the nearest.

    Raises:
        TrainingError: from `sized_by`: no training sample has such a key.
    """

    def __init__(
        self, sizes: Sizes, *, pair_by: str = PAIR_BY_NOTHING, names: Sequence[str] = (), **common: float
    ):
        super().__init__(sizes, **common)
        if pair_by != PAIR_BY_NOTHING:
            self.reads, self.key = frozenset({"key"}), pair_by
        self.key_names = {pair_by: list(names)} if names else {}
        self.fallback = (
            f"have no {pair_by} that an exemplar has: exemplars of the nearest are taken, or where there is"
            " none, all"
        )
        self.tree = _Tree(2 * sizes.pooled + 1)
        for name in ("left", "width"):
            self.register_buffer(name, torch.zeros(LEAVES, dtype=torch.float64))
        for name in ("lowest", "range"):
            self.register_buffer(name, torch.ones((), dtype=torch.float64))
        # Which of the training samples that have a score are exemplars; what is known of them.
        self.register_buffer("chosen", torch.empty(0, dtype=torch.int64))
        self.register_buffer("features", torch.empty(0, sizes.pooled))
        self.register_buffer("points", torch.empty(0))
        self.register_buffer("keys", torch.empty(0))

    @classmethod
    def sized_by(
        cls, samples: Sequence[Sample], *, pair_by: str = PAIR_BY_NOTHING, **asked: str
    ) -> dict[str, object]:
        if pair_by == PAIR_BY_NOTHING:
            return {}
        if pair_by == "difficulty":
            found = any(sample.difficulty is not None for sample in samples)
        else:
            found = sorted({sample.classes[pair_by] for sample in samples if pair_by in sample.classes})
        if not found:
            columns = sorted({name for sample in samples for name in sample.classes})
            raise TrainingError(
                f"pair_by is {pair_by!r}, but no training sample has it; give one of difficulty,"
                f" {PAIR_BY_NOTHING}{''.join(f', {name}' for name in columns)} (--pair-by)"
            )
        return {} if pair_by == "difficulty" else {"names": found}

    def prepare(self, encoded: Encoded, known: Known, points: torch.Tensor) -> list[str]:
        keys, notes = self._keys(known, points), []
        if self.reads:
            notes.append(f"exemplars are of the sample's own {self.key}: compare only with runs that know it")
        if lacking := int(keys.isnan().sum()):
            notes.append(f"{lacking} training samples have no {self.key}: they are no exemplars")
        self.lowest.fill_(points.min())
        self.range.fill_(float(points.double().max() - points.double().min()) or self.scale)
        apart = differences(points, keys)
        if not len(apart):
            apart = differences(points, torch.zeros_like(keys))
            notes.append(f"no two training samples have the same {self.key}: groups are of all differences")
        left, width = group_edges(apart, float(self.range))
        self.left.copy_(left)
        self.width.copy_(width)
        self.chosen = torch.cat(
            [_spread_over(points, encoded.pooled, keys == key) for key in keys[keys.isfinite()].unique()]
        )
        if len(self.chosen) == 1:
            notes.append("there is one exemplar: the spread is 0")
        return notes

    def remember(self, encoded: Encoded, known: Known, points: torch.Tensor) -> None:
        self.features, self.points = encoded.pooled[self.chosen], points[self.chosen]
        self.keys = self._keys(known, points)[self.chosen]

    def _keys(self, known: Known, like: torch.Tensor) -> torch.Tensor:
        """`(batch,)`; one for all where there are none to pair by."""
        if not self.reads:
            return torch.zeros(len(like), device=like.device)
        return torch.full((len(like),), math.nan, device=like.device) if known.keys is None else known.keys

    def _of_key(self, keys: torch.Tensor) -> torch.Tensor:
        """Which exemplars have the key, else the nearest one, else any: `(batch, exemplars)` bool."""
        if self.key != "difficulty":  # numbers of classes are near to nothing
            keys = torch.where(torch.isin(keys, self.keys), keys, torch.nan)
        apart = (keys.unsqueeze(1) - self.keys).abs().nan_to_num(0.0)
        return apart == apart.amin(1, keepdim=True)

    def _compare(self, reference, query, points) -> tuple[torch.Tensor, torch.Tensor]:
        """What the tree says of pairs: log-probabilities of the leaves and places there."""
        known = ((points.double() - self.lowest) / self.range).to(reference.dtype)
        return self.tree(torch.cat([reference, query, known.unsqueeze(1)], 1))

    def loss(self, encoded: Encoded, known: Known, points: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows = known.labelled
        features, points, keys = encoded.pooled[rows], points[rows], self._keys(known, points)[rows]
        same = self._of_key(keys)
        exemplar = (torch.rand(same.shape, device=same.device) * same).argmax(1)
        pairs = [(self.features[exemplar], features, self.points[exemplar], points)]
        order = keys.argsort(stable=True)  # so that neighbours share their key
        if len(order) > 1:
            other = order.roll(1)
            own, other = (each[keys[order] == keys[other]] for each in (order, other))
            pairs.append((features[other], features[own], points[other], points[own]))
        first, second, first_points, second_points = map(torch.cat, zip(*pairs, strict=True))
        likely, place = self._compare(
            torch.cat([first, second]), torch.cat([second, first]), torch.cat([first_points, second_points])
        )
        apart = second_points.double() - first_points.double()
        leaf, true_place = place_in_group(torch.cat([apart, -apart]), self.left, self.width)
        wrong = (place.gather(1, leaf.unsqueeze(1)).squeeze(1) - true_place.to(place.dtype)).square()
        of_leaf = F.one_hot(leaf, LEAVES).to(place.dtype)
        per_leaf = (wrong @ of_leaf) / of_leaf.sum(0).clamp(min=1)
        return F.nll_loss(likely, leaf, reduction="none"), per_leaf.sum()

    def predict(self, encoded: Encoded, known: Known) -> ScorePrediction:
        features = encoded.pooled
        keys = self._keys(known, features)
        same = self._of_key(keys)
        query, exemplar = same.nonzero(as_tuple=True)
        likely, place = self._compare(self.features[exemplar], features[query], self.points[exemplar])
        leaf = likely.argmax(1)
        place = place.gather(1, leaf.unsqueeze(1)).squeeze(1).double()
        said = torch.zeros(same.shape, dtype=torch.float64, device=features.device)
        said[query, exemplar] = self.points[exemplar].double() + self.left[leaf] + self.width[leaf] * place
        mean = said.sum(1) / same.sum(1)
        spread = (((said - mean.unsqueeze(1)).square() * same).sum(1) / same.sum(1)).sqrt()
        return ScorePrediction(mean, spread, fallen_back=~torch.isin(keys, self.keys))


class _Tree(nn.Module):
    """Every node halves: `(pairs, width)` to log-probabilities and places of the leaves, `(pairs, LEAVES)`
    each.
    """

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Linear(width, _HIDDEN)
        nodes = [2**level for level in range(LEAVES.bit_length() - 1)]
        self.sides = nn.ModuleList(_PerNode(count, 2) for count in nodes)
        self.halves = nn.ModuleList(_PerNode(count, 2 * _HIDDEN) for count in nodes)
        self.places = _PerNode(LEAVES, 1)

    def forward(self, pairs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        nodes = torch.relu(self.first(pairs)).unsqueeze(1)
        likely = nodes.new_zeros(len(pairs), 1)
        for sides, halves in zip(self.sides, self.halves, strict=True):
            likely = (likely.unsqueeze(2) + sides(nodes).log_softmax(2)).flatten(1)
            nodes = torch.relu(halves(nodes)).unflatten(2, (2, _HIDDEN)).flatten(1, 2)
        return likely, self.places(nodes).squeeze(2)


class _PerNode(nn.Module):
    """A linear layer of its own for every node: `(pairs, nodes, hidden)` to `(pairs, nodes, out)`."""

    def __init__(self, nodes: int, out: int):
        super().__init__()
        bound = 1 / math.sqrt(_HIDDEN)  # as torch's linear layers
        self.weight = nn.Parameter(torch.empty(nodes, _HIDDEN, out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(nodes, out).uniform_(-bound, bound))

    def forward(self, nodes: torch.Tensor) -> torch.Tensor:
        return torch.bmm(nodes.transpose(0, 1), self.weight).transpose(0, 1) + self.bias


def _spread_over(points: torch.Tensor, features: torch.Tensor, having: torch.Tensor) -> torch.Tensor:
    """At most ten of the places where `having` is true, evenly over their sorted scores, both ends included.

    Among equal scores the features decide, so that the order of samples does not.
    """
    places = having.nonzero()[:, 0]
    content = features[places].double().sum(1).tolist()
    order = sorted(range(len(places)), key=lambda place: (float(points[places[place]]), content[place]))
    count = min(_EXEMPLARS, len(order))
    at = [round(step * (len(order) - 1) / max(count - 1, 1)) for step in range(count)]
    return places[[order[place] for place in at]]
